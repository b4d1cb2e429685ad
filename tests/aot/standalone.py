"""Runs exported programs as a C user does: a small main around the C file, compiled with any flags, outputs in a file.

Every array is a block of its own of exactly its size, so that sanitizers see what goes beyond.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

import graphc as gx
from graphc.aot import c_form

__all__ = ["SANITIZERS", "build_runner", "run"]

Array = np.ndarray[Any, Any]
SANITIZERS = {
    "address": ("-O1", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
    "thread": ("-O1", "-g1", "-fsanitize=thread"),
    # Quick to compile: without the checks of single addresses, and ended by a signal instead of a message.
    "undefined": (
        "-Og", "-fsanitize=undefined,float-cast-overflow", "-fno-sanitize=null,alignment,object-size,pointer-overflow",
        "-fsanitize-undefined-trap-on-error",
    ),
}  # fmt: skip

_MAIN = """\
#include <stdio.h>
#include <stdlib.h>
#include "step.h"

static void *block(size_t bytes) {{
    void *const memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
    return memory ? memory : (exit(3), (void *)0);
}}

/* `bytes` of the file in a block of exactly this size */
static __attribute__((unused)) void *content(FILE *file, size_t bytes) {{
    void *const memory = malloc(bytes ? bytes : 1);
    if (!memory || fread(memory, 1, bytes, file) != bytes)
        exit(4);
    return memory;
}}

int main(int count, char **words) {{
    FILE *const in = fopen(words[1], "rb"), *const out = fopen(words[2], "wb");
    const int steps = atoi(words[3]), threads = atoi(words[4]);
    void *const state = block(STEP_STATE_BYTES + 1), *const memory = block(STEP_MEMORY_BYTES(threads));
    if (count != 5 || !in || !out || fread(state, 1, STEP_STATE_BYTES, in) != STEP_STATE_BYTES)
        return 2;
    step_program *const program = step_open(memory, state, threads);
{declare}
    for (int i = 0; i < steps; i++) {{
        step_run({call});
{write}
    }}
    step_close(program);
    fwrite(state, 1, STEP_STATE_BYTES, out);
{free}
    free(state);
    free(memory);
    fclose(in);
    return fclose(out) || !program;
}}
"""


def build_runner(program: gx.Program, folder: Path, flags: Sequence[str], compiler: Sequence[str] = ("cc",)) -> Path:
    """Export `program` to `folder`, without its library, and compile a main for it: without any warning."""
    with mock.patch.object(c_form, "build", return_value=Path(os.devnull)):
        program.export(folder / "step")
    sizes_in, sizes_out = ([a.nbytes for a in arguments] for arguments in (program.inputs, program.outputs))
    inputs = [f"    void *const input{i} = content(in, {size});" for i, size in enumerate(sizes_in)]
    outputs = [f"    void *const output{i} = malloc({max(size, 1)});" for i, size in enumerate(sizes_out)]
    names = [*(f"input{i}" for i in range(len(sizes_in))), *(f"output{i}" for i in range(len(sizes_out)))]
    text = _MAIN.format(
        declare="\n".join([*inputs, *outputs]),
        call=", ".join(["program", *names]),
        write="\n".join(f"        fwrite(output{i}, 1, {size}, out);" for i, size in enumerate(sizes_out)),
        free="\n".join(f"    free({name});" for name in names),
    )
    (folder / "main.c").write_text(text)
    runner = folder / "runner"
    command = [*compiler, "-std=c11", "-Wall", "-Wextra", *flags, "main.c", "step.c", "-o", "runner", "-lm", "-pthread"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-4000:]
    assert "warning" not in result.stderr, result.stderr[-4000:]
    return runner


def run(
    program: gx.Program, runner: Path, arrays: Sequence[Array], *, steps: int = 1, threads: int = 1,
    launcher: Sequence[str] = (),
) -> tuple[list[list[Array]], bytes]:  # fmt: skip
    """The outputs of each step, and the state after them. Fails with what the program printed, sanitizers included."""
    folder = runner.parent
    (folder / "in").write_bytes(_state(folder) + b"".join(np.ascontiguousarray(array).tobytes() for array in arrays))
    command = [*launcher, str(runner), "in", "out", str(steps), str(threads)]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, f"status {result.returncode}\n{result.stderr[-6000:]}"
    data, start, found = (folder / "out").read_bytes(), 0, []
    for _ in range(steps):
        found.append([])
        for argument in program.outputs:
            array = np.frombuffer(data[start : start + argument.nbytes], argument.type.dtype.numpy)
            found[-1].append(array.reshape(argument.type.shape))
            start += argument.nbytes
    return found, data[start:]


def _state(folder: Path) -> bytes:
    """The data of the exported state."""
    content = (folder / "step.safetensors").read_bytes()
    return content[8 + int.from_bytes(content[:8], "little") :]
