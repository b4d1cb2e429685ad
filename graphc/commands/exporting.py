"""`graphc compile`: a user's graph becomes a C library in a folder, ready for `gx.load` and for C programs."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from graphc.api import compile
from graphc.commands.target import Target
from graphc.plan.text import bytes_text

__all__ = ["export"]


def export(target: Target, folder: Path, name: str, isa: str | None, threads: int | None, console: Console) -> int:
    """Write the program of `target` to `folder`, under `name`, and say what was written."""
    options = {**target.options, **({"threads": threads} if threads else {})}
    with console.status("compiling"):
        program = compile(target.inputs, target.outputs, target.updates, backend="c", **options)
        program.export(folder / name, isa=isa)
    console.print(f"wrote {name} to {folder}:", highlight=False, soft_wrap=True)
    for suffix, what in _FILES.items():
        size = bytes_text((folder / f"{name}.{suffix}").stat().st_size)
        console.print(f"  {f'.{suffix}':<13} {size:>11}  {what}", highlight=False, soft_wrap=True)
    console.print(f"{program.memory}", highlight=False, soft_wrap=True)
    return 0


_FILES = {
    "c": "the program: C11, libm and threads",
    "h": "how it is called",
    "so": "the same, compiled",
    "safetensors": "parameters, optimiser state, constants",
    "json": "the manifest, for gx.load",
}
