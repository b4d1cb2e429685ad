"""Targets of the command line: `MODULE:FUNCTION`, a function of the user's that answers with what to compile.

MODULE is the name of a module that can be imported from here, or the path of a .py file. FUNCTION takes no arguments
and answers with (inputs, outputs), (inputs, outputs, updates), or a dict of arguments of `gx.compile`.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from graphc.errors import GraphcError, with_location
from graphc.ir.location import raised_at

__all__ = ["FORMS", "Target", "TargetError", "load_target"]

FORMS = "(inputs, outputs), (inputs, outputs, updates), or a dict of arguments of gx.compile"
_OPTIONS = ("threads", "memory_budget", "seed")


class TargetError(GraphcError, ValueError):
    """A target that is malformed, cannot be found, or does not answer with what can be compiled."""


@dataclass(frozen=True)
class Target:
    """What to compile; `options` are further arguments of `gx.compile`, `values` arrays for some of the inputs."""

    name: str
    inputs: Any
    outputs: Any
    updates: Any = None
    options: Mapping[str, Any] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)


def load_target(text: str) -> Target:
    """Import the module, call the function, and read its answer. Raises TargetError."""
    where, separator, name = text.rpartition(":")
    if not separator or not where or not name.isidentifier():
        raise TargetError(f"a target is MODULE:FUNCTION or FILE.py:FUNCTION, as in model.py:build; {text!r} is neither")
    function = _find(_import(where), name, where)
    try:
        answer = function()
    except GraphcError:
        raise
    except Exception as error:
        raise _with_its_line(TargetError(f"{text} raised {type(error).__name__}: {error}"), error) from error
    return _read(text, answer)


def _with_its_line(fault: TargetError, error: Exception) -> TargetError:
    return with_location(fault, raised_at(error))


def _import(where: str) -> ModuleType:
    try:
        return _import_file(Path(where)) if where.endswith(".py") else _import_module(where)
    except GraphcError:
        raise
    except Exception as error:
        message = f"importing {where} raised {type(error).__name__}: {error}"
        raise _with_its_line(TargetError(message), error) from error


def _import_module(name: str) -> ModuleType:
    """The module `name`, from the working directory or from where packages are installed."""
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or name
        if name == missing or name.startswith(f"{missing}."):
            where = "here or among the installed packages; a file is named with its .py"
            raise TargetError(f"there is no module {missing!r} {where}") from None
        raise


def _import_file(path: Path) -> ModuleType:
    """The module in a file, which can import its neighbours, as it can when it is run as a script."""
    if not path.is_file():
        raise TargetError(f"there is no file {path}")
    sys.path.insert(0, str(path.resolve().parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _find(module: ModuleType, name: str, where: str) -> Callable[[], Any]:
    function = getattr(module, name, None)
    if callable(function):
        return function  # type: ignore[no-any-return]
    if function is not None:
        raise TargetError(f"{where}:{name} is a {type(function).__name__}, not a function")
    functions = [key for key, value in vars(module).items() if callable(value) and value.__module__ == module.__name__]
    raise TargetError(f"{where} has no function {name!r}; it has {', '.join(functions) or 'none'}")


def _read(text: str, answer: Any) -> Target:
    if isinstance(answer, Mapping):
        return _read_mapping(text, answer)
    if isinstance(answer, tuple) and len(answer) in (2, 3):
        return Target(text, *answer)
    came = f"a tuple of {len(answer)}" if isinstance(answer, tuple) else f"a {type(answer).__name__}"
    raise TargetError(f"{text} must answer with {FORMS}; it answered with {came}")


def _read_mapping(text: str, answer: Mapping[str, Any]) -> Target:
    known = ("inputs", "outputs", "updates", "backend", "values", *_OPTIONS)
    unknown, missing = [key for key in answer if key not in known], [key for key in known[:2] if key not in answer]
    if unknown or missing:
        fault = f"has unknown keys {unknown}" if unknown else f"has no {' and no '.join(missing)}"
        raise TargetError(f"the dict that {text} answers with {fault}; its keys are among {', '.join(known)}")
    options = {key: answer[key] for key in _OPTIONS if key in answer}
    values = answer.get("values") or {}
    return Target(text, answer["inputs"], answer["outputs"], answer.get("updates"), options, values)
