"""The one place that knows cuDNN, through NVIDIA's frontend (`cudnn`), or what simulates it.

A convolution is a graph of one operation, for which the library has plans. Sums are of float32, for float64 of float64;
plans that compute with less, as TF32 does, by transforms, or in another order each time are left out.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from typing import Any

from graphc.backends.cuda.engine.device import Pointer
from graphc.backends.cuda.vendor.convolution import Convolution, convolution_of
from graphc.backends.cuda.vendor.library import Algorithm
from graphc.kernel.operand import contiguous_strides

__all__ = ["WORKSPACE", "Cudnn"]

WORKSPACE = 128 << 20  # the most bytes that a plan may take
_TYPES = {"float32": "FLOAT", "float64": "DOUBLE", "float16": "HALF", "bfloat16": "BFLOAT16"}  # cudnn.data_type
_REFUSED = (
    "DOWN_CONVERT_INPUTS", "REDUCED_PRECISION_REDUCTION", "NONDETERMINISTIC", "FFT", "WINOGRAD", "WINOGRAD_TILE_4x4",
    "WINOGRAD_TILE_6x6", "WINOGRAD_TILE_13x13",
)  # fmt: skip
_REFUSED_FOR = {"float32": ("TENSOR_CORE",)}  # whose factors are TF32
_OPERATIONS = {
    "conv2d": ("conv_fprop", "image", "weight"), "conv2d_input_grad": ("conv_dgrad", "loss", "filter"),
    "conv2d_weight_grad": ("conv_wgrad", "image", "loss"),
}  # fmt: skip


class Cudnn:
    """The library on a device. Raises the library's own errors."""

    name = "cuDNN"

    def __init__(self, library: Any, stream: int) -> None:
        self.library = library
        self.handle = library.create_handle()
        weakref.finalize(self, library.destroy_handle, self.handle)
        library.set_stream(self.handle, stream)
        self._last: _Planned | None = None  # one after the other is asked for all algorithms of a convolution

    @property
    def version(self) -> str:
        """The versions of the library and of its frontend, on both of which plans depend."""
        return f"{self.library.backend_version()} ({self.library.__version__})"

    def problem_of(self, call: str, params: Sequence[int]) -> Convolution | None:
        """The convolution that a call is, None for what the library does not take."""
        return convolution_of(call, params)

    def algorithms(self, convolution: Convolution, most: int) -> Iterator[Algorithm]:
        """Up to `most` plans for a convolution, those first that should be the fastest."""
        planned, found = self._planned(convolution), 0
        for number, name in enumerate(planned.names):
            if found < most and planned.names.index(name) == number and planned.build(number):
                found += 1
                yield Algorithm((name,), int(planned.graph.get_workspace_size_plan_at_index(number)))

    def prepared(self, convolution: Convolution, algorithm: Algorithm, workspace: int) -> PlannedConvolution:
        """A convolution by a plan, ready to run; `workspace` is the address of its workspace.

        Raises LookupError for a plan that the library does not have any more.
        """
        planned, (name,) = self._planned(convolution), algorithm.words
        if name not in planned.names or not planned.build(number := planned.names.index(str(name))):
            raise LookupError(f"cuDNN {self.version} has no plan {name} for {convolution}")
        return PlannedConvolution(self, planned.graph, number, workspace if algorithm.workspace else 0)

    def run(self, prepared: PlannedConvolution, operands: Sequence[int]) -> None:
        """Begin to compute a convolution: what it reads and writes is at these addresses."""
        places = {number: int(operand) for number, operand in enumerate(operands[:3], 1)}
        prepared.graph.execute_plan_at_index(places, int(prepared.workspace), prepared.number, self.handle)

    def _planned(self, convolution: Convolution) -> _Planned:
        if self._last is None or self._last.convolution != convolution:
            self._last = _Planned(self, convolution)
        return self._last


class PlannedConvolution:
    """A convolution that can run again and again."""

    name = Cudnn.name

    def __init__(self, library: Cudnn, graph: Any, number: int, workspace: int) -> None:
        self._library, self.graph, self.number, self.workspace = library, graph, number, workspace

    def run(self, operands: Sequence[Pointer]) -> None:
        """Begin to compute it: what it reads and writes is at these addresses."""
        self._library.run(self, operands)


class _Planned:
    """A convolution as the library's graph, whose tensors are called 1, 2 and 3, and the `names` of its plans."""

    def __init__(self, library: Cudnn, convolution: Convolution) -> None:
        self.convolution, self._library = convolution, library.library
        self.graph = _graph(library, convolution)
        self.names: list[str] = []
        try:
            self.graph.build_operation_graph()
            self.graph.create_execution_plans([self._library.heur_mode.A, self._library.heur_mode.FALLBACK])
        except self._library.cudnnGraphNotSupportedError:
            return
        notes = self._library.numerical_note
        refused = (*_REFUSED, *_REFUSED_FOR.get(convolution.dtype, ()))
        self.graph.deselect_numeric_notes([getattr(notes, note) for note in refused])
        self.graph.deselect_workspace_greater_than(WORKSPACE)
        count = self.graph.get_execution_plan_count()
        self.names = [str(self.graph.get_plan_name_at_index(number)) for number in range(count)]

    def build(self, number: int) -> bool:
        """Make a plan ready, unless it was left out, or the device does not have what it needs."""
        try:
            self.graph.build_plan_at_index(number)
        except (self._library.cudnnGraphNotSupportedError, RuntimeError):
            return False
        return True


def _graph(library: Cudnn, convolution: Convolution) -> Any:
    """The graph of one operation, which the library has found to be right."""
    types = library.library.data_type
    element = getattr(types, _TYPES[convolution.dtype])
    sums = types.DOUBLE if convolution.dtype == "float64" else types.FLOAT
    graph = library.library.pygraph(
        io_data_type=element, intermediate_data_type=sums, compute_data_type=sums, handle=library.handle
    )
    *read, written = [([*extents], [*contiguous_strides(extents)]) for extents in convolution.operands]
    operation, *names = _OPERATIONS[convolution.call]
    tensors = {
        name: graph.tensor(dim=extents, stride=strides, data_type=element, uid=number)
        for number, (name, (extents, strides)) in enumerate(zip(names, read, strict=True), 1)
    }
    result = getattr(graph, operation)(
        **tensors, pre_padding=[*convolution.before], post_padding=[*convolution.after],
        stride=[*convolution.stride], dilation=[*convolution.dilation], compute_data_type=sums,
    )  # fmt: skip
    result.set_uid(3).set_output(True).set_dim(written[0]).set_stride(written[1]).set_data_type(element)
    graph.validate()
    return graph
