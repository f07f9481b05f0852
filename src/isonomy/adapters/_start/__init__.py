"""The parts of `bias_aware_start`, one idea a file."""
