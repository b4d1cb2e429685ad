"""Convolutions as users call them, with PyTorch's names, arguments and semantics.

`conv1d`, `conv2d` and their transposes take batches or single examples. A 1-d convolution is a 2-d one over planes of
height 1. A transposed convolution is the gradient of a convolution with respect to its input.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from graphc.errors import DTypeError, ShapeError, shown
from graphc.ops.build import apply, as_tensor, cast, invoke, promoted
from graphc.ops.functions.shapes import integers
from graphc.ops.primitives.convolution import Pads
from graphc.ops.primitives.views import Ints, dtype_error, pad_view, reshape_to, shape_error
from graphc.ops.record import FLOAT, Arg, Array, Sample, function
from graphc.ops.tensor import Tensor

__all__ = ["as_2d", "conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d", "extents", "pads_of", "repeated"]


# Arguments -------------------------------------------------------------------------------------------------------
def extents(value: Any, dims: int, what: str, least: int) -> Ints:
    """One integer for all axes, or one for each, all of them at least `least`. Raises ShapeError, naming `what`."""
    numbers = integers(value, what)
    full = numbers * dims if len(numbers) == 1 else numbers
    if len(full) != dims or min(full) < least:
        raise shape_error(f"{what} is an integer >= {least}, or {dims} of them; got {shown(value)}")
    return full


def _paddings(padding: Any, dims: int, kernel: Ints, stride: Ints, dilation: Ints, what: str) -> tuple[Ints, Ints]:
    """Padding before and after each axis. "same" puts the odd element after."""
    if padding == "valid":
        return (0,) * dims, (0,) * dims
    if padding == "same":
        if any(step != 1 for step in stride):
            raise shape_error(f'{what} with padding "same" needs stride 1, not {stride}')
        whole = tuple(spread * (size - 1) for spread, size in zip(dilation, kernel, strict=True))
        return tuple(width // 2 for width in whole), tuple(width - width // 2 for width in whole)
    if isinstance(padding, str):
        raise shape_error(f'{what} padding is an integer, a tuple, "same" or "valid"; got {shown(padding)}')
    both = extents(padding, dims, f"{what} padding", 0)
    return both, both


def _prepared(x: Any, weight: Any, bias: Any, dims: int, what: str) -> tuple[Tensor, Tensor, Tensor | None]:
    """The operands in one floating dtype, with their numbers of axes checked."""
    x, weight = promoted(x, weight)
    for tensor, role in ((x, "x"), (weight, "weight")):
        if not tensor.dtype.is_float:
            raise dtype_error(f"{what} takes floating tensors; {role} is {tensor.type}")
    axes = "L" if dims == 1 else "H, W"
    if x.ndim not in (dims + 1, dims + 2):
        raise shape_error(f"{what} takes x[N, C, {axes}] or [C, {axes}], not {x.type}")
    if weight.ndim != dims + 2:
        raise shape_error(f"{what} takes a weight with {dims + 2} axes, not {weight.type}")
    if min(weight.shape[2:]) < 1:
        raise shape_error(f"{what} takes a kernel of at least one element, not {weight.type}")
    return x, weight, None if bias is None else cast(as_tensor(bias), x.dtype)


def _with_bias(y: Tensor, bias: Tensor | None, channels: int, what: str) -> Tensor:
    if bias is None:
        return y
    if bias.shape != (channels,):
        raise shape_error(f"{what} takes a bias for each of its {channels} output channels, not {bias.type}")
    return invoke("add", y, reshape_to(bias, (1, channels, 1, 1)))


def planes_of(x: Tensor, dims: int) -> Tensor:
    """[C, L] to [N, C, L] to [N, C, 1, L], as far as needed."""
    shape = x.shape if x.ndim == dims + 2 else (1, *x.shape)
    return reshape_to(x, shape if dims == 2 else (*shape[:2], 1, shape[2]))


def restored(y: Tensor, x: Tensor, dims: int) -> Tensor:
    """The result in the form in which `x` came."""
    shape = y.shape if dims == 2 else (*y.shape[:2], y.shape[3])
    return reshape_to(y, shape if x.ndim == dims + 2 else shape[1:])


def as_2d(values: Ints, one: int) -> Ints:
    """Values for the axes of a plane, `one` for the height of a line."""
    return values if len(values) == 2 else (one, *values)


def pads_of(low: Ints, high: Ints) -> Pads:
    """Padding before and after each axis, as primitives take it."""
    (top, left), (bottom, right) = as_2d(low, 0), as_2d(high, 0)
    return (top, bottom), (left, right)


# Both convolutions, for one or two axes -------------------------------------------------------------------------
def _convolve(
    x: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: Any, dims: int
) -> Tensor:
    what = f"conv{dims}d"
    x, weight, bias = _prepared(x, weight, bias, dims, what)
    groups = _groups(groups, what)
    steps, spread = extents(stride, dims, f"{what} stride", 1), extents(dilation, dims, f"{what} dilation", 1)
    low, high = _paddings(padding, dims, weight.shape[2:], steps, spread, what)
    channels = x.shape[-dims - 1]
    if channels != weight.shape[1] * groups or weight.shape[0] % groups:
        raise shape_error(
            f"{what}: x has {channels} channels; weight {weight.type} in {groups} groups takes "
            f"{weight.shape[1] * groups}, and its {weight.shape[0]} filters must be a multiple of {groups}"
        )
    _check_reach(x.shape[-dims:], weight.shape[2:], low, high, spread, what)
    planes, filters = planes_of(x, dims), planes_of(weight, dims)
    y = apply(
        "conv2d", planes, filters, stride=as_2d(steps, 1), padding=pads_of(low, high), dilation=as_2d(spread, 1),
        groups=groups,
    )  # fmt: skip
    return restored(_with_bias(y, bias, weight.shape[0], what), x, dims)


def _groups(groups: Any, what: str) -> int:
    if isinstance(groups, bool) or not isinstance(groups, (int, np.integer)) or groups < 1:
        raise shape_error(f"{what} groups is an integer >= 1, not {shown(groups)}")
    return int(groups)


def _check_reach(size: Ints, kernel: Ints, low: Ints, high: Ints, dilation: Ints, what: str) -> None:
    for axis, extent in enumerate(size):
        reach = dilation[axis] * (kernel[axis] - 1) + 1
        room = low[axis] + extent + high[axis]
        if reach > room:
            raise shape_error(
                f"{what}: the kernel reaches over {reach} elements of spatial axis {axis}, "
                f"which has {room}, padding included"
            )


def _convolve_transposed(
    x: Any, weight: Any, bias: Any, stride: Any, padding: Any, output_padding: Any, groups: Any, dilation: Any,
    dims: int,
) -> Tensor:  # fmt: skip
    what = f"conv_transpose{dims}d"
    x, weight, bias = _prepared(x, weight, bias, dims, what)
    groups = _groups(groups, what)
    steps, spread = extents(stride, dims, f"{what} stride", 1), extents(dilation, dims, f"{what} dilation", 1)
    low = extents(padding, dims, f"{what} padding", 0)
    more = _output_padding(output_padding, steps, spread, what)
    if x.shape[-dims - 1] != weight.shape[0] or weight.shape[0] % groups:
        raise shape_error(
            f"{what}: x has {x.shape[-dims - 1]} channels; weight {weight.type} takes {weight.shape[0]}, "
            f"which must be a multiple of its {groups} groups"
        )
    high = tuple(max(width - extra, 0) for width, extra in zip(low, more, strict=True))
    size = _transposed_size(x.shape[-dims:], weight.shape[2:], steps, low, high, spread, what)
    y = apply(
        "conv2d_input_grad", planes_of(x, dims), planes_of(weight, dims), input_size=as_2d(size, 1),
        stride=as_2d(steps, 1), padding=pads_of(low, high), dilation=as_2d(spread, 1), groups=groups,
    )  # fmt: skip
    tail = as_2d(tuple(max(extra - width, 0) for width, extra in zip(low, more, strict=True)), 0)
    y = pad_view(y, (0,) * 4, (0, 0, *tail))
    return restored(_with_bias(y, bias, weight.shape[1] * groups, what), x, dims)


def _output_padding(value: Any, stride: Ints, dilation: Ints, what: str) -> Ints:
    more = extents(value, len(stride), f"{what} output_padding", 0)
    for extra, step, spread in zip(more, stride, dilation, strict=True):
        if extra and extra >= max(step, spread):
            raise shape_error(f"{what} output_padding must be below stride {stride} or dilation {dilation}, not {more}")
    return more


def _transposed_size(size: Ints, kernel: Ints, stride: Ints, low: Ints, high: Ints, dilation: Ints, what: str) -> Ints:
    sizes = []
    for axis, extent in enumerate(size):
        full = (extent - 1) * stride[axis] + dilation[axis] * (kernel[axis] - 1) + 1
        sizes.append(full - low[axis] - high[axis])
        if extent < 1 or sizes[-1] < 0:
            raise shape_error(
                f"{what}: spatial axis {axis} of extent {extent} becomes {full} elements, "
                f"from which padding {low[axis]} cannot be taken"
            )
    return tuple(sizes)


# NumPy formulas, by sums over windows --------------------------------------------------------------------------
def _conv_formula(dims: int) -> Callable[..., Array]:
    def formula(
        x: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
    ) -> Array:
        steps, spread = repeated(stride, dims), repeated(dilation, dims)
        reach = [d * (k - 1) + 1 for d, k in zip(spread, weight.shape[2:], strict=True)]
        if padding == "same":
            pads = [((r - 1) // 2, r // 2) for r in reach]
        else:
            pads = [(p, p) for p in repeated(0 if padding == "valid" else padding, dims)]
        batch = x if x.ndim == dims + 2 else x[None]
        padded = np.pad(batch, [(0, 0), (0, 0), *pads])
        windows = np.lib.stride_tricks.sliding_window_view(padded, reach, tuple(range(2, dims + 2)))
        apart: Any = (*(slice(None, None, s) for s in steps), *(slice(None, None, d) for d in spread))
        windows = windows[:, :, *apart]
        y = _grouped_sum(windows, weight, groups, dims)
        y = y if bias is None else y + bias.reshape(-1, *(1,) * dims)
        return y if x.ndim == dims + 2 else y[0]

    return formula


def repeated(value: Any, dims: int) -> Any:
    """For formulas: a setting for each axis."""
    return value if isinstance(value, tuple) else (value,) * dims


def _grouped_sum(windows: Array, weight: Array, groups: int, dims: int) -> Array:
    taps = "pq"[:dims]
    spec = f"nc{'ij'[:dims]}{taps},oc{taps}->no{'ij'[:dims]}"
    pairs = zip(np.split(windows, groups, 1), np.split(weight, groups, 0), strict=True)
    return np.concatenate([np.einsum(spec, part, filters) for part, filters in pairs], axis=1)


def _transposed_formula(dims: int) -> Callable[..., Array]:
    def formula(
        x: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
        groups: int = 1, dilation: Any = 1,
    ) -> Array:  # fmt: skip
        steps, spread, cut, more = (repeated(v, dims) for v in (stride, dilation, padding, output_padding))
        batch = x if x.ndim == dims + 2 else x[None]
        kernel = weight.shape[2:]
        full = [
            (n - 1) * s + d * (k - 1) + 1 + m
            for n, s, d, k, m in zip(batch.shape[2:], steps, spread, kernel, more, strict=True)
        ]
        y = np.zeros((batch.shape[0], weight.shape[1] * groups, *full), x.dtype)
        for position in np.ndindex(*batch.shape[2:]):
            for tap in np.ndindex(*kernel):
                at = tuple(i * s + t * d for i, s, t, d in zip(position, steps, tap, spread, strict=True))
                here, filters = batch[(..., *position)], weight[(..., *tap)]
                pairs = zip(np.split(here, groups, 1), np.split(filters, groups, 0), strict=True)
                y[(..., *at)] += np.concatenate([part @ filter for part, filter in pairs], axis=1)
        inner: Any = tuple(slice(c, n - c) for c, n in zip(cut, y.shape[2:], strict=True))
        y = y[:, :, *inner]
        y = y if bias is None else y + bias.reshape(-1, *(1,) * dims)
        return y if x.ndim == dims + 2 else y[0]

    return formula


# Functions -------------------------------------------------------------------------------------------------------
def _sample(x: Ints, weight: Ints, bias: int | None = None, **options: Any) -> Sample:
    operands = (Arg(x), Arg(weight)) if bias is None else (Arg(x), Arg(weight), Arg((bias,)))
    return Sample(operands, tuple(options.items()))


@function(
    formula=_conv_formula(2),
    samples=(
        _sample((2, 2, 5, 4), (3, 2, 3, 2), 3),
        _sample((1, 2, 5, 6), (2, 2, 3, 3), 2, stride=2, padding=1),
        _sample((1, 1, 6, 5), (2, 1, 2, 3), None, stride=(2, 1), padding=(0, 2), dilation=(2, 1)),
        _sample((2, 4, 4, 4), (6, 2, 2, 2), None, groups=2, padding="valid"),
        _sample((1, 3, 4, 4), (3, 1, 3, 3), 3, groups=3, padding="same"),
        _sample((1, 2, 4, 5), (2, 2, 2, 4), None, padding="same", dilation=(1, 2)),
        _sample((2, 4, 3), (1, 2, 1, 1), 1),
        _sample((1, 1, 2, 2), (1, 1, 4, 4), None, padding=2),
        _sample((0, 2, 3, 3), (1, 2, 2, 2), 1),
        _sample((1, 2, 7, 7), (2, 2, 3, 3), None, stride=3),
    ),
    dtypes=FLOAT,
    errors=(
        (ShapeError, (Arg((1, 3, 5, 5)), Arg((2, 2, 3, 3))), {}),
        (ShapeError, (Arg((1, 2, 2, 2)), Arg((2, 2, 3, 3))), {}),
        (ShapeError, (Arg((5, 5)), Arg((2, 2, 3, 3))), {}),
        (ShapeError, (Arg((1, 2, 5, 5)), Arg((2, 2, 3))), {}),
        (ShapeError, (Arg((1, 2, 5, 5)), Arg((2, 2, 3, 3)), Arg((3,))), {}),
        (ShapeError, (Arg((1, 2, 5, 5)), Arg((2, 2, 3, 3))), {"stride": 0}),
        (ShapeError, (Arg((1, 2, 5, 5)), Arg((2, 2, 3, 3))), {"padding": -1}),
        (ShapeError, (Arg((1, 2, 5, 5)), Arg((2, 2, 3, 3))), {"padding": "full"}),
        (ShapeError, (Arg((1, 2, 5, 5)), Arg((2, 2, 3, 3))), {"padding": "same", "stride": 2}),
        (ShapeError, (Arg((1, 4, 5, 5)), Arg((3, 2, 3, 3))), {"groups": 2}),
        (ShapeError, (Arg((1, 2, 5, 5)), Arg((2, 2, 3, 3))), {"groups": 0}),
        (DTypeError, (Arg((1, 2, 5, 5), dtype="int32"), Arg((2, 2, 3, 3), dtype="int32")), {}),
    ),
)
def conv2d(
    x: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Tensor:
    """PyTorch's conv2d: `x[N, C, H, W]` or `[C, H, W]`, `weight[O, C/groups, KH, KW]`, `bias[O]`.

    `stride`, `padding` and `dilation` are integers or pairs; `padding` may be "valid" or "same" (stride 1 only). The
    result has `(H + 2*padding - dilation*(KH - 1) - 1) // stride + 1` rows. Raises ShapeError, DTypeError.

    >>> conv2d(np.zeros((1, 3, 8, 8)), np.zeros((4, 3, 3, 3)), padding=1).shape
    (1, 4, 8, 8)
    """
    return _convolve(x, weight, bias, stride, padding, dilation, groups, 2)


@function(
    formula=_conv_formula(1),
    samples=(
        _sample((2, 2, 6), (3, 2, 3), 3),
        _sample((1, 2, 7), (2, 2, 3), 2, stride=2, padding=1, dilation=2),
        _sample((2, 4, 5), (4, 1, 2), None, groups=4, padding="same"),
        _sample((2, 5), (1, 2, 2), 1, padding="valid"),
        _sample((0, 2, 5), (1, 2, 2)),
    ),
    dtypes=FLOAT,
    errors=(
        (ShapeError, (Arg((1, 3, 5)), Arg((2, 2, 3))), {}),
        (ShapeError, (Arg((1, 2, 2)), Arg((2, 2, 3))), {}),
        (ShapeError, (Arg((1, 2, 5)), Arg((2, 2, 3))), {"stride": (1, 2)}),
    ),
)
def conv1d(
    x: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Tensor:
    """PyTorch's conv1d: `x[N, C, L]` or `[C, L]`, `weight[O, C/groups, K]`, `bias[O]`. Arguments as for `conv2d`."""
    return _convolve(x, weight, bias, stride, padding, dilation, groups, 1)


@function(
    formula=_transposed_formula(2),
    samples=(
        _sample((2, 2, 3, 2), (2, 3, 2, 3), 3),
        _sample((1, 2, 3, 3), (2, 2, 3, 3), 2, stride=2, padding=1, output_padding=1),
        _sample((1, 4, 2, 3), (4, 1, 2, 2), None, groups=2, stride=(2, 1), dilation=(1, 2)),
        _sample((1, 1, 2, 2), (1, 1, 2, 2), None, stride=3, output_padding=2),
        _sample((2, 3, 3), (2, 1, 3, 3), 1, padding=(1, 0)),
        _sample((0, 2, 3, 3), (2, 1, 2, 2), 1),
    ),
    dtypes=FLOAT,
    errors=(
        (ShapeError, (Arg((1, 3, 5, 5)), Arg((2, 2, 3, 3))), {}),
        (ShapeError, (Arg((1, 2, 5, 5)), Arg((2, 2, 3, 3))), {"output_padding": 1}),
        (ShapeError, (Arg((1, 2, 1, 1)), Arg((2, 2, 1, 1))), {"padding": 1}),
        (ShapeError, (Arg((1, 2, 5, 5)), Arg((2, 2, 3, 3)), Arg((3,))), {}),
        (ShapeError, (Arg((1, 2, 5, 5)), Arg((2, 2, 3, 3))), {"padding": "same"}),
    ),
)
def conv_transpose2d(
    x: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: int = 1,
    dilation: Any = 1,
) -> Tensor:  # fmt: skip
    """PyTorch's conv_transpose2d: `x[N, C, H, W]` or `[C, H, W]`, `weight[C, O/groups, KH, KW]`, `bias[O]`.

    The result has `(H - 1)*stride - 2*padding + dilation*(KH - 1) + output_padding + 1` rows: the gradient of conv2d
    with these arguments with respect to its input. Raises ShapeError, DTypeError.
    """
    return _convolve_transposed(x, weight, bias, stride, padding, output_padding, groups, dilation, 2)


@function(
    formula=_transposed_formula(1),
    samples=(
        _sample((2, 2, 3), (2, 3, 2), 3),
        _sample((1, 2, 4), (2, 2, 3), 2, stride=2, padding=1, output_padding=1),
        _sample((4, 3), (4, 1, 2), None, groups=2, dilation=2),
    ),
    dtypes=FLOAT,
    errors=(
        (ShapeError, (Arg((1, 3, 5)), Arg((2, 2, 3))), {}),
        (ShapeError, (Arg((1, 2, 5)), Arg((2, 2, 3))), {"output_padding": 2, "stride": 2}),
    ),
)
def conv_transpose1d(
    x: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: int = 1,
    dilation: Any = 1,
) -> Tensor:  # fmt: skip
    """PyTorch's conv_transpose1d: `x[N, C, L]` or `[C, L]`, `weight[C, O/groups, K]`. As `conv_transpose2d`."""
    return _convolve_transposed(x, weight, bias, stride, padding, output_padding, groups, dilation, 1)
