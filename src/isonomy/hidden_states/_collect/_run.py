"""One run of `collect`: read, batch, pass, reduce, write down how far it came."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from isonomy.errors import InvalidInputError, SmallerBatchWarning, UnknownGroupError
from isonomy.hidden_states._collect._batching import Batcher
from isonomy.hidden_states._collect._collected import (
    MOMENTS_NAME,
    ROWS_FOLDER,
    Collected,
    check_writable,
)
from isonomy.hidden_states._collect._device_moments import DeviceMoments
from isonomy.hidden_states._collect._reduce import LayerPass
from isonomy.hidden_states._collect._row_store import RowStore
from isonomy.hidden_states._collect._state import (
    STATE_NAME,
    DataDigest,
    State,
    check_data,
    codes_of,
    model_fingerprint,
    reader_fingerprint,
)
from isonomy.hidden_states._collect._text_data import Example, Examples

__all__ = ["Progress", "Run", "Settings"]

Progress = Callable[[str, int, int], None]

ALL = "all"
"""The one label, or group, of rows for which no column was named."""


@dataclass(frozen=True)
class Settings:
    """What decides the result, beside model and data: it must not change on resuming."""

    text: str
    label: str | None
    group: list[str]
    site: str
    layers: list[int | None]
    positions: str
    batch_size: int
    max_length: int | None
    covariance: str
    classes: list[Hashable] | None
    groups: list[Hashable] | None
    rows: Any
    split: str | None


@dataclass
class Run:
    """One pass over the data; see `collect`."""

    settings: Settings
    examples: Examples
    batcher: Batcher
    layer_pass: LayerPass
    model_name: str
    output: Path | None
    checkpoint_every: int
    progress: Progress | None
    where: str
    moments: list[DeviceMoments] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        folder = None if self.output is None else self.output / ROWS_FOLDER
        self.store = RowStore(self.settings.rows, self.settings.layers, folder)
        self.state = State(asdict(self.settings))
        self.digest = DataDigest()
        self.state.salt = self.digest.salt
        self.state.classes = _fixed(self.settings.classes, self.settings.label is not None)
        self.state.groups = _fixed(self.settings.groups, bool(self.settings.group))
        self._stopped_with = self.state.classes, self.state.groups
        self._before = 0.0
        self._started = time.perf_counter()

    def collect(self, *, resume: bool) -> Collected:
        """Run to the end and return the result."""
        finished = None if self.output is None else self._look_into(self.output, resume=resume)
        if finished is not None:
            return finished
        if self.output is not None:
            check_writable(self.output)
        with self.layer_pass.ready():
            for window, n_passed in self._windows():
                self._process(window, n_passed)
        result = self._result()
        if self.output is not None:
            result.save(self.output)
            (self.output / STATE_NAME).unlink(missing_ok=True)
        return result

    def _look_into(self, output: Path, *, resume: bool) -> Collected | None:
        """Return a finished result, go on from a stopped run, or refuse to overwrite either."""
        self.state.settings |= self._fingerprints()
        done = (output / MOMENTS_NAME).exists()
        if not resume and (done or (output / STATE_NAME).exists()):
            raise InvalidInputError(
                f"`output` of `{self.where}` must be a new folder, but {str(output)!r} holds a "
                f"{'finished' if done else 'stopped'} run. Pass `resume=True` to "
                f"{'have it back' if done else 'go on with it'}, or name another folder."
            )
        stopped = State.load(output) if resume else None
        if stopped is not None:
            stopped.check_settings(self.state.settings, folder=output, where=self.where)
            self.store.load_state(stopped.shards, stopped.pending)
            self.digest = DataDigest(stopped.salt)
            self._stopped_with = stopped.classes, stopped.groups
            self._before = stopped.seconds
            self.state = stopped
            self.batcher.n_truncated = stopped.n_truncated
            return None
        return self._finished(output) if done else None

    def _finished(self, output: Path) -> Collected:
        """Return a finished result after reading the data again, to see that it is its own."""
        result = Collected.load(output)
        state = State(result.settings, digest=result.fingerprint["digest"], n_read=result.n_rows)
        state.check_settings(self.state.settings, folder=output, where=self.where)
        digest = DataDigest(result.fingerprint["salt"])
        for example in self.examples:
            digest.add(example)
        check_data(state, digest, folder=output, where=self.where)
        return result

    def _fingerprints(self) -> dict[str, Any]:
        return {
            "n_rows": self.examples.n_rows,
            "model": model_fingerprint(self.layer_pass.model),
            "reader": reader_fingerprint(self.batcher.reader),
            "device": self.layer_pass.device.type,
        }

    def _windows(self) -> Iterator[tuple[list[Example], int]]:
        """Yield windows of rows, with how many of their batches a stopped run had passed."""
        n_batches = self.batcher.window_batches
        size = n_batches * self.settings.batch_size
        rows = iter(self.examples)
        n_read = self.state.n_read
        if n_read and self.output is not None:
            # the last window may be half done: read it again, the earlier ones are only checked
            first = (n_read - 1) // size
            for example in islice(rows, first * size):
                self.digest.add(example)
            window = self._window(rows, n_read - first * size)
            check_data(self.state, self.digest, folder=self.output, where=self.where)
            yield window, self.state.n_batches - first * n_batches
        while window := self._window(rows, size):
            yield window, 0

    def _window(self, rows: Iterator[Example], size: int) -> list[Example]:
        window = list(islice(rows, size))
        for example in window:
            self.digest.add(example)
        return window

    def _process(self, window: list[Example], n_passed: int) -> None:
        state, size = self.state, self.settings.batch_size
        state.n_read, state.digest = self.digest.n_rows, self.digest.digest()
        state.n_truncated = self.batcher.n_truncated  # of the windows before this one
        y, a = self._codes(window)
        encoded = self.batcher.encode(window)
        # longest first: where memory runs out, it does so at once
        order = sorted(range(len(window)), key=lambda i: -self.batcher.length(encoded[i]))
        for start in range(n_passed * size, len(order), size):
            places = np.array(order[start : start + size])
            rows = np.array([window[i].row for i in places])
            pooled = self._forward([encoded[i] for i in places])
            self._reduce(pooled, rows, y[places], a[places])
            self._report(len(rows))

    def _codes(self, window: Sequence[Example]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        settings, state = self.settings, self.state
        labels = [example.label for example in window] if settings.label else [ALL] * len(window)
        groups = [example.group for example in window] if settings.group else [ALL] * len(window)
        y, classes = codes_of(labels, state.classes)
        a, known = codes_of(groups, state.groups)
        for name, codes, fixed, n, error in (
            ("classes", y, settings.classes, len(state.classes), InvalidInputError),
            ("groups", a, settings.groups, len(state.groups), UnknownGroupError),
        ):
            if fixed is not None and codes.max() >= n:
                i = int(np.argmax(codes >= n))
                value = labels[i] if name == "classes" else groups[i]
                raise error(
                    f"Row {window[i].row} of `data` passed to `{self.where}` (counted from 0) has "
                    f"{value!r}, which is not among the fixed `{name}` "
                    f"({', '.join(map(repr, fixed))})."
                )
        state.classes, state.groups = classes, known
        for moments in self.moments:
            moments.grow(classes, known)
        return y, a

    def _forward(self, batch: list[Any]) -> list[torch.Tensor]:
        """Return the pooled rows of a batch; run out of memory once and go on in halves."""
        pooled = self._tried(batch)
        if pooled is None and self.state.n_pieces == 1 and len(batch) > 1:
            self.state.n_pieces = 2
            warnings.warn(
                f"Memory ran out in batch {self.state.n_batches} of `{self.where}`: from here on "
                f"batches of {self.settings.batch_size} rows run in halves.",
                SmallerBatchWarning,
                stacklevel=2,
            )
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            pooled = self._tried(batch)
        if pooled is None:
            raise InvalidInputError(
                f"Memory ran out in batch {self.state.n_batches} of `{self.where}`, also with "
                f"half of `batch_size={self.settings.batch_size}`. Pass a smaller one, or a "
                "smaller `max_length`."
            )
        return pooled

    def _tried(self, batch: list[Any]) -> list[torch.Tensor] | None:
        """Return the pooled rows, or None where memory ran out: by then all of it is free."""
        try:
            return self._in_pieces(batch)
        except (RuntimeError, MemoryError) as error:
            if not _is_out_of_memory(error):
                raise
            return None

    def _in_pieces(self, batch: list[Any]) -> list[torch.Tensor]:
        size = math.ceil(len(batch) / self.state.n_pieces)
        parts = [
            self.layer_pass(self.batcher.collate(batch[start : start + size]))
            for start in range(0, len(batch), size)
        ]
        return parts[0] if len(parts) == 1 else [torch.cat(p) for p in zip(*parts, strict=True)]

    def _reduce(
        self,
        pooled: list[torch.Tensor],
        rows: NDArray[np.intp],
        y: NDArray[np.intp],
        a: NDArray[np.intp],
    ) -> None:
        """Add a batch to moments and rows, all layers or, where one is not finite, none."""
        for layer, hidden in zip(self.settings.layers, pooled, strict=True):
            finite = torch.isfinite(hidden).all(dim=1)
            if not bool(finite.all()):
                bad = rows[~finite.cpu().numpy()]
                of = "" if layer is None else f" of layer {layer}"
                raise InvalidInputError(
                    f"The hidden states{of} at {self.settings.site!r} must be finite, got NaN or "
                    f"infinity in batch {self.state.n_batches} (rows "
                    f"{', '.join(map(str, bad[:5]))}{', ...' if len(bad) > 5 else ''} of `data`). "
                    "Load the model with a wider `dtype`, or look at those texts."
                )
        if not self.moments:
            self._allocate([(hidden.shape[1], hidden.device) for hidden in pooled])
        for moments, hidden in zip(self.moments, pooled, strict=True):
            moments.update(hidden, y, a)
        if self.settings.rows != "none":
            wide = np.float64 if self._dtype() == "float64" else np.float32
            kept = [hidden.cpu().numpy().astype(wide) for hidden in pooled]
            self.store.add(rows, y, a, kept, self._labels())

    def _allocate(self, shapes: Sequence[tuple[int, Any]]) -> None:
        state = self.state
        for i, (d, device) in enumerate(shapes):
            # a window read since the stop may have brought labels that its moments lack
            made = DeviceMoments(d, *self._stopped_with, self.settings.covariance, device)
            if state.moments:
                made.load_state(state.moments[i])
            made.grow(state.classes, state.groups)
            self.moments.append(made)
        state.moments = []

    def _report(self, n: int) -> None:
        state = self.state
        state.n_batches += 1
        state.n_done += n
        if self.output is not None and state.n_batches % self.checkpoint_every == 0:
            state.seconds = self._seconds()
            state.moments = [moments.state() for moments in self.moments]
            state.shards, state.pending = self.store.state()
            state.save(self.output)
            state.moments, state.pending = [], {}
        if self.progress is not None:
            total = self.examples.n_rows
            self.progress("hidden states", state.n_done, state.n_read if total is None else total)

    def _seconds(self) -> float:
        return self._before + time.perf_counter() - self._started

    def _labels(self) -> tuple[Sequence[Hashable], Sequence[Hashable]]:
        settings, state = self.settings, self.state
        return state.classes if settings.label else (), state.groups if settings.group else ()

    def _dtype(self) -> str:
        found = getattr(self.layer_pass.model, "dtype", torch.float32)
        return str(found).removeprefix("torch.")

    def _result(self) -> Collected:
        state, settings = self.state, self.settings
        if state.n_done == 0:
            raise InvalidInputError(f"`data` passed to `{self.where}` must have rows, got none.")
        if not self.moments:  # stopped after its last batch
            self._allocate([(part["mean"].shape[-1], "cpu") for part in state.moments])
        moments = {
            layer: made.to_cell_moments()
            for layer, made in zip(settings.layers, self.moments, strict=True)
        }
        first = next(iter(moments.values()))
        return Collected(
            moments=moments,
            site=settings.site,
            positions=settings.positions,
            n_rows=state.n_done,
            model_name=self.model_name,
            hidden_size=first.n_features,
            seconds=self._seconds(),
            classes=first.classes,
            groups=first.groups,
            covariance=settings.covariance,
            dtype=self._dtype(),
            max_length=settings.max_length,
            n_truncated=self.batcher.n_truncated,
            fingerprint={"salt": self.digest.salt, "digest": self.digest.digest()},
            class_names=self.examples.label_names,
            group_names=self.examples.group_names,
            settings=state.settings,
            kept=self.store.finish(*self._labels()),
        )


def _fixed(labels: Sequence[Hashable] | None, named: bool) -> tuple[Hashable, ...]:
    return (tuple(labels) if labels is not None else ()) if named else (ALL,)


def _is_out_of_memory(error: BaseException) -> bool:
    # the CPU's allocator has no error of its own
    known = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return known or "allocate memory" in str(error) or "out of memory" in str(error).lower()
