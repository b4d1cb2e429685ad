"""Concatenations with a buffer of their own: pieces written in place, the rest put together by one launch."""

from __future__ import annotations

import numpy as np
import pytest

import graphc as gx
from graphc.api import build_graph
from graphc.fusion.stacking import Stack, plan_stacks
from graphc.pipeline import compile_plan, optimise
from graphc.plan.plan import Launch, Plan


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


def offsets(stack: Stack | None) -> dict[gx.Tensor, int]:
    """Where the pieces of a stack begin."""
    assert stack is not None
    return {piece: place.offset for piece, place in stack.pieces.items()}


def test_parts_that_launches_compute_are_pieces_and_others_are_put_together() -> None:
    first, second, third = gx.softmax(INPUTS[0], 1), INPUTS[1] @ INPUTS[2], INPUTS[3]
    found = stack_of(first, gx.sin(INPUTS[4]), second, third)
    assert list(offsets(found).values()) == [0, 512]
    assert found is not None
    assert found.runs == ((1, 3),)


def test_a_part_that_appears_twice_is_a_piece_once() -> None:
    product = INPUTS[1] @ INPUTS[2]
    found = stack_of(product, product)
    assert offsets(found) == {product: 0}
    assert found is not None
    assert found.runs == ((1,),)


def test_pieces_begin_anywhere() -> None:
    whole = gx.concatenate([gx.softmax(x[:3, :3], 1) for x in INPUTS[:3]], 0)
    graph = optimise(build_graph([*INPUTS, W], whole @ W[:3])[0])
    (found,) = plan_stacks(graph).values()
    assert list(offsets(found).values()) == [0, 9, 18]


def test_parts_of_several_shapes_are_put_together_by_a_launch_each() -> None:
    found = stack_of(INPUTS[0] @ INPUTS[1], INPUTS[2], INPUTS[3][:5], INPUTS[4])
    assert found is not None
    assert (len(found.pieces), found.runs) == (1, ((1, 3), (2,)))


def test_short_rows_of_columns_are_copied() -> None:
    for width, count in ((15, 0), (16, 2)):
        parts = [gx.softmax(x[:, :width], 1) for x in INPUTS[:2]]
        whole = gx.concatenate(parts, 1)
        found = plan_stacks(optimise(build_graph(INPUTS, whole)[0]))
        assert sum(len(stack.pieces) for stack in found.values()) == count


def test_what_a_checkpoint_drops_is_no_piece() -> None:
    """It is made again by the launch that made it, which must be the only one that writes its buffer."""

    def layer(x: gx.Tensor) -> gx.Tensor:
        return gx.concatenate([gx.tanh(x @ x), gx.softmax(x @ x.T, 1)], 0)[8:24] @ x

    loss = gx.sum(gx.checkpoint(layer)(INPUTS[0]) ** 2)
    graph = optimise(build_graph(INPUTS[:1], [loss, gx.grad(loss, INPUTS[0])])[0])
    (*stacks,) = plan_stacks(graph).values()
    assert not any(stack.pieces for stack in stacks)
    compare(INPUTS[:1], [loss, gx.grad(loss, INPUTS[0])])


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
