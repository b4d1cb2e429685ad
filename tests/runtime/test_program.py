"""Calling programs: what is accepted, what is refused and how it is said, and that a failed call changes nothing."""

from __future__ import annotations

import threading
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from graphc.backends.numpy.interpreter import Interpreter
from graphc.errors import InputError
from graphc.ir.types import tensor_type
from graphc.ops.guard import Guard, Storage
from graphc.plan.plan import Launch, Ref
from graphc.runtime.argument import Argument
from graphc.runtime.executor import Executor
from graphc.runtime.program import Program
from tests.runtime.support import add_launch, buffer, plan_of

ARGUMENTS = [Argument("x", tensor_type((2, 3)), "model.py:7 in <module>"), Argument("y", tensor_type((2, 3)))]


def echo(*types: tuple[Any, Any], structure: str = "list") -> Program:
    """A program that answers with copies of its inputs x0, x1, ..."""
    arguments = [Argument(f"x{i}", tensor_type(shape, dtype)) for i, (shape, dtype) in enumerate(types)]
    results = [Argument(f"y{i}", argument.type) for i, argument in enumerate(arguments)]
    return Program(Interpreter(lambda inputs, seed, step: inputs), arguments, results, structure, backend="numpy")


@pytest.fixture
def adder(table: object) -> Program:
    """x + y as a dict, counting its calls in a parameter."""
    buffers = [
        buffer("x", "input", 6),
        buffer("y", "input", 6),
        buffer("sum", "output", 6),
        buffer("n", "parameter", 1),
    ]
    count = Launch("count", "count", (), (Ref(3),), -1, (), (3,), (3,), 1, 0, 1, 1, ())
    plan = plan_of(buffers, [add_launch(0, 1, 2, 6), count])
    calls = np.zeros(1, np.float32)
    results = [Argument("sum", tensor_type((2, 3)))]
    engine = Executor(plan, [calls], [], table)
    return Program(
        engine, ARGUMENTS, results, "dict", backend="cython", plan=plan, parameters={"calls": Storage(calls, Guard())}
    )


X = np.arange(6, dtype=np.float32).reshape(2, 3)
Y = X * 10


@pytest.mark.parametrize(
    "call",
    [
        lambda p: p(X, Y),
        lambda p: p(X, y=Y),
        lambda p: p(y=Y, x=X),
        lambda p: p(X.tolist(), Y.tolist()),
        lambda p: p(np.asfortranarray(X), Y),
        lambda p: p(X[::-1, ::-1][::-1, ::-1].copy()[:], Y),
        lambda p: p(np.flip(np.flip(X, 1).copy(), 1), Y),
        lambda p: p(np.repeat(X, 2, 0)[::2], Y),
        lambda p: p(np.broadcast_to(X, (2, 2, 3))[0], Y),
        lambda p: p([[0, 1, 2], [True * 3, 4, 5]], Y),
    ],
)
def test_calls_that_mean_the_same(adder: Program, call: Any) -> None:
    result = call(adder)
    assert list(result) == ["sum"]
    np.testing.assert_array_equal(result["sum"], X + Y)


def test_read_only_and_unaligned_inputs(adder: Program) -> None:
    fixed = X.copy()
    fixed.flags.writeable = False
    shifted = np.frombuffer(b"\0" + X.tobytes(), np.uint8)[1:].view(np.float32).reshape(2, 3)
    for x in (fixed, shifted):
        np.testing.assert_array_equal(adder(x, Y)["sum"], X + Y)


@pytest.mark.parametrize(
    ("args", "named", "message"),
    [
        ((X[:1], Y), {}, r"input 'x' takes float32\[2, 3\], got float32\[1, 3\]: the shape must be \(2, 3\)"),
        ((X.ravel(), Y), {}, r"input 'x' takes float32\[2, 3\], got float32\[6\]"),
        ((X.astype(np.float64), Y), {}, r"input 'x' takes float32\[2, 3\], got float64\[2, 3\]; convert it first"),
        ((X.astype(">f4"), Y), {}, "input 'x' takes float32"),
        ((X, Y.astype(np.int64)), {}, r"input 'y' takes float32\[2, 3\], got int64"),
        ((np.float64(1), Y), {}, r"got float64\[\]"),
        ((1.0, Y), {}, r"input 'x' takes float32\[2, 3\], got float 1.0"),
        ((None, Y), {}, "got NoneType None"),
        (("text", Y), {}, "got str 'text'"),
        (([[1, 2], [3]], Y), {}, "got list"),
        ((X,), {}, "input 'y' is missing; the inputs are x: float32"),
        ((), {}, "input 'x', 'y' is missing"),
        ((X, Y, X), {}, "takes 2 inputs, got 3 by position"),
        ((X,), {"x": X}, "input 'x' is given by position and by name"),
        ((X, Y), {"y": Y}, "'y' is given by position and by name"),
        ((X,), {"z": Y}, "there is no input called 'z'"),
        ((), {"x": X, "z": Y}, "there is no input called 'z'"),
    ],
)
def test_calls_that_are_refused(adder: Program, args: Any, named: Any, message: str) -> None:
    calls = adder._parameters[0]
    adder(X, Y)
    with pytest.raises(InputError, match=message):
        adder(*args, **named)
    assert (adder.step, calls[0]) == (1, 1), "a failed call left a trace"


def test_an_error_names_the_line_that_declared_the_input(adder: Program) -> None:
    with pytest.raises(InputError, match=r"at model.py:7 in <module>"):
        adder(X[0], Y)


@pytest.mark.parametrize(
    ("dtype", "value", "expected"),
    [
        ("float32", 2, 2.0),
        ("float32", True, 1.0),
        ("bfloat16", 1.5, 1.5),
        ("float16", 3, 3.0),
        ("uint8", 200, 200),
        ("int8", True, 1),
        ("bool", False, False),
        ("int32", 2.0, None),
        ("bool", 1, None),
        ("uint8", -1, None),
        ("int8", 300, None),
        ("float32", 1j, None),
    ],
)
def test_python_scalars_take_the_dtype_of_the_input(dtype: str, value: Any, expected: Any) -> None:
    program = echo(((), dtype), structure="array")
    if expected is None:
        with pytest.raises(InputError, match=f"'x0' takes {dtype}"):
            program(value)
    else:
        result = program(value)
        assert result.dtype.name == dtype
        assert result == expected


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1, 1, 1), (2, 1, 2, 1, 2, 3)])
@pytest.mark.parametrize("dtype", [np.float32, np.bool_, np.int64, ml_dtypes.bfloat16])
def test_shapes_and_dtypes(shape: tuple[int, ...], dtype: Any) -> None:
    value = np.ones(shape, dtype)
    (result,) = echo((shape, dtype))(value)
    assert result.dtype == value.dtype
    np.testing.assert_array_equal(result, value)


def test_structures() -> None:
    one, two = np.float32(1).reshape(()), np.arange(2.0)
    assert isinstance(echo(((), "float32"), structure="array")(one), np.ndarray)
    assert isinstance(echo(((), "float32"), ((2,), "float64"))(one, two), list)
    assert list(echo(((), "float32"), ((2,), "float64"), structure="dict")(one, two)) == ["y0", "y1"]


def test_out_is_filled_and_handed_back(adder: Program) -> None:
    out = {"sum": np.zeros((2, 3), np.float32)}
    assert adder(X, Y, out=out) is out
    np.testing.assert_array_equal(out["sum"], X + Y)


def test_out_that_is_refused(adder: Program) -> None:
    fixed = np.zeros((2, 3), np.float32)
    fixed.flags.writeable = False
    x = X.copy()
    bad = [
        (np.zeros((3, 2), np.float32), "takes float32"),
        (np.zeros((2, 3)), "takes float32"),
        (np.zeros((3, 2), np.float32).T, "C-contiguous"),
        (fixed, "read-only"),
        (x, "overlaps an input"),
        ([[0.0] * 3] * 2, "got list"),
    ]
    for out, message in bad:
        with pytest.raises(InputError, match=message):
            adder(x, Y, out={"sum": out})
    for out in ([fixed], {"other": fixed}, {}, fixed):
        with pytest.raises(InputError, match="out= takes a dict with 'sum'"):
            adder(x, Y, out=out)
    assert adder.step == 0


def test_outputs_must_not_overlap_each_other() -> None:
    program, memory = echo(((2,), "float64"), ((2,), "float64")), np.zeros(3)
    with pytest.raises(InputError, match="another out= array"):
        program(np.ones(2), np.ones(2), out=[memory[:2], memory[1:]])


def test_results_are_new_arrays(adder: Program) -> None:
    first = adder(X, Y)["sum"]
    adder(Y, Y)
    np.testing.assert_array_equal(first, X + Y)


def test_a_failing_interpreter_changes_nothing() -> None:
    weight = np.zeros(2, np.float32)

    def evaluate(inputs: list[Any], seed: int, step: int) -> list[Any]:
        if inputs[0] < 0:
            raise ValueError("negative")
        return [inputs[0], weight + inputs[0]]

    scalar = [Argument("x", tensor_type(()))]
    program = Program(
        Interpreter(evaluate, [weight]),
        scalar,
        scalar,
        "array",
        backend="numpy",
        parameters={"w": Storage(weight, Guard())},
    )
    program(2.0)
    with pytest.raises(ValueError, match="negative"):
        program(-1.0)
    assert program.step == 1
    np.testing.assert_array_equal(weight, [2, 2])
    np.testing.assert_array_equal(program(1.0), 1)


def test_parameters_can_be_exchanged() -> None:
    a, b = np.array([1.0]), np.array([2.0])
    program = Program(
        Interpreter(lambda *_: [b, a], [a, b]),
        [],
        [],
        "list",
        backend="numpy",
        parameters={"a": Storage(a, Guard()), "b": Storage(b, Guard())},
    )
    assert program() == []
    assert (a[0], b[0]) == (2, 1)


def test_seed_and_step() -> None:
    scalar = [Argument("s", tensor_type((2,), "int64"))]
    program = Program(
        Interpreter(lambda _, seed, step: [np.array([seed, step])], seed=5), [], scalar, "array", backend="numpy"
    )
    assert program().tolist() == [5, 0]
    assert program().tolist() == [5, 1]
    program.seed = 9
    assert program().tolist() == [9, 0]
    program.step = 7
    assert program().tolist() == [9, 7]


def test_calls_of_one_program_take_turns(adder: Program) -> None:
    wrong = []

    def work(scale: float) -> None:
        x = (X * scale).astype(np.float32)
        for _ in range(300):
            if not np.array_equal(adder(np.asfortranarray(x), Y)["sum"], x + Y):
                wrong.append(scale)

    threads = [threading.Thread(target=work, args=(scale,)) for scale in (1.0, 2.0, 3.0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert adder.step == 900
    assert adder._parameters[0][0] == 900


def test_memory_is_the_sum_of_its_parts(adder: Program) -> None:
    memory = adder.memory
    assert (memory.parameter, memory.input, memory.output, memory.arena) == (4, 48, 24, 0)
    assert memory.peak_bytes == 4 + 48 + 24 + memory.workspace + memory.table
    assert f"{memory.peak_bytes:,} bytes" in str(memory)


def test_profile_leaves_no_trace(adder: Program) -> None:
    profile = adder.profile(X, Y, runs=3)
    assert [row.label for row in profile.rows] == ["add 0 1 2", "count"]
    assert profile.runs == 3
    assert "add 0 1 2" in str(profile)
    assert sum(row.share for row in profile.rows) == pytest.approx(1)
    assert (adder.step, adder._parameters[0][0]) == (0, 0)


def test_an_interpreter_has_no_profile() -> None:
    with pytest.raises(InputError, match="no launches to profile"):
        echo(((), "float32")).profile(1.0)


def test_repr(adder: Program) -> None:
    assert repr(adder) == "<Program (x: float32[2, 3], y: float32[2, 3]) -> (sum: float32[2, 3]) on cython, 1 threads>"
