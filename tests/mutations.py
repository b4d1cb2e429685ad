"""Ways to damage JSON: every field deleted, of another type, negative, huge, nested, swapped, doubled.

`mutants` walks a document and damages one place at a time. Of long lists it takes the first, the second and the last
item: the others are of the same kind.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def nested(depth: int) -> list[Any]:
    """A list in a list in a list ..."""
    inner: list[Any] = []
    for _ in range(depth):
        inner = [inner]
    return inner


WRONG: tuple[Any, ...] = (
    None, True, -1, 0, 7, 1.5, 1 << 62, -(1 << 63), 1 << 70, 10**400, float("inf"), "", "float37", "output", "\ud800",
    "a" * 1000, [], {}, [-1], [[]], nested(100),
)  # fmt: skip


def mutants(document: Any) -> Iterator[str]:
    """Damage `document` in place, one place at a time; what was done. It is whole again afterwards."""
    for where, container, key in places(document):
        old = container[key]
        for wrong in (*WRONG, *near(old)):
            container[key] = wrong
            yield f"{where} = {repr(wrong)[:40]}"
        container[key] = old
        yield from rearranged(where, container, key)


def places(node: Any, where: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Every place of a document as its path, its container and its key there."""
    keys: list[Any] = []
    if isinstance(node, dict):
        keys = list(node)
    elif isinstance(node, list):
        keys = sorted({0, 1, len(node) - 1} & set(range(len(node))))
    for key in keys:
        path = f"{where}.{key}" if isinstance(key, str) else f"{where}[{key}]"
        yield path, node, key
        yield from places(node[key], path)


def near(old: Any) -> list[Any]:
    """Values of the right type that are a little off."""
    if isinstance(old, bool):
        return [not old]
    if isinstance(old, int):
        return [old + 1, old - 1, old * 2, old // 2]
    if isinstance(old, str):
        return [old + "x", old[::-1], old.upper()]
    if isinstance(old, list):
        return [old[::-1], old[:-1], old + old[-1:], old + old]
    return []


def rearranged(where: str, container: Any, key: Any) -> Iterator[str]:
    """The place gone, and what it holds in the place of its neighbour."""
    before = list(container.items()) if isinstance(container, dict) else list(container)
    del container[key]
    yield f"{where} deleted"
    restore(container, before)
    keys = list(container) if isinstance(container, dict) else list(range(len(container)))
    other = keys[(keys.index(key) + 1) % len(keys)]
    container[key], container[other] = container[other], container[key]
    yield f"{where} and {other} swapped"
    restore(container, before)


def restore(container: Any, before: list[Any]) -> None:
    container.clear()
    container.update(before) if isinstance(container, dict) else container.extend(before)
