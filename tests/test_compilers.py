"""The tools that other tests rely on notice what they are there for; and the headers are C for every compiler."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from ml_dtypes import bfloat16

from tests.compilers import INCLUDE, SANITIZERS, TARGETS, check_quietly, compile_quietly, run_sanitized, run_target

HELLO = '#include <stdio.h>\nint main(void) { printf("%zu\\n", sizeof(void *)); return 0; }\n'
UNUSED = "int f(int unused) { return 0; }\n"
FAULTS = {
    "address,undefined": [
        "#include <stdlib.h>\nint main(void) { volatile char *p = malloc(4); p[4] = 1; return 0; }\n",
        "#include <limits.h>\nint main(void) { volatile int n = INT_MAX; n = n + 1; return 0; }\n",
        "#include <stdlib.h>\nint *volatile p;\nint main(void) { for (int i = 9; i--;) p = malloc(64); return 0; }\n",
    ],
    "thread": [
        "#include <pthread.h>\nint x;\nstatic void *add(void *p) { x++; return p; }\nint main(void) {\n"
        "pthread_t t; pthread_create(&t, 0, add, 0); x++; pthread_join(t, 0); return 0; }\n"
    ],
}


# Linking with clang the first time builds a C library: once for each processor is enough.
RUNNING = [name for name in TARGETS if name not in ("clang x86-64", "clang x86-64-v4")]


@pytest.mark.parametrize("name", RUNNING)
def test_a_program_is_compiled_and_run(tmp_path: Path, name: str) -> None:
    _ = TARGETS[name].runner  # or skip
    program = compile_quietly(TARGETS[name], HELLO, tmp_path)
    assert run_target(TARGETS[name], program) == "8\n"


@pytest.mark.parametrize("name", TARGETS)
def test_warnings_are_noticed(tmp_path: Path, name: str) -> None:
    _ = TARGETS[name].command  # or skip
    with pytest.raises(AssertionError, match="unused"):
        compile_quietly(TARGETS[name], UNUSED, tmp_path, "-c")
    for place in range(3):
        texts = {f"part{i}": UNUSED if i == place else f"int f{i};\n" for i in range(3)}
        with pytest.raises(AssertionError, match="unused"):
            check_quietly(TARGETS[name], texts, tmp_path)


@pytest.mark.parametrize("sanitizer", SANITIZERS)
def test_sanitizers_notice_faults(tmp_path: Path, sanitizer: str) -> None:
    assert run_sanitized(HELLO, tmp_path, sanitizer) == "8\n"
    for fault in FAULTS[sanitizer]:
        with pytest.raises(AssertionError, match=r"Sanitizer|runtime error"):
            run_sanitized(fault, tmp_path, sanitizer)


# The headers -----------------------------------------------------------------------------------------------------
MODULES = re.compile("isa|level|library|tile.*")  # headers of the prebuilt modules
GUARD = "#ifndef GRAPHC_"  # what lacks it is a template, included several times with other definitions


def generated(headers: list[str]) -> str:
    """A unit as generated C is: the headers' text itself, each once. Compilers warn of more in it than in headers."""
    seen: set[str] = set()

    def text(name: str) -> str:
        source = (INCLUDE / "graphc" / f"{name}.h").read_text()
        if name in seen and GUARD in source:
            return ""
        seen.add(name)
        return re.sub(
            r'^\s*#\s*include "(?:graphc/)?(\w+)\.h"', lambda match: text(match[1]), source, flags=re.MULTILINE
        )

    unused = '#define GC_GENERATED\n#pragma GCC diagnostic ignored "-Wunused-function"\n'
    return "\n".join([f"#define _GNU_SOURCE\n{unused}", *map(text, headers), text("generated")])


def names() -> list[str]:
    """The headers that generated code may include."""
    found = [path for path in sorted((INCLUDE / "graphc").glob("*.h")) if GUARD in path.read_text()]
    return [path.stem for path in found if not MODULES.fullmatch(path.stem)]


@pytest.mark.parametrize("target", TARGETS)
def test_headers_that_generated_code_includes(tmp_path: Path, target: str) -> None:
    check_quietly(TARGETS[target], {name: generated([name]) for name in names()}, tmp_path)


@pytest.mark.parametrize("target", ["clang x86-64-v4", "clang aarch64", "gcc aarch64"])
def test_every_kernel_is_compiled_by_every_compiler(tmp_path: Path, target: str) -> None:
    """The whole library, as the modules instantiate it; gcc for this processor has built those."""
    unit = '#define _GNU_SOURCE\n#define GC_LEVEL "test"\n#include "graphc/level.h"\nconst gc_isa *all = &gc_level;\n'
    compiled = compile_quietly(TARGETS[target], unit, tmp_path, "-c", "-O0", "-fno-sanitize=undefined")
    assert compiled.stat().st_size > 100_000


KERNELS = """
#include <stdio.h>

enum { M = 33, K = 70, COUNT = 7 };

static float a[M * K], sums[M * K];
static char scratch[1 << 20] __attribute__((aligned(64)));
static int64_t positions[M], indices[COUNT] = {0, 5, -1, 40, -40, 2, 2};
static float taken[COUNT * K];

static void launch(void (*kernel)(const gc_call *, int64_t), const int64_t *params, void *x, void *y, void *z) {
    char *const buffers[] = {x, y, z};
    const gc_ref operands[] = {{0, 0}, {1, 0}, {2, 0}};
    const gc_call call = {.buffers = buffers, .operands = operands, .params = params, .scratch = scratch};
    kernel(&call, 0);
}

static void cumsum(const gc_call *call, int64_t tile) { gc_cumsum_f32(call, tile); }
static void argmax(const gc_call *call, int64_t tile) { gc_argmax_f32(call, tile); }
static void take(const gc_call *call, int64_t tile) { gc_take_4(call, tile); }

static void print(const float *values, int count) {
    for (int i = 0; i < count; i++)
        printf("%.9g ", (double)values[i]);
}

int main(void) {
    for (int i = 0; i < M * K; i++)
        a[i] = gc_from_bf16(gc_to_bf16((float)(i * 37 % 101 - 50) / 3));
    launch(cumsum, (const int64_t[]){M, K, 1, 0, M, 1}, a, sums, 0);
    launch(argmax, (const int64_t[]){M, K, 1, M, 1}, a, positions, 0);
    launch(take, (const int64_t[]){1, M, K, COUNT, 8, COUNT}, a, indices, taken);
    print(sums, M * K);
    for (int i = 0; i < M; i++)
        printf("%d ", (int)positions[i]);
    print(taken, COUNT * K);
    return 0;
}
"""


def check(printed: str) -> None:
    """Whether the program's numbers are those of NumPy."""
    order = np.arange(33 * 70)
    a = (np.float32(order * 37 % 101 - 50) / np.float32(3)).astype(bfloat16).astype(np.float32).reshape(33, 70)
    rows = a[np.clip([0, 5, 32, 40, -7, 2, 2], 0, 32)]
    expected = np.concatenate([a.cumsum(1, np.float32).ravel(), a.argmax(1), rows.ravel()])
    np.testing.assert_array_equal(np.array(printed.split(), np.float32), expected.astype(np.float32))


@pytest.mark.parametrize("name", RUNNING)
def test_kernels_compute_the_same_on_every_processor(tmp_path: Path, name: str) -> None:
    _ = TARGETS[name].runner  # or skip
    program = compile_quietly(TARGETS[name], generated(["scan", "index", "convert"]) + KERNELS, tmp_path)
    check(run_target(TARGETS[name], program))


@pytest.mark.parametrize("sanitizer", SANITIZERS)
def test_kernels_under_a_sanitizer(tmp_path: Path, sanitizer: str) -> None:
    check(run_sanitized(generated(["scan", "index", "convert"]) + KERNELS, tmp_path, sanitizer))
