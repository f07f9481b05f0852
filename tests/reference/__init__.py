"""Literal, slow oracles and shared strategies for the tests."""
