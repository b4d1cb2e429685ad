"""A simulated cuDNN: what vendor/cudnn.py calls of NVIDIA's frontend, on a simulated driver.

It holds what it is given against what the library documents: extents, strides, types, the order of calls, addresses,
workspaces. Of its plans two are exact, of which the second needs a workspace, and uses it; each of the others has a
note that says of what kind it is, or needs too much memory. Convolutions are begun on the driver's stream, or recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np

from graphc.backends.cuda.simulator.driver import LibraryTask, SimulatedDriver
from graphc.backends.cuda.simulator.memory import SimulationError
from graphc.ir.types import DTYPES

__all__ = ["SimulatedCudnn"]

Array = np.ndarray[Any, Any]
WORKSPACE = 4096
_DataType = Enum("_DataType", "FLOAT DOUBLE HALF BFLOAT16")
_HeurMode = Enum("_HeurMode", "A B FALLBACK")
_NumericalNote = Enum(
    "_NumericalNote",
    "TENSOR_CORE DOWN_CONVERT_INPUTS REDUCED_PRECISION_REDUCTION FFT NONDETERMINISTIC WINOGRAD WINOGRAD_TILE_4x4 "
    "WINOGRAD_TILE_6x6 WINOGRAD_TILE_13x13 STRICT_NAN_PROP",
)
_ELEMENTS = {"FLOAT": "float32", "DOUBLE": "float64", "HALF": "float16", "BFLOAT16": "bfloat16"}


class _GraphNotSupportedError(Exception):
    """Of cuDNN: there is nothing that computes this graph."""


@dataclass(frozen=True)
class _Plan:
    name: str
    workspace: int = 0
    notes: tuple[str, ...] = ()


_PLANS = (
    _Plan("eng1_k2=0", 0, ("TENSOR_CORE",)), _Plan("eng4_k1=3", 0, ("FFT",)), _Plan("eng0", 0), _Plan("eng0", 0),
    _Plan("eng3", 0, ("NONDETERMINISTIC",)), _Plan("eng7_k5=1", 1 << 40), _Plan("eng6_k5=1", WORKSPACE),
    _Plan("eng5", 0, ("WINOGRAD", "WINOGRAD_TILE_4x4")), _Plan("eng2", 0, ("DOWN_CONVERT_INPUTS",)),
)  # fmt: skip


@dataclass
class _Tensor:
    """A tensor of a graph; what is set answers with the tensor."""

    dim: list[int] = field(default_factory=list)
    stride: list[int] = field(default_factory=list)
    data_type: _DataType | None = None
    uid: int = -1
    is_output: bool = False

    def set_uid(self, uid: int) -> _Tensor:
        self.uid = uid
        return self

    def set_output(self, is_output: bool) -> _Tensor:
        self.is_output = is_output
        return self

    def set_dim(self, dim: list[int]) -> _Tensor:
        self.dim = dim
        return self

    def set_stride(self, stride: list[int]) -> _Tensor:
        self.stride = stride
        return self

    def set_data_type(self, data_type: _DataType) -> _Tensor:
        self.data_type = data_type
        return self

    @property
    def elements(self) -> Array:
        """Where its elements lie."""
        return np.asarray(sum(at * step for at, step in zip(np.ogrid[*map(slice, self.dim)], self.stride, strict=True)))


class SimulatedCudnn:
    """The library on a simulated driver."""

    data_type, heur_mode, numerical_note = _DataType, _HeurMode, _NumericalNote
    __version__ = "1.22.0"
    cudnnGraphNotSupportedError = _GraphNotSupportedError  # noqa: N815 - as the frontend calls it

    def __init__(self, driver: SimulatedDriver) -> None:
        self.driver = driver
        self.streams: dict[int, int] = {}  # by handle

    def create_handle(self) -> int:
        handle = 1000 + len(self.streams)
        self.streams[handle] = 0
        return handle

    def destroy_handle(self, handle: int) -> None:
        del self.streams[handle]

    def set_stream(self, handle: int, stream: int) -> None:
        self.streams[handle] = stream

    def backend_version(self) -> int:
        return 91000

    def pygraph(
        self, *, io_data_type: _DataType, intermediate_data_type: _DataType, compute_data_type: _DataType, handle: int
    ) -> _ConvolutionGraph:
        if handle not in self.streams or intermediate_data_type != compute_data_type:
            raise SimulationError(f"a graph of handle {handle}, of {intermediate_data_type} by {compute_data_type}")
        return _ConvolutionGraph(self, handle, io_data_type)


class _ConvolutionGraph:
    """A graph of one convolution, forward or backward."""

    def __init__(self, library: SimulatedCudnn, handle: int, io_data_type: _DataType) -> None:
        self._library, self._handle, self._io = library, handle, io_data_type
        self._steps: list[str] = []
        self._kind = ""
        self._tensors: list[_Tensor] = []  # two that are read, and the result
        self._before, self._after, self._strides, self._dilations = [0, 0], [0, 0], [1, 1], [1, 1]
        self._sums: _DataType | None = None
        self._left_out: set[int] = set()
        self._room = 1 << 62
        self._built: set[int] = set()

    def _come_to(self, step: str, before: str) -> None:
        if before and before not in self._steps:
            raise SimulationError(f"{step} comes after {before}")
        self._steps.append(step)

    # Making ----------------------------------------------------------------------------------------------------------
    def tensor(self, *, dim: list[int], stride: list[int], data_type: _DataType, uid: int) -> _Tensor:
        return _Tensor(dim, stride, data_type, uid)

    def conv_fprop(self, *, image: _Tensor, weight: _Tensor, **how: Any) -> _Tensor:
        return self._convolution("forward", image, weight, **how)

    def conv_dgrad(self, *, loss: _Tensor, filter: _Tensor, **how: Any) -> _Tensor:
        return self._convolution("of x", loss, filter, **how)

    def conv_wgrad(self, *, image: _Tensor, loss: _Tensor, **how: Any) -> _Tensor:
        return self._convolution("of w", image, loss, **how)

    def _convolution(
        self, kind: str, first: _Tensor, second: _Tensor, *, pre_padding: list[int], post_padding: list[int],
        stride: list[int], dilation: list[int], compute_data_type: _DataType,
    ) -> _Tensor:  # fmt: skip
        if min(*pre_padding, *post_padding) < 0 or min(*stride, *dilation) < 1:
            raise SimulationError(f"padding of {pre_padding} and {post_padding}, steps of {stride} and {dilation}")
        self._kind, self._sums = kind, compute_data_type
        self._before, self._after, self._strides, self._dilations = pre_padding, post_padding, stride, dilation
        self._tensors = [first, second, _Tensor()]
        return self._tensors[2]

    def validate(self) -> None:
        self._come_to("validate", "")
        first, second, result = self._tensors
        x, w, y = (tensor.dim for tensor in self._roles())
        pads = map(sum, zip(self._before, self._after, strict=True))
        axes = zip(pads, self._strides, self._dilations, x[2:], w[2:], y[2:], strict=True)
        is_right = len(x) == len(w) == len(y) == 4 and min(*x, *w, *y) > 0 and y[:2] == [x[0], w[0]]
        is_right &= x[1] % w[1] == 0 and w[0] % (x[1] // w[1]) == 0
        is_right &= all(out == (size + pad - d * (taps - 1) - 1) // s + 1 for pad, s, d, size, taps, out in axes)
        if not is_right:
            raise SimulationError(f"no convolution {self._kind} has extents {x}, {w}, {y}")
        for tensor in self._tensors:
            if tensor.data_type != self._io or min(tensor.stride) < 1 or len(tensor.stride) != 4:
                raise SimulationError(f"a tensor of {tensor.data_type} with strides {tensor.stride} among {self._io}")
        if (self._io.name == "DOUBLE") != (self._sums is not None and self._sums.name == "DOUBLE"):
            raise SimulationError(f"sums of {self._sums} are not for tensors of {self._io}")
        uids = {tensor.uid for tensor in self._tensors if tensor.uid >= 0}
        if len(uids) != 3 or not result.is_output or first.is_output or second.is_output:
            raise SimulationError(f"tensors {uids}, of which the last is to be the output")

    def _roles(self) -> tuple[_Tensor, _Tensor, _Tensor]:
        """The image, the filters and the output."""
        first, second, result = self._tensors
        return {"forward": (first, second, result), "of x": (result, second, first), "of w": (first, result, second)}[
            self._kind
        ]

    # Plans -----------------------------------------------------------------------------------------------------------
    def build_operation_graph(self) -> None:
        self._come_to("build_operation_graph", "validate")

    def create_execution_plans(self, modes: list[_HeurMode]) -> None:
        self._come_to("create_execution_plans", "build_operation_graph")
        if not modes or not all(isinstance(mode, _HeurMode) for mode in modes):
            raise SimulationError(f"plans by {modes}")

    def deselect_numeric_notes(self, notes: list[_NumericalNote]) -> None:
        self._come_to("deselect_numeric_notes", "create_execution_plans")
        names = {note.name for note in notes}
        self._left_out |= {number for number, plan in enumerate(_PLANS) if names.intersection(plan.notes)}

    def deselect_workspace_greater_than(self, nbytes: int) -> None:
        self._room = nbytes

    def get_execution_plan_count(self) -> int:
        return len(_PLANS) if "create_execution_plans" in self._steps else 0

    def get_plan_name_at_index(self, index: int) -> str:
        return _PLANS[index].name

    def build_plan_at_index(self, index: int) -> None:
        self._come_to("build_plan_at_index", "create_execution_plans")
        if index in self._left_out or _PLANS[index].workspace > self._room:
            raise _GraphNotSupportedError("Deselecting execution plan")
        self._built.add(index)

    def get_workspace_size_plan_at_index(self, index: int) -> int:
        return _PLANS[index].workspace if index in self._built else 0

    # Computing -------------------------------------------------------------------------------------------------------
    def execute_plan_at_index(self, places: Mapping[int, int], workspace: int, index: int, handle: int) -> None:
        """Begin to compute it. Raises SimulationError for addresses that the library does not take."""
        needed = _PLANS[index].workspace
        if index not in self._built or handle != self._handle or not self._library.streams[handle]:
            raise SimulationError(f"plan {index} of handle {handle} is executed, of {self._built}, which are ready")
        addresses = [*places.values(), workspace]
        if any(type(at) is not int or at % 16 for at in addresses) or (needed and not workspace):
            raise SimulationError(f"a convolution at {places}, with a workspace at {workspace} for {needed} bytes")
        dtype = DTYPES[_ELEMENTS[self._io.name]].numpy
        operands = [(places[tensor.uid], dtype, tensor.elements) for tensor in self._tensors]
        operands += [(workspace, np.dtype(np.uint8), np.arange(needed))] if needed else []

        def compute(arrays: list[Array]) -> None:
            sums = np.float64 if self._io.name == "DOUBLE" else np.float32
            first, second = (
                array[tensor.elements].astype(sums) for array, tensor in zip(arrays, self._tensors[:2], strict=False)
            )
            arrays[2][self._tensors[2].elements] = self._computed(first, second).astype(dtype)
            if needed:
                arrays[3][:] = 0x55

        self._library.driver.begin(LibraryTask("cuDNN", tuple(operands), 2, compute))

    def _computed(self, first: Array, second: Array) -> Array:
        """The result of the two: tap by tap of the window, on an image with its padding."""
        x, w, y = (tensor.dim for tensor in self._roles())
        groups, (rows, columns), (out_rows, out_columns) = x[1] // w[1], w[2:], y[2:]
        (top, left), (down, right), (row_step, column_step) = self._before, self._strides, self._dilations
        height, width = (sum(extents) for extents in zip(x[2:], self._before, self._after, strict=True))
        image = np.zeros((x[0], groups, w[1], height, width), first.dtype)
        inside = image[..., top : top + x[2], left : left + x[3]]
        if self._kind != "of x":
            inside[...] = first.reshape(inside.shape)
        filters = np.zeros((groups, w[0] // groups, *w[1:]), first.dtype)
        if self._kind != "of w":
            filters[...] = second.reshape(filters.shape)
        output = np.zeros((x[0], groups, w[0] // groups, *y[2:]), first.dtype)
        if self._kind != "forward":
            output[...] = (first if self._kind == "of x" else second).reshape(output.shape)
        for p, q in np.ndindex(rows, columns):
            met = image[..., p * row_step :: down, q * column_step :: right][..., :out_rows, :out_columns]
            if self._kind == "forward":
                output += np.einsum("ngcij,goc->ngoij", met, filters[..., p, q])
            elif self._kind == "of x":
                met += np.einsum("ngoij,goc->ngcij", output, filters[..., p, q])
            else:
                filters[..., p, q] = np.einsum("ngoij,ngcij->goc", output, met)
        found: Array = {"forward": output, "of x": inside, "of w": filters}[self._kind]
        return found.reshape(self._tensors[2].dim)
