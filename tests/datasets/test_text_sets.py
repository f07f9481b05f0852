"""load_text_set: the published rows, one spelling of splits, classes in a fixed order."""

import collections
import csv
import gzip
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isonomy.datasets import TEXT_SETS, load_text_set, long_tail
from isonomy.datasets._carving import carve
from isonomy.datasets._text_specs import TEXT_SPECS
from isonomy.errors import DataFileError, InvalidInputError

# rows and classes of the published files: (train, validation, test, classes)
PUBLISHED = {
    "banking77": (10003, 0, 3080, 77),
    "trec": (5452, 0, 500, 50),
    "clinc150": (15000, 3000, 4500, 150),
    "hwu64": (9960, 0, 1076, 64),
    "goemotions": (36308, 4548, 4590, 28),
    "stackoverflow20": (18000, 1000, 1000, 20),
    "sst5": (8544, 1101, 2210, 5),
    "tweeteval_emotion": (3257, 374, 1421, 4),
    "tweeteval_irony": (2862, 955, 784, 2),
    "biographies": (10000, 2000, 2000, 28),
}


def write(folder, name, header, rows, *, packed=False):
    path = folder / f"{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header.split(","), *rows])
    if packed:
        path.with_name(f"{name.split('/')[-1]}.csv.gz").write_bytes(
            gzip.compress(path.read_bytes())
        )
        path.unlink()


@pytest.fixture
def folder(tmp_path):
    write(tmp_path, "banking77/banking77", "text,label,split", [
        ["Where, then, is my card?", "card_arrival", "train"],
        ['It says "declined"', "declined_card_payment", "test"],
        ["Still no card", "card_arrival", "train"],
    ], packed=True)  # fmt: skip
    write(tmp_path, "trec", "text,fine,coarse,split", [
        ["Who was he ?", "HUM:ind", "HUM", "train"],
        ["Where is it ?", "LOC:other", "LOC", "test"],
    ])  # fmt: skip
    write(tmp_path, "clinc150/clinc150_full", "text,label,split", [
        ["what is love", "oos", "oos_train"],
        ["pay my bill", "pay_bill", "train"],
        ["do cats purr", "oos", "oos_test"],
        ["transfer ten", "transfer", "val"],
    ])  # fmt: skip
    write(tmp_path, "goemotions/goemotions", "text,labels,split", [
        ["I love this", "18", "train"],
        ["Oh no, ha ha", "1,9", "train"],
        ["ok", "27", "dev"],
    ])  # fmt: skip
    write(tmp_path, "stackoverflow20", "text,label,split", [["Which plugin?", "1", "train"]])
    write(tmp_path, "tweeteval/emotion", "text,label,split", [["yay", "1", "val"]])
    return tmp_path


def test_a_set_of_named_labels(folder):
    data = load_text_set("banking77", folder)
    assert data.text == ["Where, then, is my card?", 'It says "declined"', "Still no card"]
    assert data.label.tolist() == ["card_arrival", "declined_card_payment", "card_arrival"]
    assert data.split.tolist() == ["train", "test", "train"]
    assert data.classes == ["card_arrival", "declined_card_payment"]
    assert data.class_names == ["card arrival", "declined card payment"]
    assert data.code.tolist() == [0, 1, 0] and data.name == "banking77"
    assert "3 rows, 2 classes" in data.description and "CC BY 4.0" in data.licence


def test_levels_of_labels_and_their_readable_names(folder):
    fine = load_text_set("trec", folder)
    assert fine.class_names == ["human being: individual", "location: other"]
    assert fine.coarse.tolist() == ["HUM", "LOC"]
    coarse = load_text_set("trec", folder, level="coarse")
    assert coarse.label.tolist() == ["HUM", "LOC"]
    assert coarse.class_names == ["human being", "location"]


def test_out_of_scope_rows_are_a_class_on_request(folder):
    inside = load_text_set("clinc150", folder)
    assert inside.classes == ["pay_bill", "transfer"]
    assert inside.split.tolist() == ["train", "validation"]
    assert "2 rows out of scope (oos) left out" in inside.description
    all_of_it = load_text_set("clinc150", folder, out_of_scope=True)
    assert all_of_it.classes == ["oos", "pay_bill", "transfer"]
    assert all_of_it.class_names[0] == "out of scope"
    assert all_of_it.split.tolist() == ["train", "train", "test", "validation"]


def test_codes_become_names_in_the_order_of_the_codes(folder):
    one = load_text_set("goemotions", folder)
    assert one.label.tolist() == ["love", "neutral"]
    assert len(one.classes) == 28 and one.classes[27] == "neutral"
    assert one.code.tolist() == [18, 27]
    assert "1 rows of several labels left out" in one.description
    several = load_text_set("goemotions", folder, multi_label=True)
    assert several.label == [["love"], ["amusement", "disappointment"], ["neutral"]]
    assert "code" not in several
    counted_from_one = load_text_set("stackoverflow20", folder)
    assert counted_from_one.label.tolist() == ["wordpress"] and counted_from_one.code[0] == 0
    assert load_text_set("tweeteval-emotion", folder).label.tolist() == ["joy"]


def test_the_folder_may_come_from_the_environment(folder, monkeypatch):
    monkeypatch.setenv("ISONOMY_DATA", str(folder))
    assert len(load_text_set("banking77").text) == 3


def lines(folder, **files):
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


CLINC = {
    "train": [["pay my bill", "pay_bill"]],
    "val": [["send ten", "transfer"]],
    "oos_train": [["why", "oos"]],
}
OFFICIAL = {
    "banking77": (
        {
            "banking_data__train_DOT_csv": 'text,category\n"Where, then?",card_arrival\n',
            "banking_data__test_DOT_csv": "text,category\nTop up?,top_up\n",
        },
        [("Where, then?", "card_arrival", "train"), ("Top up?", "top_up", "test")],
    ),
    "trec": (
        {
            "train_5500_DOT_label": "LOC:city Where is Malm\xf6 ?\n".encode("latin-1"),
            "TREC_10_DOT_label": "HUM:ind Who ?\n",
        },
        [("Where is Malm\xf6 ?", "LOC:city", "train"), ("Who ?", "HUM:ind", "test")],
    ),
    "clinc150": (
        {"data__data_full_DOT_json": json.dumps(CLINC)},
        [("pay my bill", "pay_bill", "train"), ("send ten", "transfer", "validation")],
    ),
    "goemotions": (
        {
            "data__train_DOT_tsv": '"Wow", she said\t18\tabc\nBoth\t1,2\tabd\n',
            "data__dev_DOT_tsv": "ok\t27\tabe\n",
            "data__test_DOT_tsv": "ha\t1\tabf\n",
        },
        [
            ('"Wow", she said', "love", "train"),
            ("ok", "neutral", "validation"),
            ("ha", "amusement", "test"),
        ],
    ),
    "sst5": (
        {
            "trees__train_DOT_txt": "(4 (3 (2 A) (3 fine)) (2 film))\n",
            "trees__dev_DOT_txt": "(2 (2 It) (2 is))\n",
            "trees__test_DOT_txt": "(0 (0 bad) (2 .))\n",
        },
        [
            ("A fine film", "very positive", "train"),
            ("It is", "neutral", "validation"),
            ("bad .", "very negative", "test"),
        ],
    ),
    "tweeteval_stance_climate": (
        {
            f"datasets__stance__climate__{split}_{what}_DOT_txt": line
            for split in ("train", "val", "test")
            for what, line in (("text", f"a {split} tweet \n"), ("labels", "1\n"))
        },
        [
            ("a train tweet", "against", "train"),
            ("a val tweet", "against", "validation"),
            ("a test tweet", "against", "test"),
        ],
    ),
}


@pytest.mark.parametrize("name", OFFICIAL)
@pytest.mark.parametrize("inside", [True, False])
def test_the_publishers_own_files_are_read_too(name, inside, tmp_path):
    files, expected = OFFICIAL[name]
    lines(tmp_path / TEXT_SPECS[name].folder if inside else tmp_path, **files)
    data = load_text_set(name, tmp_path)
    assert list(zip(data.text, data.label, data.split, strict=True)) == expected


def test_the_publishers_other_layouts(tmp_path):
    for split in ("train", "dev", "test"):
        lines(tmp_path, **{f"stsa_DOT_fine_DOT_{split}": "3 a film\n"})
    assert load_text_set("sst5", tmp_path).label.tolist() == ["positive"] * 3
    lines(tmp_path, **OFFICIAL["trec"][0])
    coarse = load_text_set("trec", tmp_path, level="coarse")
    assert coarse.label.tolist() == ["LOC", "HUM"]
    lines(tmp_path, **OFFICIAL["clinc150"][0])
    assert load_text_set("clinc150", tmp_path, out_of_scope=True).text[-1] == "why"


def test_the_publishers_files_agree_with_the_shared_ones(shared_data, tmp_path):
    whole = load_text_set("tweeteval_emotion", shared_data)
    for split, word in {"train": "train", "validation": "val", "test": "test"}.items():
        mine = np.flatnonzero(whole.split == split).tolist()
        texts = "".join(f"{whole.text[i]}\n" for i in mine)
        codes = "".join(f"{whole.code[i]}\n" for i in mine)
        lines(
            tmp_path / "datasets/emotion",
            **{f"{word}_text_DOT_txt": texts, f"{word}_labels_DOT_txt": codes},
        )
    again = load_text_set("tweeteval_emotion", tmp_path)
    assert again.text == whole.text and again.label.tolist() == whole.label.tolist()


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("banking77", {"banking_data__test_DOT_csv": None}, "could not read .*test.csv"),
        ("banking77", {"banking_data__test_DOT_csv": "a,b\n1,2\n"}, "must have the columns text"),
        ("clinc150", {"data__data_full_DOT_json": '{"train": '}, "could not read .*data_full.json"),
        ("clinc150", {"data__data_full_DOT_json": '{"train": [["a"]]}'}, "not enough values"),
        ("goemotions", {"data__dev_DOT_tsv": "no tab\n"}, "could not read .*dev.tsv"),
        (
            "tweeteval_stance_climate",
            {"datasets__stance__climate__val_labels_DOT_txt": "1\n0\n"},
            "it has 1 lines where 'val_labels.txt' has 2",
        ),
    ],
)
def test_damaged_published_files_are_named(name, damage, message, tmp_path):
    files = {**OFFICIAL[name][0], **damage}
    lines(tmp_path, **{key: value for key, value in files.items() if value is not None})
    with pytest.raises(DataFileError, match=message):
        load_text_set(name, tmp_path)


@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=8),
    share=st.sampled_from([0.05, 0.1, 0.25, 0.5, 0.9]),
    seed=st.integers(0, 3),
)
def test_a_carved_split_has_its_share_of_every_class(sizes, share, seed):
    labels = [k for k, n in enumerate(sizes) for _ in range(n + 2)]
    split = np.array([s for n in sizes for s in ["test"] * 2 + ["train"] * n])
    rng = np.random.RandomState(seed)
    carved = carve(labels, split, share=share, into="validation", rng=rng)
    np.testing.assert_array_equal(carved == "test", split == "test")
    for k, n in enumerate(sizes):
        mine = np.array(labels) == k
        moved = int((carved[mine] == "validation").sum())
        if n == 1:
            assert moved == 0
        else:
            assert 1 <= moved <= n - 1
            assert abs(moved - share * n) <= 0.5 or moved in {1, n - 1}


def test_a_carved_split_is_the_same_every_time(folder, shared_data):
    one = load_text_set("trec", shared_data, validation_share=0.1)
    two = load_text_set("trec", shared_data, validation_share=0.1)
    np.testing.assert_array_equal(one.split, two.split)
    assert len(set(one.label[one.split == "validation"].tolist())) == 50
    assert (one.split == "test").sum() == 500
    other = load_text_set("trec", shared_data, validation_share=0.1, random_state=1)
    assert (one.split != other.split).any()
    # thinning leaves the carved rows alone
    thin = long_tail(one, 10, random_state=0)
    kept = [t for t, s in zip(thin.text, thin.split, strict=True) if s == "validation"]
    assert kept == [t for t, s in zip(one.text, one.split, strict=True) if s == "validation"]


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_shared_files_hold_the_published_rows(name, shared_data):
    data = load_text_set(name, shared_data)
    counts = collections.Counter(data.split.tolist())
    train, validation, test, n_classes = PUBLISHED[name]
    assert counts == +collections.Counter(train=train, validation=validation, test=test)
    assert len(data.classes) == len(set(data.class_names)) == n_classes
    assert len(data.text) == len(data.label) == len(data.split) == len(data.code)
    assert set(data.label[data.split == "train"].tolist()) == set(data.classes)
    np.testing.assert_array_equal(np.array(data.classes)[data.code], data.label)


def test_every_set_of_the_list_can_be_read(shared_data):
    assert set(TEXT_SETS) == {*TEXT_SPECS, "biographies"}
    for name in TEXT_SETS:
        if "stance" in name:
            assert load_text_set(name, shared_data).text
        elif name != "biographies":
            spec = TEXT_SPECS[name]
            for file in spec.files.values():
                assert (shared_data / spec.folder / f"{file}.gz").is_file()


def test_the_codes_of_the_shared_files_are_those_of_their_lists(shared_data):
    listed = (shared_data / "goemotions/labels.txt").read_text().split()
    assert list(TEXT_SPECS["goemotions"].codes) == listed
    for name, spec in TEXT_SPECS.items():
        if name.startswith("tweeteval"):
            task = "stance" if "stance" in name else name.removeprefix("tweeteval_")
            lines = (shared_data / f"tweeteval/{task}_mapping.txt").read_text().splitlines()
            assert list(spec.codes) == [line.split("\t")[1].strip() for line in lines]
    # a title about a tag mostly holds the tag's name: the order of the 20 is right
    data = load_text_set("stackoverflow20", shared_data)
    for tag in ("wordpress", "oracle", "matlab", "haskell", "magento", "drupal", "linq"):
        mine = [t.lower() for t, y in zip(data.text, data.label, strict=True) if y == tag]
        assert np.mean([tag in t for t in mine]) > 0.25, tag


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "banking"}, "`name` of `load_text_set` must be one of 'banking77', 'trec'"),
        ({"level": "fine"}, "`level` of `load_text_set` must be one of None, 'label', got 'fine'"),
        ({"variant": "small"}, "`variant` of `load_text_set` must be one of None, 'banking77'"),
        ({"out_of_scope": True}, "`out_of_scope` of `load_text_set` is for 'clinc150'"),
        ({"multi_label": True}, "`multi_label` of `load_text_set` is for 'goemotions', but"),
        ({"validation_share": 1.0}, r"must lie in \[0, 1\), got 1: no training rows would be left"),
        (
            {"name": "tweeteval_emotion", "validation_share": 0.1},
            "is for sets without a validation split, but 'tweeteval_emotion' has one",
        ),
    ],
)
def test_wrong_use_is_one_sentence(folder, settings, message):
    with pytest.raises(InvalidInputError, match=message):
        load_text_set(**{"name": "banking77", "folder": folder, **settings})


@pytest.mark.parametrize(
    ("name", "header", "row", "message"),
    [
        ("sst5", "text,label,split", ["fine", "7", "train"], "found the label '7' in row 0 of"),
        ("sst5", "sentence,label,split", ["fine", "3", "train"], "lacks text; it has sentence"),
        ("sst5", "text,label,split", ["fine", "3"], "record 1 has 2 fields where there are 3"),
        ("other", "text,label,split", ["fine", "3", "train"], r"must hold sst5.csv\[.gz\], in"),
    ],
)
def test_damaged_files_are_named(tmp_path, name, header, row, message):
    write(tmp_path, name, header, [row])
    with pytest.raises(DataFileError, match=message):
        load_text_set("sst5", tmp_path)


def test_a_missing_folder_says_where_the_set_comes_from(tmp_path):
    with pytest.raises(DataFileError, match="is not a folder. Nothing is downloaded: get it from"):
        load_text_set("hwu64", tmp_path / "nothing")
