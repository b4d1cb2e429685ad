"""The measurement of placement: a workload is compiled once, its blocks are counted, its gap and share are parts."""

from benchmarks.placement import Placed, measure_placement
from tests.runtime.support import needs_compiler


@needs_compiler
def test_a_workload_is_measured():
    placed = measure_placement("mlp", small=True)
    assert placed.blocks > 3
    assert 0 < placed.bound <= placed.peak
    assert 0 < placed.place < placed.compile
    assert "mlp" in str(placed)


def test_gap_and_share_are_parts():
    placed = Placed("some", 10, 110, 100, 0.5, 2.0)
    assert (round(placed.gap, 9), placed.share) == (0.1, 0.25)
    assert Placed("none", 0, 0, 0, 0.0, 1.0).gap == 0
