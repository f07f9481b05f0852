"""A language model with a steered head: texts in, classes out; saved and loaded as a folder."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from isonomy.artefact import Artefact, load_artefact, save_artefact
from isonomy.errors import ArtefactError, CorruptArtefactError, InvalidInputError
from isonomy.hidden_states._model._layout import Site
from isonomy.hidden_states._model._read_states import read_states
from isonomy.hidden_states._steered_head import SteeredHead, from_tensors, to_tensors
from isonomy.steering import IdealSteerer

__all__ = ["ARTEFACT", "KIND", "STEERER", "SteeredModel", "load_steered_model"]

KIND = "steered-model"
ARTEFACT = "artefact.safetensors"
STEERER = "steerer.safetensors"

KNOWN_SENTENCE = "The committee meets again on Tuesday, and everyone may speak."
"""Its hidden state is stored, to tell another model or tokenizer from the right one."""

LARGEST_DRIFT = 0.25
"""Of its length. Rounding to 8 bits moves it by some hundredths, another model by 1 and more."""


@dataclass(frozen=True)
class SteeredModel:
    """Decide on texts by a language model whose hidden state is steered before a linear head.

    Parameters
    ----------
    model, tokenizer : PreTrainedModel, tokenizer
        The base model; its weights are not changed.
    head : SteeredHead
        Weights, maps and offsets.
    site, layer, positions, max_length : str, int or None, str, int or None
        Where the state is read, as for `collect`.
    base_model : str
        Name or folder that the model was loaded from.
    revision : str, optional
        Commit of the base model.
    steerer : IdealSteerer, optional
        What fitted the maps, with its certificate; None where rows stay.
    task : str
        How `load_model` loaded the model.

    Notes
    -----
    Scores of a state x in group a are ``W (M_a x + t_a) + c + b_a``; "blind" has one map and
    no b, "infer" weights maps and offsets by what a probe says of the group.

    What it does not promise: the maps were fitted on the states of one data set; audit the
    decisions on texts of your own use. The model's other outputs are not steered.
    """

    model: Any
    tokenizer: Any
    head: SteeredHead
    site: Site
    layer: int | None
    positions: Literal["last", "mean", "cls"]
    max_length: int | None
    base_model: str
    revision: str | None = None
    steerer: IdealSteerer | None = None
    task: Any = "auto"

    @property
    def classes(self) -> tuple[Any, ...]:
        """The classes, in the order of the scores."""
        return self.head.classes

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups that were compared; ``predict`` needs one a text in mode "given"."""
        return self.head.groups

    @property
    def mode(self) -> str:
        """What is known of the group at use: "blind", "given" or "infer"."""
        return self.head.mode

    def hidden_states(self, texts: Sequence[str], *, batch_size: int = 32) -> NDArray[np.float32]:
        """Return the states before steering, ``(n_texts, d)``.

        Parameters
        ----------
        texts : sequence of str
        batch_size : int
            Texts run through the model at once.

        Raises
        ------
        InvalidInputError
            If a text is empty.
        """
        return read_states(
            self.model,
            self.tokenizer,
            texts,
            site=self.site,
            layer=self.layer,
            positions=self.positions,
            max_length=self.max_length,
            batch_size=batch_size,
            where="SteeredModel",
        )

    def decision_function(
        self, texts: Sequence[str], *, sensitive_features: Any = None, batch_size: int = 32
    ) -> NDArray[np.float64]:
        """Return class scores, ``(n_texts, n_classes)``.

        Parameters
        ----------
        texts : sequence of str
        sensitive_features : (n_texts,) or (n_texts, n_attributes), optional
            Groups; needed and read in mode "given" alone.
        batch_size : int
            Texts run through the model at once.

        Raises
        ------
        GroupsRequiredError
            If groups are needed and missing.
        UnknownGroupError
            If a group was not there when the maps were fitted.
        """
        states = self.hidden_states(texts, batch_size=batch_size)
        return self.head.scores(
            states, sensitive_features=sensitive_features, where="SteeredModel.predict"
        )

    def predict(
        self, texts: Sequence[str], *, sensitive_features: Any = None, batch_size: int = 32
    ) -> NDArray[Any]:
        """Return the class of every text, ``(n_texts,)``; arguments as `decision_function`."""
        scores = self.decision_function(
            texts, sensitive_features=sensitive_features, batch_size=batch_size
        )
        picked: NDArray[Any] = np.asarray(self.classes)[scores.argmax(axis=1)]
        return picked

    def predict_proba(
        self, texts: Sequence[str], *, sensitive_features: Any = None, batch_size: int = 32
    ) -> NDArray[np.float64]:
        """Return the softmax of the scores; arguments as `decision_function`."""
        scores = self.decision_function(
            texts, sensitive_features=sensitive_features, batch_size=batch_size
        )
        proba: NDArray[np.float64] = softmax(scores, axis=1)
        return proba

    def save(
        self,
        folder: str | os.PathLike[str],
        *,
        fingerprint: Mapping[str, Any] | None = None,
        certificate: Mapping[str, Any] | None = None,
    ) -> Path:
        """Write head, maps and where they belong; the base model is named, not copied.

        Parameters
        ----------
        folder : str or path-like
        fingerprint : mapping, optional
            From ``isonomy.artefact.data_fingerprint``.
        certificate : mapping, optional
            From ``Certificate.to_dict()``; default: the steerer's.

        Returns
        -------
        Path
            ``folder``.

        Raises
        ------
        OutputError
            If a file cannot be written; each is whole or absent.
        """
        folder = Path(folder)
        if certificate is None and self.steerer is not None:
            held = self.steerer.certificate_
            certificate = None if held is None else held.to_dict()
        if self.steerer is not None:
            self.steerer.save(folder / STEERER, fingerprint=fingerprint)
        save_artefact(
            folder / ARTEFACT,
            kind=KIND,
            config=self._config(),
            tensors=to_tensors(self.head) | {"known_state": self._known_state()},
            fingerprint=fingerprint,
            certificate=certificate,
        )
        return folder

    def _config(self) -> dict[str, Any]:
        config = getattr(self.model, "config", None)
        return {
            "mode": self.mode,
            "classes": list(self.classes),
            "groups": list(self.groups),
            "site": self.site,
            "layer": self.layer,
            "positions": self.positions,
            "max_length": self.max_length,
            "base_model": self.base_model,
            "revision": self.revision,
            "task": self.task,
            "dtype": str(getattr(self.model, "dtype", None)).removeprefix("torch."),
            "model_type": getattr(config, "model_type", None),
            "architecture": type(self.model).__name__,
            "hidden_size": self.head.hidden_size,
            "has_steerer": self.steerer is not None,
            "known_sentence": KNOWN_SENTENCE,
        }

    def _known_state(self) -> NDArray[np.float32]:
        found: NDArray[np.float32] = self.hidden_states([KNOWN_SENTENCE])[0]
        return found


def load_steered_model(
    folder: str | os.PathLike[str],
    *,
    model: Any = None,
    tokenizer: Any = None,
    dtype: Any = None,
    device: Any = None,
    device_map: Any = None,
    quantization: Literal["8bit", "4bit"] | None = None,
    trust_remote_code: bool = False,
) -> SteeredModel:
    """Return what ``isonomy steer --model`` wrote, ready to decide on texts.

    Parameters
    ----------
    folder : str or path-like
        Holds ``artefact.safetensors`` (and ``steerer.safetensors``).
    model : PreTrainedModel or str, optional
        The base model, or where it is now; default: where it was.
    tokenizer : tokenizer, optional
        Needed with a model that is passed in; else the model's own.
    dtype, device, device_map, quantization, trust_remote_code
        As for `load_model`; dtype by default the one that the states were read in.

    Returns
    -------
    SteeredModel

    Raises
    ------
    ArtefactError
        If there is no such artefact, or the base model is not the one that it was fitted on:
        its state of a stored sentence is compared.
    InvalidInputError
        If the base model cannot be loaded.

    Examples
    --------
    >>> load_steered_model("nowhere")
    Traceback (most recent call last):
        ...
    isonomy.errors.ArtefactError: `path` passed to `load_artefact` must be a file saved by \
isonomy, but 'nowhere/artefact.safetensors' does not exist. Check the spelling and the folder.
    """
    folder = Path(folder)
    artefact = load_artefact(folder / ARTEFACT, kind=KIND)
    config = artefact.config
    steerer = IdealSteerer.load(folder / STEERER) if config.get("has_steerer") else None
    if model is None or isinstance(model, str | os.PathLike):
        model, found = _load_base(
            config,
            None if model is None else str(model),
            # the states that were steered are those of this dtype
            dtype=dtype or config.get("dtype"),
            device=device,
            device_map=device_map,
            quantization=quantization,
            trust_remote_code=trust_remote_code,
        )
        tokenizer = found if tokenizer is None else tokenizer
    elif tokenizer is None:
        raise InvalidInputError(
            "`tokenizer` of `load_steered_model` must come with a `model` that is passed in, got "
            "None. Pass both, or the model by its name."
        )
    try:
        made = _restore(artefact, model, tokenizer, steerer)
        expected = artefact.tensors["known_state"]
    except KeyError as error:
        raise CorruptArtefactError(
            f"`folder` passed to `load_steered_model` must hold a whole artefact, got one without "
            f"{error}. Write it again with this version."
        ) from error
    _check_same_model(made, expected)
    return made


def _load_base(config: Mapping[str, Any], place: str | None, **options: Any) -> tuple[Any, Any]:
    """Load the base model from where it was, or from ``place``."""
    from isonomy.hidden_states._model._loading import load_model

    revision = config["revision"] if place is None else None
    name = place or config["base_model"]
    try:
        return load_model(name, task=config.get("task", "auto"), revision=revision, **options)
    except InvalidInputError as error:
        raise ArtefactError(
            f"`load_steered_model` needs the base model {config['base_model']!r}, and it cannot be "
            f"loaded: {error} Say where it is now with `model=`."
        ) from error


def _restore(
    artefact: Artefact, model: Any, tokenizer: Any, steerer: IdealSteerer | None
) -> SteeredModel:
    config = artefact.config
    used = steerer if config["mode"] == "infer" else None
    return SteeredModel(
        model=model,
        tokenizer=tokenizer,
        head=from_tensors(artefact.tensors, config, used),
        site=config["site"],
        layer=config["layer"],
        positions=config["positions"],
        max_length=config["max_length"],
        base_model=config["base_model"],
        revision=config["revision"],
        steerer=steerer,
        task=config.get("task", "auto"),
    )


def _check_same_model(made: SteeredModel, expected: NDArray[Any]) -> None:
    why = ""
    try:
        found = made._known_state()
    except InvalidInputError as error:  # it has no such layer, or no such part
        found, why = np.empty(0, dtype=np.float32), f" ({error})"
    if found.shape == expected.shape:
        size = float(np.linalg.norm(expected))
        drift = float(np.linalg.norm(found - expected)) / (size or 1.0)
        if drift <= LARGEST_DRIFT:
            return
        why = f" (its state of a known sentence is {drift:.2g} of its length away)"
    raise ArtefactError(
        f"`model` of `load_steered_model` must be {made.base_model}"
        f"{f' at {made.revision}' if made.revision else ''}, on whose states this artefact was "
        f"fitted, but the one given is another{why}. Pass the right model, or steer this one."
    )
