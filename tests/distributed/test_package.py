"""Names can be listed without the extras, and using one names the extra that is missing."""

from __future__ import annotations

import sys

import pytest

import isonomy.distributed
from isonomy.errors import MissingExtraError


@pytest.mark.parametrize(
    ("name", "module", "library", "extra"),
    [
        ("collect_with_ray", "ray_collection", "ray", "ray"),
        ("collect_with_accelerate", "accelerate_collection", "accelerate", "llm"),
    ],
)
def test_a_missing_library_is_named_with_its_extra(monkeypatch, name, module, library, extra):
    for loaded in list(sys.modules):
        if loaded.startswith("isonomy.distributed.") or loaded.partition(".")[0] == library:
            monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError, match=f"`isonomy.distributed.{name}` needs .*'{extra}'"):
        getattr(isonomy.distributed, name)


def test_names_are_listed_and_others_do_not_exist():
    assert {"collect_with_accelerate", "collect_with_ray"} <= set(dir(isonomy.distributed))
    with pytest.raises(AttributeError, match="no attribute 'collect_with_spark'"):
        isonomy.distributed.collect_with_spark
