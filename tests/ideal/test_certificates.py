"""Certificates: what they say must hold, be plain, and change when the data do."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from isonomy.artefact import load_artefact, save_artefact
from isonomy.distributions import JointDistribution, Normal
from isonomy.distributions._shape import Freedom
from isonomy.distributions.student_t import StudentT
from isonomy.errors import ArtefactError, FamilyError, InvalidInputError, SingularCovarianceError
from isonomy.ideal import (
    Certificate,
    certify,
    nearest_ideal,
    solution_from_state,
    solution_to_state,
)
from isonomy.ideal._certify.transfer import total_variation_bound
from isonomy.metrics import simultaneous_gap_bounds
from reference.gaussian import kl_by_formula
from reference.ideal import random_joint


def near_joint(seed, n_classes=3, n_groups=2, d=3, family="normal"):
    """Groups that differ a little, so that the bounds say something."""
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(n_classes, 1, d)) + 0.15 * rng.normal(size=(n_classes, n_groups, d))
    covs = np.array([np.eye(d) * s for s in rng.uniform(0.8, 1.2, n_groups)])
    prior = rng.dirichlet(np.full(n_classes * n_groups, 20.0)).reshape(n_classes, n_groups)
    labels = list(range(n_classes)), list("abc"[:n_groups])
    return JointDistribution.from_arrays(means, covs, prior, *labels, family=family)


def test_the_total_variation_bound_is_a_bound():
    # equal variances at distance t: total variation is 2 Phi(t/2) - 1
    from scipy.stats import norm

    for t in (1e-3, 0.1, 1.0, 2.0, 5.0):
        exact = 2 * norm.cdf(t / 2) - 1
        kl = t**2 / 2
        bound = float(total_variation_bound(np.array(kl)))
        assert exact <= bound == pytest.approx(min(np.sqrt(kl / 2), np.sqrt(1 - np.exp(-kl))))


@pytest.mark.parametrize("direction", ["information", "moment"])
@pytest.mark.parametrize("moves", ["all", "b"])
def test_transfer_is_the_divergence_of_steered_cells_from_canonical_ones(direction, moves):
    joint = near_joint(1)
    solution = nearest_ideal(joint, direction=direction, moves=moves)
    certificate = certify(solution)
    for (label, group), t in certificate.transfer_by_cell.items():
        p = solution.maps[group].push(joint.cells[label, group])
        q = solution.canonical[label]
        pair = (p.mean, p.covariance), (q.mean, q.covariance)
        both = kl_by_formula(*pair[0], *pair[1]), kl_by_formula(*pair[1], *pair[0])
        kl = max(min(both), 0.0)  # the printed formula cancels to -1e-16 at 0
        assert t == pytest.approx(min(np.sqrt(kl / 2), np.sqrt(1 - np.exp(-kl))), abs=1e-7)
        # an invertible map changes no divergence: one direction is what was paid
        assert kl <= solution.kl_by_cell[label, group] + 1e-9
    for label, bound in certificate.transfer_bound.items():
        two = [certificate.transfer_by_cell[label, g] for g in joint.groups]
        assert bound == pytest.approx(sum(sorted(two)[-2:]))


@pytest.mark.parametrize("kind", ["tied", "diagonal"])
def test_no_random_head_exceeds_the_bound_on_steered_rows(kind):
    rng = np.random.default_rng(3)
    joint = near_joint(2) if kind == "tied" else random_joint(rng, 3, 2, 2, kind="diagonal")
    solution = nearest_ideal(joint, map_family="affine" if kind == "tied" else "diagonal")
    certificate = certify(solution)
    n, d = 40_000, joint.n_features
    rows = {
        (label, group): solution.maps[group].apply(
            joint.cells[label, group].sample(n, random_state=0)
        )
        for label in joint.classes
        for group in joint.groups
    }
    largest = 0.0
    for _ in range(40):
        weight, bias = rng.normal(size=(d, 3)), rng.normal(size=3)
        bend = rng.normal(size=(d, 3)) * rng.choice([0.0, 1.0])
        for label in joint.classes:
            rates = [
                (
                    (rows[label, g] @ weight + rows[label, g] ** 2 @ bend + bias).argmax(axis=1)
                    == label
                ).mean()
                for g in joint.groups
            ]
            gap = max(rates) - min(rates)
            largest = max(largest, gap)
            # 5 standard errors of a difference of two shares
            assert gap <= certificate.transfer_bound[label] + 5 * np.sqrt(0.5 / n)
    assert largest > 0.005  # the heads do differ: the bound is not met by emptiness


def test_the_head_gap_is_the_gap_of_the_canonical_bayes_rule():
    joint = near_joint(4)
    solution = nearest_ideal(joint)
    certificate = certify(solution)
    prior = solution.distribution.class_prior
    for label in joint.classes:
        rates = []
        for group in joint.groups:
            rows = solution.maps[group].apply(
                joint.cells[label, group].sample(50_000, random_state=1)
            )
            logs = [
                solution.canonical[z].log_density(rows) + np.log(p)
                for z, p in zip(joint.classes, prior, strict=True)
            ]
            rates.append((np.argmax(logs, axis=0) == label).mean())
        # 1024 quasi-random points are good to about 0.01
        assert certificate.head_gap[label] == pytest.approx(max(rates) - min(rates), abs=0.015)
        assert certificate.head_gap[label] <= certificate.transfer_bound[label] + 0.01


def test_sentences_and_numbers_say_what_was_computed():
    solution = nearest_ideal(near_joint(5))
    certificate = certify(solution)
    text = str(certificate)
    assert f"{solution.kl:.3g} nats" in text
    assert "proved to be the least" in text
    assert "reweighed law" in text
    assert "no classifier that sees steered rows alone (not the group) can differ" in text
    assert certificate.violation_after <= certificate.tolerance < certificate.violation_before
    assert certificate.bayes_gap_after <= certificate.bayes_gap_error
    assert certificate.bayes_gap_before > 0.02
    for word in ("debias", "unbiased", "fair model", "guarantee"):
        assert word not in text.lower()
    plain = json.loads(json.dumps(certificate.to_dict(), allow_nan=False))
    assert plain["sentences"] == list(certificate.sentences)
    assert len(plain["cells"]) == 6


def test_a_bound_of_one_or_more_is_called_uninformative():
    # the order of the classes differs between the groups: no map without labels can mend that
    order = {"a": (0.0, 8.0, 16.0), "b": (0.0, 16.0, 8.0)}
    cells = {(y, a): Normal(order[a][y], 1.0) for y in range(3) for a in "ab"}
    solution = nearest_ideal(JointDistribution(cells, dict.fromkeys(cells, 1 / 6)))
    certificate = certify(solution)
    assert not certificate.informative
    assert "says nothing" in str(certificate)


def test_a_search_without_proof_says_so():
    solution = nearest_ideal(random_joint(np.random.default_rng(1), 2, 2, 1, kind="diagonal"))
    assert "a nearer one is not ruled out" in str(certify(solution))


def test_the_moment_optimum_is_proved_among_tied_laws_only():
    joint = near_joint(5)
    assert "among laws with one covariance" in str(
        certify(nearest_ideal(joint, direction="moment"))
    )
    for options in ({}, {"direction": "moment", "moves": ["b"]}):
        assert "among laws" not in str(certify(nearest_ideal(joint, **options)))


def test_a_saved_solution_is_certified_like_the_one_in_memory(tmp_path):
    solution = nearest_ideal(near_joint(8))
    config, tensors = solution_to_state(solution)
    path = save_artefact(
        tmp_path / "s.safetensors",
        kind="ideal-steerer",
        config={"solution": config},
        tensors=tensors,
    )
    assert certify(path).to_dict() == certify(solution).to_dict()
    assert certify(load_artefact(path)).to_dict() == certify(solution).to_dict()
    X, y, groups = solution.source.sample(500, random_state=0)
    both = [certify(t, X, y, sensitive_features=groups).to_dict() for t in (str(path), solution)]
    assert both[0] == both[1]
    empty = save_artefact(
        tmp_path / "e.safetensors", kind="ideal-steerer", config={}, tensors=tensors
    )
    with pytest.raises(ArtefactError, match="must hold an ideal solution"):
        certify(empty)


def test_an_artefact_takes_rows_to_the_coordinates_of_its_solution(tmp_path):
    solution = nearest_ideal(near_joint(10))
    config, tensors = solution_to_state(solution)
    rng = np.random.default_rng(0)
    back = np.linalg.qr(rng.normal(size=(5, 3)))[0]
    centre = rng.normal(size=5)
    path = save_artefact(
        tmp_path / "s.safetensors",
        kind="ideal-steerer",
        config={"solution": config, "parameters": {"family": "lognormal"}},
        tensors=tensors | {"coordinates/ahead": back, "coordinates/centre": centre},
    )
    X, y, groups = solution.source.sample(500, random_state=0)
    rows = np.exp(centre + X @ back.T)
    one = certify(path, rows, y, sensitive_features=groups)
    two = certify(solution, X, y, sensitive_features=groups)
    assert list(one.transfer_bound.values()) == pytest.approx(list(two.transfer_bound.values()))
    with pytest.raises(FamilyError, match="must be positive"):
        certify(path, -rows, y, sensitive_features=groups)


@pytest.mark.parametrize("kind", ["tied", "diagonal"])
def test_a_solution_survives_its_state(kind):
    family = "affine" if kind == "tied" else "diagonal"
    solution = nearest_ideal(
        random_joint(np.random.default_rng(1), 3, 2, 2, kind=kind), map_family=family
    )
    config, tensors = solution_to_state(solution)
    back = solution_from_state(json.loads(json.dumps(config)), tensors)
    assert back.distribution == solution.distribution
    assert back.source == solution.source
    assert back.maps == solution.maps
    for name in (
        "kl",
        "kl_by_cell",
        "canonical",
        "converged",
        "global_optimum",
        "n_iter",
        "history",
        "direction",
        "priors",
        "moves",
        "reference",
    ):
        assert getattr(back, name) == getattr(solution, name)
    broken = {k: v for k, v in tensors.items() if "offset" not in k}
    with pytest.raises(ArtefactError, match="maps/0/offset"):
        solution_from_state(config, broken)


def test_labels_that_json_cannot_hold_are_refused():
    cells = {(y, a): Normal(float(y), 1.0) for y in (0, 1) for a in (b"a", b"b")}
    solution = nearest_ideal(JointDistribution(cells, dict.fromkeys(cells, 0.25)))
    with pytest.raises(InvalidInputError, match="must be strings, numbers or booleans, got bytes"):
        solution_to_state(solution)


def test_steerers_are_certified_through_their_solution_or_certificate():
    solution = nearest_ideal(near_joint(9))
    assert certify(SimpleNamespace(solution_=solution)).kl == solution.kl
    own = Certificate(sentences=("As measured.",))
    assert certify(SimpleNamespace(solution_=None, certificate_=own)) is own
    X, y, groups = solution.source.sample(500, random_state=0)
    steerer = SimpleNamespace(solution_=solution, _solution_coordinates=lambda rows: rows / 2)
    one = certify(steerer, 2 * X, y, sensitive_features=groups)
    assert one.to_dict() == certify(solution, X, y, sensitive_features=groups).to_dict()


def test_unusable_targets_and_rows_are_refused():
    solution = nearest_ideal(near_joint(1))
    X, y, groups = solution.source.sample(100, random_state=0)
    with pytest.raises(InvalidInputError, match="must come together"):
        certify(solution, X)
    with pytest.raises(InvalidInputError, match="`target` passed to `certify`"):
        certify(object())
    with pytest.raises(InvalidInputError, match="must have the 3 features"):
        certify(solution, X[:, :2], y, sensitive_features=groups)
    with pytest.raises(InvalidInputError, match="only values seen in the fit"):
        certify(solution, X, np.asarray(y) + 5, sensitive_features=groups)
    with pytest.raises(InvalidInputError, match="only values seen in the fit"):
        certify(solution, X, y, sensitive_features=["z"] * 100)
    with pytest.raises(SingularCovarianceError, match="more rows than features"):
        certify(solution, X[:3], y[:3], sensitive_features=groups[:3])


def bent(rows):
    return np.sign(rows) * np.abs(rows) ** 2.5


def test_a_certificate_says_which_claim_holds():
    solution = nearest_ideal(near_joint(3))
    whole = certify(solution)
    assert whole.claim == "population"
    assert whole.sample is None
    assert whole.describes_rows is None
    assert "Which claim: one about the fitted law" in str(whole)
    X, y, groups = solution.source.sample(3000, random_state=0)
    rows = certify(solution, X, y, sensitive_features=groups)
    assert rows.claim == "sample"
    assert rows.goodness_of_fit is None
    assert "Which claim: one about rows, from the 3000 given." in str(rows)
    for word in ("debias", "unbiased", "fair model", "guarantee"):
        assert word not in str(rows).lower()


@pytest.mark.parametrize("family", ["normal", "lognormal"])
def test_the_claim_about_rows_is_the_judges(family):
    """The judge, which shares no code with it, bounds the same predictions the same way."""
    solution = nearest_ideal(near_joint(3, family=family))
    X, y, groups = solution.source.sample(2000, random_state=1)
    found = certify(solution, X, y, sensitive_features=groups, confidence=0.9).sample
    latent = np.log(X) if family == "lognormal" else X
    moved = np.stack(
        [solution.maps[g].apply(row[None])[0] for row, g in zip(latent, groups, strict=True)]
    )
    prior = solution.distribution.class_prior
    logs = [solution.canonical[c].log_density(moved) + np.log(p) for c, p in enumerate(prior)]
    judged = simultaneous_gap_bounds(
        y, np.argmax(logs, axis=0), sensitive_features=groups, confidence=0.9
    )
    assert found["n_rates"] == judged.n_rates
    assert found["confidence"] == 0.9
    assert found["upper"] == pytest.approx(judged.upper)
    for record, gap in zip(found["by_class"], judged.gaps, strict=True):
        assert record["class"] == gap.label
        assert tuple(record["n"]) == gap.n
        assert [r / n for r, n in zip(record["right"], record["n"], strict=True)] == pytest.approx(
            list(gap.rates)
        )
        assert record["gap"] == pytest.approx(abs(gap.gap))
        assert [record["lower"], record["upper"]] == pytest.approx([gap.lower, gap.upper])


def test_bounds_of_fresh_rows_cover_the_gap_of_the_head():
    solution = nearest_ideal(near_joint(6))
    head = certify(solution).head_gap
    missed = 0
    for seed in range(60):
        X, y, groups = solution.source.sample(600, random_state=seed)
        found = certify(solution, X, y, sensitive_features=groups, confidence=0.8).sample
        missed += any(
            # the head's gap itself is integrated to about 0.01
            not r["lower"] - 0.02 <= head[r["class"]] <= r["upper"] + 0.02
            for r in found["by_class"]
        )
    assert missed <= 12


def test_a_shown_gap_is_said():
    solution = nearest_ideal(near_joint(3))
    X, y, groups = solution.source.sample(4000, random_state=0)
    away = solution.canonical[1].mean - solution.canonical[0].mean
    X = X + away * ((groups == "b") & (y == 0))[:, None]
    found = certify(solution, X, y, sensitive_features=groups)
    worst = max(r["lower"] for r in found.sample["by_class"])
    assert worst > 0.1
    assert f"do show a gap, most of all for label 0: at least {worst:.3g}" in str(found)


def test_rows_that_the_law_does_not_describe_are_called_so():
    solution = nearest_ideal(near_joint(3))
    X, y, groups = solution.source.sample(900, random_state=0)
    options = {"sensitive_features": groups, "goodness_of_fit": 99}
    good = certify(solution, X, y, **options)
    assert good.describes_rows
    assert good.goodness_of_fit["n_bootstrap"] == 99
    assert "that does not show that there is none" in str(good)
    bad = certify(solution, bent(X), y, **options)
    assert bad.describes_rows is False
    assert "does NOT describe these rows: they do not look like normal cells (p = 0.01" in str(bad)
    plain = json.loads(json.dumps(bad.to_dict(), allow_nan=False))
    assert plain["describes_rows"] is False
    assert Certificate.from_dict(plain).to_dict() == plain
    with pytest.raises(InvalidInputError, match="`goodness_of_fit` of `certify`.*only with rows"):
        certify(solution, goodness_of_fit=True)
    with pytest.raises(InvalidInputError, match="`goodness_of_fit` of `certify`"):
        certify(solution, X, y, sensitive_features=groups, goodness_of_fit=3)
    with pytest.raises(InvalidInputError, match="`confidence` of `certify`"):
        certify(solution, X, y, sensitive_features=groups, confidence=1.0)


def test_a_label_without_rows_in_two_groups_is_not_bounded():
    solution = nearest_ideal(near_joint(3))
    X, y, groups = solution.source.sample(500, random_state=0)
    keep = (y != 2) | (groups == "a")
    found = certify(solution, X[keep], y[keep], sensitive_features=groups[keep])
    assert found.sample["by_class"][2]["upper"] is None
    assert found.sample["n_rates"] == 4
    assert "1 label(s) lack rows in two groups and are not bounded." in str(found)


def test_dicts_of_earlier_versions_are_read():
    """Fields as they were written before certificates named their claim."""
    old = certify(nearest_ideal(near_joint(3))).to_dict()
    for name in ("claim", "sample", "goodness_of_fit", "describes_rows"):
        del old[name]
    back = Certificate.from_dict(old)
    assert back.claim is None
    assert back.describes_rows is None
    again = back.to_dict()
    assert {name: again[name] for name in old} == old


def student_joint(seed):
    near = near_joint(seed)
    return JointDistribution.from_arrays(
        near.means, near.covariances, near.prior, near.classes, near.groups,
        "student_t", Freedom(np.full(3, 4.0)),
    )  # fmt: skip


def test_student_cells_are_certified_by_their_own_divergences():
    joint = student_joint(3)
    solution = nearest_ideal(joint)
    certificate = certify(solution)
    prior = solution.distribution.class_prior
    goals = [
        StudentT(solution.canonical[c].mean, solution.canonical[c].covariance, 4.0)
        for c in joint.classes
    ]
    for y, label in enumerate(joint.classes):
        rates = []
        for a, group in enumerate(joint.groups):
            move = solution.maps[group]
            scale = move.matrix @ joint.covariances[y, a] @ move.matrix.T
            steered = StudentT(move.matrix @ joint.means[y, a] + move.offset, scale, 4.0)
            kl = min(steered.kl_divergence(goals[y]), goals[y].kl_divergence(steered))
            assert certificate.transfer_by_cell[label, group] == pytest.approx(
                float(total_variation_bound(np.array(kl))), rel=1e-6
            )
            rows = steered.sample(40_000, random_state=a)
            logs = [g.log_density(rows) + np.log(p) for g, p in zip(goals, prior, strict=True)]
            rates.append((np.argmax(logs, axis=0) == y).mean())
        assert certificate.head_gap[label] == pytest.approx(max(rates) - min(rates), abs=0.02)
    assert "a Student-t law for every (label, group) cell" in str(certificate)
    assert "the Student-t cells fitted" in certificate.law


def test_student_rows_make_a_claim_without_a_verdict_on_drift():
    solution = nearest_ideal(student_joint(3))
    X, y, groups = solution.source.sample(400, random_state=0)
    found = certify(solution, X, y, sensitive_features=groups)
    assert found.claim == "sample"
    assert found.drift is None
    assert 0 < found.sample["upper"] < 1
    assert "have moved since the fit is not judged" in str(found)
    assert found.transfer_bound == certify(solution).transfer_bound
