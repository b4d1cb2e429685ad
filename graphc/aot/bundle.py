"""A program in files: writing them, and reading them back.

    NAME.safetensors     the initial state: parameters, the optimiser's state, constants, random state
    NAME.json            the manifest: the backend, tensors, types, shapes, memory, and the hashes of the other files

The other files hold the kernels, in the form that a backend has for them: c_form.py, cuda_form.py. A manifest is data
and is checked, against itself and by the digest of the program that compiled kernels come with; these are programs:
load only what you would run. Writing replaces all files or, if anything goes wrong, none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from graphc.assembly.write import Assembled
from graphc.dsl.state_dict import arrays_of
from graphc.errors import FormatError, shown
from graphc.files.replacing import folder_lock, replace_files
from graphc.ir.types import DTYPES, TensorType
from graphc.ops.guard import Guard, Storage
from graphc.plan.format import parsed, plan_of, to_json, verified
from graphc.plan.plan import Plan
from graphc.runtime.program import Engine
from graphc.runtime.state_layout import PADDING, RANDOM, StateLayout, layout_of

__all__ = ["Bundle", "Exported", "Form", "Made", "field_of", "random_state", "read_bundle", "write_bundle"]

Array = np.ndarray[Any, Any]
FORMAT, VERSION = "graphc-program", 4
STRUCTURES = ("array", "list", "dict")
STATE = "safetensors"


@dataclass(frozen=True)
class Exported:
    """What is written of a program: its plan and code for a backend that has a form, and how it hands back its results.

    `guard` has the turns of its parameters; `random` tells seed and step.
    """

    backend: str
    assembled: Assembled
    structure: str
    threads: int
    guard: Guard
    random: Callable[[], tuple[int, int]]


@dataclass(frozen=True)
class Made:
    """What a form makes of a program: `files` by suffix, `facts` of the manifest; `about` is for people to read."""

    files: Mapping[str, bytes]
    facts: Mapping[str, Any]
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Form:
    """How a backend's programs are kept: all in which its bundles differ from others.

    `suffixes` are its files beside state and manifest, of which loading reads `read`; `source` is the one that
    people read, if loading does. `facts` are what its manifests say beside the plan, by type, and `memory` what they
    say of memory, which follows from the plan. `make` compiles a program, by its name and for an instruction set where
    one was asked for; `engine` runs it: with the state's parameters, the constants, and so many threads if asked.
    """

    backend: str
    suffixes: tuple[str, ...]
    read: tuple[str, ...]
    facts: Mapping[str, type]
    memory: Callable[[Plan], Mapping[str, int]]
    make: Callable[[Exported, str, str | None], Made]
    engine: Callable[[Bundle, Sequence[Storage], Sequence[Array], int | None], Engine]
    source: str = ""


@dataclass(frozen=True)
class Bundle:
    """What the files of a program hold. `manifest` is the path of the manifest, `state` holds the arrays by key."""

    form: Form
    manifest: Path
    name: str
    layout: StateLayout
    facts: Mapping[str, Any]
    files: Mapping[str, bytes]
    state: Mapping[str, Array]

    @property
    def plan(self) -> Plan:
        return self.layout.plan

    def path(self, suffix: str) -> Path:
        return _beside(self.manifest, self.name, suffix)


# Writing -------------------------------------------------------------------------------------------------------------
def write_bundle(folder: Path, form: Form, name: str, made: Made, layout: StateLayout, arrays: Sequence[Array]) -> None:
    """Write a program as a form has made it, and `arrays` as its state.

    All files are replaced or, if the disk refuses one or the writer is interrupted, none. Raises OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    contents: dict[str, bytes | memoryview] = {**made.files, STATE: layout.file(arrays)}
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "backend": form.backend,
        "name": name,
        **made.about,
        **made.facts,
        **_described(form, layout),
        "files": {suffix: hashlib.sha256(contents[suffix]).hexdigest() for suffix in (*form.suffixes, STATE)},
    }
    head = json.dumps(manifest, indent=1).removesuffix("\n}")  # the plan is for programs to read: on one line
    contents["json"] = f'{head},\n "plan": {to_json(layout.plan)}\n}}\n'.encode()
    replace_files({_beside(folder / name, name, suffix): data for suffix, data in contents.items()}, runnable=(".so",))


def _beside(path: Path, name: str, suffix: str) -> Path:
    return path.with_name(f"{name[:200]}.{suffix}")


def _described(form: Form, layout: StateLayout) -> dict[str, Any]:
    """What a manifest says of memory, all of which follows from the plan."""
    parts = [{"key": stored.key, "buffer": stored.buffer, "offset": stored.offset} for stored in layout.parts]
    return {"memory": {"state": layout.nbytes, **form.memory(layout.plan)}, "state": parts}


# Reading -------------------------------------------------------------------------------------------------------------
def read_bundle(path: Path, forms: Mapping[str, Callable[[], Form]]) -> Bundle:
    """Read and check what `write_bundle` wrote. `path` is a manifest, with or without .json, or a folder with just one.

    Whether the kernels are those of the manifest is for the form to say: they come with the program's digest. Raises
    FormatError (what the manifest lacks, files that are not those it was written for), OSError.
    """
    with folder_lock(path if path.is_dir() else path.parent):
        manifest_path = _manifest(path)
        manifest = _header(manifest_path, forms)
        form, name = forms[manifest["backend"]](), manifest["name"]
        files = {suffix: _file(manifest_path, manifest, suffix) for suffix in (*form.read, STATE)}
        state = arrays_of(files[STATE], str(_beside(manifest_path, name, STATE)))
    where = str(manifest_path)
    facts = {fact: field_of(manifest, fact, kind, where) for fact, kind in form.facts.items()}
    if facts["structure"] not in STRUCTURES:
        raise FormatError(f"{where}: structure is one of {', '.join(STRUCTURES)}")
    layout = _layout(manifest, form, where)
    _check_state(state, layout, where)
    return Bundle(form, manifest_path, name, layout, facts, files, state)


def _manifest(path: Path) -> Path:
    if path.is_dir():
        found = sorted(path.glob("*.json"))
        if len(found) != 1:
            listed = ", ".join(file.stem for file in found) or "none"
            raise FormatError(f"{path} should hold one program, it holds {listed}; name one as {path}/NAME")
        return found[0]
    return path if path.suffix == ".json" else path.with_name(f"{path.name}.json")


def _header(path: Path, forms: Mapping[str, Callable[[], Form]]) -> dict[str, Any]:
    """The manifest in the file at `path`, whose format, version, backend and name are right."""
    manifest = parsed(path.read_bytes(), f"{path}, the manifest of a program,")
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise FormatError(f"{path} is not the manifest of a program: it has no field format = {FORMAT}")
    if manifest.get("version") != VERSION:
        version = shown(manifest.get("version"))
        raise FormatError(
            f"{path} has version {version}; this graphc reads version {VERSION}: export the program again"
        )
    backend = field_of(manifest, "backend", str, str(path))
    if backend not in forms:
        raise FormatError(f"{path}: there are programs for the backends {', '.join(forms)}, not for {shown(backend)}")
    name = field_of(manifest, "name", str, str(path))
    if not name.isidentifier() or not name.isascii():
        raise FormatError(f"{path}: the name {shown(name)} is no identifier")
    return manifest


def _file(path: Path, manifest: Mapping[str, Any], suffix: str) -> bytes:
    """The file beside the manifest at `path`, if it is there and the one that the manifest was written for."""
    file = _beside(path, manifest["name"], suffix)
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        raise FormatError(f"{file}, which belongs to the program of {path}, is missing") from None
    if hashlib.sha256(data).hexdigest() != field_of(manifest, "files", dict, str(path)).get(suffix):
        raise FormatError(f"{file} is not the file that {path} was written for; export the program again")
    return data


def field_of(manifest: Mapping[str, Any], name: str, kind: type, where: str) -> Any:
    """A field of a manifest, or of an object in one. Raises FormatError for another type."""
    value = manifest.get(name)
    if type(value) is not kind:
        raise FormatError(f"{where}: the field {name} must be of type {kind.__name__}, not {type(value).__name__}")
    return value


def _layout(manifest: Mapping[str, Any], form: Form, where: str) -> StateLayout:
    """The plan and its state, if what the manifest says of memory follows from it."""
    try:
        plan = verified(plan_of(field_of(manifest, "plan", dict, where)))
    except FormatError as error:
        raise FormatError(f"{where}: {error}") from None
    layout = layout_of(plan)
    for name, described in _described(form, layout).items():
        if manifest.get(name) != described:
            raise FormatError(f"{where}: the field {name} is not what follows from the plan")
    return layout


def _check_state(state: Mapping[str, Array], layout: StateLayout, where: str) -> None:
    buffers = {stored.key: layout.plan.buffers[stored.buffer] for stored in layout.parts}
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
