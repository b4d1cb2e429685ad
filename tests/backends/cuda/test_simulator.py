"""The simulator of CUDA kernels: what is right runs, each planted fault is a SimulationError that names its line."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from graphc.backends.cuda.kernel import CudaKernel
from graphc.backends.cuda.printer.loop_nest import print_kernel
from graphc.backends.cuda.simulator import SimulationError, simulate
from graphc.ir.types import DTYPES
from graphc.kernel.ir import Index, Kernel, Load, Operand, Reduce, Space, Store

F32 = DTYPES["float32"]
SUM = CudaKernel(
    "total",
    """\
def total(o0, o1):
    t = u32(cuda.threadIdx.x)
    place = u32(u32(cuda.blockIdx.x) * u32(64) + t)
    v = o0[place]
    for d in range(5):
        v = v + cuda.shfl_xor_sync(4294967295, v, i32(1) << d)
    s = cuda.shared.array(2, f32)
    if t % u32(32) == u32(0):
        s[t // u32(32)] = v
    cuda.syncthreads()
    if t == u32(0):
        o1[cuda.blockIdx.x] = s[u32(0)] + s[u32(1)]
""",
    ("f32", "f32"), 3, 64,
)  # fmt: skip


def run(kernel: CudaKernel, size: int = 192, results: int = 3) -> np.ndarray:
    values, out = np.arange(size, dtype=np.float32), np.full(results, np.nan, np.float32)
    simulate(kernel, [values, out])
    return out


def test_a_sum_by_shuffles_and_shared_memory() -> None:
    np.testing.assert_array_equal(run(SUM), np.arange(192).reshape(3, 64).sum(axis=1))


FAULTS = {
    "missing barrier": ("    cuda.syncthreads()\n", "", "read by one thread and written by another"),
    "barrier in a branch": (
        "    cuda.syncthreads()", "    if t < u32(40):\n        cuda.syncthreads()", "threads of a block do not reach"
    ),
    "two at once": ("s[t // u32(32)] = v", "s[u32(0)] = v", "written by two threads at once"),
    "two in one place": ("if t == u32(0):\n        o1", "if t < u32(2):\n        o1", "written by two threads at once"),
    "wrong mask": ("4294967295", "65535", "a shuffle whose mask is not that"),
    "shuffle in a branch": (
        "        v = v + cuda", "        if t < u32(48):\n            v = v + cuda", "a shuffle whose mask is not that"
    ),
    "off by one": ("u32(64) + t", "u32(64) + t + u32(1)", r"o0\[192\] is not there: it has 192"),
    "shared memory too small": ("shared.array(2, f32)", "shared.array(1, f32)", r"s\[1\] is not there: it has 1"),
    "before it was written": ("t % u32(32) == u32(0)", "t == u32(0)", "read before it was written"),
    "a double": ("v = o0[place]", "v = o0[place] * 0.5\n    v = f32(v)", "v is float64 and becomes float32"),
    "a double stored": ("s[u32(0)] + s[u32(1)]", "(s[u32(0)] + s[u32(1)]) * 1.0", "stored is float64"),
    "a signed index beside an unsigned one": ("u32(64) + t", "u64(64) + i64(t)", "an operation of uint64 and a signed"),
    "a float as an index": ("o0[place]", "o0[f32(place)]", "an index of o0 is float32"),
    "a local of no value": ("    v = o0[place]\n", "", "v is read before it has a value"),
    "division of floats": ("s[u32(0)] + s[u32(1)]", "s[u32(0)] // s[u32(1)]", "floats are divided by libdevice"),
    "of another type": ("v + cuda", "libdevice.copysign(v, v) + cuda", "libdevice.copysign takes float64, not float32"),
    "a choice of types": ("v = o0[place]", "v = o0[place] if t > u32(1) else 0.0", "a choice between float32"),
    "a shuffle of unsigned integers": ("o0[place]", "f32(cuda.shfl_xor_sync(4294967295, t, 1))", "a shuffle of uint32"),
    "a barrier in a loop of some threads": (
        "    cuda.syncthreads()", "    for k in range(i64(t)):\n        cuda.syncthreads()", "do not reach"
    ),
    "a range of unsigned bounds": (
        "    cuda.syncthreads()", "    for k in range(t):\n        cuda.syncthreads()", "a range that differs between"
    ),
    "an unknown function": ("cuda.syncthreads()", "cuda.syncwarp()", "none of those that kernels call"),
    "an unknown statement": ("    cuda.syncthreads()", "    while True:\n        pass", "none of those that kernels"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_caught(fault: str) -> None:
    old, new, message = FAULTS[fault]
    assert SUM.text.count(old) == 1
    with pytest.raises(SimulationError, match=message) as error:
        run(replace(SUM, text=SUM.text.replace(old, new)))
    assert "in line " in str(error.value)


def test_a_loop_whose_bounds_differ_between_threads() -> None:
    text = """\
def f(o0, o1):
    t = u32(cuda.threadIdx.x)
    total = o0[t]
    last = i64(-1)
    for k in range(i64(t) - 1, i64(t) * 2):
        for j in range(k):
            total = f32(total + f32(j))
        last = k
    o1[t] = f32(total * f32(1000) + f32(last))
"""
    wanted = [
        (t + sum(sum(range(k)) for k in range(t - 1, 2 * t))) * 1000 + (2 * t - 1 if t else -1) for t in range(32)
    ]
    np.testing.assert_array_equal(run(CudaKernel("f", text, ("f32", "f32"), 1, 32), 32, 32), np.float32(wanted))


WIDE = """\
def f(o0, o1):
    c = u32(u32(cuda.threadIdx.x) * u32(4))
    m = load_f32x4(o0, c)
    s = zeros_f32x4()
    for g in range(4):
        s = put_f32x4(s, 3 - g, pick_f32x4(m, g))
    store_f32x4(o1, c, s)
"""


def test_several_elements_with_one_access() -> None:
    values, out = np.arange(256, dtype=np.float32), np.zeros(256, np.float32)
    simulate(CudaKernel("f", WIDE, ("f32", "f32"), 1, 64), [values, out])
    np.testing.assert_array_equal(out.reshape(64, 4), values.reshape(64, 4)[:, ::-1])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("load_f32x4(o0, c)", "load_f32x4(o0, u32(c + u32(1)))", "4 elements of o0 at an address that is no multiple"),
        (
            "store_f32x4(o1, c,",
            "store_f32x4(o1, u32(c + u32(2)),",
            "4 elements of o1 at an address that is no multiple",
        ),
        ("load_f32x4", "load_u16x4", "load_u16x4 of o0 is no access of several elements"),
        ("store_f32x4(o1, c, s)", "store_f32x4(o1, c, c)", "store_f32x4 takes 4 values in one local"),
        ("put_f32x4(s, 3 - g,", "put_f64x4(s, 3 - g,", "put_f64x4 of what is not 4 elements of float64"),
        ("pick_f32x4(m, g))", "c)", "elements are float32, one becomes uint32"),
    ],
)
def test_planted_faults_of_wide_accesses_are_caught(old: str, new: str, message: str) -> None:
    values, out = np.arange(512, dtype=np.float32), np.zeros(512, np.float32)
    assert WIDE.count(old) == 1
    with pytest.raises(SimulationError, match=message):
        simulate(CudaKernel("f", WIDE.replace(old, new), ("f32", "f32"), 1, 64), [values, out])


def test_what_another_block_touches_is_a_race() -> None:
    text = "def f(o0, o1):\n    t = cuda.threadIdx.x\n    v = o0[t]\n    if cuda.blockIdx.x == 0:\n        o0[t] = v\n"
    with pytest.raises(SimulationError, match="written by one thread and touched by another"):
        run(CudaKernel("f", text, ("f32", "f32"), 3, 64))
    np.testing.assert_equal(run(CudaKernel("f", text, ("f32", "f32"), 1, 64)), np.full(3, np.nan))


def test_operands_of_the_wrong_type_are_refused() -> None:
    with pytest.raises(SimulationError, match="operand 0 is float64"):
        simulate(SUM, [np.zeros(192), np.zeros(3, np.float32)])


def row_sum_over_its_operand() -> Kernel:
    """x[i] + sum(y[i]), in the place of x"""
    body = (
        Load(0, F32, Index(0, (1, 0))), Load(1, F32, Index(0, (300, 1))), Reduce("sum", F32, 1),
        Store(2, Index(0, (1, 0)), 2),
    )  # fmt: skip
    return Kernel((*[Operand(F32, "read")] * 2, Operand(F32, "write")), Space((7,), (300,), ()), body)


def test_what_lanes_have_read_is_written_over_behind_a_barrier() -> None:
    kernel = print_kernel(row_sum_over_its_operand())
    x, y = np.ones(7, np.float32), np.ones(2100, np.float32)
    simulate(kernel, [x, y, x])
    np.testing.assert_array_equal(x, np.full(7, 300))
