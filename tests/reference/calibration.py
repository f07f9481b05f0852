"""Reliability of scores, row by row."""

from __future__ import annotations


def reliability(true, score, group, weight, n_bins=10):
    """Return {(group, bin): (rows, mean score, rate)}, weighted, by group and then bin."""
    sums = {}
    for i in range(len(true)):
        if score.ndim == 1:
            said, right = score[i], true[i] == 1
        else:
            best = 0
            for k in range(score.shape[1]):
                if score[i, k] > score[i, best]:
                    best = k
            said, right = score[i, best], true[i] == best
        b = int(said * n_bins)
        if b == n_bins:
            b = n_bins - 1
        w = 1.0 if weight is None else weight[i]
        held = sums.setdefault((int(group[i]), b), [0, 0.0, 0.0, 0.0])
        held[0] += 1
        held[1] += w
        held[2] += w * said
        held[3] += w * right
    return {key: (n, said / w, right / w) for key, (n, w, said, right) in sorted(sums.items())}
