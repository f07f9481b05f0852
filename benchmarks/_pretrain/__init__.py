"""The parts of ``benchmarks/pretrain.py``, one idea a file."""
