"""How benchmarks/biographies.py fits its heads and judges: against literal loops."""

import numpy as np
import pytest
from _biographies.goals import goal_lines
from _biographies.head import SharedHead, take_saved_seconds
from _biographies.judging import Judged, Row, SeedGap
from _biographies.probing import leakage, neighbour_share
from _biographies.resampling import Draws, Persons, Pooled, mean_squares, pooled_gap
from _biographies.softmax import fit_softmax
from _biographies.tables import gap_table, seed_table
from sklearn.linear_model import LogisticRegression

from isonomy.metrics import rms_tpr_gap


def blobs(n=600, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.choice(3, n, p=[0.6, 0.35, 0.05])
    X = rng.normal(size=(n, 6)) * [5, 1, 1, 1, 0.2, 0.1] + y[:, None]
    return X, y, rng.random(n)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_head_is_scikit_learns(weighted):
    X, y, weight = blobs()
    weight = weight if weighted else np.ones(len(y))
    coef, intercept, n_iter = fit_softmax(
        X, y, 3, penalty=1 / (0.3 * weight.sum()), weight=weight, tol=1e-6
    )
    other = LogisticRegression(C=0.3, tol=1e-8, max_iter=5000).fit(X, y, sample_weight=weight)
    # float32 products: six digits of slopes
    np.testing.assert_allclose(coef, other.coef_, atol=2e-3)
    scores, others = X @ coef.T + intercept, other.decision_function(X)
    np.testing.assert_allclose(scores - scores.mean(1, keepdims=True), others, atol=1e-2)
    assert n_iter < 300


def test_two_classes_are_scikit_learns_too(tmp_path):
    X, y, _ = blobs()
    head = SharedHead(C=0.3, folder=str(tmp_path)).fit(X, y > 0)
    other = LogisticRegression(C=0.3, tol=1e-8, max_iter=5000).fit(X, y > 0)
    np.testing.assert_allclose(head.coef_, other.coef_, atol=5e-3)
    np.testing.assert_allclose(head.predict_proba(X), other.predict_proba(X), atol=5e-3)


def test_a_fit_is_remembered_by_rows_labels_weights_and_penalty(tmp_path):
    X, y, weight = blobs()
    names = np.array(["a", "b", "c"])[y]
    first = SharedHead(folder=str(tmp_path)).fit(X, names)
    assert take_saved_seconds() == 0
    again = SharedHead(folder=str(tmp_path)).fit(X, names)
    assert (again.coef_ == first.coef_).all()
    assert again.classes_.tolist() == ["a", "b", "c"]
    assert take_saved_seconds() > 0
    SharedHead(folder=str(tmp_path)).fit(X, names, sample_weight=weight)
    SharedHead(folder=str(tmp_path), C=0.1).fit(X, names)
    files = list(tmp_path.rglob("*.npz"))
    assert len(files) == 3
    for file in files:
        file.write_bytes(file.read_bytes()[:50])
    assert (SharedHead(folder=str(tmp_path)).fit(X, names).coef_ == first.coef_).all()


def judged_rows(seed=0, n=900, gap=0.0, n_seeds=2):
    """Persons of three classes in two seeds of four folds, and who is decided rightly."""
    rng = np.random.default_rng(seed)
    y, group = rng.choice(3, n, p=[0.5, 0.4, 0.1]), rng.integers(2, size=n)
    member = np.zeros((n, 4 * n_seeds), dtype=bool)
    for s in range(n_seeds):
        member[np.arange(n), 4 * s + rng.permutation(n) % 4] = True
    right = rng.random((n, 1)) < 0.7 - gap * group[:, None]
    return Persons(y, group, member, np.repeat(np.arange(n_seeds), 4)), right & member


def test_the_two_averages_are_those_of_a_literal_loop():
    persons, right = judged_rows(gap=0.1)
    found = pooled_gap(Draws(persons, 20), right)
    each, together = [], []
    for seed in (0, 1):
        hit = right[:, persons.seed_of == seed].any(axis=1)
        predicted = np.where(hit, persons.y, 9)
        for unit in np.flatnonzero(persons.seed_of == seed):
            own = persons.member[:, unit]
            each.append(corrected(persons.y[own], predicted[own], persons.group[own]))
        together.append(corrected(persons.y, predicted, persons.group))
    assert found["each"].by_part == pytest.approx(each)
    assert found["together"].by_part == pytest.approx(together)
    assert found["each"].corrected == pytest.approx(np.sqrt(np.mean(each)))
    assert found["together"].corrected == pytest.approx(np.sqrt(np.mean(together)))


def corrected(y, predicted, group):
    gap = rms_tpr_gap(y, predicted, sensitive_features=group, corrected=True, weighting="precision")
    return np.sign(gap) * gap**2


def test_equal_weights_and_plain_gaps_are_the_librarys():
    persons, right = judged_rows(gap=0.1, n_seeds=1)
    hit = right.any(axis=1)
    n = np.array(
        [[np.sum((persons.y == k) & (persons.group == a)) for a in (0, 1)] for k in range(3)]
    )
    r = np.array(
        [[np.sum(hit & (persons.y == k) & (persons.group == a)) for a in (0, 1)] for k in range(3)]
    )
    predicted = np.where(hit, persons.y, 9)
    for weighting in ("equal", "precision"):
        plain = rms_tpr_gap(
            persons.y, predicted, sensitive_features=persons.group, weighting=weighting
        )
        found = mean_squares(n[None], r[None], corrected=False, weighting=weighting)
        assert np.sqrt(found) == pytest.approx(plain)


def test_a_class_without_two_rows_of_a_group_is_left_out():
    n = np.array([[[50, 50], [1, 90]]])
    assert mean_squares(n, n * [[[1], [0]]], corrected=True)[0] == 0
    assert np.isnan(mean_squares(n[:, 1:], n[:, 1:], corrected=True)[0])


def test_persons_are_drawn_within_cells_and_groups_within_classes():
    persons, _ = judged_rows()
    draws = Draws(persons, 50)
    for k, (pair, times) in enumerate(zip(draws.cells, draws.times, strict=True)):
        for a, (cell, drawn) in enumerate(zip(pair, times, strict=True)):
            assert ((persons.y[cell] == k) & (persons.group[cell] == a)).all()
            assert (drawn.sum(axis=1) == len(cell)).all()
        assert (draws.dealt[k].sum(axis=1) == len(pair[1])).all()


def test_a_gap_is_found_and_none_is_not():
    far, none = (pooled_gap(Draws(p, 300), right)["each"] for p, right in planted())
    assert far.p_value < 0.01
    assert far.low < 0.15 < far.high
    assert none.p_value > 0.05
    assert none.low == 0


def planted():
    return judged_rows(n=3000, gap=0.15), judged_rows(n=3000, seed=1)


def test_p_values_without_a_gap_are_as_small_as_they_say():
    p = [
        pooled_gap(Draws(persons, 99), right)["each"].p_value
        for persons, right in (judged_rows(seed, n=300) for seed in range(80))
    ]
    # binomial: 80 draws at .1 give 14 or more in 3 of 100 sets of seeds
    assert np.sum(np.array(p) <= 0.1) < 14
    assert np.mean(p) == pytest.approx(0.5, abs=0.12)


def test_neighbours_are_those_of_a_literal_loop():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(60, 3)).astype(np.float32)
    y, group = np.repeat(["a", "b", "c"], [30, 25, 5]), rng.choice(["f", "m"], 60)
    found = neighbour_share(rows, y, group)
    same, chance = [], []
    for i in range(55):  # class c has no ten others
        own = [j for j in range(60) if y[j] == y[i] and j != i]
        near = sorted(own, key=lambda j, i=i: np.sum((rows[i] - rows[j]) ** 2))[:10]
        same.append(np.mean(group[near] == group[i]))
        chance.append(np.mean(group[own] == group[i]))
    assert found["neighbours"] == pytest.approx(np.mean(same), abs=1e-6)
    assert found["neighbours_chance"] == pytest.approx(np.mean(chance), abs=1e-6)


def test_probes_find_what_was_planted_between_and_within_classes():
    rng = np.random.default_rng(0)
    y, group = rng.choice(["a", "b"], 4000), rng.choice(["f", "m"], 4000, p=[0.4, 0.6])
    X = rng.normal(size=(4000, 5))
    halves = [slice(0, 2000), slice(2000, 4000)]

    def told(rows):
        parts = ([a[h] for h in halves] for a in (rows, y, group))
        (train, test), labels, groups = parts
        return leakage(train, test, tuple(labels), tuple(groups))

    nothing = told(X)
    assert nothing["probe"] == pytest.approx(nothing["probe_chance"], abs=0.03)
    assert nothing["within"] == pytest.approx(nothing["within_chance"], abs=0.03)
    X[:, 0] += 4 * (group == "m") * np.where(y == "a", 1, -1)  # equal means over all rows
    crossed = told(X)
    assert crossed["probe"] < 0.75
    X[:, 1] += 5 * (group == "m")
    assert told(X)["probe"] > 0.97
    assert told(X)["within"] > 0.97


def row(name, family, use, corrected, high, p, loss):
    gap = Pooled(corrected, 0.0, high, p, (corrected**2,) * 4)
    seed = SeedGap(0.7 - loss, 0.5, 0.1, 0.05, 0.07, corrected, 0.0, high, p)
    states = dict.fromkeys(
        ("probe", "probe_chance", "within", "within_chance", "neighbours", "neighbours_chance"), 0.5
    )
    return Row(
        name,
        name.upper(),
        family,
        use,
        (seed,),
        gap,
        gap,
        (corrected,),
        states,
        1.0,
        0.1,
        loss,
        0.001,
    )


def judged(*rows):
    return Judged("frozen", 100, (0,), 0.1, {"0.1": 0.7}, rows, ())


BASE = row("untouched", "untouched", "none", 0.06, 0.08, 0.001, 0.0)
LEACE = row("leace", "rival", "blind", 0.05, 0.07, 0.001, 0.002)
MIMIC = row("mimic", "rival", "given", 0.04, 0.06, 0.002, 0.010)


def test_goals_that_are_reached():
    given = row("offsets", "isonomy", "given", 0.01, 0.045, 0.4, 0.004)
    guessed = row("guessed", "isonomy", "inferred", 0.019, 0.05, 0.1, 0.003)
    text = "\n".join(goal_lines(judged(BASE, LEACE, MIMIC, given, guessed)))
    assert "untouched is rejected" in text
    assert "at most .5 points lost): reached by OFFSETS" in text
    assert "at most 0.0200" in text
    assert "reached by GUESSED" in text
    assert text.count("on gap and accuracy: none") == 4


def test_goals_that_are_missed_say_by_what():
    given = row("offsets", "isonomy", "given", 0.045, 0.06, 0.4, 0.012)
    guessed = row("guessed", "isonomy", "inferred", 0.051, 0.07, 0.1, 0.003)
    text = "\n".join(goal_lines(judged(BASE, LEACE, MIMIC, given, guessed)))
    assert "NOT reached; nearest is OFFSETS" in text
    assert "NOT reached; nearest is GUESSED" in text
    assert "on gap and accuracy: MIMIC" in text
    assert "on gap and accuracy: LEACE" in text


def test_tables_have_a_line_a_method():
    found = judged(BASE, LEACE)
    assert len(gap_table(found).splitlines()) == 4
    assert "| UNTOUCHED | 0.060, 0.080, p 0.0010; each 0.060 |" in seed_table(found)
