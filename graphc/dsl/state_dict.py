"""Reading, writing, saving and loading named parameters, as modules and optimisers share it.

A state is a mapping from dotted names to `Parameter`s; its values are a mapping from the same names to NumPy arrays.
Writing is all or nothing: names, shapes and dtypes are checked before the first value is changed. Files are
safetensors: data alone, nothing in them is ever executed. They are replaced in one step, never half written.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from graphc.errors import DTypeError, FormatError, InputError, ShapeError
from graphc.ir.types import DTYPES
from graphc.ops.tensor import Parameter, checked_value

__all__ = ["SAFETENSORS_NAMES", "load_arrays", "read_state", "save_arrays", "write_state"]

Array = np.ndarray[Any, Any]

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


def read_state(state: Mapping[str, Parameter]) -> dict[str, Array]:
    """The value of each parameter, copied."""
    return {name: parameter.value for name, parameter in state.items()}


def write_state(state: Mapping[str, Parameter], values: Mapping[str, Any], owner: str) -> None:
    """Set each parameter to the value of its name; `owner` is what the errors call the whole.

    Raises InputError for missing and unexpected names, ShapeError and DTypeError for values that do not fit. After
    an error every parameter is as it was.
    """
    missing = [name for name in state if name not in values]
    unexpected = [name for name in values if name not in state]
    if missing or unexpected:
        faults = (("missing", missing), ("unexpected", unexpected))
        parts = [f"{kind}: {_listed(names)}" for kind, names in faults if names]
        raise InputError(f"the state does not fit {owner}; {'; '.join(parts)}. It has {_listed(state)}")
    checked: list[tuple[Parameter, Array]] = []
    for name, parameter in state.items():
        try:
            checked.append((parameter, checked_value(parameter, values[name])))
        except (ShapeError, DTypeError) as error:
            raise type(error)(f"{name!r} of {owner}: {error}") from None
    for parameter, array in checked:
        parameter.value = array


def _listed(names: Iterable[str], limit: int = 8) -> str:
    every = [repr(name) for name in names]
    return ", ".join(every[:limit]) + (f" and {len(every) - limit} more" if len(every) > limit else "")


def save_arrays(path: str | os.PathLike[str], arrays: Mapping[str, Array]) -> None:
    """Write arrays to a safetensors file, which is replaced in one step. Raises OSError where that cannot be."""
    target = Path(path)
    data = safetensors.numpy.save({name: np.asarray(array, order="C") for name, array in arrays.items()})
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def load_arrays(path: str | os.PathLike[str]) -> dict[str, Array]:
    """The arrays of a safetensors file. Raises FormatError for any other content, OSError for no file."""
    data = Path(path).read_bytes()
    try:
        return {name: _array(entry) for name, entry in safetensors.deserialize(data)}  # type: ignore[no-untyped-call]
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise FormatError(f"{os.fspath(path)} is not a safetensors file that graphc can read: {error}") from error


def _array(entry: Mapping[str, Any]) -> Array:
    if entry["dtype"] not in _DTYPES:
        raise ValueError(f"dtype {entry['dtype']} is not supported")
    dtype = DTYPES[_DTYPES[entry["dtype"]]].numpy
    return np.frombuffer(entry["data"], dtype).reshape(entry["shape"])
