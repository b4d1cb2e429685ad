"""The docstrings of all functions: each says what it does, and every example says the truth, up to rounding."""

from __future__ import annotations

import doctest
import re
from typing import Any

import numpy as np
import pytest

import graphc.ops
from graphc.ops import build, reference
from graphc.ops.build import constant
from graphc.ops.record import FUNCTIONS
from graphc.ops.tensor import Tensor

NAMES = sorted(FUNCTIONS)


def evaluate(outputs: Any, values: Any = None) -> Any:
    """As `graphc.evaluate`: a tensor gives an array, a sequence gives a list."""
    if isinstance(outputs, Tensor):
        return reference.evaluate([outputs], values or {})[0]
    return reference.evaluate(outputs, values or {})


class UpToRounding(doctest.OutputChecker):
    """Text must agree but for spaces, numbers within 1e-5: the last digits depend on the processor."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        texts, numbers = zip(*(self._parts(text) for text in (want, got)), strict=True)
        return texts[0] == texts[1] and bool(np.allclose(*numbers, rtol=1e-5, atol=1e-7))

    def _parts(self, text: str) -> tuple[str, list[float]]:
        pattern = r"(?<![a-z_])-?\d+\.?\d*(?:e[+-]\d+)?"
        numbers = [float(number) for number in re.findall(pattern, text)]
        return "".join(re.sub(pattern, "#", text).split()), numbers


@pytest.mark.parametrize("name", NAMES)
def test_docstring(name: str) -> None:
    text = FUNCTIONS[name].build.__doc__ or ""
    assert len(text.split("\n")[0]) > 10, f"{name} has no docstring"
    names = {key: item.build for key, item in FUNCTIONS.items()}
    names |= {"evaluate": evaluate, "np": np, "constant": constant, "build": build, "graphc": graphc}
    test = doctest.DocTestParser().get_doctest(text, names, name, None, 0)
    runner = doctest.DocTestRunner(UpToRounding(), verbose=False)
    report: list[str] = []
    runner.run(test, out=report.append)
    assert not runner.failures, "".join(report)
