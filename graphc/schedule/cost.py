"""What a launch costs in seconds: scalar operations over a rate, bytes over the bandwidth, and the launch itself.

The rates are those of one core, fitted to the profiles of training steps. Plans compare sums of such costs: what
matters is how many operations are worth a byte, which differs little between processors.
"""

from __future__ import annotations

__all__ = ["seconds"]

_PRODUCTS = 140e9  # scalar operations a second in products, convolutions and attention
_FUSED = 100e9  # in loop nests, beside the traffic that they wait for
_BANDWIDTH = 12e9  # bytes a second, read and written
_LAUNCH = 1e-6


def seconds(work: int, nbytes: int, *, is_library: bool) -> float:
    """The time of a launch of `work` scalar operations that reads and writes `nbytes`.

    >>> round(seconds(140_000_000, 0, is_library=True) * 1e6)
    1001
    """
    return work / (_PRODUCTS if is_library else _FUSED) + nbytes / _BANDWIDTH + _LAUNCH
