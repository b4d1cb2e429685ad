"""`graphc compile`: a user's graph becomes a C library in a folder, ready for `gx.load` and for C programs."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from graphc.api import compile
from graphc.commands.target import Target
from graphc.runtime.memory_report import bytes_text

__all__ = ["export"]


def export(target: Target, folder: Path, name: str, isa: str | None, threads: int | None, console: Console) -> int:
    """Write the program of `target` to `folder`, under `name`, and say what was written."""
    options = {**target.options, **({"threads": threads} if threads else {})}
    with console.status("compiling"):
        program = compile(target.inputs, target.outputs, target.updates, backend="c", **options)
        program.export(folder / name, isa=isa)
    for suffix, what in _FILES.items():
        path = folder / f"{name}.{suffix}"
        console.print(f"{path!s:<40} {bytes_text(path.stat().st_size):>12}  {what}", highlight=False, soft_wrap=True)
    console.print(f"{program.memory}", highlight=False)
    return 0


_FILES = {
    "c": "the program; it needs a C11 compiler, libm and threads",
    "h": "how it is called",
    "so": "the same, compiled",
    "safetensors": "its state: parameters, optimiser state, constants",
    "json": "the manifest, for gx.load",
}
