"""The parts of ``benchmarks/biographies.py``, one idea a file."""

import os

# before any of them imports NumPy: seconds are then CPU-seconds of one core
for _threads in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")
