"""Every public function with arguments of every wrong kind, one at a time: a result, or an error of graphc's that
names the line of this file. Nothing else is raised, nothing hangs, nothing large is allocated."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest

import graphc as gx
from graphc import nn, optim
from graphc.errors import GraphcError, InputError, InternalError
from graphc.ops.record import FUNCTIONS, Arg, Function
from tests.ops.helpers import input_tensor, random_array

ONES = np.ones((2, 3), np.float32)
X, P = gx.input("hostile x", (2, 3)), gx.parameter("p", ONES)
LOSS = gx.sum(X * P)


class Refuses:
    """What other libraries' arrays may do."""

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("no array of this")

    def __bool__(self) -> bool:
        raise RuntimeError("no truth value")


def nested(depth: int) -> Any:
    value: Any = 1.0
    for _ in range(depth):
        value = [value]
    return value


ENDLESS: list[Any] = []
ENDLESS.append(ENDLESS)

HOSTILE: dict[str, Any] = {
    "None": None, "text": "abc", "nan": float("nan"), "inf": float("inf"),
    "2**100": 2**100, "-2**100": -(2**100), "2**63": 2**63, "-1": -1, "0": 0, "1.5": 1.5, "True": True, "1j": 1j,
    "[]": [], "()": (), "{}": {}, "dict": {"a": 1}, "list": [1, 2], "object": object(),
    "refuses": Refuses(), "deep": nested(100), "very deep": nested(5000), "endless": ENDLESS, "ragged": [[1, 2], [3]],
    "float64": np.float64(1.5), "int64": np.int64(-7), "date": np.datetime64("2020-01-01"),
    "objects": np.array([None, 1], object), "complex": np.ones(2, complex), "empty": np.zeros((0, 3), np.float32),
    "odd": np.zeros((5, 7)), "int16": np.ones(3, np.int16), "tensor": X, "bools": gx.input("hostile b", (2, 3), "bool"),
    "function": len, "huge": (10**12,), "beyond": (2**40, 2**40), "ellipsis": ..., "slice": slice(None, 0.5),
}  # fmt: skip


def faults(call: Callable[..., Any], args: tuple[Any, ...], keywords: Mapping[str, Any]) -> Iterator[str]:
    """What comes of each argument, given or left out, replaced by each hostile value."""
    for position in range(len(args)):
        for name, value in HOSTILE.items():
            changed = (*args[:position], value, *args[position + 1 :])
            yield from fault(f"argument {position} = {name}", call, changed, keywords)
    parameters = list(inspect.signature(call).parameters.values())[len(args) :]
    for keyword in {*keywords, *(p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY))}:
        for name, value in HOSTILE.items():
            yield from fault(f"{keyword} = {name}", call, args, {**keywords, keyword: value})


def fault(what: str, call: Callable[..., Any], args: tuple[Any, ...], keywords: Mapping[str, Any]) -> Iterator[str]:
    try:
        call(*args, **keywords)
    except InternalError as error:
        yield f"{what}: {error}"
    except GraphcError as error:
        if __file__ not in str(error) and not isinstance(error, InputError):  # of a call, whose line Python shows
            yield f"{what}: {type(error).__name__} without the line: {error}"
    except OSError:
        pass  # of files: documented
    except Exception as error:  # noqa: BLE001 - that is the question
        yield f"{what}: {type(error).__name__} {error}"


def checked(call: Callable[..., Any], args: tuple[Any, ...] = (), **keywords: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = list(faults(call, args, keywords))
    assert not found, f"{len(found)} fault(s)\n  " + "\n  ".join(found[:8])


def sample_of(function: Function) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A good call: the sample with the most arguments."""
    rng = np.random.default_rng(0)
    count = iter(range(100))

    def place(arg: Any) -> Any:
        if isinstance(arg, (list, tuple)) and any(isinstance(part, (Arg, list)) for part in arg):
            return type(arg)(place(part) for part in arg)
        if isinstance(arg, Arg):
            return input_tensor(f"{function.name} {next(count)}", random_array(arg, function.dtypes[0], rng))
        return arg

    sample = max(function.samples, key=lambda s: len(s.args) + len(s.kwargs))
    return tuple(map(place, sample.args)), {name: place(value) for name, value in sample.keywords.items()}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name: str) -> None:
    args, keywords = sample_of(FUNCTIONS[name])
    checked(FUNCTIONS[name].build, args, **keywords)


SIGNAL, IMAGE = gx.input("hostile s", (2, 3, 8)), gx.input("hostile i", (2, 3, 8, 8))
ROWS, LABELS = gx.input("hostile r", (4, 8)), gx.input("hostile l", (4,), "int64")
OTHERS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "input": (gx.input, ("n", (2,), "float32")),
    "parameter": (gx.parameter, ("n", [1.0])),
    "state": (gx.state, ("n", [1.0])),
    "constant": (gx.constant, ([1.0],)),
    "compile": (lambda *a, **k: gx.compile(*a, **{"backend": "numpy", **k}), ([X], [X * 2], {P: P + 1})),
    "compile's options": (
        lambda threads=1, seed=0, memory_budget=None, check_indices=True: gx.compile(
            [X], X + 1, backend="cython", threads=threads, seed=seed, memory_budget=memory_budget,
            check_indices=check_indices,
        ), (),
    ),
    "backend": (lambda backend: gx.compile([X], X, backend=backend), ("numpy",)),
    "grad": (gx.grad, (LOSS, [P])),
    "value_and_grad": (gx.value_and_grad, (LOSS, [P])),
    "vjp": (gx.vjp, ([X * P], [P], [ONES])),
    "jvp": (gx.jvp, ([X * P], [P], [ONES])),
    "hvp": (gx.hvp, (LOSS, [P], [ONES])),
    "jacobian": (gx.jacobian, (X * 2, X)),
    "hessian": (gx.hessian, (LOSS, P)),
    "check_gradients": (gx.check_gradients, (LOSS, [P], {X: ONES})),
    "evaluate": (gx.evaluate, ([X * 2], {X: ONES})),
    "memory_frontier": (gx.memory_frontier, ([X], [X * 2])),
    "load": (gx.load, ("nothing/there",)),
    "scan": (
        lambda init, xs, length=None, reverse=False, unroll=1: gx.scan(
            lambda c, x: (c, x), init, xs, length, reverse=reverse, unroll=unroll
        ),
        (X, X),
    ),
    "scan's length": (lambda length: gx.scan(lambda c, _: (c, None), X, length=length), (3,)),
    "map": (lambda xs: gx.map(gx.tanh, xs), (X,)),
    "fori_loop": (lambda lower, upper, init: gx.fori_loop(lower, upper, lambda i, v: v, init), (0, 3, X)),
    "a scanned function": (lambda y: gx.scan(lambda c, x: y, X, X), ((X, X),)),
    "checkpoint": (lambda function: gx.checkpoint(function)(X), (gx.tanh,)),
    "a checkpointed function": (gx.checkpoint(gx.tanh), (X,)),
    "a parameter's value": (lambda value: setattr(P, "value", value), (ONES,)),
    "nn.mse_loss": (nn.mse_loss, (X, X + 1)),
    "nn.l1_loss": (nn.l1_loss, (X, X + 1)),
    "nn.huber_loss": (nn.huber_loss, (X, X + 1)),
    "nn.smooth_l1_loss": (nn.smooth_l1_loss, (X, X + 1)),
    "nn.bce_loss": (nn.bce_loss, (gx.sigmoid(X), X)),
    "nn.bce_with_logits_loss": (nn.bce_with_logits_loss, (X, X)),
    "nn.cross_entropy": (nn.cross_entropy, (ROWS, LABELS)),
    "nn.nll_loss": (nn.nll_loss, (ROWS, LABELS)),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_the_rest_of_the_face(name: str) -> None:
    call, args = OTHERS[name]
    checked(call, args)


def test_programs() -> None:
    program = gx.compile([X], {"y": X * 2}, {P: P + 1}, backend="cython", threads=1)
    checked(program, (ONES,))
    checked(lambda out: program(ONES, out=out), ({"y": ONES.copy()},))
    checked(lambda runs: program.profile(ONES, runs=runs), (1,))
    checked(program.load_state_dict, ({},))
    checked(lambda value: setattr(program, "seed", value), (1,))
    checked(lambda value: setattr(program, "step", value), (1,))


LAYERS: dict[str, tuple[tuple[Any, ...], Any]] = {
    "AvgPool2d": ((2,), IMAGE), "BatchNorm1d": ((8,), ROWS), "BatchNorm2d": ((3,), IMAGE),
    "Conv1d": ((3, 4, 3), SIGNAL),
    "Conv2d": ((3, 4, 3), IMAGE), "ConvTranspose2d": ((3, 4, 3), IMAGE), "Dropout": ((0.5,), ROWS),
    "Embedding": ((8, 3), LABELS), "Flatten": ((), IMAGE), "GroupNorm": ((3, 3), IMAGE), "LayerNorm": ((8,), ROWS),
    "Linear": ((8, 3), ROWS), "MaxPool2d": ((2,), IMAGE), "ModuleList": (([],), ROWS), "RMSNorm": ((8,), ROWS),
    "Residual": ((nn.ReLU(),), ROWS), "Sequential": ((nn.ReLU(),), ROWS),
}  # fmt: skip
CLASSES = [n for n in nn.__all__ if inspect.isclass(getattr(nn, n)) and n != "Module"]


@pytest.mark.parametrize("name", CLASSES)
def test_layers(name: str) -> None:
    make = getattr(nn, name)
    args, x = LAYERS.get(name, ((), ROWS))
    checked(make, args)
    if name != "ModuleList":
        checked(lambda x: make(*args)(x), (x,))


@pytest.mark.parametrize("name", [name for name in nn.init.__all__ if inspect.isfunction(getattr(nn.init, name))])
def test_initial_values(name: str) -> None:
    args: dict[str, tuple[Any, ...]] = {
        "seed": (0,),
        "calculate_gain": ("relu",),
        "generator": (0,),
        "constant": ((3, 4), 1),
    }
    checked(getattr(nn.init, name), args.get(name, ((3, 4),)))


@pytest.mark.parametrize("name", [n for n in optim.__all__ if inspect.isclass(getattr(optim, n)) and n != "Optimizer"])
def test_optimizers(name: str) -> None:
    make = getattr(optim, name)
    checked(make, lr=0.1)
    checked(make(lr=0.1).minimize, (LOSS, [P]))
    checked(make(lr=0.1).apply, ({P: gx.grad(LOSS, P)},))
    trained = make(lr=0.1)
    trained.minimize(LOSS, [P])
    checked(trained.load_state_dict, ({},))


METHODS = [n for n in dir(gx.Tensor) if not n.startswith("_") and callable(getattr(gx.Tensor, n))]


@pytest.mark.parametrize("name", METHODS)
def test_methods_of_tensors(name: str) -> None:
    method = getattr(X, name)
    checked(method)
    if inspect.signature(method).parameters:
        checked(lambda value: method(value), (0,))


OPERATORS: dict[str, Callable[[Any], Any]] = {
    "add": lambda v: X + v, "radd": lambda v: v + X, "subtract": lambda v: X - v, "multiply": lambda v: v * X,
    "divide": lambda v: X / v, "floor": lambda v: X // v, "modulo": lambda v: X % v, "power": lambda v: X**v,
    "matmul": lambda v: X @ v, "equal": lambda v: v == X, "less": lambda v: v > X, "getitem": lambda v: X[v],
    "and": lambda v: gx.input("hostile n", (2,), "int64") & v,
    "shift": lambda v: gx.input("hostile n", (2,), "int64") << v,
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATORS)
def test_operators(name: str) -> None:
    checked(OPERATORS[name], (1.0,))


def test_the_walk_notices() -> None:
    def careless(x: Any) -> Any:
        return {1: 2}[x]

    assert "KeyError" in " ".join(faults(careless, (1,), {}))


def test_everything_public_is_walked() -> None:
    """What is added to the face is added here."""
    walked = {*FUNCTIONS, *OTHERS, "compile", "checkpoint"}
    functions = {name for name in gx.__all__ if inspect.isfunction(getattr(gx, name))}
    assert functions <= walked
    assert {f"nn.{name}" for name in nn.__all__ if inspect.isfunction(getattr(nn, name))} - {"nn.seed"} <= walked


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gx.arange(0, float("inf")), "finite numbers"),
        (lambda: gx.compile([X], X, seed=-1), "a seed is a whole number from 0"),
        (lambda: gx.compile([X], X, seed=1.5), "a seed is a whole number from 0"),
        (lambda: gx.compile([X], X, seed=2**64), "a seed is a whole number from 0"),
        (lambda: gx.zeros((2**40, 2**40)), "2\\*\\*62 bytes"),
        (lambda: gx.tile(gx.zeros(10**10), 10**10), "2\\*\\*62 bytes"),
        (lambda: gx.zeros((1,) * 65), "at most 64 axes"),
        (lambda: gx.input("x", (3,), None), "None is not a dtype"),
        (lambda: gx.sum(X, dim=0, axis=1), "dim is another name of axis"),
    ],
)
def test_reported(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(GraphcError, match=message) as caught:
        call()
    assert __file__ in str(caught.value)
