"""Exported programs: writing one to files, and reading it back.

    NAME.c NAME.h        the program and how it is called; they need neither Python nor graphc
    NAME.so              the same, compiled
    NAME.safetensors     the initial state: parameters, the optimiser's state, constants, random state
    NAME.json            the manifest: tensors, types, shapes, memory, instruction set, and the hashes of the files

A manifest is data and is checked, against itself and against the digest in the library; the library is a program: load
only what you would run. Writing replaces all files or, if anything goes wrong, none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from graphc.backends.c.interface import PADDING, RANDOM, Interface, interface_of
from graphc.dsl.state_dict import load_arrays
from graphc.errors import FormatError, shown
from graphc.files.replacing import folder_lock, replace_files
from graphc.ir.types import DTYPES, TensorType
from graphc.plan.format import parsed, plan_of, to_json, verified
from graphc.plan.plan import Plan
from graphc.runtime.executor import MOST_THREADS
from graphc.toolchain.elf import is_cut

__all__ = ["Bundle", "random_state", "read_bundle", "write_bundle"]

Array = np.ndarray[Any, Any]
FORMAT, VERSION = "graphc-program", 3
FILES = ("c", "h", "so", "safetensors")
FACTS = {"level": str, "threads": int, "structure": str}  # of the manifest, beside the plan
STRUCTURES = ("array", "list", "dict")


@dataclass(frozen=True)
class Bundle:
    """A program in files. `state` holds its arrays by key; `structure`, `level` and `threads` are as compiled."""

    interface: Interface
    library: Path
    state: Mapping[str, Array]
    level: str
    threads: int
    structure: str

    @property
    def plan(self) -> Plan:
        return self.interface.plan


# Writing -------------------------------------------------------------------------------------------------------------
def write_bundle(
    folder: Path,
    interface: Interface,
    files: Mapping[str, bytes],
    arrays: Sequence[Array],
    about: Mapping[str, Any],
) -> None:
    """Write a program: `files` by suffix (c, h, so), `arrays` of the interface's state. `about` is for people to read.

    All files are replaced or, if the disk refuses one or the writer is interrupted, none. Raises OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    contents: dict[str, bytes | memoryview] = {**files, "safetensors": _state_file(interface, arrays)}
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "name": interface.name,
        **about,
        **dict(interface.facts),
        **_layout(interface),
        "files": {suffix: hashlib.sha256(contents[suffix]).hexdigest() for suffix in FILES},
    }
    head = json.dumps(manifest, indent=1).removesuffix("\n}")  # the plan is for programs to read: on one line
    contents["json"] = f'{head},\n "plan": {to_json(interface.plan)}\n}}\n'.encode()
    replace_files({folder / f"{interface.name}.{suffix}": data for suffix, data in contents.items()}, runnable=(".so",))


def _layout(interface: Interface) -> dict[str, Any]:
    """What a manifest says of memory, all of which follows from the plan."""
    return {
        "memory": {
            "state": interface.state_bytes,
            "working": interface.memory_bytes(0),
            "each_thread": interface.scratch_bytes,
        },
        "state": [{"key": stored.key, "buffer": stored.buffer, "offset": stored.offset} for stored in interface.state],
    }


def _state_file(interface: Interface, arrays: Sequence[Array]) -> memoryview:
    """The state as safetensors: a header, then the block that a program in C keeps."""
    header = interface.file_header
    data = np.zeros(len(header) + interface.state_bytes, np.uint8)
    data[: len(header)] = np.frombuffer(header, np.uint8)
    for stored, array in zip(interface.state, arrays, strict=True):
        start = len(header) + stored.offset
        data[start : start + array.nbytes] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return data.data


# Reading -------------------------------------------------------------------------------------------------------------
def read_bundle(path: Path) -> Bundle:
    """Read and check what `write_bundle` wrote. `path` is a manifest, with or without .json, or a folder with just one.

    Whether the library is that of the manifest is asked when it is loaded: it holds the interface's digest. Raises
    FormatError (what the manifest lacks, files that are not those it was written for), OSError.
    """
    with folder_lock(path if path.is_dir() else path.parent):
        manifest_path = _manifest(path)
        manifest = _header(manifest_path)
        files = {suffix: _file(manifest_path, manifest, suffix) for suffix in ("so", "safetensors")}
        state = load_arrays(files["safetensors"])
    where = str(manifest_path)
    if is_cut(files["so"].read_bytes()):
        raise FormatError(f"{files['so']} is not whole: it ends before what its own tables name")
    interface = _interface(manifest, where)
    _check_state(state, interface, where)
    return Bundle(interface, files["so"].resolve(), state, **dict(interface.facts))  # type: ignore[arg-type]


def _manifest(path: Path) -> Path:
    if path.is_dir():
        found = sorted(path.glob("*.json"))
        if len(found) != 1:
            listed = ", ".join(file.stem for file in found) or "none"
            raise FormatError(f"{path} should hold one program, it holds {listed}; name one as {path}/NAME")
        return found[0]
    return path if path.suffix == ".json" else path.with_name(f"{path.name}.json")


def _header(path: Path) -> dict[str, Any]:
    """The manifest in the file at `path`, whose format, version and name are right."""
    manifest = parsed(path.read_bytes(), f"{path}, the manifest of a program,")
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise FormatError(f"{path} is not the manifest of a program: it has no field format = {FORMAT}")
    if manifest.get("version") != VERSION:
        version = shown(manifest.get("version"))
        raise FormatError(
            f"{path} has version {version}; this graphc reads version {VERSION}: export the program again"
        )
    name = _field(manifest, "name", str, str(path))
    if not name.isidentifier() or not name.isascii():
        raise FormatError(f"{path}: the name {shown(name)} is no identifier")
    return manifest


def _file(path: Path, manifest: Mapping[str, Any], suffix: str) -> Path:
    """The file beside the manifest at `path`, if it is there and the one that the manifest was written for."""
    file = path.with_name(f"{manifest['name'][:200]}.{suffix}")
    try:
        found = hashlib.sha256(file.read_bytes()).hexdigest()
    except FileNotFoundError:
        raise FormatError(f"{file}, which belongs to the program of {path}, is missing") from None
    if found != _field(manifest, "files", dict, str(path)).get(suffix):
        raise FormatError(f"{file} is not the file that {path} was written for; export the program again")
    return file


def _field(manifest: Mapping[str, Any], name: str, kind: type, where: str) -> Any:
    value = manifest.get(name)
    if type(value) is not kind:
        raise FormatError(f"{where}: the field {name} must be of type {kind.__name__}, not {type(value).__name__}")
    return value


def _interface(manifest: Mapping[str, Any], where: str) -> Interface:
    """What the manifest says of the program, if it agrees with itself."""
    facts = {name: _field(manifest, name, kind, where) for name, kind in FACTS.items()}
    if facts["structure"] not in STRUCTURES or not 1 <= facts["threads"] <= MOST_THREADS:
        raise FormatError(f"{where}: structure is one of {', '.join(STRUCTURES)}, threads are 1 to {MOST_THREADS}")
    try:
        plan = verified(plan_of(_field(manifest, "plan", dict, where)))
    except FormatError as error:
        raise FormatError(f"{where}: {error}") from None
    interface = interface_of(plan, manifest["name"], facts)
    for name, layout in _layout(interface).items():
        if manifest.get(name) != layout:
            raise FormatError(f"{where}: the field {name} is not what follows from the plan")
    return interface


def _check_state(state: Mapping[str, Array], interface: Interface, where: str) -> None:
    buffers = {stored.key: interface.plan.buffers[stored.buffer] for stored in interface.state}
    if {key for key in state if not key.startswith(PADDING)} != set(buffers):
        raise FormatError(f"{where}: the state's file holds other tensors than the manifest says")
    for key, buffer in buffers.items():
        expected = TensorType(DTYPES[buffer.dtype], buffer.shape)
        if state[key].shape != buffer.shape or state[key].dtype != expected.dtype.numpy:
            raise FormatError(f"{where}: {key!r} is {state[key].dtype}{list(state[key].shape)}, not {expected}")


def random_state(bundle: Bundle) -> tuple[int, int]:
    """Seed and step of a bundle."""
    if RANDOM not in bundle.state:
        return 0, 0
    seed, step = bundle.state[RANDOM].view(np.uint64)
    return int(seed), int(step)
