"""The parts of ``benchmarks/case_studies.py``, one idea a file."""

import os

# before any of them imports NumPy: seconds are then CPU-seconds of one core
for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")
