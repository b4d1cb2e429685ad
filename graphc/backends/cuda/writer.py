"""The CUDA engine's launches: each is one kernel: a rendered loop nest, or a hand-written one with its epilogue."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

from graphc.backends.backend import Footprint, LaunchCode, Routine, Written
from graphc.backends.cuda.axes import AXIS_CALLS, AXIS_KERNELS
from graphc.backends.cuda.convolutions import CONVOLUTION_CALLS, CONVOLUTION_KERNELS
from graphc.backends.cuda.kernel import CudaKernel, MakeKernel, print_kernel
from graphc.backends.cuda.poolings import POOLING_CALLS, POOLING_KERNELS
from graphc.backends.cuda.products import matmul_call, matmul_kernel
from graphc.errors import BackendError
from graphc.ir.node import Type
from graphc.ir.types import TensorType
from graphc.kernel.ir import LibraryCall
from graphc.kernel.operand import OperandView
from graphc.plan.plan import Plan

__all__ = ["CudaCode", "CudaWriter", "cuda_call"]

_CALLS: Mapping[str, Callable[..., LibraryCall]] = {**AXIS_CALLS, **CONVOLUTION_CALLS, **POOLING_CALLS}
_KERNELS: Mapping[str, MakeKernel] = {"matmul": matmul_kernel, **AXIS_KERNELS, **CONVOLUTION_KERNELS, **POOLING_KERNELS}


def cuda_call(
    op: str, attrs: Mapping[str, Any], operands: Sequence[OperandView], result: Type, threads: int = 2,
    strides: tuple[int, ...] | None = None,
) -> LibraryCall:  # fmt: skip
    """The call that computes `op`. Raises BackendError for an op that has no kernel."""
    if op in _CALLS:
        return _CALLS[op](attrs, operands, result)
    if op != "matmul":
        raise BackendError(f"op {op!r} has no CUDA kernel")
    assert isinstance(result, TensorType)
    contiguous = OperandView.contiguous(result)
    return matmul_call(operands, OperandView(result.dtype, result.shape, strides or contiguous.strides))


@dataclass(frozen=True)
class CudaCode:
    """The kernels of a program, by name."""

    kernels: Mapping[str, CudaKernel]

    @property
    def source(self) -> str:
        return "\n".join(kernel.text for kernel in self.kernels.values())

    def facts(self) -> Mapping[str, Any]:
        return {"kernels": {name: astuple(kernel) for name, kernel in self.kernels.items()}}

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> CudaCode:
        """What `facts` told."""
        read = {
            name: CudaKernel(text, tuple(types), *rest) for name, (text, types, *rest) in facts["kernels"].items()
        }  # fmt: skip
        return cls(read)


class CudaWriter:
    """Equal loop nests, and equal calls, become one kernel."""

    def measure(self, routine: Routine) -> Footprint:
        return Footprint(1, 0, routine.effort)

    def tables(self, plan: Plan, routines: Sequence[Routine]) -> int:
        return 0

    def write(self, routines: Sequence[Routine]) -> Written:
        """A launch is called after its kernel."""
        made = _Kernels()
        return Written(tuple(LaunchCode(made.of(routine)) for routine in routines), (), CudaCode(made.kernels))


class _Kernels:
    """The kernels of a program as they are asked for, each once."""

    def __init__(self) -> None:
        self.names: dict[object, str] = {}
        self.kernels: dict[str, CudaKernel] = {}

    def of(self, routine: Routine) -> str:
        call, nest = routine.call, routine.nest
        key = (call and (call.name, call.params), nest, routine.result)
        if key in self.names:
            return self.names[key]
        if call is None:
            assert nest is not None
            return self._add(key, "fused", lambda name: print_kernel(nest, name))
        return self._add(key, call.name, lambda name: _KERNELS[call.name](call.params, name, routine))

    def _add(self, key: object, kind: str, make: Callable[[str], CudaKernel]) -> str:
        name = self.names[key] = f"{kind}_{len(self.names)}"
        self.kernels[name] = make(name)
        return name
