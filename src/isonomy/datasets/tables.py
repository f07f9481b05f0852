"""Seven real tables of people, read from files on your disk, ready to fit and to audit."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from typing import Any, Literal

import narwhals.stable.v2 as nw
import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch

from isonomy._validation import check_choice
from isonomy.datasets._table_columns import (
    attribute_of,
    feature_columns,
    kept_rows,
    spelled_groups,
    target_of,
)
from isonomy.datasets._table_files import find_file, read_text_table
from isonomy.datasets._table_specs import SPECS, Attribute, TableSpec
from isonomy.datasets.encoding import Columns, Encoding, encode_table
from isonomy.errors import MissingExtraError

__all__ = ["TABLES", "load_table"]

TABLES: tuple[str, ...] = tuple(SPECS)
"""The names that `load_table` knows."""

Backend = Literal["pandas", "polars", "pyarrow"]


def load_table(
    name: str,
    folder: str | os.PathLike[str] | None = None,
    *,
    sensitive: str | None = None,
    groups: Sequence[str] | None = None,
    include_sensitive: bool = False,
    encoding: Encoding = "onehot",
    min_frequency: float | None = None,
    backend: Backend | None = None,
) -> Bunch:
    r"""Read one of seven real tables from a local folder.

    Parameters
    ----------
    name : str
        One of `TABLES`: "adult", "compas", "law_school", "credit_default",
        "bank_marketing", "communities", "german_credit".
    folder : str or path-like, optional
        Holds the table's file, directly or in a folder of the table's name; by default the
        environment variable ``ISONOMY_DATA`` names it. Plain or gzipped. Adult is read
        as UCI publishes it (``adult.data``, and ``adult.test`` if beside it) or with a
        header; COMPAS as ProPublica publishes it; bank marketing as UCI's
        ``bank-full.csv``; the others as CSV with a header.
    sensitive : str, optional
        The column that holds the groups. Default: sex for "adult", race for "compas" and
        "law_school", SEX for "credit_default", marital for "bank_marketing", Black for
        "communities", sex for "german_credit".
    groups : sequence of str, optional
        Keep only the rows of these groups. Default: all.
    include_sensitive : bool
        Whether the sensitive column (and columns that it was computed from, such as the
        share of Black residents) is also among the features. By default it is not.
    encoding : "onehot" or "ordinal"
        Passed to `encode_table`.
    min_frequency : float in [0, 0.5], optional
        Passed to `encode_table`.
    backend : "pandas", "polars" or "pyarrow", optional
        Also return ``frame``: features before encoding, groups and target.

    Returns
    -------
    Bunch
        ``data`` (n_samples, n_features) float64, encoded; ``feature_names``; ``target``
        (n_samples,) of 0 and 1, ``target_names`` of the two; ``sensitive_features``
        (n_samples,) of str, ``sensitive_name``, ``groups`` (sorted names); ``columns``, the
        features before encoding (float64 or str by name); ``frame`` (None without
        ``backend``); ``name``, ``description``, ``source``, ``licence``.

    Raises
    ------
    DataFileError
        If the folder, the file, a column or a value is missing or cannot be read; the
        message says where to get the file. Nothing is downloaded.
    InvalidInputError
        If ``name`` or another argument is unknown.
    MissingExtraError
        If the library of ``backend`` is not installed.

    Notes
    -----
    Empty cells and "?" are a category of their own, "missing". What it does not promise:
    that these tables say anything about a law, a bank or a court of today; they are what
    the field compares methods on. ``description`` names the columns that were left out
    and why.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> text = "age;job;marital;education;default;balance;housing;loan;contact;day;month;"
    >>> text += "duration;campaign;pdays;previous;poutcome;y\n"
    >>> text += "58;retired;married;primary;no;9;no;no;cellular;5;may;2;1;-1;0;unknown;yes\n"
    >>> text += "30;student;single;primary;no;3;no;no;cellular;5;may;2;1;-1;0;unknown;no\n"
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "bank-full.csv").write_text(text)
    >>> bank = load_table("bank_marketing", folder)
    >>> bank.target, bank.groups, bank.data.shape
    (array([1, 0]), ('married', 'single'), (2, 8))
    """
    where = "load_table"
    check_choice("name", name, TABLES, where=where)
    check_choice("backend", backend, (None, "pandas", "polars", "pyarrow"), where=where)
    spec = SPECS[name]
    attribute = attribute_of(spec, sensitive, where)
    path, layout = find_file(folder, spec.folder, spec.files, source=spec.source, where=where)
    table = read_text_table(path, layout, where=where)
    kept = kept_rows(table, spec, attribute, groups, where)
    target = target_of(table, spec, kept, where)
    people = spelled_groups(table.columns[attribute.column][kept], attribute)
    hidden = () if include_sensitive else (attribute.column, *attribute.proxies)
    columns = feature_columns(table, spec, kept, hidden, where)
    data, names = encode_table(columns, encoding=encoding, min_frequency=min_frequency)
    return Bunch(
        data=data,
        feature_names=names,
        target=target,
        target_names=spec.target_names,
        sensitive_features=people,
        sensitive_name=attribute.column,
        groups=tuple(np.unique(people).tolist()),
        columns=columns,
        frame=_frame(columns, attribute.column, people, target, backend, where),
        name=name,
        description=_description(spec, attribute, hidden, len(target)),
        source=spec.source,
        licence=spec.licence,
    )


def _frame(
    columns: Columns,
    sensitive: str,
    people: NDArray[np.str_],
    target: NDArray[np.intp],
    backend: Backend | None,
    where: str,
) -> Any:
    if backend is None:
        return None
    if importlib.util.find_spec(backend) is None:
        raise MissingExtraError(
            f"`backend={backend!r}` of `{where}` needs {backend}, which is not installed. "
            f"Install it with: pip install {backend}"
        )
    whole = {**columns, sensitive: people, "target": target}
    plain = {k: v.tolist() if v.dtype.kind == "U" else v for k, v in whole.items()}
    return nw.to_native(nw.from_dict(plain, backend=backend))


def _description(spec: TableSpec, attribute: Attribute, hidden: Sequence[str], n_rows: int) -> str:
    lines = [spec.title, "", f"{n_rows} rows. Groups: the column {attribute.column}."]
    if spec.filtered:
        lines.append(spec.filtered)
    left_out = {**spec.left_out, **dict.fromkeys(hidden, "the groups, or what tells them")}
    if left_out:
        lines.append("Columns that are not features:")
        lines.extend(f"* {name}: {why}" for name, why in left_out.items())
    return "\n".join([*lines, f"Source: {spec.source}. Licence: {spec.licence}."])
