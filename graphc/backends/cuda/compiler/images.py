"""Kernels for devices that are not here: cubins for ARCHITECTURES, and PTX for what is newer than all of them.

PTX is made once, for the oldest: NVIDIA's linker makes every cubin of it. Images are kept by architecture, which is
called as NVIDIA does (`sm_90` for cubins, `compute_80` for PTX), and by the name of the kernel's function.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from graphc.backends.cuda.compiler.compiling import lack_of_compiler
from graphc.backends.cuda.compiler.cubins import Capability, compiled, linked
from graphc.backends.cuda.kernel import CudaKernel
from graphc.errors import BackendError

__all__ = ["ARCHITECTURES", "Images", "capability_of", "fitting", "images_of"]

ARCHITECTURES: tuple[Capability, ...] = ((8, 0), (9, 0), (10, 0))
Images = Mapping[str, Mapping[str, bytes]]
_CUBIN, _PTX = "sm_", "compute_"


def images_of(kernels: Iterable[CudaKernel]) -> Images:
    """Images of kernels for all architectures. No device is needed. Raises BackendError."""
    if missing := lack_of_compiler():
        raise BackendError(missing)
    oldest, *others = ARCHITECTURES
    found = compiled(kernels, oldest)
    made = {_called(_CUBIN, oldest): {name: kernel.cubin for name, kernel in found.items()}}
    for capability in others:
        made[_called(_CUBIN, capability)] = linked(found.values(), capability)
    return {**made, _called(_PTX, oldest): {name: kernel.ptx.encode() for name, kernel in found.items()}}


def _called(kind: str, capability: Capability) -> str:
    return f"{kind}{capability[0]}{capability[1]}"


def capability_of(architecture: str) -> Capability | None:
    """The compute capability that the name of an architecture tells, None for what is no such name."""
    found = re.fullmatch(rf"(?:{_CUBIN}|{_PTX})([1-9][0-9]?)([0-9])", architecture)
    return (int(found[1]), int(found[2])) if found else None


def fitting(images: Images, capability: Capability) -> Mapping[str, bytes]:
    """The images that a device of this capability loads, by the names of functions.

    These are cubins for its major version and the last minor one that is not above its own, else PTX that is not newer
    than the device. Raises BackendError where there is neither.
    """
    cubins, ptx = _those(images, _CUBIN), _those(images, _PTX)
    near = [found for found in cubins if found[0] == capability[0] and found[1] <= capability[1]]
    if near:
        return images[cubins[max(near)]]
    older = [found for found in ptx if found <= capability]
    if older:
        return {name: image + b"\0" for name, image in images[ptx[max(older)]].items()}
    raise BackendError(
        f"it holds {', '.join(images) or 'no compiled kernels'}, of which nothing runs on a device of compute "
        f"capability {capability[0]}.{capability[1]}"
    )


def _those(images: Images, kind: str) -> dict[Capability, str]:
    names = {capability_of(name): name for name in images if name.startswith(kind)}
    return {capability: name for capability, name in names.items() if capability is not None}
