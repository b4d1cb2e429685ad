"""Launch order: topological, never worse than the program's, optimal on small cases, near-linear on large ones."""

import itertools
import random
import time

import pytest

from graphc.errors import InternalError
from graphc.memory.order import order, peak_of


def _random_program(seed, count=7):
    chance = random.Random(seed)
    depends = [sorted({chance.randrange(i) for _ in range(chance.randrange(3))}) if i else [] for i in range(count)]
    return count, depends, [[i] for i in range(count)], depends, [chance.randrange(1, 100) for _ in range(count)]


def _is_topological(found, depends):
    position = {launch: step for step, launch in enumerate(found)}
    return sorted(found) == list(range(len(depends))) and all(
        position[before] < position[launch] for launch, sources in enumerate(depends) for before in sources
    )


@pytest.mark.parametrize("seed", range(60))
def test_is_topological_and_never_worse_than_the_program(seed):
    count, depends, produces, consumes, sizes = _random_program(seed, count=30)
    found = order(count, depends, produces, consumes, sizes)
    assert _is_topological(found, depends)
    assert peak_of(found, produces, consumes, sizes) <= peak_of(range(count), produces, consumes, sizes)
    assert found == order(count, depends, produces, consumes, sizes)


def test_is_close_to_the_best_of_all_orders():
    excess = []
    for seed in range(40):
        count, depends, produces, consumes, sizes = _random_program(seed)
        orders = (o for o in itertools.permutations(range(count)) if _is_topological(o, depends))
        best = min(peak_of(o, produces, consumes, sizes) for o in orders)
        excess.append(peak_of(order(count, depends, produces, consumes, sizes), produces, consumes, sizes) / best)
    assert sum(excess) / len(excess) < 1.02


def test_finishes_one_branch_before_the_next():
    # Four producers of large buffers, each read by a launch with a small result, written breadth first.
    depends = [[], [], [], [], [0], [1], [2], [3], [4, 5, 6, 7]]
    sizes = [1000] * 4 + [1] * 5
    produces = [[i] for i in range(9)]
    found = order(9, depends, produces, depends, sizes)
    assert peak_of(range(9), produces, depends, sizes) == 4001
    assert peak_of(found, produces, depends, sizes) == 1004


def test_of_equal_peaks_the_one_that_holds_less_for_less_time_wins():
    """Layers make a and m; backwards, each frees its m for a gradient g; the weights' gradients read a and g."""
    layers = range(4)
    a, m, g, nothing = ([4 * layer + kind for layer in layers] for kind in range(4))
    forward = [([a[i], m[i]], [a[i - 1]] if i else []) for i in layers]
    backward = [([g[i]], [m[i], g[i + 1]] if i < 3 else [m[i]]) for i in reversed(layers)]
    weights = [([nothing[i]], [a[i], g[i]]) for i in layers]
    produces, consumes = zip(*forward, *backward, *weights, strict=True)
    maker = {buffer: launch for launch, buffers in enumerate(produces) for buffer in buffers}
    depends = [sorted({maker[buffer] for buffer in buffers}) for buffers in consumes]
    sizes = [0 if buffer in nothing else 10 for buffer in range(16)]
    found = order(12, depends, produces, consumes, sizes)
    assert peak_of(found, produces, consumes, sizes) == peak_of(range(12), produces, consumes, sizes) == 90
    assert [launch for launch in found if launch > 3] == [4, 11, 5, 10, 6, 9, 7, 8]


def test_what_needs_next_to_no_memory_keeps_nobody_waiting():
    """The same, with a rate of a few bytes that the gradients of weights read, too, and that the program makes late.

    It frees nothing, so it used to be made after all that frees something, and raised the peak where it came early.
    """
    layers, size = range(4), 1 << 20
    a, m, g, nothing = ([4 * layer + kind for layer in layers] for kind in range(4))
    forward = [([a[i], m[i]], [a[i - 1]] if i else []) for i in layers]
    backward = [([g[i]], [m[i], g[i + 1]] if i < 3 else [m[i]]) for i in reversed(layers)]
    weights = [([nothing[i]], [a[i], g[i], 16]) for i in layers]
    produces, consumes = zip(*forward, *backward, ([16], []), *weights, strict=True)
    maker = {buffer: launch for launch, buffers in enumerate(produces) for buffer in buffers}
    depends = [sorted({maker[buffer] for buffer in buffers}) for buffers in consumes]
    sizes = [0 if buffer in nothing else size for buffer in range(16)] + [8]
    found = order(13, depends, produces, consumes, sizes)
    assert [launch for launch in found if launch not in (0, 1, 2, 3, 8)] == [4, 12, 5, 11, 6, 10, 7, 9]


def test_peak_counts_a_buffer_from_its_first_writer_to_its_last_user():
    produces, consumes = [[0], [0], [1], []], [[], [0], [], [1]]
    assert peak_of([0, 1, 2, 3], produces, consumes, [10, 5]) == 10
    assert peak_of([0, 2, 1, 3], produces, consumes, [10, 5]) == 15
    assert peak_of([0], [[]], [[0]], [10]) == 0  # nobody writes it: not in the arena


def test_a_buffer_written_by_two_launches_counts_once():
    depends = [[], [0], [1]]
    assert order(3, depends, [[0], [0], [1]], [[], [], [0]], [8, 8]) == [0, 1, 2]


def test_a_cycle_is_an_internal_error():
    with pytest.raises(InternalError, match="cycle"):
        order(2, [[1], [0]], [[0], [1]], [[1], [0]], [1, 1])


def test_nothing_to_order():
    assert order(0, [], [], [], []) == []


def test_a_hundred_thousand_launches():
    count = 100_000
    depends = [[max(i - 1, 0), i // 2] if i else [] for i in range(count)]
    begin = time.process_time()
    found = order(count, depends, [[i] for i in range(count)], depends, [64] * count)
    assert _is_topological(found, depends)
    assert time.process_time() - begin < 20
