"""`IndexRange`: which values an input may hold where a program uses it as an index. Calls are checked against it.

The elements that count are those at `offset + Σ strides[k]·i[k]`, `i[k]` below `counts[k]`, of the flat input: all of
it, or a slice such as `tokens[:, :-1]`. They lie in [`low`, `high`) or are one of `ignored`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from graphc.errors import InputError

__all__ = ["IndexRange"]


@dataclass(frozen=True)
class IndexRange:
    """The allowed values of some elements of the input number `input`. `what` says what they are used for, and
    `location` where. Strides count elements and are positive, the last is the smallest."""

    input: int
    offset: int
    counts: tuple[int, ...]
    strides: tuple[int, ...]
    low: int
    high: int
    ignored: tuple[int, ...]
    what: str
    location: str = ""

    @property
    def last(self) -> int:
        """The position in the flat input of the last element that counts."""
        return self.offset + sum((n - 1) * stride for n, stride in zip(self.counts, self.strides, strict=True))

    def fault(self, name: str, array: Any) -> InputError | None:
        """The error for the first element out of range of `array`, given as the input `name`; None if there is none."""
        flat = np.ascontiguousarray(array).reshape(-1)
        if not flat.size:
            return None
        places = np.full((1,) * len(self.counts), self.offset)
        for axis, (count, stride) in enumerate(zip(self.counts, self.strides, strict=True)):
            places = places + (np.arange(count) * stride).reshape((-1,) + (1,) * (len(self.counts) - axis - 1))
        values = flat[places].astype(np.int64)
        wrong = ((values < self.low) | (values >= self.high)) & ~np.isin(values, self.ignored)
        if not wrong.any():
            return None
        place = int(places[wrong][0])
        at = ", ".join(str(int(index)) for index in np.unravel_index(place, array.shape))
        error = InputError(f"input {name!r} holds {flat[place]}{f' at [{at}]' * bool(at)}; {self}")
        error.location = self.location
        return error

    def __str__(self) -> str:
        besides = "".join(f" or {value}, which is ignored" for value in self.ignored)
        return f"{self.what} takes {self.low} to {self.high - 1}{besides}"
