"""Names for methods, metrics, data sets, report formats and commands.

Everything is found through entry points, ours too: a package of yours takes part by
declaring, in its ``pyproject.toml``::

    [project.entry-points."isonomy.metrics"]
    my_gap = "mypackage.gaps:my_gap"

What each kind must be:

=================== ======================================================================
``methods``         a scikit-learn estimator class that takes ``sensitive_features``
``metrics``         ``metric(y_true, y_pred, *, sensitive_features, ...) -> float``
``datasets``        ``make(n_samples, *, random_state, ...)``, or ``load(..., folder=None)``
                    for data that lie on disk; either returns a Bunch or a tuple
``report_formats``  ``render(result) -> str``, ``result`` a dict from ``to_dict()``; the one
                    named ``figure`` draws instead: ``draw(result, kind)``
``commands``        a function that the command line offers under that name
=================== ======================================================================

The environment variable ``ISONOMY_PLUGINS`` limits whose plugins load: a comma-separated
list of distribution names, empty for none but ours. Nothing is imported before it is
asked for by name.
"""

from __future__ import annotations

import difflib
import os
import re
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal, get_args

from isonomy._validation import check_choice
from isonomy.errors import IsonomyError, MissingExtraError, PluginError

__all__ = ["ALLOW_VARIABLE", "Kind", "get", "names", "register"]

Kind = Literal["methods", "metrics", "datasets", "report_formats", "commands"]

ALLOW_VARIABLE = "ISONOMY_PLUGINS"
"""The environment variable that limits which distributions' plugins load."""

_OURS = "isonomy"
_EXTRA_OF = {"report_formats": "report", "commands": "cli"}

# a plugin's module is somebody else's code and may fail on import in any of these ways
_LOADING_FAILURES = (
    ImportError,
    AttributeError,
    SyntaxError,
    NameError,
    TypeError,
    ValueError,
    LookupError,
    RuntimeError,
    OSError,
)

_registered: dict[tuple[str, str], Any] = {}


def get(kind: Kind, name: str) -> Any:
    """Return the object registered under a name.

    Parameters
    ----------
    kind : {"methods", "metrics", "datasets", "report_formats", "commands"}
        What is wanted.
    name : str
        Its name, as `names` lists it.

    Returns
    -------
    object
        The class or function.

    Raises
    ------
    PluginError
        If the name is not known (the message lists those that are), is claimed by two
        distributions, or its module cannot be imported.
    MissingExtraError
        If it is ours and needs an extra that is not installed.

    Examples
    --------
    >>> get("metrics", "tpr_gaps")
    Traceback (most recent call last):
        ...
    isonomy.errors.PluginError: `name` passed to `plugins.get` must be one of the metrics ...
    """
    _check_kind(kind, where="plugins.get")
    if (kind, name) in _registered:
        return _registered[kind, name]
    found = [point for point in _points(kind) if point.name == name]
    if not found:
        raise PluginError(_unknown_name(kind, name))
    if len(found) > 1:
        owners = ", ".join(sorted(f"{_owner(point)} ({point.value})" for point in found))
        raise PluginError(
            f"`name` passed to `plugins.get` must belong to one plugin, but {name!r} of kind "
            f"{kind!r} is claimed by {owners}. Uninstall one, or name the distributions to "
            f"load in {ALLOW_VARIABLE}."
        )
    return _load(kind, found[0])


def names(kind: Kind) -> tuple[str, ...]:
    """Return the known names of one kind, sorted, without importing any plugin.

    Parameters
    ----------
    kind : {"methods", "metrics", "datasets", "report_formats", "commands"}
        What is wanted.

    Returns
    -------
    tuple of str
        Ours, other distributions' (as far as ``ISONOMY_PLUGINS`` allows) and registered
        ones.

    Raises
    ------
    InvalidInputError
        If there is no such kind.

    Examples
    --------
    >>> isinstance(names("methods"), tuple)
    True
    """
    _check_kind(kind, where="plugins.names")
    ours = {name for k, name in _registered if k == kind}
    return tuple(sorted(ours | {point.name for point in _points(kind)}))


def register(kind: Kind, name: str, obj: Any) -> None:
    """Give an object a name for the rest of this session.

    Parameters
    ----------
    kind : {"methods", "metrics", "datasets", "report_formats", "commands"}
        What it is.
    name : str
        Its name; letters, digits, ``_`` and ``-``.
    obj : object
        The class or function. The same object may be registered again.

    Raises
    ------
    PluginError
        If the name is taken by another object or by a plugin, or has other characters.

    Examples
    --------
    >>> register("metrics", "always_zero", lambda y, p, *, sensitive_features: 0.0)
    >>> get("metrics", "always_zero")([1], [1], sensitive_features=["a"])
    0.0
    """
    _check_kind(kind, where="plugins.register")
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise PluginError(
            "`name` passed to `plugins.register` must be letters, digits, '_' and '-', got "
            f"{name!r}."
        )
    if _registered.get((kind, name)) is obj and obj is not None:
        return
    if name in names(kind):
        raise PluginError(
            f"`name` passed to `plugins.register` must be free, but the {_words(kind)} already "
            f"have {name!r}. Choose another name."
        )
    _registered[kind, name] = obj


def _check_kind(kind: str, *, where: str) -> None:
    check_choice("kind", kind, get_args(Kind), where=where)


def _points(kind: str) -> list[EntryPoint]:
    allowed = _allowed()
    return [
        point
        for point in entry_points(group=f"isonomy.{kind}")
        if allowed is None or _owner(point) in allowed
    ]


def _allowed() -> set[str] | None:
    listed = os.environ.get(ALLOW_VARIABLE)
    if listed is None:
        return None
    return {_OURS, *(_normal(name) for name in listed.split(",") if name.strip())}


def _owner(point: EntryPoint) -> str:
    return _normal(point.dist.name) if point.dist is not None else "(unknown)"


def _normal(name: str) -> str:
    # distribution names are equal up to case and runs of these characters (PEP 503)
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def _load(kind: str, point: EntryPoint) -> Any:
    try:
        return point.load()
    except IsonomyError:
        raise
    except _LOADING_FAILURES as error:
        if _is_missing_extra(kind, point, error):
            extra = _EXTRA_OF[kind]
            raise MissingExtraError(
                f"{point.name!r} of the {_words(kind)} needs the extra {extra!r}. Install it "
                f"with: pip install 'isonomy[{extra}]'"
            ) from error
        raise PluginError(
            f"The plugin {point.name!r} of the {_words(kind)}, from the distribution "
            f"{_owner(point)!r} ({point.value}), cannot be loaded: {type(error).__name__}: "
            f"{error}. Update or uninstall that distribution, or leave it out of "
            f"{ALLOW_VARIABLE}."
        ) from error


def _is_missing_extra(kind: str, point: EntryPoint, error: BaseException) -> bool:
    if not isinstance(error, ModuleNotFoundError) or kind not in _EXTRA_OF:
        return False
    return _owner(point) == _OURS and not (error.name or "").startswith(_OURS)


def _unknown_name(kind: Kind, name: str) -> str:
    known = names(kind)
    close = difflib.get_close_matches(name, known, n=3)
    hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
    listed = ", ".join(known) if known else "(none)"
    return (
        f"`name` passed to `plugins.get` must be one of the {_words(kind)} that are known: "
        f"{listed}; got {name!r}.{hint}"
    )


def _words(kind: str) -> str:
    return kind.replace("_", " ")
