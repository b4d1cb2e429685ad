"""The C printer against the oracle: the tile machine's table, random kernels, regions, literals, sanitizers, goldens.

The suite compiles a part of the table; all of it with

    GRAPHC_FULL_TABLE=1 python -m pytest tests/backends/c/test_kernel.py
"""

from __future__ import annotations

import copy
import difflib
import itertools
import os
import re
import subprocess
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest

from graphc.backends.c.kernel import print_kernel
from graphc.ir.scalar import Scalar
from graphc.ir.types import DTYPES
from graphc.kernel.ir import Compute, Index, Kernel, Load, Operand, Random, Space, Store
from tests.backends.c import kernels as c_kernels
from tests.backends.c.cases import Case, recorded
from tests.backends.c.running import COMPILER, FAST, QUICK, Compiled, build, printed_kernels, unit_text
from tests.backends.tile import test_assembler as test_tile
from tests.backends.tile import test_ops as test_tile_ops
from tests.backends.tile.test_assembler import column_sums, layer_norm, softmax
from tests.kernel.oracle import Oracle
from tests.kernel.support import RandomKernel, assert_close, elementwise_kernel, small_values, values_of

FULL = bool(os.environ.get("GRAPHC_FULL_TABLE"))
GOLDENS = Path(__file__).parents[2] / "goldens"
F32, F64 = DTYPES["float32"], DTYPES["float64"]
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="there is no C compiler")


def check(cases: Sequence[Case], folder: Path, flags: Sequence[str] = FAST) -> None:
    """Compiles the kernels together, runs their tiles last to first, and compares with the oracle."""
    compiled = Compiled([case.kernel for case in cases], folder, flags)
    for number, case in enumerate(cases):
        want, got = copy.deepcopy(list(case.buffers)), copy.deepcopy(list(case.buffers))
        Oracle(case.kernel, want).run()
        for written, read in case.shared:
            got[written] = got[read]
        compiled.run(number, got, reversed(range(compiled.printed[number].tiles)))
        agree(case, got, want)


def agree(case: Case, got: Sequence[np.ndarray], want: Sequence[np.ndarray]) -> None:
    for number, operand in enumerate(case.kernel.operands):
        if operand.access == "write":
            assert_close(got[number], want[number], operand.dtype, case.most, case.kernel)


def part(cases: Iterable[Case], step: int) -> list[Case]:
    """Every `step`th case, all with GRAPHC_FULL_TABLE."""
    return list(itertools.islice(cases, None, None, 1 if FULL else step))


# The table -----------------------------------------------------------------------------------------------------------
@needs_compiler
@pytest.mark.parametrize(
    ("test", "step", "flags"),
    [
        (test_tile_ops.test_op, 4, QUICK),
        (test_tile_ops.test_cast, 3, QUICK),
        (test_tile_ops.test_where, 1, QUICK),
        (test_tile_ops.test_elementary_functions_over_all_magnitudes, 5, FAST),
        (test_tile_ops.test_large_angles, 2, FAST),
        (test_tile.test_softmax, 2, FAST),
        (test_tile.test_reduction, 9, FAST),
        (test_tile.test_sums_are_accurate, 1, FAST),
        (test_tile.test_empty_and_scalar_spaces, 1, QUICK),
        (test_tile.test_in_place, 1, FAST),
        (test_tile.test_row_program_in_place, 1, FAST),
        (test_tile.test_transposes, 3, FAST),
        (test_tile.test_padding_and_concatenation, 1, FAST),
        (test_tile.test_random_bits, 2, FAST),
        (test_tile.test_iota, 1, QUICK),
    ],
    ids=lambda x: getattr(x, "__name__", "")[5:] or None,
)
def test_table(test: Callable[..., None], step: int, flags: Sequence[str], tmp_path: Path) -> None:
    check(part(recorded(test), step), tmp_path, flags)


@needs_compiler
@pytest.mark.skipif(not FULL, reason="large kernels, minutes of compilation: with GRAPHC_FULL_TABLE")
def test_arguments_of_every_level(tmp_path: Path) -> None:
    check(list(recorded(test_tile_ops.test_arguments_of_every_level)), tmp_path, QUICK)


def program_cases() -> list[Case]:
    """Row programs and steps of optimisers, long and short."""
    rng = np.random.default_rng(1)
    kernels = [
        *(layer_norm(*shape) for shape in ((64, 32), (70, 10), (2, 3000), (2, 40000), (3, 7, 5), (2, 300, 33))),
        softmax(300, 1000), softmax(40, 192), softmax(3, 129), softmax(150, 600, F64), softmax(90, 1500, F64),
        softmax(4, 90000), softmax(300, 12), column_sums(70, 1100), column_sums(1, 3), column_sums(300, 5),
        c_kernels.adamw(1000), c_kernels.layer_norm_gradient(20, 130), c_kernels.layer_norm_gradient(33, 17),
        c_kernels.layer_norm_gradient(140, 1000), c_kernels.transposed_add(70, 90), c_kernels.bias_gradient(70, 600),
        turning(400), turning(3), dropout(700),
    ]  # fmt: skip
    return [Case(kernel, [*operands(kernel, rng)], 2000) for kernel in kernels]


def operands(kernel: Kernel, rng: np.random.Generator) -> Iterable[np.ndarray]:
    """Values around 1 for each operand, as many as its indices reach."""
    sizes = [2] * len(kernel.operands)
    for statement in kernel.body:
        if isinstance(statement, (Load, Store)):
            spans = (s * (e - 1) for s, e in zip(statement.index.strides, kernel.space.extents, strict=True))
            sizes[statement.operand] = max(sizes[statement.operand], 1 + sum(spans))
    for operand, size in zip(kernel.operands, sizes, strict=True):
        yield (1 + rng.random(size)).astype(operand.dtype.numpy)


def turning(count: int) -> Kernel:
    """tan(cos(sin(x)) * y) with y along the rows, and sin(y) for each column"""
    along, dense = Index(0, (0, 1)), Index(0, (count, 1))
    body = (
        Load(0, F32, dense), Compute("sin", F32, (0,)), Compute("cos", F32, (1,)), Load(1, F32, along),
        Compute("multiply", F32, (2, 3)), Compute("tan", F32, (4,)), Store(2, dense, 5),
        Compute("sin", F32, (3,)), Compute("add", F32, (7, 5)), Store(3, dense, 8),
    )  # fmt: skip
    return Kernel((*[Operand(F32, "read")] * 2, *[Operand(F32, "write")] * 2), Space((), (), (5, count)), body)


def dropout(count: int) -> Kernel:
    """x where a random bit says so, transposed"""
    u32, index = DTYPES["uint32"], Index(0, (count, 1))
    body = (
        Load(0, F32, index), Random(1, 3, index, u32), Scalar.of(u32, 1 << 31), Compute("less", DTYPES["bool"], (1, 2)),
        Scalar.of(F32, -0.0), Compute("where", F32, (3, 0, 4)), Store(2, Index(0, (1, 9)), 5),
    )  # fmt: skip
    return Kernel(
        (Operand(F32, "read"), Operand(DTYPES["int64"], "read"), Operand(F32, "write")), Space((), (), (9, count)), body
    )


@needs_compiler
def test_programs(tmp_path: Path) -> None:
    check(program_cases(), tmp_path)


# Pairs ---------------------------------------------------------------------------------------------------------------
SIZES = [
    (1, 2, 3),
    (2, 1, 2),
    (3, 3, 2),
    (5, 17, 1),
    (70, 3, 9),
    (9, 130, 40),
    (33, 65, 200),
    (2, 50, 1000),
    (40, 16, 17),
]


def pair_kernels() -> dict[str, Kernel]:
    """Reductions of pairs of every kind, small, odd and long."""
    made = [c_kernels.pairs(*size, dtype) for size in SIZES for dtype in ("float32", "float64")]
    made += [c_kernels.weighted_pairs(*size, dtype) for size in SIZES for dtype in ("float32", "float64")]
    made += [c_kernels.pairs(19, 30, 21, dtype) for dtype in ("bfloat16", "float16", "int64", "int32", "int8", "uint8")]
    made += [c_kernels.pairs(19, 30, 21, d, r) for d in ("float32", "float64", "int64") for r in ("max", "min")]
    made += [c_kernels.planes(*size) for size in ((3, 20, 5, 9), (20, 3, 2, 2), (6, 6, 30, 70))]
    return {f"{number}: {kernel.space}": kernel for number, kernel in enumerate(made)}


def whole(kernel: Kernel, rng: np.random.Generator) -> list[np.ndarray]:
    """Small whole numbers for each operand, so that every order of additions gives the same bits."""
    return [rng.integers(0, 8, x.size).astype(x.dtype) for x in operands(kernel, rng)]


@needs_compiler
def test_pairs(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    kernels = list(pair_kernels().values())
    check([Case(kernel, whole(kernel, rng), 0) for kernel in kernels], tmp_path)


def test_pairs_go_in_blocks() -> None:
    """A state is read and written once for eight reduced positions, and what is transposed is so once for a block."""
    text = print_kernel(c_kernels.pairs(1000, 100, 64), "k").text
    loops = re.findall(r"for \(int (j\d) = .*?; .*?; \1(\+\+| \+= \d)\)", text)
    assert [name for name, _ in loops[2:5]] == ["j2", "j0", "j1"]
    assert [step for _, step in loops[2:5]] == [" += 8", "++", "++"]
    assert text.index("gc_transpose_4(") < text.index("for (int j2")
    assert text.count("s4[") == 3  # to start, to add, to store


@needs_compiler
def test_pairs_depend_on_no_cut(tmp_path: Path) -> None:
    """The same bits by tiles in any order as one after another."""
    kernels = [c_kernels.pairs(300, 130, 70), c_kernels.weighted_pairs(300, 130, 70, "float64")]
    compiled = Compiled(kernels, tmp_path)
    rng = np.random.default_rng(5)
    for number, kernel in enumerate(kernels):
        tiles, buffers = compiled.printed[number].tiles, list(operands(kernel, rng))
        results = [copy.deepcopy(buffers) for _ in range(2)]
        compiled.run(number, results[0])
        compiled.run(number, results[1], rng.permutation(tiles).tolist())
        assert tiles > 1
        assert results[0][-1].tobytes() == results[1][-1].tobytes()


# Random kernels and regions ------------------------------------------------------------------------------------------
def cuts(rng: np.random.Generator, extent: int) -> list[tuple[int, int]]:
    """A range in pieces, in any order."""
    at = sorted({0, extent, *rng.integers(0, extent + 1, 2).tolist()})
    pieces = list(itertools.pairwise(at))
    rng.shuffle(pieces)
    return pieces


@needs_compiler
@pytest.mark.parametrize(("first", "count", "large"), [(0, 300 if FULL else 40, False), (1000, 12, True)])
def test_random_kernels(first: int, count: int, large: bool, tmp_path: Path) -> None:
    """Exact programs with every kind of load agree with the oracle to the bit, by tiles and by any regions."""
    options = {"sizes": (1, 3, 40, 130), "dims": 3} if large else {}
    made = [RandomKernel(seed, **options) for seed in range(first, first + count)]
    compiled = Compiled([m.kernel for m in made], tmp_path, regions=True)
    for number, m in enumerate(made):
        rng = np.random.default_rng(number)
        case, want = Case(m.kernel, m.buffers, 0), copy.deepcopy(m.buffers)
        Oracle(m.kernel, want).run()
        got = copy.deepcopy(m.buffers)
        compiled.run(number, got, rng.permutation(compiled.printed[number].tiles).tolist())
        agree(case, got, want)
        if not compiled.printed[number].regions:
            continue
        got = copy.deepcopy(m.buffers)
        outer, _, inner = m.kernel.space.sizes
        for a, c in itertools.product(cuts(rng, outer), cuts(rng, inner)):
            compiled.region(number, got, a, c)
        agree(case, got, want)


@needs_compiler
def test_values_depend_on_no_cut(tmp_path: Path) -> None:
    """Inexact programs give the same bits by tiles in any order and by regions of whole rows or columns."""
    kernels = [softmax(3000, 50), softmax(70, 300), column_sums(700, 1100), layer_norm(4, 9, 70)]
    compiled = Compiled(kernels, tmp_path, regions=True)
    rng = np.random.default_rng(5)
    for number, kernel in enumerate(kernels):
        buffers = [rng.normal(size=x.size).astype(np.float32) for x in operands(kernel, rng)]
        results = []
        for way in range(3):
            got = copy.deepcopy(buffers)
            outer, _, inner = kernel.space.sizes
            tiles = range(compiled.printed[number].tiles)
            if way < 2:
                compiled.run(number, got, reversed(tiles) if way else tiles)
            for a, c in itertools.product(cuts(rng, outer), cuts(rng, inner)) if way == 2 else ():
                compiled.region(number, got, a, c)
            results.append([got[i].tobytes() for i, o in enumerate(kernel.operands) if o.access == "write"])
        assert results[0] == results[1] == results[2]


# Text ----------------------------------------------------------------------------------------------------------------
@needs_compiler
def test_literals_keep_their_bits(tmp_path: Path) -> None:
    """Infinities, NaN, signed zeros, denormals, the least integers."""
    values = {
        "float32": [0.1, -0.0, np.inf, -np.inf, np.nan, -np.nan, 1e-45, 3.4e38, 1 / 3, 16777216.0, -2.5],
        "float64": [0.1, -0.0, np.inf, -np.inf, np.nan, 5e-324, 1.7e308, 1 / 3, 1e22, 123456.75],
        "bfloat16": [0.1, -0.0, np.inf, 1e-39], "float16": [0.1, 6e-8, -65504.0],
        "int64": [-(2**63), 2**63 - 1, 0], "int32": [-(2**31), 2**31 - 1], "uint32": [2**32 - 1, 2**31],
        "int8": [-128, 127], "uint8": [255], "bool": [True, False],
    }  # fmt: skip
    cases = []
    for name, numbers in values.items():
        dtype = DTYPES[name]
        body = [part for i, x in enumerate(numbers) for part in (Scalar.of(dtype, x), Store(i, Index(0, ()), 2 * i))]
        kernel = Kernel((Operand(dtype, "write"),) * len(numbers), Space((), (), ()), tuple(body))
        cases.append(Case(kernel, [np.ones(1, dtype.numpy) for _ in numbers], 0))
    check(cases, tmp_path, QUICK)
    compiled = Compiled([case.kernel for case in cases[:2]], tmp_path, QUICK)
    for number, case in enumerate(cases[:2]):
        got, want = copy.deepcopy(list(case.buffers)), copy.deepcopy(list(case.buffers))
        Oracle(case.kernel, want).run()
        compiled.run(number, got)
        assert [x.tobytes() for x in got] == [x.tobytes() for x in want]


def test_the_text_is_the_same_when_printed_again() -> None:
    for case in program_cases():
        assert print_kernel(case.kernel, "k") == print_kernel(case.kernel, "k")


GOLDEN = {
    "c_softmax": softmax(4096, 1024),
    "c_layer_norm_gradient": c_kernels.layer_norm_gradient(4096, 1024),
    "c_adamw": c_kernels.adamw(1 << 20),
    "c_transposed_add": c_kernels.transposed_add(2048, 1536),
    "c_bias_gradient": c_kernels.bias_gradient(2048, 1536),
    "c_pairs": c_kernels.pairs(10000, 100, 64),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden(name: str) -> None:
    """The text of telling kernels, to be read. UPDATE_GOLDENS=1 accepts a change."""
    printed = print_kernel(GOLDEN[name], "kernel0")
    found = (
        f"/* {printed.tiles} tiles, {printed.scratch} bytes of scratch, {', '.join(printed.headers)} */\n{printed.text}"
    )
    path = GOLDENS / f"{name}.c"
    if os.environ.get("UPDATE_GOLDENS"):
        path.write_text(found)
    kept = path.read_text()
    diff = difflib.unified_diff(kept.splitlines(), found.splitlines(), str(path), "now", lineterm="")
    assert found == kept, "\n".join(diff)


@needs_compiler
@pytest.mark.parametrize("name", GOLDEN)
def test_loops_become_vectors(name: str, tmp_path: Path) -> None:
    """GCC reports every fused loop of the goldens as vectorised."""
    assert COMPILER is not None
    version = subprocess.run([COMPILER, "--version"], capture_output=True, text=True, check=True).stdout
    if "GCC" not in version and "gcc" not in version:
        pytest.skip("the report is GCC's")
    source, report = unit_text(printed_kernels([GOLDEN[name]])), tmp_path / "report"
    build(source, tmp_path / "kernels.so", [*FAST, "-shared", "-fPIC", f"-fopt-info-vec={report}"])
    lines = source.splitlines()
    start = next(n for n, line in enumerate(lines) if f"void {re.search(r'(k0_.*)[(]call', source)[1]}(" in line)
    loops = {n + 2 for n in range(start, len(lines)) if lines[n].strip() == "GC_IVDEP" and "= 0.0;" not in lines[n + 2]}
    done = {int(n) for n in re.findall(r"kernels\.c:(\d+):.*loop vectorized", report.read_text())}
    assert loops - done == set()


# Sanitizers ----------------------------------------------------------------------------------------------------------
MAIN = """
#include <stdlib.h>
#include <string.h>
typedef void kernel_function(const gc_call *, int64_t);
static void run(kernel_function *kernel, int64_t tiles, size_t scratch, const size_t *sizes, int count) {
    char *buffers[32];
    gc_ref refs[32];
    for (int i = 0; i < count; i++) {
        buffers[i] = malloc(sizes[i]);
        memset(buffers[i], 1, sizes[i]);
        refs[i] = (gc_ref){i, 0};
    }
    char *memory = aligned_alloc(64, scratch ? scratch : 64);
    const gc_call call = {buffers, NULL, NULL, NULL, refs, memory, NULL};
    for (int64_t tile = 0; tile < tiles; tile++)
        kernel(&call, tile);
    for (int i = 0; i < count; i++)
        free(buffers[i]);
    free(memory);
}
int main(void) {
"""


@needs_compiler
def test_sanitizers(tmp_path: Path) -> None:
    """Address and undefined-behaviour sanitizers over operands of just the size that is declared."""
    rng = np.random.default_rng(3)
    cases = [*part(recorded(test_tile_ops.test_op), 12), *part(recorded(test_tile_ops.test_cast), 5), *program_cases()]
    cases += part(recorded(test_tile.test_reduction), 16)
    cases += [Case(m.kernel, m.buffers, 0) for m in map(RandomKernel, range(200 if FULL else 16))]
    cases.append(Case(elementwise_kernel("add", [F32, F32], F32, 9), [small_values(rng, F32, 9) for _ in range(3)], 0))
    printed = printed_kernels([case.kernel for case in cases])
    lines = []
    for number, (case, kernel) in enumerate(zip(cases, printed, strict=True)):
        sizes = ", ".join(str(buffer.nbytes) for buffer in case.buffers)
        count = len(case.buffers)
        lines.append(f"    run(k{number}, {kernel.tiles}, {kernel.scratch}, (size_t[]){{{sizes}}}, {count});")
    source = "\n".join([unit_text(printed), MAIN, *lines, "    return 0;\n}"])
    try:
        build("int main(void) { return 0; }", tmp_path / "empty", ["-fsanitize=address,undefined"])
    except AssertionError:
        pytest.skip("the compiler has no sanitizers")
    flags = ["-O0", "-march=native", "-g0", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    build(source, tmp_path / "kernels", flags)
    done = subprocess.run([str(tmp_path / "kernels")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[:4000]


@needs_compiler
def test_a_wrong_kernel_is_caught(tmp_path: Path) -> None:
    """The comparison itself fails when another kernel is printed than the oracle runs."""
    inputs = [values_of(np.random.default_rng(4), F64, 9, special=False) for _ in range(2)]
    wrong = Compiled([elementwise_kernel("subtract", [F64, F64], F64, 9)], tmp_path, QUICK)
    buffers = [*inputs, np.zeros(9)]
    case = Case(elementwise_kernel("add", [F64, F64], F64, 9), buffers, 4)
    got, want = copy.deepcopy(buffers), copy.deepcopy(buffers)
    Oracle(case.kernel, want).run()
    wrong.run(0, got)
    with pytest.raises(AssertionError, match="differ by more"):
        agree(case, got, want)
