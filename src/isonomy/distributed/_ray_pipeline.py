"""A Ray data set in, merged moments out: replicas reduce blocks, tasks merge them by a tree."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import ray
import ray.data

from isonomy.distributed._merge_tree import MergeTree
from isonomy.distributed._moment_tables import Parts, merge_tables, read_table
from isonomy.errors import InvalidInputError, IsonomyError, WorkerError

__all__ = ["Resources", "reduce_blocks", "resources"]

_FAN_IN = 8
_WAITING = 4
"""Merges under way at once; beyond, the driver waits, and with it the pipeline."""
_RETRIES = 8
"""How often a block is begun again: one that kills every worker must not be tried for ever."""


@dataclass(frozen=True)
class Resources:
    """How many replicas of a model there are, and what each of them takes."""

    n_replicas: int | tuple[int, int]
    num_cpus: float
    num_gpus: float


def resources(
    n_replicas: int | tuple[int, int] | None,
    num_cpus: float,
    num_gpus: float | None,
    *,
    where: str,
) -> Resources:
    """Return what the replicas take, checked against what the cluster has.

    Raises
    ------
    InvalidInputError
        If the replicas leave no CPU to read the data with: they would wait for ever.
    """
    cluster = ray.cluster_resources()
    cpus, gpus = float(cluster.get("CPU", 0)), float(cluster.get("GPU", 0))
    if num_gpus is None:
        num_gpus = 1.0 if gpus >= 1 else 0.0
    if n_replicas is None:
        fits = [(cpus - 1) / num_cpus] if num_cpus > 0 else []
        fits += [gpus / num_gpus] if num_gpus > 0 else []
        n_replicas = max(1, int(min(fits, default=1)))
    least = n_replicas if isinstance(n_replicas, int) else n_replicas[0]
    if least * num_cpus > cpus - 1 or least * num_gpus > gpus:
        raise InvalidInputError(
            f"`n_replicas` of `{where}` must leave the cluster ({cpus:g} CPUs, {gpus:g} GPUs) one "
            f"CPU to read the data with, got {least} replicas of {num_cpus:g} CPUs and "
            f"{num_gpus:g} GPUs. Ask for fewer or smaller ones; on a cluster that grows pass "
            "(least, most)."
        )
    return Resources(n_replicas, num_cpus, num_gpus)


def reduce_blocks(
    rows: ray.data.Dataset,
    reducer: type[Callable[[pa.Table], pa.Table]],
    arguments: Sequence[Any],
    *,
    rows_per_block: int,
    taken: Resources,
    on_block: Callable[[int], None] = lambda n_blocks: None,
) -> Parts:
    """Return the moments of all rows, by layer.

    Parameters
    ----------
    rows : ray.data.Dataset
        With the columns that the reducer reads.
    reducer : class
        ``reducer(*arguments)`` is made once a replica; called with the table of one block
        it returns that block's moments by `write_table`, and remembers nothing.
    arguments : sequence
        Object references are passed on as they are.
    rows_per_block : int
        What is lost with a worker, and done again.
    taken : Resources
    on_block : callable
        Told the number of blocks reduced so far.

    Notes
    -----
    No row is lost or counted twice, because a block's moments depend on its rows alone: a
    replica that dies takes its unfinished blocks with it, Ray starts another and gives it
    the same blocks again, and a table counts only once it is finished. Merges are tasks of
    the same kind. Blocks are cut and merged in the order of the data, so that the result
    does not depend on which replica did which block, or how often.
    """
    pipeline = rows.repartition(target_num_rows_per_block=rows_per_block, strict=True)
    with warnings.catch_warnings():
        # Ray 2.60 deprecates the only way of bounding retries, and has no other yet
        warnings.simplefilter("ignore", DeprecationWarning)
        pipeline = pipeline.map_batches(
            reducer,
            fn_constructor_args=list(arguments),
            batch_size=None,
            batch_format="pyarrow",
            compute=_pool(taken.n_replicas),
            num_cpus=taken.num_cpus,
            num_gpus=taken.num_gpus,
            **_retries(pipeline.map_batches),
        )
    # a data set has its own copy of the settings: nobody else's change
    pipeline.context.execution_options.preserve_order = True
    pipeline.context.enable_progress_bars = False
    pipeline.context.raise_original_map_exception = True
    tree = MergeTree(_Merging(), _FAN_IN)
    with _our_errors():
        for n_blocks, block in _blocks(pipeline):
            tree.add(block)
            on_block(n_blocks)
        last = tree.result()
        return {} if last is None else read_table(ray.get(last))


def _retries(map_batches: Callable[..., Any]) -> dict[str, Any]:
    kinds = {p.kind for p in inspect.signature(map_batches).parameters.values()}
    return {"max_task_retries": _RETRIES} if inspect.Parameter.VAR_KEYWORD in kinds else {}


def _pool(n_replicas: int | tuple[int, int]) -> Any:
    if isinstance(n_replicas, int):
        return ray.data.ActorPoolStrategy(size=n_replicas)
    return ray.data.ActorPoolStrategy(min_size=n_replicas[0], max_size=n_replicas[1])


def _blocks(pipeline: ray.data.Dataset) -> Iterator[tuple[int, Any]]:
    """Yield (number of blocks so far, reference to a table), in the order of the data.

    Ray cuts a large table between its rows, which are layers: a table is then a part of
    the layers of one block.
    """
    n_rows = n_layers = 0
    for bundle in pipeline.iter_internal_ref_bundles():
        for entry in bundle.blocks:
            if entry.metadata.num_rows == 0:
                continue
            n_layers = n_layers or ray.get(_task(_n_layers).remote([entry.ref]))
            n_rows += entry.metadata.num_rows
            yield n_rows // n_layers, entry.ref


def _task(function: Callable[..., Any]) -> Any:
    # no CPU asked for: replicas may hold them all, and these only add what is there
    return ray.remote(num_cpus=0, max_retries=-1)(function)


def _n_layers(blocks: Sequence[Any]) -> int:
    parts = read_table(ray.get(blocks[0]).slice(0, 1))
    return int(next(iter(parts.values())).about["n_layers"])


class _Merging:
    """Merge tables by tasks of the cluster, a bounded number of them at once."""

    def __init__(self) -> None:
        self._task = _task(_merge_blocks)
        self._waiting: list[Any] = []

    def __call__(self, blocks: Sequence[Any]) -> Any:
        if len(self._waiting) >= _WAITING:
            _, self._waiting = ray.wait(self._waiting, num_returns=1, fetch_local=False)
        merged = self._task.remote(list(blocks))
        self._waiting.append(merged)
        return merged


def _merge_blocks(blocks: Sequence[Any]) -> pa.Table:
    # one at a time: a list of references is not fetched before it is asked for
    return merge_tables(ray.get(block) for block in blocks)


@contextmanager
def _our_errors() -> Iterator[None]:
    """Raise the error of ours that a replica met, as if it had been met here.

    Raises
    ------
    WorkerError
        In place of any other error: Ray's own text is a page of traces.
    """
    try:
        yield
    except ray.exceptions.RayError as error:
        cause: BaseException | None = error
        root: BaseException = error
        # Ray's errors take the class of their cause on, and stay Ray's
        while cause is not None and (
            isinstance(cause, ray.exceptions.RayError) or not isinstance(cause, IsonomyError)
        ):
            root, cause = cause, getattr(cause, "cause", None) or cause.__cause__
        if cause is not None:
            # Ray writes advice of its own behind the text
            raise type(cause)(str(cause).partition("\nFailed to apply UDF")[0]) from error
        kind = type(root).__name__
        first = (str(root).strip().splitlines() or [kind])[0].rstrip(".")
        raise WorkerError(
            f"A worker of `collect_with_ray` failed with {kind}: {first}. Look into the logs "
            f"of the cluster; a worker that dies again and again ({_RETRIES} retries a block) is "
            "often out of memory: pass a smaller `batch_size`, `rows_per_block` or `n_replicas`."
        ) from error
