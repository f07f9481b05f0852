"""benchmarks/adapters.py from end to end, on made-up texts and a tiny untrained network."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from _adapters import budget, methods, report, running, zero_shot
from _adapters.cells import Cell, Run, runs_of
from _adapters.clip import ensure_clip
from _adapters.data import deal, held_out_texts, load_rows, read_cell
from _adapters.methods import METHODS, Recipe
from _adapters.report import BEGIN
from _adapters.results import gather
from _adapters.running import Settings
from _adapters.store import read_logits
from _pretrain.model import SIZES, new_model, train_tokenizer
from _real_data.store import write_record

import adapters

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

WORDS = ("card", "loan", "cash", "rate", "phone", "fraud")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A data folder of six classes in the layout of Banking77, and an untrained model."""
    folder = tmp_path_factory.mktemp("made")
    rng = np.random.default_rng(0)
    lines, texts = ["text,label,split"], []
    for word in WORDS:
        for i in range(48):
            text = f"my {word} was {rng.choice(['late', 'lost', 'new', 'odd'])} number {i}"
            texts.append(text)
            lines.append(f"{text},{word},{'test' if i < 8 else 'train'}")
    (folder / "banking77.csv").write_text("\n".join(lines) + "\n")
    tokenizer = train_tokenizer(texts, SIZES["tiny"], folder / "model")
    new_model(SIZES["tiny"], len(tokenizer), seed=0).save_pretrained(folder / "model")
    return folder


@pytest.fixture(autouse=True)
def forgetful():
    for remembered in (load_rows, running.cell_rows, running.model_fingerprint, held_out_texts):
        remembered.cache_clear()


@pytest.fixture
def call(made, tmp_path, capsys, monkeypatch):
    """Run the command on the small data; returns (stdout, stderr)."""
    # what the small data has rows for
    monkeypatch.setattr(adapters, "SWEEP", ("banking77", (5, 10)))
    monkeypatch.setattr(budget, "BUDGET", ("banking77", (5, 10)))

    def run(*arguments):
        shared = ["--folder", str(made), "--model", str(made / "model"), "--steps", "3"]
        shared += ["--work", str(tmp_path / "work"), "--data", "banking77"]
        assert adapters.main([*shared, *arguments]) == 0
        captured = capsys.readouterr()
        return captured.out, captured.err

    return run


def trained(stderr):
    """How many runs were done, and how many were left."""
    return tuple(map(int, re.search(r"(\d+) runs, (\d+) left", stderr).groups()))


def test_what_is_on_disk_is_not_trained_again(call, tmp_path, monkeypatch):
    settings = ({"lr": 1e-3}, {"lr": 2e-3})
    small = replace(METHODS["lora"], settings=settings, tuning_seeds=1)
    monkeypatch.setitem(METHODS, "lora", small)
    asked = ("--only", "lora,post_hoc*", "--ratios", "5,10", "--seeds", "2")
    first, told = call(*asked)
    assert trained(told) == (2 + 3, 0)  # two settings, one of which is a run of the main part
    for words in ("LoRA, post-hoc logit adjustment |", "lr 0.001: ", "### Banking77 at 10:1"):
        assert words in first
    again, told = call(*asked)
    assert trained(told) == (0, 0)
    assert again == first
    monkeypatch.setitem(METHODS, "lora", replace(small, settings=({"lr": 1e-3}, {"lr": 3e-3})))
    _, told = call(*asked, "--judge")
    assert trained(told) == (0, 0)
    _, told = call(*asked, "--tune")
    assert trained(told) == (1, 0)
    left = [path.suffix for path in (tmp_path / "work").rglob("*") if path.is_file()]
    assert set(left) == {".json", ".safetensors"}


def test_a_record_that_was_cut_short_is_made_again(call, tmp_path):
    asked = ("--only", "lora", "--ratios", "10", "--seeds", "1", "--untuned")
    call(*asked)
    (record,) = (tmp_path / "work" / "runs").rglob("*.json")
    whole = record.read_text()
    record.write_text(whole[:-40])
    _, told = call(*asked)
    assert trained(told) == (1, 0)
    kept = ("accuracy", "macro_f1", "tail", "propensity", "recall")
    one, two = (json.loads(text)["value"]["test"] for text in (whole, record.read_text()))
    assert {name: one[name] for name in kept} == {name: two[name] for name in kept}


def test_no_run_starts_when_time_is_up(call):
    _, told = call("--only", "lora,focal", "--seeds", "1", "--budget-minutes", "0")
    assert trained(told)[0] == 0
    assert "runs are left" in told


def test_a_run_that_fails_leaves_the_others_and_one_that_diverges_is_a_result(call, monkeypatch):
    broken = replace(METHODS["focal"], settings=({"loss": {"gamma": -1.0}},))
    monkeypatch.setitem(METHODS, "focal", broken)
    wild = replace(METHODS["lora"], settings=({"lr": 1e30, "head_lr": 1e30, "clip": 1e30},))
    monkeypatch.setitem(METHODS, "lora", wild)
    asked = ("--only", "lora,focal,logit_adjusted", "--ratios", "10", "--seeds", "1", "--untuned")
    out, told = call(*asked)
    assert "FAILED, InvalidInputError: `gamma`" in told
    assert "lora" in re.search(r"(\S+) \w+: DIVERGED", told)[1]
    assert "| LoRA, logit-adjusted loss | 1 |" in out
    assert trained(call(*asked)[1]) == (1, 0)  # what failed is tried again


def test_without_a_model_nothing_is_run_and_the_reason_is_told(call, tmp_path):
    out, told = call("--model", str(tmp_path / "none"))
    assert out == ""
    assert "no model in 'none' beside the repository" in told


@pytest.mark.parametrize("name", ["nonesuch", "lora,nope*"])
def test_unknown_methods_are_named(call, name, capsys):
    with pytest.raises(SystemExit):
        call("--only", name)
    assert "is none of zero_shot, class_means, lora" in capsys.readouterr().err


def test_the_report_is_written_twice_with_the_same_bytes(call, tmp_path, monkeypatch):
    root = tmp_path / "root"
    (root / "benchmarks").mkdir(parents=True)
    (root / "benchmarks" / "RESULTS.md").write_text("# Results\n\n## Speed\n\nQuick.\n")
    monkeypatch.setitem(METHODS, "lora", replace(METHODS["lora"], settings=({},)))
    monkeypatch.setitem(
        METHODS, "logit_adjusted", replace(METHODS["logit_adjusted"], settings=({},))
    )
    asked = ("--only", "lora,logit_adjusted,post_hoc_tuned", "--ratios", "5,10", "--seeds", "1")
    asked += ("--report", "--when", "1 May 2030", "--root", str(root))
    call(*asked)
    files = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    call(*asked)
    assert {path: path.read_bytes() for path in files} == files
    names = {path.name for path in files}
    wanted = {"RESULTS.md", "adapters-measured.md", "adapters-measured.png", "adapters-ratios.png"}
    assert names == wanted
    section = (root / "benchmarks" / "RESULTS.md").read_text()
    assert "Quick." in section
    assert section.count(BEGIN) == 1
    assert "1 May 2030" in section
    assert not any(str(tmp_path).encode() in content for content in files.values())
    assert all(len(content) < 150_000 for content in files.values())


# each way of starting, of training and of choosing; losses and sampling have their own tests
WAYS = ["eva", "pissa", "single_layer", "layer_norms", "full", "undersampling", "equity",
        "finish_only", "head_only", "gradient_start", "class_means", "intermediate"]  # fmt: skip


@pytest.fixture
def settings(made, tmp_path):
    return Settings(str(made), str(made / "model"), tmp_path / "work")


@pytest.mark.parametrize("name", WAYS)
def test_every_method_trains_and_leaves_a_whole_record(name, settings):
    recipe = METHODS[name].recipes()[0]
    changes = {"steps": min(recipe.steps, 2), "batch_size": 8}
    changes |= {"layer": 1} if isinstance(recipe.layer, int) else {}
    run = Run(Cell("banking77", 5, 0), name, replace(recipe, **changes))
    line = running.train_one(run, settings)
    assert "macro-F1" in line
    place = running.place_of(run, settings)
    record = running.read_run(place)
    assert set(record["test"]) == set(record["validation"])
    assert 0 < record["share"] <= 1
    assert record["n_test"] == 48
    assert len(record["test"]["recall"]) == len(WORDS)
    assert running.train_one(run, settings).endswith("there already")


def test_settings_are_judged_by_the_mean_over_their_seeds(settings, monkeypatch):
    slow, fast = {"lr": 1e-3}, {"lr": 2e-3}
    method = replace(METHODS["lora"], settings=(slow, fast), tuning_seeds=3)
    runs = running.tuning_runs([method])
    assert sorted({run.cell.seed for run in runs}) == [0, 1, 2] and len(runs) == 6
    scores = {1e-3: (0.5, 0.5, 0.5), 2e-3: (0.9, 0.2, 0.3)}  # the fast one fails at two seeds
    monkeypatch.setattr(running, "place_of", lambda run, settings: run)

    def stored(run):
        return {"validation": {"macro_f1": scores[run.recipe.lr][run.cell.seed]}}

    monkeypatch.setattr(running, "read_run", stored)
    assert running.chosen_recipes([method], settings)["lora"].lr == 1e-3
    one = replace(method, tuning_seeds=1)
    assert running.chosen_recipes([one], settings)["lora"].lr == 2e-3
    monkeypatch.setattr(running, "read_run", lambda run: stored(run) if run.cell.seed else None)
    assert running.chosen_recipes([method], settings) == {}


def test_the_finish_changes_the_decisions_and_its_time_is_kept(settings):
    recipe = replace(Recipe(), steps=3, batch_size=8)
    logits = {}
    for weight in (0.0, 2.0):
        run = Run(Cell("banking77", 5, 0), "lora", replace(recipe, finish=weight))
        assert "macro-F1" in running.train_one(run, settings)
        place = running.place_of(run, settings)
        assert (running.read_run(place)["finish_seconds"] > 0) == (weight > 0)
        logits[weight] = read_logits(place).test
    assert not np.allclose(logits[0.0], logits[2.0], atol=1e-2)


def idx(values):
    values = np.asarray(values, dtype=np.uint8)
    shape = b"".join(n.to_bytes(4, "big") for n in values.shape)
    return bytes([0, 0, 8, values.ndim]) + shape + values.tobytes()


def test_digits_are_told_by_the_tower_of_a_clip_that_is_trained_here(tmp_path):
    image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    (tmp_path / "mnist").mkdir()
    y = np.repeat([0, 1, 2], 40)
    pictures = rng.integers(0, 90, (120, 28, 28)) + 80 * y[:, None, None]
    for name, values in {"images-idx3": pictures, "labels-idx1": y}.items():
        (tmp_path / "mnist" / f"t10k-{name}-ubyte").write_bytes(idx(values))
    for letter in ("character01", "character02"):
        folder = tmp_path / "omniglot" / "images_background" / "Greek" / letter
        folder.mkdir(parents=True)
        for i in range(4):
            image.new("L", (105, 105), 255 * (i % 2)).save(folder / f"{i}.png")
    settings = Settings(str(tmp_path), "none", tmp_path / "work")
    ensure_clip(settings.work, str(tmp_path), lambda *told: None, steps=2)
    equity = METHODS["equity"].recipes()[0]
    for name, recipe in {"lora": Recipe(), "equity": equity}.items():
        run = Run(Cell("digits", 4, 0), name, replace(recipe, steps=2, batch_size=8))
        assert "macro-F1" in running.train_one(run, settings)
        record = running.read_run(running.place_of(run, settings))
        assert record["perplexity"] is None
        assert record["classes"] == ["digit 0", "digit 1", "digit 2"]
        assert max(record["counts"]) == 4 * min(record["counts"])


def test_zero_shot_trains_nothing_and_runs_once_a_data_set(settings, monkeypatch):
    monkeypatch.setattr(zero_shot, "ROWS", 3 * len(WORDS))
    cells = [Cell("banking77", ratio, seed) for ratio in (5, 10) for seed in (0, 1)]
    method = METHODS["zero_shot"]
    (run,) = runs_of(cells, [method], {"zero_shot": method.recipe}, frozenset())
    assert run.cell == Cell("banking77", 0, 0)
    assert "macro-F1" in running.train_one(run, settings)
    found = gather(cells, [method], {"zero_shot": method.recipe}, settings)
    scored = zero_shot.few_rows(run.cell, settings.folder).test
    assert np.bincount(scored.y).tolist() == [3] * len(WORDS)
    assert {value["n_test"] for value in found.found["zero_shot"].values()} == {len(scored.y)}
    assert len(found.found["zero_shot"]) == len(cells)


def test_records_tell_the_state_of_the_library_that_made_them(call, tmp_path, monkeypatch):
    asked = ("--only", "lora,focal", "--seeds", "1", "--ratios", "10", "--untuned")
    assert "all runs were made by one state of the library" in call(*asked)[0]
    record = sorted((tmp_path / "work" / "runs").rglob("*.json"))[0]
    stored = json.loads(record.read_text())
    del stored["value"]["library"]
    write_record(record, stored["key"], stored["value"])
    out, told = call(*asked)
    assert trained(told) == (0, 0)  # told, not trained again
    assert "1 of 2 runs were made by the library as it is, 1 do not say by which" in out
    monkeypatch.setattr(report, "library_state", lambda: "later")
    assert "0 of 2 runs were made by the library as it is, 1 by 1 other state" in call(*asked)[0]


def test_a_long_budget_is_compared_with_the_short_one(call, tmp_path, monkeypatch):
    monkeypatch.setattr(budget, "LONGER", 2)
    asked = ("--untuned", "--only", "lora,equity", "--root", str(tmp_path / "root"))
    out, told = call("--study", "budget", *asked)
    assert trained(told) == (2 * 2 * 2, 0)  # methods, ratios, budgets
    for words in (
        "at 3 and at 6 steps",
        "equity (start, loss, finish): macro-F1",
        "banking77 at 10:1",
    ):
        assert words in out
    assert "| equity (start, loss, finish) | 6 |" in out
    _, told = call("--study", "budget", *asked, "--report")
    assert trained(told) == (0, 0)
    assert "no page: --report alone writes it" in told
    assert trained(call("--seeds", "1", "--ratios", "10", *asked, "--report")[1]) == (0, 0)
    page = tmp_path / "root" / "docs" / "adapters-measured.md"
    assert "### A longer budget" in page.read_text()


def test_test_and_validation_rows_are_those_of_every_ratio_and_seed(made):
    parts = [
        read_cell(Cell("banking77", r, s), str(made)) for r, s in ((0, 0), (5, 0), (5, 1), (10, 1))
    ]
    for part in parts[1:]:
        assert part.test.inputs == parts[0].test.inputs
        assert part.val.inputs == parts[0].val.inputs
        assert set(part.train.inputs) <= set(parts[0].train.inputs)
    assert parts[1].train.inputs != parts[2].train.inputs
    assert len({part.fingerprint for part in parts}) == 4
    for part, ratio in zip(parts, (1, 5, 5, 10), strict=True):
        assert part.counts.max() == ratio * part.counts.min()
        assert np.bincount(part.val.y).tolist() == [6] * len(WORDS)
        seen = set(part.train.inputs) | set(part.val.inputs)
        assert not seen & set(part.test.inputs)


def test_pooled_sets_are_dealt_class_by_class_and_small_classes_left_out(made):
    rows, names, split = load_rows("banking77", str(made))
    rule = running_rule(pooled=True, n_test=10, min_class=40)
    small = rows.take(
        np.concatenate([np.flatnonzero(rows.y != 5), np.flatnonzero(rows.y == 5)[:9]])
    )
    part = deal(Cell("banking77", 0, 0), small, names, split[: len(small.y)], rule)
    assert part.classes == tuple(names[:5])
    assert np.bincount(part.test.y).tolist() == [10] * 5
    assert np.bincount(part.train.y).tolist() == [48 - 10 - 6] * 5


def running_rule(**settings):
    from _adapters.data import Rule

    return Rule(**settings)


def test_settings_of_the_grid_are_those_of_their_objectives():
    from isonomy.adapters.losses import make_objective

    for method in METHODS.values():
        for recipe in method.recipes():
            made = make_objective(
                recipe.objective, class_counts={"a": 9, "b": 3, "c": 1}, **recipe.loss
            )
            assert made.n_classes == 3


def test_recipes_are_plain_and_tell_what_differs():
    recipe = Recipe("focal", {"gamma": 1.0}, lr=1e-3)
    assert json.loads(json.dumps(recipe.plain())) == recipe.plain()
    assert recipe.plain()["loss"] == {"gamma": 1.0}
    assert "start" not in recipe.plain()
    assert methods.BASE in METHODS
    assert all(len(method.settings) <= 3 for method in METHODS.values())
