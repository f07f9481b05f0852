"""Inner parts of the layer profile and of the choice of one layer."""
