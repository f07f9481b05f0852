"""Collect the moments of hidden states on the machines of a Ray cluster."""

from __future__ import annotations

import math
import time
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray

from isonomy._atomic import PathLike
from isonomy._validation import check_count
from isonomy.distributed._combined import combined, described, named
from isonomy.distributed._moment_tables import Part, write_table
from isonomy.distributed._ray_pipeline import reduce_blocks, resources
from isonomy.distributed._ray_rows import ray_rows
from isonomy.errors import IsonomyError
from isonomy.hidden_states._collect._collected import check_writable
from isonomy.hidden_states._collect._run import Progress
from isonomy.hidden_states._model._layout import Site
from isonomy.hidden_states._model._loading import Quantization, load_model_for
from isonomy.hidden_states._model._positions import Positions
from isonomy.hidden_states.collection import Collected, collect

__all__ = ["collect_with_ray"]

_WHERE = "collect_with_ray"
_ROWS_PER_BLOCK = 32_768
_IF_UNKNOWN = 8192
_BLOCKS_PER_REPLICA = 4


def collect_with_ray(
    model: Any,
    data: Any,
    *,
    text: str,
    label: str | None = None,
    group: str | Sequence[str] | None = None,
    layers: int | Sequence[int] | str | None = None,
    site: Site = "head_input",
    positions: Positions = "last",
    tokenizer: Any = None,
    batch_size: int = 32,
    max_length: int | None = None,
    dtype: Any = None,
    device: Any = None,
    device_map: Any = None,
    quantization: Quantization | None = None,
    covariance: str = "tied",
    classes: Sequence[Hashable] | None = None,
    groups: Sequence[Hashable] | None = None,
    n_replicas: int | tuple[int, int] | None = None,
    num_cpus: float = 1,
    num_gpus: float | None = None,
    rows_per_block: int | None = None,
    output: PathLike | None = None,
    split: str | None = None,
    progress: Progress | None = None,
) -> Collected:
    """Collect as `collect` does, by replicas of the model on the machines of a Ray cluster.

    Parameters
    ----------
    model : torch.nn.Module, str or path-like
        As in `collect`. A name is loaded by every replica from the hub or a folder that
        its machine sees; a module is sent to them once, on the CPU's memory.
    data : object
        A ``ray.data.Dataset``, a URL of Parquet or JSON Lines files (``s3://...``), or
        anything that `collect` reads. Local files must be visible to all machines.
    text, label, group, layers, site, positions, tokenizer, batch_size, max_length : optional
        As in `collect`.
    dtype, device, device_map, quantization, covariance, classes, groups, split : optional
        As in `collect`.
    n_replicas : int or (int, int), optional
        Copies of the model, or (least, most) on a cluster that grows. Default: as many as
        fit, one CPU left to read the data with.
    num_cpus, num_gpus : float, optional
        What each replica takes, also in fractions; ``num_gpus`` is 1 where the cluster has
        GPUs, else 0.
    rows_per_block : int, optional
        Rows reduced at once: what is done again when a worker dies. Default 32,768, fewer
        where that would make fewer than four blocks a replica; 8,192 where the number of
        rows is not known before they are read.
    output : str or path-like, optional
        Folder in which the machine that calls saves the result (`Collected.save`).
    progress : callable, optional
        Called as ``progress(text, done, total)`` with numbers of rows, to a block.

    Returns
    -------
    Collected
        Equal to that of `collect` on all rows, to rounding, however they are cut. It holds
        no rows, and no fingerprint of the data.

    Raises
    ------
    InvalidInputError
        As `collect` does; if there are no rows; or if the replicas leave no CPU to read
        with. Rows are numbered from 0 within their file, or their block.
    OutputError
        If ``output`` cannot be written: before anything runs.
    WorkerError
        If workers die again and again at one block, or fail for reasons of their own.
    MissingExtraError
        If Ray is not installed.

    Notes
    -----
    ``read -> blocks of rows_per_block -> replicas -> CellMoments of each block -> a tree
    of merges, 8 at a time -> the caller``. Only references pass through the calling
    machine, and the one result. A block crosses the network as
    ``8 G d^2`` bytes a layer (G groups, tied covariances), whatever its number of rows.

    A worker or a machine that dies costs the blocks it was at; they are done again
    elsewhere, and counted once, because replicas remember nothing between blocks. The
    machine that calls must live.

    A cluster that runs already (``ray.init(address=...)``, ``RAY_ADDRESS``) is used;
    without one, Ray starts one on this machine. Ray sends models and arguments by pickle
    between its own processes: a cluster is trusted as a whole.

    What it does not promise: the same bits as `collect`, whose batches are others.

    Examples
    --------
    >>> collected = collect_with_ray(  # doctest: +SKIP
    ...     "meta-llama/Llama-2-7b-hf", "s3://bucket/biographies.parquet", text="bio",
    ...     label="occupation", group="gender", site="residual", layers=[15, 23, 31],
    ...     dtype="bfloat16", n_replicas=8)
    """
    started = time.perf_counter()
    loading = {"dtype": dtype, "device": device, "device_map": device_map}
    loading["quantization"] = quantization
    name = named(model, loading, where=_WHERE)
    if output is not None:
        check_writable(output)
    if not ray.is_initialized():
        ray.init(log_to_driver=False)
    taken = resources(n_replicas, num_cpus, num_gpus, where=_WHERE)
    source = ray_rows(data, text=text, label=label, group=group, split=split, where=_WHERE)
    size = _block_size(rows_per_block, source.n_rows, taken.n_replicas)
    arguments = {
        "text": source.text, "label": source.label, "group": source.group, "layers": layers,
        "site": site, "positions": positions, "batch_size": batch_size, "max_length": max_length,
        "covariance": covariance, "classes": classes, "groups": groups,
    }  # fmt: skip
    # the reference lives here: a replica that is started anew can fetch the model again
    shared = ray.put((model if name is None else _seen_from_anywhere(name), tokenizer))

    def tell(n_blocks: int) -> None:
        if progress is not None:
            done = n_blocks * size
            total = done if source.n_rows is None else source.n_rows
            progress("collect", min(done, total), total)

    parts = reduce_blocks(
        source.rows, Replica, (shared, loading, arguments),
        rows_per_block=size, taken=taken, on_block=tell,
    )  # fmt: skip
    first = next(iter(parts.values()), None)
    result = combined(
        {layer: part.moments for layer, part in parts.items()},
        {} if first is None else first.about | ({} if name is None else {"model_name": name}),
        n_truncated=int(first.tally["n_truncated"]) if first else 0,
        seconds=time.perf_counter() - started,
        where=_WHERE,
        class_names=source.class_names,
        group_names=source.group_names,
    )
    if output is not None:
        result.save(output)
    return result


def _block_size(
    rows_per_block: int | None, n_rows: int | None, n_replicas: int | tuple[int, int]
) -> int:
    if rows_per_block is not None:
        return check_count("rows_per_block", rows_per_block, where=_WHERE)
    if n_rows is None:
        return _IF_UNKNOWN
    most = n_replicas if isinstance(n_replicas, int) else n_replicas[1]
    return min(_ROWS_PER_BLOCK, max(1, math.ceil(n_rows / (_BLOCKS_PER_REPLICA * most))))


def _seen_from_anywhere(name: str) -> str:
    # workers run in folders of their own
    return str(Path(name).resolve()) if Path(name).is_dir() else name


class Replica:
    """One copy of the model; turns a block of rows into its moments, and forgets them."""

    def __init__(self, shared: Any, loading: dict[str, Any], arguments: dict[str, Any]) -> None:
        self._failed: IsonomyError | None = None
        model, tokenizer = ray.get(shared) if isinstance(shared, ray.ObjectRef) else shared
        has_gpu = bool(ray.get_gpu_ids())
        if isinstance(model, str):
            if not has_gpu and all(
                value is None for name, value in loading.items() if name != "dtype"
            ):
                # a machine may have GPUs that were given to others
                loading = {**loading, "device": "cpu"}
            try:
                model, tokenizer = load_model_for(model, tokenizer, **loading)
            except IsonomyError as error:
                # raised with the first block: Ray loses what an actor dies of at its birth
                self._failed = error
        elif has_gpu:
            model = model.to("cuda")
        self._model, self._arguments = model, {**arguments, "tokenizer": tokenizer}

    def __call__(self, rows: pa.Table) -> pa.Table:
        """Return the table of one block's moments."""
        if rows.num_rows == 0:
            return write_table({})
        if self._failed is not None:
            raise self._failed
        found = collect(self._model, rows, **self._arguments)
        about = described(found) | {"n_layers": len(found)}
        tally = {"n_truncated": float(found.n_truncated)}
        return write_table({layer: Part(m, tally, about) for layer, m in found.items()})
