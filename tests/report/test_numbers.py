"""Numbers: sensible digits, and an undefined number never reads 0."""

from __future__ import annotations

import math

import pytest

from isonomy.report._numbers import (
    confidence,
    count,
    interval,
    number,
    p_value,
    per_cent,
    points,
    shorten,
    signed_points,
    significant,
)


@pytest.mark.parametrize(
    "show", [number, significant, per_cent, points, signed_points, p_value, count]
)
@pytest.mark.parametrize("value", [None, math.nan, math.inf, "0.5", True])
def test_what_is_no_number_reads_not_available(show, value):
    assert show(value) == "n/a"


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (per_cent(0.72514), "72.5"),
        (points(-0.0321), "\N{MINUS SIGN}3.2"),
        (points(-0.0001), "0.0"),
        (signed_points(0.05), "+5.0"),
        (signed_points(0.0001), "0.0"),
        (significant(3e-15), "3e\N{MINUS SIGN}15"),
        (significant(0.31), "0.31"),
        (count(14000), "14,000"),
        (count(1234.5), "1,234.5"),
        (p_value(0.0002).replace("\xa0", " "), "p < 0.001"),
        (p_value(0.8123).replace("\xa0", " "), "p = 0.81"),
        (p_value(0.0312).replace("\xa0", " "), "p = 0.031"),
        (interval({"low": 0.1, "high": 0.25}), "10.0 to 25.0"),
        (interval({"low": None, "high": 0.25}), "n/a"),
        (confidence({"confidence": 0.9}), "90%"),
        (confidence({}), "95%"),
        (shorten("abcdef", 4), "abc\N{HORIZONTAL ELLIPSIS}"),
    ],
)
def test_numbers_read_as_expected(shown, expected):
    assert shown == expected
