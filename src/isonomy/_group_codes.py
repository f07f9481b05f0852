"""From the groups a caller passes to the codes that a fitted estimator knows."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from isonomy._validation import check_choice
from isonomy.errors import GroupsRequiredError, InvalidInputError, UnknownGroupError
from isonomy.groups import GroupCodes, MissingValues, encode_groups

__all__ = ["UNKNOWN", "MissingGroups", "UnknownGroup", "match_groups", "resolve_groups"]

MissingGroups = Literal["raise", "single", "own_group"]
UnknownGroup = Literal["error", "identity"]

UNKNOWN = -1
"""The code of a row whose group ``fit`` never saw."""


def resolve_groups(
    sensitive_features: Any,
    *,
    n_samples: int,
    missing_groups: MissingGroups,
    where: str,
    min_groups: int = 2,
) -> GroupCodes:
    """Return the groups of a training set under the ``missing_groups`` rule."""
    check_choice("missing_groups", missing_groups, ("raise", "single", "own_group"), where=where)
    if sensitive_features is None:
        if missing_groups == "single":
            return GroupCodes(("all",), np.zeros(n_samples, dtype=np.intp))
        raise GroupsRequiredError(
            f"`sensitive_features` passed to `{where}` must hold one group a row, got None. "
            "Pass it (inside a Pipeline: enable metadata routing or prefix it with the "
            'step\'s name), name `group_columns` of X, or set `missing_groups="single"`.'
        )
    missing: MissingValues = "own_group" if missing_groups == "own_group" else "raise"
    found = encode_groups(sensitive_features, n_samples=n_samples, missing=missing, where=where)
    if len(found.labels) < min_groups and missing_groups != "single":
        raise InvalidInputError(
            f"`sensitive_features` passed to `{where}` must hold at least 2 groups, got only "
            f"{found.labels[0]!r}. With one group there is nothing to equalise; set "
            '`missing_groups="single"` to let the rows pass unchanged.'
        )
    return found


def match_groups(
    sensitive_features: Any,
    known: Sequence[Hashable],
    *,
    n_samples: int,
    missing_groups: MissingGroups,
    unknown_group: UnknownGroup,
    where: str,
) -> NDArray[np.intp]:
    """Return for every row the index of its group in ``known``, or ``UNKNOWN``.

    Raises
    ------
    GroupsRequiredError
        If ``sensitive_features`` is None and several groups are known.
    UnknownGroupError
        If a group is not known and ``unknown_group="error"``.
    """
    if sensitive_features is None:
        if len(known) == 1:
            return np.zeros(n_samples, dtype=np.intp)
        raise GroupsRequiredError(
            f"`sensitive_features` passed to `{where}` must hold one group a row because it was "
            "fitted to use the group of every row, got None. Pass it, name `group_columns` of "
            "X, or fit a group-blind method."
        )
    missing: MissingValues = "own_group" if missing_groups == "own_group" else "raise"
    groups = encode_groups(sensitive_features, n_samples=n_samples, missing=missing, where=where)
    position: dict[Hashable, int] = {g: i for i, g in enumerate(known)}
    if len(known) == 1 and missing_groups == "single":
        position = dict.fromkeys(groups.labels, 0)
    unknown = [g for g in groups.labels if g not in position]
    if unknown and unknown_group == "error":
        raise UnknownGroupError(
            f"`sensitive_features` passed to `{where}` must hold groups seen in `fit` "
            f"({_listed(known, like=unknown)}), got also {_listed(unknown, like=known)}. Refit "
            'with them, or set `unknown_group="identity"` to leave their rows as they are.'
        )
    table = np.array([position.get(g, UNKNOWN) for g in groups.labels], dtype=np.intp)
    matched: NDArray[np.intp] = table[groups.codes]
    return matched


def _listed(groups: Sequence[Hashable], *, like: Sequence[Hashable]) -> str:
    """Return the groups as text; 1 and "1" look alike, so that quotes tell them apart."""
    plain = all(isinstance(g, str) for g in (*groups, *like))
    return ", ".join(str(g) if plain or not isinstance(g, str) else repr(g) for g in groups)
