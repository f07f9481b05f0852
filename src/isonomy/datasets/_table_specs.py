"""What each real table is: files, label, groups, features, and which columns stay out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from isonomy.datasets._table_files import TextFile

__all__ = ["SPECS", "Attribute", "TableSpec"]

Texts = Mapping[str, NDArray[np.object_]]


@dataclass(frozen=True)
class Attribute:
    """A column that may serve as groups.

    ``names`` spells its values; ``proxies`` are columns that it was computed from, which
    leave the features with it.
    """

    column: str
    names: Mapping[str, str] = field(default_factory=dict)
    proxies: tuple[str, ...] = ()


@dataclass(frozen=True)
class TableSpec:
    """How one published table is read.

    ``label_columns`` are its possible names; ``label`` maps its values to 0 or 1.
    ``numeric`` None: every column not named elsewhere. ``keep`` returns the rows to keep.
    """

    title: str
    folder: str
    source: str
    licence: str
    files: tuple[TextFile, ...]
    label_columns: tuple[str, ...]
    label: Mapping[str, int]
    target_names: tuple[str, str]
    attributes: tuple[Attribute, ...]
    categorical: tuple[str, ...]
    numeric: tuple[str, ...] | None
    left_out: Mapping[str, str] = field(default_factory=dict)
    filter_columns: tuple[str, ...] = ()
    keep: Callable[[Texts], NDArray[np.bool_]] | None = None
    filtered: str = ""


_UCI = "https://archive.ics.uci.edu/dataset"
_COPIES = "https://github.com/tailequy/fairness_dataset"
_YES_NO = {"0": 0, "1": 1, "0.0": 0, "1.0": 1}
_ADULT = (
    "age", "workclass", "fnlwgt", "education", "education-num", "marital-status", "occupation",
    "relationship", "race", "sex", "capital-gain", "capital-loss", "hours-per-week",
    "native-country", "income-per-year",
)  # fmt: skip


def _propublica(table: Texts) -> NDArray[np.bool_]:
    """Keep what ProPublica kept: an arrest within 30 days of the score, a known outcome."""
    days = np.array([float(d) if d else np.nan for d in table["days_b_screening_arrest"]])
    near: NDArray[np.bool_] = np.abs(days) <= 30  # NaN is not near
    scored = ~np.isin(table["score_text"], ["N/A", ""])
    kept: NDArray[np.bool_] = near & scored & (table["is_recid"] != "-1")
    return kept & ~np.isin(table["c_charge_degree"], ["O"])


def _married_or_single(table: Texts) -> NDArray[np.bool_]:
    kept: NDArray[np.bool_] = np.isin(table["marital"], ["married", "single"])
    return kept


SPECS: dict[str, TableSpec] = {
    "adult": TableSpec(
        title="Adult: does a person's income in the census of 1994 exceed 50,000 dollars?",
        folder="adult",
        source=f"{_UCI}/2/adult",
        licence="CC BY 4.0",
        files=(
            TextFile("adult.data", header=_ADULT, more=("adult.test",), comment="|"),
            TextFile("adult_train.csv"),
        ),
        label_columns=("income-per-year", "income"),
        label={"<=50K": 0, ">50K": 1, "<=50K.": 0, ">50K.": 1},
        target_names=("<=50K", ">50K"),
        attributes=(Attribute("sex"), Attribute("race")),
        categorical=(
            "workclass", "marital-status", "occupation", "relationship", "race", "sex",
            "native-country",
        ),
        numeric=("age", "education-num", "capital-gain", "capital-loss", "hours-per-week"),
        left_out={
            "fnlwgt": "a weight of the survey, not of the person",
            "education": "the same as education-num, in words",
        },
    ),
    "compas": TableSpec(
        title="COMPAS: is a defendant in Broward County charged again within two years?",
        folder="compas",
        source="https://github.com/propublica/compas-analysis (compas-scores-two-years.csv)",
        licence="none stated (public records)",
        files=(TextFile("compas_two_years.csv"), TextFile("compas-scores-two-years.csv")),
        label_columns=("two_year_recid",),
        label=_YES_NO,
        target_names=("not charged again", "charged again"),
        attributes=(
            Attribute("race"),
            Attribute("sex"),
            Attribute("age_cat", proxies=("age",)),
        ),
        categorical=("sex", "age_cat", "race", "c_charge_degree"),
        numeric=("age", "juv_fel_count", "juv_misd_count", "juv_other_count", "priors_count"),
        left_out={
            "decile_score, score_text, v_decile_score, v_score_text": "the score under study",
            "is_recid, is_violent_recid": "tell the outcome",
            "days_b_screening_arrest, c_days_from_compas": "used by the filter, or dates",
            "c_charge_desc": "hundreds of free texts",
        },
        filter_columns=("days_b_screening_arrest", "is_recid", "c_charge_degree", "score_text"),
        keep=_propublica,
        filtered="ProPublica's filter: arrest within 30 days of screening, outcome known, no "
        "ordinary traffic offence, score present.",
    ),
    "law_school": TableSpec(
        title="Law school: does a student pass the bar examination (LSAC, 1991 to 1997)?",
        folder="law_school",
        source=f"{_COPIES} (law_school_clean.csv)",
        licence="none stated",
        files=(TextFile("law_school.csv"), TextFile("law_school_clean.csv")),
        label_columns=("pass_bar",),
        label=_YES_NO,
        target_names=("failed", "passed"),
        attributes=(
            Attribute("race"),
            Attribute("male", {"0": "female", "0.0": "female", "1": "male", "1.0": "male"}),
        ),
        categorical=("race",),
        numeric=(
            "decile1b", "decile3", "lsat", "ugpa", "zfygpa", "zgpa", "fulltime", "fam_inc", "male",
            "tier",
        ),
    ),
    "credit_default": TableSpec(
        title="Credit default: does a holder of a credit card in Taiwan default next month?",
        folder="credit_default",
        source=f"{_UCI}/350/default+of+credit+card+clients (saved as CSV)",
        licence="CC BY 4.0",
        files=(TextFile("credit_default.csv"), TextFile("credit-card-clients.csv")),
        label_columns=(
            "default payment", "default payment next month", "default.payment.next.month",
        ),
        label=_YES_NO,
        target_names=("paid", "defaulted"),
        attributes=(
            Attribute("SEX", {"1": "male", "2": "female"}),
            Attribute("EDUCATION"),
            Attribute("MARRIAGE", {"0": "unknown", "1": "married", "2": "single", "3": "other"}),
        ),
        categorical=("SEX", "EDUCATION", "MARRIAGE"),
        numeric=(
            "LIMIT_BAL", "AGE", "PAY_0", "PAY_2", "PAY_3", "PAY_4", "PAY_5", "PAY_6",
            *(f"{kind}_AMT{month}" for kind in ("BILL", "PAY") for month in range(1, 7)),
        ),
    ),
    "bank_marketing": TableSpec(
        title="Bank marketing: does a client of a Portuguese bank subscribe a term deposit?",
        folder="bank_marketing",
        source=f"{_UCI}/222/bank+marketing (bank-full.csv)",
        licence="CC BY 4.0",
        files=(TextFile("bank_marketing.csv"), TextFile("bank-full.csv", delimiter=";")),
        label_columns=("y",),
        label={"no": 0, "yes": 1},
        target_names=("no", "yes"),
        attributes=(Attribute("marital"),),
        categorical=(
            "job", "marital", "education", "default", "housing", "loan", "contact", "month",
            "poutcome",
        ),
        numeric=("age", "balance", "day", "duration", "campaign", "pdays", "previous"),
        filter_columns=("marital",),
        keep=_married_or_single,
        filtered="Only married and single clients, as in the comparisons that use marital status.",
    ),
    "communities": TableSpec(
        title="Communities and crime: does a community have a high rate of violent crime?",
        folder="communities_crime",
        source=f"{_COPIES} (communities_crime.csv; UCI's table with the label `class` and `Black`)",
        licence="CC BY 4.0",
        files=(TextFile("communities_crime.csv"),),
        label_columns=("class",),
        label=_YES_NO,
        target_names=("not high", "high"),
        attributes=(
            Attribute(
                "Black",
                {"0": "few Black residents", "1": "more Black residents"},
                proxies=("racepctblack",),
            ),
        ),
        categorical=(),
        numeric=None,
        left_out={
            "state": "a code", "communityname": "a name", "fold": "a number of a fold",
            "ViolentCrimesPerPop": "the label was cut from it",
        },
    ),
    "german_credit": TableSpec(
        title="German credit: is a loan of a bank in southern Germany a good risk?",
        folder="german_credit",
        source=f"{_COPIES} (german_data_credit.csv; UCI's Statlog table with words for codes)",
        licence="CC BY 4.0",
        files=(TextFile("german_credit.csv"), TextFile("german_data_credit.csv")),
        label_columns=("class-label",),
        label=_YES_NO,
        target_names=("bad", "good"),
        attributes=(Attribute("sex"), Attribute("foreign-worker")),
        categorical=(
            "checking-account", "credit-history", "purpose", "savings-account",
            "employment-since", "other-debtors", "property", "other-installment", "housing", "job",
            "telephone", "foreign-worker", "sex", "marital-status",
        ),
        numeric=(
            "duration", "credit-amount", "installment-rate", "residence-since", "age",
            "existing-credits", "numner-people-provide-maintenance-for",
        ),
    ),
}  # fmt: skip
"""The tables that `load_table` knows, by name."""
