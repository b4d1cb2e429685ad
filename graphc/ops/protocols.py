"""NumPy's functions on tensors: `np.sin(x)`, `np.mean(x, axis=0)` and `array + x` build what graphc's own would.

NumPy hands such a call over (NEP 13 and NEP 18). The function of the same name in `FUNCTIONS` takes it, its arguments
matched by NumPy's names. What graphc lacks is an ArgumentError: nothing falls back to arrays, which tensors have not.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from graphc.errors import ArgumentError, with_location
from graphc.ir.location import capture
from graphc.ops.record import FUNCTIONS, call

__all__ = ["OTHER_NAMES", "call_function", "call_ufunc"]

OTHER_NAMES = {
    "absolute": "abs", "fabs": "abs", "amax": "max", "amin": "min", "around": "round", "arccos": "acos",
    "arccosh": "acosh", "arcsin": "asin", "arcsinh": "asinh", "arctan": "atan", "arctan2": "atan2",
    "arctanh": "atanh", "concat": "concatenate", "degrees": "rad2deg", "invert": "bitwise_invert",
    "left_shift": "bitwise_left_shift", "permute_dims": "transpose", "radians": "deg2rad",
    "right_shift": "bitwise_right_shift", "rint": "round",
}  # fmt: skip
_OTHER_PARAMETERS = {"ddof": "correction", "a_min": "min", "a_max": "max", "a": "x", "array": "x"}
_FACTS: dict[str, Callable[[Any], Any]] = {
    "shape": lambda x: x.shape, "ndim": lambda x: x.ndim, "size": lambda x: x.size, "ravel": lambda x: x.flatten(),
}  # fmt: skip
_METHODS = {  # of ufuncs, which go along the first axis unless told otherwise
    ("reduce", "add"): "sum", ("reduce", "multiply"): "prod", ("reduce", "maximum"): "max",
    ("reduce", "minimum"): "min", ("reduce", "logical_and"): "all", ("reduce", "logical_or"): "any",
    ("accumulate", "add"): "cumsum", ("accumulate", "multiply"): "cumprod",
}  # fmt: skip


def call_ufunc(ufunc: Any, method: str, inputs: tuple[Any, ...], options: Mapping[str, Any]) -> Any:
    """What `ufunc` makes of tensors: `np.add(x, y)`, or `np.add.reduce(x)` for a `method`."""
    name = ufunc.__name__
    if method == "__call__":
        own, shown = _own_name(name), f"np.{name}"
    else:
        own, shown = _METHODS.get((method, name)), f"np.{name}.{method}"
        options = {"axis": 0, **options}
    if own is None:
        raise _missing(shown)
    given = {option: value for option, value in options.items() if value is not None or option == "axis"}
    if given.get("out") is not None:
        raise _error(f"{shown} writes into an array, which cannot hold a tensor: build x = x + y in place of x += y")
    return call(own, *inputs, **given)


def call_function(function: Any, args: tuple[Any, ...], keywords: Mapping[str, Any]) -> Any:
    """What a function of NumPy's makes of tensors."""
    name = function.__name__
    shown = f"{function.__module__.replace('numpy', 'np', 1)}.{name}"
    if function.__module__ != "numpy":
        raise _missing(shown)
    if name in _FACTS and len(args) == 1 and not keywords:
        return _FACTS[name](args[0])
    own = _own_name(name)
    if own is None:
        raise _missing(shown)
    places = _places(function, own)
    if places is None:
        return call(own, *args, **keywords)
    bound = inspect.signature(function).bind(*args, **keywords).arguments
    strange = [parameter for parameter in bound if parameter not in places]
    if strange:
        raise _error(f"{shown} of tensors takes no {', '.join(strange)}: see gx.{own}")
    return call(own, **{places[parameter]: value for parameter, value in bound.items()})


@functools.cache
def _places(function: Any, own: str) -> dict[str, str] | None:
    """For each parameter of NumPy's function that graphc's has, too, what it is called there. None: as they come."""
    theirs = inspect.signature(function).parameters.values()
    ours = inspect.signature(FUNCTIONS[own].build).parameters
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in theirs):
        return None
    names = {p.name: _OTHER_PARAMETERS.get(p.name, p.name) for p in theirs}
    found = {theirs: name for theirs, name in names.items() if name in ours}
    for parameter, name in zip(names, ours, strict=False):  # operands by their place
        if parameter not in found and name not in found.values() and parameter not in ("out", "dtype"):
            found[parameter] = name
    return found


def _own_name(name: str) -> str | None:
    own = OTHER_NAMES.get(name, name)
    return own if own in FUNCTIONS else None


def _missing(shown: str) -> ArgumentError:
    return _error(f"{shown} has no counterpart for tensors: compute it from what gx has, or of arrays before a call")


def _error(message: str) -> ArgumentError:
    return with_location(ArgumentError(message), capture())
