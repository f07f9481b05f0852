"""isonomy: equal laws. Steer to the nearest ideal distribution, and judge any classifier.

A distribution is ideal when the law of the posterior is the same in every group: then
minimising any cost-sensitive risk on it gives exactly group-fair outcomes. The names
below are loaded on first use, because scikit-learn alone takes more than a second.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from isonomy._version import __version__

if TYPE_CHECKING:
    from isonomy.auditing import audit
    from isonomy.ideal import nearest_ideal
    from isonomy.steering import GapCalibrator, IdealSteerer, SteeredClassifier, repair

__all__ = [
    "GapCalibrator",
    "IdealSteerer",
    "SteeredClassifier",
    "__version__",
    "audit",
    "nearest_ideal",
    "repair",
]

_HOMES = {
    "GapCalibrator": "isonomy.steering",
    "IdealSteerer": "isonomy.steering",
    "SteeredClassifier": "isonomy.steering",
    "audit": "isonomy.auditing",
    "nearest_ideal": "isonomy.ideal",
    "repair": "isonomy.steering",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'isonomy' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
