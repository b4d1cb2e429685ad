"""Placement: valid, aligned, never below the bound, at it where a perfect packing is known, fast, repeatable.

With GRAPHC_TEST_FULL=1, the CSV files in the folder that GRAPHC_MINIMALLOC names are placed, too: NAME.CAPACITY.csv.
"""

import os
import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphc.commands.placing import EFFORT, read_buffers
from graphc.errors import InternalError
from graphc.memory.placement import Block, Placement, check, place
from tests.memory.instances import cut

FOLDER = os.environ.get("GRAPHC_MINIMALLOC", "") if os.environ.get("GRAPHC_TEST_FULL") else ""

blocks_strategy = st.lists(
    st.tuples(st.integers(0, 500), st.integers(0, 30), st.integers(0, 12)).map(lambda t: Block(*t[:2], t[1] + t[2])),
    max_size=40,
)


def _peak_liveness(blocks, alignment):
    steps = {block.first for block in blocks}
    rounded = [(b, -(-b.size // alignment) * alignment) for b in blocks]
    return max((sum(size for b, size in rounded if b.first <= t <= b.last) for t in steps), default=0)


@settings(max_examples=80, deadline=None)
@given(blocks_strategy, st.sampled_from([1, 16, 64]))
def test_every_placement_is_valid(blocks, alignment):
    placement = place(blocks, alignment=alignment, effort=500)
    check(blocks, placement, alignment=alignment)
    assert placement.lower_bound == _peak_liveness(blocks, alignment) <= placement.peak
    assert placement == place(blocks, alignment=alignment, effort=500)


def _turned(blocks):
    """The same blocks with time running backwards."""
    return [Block(block.size, -block.last, -block.first) for block in blocks]


def _shuffled(blocks, seed=0):
    return random.Random(seed).sample(blocks, len(blocks))


@pytest.mark.parametrize("count", [30, 100, 200])
@pytest.mark.parametrize("seed", range(4))
def test_finds_a_perfect_packing_where_there_is_one(seed, count):
    blocks = cut(seed, count)
    for same in (blocks, _turned(blocks), _shuffled(blocks)):
        placement = place(same, alignment=1, effort=200_000_000)
        check(same, placement)
        assert placement.peak == placement.lower_bound == 1 << 16


def test_effort_pays():
    blocks = [cut(seed, 200) for seed in range(4)]
    lazy = [place(some, alignment=1, effort=0) for some in blocks]
    keen = [place(some, alignment=1) for some in blocks]
    gaps = [sum(p.peak / p.lower_bound - 1 for p in placements) for placements in (lazy, keen)]
    assert gaps[0] > 0.2
    assert gaps[1] < 0.01


def test_what_begins_and_ends_between_two_parts_is_placed_in_each_alone():
    early, late = cut(0, 100), [Block(b.size, b.first + 1000, b.last + 1000) for b in cut(2, 100)]
    placement = place(early + late, alignment=1)
    check(early + late, placement)
    assert placement.peak == placement.lower_bound


def test_stops_where_the_capacity_is_met():
    blocks = cut(0, 200)
    bound, greedy = 1 << 16, place(blocks, alignment=1, effort=0).peak
    assert greedy > 1.1 * bound
    for capacity in (bound, (bound + greedy) // 2, greedy):
        placement = place(blocks, alignment=1, capacity=capacity, effort=200_000_000)
        check(blocks, placement)
        assert bound <= placement.peak <= capacity
    assert place(blocks, alignment=1, capacity=greedy) == place(blocks, alignment=1, effort=0)
    assert place(blocks, alignment=1, capacity=4 * greedy).peak <= 4 * greedy


def test_a_capacity_below_the_bound_is_told_by_the_peak_at_once():
    blocks, spent = cut(0, 200), []
    placement = place(blocks, alignment=1, capacity=(1 << 16) - 1, progress=lambda peak, part: spent.append(part))
    check(blocks, placement)
    assert placement.peak > placement.lower_bound == 1 << 16
    assert not spent


def test_a_capacity_that_is_no_multiple_of_the_alignment_counts_what_fits():
    blocks = [Block(64, 0, 1), Block(64, 1, 2)]
    assert place(blocks, capacity=191).peak == place(blocks, capacity=128).peak == 128
    blocks = cut(5, 12)
    first = place(blocks, capacity=1 << 40)
    assert first.lower_bound <= place(blocks, capacity=first.peak - 1).peak < first.peak


def test_progress_is_told():
    told = []
    placement = place(cut(0, 200), alignment=1, progress=lambda peak, part: told.append((peak, part)))
    assert told
    assert sorted(part for _, part in told) == [part for _, part in told]
    assert all(0 < part <= 1 and peak >= placement.peak for peak, part in told)


def test_equal_blocks_get_equal_offsets():
    blocks = cut(3, 200)
    assert place(blocks, alignment=1) == place([replace(block) for block in blocks], alignment=1)


def test_blocks_of_no_size_take_no_place():
    blocks = cut(0, 60)
    mixed = [item for block in blocks for item in (block, Block(0, block.first, block.last))]
    placement = place(mixed, alignment=1)
    check(mixed, placement)
    assert placement.peak == 1 << 16
    assert set(placement.offsets[1::2]) == {0}
    assert placement.offsets[::2] == place(blocks, alignment=1).offsets


def test_large_sizes_and_times():
    blocks = [Block(block.size << 40, block.first << 40, block.last << 40) for block in cut(1, 60)]
    placement = place(blocks, alignment=1 << 20)
    check(blocks, placement, alignment=1 << 20)
    assert placement.peak == 1 << 56
    with pytest.raises(InternalError, match="too many to count"):
        place([Block(1 << 62, 0, 1), Block(1, 0, 1)], alignment=1)


@pytest.mark.skipif(not FOLDER, reason="needs GRAPHC_TEST_FULL=1, and GRAPHC_MINIMALLOC to name a folder")
@pytest.mark.parametrize("path", sorted(Path(FOLDER).glob("*.csv")) if FOLDER else [], ids=lambda path: path.stem)
def test_published_instances_are_placed_within_their_capacity(path):
    capacity, blocks = int(path.suffixes[0][1:]), read_buffers(path).blocks
    begin = time.process_time()
    placement = place(blocks, alignment=1, capacity=capacity, effort=EFFORT)
    assert time.process_time() - begin < 60
    check(blocks, placement)
    assert placement.peak <= capacity


@pytest.mark.parametrize(
    ("name", "blocks"),
    [
        ("chain", [Block(64 * (1 + i % 3), i, i + 1) for i in range(50)]),
        ("chain of many sizes", [Block(64 * (1 + i * 7 % 13), i, i + 1) for i in range(50)]),
        ("nest: saved activations of a chain", [Block(64 * (1 + i % 5), i, 100 - i) for i in range(50)]),
        ("all at once", [Block(64 * (1 + i % 7), 0, 3) for i in range(50)]),
        ("apart", [Block(1000, 2 * i, 2 * i) for i in range(50)]),
        ("staircase", [Block(128, i, i + 5) for i in range(50)]),
        ("one", [Block(1, 0, 0)]),
        ("none", []),
        ("only empty blocks", [Block(0, 0, 5), Block(0, 1, 2)]),
    ],
)
def test_reaches_the_bound_on(name, blocks):
    placement = place(blocks)
    check(blocks, placement, alignment=64)
    assert placement.peak == placement.lower_bound


def test_a_block_that_ends_where_another_begins_does_not_share_with_it():
    assert place([Block(64, 0, 1), Block(64, 1, 2)]).peak == 128
    assert place([Block(64, 0, 0), Block(64, 1, 2)]).peak == 64


@pytest.mark.parametrize("bad", [Block(-1, 0, 0), Block(8, 3, 2)])
def test_impossible_blocks_are_refused(bad):
    with pytest.raises(InternalError, match="block 1"):
        place([Block(8, 0, 1), bad])


@pytest.mark.parametrize(
    ("placement", "message"),
    [
        (Placement((0, 32), 128, 128), "overlap at step 1"),
        (Placement((0, 65), 256, 128), "aligned"),
        (Placement((0, 64), 100, 128), "within"),
        (Placement((0, -64), 100, 128), "within"),
        (Placement((0,), 128, 128), "offsets"),
    ],
)
def test_check_catches(placement, message):
    alignment = 64 if message == "aligned" else 1
    with pytest.raises(InternalError, match=message):
        check([Block(64, 0, 1), Block(64, 1, 2)], placement, alignment=alignment)


def test_check_catches_any_planted_overlap():
    blocks = cut(1, 40)
    good = place(blocks, alignment=1, effort=0)
    for i, block in enumerate(blocks):
        together = [k for k, b in enumerate(blocks) if b.first <= block.last and block.first <= b.last]
        j = next(k for k in together if k != i)
        offsets = list(good.offsets)
        offsets[i] = max(0, min(offsets[j], good.peak - block.size))
        if offsets[j] < offsets[i] + block.size and offsets[i] < offsets[j] + blocks[j].size:
            with pytest.raises(InternalError, match="overlap"):
                check(blocks, Placement(tuple(offsets), good.peak, good.lower_bound))


LARGE: dict[str, tuple[Callable[[], list[Block]], int]] = {  # how to make the blocks, seconds
    "30,000 random": (
        lambda: [Block(64 + (i * 7919) % 5000, i, i + (i * 104729) % 400) for i in range(30_000)], 6,
    ),
    "chain of 100,000": (lambda: [Block(64 + 64 * (i % 3), i, i + 1) for i in range(100_000)], 10),
    "nest of 100,000": (lambda: [Block(64 + 64 * (i % 3), i, 200_000 - i) for i in range(100_000)], 10),
    "long beside short": (lambda: [Block(64, i, i + (1 if i % 100 else 100_000)) for i in range(100_000)], 10),
}  # fmt: skip


@pytest.mark.parametrize("name", LARGE)
def test_large_problems_take_seconds(name):
    make, seconds = LARGE[name]
    blocks = make()
    begin = time.process_time()
    placement = place(blocks)
    took = time.process_time() - begin
    check(blocks, placement, alignment=64)
    assert placement.peak <= 1.1 * placement.lower_bound
    assert took < seconds
