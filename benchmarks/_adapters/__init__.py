"""The parts of ``benchmarks/adapters.py``, one idea a file."""

import os

# before any of them imports NumPy or PyTorch: seconds are then seconds of one core
for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
