"""Short invented biographies for tests of distributed collection."""

from __future__ import annotations

import numpy as np

_JOBS = {
    "nurse": "cares for patients in a hospital",
    "professor": "teaches mathematics at the university",
    "surgeon": "operates every day and writes papers",
}


def biographies(n: int, *, seed: int = 0) -> dict[str, list[str]]:
    """Return columns bio, job and gender; the texts differ in length."""
    rng = np.random.default_rng(seed)
    genders = [str(g) for g in rng.choice(["F", "M"], n)]
    jobs = [str(job) for job in rng.choice(list(_JOBS), n)]
    texts = [
        f"{'She' if gender == 'F' else 'He'} {_JOBS[job]}." + " And so on." * int(more)
        for gender, job, more in zip(genders, jobs, rng.integers(0, 5, n), strict=True)
    ]
    return {"bio": texts, "job": jobs, "gender": genders}
