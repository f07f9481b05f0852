"""Placeholder; see ARCHITECTURE."""
