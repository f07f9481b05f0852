"""Find a model's parts by configuration, load it, and tell which tokens count."""
