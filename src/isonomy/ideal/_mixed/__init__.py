"""Tables with numeric and categorical columns."""
