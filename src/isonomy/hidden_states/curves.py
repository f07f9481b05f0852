"""``layer_curves``: what each layer tells of the group and of the label, and which to steer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.parallel import Parallel, delayed

from isonomy._cross_fit import cell_splits
from isonomy._validation import check_choice, check_count, check_real
from isonomy.errors import InvalidInputError
from isonomy.groups import find_cells
from isonomy.hidden_states._curve._points import (
    LayerPoint,
    LayerTask,
    Measured,
    measure_layer,
)
from isonomy.hidden_states._curve._result import LayerCurves
from isonomy.hidden_states._method._inputs import state_rows
from isonomy.hidden_states.methods import METHODS

__all__ = ["LayerCurves", "LayerPoint", "Measured", "layer_curves"]

_WHERE = "layer_curves"


def layer_curves(
    rows: Any,
    *,
    layers: Sequence[int | None] | None = None,
    method: str = "none",
    settings: Mapping[str, Any] | None = None,
    n_folds: int = 5,
    C: float = 1.0,
    max_iter: int = 200,
    n_boot: int = 2000,
    n_jobs: int | None = None,
    random_state: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> LayerCurves:
    """Measure probe accuracy, utility and TPR gap of every layer on held-out rows.

    Parameters
    ----------
    rows : Collected or mapping
        What ``collect(..., rows="memory")`` (or with stored rows) returned, or layer ->
        (X, y, groups), the same examples in the same order in every layer. One layer at a
        time is in memory.
    layers : sequence, optional
        Default: all.
    method : str
        One of ``METHODS`` that is a map of the state: fitted on the training rows of every
        layer, so that the curves are those of the steered layer. Default: untouched.
    settings : mapping, optional
        Of the method.
    n_folds : int
        At least 3: rows are dealt to so many parts, cell by (label, group) cell; one part
        chooses, one reports, the others train.
    C, max_iter : float, int
        Of the logistic regressions: inverse penalty, and the steps after which they stop
        (a point says whether they had converged).
    n_boot : int
        Replicates for the intervals of gap and macro-F1.
    n_jobs : int, optional
        Layers at a time.
    random_state : int
    progress : callable, optional
        Called with (layers done, layers in all).

    Returns
    -------
    LayerCurves

    Raises
    ------
    InvalidInputError
        If a layer does not exist, rows lack labels or groups or differ between layers, or
        the method is no map of the state.

    Notes
    -----
    Per layer three logistic regressions on standardised states: of the label (the head, with
    the method's weights), of the group, and of the group given the class. Probes are linear:
    what they do not find may still be there for another. All layers share one split, so that
    layers are compared on the same rows.

    What it does not promise: the layer that is best for a linear head on its own states need
    not be best for steering inside the model, where later layers read on; and choosing among
    many layers by a noisy gap finds lucky ones: report the test rows.

    Examples
    --------
    >>> from isonomy.datasets import make_biased_normals
    >>> X, y, group, _ = make_biased_normals(1500, random_state=0)
    >>> noisy = X + 3 * np.random.default_rng(0).normal(size=X.shape)
    >>> curves = layer_curves({0: (noisy, y, group), 1: (X, y, group)}, n_boot=200)
    >>> curves.layers, curves.best("utility")
    ((0, 1), 1)
    """
    check_choice("method", method, METHODS, where=_WHERE)
    if method.startswith("linear_post"):
        raise InvalidInputError(
            f"`method` of `{_WHERE}` must be a map of the state, and {method!r} decides on scores."
        )
    check_count("n_folds", n_folds, where=_WHERE, low=3)
    check_count("n_boot", n_boot, where=_WHERE, low=10)
    chosen = _layers(rows, layers)
    read = rows.rows if callable(getattr(rows, "rows", None)) else rows.__getitem__
    y, groups = _labels(read(chosen[0]), chosen[0])
    cells = find_cells(y, groups, min_classes=2, where=_WHERE)
    if len(cells.groups) < 2:
        raise InvalidInputError(
            f"`rows` passed to `{_WHERE}` must hold at least 2 groups, got only "
            f"{cells.groups[0]!r}."
        )
    splits = cell_splits(n_folds, cells.codes, random_state=random_state, where=_WHERE)
    folds = [np.sort(test) for _, test in splits]
    task = LayerTask(
        np.sort(np.concatenate(folds[2:])),
        {"validation": folds[0], "test": folds[1]},
        method,
        dict(settings or {}),
        check_real("C", C, where=_WHERE, low=0),
        check_count("max_iter", max_iter, where=_WHERE),
        n_boot,
        random_state,
    )
    parallel = Parallel(n_jobs=n_jobs, return_as="generator")
    points: list[LayerPoint] = []
    jobs = (delayed(_one)(read, layer, y, groups, task) for layer in chosen)
    for done, found in enumerate(parallel(jobs), start=1):
        points.extend(found)
        if progress is not None:
            progress(done, len(chosen))
    sizes = {"train": len(task.train)} | {str(k): len(v) for k, v in task.parts.items()}
    return LayerCurves(
        tuple(points), sizes, tuple(cells.classes.tolist()), cells.groups, method, random_state
    )


def _one(
    read: Callable[[Any], Any],
    layer: int | None,
    y: NDArray[Any],
    groups: NDArray[Any],
    task: LayerTask,
) -> tuple[LayerPoint, ...]:
    found = read(layer)
    own_y, own_groups = _labels(found, layer)
    X = state_rows(found[0], where=_WHERE)
    same = len(X) == len(y) and np.array_equal(own_y, y) and np.array_equal(own_groups, groups)
    if not same:
        raise InvalidInputError(
            f"`rows` passed to `{_WHERE}` must hold the same examples in the same order in every "
            f"layer, and layer {layer} ({len(X)} rows) differs from the first ({len(y)} rows)."
        )
    return measure_layer(layer, X, y, groups, task)


def _layers(rows: Any, layers: Sequence[int | None] | None) -> list[int | None]:
    if not isinstance(rows, Mapping) or not len(rows):
        raise InvalidInputError(
            f"`rows` passed to `{_WHERE}` must be what `collect` returned with rows kept, or a "
            f"mapping of layer to (X, y, groups), got {type(rows).__name__}."
        )
    have = list(rows)
    missing = [layer for layer in layers or () if layer not in have]
    if missing:
        raise InvalidInputError(
            f"`layers` of `{_WHERE}` must be among the layers collected ({have}), got {missing}."
        )
    return have if layers is None else list(layers)


def _labels(found: Any, layer: int | None) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return labels and groups of a layer's rows."""
    if not isinstance(found, tuple | list) or len(found) != 3 or found[1] is None:
        raise InvalidInputError(
            f"`rows` passed to `{_WHERE}` must hold (X, y, groups) for layer {layer}, with labels: "
            "collect with `label=` and `rows=`."
        )
    if found[2] is None:
        raise InvalidInputError(
            f"`rows` passed to `{_WHERE}` must hold groups for layer {layer}, got None. Collect "
            "with `group=`."
        )
    return np.asarray(found[1]), np.asarray(found[2])
