"""The report of a plan's memory: figures worked out by hand, and the laws that hold for every plan."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import graphc as gx
from graphc import nn, optim
from graphc.api import build_graph
from graphc.pipeline import compile_plan
from graphc.plan.liveness import Span, arena_spans, bytes_alive
from graphc.plan.memory_report import MemoryReport, Resident, memory_report
from graphc.plan.plan import Plan
from tests.runtime.support import add_launch, buffer, plan_of


def two_arms() -> Plan:
    """t0 = w + w; t1 = t0 + m in the place of t0; t2 = t0' + x; y = t1 + t2: of 80, 80, 160 and 160 bytes.

    launch   0    1    2    3
    t0       0..80
    t1            0..80        in the place of t0
    t2            |    128..288
    """
    buffers = [
        buffer("x", "input", 20),
        buffer("w", "parameter", 20),
        buffer("m", "parameter", 20),
        buffer("c", "constant", 20),
        buffer("y", "output", 20),
        replace(buffer("t0", "arena", 20, 0, 0, 1), location="model.py:1"),
        replace(buffer("t1", "arena", 20, 0, 1, 3), location="model.py:2"),
        replace(buffer("t2", "arena", 40, 128, 2, 3), location="model.py:3"),
        buffer("nothing", "arena", 0, 0, 2, 2),
    ]
    launches = [
        add_launch(1, 1, 5, 20),
        add_launch(5, 2, 6, 20, depends=[0], in_place=((5, 6),)),
        replace(add_launch(0, 3, 7, 20, depends=[0]), location="model.py:3"),
        add_launch(6, 7, 4, 20, depends=[1, 2]),
    ]
    plan = plan_of(buffers, launches, arena=320)
    return replace(plan, states=(2,), scratch_bytes=100, lower_bound=320)


def test_bytes_by_purpose() -> None:
    memory = memory_report(two_arms(), threads=3, table=7)
    assert (memory.parameter, memory.state, memory.constant) == (80, 80, 80)
    assert (memory.input, memory.output, memory.arena) == (80, 80, 320)
    assert (memory.workspace, memory.table) == (3 * 128, 7)
    assert memory.peak_bytes == 5 * 80 + 320 + 384 + 7
    assert (memory.lower_bound, memory.gap) == (320, 0)
    assert memory_report(replace(two_arms(), arena_bytes=400)).gap == 80


def test_an_output_that_is_also_a_parameter_is_counted_where_it_is_handed_out() -> None:
    plan = two_arms()
    assert memory_report(replace(plan, outputs=(4, 1))).output == 160


def test_the_timeline_counts_shared_memory_once() -> None:
    """80 bytes take 128 of the arena, 160 take 192."""
    assert memory_report(two_arms()).timeline == (128, 128, 320, 320)


def test_memory_that_is_not_shared_counts_twice() -> None:
    plan = two_arms()
    apart = [replace(b, offset=64 * 5) if b.name == "t1" else b for b in plan.buffers]
    assert memory_report(replace(plan, buffers=tuple(apart), arena_bytes=448)).timeline == (128, 256, 320, 320)


def test_what_stands_at_the_peak() -> None:
    memory = memory_report(two_arms())
    assert memory.peak_launch == 2
    assert memory.peak_label == "add 0 3 7 (model.py:3)"
    assert memory.at_peak == (
        Resident("t2", "float32", (40,), 160, 2, 3, "model.py:3"),
        Resident("t1", "float32", (20,), 80, 1, 3, "model.py:2"),
    )


def test_of_two_that_share_memory_the_later_one_stands() -> None:
    plan = two_arms()
    small = [replace(b, nbytes=4, shape=(1,)) if b.name == "t2" else b for b in plan.buffers]
    memory = memory_report(replace(plan, buffers=tuple(small)))
    assert memory.timeline == (128, 128, 192, 192)
    at_one = memory_report(replace(plan, buffers=tuple(b for b in plan.buffers if b.name != "t2")))
    assert at_one.peak_launch == 0
    assert [tensor.name for tensor in at_one.at_peak] == ["t0"]
    assert [tensor.name for tensor in memory.at_peak] == ["t1", "t2"]


def test_spans() -> None:
    assert arena_spans(two_arms()) == [Span(0, 3, 0, 80, (5, 6)), Span(2, 3, 128, 160, (7,))]


def test_the_same_place_at_another_time_is_another_span() -> None:
    spans = [Span(0, 1, 0, 64, (0,)), Span(2, 2, 0, 65, (1,))]
    buffers = [buffer("a", "arena", 16, 0, 0, 1), replace(buffer("b", "arena", 17, 0, 2, 2), nbytes=65)]
    assert arena_spans(plan_of(buffers, [add_launch(0, 0, 1, 16)] * 3, arena=128)) == spans
    assert bytes_alive(spans, 3, 64) == (64, 64, 128)
    assert bytes_alive(spans, 3, 256) == (256, 256, 256)


def test_text() -> None:
    lines = str(memory_report(two_arms(), threads=1)).splitlines()
    assert lines[1] == "state              80 B"
    assert lines[5] == "arena             320 B  lower bound 320 B"
    assert lines[7] == "peak              848 B  848 bytes"
    assert lines[8] == "the arena is fullest in launch 2 of 4, add 0 3 7 (model.py:3):"
    assert lines[9:] == [
        "       160 B  t2  float32[40]  launches 2 to 3  model.py:3",
        "        80 B  t1  float32[20]  launches 1 to 3  model.py:2",
    ]
    assert "\ntables              7 B\n" in str(memory_report(two_arms(), table=7))


def test_the_text_shows_the_ten_largest() -> None:
    buffers = [buffer(f"t{i:02}", "arena", 16 + i, 128 * i, 0, 0) for i in range(13)]
    text = str(memory_report(plan_of(buffers, [add_launch(0, 1, 2, 16)], arena=13 * 128)))
    assert [line.split()[2] for line in text.splitlines()[9:-1]] == [f"t{i:02}" for i in range(12, 2, -1)]
    assert text.splitlines()[-1] == f"{4 * (16 + 17 + 18):>10} B  in 3 more"


def test_an_empty_plan_has_nothing_to_tell() -> None:
    memory = memory_report(plan_of([buffer("x", "input", 4)], []))
    assert (memory.timeline, memory.at_peak, memory.peak_label) == ((), (), "")
    assert "fullest" not in str(memory)


# Compiled plans --------------------------------------------------------------------------------------------------
def network() -> Any:
    x, y = gx.input("x", (16, 3, 8, 8)), gx.input("y", (16,), "int32")
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(128, 10),
    )  # fmt: skip
    loss = nn.cross_entropy(model(x), y)
    return [x, y], {"loss": loss}, optim.SGD(lr=0.1, momentum=0.9).minimize(loss, model.parameters()), model


def laws(plan: Plan) -> MemoryReport:
    """The report of a plan of the compiler, after checks that hold for all of them."""
    memory = memory_report(plan)
    assert max(memory.timeline) == memory.timeline[memory.peak_launch] == memory.lower_bound
    assert sum(-(-tensor.nbytes // 64) * 64 for tensor in memory.at_peak) == memory.lower_bound
    sizes = [tensor.nbytes for tensor in memory.at_peak]
    assert sizes == sorted(sizes, reverse=True)
    assert all(tensor.first <= memory.peak_launch <= tensor.last for tensor in memory.at_peak)
    return memory


def test_weights_are_told_from_state() -> None:
    inputs, outputs, updates, model = network()
    memory = laws(compile_plan(build_graph(inputs, outputs, updates)[0]).plan)
    weights = sum(part.value.nbytes for part in model.parameters())
    statistics = sum(part.value.nbytes for part in model.named_buffers().values())
    numbers = 2 * 8  # the learning rate and the momentum, which are data
    assert (memory.parameter, memory.state) == (weights, weights + statistics + numbers)
    assert any("test_memory_report.py" in tensor.location for tensor in memory.at_peak)


def test_laws_hold_for_chains_in_place() -> None:
    x = gx.input("x", (1000,))
    y = x
    for _ in range(30):
        y = gx.cumsum(gx.sin(y)) * 0.5
    memory = laws(compile_plan(build_graph([x], [y, y.sum()])[0]).plan)
    assert memory.lower_bound <= 3 * 4032


def test_the_laws_notice_a_lifetime_that_is_too_long() -> None:
    inputs, outputs, updates, _ = network()
    plan = compile_plan(build_graph(inputs, outputs, updates)[0]).plan
    last = len(plan.launches) - 1
    stretched = [replace(b, last=last) if b.space == "arena" else b for b in plan.buffers]
    with pytest.raises(AssertionError):
        laws(replace(plan, buffers=tuple(stretched)))


def test_an_interpreted_program_tells_what_it_must_hold() -> None:
    x, w = gx.input("x", (4,)), gx.parameter("w", np.ones(4, np.float32))
    memory = gx.compile([x], [x * w], backend="numpy").memory
    assert (memory.parameter, memory.input, memory.output, memory.peak_bytes) == (16, 16, 16, 48)
    assert memory.at_peak == ()
