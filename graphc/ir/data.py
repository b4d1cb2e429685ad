"""What users hand over as data: arrays of NumPy and of other libraries, lists, numbers.

`read_array` makes an array of it, whatever the object's own conversion does; `number_of` tells numbers, which have a
kind but no dtype, from arrays.
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from graphc.errors import ArgumentError, GraphcError, shown

__all__ = ["MOST_SEED", "MOST_STEP", "number_of", "read_array", "whole_number"]

MOST_SEED = (1 << 64) - 1  # seeds have 64 bits
MOST_STEP = (1 << 48) - 1  # steps have 48: at one each microsecond, nine years of them


def read_array(value: Any) -> Any:
    """`value` as an array, itself if it is one. Raises TypeError and ValueError, also for what an object's own
    conversion (`__array__`, `to_numpy`) raised: PyTorch's tensors with a gradient say there what to do.
    """
    if isinstance(value, np.ndarray):
        return np.asarray(value)
    try:
        converts = hasattr(value, "to_numpy") and not hasattr(value, "__array__")
        if hasattr(value, "__dlpack__") and not converts and not hasattr(value, "__array__"):
            return np.from_dlpack(value)
        return np.asarray(value.to_numpy() if converts else value)
    except (GraphcError, TypeError, ValueError):
        raise
    except Exception as error:
        raise TypeError(f"{type(value).__name__} cannot be read as an array: {error}") from error


def whole_number(value: Any, what: str, low: int, high: int) -> int:
    """`value` as an int from `low` to `high`. Raises ArgumentError, which says `what` it was to be."""
    number = number_of(value)
    if type(number) is not int or not low <= number <= high:
        raise ArgumentError(f"{what} is a whole number from {low} to {high}, not {shown(value)}")
    return number


def number_of(value: Any) -> bool | int | float | None:
    """The Python number that `value` stands for, of which only the kind counts; None for what is no number.

    NumPy's scalars are numbers; its arrays are not, even those without axes: they state their dtype.
    """
    kind = type(value)
    if kind in (float, int, bool):
        return value  # type: ignore[no-any-return]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, np.timedelta64):
        return None  # though NumPy counts it among the integers
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating, ml_dtypes.bfloat16)):
        return float(value)
    return None
