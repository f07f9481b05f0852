"""The whole tree of errors and warnings, with the moment at which to catch each.

Every error is an :class:`IsonomyError` and also a ``ValueError`` (what you passed
cannot be used) or a ``RuntimeError`` (what you asked for could not be done here).
Each message is one sentence or two: which argument of which function, what it must
be, what it was, what to try.
"""

from __future__ import annotations

__all__ = [
    "ArtefactError",
    "ArtefactKindError",
    "ArtefactVersionError",
    "ConvergenceError",
    "CorruptArtefactError",
    "DataFileError",
    "EmptyCellError",
    "FamilyError",
    "FoldError",
    "FoldWarning",
    "GroupsRequiredError",
    "IncompleteCheckpointWarning",
    "InvalidInputError",
    "IsonomyError",
    "IsonomyWarning",
    "MissingExtraError",
    "MissingGroupValuesError",
    "NonNormalWarning",
    "NotIdealError",
    "OutputError",
    "PaddingTokenWarning",
    "PluginError",
    "RareClassWarning",
    "RatioNotReachedWarning",
    "SameCountsError",
    "SameCountsWarning",
    "SingularCovarianceError",
    "SmallCellWarning",
    "SmallerBatchWarning",
    "SparseInputError",
    "TrainingStoppedError",
    "UndefinedRateWarning",
    "UnknownGroupError",
    "UnknownKeyWarning",
    "UnreadableImageError",
    "UnreadableImageWarning",
    "UnsupportedProgrammeError",
    "WorkerError",
]


class IsonomyError(Exception):
    """Catch it to handle every error that isonomy raises on purpose."""


class InvalidInputError(IsonomyError, ValueError):
    """Catch it when arguments come from outside and may have a wrong shape or value."""


class SparseInputError(InvalidInputError):
    """Catch it when ``X`` may be a sparse matrix; reduce it with ``TruncatedSVD`` first."""


class GroupsRequiredError(InvalidInputError):
    """Catch it when groups may be absent where the chosen mode needs them."""


class MissingGroupValuesError(InvalidInputError):
    """Catch it when some rows may lack a group value."""


class UnknownGroupError(InvalidInputError):
    """Catch it when rows to be steered may belong to a group that ``fit`` never saw."""


class EmptyCellError(InvalidInputError):
    """Catch it when a (label, group) pair may have no rows."""


class FamilyError(InvalidInputError):
    """Catch it when the data may lie outside the support of the chosen family."""


class SingularCovarianceError(InvalidInputError):
    """Catch it when columns may be collinear or a cell has fewer rows than features."""


class SameCountsError(InvalidInputError):
    """Catch it when all classes may have equally many rows, so that none is a rare one."""


class NotIdealError(InvalidInputError):
    """Catch it when groups that must stay may not be jointly ideal."""


class DataFileError(InvalidInputError):
    """Catch it when reading a user's CSV or Parquet file."""


class UnreadableImageError(DataFileError):
    """Catch it when pictures may be damaged or missing."""


class ArtefactError(InvalidInputError):
    """Catch it when loading a saved artefact, whatever is wrong with it."""


class ArtefactVersionError(ArtefactError):
    """Catch it when the artefact may come from a newer isonomy."""


class ArtefactKindError(ArtefactError):
    """Catch it when the file may hold another kind of artefact."""


class CorruptArtefactError(ArtefactError):
    """Catch it when the file may be truncated or altered."""


class FoldError(InvalidInputError):
    """Catch it when a map may not be foldable exactly into the weights at the site asked for."""


class UnsupportedProgrammeError(IsonomyError, NotImplementedError):
    """Catch it when a distribution may need a programme that is not built yet.

    ``NotImplementedError`` is a ``RuntimeError``.
    """


class ConvergenceError(IsonomyError, RuntimeError):
    """Catch it when you asked a solver to raise instead of returning its residual."""


class MissingExtraError(IsonomyError, RuntimeError):
    """Catch it when an optional extra may not be installed; the message names it."""


class OutputError(IsonomyError, RuntimeError):
    """Catch it when an output path may not be writable; nothing was left half-written."""


class PluginError(IsonomyError, RuntimeError):
    """Catch it when a name may not be registered, or two plugins claim the same name."""


class TrainingStoppedError(IsonomyError, RuntimeError):
    """Catch it when a loss may become NaN or infinite; weights and checkpoints are still good."""


class WorkerError(IsonomyError, RuntimeError):
    """Catch it when a process of a distributed run may fail for reasons outside isonomy."""


class IsonomyWarning(UserWarning):
    """Filter on it to silence or to raise every warning of isonomy."""


class UndefinedRateWarning(IsonomyWarning):
    """A rate has no rows to be computed from and is NaN, never 0."""


class FoldWarning(IsonomyWarning):
    """A folded model holds a new bias that its class cannot load back from a folder."""


class SameCountsWarning(IsonomyWarning):
    """All classes have as many training rows: none is rare, and what served rare ones is off."""


class NonNormalWarning(IsonomyWarning):
    """Columns do not look normal within cells where a normal law was fitted to them."""


class SmallCellWarning(IsonomyWarning):
    """A (label, group) pair has so few rows that its estimates lean on the other cells."""


class SmallerBatchWarning(IsonomyWarning):
    """Memory ran out for a batch; it and all later ones run in halves."""


class RatioNotReachedWarning(IsonomyWarning):
    """A data set has too few rows for the imbalance asked for; the message says what it got."""


class PaddingTokenWarning(IsonomyWarning):
    """A tokenizer has no padding token; its end of text is used as one."""


class RareClassWarning(IsonomyWarning):
    """A class has one training row or none."""


class IncompleteCheckpointWarning(IsonomyWarning):
    """A checkpoint is half-written or another trainer's, and an earlier one is taken."""


class UnknownKeyWarning(IsonomyWarning):
    """An artefact holds keys that this version does not know; each is named."""


class UnreadableImageWarning(IsonomyWarning):
    """Pictures that do not open were left out; the first are named."""
