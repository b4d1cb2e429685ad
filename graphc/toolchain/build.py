"""Source in C becomes a shared library: compiled once, and then found in the cache.

The hash that a library is found by holds all that it depends on, the compiler and the instruction set included: several
machines may share a home, and none runs what another one compiled for itself. Processes that build the same program at
the same time do not disturb each other.
"""

from __future__ import annotations

import functools
import shlex
import time
from collections.abc import Sequence
from pathlib import Path

from graphc.errors import BackendError
from graphc.toolchain.cache import Cache, digest, use_cache
from graphc.toolchain.compiler import (
    NATIVE,
    Compiler,
    find_compiler,
    forget_trial,
    run_compiler,
    run_compilers,
    system_identity,
)
from graphc.toolchain.shares import processors, share_out

__all__ = ["build", "library_key"]

FORMAT = "1"  # changes with what the hash does not cover
BUILD_SECONDS = 600.0


def build(
    source: str, *, level: str, compiler: Compiler | None = None, parts: Sequence[int] = (), anew: bool = False
) -> Path:
    """The shared library of a program in C, for an instruction set level: from the cache, or compiled now.

    `level` is one of `graphc.kernels.cpu.LEVELS`, or "native", which is for processors like this one alone. The library
    shows only what its source declares with default visibility. A source in parts (backends/c/parts.py) comes with what
    they weigh; as many compilers as there are processors share them. `anew` compiles it whatever the cache holds: for a
    library that turned out to be none. Raises BackendError with the compiler's first lines.

    >>> library = ctypes.CDLL(str(build(source, level=isa.chosen_level())))
    """
    compiler = compiler or find_compiler()
    key = library_key(source, level, compiler)
    return use_cache(
        lambda cache: (None if anew else cache.lookup(key)) or _compile(source, level, compiler, parts, cache, key)
    )


def library_key(source: str, level: str, compiler: Compiler) -> str:
    """The hash of what a library depends on: source, flags, compiler, system; the processor if for it alone."""
    processor = _processor() if level == NATIVE else ""
    return digest(
        "library", FORMAT, source, shlex.join(compiler.flags(level)), *compiler.identity, system_identity(), processor
    )


def _compile(source: str, level: str, compiler: Compiler, parts: Sequence[int], cache: Cache, key: str) -> Path:
    command, flags, deadline = compiler.command, compiler.flags(level), time.monotonic() + BUILD_SECONDS
    masks = [sum(1 << part for part in share) for share in share_out(parts, processors())]
    with cache.workspace() as folder:
        outcome = run_compilers(command, flags, source, masks, folder, deadline) if len(masks) > 1 else None
        if outcome is None or not outcome.succeeded:  # several compilers need more memory than one
            outcome = run_compiler(command, flags, source, folder, deadline)
        if outcome.succeeded:
            return cache.store(key, folder / "program.so")
    forget_trial(compiler)
    kept = cache.keep_source(key, source)
    raise BackendError(f"the C compiler {compiler} {outcome}\n  the source is kept in {kept}")


@functools.cache
def _processor() -> str:
    """What the system says of its processor's kind and instructions. Raises BackendError if it does not."""
    kinds = ("vendor_id", "cpu family", "model", "flags", "CPU ", "Features")
    try:
        with open("/proc/cpuinfo") as lines:
            first = list(iter(lambda: lines.readline().strip(), ""))
    except OSError:
        first = []
    facts = [line for line in first if line.startswith(kinds)]
    if not facts:
        raise BackendError(f"level {NATIVE!r} cannot be used: this system does not tell what its processor is")
    return "\n".join(facts)
