"""What a launch costs in seconds: its effort over a rate, bytes over the bandwidth, and the launch itself.

The rates are those of one core, after the columns Gop/s and GB/s of `Program.profile` for training steps; how much
slower a library kernel is than a large matrix product, its own module says. Plans compare sums of such costs: what
matters is how many operations are worth a byte, which differs little between processors.
"""

from __future__ import annotations

__all__ = ["seconds"]

_PRODUCTS = 140e9  # operations a second in large matrix products; in loop nests as well, beside their traffic
_BANDWIDTH = 11e9  # bytes a second, read and written
_LAUNCH = 1e-6


def seconds(effort: int, nbytes: int) -> float:
    """The time of a launch that reads and writes `nbytes`.

    `effort` is in scalar operations of a large matrix product.

    >>> round(seconds(140_000_000, 0) * 1e6)
    1001
    """
    return effort / _PRODUCTS + nbytes / _BANDWIDTH + _LAUNCH
