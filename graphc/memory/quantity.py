"""Amounts of memory as people write them: a number of bytes, "180MiB", or a fraction of what would be needed."""

from __future__ import annotations

import re
from typing import Any

from graphc.errors import GraphError, shown

__all__ = ["bytes_of", "checked_budget", "checked_bytes"]

_UNITS = ("", "k", "m", "g", "t")  # each 1000 times the last, or with an i 1024 times
_TEXT = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([kmgt]?)(i?)b?\s*", re.IGNORECASE)


def checked_budget(budget: Any) -> int | float | None:
    """`budget` as bytes (an int), or as a fraction of an unconstrained peak (a float above 0 and at most 1).

    A text without a unit is read as its number: "0.5" is half of the peak. Raises GraphError for anything else.

    >>> checked_budget("1.5 KiB"), checked_budget(0.5), checked_budget(4096), checked_budget("2MB")
    (1536, 0.5, 4096, 2000000)
    """
    if budget is None:
        return None
    found: int | float | None = None
    if isinstance(budget, str):
        match = _TEXT.fullmatch(budget)
        if match is not None:
            number, unit, binary = match.groups()
            if "." in number and budget.strip() == number:
                return checked_budget(float(number))
            found = int(float(number) * (1024 if binary else 1000) ** _UNITS.index(unit.lower()))
    elif isinstance(budget, int) and not isinstance(budget, bool):
        found = budget
    elif isinstance(budget, float) and 0 < budget <= 1:
        return budget
    if found is None or found < 0:
        raise GraphError(
            f"a memory budget is a number of bytes, a text such as '180MiB', or a fraction of the unconstrained peak "
            f"above 0 and at most 1; not {shown(budget)}"
        )
    return found


def checked_bytes(text: str) -> int:
    """A number of bytes, at least 1, as people write it. Raises GraphError.

    >>> checked_bytes("1MiB"), checked_bytes("4096")
    (1048576, 4096)
    """
    try:
        found = checked_budget(text)
    except GraphError:
        found = None
    if not isinstance(found, int) or found < 1:
        raise GraphError(f"{text!r} is no number of bytes, such as 4096 or 1MiB")
    return found


def bytes_of(budget: int | float, peak: int) -> int:
    """The budget in bytes, for an unconstrained peak."""
    return int(budget * peak) if isinstance(budget, float) else budget
