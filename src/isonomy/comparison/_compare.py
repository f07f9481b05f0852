"""``compare_methods``: several methods on one split, judged on the same rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from isonomy._version import __version__
from isonomy.comparison._data import Split, describe_data
from isonomy.comparison._inferred import beside_true_groups
from isonomy.comparison._judging import GAPS, UTILITIES, Judge
from isonomy.comparison.methods import DEFAULT_METHODS, Method, find_method
from isonomy.errors import InvalidInputError, IsonomyError

__all__ = ["Progress", "compare_methods"]

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many steps are done, and how many there are."""

_WHERE = "compare_methods"


def compare_methods(
    X_train: Any,
    y_train: Any,
    groups_train: Any,
    X_test: Any,
    y_test: Any,
    groups_test: Any,
    *,
    estimator: Any,
    methods: Sequence[str | Method] | None = None,
    main_method: str | None = None,
    n_boot: int = 10_000,
    min_cell: int = 10,
    reference_group: Any = None,
    random_state: int = 0,
    progress: Progress | None = None,
    title: str = "Before and after steering",
    question: str = "",
    data: Mapping[str, Any] | None = None,
    created_by: Mapping[str, Any] | None = None,
    reproduce: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Fit every method on the training rows and audit it on the same test rows.

    Parameters
    ----------
    X_train, X_test : (n_samples, n_features) array or data frame
    y_train, y_test : (n_samples,)
        Class labels.
    groups_train, groups_test : (n_samples,) or (n_samples, n_attributes)
        Groups. At prediction only methods whose ``group_use`` is "given" receive them.
    estimator : classifier
        Cloned by every method.
    methods : sequence of str or Method, optional
        In the order of the report; default :data:`DEFAULT_METHODS`.
    main_method : str, optional
        The "after" of the report; default the last of isonomy's own that could be fitted.
        It is chosen by order and never by its result on the test rows.
    n_boot, min_cell, reference_group : int, int, group
        Passed to :func:`isonomy.audit`.
    random_state : int
        For methods and audits.
    progress : callable, optional
        ``progress(text, n_done, n_total)``.
    title, question : str
        Shown at the head of the report.
    data, created_by, reproduce : mapping, optional
        Entries for the parts of the result of that name (such as ``{"name": ...}``); they
        go over what is found out here.

    Returns
    -------
    dict
        JSON-able, kind "comparison", schema 1: what :func:`isonomy.report.render` shows.
        Counts of cells under ``min_cell`` rows are None.

    Raises
    ------
    InvalidInputError
        If arguments do not fit together, two methods share a name, ``main_method`` is not
        among them, or no method could be fitted.
    PluginError
        If a method's name is unknown.

    Notes
    -----
    A method that raises an ``IsonomyError`` or a ``ValueError`` is listed in
    ``not_computed`` with its message, and the others go on. What this does not promise: one
    split tells nothing about the spread over splits, and choosing among methods by these
    test rows would need further rows to judge the choice.
    """
    chosen = _choose(DEFAULT_METHODS if methods is None else methods, main_method)
    split = Split(X_train, y_train, groups_train, X_test, y_test, groups_test)
    described = describe_data(split, min_cell=min_cell, where=_WHERE)
    judge = Judge(n_boot, min_cell, reference_group, random_state)
    done: list[dict[str, Any]] = []
    failed: list[dict[str, str]] = []
    for i, method in enumerate(chosen):
        if progress is not None:
            progress(method.label, i, len(chosen))
        try:
            done.append(_run(method, estimator, split, judge))
        except (IsonomyError, ValueError) as error:
            failed.append({"what": method.label, "why": _reason(error)})
    if progress is not None:
        progress("done", len(chosen), len(chosen))
    if not done:
        reasons = "; ".join(f"{f['what']}: {f['why']}" for f in failed)
        raise InvalidInputError(f"No method of `{_WHERE}` could be fitted. {reasons}")
    return {
        "schema": 1,
        "kind": "comparison",
        "isonomy_version": __version__,
        "title": title,
        "question": question,
        "created_by": {"command": "", "random_state": random_state} | dict(created_by or {}),
        "data": described | dict(data or {}),
        "methods": done,
        "main_method": _main(done, main_method),
        "not_computed": failed,
        "reproduce": {"command": "", "python": []} | dict(reproduce or {}),
    }


def _choose(methods: Sequence[str | Method], main_method: str | None) -> list[Method]:
    if isinstance(methods, str):
        methods = [methods]
    chosen = [find_method(m, where=_WHERE) for m in methods]
    names = [m.name for m in chosen]
    doubled = sorted({n for n in names if names.count(n) > 1})
    if doubled or not names:
        got = f"{', '.join(doubled)} more than once" if doubled else "none"
        raise InvalidInputError(
            f"`methods` passed to `{_WHERE}` must hold one method or more, each once, got {got}."
        )
    if main_method is not None and main_method not in names:
        raise InvalidInputError(
            f"`main_method` passed to `{_WHERE}` must be one of the methods "
            f"({', '.join(names)}), got {main_method!r}."
        )
    return chosen


def _run(method: Method, estimator: Any, split: Split, judge: Judge) -> dict[str, Any]:
    start = time.perf_counter()
    model = method.factory(estimator, judge.random_state)
    model.fit(split.X_train, split.y_train, sensitive_features=split.groups_train)
    if method.group_use == "given":
        predicted = model.predict(split.X_test, sensitive_features=split.groups_test)
    else:  # the proof that no group is used: none is there to be used
        predicted = model.predict(split.X_test)
    seconds = time.perf_counter() - start
    found = judge.audit(split.y_test, predicted, split.groups_test, where=_WHERE)
    beside = None if method.group_use != "inferred" else beside_true_groups(model, split, judge)
    return {
        "name": method.name,
        "label": method.label,
        "family": method.family,
        "group_use": method.group_use,
        "description": method.description,
        "utility": {k: found["overall"][k] for k in UTILITIES if k in found["overall"]},
        "gap": {d["metric"]: d for d in found["disparities"] if d["metric"] in GAPS},
        "seconds": round(seconds, 3),
        "audit": found,
        "certificate": _certificate(model),
        "notes": [] if beside is None else beside["sentences"],
    } | ({} if beside is None else {"inferred": beside})


def _certificate(model: Any) -> dict[str, Any] | None:
    """Return the certificate of a fitted model or of its steerer, if there is one."""
    for holder in (model, getattr(model, "steerer_", None)):
        certificate = getattr(holder, "certificate_", None)
        if certificate is not None:
            sentences = [s for s in str(certificate).splitlines() if s.strip()]
            return {"sentences": sentences} | dict(certificate.to_dict())
    return None


def _main(done: Sequence[Mapping[str, Any]], main_method: str | None) -> str:
    if main_method is not None and any(m["name"] == main_method for m in done):
        return main_method
    ours = [m for m in done if m["family"] == "isonomy"]
    return str((ours or done)[-1]["name"])


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
