"""IdealSteerer: carry rows to where the groups' distributions agree."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from isonomy._frames import column_list, without_columns
from isonomy._group_codes import MissingGroups, UnknownGroup
from isonomy._validation import check_labels
from isonomy.distributions import AffineMap, CellMoments
from isonomy.groups import GroupCodes, kamiran_calders_weights
from isonomy.ideal import Certificate, IdealSolution
from isonomy.steering._coordinates import Subspace
from isonomy.steering._counted import CountedRows, counted_rows
from isonomy.steering._explain import ExplainsRows, standard_deviations
from isonomy.steering._feasibility import FeasibilityReport
from isonomy.steering._feasible import FeasibleColumns
from isonomy.steering._held_out import CodedRows
from isonomy.steering._limits import learn_limits
from isonomy.steering._move import in_solution_coordinates, move_rows, report_limits
from isonomy.steering._persistence import Saved
from isonomy.steering._protected import protected_positions
from isonomy.steering._rank import RankCurve, choose_rank
from isonomy.steering._settings import check_settings
from isonomy.steering._solve import Solved, certificate_of, solve
from isonomy.steering._streaming import Streams
from isonomy.steering._working_scale import WorkingScale, choose_scale

if TYPE_CHECKING:
    from isonomy.distributions.families import FamilyChoice

__all__ = ["IdealSteerer"]


class IdealSteerer(Saved, ExplainsRows, Streams):
    """Carry the rows of every group to one common (canonical) set of class distributions.

    Parameters
    ----------
    groups : "blind", "given" or "infer"
        What is known of the group at deployment. "blind" (default): nothing; one map
        for everybody removes the directions that tell groups apart within classes.
        "given": one map per group, from the nearest ideal distribution. "infer": the
        maps of "given", weighted by a probe's posterior of the group.
    family : "normal", "lognormal", "nonparanormal", "student_t" or "auto"
        The law of a cell; "lognormal" steers log X and needs positive values;
        "nonparanormal" steers T(X), one strictly increasing spline a column, the same for
        all groups and labels; "student_t" has heavy tails ("given", "infer"; fitted without
        ``shrinkage``); "auto" leaves the choice among the first three to held-out rows.
    covariance : "tied", "full" or "diagonal"
        One within-class covariance per group (over its labels), one per cell, or
        variances alone.
    moves : "all", a group or several
        The groups that may move ("given", "infer"); those that stay must be jointly
        ideal.
    reference : group, optional
        Whose frame the rows are carried to. Default: the largest that stays.
    direction : "information" or "moment"
        KL(ideal || data) or KL(data || ideal).
    priors : "reweigh", "reference", "joint" or "keep"
        How the ideal's P(Y, A) is chosen.
    map_family : "affine", "symmetric" or "diagonal"
        The maps searched. With ``covariance="diagonal"`` "affine" means per column.
    subspace : "auto", "full" or "discriminant"
        Move the whole row, or only the at most K - 1 directions in which classes
        differ ("given", "infer"). "auto" moves the whole row where the smallest group has
        10 rows for every number that its map estimates, ``d (d + 3) / 2``.
    protected : columns, optional
        Columns that keep their value in every row, by name or position; the others are
        steered given them ("given", "infer": needs the defaults of ``covariance`` and
        ``map_family``, and as many free columns as classes less one).
    bounds : {column: (low, high)}, "observed" or None
        Where all rows end, by clipping once they are steered; None leaves a side open,
        "observed" takes the least and greatest value seen in ``fit``.
    integer_columns : columns, "auto" or None
        Rounded once they are steered, halves to even; "auto" takes the columns that held
        whole numbers alone in ``fit``.
    rank : "auto" or int
        Directions that "blind" removes; "auto" chooses on held-out rows. At most the
        rank of the within-class differences.
    shrinkage : "oas", a number in [0, 1] or None
        Of the covariances, toward the identity in whitened coordinates.
    strength : float
        In [0, 1]: how far rows go. "given", "infer": along maps that are invertible all the
        way; "blind": what is left of the removed directions is ``1 - strength``.
    cell_shrinkage : float
        "blind": a class whose smallest cell has n rows keeps n / (n + cell_shrinkage)
        of its own difference between groups.
    accuracy_tolerance : float
        "blind" with ``rank="auto"``: ranks that cost more held-out accuracy than this
        are not considered; rank 0 (rows stay) may be the outcome.
    probe : classifier, optional
        "infer": tells the group from the row; any scikit-learn classifier with
        ``predict_proba`` or ``decision_function``, or one already fitted on the groups'
        names in a ``FrozenEstimator``. Default: standardised logistic regression.
    probe_calibration : "sigmoid", "isotonic", "temperature" or None
        "infer": how scores become a posterior, learnt on rows that 5 refitted probes had
        not seen; None takes ``predict_proba`` as it is.
    inference : "soft", "hard" or "gated"
        "infer": a row moves to the posterior-weighted mean of its images under the
        groups' maps, so that a row in doubt moves less; or as the most probable group;
        or hard where that group's posterior reaches ``gate_threshold``, else soft.
    gate_threshold : float
        In [0, 1]: 0 is "hard" and 1 is "soft".
    training_rows : "given", "cross_fitted" or "inferred"
        "infer": what ``fit_transform`` returns, for the next step to learn from: rows
        steered by their true group, by a posterior that had not seen them, or as
        ``transform`` does.
    missing_groups : "raise", "single" or "own_group"
        Missing ``sensitive_features``: raise; take all rows as one group, unchanged;
        or (missing values) keep them as a group of their own.
    unknown_group : "error" or "identity"
        A group never seen in ``fit``: raise, or leave its rows unchanged.
    group_columns : name, index or sequence of them, optional
        Columns of X that hold the groups; they are taken out and dropped.
    n_jobs : int, optional
        Parallel folds of ``rank="auto"`` and of the probe.
    random_state : int, RandomState or None

    Attributes
    ----------
    maps_ : dict
        Group -> ``AffineMap`` of its rows (of log X for "lognormal", of T(X) for
        "nonparanormal").
    solution_ : IdealSolution or None
        The nearest ideal distribution, of the features (of log X or T(X) likewise), or of
        the coordinates that steering moves where these are fewer. For "blind": of the
        directions left, with each class's pooled law as the ideal. None for one group.
    certificate_ : Certificate
        What holds after steering, under which law.
    family_, family_choice_ : str, FamilyChoice or None
        The family used, and for "auto" how it was chosen.
    sample_weight_ : (n_samples,)
        Kamiran-Calders weights of the training rows times the caller's; None after
        ``partial_fit``.
    subspace_ : "full", "discriminant" or None
        "given", "infer": the subspace used; None for "blind" and for one group.
    rank_, rank_curve_ : int, RankCurve or None
        "blind": directions removed, and the held-out curve that chose them.
    feasibility_ : FeasibilityReport or None
        What ``bounds`` and ``integer_columns`` changed of the steered training rows; None
        where neither is set, where ``fit`` saw no rows, and once loaded.
    groups_, classes_, steered_columns_, untouched_columns_ : list
    probe_, probe_quality_, group_posterior_ : classifier, ProbeQuality, array or None
        "infer": the probe; what it knew of held-out rows; their posterior.

    Notes
    -----
    "given": affine maps of the closed form in this project's theory, section 3.3;
    "blind": section 4. Labels are used in ``fit`` only.

    Cells with fewer than 10 rows take means from the others ("given", "infer").

    What it does not promise: exactness holds for the fitted distribution under the
    reweighed law (see ``certificate_``), not for every finite sample; "blind" makes
    class-conditional means agree, not covariances; "infer" holds for rows whose group the
    probe knows (``probe_quality_``), and guesses a known group for a row of an unknown one.

    Examples
    --------
    >>> from isonomy.datasets import make_biased_normals
    >>> X, y, group, _ = make_biased_normals(2000, random_state=0)
    >>> steerer = IdealSteerer(groups="given").fit(X, y, sensitive_features=group)
    >>> moved = steerer.transform(X, sensitive_features=group)
    >>> moved.shape
    (2000, 4)
    """

    _state: Solved | None
    _certificate: Certificate | None
    sample_weight_: NDArray[np.float64] | None
    rank_: int | None

    __metadata_request__partial_fit = {"sensitive_features": True}

    def __init__(
        self,
        *,
        groups: Literal["blind", "given", "infer"] = "blind",
        family: Literal["normal", "lognormal", "nonparanormal", "student_t", "auto"] = "normal",
        covariance: Literal["tied", "full", "diagonal"] = "tied",
        moves: Any = "all",
        reference: Any = None,
        direction: Literal["information", "moment"] = "information",
        priors: Literal["reweigh", "reference", "joint", "keep"] = "reweigh",
        map_family: Literal["affine", "symmetric", "diagonal"] = "affine",
        subspace: Literal["auto", "full", "discriminant"] = "auto",
        protected: Collection[Hashable] | None = None,
        bounds: Mapping[Hashable, tuple[float | None, float | None]]
        | Literal["observed"]
        | None = None,
        integer_columns: Collection[Hashable] | Literal["auto"] | None = None,
        rank: Literal["auto"] | int = "auto",
        shrinkage: Literal["oas"] | float | None = "oas",
        strength: float = 1.0,
        cell_shrinkage: float = 10.0,
        accuracy_tolerance: float = 0.01,
        probe: Any = None,
        probe_calibration: Literal["sigmoid", "isotonic", "temperature"] | None = "sigmoid",
        inference: Literal["soft", "hard", "gated"] = "soft",
        gate_threshold: float = 0.8,
        training_rows: Literal["given", "cross_fitted", "inferred"] = "given",
        missing_groups: MissingGroups = "raise",
        unknown_group: UnknownGroup = "error",
        group_columns: Sequence[Any] | None = None,
        n_jobs: int | None = None,
        random_state: Any = None,
    ) -> None:
        self.groups = groups
        self.family = family
        self.covariance = covariance
        self.moves = moves
        self.reference = reference
        self.direction = direction
        self.priors = priors
        self.map_family = map_family
        self.subspace = subspace
        self.protected = protected
        self.bounds = bounds
        self.integer_columns = integer_columns
        self.rank = rank
        self.shrinkage = shrinkage
        self.strength = strength
        self.cell_shrinkage = cell_shrinkage
        self.accuracy_tolerance = accuracy_tolerance
        self.probe = probe
        self.probe_calibration = probe_calibration
        self.inference = inference
        self.gate_threshold = gate_threshold
        self.training_rows = training_rows
        self.missing_groups = missing_groups
        self.unknown_group = unknown_group
        self.group_columns = group_columns
        self.n_jobs = n_jobs
        self.random_state = random_state

    @property
    def maps_(self) -> dict[Any, AffineMap]:
        """Group -> the affine map of its rows, on the scale on which the family is normal."""
        return self._solved().maps

    @property
    def solution_(self) -> IdealSolution | None:
        """The ideal distribution that steered rows are compared with; None for one group."""
        return self._solved().solution

    @property
    def subspace_(self) -> Subspace | None:
        """The subspace that the groups' maps move; None for "blind" and for one group."""
        return self._solved().subspace

    @property
    def certificate_(self) -> Certificate | None:
        """What holds after steering; None for a single group, whose rows do not move."""
        solved = self._solved()
        if self._certificate is None:  # integrals that only their reader should pay for
            self._certificate = certificate_of(self, solved)
        return self._certificate

    def _start(self, n_features: int, classes: Any, groups: Any, scale: WorkingScale) -> None:
        for loaded in ("_scale", "_withheld_cells"):
            self.__dict__.pop(loaded, None)
        kind = self._covariance_kind()
        self.moments_ = CellMoments(n_features, covariance=kind, classes=classes, groups=groups)
        self._working, self.family_ = scale, scale.family
        self.family_choice_: FamilyChoice | None = None
        self.sample_weight_ = None
        self._limits: FeasibleColumns | None = None
        self.feasibility_: FeasibilityReport | None = None
        self.rank_curve_: RankCurve | None = None
        self.rank_ = None if self.rank == "auto" else int(self.rank)
        self._forget_probe()
        self._forget()

    @property
    def scale_(self) -> NDArray[np.float64]:
        """Standard deviation of every steered feature (of its log for "lognormal")."""
        check_is_fitted(self)
        stored: NDArray[np.float64] | None = getattr(self, "_scale", None)
        return standard_deviations(self.moments_) if stored is None else stored

    @property
    def cell_rows_(self) -> NDArray[np.intp]:
        """Training rows of every (label, group) cell, ``(n_classes, n_groups)``."""
        check_is_fitted(self)
        return self.moments_.n_rows

    def _covariance_kind(self) -> Literal["tied", "full", "diagonal"]:
        return "tied" if self.groups == "blind" else self.covariance

    def _forget(self) -> None:
        self._state = None
        self._certificate = None

    def _fit_values(
        self,
        values: NDArray[Any],
        y: NDArray[Any] | None,
        groups: GroupCodes,
        sample_weight: NDArray[np.float64] | None,
    ) -> None:
        where = "IdealSteerer.fit"
        check_settings(self, where=where)
        labels = check_labels(y, where=where)
        counted = counted_rows(CountedRows(values, labels, groups, sample_weight), where=where)
        kinds = {"covariance": self._covariance_kind(), "shrinkage": self.shrinkage}
        names = self.steered_columns_
        scale, choice = choose_scale(self.family, counted, names, **kinds, where=where)
        work = scale.ahead(values, self.steered_columns_, where=where)
        rows = counted_rows(CountedRows(work, labels, groups, sample_weight), where=where)
        limits = learn_limits(self, counted.values, where=where)
        self._start(work.shape[1], None, None, scale)
        self.family_choice_, self._limits = choice, limits
        rows.add_to(self.moments_)
        self.classes_, self.groups_ = list(self.moments_.classes), list(rows.groups.labels)
        self.sample_weight_ = kamiran_calders_weights(
            labels, sensitive_features=groups.codes, sample_weight=sample_weight
        )
        if rows.n_groups == 1:
            self._state = Solved.unmoved(self.groups_, work.shape[1])
            if limits is not None:
                report_limits(self, counted.values, counted.groups.codes, where=where)
            return
        coded = CodedRows(rows.values, rows.y_codes, rows.groups.codes, rows.weight, rows.n_groups)
        if self.groups == "blind" and self.rank == "auto":
            self.rank_curve_ = choose_rank(
                coded,
                cell_shrinkage=self.cell_shrinkage,
                accuracy_tolerance=self.accuracy_tolerance,
                protected=protected_positions(self, where=where),
                n_jobs=self.n_jobs,
                random_state=self.random_state,
            )
            self.rank_ = self.rank_curve_.chosen
        self._state = solve(self, rows=rows, where=where)
        if self.groups == "infer":
            self._fit_probe(rows, work, sample_weight)
        if limits is not None:
            report_limits(self, counted.values, counted.groups.codes, where=where)

    def _solved(self) -> Solved:
        check_is_fitted(self)
        if self._state is None:
            self._state = solve(self, where="IdealSteerer.fit")
        return self._state

    def _solution_coordinates(self, X: Any) -> NDArray[np.float64]:
        """Return rows in the coordinates of ``solution_``; ``certify`` asks for them."""
        rest = without_columns(X, column_list(self.group_columns), where="certify")
        table = self._read(X, rest, where="certify", reset=False)
        return in_solution_coordinates(self, table.values, where="certify")

    def _uses_groups_at_transform(self) -> bool:
        return self.groups == "given"

    def _transform_values(
        self, values: NDArray[Any], codes: NDArray[np.intp] | None
    ) -> NDArray[Any]:
        return move_rows(self, values, codes, where="IdealSteerer.transform")
