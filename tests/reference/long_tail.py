"""The sizes of a long tail, class by class, and its largest head by trying every one."""

import math


def size(k, n_classes, n_max, ratio, profile="exp", head_share=0.5):
    """Rows of the class of rank k, before the least number of rows is granted."""
    if profile == "exp":
        depth = k / (n_classes - 1) if n_classes > 1 else 0.0
    else:
        n_head = min(max(math.floor(head_share * n_classes + 0.5), 1), n_classes - 1)
        depth = 0.0 if k < n_head else 1.0
    return math.floor(n_max * ratio ** (-depth) + 0.5)


def largest_exact(have, ratio, profile="exp", head_share=0.5):
    """Sizes for the largest m with every class able to give its share of m * ratio, or None."""
    best = None
    for m in range(1, max(have) + 1):
        sizes = [
            size(k, len(have), m * ratio, ratio, profile, head_share) for k in range(len(have))
        ]
        if all(s <= h for s, h in zip(sizes, have, strict=True)):
            best = sizes
    return best
