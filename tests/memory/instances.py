"""Problems of placement whose answers are known: cut rectangles, and a naive search for a few blocks."""

from __future__ import annotations

import random
from collections.abc import Sequence

from graphc.memory.placement import Block

__all__ = ["cut", "fits"]


def cut(seed: int, count: int, width: int = 1000, height: int = 1 << 16) -> list[Block]:
    """Rectangles that fill `width` steps × `height` bytes without a gap: a rectangle is cut in two, again and again."""
    chance = random.Random(seed)
    parts = [(0, width, 0, height)]
    while len(parts) < count:
        left, right, low, high = parts.pop(chance.randrange(len(parts)))
        if chance.random() < 0.5 and right - left > 1:
            cut = chance.randrange(left + 1, right)
            parts += [(left, cut, low, high), (cut, right, low, high)]
        elif high - low > 1:
            cut = chance.randrange(low + 1, high)
            parts += [(left, right, low, cut), (left, right, cut, high)]
        else:
            parts.append((left, right, low, high))
    return [Block(high - low, left, right - 1) for left, right, low, high in parts]


def fits(blocks: Sequence[tuple[int, int, int]], capacity: int) -> bool:
    """Whether some packing of (size, first, last) needs at most `capacity`.

    From the ground upwards, every block is tried on top of what is placed below it. For about ten blocks.
    """

    def lowest(block: tuple[int, int, int], placed: dict[int, int]) -> int:
        ends = (end for i, end in placed.items() if blocks[i][1] <= block[2] and block[1] <= blocks[i][2])
        return max(ends, default=0)

    def complete(placed: dict[int, int], floor: int) -> bool:
        for i, block in enumerate(blocks):
            offset = 0 if i in placed else lowest(block, placed)
            fine = i not in placed and offset >= floor and offset + block[0] <= capacity
            if fine and complete({**placed, i: offset + block[0]}, offset):
                return True
        return len(placed) == len(blocks)

    return complete({}, 0)
