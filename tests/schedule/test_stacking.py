"""Concatenations with a buffer of their own: pieces written in place, the rest put together by one launch."""

from __future__ import annotations

import numpy as np
import pytest

import graphc as gx
from graphc.api import build_graph
from graphc.pipeline import compile_plan, optimise
from graphc.runtime.plan import Launch, Plan
from graphc.schedule.stacking import Stack, plan_stacks


def plan_of(inputs, outputs, updates=None) -> Plan:
    return compile_plan(build_graph(inputs, outputs, updates)[0]).plan


def compare(inputs, outputs, seed=0) -> gx.Program:
    """The program, after a call was compared with the reference."""
    rng = np.random.default_rng(seed)
    arrays = [rng.uniform(0.5, 1.5, x.shape).astype(np.float32) for x in inputs]
    program = gx.compile(inputs, outputs)
    wanted = gx.evaluate(outputs, dict(zip(inputs, arrays, strict=True)))
    for found, value in zip(program(*arrays), wanted, strict=True):
        np.testing.assert_allclose(found, value, rtol=1e-5, atol=1e-5)
    return program


def launches_of(program: gx.Program) -> tuple[Launch, ...]:
    assert program.plan is not None
    return program.plan.launches


def stack_of(*parts):
    """The plan of the stack that a product reads."""
    whole = gx.concatenate(list(parts), 0)
    graph = optimise(build_graph([*INPUTS, W], whole @ W)[0])
    return next(iter(plan_stacks(graph).values()), None)


INPUTS = [gx.input(f"x{i}", (16, 16)) for i in range(6)]
W = gx.input("w", (16, 3))


def test_parts_that_launches_compute_are_pieces_and_others_are_put_together() -> None:
    first, second, third = gx.sin(INPUTS[0]), INPUTS[1] @ INPUTS[2], INPUTS[3]
    found = stack_of(first, second, third)
    assert isinstance(found, Stack)
    assert found.pieces == {first: 0, second: 256}
    assert found.parts == (2,)


def test_a_part_that_appears_twice_is_a_piece_once() -> None:
    found = stack_of(gx.sin(INPUTS[0]), gx.sin(INPUTS[0]))
    assert found is not None
    assert (len(found.pieces), found.parts) == (1, (1,))


def test_pieces_begin_at_cache_lines() -> None:
    whole = gx.concatenate([gx.sin(x)[:3, :3] + 1.0 for x in INPUTS[:3]], 0)
    graph = optimise(build_graph([*INPUTS, W], whole @ W[:3])[0])
    (found,) = plan_stacks(graph).values()
    assert (list(found.pieces.values()), found.parts) == ([0], (1, 2))


def test_few_parts_that_only_fused_launches_read_have_no_buffer() -> None:
    assert not plan_stacks(optimise(build_graph(INPUTS, gx.concatenate(INPUTS[:4], 1).sum(0))[0]))
    many = gx.concatenate([gx.sin(x) for x in INPUTS] * 2, 1)
    assert plan_stacks(optimise(build_graph(INPUTS, gx.cos(many).sum(0))[0]))


def test_a_stack_is_written_by_the_launches_that_compute_its_parts() -> None:
    parts = [gx.tanh(x @ INPUTS[0]) for x in INPUTS[1:]]
    program = compare([*INPUTS, W], [gx.concatenate(parts, 0) @ W])
    names = [launch.label for launch in launches_of(program)]
    assert names == ["matmul+tanh"] * 5 + ["matmul"]
    assert program.plan is not None
    assert len({launch.writes[-1] for launch in program.plan.launches[:5]}) == 1


def test_columns_are_put_together_by_the_launch_that_computes_them() -> None:
    x = INPUTS[0]
    program = compare([x, INPUTS[1], gx.input("v", (48, 3))], [gx.concatenate([gx.sin(x), INPUTS[1], x * x], 1) @ _v()])
    assert [launch.kernel for launch in launches_of(program)] == ["tile", "gemm_f32"]


def _v() -> gx.Tensor:
    return gx.input("v", (48, 3))


def test_a_stack_of_columns_in_a_stack() -> None:
    rows = [gx.concatenate([gx.sin(x), gx.cos(x)], 1) for x in INPUTS[:4]]
    w = gx.input("w2", (32, 5))
    program = compare([*INPUTS, w], [gx.concatenate(rows, 0) @ w, rows[1] @ w, rows[2].sum(1)])
    assert sum(launch.kernel == "tile" for launch in launches_of(program)) <= 5


def test_a_stack_can_be_an_output_and_its_parts_too() -> None:
    parts = [gx.sin(x) for x in INPUTS]
    compare(INPUTS, [gx.stack(parts), parts[2], gx.concatenate(parts[:3], 0) @ INPUTS[0], parts[4] * 2.0])


def test_a_stack_can_be_the_next_value_of_a_parameter() -> None:
    p = gx.parameter("p", np.zeros((32, 16), np.float32))
    x = gx.input("x", (16, 16))
    step = gx.compile([x], [p.sum()], {p: gx.concatenate([gx.sin(x), gx.cos(x) + p[:16]], 0)})
    array = np.linspace(-1, 1, 256, dtype=np.float32).reshape(16, 16)
    for repeat in range(3):
        step(array)
        wanted = np.concatenate([np.sin(array), np.cos(array) + (np.sin(array) if repeat else 0)], 0)
        np.testing.assert_allclose(p.value, wanted, rtol=1e-5, atol=1e-6)


def test_a_reader_of_a_part_may_compute_a_later_part() -> None:
    """As in a recurrent net: each part of the stack follows from the one before."""
    h, steps = INPUTS[0], []
    for x in INPUTS[1:]:
        h = gx.tanh(h @ x)
        steps.append(h)
    whole = gx.concatenate(steps, 0)
    program = compare(INPUTS, [whole @ INPUTS[0], whole.sum(0)])
    assert len(launches_of(program)) == 7


@pytest.mark.parametrize("seed", range(40))
def test_random_stacks_hold_what_the_reference_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pool = list(INPUTS)
    results = []
    for _ in range(rng.integers(4, 12)):
        a, b = (pool[int(n)] for n in rng.integers(0, len(pool), 2))
        match rng.integers(5):
            case 0:
                pool.append(gx.sin(a) * b)
            case 1:
                pool.append(gx.tanh(a @ b))
            case 2:
                axis = int(rng.integers(2))
                parts = [pool[int(n)] for n in rng.integers(0, len(pool), rng.integers(2, 12))]
                whole = gx.concatenate([part * 0.5 if rng.integers(2) else part for part in parts], axis)
                pool.append(gx.tanh((whole if axis else whole.T) @ (whole.T if axis else whole)))
                results.append(whole if rng.integers(2) else whole.sum(int(rng.integers(2))))
            case 3:
                pool.append(gx.sin(a) + gx.concatenate([b[8:], a[:8]], 0))
            case _:
                pool.append(gx.softmax(a, int(rng.integers(2))))
    compare(INPUTS, [*results, *pool[-2:]])
