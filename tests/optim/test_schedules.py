"""Schedules and clipping: against their formulas, and against PyTorch where it is installed."""

from __future__ import annotations

import math

import numpy as np
import pytest

import graphc as gx
from graphc import optim
from graphc.ops.reference import evaluate
from graphc.optim import schedules

from .support import problem, run_updates

FORMULAS = [
    (schedules.constant(0.3), lambda t: 0.3),
    (schedules.step(0.3, every=4, gamma=0.5), lambda t: 0.3 * 0.5 ** (t // 4)),
    (schedules.exponential(0.3, gamma=0.9), lambda t: 0.3 * 0.9**t),
    (schedules.linear(0.1, 0.5, steps=8), lambda t: 0.1 + 0.4 * min(t, 8) / 8),
    (schedules.cosine(0.3, steps=10, final=0.1), lambda t: 0.1 + 0.1 * (1 + math.cos(math.pi * min(t, 10) / 10))),
    (schedules.warmup(0.3, steps=5), lambda t: 0.3 * min(t, 5) / 5),
    (
        schedules.warmup(schedules.exponential(0.3, 0.9), 5, start=0.2),
        lambda t: 0.3 * 0.9**t * (0.2 + 0.8 * min(t, 5) / 5),
    ),
    (
        schedules.compose([schedules.constant(0.1), schedules.exponential(0.3, 0.5), schedules.constant(0.2)], [3, 7]),
        lambda t: 0.1 if t < 3 else 0.3 * 0.5 ** (t - 3) if t < 7 else 0.2,
    ),
]


@pytest.mark.parametrize(("schedule", "formula"), FORMULAS, ids=[repr(schedule) for schedule, _ in FORMULAS])
def test_formula(schedule, formula):
    steps = gx.input("steps", (), "float64")
    rate = schedule(steps)
    assert (rate.shape, rate.dtype.name) == ((), "float64")
    values = [float(evaluate([rate], {steps: np.float64(t)})[0]) for t in range(15)]
    np.testing.assert_allclose(values, [formula(t) for t in range(15)], rtol=1e-12)


@pytest.mark.parametrize(
    ("schedule", "name", "options"),
    [
        (schedules.step(0.3, every=4, gamma=0.5), "StepLR", {"step_size": 4, "gamma": 0.5}),
        (schedules.exponential(0.3, gamma=0.9), "ExponentialLR", {"gamma": 0.9}),
        (schedules.cosine(0.3, steps=12, final=0.1), "CosineAnnealingLR", {"T_max": 12, "eta_min": 0.1}),
        (schedules.warmup(0.3, steps=5, start=0.25), "LinearLR", {"start_factor": 0.25, "total_iters": 5}),
    ],
)
def test_agrees_with_pytorch(schedule, name, options):
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    theirs, expected = getattr(torch.optim.lr_scheduler, name)(optimizer, **options), []
    for _ in range(12):
        expected.append(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()
    steps = gx.input("steps", (), "float64")
    values = [float(evaluate([schedule(steps)], {steps: np.float64(t)})[0]) for t in range(12)]
    np.testing.assert_allclose(values, expected, rtol=1e-10)


def test_the_first_step_uses_the_rate_at_zero_and_the_counter_moves_on():
    w, g = gx.parameter("w", np.float32(0)), gx.input("g", ())
    updates = optim.SGD(lr=schedules.exponential(1.0, 0.5)).apply({w: g})
    seen = []
    for _ in range(4):
        run_updates(updates, {g: np.float32(1)})
        seen.append(float(w.value))
    assert seen == [-1.0, -1.5, -1.75, -1.875]


def test_a_learning_rate_can_be_a_state_that_is_set_between_steps():
    w, g, lr = gx.parameter("w", np.float32(0)), gx.input("g", ()), gx.state("lr", np.float32(1))
    updates = optim.SGD(lr=lr).apply({w: g})
    run_updates(updates, {g: np.float32(1)})
    lr.value = np.float32(0.25)
    run_updates(updates, {g: np.float32(1)})
    assert w.value == -1.25


@pytest.mark.parametrize("size", [0.01, 1.0, 100.0])
def test_clip_grad_norm_bounds_the_global_norm(size):
    arrays = [value * np.float32(size) for value in problem()[0]]
    inputs = {i: gx.input(f"g{i}", value.shape) for i, value in enumerate(arrays)}
    clipped = evaluate(optim.clip_grad_norm(inputs, 2.0).values(), {inputs[i]: v for i, v in enumerate(arrays)})
    norm = math.sqrt(sum(float((v.astype(np.float64) ** 2).sum()) for v in arrays))
    for ours, value in zip(clipped, arrays, strict=True):
        np.testing.assert_allclose(ours, value * min(1.0, 2.0 / (norm + 1e-6)), rtol=2e-6)


def test_clip_grad_value():
    g = gx.input("g", (3,))
    (clipped,) = evaluate(optim.clip_grad_value({"g": g}, 0.5).values(), {g: np.float32([-2, 0.25, 7])})
    np.testing.assert_array_equal(clipped, np.float32([-0.5, 0.25, 0.5]))


def test_clipping_is_part_of_the_step():
    w, g = gx.parameter("w", np.float32([0, 0])), gx.input("g", (2,))
    run_updates(optim.SGD(lr=1.0, clip_norm=1.0).apply({w: g}), {g: np.float32([30, 40])})
    np.testing.assert_allclose(w.value, [-0.6, -0.8], rtol=1e-6)


def test_bad_arguments_are_errors():
    for build in (
        lambda: schedules.step(0.1, every=0),
        lambda: schedules.cosine(0.1, steps=-1),
        lambda: schedules.compose([schedules.constant(1.0)], [3]),
        lambda: optim.global_norm([]),
    ):
        with pytest.raises(gx.errors.GraphError):
            build()
    with pytest.raises(gx.errors.ShapeError, match="learning rate"):
        optim.SGD(lr=gx.state("lr", np.ones(2))).apply({gx.parameter("w", 1.0): gx.input("g", ())})
