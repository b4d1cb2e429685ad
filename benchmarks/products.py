"""Matrix products as generated C has them against `torch.mm`, on one thread: `python -m benchmarks.products`.

Needs PyTorch and a C compiler. Both run alternately, in CPU time of the thread. Prints, for each product, our best rate
and the median ratio of torch's time to ours. `--only 128x784x512xNT` (rows, depth, columns, layouts) picks some.
"""

from __future__ import annotations

import argparse
import ctypes
import random
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from graphc.backends.c.launches import products_macro
from graphc.backends.cpu.matmul import matmul
from graphc.ir.types import DTYPES, TensorType
from graphc.kernel.ir import LibraryCall
from graphc.kernel.operand import OperandView
from graphc.kernels import cpu
from graphc.toolchain.compiler import find_compiler
from graphc.toolchain.isa import chosen_level

Shape = tuple[int, int, int, str]  # rows, depth, columns, and N or T for each operand

TABLE = (
    "64x784x512xNN 128x784x512xNN 128x512x512xNN 128x512x10xNN 784x128x512xTN 128x1024x1024xNN 256x256x1024xNN "
    "256x1024x256xNN 1024x256x256xTN 2048x384x1152xNN 2048x384x1536xNN 2048x1536x384xNN 384x2048x1536xTN "
    "32x256x1024xNN 512x512x512xNN 1024x1024x1024xNN 64x64x64xNN 32x32x32xNN 2048x384x65xNN 128x512x784xNT "
    "2048x1152x384xNT 32x1024x256xNT 256x32x1024xTN 512x512x512xNT 512x512x512xTN 512x512x512xTT"
)
INCLUDE = Path(cpu.__file__).parent / "include"
SHARED = ("-fPIC", "-shared", "-fvisibility=default")

UNIT = """
#define GC_GENERATED
{macro}
#include <stddef.h>
#include "graphc/generated.h"
#include "graphc/gemm.h"
"""
PRODUCT = """
void product_{i}(char *const *buffers, char *scratch, int64_t runs) {{
    static const int64_t params[] = {{{params}}};
    static const gc_ref operands[] = {{{{0, 0}}, {{1, 0}}, {{2, 0}}}};
    const gc_call call = {{buffers, operands, params, NULL, NULL, scratch, NULL}};
    for (int64_t run = 0; run < runs; run++)
        for (int64_t tile = 0; tile < {tiles}; tile++) gc_{name}(&call, tile);
}}
"""


def parsed(text: str) -> Shape:
    rows, depth, columns, form = text.split("x")
    return int(rows), int(depth), int(columns), form


def lowered(shape: Shape, dtype: str) -> LibraryCall:
    rows, depth, columns, form = shape
    kind = DTYPES[dtype]
    a = OperandView(kind, (rows, depth), (depth, 1) if form[0] == "N" else (1, rows))
    b = OperandView(kind, (depth, columns), (columns, 1) if form[1] == "N" else (1, depth))
    return matmul([a, b], OperandView.contiguous(TensorType(kind, (rows, columns))), threads=1)


def compiled(calls: list[LibraryCall], command: Sequence[str]) -> ctypes.CDLL:
    """A library with `product_I(buffers of A, B and C, scratch, runs)` for each call, whose params are constants."""
    text = UNIT.format(macro=products_macro(calls))
    for i, call in enumerate(calls):
        params = ", ".join(map(str, call.params))
        text += PRODUCT.format(i=i, params=params, tiles=call.tiles, name=call.name)
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder, "products.c"), Path(folder, "products.so")
        source.write_text(text)
        subprocess.run([*command, *SHARED, f"-I{INCLUDE}", str(source), "-o", str(library)], check=True)
        return ctypes.CDLL(str(library))


def compare(library: ctypes.CDLL, i: int, call: LibraryCall, shape: Shape, dtype: str, seconds: float) -> float:
    """Prints a line; returns the median of torch's time over ours."""
    import torch

    rows, depth, columns, form = shape
    kind = getattr(torch, dtype)
    a = torch.randn(rows, depth).to(kind) if form[0] == "N" else torch.randn(depth, rows).to(kind).T
    b = torch.randn(depth, columns).to(kind) if form[1] == "N" else torch.randn(columns, depth).to(kind).T
    out, ours = torch.zeros(rows, columns, dtype=kind), torch.zeros(rows, columns, dtype=kind)
    scratch = torch.zeros(call.scratch + 64, dtype=torch.uint8)
    buffers = (ctypes.c_void_p * 3)(a.data_ptr(), b.data_ptr(), ours.data_ptr())
    function, place = library[f"product_{i}"], ctypes.c_void_p(-(-scratch.data_ptr() // 64) * 64)
    work = 2 * rows * depth * columns
    runs = max(1, 100_000_000 // work)

    def run_ours() -> None:
        function(buffers, place, ctypes.c_int64(runs))

    def run_torch() -> None:
        for _ in range(runs):
            torch.mm(a, b, out=out)

    run_ours(), run_torch()
    assert torch.allclose(out.double(), ours.double(), rtol=1e-2, atol=1e-2 * float(out.abs().max()))
    times, order, end = [], [0, 1], time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 7:
        pair = [0.0, 0.0]
        random.shuffle(order)
        for which in order:
            start = time.thread_time_ns()
            (run_ours, run_torch)[which]()
            pair[which] = (time.thread_time_ns() - start) / runs
        times.append(pair)
    mine, theirs = np.array(times).T
    ratio, rate = float(np.median(theirs / mine)), work / float(mine.min())
    print(
        f"{rows:5} x {depth:5} x {columns:5} {form} {call.tiles:4} tiles {rate:7.1f} GFLOP/s  {ratio:5.2f} times torch",
        flush=True,
    )
    return ratio


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default=TABLE)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--seconds", type=float, default=1.0, help="for each product")
    arguments = parser.parse_args()

    import torch

    torch.set_num_threads(1)
    shapes = [parsed(text) for text in arguments.only.replace(",", " ").split()]
    calls = [lowered(shape, arguments.dtype) for shape in shapes]
    compiler = find_compiler()
    start = time.perf_counter()
    library = compiled(calls, [*compiler.command, *compiler.flags(chosen_level())])
    print(f"{len(calls)} products compiled in {time.perf_counter() - start:.2f} s")
    ratios = [
        compare(library, i, call, shape, arguments.dtype, arguments.seconds)
        for i, (call, shape) in enumerate(zip(calls, shapes, strict=True))
    ]
    print(f"geometric mean {np.exp(np.mean(np.log(ratios))):.2f}, least {min(ratios):.2f}")


if __name__ == "__main__":
    main()
