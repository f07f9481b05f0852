"""``class_means_finish``: join the trained head with class means of the trained states."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from isonomy._validation import check_count, check_real
from isonomy.adapters._start._class_means import ClassMeansHead, class_means_head
from isonomy.adapters._start._draw import Draw, Progress, draw_rows, rows_per_class
from isonomy.adapters._start._head_rows import Head, HeadRecorder, find_head
from isonomy.adapters._start._passes import Passes
from isonomy.adapters._start._report import HeadStart, few
from isonomy.adapters._start._session import accepted_by, main_input, measuring, without_wrappers
from isonomy.adapters._start._side_file import plain_report, write_side_file
from isonomy.adapters.losses._counts import ClassCounts, class_names, count_vector
from isonomy.distributions.shrinkage import Shrinkage, check_shrinkage
from isonomy.errors import InvalidInputError

__all__ = ["FINISH_FILE", "FinishReport", "class_means_finish"]

FINISH_FILE = "isonomy_finish.json"

_WHERE = "class_means_finish"


@dataclass(frozen=True)
class FinishReport:
    """What `class_means_finish` read, and what it wrote.

    Attributes
    ----------
    adapter_name : str
    weight : float
        Of the class means' scores, where the trained head's have 1.
    head : HeadStart
        The class means' own scores, before they were joined.
    missing : tuple of str
        Classes without a row in the draw.
    n_read : int
        Rows that the loader yielded.
    rows_per_class : tuple of int
        Of the draw, in the order of the codes.
    settings : dict
        Every setting of the call that bears on the result.
    seconds : float
        Wall time.
    """

    adapter_name: str
    weight: float
    head: HeadStart
    missing: tuple[str, ...]
    n_read: int
    rows_per_class: tuple[int, ...]
    settings: dict[str, Any]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain values, ready for JSON."""
        return plain_report("finish", self)

    def save_finish(self, path: str | os.PathLike[str]) -> Path:
        """Write the report beside an adapter, as ``isonomy_finish.json``; return its path.

        Parameters
        ----------
        path : str or path-like
            The adapter's folder.

        Raises
        ------
        OutputError
            If the file cannot be written.
        """
        return write_side_file(path, FINISH_FILE, self.to_dict())

    def __str__(self) -> str:
        lines = [
            f"Head of adapter {self.adapter_name!r} joined with class means at weight "
            f"{self.weight:g} to 1 ({self.n_read} rows read, {self.seconds:.1f} s).",
            str(self.head),
        ]
        if self.missing:
            lines.append(f"No row in the draw: {few(self.missing)}.")
        return "\n".join(lines)


def class_means_finish(
    peft_model: Any,
    dataloader: Iterable[Any],
    *,
    class_counts: ClassCounts,
    weight: float = 2.0,
    n_per_class: int = 32,
    max_rows: int | None = None,
    shrinkage: Shrinkage = "oas",
    adapter_name: str = "default",
    random_state: int = 0,
    progress: Progress | None = None,
) -> FinishReport:
    """Join a trained classification head with class means of the states it reads.

    Call it once, after training, with the training rows. The adapter stays as it is; of the
    model only the trained head changes.

    Parameters
    ----------
    peft_model : PeftModel, or a Module that holds one
        With LoRA and a classification head in ``modules_to_save``, trained. In data-parallel
        training in the process that saves the model, or in every process with the same rows:
        the loader itself, not a process's share of it, as the heads would differ.
    dataloader : iterable of batches
        Training rows, as for `bias_aware_start`. It is read once and thinned to
        ``n_per_class`` rows a class.
    class_counts : mapping or sequence of K numbers
        Training rows of each class: class name -> rows in the order of the codes, or numbers.
    weight : float
        Of the class means' scores, where the trained head's have 1; 0 to 1e6, and 0 leaves the
        head as it is.
    n_per_class : int
        Rows of each class that are used, at least 1; all of a class that has fewer.
    max_rows : int or None
        Forward passes that it may cost; ``n_per_class`` is lowered to fit, to no less than 2.
    shrinkage : "oas", a number in [0, 1], or None
        Of the within-class covariance, in units of its standard deviations.
    adapter_name : str
    random_state : int
        At least 0. Of the draw.
    progress : callable, optional
        Called with (stage, rows done, rows in all or None).

    Returns
    -------
    FinishReport
        ``print`` it; ``save_finish(folder)`` writes it beside the saved adapter.

    Raises
    ------
    InvalidInputError
        If there is no such adapter, no classification head in ``modules_to_save`` or it is
        merged; if the loader is empty or without labels, a label is no code, fewer than two
        classes have rows, the states are not finite, or the head's dtype cannot hold the
        joined weights. The head is then as it was.
    SingularCovarianceError
        If ``shrinkage`` is None and the covariance is singular.

    Notes
    -----
    With z(x) = W h + b the trained head's scores of a state h, and l(x) = V h + c those of
    `isonomy.adapters.starting.class_means_head` on the drawn states (every class alike
    probable, few rows trusted less, its scale chosen on rows that it left out; a class without
    rows has the average class's scores; a head without bias holds c as far as it can)::

        W <- (W + weight V) / (1 + weight)        b <- (b + weight c) / (1 + weight)

    so that the new scores are the weighted mean of the two: the logarithmic opinion pool of
    two classifiers (Genest & Zidek, 1986). A head trained on few rows of a class places it by
    the rows that pushed it last; a class mean uses all of them alike, and one covariance
    shares what the frequent classes know of the noise. Classifiers that are estimated anew on
    trained states are the second of the two stages of Kang et al. (Decoupling representation
    and classifier, 2020); here the trained one keeps a share.

    Rows that were trained on tell less about the states of new rows the longer they were
    trained on: after many passes over the data the class means look surer than they are.
    Judge the finished model on rows kept apart, as any other.

    Examples
    --------
    >>> import torch, transformers
    >>> from isonomy.adapters import lora_model
    >>> model = transformers.GPT2ForSequenceClassification(
    ...     transformers.GPT2Config(
    ...         vocab_size=16, n_embd=8, n_layer=1, n_head=2, num_labels=3, pad_token_id=0
    ...     )
    ... )
    >>> adapted = lora_model(model, r=2, random_state=0)  # and train it
    >>> ids = torch.randint(1, 16, (30, 5), generator=torch.Generator().manual_seed(0))
    >>> batches = [{"input_ids": ids, "labels": torch.arange(30) % 3}]
    >>> report = class_means_finish(
    ...     adapted, batches, class_counts={"robin": 900, "wren": 500, "shrike": 10}
    ... )
    >>> report.head.n_rows, report.rows_per_class
    (30, (10, 10, 10))
    """
    started = time.perf_counter()
    counts = count_vector(class_counts, where=_WHERE)
    names = class_names(class_counts, where=_WHERE)
    weight = check_real("weight", weight, where=_WHERE, low=0.0, high=1e6)
    check_count("n_per_class", n_per_class, where=_WHERE)
    if max_rows is not None:
        check_count("max_rows", max_rows, where=_WHERE)
    shrinkage = check_shrinkage(shrinkage, where=_WHERE)
    check_count("random_state", random_state, where=_WHERE, low=0)
    model = without_wrappers(peft_model, where=_WHERE)
    head = find_head(model, adapter_name, len(names), where=_WHERE)
    _check_unmerged(model)
    n_used = rows_per_class(counts, n_per_class, max_rows)
    with measuring(model, adapter_name, random_state, where=_WHERE, adapted=True):
        draw = draw_rows(
            dataloader,
            len(names),
            n_used,
            main_input=main_input(model),
            accepted=accepted_by(model),
            random_state=random_state,
            progress=progress,
            where=_WHERE,
        )
        found = _class_means(model, head, draw, len(names), n_used, shrinkage, progress)
    _join(head, found, weight)
    return FinishReport(
        adapter_name=adapter_name,
        weight=weight,
        head=HeadStart.of(head.name, found),
        missing=tuple(n for n, rows in zip(names, draw.n_read, strict=True) if rows == 0),
        n_read=int(draw.n_read.sum()),
        rows_per_class=tuple(int(n) for n in found.n_rows),
        settings={
            "n_per_class": n_per_class,
            "max_rows": max_rows,
            "shrinkage": shrinkage,
            "random_state": random_state,
            "class_counts": dict(zip(names, counts.tolist(), strict=True)),
        },
        seconds=time.perf_counter() - started,
    )


def _class_means(
    model: nn.Module,
    head: Head,
    draw: Draw,
    n_classes: int,
    n_per_class: int,
    shrinkage: Shrinkage,
    progress: Progress | None,
) -> ClassMeansHead:
    recorder = HeadRecorder(head, _WHERE)
    passes = Passes(model, draw, progress, _WHERE)
    states, labels = passes.measure((), None, recorder, 0, n_per_class)
    n_seen = len(np.unique(labels))
    if n_seen < 2:
        raise InvalidInputError(
            f"`dataloader` passed to `{_WHERE}` must yield rows of at least two classes, got "
            f"{n_seen}. Pass the training rows."
        )
    bias = head.linear.bias is not None
    return class_means_head(states, labels, n_classes, bias=bias, shrinkage=shrinkage)


def _join(head: Head, found: ClassMeansHead, weight: float) -> None:
    """Write the weighted mean of the trained head and ``found``, rounded once; all or nothing."""
    pairs = [(head.linear.weight, found.weight)]
    if head.linear.bias is not None:
        pairs.append((head.linear.bias, found.bias))
    with torch.no_grad():
        # on the host: not every accelerator knows float64
        joined = [
            ((old.cpu().double() + weight * torch.from_numpy(new)) / (1.0 + weight)).to(old.dtype)
            for old, new in pairs
        ]
        if not all(bool(values.isfinite().all()) for values in joined):
            raise InvalidInputError(
                f"The head {head.name!r} of the model passed to `{_WHERE}` must hold the joined "
                f"weights as finite numbers, got some beyond the range of "
                f"{head.linear.weight.dtype}. Keep the head in float32 or bfloat16."
            )
        for (old, _), values in zip(pairs, joined, strict=True):
            old.copy_(values)


def _check_unmerged(model: nn.Module) -> None:
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, part in model.named_modules():
        if isinstance(part, BaseTunerLayer) and part.merged:
            raise InvalidInputError(
                f"`peft_model` passed to `{_WHERE}` must not be merged, but {name!r} is. Call "
                "`unmerge_adapter()` first."
            )
