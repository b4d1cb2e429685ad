"""Forward against reverse mode for every differentiable function of the table: <c, J t> = <Jᵀ c, t>.

The rules of the two modes are declared apart, so each checks the other; `test_registry.py` checks reverse mode
against finite differences. The same identity is asked of the gradient, which checks second derivatives.
"""

import numpy as np
import pytest

import graphc as gx
from graphc.ops.record import FUNCTIONS, Arg
from graphc.ops.tensor import Tensor

CASES = [
    (function, number)
    for function in FUNCTIONS.values()
    if function.differentiable and "float64" in function.dtypes
    for number, sample in enumerate(function.samples)
    if sample.grad
]


class Draw:
    """Inputs for the `Arg`s of a sample, with values."""

    def __init__(self):
        self.rng = np.random.default_rng(11)
        self.values, self.variables = {}, []

    def __call__(self, arg):
        if isinstance(arg, (list, tuple)):
            return type(arg)(map(self, arg))
        if not isinstance(arg, Arg):
            return arg
        x = gx.input(f"x{len(self.values)}", arg.shape, arg.dtype or "float64")
        self.values[x] = self.array(arg).astype(x.dtype.numpy)
        if arg.grad and x.dtype.is_float:
            self.variables.append(x)
        return x

    def array(self, arg):
        if arg.values is not None:
            return np.array(arg.values, dtype=object).reshape(arg.shape)
        size = int(np.prod(arg.shape))
        values = self.rng.permutation(np.linspace(arg.low, arg.high, size + 2)[1:-1])
        for point in arg.away_from:
            values = np.where(np.abs(values - point) < 0.1, point + 0.15, values)
        return values.reshape(arg.shape)


def outputs_of(function, sample, draw):
    result = function.build(*map(draw, sample.args), **sample.keywords)
    results = [result] if isinstance(result, Tensor) else list(result)
    return [y for y in results if y.dtype.is_float]


def dot(arrays, others):
    return sum(float(np.sum(a * b)) for a, b in zip(arrays, others, strict=True))


def assert_dual(outputs, draw):
    def like(tensors):
        return [draw.rng.normal(size=tensor.shape).astype(tensor.dtype.numpy) for tensor in tensors]

    tangents, cotangents = like(draw.variables), like(outputs)
    pushed = gx.evaluate(gx.jvp(outputs, draw.variables, tangents), draw.values)
    slopes = gx.vjp(outputs, draw.variables, cotangents)
    pulled = gx.evaluate(slopes, draw.values)
    if not any(tangent.size for tangent in tangents):
        return slopes  # nothing moves; the mean of nothing is NaN all the same
    left, right = dot(pushed, cotangents), dot(pulled, tangents)
    scale = sum(float(np.abs(a * b).sum()) for a, b in zip(pulled, tangents, strict=True))
    assert left == pytest.approx(right, rel=1e-9, abs=1e-11 * max(scale, 1.0))
    return slopes


@pytest.mark.parametrize(("function", "number"), CASES, ids=[f"{f.name}-{n}" for f, n in CASES])
def test_forward_and_reverse_agree(function, number):
    sample, draw = function.samples[number], Draw()
    outputs = outputs_of(function, sample, draw)
    slopes = assert_dual(outputs, draw)
    if sample.second:
        assert_dual(slopes, draw)
