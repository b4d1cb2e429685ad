"""The epilogue of a hand-written kernel: a loop nest as lines that finish one element of its result."""

from __future__ import annotations

from graphc.backends.cuda.statements import Statements
from graphc.ir.types import DType
from graphc.kernel.ir import Kernel, Store
from graphc.kernel.nest import Nest, NestIndex

__all__ = ["epilogue_text", "operand_names"]


def operand_names(kernel: Kernel) -> list[str]:
    """What the operands of an epilogue are called, behind those of the kernel that it finishes."""
    return [f"p{number}" for number in range(len(kernel.operands))]


def epilogue_text(kernel: Kernel, result: int) -> str:
    """The lines that finish the element at position `c` of the result, whose value is `product`.

    `result` is the operand by which the epilogue reads it.
    """
    return "\n".join(_Epilogue(Nest(kernel), result).finished())


class _Epilogue(Statements):
    """`result` is in a local, not in memory."""

    def __init__(self, nest: Nest, result: int) -> None:
        super().__init__(nest)
        self.result = result

    def operand(self, number: int) -> str:
        return operand_names(self.nest.kernel)[number]

    def load(self, name: str, operand: int, dtype: DType, index: NestIndex, otherwise: int | None) -> None:
        if operand == self.result:
            self.assign(name, ["product"])
        else:
            super().load(name, operand, dtype, index, otherwise)

    def finished(self) -> list[str]:
        body = self.nest.kernel.body
        stores = [n for n, s in enumerate(body) if isinstance(s, Store) and not self.nest.is_never(s.index)]
        self.values([n for n, needed in enumerate(self.nest.needed) if needed and not isinstance(body[n], Store)])
        for store in stores:
            self.store(store)
        return self.lines
