"""What `layer_curves` is made of."""
