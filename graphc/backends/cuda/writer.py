"""The CUDA engine's launches: a rendered loop nest, or hand-written kernels, of which a single one has an epilogue.

Kernels of one launch run one after the other, each on all operands of the launch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from itertools import starmap
from typing import Any

from graphc.backends.backend import Footprint, LaunchCode, Routine, Written
from graphc.backends.cuda.calls.attention import ATTENTION_CALLS, ATTENTION_KERNELS, GRADIENT_KERNELS
from graphc.backends.cuda.calls.axes import AXIS_CALLS, AXIS_KERNELS
from graphc.backends.cuda.calls.convolutions import CONVOLUTION_CALLS, CONVOLUTION_KERNELS
from graphc.backends.cuda.calls.poolings import POOLING_CALLS, POOLING_KERNELS
from graphc.backends.cuda.calls.products import matmul_call, matmul_kernel
from graphc.backends.cuda.calls.scattering import SCATTER_CALLS, SCATTER_KERNELS
from graphc.backends.cuda.calls.sorting import SEARCH_KERNELS, SORT_CALLS, SORT_KERNELS
from graphc.backends.cuda.engine.staging import staging_bytes
from graphc.backends.cuda.kernel import CudaKernel, MakeKernel, MakeKernels
from graphc.backends.cuda.printer.epilogue import finishing_kernel
from graphc.backends.cuda.printer.loop_nest import print_kernel
from graphc.backends.cuda.vendor.known import is_by_library, library_for
from graphc.errors import BackendError
from graphc.ir.node import Type
from graphc.ir.types import TensorType
from graphc.kernel.ir import LibraryCall
from graphc.kernel.operand import OperandView
from graphc.plan.plan import Plan

__all__ = ["CudaCode", "CudaWriter", "cuda_call"]

_CALLS: Mapping[str, Callable[..., LibraryCall]] = {
    **ATTENTION_CALLS, **AXIS_CALLS, **CONVOLUTION_CALLS, **POOLING_CALLS, **SCATTER_CALLS, **SORT_CALLS,
}  # fmt: skip
_ALONE: Mapping[str, MakeKernel] = {
    "matmul": matmul_kernel, **ATTENTION_KERNELS, **AXIS_KERNELS, **CONVOLUTION_KERNELS, **POOLING_KERNELS,
    **SEARCH_KERNELS,
}  # fmt: skip
_SEVERAL: Mapping[str, MakeKernels] = {**GRADIENT_KERNELS, **SCATTER_KERNELS, **SORT_KERNELS}  # without epilogues


def cuda_call(
    op: str, attrs: Mapping[str, Any], operands: Sequence[OperandView], result: Type, threads: int = 2,
    strides: tuple[int, ...] | None = None,
) -> LibraryCall:  # fmt: skip
    """The call that computes `op`; what a library may compute is always in memory.

    Raises BackendError for an op that has no kernel.
    """
    if op in _CALLS:
        made = _CALLS[op](attrs, operands, result)
    elif op == "matmul":
        assert isinstance(result, TensorType)
        contiguous = OperandView.contiguous(result)
        made = matmul_call(operands, OperandView(result.dtype, result.shape, strides or contiguous.strides))
    else:
        raise BackendError(f"op {op!r} has no CUDA kernel")
    return replace(made, in_registers=False) if is_by_library(made.name) else made


@dataclass(frozen=True)
class CudaCode:
    """The kernels of each launch of a program, by what the plan calls it."""

    launches: Mapping[str, tuple[CudaKernel, ...]]

    @property
    def kernels(self) -> list[CudaKernel]:
        return [kernel for kernels in self.launches.values() for kernel in kernels]

    @property
    def source(self) -> str:
        return "\n".join(kernel.text for kernel in self.kernels)

    def facts(self) -> Mapping[str, Any]:
        return {"launches": {name: [astuple(k) for k in kernels] for name, kernels in self.launches.items()}}

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> CudaCode:
        """What `facts` told."""
        return cls({name: tuple(starmap(CudaKernel.of, told)) for name, told in facts["launches"].items()})


class CudaWriter:
    """Equal loop nests, and equal calls, become one kernel."""

    def measure(self, routine: Routine) -> Footprint:
        return Footprint(1, 0, routine.effort)

    def tables(self, plan: Plan, routines: Sequence[Routine]) -> int:
        return staging_bytes(plan)

    def write(self, routines: Sequence[Routine]) -> Written:
        """A launch is called after its kernel."""
        made = _LaunchKernels()
        return Written(tuple(LaunchCode(made.of(routine)) for routine in routines), (), CudaCode(made.kernels))


class _LaunchKernels:
    """The kernels of a program as its launches ask for them, each once."""

    def __init__(self) -> None:
        self.names: dict[object, str] = {}
        self.kernels: dict[str, tuple[CudaKernel, ...]] = {}

    def of(self, routine: Routine) -> str:
        call, nest = routine.call, routine.nest
        key = (call and (call.name, call.params), nest, routine.result)
        if key in self.names:
            return self.names[key]
        if call is None:
            assert nest is not None
            return self._add(key, "fused", lambda name: (print_kernel(nest, name),))
        if call.name in _SEVERAL:
            return self._add(key, call.name, lambda name: _SEVERAL[call.name](call.params, name))
        return self._add(key, call.name, lambda name: (_alone(call, name, routine),))

    def _add(self, key: object, kind: str, make: Callable[[str], tuple[CudaKernel, ...]]) -> str:
        name = self.names[key] = f"{kind}_{len(self.names)}"
        self.kernels[name] = tuple(kernel.signed() for kernel in make(kind))
        return name


def _alone(call: LibraryCall, name: str, routine: Routine) -> CudaKernel:
    """The one kernel of a call. A library may compute what it knows where that is in memory."""
    made = _ALONE[call.name](call.params, name, routine)
    if call.in_registers or library_for(call.name) is None:
        return made
    return replace(made, library=(call.name, call.params), finish=finishing_kernel(routine, f"{name}_finish"))
