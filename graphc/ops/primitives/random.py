"""Random numbers by counter: the primitive `random_bits`, and the streams that it draws from.

Element i of `random_bits` is word i % 4 of Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
2011). The key is (seed low, seed high), the counter (block low, stream, step low, block high * 2**16 + step high), of
32 bits each, where the block is i // 4. So blocks and steps have 48 bits: room for the draws of a loop, which follow
each other. Bits depend on nothing but seed, step, stream and position: not on threads, nor on whether they are
recomputed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from graphc.errors import GraphError, ShapeError, with_location
from graphc.ir.fresh import Fresh
from graphc.ir.node import Node
from graphc.ir.types import TensorType, tensor_type
from graphc.ops.primitives.views import Ints
from graphc.ops.record import NO_GRADIENT, Array, Kind, primitive

__all__ = ["FIRST_STREAM", "check_streams", "philox", "random_bits_reference"]

FIRST_STREAM = 1 << 31
MOST_WORDS = 1 << 50  # of a draw
_WORD = 0xFFFFFFFF


# The primitive ---------------------------------------------------------------------------------------------------
def philox(counter: tuple[Any, Any, Any, Any], key: tuple[int, int]) -> tuple[Array, Array, Array, Array]:
    """Philox4x32 with ten rounds: four words for each counter. Words are below 2**32; counters may be arrays."""
    c0, c1, c2, c3 = (np.asarray(word, np.uint64) for word in counter)
    k0, k1 = key
    low, half = np.uint64(_WORD), np.uint64(32)
    for _ in range(10):
        first, second = c0 * np.uint64(0xD2511F53), c2 * np.uint64(0xCD9E8D57)
        c0, c1 = (second >> half) ^ c1 ^ np.uint64(k0), second & low
        c2, c3 = (first >> half) ^ c3 ^ np.uint64(k1), first & low
        k0, k1 = (k0 + 0x9E3779B9) & _WORD, (k1 + 0xBB67AE85) & _WORD
    return c0, c1, c2, c3


def random_bits_reference(shape: Ints, stream: int, seed: int, step: int) -> Array:
    """The value of `random_bits` for a seed of 64 bits and a step of 48: an array of uint32."""
    size = math.prod(shape)
    block = np.arange((size + 3) // 4, dtype=np.uint64)
    high = block >> np.uint64(32) << np.uint64(16) | np.uint64(step >> 32 & 0xFFFF)
    words = philox((block & np.uint64(_WORD), stream, step & _WORD, high), (seed & _WORD, (seed >> 32) & _WORD))
    full = np.stack([np.broadcast_to(word, block.shape) for word in words], axis=-1)
    return full.reshape(-1)[:size].astype(np.uint32).reshape(shape)


def _infer_random_bits(*, shape: Ints, stream: int | Fresh) -> TensorType:
    if isinstance(stream, int) and not 0 <= stream <= _WORD:
        raise ShapeError(f"random_bits takes a stream of 32 bits, not {stream}")
    result = tensor_type(shape, "uint32")
    if result.size > MOST_WORDS:
        raise ShapeError(f"random_bits makes at most 2**50 words in one stream, not {result.size}")
    return result


primitive(
    "random_bits",
    kind=Kind.GENERATED,
    infer=_infer_random_bits,
    vjp=(),
    jvp=NO_GRADIENT,
    reference=lambda *, shape, stream, seed=0, step=0: random_bits_reference(shape, stream, seed, step),
    cost=20,
)


def check_streams(nodes: Iterable[Node]) -> None:
    """Raise GraphError where two of the nodes of a graph draw from one stream: their bits would be the same."""
    drawn: dict[int | Fresh, Node] = {}
    for node in nodes:
        if node.op == "random_bits":
            stream, first = node.attrs["stream"], drawn.setdefault(node.attrs["stream"], node)
            if first is not node:
                at = "" if first.location is None else f" at {first.location.filename}:{first.location.line}"
                message = f"stream {stream} is drawn from{at} already: name another, or use those numbers again"
                raise with_location(GraphError(message), node.location)
