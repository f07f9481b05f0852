"""What the words "ideal", "passthrough" and "auto" of a SteeredClassifier stand for."""

from __future__ import annotations

from typing import Any

from sklearn.base import clone
from sklearn.pipeline import Pipeline

from isonomy._group_transformer import GroupAwareTransformer
from isonomy.errors import InvalidInputError
from isonomy.steering.calibration import GapCalibrator
from isonomy.steering.ideal import IdealSteerer

__all__ = ["make_calibrator", "make_steerer"]

ACCURACY_TOLERANCE = 0.005
"""Half a point: what the last stage may cost where nobody has set its price."""


def make_steerer(model: Any, *, single: bool) -> Any | None:
    """Return the unfitted steerer, None for "passthrough".

    Raises
    ------
    InvalidInputError
        If it is another word, or a Pipeline that would lose the groups.
    """
    if isinstance(model.steerer, str):
        if model.steerer == "passthrough":
            return None
        if model.steerer != "ideal":
            raise InvalidInputError(
                '`steerer` of `SteeredClassifier` must be "ideal", "passthrough" or a '
                f"transformer, got {model.steerer!r}."
            )
        return IdealSteerer(
            missing_groups=model.missing_groups,
            random_state=model.random_state,
            n_jobs=model.n_jobs,
        )
    steerer = clone(model.steerer)
    if isinstance(steerer, Pipeline) and any(
        isinstance(step, GroupAwareTransformer) for _, step in steerer.steps
    ):
        raise InvalidInputError(
            "`steerer` of `SteeredClassifier` must be one transformer where it uses groups: "
            "a Pipeline does not hand them on. Put its other steps before the "
            "`SteeredClassifier`, in a Pipeline around it."
        )
    known = steerer.get_params(deep=False) if hasattr(steerer, "get_params") else {}
    if "group_columns" in known:
        steerer.set_params(group_columns=None)
    if single and "missing_groups" in known:
        steerer.set_params(missing_groups="single")
    return steerer


def make_calibrator(model: Any, n_groups: int, n_classes: int) -> GapCalibrator | None:
    """Return the unfitted calibrator, None where there is none.

    "auto" leaves two classes alone: there guessed groups bring the positive class's rates
    together at the price of the other's, and the gap over both grew (generated normals).

    Raises
    ------
    InvalidInputError
        If it is neither a `GapCalibrator`, "auto" nor None.
    """
    if model.calibrator is None or isinstance(model.calibrator, GapCalibrator):
        return model.calibrator
    if not isinstance(model.calibrator, str) or model.calibrator != "auto":
        raise InvalidInputError(
            '`calibrator` of `SteeredClassifier` must be a `GapCalibrator`, "auto" or None, '
            f"got {model.calibrator!r}."
        )
    if (
        n_groups < 2
        or n_classes < 3
        or not isinstance(model.steerer, str)
        or model.steerer != "ideal"
    ):
        return None
    return GapCalibrator(groups="infer", accuracy_tolerance=ACCURACY_TOLERANCE)
