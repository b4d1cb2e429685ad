"""Compiled kernels: those that were compiled before are in the compile cache, the rest is shared out among processes.

A kernel is found by all that its cubin depends on: its text, the architecture, what compiles it; one that is linked of
PTX by that PTX. Processes help where many are missing: `python -m graphc.backends.cuda.compiler.cubins` is one of them,
and fills the cache with what it is given. The linker needs no more than threads.
"""

from __future__ import annotations

import base64
import functools
import gc
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, astuple
from importlib.metadata import version
from pathlib import Path
from typing import Any

from graphc.backends.cuda.compiler.compiling import Compiled, compile_kernel, link_kernel
from graphc.backends.cuda.kernel import CudaKernel
from graphc.kernels import cuda
from graphc.toolchain.cache import digest, open_cache, use_cache
from graphc.toolchain.shares import processors, share_out

__all__ = ["Capability", "compiled", "linked"]

FORMAT = "1"  # changes with what keys do not cover
MANY = 6  # kernels for which another process is worth its start
_PACKAGES = ("numba", "numba-cuda", "llvmlite", "nvidia-nvvm", "nvidia-nvjitlink")
_HELPER = [sys.executable, "-P", "-m", "graphc.backends.cuda.compiler.cubins"]

Capability = tuple[int, int]


def compiled(kernels: Iterable[CudaKernel], capability: Capability) -> dict[str, Compiled]:
    """The functions of kernels by name, from the cache or compiled now. Raises BackendError."""
    wanted = {kernel.function: kernel for kernel in kernels}
    found = {name: _recalled(kernel, capability) for name, kernel in wanted.items()}
    missing = [kernel for name, kernel in wanted.items() if found[name] is None]
    shares = share_out([len(kernel.text) for kernel in missing], processors() if len(missing) >= MANY else 1)
    helpers = [_helped([missing[number] for number in share], capability) for share in shares[1:]]
    for number in shares[0] if shares else ():
        found[missing[number].name] = _remembered(missing[number], capability)
    for helper in helpers:
        helper.wait()
    return {
        name: found[name] or _recalled(kernel, capability) or _remembered(kernel, capability)
        for name, kernel in wanted.items()
    }


def linked(kernels: Iterable[Compiled], capability: Capability) -> dict[str, bytes]:
    """Cubins of functions by name for a newer architecture, from the cache or linked now. Raises BackendError."""
    wanted = {kernel.name: (kernel.ptx, _link_key(kernel.ptx, capability)) for kernel in kernels}
    found = {name: _kept(key).get("cubin") for name, (_, key) in wanted.items()}
    missing = [name for name, cubin in found.items() if cubin is None]
    with ThreadPoolExecutor(processors()) as pool:
        images = pool.map(lambda name: link_kernel(wanted[name][0], name, capability)[0], missing)
        made = dict(zip(missing, images, strict=True))
    for name, cubin in made.items():
        _keep(wanted[name][1], {"cubin": cubin})
    return {name: made[name] if cubin is None else cubin for name, cubin in found.items()}


def _link_key(ptx: str, capability: Capability) -> str:
    return digest("linked", FORMAT, *_versions(), json.dumps([ptx, capability]))


def _kept(key: str) -> dict[str, Any]:
    """What the cache has, with a cubin's bytes; nothing where it has none that is whole."""
    facts = open_cache().recall(key)
    try:
        return {**facts, "cubin": base64.b64decode(facts["cubin"])}
    except (LookupError, TypeError, ValueError):
        return {}


def _keep(key: str, facts: Mapping[str, Any]) -> None:
    written = {**facts, "cubin": base64.b64encode(facts["cubin"]).decode()}
    use_cache(lambda cache: cache.remember(key, written))


def _helped(kernels: Sequence[CudaKernel], capability: Capability) -> subprocess.Popen[bytes]:
    """A process that compiles these kernels. What it cannot do is left to whoever asks for them."""
    helper = subprocess.Popen(_HELPER, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert helper.stdin is not None
    with helper.stdin as given:
        given.write(json.dumps([capability, [astuple(kernel) for kernel in kernels]]).encode())
    return helper


def _key(kernel: CudaKernel, capability: Capability) -> str:
    facts = json.dumps([kernel.text, kernel.types, len(kernel.numbers), kernel.threads, capability])
    return digest("cubin", FORMAT, *_identity(), facts)


@functools.cache
def _identity() -> tuple[str, ...]:
    """What kernels are compiled by: packages, and the primitives that texts call."""
    primitives = Path(cuda.__file__).with_name("primitives.py").read_text()
    return (*_versions(), primitives)


@functools.cache
def _versions() -> tuple[str, ...]:
    return tuple(version(package) for package in _PACKAGES)


def _recalled(kernel: CudaKernel, capability: Capability) -> Compiled | None:
    facts = _kept(_key(kernel, capability))
    try:
        return Compiled(**facts)
    except TypeError:  # other fields than these, or none
        return None


def _remembered(kernel: CudaKernel, capability: Capability) -> Compiled:
    made = compile_kernel(kernel, capability)
    _keep(_key(kernel, capability), asdict(made))
    return made


def _help() -> None:
    gc.disable()  # what Numba leaves goes with the process
    (major, minor), kernels = json.load(sys.stdin)
    for told in kernels:
        _remembered(CudaKernel.of(*told), (major, minor))


if __name__ == "__main__":
    _help()
