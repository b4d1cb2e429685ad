"""What the compiler makes of three small training steps, kept as text: the graph after all passes, plan and kernels.

A change of the compiler shows here as a diff to be read. To accept it:

    UPDATE_GOLDENS=1 python -m pytest tests/test_goldens.py
"""

from __future__ import annotations

import difflib
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import graphc as gx
from graphc import nn, optim
from graphc.api import build_graph
from graphc.backends.cuda.backend import CUDA
from graphc.dsl.naming import named_text
from graphc.ir.graph import Graph
from graphc.pipeline import compile_plan, optimise
from graphc.plan.text import plan_text

GOLDENS = Path(__file__).parent / "goldens"


def mlp_step() -> Graph:
    """Linear, ReLU, linear, mean squared error, AdamW."""
    x, y = gx.input("x", (16, 4)), gx.input("y", (16, 1))
    w1, b1 = gx.parameter("w1", np.zeros((4, 8), np.float32)), gx.parameter("b1", np.zeros(8, np.float32))
    w2, b2 = gx.parameter("w2", np.zeros((8, 1), np.float32)), gx.parameter("b2", np.zeros(1, np.float32))
    loss = nn.mse_loss(gx.relu(x @ w1 + b1) @ w2 + b2, y)
    return build_graph([x, y], {"loss": loss}, optim.AdamW(lr=1e-3).minimize(loss, [w1, b1, w2, b2]))[0]


def softmax_cross_entropy() -> Graph:
    """The loss of rows of logits, and its gradient."""
    logits, labels = gx.input("logits", (8, 10)), gx.input("labels", (8,), "int64")
    loss = nn.cross_entropy(logits, labels)
    return build_graph([logits, labels], {"loss": loss, "gradient": gx.grad(loss, [logits])[0]})[0]


def conv_net_step() -> Graph:
    """Convolution, ReLU, max pooling, linear, cross-entropy, SGD with momentum."""
    x, labels = gx.input("x", (4, 1, 8, 8)), gx.input("labels", (4,), "int64")
    kernel = gx.parameter("kernel", np.zeros((2, 1, 3, 3), np.float32))
    bias = gx.parameter("bias", np.zeros(2, np.float32))
    weight = gx.parameter("weight", np.zeros((3, 32), np.float32))
    hidden = gx.max_pool2d(gx.relu(gx.conv2d(x, kernel, bias, padding=1)), 2)
    loss = nn.cross_entropy(gx.linear(gx.reshape(hidden, (4, 32)), weight), labels)
    updates = optim.SGD(lr=0.1, momentum=0.9).minimize(loss, [kernel, bias, weight])
    return build_graph([x, labels], {"loss": loss}, updates)[0]


PROGRAMS: dict[str, Callable[[], Graph]] = {
    "mlp_step": mlp_step, "softmax_cross_entropy": softmax_cross_entropy, "conv_net_step": conv_net_step,
}  # fmt: skip


def test_golden_cuda_kernels() -> None:
    """A softmax and its gradient as CUDA kernels."""
    assembled = compile_plan(softmax_cross_entropy(), CUDA)
    compare(GOLDENS / "cuda_softmax_cross_entropy.txt", assembled.code.source)


def described(graph: Graph) -> str:
    assembled = compile_plan(graph)
    plan = re.sub(
        r", scratch .* a thread", "", plan_text(assembled.plan, lines=False)
    )  # changes whenever a kernel is tuned
    return "\n".join([named_text(optimise(graph), locations=False), plan, "", assembled.code.source, ""])


@pytest.mark.parametrize("name", PROGRAMS)
def test_golden(name: str) -> None:
    compare(GOLDENS / f"{name}.txt", described(PROGRAMS[name]()))


def compare(path: Path, found: str) -> None:
    if os.environ.get("UPDATE_GOLDENS"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(found)
    kept = path.read_text()
    diff = difflib.unified_diff(kept.splitlines(), found.splitlines(), str(path), "now", lineterm="")
    assert found == kept, "\n".join(diff)


def test_the_text_is_the_same_when_built_again() -> None:
    """In this process, after other graphs, and in one with other hashes of strings."""
    first = "".join(described(build()) for build in PROGRAMS.values())
    assert "".join(described(build()) for build in PROGRAMS.values()) == first
    script = (
        "from tests.test_goldens import *; print(''.join(described(build()) for build in PROGRAMS.values()), end='')"
    )
    root = Path(__file__).parent.parent
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", script]
    run = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, check=True)
    assert run.stdout == first
