"""scikit-learn estimators as bytes, through skops and an explicit list of trusted types.

Never pickle: loading a pickle runs whatever its author wrote.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from isonomy._atomic import PathLike
from isonomy.errors import ArtefactError, CorruptArtefactError, IsonomyWarning, MissingExtraError

__all__ = ["dump_estimators", "load_estimators"]


def dump_estimators(
    estimators: Mapping[str, Any], *, where: str
) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """Return estimators as bytes, and the names of those that could not be dumped.

    Parameters
    ----------
    estimators : mapping
        Estimators by name.
    where : str
        Which function they were passed to, for the warning.

    Returns
    -------
    dumped : dict of bytes
        What skops wrote, by name.
    left_out : tuple of str
        Names that are not in ``dumped``.

    Warns
    -----
    IsonomyWarning
        If any is left out, naming it and why.
    """
    if not estimators:
        return {}, ()
    try:
        import skops.io
    except ModuleNotFoundError:
        names = tuple(sorted(estimators))
        _warn_left_out(
            names, "skops is not installed: pip install 'isonomy[estimators]'", where=where
        )
        return {}, names
    dumped, left_out = {}, []
    for name in sorted(estimators):
        try:
            dumped[name] = skops.io.dumps(estimators[name])
        except (TypeError, ValueError, AttributeError) as error:
            # skops raises one of these for what it cannot write: generators, lambdas, ...
            left_out.append(name)
            _warn_left_out((name,), f"skops cannot save it: {error}", where=where)
    return dumped, tuple(left_out)


def load_estimators(
    dumped: Mapping[str, bytes], *, trusted: Sequence[str], path: PathLike
) -> dict[str, Any]:
    """Return the estimators that `dump_estimators` wrote, if every type is trusted.

    Parameters
    ----------
    dumped : mapping of bytes
        What skops wrote, by name.
    trusted : sequence of str
        Types beyond those of scikit-learn and NumPy that may be built.
    path : path-like
        The file they come from, for messages.

    Returns
    -------
    dict
        Estimators by name.

    Raises
    ------
    ArtefactError
        If a type is not trusted; the message lists all of them.
    CorruptArtefactError
        If skops cannot read its own bytes.
    MissingExtraError
        If there are estimators and skops is not installed.
    """
    if not dumped:
        return {}
    try:
        import skops.io
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{str(path)!r} holds scikit-learn estimators ({', '.join(dumped)}), which need "
            "skops to be loaded. Install it with: pip install 'isonomy[estimators]'"
        ) from error
    loaded = {}
    for name, data in dumped.items():
        _check_trusted(name, skops.io.get_untrusted_types(data=data), trusted, path)
        try:
            loaded[name] = skops.io.loads(data, trusted=list(trusted))
        except (TypeError, ValueError, KeyError, AttributeError, ImportError) as error:
            raise CorruptArtefactError(
                f"The estimator {name!r} in {str(path)!r} could not be built: {error}. The "
                "library versions may differ from those in `created_with`."
            ) from error
    return loaded


def _check_trusted(
    name: str, untrusted: Sequence[str], trusted: Sequence[str], path: PathLike
) -> None:
    unknown = sorted(set(untrusted) - set(trusted))
    if unknown:
        raise ArtefactError(
            f"`trusted` passed to `load_artefact` must list every type in {str(path)!r} beyond "
            f"scikit-learn's and NumPy's; the estimator {name!r} also holds "
            f"{', '.join(unknown)}. Building a type runs its code: add it only if you know "
            "where the file comes from."
        )


def _warn_left_out(names: Sequence[str], reason: str, *, where: str) -> None:
    warnings.warn(
        f"`estimators` passed to `{where}`: {', '.join(names)} left out of the artefact; {reason}",
        IsonomyWarning,
        stacklevel=4,
    )
