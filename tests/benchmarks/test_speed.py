"""The parts of benchmarks/speed.py that could be wrong without anyone noticing."""

from __future__ import annotations

import platform

import numpy as np
import pytest
from _speed.descent import Programme, best_of_starts, random_joint
from _speed.machine import describe_machine
from _speed.markdown import replace_section, table
from _speed.movers import make_rows, scatter_float64
from _speed.timing import Timing, side_by_side
from scipy.optimize import approx_fprime

from isonomy.ideal import nearest_ideal


def test_each_call_runs_once_a_round_in_turn(capsys):
    order = []
    calls = {name: lambda name=name: order.append(name) for name in "ab"}
    found = side_by_side(calls, 3)
    assert order == list("ababab")
    assert found["a"].n_runs == 3
    assert "round 3/3" in capsys.readouterr().err


def test_timings_are_medians():
    timing = Timing([1.0, 9.0, 2.0], [3.0, 1.0, 2.0])
    assert (timing.wall, timing.cpu) == (2.0, 2.0)


@pytest.mark.parametrize("before", ["# Results\n", "# Results\n\n## Other\n\ntext\n"])
def test_the_marked_section_is_replaced_and_nothing_else(tmp_path, before):
    path = tmp_path / "RESULTS.md"
    path.write_text(before, encoding="utf-8")
    replace_section(path, "a", "one")
    once = path.read_text(encoding="utf-8")
    replace_section(path, "b", "three")
    assert path.read_text(encoding="utf-8").startswith(once)
    path.write_text(f"{once}\n## After\n", encoding="utf-8")
    replace_section(path, "a", "one")
    assert path.read_text(encoding="utf-8") == f"{once}\n## After\n"
    replace_section(path, "a", "two")
    changed = path.read_text(encoding="utf-8")
    assert changed == f"{once}\n## After\n".replace("one", "two")
    assert changed.startswith(before.rstrip())


def test_a_table_is_markdown():
    assert table(["a", "b"], [("1", "2")]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


def test_the_floor_computes_the_scatter():
    rows = make_rows(300, 7)
    lower = np.tril(scatter_float64(rows.X))
    wanted = rows.X.astype(np.float64)
    assert lower == pytest.approx(np.tril(wanted.T @ wanted), rel=1e-12)


@pytest.mark.parametrize("moves", [[1], "all"])
def test_the_rival_descends_the_same_programme(moves):
    joint = random_joint(3, 2, 2, seed=0)
    solution = nearest_ideal(joint, moves=moves)
    programme = Programme.of(joint, solution)
    rng = np.random.default_rng(0)
    x = rng.standard_normal(programme.n_parameters)
    slope = approx_fprime(x, lambda x: programme(x)[0], 1e-7)
    assert programme(x)[1] == pytest.approx(slope, rel=1e-4, abs=1e-4)
    # the value at any point is that of a feasible ideal: never below the optimum
    assert programme.prior_kl + programme(x)[0] > solution.kl
    # eight random starts: some on either side of a determinant of 0
    assert best_of_starts(programme, 8, gradient=True) == pytest.approx(solution.kl, abs=1e-8)


def test_the_machine_is_described_without_its_name():
    pytest.importorskip("torch")
    for package in ("concept_erasure", "ot", "fairlearn"):
        pytest.importorskip(package)
    said = describe_machine(1)
    assert "1 thread(s)" in said
    assert not platform.node() or platform.node() not in said
