"""Inner parts of :mod:`isonomy.adapters.finetuning`."""
