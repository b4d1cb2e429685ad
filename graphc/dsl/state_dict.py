"""Reading, writing, saving and loading named parameters, as modules and optimisers share it.

A state is a mapping from dotted names to `Parameter`s, or to the arrays where their values lie. Writing is all or
nothing: everything that is to be written is checked before the first value is changed. Files are
safetensors: data alone, nothing in them is ever executed. They are replaced in one step, never half written.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors
import safetensors.numpy

from graphc.errors import DTypeError, FormatError, GraphcError, InputError, ShapeError
from graphc.files.replacing import replace_file
from graphc.ir.types import DTYPES
from graphc.ops.guard import Storage, copies, sets
from graphc.ops.parameter import Parameter, checked_array

__all__ = [
    "SAFETENSORS_NAMES", "Mismatch", "arrays_of", "load_arrays", "read_state", "save_arrays", "storages", "write_state",
]  # fmt: skip

Array = np.ndarray[Any, Any]
MOST_LISTED = 8  # names in an error

_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "BF16": "bfloat16",
    "F16": "float16",
    "I64": "int64",
    "I32": "int32",
    "I8": "int8",
    "U32": "uint32",
    "U8": "uint8",
    "BOOL": "bool",
}
SAFETENSORS_NAMES = {name: theirs for theirs, name in _DTYPES.items()}  # by the names of our dtypes


class Mismatch(NamedTuple):
    """What `load_state_dict` did not find, and what it did not use. Both are empty unless it was not strict."""

    missing_keys: tuple[str, ...]
    unexpected_keys: tuple[str, ...]


def storages(state: Mapping[str, Parameter]) -> dict[str, Storage]:
    """Where the values of a state lie."""
    return {name: Storage(parameter.storage, parameter.guard) for name, parameter in state.items()}


def read_state(held: Mapping[str, Storage]) -> dict[str, Array]:
    """The values, copied: of what programs share, all from before an update or all from after it."""
    return copies(held)


def write_state(held: Mapping[str, Storage], values: Mapping[str, Any], owner: str, strict: bool = True) -> Mismatch:
    """Set each array of `held` to the value of its name; `owner` is what the errors call the whole.

    Raises InputError for missing and unexpected names (those are passed over and answered with unless `strict`),
    ShapeError and DTypeError for values that do not fit: one error for all that is wrong. Everything is checked, and
    what may lie in another's storage is copied, before the first value is written; after an error none is.
    """
    if not isinstance(values, Mapping):
        raise InputError(f"the state of {owner} is a mapping from names to arrays, not {type(values).__name__}")
    missing = tuple(name for name in held if name not in values)
    unexpected = tuple(name for name in values if name not in held)
    checked: dict[str, Array] = {}
    wrong: list[ShapeError | DTypeError] = []
    for name in (name for name in held if name in values):
        try:
            array = checked_array(name, held[name].array, values[name])
            checked[name] = array if array.flags.owndata else array.copy()
        except (ShapeError, DTypeError) as error:
            wrong.append(error)
    if wrong or (strict and (missing or unexpected)):
        raise _misfit(held, owner, missing if strict else (), unexpected if strict else (), wrong)
    for names in sets({name: held[name] for name in checked}):
        held[names[0]].guard.hold(partial(_write, held, checked, names), f"setting the state of {owner}")
    return Mismatch(missing, unexpected)


def _write(held: Mapping[str, Storage], values: Mapping[str, Array], names: Iterable[str]) -> None:
    for name in names:
        held[name].array[...] = values[name]


def _misfit(
    held: Iterable[str], owner: str, missing: Sequence[str], unexpected: Sequence[Any], wrong: Sequence[GraphcError]
) -> GraphcError:
    """One error for all that is wrong: of the kind that all share, else an InputError."""
    parts = [f"{kind}: {_listed(names)}" for kind, names in (("missing", missing), ("unexpected", unexpected)) if names]
    parts += [str(error) for error in wrong[:MOST_LISTED]]
    parts += [f"and {len(wrong) - MOST_LISTED} more that do not fit"] if len(wrong) > MOST_LISTED else []
    kinds = {type(error) for error in wrong} | ({InputError} if missing or unexpected else set())
    kind = kinds.pop() if len(kinds) == 1 else InputError
    names = f". It has {_listed(held)}; strict=False passes over names" if missing or unexpected else ""
    return kind(f"the state does not fit {owner}, which stays as it is; {'; '.join(parts)}{names}")


def _listed(names: Iterable[Any]) -> str:
    every = [repr(name) for name in names]
    more = len(every) - MOST_LISTED
    return (", ".join(every[:MOST_LISTED]) or "nothing") + (f" and {more} more" if more > 0 else "")


def save_arrays(path: str | os.PathLike[str], arrays: Mapping[str, Array]) -> None:
    """Write arrays to a safetensors file, which is replaced in one step. Raises OSError where that cannot be."""
    replace_file(Path(path), safetensors.numpy.save({name: np.asarray(a, order="C") for name, a in arrays.items()}))


def load_arrays(path: str | os.PathLike[str]) -> dict[str, Array]:
    """The arrays of a safetensors file. Raises FormatError for any other content, OSError for no file."""
    return arrays_of(Path(path).read_bytes(), os.fspath(path))


def arrays_of(data: bytes, where: str) -> dict[str, Array]:
    """The arrays that a safetensors file, which is called `where`, has in it. Raises FormatError."""
    try:
        return {name: _array(entry) for name, entry in safetensors.deserialize(data)}  # type: ignore[no-untyped-call]
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise FormatError(f"{where} is not a safetensors file that graphc can read: {error}") from error


def _array(entry: Mapping[str, Any]) -> Array:
    if entry["dtype"] not in _DTYPES:
        raise ValueError(f"dtype {entry['dtype']} is not supported")
    dtype = DTYPES[_DTYPES[entry["dtype"]]].numpy
    return np.frombuffer(entry["data"], dtype).reshape(entry["shape"])
