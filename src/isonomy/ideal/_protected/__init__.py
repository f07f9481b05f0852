"""Columns that must not move."""
