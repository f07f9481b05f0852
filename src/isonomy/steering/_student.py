"""Student-t cells in the steerer's coordinates: fitted from rows, by expectation-maximisation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isonomy.distributions import CellMoments, JointDistribution
from isonomy.errors import EmptyCellError, InvalidInputError
from isonomy.steering._coordinates import Coordinates
from isonomy.steering._counted import CountedRows
from isonomy.steering._small_cells import MIN_CELL, small_cells

__all__ = ["check_student", "student_cells"]


def check_student(steerer: Any, *, where: str) -> None:
    """Raise where ``family="student_t"`` does not go with another parameter.

    Raises
    ------
    InvalidInputError
        If groups are "blind", or maps of the symmetric family are asked for.
    """
    if steerer.family != "student_t":
        return
    if steerer.groups == "blind":
        raise InvalidInputError(
            f'`family="student_t"` of `{where}` needs `groups="given"` or "infer": the blind map '
            "follows from means and covariances, whatever the tails. Leave the family out."
        )
    if steerer.map_family == "symmetric":
        raise InvalidInputError(
            f'`map_family="symmetric"` of `{where}` is for normal cells, on whatever scale, and '
            'cannot go with `family="student_t"`. Use "affine".'
        )


def student_cells(
    moments: CellMoments,
    coordinates: Coordinates,
    rows: CountedRows,
    *,
    covariance: Any,
    where: str,
) -> JointDistribution:
    """Return Student-t cells of the rows, with one number of degrees of freedom.

    Parameters
    ----------
    moments : CellMoments
        Of ``rows``.
    rows : CountedRows
        In the units of ``moments``.

    Raises
    ------
    EmptyCellError
        If a cell has too few rows to speak for itself: none can stand in for it here.
    SingularCovarianceError
        If a scale matrix is singular.
    """
    small = np.argwhere(small_cells(moments))
    if len(small):
        y, a = small[0]
        raise EmptyCellError(
            f'`{where}` with `family="student_t"` needs {MIN_CELL} rows in every (label, group) '
            f"cell, got {moments.n_rows[y, a]} for (label {moments.classes[y]!s}, group "
            f'{moments.groups[a]!s}). Pool rare labels or groups, or use `family="normal"`.'
        )
    values = (np.asarray(rows.values, dtype=np.float64) - coordinates.centre) @ coordinates.ahead
    found = JointDistribution.fit(
        values,
        rows.y_codes,
        sensitive_features=_group_codes(rows, moments),
        sample_weight=rows.weight,
        family="student_t",
        covariance=covariance,
    )
    return JointDistribution.from_arrays(
        found.means,
        found.covariances[0] if covariance == "tied" else found.covariances,
        found.prior,
        moments.classes,
        moments.groups,
        "student_t",
        found.shape,
    )


def _group_codes(rows: CountedRows, moments: CellMoments) -> NDArray[np.intp]:
    """Return the positions of the rows' groups among those of ``moments``."""
    places = [list(moments.groups).index(label) for label in rows.groups.labels]
    return np.asarray(places, dtype=np.intp)[rows.groups.codes]
