"""The measurement of pairs: both forms compute the same, and the table tells their ratio."""

import pytest

from benchmarks.pairs import KINDS, Timing, pairs_sheet, time_pairs


@pytest.mark.parametrize("kind", KINDS)
def test_both_forms_run(kind: str) -> None:
    timing = time_pairs((40, 5, 3), "float64", kind, "cython", seconds=0.0)
    assert timing.seconds.keys() == {"pairs", "product"}
    assert 0 < timing.ratio < float("inf")


def test_a_row_holds_all_kinds() -> None:
    timings = [Timing((40, 5, 3), "float32", kind, {"pairs": 0.003, "product": 0.002}) for kind in KINDS]
    (row,) = pairs_sheet(timings).rows
    assert row == ["40x5x3", "float32", *["3.000 ms  1.50x"] * len(KINDS)]
