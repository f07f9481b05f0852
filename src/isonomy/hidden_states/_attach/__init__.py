"""What `attached` is made of: maps, hooks, groups of rows."""
