"""``calibrated``: offsets by group on top of another method's class scores."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sklearn.base import clone

from isonomy.baselines import Reweighing
from isonomy.comparison._method import Method
from isonomy.errors import InvalidInputError
from isonomy.steering import GapCalibrator, SteeredClassifier

__all__ = ["SUFFIX", "calibrated"]

SUFFIX = "+calibrated"
"""Behind the name of a method, the same with a calibrated last stage."""


def calibrated(method: Method, calibrator: GapCalibrator | None = None) -> Method:
    """Return a method with a `GapCalibrator` behind it, fitted on cross-fitted scores.

    Parameters
    ----------
    method : Method
        Its factory must make a ``SteeredClassifier`` without a calibrator, or a `Reweighing`.
    calibrator : GapCalibrator, optional
        Cloned; for another criterion than the default.

    Returns
    -------
    Method
        Named ``<name>+calibrated``. It uses the group at prediction, or guesses it where
        the calibrator has ``groups="infer"``.

    Raises
    ------
    InvalidInputError
        When it is made, if ``method`` makes anything else.

    Examples
    --------
    >>> from isonomy.comparison import BUILT_IN
    >>> calibrated(BUILT_IN["leace"]).name, calibrated(BUILT_IN["leace"]).group_use
    ('leace+calibrated', 'given')
    """

    def make(estimator: Any, random_state: int | None) -> Any:
        model = method.factory(estimator, random_state)
        if isinstance(model, Reweighing):  # the same model, in the form that can be calibrated
            model = SteeredClassifier(
                model.estimator,
                steerer="passthrough",
                reweigh=True,
                calibrator=None,
                missing_groups=model.missing_groups,
                group_columns=model.group_columns,
                random_state=random_state,
            )
        has_one = isinstance(getattr(model, "calibrator", None), GapCalibrator)
        if not isinstance(model, SteeredClassifier) or has_one:
            kind = type(model).__name__
            raise InvalidInputError(
                "`method` passed to `calibrated` must make a `SteeredClassifier` without a "
                f"calibrator, got {method.name!r}, which makes a {kind}"
                f"{' with one' if has_one else ''}. Use it as it is."
            )
        return model.set_params(calibrator=clone(last))

    last = GapCalibrator() if calibrator is None else calibrator
    guesses = last.groups == "infer" and method.group_use != "given"
    return replace(
        method,
        name=method.name + SUFFIX,
        label=f"{method.label} and calibrated offsets",
        group_use="inferred" if guesses else "given",
        description=(
            f"{method.description.rstrip('.')}; then the class scores are shifted by a small "
            "offset for every group, learnt on cross-fitted scores."
        ),
        factory=make,
    )
