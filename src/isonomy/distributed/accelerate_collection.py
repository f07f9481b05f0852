"""Collect the moments of hidden states in all processes of one ``accelerate launch``."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, TypeVar, cast

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import (
    broadcast,
    extract_model_from_parallel,
    gather_object,
    parse_flag_from_env,
    reduce,
)
from numpy.typing import NDArray

from isonomy._atomic import PathLike
from isonomy.distributed._all_reduce import all_reduce_moments
from isonomy.distributed._combined import combined, described, named
from isonomy.errors import IsonomyError
from isonomy.hidden_states._collect._collected import check_writable
from isonomy.hidden_states._collect._run import Progress
from isonomy.hidden_states._collect._text_data import Examples, read_examples
from isonomy.hidden_states._model._layout import Site
from isonomy.hidden_states._model._loading import Quantization
from isonomy.hidden_states._model._positions import Positions
from isonomy.hidden_states.collection import Collected, collect

__all__ = ["collect_with_accelerate"]

_WHERE = "collect_with_accelerate"
Result = TypeVar("Result")
_PIECE = 1 << 23
"""Numbers sent at once (64 MiB): what a copy on the device takes."""


def collect_with_accelerate(
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
    output: PathLike | None = None,
    split: str | None = None,
    progress: Progress | None = None,
) -> Collected:
    """Collect as `collect` does, the rows dealt out over the processes of ``accelerate launch``.

    Parameters
    ----------
    model : torch.nn.Module, str or path-like
        As in `collect`; each process loads its own by name, onto its own device. What
        ``accelerator.prepare`` returned is unwrapped.
    data : object
        What `collect` reads; the same in every process.
    text, label, group, layers, site, positions, tokenizer, batch_size, max_length : optional
        As in `collect`.
    dtype, device_map, quantization, covariance, classes, groups, split : optional
        As in `collect`.
    device : str or torch.device, optional
        Default: the device that accelerate gives this process.
    output : str or path-like, optional
        Folder in which the main process saves the result (`Collected.save`).
    progress : callable, optional
        Called in the main process as ``progress(text, done, total)`` with its own rows.

    Returns
    -------
    Collected
        In every process the same bits, and equal to that of `collect` on all rows, to
        rounding. It holds no rows, and no fingerprint of the data.

    Raises
    ------
    InvalidInputError
        As `collect` does; if there are no rows. What one process meets, all raise. What
        only tokenizer or model find wrong with a row (no token, a NaN) is numbered within
        the share of its process.
    OutputError
        If ``output`` cannot be written, in every process.

    Notes
    -----
    Process p of n takes the rows p, p + n, p + 2n, ...: like shares of long and short
    texts, whatever the order. Every process reads all rows and runs the model over its
    own; one without rows takes part in the sums. Three sums go over the wire for each
    layer (see `all_reduce_moments`): means about a common shift, and scatters about the
    common mean, so that nothing cancels. The first process's sums are then sent to all.

    What it does not promise: to survive a process that dies; ``accelerate launch`` ends
    the others. `collect_with_ray` does.

    Examples
    --------
    Without ``accelerate launch`` there is one process, and it collects alone:

    >>> import tokenizers, transformers
    >>> made = tokenizers.Tokenizer(tokenizers.models.WordLevel({"<pad>": 0, "she": 1, "he": 2}))
    >>> tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>")
    >>> model = transformers.LlamaModel(transformers.LlamaConfig(vocab_size=3, hidden_size=8,
    ...     intermediate_size=8, num_hidden_layers=1, num_attention_heads=2))
    >>> data = {"bio": ["she", "he"], "job": ["nurse", "nurse"], "gender": ["F", "M"]}
    >>> collect_with_accelerate(model, data, text="bio", label="job", group="gender",
    ...                         tokenizer=tokenizer)[None].n_rows
    array([[1, 1]])
    """
    started = time.perf_counter()
    processes = _Accelerated()
    loading = {"dtype": dtype, "device_map": device_map, "quantization": quantization}
    if named(model, {**loading, "device": device}, where=_WHERE) is None:
        model = extract_model_from_parallel(model)
    else:
        alone = device is None and device_map is None and quantization is None
        loading["device"] = processes.device if alone else device
    examples = read_examples(data, text=text, label=label, group=group, split=split, where=_WHERE)

    def collect_mine() -> Collected | None:
        if output is not None and processes.rank == 0:
            check_writable(output)
        share = _share(examples, processes)
        if share is None:
            return None
        return collect(
            model, share, text="text", label=None if label is None else "label",
            group="group" if group else None, layers=layers, site=site, positions=positions,
            tokenizer=tokenizer, batch_size=batch_size, max_length=max_length,
            covariance=covariance, classes=classes, groups=groups, **loading,
            progress=progress if processes.rank == 0 else None,
        )  # fmt: skip

    mine = processes.all_or_none(collect_mine)
    moments = all_reduce_moments({} if mine is None else mine, processes)
    told = processes.gather(None if mine is None else (described(mine), mine.n_truncated))
    known = [about for about in told if about is not None]
    result = combined(
        moments,
        known[0][0] if known else {},
        n_truncated=sum(n for _, n in known),
        seconds=max(processes.gather(time.perf_counter() - started)),
        where=_WHERE,
        class_names=examples.label_names,
        group_names=examples.group_names,
    )

    def save() -> None:
        if output is not None and processes.rank == 0:
            result.save(output)

    processes.all_or_none(save)
    return result


def _share(examples: Examples, processes: _Accelerated) -> Iterator[dict[str, Any]] | None:
    """Return the rows of this process, None if it has none; all rows are read and checked."""
    mine = islice(examples, processes.rank, None, processes.count)
    rows = ({"text": row.text, "label": row.label, "group": row.group} for row in mine)
    first = next(rows, None)
    return None if first is None else chain([first], rows)


class _Accelerated:
    """The processes of one ``accelerate launch``, as an all-reduce needs them."""

    def __init__(self) -> None:
        # whoever made an Accelerator before has decided already; where there is no accelerator
        # several processes find each other only if told that they compute on the CPU
        cpu = parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.accelerator.is_available()
        self._state = PartialState(cpu=cpu)

    @property
    def rank(self) -> int:
        """Number of this process, from 0."""
        return int(self._state.process_index)

    @property
    def count(self) -> int:
        """Number of processes."""
        return int(self._state.num_processes)

    @property
    def device(self) -> torch.device:
        """Where this process computes."""
        return torch.device(self._state.device)

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all processes, by rank."""
        return [value] if self.count == 1 else list(gather_object([value]))

    def sum(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return the sum over all processes, the same bits on each."""
        total = np.array(array, order="C")
        flat = total.reshape(-1)
        for start in range(0, flat.size if self.count > 1 else 0, _PIECE):
            piece = torch.from_numpy(flat[start : start + _PIECE]).to(self.device)
            # an all-reduce need not add in the same order everywhere: one process's sum counts
            summed = broadcast(reduce(piece, reduction="sum"), from_process=0)
            flat[start : start + _PIECE] = summed.cpu().numpy()
        return total

    def all_or_none(self, act: Callable[[], Result]) -> Result:
        """Return ``act()``; if it fails in one process, raise in all: none waits for ever."""
        result, error = None, None
        try:
            result = act()
        except IsonomyError as met:
            error = met
        errors = self.gather(error)
        if error is not None:
            raise error
        for rank, other in enumerate(errors):
            if other is not None:
                raise type(other)(f"Process {rank} of `{_WHERE}` stopped: {other}")
        return cast("Result", result)
