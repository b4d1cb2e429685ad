"""Convolution and pooling layers. Names, shapes of weights, initial values and defaults are PyTorch's."""

from __future__ import annotations

from typing import Any

from graphc.dsl.variables import parameter
from graphc.errors import GraphError, shown, with_location
from graphc.ir.location import capture
from graphc.nn import init
from graphc.nn.linear import bias_values, weight_values
from graphc.nn.module import Module, check_input
from graphc.ops.functions.convolution import conv1d, conv2d, conv_transpose2d
from graphc.ops.functions.pooling import avg_pool2d, max_pool2d
from graphc.ops.parameter import Parameter
from graphc.ops.tensor import Tensor

__all__ = ["AvgPool2d", "Conv1d", "Conv2d", "ConvTranspose2d", "MaxPool2d"]

Size = int | tuple[int, ...]


def _each(value: Size, axes: int, name: str, least: int = 1) -> tuple[int, ...]:
    """`value` for each spatial axis. Raises GraphError unless it is one int, or one for each, of at least `least`."""
    sizes = (value,) * axes if isinstance(value, int) else tuple(value)
    if len(sizes) != axes or any(not isinstance(size, int) or size < least for size in sizes):
        message = f"{name} is an integer, or a tuple of {axes}, of at least {least}; got {shown(value)}"
        raise with_location(GraphError(message), capture())
    return sizes


class _Convolution(Module):
    """What the convolutions share: settings, weight, bias, and the check of the input."""

    axes: int
    transposed: bool = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size,
        padding: Size | str,
        dilation: Size,
        groups: int,
        bias: bool,
        rng: init.Random,
        dtype: Any,
    ) -> None:
        name = type(self).__name__
        if groups < 1 or in_channels % groups or out_channels % groups:
            message = f"{name} cannot divide {in_channels} and {out_channels} channels into {groups} equal groups"
            raise with_location(GraphError(message), capture())
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = _each(kernel_size, self.axes, "kernel_size")
        self.stride, self.dilation = _each(stride, self.axes, "stride"), _each(dilation, self.axes, "dilation")
        self.padding = padding if isinstance(padding, str) else _each(padding, self.axes, "padding", 0)
        pair = (in_channels, out_channels) if self.transposed else (out_channels, in_channels)
        shape, random = (pair[0], pair[1] // groups, *self.kernel_size), init.generator(rng)
        self.weight = parameter(f"{name}.weight", weight_values(shape, random), dtype=dtype)
        self.bias: Parameter | None = None
        if bias:
            self.bias = parameter(f"{name}.bias", bias_values(out_channels, shape, random), dtype=dtype)

    def _checked(self, x: Tensor) -> Tensor:
        layout = f"(N, {self.in_channels}, {'L' if self.axes == 1 else 'H, W'})"
        check_input(self, x, layout, (self.axes + 2,), 1, self.in_channels)
        return x

    def describe(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        if isinstance(self.padding, str) or any(self.padding):
            text += f", padding={self.padding!r}"
        if any(step != 1 for step in self.dilation):
            text += f", dilation={self.dilation}"
        text += f", groups={self.groups}" if self.groups != 1 else ""
        return text + (", bias=False" if self.bias is None else "")


class Conv1d(_Convolution):
    """Cross-correlation of (N, C, L); weight (out_channels, in_channels / groups, kernel_size)."""

    axes = 1

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        rng: init.Random = None,
        dtype: Any = "float32",
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, rng, dtype)

    def forward(self, x: Tensor) -> Tensor:
        x = self._checked(x)
        return conv1d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class Conv2d(_Convolution):
    """Cross-correlation of (N, C, H, W); weight (out_channels, in_channels / groups, *kernel_size)."""

    axes = 2

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        rng: init.Random = None,
        dtype: Any = "float32",
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, rng, dtype)

    def forward(self, x: Tensor) -> Tensor:
        x = self._checked(x)
        return conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class ConvTranspose2d(_Convolution):
    """The transpose of a convolution of (N, C, H, W); weight (in_channels, out_channels / groups, *kernel_size).

    An axis of extent n becomes `(n - 1)·stride - 2·padding + dilation·(kernel - 1) + output_padding + 1`.
    """

    axes = 2
    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Any = 0,
        output_padding: Size = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Size = 1,
        *,
        rng: init.Random = None,
        dtype: Any = "float32",
    ) -> None:
        if isinstance(padding, str):
            raise with_location(GraphError(f"ConvTranspose2d takes padding as a number, not {padding!r}"), capture())
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, rng, dtype)
        self.output_padding = _each(output_padding, 2, "output_padding", 0)

    def forward(self, x: Tensor) -> Tensor:
        x, shape = self._checked(x), (self.stride, self.padding, self.output_padding)
        return conv_transpose2d(x, self.weight, self.bias, *shape, self.groups, self.dilation)


class MaxPool2d(Module):
    """The largest value of each window of (N, C, H, W); the stride is the window unless given.

    `ceil_mode` adds windows that stick out at the end.
    """

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        dilation: Size = 1,
        *,
        ceil_mode: bool = False,
    ) -> None:
        self.kernel_size = _each(kernel_size, 2, "kernel_size")
        self.stride = self.kernel_size if stride is None else _each(stride, 2, "stride")
        self.padding, self.dilation = _each(padding, 2, "padding", 0), _each(dilation, 2, "dilation")
        self.ceil_mode = ceil_mode

    def forward(self, x: Tensor) -> Tensor:
        return max_pool2d(x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)

    def describe(self) -> str:
        sizes = f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"
        return f"{sizes}, dilation={self.dilation}, ceil_mode={self.ceil_mode}"


class AvgPool2d(Module):
    """The mean of each window of (N, C, H, W); the padding counts as zeros unless `count_include_pad` is False."""

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        self.kernel_size = _each(kernel_size, 2, "kernel_size")
        self.stride = self.kernel_size if stride is None else _each(stride, 2, "stride")
        self.padding = _each(padding, 2, "padding", 0)
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, x: Tensor) -> Tensor:
        return avg_pool2d(x, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)

    def describe(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"
