"""``bias_aware_start``: begin LoRA in the directions that tell the rare classes apart."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from isonomy._validation import check_choice, check_count
from isonomy.adapters._start._class_means import ClassMeansHead, class_means_head
from isonomy.adapters._start._draw import Draw, Progress
from isonomy.adapters._start._head_rows import find_head
from isonomy.adapters._start._moments import Tokens
from isonomy.adapters._start._report import HeadStart, ModuleStart, StartReport
from isonomy.adapters._start._run import Init, Run, Settings
from isonomy.adapters._start._session import without_wrappers
from isonomy.adapters._start._solution import Solution, untouched
from isonomy.adapters._start._tail import Tail, tail_classes
from isonomy.adapters._start._targets import find_targets, reading_rows
from isonomy.adapters.losses._counts import ClassCounts, class_names, count_vector
from isonomy.distributions.shrinkage import Shrinkage, check_shrinkage

__all__ = [
    "ClassMeansHead",
    "HeadStart",
    "ModuleStart",
    "StartReport",
    "bias_aware_start",
    "class_means_head",
]

_WHERE = "bias_aware_start"


def bias_aware_start(
    peft_model: Any,
    dataloader: Iterable[Any],
    *,
    class_counts: ClassCounts,
    init: Init = "tail_structure",
    tail: Tail = "count",
    n_per_class: int = 16,
    max_rows: int | None = 768,
    shrinkage: Shrinkage = "oas",
    tokens: Tokens = "all",
    adapter_name: str = "default",
    head: Literal["keep", "class_means"] = "keep",
    head_n_per_class: int | None = None,
    random_state: int = 0,
    progress: Progress | None = None,
) -> StartReport:
    """Write ``lora_A`` so that the adapter reads what tells the rare classes apart.

    ``lora_B`` stays zero, so that in evaluation mode the output is bit-equal to the base
    model's, except where ``head="class_means"`` writes a new head. Base weights, modes,
    ``requires_grad``, the active adapter and torch's generators are as they were afterwards.

    Parameters
    ----------
    peft_model : PeftModel, or a Module that holds one
        With LoRA on linear maps, fresh (``lora_B`` zero). Call it before the model is
        compiled or sharded; in data-parallel training in every process alike, or in one
        before the weights are broadcast.
    dataloader : iterable of batches
        Dicts with "labels" (codes 0 to K-1), or (inputs, labels) pairs. It is read once and
        thinned to ``n_per_class`` rows a class: a large set of pictures is better cut before
        it is decoded. Inputs that the model does not take are left out.
    class_counts : mapping or sequence of K numbers
        Training rows of each class: class name -> rows in the order of the codes, or numbers.
    init : "tail_structure" or "tail_gradient"
        From the class moments of every layer's inputs, or from the gradient of the rare
        classes' cross-entropy with respect to every adapted weight; see Notes.
    tail : "count", "ratio", sequence of str or ClassGroups
        The rare classes: a rule of `class_groups`, names, or a split that it made.
    n_per_class : int
        Rows of each class that are used, at least 1; all of a class that has fewer.
    max_rows : int or None
        Forward passes that a start may cost; ``n_per_class`` is lowered to fit, to no less
        than 2. A row of "tail_gradient" counts as three, and is of a rare class. With 768 a
        start takes less time than 20 training steps of 32 rows (more where there are more
        than 384 classes). None: no limit.
    shrinkage : "oas", a number in [0, 1], or None
        Of the within-class covariances, in units of their standard deviations.
    tokens : "all", "mean" or "last"
        What of a row counts. "all": every real token, each row with the same weight whatever
        its length. "mean": the row's mean token, so that the spread of tokens within a row is
        no noise. "last": the last real token, which a causal classifier reads. A layer that
        gets one vector a row is read as it is. Padding never counts.
    adapter_name : str
    head : "keep" or "class_means"
        "class_means" writes the classification head in ``modules_to_save`` with
        `class_means_head` of what it reads in the same draw. The original beside it stays.
    head_n_per_class : int, optional
        Rows of each class for the head, default ``n_per_class``. More are better, and cost a
        forward pass each.
    random_state : int
        At least 0. Of the draw; torch's generators too run from it meanwhile.
    progress : callable, optional
        Called with (stage, rows done, rows in all or None).

    Returns
    -------
    StartReport
        ``print`` it; ``save_start(folder)`` writes it beside the saved adapter.

    Raises
    ------
    InvalidInputError
        If there is no fresh LoRA on linear maps, the loader is empty or without labels, a
        label is no code, no rare class has a row, activations are not finite (the message
        names the layer), or a head is asked for that is not in ``modules_to_save``.
    SingularCovarianceError
        If ``shrinkage`` is None and a covariance is singular.
    MissingExtraError
        If the base is quantised and bitsandbytes is not installed.

    Warns
    -----
    SameCountsWarning
        If all classes are equally frequent and ``tail`` goes by counts: ``lora_A`` keeps its
        default start, and the report says so.

    Notes
    -----
    "tail_structure": for each layer, over its inputs x in the draw, with S_w the pooled
    within-class covariance (shrunk), mu_k the class means, mu their mean and n_k the training
    rows of class k::

        M = rows (1 / n_k) (mu_k - mu) of the rare classes
        a_j = S_w^{-1/2} v_j,   v_j the leading right-singular vectors of M S_w^{-1/2}
        A = sqrt(1/3) * (a_1, ..., a_r orthonormalised in this order)

    a_j maps v_j back as a functional: ``a_j' x = v_j' (S_w^{-1/2} x)``, a direction to read
    with, in the span of S_w^-1 M' as linear discriminants are. (Mapping back as a point,
    S_w^{1/2} v_j, would give where the means lie, and read the noise there too.) Of all
    r-dimensional subspaces this one has the largest tr[(A S_w A')^-1 (A M' M A')]. With t < r
    such directions the others are the leading principal directions of the inputs orthogonal
    to them, and if those run out too, the default's own rows. sqrt(1/3) is the root mean
    square norm of a row of the default (Kaiming, a = sqrt(5)) start. The idea is that of the
    seed paper; a draw-based start written in place follows EVA (Paischer et al., 2024).

    "tail_gradient": A holds the leading r right-singular vectors of
    G = sum_i w_i dL_i/dW over the rare classes' rows, w_i proportional to 1 / n_k and equal
    within a class, scaled alike (after LoRA-GA, Wang et al., 2024, whose B is not zero).
    It needs ``logits`` (n, K) and benefits from ``head="class_means"``: at a random head the
    loss points nowhere in particular.

    Cost: one forward pass (and a backward one for the gradient) of ``n_per_class`` rows a
    class; one float64 matrix (d_in, d_in) for each distinct layer input, two for
    ``tokens="all"`` (q, k and v share one), or (d_out, d_in) for each gradient.

    Merging an adapter that was trained from this start agrees with the unmerged model, as from
    any other start: on four tiny families the scores differ by at most 3e-7 of the largest
    score in float32 (the tests allow 1e-5), and by 3e-3 to 1.1e-2 in bfloat16, whose merged
    weights are rounded to 8 bits.

    What it does not promise: that the rare classes end better. It is a start, and training
    may leave it. ``head="class_means"`` is for short budgets: with the benchmarks' small Llama
    layout macro-F1 rose by 3.6 points on Banking77 at 10:1 after 250 steps (three seeds), by .9
    in the mean over Banking77 and TREC at 10:1 and 50:1, and after 900 steps not at all (one
    seed). What is measured with `class_means_finish` beside it is in docs/measurements.md.

    Examples
    --------
    >>> import torch, transformers
    >>> from isonomy.adapters import lora_model
    >>> model = transformers.GPT2ForSequenceClassification(
    ...     transformers.GPT2Config(
    ...         vocab_size=16, n_embd=8, n_layer=1, n_head=2, num_labels=3, pad_token_id=0
    ...     )
    ... )
    >>> adapted = lora_model(model, r=2, random_state=0)
    >>> ids = torch.randint(1, 16, (30, 5), generator=torch.Generator().manual_seed(0))
    >>> batches = [{"input_ids": ids, "labels": torch.arange(30) % 3}]
    >>> report = bias_aware_start(
    ...     adapted, batches, class_counts={"robin": 900, "wren": 500, "shrike": 10}
    ... )
    >>> report.tail, report.n_rows, report.modules[0].n_tail, report.modules[0].n_inputs
    (('shrike',), 30, 1, 1)
    """
    started = time.perf_counter()
    check_choice("init", init, ("tail_structure", "tail_gradient"), where=_WHERE)
    check_choice("head", head, ("keep", "class_means"), where=_WHERE)
    check_choice("tokens", tokens, ("all", "mean", "last"), where=_WHERE)
    counts = count_vector(class_counts, where=_WHERE)
    if max_rows is not None:
        check_count("max_rows", max_rows, where=_WHERE)
    settings = Settings(
        init=init,
        counts=counts,
        names=class_names(class_counts, where=_WHERE),
        n_per_class=check_count("n_per_class", n_per_class, where=_WHERE),
        max_rows=max_rows,
        head_n_per_class=head_n_per_class,
        shrinkage=check_shrinkage(shrinkage, where=_WHERE),
        tokens=tokens,
        adapter_name=adapter_name,
        random_state=check_count("random_state", random_state, where=_WHERE, low=0),
    )
    if head_n_per_class is not None:
        check_count("head_n_per_class", head_n_per_class, where=_WHERE)
    model = without_wrappers(peft_model, where=_WHERE)
    rare = tail_classes(class_counts, tail)
    targets, left = find_targets(model, adapter_name, gradient=init == "tail_gradient")
    if init == "tail_structure":
        targets, left = reading_rows(model, targets, left)
    n_classes = len(settings.names)
    found = None if head == "keep" else find_head(model, adapter_name, n_classes, where=_WHERE)
    run = Run(model, targets, found, rare, settings)
    solution, draw, new_head = run.start(dataloader, progress)
    return _report(run, solution, untouched(left), draw, new_head, time.perf_counter() - started)


def _report(
    run: Run,
    solution: Solution,
    left: tuple[ModuleStart, ...],
    draw: Draw | None,
    head: ClassMeansHead | None,
    seconds: float,
) -> StartReport:
    s, fell_back = run.settings, run.rare is None
    rare = np.zeros(len(s.names), dtype=bool) if run.rare is None else run.rare
    used = np.zeros(len(s.names), dtype=np.intp)
    if draw is not None:
        chosen = draw.rank < s.n_used(run.rare)
        if s.init == "tail_gradient":
            chosen &= rare[draw.labels]
        used = np.bincount(draw.labels[chosen], minlength=len(s.names))
    return StartReport(
        init="default" if fell_back else s.init,
        adapter_name=s.adapter_name,
        tail=tuple(name for name, low in zip(s.names, rare, strict=True) if low),
        missing=() if draw is None else _named(s.names, draw.n_read == 0),
        n_rows=int(used.sum()),
        n_read=0 if draw is None else int(draw.n_read.sum()),
        rows_per_class=tuple(int(n) for n in used),
        modules=solution.modules + left,
        head=None if run.head is None or head is None else HeadStart.of(run.head.name, head),
        fell_back=fell_back,
        reason="all classes have as many training rows, none is rare" if fell_back else None,
        settings={
            "asked": s.init,
            "n_per_class": s.n_per_class,
            "max_rows": s.max_rows,
            "head_n_per_class": None if run.head is None else s.n_head(),
            "shrinkage": s.shrinkage,
            "tokens": s.tokens,
            "random_state": s.random_state,
            "class_counts": dict(zip(s.names, s.counts.tolist(), strict=True)),
        },
        seconds=seconds,
    )


def _named(names: tuple[str, ...], chosen: NDArray[np.bool_]) -> tuple[str, ...]:
    return tuple(name for name, wanted in zip(names, chosen, strict=True) if wanted)
