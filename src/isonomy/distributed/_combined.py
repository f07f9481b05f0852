"""One result out of the moments that several processes have collected."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

from isonomy.distributions import CellMoments
from isonomy.errors import InvalidInputError
from isonomy.hidden_states.collection import Collected

__all__ = ["combined", "described", "named"]

_SAME = ("site", "positions", "model_name", "hidden_size", "covariance", "dtype", "max_length")
# True equals 1 and would share its cell
_KINDS = {str: "text", bool: "booleans", int: "numbers", float: "numbers"}


def named(model: Any, loading: Mapping[str, Any], *, where: str) -> str | None:
    """Return the name of a model that is yet to be loaded, None for a module.

    Raises
    ------
    InvalidInputError
        If options of loading are given for a module.
    """
    if isinstance(model, str | Path):
        return str(model)
    given = [name for name, value in loading.items() if value is not None]
    if given:
        raise InvalidInputError(
            f"`{given[0]}` of `{where}` is for models loaded by name, and `model` is one already. "
            "Convert the model yourself, or pass its name."
        )
    return None


def described(collected: Collected) -> dict[str, Any]:
    """Return what is the same for every part of the rows, ready for JSON."""
    return {name: getattr(collected, name) for name in _SAME}


def combined(
    moments: Mapping[int | None, CellMoments],
    about: Mapping[str, Any],
    *,
    n_truncated: int,
    seconds: float,
    where: str,
    class_names: tuple[str, ...] | None = None,
    group_names: tuple[str, ...] | None = None,
) -> Collected:
    """Return the result over all parts.

    Raises
    ------
    InvalidInputError
        If there are no rows, or labels of two kinds met only here.
    """
    if not moments:
        raise InvalidInputError(f"`data` passed to `{where}` must hold at least one row, got none.")
    first = next(iter(moments.values()))
    for role, labels in (("label", first.classes), ("group", first.groups)):
        _check_one_kind(role, labels, where)
    return Collected(
        moments=dict(moments),
        n_rows=int(first.n_rows.sum()),
        classes=first.classes,
        groups=first.groups,
        seconds=seconds,
        n_truncated=n_truncated,
        class_names=class_names,
        group_names=group_names,
        **{name: about[name] for name in _SAME},
    )


def _check_one_kind(role: str, labels: Sequence[Hashable], where: str) -> None:
    # one process sees that a column changes its kind; each of several may see one kind alone
    kinds = sorted({_KINDS.get(type(label), "other values") for label in labels})
    if len(kinds) > 1:
        raise InvalidInputError(
            f"`{role}` of `{where}` must name a column of one kind of values, got "
            f"{' and '.join(kinds)} in different parts of the data: "
            f"{', '.join(map(repr, labels))}. Convert them all with `str`."
        )
