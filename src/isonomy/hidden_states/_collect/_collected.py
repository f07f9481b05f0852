"""What `collect` returns: the moments of every layer, and the rows where they were kept."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from isonomy._atomic import PathLike, atomic_path, write_text_atomic
from isonomy.artefact import load_artefact, save_artefact
from isonomy.distributions import CellMoments
from isonomy.errors import InvalidInputError
from isonomy.hidden_states._collect._row_store import INDEX_NAME, Rows, column_name

__all__ = ["MOMENTS_NAME", "ROWS_FOLDER", "SUMMARY_NAME", "Collected", "check_writable"]

MOMENTS_NAME = "moments.safetensors"
SUMMARY_NAME = "collected.json"
ROWS_FOLDER = "rows"

_KIND = "collected_moments"
_PLAIN = (
    "site", "positions", "n_rows", "model_name", "hidden_size", "seconds", "covariance",
    "dtype", "max_length", "n_truncated", "fingerprint", "class_names", "group_names", "settings",
)  # fmt: skip


class _Tried(Exception):
    """Raised where a file could have been written."""


def check_writable(folder: PathLike) -> None:
    """Try whether a result can be saved in ``folder``, and leave nothing there.

    Raises
    ------
    OutputError
        If it cannot: now, not after the hours that collecting takes.
    """
    with suppress(_Tried), atomic_path(Path(folder) / MOMENTS_NAME):
        raise _Tried


@dataclass(frozen=True, eq=False)
class Collected(Mapping[int | None, CellMoments]):
    """Moments of hidden states by layer: a mapping of layer to `CellMoments`.

    ``collected[layer]``; the site "head_input" has the one key None.

    Attributes
    ----------
    site : str
        Where the hidden states were read.
    positions : str
        Which tokens stand for a text; the name of the function where it was one.
    n_rows : int
        Texts read.
    model_name : str
        Name or folder of the model.
    hidden_size : int
        Numbers of one hidden state, d.
    seconds : float
        Time taken, over all runs where it was resumed.
    classes, groups : tuple
        Labels and groups, sorted; ``("all",)`` where no column was named.
    covariance : "tied" or "full"
    dtype : str
        Of the model; sums are float64 always.
    max_length : int or None
        Tokens at which texts were cut; ``n_truncated`` texts were.
    fingerprint : dict
        A salted digest of the rows read, in order.
    class_names, group_names : tuple of str or None
        What the data set calls the labels 0, 1, ... where it says so.
    settings : dict
        What was asked for, and digests of model and tokenizer where ``output`` was given.
    kept : Rows or None
        The rows, where they were kept; read them with `rows`.

    Examples
    --------
    >>> import tempfile, torch, transformers
    >>> from isonomy.hidden_states import Collected, collect
    >>> config = transformers.CLIPVisionConfig(hidden_size=8, intermediate_size=8, image_size=8,
    ...     patch_size=4, num_hidden_layers=1, num_attention_heads=2)
    >>> model = transformers.CLIPVisionModel(config)
    >>> rows = {"image": [torch.full((8, 8, 3), 9 * i, dtype=torch.uint8).numpy()
    ...                   for i in range(6)], "kind": [0, 1] * 3, "group": list("aaabbb")}
    >>> collected = collect(model, rows, text="image", label="kind", group="group",
    ...                     tokenizer=transformers.CLIPImageProcessorPil(size=8, crop_size=8))
    >>> folder = tempfile.mkdtemp()
    >>> collected.save(folder)
    >>> Collected.load(folder)[None].n_rows
    array([[2, 1],
           [1, 2]])
    """

    moments: Mapping[int | None, CellMoments] = field(repr=False)
    site: str
    positions: str
    n_rows: int
    model_name: str
    hidden_size: int
    seconds: float
    classes: tuple[Hashable, ...]
    groups: tuple[Hashable, ...]
    covariance: str = "tied"
    dtype: str = "float32"
    max_length: int | None = None
    n_truncated: int = 0
    fingerprint: dict[str, str] = field(default_factory=dict, repr=False)
    class_names: tuple[str, ...] | None = None
    group_names: tuple[str, ...] | None = None
    settings: dict[str, Any] = field(default_factory=dict, repr=False)
    kept: Rows | None = field(default=None, repr=False)

    def __getitem__(self, layer: int | None) -> CellMoments:
        if layer not in self.moments:
            raise InvalidInputError(
                f"`Collected` holds the layers {', '.join(map(str, self.moments))} of site "
                f"{self.site!r}, got {layer!r}."
            )
        return self.moments[layer]

    def __contains__(self, layer: object) -> bool:
        return layer in self.moments

    def __iter__(self) -> Iterator[int | None]:
        return iter(self.moments)

    def __len__(self) -> int:
        return len(self.moments)

    def rows(
        self, layer: int | None = None
    ) -> tuple[NDArray[Any], NDArray[Any] | None, NDArray[Any] | None]:
        """Return the hidden states that were kept, in the order of the data.

        Parameters
        ----------
        layer : int or None
            Which layer; None for "head_input".

        Returns
        -------
        X : (n_rows, hidden_size) array
            float32; float64 where the model is.
        y, groups : (n_rows,) array or None
            Labels and groups; None where no column was named.

        Raises
        ------
        InvalidInputError
            If no rows were kept, or not of that layer.
        CorruptArtefactError
            If a shard has gone or was altered.
        """
        self[layer]
        if self.kept is None:
            raise InvalidInputError(
                '`Collected.rows` needs rows that were kept: call `collect` with `rows="memory"`, '
                'or with `rows="safetensors"` or "parquet" and `output`.'
            )
        return self.kept.read(layer)

    def save(self, folder: PathLike) -> None:
        """Save moments and rows in a folder, each file wholly or not at all.

        Parameters
        ----------
        folder : str or path-like
            Gets ``moments.safetensors`` (which holds everything but rows), the readable
            ``collected.json`` and, where rows were kept, ``rows/``.

        Raises
        ------
        OutputError
            If a file cannot be written.
        """
        target = Path(folder)
        if self.kept is not None:
            self.kept.copy_to(target / ROWS_FOLDER, list(self.moments))
        tensors: dict[str, NDArray[Any]] = {}
        headers: list[dict[str, Any]] = []
        for layer, moments in self.moments.items():
            arrays, header = moments.to_arrays()
            name = column_name(layer)
            tensors |= {f"{name}.{part}": array for part, array in arrays.items()}
            headers.append({"layer": layer, "name": name, "header": header})
        config = {name: getattr(self, name) for name in _PLAIN}
        config |= {"layers": headers, "kept": self.kept is not None}
        save_artefact(target / MOMENTS_NAME, kind=_KIND, config=config, tensors=tensors)
        write_text_atomic(target / SUMMARY_NAME, json.dumps(self.summary(), indent=1) + "\n")

    def summary(self) -> dict[str, Any]:
        """Return what a person wants to know of it, ready for JSON: no moments, no rows.

        Returns
        -------
        dict
            Site, layers, model, numbers of rows by cell, time.
        """
        first = next(iter(self.moments.values()))
        return {
            "kind": "collected",
            **{name: getattr(self, name) for name in _PLAIN},
            "layers": list(self.moments),
            "classes": list(self.classes),
            "groups": list(self.groups),
            "n_rows_by_cell": first.n_rows.tolist(),
            "rows": None if self.kept is None else f"{ROWS_FOLDER}/{INDEX_NAME}",
        }

    @classmethod
    def load(cls, folder: PathLike) -> Collected:
        """Load what `save` (or ``collect(..., output=folder)``) wrote.

        Parameters
        ----------
        folder : str or path-like

        Returns
        -------
        Collected

        Raises
        ------
        ArtefactError
            If the folder holds none, or a file is damaged or of a newer version.
        """
        source = Path(folder)
        artefact = load_artefact(source / MOMENTS_NAME, kind=_KIND)
        config, moments = artefact.config, {}
        for entry in config["layers"]:
            prefix = f"{entry['name']}."
            parts = {
                k.removeprefix(prefix): v
                for k, v in artefact.tensors.items()
                if k.startswith(prefix)
            }
            moments[entry["layer"]] = CellMoments.from_arrays(parts, entry["header"])
        first = next(iter(moments.values()))
        plain = {name: config[name] for name in _PLAIN}
        for name in ("class_names", "group_names"):
            plain[name] = None if plain[name] is None else tuple(plain[name])
        return cls(
            moments=moments,
            classes=first.classes,
            groups=first.groups,
            kept=Rows.open(source / ROWS_FOLDER) if config["kept"] else None,
            **plain,
        )
