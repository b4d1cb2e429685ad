"""Parts: every function in one, families together, shares about equal, the text whole or in parts."""

import json
import os
import re
import subprocess
import sys

import pytest

from graphc.backends.backend import Routine
from graphc.backends.c import launches
from graphc.backends.c.parts import CALL, DRIVER, FAMILIES, LEAST, MOST, FunctionText, cut, in_parts
from graphc.kernel.ir import LibraryCall
from graphc.toolchain.shares import share_out


def _loop(name, length):
    return FunctionText(
        name, f"/* kernel */\nstatic __attribute__((unused)) void {name}(int a) {{\n" + "x" * length + "}\n"
    )


def test_a_small_program_is_one_part():
    functions = [_loop(f"fused_{n}", 500) for n in range(5)]
    ((weight, found),) = cut(functions)
    assert found == functions
    assert weight == sum(f.weight for f in functions) + DRIVER


def test_every_function_is_in_one_part():
    calls = [FunctionText(f"call_{n}", "static void f(void) {\n}\n", "gemm.h") for n in range(9)]
    functions = [*calls, *(_loop(f"fused_{n}", 500 + 400 * n) for n in range(20))]
    parts = cut(functions)
    assert sorted(f.name for _, part in parts for f in part) == sorted(f.name for f in functions)
    assert 1 < len(parts) <= MOST
    assert sum(any(f.family for f in part) for _, part in parts) == 1, "a family stays together"
    total = sum(f.weight for f in functions) + FAMILIES["gemm.h"] + DRIVER
    assert sum(weight for weight, _ in parts) == total >= LEAST * len(parts)
    assert len(calls) * CALL + FAMILIES["gemm.h"] <= max(weight for weight, _ in parts) < total / 2


@pytest.mark.parametrize(("weights", "count"), [([], 2), ([5], 3), ([1, 2, 3, 4], 2), ([7, 7, 7], 1), ([9, 1, 1], 2)])
def test_shares(weights, count):
    shares = share_out(weights, count)
    assert sorted(item for share in shares for item in share) == list(range(len(weights)))
    assert len(shares) == min(count, len(weights))
    loads = [sum(weights[item] for item in share) for share in shares]
    assert max(loads, default=0) - min(loads, default=0) <= max(weights, default=0)


def test_what_other_parts_call_is_declared_for_all():
    text = in_parts([[_loop("one", 5)], [_loop("two", 5), _loop("three", 5)]], ["one", "three"])
    assert text.startswith("GC_ACROSS void one(int a);\nGC_ACROSS void three(int a);\n\n#if GC_PART(0)\n")
    assert re.findall(r"^.*void \w+\(int a\) {", text, re.MULTILINE) == [
        "GC_ACROSS __attribute__((unused)) void one(int a) {",
        "static __attribute__((unused)) void two(int a) {",
        "GC_ACROSS __attribute__((unused)) void three(int a) {",
    ]


@pytest.mark.parametrize(("work", "copies"), [(launches.LARGE, 1), (launches.LARGE - 1, 4)])
def test_large_products_share_their_kernel(work, copies):
    calls = [LibraryCall("gemm_f32", (64, 64, depth, *[1] * 14), tiles=2, work=2 * work) for depth in range(4)]
    code = launches.CWriter().write([Routine(call, None) for call in calls]).code
    assert code.source.count("    gc_gemm_f32(") == copies
    assert launches.CCode.of(json.loads(json.dumps(code.facts()))) == code


TEXT = """
import graphc as gx
from graphc import nn
from graphc.api import build_graph
from graphc.backends.c.backend import C
from graphc.pipeline import compile_plan
x, w, y = gx.input("x", (32, 20)), gx.input("w", (20, 10)), gx.input("y", (32,), "int32")
loss = nn.cross_entropy(gx.tanh(x @ w), y)
graph, _ = build_graph([x, w, y], [loss, *gx.grad(loss, [x, w])])
print(compile_plan(graph, C).code.source)
"""


def test_equal_programs_give_equal_text_in_every_process():
    texts = {
        subprocess.run(
            [sys.executable, "-c", TEXT],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in range(4)
    }
    assert len(texts) == 1
