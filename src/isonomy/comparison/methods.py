"""Find a method by its name: ours, a rival, a plugin's, or one of these calibrated."""

from __future__ import annotations

from typing import Any

from isonomy import plugins
from isonomy.comparison._calibrated import SUFFIX, calibrated
from isonomy.comparison._method import Family, GroupUse, Method
from isonomy.comparison.catalogue import BUILT_IN, DEFAULT_METHODS
from isonomy.errors import InvalidInputError, PluginError
from isonomy.steering import SteeredClassifier

__all__ = [
    "BUILT_IN",
    "DEFAULT_METHODS",
    "Family",
    "GroupUse",
    "Method",
    "calibrated",
    "find_method",
]


def find_method(method: str | Method, *, where: str = "find_method") -> Method:
    """Return a method by its name, or as it is.

    Parameters
    ----------
    method : str or Method
        A name of :data:`BUILT_IN`, the name of a plugin of kind "methods", one of these with
        ``+calibrated`` behind it (see :func:`calibrated`), or a `Method`.
        A plugin that predicts is wrapped around the estimator; one that transforms becomes
        the steerer of a ``SteeredClassifier`` without reweighing. Its decisions are taken
        to use the group ("given") unless its class says otherwise in ``group_use``.
    where : str
        Name of the calling function, for messages.

    Returns
    -------
    Method

    Raises
    ------
    PluginError
        If no method has that name.
    InvalidInputError
        If it is neither a name nor a `Method`, or the plugin can neither predict nor
        transform.

    Examples
    --------
    >>> find_method("mimic").group_use
    'given'
    """
    if isinstance(method, Method):
        return method
    if not isinstance(method, str):
        raise InvalidInputError(
            f"`methods` passed to `{where}` must hold names or `Method` objects, got {method!r}."
        )
    if method in BUILT_IN:
        return BUILT_IN[method]
    if method.endswith(SUFFIX):
        return calibrated(find_method(method.removesuffix(SUFFIX), where=where))
    others = [name for name in plugins.names("methods") if name not in BUILT_IN]
    if method not in others:
        raise PluginError(
            f"`methods` passed to `{where}` must name methods among {', '.join(BUILT_IN)} or "
            f"plugins ({', '.join(others) or 'none'}), got {method!r}."
        )
    return _from_plugin(method, plugins.get("methods", method), where=where)


def _from_plugin(name: str, made: Any, *, where: str) -> Method:
    if isinstance(made, Method):
        return made
    predicts, transforms = hasattr(made, "predict"), hasattr(made, "transform")
    if not predicts and not transforms:
        raise InvalidInputError(
            f"`methods` passed to `{where}` must name classes that predict or transform, but "
            f"the plugin {name!r} does neither."
        )

    def make(estimator: Any, random_state: int | None) -> Any:
        if predicts:
            return made(estimator)
        return SteeredClassifier(
            estimator, steerer=made(), reweigh=False, calibrator=None, random_state=random_state
        )

    summary = (getattr(made, "__doc__", None) or "").strip().split("\n")[0]
    use: GroupUse = getattr(made, "group_use", "given")
    return Method(name, name.replace("_", " ").capitalize(), "baseline", use, summary, make)
