"""Storage: values keep their contents as long as somebody reads them, whatever the order and the number of threads."""

from __future__ import annotations

import random

import pytest

from graphc.memory.storage import Arrangement, Task, Value, arrange, plan_updates


def _random_tasks(rng: random.Random, count: int) -> tuple[list[Value], list[Task]]:
    """Tasks that read earlier values (some of them from outside) and write one or two new ones, perhaps in place."""
    values = [Value(64 * rng.randint(1, 8), f"input {i}") for i in range(3)]
    tasks = []
    for _ in range(count):
        reads = tuple(dict.fromkeys(rng.choices(range(len(values)), k=rng.randint(1, 3))))
        writes = []
        for _ in range(rng.randint(1, 2)):
            values.append(Value(64 * rng.randint(0, 8)))
            writes.append(len(values) - 1)
        pairs = tuple((r, w) for r in reads for w in writes if rng.random() < 0.5)
        tasks.append(Task(reads, tuple(writes), pairs))
    return values, tasks


def _with_wholes(rng: random.Random, values: list[Value], tasks: list[Task]) -> tuple[list[Value], list[Task]]:
    """The same, with some of the values inside larger ones, which later tasks read at once."""
    values, tasks, count = list(values), list(tasks), len(values)
    for _ in range(3):
        free = [v for v in range(count) if not values[v].storage and not values[v].inside]
        pieces = sorted(rng.sample(free, rng.randint(1, min(3, len(free)))))
        whole, byte = len(values), 0
        values.append(Value(sum(values[piece].nbytes for piece in pieces)))
        for piece in pieces:
            values[piece] = Value(values[piece].nbytes, None, (whole, byte))
            byte += values[piece].nbytes
        last = max(number for number, task in enumerate(tasks) if set(pieces) & set(task.writes))
        for reader in rng.sample(range(last + 1, len(tasks)), min(2, len(tasks) - last - 1)):
            task = tasks[reader]
            tasks[reader] = Task((*task.reads, whole, *pieces), task.writes, task.in_place)
    return values, tasks


def _run(values: list[Value], tasks: list[Task], found: Arrangement, sequence: list[int]) -> None:
    """Write every value's name over its bytes and find it there whenever it is read."""
    owner: dict[int, int] = {}
    outside: dict[str, int] = {value.storage: v for v, value in enumerate(values) if value.storage}
    wholes = {value.inside[0] for value in values if value.inside}
    for position in sequence:
        task = tasks[found.order[position]]
        for v in task.reads:
            offset = found.offsets[v]
            if v in wholes:
                continue  # its pieces are looked at
            if offset is None:
                assert outside[values[v].storage or ""] == v
            else:
                assert all(owner[offset + i] == v for i in range(values[v].nbytes)), f"value {v} was overwritten"
        for v in task.writes:
            offset = found.offsets[v]
            for i in range(values[v].nbytes) if offset is not None else ():
                assert offset + i < found.arena_bytes
                owner[offset + i] = v


def _shuffled(found: Arrangement, rng: random.Random) -> list[int]:
    """An order in which threads could complete the launches: any that keeps to `depends`."""
    done: set[int] = set()
    order: list[int] = []
    while len(order) < len(found.order):
        ready = [p for p in range(len(found.order)) if p not in done and set(found.depends[p]) <= done]
        order.append(rng.choice(ready))
        done.add(order[-1])
    return order


@pytest.mark.parametrize("seed", range(60))
def test_every_read_sees_what_was_written_in_any_order_that_depends_allows(seed: int) -> None:
    rng = random.Random(seed)
    values, tasks = _random_tasks(rng, 25)
    if seed % 2:
        values, tasks = _with_wholes(rng, values, tasks)
    found = arrange(values, tasks)
    assert found.arena_bytes >= found.lower_bound
    _run(values, tasks, found, list(range(len(tasks))))
    for _ in range(5):
        _run(values, tasks, found, _shuffled(found, rng))


def test_a_dropped_dependency_is_noticed_by_this_test() -> None:
    values = [Value(64), Value(64), Value(64)]
    tasks = [Task((), (0,)), Task((0,), (1,)), Task((1,), (2,))]
    found = arrange(values, tasks)
    with pytest.raises((AssertionError, KeyError)):
        _run(values, tasks, found, [1, 0, 2])


def test_an_update_in_place_follows_the_other_readers() -> None:
    tasks = [Task((0,), (1,), ((0, 1),)), Task((0,), (2,))]
    ordered, direct = plan_updates(tasks, [(0, 1)])
    assert direct == {1}
    assert ordered[0].after == (1,)


def test_a_swap_writes_one_side_beside_the_other() -> None:
    tasks = [Task((1,), (2,)), Task((0,), (3,))]
    _, direct = plan_updates(tasks, [(0, 2), (1, 3)])
    assert len(direct) == 1


def test_an_update_whose_old_value_is_read_later_on_is_not_in_place() -> None:
    tasks = [Task((0,), (1,), ((0, 1),)), Task((0, 1), (2,))]
    _, direct = plan_updates(tasks, [(0, 1)])
    assert direct == set()


def test_of_two_that_may_be_written_over_a_value_one_is() -> None:
    """Both are read later on: they are not each other's memory."""
    tasks = [Task((), (0,)), Task((0,), (1, 2), ((0, 1), (0, 2))), Task((1, 2), (3,))]
    found = arrange([Value(64), Value(64), Value(64), Value(8)], tasks)
    assert len({*found.offsets[1:3]}) == 2
    assert found.offsets[0] in found.offsets[1:3]
