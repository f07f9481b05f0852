"""The judge: rates, gaps, intervals and tests. It shares no code with what it judges."""

from isonomy.metrics._counts import ConfusionCounts, confusion_counts
from isonomy.metrics.differences import (
    demographic_parity_difference,
    equal_opportunity_difference,
    equalized_odds_difference,
)
from isonomy.metrics.disparities import GroupMetric, by_group
from isonomy.metrics.gaps import ClassGaps, rms_tpr_gap, tpr_gap
from isonomy.metrics.intervals import (
    clopper_pearson_interval,
    newcombe_interval,
    wilson_interval,
)
from isonomy.metrics.label_bias import (
    ClassGroupAccuracy,
    bias_score,
    class_group_accuracy,
    cobias,
    head_tail_gap,
    macro_f1,
    recall_rsd,
)
from isonomy.metrics.planning import RowsNeeded, rows_needed
from isonomy.metrics.rates import RateTable, group_rates
from isonomy.metrics.scorers import GroupScorer, make_group_scorer
from isonomy.metrics.scores import Calibration, calibration
from isonomy.metrics.simultaneous import (
    GapBound,
    SimultaneousGapBounds,
    simultaneous_gap_bounds,
)

__all__ = [
    "Calibration",
    "ClassGaps",
    "ClassGroupAccuracy",
    "ConfusionCounts",
    "GapBound",
    "GroupMetric",
    "GroupScorer",
    "RateTable",
    "RowsNeeded",
    "SimultaneousGapBounds",
    "bias_score",
    "by_group",
    "calibration",
    "class_group_accuracy",
    "clopper_pearson_interval",
    "cobias",
    "confusion_counts",
    "demographic_parity_difference",
    "equal_opportunity_difference",
    "equalized_odds_difference",
    "group_rates",
    "head_tail_gap",
    "macro_f1",
    "make_group_scorer",
    "newcombe_interval",
    "recall_rsd",
    "rms_tpr_gap",
    "rows_needed",
    "simultaneous_gap_bounds",
    "tpr_gap",
    "wilson_interval",
]
