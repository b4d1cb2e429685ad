"""Random programs of loops within loops, whose unrolled form is built by the same code: rolled and unrolled compute the
same numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import graphc as gx
from graphc.ops.functions.loops import loop

__all__ = ["LoopProgram", "Repeat", "loop_program", "unrolled"]

Repeat = Callable[..., tuple[Sequence[Any], Sequence[Any]]]
WIDTH = 3


def unrolled(
    step: Any, count: int, carries: Sequence[Any], stacks: Sequence[Any] = (), *, reverse: bool = False
) -> tuple[Sequence[Any], Sequence[Any]]:
    """What `loop` computes, as so many copies of the body."""
    values, rows = list(carries), []
    for iteration in reversed(range(count)) if reverse else range(count):
        values, outputs = step(list(values), [stack[iteration] for stack in stacks])
        rows.append(outputs)
    rows = rows[::-1] if reverse else rows
    return values, [gx.stack(list(column)) for column in zip(*rows, strict=True)]


@dataclass(frozen=True)
class LoopProgram:
    """`inputs` and the `arrays` for them; `results(repeat)` are the outputs, by `loop` or by `unrolled`, the first a
    scalar that depends on all of them."""

    inputs: list[Any]
    arrays: list[np.ndarray]
    results: Callable[[Repeat], list[Any]]


class _Growing:
    """A body, or what is around it, that grows by random choices: always the same ones for a seed."""

    def __init__(self, rng: np.random.Generator, repeat: Repeat, matrix: Any) -> None:
        self.rng, self.repeat, self.matrix = rng, repeat, matrix

    def vector(self, known: Sequence[Any]) -> Any:
        """A new vector made of known ones."""
        a, b = (known[int(self.rng.integers(len(known)))] for _ in range(2))
        made = [
            lambda: gx.tanh(a + b), lambda: a * gx.sigmoid(b), lambda: gx.tanh(a @ self.matrix), lambda: gx.sin(a) - b,
            lambda: a[::-1] * 0.5, lambda: gx.softmax(a) + b, lambda: gx.max(a) * gx.cos(b),
            lambda: gx.cumsum(a) * 0.25, lambda: gx.where(a > b, a, 0.5 * b), lambda: gx.sort(a)[0] + b,
        ]  # fmt: skip
        return made[int(self.rng.integers(len(made)))]()

    def some(self, known: Sequence[Any], count: int) -> list[Any]:
        grown = list(known)
        for _ in range(count):
            grown.append(self.vector(grown))
        return grown

    def loop(self, known: Sequence[Any], depth: int) -> list[Any]:
        """The results of a loop over what is known, as vectors."""
        count, carried = int(self.rng.integers(1, 5)), int(self.rng.integers(1, 4))
        stack = gx.stack([self.vector(known) for _ in range(count)])
        starts = [known[int(self.rng.integers(len(known)))] for _ in range(carried)]
        reverse, seed = bool(self.rng.integers(2)), int(self.rng.integers(1 << 30))

        def step(values: Sequence[Any], slices: Sequence[Any]) -> tuple[list[Any], list[Any]]:
            inner = _Growing(np.random.default_rng(seed), self.repeat, self.matrix)
            body = inner.some([*values, *slices, *known[:2]], 2)
            if depth and inner.rng.integers(2):
                body += inner.loop(body, depth - 1)
            body = inner.some(body, 1)
            pick = inner.rng.permutation(len(body))
            nexts = [body[int(pick[i % len(body)])] for i in range(carried)]
            return nexts, [body[-1], body[int(pick[-1])]][: int(inner.rng.integers(3))]

        values, stacks = self.repeat(step, count, starts, [stack], reverse=reverse)
        return [*values, *(gx.mean(stacked, axis=0) for stacked in stacks)]


def loop_program(seed: int, *, dtype: str = "float64", depth: int = 2) -> LoopProgram:
    """The program of a seed."""
    rng = np.random.default_rng([seed, 14])
    inputs = [gx.input("x", (WIDTH,), dtype), gx.input("y", (WIDTH,), dtype), gx.input("m", (WIDTH, WIDTH), dtype)]
    arrays = [rng.uniform(-1, 1, node.shape).astype(dtype) for node in inputs]
    choices = int(rng.integers(1 << 30))

    def results(repeat: Repeat) -> list[Any]:
        growing = _Growing(np.random.default_rng(choices), repeat, inputs[2])
        known = growing.some(inputs[:2], 2)
        for _ in range(2):
            known += growing.loop(known, depth)
            known = growing.some(known, 1)
        vectors = known[-4:]
        return [sum(gx.sum(gx.sin(vector)) for vector in vectors), *vectors]

    return LoopProgram(inputs, arrays, results)


def rolled(program: LoopProgram) -> list[Any]:
    return program.results(loop)
