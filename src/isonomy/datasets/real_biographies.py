"""Real biographies (28 occupations, two genders), read from a file on your disk."""

from __future__ import annotations

import os
from typing import Any

from numpy.typing import NDArray
from sklearn.utils import Bunch

from isonomy.datasets._table_files import TextFile, find_file, read_text_table
from isonomy.errors import DataFileError

__all__ = ["load_biographies"]

_SOURCE = (
    "https://github.com/microsoft/biosbias (which builds it from Common Crawl), or a subset such "
    "as https://github.com/SRINJOY59/CNERG_PROJECT"
)
_COLUMNS = ("text", "occupation", "gender", "split")
_DESCRIPTION = """Biographies from the web (a subset of Bias in Bios)

Third-person biographies with the occupation that their first sentence names and the gender
that their pronouns tell; names and pronouns are replaced by "_". They are texts about real
people: measure with them, do not republish them. The splits are the source's own; their
mixture of occupations differs a little, so that pooling and splitting again, stratified by
(occupation, gender), gives steadier priors.
"""


def load_biographies(folder: str | os.PathLike[str] | None = None) -> Bunch:
    r"""Read the real biographies from a local folder.

    Parameters
    ----------
    folder : str or path-like, optional
        Holds ``bias_in_bios/bios.csv`` or ``bios.csv``, plain or gzipped, with the columns
        text, occupation, gender and split; by default the environment variable
        ``ISONOMY_DATA`` names it.

    Returns
    -------
    Bunch
        ``text``, ``occupation``, ``gender`` and ``split`` (n_samples,) of str, all rows of
        all splits in the order of the file; ``description``, ``source``, ``licence``.

    Raises
    ------
    DataFileError
        If the folder, the file or a column is missing; the message says where to get the
        file. Nothing is downloaded.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> folder = Path(tempfile.mkdtemp())
    >>> row = '"_ teaches, and writes.",teacher,F,train'
    >>> _ = (folder / "bios.csv").write_text(f"text,occupation,gender,split\n{row}\n")
    >>> load_biographies(folder).occupation
    array(['teacher'], dtype='<U7')
    """
    where = "load_biographies"
    path, layout = find_file(
        folder, "bias_in_bios", (TextFile("bios.csv"),), source=_SOURCE, where=where
    )
    table = read_text_table(path, layout, where=where)
    missing = [name for name in _COLUMNS if name not in table.columns]
    if missing:
        raise DataFileError(
            f"{where} needs the columns {', '.join(_COLUMNS)}, but {str(path)!r} lacks "
            f"{', '.join(missing)}. Is it the published file?"
        )
    fields: dict[str, NDArray[Any]] = {
        name: table.columns[name].astype(str) for name in _COLUMNS if name != "text"
    }
    fields["text"] = table.columns["text"]
    return Bunch(
        **fields, description=_DESCRIPTION, source=_SOURCE, licence="none stated (web text)"
    )
