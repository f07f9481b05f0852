"""The parts of ``benchmarks/real_data.py``, one idea a file."""

import os

# before any of them imports NumPy: seconds are then CPU-seconds of one core
for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")

# before anything else of isonomy is imported: what runs is then never newer than what is hashed
from _real_data import sources as sources  # noqa: E402
