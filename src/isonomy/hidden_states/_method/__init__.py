"""What `fit_method` is made of."""
