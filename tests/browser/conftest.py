"""One headless Chromium for the session of a worker, and the pages that it is shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from browser.devtools import Browser, find_chromium
from isonomy import audit
from isonomy.report import render_html
from report_samples import comparison_result, hostile_result

ESCAPES = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "javascript:alert(3)",
    "\u202egnp.exe",
    "</style><style>*{display:none}</style>",
    "</title><svg onload=alert(4)>",
    "{{7*7}}{% include 'x' %}",
    "' autofocus onfocus=alert(5) x='",
    "very " * 60 + "long",
)


@pytest.fixture(scope="session")
def browser():
    executable = find_chromium()
    if executable is None:
        pytest.skip("needs Chromium on a POSIX system: install Debian's package `chromium`")
    with Browser(executable) as running:
        yield running


@pytest.fixture
def page(browser):
    """An empty page, closed after the test."""
    opened = browser.new_page()
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    """Return a function that gives the path of a report by its name, written once."""
    folder, made = tmp_path_factory.mktemp("reports"), {}

    def path(name: str) -> Path:
        if name not in made:
            made[name] = folder / f"{name} <b>&amp;.html"  # a hostile file name as well
            made[name].write_text(render_html(RESULTS[name]()), encoding="utf-8")
        return made[name]

    return path


def scored_audit(groups=("a, x", "b, y", "c, z", "tiny"), title="An audit with scores"):
    """An audit of 900 rows with scores; one group is so small that bins are withheld."""
    rng = np.random.default_rng(0)
    g = rng.choice(len(groups), 900, p=[0.4, 0.3, 0.25, 0.05])
    score = rng.random(900)
    y = rng.random(900) < np.where(g == 1, score**1.5, score)
    names = np.array(groups, dtype=object)[g]
    labels = np.array(["no", "yes"])
    found = audit(
        labels[y.astype(int)],
        labels[(score > 0.5).astype(int)],
        sensitive_features=names,
        y_score=score,
        n_boot=200,
    )
    return found.to_dict() | {"title": title}


def hostile_audit():
    return scored_audit(ESCAPES[:4], title=ESCAPES[5])


def hostile_comparison():
    result = hostile_result()
    for method, name in zip(result["methods"], ESCAPES, strict=True):
        method["label"] = name
    result["data"]["name"] = ESCAPES[1]
    result["title"] = ESCAPES[5]
    result["question"] = ESCAPES[4]
    return result


RESULTS = {
    "comparison": comparison_result,
    "audit": scored_audit,
    "hostile comparison": hostile_comparison,
    "hostile audit": hostile_audit,
}
