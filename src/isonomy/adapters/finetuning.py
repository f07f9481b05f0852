"""``finetune``: from labelled rows and a model to a judged, documented adapter."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from isonomy.adapters._finetune._encoded import EncodedRows
from isonomy.adapters._finetune._model import Classifier, probabilities
from isonomy.adapters._finetune._options import WHERE, FinetuneOptions
from isonomy.adapters._finetune._rows import Columns, LabelledRows
from isonomy.adapters._finetune._run import Run
from isonomy.adapters._finetune._work import check_output
from isonomy.errors import InvalidInputError

__all__ = ["FineTuned", "FinetuneOptions", "finetune", "plan_finetuning"]

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class FineTuned:
    """A fine-tuned classifier, read back from the folder it was written to, and its result.

    Attributes
    ----------
    folder : Path
        Adapter, tokenizer, model card (``README.md``), report (``index.html``) and numbers
        (``report.json``).
    result : dict
        What ``report.json`` holds, of kind "finetuning".
    model : Module
        In evaluation mode: a ``PeftModel``, with "full" the model itself.
    tokenizer : tokenizer or image processor
    classes : tuple of str
        In the order of the outputs.
    """

    folder: Path
    result: dict[str, Any] = field(repr=False)
    model: Any = field(repr=False)
    tokenizer: Any = field(repr=False)
    classes: tuple[str, ...] = field(repr=False)
    classifier: Classifier = field(repr=False)

    def predict_proba(self, inputs: Sequence[Any], *, batch_size: int = 32) -> NDArray[np.float64]:
        """Return the probabilities of the classes.

        Parameters
        ----------
        inputs : sequence of str or pictures
        batch_size : int

        Returns
        -------
        (n, n_classes) array of float64
            Columns in the order of ``classes``.

        Raises
        ------
        InvalidInputError
            If ``inputs`` is one string, or holds something that is no text or picture.
        """
        if isinstance(inputs, str):
            raise InvalidInputError(
                "`inputs` passed to `FineTuned.predict` must be a list, got one string. Put it "
                "into a list."
            )
        n = len(inputs)
        kind: Literal["text", "image"] = self.result["data"]["kind"]
        rows = LabelledRows(
            "inputs", kind, list(inputs), np.zeros(n, dtype=np.int64), self.classes, None, None
        )
        data = EncodedRows(rows, np.arange(n), self.classifier.batcher)
        return probabilities(self.classifier, data, batch_size)

    def predict(self, inputs: Sequence[Any], *, batch_size: int = 32) -> list[str]:
        """Return the name of the most probable class of every row.

        Parameters
        ----------
        inputs : sequence of str or pictures
        batch_size : int

        Returns
        -------
        list of str
        """
        codes = self.predict_proba(inputs, batch_size=batch_size).argmax(axis=1)
        return [self.classes[int(k)] for k in codes]

    def to_dict(self) -> dict[str, Any]:
        """Return a copy of the result, ready for JSON."""
        return copy.deepcopy(self.result)


def finetune(
    model: Any,
    dataset: Any,
    *,
    label: str,
    output: str | os.PathLike[str],
    text: str | None = None,
    image: str | None = None,
    group: str | Sequence[str] | None = None,
    resume: bool = False,
    command: str | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> FineTuned:
    """Fine-tune a classifier so that rare classes are served like common ones, and judge it.

    Checks the data, splits them by class, trains, judges before and after on rows kept
    apart, and writes adapter, model card and report.

    Parameters
    ----------
    model : str, path or Module
        Name on the hub, folder, or a model in memory, which is changed in place.
    dataset : object
        As `isonomy.hidden_states.collect` takes it: columns, records, a frame, a
        ``datasets`` data set, a path to CSV, JSON Lines or Parquet, a name on the hub. With
        ``image`` also what `isonomy.datasets.load_images` returns, or a folder with a folder
        of pictures a class (within folders called train, validation and test, if there are);
        ``image`` and ``label`` may be any names then.
    label : str
        Column of the classes.
    output : path
        Folder of all that is written; new, empty, or an earlier result, which is replaced
        when the run has succeeded.
    text, image : str, optional
        Column of the texts, or of the pictures (paths, bytes or PIL): one of the two.
    group : str or sequence of str, optional
        Columns of protected attributes: the decisions are audited by group too.
    resume : bool
        Go on with a stopped run that was to write to ``output``.
    command : str, optional
        The command line, for the report.
    progress : callable, optional
        Called as ``progress(text, done, total)``.
    **options
        Passed on to `FinetuneOptions`.

    Returns
    -------
    FineTuned
        ``result`` follows the schema of reports of kind "finetuning".

    Raises
    ------
    InvalidInputError
        If an option, the model or the data cannot be used; nothing is left behind then.
    DataFileError
        If the data cannot be read, or an unfinished run is in the way.
    OutputError
        If ``output`` cannot be written.
    TrainingStoppedError
        If the loss became NaN or infinite: the last good checkpoint is kept.
    MissingExtraError
        If the extra ``report`` is not installed.

    Notes
    -----
    Until the run has succeeded, ``.NAME.unfinished`` beside the output folder NAME holds the
    checkpoints; a run that fails without one leaves nothing. It does not promise that rare
    classes gain: the report says what was measured, with intervals.

    Examples
    --------
    >>> found = finetune("my-model", "intents.csv", text="text", label="intent",
    ...                  output="intents-adapter")  # doctest: +SKIP
    >>> found.predict(["Where is my card?"])  # doctest: +SKIP
    ['card_arrival']
    """
    run = _run(model, dataset, label, text, image, group, command, progress, options)
    check_output(output, resume=resume)
    run.read()
    result, classifier = run.execute(Path(output), resume=resume)
    return FineTuned(
        folder=Path(output),
        result=result,
        model=classifier.body,
        tokenizer=classifier.reader,
        classes=classifier.classes,
        classifier=classifier,
    )


def plan_finetuning(
    model: Any,
    dataset: Any,
    *,
    label: str,
    text: str | None = None,
    image: str | None = None,
    group: str | Sequence[str] | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Return what `finetune` would cost, with the data checks and the class counts.

    The model is loaded and a few steps are timed; nothing is trained and nothing written.

    Parameters
    ----------
    model, dataset, label, text, image, group, progress
        As for `finetune`.
    **options
        Passed on to `FinetuneOptions`.

    Returns
    -------
    dict
        Kind "finetuning_plan": ``data`` (checks and counts), ``model``, ``training`` (what
        trains), ``cost`` (steps, tokens, estimated seconds, memory).

    Raises
    ------
    InvalidInputError
        If an option, the model or the data cannot be used.
    """
    run = _run(model, dataset, label, text, image, group, None, progress, options)
    return run.plan()


def _run(
    model: Any,
    dataset: Any,
    label: str,
    text: str | None,
    image: str | None,
    group: str | Sequence[str] | None,
    command: str | None,
    progress: Progress | None,
    options: dict[str, Any],
) -> Run:
    if (text is None) == (image is None):
        raise InvalidInputError(
            f"`{WHERE}` must be told one column to decide on: `text` (--text) or `image` "
            f"(--image), got {'neither' if text is None else 'both'}."
        )
    unknown = sorted(set(options) - set(FinetuneOptions.__dataclass_fields__))
    if unknown:
        raise InvalidInputError(
            f"`{unknown[0]}` passed to `{WHERE}` must be one of "
            f"{', '.join(FinetuneOptions.__dataclass_fields__)}."
        )
    groups = (group,) if isinstance(group, str) else tuple(group or ())
    columns = Columns(str(text or image), label, groups, "text" if image is None else "image")
    return Run(
        model,
        dataset,
        columns,
        FinetuneOptions(**options),
        progress or (lambda text, done, total: None),
        command,
    )
