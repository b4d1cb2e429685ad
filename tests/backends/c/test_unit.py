"""What the C file of a program holds: what runs it only where C calls it, and of a kernel what its sizes need."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

import graphc as gx
from graphc.api import build_graph
from graphc.backends.c.backend import C
from graphc.backends.c.interface import functions, interface_of
from graphc.backends.c.unit import unit_text
from graphc.pipeline import compile_plan
from graphc.toolchain.compiler import find_compiler
from tests.runtime.support import needs_compiler


def text_of(output: gx.Tensor, inputs: list[gx.Tensor], *, standalone: bool) -> str:
    assembled = compile_plan(build_graph(inputs, output, None)[0], C, 1)
    return unit_text(interface_of(assembled.plan, "step"), assembled.code, standalone=standalone)


@pytest.mark.parametrize("standalone", [False, True])
def test_what_runs_a_program_is_compiled_where_c_calls_it(standalone: bool) -> None:
    x = gx.input("x", (3, 4))
    text = text_of(gx.tanh(x), [x], standalone=standalone)
    assert "gc_compiled step_image" in text
    for part in (*(f"{function}(" for function in functions("step")), "pthread.h", "program_stages"):
        assert (part in text) == standalone


# A convolution by each method: spaced rows (few channels), squares, and sizes that no strip of outputs divides.
CONVOLUTIONS = {
    "lines": ((2, 3, 8, 8), (8, 3, 3, 3), {"conv_run_even"}),
    "squares": ((2, 32, 16, 16), (32, 32, 3, 3), {"winograd_run_even"}),
    "odd": ((2, 3, 8, 8), (7, 3, 3, 3), {"conv_run_any"}),
}


@needs_compiler
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_convolution_is_compiled_for_its_method_alone(name: str, tmp_path: Path) -> None:
    """With an epilogue, which is called in the midst of the kernel: its constants stay constant all the same."""
    shape, kernel, expected = CONVOLUTIONS[name]
    x, w, b = gx.input("x", shape), gx.input("w", kernel), gx.input("b", (kernel[0], 1, 1))
    (tmp_path / "step.c").write_text(text_of(gx.relu(gx.conv2d(x, w, padding=1) + b), [x, w, b], standalone=False))
    compiler = find_compiler()
    subprocess.run([*compiler.command, *compiler.flags("baseline"), "-S", "step.c"], cwd=tmp_path, check=True)
    found = re.findall(
        r"^gc_((?:conv|winograd)_run_(?:even|any))\w*:$", (tmp_path / "step.s").read_text(), re.MULTILINE
    )
    assert set(found) == expected
