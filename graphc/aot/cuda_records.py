"""CUDA kernels in a bundle: how each is launched, in the manifest, and all their texts, in one file.

What is read back is checked before it is used: the types and bounds of every number, that launches have kernels, and
that these have operands within the buffers of the launch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from graphc.aot.bundle import field_of
from graphc.backends.cuda.engine.nodes import for_launch
from graphc.backends.cuda.kernel import CudaKernel
from graphc.backends.cuda.simulator import TYPES
from graphc.backends.cuda.writer import CudaCode
from graphc.errors import FormatError, shown
from graphc.plan.plan import Launch, Plan

__all__ = ["check_launches", "code_of", "records_of", "source_of"]

MOST_BLOCKS, MOST_THREADS_OF_A_BLOCK = (1 << 31) - 1, 1024
_NUMBERS = {"blocks": MOST_BLOCKS, "threads": MOST_THREADS_OF_A_BLOCK}
_HEAD = """\
# The kernels of {name}, one after the other: what a step launches, and nothing else. They are Numba's CUDA Python, with
# the functions of graphc.kernels.cuda; compiled ones are in {name}.cubins.
"""


# Writing -------------------------------------------------------------------------------------------------------------
def records_of(code: CudaCode) -> dict[str, Any]:
    """The fields `kernels` and `launches` of a manifest."""
    every = [kernel for made in code.kernels for kernel in (made, *made.variants.values()) if kernel is not None]
    return {
        "kernels": {kernel.name: _record(kernel) for kernel in every},
        "launches": {name: [kernel.name for kernel in kernels] for name, kernels in code.launches.items()},
    }


def _record(kernel: CudaKernel) -> dict[str, Any]:
    return {
        "function": kernel.function,
        "types": [*kernel.types],
        "blocks": kernel.blocks,
        "threads": kernel.threads,
        "numbers": [*kernel.numbers],
        "places": [[*place] for place in kernel.places],
        "widths": [*kernel.widths],
        **{field: "" if other is None else other.name for field, other in kernel.variants.items()},
    }


def source_of(name: str, kernels: Iterable[CudaKernel]) -> bytes:
    """The texts of kernels as one file."""
    texts = {kernel.function: kernel.text for kernel in kernels}
    return "\n\n".join([_HEAD.format(name=name), *texts.values()]).encode()


# Reading -------------------------------------------------------------------------------------------------------------
def code_of(kernels: Mapping[str, Any], launches: Mapping[str, Any], source: bytes, where: str) -> CudaCode:
    """The code of a program. A kernel that is not in the source has an empty text. Raises FormatError."""
    try:
        text = source.decode()
    except UnicodeDecodeError as error:
        raise FormatError(f"{where}: the kernels' source is no text: {error}") from None
    starts = [*re.finditer(r"^def (\w+)\(", text, re.MULTILINE)]
    ends = [start.start() for start in starts[1:]] + [len(text)]
    texts = {start[1]: text[start.start() : end].rstrip() + "\n" for start, end in zip(starts, ends, strict=False)}
    alone = {name: _kernel(name, kernels, texts, where) for name in kernels}
    whole = {name: _with_variants(kernel, kernels[name], alone, where) for name, kernel in alone.items()}
    found = {}
    for launch in launches:
        names = _list(launches, launch, str, where)
        if not names or any(name not in whole for name in names):
            raise FormatError(f"{where}: the launch {shown(launch)} has no kernels, or one that is not there")
        found[launch] = tuple(whole[name] for name in names)
    return CudaCode(found)


def _kernel(name: str, kernels: Mapping[str, Any], texts: Mapping[str, str], where: str) -> CudaKernel:
    record, where = field_of(kernels, name, dict, where), f"{where}: the kernel {shown(name)}"
    numbers = {key: field_of(record, key, int, where) for key in _NUMBERS}
    types, widths = _list(record, "types", str, where), _list(record, "widths", int, where)
    told, text = _list(record, "numbers", int, where), texts.get(field_of(record, "function", str, where), "")
    places = _list(record, "places", list, where)
    if wrong := [key for key, most in _NUMBERS.items() if not 1 <= numbers[key] <= most]:
        raise FormatError(f"{where}: {wrong[0]} are 1 to {_NUMBERS[wrong[0]]}")
    if any(not 0 <= number < 1 << 32 for number in told):
        raise FormatError(f"{where} is told numbers that are not of 32 bits")
    if text and len(text.partition(")")[0].split(",")) != len(types) + len(told):
        raise FormatError(f"{where} has a function that does not take {len(types)} operands and {len(told)} numbers")
    if any(kind not in TYPES for kind in types) or any(width < 0 for width in widths):
        raise FormatError(f"{where} has operands of types that there are not")
    if any([type(number) for number in place] != [int, int] for place in places):
        raise FormatError(f"{where} has places that are no pairs of numbers")
    return CudaKernel.of(name, text, types, **numbers, places=places, widths=widths, numbers=told)


def _list(record: Mapping[str, Any], name: str, kind: type, where: str) -> list[Any]:
    found = field_of(record, name, list, where)
    if any(type(item) is not kind for item in found):
        raise FormatError(f"{where}: the field {shown(name)} must be a list of {kind.__name__}")
    return found  # type: ignore[no-any-return]


def _with_variants(
    kernel: CudaKernel, record: Mapping[str, Any], alone: Mapping[str, CudaKernel], where: str
) -> CudaKernel:
    """A kernel with those that may take its place: where operands are not aligned, of the same operands."""
    found: dict[str, CudaKernel] = {}
    for field in kernel.variants:
        name = record.get(field)
        if name == "":
            continue
        other = alone.get(name) if isinstance(name, str) else None
        same = other is not None and other.types == kernel.types and len(kernel.widths) == len(kernel.types)
        if other is None or (field == "narrow" and not same):
            raise FormatError(f"{where}: the kernel {shown(kernel.name)} has no other in its place that takes the same")
        found[field] = other
    return replace(kernel, narrow=found.get("narrow"), unstored=found.get("unstored"))


def check_launches(plan: Plan, code: CudaCode, where: str) -> None:
    """Raise FormatError unless every launch has kernels, with operands that start within its buffers."""
    for number, launch in enumerate(plan.launches):
        for kernel in code.launches.get(launch.kernel, ()):
            if what := _fault(plan, launch, for_launch(kernel, launch)):
                raise FormatError(f"{where}: launch {number}, the kernel {kernel.name}: {what}")
        if launch.kernel not in code.launches:
            raise FormatError(f"{where}: launch {number} has no kernels: {shown(launch.kernel)}")


def _fault(plan: Plan, launch: Launch, kernel: CudaKernel) -> str:
    refs = (*launch.operands, *launch.program_operands)
    places = kernel.places or tuple((at, 0) for at in range(len(refs)))
    if len(places) != len(kernel.types):
        return f"{len(kernel.types)} operands, and places for {len(places)}"
    for at, start in places:
        if not 0 <= at < len(refs) or refs[at].buffer < 0:
            return f"operand {at} is none of the launch"
        if not 0 <= refs[at].offset + start <= plan.buffers[refs[at].buffer].nbytes:
            return f"operand {at} does not start within its buffer"
    return ""
