"""The backend "cuda" as a record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from graphc.backends.backend import Backend, Code, Planning
from graphc.backends.cuda.compiler.cubins import compiled
from graphc.backends.cuda.engine.choosing import chosen_device, is_debugged, is_simulated, lack
from graphc.backends.cuda.engine.device import Device
from graphc.backends.cuda.engine.engine import CudaEngine, Loaded
from graphc.backends.cuda.engine.nodes import nodes_of
from graphc.backends.cuda.kernel import CudaKernel
from graphc.backends.cuda.regions import ALIGNMENT
from graphc.backends.cuda.simulator.driver import image_of
from graphc.backends.cuda.spreading import spread_reductions
from graphc.backends.cuda.vendor.installed import libraries_on
from graphc.backends.cuda.vendor.known import libraries_here
from graphc.backends.cuda.vendor.trying import Chosen, choose
from graphc.backends.cuda.writer import CudaCode, CudaWriter, cuda_call
from graphc.errors import BackendError
from graphc.ops.guard import Storage
from graphc.plan.plan import Plan

__all__ = ["CUDA"]


def _load(plan: Plan, read: Callable[[], Code], library: str) -> tuple[object, str]:
    """The program's kernels, compiled unless the cache has them, and the device that they run on."""
    if missing := lack():
        raise BackendError(missing)
    code, device = read(), chosen_device()
    assert isinstance(code, CudaCode)
    nodes = nodes_of(plan, code)
    libraries = libraries_on(device)
    if not libraries:
        return Loaded(nodes, _images([node.kernel for node in nodes], device), device, is_debugged()), ""
    finishing = [node.kernel.finish for node in nodes if node.kernel.finish is not None]
    images = _images([*(node.kernel for node in nodes), *finishing], device)
    chosen = Chosen(choose(nodes, images, device, libraries))
    nodes = nodes_of(plan, code, {name: choice.algorithm.workspace for name, choice in chosen.choices.items()})
    images = _images([node.kernel for node in nodes], device)
    return Loaded(nodes, images, device, is_debugged(), chosen), ""


def _images(kernels: Sequence[CudaKernel], device: Device) -> dict[str, bytes]:
    """The images of kernels' functions, compiled unless the cache has them."""
    if is_simulated():
        return {kernel.function: image_of(kernel) for kernel in kernels}
    return {function: found.cubin for function, found in compiled(kernels, device.capability).items()}


def _engine(
    plan: Plan, parameters: Sequence[Storage], constants: Sequence[Any], runs: object, threads: int, seed: int
) -> CudaEngine:
    assert isinstance(runs, Loaded)
    return CudaEngine(plan, parameters, constants, runs, seed)


CUDA = Backend(
    "cuda",
    lack=lack,
    how=Planning(
        passes=(spread_reductions,),
        lowering=cuda_call,
        writer=CudaWriter,
        identity=lambda: ("cuda", *(library.name for library in libraries_here())),
        code_of=CudaCode.of,
        load=_load,
        engine=_engine,
        most_threads=0,
        alignment=ALIGNMENT,
    ),
    automatic=False,
)
