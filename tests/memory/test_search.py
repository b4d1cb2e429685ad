"""The compiled search: finds what there is, proves what there is not, and stays within its memory and its work."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import graphc.memory
from graphc.memory.search import EXHAUSTED, IMPOSSIBLE, PLACED, Search, best_fit
from tests.aot.standalone import SANITIZERS
from tests.memory.instances import cut, fits
from tests.runtime.support import needs_compiler

FULL = bool(os.environ.get("GRAPHC_TEST_FULL"))
ORDERS = (b"LDA", b"LAD", b"DAL")
# No packing of these reaches the bound: (size, first, last).
LOOSE = (
    [(2, 5, 5), (2, 0, 2), (1, 4, 6), (1, 4, 8), (4, 3, 3), (4, 7, 9), (1, 4, 8), (1, 0, 4), (1, 0, 1), (3, 2, 2),
     (1, 3, 6)],
    [(2, 0, 1), (3, 0, 0), (4, 3, 6), (3, 4, 8), (2, 0, 4), (1, 1, 4), (4, 0, 1), (2, 1, 3), (1, 2, 3), (1, 3, 5),
     (4, 6, 7)],
)  # fmt: skip

Blocks = list[tuple[int, int, int]]
blocks_strategy = st.lists(
    st.tuples(st.integers(1, 9), st.integers(0, 6), st.integers(0, 5)).map(lambda t: (*t[:2], t[1] + t[2])),
    min_size=1, max_size=9,
)  # fmt: skip


def search_of(blocks: Blocks) -> Search:
    """Steps are sections here; the blocks must be sorted by their first step."""
    size, first, last = (np.array(column) for column in zip(*blocks, strict=True))
    return Search(
        size.astype(np.int64), (last - first + 1).astype(np.float64), first.astype(np.int32), last.astype(np.int32)
    )


def bound_of(blocks: Blocks) -> int:
    return max(sum(size for size, first, last in blocks if first <= step <= last) for _, step, _ in blocks)


def is_packing(blocks: Blocks, offsets: list[int], capacity: int) -> bool:
    if any(offset < 0 or offset + block[0] > capacity for block, offset in zip(blocks, offsets, strict=True)):
        return False
    return all(
        a[2] < b[1] or b[2] < a[1] or offsets[i] + a[0] <= offsets[j] or offsets[j] + b[0] <= offsets[i]
        for i, a in enumerate(blocks) for j, b in enumerate(blocks[:i])
    )  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(blocks_strategy, st.integers(0, 12), st.sampled_from(ORDERS))
def test_finds_a_packing_where_there_is_one_and_else_proves_that_there_is_none(blocks, above, order):
    blocks.sort(key=lambda block: block[1])
    capacity = bound_of(blocks) - 2 + above
    result, offsets, work = search_of(blocks).find(0, len(blocks), capacity, order, 10_000_000)
    assert result in (PLACED, IMPOSSIBLE)
    assert (result == PLACED) == fits(blocks, capacity)
    assert result != PLACED or is_packing(blocks, offsets.tolist(), capacity)
    assert work > 0


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("blocks", LOOSE)
@pytest.mark.parametrize("turned", [False, True])
def test_proves_that_a_bound_cannot_be_reached(blocks, order, turned):
    if turned:
        blocks = [(size, 9 - last, 9 - first) for size, first, last in blocks]
    blocks = sorted(blocks, key=lambda block: block[1])
    bound, search = bound_of(blocks), search_of(blocks)
    assert search.find(0, len(blocks), bound, order, 10_000_000)[0] == IMPOSSIBLE
    if FULL and not turned and order == ORDERS[0]:  # takes long
        assert not fits(blocks, bound)
    result, offsets, _ = search.find(0, len(blocks), bound + 1, order, 10_000_000)
    assert result == PLACED
    assert is_packing(blocks, offsets.tolist(), bound + 1)


def test_work_is_bounded_and_what_is_done_with_it_does_not_depend_on_what_came_before():
    blocks = [(block.size, block.first, block.last) for block in sorted(cut(3, 120), key=lambda block: block.first)]
    search = search_of(blocks)
    first = search.find(0, len(blocks), 1 << 16, b"LDA", 20_000)
    assert first[0] == EXHAUSTED
    assert 20_000 <= first[2] < 30_000
    search.find(0, len(blocks), 1 << 17, b"DAL", 5_000_000)
    again = search.find(0, len(blocks), 1 << 16, b"LDA", 20_000)
    assert again[0] == first[0]
    assert again[2] == first[2]


def test_a_part_is_searched_alone():
    blocks = [(4, 0, 1), (4, 1, 2), (3, 5, 6), (3, 6, 7), (9, 9, 9)]
    result, offsets, _ = search_of(blocks).find(2, 4, 6, b"LDA", 1_000)
    assert result == PLACED
    assert sorted(offsets.tolist()) == [0, 3]


def test_what_makes_no_sense_is_refused():
    search = search_of([(4, 0, 1), (4, 1, 2)])
    for begin, end, order in ((-1, 1, b"LDA"), (0, 3, b"LDA"), (1, 1, b"LDA"), (0, 2, b"L")):
        with pytest.raises(ValueError):
            search.find(begin, end, 8, order, 100)
    with pytest.raises(ValueError):
        best_fit(*(np.zeros(count, np.int64) for count in (1, 2, 2, 2)))
    with pytest.raises(ValueError):
        Search(*(np.zeros(0, kind) for kind in (np.int64, np.float64, np.int32, np.int32)))
    with pytest.raises(ValueError):
        Search(
            *(np.zeros(count, kind) for count, kind in ((1, np.int64), (1, np.float64), (2, np.int32), (1, np.int32)))
        )


def test_best_fit_takes_the_tightest_gap():
    size, first, last = (np.array(row) for row in ([4, 2, 3, 1, 5, 2], [0, 0, 0, 0, 0, 2], [9, 1, 9, 1, 9, 2]))
    offsets = best_fit(np.arange(6), size, first, last)
    assert offsets.tolist() == [0, 4, 6, 9, 10, 4]


@needs_compiler
def test_sanitizers_find_nothing_and_the_bits_are_the_same(tmp_path: Path) -> None:
    here, header = Path(__file__).parent, Path(graphc.memory.__file__).parent
    command = ["cc", "-std=c11", "-Wall", "-Wextra", *SANITIZERS["address"], f"-I{header}", str(here / "search_main.c")]
    built = subprocess.run([*command, "-o", str(tmp_path / "search")], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr[-4000:]
    environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}  # the program ends with its memory
    problems = [cut(seed, count) for seed in range(20 if FULL else 3) for count in (1, 2, 9, 40, 150)]
    for problem in [*problems, cut(0, 1000, width=4000)]:
        blocks = sorted(((block.size, block.first, block.last) for block in problem), key=lambda block: block[1])
        asked = [(capacity, 60_000, order) for order in ORDERS for capacity in (1 << 16, 70_000, 80_000)]
        text = "\n".join(
            [str(len(blocks)), *(" ".join(map(str, block)) for block in blocks)]
            + [f"{capacity} {work} {order.decode()}" for capacity, work, order in asked]
        )
        run = subprocess.run([tmp_path / "search"], input=text, capture_output=True, text=True, env=environment)
        assert run.returncode == 0, run.stderr[-4000:]
        peak, *lines = run.stdout.splitlines()
        assert int(peak) >= bound_of(blocks)
        search = search_of(blocks)
        for line, (capacity, work, order) in zip(lines, asked, strict=True):
            result, offsets, done = search.find(0, len(blocks), capacity, order, work)
            expected = [result, done, *(offsets.tolist() if result == PLACED else [])]
            assert [int(word) for word in line.split()] == expected
