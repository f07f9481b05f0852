"""``layer_curves``: held-out numbers of every layer, and an honest choice among them."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from isonomy._cross_fit import cell_splits
from isonomy.datasets import make_biased_normals
from isonomy.errors import CorruptArtefactError, InvalidInputError
from isonomy.hidden_states._curve import _points as _curve_points
from isonomy.hidden_states._curve._points import LayerPoint, Measured
from isonomy.hidden_states.curves import LayerCurves, layer_curves
from isonomy.hidden_states.methods import fit_method
from isonomy.metrics import rms_tpr_gap, wilson_interval


def rows(n: int = 900, n_groups: int = 2) -> Any:
    X, y, group, _ = make_biased_normals(
        n, n_features=6, n_classes=3, n_groups=n_groups, random_state=0
    )
    return X, y, group


def layers(n: int = 900, n_groups: int = 2) -> dict[Any, Any]:
    """Noise drowns layer 0; layer 2 and the head's input are clear."""
    X, y, group = rows(n, n_groups)
    noise = np.random.default_rng(0).normal(size=X.shape)
    return {0: (X + 5 * noise, y, group), 2: (X, y, group), None: (X - 1, y, group)}


@pytest.fixture(scope="module")
def curves() -> LayerCurves:
    return layer_curves(layers(), n_boot=200)


def test_every_layer_has_its_numbers_on_both_parts(curves: LayerCurves) -> None:
    assert curves.layers == (0, 2, None)
    assert curves.n_rows == {"train": 540, "validation": 180, "test": 180}
    assert (curves.classes, curves.groups) == ((0, 1, 2), tuple(np.unique(rows()[2]).tolist()))
    for name in ("validation", "test"):
        points = curves.part(name)
        assert [p.layer for p in points] == [0, 2, None]
        for point in points:
            for field in ("probe_accuracy", "probe_within", "accuracy", "macro_f1"):
                found = getattr(point, field)
                assert 0 <= found.low <= found.value <= found.high <= 1 and found.n == 180
            assert point.gap.low <= point.gap.high and point.gap.n == 180
            assert point.gap.value <= point.gap_plain  # the correction subtracts
    noisy, clear, _ = curves.part("test")
    assert noisy.accuracy.value < clear.accuracy.value
    assert noisy.leakage < clear.leakage
    assert clear.probe_within_chance >= clear.probe_chance - 0.05


def test_numbers_are_those_of_fits_on_the_training_rows_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    X, y, group = rows()
    tasks = []
    measure = _curve_points.measure_layer
    monkeypatch.setattr(
        "isonomy.hidden_states.curves.measure_layer",
        lambda *a: (tasks.append(a[-1]), measure(*a))[1],
    )
    found = layer_curves({2: (X, y, group)}, n_boot=50)
    (task,) = tasks
    parts = [task.train, task.parts["validation"], task.parts["test"]]
    assert sorted(np.concatenate(parts).tolist()) == list(range(900))  # disjoint and whole

    def regression(target: Any, values: Any) -> Any:
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200, tol=1e-3))
        return model.fit(values[task.train], target[task.train])

    for point, part in zip(found.points, parts[1:], strict=True):
        predicted = regression(y, X).predict(X[part])
        assert point.accuracy.value == np.mean(predicted == y[part])
        low, high = wilson_interval(point.accuracy.value, len(part))
        assert (point.accuracy.low, point.accuracy.high) == (float(low), float(high))
        options: Any = {"sensitive_features": group[part], "weighting": "precision"}
        assert point.gap.value == rms_tpr_gap(y[part], predicted, corrected=True, **options)
        assert point.gap_plain == pytest.approx(rms_tpr_gap(y[part], predicted, **options))
        scores = []
        for k in range(3):
            hit = np.sum((predicted == k) & (y[part] == k))
            scores.append(2 * hit / (np.sum(predicted == k) + np.sum(y[part] == k)))
        assert point.macro_f1.value == pytest.approx(np.mean(scores))
        probe = regression(group, X).predict(X[part])
        assert point.probe_accuracy.value == np.mean(probe == group[part])
        names, counts = np.unique(group[task.train], return_counts=True)
        assert point.probe_chance == np.mean(group[part] == names[counts.argmax()])
        own = {
            k: max(
                names, key=lambda g, k=k: np.sum((group == g)[task.train] & (y == k)[task.train])
            )
            for k in range(3)
        }
        assert point.probe_within_chance == np.mean(
            [own[k] == g for k, g in zip(y[part], group[part], strict=True)]
        )


def test_a_probe_told_the_class_finds_nothing_where_only_classes_differ() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 4000)
    group = np.where(rng.random(4000) < np.where(y == 1, 0.8, 0.2), "a", "b")
    X = rng.normal(size=(4000, 4)) + 3 * y[:, None]
    (found,) = layer_curves({0: (X, y, group)}, n_boot=50).part("test")
    assert found.probe_accuracy.value > found.probe_chance + 0.2  # by way of the class
    assert abs(found.leakage) < 0.02
    assert found.accuracy.value > 0.95


def test_the_probe_is_told_the_class_where_the_states_do_not_show_it() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 2000)
    group = np.where(rng.random(2000) < np.where(y == 1, 0.8, 0.2), "a", "b")
    (found,) = layer_curves({0: (rng.normal(size=(2000, 3)), y, group)}, n_boot=50).part("test")
    assert found.probe_within.value > 0.75 and found.probe_accuracy.value < 0.6
    assert abs(found.leakage) < 0.02


def test_the_class_is_told_louder_than_the_ridge() -> None:
    """The scaled indicators go to the probe as they are."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 600)
    group = np.where(rng.random(600) < np.where(y == 1, 0.85, 0.15), "a", "b")
    X = rng.normal(size=(600, 2)) + (group == "a")[:, None]
    (found,) = layer_curves({0: (X, y, group)}, C=0.001, n_boot=50).part("test")
    cells = np.unique(y * 2 + (group == "a"), return_inverse=True)[1]
    folds = [np.sort(test) for _, test in cell_splits(5, cells, random_state=0, where="test")]
    train, test = np.sort(np.concatenate(folds[2:])), folds[1]

    def told(part: Any) -> Any:
        scaled = (X[part] - X[train].mean(axis=0)) / X[train].std(axis=0)
        return np.hstack([scaled, 5.0 * (y[part][:, None] == np.arange(2))])

    probe = LogisticRegression(C=0.001, max_iter=200, tol=1e-3).fit(told(train), group[train])
    assert found.probe_within.value == np.mean(probe.predict(told(test)) == group[test])


def test_steered_numbers_are_those_of_the_method_fitted_on_the_training_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    X, y, group = rows()
    tasks = []
    measure = _curve_points.measure_layer
    monkeypatch.setattr(
        "isonomy.hidden_states.curves.measure_layer",
        lambda *a: (tasks.append(a[-1]), measure(*a))[1],
    )
    points = {
        name: layer_curves({2: (X, y, group)}, method=name, n_boot=50).result(2)
        for name in ("mean_matching", "calibrated_offsets")
    }
    train, part = tasks[0].train, tasks[0].parts["test"]
    own: Any = {"X": X[train], "y": y[train], "sensitive_features": group[train]}
    moved = fit_method("mean_matching", **own)
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200, tol=1e-3))
    probe.fit(moved.transform(X[train], sensitive_features=group[train]), group[train])
    named = probe.predict(moved.transform(X[part], sensitive_features=group[part]))
    assert points["mean_matching"].probe_accuracy.value == np.mean(named == group[part])
    shifted = fit_method("calibrated_offsets", **own, random_state=0)
    decided = shifted.predict(X[part], sensitive_features=group[part])
    assert points["calibrated_offsets"].accuracy.value == np.mean(decided == y[part])


def test_the_interval_of_macro_f1_covers_a_known_one() -> None:
    # a symmetric confusion: macro-F1 is the accuracy, .8, whose standard error is sqrt(.16 / n)
    confusion = np.full((3, 3), 40) + 280 * np.eye(3, dtype=int)
    found = _curve_points._macro_f1(confusion, 4000, np.random.default_rng(0))
    n = confusion.sum()
    assert found.value == pytest.approx(0.8) and found.n == n
    half = 1.96 * math.sqrt(0.16 / n)
    assert found.high - found.value == pytest.approx(half, rel=0.1)
    assert found.value - found.low == pytest.approx(half, rel=0.1)


def point(layer: Any, part: Any, gap: float, accuracy: float, **more: Any) -> LayerPoint:
    def measured(value: float, half: float = 0.1) -> Measured:
        return Measured(value, value - half, value + half, 100)

    return LayerPoint(
        layer=layer,
        part=part,
        probe_accuracy=measured(0.7),
        probe_chance=0.5,
        probe_within=measured(more.get("within", 0.6)),
        probe_within_chance=0.5,
        accuracy=measured(accuracy),
        macro_f1=measured(more.get("f1", accuracy)),
        gap=measured(gap, more.get("half", 0.1)),
        gap_plain=abs(gap) + 0.01,
        converged=True,
    )


def made(*validation: Any, half: float = 0.001) -> LayerCurves:
    points = tuple(point(layer, "validation", *v, half=half) for layer, *v in validation)
    # on the test rows everything is the other way round: it must have no say
    tests = tuple(point(layer, "test", -g, 1 - a) for layer, g, a in validation)
    return LayerCurves(points + tests, {"train": 1}, (0, 1), ("a", "b"), "none", 0)


def test_the_choice_is_the_smallest_clear_gap_among_the_useful_on_validation_rows() -> None:
    found = made((0, -0.2, 0.70), (1, 0.05, 0.795), (2, 0.08, 0.80), (3, 0.02, 0.785))
    assert found.best() == 1
    assert found.best(tolerance=0.0) == 2
    assert found.best(tolerance=0.02) == 3
    assert found.best(tolerance=1.0) == 0  # below its own noise is least
    assert found.best("utility") == 2
    assert found.result().layer == 1 and found.result().part == "test"
    assert found.result(3).gap.value == -0.02


def test_ties_go_to_the_more_useful_then_the_later_layer() -> None:
    assert made((0, 0.1, 0.80), (1, 0.1, 0.79)).best() == 0
    assert made((0, 0.1, 0.80), (1, 0.1, 0.80)).best() == 1
    assert made((0, 0.2, 0.80), (1, 0.1, 0.79), (2, 0.1, 0.79)).best() == 2


def test_a_gap_within_its_noise_moves_no_choice() -> None:
    lucky = (0, -0.1, 0.795), (1, 0.05, 0.80), (2, 0.02, 0.799)
    assert made(*lucky).best() == 0
    assert made(*lucky, half=0.08).best() == 1  # intervals overlap: the most useful
    assert made(*lucky, (None, 0.06, 0.791), half=0.09).best() is None  # the head's input first
    assert made(*lucky, (None, 0.06, 0.791), half=0.07).best() == 0
    assert made(*lucky, (None, 0.06, 0.78), half=0.09).best() == 1  # more than a point below
    nan = float("nan")
    unknown = [replace(p, gap=Measured(p.gap.value, nan, nan, 100)) for p in made(*lucky).points]
    assert LayerCurves(tuple(unknown), {}, (), (), "none", 0).best() == 1


@pytest.mark.parametrize(
    ("validation", "half", "layer", "said"),
    [
        ([(0, 0.1, 0.8), (None, 0.1, 0.795)], 0.1, None, "within a point of the best, and no ot"),
        ([(0, 0.1, 0.8), (None, 0.1, 0.7)], 0.1, 0, "no other place is within a point of its"),
        ([(0, 0.1, 0.8), (1, 0.1, 0.795)], 0.1, 0, "it is the most accurate, and no other such"),
        ([(0, 0.0, 0.8), (None, 0.1, 0.8)], 0.01, 0, "smaller than that of the input of the head"),
    ],
)
def test_the_reason_is_the_part_of_the_rule_that_decided(
    validation: Any, half: float, layer: Any, said: str
) -> None:
    choice = made(*validation, half=half).to_dict()["choice"]
    assert choice["layer"] == layer
    assert said in choice["reason"] and choice["reason"].startswith("On 100 validation texts")


def test_no_choice_where_no_useful_layer_has_a_gap() -> None:
    assert made((0, 0.1, 0.5), (1, float("nan"), 0.8)).to_dict()["choice"] is None


def test_the_probe_rule_takes_the_layer_that_leaks_least_beyond_chance() -> None:
    points = [point(i, "validation", 0.1, 0.8, within=w) for i, w in enumerate((0.6, 0.55, 0.9))]
    found = LayerCurves(tuple(points), {}, (), (), "none", 0)
    assert found.best("probe") == 1
    f1 = [point(i, "validation", 0.1, 0.8, f1=f) for i, f in enumerate((0.5, 0.9))]
    assert LayerCurves(tuple(f1), {}, (), (), "none", 0).best("utility", utility="macro_f1") == 1


def test_layers_without_a_gap_cannot_be_chosen_by_it() -> None:
    nan = float("nan")
    found = made((0, nan, 0.8), (1, 0.3, 0.8))
    assert found.best() == 1
    none = made((0, nan, 0.8), (1, nan, 0.8))
    with pytest.raises(InvalidInputError, match="no layer within the tolerance has one"):
        none.best()
    assert none.best("utility") == 1
    assert none.to_dict()["choice"] is None
    json.dumps(none.to_dict(), allow_nan=False)


def test_arguments_of_the_choice_are_checked(curves: LayerCurves) -> None:
    with pytest.raises(InvalidInputError, match="`rule` of `LayerCurves.best` must be one of"):
        curves.best("luck")  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="`utility` of"):
        curves.best(utility="f1")  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match=r"`tolerance` of .* in \[0, 1\]"):
        curves.best(tolerance=2)
    with pytest.raises(InvalidInputError, match=r"one of \[0, 2, None\] or 'best', got 7"):
        curves.result(7)


def test_json_comes_back_and_broken_files_are_refused(curves: LayerCurves, tmp_path: Any) -> None:
    path = curves.save(tmp_path / "curves.json")
    again = LayerCurves.load(path)
    assert again.points == curves.points
    assert again.n_rows == curves.n_rows and again.best() == curves.best()
    assert json.loads(path.read_text())["choice"]["layer"] == curves.best()
    unknown = replace(curves.points[0], gap=Measured(*[float("nan")] * 3, 5))
    odd = LayerCurves((unknown,), {}, (), (), "none", 0)
    read = LayerCurves.load(odd.save(tmp_path / "odd.json")).points[0]
    assert math.isnan(read.gap.value) and read.gap.n == 5
    for text in ("{", '{"kind": "audit"}', "[]", '{"kind": "layer_curves", "points": ["x"]}'):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(CorruptArtefactError, match=r"`LayerCurves.save` wrote, got .*bad.json"):
            LayerCurves.load(tmp_path / "bad.json")
    with pytest.raises(CorruptArtefactError, match="nowhere"):
        LayerCurves.load(tmp_path / "nowhere.json")


def test_the_table_has_a_row_a_layer_and_part(curves: LayerCurves) -> None:
    table = curves.to_frame("pandas")
    assert len(table) == 6
    assert table["accuracy"].tolist() == [p.accuracy.value for p in curves.points]
    assert table["gap_high"].tolist() == [p.gap.high for p in curves.points]
    assert curves.to_frame("dict")["layer"] == [0, 0, 2, 2, None, None]
    assert curves.to_frame("polars").shape == table.shape
    with pytest.raises(InvalidInputError, match="`backend` of `LayerCurves.to_frame`"):
        curves.to_frame("csv")  # type: ignore[arg-type]


def test_curves_of_a_steered_layer() -> None:
    data = layers(2000)
    plain = layer_curves(data, layers=[2], n_boot=50)
    erased = layer_curves(data, layers=[2], method="leace", n_boot=50)
    before, after = plain.part("test")[0], erased.part("test")[0]
    assert before.probe_accuracy.value > before.probe_chance + 0.05
    assert after.probe_accuracy.value < after.probe_chance + 0.03
    assert erased.method == "leace" and erased.to_dict()["method"] == "leace"
    calibrated = layer_curves(data, layers=[2], method="calibrated_offsets", n_boot=50)
    # its head is its own: fitted on states as they were
    assert calibrated.part("test")[0].gap.value < before.gap.value
    blind = layer_curves(data, layers=[2], method="ideal_blind", settings={"rank": 1}, n_boot=50)
    assert blind.part("test")[0] != before


def test_the_same_split_and_numbers_for_the_same_seed_in_any_company() -> None:
    data = layers()
    alone = layer_curves(data, layers=[2], n_boot=50)
    together = layer_curves(data, n_boot=50, n_jobs=2)
    assert alone.points == tuple(p for p in together.points if p.layer == 2)
    other = layer_curves(data, layers=[2], n_boot=50, random_state=1)
    assert other.points != alone.points


def test_groups_beyond_two_and_progress() -> None:
    seen = []
    found = layer_curves(
        layers(1200, n_groups=3), n_boot=50, progress=lambda done, of: seen.append((done, of))
    )
    assert seen == [(1, 3), (2, 3), (3, 3)] and len(found.groups) == 3


def test_steps_that_did_not_suffice_are_told_not_warned() -> None:
    found = layer_curves(layers(), layers=[2], max_iter=2, n_boot=50)
    assert [p.converged for p in found.points] == [False, False]
    assert all(p.converged for p in layer_curves(layers(), layers=[2], n_boot=50).points)


class _Kept(dict[Any, Any]):
    """As ``Collected``: a mapping of layer to moments, with the rows behind a method."""

    def __init__(self, rows: Any) -> None:
        super().__init__(dict.fromkeys(rows, "moments"))
        self._kept = rows

    def rows(self, layer: Any) -> Any:
        return self._kept[layer]


def test_what_collect_returned_is_read_layer_by_layer(curves: LayerCurves) -> None:
    assert layer_curves(_Kept(layers()), n_boot=200).points == curves.points


def test_bad_input_is_named() -> None:
    X, y, group = rows()
    with pytest.raises(InvalidInputError, match="or a mapping of layer to .* got ndarray"):
        layer_curves(X)
    with pytest.raises(InvalidInputError, match="got dict"):
        layer_curves({})
    with pytest.raises(InvalidInputError, match=r"among the layers collected \(\[0\]\), got \[3\]"):
        layer_curves({0: (X, y, group)}, layers=[3])
    with pytest.raises(InvalidInputError, match="with labels: collect with `label=`"):
        layer_curves({0: (X, None, group)})
    with pytest.raises(InvalidInputError, match="must hold groups for layer 0, got None"):
        layer_curves({0: (X, y, None)})
    with pytest.raises(InvalidInputError, match="same examples .* layer 1 .800 rows. differs"):
        layer_curves({0: (X, y, group), 1: (X[:800], y[:800], group[:800])}, n_boot=50)
    with pytest.raises(InvalidInputError, match="same examples"):
        layer_curves({0: (X, y, group), 1: (X, y[::-1], group)}, n_boot=50)
    with pytest.raises(InvalidInputError, match="a map of the state, and 'linear_post' decides"):
        layer_curves({0: (X, y, group)}, method="linear_post")
    with pytest.raises(InvalidInputError, match="at least 2 groups, got only 'a'"):
        layer_curves({0: (X, y, np.full(900, "a"))})
    with pytest.raises(InvalidInputError, match="at least 2 classes"):
        layer_curves({0: (X, np.zeros(900), group)})
    with pytest.raises(InvalidInputError, match="`n_folds` of `layer_curves` .* at least 3"):
        layer_curves({0: (X, y, group)}, n_folds=2)
    broken = X.copy()
    broken[3, 1] = np.nan
    with pytest.raises(InvalidInputError, match=r"`layer_curves` .* column 'x1', row 3"):
        layer_curves({0: (broken, y, group)})
