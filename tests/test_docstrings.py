"""Every example in every docstring of graphc runs, and says the truth up to rounding."""

from __future__ import annotations

import builtins
import ctypes
import doctest
import functools
import importlib
import pkgutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gx
from graphc import nn, optim
from graphc.ir.types import DTYPES
from graphc.ops import build
from graphc.ops.record import FUNCTIONS
from graphc.toolchain import isa
from tests.ops.test_documentation import UpToRounding

SKIPPED = ("graphc.__main__", "graphc.kernels", "graphc.examples", "graphc.demo")  # programs, and compiled code


def modules() -> list[str]:
    found = pkgutil.walk_packages(gx.__path__, "graphc.")
    return sorted(info.name for info in found if not info.name.startswith(SKIPPED))


def examples(module: Any) -> list[doctest.DocTest]:
    """The docstrings of a module, its functions, classes and methods that hold examples, but for the table's."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    of_the_table = {f"{module.__name__}.{name}" for name in FUNCTIONS}  # see tests/ops/test_documentation.py
    return [test for test in finder.find(module, module.__name__) if test.examples and test.name not in of_the_table]


@functools.cache
def names() -> dict[str, Any]:
    """What examples may use without saying: graphc's names, and a step with its batch."""
    x, y = gx.input("x", (8, 3)), gx.input("y", (8, 1))
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    loss = nn.mse_loss(model(x), y)
    updates = optim.SGD(lr=0.1).minimize(loss, model.parameters())
    step = gx.compile([x, y], loss, updates, backend="c")
    batch = {"x_batch": np.ones((8, 3), np.float32), "y_batch": np.ones((8, 1), np.float32)}
    face = {name: getattr(gx, name) for name in gx.__all__ if not hasattr(builtins, name) or name == "input"}
    face |= {name: getattr(nn, name) for name in nn.__all__}
    return face | batch | {
        "gx": gx, "np": np, "nn": nn, "optim": optim, "build": build, "x": x, "y": y, "model": model, "loss": loss,
        "step": step, "updates": updates, "parameters": model.parameters(), "optimizer": optim.SGD(lr=0.1),
        "frontier": gx.memory_frontier([x, y], loss, updates), "ctypes": ctypes, "isa": isa, "source": "int one = 1;",
        "DTYPES": DTYPES,
        "result": np.zeros((), np.float32), **{name: getattr(optim, name) for name in optim.__all__},
    }  # fmt: skip


class Checker(UpToRounding):
    """What an example shows must come; one that shows nothing need only run."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        return not want or super().check_output(want, got, optionflags)


@pytest.mark.parametrize("name", modules())
def test_examples(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module(name)
    found = examples(module)
    if not found:
        return
    monkeypatch.chdir(tmp_path)
    known = names()
    report: list[str] = []
    for test in found:
        test.globs = {**known, **vars(module)}
        runner = doctest.DocTestRunner(Checker(), verbose=False, optionflags=doctest.ELLIPSIS)
        runner.run(test, out=report.append)
    assert not report, "".join(report)
