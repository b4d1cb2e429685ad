"""Distances of pairs as users write them against a matrix product: `python -m benchmarks pairs`.

k-means by `((p[:, None] - c[None]) ** 2).sum(-1)`, which is exact, and by |p|^2 - 2 p c^T + |c|^2, which is not where
points are close. Both run in turns, in CPU time of the thread. A row for each size and dtype, with the time by pairs
and how many times that of the product it is: of the loss, its gradients, and a Hessian-vector product. A subtraction, a
multiplication and an addition for each fused one of the product make 2 to 3 the least; float32 is summed in float64.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console

import graphc as gx
from benchmarks.sheet import Sheet
from graphc.backends.table import NAMES

__all__ = ["FORMS", "KINDS", "Timing", "main", "pairs_sheet", "time_pairs"]

Size = tuple[int, int, int]  # points, coordinates, centres
Form = Callable[[gx.Tensor, gx.Tensor], gx.Tensor]

SIZES: tuple[Size, ...] = ((1000, 2, 3), (1000, 8, 10), (10_000, 8, 100), (10_000, 64, 100), (10_000, 64, 200))
DTYPES = ("float64", "float32")
KINDS = ("loss", "gradient", "both", "hvp")  # gradient with respect to the centres, or to points as well


def _by_pairs(points: gx.Tensor, centres: gx.Tensor) -> gx.Tensor:
    return gx.sum((points[:, None] - centres[None]) ** 2, -1)


def _by_product(points: gx.Tensor, centres: gx.Tensor) -> gx.Tensor:
    return gx.sum(points**2, -1)[:, None] - 2 * (points @ centres.T) + gx.sum(centres**2, -1)


FORMS: dict[str, Form] = {"pairs": _by_pairs, "product": _by_product}


@dataclass(frozen=True)
class Timing:
    """The least seconds of CPU time that a call took, by form."""

    size: Size
    dtype: str
    kind: str
    seconds: dict[str, float]

    @property
    def ratio(self) -> float:
        return self.seconds["pairs"] / self.seconds["product"]


def _program(form: Form, size: Size, dtype: str, kind: str, backend: str) -> gx.Program:
    """The sum of each point's distance to its nearest centre, or what `kind` says of it."""
    points, coordinates, centres = size
    p, c = gx.input("p", (points, coordinates), dtype), gx.input("c", (centres, coordinates), dtype)
    loss = gx.sum(gx.min(form(p, c), 1))
    outputs: list[gx.Tensor] = [loss]
    if kind == "gradient":
        outputs.append(gx.grad(loss, c))
    elif kind == "both":
        outputs += gx.grad(loss, [p, c])
    elif kind == "hvp":
        outputs = [gx.hvp(loss, c, gx.ones_like(c))]
    return gx.compile([p, c], outputs, backend=backend, threads=1)


def time_pairs(size: Size, dtype: str, kind: str, backend: str, seconds: float) -> Timing:
    """Both forms, for about so many seconds in all. Raises AssertionError where they differ."""
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((count, size[1])).astype(dtype) for count in (size[0], size[2])]
    programs = {name: _program(form, size, dtype, kind, backend) for name, form in FORMS.items()}
    results = {name: program(*arrays) for name, program in programs.items()}
    for exact, other in zip(*results.values(), strict=True):
        np.testing.assert_allclose(exact, other, rtol=1e-2, atol=1e-2 * float(np.abs(exact).max()))
    least = dict.fromkeys(programs, float("inf"))
    end, rounds = time.perf_counter() + seconds, 0
    while time.perf_counter() < end or rounds < 5:
        rounds += 1
        for name, program in programs.items():
            least[name] = min(least[name], _seconds(program, arrays))
    return Timing(size, dtype, kind, least)


def _seconds(program: gx.Program, arrays: Sequence[np.ndarray]) -> float:
    """CPU time of a call, of as many as take a millisecond."""
    start, calls = time.thread_time_ns(), 0
    while (spent := time.thread_time_ns() - start) < 1_000_000:
        program(*arrays)
        calls += 1
    return spent / calls / 1e9


def pairs_sheet(timings: Sequence[Timing]) -> Sheet:
    """A row for each size and dtype, with milliseconds by pairs and the ratio to the product's for each kind."""
    rows = []
    for size, dtype in dict.fromkeys((timing.size, timing.dtype) for timing in timings):
        of_row = {timing.kind: timing for timing in timings if (timing.size, timing.dtype) == (size, dtype)}
        cells = [f"{of_row[kind].seconds['pairs'] * 1e3:.3f} ms {of_row[kind].ratio:5.2f}x" for kind in KINDS]
        rows.append(["x".join(map(str, size)), dtype, *cells])
    columns = ["points x coordinates x centres", "dtype", *KINDS]
    return Sheet("pairs", columns, rows, ["Milliseconds by pairs, and how many times those of the product."])


def _timings(options: argparse.Namespace) -> Iterator[Timing]:
    for size in options.sizes:
        for dtype in options.dtype or DTYPES:
            for kind in KINDS:
                yield time_pairs(size, dtype, kind, options.backend, options.seconds)


def main(arguments: Sequence[str]) -> int:
    """Run the command; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks pairs", description="k-means by pairs, by a product.")
    parser.add_argument(
        "--sizes", type=_sizes, default=SIZES, metavar="NxDxK,NxDxK", help="points, coordinates, centres"
    )
    parser.add_argument("--dtype", choices=DTYPES, action="append")
    parser.add_argument("--backend", choices=NAMES, default="c")
    parser.add_argument("--seconds", type=float, default=1.0, help="for each row and kind")
    options = parser.parse_args(arguments)
    console = Console(width=max(Console().width, 120))
    with console.status("measuring"):
        timings = list(_timings(options))
    console.print(pairs_sheet(timings))
    return 0


def _sizes(text: str) -> tuple[Size, ...]:
    sizes = [tuple(int(part) for part in size.split("x")) for size in text.split(",")]
    return tuple((points, coordinates, centres) for points, coordinates, centres in sizes)
