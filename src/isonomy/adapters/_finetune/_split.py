"""Split rows by class: every class is trained on, and judged on where it has two rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isonomy.adapters._finetune._options import WHERE, FinetuneOptions
from isonomy.adapters._finetune._rows import PARTS, LabelledRows, some_of
from isonomy.errors import InvalidInputError

__all__ = ["Parts", "input_key", "split_rows"]

_FOR_VALIDATION = 5
"""Classes with fewer different rows give none to validation: training needs them more."""


@dataclass(frozen=True)
class Parts:
    """Row numbers to train on, to watch the training by, and to judge on; ``how`` in words."""

    train: NDArray[np.intp]
    validation: NDArray[np.intp]
    test: NDArray[np.intp]
    how: str

    def of(self, name: str) -> NDArray[np.intp]:
        """Return the rows of the part of this name."""
        rows: NDArray[np.intp] = getattr(self, name)
        return rows


def split_rows(rows: LabelledRows, options: FinetuneOptions) -> Parts:
    """Return the parts that the data set states, and what it leaves open by class.

    Rows of one text stay together wherever the split is ours, so that nothing that was
    trained on is judged.

    Parameters
    ----------
    rows : LabelledRows
    options : FinetuneOptions
        ``validation_size``, ``test_size`` and ``random_state``.

    Returns
    -------
    Parts
        Of n different rows of a class, ``round(test_size n)`` are judged, but at least 1
        where n is 2 or more, and at most n - 1.

    Raises
    ------
    InvalidInputError
        If a class has no rows to train on, or nothing is left to judge.
    """
    wide = f"U{max(map(len, PARTS))}"  # NumPy cuts what is put into a narrower column
    given = np.full(len(rows), "", wide) if rows.given is None else rows.given.astype(wide)
    needed = [part for part in PARTS[1:] if not (given == part).any()]
    open_rows = np.flatnonzero((given == "") | (given == "train"))
    how = "as the data set says"
    if needed:
        given[open_rows] = _drawn(rows, open_rows, needed, options)
        what = " and ".join(f"the {name} rows" for name in needed)
        how = f"by class, at random (seed {options.random_state})"
        if len(needed) < 2:
            how = f"as the data set says; {what} by class from the training rows"
    given[given == ""] = "train"
    train, validation, test = (np.flatnonzero(given == part) for part in PARTS)
    parts = Parts(train, validation, test, how)
    _check(rows, parts)
    return parts


def _drawn(
    rows: LabelledRows, among: NDArray[np.intp], needed: list[str], options: FinetuneOptions
) -> NDArray[Any]:
    """Return the part of every row of ``among``."""
    rng = np.random.default_rng(options.random_state)
    first: dict[Any, int] = {}
    keys = np.array([first.setdefault(input_key(rows.inputs[i]), int(i)) for i in among])
    shares = {name: getattr(options, f"{name}_size") for name in needed}
    part_of: dict[int, str] = {}
    leaders = np.array(sorted(first.values()))
    for k in range(len(rows.classes)):
        members = rng.permutation(leaders[rows.labels[leaders] == k])
        n_test, n_validation = _sizes(len(members), shares)
        for place, i in enumerate(members):
            is_test = place < n_test
            is_validation = n_test <= place < n_test + n_validation
            part = "test" if is_test else "validation" if is_validation else "train"
            part_of[int(i)] = part
    return np.array([part_of[int(key)] for key in keys])


def _sizes(n: int, shares: dict[str, float]) -> tuple[int, int]:
    """Return how many of ``n`` different rows are judged, and how many watched."""
    n_test = n_validation = 0
    if "test" in shares and n >= 2:
        n_test = min(max(1, round(shares["test"] * n)), n - 1)
    if shares.get("validation") and n >= _FOR_VALIDATION:
        n_validation = min(max(1, round(shares["validation"] * n)), n - n_test - 1)
    return n_test, n_validation


def input_key(value: Any) -> Any:
    """Return what tells equal inputs: texts by their words, pictures by their place."""
    return " ".join(value.split()).casefold() if isinstance(value, str) else id(value)


def _check(rows: LabelledRows, parts: Parts) -> None:
    lacking = [rows.classes[k] for k in np.flatnonzero(rows.counts(parts.train) == 0)]
    if lacking:
        raise InvalidInputError(
            f"Every class needs at least one row to train on, but in the data passed to `{WHERE}` "
            f"{some_of([repr(name) for name in lacking])} "
            f"{'has' if len(lacking) == 1 else 'have'} none. Add rows, or take the class out of "
            "`classes` (--classes) and its rows out of the data."
        )
    if len(parts.test) == 0:
        raise InvalidInputError(
            f"The data passed to `{WHERE}` leave no row to judge on: every class has one row. "
            "Add rows, or name a split with `test_split` (--test-split)."
        )
