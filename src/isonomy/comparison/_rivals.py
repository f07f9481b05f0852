"""The other systems that are fitted only when they are named: erasers, samplers, programmes."""

from __future__ import annotations

from typing import Any

from isonomy.baselines import (
    INLP,
    DifferenceOfMeans,
    DisparateImpactRemover,
    LinearPost,
    OracleLEACE,
    Oversampling,
    QuadraticLEACE,
    Undersampling,
)
from isonomy.comparison._method import Factory, Method
from isonomy.comparison.bridges import (
    CorrelationRemoverBridge,
    ExponentiatedGradientBridge,
    ThresholdOptimizerBridge,
)
from isonomy.steering import SteeredClassifier

__all__ = ["RIVALS"]


def _moved_by(mover: type) -> Factory:
    def make(estimator: Any, random_state: int | None) -> Any:
        return SteeredClassifier(
            estimator, steerer=mover(), reweigh=False, calibrator=None, random_state=random_state
        )

    return make


def _around(wrapper: type, **settings: Any) -> Factory:
    def make(estimator: Any, random_state: int | None) -> Any:
        return wrapper(estimator, **settings, random_state=random_state)

    return make


def _linear_post_given(estimator: Any, random_state: int | None) -> Any:
    # p(k | x, a) from the cell: without the group its rates are misjudged on real biographies
    return LinearPost(estimator, cell_estimator=estimator, random_state=random_state)


RIVALS = (
    Method(
        "inlp",
        "INLP",
        "baseline",
        "blind",
        "Linear probes for the group are fitted one after another and the features projected on "
        "what they cannot see (Ravfogel and others, 2020).",
        _moved_by(INLP),
    ),
    Method(
        "leace_oracle",
        "LEACE, group given",
        "baseline",
        "given",
        "What is linear about the group is taken out, given the group of every row: the least "
        "change of all erasures (Belrose and others, 2023).",
        _moved_by(OracleLEACE),
    ),
    Method(
        "leace_quadratic",
        "Quadratic LEACE",
        "baseline",
        "given",
        "Every group's mean and covariance are moved onto their barycentre "
        "(Belrose and others, 2023).",
        _moved_by(QuadraticLEACE),
    ),
    Method(
        "difference_of_means",
        "Difference of means",
        "baseline",
        "blind",
        "The directions between the groups' means are projected out.",
        _moved_by(DifferenceOfMeans),
    ),
    Method(
        "disparate_impact_remover",
        "Disparate-impact remover",
        "baseline",
        "given",
        "Every feature is given one distribution in all groups, rank by rank "
        "(Feldman and others, 2015).",
        _moved_by(DisparateImpactRemover),
    ),
    Method(
        "oversampling",
        "Oversampling",
        "baseline",
        "blind",
        "Rows of cells that are too small are repeated before the classifier is fitted.",
        _around(Oversampling),
    ),
    Method(
        "undersampling",
        "Undersampling",
        "baseline",
        "blind",
        "Rows of cells that are too large are left out before the classifier is fitted.",
        _around(Undersampling),
    ),
    Method(
        "linear_post",
        "LinearPost, group given",
        "baseline",
        "given",
        "A linear programme on cross-fitted scores finds the decisions of least cost whose "
        "estimated true positive rates differ by at most .01 (Xian and Zhao, 2024).",
        _linear_post_given,
    ),
    Method(
        "linear_post_blind",
        "LinearPost, blind",
        "baseline",
        "blind",
        "The linear programme with a model of the (class, group) cell in place of the group "
        "(Xian and Zhao, 2024).",
        _around(LinearPost, groups="blind"),
    ),
    Method(
        "fairlearn_exponentiated_gradient",
        "Exponentiated gradient (fairlearn)",
        "baseline",
        "blind",
        "A random mixture of classifiers fitted on shifting weights, under equalized odds on the "
        "training rows; two classes only, decisions by chance (Agarwal and others, 2018).",
        _around(ExponentiatedGradientBridge, constraint="equalized_odds"),
    ),
    Method(
        "fairlearn_threshold_optimizer",
        "Threshold optimiser (fairlearn)",
        "baseline",
        "given",
        "Every group's scores are cut at random thresholds, under equalized odds on the training "
        "rows; two classes only, decisions by chance (Hardt and others, 2016).",
        _around(ThresholdOptimizerBridge, constraint="equalized_odds"),
    ),
    Method(
        "fairlearn_correlation_remover",
        "Correlation remover (fairlearn)",
        "baseline",
        "given",
        "The regression of every feature on the group is taken out.",
        _moved_by(CorrelationRemoverBridge),
    ),
)
"""Methods that ``compare_methods`` fits when it is asked for them by name."""
