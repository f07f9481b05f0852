"""What ``layer_profile`` returns: the label means of every layer, what follows, and their file."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import narwhals.stable.v2 as nw
import numpy as np
from numpy.typing import NDArray

from isonomy import plugins
from isonomy._atomic import atomic_path, write_text_atomic
from isonomy._validation import check_choice
from isonomy._version import __version__
from isonomy.adapters._layer._label_means import LabelMeans, over_labels, propensity_of
from isonomy.errors import CorruptArtefactError, InvalidInputError, MissingExtraError

if TYPE_CHECKING:
    from isonomy.adapters._layer._readout import Answers

__all__ = ["LayerProfile"]

Array = NDArray[np.float64]
Backend = Literal["pandas", "polars", "pyarrow", "dict"]

_FIGURES = (".png", ".svg", ".pdf")


@dataclass(frozen=True, eq=False)
class LayerProfile:
    """Mean logit of every label at every layer, over texts with the label and without it.

    Parameters
    ----------
    layers : tuple of int
        The L blocks, from 0; the last one's lens is the model's own output.
    classes : tuple of str
        The K labels.
    label_mean : (L, K) array
        h_c: mean logit of label k over the texts that carry it; NaN where none does.
    rest_mean : (L, K) array
        h_n: the same over the texts that do not.
    n : (K,) array of int
        Texts that carry each label.
    n_rows : int
        Texts in all.
    kind : "label_words" or "classification"
        Whether labels are words of a causal model or outputs of a head.
    label_tokens : tuple of tuple of str
        For words: the tokens that are read of each label, as the tokenizer writes them.
    several_tokens : str or None
        For words: "distinguishing" or "mean"; see `layer_profile`.
    template : str or None
        For words: the prompt.

    Examples
    --------
    >>> profile = LayerProfile((0, 1), ("joy", "fear"), np.array([[1.0, 2.0], [5.0, 4.0]]),
    ...                        np.array([[1.0, 2.0], [1.0, 3.0]]), np.array([3, 2]), 5)
    >>> profile.propensity.tolist(), profile.discriminability_mean.tolist()
    ([0.5, 1.0], [0.0, 2.5])
    >>> profile.to_frame("dict", by="layer")["discriminability_min"]
    [0.0, 1.0]
    """

    layers: tuple[int, ...]
    classes: tuple[str, ...]
    label_mean: Array = field(repr=False)
    rest_mean: Array = field(repr=False)
    n: NDArray[np.int64]
    n_rows: int
    kind: str = "classification"
    label_tokens: tuple[tuple[str, ...], ...] = field(default=(), repr=False)
    several_tokens: str | None = None
    template: str | None = None

    @classmethod
    def from_means(cls, means: LabelMeans, answers: Answers) -> LayerProfile:
        """Return the profile of running sums over a model's answers.

        Parameters
        ----------
        means : LabelMeans
        answers : Answers
        """
        label_mean, rest_mean = means.means(answers.classes, where=answers.run.where)
        words = answers.words
        return cls(
            tuple(range(answers.run.n_layers)),
            answers.classes,
            label_mean,
            rest_mean,
            means.n.astype(np.int64),
            means.n_rows,
            answers.kind,
            () if words is None else words.pieces,
            None if words is None else words.rule,
            answers.template,
        )

    @property
    def discriminability(self) -> Array:
        """h_c - h_n, (L, K): how far a label's logit rises where the text carries it."""
        return self.label_mean - self.rest_mean

    @property
    def propensity(self) -> Array:
        """std_k h_n, (L,): how unequal labels stand on texts that do not carry them."""
        return propensity_of(self.rest_mean)

    @property
    def discriminability_mean(self) -> Array:
        """mean_k (h_c - h_n), (L,), over the labels that have both means."""
        return over_labels(np.mean, self.discriminability)

    @property
    def discriminability_std(self) -> Array:
        """std_k (h_c - h_n), (L,): how unequally labels are told from the rest."""
        return over_labels(np.std, self.discriminability)

    @property
    def discriminability_min(self) -> Array:
        """min_k (h_c - h_n), (L,): the label that is told worst."""
        return over_labels(np.min, self.discriminability)

    def to_frame(
        self, backend: Backend | None = None, *, by: Literal["label", "layer"] = "label"
    ) -> Any:
        """Return one row a layer and label, or one row a layer.

        Parameters
        ----------
        backend : "pandas", "polars", "pyarrow" or "dict", optional
            By default the first of pandas and polars that is installed, else a dict.
        by : "label" or "layer"

        Returns
        -------
        data frame or dict of columns
            By label: "layer", "label", "n", "label_mean", "rest_mean", "discriminability".
            By layer: "layer", "propensity", "discriminability_mean", "_std" and "_min".

        Raises
        ------
        MissingExtraError
            If the library asked for is not installed.
        """
        where = "LayerProfile.to_frame"
        check_choice("backend", backend, (None, "pandas", "polars", "pyarrow", "dict"), where=where)
        check_choice("by", by, ("label", "layer"), where=where)
        columns = self._by_label() if by == "label" else self._by_layer()
        names: tuple[Backend, ...] = ("pandas", "polars")
        installed: Backend = next((b for b in names if importlib.util.find_spec(b)), "dict")
        chosen = installed if backend is None else backend
        if chosen == "dict":
            return columns
        if importlib.util.find_spec(chosen) is None:
            raise MissingExtraError(
                f"`backend={chosen!r}` of `{where}` needs {chosen}, which is not installed. "
                f"Install it with: pip install {chosen}"
            )
        return nw.to_native(nw.from_dict(columns, backend=chosen))

    def _by_label(self) -> dict[str, list[Any]]:
        n_layers, n_classes = self.label_mean.shape
        return {
            "layer": np.repeat(self.layers, n_classes).tolist(),
            "label": list(self.classes) * n_layers,
            "n": np.tile(self.n, n_layers).tolist(),
            "label_mean": self.label_mean.ravel().tolist(),
            "rest_mean": self.rest_mean.ravel().tolist(),
            "discriminability": self.discriminability.ravel().tolist(),
        }

    def _by_layer(self) -> dict[str, list[Any]]:
        names = (
            "propensity",
            "discriminability_mean",
            "discriminability_std",
            "discriminability_min",
        )
        return {"layer": list(self.layers)} | {n: getattr(self, n).tolist() for n in names}

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, kind "layer_profile"; NaN is None."""
        plain: dict[str, Any] = {
            "schema": 1,
            "kind": "layer_profile",
            "isonomy_version": __version__,
            "n_rows": self.n_rows,
            "classes": list(self.classes),
            "n": self.n.tolist(),
            "read_from": self.kind,
            "label_tokens": [list(tokens) for tokens in self.label_tokens],
            "several_tokens": self.several_tokens,
            "template": self.template,
            "label_mean": _without_nan(self.label_mean),
            "rest_mean": _without_nan(self.rest_mean),
        }
        by_layer = self._by_layer()
        return (
            plain
            | {k: _without_nan(np.array(v, float)) for k, v in by_layer.items()}
            | {"layers": by_layer["layer"]}
        )

    def save(self, path: str | Path) -> Path:
        """Write the profile as JSON, or draw it, by the ending; wholly or not at all.

        Parameters
        ----------
        path : str or Path
            Ends in ".json", or in ".png", ".svg" or ".pdf".

        Returns
        -------
        pathlib.Path
            The file written.

        Raises
        ------
        InvalidInputError
            If the ending is another one.
        MissingExtraError
            If a figure is asked for without the extra ``report``.
        OutputError
            If the file cannot be written.
        """
        target = Path(path)
        ending = target.suffix.lower()
        if ending == ".json":
            text = json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)
            return write_text_atomic(target, text + "\n")
        if ending not in _FIGURES:
            raise InvalidInputError(
                f"`path` passed to `LayerProfile.save` must end in .json or, for a figure, in "
                f"{', '.join(_FIGURES)}, got {str(path)!r}."
            )
        figure = plugins.get("report_formats", "figure")(self.to_dict(), "layer_profile")
        with atomic_path(target) as temporary:
            figure.savefig(temporary, format=ending[1:], dpi=144, facecolor="white")
        return target

    @classmethod
    def load(cls, path: str | Path) -> LayerProfile:
        """Return the profile that `save` wrote as JSON.

        Parameters
        ----------
        path : str or Path

        Raises
        ------
        CorruptArtefactError
            If the file is missing or holds something else.
        """
        try:
            data = json.loads(Path(path).read_text("utf-8"))
            if data["kind"] != "layer_profile":
                raise KeyError("kind")
            means = [np.array(data[k], dtype=np.float64) for k in ("label_mean", "rest_mean")]
            shape = len(data["layers"]), len(data["classes"])
            if any(mean.shape != shape for mean in means) or len(data["n"]) != shape[1]:
                raise ValueError(f"its means are not of shape {shape}")
            return cls(
                tuple(data["layers"]),
                tuple(data["classes"]),
                means[0],
                means[1],
                np.array(data["n"], dtype=np.int64),
                data["n_rows"],
                data["read_from"],
                tuple(tuple(tokens) for tokens in data["label_tokens"]),
                data["several_tokens"],
                data["template"],
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CorruptArtefactError(
                f"`path` passed to `LayerProfile.load` must be a file that `LayerProfile.save` "
                f"wrote as JSON, got {str(path)!r}: {error}."
            ) from error


def _without_nan(values: Array) -> list[Any]:
    filled = values.astype(object)
    filled[np.isnan(values)] = None
    return list(filled.tolist())
