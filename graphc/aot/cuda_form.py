"""Programs as CUDA kernels.

    NAME.py              every kernel that a step launches, for people to read and for the simulator: it is never run
    NAME.cubins          a safetensors file of bytes: what devices load, called "FUNCTION sm_90" for cubins and
                         "FUNCTION compute_80" for PTX, and "(program)", the digest of what they were compiled for

The manifest's `kernels` tell by name how each is launched, its `launches` which ones a launch of the plan runs. With
GRAPHC_CUDA=simulate no kernel is compiled: such bundles run where that is said, too, and nowhere else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import safetensors.numpy

from graphc.aot.bundle import Bundle, Exported, Form, Made
from graphc.aot.cuda_records import check_launches, code_of, records_of, source_of
from graphc.backends.cuda.compiler.images import Images, capability_of, fitting, images_of
from graphc.backends.cuda.engine.choosing import chosen_device, is_debugged, is_simulated
from graphc.backends.cuda.engine.engine import CudaEngine, Loaded
from graphc.backends.cuda.engine.nodes import nodes_of
from graphc.backends.cuda.engine.staging import staging_bytes
from graphc.backends.cuda.simulator.driver import image_of
from graphc.backends.cuda.writer import CudaCode
from graphc.dsl.state_dict import arrays_of
from graphc.errors import BackendError, FormatError, shown
from graphc.ops.guard import Storage
from graphc.plan.format import plan_digest
from graphc.plan.plan import Plan
from graphc.runtime.program import Engine
from graphc.toolchain.elf import is_cut

__all__ = ["CUDA_FORM"]

PROGRAM = "(program)"


def _make(exported: Exported, name: str, level: str | None) -> Made:
    """The kernels of the program, compiled unless they are simulated. Raises BackendError."""
    if level is not None:
        raise BackendError(f"isa={level!r} is a processor's; CUDA programs hold kernels for all devices")
    plan, code = exported.assembled.plan, exported.assembled.code
    assert isinstance(code, CudaCode)
    kernels = [node.kernel for node in nodes_of(plan, code)]
    source = source_of(name, kernels)
    facts = {"structure": exported.structure, **records_of(code)}
    images = {} if is_simulated() else images_of(kernels)
    named = {f"{function} {arch}": image for arch, of in images.items() for function, image in of.items()}
    named[PROGRAM] = _digest(name, plan, facts, source)
    cubins = {key: np.frombuffer(data, np.uint8) for key, data in named.items()}
    return Made({"py": source, "cubins": safetensors.numpy.save(cubins)}, facts, {"architectures": [*images]})


def _digest(name: str, plan: Plan, facts: Mapping[str, Any], source: bytes) -> bytes:
    """The hash of all but compiled kernels that could change what a program computes."""
    told = json.dumps([name, plan_digest(plan), facts, hashlib.sha256(source).hexdigest()], sort_keys=True)
    return hashlib.blake2b(told.encode(), digest_size=32).digest()


def _memory(plan: Plan) -> dict[str, int]:
    return {"arena": plan.arena_bytes, "staging": staging_bytes(plan)}


def _engine(
    bundle: Bundle, parameters: Sequence[Storage], constants: Sequence[np.ndarray[Any, Any]], threads: int | None
) -> Engine:
    """The kernels on the device that is here. Raises FormatError, BackendError."""
    plan, where, file = bundle.plan, str(bundle.manifest), bundle.path("cubins")
    images, program = _images(bundle.files["cubins"], str(file))
    source = bundle.files["py"]
    if program != _digest(bundle.name, plan, bundle.facts, source):
        raise FormatError(f"{file} was compiled for another program than that of {where}")
    code = code_of(bundle.facts["kernels"], bundle.facts["launches"], source, where)
    check_launches(plan, code, where)
    nodes = nodes_of(plan, code)
    if missing := [node.kernel.name for node in nodes if not node.kernel.text]:
        raise FormatError(f"{bundle.path('py')} has no kernel {missing[0]}")
    kernels = {node.kernel.function: node.kernel for node in nodes}
    if missing := [f"{name} {arch}" for arch in images for name in kernels if name not in images[arch]]:
        raise FormatError(f"{file} has no {missing[0]}")
    device = chosen_device()
    if is_simulated():
        loaded = {name: image_of(kernel) for name, kernel in kernels.items()}
    else:
        found = _fitting(images, device.capability, str(file), device.name)
        loaded = {name: found[name] for name in kernels}
    return CudaEngine(plan, parameters, constants, Loaded(nodes, loaded, device, is_debugged()))


def _images(data: bytes, where: str) -> tuple[Images, bytes]:
    """The images that a file holds, and the digest of the program that they were compiled for. Raises FormatError."""
    arrays, images = arrays_of(data, where), dict[str, dict[str, bytes]]()
    if wrong := [key for key, array in arrays.items() if array.dtype != np.uint8 or array.ndim != 1]:
        raise FormatError(f"{where}: {shown(wrong[0])} is no row of bytes")
    program = arrays.pop(PROGRAM, np.empty(0, np.uint8)).tobytes()
    for key, array in arrays.items():
        kernel, _, architecture = key.partition(" ")
        if capability_of(architecture) is None:
            raise FormatError(f"{where}: {shown(key)} is the image of a kernel for no architecture")
        image = array.tobytes()
        if is_cut(image):
            raise FormatError(f"{where}: {key} is not whole: it ends before what its own tables name")
        images.setdefault(architecture, {})[kernel] = image
    return images, program


def _fitting(images: Images, capability: tuple[int, int], file: str, device: str) -> Mapping[str, bytes]:
    try:
        return fitting(images, capability)
    except BackendError as error:
        hint = "" if images else "; it was exported with GRAPHC_CUDA=simulate: export the program without"
        raise BackendError(f"{file} cannot be run on {device}: {error}{hint}") from None


CUDA_FORM = Form(
    "cuda",
    suffixes=("py", "cubins"),
    read=("py", "cubins"),
    facts={"structure": str, "kernels": dict, "launches": dict},
    memory=_memory,
    make=_make,
    engine=_engine,
    source="py",
)
