"""graphc: a compiled static-graph autodiff engine.

Build a graph with tensors from `input`, `parameter` and `constant` and the functions below; differentiate it with
`grad` and its kin; make it a `Program` with `compile`; look at single values with `evaluate`. See README.md for a tour.
"""

from graphc import errors, nn, optim
from graphc.aot.exporting import load
from graphc.api import compile
from graphc.backends.cuda.engine.device_array import DeviceArray
from graphc.dsl.variables import constant, input, parameter, state
from graphc.errors import GraphcError
from graphc.frontier import Frontier, FrontierPoint, memory_frontier
from graphc.ops.functions.activations import (
    celu,
    elu,
    gelu,
    log_sigmoid,
    mish,
    relu,
    selu,
    silu,
    softplus,
    softsign,
    tanhshrink,
)
from graphc.ops.functions.arithmetic import abs, addcdiv, addcmul, frac, lerp, positive, power, reciprocal, square
from graphc.ops.functions.attention import scaled_dot_product_attention
from graphc.ops.functions.checkpoint import checkpoint
from graphc.ops.functions.contraction import dot, inner, linear, matmul, outer, tensordot, vecdot
from graphc.ops.functions.convolution import conv1d, conv2d, conv_transpose1d, conv_transpose2d
from graphc.ops.functions.diagonals import diagonal, one_hot, trace, tril, triu
from graphc.ops.functions.einsum import einsum
from graphc.ops.functions.elementary import (
    cbrt,
    deg2rad,
    hypot,
    logaddexp,
    logaddexp2,
    logit,
    rad2deg,
    rsqrt,
    sinc,
    xlog1py,
    xlogy,
)  # fmt: skip
from graphc.ops.functions.gathering import scatter_add, take, take_along_axis
from graphc.ops.functions.indexing import index_add, index_update
from graphc.ops.functions.joining import concatenate, meshgrid, pad, split, stack, unstack
from graphc.ops.functions.piecewise import (
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    leaky_relu,
    prelu,
    relu6,
    softshrink,
    threshold,
)
from graphc.ops.functions.pooling import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    avg_pool1d,
    avg_pool2d,
    max_pool1d,
    max_pool2d,
)
from graphc.ops.functions.random import bernoulli, normal, randint, uniform
from graphc.ops.functions.reductions import all, any, count_nonzero, max, mean, min, prod, sum
from graphc.ops.functions.repeating import fori_loop, map, scan
from graphc.ops.functions.scan import argmax, argmin, cumprod, cumsum
from graphc.ops.functions.selection import (
    astype,
    clip,
    copysign,
    fmax,
    fmin,
    heaviside,
    isclose,
    nan_to_num,
    signbit,
    where,
)
from graphc.ops.functions.shapes import (
    broadcast_arrays,
    broadcast_to,
    expand_dims,
    flip,
    moveaxis,
    repeat,
    reshape,
    roll,
    squeeze,
    swapaxes,
    tile,
    transpose,
)
from graphc.ops.functions.softmax import glu, log_softmax, softmax, softmin
from graphc.ops.functions.sorting import argsort, max_with_index, min_with_index, searchsorted, sort, topk
from graphc.ops.functions.sources import (
    arange,
    eye,
    full,
    full_like,
    linspace,
    ones,
    ones_like,
    stop_gradient,
    zeros,
    zeros_like,
)
from graphc.ops.functions.statistics import logsumexp, nanmean, nansum, norm, ptp, std, var
from graphc.ops.parameter import Parameter
from graphc.ops.primitives.activations import sigmoid
from graphc.ops.primitives.arithmetic import (
    add,
    ceil,
    divide,
    floor,
    floor_divide,
    fmod,
    multiply,
    negative,
    remainder,
    round,
    sign,
    subtract,
    trunc,
)
from graphc.ops.primitives.comparison import (
    bitwise_and,
    bitwise_invert,
    bitwise_left_shift,
    bitwise_or,
    bitwise_right_shift,
    bitwise_xor,
    equal,
    greater,
    greater_equal,
    isfinite,
    isinf,
    isnan,
    less,
    less_equal,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    not_equal,
)
from graphc.ops.primitives.exponential import erf, erfc, exp, exp2, expm1, log, log1p, log2, log10, sqrt
from graphc.ops.primitives.extremes import maximum, minimum
from graphc.ops.primitives.trigonometry import (
    acos,
    acosh,
    asin,
    asinh,
    atan,
    atan2,
    atanh,
    cos,
    cosh,
    sin,
    sinh,
    tan,
    tanh,
)
from graphc.ops.reference import evaluate
from graphc.ops.tensor import Tensor
from graphc.runtime.program import Program
from graphc.transforms import check_gradients, grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp
from graphc.version import __version__ as __version__

__all__ = [
    "DeviceArray", "Frontier", "FrontierPoint", "GraphcError", "Parameter", "Program", "Tensor", "abs", "acos",
    "acosh", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "add", "addcdiv", "addcmul", "all", "any", "arange",
    "argmax", "argmin", "argsort", "asin", "asinh", "astype", "atan", "atan2", "atanh", "avg_pool1d", "avg_pool2d",
    "bernoulli", "bitwise_and", "bitwise_invert", "bitwise_left_shift", "bitwise_or", "bitwise_right_shift",
    "bitwise_xor", "broadcast_arrays", "broadcast_to", "cbrt", "ceil", "celu", "check_gradients", "checkpoint",
    "clip", "compile", "concatenate", "constant", "conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d",
    "copysign", "cos", "cosh", "count_nonzero", "cumprod", "cumsum", "deg2rad", "diagonal", "divide", "dot",
    "einsum", "elu", "equal", "erf", "erfc", "errors", "evaluate", "exp", "exp2", "expand_dims", "expm1", "eye",
    "flip", "floor", "floor_divide", "fmax", "fmin", "fmod", "fori_loop", "frac", "full", "full_like", "gelu",
    "glu", "grad", "greater", "greater_equal", "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "heaviside",
    "hessian", "hvp", "hypot", "index_add", "index_update", "inner", "input", "isclose", "isfinite", "isinf",
    "isnan", "jacobian", "jvp", "leaky_relu", "lerp", "less", "less_equal", "linear", "linspace", "load", "log",
    "log1p", "log2", "log10", "log_sigmoid", "log_softmax", "logaddexp", "logaddexp2", "logical_and", "logical_not",
    "logical_or", "logical_xor", "logit", "logsumexp", "map", "matmul", "max", "max_pool1d", "max_pool2d",
    "max_with_index", "maximum", "mean", "memory_frontier", "meshgrid", "min", "min_with_index", "minimum", "mish",
    "moveaxis", "multiply", "nan_to_num", "nanmean", "nansum", "negative", "nn", "norm", "normal", "not_equal",
    "one_hot", "ones", "ones_like", "optim", "outer", "pad", "parameter", "positive", "power", "prelu", "prod",
    "ptp", "rad2deg", "randint", "reciprocal", "relu", "relu6", "remainder", "repeat", "reshape", "roll", "round",
    "rsqrt", "scaled_dot_product_attention", "scan", "scatter_add", "searchsorted", "selu", "sigmoid", "sign",
    "signbit", "silu", "sin", "sinc", "sinh", "softmax", "softmin", "softplus", "softshrink", "softsign", "sort",
    "split", "sqrt", "square", "squeeze", "stack", "state", "std", "stop_gradient", "subtract", "sum", "swapaxes",
    "take", "take_along_axis", "tan", "tanh", "tanhshrink", "tensordot", "threshold", "tile", "topk", "trace",
    "transpose", "tril", "triu", "trunc", "uniform", "unstack", "value_and_grad", "var", "vecdot", "vjp", "where",
    "xlog1py", "xlogy", "zeros", "zeros_like",
]  # fmt: skip
