"""Which calls a library computes: those for which it was faster, and as right, on this very device.

Each call is tried once: the own kernel with its epilogue, against the library's algorithms with what is left of the
epilogue as a kernel of its own, in graphs as a step has them. What came of it is kept in the compile cache, by device,
driver, library and kernels. A library that fails, or whose numbers are others than the own kernel's, is not used; one
that failed is tried again by the next program.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphc.backends.cuda.engine.device import (
    Device,
    DeviceEvent,
    DeviceGraph,
    DeviceMemory,
    LibraryWork,
    LoadedKernels,
    Pointer,
    Work,
)
from graphc.backends.cuda.engine.nodes import KernelNode
from graphc.backends.cuda.kernel import CudaKernel
from graphc.backends.cuda.vendor.library import Algorithm, LibraryProblem, VendorLibrary
from graphc.errors import BackendError, GraphcError
from graphc.ir.notice import warn_once
from graphc.ir.types import DTYPES
from graphc.toolchain.cache import digest, open_cache, use_cache

__all__ = ["ByLibrary", "Chosen", "choose"]

CANDIDATES = 4  # algorithms of a problem that are tried
REPEATS, ROUNDS = 10, 5  # kernels of a graph, and launches of it, of which the fastest counts
LIMITS = {"float64": 1e-11, "float32": 1e-4, "float16": 1e-2, "bfloat16": 3e-2}  # of a difference, to the largest value


@dataclass(frozen=True)
class ByLibrary:
    """A problem, the library that computes it, and by which algorithm."""

    library: VendorLibrary
    problem: LibraryProblem
    algorithm: Algorithm


class Chosen:
    """Libraries at work for kernels, by name; see `Library` in engine.py."""

    def __init__(self, choices: Mapping[str, ByLibrary]) -> None:
        self.choices = choices

    @property
    def workspace(self) -> int:
        """The bytes that the greediest algorithm needs."""
        return max((choice.algorithm.workspace for choice in self.choices.values()), default=0)

    def prepared(self, workspace: int) -> dict[str, LibraryWork]:
        """What a library does for each kernel, with a workspace at this address."""
        return {
            name: choice.library.prepared(choice.problem, choice.algorithm, workspace)
            for name, choice in self.choices.items()
        }


def choose(
    nodes: Sequence[KernelNode], images: Mapping[str, bytes], device: Device, libraries: Mapping[str, VendorLibrary]
) -> dict[str, ByLibrary]:
    """The kernels, by name, whose calls libraries compute from now on; these are by the calls that they know."""
    found: dict[str, ByLibrary] = {}
    for name, node in {node.kernel.name: node for node in nodes}.items():
        call, params = node.kernel.library or ("", ())
        library = libraries.get(call)
        problem = library.problem_of(call, params) if library is not None else None
        if library is None or problem is None:
            continue
        if (algorithm := _recalled(node, problem, images, device, library)) is not None:
            found[name] = ByLibrary(library, problem, algorithm)
    return found


def _recalled(
    node: KernelNode, problem: LibraryProblem, images: Mapping[str, bytes], device: Device, library: VendorLibrary
) -> Algorithm | None:
    """The algorithm that was found for a problem before, or is found now; None if the own kernel does it."""
    sizes = [operand.nbytes for operand in node.operands]
    told = [device.name, device.version, library.name, library.version, node.kernel.name, _finish(node.kernel), sizes]
    key = digest("library", json.dumps(told))
    facts = open_cache().recall(key)
    if isinstance(facts, dict) and "words" in facts:
        return Algorithm(tuple(facts["words"]), facts["workspace"]) if facts["words"] is not None else None
    try:
        best = _tried(node, problem, images, device, library)
    except Exception as error:
        if isinstance(error, GraphcError) and not isinstance(error, BackendError):
            raise  # ours
        warn_once(f"failure of {library.name}", f"{library.name} is not used for {problem}: {error}")
        return None  # next time it is tried again
    facts = {"words": [*best.words], "workspace": best.workspace} if best else {"words": None}
    use_cache(lambda cache: cache.remember(key, facts))
    return best


def _finish(kernel: CudaKernel) -> str:
    return kernel.finish.name if kernel.finish is not None else ""


def _tried(
    node: KernelNode, problem: LibraryProblem, images: Mapping[str, bytes], device: Device, library: VendorLibrary
) -> Algorithm | None:
    """The fastest algorithm that is right and faster than the own kernel, if any. Raises what the library does."""
    kernels = [node.kernel, *([node.kernel.finish] if node.kernel.finish is not None else [])]
    functions = LoadedKernels(device, {kernel.function: images[kernel.function] for kernel in kernels})
    trial = _Trial(device, functions, node, DTYPES[problem.dtype].numpy)
    own, best = trial.timed([(node.kernel, range(len(node.operands)))]), None
    expected = trial.result()
    finishing = [(kernel, _positions(node.kernel, kernel)) for kernel in kernels[1:]]
    for algorithm in library.algorithms(problem, CANDIDATES):
        workspace = DeviceMemory(device, algorithm.workspace)
        work = library.prepared(problem, algorithm, int(workspace.address))
        took = trial.timed([(work, range(3)), *finishing])
        if not _is_near(trial.result(), expected, LIMITS[problem.dtype]):
            why = "its numbers are not those of the own kernel"
            warn_once(f"numbers of {library.name}", f"{library.name} is not used for {problem}: {why}")
        elif took < own:
            own, best = took, algorithm
    return best


def _positions(kernel: CudaKernel, finish: CudaKernel) -> list[int]:
    """Which operands of a kernel those of its epilogue are."""
    return [kernel.places.index(place) for place in finish.places]


def _is_near(found: np.ndarray[Any, Any], expected: np.ndarray[Any, Any], limit: float) -> bool:
    found, expected = found.astype(np.float64), expected.astype(np.float64)
    return bool(np.abs(found - expected).max(initial=0) <= limit * np.abs(expected).max(initial=0))


class _Trial:
    """Operands for a node: the two that a library reads have numbers of both signs, all else is zero."""

    def __init__(self, device: Device, functions: LoadedKernels, node: KernelNode, dtype: np.dtype[Any]) -> None:
        self._device, self._functions, self._dtype = device, functions, dtype
        random = np.random.default_rng(0)
        self._memory = [DeviceMemory(device, operand.nbytes) for operand in node.operands]
        self._hosts = [np.zeros(operand.nbytes, np.uint8) for operand in node.operands]
        for host in self._hosts[:2]:
            numbers = host[: host.size // dtype.itemsize * dtype.itemsize].view(dtype)
            numbers[...] = random.standard_normal(numbers.size, np.float32)
        self._operands = [memory.at(0, memory.nbytes) for memory in self._memory]

    def timed(self, works: Sequence[tuple[Work, Sequence[int]]]) -> float:
        """Nanoseconds for these, one after the other, on operands of the node that they name."""
        self._send()
        start, end = DeviceEvent(self._device), DeviceEvent(self._device)
        pairs = [(work, [self._operands[at] for at in operands]) for work, operands in works]
        chain: list[tuple[Work | DeviceEvent, Sequence[Pointer]]] = [(start, ()), *pairs * REPEATS, (end, ())]
        graph = DeviceGraph(
            self._device, self._functions, [(*link, [at - 1] if at else []) for at, link in enumerate(chain)]
        )
        times = []
        for _ in range(ROUNDS):
            self._device.launch(graph)
            self._device.wait()
            times.append(end.nanoseconds_since(start))
        return min(times) / REPEATS

    def result(self) -> np.ndarray[Any, Any]:
        """What the library, or the own kernel in its place, has computed last."""
        found = np.empty(self._memory[2].nbytes // self._dtype.itemsize, self._dtype)
        self._device.receive(found, self._operands[2])
        self._device.wait()
        return found

    def _send(self) -> None:
        for memory, host in zip(self._memory, self._hosts, strict=True):
            self._device.send(memory.address, host)
        self._device.wait()
