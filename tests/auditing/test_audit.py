"""``audit``: what it reports, that it agrees with the metrics, what it withholds."""

from __future__ import annotations

import json

import numpy as np
import pytest

from isonomy.auditing import AuditResult, audit
from isonomy.errors import InvalidInputError, MissingGroupValuesError
from isonomy.metrics import (
    by_group,
    calibration,
    demographic_parity_difference,
    equal_opportunity_difference,
    equalized_odds_difference,
    rms_tpr_gap,
    tpr_gap,
)

METRICS = {
    "demographic_parity_difference",
    "equal_opportunity_difference",
    "equalized_odds_difference",
    "accuracy_difference",
    "rms_tpr_gap",
    "rms_tpr_gap_precision",
}


def make_rows(seed=0, n=1500, classes=("cook", "judge", "nurse"), gap=0.0, groups=("f", "m")):
    rng = np.random.default_rng(seed)
    y, g = rng.choice(classes, n), rng.choice(groups, n)
    right = rng.random(n) < 0.75 + gap * np.where(g == groups[0], 0.5, -0.5)
    return y, np.where(right, y, rng.choice(classes, n)), g


def test_values_are_those_of_the_metrics():
    y, p, g = make_rows(gap=0.2)
    found = audit(y, p, sensitive_features=g, n_boot=200)
    call = {"sensitive_features": g}
    values = {d["metric"]: d["value"] for d in found.disparities}
    assert values.keys() == METRICS
    assert values["demographic_parity_difference"] == demographic_parity_difference(y, p, **call)
    assert values["equal_opportunity_difference"] == equal_opportunity_difference(y, p, **call)
    assert values["equalized_odds_difference"] == equalized_odds_difference(y, p, **call)
    for name, weighting in (("rms_tpr_gap", "equal"), ("rms_tpr_gap_precision", "precision")):
        entry = found.disparity(name)
        assert entry["value"] == pytest.approx(rms_tpr_gap(y, p, weighting=weighting, **call))
        assert entry["corrected"] == pytest.approx(
            rms_tpr_gap(y, p, weighting=weighting, corrected=True, **call)
        )
        assert entry["low"] <= entry["value"] <= entry["high"]
    gaps = tpr_gap(y, p, **call)
    assert {e["class"]: e["gap"] for e in found.class_gaps} == pytest.approx(dict(gaps))
    assert found.overall["accuracy"]["value"] == pytest.approx((y == p).mean())


def test_every_rate_has_n_and_an_interval_around_it():
    y, p, g = make_rows()
    found = audit(y, p, sensitive_features=g, n_boot=200)
    assert len(found.by_group) == 2 * (1 + 4 * 3)
    for entry in found.by_group:
        assert entry["low"] <= entry["value"] <= entry["high"]
        assert entry["n"] == entry["n_effective"] >= 10
        assert entry["reason"] is None
    for entry in found.class_gaps:
        assert entry["simultaneous_low"] < entry["low"] < entry["gap"]
        assert entry["gap"] < entry["high"] < entry["simultaneous_high"]


def test_a_gap_is_detected_where_there_is_one_and_not_elsewhere():
    with_gap = audit(*make_rows(gap=0.2)[:2], sensitive_features=make_rows(gap=0.2)[2], n_boot=500)
    y, p, g = make_rows(gap=0.0)
    without = audit(y, p, sensitive_features=g, n_boot=500)
    assert with_gap.decision["gap_detected"] is True
    assert without.decision["gap_detected"] is False
    assert "No gap in true-positive rates was detected" in str(without)
    assert with_gap.disparity("equal_opportunity_difference")["low"] > 0
    assert without.disparity("equal_opportunity_difference")["low"] == 0


def test_sentences_say_the_numbers():
    y = ["nurse"] * 40 + ["cook"] * 40
    p = ["nurse"] * 20 + ["nurse"] * 10 + ["cook"] * 10 + ["cook"] * 40
    g = ["f"] * 20 + ["m"] * 20 + ["f", "m"] * 20
    found = audit(y, p, sensitive_features=g, n_boot=200)
    sentence = found.disparity("equal_opportunity_difference")["sentence"]
    assert sentence.startswith(
        "Among people whose true class is nurse, 100.0 % of group f and 50.0 % of group m are "
        "recognised as such: a difference of 50.0 percentage points"
    )
    odds = found.disparity("equalized_odds_difference")
    assert (odds["class"], odds["value"]) == ("nurse", 0.5)
    assert found.data["pos_label"] == "nurse"


def test_the_same_seed_gives_the_same_json_and_json_gives_the_result_back():
    y, p, g = make_rows(n=300)
    first = audit(y, p, sensitive_features=g, n_boot=200, random_state=3).to_dict()
    second = audit(y, p, sensitive_features=g, n_boot=200, random_state=3).to_dict()
    assert first == second
    text = json.dumps(first, allow_nan=False)
    assert AuditResult.from_dict(json.loads(text)).to_dict() == first
    other = audit(y, p, sensitive_features=g, n_boot=200, random_state=4).to_dict()
    assert other["disparities"] != first["disparities"]
    assert [d["value"] for d in other["disparities"]] == [d["value"] for d in first["disparities"]]


def test_row_order_changes_no_number():
    y, p, g = make_rows(n=300)
    order = np.random.default_rng(0).permutation(300)
    first = audit(y, p, sensitive_features=g, n_boot=200)
    second = audit(y[order], p[order], sensitive_features=g[order], n_boot=200)
    assert first.to_dict() == second.to_dict()


def test_an_undefined_rate_is_null_with_its_reason():
    y = ["a"] * 30 + ["b"] * 30 + ["c"] * 15
    g = ["f", "m"] * 30 + ["m"] * 15
    found = audit(y, y, sensitive_features=g, n_boot=200)
    entry = next(
        e
        for e in found.by_group
        if (e["metric"], e["class"], e["group"]) == ("true_positive_rate", "c", "f")
    )
    assert entry["value"] is None
    assert entry["low"] is None
    assert entry["n"] == 0
    assert entry["reason"] == "no rows of this class in the group"
    gap = next(e for e in found.class_gaps if e["class"] == "c")
    assert gap["gap"] is None
    assert gap["reason"] == "no rows of this class in f"
    assert {"class": "c", "reason": "fewer than 30 people in f, m"} in found.data["rare_classes"]
    assert found.disparity("rms_tpr_gap")["classes_left_out"] == ["c"]


def test_a_single_small_group_is_left_out_of_every_number():
    y, p, g = make_rows(n=600)
    rare = np.r_[g, ["x"] * 3]
    found = audit(np.r_[y, y[:3]], np.r_[p, p[:3]], sensitive_features=rare, n_boot=200).to_dict()
    expected = audit(y, p, sensitive_features=g, n_boot=200).to_dict()
    for key in ("n_samples", "overall", "by_group", "disparities", "class_gaps"):
        assert found[key] == expected[key]
    hidden = found["groups"][-1]
    assert hidden == {"name": "x", "n": None, "share": None, "withheld": True, "pooled": []}
    assert found["not_computed"] == [
        {"what": "everything about group x", "why": "withheld: fewer than 10 people"}
    ]


def test_small_groups_are_pooled_when_they_suffice_together():
    y, p, g = make_rows(n=600)
    g = np.r_[g[:-12], ["x"] * 5, ["z"] * 7]
    found = audit(y, p, sensitive_features=g, n_boot=200)
    pooled = found.data["groups"][-1]
    assert (pooled["name"], pooled["n"], pooled["pooled"]) == ("(small groups)", 12, ["x", "z"])
    assert found.data["n_samples"] == 600
    assert not {e["group"] for e in found.by_group} & {"x", "z"}


def test_small_cells_are_withheld_with_what_would_give_them_away():
    # in group f: 3 rows of class c, 15 of b, 40 of a; b goes too, or f's accuracy less a and
    # b would tell about the three
    y = ["a"] * 40 + ["b"] * 15 + ["c"] * 3 + ["a", "b", "c"] * 30
    g = ["f"] * 58 + ["m"] * 90
    found = audit(y, y, sensitive_features=g, n_boot=200)
    rates = {
        (e["class"], e["group"]): e for e in found.by_group if e["metric"] == "true_positive_rate"
    }
    for label in ("b", "c"):
        hidden = rates[label, "f"]
        assert hidden["value"] is hidden["low"] is hidden["n"] is hidden["n_effective"] is None
        assert hidden["reason"] == "withheld: fewer than 10 people"
    assert rates["a", "f"]["value"] == 1
    gaps = {e["class"]: e for e in found.class_gaps}
    assert gaps["c"]["gap"] is gaps["c"]["n_group"] is None
    assert gaps["c"]["n_reference"] == 30
    assert found.disparity("equal_opportunity_difference")["classes_left_out"] == ["c"]
    assert any("c" in e["what"] for e in found.data["not_computed"])


def test_in_two_classes_false_positives_do_not_give_away_a_withheld_rate():
    y = [1] * 4 + [0] * 40 + [0, 1] * 40
    p = [1] * 3 + [0] * 41 + [0, 1] * 40
    g = ["f"] * 44 + ["m"] * 80
    found = audit(y, p, sensitive_features=g, n_boot=200)
    shown = [e for e in found.by_group if e["group"] == "f" and e["value"] is not None]
    conditional = {"true_positive_rate", "false_positive_rate"}
    assert not conditional & {e["metric"] for e in shown}


def test_several_columns_are_crossed_and_each_alone():
    pd = pytest.importorskip("pandas")
    y, p, sex = make_rows(n=1200)
    age = np.random.default_rng(9).choice(["old", "young"], 1200)
    frame = pd.DataFrame({"sex": sex, "age": age})
    found = audit(y, p, sensitive_features=frame, n_boot=200)
    assert [g["name"] for g in found.data["groups"]] == ["f, old", "f, young", "m, old", "m, young"]
    assert [m["column"] for m in found.data["marginals"]] == ["sex", "age"]
    alone = audit(y, p, sensitive_features=sex, n_boot=200)
    marginal = found.data["marginals"][0]
    assert [d["value"] for d in marginal["disparities"]] == [d["value"] for d in alone.disparities]
    assert marginal["by_group"] == alone.by_group
    assert alone.data["marginals"] == []


def test_controls_repeat_the_disparities_at_each_level():
    y, p, g = make_rows(n=1200)
    site = np.where(np.arange(1200) < 600, "north", "south").astype(object)
    site[-4:] = "west"
    found = audit(y, p, sensitive_features=g, control_features=site, n_boot=200)
    levels = {c["level"]: c for c in found.data["controls"]}
    north = audit(y[:600], p[:600], sensitive_features=g[:600], n_boot=200)
    assert [d["value"] for d in levels["north"]["disparities"]] == [
        d["value"] for d in north.disparities
    ]
    assert levels["west"]["n"] is None
    assert levels["west"]["disparities"] == []
    assert "fewer than 10" in levels["west"]["reason"]


def test_scores_are_judged_by_group():
    rng = np.random.default_rng(0)
    g = rng.choice(["f", "m"], 800)
    score = rng.random(800)
    y = (rng.random(800) < score).astype(int)
    found = audit(y, score > 0.5, sensitive_features=g, y_score=score, n_boot=200)
    entries = {(e["metric"], e["group"]): e for e in found.data["scores"]["by_group"]}
    from sklearn.metrics import roc_auc_score

    auc = by_group(roc_auc_score, y, score, sensitive_features=g)
    bias = calibration(y, score, sensitive_features=g).bias
    for group in "fm":
        assert entries["roc_auc", group]["value"] == pytest.approx(auc.by_group[group])
        assert entries["mean_score_minus_rate", group]["value"] == pytest.approx(
            bias.by_group[group]
        )
    for entry in entries.values():
        assert entry["low"] <= entry["high"]
    difference = {d["metric"]: d for d in found.data["scores"]["disparities"]}
    assert difference["roc_auc"]["value"] == pytest.approx(auc.difference)
    assert difference["roc_auc"]["low"] <= auc.difference <= difference["roc_auc"]["high"]
    two_columns = np.column_stack([1 - score, score])
    again = audit(y, score > 0.5, sensitive_features=g, y_score=two_columns, n_boot=200)
    assert again.data["scores"] == found.data["scores"]


def test_scores_outside_the_unit_interval_are_only_ranked():
    y, g = [0, 1] * 40, ["f", "f", "m", "m"] * 20
    found = audit(y, y, sensitive_features=g, y_score=np.array(y) * 6.0 - 3, n_boot=200)
    assert {e["metric"] for e in found.data["scores"]["by_group"]} == {"roc_auc"}
    assert "outside [0, 1]" in found.data["not_computed"][-1]["why"]


def test_weights_change_rates_and_shrink_effective_sizes():
    y, p, g = make_rows(n=400)
    w = np.random.default_rng(0).random(400) + 0.05
    found = audit(y, p, sensitive_features=g, sample_weight=w, n_boot=200)
    assert found.data["weighted"]
    assert found.overall["accuracy"]["value"] == pytest.approx(np.average(y == p, weights=w))
    assert all(e["n_effective"] < e["n"] for e in found.by_group)
    for entry in found.disparities:
        assert 0 < entry["p_value"] <= 1
    plain = audit(y, p, sensitive_features=g, sample_weight=np.ones(400), n_boot=200)
    assert plain.to_dict() == audit(y, p, sensitive_features=g, n_boot=200).to_dict()


def test_weights_of_zero_are_rows_left_out():
    y, p, g = make_rows(n=400)
    w = np.ones(400)
    w[300:] = 0
    site = np.array(["n", "s"] * 200)
    score = np.full((400, 3), 1 / 3)
    call = {"n_boot": 200}
    found = audit(
        y, p, sensitive_features=g, sample_weight=w, control_features=site, y_score=score, **call
    )
    expected = audit(
        y[:300], p[:300], sensitive_features=g[:300], control_features=site[:300],
        y_score=score[:300], **call,
    )  # fmt: skip
    assert found.to_dict() == expected.to_dict()


def test_reference_group_sets_the_sign():
    y, p, g = make_rows(gap=0.2)
    first = audit(y, p, sensitive_features=g, reference_group="f", n_boot=200)
    second = audit(y, p, sensitive_features=g, reference_group="m", n_boot=200)
    assert first.data["reference_group"] == "f"
    for one, other in zip(first.class_gaps, second.class_gaps, strict=True):
        assert one["gap"] == pytest.approx(-other["gap"])
        assert one["low"] == pytest.approx(-other["high"])


def test_missing_groups_raise_or_form_their_own_group():
    y, p, g = make_rows(n=300)
    g = g.astype(object)
    g[:20] = None
    with pytest.raises(MissingGroupValuesError, match="20 missing of 300"):
        audit(y, p, sensitive_features=g)
    found = audit(y, p, sensitive_features=g, missing_groups="own_group", n_boot=200)
    assert "(missing)" in [e["name"] for e in found.data["groups"]]


def test_a_label_that_is_only_predicted_is_a_class_without_people():
    y, p, g = make_rows(n=300)
    p = p.copy()
    p[:40] = "pilot"
    found = audit(y, p, sensitive_features=g, n_boot=200)
    assert "pilot" in found.data["classes"]
    assert "pilot" not in [e["class"] for e in found.class_gaps]
    selected = [e for e in found.by_group if e["class"] == "pilot"]
    assert {e["metric"] for e in selected if e["value"] is None} == {"true_positive_rate"}


def test_progress_is_told_to_the_end():
    seen = []
    y, p, g = make_rows(n=200)
    audit(
        y, p, sensitive_features=np.column_stack([g, g]), control_features=g, n_boot=100,
        progress=lambda *step: seen.append(step),
    )  # fmt: skip
    assert [done for _, done, _ in seen] == list(range(len(seen)))
    assert seen[-1][1] == seen[-1][2]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"sensitive_features": ["f"] * 40}, "at least 2 groups"),
        ({"y_pred": [0] * 39}, "`y_pred` passed to `audit` must have as many rows"),
        ({"sensitive_features": ["f"] * 39}, "`sensitive_features` passed to `audit`"),
        ({"min_cell": 30}, r"at least 2 groups of `min_cell` \(30\) rows, got 1 once"),
        ({"y_score": [np.nan] * 40}, "must be finite, got 40 NaN"),
        ({"y_score": [[0.1, 0.2, 0.7]] * 40}, "one column for each of the 2 classes"),
        ({"y_true": [0.5, 0.3] * 20}, "fractional numbers"),
        ({"reference_group": "x"}, "`reference_group` of `audit` must be one of"),
        ({"pos_label": 5}, "`pos_label` of `audit` must be one of"),
        ({"n_boot": 10}, "`n_boot` of `audit` must lie in"),
        ({"confidence": 1.0}, "strictly between 0 and 1"),
        ({"control_features": ["x"] * 3}, "`control_features` passed to `audit`"),
        ({"sample_weight": [-1.0] * 40}, "`sample_weight`"),
        ({"missing_groups": "drop"}, "`missing_groups` of `audit` must be one of"),
        ({"y_true": [], "y_pred": [], "sensitive_features": []}, "at least one row"),
    ],
)
def test_wrong_input_is_one_clear_sentence(kwargs, message):
    call = {
        "y_true": [0, 1] * 20,
        "y_pred": [0, 1] * 20,
        "sensitive_features": ["f"] * 20 + ["m"] * 20,
        **kwargs,
    }
    with pytest.raises(InvalidInputError, match=message):
        audit(call.pop("y_true"), call.pop("y_pred"), **call)
