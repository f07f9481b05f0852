"""Columns of numbers and words as one matrix of numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from isonomy._validation import check_choice, check_real
from isonomy.errors import InvalidInputError

__all__ = ["Columns", "Encoding", "encode_table"]

Encoding = Literal["onehot", "ordinal"]
Columns = Mapping[str, NDArray[Any]]


def encode_table(
    columns: Columns,
    *,
    encoding: Encoding = "onehot",
    min_frequency: float | None = None,
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Turn columns of numbers and words into one matrix of numbers.

    Parameters
    ----------
    columns : mapping of str to (n_samples,) array
        Columns of numbers stay as they are; columns of words are encoded. Give missing words
        a name first.
    encoding : "onehot" or "ordinal"
        "onehot": one column of 0 and 1 for every category but the first (sorted): all of
        them would add up to 1, and covariances would be singular. "ordinal": the
        category's position.
    min_frequency : float in [0, 0.5], optional
        "onehot": categories rarer than this share of the rows become one, "(rare)".

    Returns
    -------
    data : (n_samples, n_encoded) float64
        In the order of ``columns``.
    names : tuple of str
        "column", or "column=category".

    Raises
    ------
    InvalidInputError
        If there is no column, columns are not 1-D and equally long, a value is missing, or
        an argument is out of its range.

    Notes
    -----
    It looks at no label, so rows may be encoded before they are split; standardise inside
    each fold.

    Examples
    --------
    >>> import numpy as np
    >>> X, names = encode_table({"age": np.array([30.0, 40.0]), "job": np.array(["cook", "vet"])})
    >>> X, names
    (array([[30.,  0.],
           [40.,  1.]]), ('age', 'job=vet'))
    """
    where = "encode_table"
    check_choice("encoding", encoding, ("onehot", "ordinal"), where=where)
    if min_frequency is not None:
        check_real("min_frequency", min_frequency, where=where, low=0.0, high=0.5)
    parts: list[NDArray[np.float64]] = []
    names: list[str] = []
    for name, values in _checked_columns(columns, where).items():
        if values.dtype.kind in "biuf":
            part, found = values[:, None].astype(np.float64), [name]
        elif encoding == "ordinal":
            part, found = OrdinalEncoder().fit_transform(values[:, None]), [name]
        else:
            part, found = _one_hot(name, values, min_frequency)
        parts.append(part)
        names.extend(found)
    return np.hstack(parts), tuple(names)


def _checked_columns(columns: Columns, where: str) -> dict[str, NDArray[Any]]:
    arrays = {name: np.asarray(values) for name, values in columns.items()}
    if not arrays:
        raise InvalidInputError(f"`columns` passed to `{where}` must hold a column, got none.")
    n_rows = next(iter(arrays.values())).size
    for name, values in arrays.items():
        if values.shape != (n_rows,) or n_rows == 0:
            raise InvalidInputError(
                f"`columns` passed to `{where}` must all be 1-D and equally long with at least "
                f"one row, got shape {values.shape} in {name!r}."
            )
        if values.dtype == object and not all(isinstance(value, str) for value in values):
            raise InvalidInputError(
                f"`columns` passed to `{where}` must hold numbers or words, got something else "
                f"among the words of {name!r}. Name missing ones, for instance 'missing'."
            )
    return arrays


def _one_hot(
    name: str, values: NDArray[Any], min_frequency: float | None
) -> tuple[NDArray[np.float64], list[str]]:
    # scikit-learn knows no frequency of 0; None says the same
    encoder = OneHotEncoder(drop="first", sparse_output=False, min_frequency=min_frequency or None)
    part: NDArray[np.float64] = encoder.fit_transform(values[:, None])
    rare = "infrequent_sklearn"
    categories = [str(c)[len(name) + 1 :] for c in encoder.get_feature_names_out([name])]
    return part, [f"{name}={'(rare)' if c == rare else c}" for c in categories]
