"""Random concatenations of concatenations, whose parts are products, reductions, row programs, or nothing much."""

from __future__ import annotations

import random

import graphc as gx

__all__ = ["random_stacks"]

_SIZES = (1, 2, 3, 5, 7, 8, 16, 17, 33, 40)


def random_stacks(seed: int) -> tuple[list[gx.Tensor], list[gx.Tensor]]:
    """Inputs and outputs."""
    return _Growth(random.Random(seed)).run()


class _Growth:
    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.inputs: list[gx.Tensor] = []
        self.pool: list[gx.Tensor] = []

    def run(self) -> tuple[list[gx.Tensor], list[gx.Tensor]]:
        outputs = [self._read() for _ in range(self.chance.randint(1, 3))]
        outputs += [self._again(self.chance.choice(self.pool)) for _ in range(self.chance.randint(0, 2))]
        return self.inputs, outputs

    def _size(self) -> int:
        return self.chance.choice(_SIZES)

    def _input(self, *shape: int) -> gx.Tensor:
        self.inputs.append(gx.input(f"x{len(self.inputs)}", shape))
        return self.inputs[-1]

    def _part(self, rows: int, columns: int) -> gx.Tensor:
        alike = [x for x in self.pool if x.shape == (rows, columns)]
        if alike and self.chance.random() < 0.4:
            return self.chance.choice(alike)
        match self.chance.randrange(6):
            case 0:
                part = self._input(rows, columns) * 1.5
            case 1:
                part = gx.softmax(self._input(rows, columns), self.chance.randrange(2))
            case 2:
                part = gx.sum(self._input(rows, columns, 3), 2)
            case kind:
                depth = self._size()
                part = self._input(rows, depth) @ self._input(depth, columns)
                part = part if kind == 3 else gx.tanh(part)
        self.pool.append(part)
        return part

    def _whole(self, shape: tuple[int, int], depth: int) -> gx.Tensor:
        """An array of a shape, put together of others."""
        axis = self.chance.randrange(2)
        if depth == 0 or shape[axis] == 1:
            return self._part(*shape)
        cuts = sorted(self.chance.sample(range(1, shape[axis]), self.chance.randint(1, min(4, shape[axis] - 1))))
        if self.chance.random() < 0.4 and shape[axis] % 3 == 0:
            cuts = [shape[axis] // 3, 2 * shape[axis] // 3]
        parts = []
        for start, stop in zip([0, *cuts], [*cuts, shape[axis]], strict=True):
            part = (stop - start, shape[1]) if axis == 0 else (shape[0], stop - start)
            parts.append(self._whole(part, depth - 1) if self.chance.random() < 0.6 else self._part(*part))
        self.pool.append(gx.concatenate(parts, axis))
        return self.pool[-1]

    def _read(self) -> gx.Tensor:
        """A concatenation, as it is or as a launch reads it."""
        whole = self._whole((self._size() * self.chance.randint(1, 3), self._size() * self.chance.randint(1, 3)), 3)
        match self.chance.randrange(5):
            case 0:
                return whole
            case 1:
                return whole @ self._input(whole.shape[1], 5)
            case 2:
                return self._input(5, whole.shape[0]) @ whole
            case 3:
                return gx.tanh(gx.cumsum(whole, 1))
            case _:
                return gx.reshape(whole, (-1,)) * 2.0

    def _again(self, x: gx.Tensor) -> gx.Tensor:
        """What else reads a part, or a part of a part."""
        match self.chance.randrange(5):
            case 0:
                return x
            case 1:
                return gx.sum(x * x, 0)
            case 2:
                return x.T @ x
            case 3:
                return gx.cumsum(x, 0)
            case _:
                return gx.reshape(x, (-1,)) + 1.0
