"""What `fold` is made of: the readers of a norm, the algebra, the plan."""
