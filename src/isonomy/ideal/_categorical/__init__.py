"""Categorical columns: criteria, programmes, flips, certificates."""
