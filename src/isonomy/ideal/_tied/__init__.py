"""One covariance a group: the closed form, and its coordinates."""
