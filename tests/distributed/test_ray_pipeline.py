"""A real local Ray cluster: no row is lost or counted twice, also when a worker is killed."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import ray.data

from isonomy.distributed import _ray_pipeline
from isonomy.distributed._merge_tree import MergeTree
from isonomy.distributed._moment_tables import merge_tables, read_table
from isonomy.distributed._ray_pipeline import reduce_blocks, resources
from isonomy.distributions import CellMoments
from isonomy.errors import InvalidInputError, WorkerError
from ray_stand_ins import Dies, Fails, Odd, Sums, rows_of

pytestmark = pytest.mark.usefixtures("cluster")
TWO = _ray_pipeline.Resources(2, 1, 0)


def table_of(n, seed=0):
    rng = np.random.default_rng(seed)
    columns = {"id": np.arange(n), "x0": rng.normal(size=n) + 5, "x1": rng.normal(size=n)}
    names = np.array(["north", "south"])
    return pa.table({**columns, "y": rng.integers(0, 3, n), "a": names[rng.integers(0, 2, n)]})


def assert_moments_of(parts, table):
    X, y, a = rows_of(table)
    assert set(parts) == {None, 3}
    for layer, covariance in ((None, "tied"), (3, "full")):
        whole = CellMoments(2, covariance=covariance).update(X, y, sensitive_features=a)
        found, tally, about = parts[layer]
        assert (found.classes, found.groups) == (whole.classes, whole.groups)
        np.testing.assert_array_equal(found.n_rows, whole.n_rows)
        np.testing.assert_allclose(found.means, whole.means, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(found.covariances, whole.covariances, rtol=1e-10, atol=1e-12)
        assert tally == {"n": len(y)} and about["model"] == "sums"


def children(pid):
    """Return the processes that ``pid`` has started, and theirs."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            parents[int(stat.parent.name)] = int(stat.read_text().rsplit(")", 1)[1].split()[1])
    found = {pid}
    while more := {p for p, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def test_a_worker_killed_in_the_middle_of_a_block_costs_no_row_and_counts_none_twice(tmp_path):
    # input blocks of uneven size, cut anew into blocks of 10 rows
    table, told, killed = table_of(155), [], []
    rows = ray.data.from_arrow([table.slice(0, 3), table.slice(3, 100), table.slice(103)])

    def kill_one(n_blocks):
        told.append(n_blocks)
        if n_blocks == 3 and not killed:
            killed.append(holder_of(60, tmp_path))
            assert killed[0] in children(os.getpid())
            os.kill(killed[0], signal.SIGKILL)

    found = reduce_blocks(
        rows, Sums, (str(tmp_path), 60), rows_per_block=10, taken=TWO, on_block=kill_one
    )
    assert not (tmp_path / f"ended-60-{killed[0]}").exists()  # it died at work
    (survivor,) = tmp_path.glob("ended-60-*")  # and that work was done again, once
    assert survivor.name != f"ended-60-{killed[0]}"
    assert list(dict.fromkeys(told)) == list(range(1, 17))
    assert_moments_of(found, table)

    # which replica did which block, and how often, does not show in a single bit
    tree = MergeTree(merge_tables)
    for start in range(0, 155, 10):
        tree.add(Sums()(table.slice(start, 10)))
    for layer, part in read_table(tree.result()).items():
        for name, array in part.moments.to_arrays()[0].items():
            assert array.tobytes() == found[layer].moments.to_arrays()[0][name].tobytes()


def holder_of(first, log, *, seconds=60):
    """Return the process that works at the block from row ``first`` on, once there is one."""
    end = time.monotonic() + seconds
    while not (began := list(log.glob(f"began-{first}-*"))):
        assert time.monotonic() < end
        time.sleep(0.05)
    return int(began[0].name.rsplit("-", 1)[1])


def test_an_error_of_ours_in_a_replica_arrives_as_itself():
    rows = ray.data.from_arrow(table_of(10))
    with pytest.raises(InvalidInputError, match=r"^Row 3 of `data` has no text\.$") as caught:
        reduce_blocks(rows, Fails, (), rows_per_block=5, taken=_ray_pipeline.Resources(1, 1, 0))
    assert type(caught.value) is InvalidInputError


def test_any_other_error_of_a_replica_is_one_sentence():
    rows = ray.data.from_arrow(table_of(10))
    with pytest.raises(WorkerError, match="failed with TypeError: an odd weight") as caught:
        reduce_blocks(rows, Odd, (), rows_per_block=5, taken=_ray_pipeline.Resources(1, 1, 0))
    assert "\n" not in str(caught.value)


def test_a_block_that_kills_every_worker_ends_the_run(monkeypatch):
    monkeypatch.setattr(_ray_pipeline, "_RETRIES", 0)
    rows = ray.data.from_arrow(table_of(5))
    with pytest.raises(WorkerError, match=r"`collect_with_ray` failed with .* retries a block"):
        reduce_blocks(rows, Dies, (), rows_per_block=5, taken=_ray_pipeline.Resources(1, 1, 0))


def test_replicas_that_would_leave_no_cpu_to_read_with_are_refused_at_once():
    with pytest.raises(InvalidInputError, match=r"3 CPUs, 0 GPUs.* got 3 replicas of 1 CPUs"):
        resources(3, 1, None, where="collect_with_ray")
    with pytest.raises(InvalidInputError, match="got 2 replicas of 1 CPUs and 1 GPUs"):
        resources((2, 4), 1, 1, where="collect_with_ray")


def test_by_default_there_are_as_many_replicas_as_fit():
    assert resources(None, 1, None, where="f") == _ray_pipeline.Resources(2, 1, 0)
    assert resources(None, 2, None, where="f") == _ray_pipeline.Resources(1, 2, 0)
