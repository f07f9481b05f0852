"""Mixtures of normals in every cell."""
