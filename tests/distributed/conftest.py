"""One local Ray cluster for each test module that asks for it."""

from __future__ import annotations

from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def cluster():
    """Three logical CPUs: two replicas, and one to read the data with."""
    import ray

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", str(TESTS))  # workers import the stand-ins by name
        patch.setenv("OMP_NUM_THREADS", "1")
        # Ray's workers are nice by default: beside a busy test process they would hardly start
        patch.setenv("RAY_worker_niceness", "0")
        ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False, logging_level="error")
        yield
        ray.shutdown()
