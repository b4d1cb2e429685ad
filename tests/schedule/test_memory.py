"""Placement: valid, aligned, never below the bound, close to it where a perfect packing is known, fast, repeatable."""

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphc.errors import InternalError
from graphc.schedule.memory import Block, Placement, check, place

blocks_strategy = st.lists(
    st.tuples(st.integers(0, 500), st.integers(0, 30), st.integers(0, 12)).map(lambda t: Block(*t[:2], t[1] + t[2])),
    max_size=40,
)


def _peak_liveness(blocks, alignment):
    steps = {block.first for block in blocks}
    rounded = [(b, -(-b.size // alignment) * alignment) for b in blocks]
    return max((sum(size for b, size in rounded if b.first <= t <= b.last) for t in steps), default=0)


def _guillotine(seed, count, width=1000, height=1 << 16):
    """Rectangles that fill `width` steps × `height` bytes without a gap: a rectangle is cut in two, again and again."""
    chance = random.Random(seed)
    parts = [(0, width, 0, height)]
    while len(parts) < count:
        left, right, low, high = parts.pop(chance.randrange(len(parts)))
        if chance.random() < 0.5 and right - left > 1:
            cut = chance.randrange(left + 1, right)
            parts += [(left, cut, low, high), (cut, right, low, high)]
        elif high - low > 1:
            cut = chance.randrange(low + 1, high)
            parts += [(left, right, low, cut), (left, right, cut, high)]
        else:
            parts.append((left, right, low, high))
    return [Block(high - low, left, right - 1) for left, right, low, high in parts]


@settings(max_examples=150, deadline=None)
@given(blocks_strategy, st.sampled_from([1, 16, 64]))
def test_every_placement_is_valid(blocks, alignment):
    placement = place(blocks, alignment=alignment, effort=500)
    check(blocks, placement, alignment=alignment)
    assert placement.lower_bound == _peak_liveness(blocks, alignment) <= placement.peak
    assert placement == place(blocks, alignment=alignment, effort=500)


@pytest.mark.parametrize("seed", range(6))
def test_comes_close_to_a_known_perfect_packing(seed):
    blocks = _guillotine(seed, count=60)
    placement = place(blocks, alignment=1)
    check(blocks, placement)
    assert placement.lower_bound == 1 << 16
    assert placement.peak <= 1.25 * placement.lower_bound


def test_effort_pays():
    def random_blocks(seed):
        chance = random.Random(seed)
        firsts = [chance.randrange(200) for _ in range(120)]
        return [Block(chance.randrange(1, 1 << chance.randrange(4, 12)), t, t + chance.randrange(60)) for t in firsts]

    lazy = [place(random_blocks(seed), alignment=1, effort=0) for seed in range(6)]
    keen = [place(random_blocks(seed), alignment=1, effort=2_000_000) for seed in range(6)]
    gaps = [sum(p.peak / p.lower_bound - 1 for p in placements) for placements in (lazy, keen)]
    assert gaps[1] < 0.75 * gaps[0]


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
    blocks = _guillotine(1, count=40)
    good = place(blocks, alignment=1, effort=0)
    for i, block in enumerate(blocks):
        together = [k for k, b in enumerate(blocks) if b.first <= block.last and block.first <= b.last]
        j = next(k for k in together if k != i)
        offsets = list(good.offsets)
        offsets[i] = max(0, min(offsets[j], good.peak - block.size))
        if offsets[j] < offsets[i] + block.size and offsets[i] < offsets[j] + blocks[j].size:
            with pytest.raises(InternalError, match="overlap"):
                check(blocks, Placement(tuple(offsets), good.peak, good.lower_bound))


@pytest.mark.parametrize(
    ("name", "blocks"),
    [
        ("12,000 random blocks", [Block(64 + (i * 7919) % 5000, i, i + (i * 104729) % 400) for i in range(12_000)]),
        ("chain of 100,000", [Block(64 + 64 * (i % 3), i, i + 1) for i in range(100_000)]),
        ("nest of 100,000", [Block(64 + 64 * (i % 3), i, 200_000 - i) for i in range(100_000)]),
        ("long lives beside a chain", [Block(64, i, i + (1 if i % 100 else 100_000)) for i in range(100_000)]),
    ],
)
def test_large_problems_take_seconds(name, blocks):
    begin = time.process_time()
    placement = place(blocks)
    took = time.process_time() - begin
    check(blocks, placement, alignment=64)
    assert placement.peak <= 1.1 * placement.lower_bound
    assert took < 20
