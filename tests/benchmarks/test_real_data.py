"""The machinery of benchmarks/real_data.py, on small tables that these tests write."""

import io
import re
from dataclasses import replace

import numpy as np
import pytest
import real_data
from _real_data import cases, entries, fitting, goals, learning, sources, store, why
from _real_data.cases import Case, fold_rows, load_case
from _real_data.entries import ENTRIES
from _real_data.figures import pareto
from _real_data.head import RememberedRegression, take_saved_seconds
from _real_data.judging import Judged, judge_case
from _real_data.markdown import label_of
from _real_data.report import BEGIN, replace_section
from _real_data.running import run_missing, telling
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from isonomy.datasets import make_biographies
from isonomy.errors import MissingExtraError

METHODS = ["untouched", "reweighing", "demographic_parity:calibrated"]
ALL = f"communities,{','.join(METHODS)}"
SECONDS = ("fit_seconds", "predict_seconds")


@pytest.fixture
def folder(tmp_path):
    """A table in the layout of "communities": 400 rows, two groups, unequal base rates."""
    rng = np.random.default_rng(0)
    group = np.repeat([0, 1], 200)
    label = rng.random(400) < np.where(group, 0.6, 0.3)
    columns = {
        "medIncome": label + group + rng.normal(size=400),
        "PctEmploy": rng.normal(size=400) - label,
        "racepctblack": group + 0.0,
        "Black": group,
        "class": label.astype(int),
    }
    lines = [
        ",".join(columns),
        *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True)),
    ]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "communities_crime.csv").write_text("\n".join(lines) + "\n")
    load_case.cache_clear()  # the folder is the same in name only
    return str(tmp_path / "data")


@pytest.fixture
def call(folder, tmp_path, capsys):
    """Run the command on the small table; returns (stdout, stderr)."""

    def run(*arguments, only=ALL, work="work"):
        shared = ["--folder", folder, "--work", str(tmp_path / work), "--n-boot", "200"]
        assert real_data.main([*shared, "--only", only, *arguments]) == 0
        captured = capsys.readouterr()
        return captured.out, captured.err

    return run


def fits(stderr):
    return int(re.search(r"(\d+) fits in this run", stderr)[1])


def plain(judged):
    """The rows of a table less the seconds, which differ from run to run."""
    return [{k: v for k, v in row.items() if k not in SECONDS} for row in judged.rows]


def judge(folder, work):
    return judge_case("communities", METHODS, folder=folder, work=work, n_boot=200)


def test_a_second_run_fits_nothing_and_prints_the_same(call, tmp_path):
    first, told = call()
    assert fits(told) == 4 * len(METHODS)
    assert "| untouched | no |" in first
    assert "demographic_parity" in first
    second, told = call()
    assert fits(told) == 0
    assert second == first
    mine = tmp_path / "work" / "mine.txt"
    mine.write_text("not a result")
    _, told = call("--fresh")
    assert fits(told) == 4 * len(METHODS)
    assert mine.exists()


def test_the_figures_are_those_of_a_literal_loop(call, folder, tmp_path):
    call()
    judged = judge(folder, tmp_path / "work")
    case = judged.case
    predicted = np.empty(len(case.y), dtype=int)
    for train, test in case.folds():
        scaler = StandardScaler().fit(case.X[train])
        head = LogisticRegression(max_iter=1_000).fit(
            scaler.transform(case.X[train]), case.y[train]
        )
        predicted[test] = head.predict(scaler.transform(case.X[test]))
    row = judged.row("untouched")
    assert row["accuracy"] == pytest.approx((predicted == case.y).mean())
    rates = [predicted[case.groups == g].mean() for g in np.unique(case.groups)]
    found = row["gap"]["demographic_parity_difference"]["value"]
    assert found == pytest.approx(abs(rates[0] - rates[1]))
    assert row["loss"] == 0
    closed = judged.row("demographic_parity:calibrated")
    assert closed["gap"]["demographic_parity_difference"]["value"] < found / 2
    expected = row["accuracy"] - closed["accuracy"]
    assert closed["loss"] == pytest.approx(expected)


def test_after_an_interruption_the_table_is_that_of_one_run(call, folder, tmp_path, monkeypatch):
    call(work="whole")
    real, done = fitting.fit_fold, []

    def interrupted(*arguments):
        if len(done) == 5:
            raise KeyboardInterrupt
        done.append(1)
        return real(*arguments)

    monkeypatch.setattr(fitting, "fit_fold", interrupted)
    with pytest.raises(KeyboardInterrupt):
        call(work="parts")
    monkeypatch.setattr(fitting, "fit_fold", real)
    _, told = call(work="parts")
    assert fits(told) == 4 * len(METHODS) - 5
    assert plain(judge(folder, tmp_path / "parts")) == plain(judge(folder, tmp_path / "whole"))


@pytest.mark.parametrize("damage", ["cut", "altered", "not JSON", "a list"])
def test_a_damaged_file_is_computed_again(call, folder, tmp_path, damage):
    call()
    before = plain(judge(folder, tmp_path / "work"))
    path = fitting.record_path(tmp_path / "work", "communities", "reweighing", 2)
    text = path.read_text()
    first = re.search(r'"predictions":\[(\d)', text)
    flipped = text[: first.start(1)] + str(1 - int(first[1])) + text[first.end(1) :]
    spoilt = {"cut": text[:90], "altered": flipped, "not JSON": "\x00", "a list": "[]"}
    path.write_text(spoilt[damage])
    _, told = call()
    assert fits(told) == 1
    assert plain(judge(folder, tmp_path / "work")) == before


def test_a_change_of_code_or_settings_is_computed_again(call, monkeypatch):
    call()
    monkeypatch.setattr(fitting, "source_fingerprint", lambda modules: "changed")
    _, told = call()
    assert fits(told) == 4 * len(METHODS)
    original = ENTRIES["reweighing"]
    changed = replace(original, make=lambda h, s: original.make(h.set_params(max_iter=50), s))
    monkeypatch.setitem(entries.ENTRIES, "reweighing", changed)
    _, told = call()
    assert fits(told) == 4


def test_methods_that_are_absent_or_fail_are_told_with_the_reason(call, monkeypatch):
    def absent(head, seed):
        raise MissingExtraError("install it with: pip install 'isonomy[fairlearn]'")

    class Fails(LogisticRegression):
        def fit(self, X, y, sensitive_features=None):
            raise ValueError("two classes\nonly")

    monkeypatch.setitem(entries.ENTRIES, "reweighing", replace(ENTRIES["reweighing"], make=absent))
    monkeypatch.setitem(
        entries.ENTRIES, "mimic", replace(ENTRIES["mimic"], make=lambda h, s: (Fails(), "given"))
    )
    out, told = call(only="communities,untouched,reweighing,mimic")
    assert "- reweighing: MissingExtraError: install it with" in out
    assert "- mimic: fold 0: ValueError: two classes only" in out
    assert fits(told) == 8
    _, told = call(only="communities,untouched,reweighing,mimic")
    assert fits(told) == 0  # what failed is not tried again before its code changes


def test_a_method_that_decides_at_random_is_told(folder, tmp_path):
    class Coin(LogisticRegression):
        def fit(self, X, y, sensitive_features=None):
            return super().fit(X, y)

        def predict(self, X):
            return np.random.default_rng(self.random_state).integers(0, 2, len(X))

    case = load_case("communities", folder)
    coin = replace(ENTRIES["untouched"], make=lambda h, s: (Coin(random_state=s), "none"))
    rows = fold_rows(case, 0, tmp_path)
    assert fitting.fit_fold(case, coin, rows, tmp_path)["same_share"] < 0.8
    assert fitting.fit_fold(case, ENTRIES["untouched"], rows, tmp_path)["same_share"] == 1


def test_blind_methods_get_no_groups_at_prediction(folder, tmp_path):
    seen = []

    class Curious(LogisticRegression):
        def fit(self, X, y, sensitive_features=None):
            return super().fit(X, y)

        def predict(self, X, sensitive_features=None):
            seen.append(sensitive_features is not None)
            return super().predict(X)

    case = load_case("communities", folder)
    rows = fold_rows(case, 0, tmp_path)
    for use in ("none", "blind", "inferred", "given"):
        seen.clear()
        entry = replace(ENTRIES["untouched"], make=lambda h, s, u=use: (Curious(), u))
        assert fitting.fit_fold(case, entry, rows, tmp_path)["use"] == use
        assert seen == [use == "given"] * 2


def test_the_report_is_written_twice_with_the_same_bytes(call, tmp_path):
    (tmp_path / "root" / "benchmarks").mkdir(parents=True)
    results = tmp_path / "root" / "benchmarks" / "RESULTS.md"
    old = "## Real biographies: `python benchmarks/real_biographies.py`\n\nA table.\n"
    results.write_text(f"# Results\n\n## Speed\n\nQuick.\n\n{old}")
    arguments = ("--report", "--root", str(tmp_path / "root"))
    call(*arguments)
    files = sorted(p for p in (tmp_path / "root").rglob("*") if p.is_file())
    first = {path: path.read_bytes() for path in files}
    call(*arguments)
    assert {path: path.read_bytes() for path in files} == first
    assert {p.name for p in files} == {"RESULTS.md", "real-data.md", "real-communities.png"}
    assert all(len(data) < 100_000 for data in first.values())
    text = results.read_text()
    assert "Quick." in text
    assert "A table." not in text
    assert text.count(BEGIN) == 1
    page = (tmp_path / "root" / "docs" / "real-data.md").read_text()
    assert "Demographic parity asked for: communities" in page
    assert "Every method on real data sets (communities), by" in page
    assert str(tmp_path) not in page


def test_only_may_hold_wildcards_and_refuses_strangers(capsys):
    asked = real_data.parse(["--only", "compas,ideal_*"])
    assert asked.data == ["compas"]
    assert asked.entries[:2] == ["ideal_blind", "ideal_given_full"]
    assert real_data.parse([]).data == list(real_data.DATA)
    with pytest.raises(SystemExit):
        real_data.parse(["--only", "titanic"])
    assert "no data set or method" in capsys.readouterr().err
    assert real_data.main(["--list"]) == 0
    assert "biographies" in capsys.readouterr().out


def test_progress_is_told_in_lines_where_there_is_no_terminal():
    stream = io.StringIO()
    with telling(stream) as tell:
        tell("compas, mimic, fold 0, 0.1 s", 1, 4)
    assert re.fullmatch(r"\[1/4, \d+ s\] compas, mimic, fold 0, 0.1 s\n", stream.getvalue())


def test_texts_are_reduced_inside_each_fold_and_kept(tmp_path, monkeypatch):
    data = make_biographies(400, random_state=0)
    parts = np.where(np.isin(data.occupation, data.occupation[:9]), "one", "two"), data.gender
    case = Case("biographies", "", data.text, *parts, True, "print")
    monkeypatch.setattr(cases, "N_COMPONENTS", 20)
    cases._fold_rows.cache_clear()
    rows = fold_rows(case, 1, tmp_path)
    assert rows.X_train.shape == (len(rows.train), 20)
    assert rows.X_train.std(axis=0).mean() == pytest.approx(1)
    cases._fold_rows.cache_clear()
    monkeypatch.setattr(cases, "_text_features", None)  # not called again
    again = fold_rows(case, 1, tmp_path)
    assert (again.X_test == rows.X_test).all()
    cases._fold_rows.cache_clear()


def test_the_two_studies_are_run_once_and_reported(tmp_path, monkeypatch, capsys):
    data = make_biographies(600, random_state=0)
    occupation = np.where(np.isin(data.occupation, data.occupation[:9]), "one", "two")
    rows = [
        f'"{t}",{o},{g},train' for t, o, g in zip(data.text, occupation, data.gender, strict=True)
    ]
    (tmp_path / "bios.csv").write_text("\n".join(["text,occupation,gender,split", *rows]))
    monkeypatch.setattr(cases, "N_COMPONENTS", 10)
    monkeypatch.setattr(learning, "SIZES", (300,))
    monkeypatch.setattr(learning, "_ENTRIES", ("untouched", "ideal_given_discriminant"))
    kept = ("rows as they are", "full map, OAS", "calibrated offsets")
    monkeypatch.setattr(why, "VARIANTS", {name: why.VARIANTS[name] for name in kept})
    call = ["--folder", str(tmp_path), "--work", str(tmp_path / "work"), "--n-boot", "200"]
    call += ["--root", str(tmp_path / "root"), "--learning-curve", "--why", "--report"]
    real_data.main(call)
    assert fits(capsys.readouterr().err) == 2 * 2 * 4 + 3 * 4
    page = (tmp_path / "root" / "docs" / "real-data.md").read_text()
    assert "| method | 300 rows | 600 rows |" in page
    assert "| full map, OAS | " in page
    images = tmp_path / "root" / "docs" / "images"
    assert {"real-learning-curve.png", "real-why.png"} < {p.name for p in images.iterdir()}
    found = {row["variant"]: row for row in why.why_rows(str(tmp_path), tmp_path / "work")}
    # the map makes the means meet on the rows that it was fitted on
    assert found["full map, OAS"]["far_in"] < found["rows as they are"]["far_in"]
    assert found["calibrated offsets"]["far_out"] == found["rows as they are"]["far_out"]
    real_data.main(call)
    assert fits(capsys.readouterr().err) == 0


def test_samples_are_nested_and_keep_the_mixture():
    cells = np.repeat(["a", "b", "c"], [600, 300, 100])
    small, large = (set(cases._stratified_sample(cells, n).tolist()) for n in (200, 500))
    assert len(small) == 200
    assert small < large
    shares = np.unique(cells[sorted(small)], return_counts=True)[1]
    assert shares.tolist() == pytest.approx([120, 60, 20], abs=2)


def test_a_remembered_head_is_the_head(tmp_path):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 3)), rng.choice(["a", "b", "c"], 200)
    weight = rng.random(200)
    plain_head = LogisticRegression().fit(X, y, sample_weight=weight)
    for _ in range(2):
        head = RememberedRegression(folder=str(tmp_path)).fit(X, y, sample_weight=weight)
        assert (head.predict_proba(X) == plain_head.predict_proba(X)).all()
        assert head.classes_.tolist() == ["a", "b", "c"]
    assert take_saved_seconds() > 0
    assert take_saved_seconds() == 0
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:50])
    again = RememberedRegression(folder=str(tmp_path)).fit(X, y, sample_weight=weight)
    assert (again.coef_ == plain_head.coef_).all()
    RememberedRegression(folder=str(tmp_path)).fit(X, y)
    RememberedRegression(folder=str(tmp_path), max_iter=50).fit(X[:9], y[:9])
    assert len(list(tmp_path.iterdir())) == 3


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of three modules in place of isonomy, for the fingerprint of sources."""
    files = {
        "__init__.py": "",
        "one.py": "from isonomy.many import Two\n\ndef f():\n    return 1\n",
        "many/__init__.py": "from isonomy.many.two import Two\nfrom isonomy.many.three import X\n",
        "many/two.py": "class Two:\n    x = 1\n",
        "many/three.py": "X = 1\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(sources, "ROOT", tmp_path)

    def fingerprint(changed=None, text=""):
        forget_sources()
        if changed:
            (tmp_path / changed).write_text(text)
        return sources.source_fingerprint(["isonomy.one"])

    yield fingerprint
    monkeypatch.undo()
    forget_sources()


def forget_sources():
    for name in (sources._texts, sources._tree, sources._code, sources._hash):
        name.cache_clear()


def test_code_counts_words_and_strangers_do_not(package):
    first = package()
    assert package("many/two.py", '"""Words."""\n\n# more\nclass Two:\n    x = 1\n') == first
    assert package("many/three.py", "X = 2\n") == first
    assert package("many/two.py", "class Two:\n    x = 2\n") != first


def test_what_is_edited_during_a_run_does_not_count_in_it(package, tmp_path):
    first = package()
    forget_sources()
    sources._texts()  # a process starts, and imports the modules
    (tmp_path / "many" / "two.py").write_text("class Two:\n    x = 2\n")
    assert sources.source_fingerprint(["isonomy.one"]) == first
    assert package() != first


def test_a_method_depends_on_what_it_is_made_of():
    def modules(name):
        model, _ = ENTRIES[name].make(LogisticRegression(), 0)
        return sources._closure(sources.modules_of(model))

    assert "isonomy.steering.ideal" not in modules("mimic")
    assert "isonomy.baselines.mimic" in modules("mimic")
    assert "isonomy.baselines.mimic" not in modules("leace")
    assert {"isonomy.steering.ideal", "isonomy.ideal.nearest"} <= modules("ideal_given_full")
    assert "isonomy.steering.calibration" not in modules("ideal_given_full")
    assert "isonomy.steering.calibration" in modules("ideal_given_full+calibrated")


def test_a_record_under_another_key_counts_as_absent(tmp_path):
    store.write_record(tmp_path / "r.json", {"seed": 0}, {"x": [1, 2]})
    assert store.read_record(tmp_path / "r.json", {"seed": 0}) == {"x": [1, 2]}
    assert store.read_record(tmp_path / "r.json", {"seed": 1}) is None
    assert store.remembered(tmp_path / "r.json", {"seed": 0}, lambda: {}) == {"x": [1, 2]}
    assert store.remembered(tmp_path / "r.json", {"seed": 1}, lambda: {"x": 3}) == {"x": 3}


def test_the_front_is_what_nobody_beats():
    points = [(0.3, 0.9, "a"), (0.1, 0.8, "b"), (0.2, 0.7, "c"), (0.1, 0.6, "d"), (0.0, 0.5, "e")]
    assert [p[2] for p in pareto(points)] == ["e", "b", "a"]


def test_names_become_words():
    assert (
        label_of("demographic_parity:linear_post_blind@0.01") == "LinearPost, blind, tolerance 0.01"
    )
    assert label_of("leace+calibrated") == "LEACE + calibrated"


def test_a_section_is_replaced_in_its_place():
    text = replace_section("# Results\n\n## Speed\n", "first")
    assert text.startswith("# Results\n\n## Speed\n\n" + BEGIN)
    more = text + "\n## Later\n"
    again = replace_section(more, "second")
    assert "first" not in again
    assert again.index("second") < again.index("## Later")
    assert replace_section(again, "second") == again


def biography_row(name, family, use, figures, loss):
    corrected, high, p = figures
    gap = {"corrected": corrected, "high": high, "p_value": p, "value": corrected}
    return {
        "name": name, "family": family, "use": use, "criterion": None,
        "loss": loss, "each_rule": 0.0,
        "accuracy": 0.73 - loss, "gap": {"rms_tpr_gap_precision": gap}, "same_share": 1.0,
    }  # fmt: skip


def test_the_goals_of_the_biographies_are_told_as_reached_or_not():
    rows = [
        biography_row("untouched", "untouched", "none", (0.050, 0.070, 0.0001), 0.0),
        biography_row("calibrated", "isonomy", "given", (0.010, 0.040, 0.3), 0.002),
        biography_row("ideal_blind", "isonomy", "blind", (0.045, 0.065, 0.0004), 0.001),
        biography_row("linear_post@0.01", "rival", "given", (0.005, 0.030, 0.5), 0.001),
    ]
    text = "\n".join(goals.biography_goals(Judged(None, rows, [])))
    assert "untouched is rejected" in text
    assert (
        "With given groups (p > .05, upper bound < .05, loss at most .5 points): reached by" in text
    )
    assert "better than calibrated offsets on both axes: LinearPost, aware, tolerance 0.01" in text
    assert "at most 0.0325" in text
    assert "not reached; nearest is ideal, blind" in text
    assert "better than ideal, blind on both axes: none" in text


def test_a_gap_inside_its_noise_is_no_better_than_another():
    rows = [
        biography_row("untouched", "untouched", "none", (0.050, 0.070, 0.0001), 0.0),
        biography_row("calibrated", "isonomy", "given", (-0.010, 0.030, 0.6), 0.002),
        biography_row("linear_post@0.01", "rival", "given", (-0.005, 0.035, 0.5), 0.001),
    ]
    text = "\n".join(goals.biography_goals(Judged(None, rows, [])))
    assert "better than calibrated offsets on both axes: LinearPost, aware, tolerance 0.01" in text


def criterion_row(name, family, gap, loss, same=1.0):
    return {
        "name": f"demographic_parity:{name}", "family": family, "use": "given", "loss": loss,
        "criterion": "demographic_parity", "same_share": same, "accuracy": 0.8 - loss,
        "gap": {"demographic_parity_difference": {"value": gap}},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("ours", "verdict"),
    [
        (criterion_row("calibrated", "isonomy", 0.012, 0.02), "reached by calibrated offsets"),
        (criterion_row("calibrated", "isonomy", 0.016, 0.02), "not reached"),
        (criterion_row("calibrated", "isonomy", 0.001, 0.04), "not reached"),
        (criterion_row("calibrated", "isonomy", 0.001, 0.02, same=0.99), "not reached"),
    ],
)
def test_the_goals_of_the_tables(ours, verdict):
    rival = criterion_row("fairlearn_threshold_optimizer", "rival", 0.010, 0.03, same=0.9)
    told = goals.criterion_goals(Judged(None, [ours, rival], []), "demographic_parity")
    assert f": {verdict}" in told


def test_folds_judged_together_flatter_a_shift_fitted_on_the_other_folds():
    rng = np.random.default_rng(0)
    n_folds, n = 4, 400
    together, each = [], []
    for _ in range(2000):
        gaps = rng.normal(0.05, np.sqrt(0.5 / n), n_folds)  # of a rate, fold by fold
        left = gaps - (gaps.sum() - gaps) / (n_folds - 1)  # less the mean of the other folds
        together.append(left.mean())
        each.append(np.mean(left**2) - 0.5 / n)
    np.testing.assert_allclose(together, 0, atol=1e-12)  # by construction
    # what a fitted shift leaves is the noise of the mean of three folds
    assert np.mean(each) == pytest.approx(0.5 / n / 3, rel=0.1)


def test_the_distance_of_cell_means_takes_its_noise_off():
    rng = np.random.default_rng(0)
    y, group = np.repeat([0, 1], 10_000), np.tile(["f", "m"], 10_000)
    X = rng.normal(size=(20_000, 30))
    # the squared distance has standard error sqrt(2 * 30 / 2) / 2500 = .0022: three of them
    assert abs(why.cell_mean_distance(X, y, group, np.eye(30))) < 0.0066**0.5
    X[:, 0] += 0.5 * (group == "m")
    assert why.cell_mean_distance(X, y, group, np.eye(30)) == pytest.approx(0.5, abs=0.05)
    X[:, 0] *= 2  # in units of the standard deviation, which is now 2
    wide = np.diag([4.0] + [1.0] * 29)
    assert why.cell_mean_distance(X, y, group, wide) == pytest.approx(0.5, abs=0.05)


def test_several_processes_leave_what_one_leaves(folder, tmp_path):
    quiet = {"folder": folder, "tell": lambda *_: None}
    for jobs in (1, 2):
        run_missing(["communities"], ["untouched"], work=tmp_path / str(jobs), jobs=jobs, **quiet)
    one, two = (
        judge_case("communities", ["untouched"], folder=folder, work=tmp_path / str(j), n_boot=200)
        for j in (1, 2)
    )
    assert plain(one) == plain(two)
