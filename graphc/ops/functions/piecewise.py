"""Activations made of pieces, nearly all of them straight, with PyTorch's names and conventions at kinks and jumps.

They are compositions that fuse into one pass; the curves, and what all activations share, stand in activations.py.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from graphc.errors import DTypeError, ShapeError, shown
from graphc.ops.build import as_float, as_tensor, invoke, operands
from graphc.ops.elementwise import floats, over, samples
from graphc.ops.functions.activations import activation, require
from graphc.ops.functions.selection import where
from graphc.ops.primitives.views import shape_error
from graphc.ops.record import FLOAT, Arg, Sample, function
from graphc.ops.tensor import Tensor

__all__ = [
    "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "prelu", "relu6", "softshrink", "threshold",
]  # fmt: skip


@activation(
    lambda x, slope=0.01: np.where(x > 0, x, x * x.dtype.type(slope)),
    over(-4, 4, 0.0),
    "the derivative at 0 is negative_slope",
    [Sample((Arg((2, 3), -4, 4, away_from=(0.0,)), 0.3))],
)
def leaky_relu(x: Any, negative_slope: float = 0.01) -> Tensor:
    """x where it is positive, negative_slope * x elsewhere. Raises DTypeError.

    x: any shape; integers and bools become float64.

    >>> evaluate(leaky_relu([-1.0, 2.0], 0.5))
    array([-0.5,  2. ], dtype=float32)
    """
    tensor = as_float(x)
    return where(tensor > 0, tensor, tensor * negative_slope)


def _prelu_formula(x: Any, weight: Any) -> Any:
    shape = () if weight.size == 1 else (weight.size,) + (1,) * (x.ndim - 2)
    return np.where(x > 0, x, x * weight.reshape(shape))


@function(
    formula=floats(_prelu_formula),
    samples=[
        Sample((Arg((2, 3), away_from=(0.0,)), Arg((3,)))),
        Sample((Arg((2, 3, 4), away_from=(0.0,)), Arg((3,)))),
        Sample((Arg((2, 3, 4), away_from=(0.0,)), Arg((1,)))),
        Sample((Arg((5,), away_from=(0.0,)), Arg(()))),
        Sample((Arg((5,), away_from=(0.0,)), Arg((1,)))),
        Sample((Arg((), away_from=(0.0,)), Arg(()))),
        Sample((Arg((), away_from=(0.0,)), Arg((1,)))),
        Sample((Arg((0, 3), away_from=(0.0,)), Arg((3,)))),
    ],
    dtypes=FLOAT,
    convention="the derivative at 0 is the weight",
    errors=[
        *((ShapeError, (Arg((2, 3)), Arg(shape)), {}) for shape in ((2,), (1, 3), (0,))),
        *((ShapeError, (Arg(shape), Arg((3,))), {}) for shape in ((), (1,), (3,), (2, 1), (2, 1, 3))),
    ],
)
def prelu(x: Any, weight: Any) -> Tensor:
    """x where it is positive, weight * x elsewhere: one weight for all, or one for each channel (axis 1).

    x: any shape; weight: 0-d, (1,) or (channels,). Raises DTypeError, ShapeError.

    >>> evaluate(prelu([-1.0, 2.0], 0.5))
    array([-0.5,  2. ], dtype=float32)
    """
    tensor, slope = as_float(x), as_tensor(weight, as_float(x).dtype)
    channels = tensor.shape[1] if tensor.ndim > 1 else 1
    if slope.ndim > 1 or slope.size not in (1, channels):
        raise shape_error(
            f"prelu of {tensor!r} takes one weight, or one for each of its {channels} channel(s) on axis 1, "
            f"but its weight has shape {slope.shape}"
        )
    slope = invoke("reshape", slope, () if slope.size == 1 else (slope.size,) + (1,) * (tensor.ndim - 2))
    a, b = operands(tensor, slope)
    return where(a > 0, a, a * b)


@activation(
    lambda x: np.where(x <= 0, x.dtype.type(0), np.minimum(x, 6)),
    over(-4, 9, 0.0, 6.0),
    "the derivative at 0 and 6 is 0",
)
def relu6(x: Any) -> Tensor:
    """min(max(x, 0), 6). Raises DTypeError.

    x: any shape; integers and bools become float64.

    >>> evaluate(relu6([-1.0, 2.0, 9.0]))
    array([0., 2., 6.], dtype=float32)
    """
    return hardtanh(x, 0.0, 6.0)


@activation(
    lambda x, low=-1.0, high=1.0: np.clip(x, low, high).astype(x.dtype),
    over(-4, 4, -1.0, 1.0),
    "the derivative at both ends is 0",
    [Sample((Arg((2, 3), -4, 4, away_from=(-2.0, 0.5)), -2.0, 0.5)), Sample((Arg((2, 3)), 1.0, 1.0))],
    refused=[(1.0, -1.0), (math.nan, 1.0)],
)
def hardtanh(x: Any, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """x between min_val and max_val, the nearer of these outside. Raises DTypeError, GraphError if min_val > max_val.

    x: any shape; integers and bools become float64.

    >>> evaluate(hardtanh([-3.0, 0.5]))
    array([-1. ,  0.5], dtype=float32)
    """
    require(
        min_val <= max_val,
        f"hardtanh from {shown(min_val)} to {shown(max_val)}: the lower end is not below the upper one",
    )
    tensor = as_float(x)
    return where(tensor <= min_val, min_val, where(tensor >= max_val, max_val, tensor))


@activation(
    lambda x: np.clip(x / 6 + x.dtype.type(0.5), 0, 1), over(-5, 5, -3.0, 3.0), "the derivative at -3 and 3 is 0"
)
def hardsigmoid(x: Any) -> Tensor:
    """x / 6 + 1/2 between -3 and 3, 0 below and 1 above. Raises DTypeError.

    x: any shape; integers and bools become float64.

    >>> evaluate(hardsigmoid([-4.0, 0.0, 1.5]))
    array([0.  , 0.5 , 0.75], dtype=float32)
    """
    tensor = as_float(x)
    return where(tensor <= -3, 0.0, where(tensor >= 3, 1.0, tensor / 6 + 0.5))


@activation(
    lambda x: x * np.clip(x / 6 + x.dtype.type(0.5), 0, 1),
    over(-5, 5, -3.0, 3.0),
    "the derivative at -3 is 0, at 3 it is 1",
)
def hardswish(x: Any) -> Tensor:
    """x hardsigmoid(x) (Howard et al. 2019). Raises DTypeError.

    x: any shape; integers and bools become float64.

    >>> evaluate(hardswish([-4.0, 1.5]))
    array([-0.   ,  1.125], dtype=float32)
    """
    tensor = as_float(x)
    return tensor * hardsigmoid(tensor)


@activation(
    lambda x, lambd=0.5: np.where(np.abs(x) <= lambd, x.dtype.type(0), x - np.copysign(x.dtype.type(lambd), x)),
    over(-4, 4, -0.5, 0.5),
    "the derivative at -lambd and lambd is 0",
    [Sample((Arg((2, 3), -4, 4, away_from=(-1.0, 1.0)), 1.0)), Sample((Arg((2, 3), away_from=(0.0,)), 0.0))],
    refused=[(-1.0,), (math.nan,)],
)
def softshrink(x: Any, lambd: float = 0.5) -> Tensor:
    """x moved by lambd >= 0 towards 0, and 0 where it is that near. Raises DTypeError, GraphError.

    x: any shape; integers and bools become float64.

    >>> evaluate(softshrink([-1.0, 0.2, 2.0]))
    array([-0.5,  0. ,  1.5], dtype=float32)
    """
    require(lambd >= 0, f"softshrink moves by a lambd of at least 0, not {shown(lambd)}")
    tensor = as_float(x)
    return where(tensor > lambd, tensor - lambd, where(tensor < -lambd, tensor + lambd, invoke("abs", tensor) * 0))


@activation(
    lambda x, lambd=0.5: np.where(np.abs(x) <= lambd, x.dtype.type(0), x),
    over(-4, 4, -0.5, 0.5),
    "the derivative at the jumps is 0",
    [Sample((Arg((2, 3), -4, 4, away_from=(-1.0, 1.0)), 1.0))],
)
def hardshrink(x: Any, lambd: float = 0.5) -> Tensor:
    """x, and 0 where it lies within lambd of 0. Raises DTypeError.

    x: any shape; integers and bools become float64.

    >>> evaluate(hardshrink([-1.0, 0.2]))
    array([-1.,  0.], dtype=float32)
    """
    tensor = as_float(x)
    return where(invoke("logical_and", tensor >= -lambd, tensor <= lambd), 0, tensor)


@function(
    formula=floats(lambda x, threshold, value: np.where(x <= threshold, x.dtype.type(value), x)),
    samples=[Sample((*sample.args, 0.5, -1.0)) for sample in samples(over(-4, 4, 0.5))],
    dtypes=(*FLOAT, "int32"),
    convention="the derivative at the threshold is 0",
    errors=[(DTypeError, ("text", 0.0, 0.0), {})],
)
def threshold(x: Any, threshold: float, value: float) -> Tensor:
    """x where it exceeds the threshold, `value` elsewhere; nan stays nan. Raises DTypeError.

    x: any shape; integers and bools become float64.

    >>> evaluate(threshold([-1.0, 2.0], 0.5, 7.0))
    array([7., 2.], dtype=float32)
    """
    tensor = as_float(x)
    return where(tensor <= threshold, value, tensor)
