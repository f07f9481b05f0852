"""Solve a fitted steerer anew from the moments of more rows than it was fitted on."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

from isonomy.distributions import CellMoments
from isonomy.errors import InvalidInputError
from isonomy.steering._settings import check_not_loaded

if TYPE_CHECKING:
    from isonomy.steering.ideal import IdealSteerer

__all__ = ["moments_for", "solve_from_moments"]

WHERE = "solve_from_moments"


def moments_for(
    steerer: IdealSteerer,
    n_features: int,
    classes: Sequence[Hashable],
    groups: Sequence[Hashable],
) -> CellMoments:
    """Return empty moments of the kind that ``steerer`` solves from."""
    return CellMoments(
        n_features,
        covariance="tied" if steerer.groups == "blind" else steerer.covariance,
        classes=classes,
        groups=groups,
    )


def solve_from_moments(steerer: IdealSteerer, moments: CellMoments) -> IdealSteerer:
    """Put ``moments`` in the place of those that ``steerer`` was fitted on, in place.

    The number of directions of "blind" and the probe of "infer", which need rows, stay as
    they were chosen in the fit; everything that follows from moments is solved anew.

    Parameters
    ----------
    steerer : IdealSteerer
        Fitted on some of the rows: each class and group must be among them.
    moments : CellMoments
        Of all rows, on the steerer's working scale, from `moments_for`.

    Raises
    ------
    InvalidInputError
        If classes, groups or features are not those of the fit.
    """
    check_not_loaded(steerer, where=WHERE)
    known = (list(steerer.classes_), list(steerer.groups_), steerer.moments_.n_features)
    given = (list(moments.classes), list(moments.groups), moments.n_features)
    if known != given:
        raise InvalidInputError(
            f"`moments` passed to `{WHERE}` must be of the classes, groups and number of "
            f"features that the steerer was fitted on {known}, got {given}."
        )
    steerer.moments_ = moments
    steerer.sample_weight_ = None
    steerer._forget()
    return steerer
