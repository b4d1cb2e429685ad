"""Exported programs: writing one to files, and reading it back.

    NAME.c NAME.h        the program and how it is called; they need neither Python nor graphc
    NAME.so              the same, compiled
    NAME.safetensors     the initial state: parameters, the optimiser's state, constants, random state
    NAME.json            the manifest: tensors, types, shapes, memory, instruction set, and the hashes of the files

A manifest is data and is checked; the library is a program: load only what you would run.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from graphc.aot.interface import RANDOM, Interface
from graphc.dsl.state_dict import SAFETENSORS_NAMES, load_arrays
from graphc.errors import FormatError
from graphc.ir.types import DTYPES, TensorType
from graphc.runtime.plan import Plan
from graphc.runtime.plan_format import from_json, to_json
from graphc.runtime.verify import verify

__all__ = ["Bundle", "random_state", "read_bundle", "write_bundle"]

Array = np.ndarray[Any, Any]
FORMAT, VERSION = "graphc-program", 1
FILES = ("c", "h", "so", "safetensors")


@dataclass(frozen=True)
class Bundle:
    """A program in files. `state` holds its arrays by key; `structure`, `level` and `threads` are as compiled."""

    name: str
    plan: Plan
    library: Path
    state: Mapping[str, Array]
    keys: Mapping[str, int]  # of the state: the buffers in the plan
    structure: str
    level: str
    threads: int


# Writing -------------------------------------------------------------------------------------------------------------
def write_bundle(
    folder: Path,
    interface: Interface,
    files: Mapping[str, bytes],
    arrays: Sequence[Array],
    description: Mapping[str, Any],
) -> None:
    """Write a program: `files` by suffix (c, h, so), `arrays` of the interface's state, `description` for the manifest.

    Every file is replaced in one step, the manifest last. Raises OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    contents = {**files, "safetensors": _state_file(interface, arrays)}
    for suffix in FILES:
        _replace(folder / f"{interface.name}.{suffix}", contents[suffix], 0o777 if suffix == "so" else 0o666)
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "name": interface.name,
        **description,
        "memory": {
            "state": interface.state_bytes,
            "working": interface.memory_bytes(0),
            "each_thread": interface.scratch_bytes,
        },
        "state": [{"key": stored.key, "buffer": stored.buffer, "offset": stored.offset} for stored in interface.state],
        "files": {suffix: hashlib.sha256(contents[suffix]).hexdigest() for suffix in FILES},
        "plan": json.loads(to_json(interface.plan)),
    }
    _replace(folder / f"{interface.name}.json", (json.dumps(manifest, indent=1) + "\n").encode(), 0o666)


def _state_file(interface: Interface, arrays: Sequence[Array]) -> bytes:
    """The state as safetensors, its tensors in the interface's order and its data at a multiple of 64 bytes."""
    header, data = {}, b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)
    for stored in interface.state:
        buffer = interface.plan.buffers[stored.buffer]
        header[stored.key] = {
            "dtype": SAFETENSORS_NAMES[buffer.dtype],
            "shape": list(buffer.shape),
            "data_offsets": [stored.offset, stored.offset + buffer.nbytes],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 8) % 64)
    return len(text).to_bytes(8, "little") + text + data


def _replace(path: Path, content: bytes, mode: int) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        mask = os.umask(0o022)
        os.umask(mask)
        os.chmod(temporary, mode & ~mask)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


# Reading -------------------------------------------------------------------------------------------------------------
def read_bundle(path: Path) -> Bundle:
    """Read and check what `write_bundle` wrote. `path` is a manifest, with or without .json, or a folder with just one.

    Raises FormatError (what the manifest lacks, files that are not those it was written for), OSError.
    """
    manifest_path = _manifest(path)
    try:
        manifest = json.loads(manifest_path.read_bytes())
    except ValueError as error:
        raise FormatError(f"{manifest_path} is no manifest of a program: {error}") from None
    where = str(manifest_path)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise FormatError(f"{where} is not the manifest of a program: it has no field format = {FORMAT}")
    if manifest.get("version") != VERSION:
        raise FormatError(f"{where} has version {manifest.get('version')!r}; this graphc reads version {VERSION}")
    name = _field(manifest, "name", str, where)
    if not name.isidentifier():
        raise FormatError(f"{where}: the name {name!r} is no identifier")
    hashes = _field(manifest, "files", dict, where)
    for suffix in ("so", "safetensors"):
        file = manifest_path.with_name(f"{name}.{suffix}")
        if hashlib.sha256(file.read_bytes()).hexdigest() != hashes.get(suffix):
            raise FormatError(f"{file} is not the file that {where} was written for; export the program again")
    plan = from_json(json.dumps(_field(manifest, "plan", dict, where)))
    verify(plan)
    keys = _keys(_field(manifest, "state", list, where), plan, where)
    state = load_arrays(manifest_path.with_name(f"{name}.safetensors"))
    _check_state(state, keys, plan, where)
    structure, level = (_field(manifest, field, str, where) for field in ("structure", "level"))
    library, threads = manifest_path.with_name(f"{name}.so").resolve(), _field(manifest, "threads", int, where)
    return Bundle(name, plan, library, state, keys, structure, level, threads)


def _manifest(path: Path) -> Path:
    if path.is_dir():
        found = sorted(path.glob("*.json"))
        if len(found) != 1:
            listed = ", ".join(file.stem for file in found) or "none"
            raise FormatError(f"{path} should hold one program, it holds {listed}; name one as {path}/NAME")
        return found[0]
    return path if path.suffix == ".json" else path.with_name(f"{path.name}.json")


def _field(manifest: Mapping[str, Any], name: str, kind: type, where: str) -> Any:
    value = manifest.get(name)
    if type(value) is not kind:
        raise FormatError(f"{where}: the field {name} must be of type {kind.__name__}, not {type(value).__name__}")
    return value


def _keys(entries: list[Any], plan: Plan, where: str) -> dict[str, int]:
    keys = {}
    for entry in entries:
        if not isinstance(entry, dict):
            raise FormatError(f"{where}: an entry of state is no object")
        keys[_field(entry, "key", str, where)] = _field(entry, "buffer", int, where)
    bound = [*plan.parameters, *plan.constants, *([plan.rng] if plan.rng >= 0 else [])]
    if sorted(keys.values()) != sorted(bound):
        raise FormatError(f"{where}: the state is not that of the plan")
    return keys


def _check_state(state: Mapping[str, Array], keys: Mapping[str, int], plan: Plan, where: str) -> None:
    if set(state) != set(keys):
        raise FormatError(f"{where}: the state's file holds other tensors than the manifest says")
    for key, position in keys.items():
        buffer = plan.buffers[position]
        expected = TensorType(DTYPES[buffer.dtype], buffer.shape)
        if state[key].shape != buffer.shape or state[key].dtype != expected.dtype.numpy:
            raise FormatError(f"{where}: {key!r} is {state[key].dtype}{list(state[key].shape)}, not {expected}")


def random_state(bundle: Bundle) -> tuple[int, int]:
    """Seed and step of a bundle."""
    if RANDOM not in bundle.state:
        return 0, 0
    seed, step = bundle.state[RANDOM].view(np.uint64)
    return int(seed), int(step)
