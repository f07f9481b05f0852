"""The three comparisons, each from calls to a piece of markdown."""

from __future__ import annotations

from _speed import bootstrap, descent, large, movers
from _speed.markdown import seconds, table
from _speed.timing import Timing, side_by_side
from isonomy.ideal import nearest_ideal

__all__ = ["bootstrap_study", "large_study", "nearest_study", "rows_study"]

PAIRS = {
    "blind": ("concept-erasure", "concept-erasure, 2"),
    "given, discriminant": ("concept-erasure", "concept-erasure, 2"),
    "given, full": ("POT", "concept-erasure"),
    "LEACE": ("concept-erasure",),
    "MiMiC": ("POT",),
}


def ratio(theirs: float, ours: float) -> str:
    """Return theirs / ours as text: above 1, ours is quicker."""
    found = theirs / ours
    return f"{found:,.0f}" if found >= 100 else f"{found:.2f}"


def rows_study(n: int, d: int, repeats: int) -> str:
    """Time fit and transform of ``n`` rows of ``d`` columns."""
    movers.warm_up()
    found = side_by_side(movers.row_calls(movers.make_rows(n, d)), repeats)
    floor = found["X'X"].cpu + found["decomposition"].cpu
    lines = [
        (
            text,
            seconds(found[name].wall),
            seconds(found[name].cpu),
            f"{found[name].cpu / floor:.2f}",
        )
        for part in (movers.FLOOR, movers.OURS, movers.PEERS)
        for name, text in part.items()
    ]
    ratios = [
        (
            movers.OURS[ours],
            movers.PEERS[theirs],
            ratio(found[theirs].wall, found[ours].wall),
            ratio(found[theirs].cpu, found[ours].cpu),
        )
        for ours, peers in PAIRS.items()
        for theirs in peers
    ]
    agreed = ", ".join(f"{k} {v:.1e}" for k, v in movers.agreement().items())
    head = f"## Speed of fit and transform: {n:,} rows, {d} features, 28 classes, 2 groups, float32"
    note = (
        f"Medians of {repeats} rounds, all calls in turn in each. The floor is one pass of X'X and "
        "one decomposition, d x d, both in the data's precision (the first two lines); ours "
        "accumulates in float64. Rows of ours and of the peer differ, relative to the largest "
        f"entry, by at most: {agreed} (5,000 rows, 64 features)."
    )
    return "\n\n".join(
        [
            head,
            note,
            table(["call", "wall s", "CPU s", "CPU / floor"], lines),
            table(["ours", "peer", "wall ratio", "CPU ratio"], ratios),
        ]
    )


def bootstrap_study(n: int, repeats: int) -> str:
    """Time 10,000 replicates of ours, and a few of fairlearn's, on the same rows."""
    for call in (*bootstrap.our_calls(2000, 100).values(),):
        call()
    for call in bootstrap.fairlearn_calls(2000, 4, 100).values():
        call()
    ours = side_by_side(bootstrap.our_calls(n), repeats)
    beside = side_by_side(bootstrap.fairlearn_calls(n, 4), repeats)

    def replicate(kind: str) -> tuple[float, float]:
        theirs = getattr(beside["fairlearn"], kind) - getattr(beside["fairlearn, 0"], kind)
        return theirs / bootstrap.FAIRLEARN_BOOT, getattr(
            beside["isonomy"], kind
        ) / bootstrap.N_BOOT

    (wall, our_wall), (cpu, our_cpu) = replicate("wall"), replicate("cpu")
    lines = [(k, seconds(t.wall), seconds(t.cpu)) for k, t in ours.items()]
    comparison = [
        ("fairlearn's MetricFrame(n_boot=...)", f"{wall:.3g}", f"{cpu:.3g}"),
        ("isonomy, counting the rows included", f"{our_wall:.3g}", f"{our_cpu:.3g}"),
        ("ratio", ratio(wall, our_wall), ratio(cpu, our_cpu)),
    ]
    return "\n\n".join(
        [
            f"## Speed of bootstrap and permutation: {n:,} rows, {bootstrap.N_BOOT:,} replicates",
            f"28 classes, 2 groups; medians of {repeats} rounds.",
            table(["call", "wall s", "CPU s"], lines),
            f"Seconds per replicate, 2 classes, 4 groups, selection rate and true positive rate; "
            f"fairlearn's from {bootstrap.FAIRLEARN_BOOT} replicates less a frame without. The two "
            "do different work: fairlearn resamples rows and recomputes any metric, isonomy draws "
            "the counts on which rates depend. The ratio holds for rates only.",
            table(["per replicate", "wall s", "CPU s"], comparison),
        ]
    )


CASES = (("one group moves", 3, 2, 4, [1]), ("one group moves", 4, 2, 8, [1]),
         ("all move", 3, 3, 4, "all"))  # fmt: skip


def nearest_study(repeats: int, n_starts: int) -> str:
    """Time `nearest_ideal` beside BFGS on the same programmes, and compare what they pay."""
    lines = []
    for name, k, g, d, moves in CASES:
        joint = descent.random_joint(k, g, d, seed=0)
        solution = nearest_ideal(joint, moves=moves)
        programme = descent.Programme.of(joint, solution)
        least: dict[str, float] = {}

        def search(
            kind: str, programme: descent.Programme = programme, least: dict[str, float] = least
        ) -> None:
            least[kind] = descent.best_of_starts(programme, n_starts, gradient=kind == "gradient")

        found = side_by_side(
            {
                "nearest_ideal": lambda joint=joint, moves=moves: nearest_ideal(joint, moves=moves),
                "differences": lambda search=search: search("differences"),
                "gradient": lambda search=search: search("gradient"),
            },
            repeats,
        )
        lines += _nearest_lines(
            f"{name}, K={k}, G={g}, d={d}", programme, solution.kl, found, least
        )
    return "\n\n".join(
        [
            f"## Speed of `nearest_ideal` against BFGS from {n_starts} starts",
            f"Medians of {repeats} rounds. BFGS is `scipy.optimize.minimize(method='BFGS')` over "
            "the affine maps (and the common means where all move), same weights and divergences, "
            "with finite differences (SciPy's default) and with the exact gradient.",
            table(
                ["programme", "parameters", "BFGS with", "ours, ms CPU", "BFGS, s CPU",
                 "wall ratio", "CPU ratio", "KL ours", "BFGS's KL less ours"], lines,
            ),
        ]
    )  # fmt: skip


def _nearest_lines(
    name: str,
    programme: descent.Programme,
    kl: float,
    found: dict[str, Timing],
    least: dict[str, float],
) -> list[tuple[str, ...]]:
    ours = found["nearest_ideal"]
    return [
        (
            name,
            str(programme.n_parameters),
            kind,
            f"{1e3 * ours.cpu:.2f}",
            seconds(found[kind].cpu),
            ratio(found[kind].wall, ours.wall),
            ratio(found[kind].cpu, ours.cpu),
            f"{kl:.9f}",
            f"{value - kl:+.1e}",
        )
        for kind, value in least.items()
    ]


def large_study(d: int, repeats: int) -> str:
    """Time `nearest_ideal` in ``d`` dimensions beside one eigenproblem, and weigh its memory."""
    joint = large.tied_joint(28, d)
    calls = large.large_calls(joint)
    found = side_by_side(calls, repeats)
    yardstick = found["eigenproblem"]
    lines = []
    for name, call in calls.items():
        peak, kept = large.peak_in_squares(call, d)
        lines.append(
            (
                name,
                seconds(found[name].wall),
                seconds(found[name].cpu),
                f"{found[name].wall / yardstick.wall:.2f}",
                f"{found[name].cpu / yardstick.cpu:.2f}",
                f"{peak:.1f}",
                f"{kept:.1f}",
            )
        )
    note = (
        f"Medians of {repeats} rounds. 28 classes, 2 groups, one covariance a group. The "
        "eigenproblem is `scipy.linalg.eigh` of one covariance, vectors included. Memory is what "
        "the call allocates beyond its argument, in d x d matrices of float64, at its peak and "
        "kept by the result (the ideal law with its factors, and a map a group)."
    )
    head = ["call", "wall s", "CPU s", "wall / eigh", "CPU / eigh", "peak, d x d", "kept, d x d"]
    return "\n\n".join([f"## `nearest_ideal` in {d} dimensions", note, table(head, lines)])
