"""Small grey pictures in MNIST's idx files, plain or gzipped."""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch

from isonomy._validation import check_random_state
from isonomy.datasets._annotation_files import find_folder
from isonomy.datasets._carving import carve, check_share
from isonomy.errors import DataFileError, InvalidInputError

__all__ = ["load_idx", "read_idx"]

_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_SPLITS = {"train": "train", "t10k": "test", "test": "test"}
_SOURCE = "https://yann.lecun.com/exdb/mnist, or a set of its layout such as Fashion-MNIST"


def load_idx(
    folder: str | os.PathLike[str] | None = None,
    *,
    classes: Sequence[str] | None = None,
    validation_share: float | None = None,
    random_state: int | np.random.RandomState | None = 0,
) -> Bunch:
    """Read MNIST, or a set of the same layout, from its idx files.

    Parameters
    ----------
    folder : str or path-like, optional
        Holds ``train-images-idx3-ubyte`` and ``train-labels-idx1-ubyte``, the same of ``t10k``
        (test), or both pairs; plain or ending in ``.gz``, directly or in ``mnist`` or
        ``mnist_t10k``; by default the environment variable ``ISONOMY_DATA`` names it.
    classes : sequence of str, optional
        Names of the labels 0, 1, ...; by default "0", "1", ... up to the largest label.
    validation_share : float in [0, 1), optional
        Move this share of each class's training pictures into the split "validation".
    random_state : int, RandomState or None
        Draws them; the same integer gives the same pictures.

    Returns
    -------
    Bunch
        ``image`` (n_samples, height, width) uint8, ``label`` (n_samples,) codes, ``split``
        (n_samples,) of "train", "validation" or "test", ``classes``, list of K names;
        ``name``, ``description``, ``source``.

    Raises
    ------
    DataFileError
        If no pair of files is there, one of a pair is missing, a file is damaged, or the
        two disagree about the number of pictures.
    InvalidInputError
        If a label is outside ``classes``.

    Examples
    --------
    >>> import struct, tempfile
    >>> from pathlib import Path
    >>> folder = Path(tempfile.mkdtemp())
    >>> head = struct.pack(">4B3I", 0, 0, 8, 3, 2, 1, 1)
    >>> _ = (folder / "t10k-images-idx3-ubyte").write_bytes(head + bytes([0, 255]))
    >>> head = struct.pack(">4BI", 0, 0, 8, 1, 2)
    >>> _ = (folder / "t10k-labels-idx1-ubyte").write_bytes(head + bytes([1, 0]))
    >>> digits = load_idx(folder)
    >>> digits.image.shape, digits.label, digits.split
    ((2, 1, 1), array([1, 0]), array(['test', 'test'], dtype='<U16'))
    """
    where = "load_idx"
    share = check_share("validation_share", validation_share, where=where)
    rng = check_random_state(random_state)
    root = find_folder(
        folder,
        inside=("mnist", "mnist_t10k", "MNIST/raw"),
        mark=[str(name) for prefix in _SPLITS for name in _spellings(prefix, "labels", 1)],
        source=_SOURCE,
        where=where,
    )
    images, labels, split = [], [], []
    for prefix, part in _SPLITS.items():
        pictures, answers = _pair(root, prefix, where)
        if pictures is not None and answers is not None:
            images.append(pictures)
            labels.append(answers.astype(np.intp))
            split.extend([part] * len(answers))
    label = np.concatenate(labels)
    names = [str(i) for i in range(int(label.max()) + 1)] if classes is None else list(classes)
    if label.min() < 0 or label.max() >= len(names):
        raise InvalidInputError(
            f"`classes` of `{where}` must name every label, but it has {len(names)} names and the "
            f"labels reach from {label.min()} to {label.max()}."
        )
    return Bunch(
        image=np.concatenate(images),
        label=label,
        split=carve(label.tolist(), np.array(split), share=share, into="validation", rng=rng),
        classes=names,
        name=root.name,
        description=f"{len(label)} grey pictures, {len(names)} classes",
        source=_SOURCE,
    )


def read_idx(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Read one idx file.

    Parameters
    ----------
    path : str or path-like
        Gzipped if it ends in ``.gz``.

    Returns
    -------
    ndarray
        Of the shape and type that the file's head states.

    Raises
    ------
    DataFileError
        If the file is missing, damaged, or shorter or longer than its head says.

    Notes
    -----
    Two zero bytes, one byte for the type, one for the number d of dimensions, d big-endian
    whole numbers of four bytes, then the values, last dimension fastest.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "labels"
    >>> _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 9]))
    >>> read_idx(path)
    array([7, 9], dtype=uint8)
    """
    file = Path(path)
    try:
        raw = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataFileError(
            f"read_idx could not read {str(file)!r}: {error}. Fetch it again."
        ) from error
    kind = _TYPES.get(raw[2]) if len(raw) >= 4 and raw[:2] == b"\0\0" else None
    start = 4 + 4 * raw[3] if kind else 0
    if kind is None or len(raw) < start:
        raise DataFileError(
            f"{str(file)!r} passed to `read_idx` must be an idx file, but its first bytes are "
            f"{raw[:4].hex(' ') or 'missing'}. Is it gzipped without ending in .gz?"
        )
    shape = struct.unpack(f">{raw[3]}I", raw[4:start])
    dtype = np.dtype(kind)
    # Python's whole numbers: a damaged head may ask for more than 64 bits hold
    size = dtype.itemsize
    for n in shape:
        size *= n
    if len(raw) - start != size:
        raise DataFileError(
            f"{str(file)!r} passed to `read_idx` must hold {size} bytes after its head for the "
            f"shape {shape}, got {len(raw) - start}. Fetch it again."
        )
    values = np.frombuffer(raw, dtype=dtype, offset=start).reshape(shape)
    return values.astype(dtype.newbyteorder("="))


def _spellings(prefix: str, what: str, dimensions: int) -> list[str]:
    names = [f"{prefix}-{what}{mark}idx{dimensions}-ubyte" for mark in "-."]
    return [f"{name}{ending}" for name in names for ending in ("", ".gz")]


def _pair(root: Path, prefix: str, where: str) -> tuple[NDArray[Any] | None, NDArray[Any] | None]:
    """Return the pictures and labels of one split; None, None where it is not there."""
    names = {"images": _spellings(prefix, "images", 3), "labels": _spellings(prefix, "labels", 1)}
    found = {
        what: next((root / name for name in spelled if (root / name).is_file()), None)
        for what, spelled in names.items()
    }
    if not any(found.values()):
        return None, None
    for what, file in found.items():
        if file is None:
            raise DataFileError(
                f"{where} needs {names[what][0]}[.gz] beside the other file of its pair, but "
                f"{str(root)!r} lacks it. Get it from {_SOURCE}."
            )
    images, labels = (read_idx(file) for file in found.values() if file is not None)
    if images.ndim != 3 or labels.ndim != 1 or not 0 < len(images) == len(labels):
        raise DataFileError(
            f"{where} needs pictures and as many labels, but the {prefix} files of {str(root)!r} "
            f"have the shapes {images.shape} and {labels.shape}. Do they belong together?"
        )
    return images, labels
