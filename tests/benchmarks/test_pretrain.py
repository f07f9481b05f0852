"""benchmarks/pretrain.py, on texts that these tests write: seconds, not minutes."""

import json
import math
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pretrain
import pytest
from _pretrain.corpus import read_corpus
from _pretrain.model import SIZES, new_model, train_tokenizer
from _pretrain.training import held_out_losses, packed, schedule

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

SCRIPT = Path(pretrain.__file__)


def sentences(n, seed=0):
    rng = np.random.default_rng(seed)
    who = rng.choice(["the nurse", "a pilot", "my dentist", "one poet"], n)
    does = rng.choice(["reads", "paints", "repairs", "forgets"], n)
    what = rng.choice(["old letters", "small engines", "blue houses", "café menus"], n)
    days = rng.integers(1000, size=n)
    return [f"{a} {b} {c} on day {d}" for a, b, c, d in zip(who, does, what, days, strict=True)]


@pytest.fixture
def folder(tmp_path):
    """Two sources in the layout of the data folder, one of them without an open licence."""
    for name, file, seed in (("banking77", "banking77.csv", 0), ("trec", "trec.csv", 1)):
        (tmp_path / "data" / name).mkdir(parents=True)
        rows = [
            f"{t},{'test' if i % 10 == 0 else 'train'}" for i, t in enumerate(sentences(600, seed))
        ]
        (tmp_path / "data" / name / file).write_text("\n".join(["text,split", *rows]) + "\n")
    return tmp_path / "data"


def asked(folder, output, *more):
    shared = ["--folder", str(folder), "--output", str(output), "--size", "tiny", "--threads", "1"]
    return pretrain.parse([*shared, "--checkpoint-every", "7", *more])


def quiet(*_):
    pass


def weights(folder):
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    return {name: value.detach() for name, value in model.named_parameters()}


def same(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def test_it_writes_a_model_that_transformers_loads_and_that_has_learnt(folder, tmp_path):
    card = pretrain.run(asked(folder, tmp_path / "model"), quiet)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "model")
    text = "a café on day 7"
    ids = tokenizer(text)["input_ids"]
    assert ids[0] == tokenizer.bos_token_id
    assert tokenizer.decode(ids, skip_special_tokens=True) == text
    assert (
        sum(value.numel() for value in weights(tmp_path / "model").values()) == card["parameters"]
    )
    # an untrained network is as good as a guess among all words
    assert 1 < card["held_out_perplexity"] < len(tokenizer) / 4
    assert card["licences"] == {"banking77": "CC BY 4.0"}
    assert json.loads((tmp_path / "model" / "pretraining.json").read_text()) == card
    assert not (tmp_path / "model" / "checkpoint.safetensors").exists()


class StoppedError(Exception):
    pass


def test_an_interrupted_training_ends_with_the_same_weights(folder, tmp_path):
    def stop(done, *_):
        if done == 17:
            raise StoppedError

    steps = []
    pretrain.run(asked(folder, tmp_path / "whole"), quiet)
    with pytest.raises(StoppedError):
        pretrain.run(asked(folder, tmp_path / "parts"), stop)
    pretrain.run(asked(folder, tmp_path / "parts"), lambda done, *_: steps.append(done))
    assert steps[0] == 15  # the last checkpoint was after 14 steps
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    pretrain.run(asked(folder, tmp_path / "other", "--seed", "1"), quiet)
    assert not same(weights(tmp_path / "whole"), weights(tmp_path / "other"))


def test_a_killed_training_ends_with_the_same_weights(folder, tmp_path):
    command = ["--folder", folder, "--output", tmp_path / "killed", "--size", "tiny"]
    command += ["--threads", "1", "--checkpoint-every", "1"]
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), *map(str, command)], stderr=subprocess.DEVNULL
    )
    checkpoint = tmp_path / "killed" / "checkpoint.safetensors"
    while process.poll() is None and not checkpoint.exists():
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert checkpoint.exists()
    assert not (tmp_path / "killed" / "model.safetensors").exists()
    pretrain.run(asked(folder, tmp_path / "killed"), quiet)
    pretrain.run(asked(folder, tmp_path / "whole"), quiet)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "killed"))


def test_what_is_there_is_not_trained_again_and_other_texts_are(folder, tmp_path):
    first = pretrain.run(asked(folder, tmp_path / "model"), quiet)
    again = pretrain.run(asked(folder, tmp_path / "model"), lambda *_: pytest.fail("trained"))
    assert again == first
    more = pretrain.run(asked(folder, tmp_path / "model", "--all"), quiet)
    assert more["key"] != first["key"]
    assert set(more["licences"]) == {"banking77", "trec"}


def test_only_openly_licensed_texts_are_read_by_default(folder):
    corpus = read_corpus(folder)
    assert set(corpus.licences) == {"banking77"}
    both = read_corpus(folder, also_closed=True)
    assert len(both.train) > len(corpus.train)
    assert not set(both.held_out) & set(both.train)
    assert corpus.held_out


def test_texts_of_ones_own_and_no_texts_at_all(tmp_path):
    mine = tmp_path / "mine.txt"
    mine.write_text("\n".join(sentences(40)) + "\n\n")
    corpus = read_corpus(tmp_path / "none", texts=[mine])
    assert len(corpus.train) == 38
    assert corpus.licences == {"mine.txt": "given by the user"}
    with pytest.raises(FileNotFoundError, match="must hold one of banking77"):
        read_corpus(tmp_path / "none")


def test_perplexity_is_that_of_a_literal_loop(tmp_path):
    size, texts = SIZES["tiny"], sentences(50)
    tokenizer = train_tokenizer(texts, size, tmp_path)
    model = new_model(size, len(tokenizer), seed=0)
    lost, n_tokens, n_bytes = held_out_losses(model, tokenizer, texts[:5], size.context)
    expected, count = 0.0, 0
    for text in texts[:5]:
        ids = tokenizer(text)["input_ids"][: size.context]
        scores = model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1).detach()
        for place in range(1, len(ids)):
            expected -= float(scores[place - 1, ids[place]])
            count += 1
    assert lost == pytest.approx(expected, rel=1e-5)
    assert n_tokens == count
    assert n_bytes == sum(len(text.encode()) for text in texts[:5])


def test_blocks_hold_every_token_in_order(tmp_path):
    texts = sentences(20)
    tokenizer = train_tokenizer(texts, SIZES["tiny"], tmp_path)
    flat = [i for text in texts for i in tokenizer(text)["input_ids"]]
    blocks = packed(tokenizer, texts, 16)
    assert blocks.ravel().tolist() == flat[: len(flat) // 16 * 16]


def test_the_rate_rises_and_falls():
    rates = [schedule(step, 1000) for step in range(1000)]
    assert rates[29] == 1
    assert rates[0] == pytest.approx(1 / 30)
    assert rates[-1] == pytest.approx(0.1, abs=1e-3)
    assert math.isclose(max(rates), 1)


def test_sizes_are_what_they_say():
    with torch.device("meta"):
        config = SIZES["small"]
        model = new_model(config, config.n_words, seed=0)
    assert sum(p.numel() for p in model.parameters()) == 5_261_568
