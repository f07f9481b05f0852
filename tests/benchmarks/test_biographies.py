"""benchmarks/biographies.py from end to end, on made-up texts and a tiny untrained network."""

import re
from dataclasses import replace

import biographies
import numpy as np
import pytest
from _biographies import features, running
from _biographies.entries import ENTRIES, from_function
from _biographies.features import Settings, fold_rows, rows_of
from _biographies.finetuning import Recipe, finetune
from _biographies.report import BEGIN
from _biographies.states import encode, pooled_states
from _biographies.texts import load_texts, split_for_tuning, split_in_folds
from _pretrain.model import SIZES, new_model, train_tokenizer
from _real_data import cases

from isonomy.datasets import make_biographies

torch = pytest.importorskip("torch")

METHODS = "untouched,leace,mimic,calibrated_offsets"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A data folder of 360 texts about three occupations, and an untrained model."""
    folder = tmp_path_factory.mktemp("made")
    data = make_biographies(360, random_state=0)
    names = np.unique(data.occupation)
    label = np.array(["cook", "judge", "poet"])[np.searchsorted(names, data.occupation) % 3]
    rows = [
        f'"{text}",{y},{group},train'
        for text, y, group in zip(data.text, label, data.gender, strict=True)
    ]
    (folder / "bios.csv").write_text("\n".join(["text,occupation,gender,split", *rows]))
    tokenizer = train_tokenizer(list(data.text), SIZES["tiny"], folder / "model")
    new_model(SIZES["tiny"], len(tokenizer), seed=0).save_pretrained(folder / "model")
    return folder


@pytest.fixture
def settings(made, tmp_path):
    return Settings(str(made), str(made / "model"), tmp_path / "work", epochs=1, max_tokens=48)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(cases, "N_COMPONENTS", 10)
    monkeypatch.setattr(running, "C_GRID", (0.03, 0.3))
    for remembered in (features._rows, features._fold_rows, load_texts):
        remembered.cache_clear()


@pytest.fixture
def call(made, tmp_path, capsys):
    """Run the command; returns (stdout, stderr)."""

    def run(*arguments):
        shared = ["--folder", str(made), "--model", str(made / "model"), "--n-boot", "200"]
        shared += ["--work", str(tmp_path / "work"), "--epochs", "1", "--methods", METHODS]
        assert biographies.main([*shared, *arguments]) == 0
        captured = capsys.readouterr()
        return captured.out, captured.err

    return run


def fits(stderr):
    return int(re.search(r"(\d+) fits in this run", stderr)[1])


def test_all_kinds_run_once_and_are_reported_twice_with_the_same_bytes(call, tmp_path):
    root = tmp_path / "root"
    (root / "benchmarks").mkdir(parents=True)
    (root / "benchmarks" / "RESULTS.md").write_text("# Results\n\n## Speed\n\nQuick.\n")
    arguments = ("--kind", "frozen,finetuned:1,tfidf:1", "--seeds", "2", "--report")
    first, told = call(*arguments, "--root", str(root))
    assert fits(told) == 4 * 4 * (2 + 1 + 1)
    assert "fine-tuning, seed 0" in told
    files = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    again, told = call(*arguments, "--root", str(root))
    assert fits(told) == 0
    assert "fine-tuning" not in told
    assert again == first
    assert {path: path.read_bytes() for path in files} == files
    names = {path.name for path in files}
    assert names == {"RESULTS.md", "hidden-states-measured.md", "hidden-states-measured.png"}
    results = (root / "benchmarks" / "RESULTS.md").read_text()
    assert "Quick." in results
    assert results.count(BEGIN) == 1
    page = (root / "docs" / "hidden-states-measured.md").read_text()
    for words in ("## Frozen", "## Fine-tuned", "## TF-IDF", "| LEACE | no |", "Control: "):
        assert words in page
    assert str(tmp_path) not in page
    assert all(len(data) < 100_000 for data in files.values())


def test_what_has_changed_is_fitted_again_and_nothing_else(call, monkeypatch):
    call("--kind", "frozen", "--seeds", "1")
    entry = ENTRIES["leace"]
    monkeypatch.setitem(ENTRIES, "leace", replace(entry, source=lambda: "other code"))
    _, told = call("--kind", "frozen", "--seeds", "1")
    assert fits(told) == 4
    _, told = call("--kind", "frozen", "--seeds", "1", "--fresh")
    assert fits(told) == 16


def test_a_method_is_a_function_and_one_that_fails_leaves_the_others(call, monkeypatch):
    def usual(X, y, groups, *, head, random_state):
        found, counts = np.unique(y, return_counts=True)
        answer = found[counts.argmax()]
        from _biographies.entries import Fitted

        return Fitted(lambda Z, known: np.full(len(Z), answer))

    def broken(X, y, groups, *, head, random_state):
        raise ValueError("no such luck")

    for name, fit in (("usual", usual), ("broken", broken)):
        entry = from_function(name, f"the {name} one", "isonomy", "blind", fit, "isonomy.groups")
        monkeypatch.setitem(ENTRIES, name, entry)
    arguments = ("--kind", "frozen", "--seeds", "1", "--methods", "untouched,usual,broken")
    out, _ = call(*arguments)
    assert "| the usual one | no |" in out
    assert "- broken: seed 0, fold 0: ValueError: no such luck" in out
    with pytest.raises(SystemExit):
        call("--methods", "titanic")


def test_the_rows_of_a_tuned_network_are_not_judged(settings):
    texts = load_texts(settings.folder)
    seen, kept = split_for_tuning(texts, seed=3)
    assert not set(seen) & set(kept)
    assert len(seen) + len(kept) == len(texts.y)
    assert rows_of("finetuned", 3, settings).index.tolist() == kept.tolist()
    assert split_for_tuning(texts, seed=4)[0].tolist() != seen.tolist()
    for group in ("F", "M"):  # both halves hold the mixture of cells
        shares = [
            np.mean((texts.y[i] == "cook") & (texts.groups[i] == group)) for i in (seen, kept)
        ]
        assert shares[0] == pytest.approx(shares[1], abs=0.02)


def test_every_seed_deals_the_folds_anew(settings):
    texts = load_texts(settings.folder)
    one, two = (split_in_folds(texts.y, texts.groups, seed) for seed in (0, 1))
    assert sorted(np.concatenate([test for _, test in one])) == list(range(len(texts.y)))
    assert one[0][1].tolist() != two[0][1].tolist()


def test_features_are_standardised_on_the_training_rows_alone(settings):
    parts = fold_rows("frozen", 0, 2, settings)
    np.testing.assert_allclose(parts.X_train.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(parts.X_train.std(axis=0), 1, rtol=1e-6)
    assert abs(parts.X_test.mean(axis=0)).max() > 1e-3
    X = rows_of("frozen", 0, settings).X
    expected = (X[parts.test] - X[parts.train].mean(axis=0)) / X[parts.train].std(axis=0)
    np.testing.assert_allclose(parts.X_test, expected, rtol=1e-3, atol=1e-3)
    last = rows_of("frozen_last", 0, settings).X
    assert last.shape == X.shape
    assert abs(last - X).max() > 0.1


@pytest.fixture
def body(made):
    from transformers import AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(made / "model")
    return model, AutoTokenizer.from_pretrained(made / "model")


def test_states_are_those_of_each_text_alone(body, settings):
    model, tokenizer = body
    ids = encode(tokenizer, load_texts(settings.folder).text[:9], max_tokens=40)
    found = pooled_states(model, ids, pad=tokenizer.pad_token_id, batch_size=4)
    for i, row in enumerate(ids):
        with torch.inference_mode():
            hidden = model(input_ids=torch.from_numpy(row)[None]).last_hidden_state[0].numpy()
        np.testing.assert_allclose(found["mean"][i], hidden.mean(axis=0), atol=1e-5)
        np.testing.assert_allclose(found["last"][i], hidden[-1], atol=1e-5)
    assert max(map(len, ids)) == 40


def test_states_are_those_that_collect_reads(body, settings):
    pytest.importorskip("isonomy.hidden_states")
    from isonomy.hidden_states import collect

    model, tokenizer = body
    texts = load_texts(settings.folder)
    rows = [
        {"text": t, "y": y, "group": g}
        for t, y, g in zip(texts.text[:24], texts.y[:24], texts.groups[:24], strict=True)
    ]
    ids = encode(tokenizer, texts.text[:24], max_tokens=40)
    found = pooled_states(model, ids, pad=tokenizer.pad_token_id)
    for position in ("mean", "last"):
        collected = collect(
            model, rows, text="text", label="y", group="group", positions=position,
            tokenizer=tokenizer, max_length=40, rows="memory",
        )  # fmt: skip
        X, y, _ = collected.rows(None)
        assert list(y) == list(texts.y[:24])
        np.testing.assert_allclose(X, found[position], atol=1e-5)


def test_tuning_learns_and_the_same_seed_gives_the_same_network(made, body):
    from transformers import AutoModel

    _, tokenizer = body
    words = np.array(["a cook of soup", "the judge sits", "poet of the sea"] * 40)
    labels = np.tile([0, 1, 2], 40)
    ids = encode(tokenizer, words)
    recipe = Recipe(epochs=3, batch_size=8, body_rate=3e-3)
    found = []
    for seed in (0, 0, 1):
        model = AutoModel.from_pretrained(made / "model")
        weight, bias = finetune(
            model, ids, labels, pad=tokenizer.pad_token_id, recipe=recipe, seed=seed
        )
        states = pooled_states(model, ids, pad=tokenizer.pad_token_id)["mean"]
        assert ((states @ weight.T + bias).argmax(axis=1) == labels).mean() > 0.9
        found.append(states)
    assert (found[0] == found[1]).all()
    assert not (found[0] == found[2]).all()
