"""Convolutions by a vendor's library: what it takes, how it is called, what a program makes of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphc as gx
from graphc import nn, optim
from graphc.backends.cuda.calls.convolutions import CONVOLUTION_CALLS, CONVOLUTION_KERNELS
from graphc.backends.cuda.engine.device import Device
from graphc.backends.cuda.engine.engine import CudaEngine
from graphc.backends.cuda.simulator import SimulationError
from graphc.backends.cuda.simulator.cudnn import WORKSPACE, SimulatedCudnn
from graphc.backends.cuda.vendor import installed
from graphc.backends.cuda.vendor.convolution import convolution_of
from graphc.backends.cuda.vendor.cudnn import Cudnn
from graphc.backends.cuda.vendor.known import LIBRARIES
from graphc.backends.cuda.vendor.library import Algorithm
from graphc.errors import GraphcWarning
from graphc.ir import notice
from graphc.ir.types import DTYPES, TensorType
from graphc.kernel.operand import OperandView
from graphc.runtime.program import Program
from tests.backends.cuda.running import run, solve
from tests.kernel.support import small_values

RNG = np.random.default_rng(0)
Pairs = tuple[int, int]


def cudnn_on(device: Device) -> Cudnn:
    found = installed.library_of(device, LIBRARIES[1])
    assert isinstance(found, Cudnn)
    return found


# What a library takes ------------------------------------------------------------------------------------------------
CASES: dict[str, tuple[tuple[int, int, Pairs], tuple[int, Pairs], tuple[int, ...], Pairs, Pairs, int]] = {
    # (images, channels, size), (filters, window), padding and that below and to the right, stride, dilation, groups
    "plain": ((2, 3, (6, 5)), (4, (3, 2)), (0, 0), (1, 1), (1, 1), 1),
    "padded": ((2, 2, (5, 4)), (3, (3, 3)), (1, 1), (1, 1), (1, 1), 1),
    "strided": ((1, 2, (8, 7)), (2, (3, 3)), (1, 0), (2, 3), (1, 1), 1),
    "strided, with a rest": ((1, 2, (8, 8)), (2, (3, 3)), (1, 1), (2, 2), (1, 1), 1),
    "dilated": ((1, 2, (9, 8)), (2, (3, 2)), (2, 1), (1, 2), (2, 3), 1),
    "groups": ((2, 4, (4, 5)), (6, (2, 3)), (1, 1), (1, 1), (1, 1), 2),
    "padded on one side": ((2, 2, (6, 6)), (2, (2, 2)), (0, 0, 1, 2), (2, 3), (1, 1), 1),
    "cut off": ((1, 2, (8, 6)), (2, (3, 3)), (1, 1, 0, 0), (2, 2), (1, 1), 1),
    "depthwise": ((1, 4, (5, 5)), (8, (3, 3)), (1, 1), (2, 1), (1, 1), 4),
    "one dimension": ((2, 3, (1, 12)), (4, (1, 5)), (0, 2), (1, 2), (1, 1), 1),
    "one tap": ((3, 5, (4, 4)), (2, (1, 1)), (0, 0), (1, 1), (1, 1), 1),
}


def params_of(name: str, call: str, dtype: str) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
    """The parameters of a call, and the shapes of what it reads and writes."""
    (images, channels, size), (filters, window), padding, stride, dilation, groups = CASES[name]
    before, after = padding[:2], padding[-2:]
    out = [
        (n + p + q - d * (w - 1) - 1) // s + 1
        for n, w, p, q, s, d in zip(size, window, before, after, stride, dilation, strict=True)
    ]
    x, w, y = (images, channels, *size), (filters, channels // groups, *window), (images, filters, *out)
    attrs = {"padding": [*zip(before, after, strict=True)], "stride": stride, "dilation": dilation, "groups": groups}
    shapes = {"conv2d": [x, w, y], "conv2d_input_grad": [y, w, x], "conv2d_weight_grad": [x, y, w]}[call]
    *read, written = (TensorType(DTYPES[dtype], shape) for shape in shapes)
    return CONVOLUTION_CALLS[call](attrs, [*map(OperandView.contiguous, read)], written).params, shapes


@pytest.mark.parametrize("call", CONVOLUTION_CALLS)
@pytest.mark.parametrize(
    ("name", "dtype", "number"),
    [*((name, "float32", at % 2) for at, name in enumerate(CASES)), ("groups", "float64", 1), ("padded", "float16", 0),
     ("strided", "bfloat16", 1)],
)  # fmt: skip
def test_a_convolution_is_that_of_the_own_kernel(device: Device, name: str, dtype: str, number: int, call: str) -> None:
    params, shapes = params_of(name, call, dtype)
    sizes = [int(np.prod(shape)) for shape in shapes]
    hosts = [small_values(RNG, DTYPES[dtype], size) for size in sizes[:2]] + [np.zeros(sizes[2], DTYPES[dtype].numpy)]
    expected = [host.copy() for host in hosts]
    run(CONVOLUTION_KERNELS[call](params, "convolution", None), expected)
    library, convolution = cudnn_on(device), convolution_of(call, params)
    assert convolution is not None
    algorithm = next(a for a in library.algorithms(convolution, 9) if a.workspace == (0, WORKSPACE)[number])
    solve(device, library, convolution, algorithm, hosts)
    np.testing.assert_array_equal(hosts[2], expected[2])


def test_what_no_library_takes() -> None:
    assert convolution_of("conv2d", params_of("plain", "conv2d", "int32")[0]) is None
    empty = (0, *params_of("plain", "conv2d", "float32")[0][1:])
    assert convolution_of("conv2d", empty) is None
    huge = (1 << 30, *params_of("plain", "conv2d", "float32")[0][1:])
    assert convolution_of("conv2d", huge) is None


def test_plans_that_compute_with_less_are_left_out(device: Device) -> None:
    library = cudnn_on(device)
    plans = {}
    for dtype in ("float32", "float16"):
        convolution = convolution_of("conv2d", params_of("plain", "conv2d", dtype)[0])
        assert convolution is not None
        plans[dtype] = [algorithm.words[0] for algorithm in library.algorithms(convolution, 9)]
    assert plans == {"float32": ["eng0", "eng6_k5=1"], "float16": ["eng1_k2=0", "eng0", "eng6_k5=1"]}


def test_a_plan_that_is_gone_is_an_error(device: Device) -> None:
    convolution = convolution_of("conv2d", params_of("plain", "conv2d", "float32")[0])
    assert convolution is not None
    with pytest.raises(
        LookupError, match=r"cuDNN 91000 \(1.22.0\) has no plan eng99 for conv2d of float32, 2 x 3 x 6 x 5"
    ):
        cudnn_on(device).prepared(convolution, Algorithm(("eng99",), 0), 0)


def test_what_the_library_would_refuse_is_an_error(device: Device) -> None:
    library = SimulatedCudnn(device.driver)
    types = library.data_type

    def graph(dim: list[int], **how: Any) -> Any:
        made = library.pygraph(
            io_data_type=types.FLOAT, intermediate_data_type=types.FLOAT, compute_data_type=types.FLOAT,
            handle=library.create_handle(),
        )  # fmt: skip
        image = made.tensor(dim=[1, 2, 4, 4], stride=[32, 16, 4, 1], data_type=types.FLOAT, uid=1)
        weight = made.tensor(dim=[1, 2, 3, 3], stride=[18, 9, 3, 1], data_type=types.FLOAT, uid=2)
        given = {"pre_padding": [0, 0], "post_padding": [0, 0], "stride": [1, 1], "dilation": [1, 1]} | how
        result = made.conv_fprop(image=image, weight=weight, compute_data_type=types.FLOAT, **given)
        result.set_uid(3).set_output(True).set_dim(dim).set_stride([4, 4, 2, 1]).set_data_type(types.FLOAT)
        return made

    right = graph([1, 1, 2, 2])
    with pytest.raises(SimulationError, match="build_operation_graph comes after validate"):
        right.build_operation_graph()
    with pytest.raises(SimulationError, match="no convolution forward has extents"):
        graph([1, 1, 3, 2]).validate()
    with pytest.raises(SimulationError, match="padding of"):
        graph([1, 1, 2, 2], post_padding=[-1, 0])
    with pytest.raises(SimulationError, match="of set"):
        right.execute_plan_at_index({1: 0, 2: 0, 3: 0}, 0, 2, 1000)


# Programs ------------------------------------------------------------------------------------------------------------
def training() -> tuple[list[Any], Any, Any]:
    nn.init.seed(1)
    x, y = gx.input("x", (2, 2, 8, 8)), gx.input("y", (2,), "int32")
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, stride=2, padding=1), nn.Tanh(), nn.Flatten(),
        nn.Linear(64, 5),
    )  # fmt: skip
    loss = nn.cross_entropy(model(x), y)
    return [x, y], loss, optim.SGD(lr=0.05, momentum=0.9).minimize(loss, model.parameters())


X, Y = RNG.normal(size=(2, 2, 8, 8)).astype(np.float32), np.array([3, 1], np.int32)


def by_library(program: Program) -> list[str]:
    """The calls that libraries compute."""
    engine = program._engine
    assert isinstance(engine, CudaEngine)
    return [node.kernel.library[0] for node in engine._nodes if node.by_library and node.kernel.library]


@pytest.mark.usefixtures("device", "fast")
def test_a_training_step_has_the_losses_of_the_other_engines() -> None:
    step, other = gx.compile(*training(), backend="cuda"), gx.compile(*training(), backend="cython")
    np.testing.assert_allclose([step(X, Y) for _ in range(3)], [other(X, Y) for _ in range(3)], rtol=1e-5)
    calls = by_library(step)
    assert [calls.count(call) for call in CONVOLUTION_CALLS] == [2, 1, 2]
    assert calls.count("matmul") >= 1


def small_program() -> Program:
    x, w = gx.input("x", (1, 2, 6, 6)), gx.input("w", (2, 2, 3, 3))
    return gx.compile([x, w], gx.tanh(gx.conv2d(x, w, padding=1)), backend="cuda")


@pytest.mark.usefixtures("device", "fast")
def test_a_choice_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, choose = list[int](), Cudnn.algorithms
    monkeypatch.setattr(Cudnn, "algorithms", lambda self, *args: (asked.append(1), choose(self, *args))[1])
    arrays = [RNG.normal(size=shape).astype(np.float32) for shape in ((1, 2, 6, 6), (2, 2, 3, 3))]
    first, second = small_program(), small_program()
    assert by_library(first) == by_library(second) == ["conv2d"]
    assert len(asked) == 1
    np.testing.assert_array_equal(first(*arrays), second(*arrays))


@pytest.mark.parametrize(
    ("fault", "message"),
    [(lambda *_: 1 / 0, "division by zero"), (lambda *_: None, "not those of the own kernel")],
    ids=["an error", "other numbers"],
)
@pytest.mark.usefixtures("device", "fast")
def test_a_library_that_fails_is_not_chosen(monkeypatch: pytest.MonkeyPatch, fault: Any, message: str) -> None:
    monkeypatch.setattr(Cudnn, "run", fault)
    monkeypatch.setattr(notice, "_given", set())
    with pytest.warns(GraphcWarning, match=f"cuDNN is not used for conv2d of float32.*{message}") as warned:
        program = small_program()
    assert len(warned) == 1
    assert by_library(program) == []


@pytest.mark.usefixtures("device", "fast")
def test_what_the_library_does_not_support_is_left_to_own_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise SimulatedCudnn.cudnnGraphNotSupportedError

    monkeypatch.setattr("graphc.backends.cuda.simulator.cudnn._ConvolutionGraph.create_execution_plans", refuse)
    assert by_library(small_program()) == []
