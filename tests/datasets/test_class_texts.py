"""describe_classes: every class has texts, of the right label, with its name hidden on request."""

import collections
import json

import numpy as np
import pytest

from isonomy.datasets import ImageIndex, describe_classes, long_tail
from isonomy.errors import DataFileError, InvalidInputError

SAID = {"crow": ["A crow caws.", "Crows are black, as the scarecrow."], "wren": "Tiny."}


def index():
    return ImageIndex(
        "birds",
        ("1.jpg", "2.jpg"),
        np.array([0, 1]),
        np.array(["train", "test"]),
        ("crow", "wren"),
        ("001.crow", "002.wren"),
    )


@pytest.mark.parametrize("kind", ["dict", "json", "csv"])
@pytest.mark.parametrize("classes", [["crow", "wren"], index()], ids=["names", "index"])
def test_descriptions_from_memory_and_from_files(kind, classes, tmp_path):
    given = SAID
    if kind == "json":
        given = tmp_path / "said.json"
        given.write_text(json.dumps(SAID))
    if kind == "csv":
        given = str(tmp_path / "said.csv")
        rows = [["crow", SAID["crow"][0]], ["wren", "Tiny."], ["crow", SAID["crow"][1]]]
        lines = [f'{name},"{text}"' for name, text in rows]
        (tmp_path / "said.csv").write_text("class,text\n" + "\n".join(lines))
    data = describe_classes(classes, descriptions=given)
    assert data.text == [*SAID["crow"], "Tiny."]
    assert data.label.tolist() == ["crow", "crow", "wren"]
    assert data.code.tolist() == [0, 0, 1] and data.classes == ["crow", "wren"]
    assert set(data.split) == {"train"}


def test_the_sets_own_spelling_names_a_class_too():
    said = {"001.crow": "Black.", "wren": ["Tiny."], "002.wren": ["Brown."]}
    data = describe_classes(index(), descriptions=said)
    assert data.text == ["Black.", "Tiny.", "Brown."] and data.code.tolist() == [0, 1, 1]


def test_names_are_hidden_as_whole_words_only():
    data = describe_classes(["crow", "wren"], descriptions=SAID, hide_names=True)
    assert data.text[:2] == ["A _ caws.", "_s are black, as the scarecrow."]


def test_without_descriptions_the_names_are_the_texts():
    data = describe_classes(index(), template=["a {label}", "one {label}"])
    assert data.text == ["a crow", "one crow", "a wren", "one wren"]
    assert describe_classes(["owl"]).text == ["a photo of an owl."]


def test_a_template_goes_around_each_description():
    data = describe_classes(
        ["crow"], descriptions={"crow": "Black."}, template="Bird: {description}"
    )
    assert data.text == ["Bird: Black."]


def test_shares_of_every_class_are_held_out_and_the_rest_can_be_thinned():
    said = {name: [f"{name} {i}" for i in range(20)] for name in "abc"}
    data = describe_classes(list("abc"), descriptions=said, test_share=0.25, validation_share=0.2)
    assert collections.Counter(data.split.tolist()) == {"train": 36, "validation": 9, "test": 15}
    thin = long_tail(data, 4, random_state=0)
    assert collections.Counter(thin.split.tolist()) == {"train": 21, "validation": 9, "test": 15}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"classes": "crow"}, "`classes` passed to `describe_classes` must be an ImageIndex or"),
        ({"classes": ["crow", "crow"]}, "each once"),
        ({"descriptions": {"crow": "x"}}, "but 1 of 2 have none, the first 'wren'"),
        ({"descriptions": {**SAID, "owl": "x"}}, "but 'owl' is not among the 2"),
        ({"descriptions": {"crow": [], "wren": "x"}}, r"a text or several .* got \[\] for 'crow'"),
        ({"descriptions": {"crow": 3, "wren": "x"}}, "got 3 for 'crow'"),
        ({"descriptions": ["x"]}, "must be a dict of texts by class or the path .* got list"),
        ({"descriptions": SAID, "template": "{label}"}, "must hold {description}.* got '{label}'"),
        ({"template": "no name"}, "must be sentences with {label}"),
        ({"test_share": 1.5}, r"`test_share` of `describe_classes` must lie in \[0, 1\]"),
        ({"hide_names": "yes"}, "`hide_names` of `describe_classes` must be one of True, False"),
    ],
)
def test_wrong_use_is_one_sentence(settings, message):
    with pytest.raises(InvalidInputError, match=message):
        describe_classes(**{"classes": ["crow", "wren"], **settings})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", "{", "could not read .* as JSON"),
        ("a.csv", "bird,text\ncrow,black\n", "needs the columns class and text, but .* has bird"),
    ],
)
def test_damaged_files_are_named(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(DataFileError, match=message):
        describe_classes(["crow"], descriptions=tmp_path / name)
    with pytest.raises(DataFileError, match="could not read"):
        describe_classes(["crow"], descriptions=tmp_path / f"missing-{name}")
