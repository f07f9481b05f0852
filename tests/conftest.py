"""Hypothesis profiles, and where real data lie."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# The same examples on every run: a red check then means a changed program. Search for new
# counter-examples with HYPOTHESIS_PROFILE=search.
settings.register_profile(
    "check",
    derandomize=True,
    deadline=None,  # the machine that runs the check is shared: times say nothing
    max_examples=50,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.register_profile(
    "search", settings.get_profile("check"), derandomize=False, max_examples=2000, print_blob=True
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "check"))

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the repository; skips where it is missing."""
    if not SHARED.is_dir():
        pytest.skip("needs the real data in ../shared/data beside the repository")
    return SHARED
