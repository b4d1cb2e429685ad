"""Amounts of memory as people write them."""

from __future__ import annotations

from typing import Any

import pytest

from graphc.errors import GraphError
from graphc.memory.quantity import bytes_of, checked_budget


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("180MiB", 180 << 20), ("1.5 kib", 1536), ("2GB", 2 * 10**9), ("4096", 4096), (4096, 4096), ("7 B", 7),
        ("0.5", 0.5), ("1.0", 1.0), (0.25, 0.25), (None, None),
    ],
)  # fmt: skip
def test_reading(written: Any, read: Any) -> None:
    found = checked_budget(written)
    assert found == read
    assert type(found) is type(read)


@pytest.mark.parametrize("written", ["", "much", "-1", -1, "1.5", 1.5, 0.0, "0.0", True, "3 apples", [1], "1e9"])
def test_refusals(written: Any) -> None:
    with pytest.raises(GraphError, match="a memory budget is a number of bytes"):
        checked_budget(written)


def test_fractions_are_of_the_peak() -> None:
    assert (bytes_of(0.5, 1001), bytes_of(77, 1001)) == (500, 77)
