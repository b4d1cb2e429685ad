"""Learning rate, weight decay and momentum are data: setting them acts at the next step, and compiles nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gx
from graphc import nn, optim, pipeline
from graphc.api import build_graph
from graphc.dsl.naming import named_text
from graphc.errors import GraphError
from graphc.toolchain import build as building
from graphc.toolchain.cache import FOLDER
from tests.runtime.support import BACKENDS, needs_compiler

from .support import problem, run_optimizer
from .test_optimizers import CASES

X = np.arange(8, dtype=np.float32).reshape(4, 2)


def training(optimizer: optim.Optimizer) -> tuple[list[gx.Tensor], gx.Tensor, dict[Any, Any], gx.Parameter]:
    x, w = gx.input("x", (4, 2)), gx.parameter("w", np.float32([[1.0], [2.0]]))
    loss = ((x @ w) ** 2).mean()
    return [x], loss, optimizer.minimize(loss, [w]), w


def never(*_: Any, **__: Any) -> Any:
    raise AssertionError("this was compiled before")


# settings that are data: how an optimiser is made, and what is set later
SETTINGS: dict[str, tuple[Callable[..., optim.Optimizer], dict[str, float], dict[str, float]]] = {
    "SGD": (optim.SGD, {"lr": 0.1, "weight_decay": 0.1, "momentum": 0.9}, {"lr": 0.02, "weight_decay": 0.5}),
    "SGD's momentum": (optim.SGD, {"momentum": 0.9, "lr": 0.1}, {"momentum": 0.5}),
    "RMSprop": (optim.RMSprop, {"lr": 0.1, "momentum": 0.9}, {"lr": 0.2, "momentum": 0.3}),
    "Adam": (optim.Adam, {"lr": 0.1, "weight_decay": 0.1}, {"lr": 0.03, "weight_decay": 0.2}),
    "AdamW": (optim.AdamW, {"lr": 0.1}, {"lr": 0.03, "weight_decay": 0.2}),
}


BOTH = [(row, backend) for row in SETTINGS for backend in BACKENDS if isinstance(backend, str)]


@pytest.mark.parametrize(("row", "backend"), [*BOTH, pytest.param("AdamW", "c", marks=needs_compiler)])
def test_a_setting_acts_at_the_next_step(row: str, backend: str) -> None:
    make, first, later = SETTINGS[row]

    def after(changes: list[dict[str, float]]) -> bytes:
        optimizer = make(**first)
        *parts, w = training(optimizer)
        step = gx.compile(*parts, backend=backend)
        for change in changes:
            for name, value in change.items():
                setattr(optimizer, name, value)
                assert getattr(optimizer, name) == value
            step(X)
        return w.value.tobytes()

    assert after([{}, later, {}]) == after([{}, later, later]) != after([{}, {}, {}])
    assert after([later, {}]) != after([first, {}]) == after([{}, {}])


@needs_compiler
def test_another_learning_rate_compiles_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    texts = []
    for lr, decay in ((0.1, 0.01), (3e-4, 0.2)):
        *parts, w = training(optim.AdamW(lr=lr, weight_decay=decay))
        texts.append(named_text(build_graph(*parts)[0]))
        gx.compile(*parts, backend="c")(X)
        monkeypatch.setattr(pipeline, "compile_plan", never)
        monkeypatch.setattr(building, "_compile", never)
        np.testing.assert_allclose(w.value, np.float32([[1], [2]]) * (1 - lr * decay) - lr, rtol=1e-5)
    assert texts[0] == texts[1]


@pytest.mark.parametrize(("name", "options"), CASES)
def test_bits_are_those_of_a_constant(name: str, options: dict[str, Any]) -> None:
    start, gradients = problem()
    make = getattr(optim, name)
    lr = options.get("lr", make().lr)
    constant = make(**{**options, "lr": optim.schedules.constant(lr)})
    got, expected = run_optimizer(make(**options), start, gradients), run_optimizer(constant, start, gradients)
    for one, other in zip(got, expected, strict=True):
        assert one.tobytes() == other.tobytes()


def test_settings_are_saved_and_restored() -> None:
    first, second = optim.AdamW(lr=0.25, weight_decay=0.5), optim.AdamW(lr=0.1, weight_decay=0.1)
    training(first), training(second)
    assert {"lr", "weight_decay", "step"} < set(first.state_dict())
    second.load_state_dict(first.state_dict())
    assert (second.lr, second.weight_decay) == (0.25, 0.5)
    old = {name: value for name, value in first.state_dict().items() if name not in ("lr", "weight_decay")}
    assert second.load_state_dict(old, strict=False).missing_keys == ("lr", "weight_decay")


@needs_compiler
def test_an_exported_program_holds_the_settings_in_its_state(tmp_path: Path) -> None:
    optimizer = optim.AdamW(lr=0.25)
    *parts, w = training(optimizer)
    gx.compile(*parts, backend="c").export(tmp_path / "step")
    loaded = gx.load(tmp_path / "step")
    state = loaded.state_dict()
    assert list(state) == ["w", "AdamW.lr", "AdamW.weight_decay", "AdamW.step", "w.exp_avg", "w.exp_avg_sq"]
    assert state["AdamW.lr"] == 0.25
    header = (tmp_path / "step.h").read_text()
    assert "AdamW.lr" in header
    loaded.load_state_dict({"AdamW.lr": 0.0}, strict=False)
    loaded(X)
    np.testing.assert_array_equal(loaded.state_dict()["w"], w.value)


def test_what_is_part_of_the_graph_is_not_changed_in_silence() -> None:
    optimizer = optim.Adam(lr=0.1)
    optimizer.betas, optimizer.weight_decay, optimizer.lr = (0.8, 0.9), 0.0, optim.schedules.constant(0.1)
    training(optimizer)
    plain = optim.SGD(lr=0.1)
    training(plain)
    for change, match in (
        (lambda: setattr(optimizer, "betas", (0.9, 0.9)), "betas .*part of the updates"),
        (lambda: setattr(optimizer, "clip_norm", 1.0), "clip_norm .*part of the updates"),
        (lambda: setattr(optimizer, "weight_decay", 0.1), "weight_decay was 0"),
        (lambda: setattr(optimizer, "lr", 0.1), "lr was what it is"),
        (lambda: setattr(plain, "lr", optim.schedules.constant(0.1)), "lr was a number"),
        (lambda: setattr(plain, "momentum", 0.9), "momentum was 0"),
        (lambda: setattr(plain, "lr", -1.0), "at least 0"),
        (lambda: setattr(plain, "lr", float("nan")), "at least 0"),
        (lambda: setattr(plain, "lr", "fast"), "not 'fast'"),
    ):
        with pytest.raises(GraphError, match=match) as caught:
            change()
        assert __file__ in caught.value.location
    assert plain.lr == 0.1


def test_settings_may_change_their_kind_before_updates_are_built() -> None:
    optimizer = optim.SGD(lr=0.1)
    optimizer.momentum, optimizer.lr = 0.5, optim.schedules.exponential(1.0, 0.5)
    updates = training(optimizer)[2]
    assert {p.name for p in updates} == {"w", "w.momentum_buffer", "SGD.step"}
    assert "momentum=0.5" in repr(optimizer)


# Habits of PyTorch ----------------------------------------------------------------------------------------------------
MODEL = nn.Linear(2, 1)
LOSS = MODEL(gx.input("x", (4, 2))).sum()
WAYS: dict[str, Callable[[], optim.Optimizer]] = {
    "a list": lambda: optim.Adam(MODEL.parameters(), lr=0.5),
    "an iterator": lambda: optim.SGD((p for p in MODEL.parameters()), 0.5),
    "values of named_parameters": lambda: optim.AdamW(MODEL.named_parameters().values(), lr=0.5),
    "one parameter": lambda: optim.RMSprop(MODEL.bias, lr=0.5),
}
ERRORS: dict[str, tuple[Callable[[], Any], str]] = {
    "a model": (lambda: optim.Adam(MODEL, lr=0.5), r"pass model\.parameters\(\)"),
    "a Sequential": (lambda: optim.Adam(nn.Sequential(MODEL), lr=0.5), r"pass model\.parameters\(\)"),
    "named parameters": (lambda: optim.Adam(MODEL.named_parameters(), lr=0.5), r"pass model\.parameters\(\)"),
    "groups": (lambda: optim.Adam([{"params": MODEL.parameters(), "lr": 0.1}]), r"Make one for each group"),
    "no parameters": (lambda: optim.Adam().minimize(LOSS), r"minimize needs parameters"),
    "an empty list": (lambda: optim.Adam([]), r"nothing to train"),
    "the learning rate twice": (lambda: optim.Adam(0.1, lr=0.2), r"given twice"),
    "step": (lambda: optim.Adam(MODEL.parameters()).step(), r"each call of it"),
    "zero_grad": (lambda: optim.Adam(MODEL.parameters()).zero_grad(set_to_none=True), r"each call of it"),
    "backward": (lambda: LOSS.backward(), r"gx\.grad\(loss, parameters\)"),
}


@pytest.mark.parametrize("make", WAYS.values(), ids=WAYS)
def test_an_optimiser_may_be_made_for_parameters(make: Callable[[], optim.Optimizer]) -> None:
    optimizer = make()
    assert optimizer.lr == 0.5
    assert {p for p in optimizer.minimize(LOSS) if p.trainable} == set(optimizer.parameters)


@pytest.mark.parametrize(("build", "match"), ERRORS.values(), ids=ERRORS)
def test_what_is_done_otherwise_says_how(build: Callable[[], Any], match: str) -> None:
    with pytest.raises(GraphError, match=match) as caught:
        build()
    assert __file__ in caught.value.location


def test_a_learning_rate_may_come_first() -> None:
    rate = gx.state("rate", 0.5)
    for given in (0.5, np.float32(0.5), rate, optim.schedules.constant(0.5)):
        assert optim.Adam(given).lr is given or optim.Adam(given).lr == 0.5


def test_a_learning_rate_of_0_is_a_setting_like_any_other() -> None:
    optimizer = optim.SGD(lr=0.0)
    *parts, w = training(optimizer)
    step, before = gx.compile(*parts), w.value
    step(X)
    np.testing.assert_array_equal(w.value, before)
    optimizer.lr = 0.1
    step(X)
    assert (w.value != before).all()
