"""Numbers of one kind each: an index of one list is no index of another. mypy sees to it; when it runs, all are ints.

BufferNumber = NewType("BufferNumber", int)        a kind, defined where the list is
Indexed[BufferNumber, str]                         a list that is asked by such numbers alone
for number, name in numbered(BufferNumber, names)  how numbers come to be
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeVar, cast

__all__ = ["Indexed", "numbered", "numbers"]

T = TypeVar("T")
Number = TypeVar("Number", bound=int)
Asked = TypeVar("Asked", bound=int, contravariant=True)
Found = TypeVar("Found", covariant=True)


class Indexed(Protocol[Asked, Found]):
    """A list or tuple of which it is known what its positions number."""

    def __getitem__(self, number: Asked, /) -> Found: ...

    def __iter__(self) -> Iterator[Found]: ...

    def __len__(self) -> int: ...


def numbered(kind: Callable[[Any], Number], items: Iterable[T]) -> Iterator[tuple[Number, T]]:
    """`enumerate(items)`, for items whose positions are numbers of a `kind`."""
    return cast(Iterator[tuple[Number, T]], enumerate(items))


def numbers(kind: Callable[[Any], Number], stop: int) -> Sequence[Number]:
    """`range(stop)`, of numbers of a `kind`."""
    return cast(Sequence[Number], range(stop))
