"""The case studies on coarse grids: their claims, and that pages come from results alone."""

import re
from dataclasses import replace
from pathlib import Path

import case_studies
import numpy as np
import pytest
from _case_studies import generate, incomes, multivariate, normals, numeric, rows, tables
from _case_studies.judging import boundaries, gaps, random_costs, rates_under, zero_one
from _case_studies.normals import two_groups
from _case_studies.rival import Affirmative, descend
from _case_studies.store import keep
from _case_studies.studies import STUDIES
from _case_studies.study import Asked
from _case_studies.words import number, points, tiny
from _case_studies.writing import IN_SHORT
from scipy.optimize import approx_fprime

from isonomy.distributions import JointDistribution
from isonomy.ideal import bayes_rates, nearest_ideal

DOCS = Path(__file__).resolve().parents[2] / "docs"
CRITERIA = ("dp", "eo", "eodds")


def quiet(text, done, total):
    assert 0 <= done <= total, text


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A table in the layout of "communities": two groups, unequal base rates and spreads."""
    rng = np.random.default_rng(0)
    n = 1_200
    group = np.repeat([0, 1], n // 2)
    label = rng.random(n) < np.where(group, 0.6, 0.3)
    columns = {
        "medIncome": 1.5 * label * (1 + group) + group + rng.normal(size=n),
        "PctEmploy": rng.normal(size=n) - label,
        "racepctblack": group + 0.0,
        "Black": group,
        "class": label.astype(int),
    }
    lines = [",".join(columns)]
    lines += [",".join(map(str, row)) for row in zip(*columns.values(), strict=True)]
    place = tmp_path_factory.mktemp("data")
    (place / "communities_crime.csv").write_text("\n".join(lines) + "\n")
    return place


@pytest.fixture(scope="module")
def found(folder):
    """Results of the quick runs, computed when first asked for."""
    known = {}

    def results(name):
        if name not in known:
            with pytest.MonkeyPatch.context() as patch:
                for study in (generate, tables):
                    patch.setattr(study, "TABLES", ("communities",))
                known[name] = STUDIES[name].compute(Asked(True, 0, folder), quiet)
        return known[name]

    return results


def test_after_steering_no_gap_exceeds_1e_9_on_a_line(found):
    for row in found("normals")["rows"]:
        for after in row["after"].values():
            assert max(after["largest"][c] for c in CRITERIA) < 1e-9
            assert after["ideal"]
            assert after["converged"]


def test_before_steering_there_are_gaps_but_where_the_groups_match(found):
    for row in found("normals")["rows"]:
        same = (row["separation"], row["scale"], row["prior_b"]) == (normals.MATCH, 1.0, 0.5)
        assert (row["before"]["largest"]["eodds"] < 1e-9) is same
        assert (row["after"]["all groups"]["kl"] < 1e-12) is same


def test_a_wider_choice_of_maps_never_costs_more(found):
    for row in found("normals")["rows"]:
        paid = {name: after["kl"] for name, after in row["after"].items()}
        assert paid["all groups"] <= paid["affirmative"] + 1e-9
        assert paid["affirmative"] <= paid["symmetric"] + 1e-9
        assert row["after"]["symmetric"]["slope"] > 0
        if row["n_classes"] == 2 and row["separation"] > 0:
            assert paid["symmetric"] == pytest.approx(paid["affirmative"], abs=1e-9)


def test_the_mover_alone_takes_over_the_reference_risk(found):
    for row in found("normals")["rows"]:
        if row["n_classes"] == 2 and row["prior_b"] == 0.5:
            # Phi(-1): two normals of equal spread, two standard deviations apart
            assert row["after"]["affirmative"]["risk"] == pytest.approx(0.15865525393145707)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_rule_on_its_own_law_is_the_bayes_rule(n_classes):
    law = two_groups(n_classes, -0.7, 1.7, 0.2)
    for cost in random_costs(6, n_classes, 3):
        own, exact = rates_under(law, law, cost), bayes_rates(law, cost)
        assert own.risk == pytest.approx(exact.risk, abs=1e-12)
        assert own.confusion == pytest.approx(exact.confusion, abs=1e-11)


def test_a_rule_on_another_law_does_what_counting_says():
    rule, law = two_groups(2, 3.0, 0.5, 0.5), two_groups(2, 1.0, 2.0, 0.3)
    X, y, groups = law.sample(200_000, random_state=0)
    cost = np.array([[0.0, 2.0], [1.0, 0.0]])
    rates = rates_under(rule, law, cost)
    risk = 0.0
    for a, group in enumerate(law.groups):
        cuts = boundaries(rule, a, cost)
        own = groups == group
        assert len(cuts) == (2 if group == "b" else 1)
        inside = np.searchsorted(cuts, X[own, 0]) == 1
        assert inside.mean() == pytest.approx(rates.selection_rate[1, a], abs=0.005)
        risk += cost[y[own], inside.astype(int)].sum() / len(y)
    # five standard errors of a mean of 200,000 costs of at most 2
    assert risk == pytest.approx(rates.risk, abs=0.01)


def test_gaps_are_the_largest_differences():
    law = two_groups(2, 0.0, 1.0, 0.5)
    told = gaps(bayes_rates(law, zero_one(2)))
    # a's rates are Phi(1), .1587; b's classes are one law: all are told class 0
    assert told["dp"] == pytest.approx(0.5)
    assert told["eo"] == pytest.approx(0.8413447, abs=1e-7)
    assert told["eodds"] == told["eo"]


def test_cost_matrices_are_repeatable_and_of_two_kinds():
    first, again = random_costs(4, 3, 1), random_costs(4, 3, 1)
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert (np.diagonal(first[0]) == 0).all() and (first[0] >= 0).all()
    assert min(cost.min() for cost in first[1::2]) < 0
    assert not (random_costs(4, 3, 2)[0] == first[0]).all()


def test_ideal_incomes_are_exact_for_every_lender(found):
    for case in found("incomes")["cases"].values():
        assert case["largest_gap"] > 0.01
        for after in case["after"].values():
            assert after["largest_gap"] < 1e-9
            assert after["judged"]["on D~"]["eodds"] < 1e-9
            assert after["drawn"]["gap"] < 5 * after["drawn"]["error"]
            # no rule beats the best rule for D on D
            assert after["judged"]["on D"]["risk"] >= case["judged"]["risk"] - 1e-12


@pytest.mark.parametrize("size", [2, 3])
def test_money_is_counted_by_a_power(size):
    law = incomes.law_of(size)
    solution = nearest_ideal(law, moves=["east"], reference="west")
    change = solution.maps["east"]
    power, factor = change.matrix[0, 0], np.exp(change.offset[0])
    money = np.array([[12_000.0], [30_000.0]])
    moved = solution.steer(money, sensitive_features=["east", "east"])
    assert moved == pytest.approx(factor * money**power)
    east = np.exp(solution.distribution.means[:, 0, 0])
    west = np.exp(solution.distribution.means[:, 1, 0])
    assert factor * east**power == pytest.approx(west)


def test_no_rule_beats_the_best_rule_on_the_rows_themselves(found):
    for grid in found("risk")["grids"].values():
        for row in grid:
            for after in row["after"].values():
                assert min(np.subtract(after["rows"], row["before"])) > -1e-12


def test_the_sign_of_the_change_is_that_of_the_separation(found):
    row_of = {r["separation"]: r for r in found("risk")["grids"]["scale"] if r["scale"] == 1.0}
    assert min(row_of) < normals.MATCH < max(row_of)
    for separation, row in row_of.items():
        lower, higher = (row["after"]["b moves"][side] for side in ("lower", "higher"))
        assert (lower > 0, higher > 0) == (separation < normals.MATCH, separation > normals.MATCH)
        lower, higher = (row["after"]["a moves"][side] for side in ("lower", "higher"))
        assert (lower > 0, higher > 0) == (separation > normals.MATCH, separation < normals.MATCH)


def test_base_rates_alone_make_the_ideal_law_riskier(found):
    for row in found("risk")["grids"]["prior"]:
        if row["separation"] == normals.MATCH:
            after = row["after"]["b moves"]
            assert after["lower"] == 0
            assert (after["higher"] > 0) is (row["prior_b"] != 0.5)


def test_generated_rows_are_judged_on_rows_that_nobody_trained_on(found, folder):
    table = found("generate")["tables"]["communities"]
    assert table["n_train"] == table["n_test"] == 600
    seen = {(row["head"], row["aware"], row["source"]) for row in table["rows"]}
    assert len(seen) == len(table["rows"]) == 2 * (5 + 7)
    # the group is no column, so one head cannot tell the groups; its own law it knows
    law = {r["source"]: r for r in table["rows"] if r["aware"] and r["head"].startswith("log")}
    assert law["drawn from D~"]["ideal"]["eodds"][0] < law["real rows"]["ideal"]["eodds"][0]
    data = rows.halves("communities", folder, 0)
    assert abs(data.X.mean(axis=0)).max() < 1e-12
    both = np.vstack([data.X, data.X_test])
    assert len(np.unique(both, axis=0)) == len(both)


def test_a_fitted_law_becomes_exact_and_the_choice_is_one_of_the_families(found):
    table = found("tables")["tables"]["communities"]
    assert table["chosen"] in table["families"]
    fitted = [law for law in table["families"].values() if "kl" in law]
    assert len(fitted) >= 3
    for law in fitted:
        before, after = zip(law["violation"], law["gap"], strict=True)
        assert min(before) > 0.05
        assert max(after) < 1e-6
    ways = [row["way"] for row in table["rows"]]
    assert ways[:2] == ["as they are", "weights alone"]
    assert f"steered, {table['chosen']}" in ways


def test_columns_without_a_density_are_left_out():
    columns = {
        "mostly_zero": np.r_[np.zeros(60), np.arange(40.0)],
        "few": np.arange(100.0) % 9,
        "years": np.arange(100.0) % 30,
        "words": np.array(["a"] * 100),
    }
    assert numeric.continuous_columns(columns) == ["years"]


def test_equal_numbers_are_drawn_apart_and_never_past_the_next():
    values = np.repeat([1.0, 2.0, 3.0, 10.0], 50)
    apart = numeric.drawn_apart(values, 0)
    assert len(np.unique(apart)) == len(values)
    assert (np.floor(apart) == values).all()
    assert apart[:50].mean() == pytest.approx(1.5, abs=0.2)


def test_a_table_that_is_missing_is_named(tmp_path):
    for name in ("generate", "tables"):
        told = STUDIES[name].compute(Asked(True, 0, tmp_path), quiet)
        assert told["tables"] == {}
        assert len(told["missing"]) == 1
        for table, why in told["missing"].items():
            assert table in STUDIES[name].page(told)
            assert "must hold" in why


def test_the_general_optimiser_descends_the_same_programme():
    tied, free = (multivariate.random_law(3, 3, kind, 0) for kind in ("tied", "free"))
    solution = nearest_ideal(tied, moves=["b"], reference="a")
    best, _ = descend(Affirmative.of(tied, solution), 4, 0)
    paid = sum(solution.distribution.priors[c] * v for c, v in solution.kl_by_cell.items())
    assert best == pytest.approx(paid, abs=1e-7)
    x = np.random.default_rng(0).standard_normal(12)
    free = Affirmative.of(free, nearest_ideal(free, moves=["b"], reference="a"))
    assert free(x)[1] == pytest.approx(approx_fprime(x, lambda z: free(z)[0], 1e-7), abs=1e-4)


def test_in_many_variables_the_rules_agree_at_corresponding_points(found):
    for row in found("multivariate")["rows"]:
        assert row["before"] > 0.1
        paid = {name: after["kl"] for name, after in row["after"].items()}
        assert paid["all groups"] <= paid["affine"] + 1e-9 <= paid["symmetric"] + 2e-9
        assert row["rival"]["kl"] >= paid["affine"] - 1e-7
        for after in row["after"].values():
            assert after["gap"] <= 1e-9
            assert after["converged"]


def test_rules_of_a_law_that_is_not_ideal_do_not_agree():
    law = multivariate.random_law(3, 3, "free", 0)
    solution = nearest_ideal(law, moves=["b"], reference="a")
    costs = random_costs(3, 3, 0)
    assert multivariate.paired_gap(solution, costs, 200, 0) < 1e-9
    assert multivariate.paired_gap(replace(solution, distribution=law), costs, 200, 0) > 0.1


def test_random_laws_are_what_they_are_called():
    assert multivariate.random_law(3, 4, "tied", 0).is_tied
    assert not multivariate.random_law(3, 4, "free", 0).is_tied


@pytest.mark.parametrize("name", list(STUDIES))
def test_pages_come_from_kept_numbers_alone(name, found, tmp_path):
    asked = Asked(True, 0, tmp_path)
    keep(tmp_path / "work", STUDIES[name], asked, found(name))
    for out in ("one", "two"):
        shared = [name, "--quick", "--pages", "--work", str(tmp_path / "work")]
        assert case_studies.main([*shared, "--out", str(tmp_path / out)]) == 0
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*.*"))
    assert {file.suffix for file in files} == {".md", ".png"}
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    page = (tmp_path / "one" / "docs/case_studies" / f"{name}.md").read_text(encoding="utf-8")
    images = re.findall(r"!\[[^\]]*\]\(\.\./images/([^)]+)\)", page)
    assert {f"case-{image}.png" for image in STUDIES[name].figures} == set(images)
    for image in images:
        assert (tmp_path / "one" / "docs/images" / image).exists()
    index = (tmp_path / "one" / "docs/case_studies/index.md").read_text(encoding="utf-8")
    assert f"[{STUDIES[name].title}]({name}.md)" in index
    assert page.split(IN_SHORT)[1].split("##")[0].split("![")[0].strip() in index


def test_one_command_computes_keeps_and_writes(tmp_path, capsys):
    shared = ["--quick", "--work", str(tmp_path)]
    assert case_studies.main(["incomes", *shared]) == 0
    told = capsys.readouterr().err
    assert "s of CPU" in told
    kept = (tmp_path / "quick/docs/case_studies/incomes.md").read_bytes()
    assert case_studies.main(["incomes", "--pages", *shared, "--out", str(tmp_path / "again")]) == 0
    assert (tmp_path / "again/docs/case_studies/incomes.md").read_bytes() == kept
    assert case_studies.main(["incomes", "--pages", "--seed", "1", *shared]) == 1


def test_pages_without_numbers_are_refused(tmp_path, capsys):
    out = ["--out", str(tmp_path / "docs"), "--work", str(tmp_path)]
    assert case_studies.main(["normals", "--pages", *out]) == 1
    assert "no numbers kept" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["tables", "generate"])
def test_without_any_table_nothing_is_written_and_the_reason_is_told(name, tmp_path, capsys):
    folders = ["--folder", str(tmp_path / "none"), "--work", str(tmp_path / "work")]
    out = tmp_path / "out"
    assert case_studies.main([name, "--quick", "--out", str(out), *folders]) == 0
    assert f"{name}: nothing written. `folder`" in capsys.readouterr().err
    assert [path.name for path in out.rglob("*.*")] == ["index.md"]


def test_a_quick_run_does_not_touch_the_pages_of_the_repository(tmp_path):
    asked = case_studies.parse(["risk", "--quick", "--work", str(tmp_path)])
    assert asked.out == tmp_path / "quick"


def test_the_same_seed_gives_the_same_numbers(found, folder):
    assert STUDIES["incomes"].compute(Asked(True, 0, folder), quiet) == found("incomes")


def test_every_committed_page_belongs_to_a_study():
    pages = {path.stem for path in (DOCS / "case_studies").glob("*.md")}
    assert pages == {*STUDIES, "index"}
    index = (DOCS / "case_studies/index.md").read_text(encoding="utf-8")
    for name, study in STUDIES.items():
        page = (DOCS / "case_studies" / f"{name}.md").read_text(encoding="utf-8")
        assert page.startswith(f"# {study.title}\n")
        assert study.title in index


def test_numbers_are_written_plainly():
    assert (number(-0.00001, 2), number(1.25, 1), number(None)) == ("0.00", "1.2", "")
    assert (points(0.0123), points(-0.0123), points(0.0)) == ("+1.23", "-1.23", "0.00")
    assert (tiny(0), tiny(2.2e-16)) == ("0", "2e-16")


def test_the_law_of_the_grid_is_the_one_described():
    law = two_groups(3, 1.5, 0.5, 0.1)
    assert isinstance(law, JointDistribution)
    assert law.means[:, :, 0].tolist() == [[0, 0], [2, 1.5], [4, 4]]
    assert law.covariances[:, 1, 0, 0].tolist() == [1, 0.25, 1]
    assert law.prior[1] == pytest.approx([0.35, 0.03])
