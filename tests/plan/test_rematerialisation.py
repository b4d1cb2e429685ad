"""What a plan rematerialises: figures worked out by hand, and those of programs within a budget."""

from __future__ import annotations

from dataclasses import replace

import pytest

import graphc as gx
from graphc import nn, optim
from graphc.plan.cost import seconds
from graphc.plan.memory_report import memory_report
from graphc.plan.plan import Plan
from graphc.plan.rematerialisation import Rematerialised, gathered, rematerialisation_of
from tests.runtime.support import add_launch, buffer, plan_of

SIZE = 1_000_000


def twice() -> Plan:
    """t = x + x, y = t + x, t again, z = t + y; all of 4,000,000 bytes."""
    buffers = [
        buffer("x", "input", SIZE),
        replace(buffer("t", "arena", SIZE, 0, 0, 1), location="model.py:1"),
        buffer("y", "output", SIZE),
        replace(buffer("t", "arena", SIZE, 0, 2, 3), location="model.py:1"),
        buffer("z", "output", SIZE),
    ]
    launches = [
        add_launch(0, 0, 1, SIZE),
        add_launch(1, 0, 2, SIZE, depends=[0]),
        replace(add_launch(0, 0, 3, SIZE, depends=[1]), rematerialises=0),
        add_launch(3, 2, 4, SIZE, depends=[1, 2]),
    ]
    return plan_of(buffers, launches, arena=4 * SIZE)


def test_figures() -> None:
    """Launches read and write two or three tensors of 4 MB, with one operation for each element."""
    two, three = (seconds(SIZE, 4 * SIZE * tensors) for tensors in (2, 3))
    found, share = rematerialisation_of(twice()), two / (two + 2 * three)
    assert (found.launches, found.nbytes) == (1, 4 * SIZE)
    assert found.overhead == pytest.approx(share)
    (tensor,) = found.tensors
    assert tensor == Rematerialised("t", "float32", (SIZE,), 4 * SIZE, tensor.share, "model.py:1")
    assert tensor.share == pytest.approx(share)


def test_a_launch_shares_its_cost_by_bytes() -> None:
    plan = twice()
    small = replace(plan.buffers[3], nbytes=1 * SIZE, shape=(SIZE // 4,), name="s")
    launches = [replace(launch, writes=(3, 5)) if launch.rematerialises >= 0 else launch for launch in plan.launches]
    found = rematerialisation_of(replace(plan, buffers=(*plan.buffers, small), launches=tuple(launches)))
    assert [tensor.name for tensor in found.tensors] == ["t", "s"]
    assert found.tensors[0].share == pytest.approx(4 * found.tensors[1].share)
    assert sum(tensor.share for tensor in found.tensors) == pytest.approx(found.overhead)


def test_nothing_is_computed_again() -> None:
    launches = tuple(replace(launch, rematerialises=-1) for launch in twice().launches)
    found = rematerialisation_of(replace(twice(), launches=launches))
    assert (found.launches, found.overhead, found.tensors, found.nbytes) == (0, 0.0, (), 0)


def test_alike_are_gathered() -> None:
    one, other = (Rematerialised(name, "float32", (2,), 8, 0.125, "model.py:1") for name in ("exp", "sin"))
    assert gathered([other, one, one]) == [replace(one, name="2 × exp", nbytes=16, share=0.25), other]


def test_text() -> None:
    lines = str(memory_report(twice())).splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("computed again"))
    overhead = memory_report(twice()).overhead
    assert lines[at] == f"computed again: 1 launch, 3.81 MiB, about {overhead:.1%} of a step:"
    assert lines[at + 1 :] == [f"    3.81 MiB  t  float32[1000000]  {overhead:.2%}  model.py:1"]


def program(budget: float | None, checkpointed: bool = False) -> gx.Program:
    x, y = gx.input("x", (512, 64)), gx.input("y", (512, 64))
    wrap = gx.checkpoint if checkpointed else lambda part: part
    z: gx.Tensor = x
    parts = [nn.Sequential(*(nn.Sequential(nn.Linear(64, 64, rng=i), nn.GELU()) for _ in range(3))) for i in range(3)]
    for part in parts:
        z = wrap(part)(z)
    loss = nn.mse_loss(z, y)
    updates = optim.SGD(lr=0.1).minimize(loss, [weight for part in parts for weight in part.parameters()])
    return gx.compile([x, y], loss, updates, backend="cython", threads=1, memory_budget=budget)


def test_programs_tell_what_they_compute_again() -> None:
    free, tight = program(None).memory, program(0.8).memory
    assert (free.repeated, free.overhead, free.recomputed) == (0, 0.0, ())
    assert tight.peak_bytes <= 0.8 * free.peak_bytes
    assert 0 < tight.overhead < 1
    assert tight.repeated > 0
    sizes = [tensor.nbytes for tensor in tight.recomputed]
    assert sizes == sorted(sizes, reverse=True)
    assert sum(tensor.share for tensor in tight.recomputed) == pytest.approx(tight.overhead)
    assert all("test_rematerialisation.py" in tensor.location for tensor in tight.recomputed)
    assert f"computed again: {tight.repeated} launch" in str(tight)
    assert "computed again" not in str(free)


def test_what_a_checkpoint_drops_is_told() -> None:
    memory = program(None, checkpointed=True).memory
    assert memory.repeated > 0
    assert memory.overhead > 0
