"""Runs CUDA kernels in the simulator, on NumPy's arrays, and programs on a simulated device."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc.api import build_graph
from graphc.assembly.write import Assembled
from graphc.backends.cuda.backend import CUDA
from graphc.backends.cuda.engine.device import Device, DeviceGraph, DeviceMemory, LoadedKernels
from graphc.backends.cuda.engine.engine import CudaEngine, Loaded
from graphc.backends.cuda.engine.nodes import nodes_of
from graphc.backends.cuda.kernel import CudaKernel
from graphc.backends.cuda.simulator import TYPES, simulate
from graphc.backends.cuda.simulator.driver import SimulatedDriver, image_of
from graphc.backends.cuda.vendor.library import Algorithm, VendorLibrary
from graphc.backends.cuda.writer import CudaCode
from graphc.ops.guard import Storage
from graphc.pipeline import compile_plan
from graphc.plan.plan import Plan
from tests.kernel.oracle import Array

__all__ = ["compiled", "loaded_on", "on_device", "run", "solve"]


def run(kernel: CudaKernel, buffers: Sequence[Array]) -> None:
    """Run a kernel on flat buffers, one for each operand."""
    simulate(kernel, [buffer.view(np.dtype(TYPES[kind])) for buffer, kind in zip(buffers, kernel.types, strict=True)])


def compiled(inputs: Any, outputs: Any, updates: Any = None, budget: float | None = None) -> tuple[Assembled, CudaCode]:
    """The plan of a program for a CUDA device, and its kernels."""
    graph, _ = build_graph(inputs, outputs, updates)
    held = compile_plan(graph, CUDA, 1, budget)
    code = held.code
    assert isinstance(code, CudaCode)
    assert CudaCode.of(json.loads(json.dumps(code.facts()))) == code
    return held, code


def solve(device: Device, library: VendorLibrary, problem: Any, algorithm: Algorithm, hosts: Sequence[Array]) -> None:
    """Have a library solve a problem, recorded in a graph: from the first two arrays into the third."""
    memory = [DeviceMemory(device, host.nbytes) for host in hosts]
    workspace = DeviceMemory(device, algorithm.workspace)
    work = library.prepared(problem, algorithm, int(workspace.address))
    for block, host in zip(memory, hosts, strict=True):
        device.send(block.address, host)
    operands = [block.at(0, block.nbytes) for block in memory]
    device.launch(DeviceGraph(device, LoadedKernels(device, {}), [(work, operands, ())]))
    device.receive(hosts[2], operands[2])
    device.wait()


def loaded_on(device: Device, plan: Plan, code: CudaCode, *, debug: bool = False) -> Loaded:
    """The kernels of a plan, ready for a simulated device."""
    nodes = nodes_of(plan, code)
    return Loaded(nodes, {node.kernel.function: image_of(node.kernel) for node in nodes}, device, debug)


def on_device(
    inputs: Any, outputs: Any, updates: Any = None, *, order: int = 0, budget: float | None = None, debug: bool = False
) -> CudaEngine:
    """A program on a simulated device of its own, where `order` is the seed of the orders of launches."""
    held, code = compiled(inputs, outputs, updates, budget)
    loaded = loaded_on(Device(SimulatedDriver(order)), held.plan, code, debug=debug)
    storages = [Storage(parameter.storage, parameter.guard) for parameter in held.parameters]
    return CudaEngine(held.plan, storages, held.constants, loaded, 5)
