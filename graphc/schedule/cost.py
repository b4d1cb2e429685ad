"""What a launch costs in seconds: scalar operations over a rate, bytes over the bandwidth, and the launch itself.

The rates are those of one core, after the columns Gop/s and GB/s of `Program.profile` for training steps. Plans compare
sums of such costs: what matters is how many operations are worth a byte, which differs little between processors.
"""

from __future__ import annotations

__all__ = ["seconds"]

_FUSED = 100e9  # scalar operations a second in loop nests, beside the traffic that they wait for
_PRODUCTS = 140e9  # in matrix products
_RATES = {  # by the op of the library kernel, where it is slower than a product
    "conv2d": 75e9, "conv2d_input_grad": 62e9, "conv2d_weight_grad": 62e9,
    "attention": 75e9, "attention_grad": 75e9,
}  # fmt: skip
_BANDWIDTH = 12e9  # bytes a second, read and written
_LAUNCH = 1e-6


def seconds(work: int, nbytes: int, label: str, *, is_library: bool) -> float:
    """The time of a launch of `work` scalar operations that reads and writes `nbytes`.

    `label` names its ops, the library op first where there is one.

    >>> round(seconds(140_000_000, 0, "matmul+add", is_library=True) * 1e6)
    1001
    """
    rate = _RATES.get(label.split("+")[0], _PRODUCTS) if is_library else _FUSED
    return work / rate + nbytes / _BANDWIDTH + _LAUNCH
