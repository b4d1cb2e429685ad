"""`graphc compile`: a user's graph becomes files in a folder, ready for `gx.load`: a C library, or CUDA kernels."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from graphc.api import write_files
from graphc.commands.target import Target
from graphc.plan.text import bytes_text

__all__ = ["BACKENDS", "export"]

_STATE = {"safetensors": "parameters, optimiser state, constants", "json": "the manifest, for gx.load"}
_FILES = {
    "c": {
        "c": "the program: C11, libm and threads",
        "h": "how it is called",
        "so": "the same, compiled",
        **_STATE,
    },
    "cuda": {
        "py": "the kernels, for people to read",
        "cubins": "the same, compiled for all devices",
        **_STATE,
    },
}
BACKENDS = tuple(_FILES)


def export(
    target: Target, folder: Path, name: str, backend: str, isa: str | None, threads: int | None, console: Console
) -> int:
    """Write the program of `target` to `folder`, under `name`, and say what was written."""
    options = {**target.options, **({"threads": threads} if threads else {})}
    with console.status("compiling"):
        held = write_files(
            target.inputs, target.outputs, target.updates, folder / name, backend=backend, isa=isa, **options
        )
    console.print(f"wrote {name} to {folder}:", highlight=False, soft_wrap=True)
    for suffix, what in _FILES[backend].items():
        size = bytes_text((folder / f"{name}.{suffix}").stat().st_size)
        console.print(f"  {f'.{suffix}':<13} {size:>11}  {what}", highlight=False, soft_wrap=True)
    console.print(f"{held}", highlight=False, soft_wrap=True)
    return 0
