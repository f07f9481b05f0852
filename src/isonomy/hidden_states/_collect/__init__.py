"""What `collect` is made of: reading, batching, reducing, storing, resuming."""
