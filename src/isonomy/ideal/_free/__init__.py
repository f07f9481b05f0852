"""A covariance of its own in every cell: affine and symmetric maps."""
