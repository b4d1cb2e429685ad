"""The epilogue of a hand-written kernel: a loop nest as lines that finish one element of its result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from graphc.backends.backend import Routine
from graphc.backends.cuda.kernel import CudaKernel
from graphc.backends.cuda.printer.loop_nest import operand_types, print_kernel
from graphc.backends.cuda.printer.statements import Statements
from graphc.ir.types import DType
from graphc.kernel.ir import Store
from graphc.kernel.nest import Nest, NestIndex

__all__ = ["Epilogue", "epilogue_of", "finishing_kernel"]


@dataclass(frozen=True)
class Epilogue:
    """Lines that finish the element at position `c` of a kernel's result, whose value is `product`.

    `names` and `types` are of the epilogue's own operands, which come behind those of the kernel; `numbers` are theirs
    in the loop nest.
    """

    text: str = ""
    numbers: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    types: tuple[str, ...] = ()

    def places(self, own: Sequence[tuple[int, int]], behind: int) -> tuple[tuple[int, int], ...]:
        """Where a kernel's operands are among its launch's: its `own`, then the epilogue's, `behind` so many."""
        return (*own, *((behind + number, 0) for number in self.numbers))

    def finishing(self, position: str, value: str = "ELEMENT(stored)") -> str:
        """The lines for an element of this value at this position."""
        return f"product = {value}\nc = {position}\n{self.text}" if self.text else ""


def epilogue_of(routine: Routine | None) -> Epilogue:
    """The epilogue of a routine; one of no lines where there is none."""
    if routine is None or routine.nest is None:
        return Epilogue()
    made, types = _Epilogue(Nest(routine.nest), routine.result), operand_types(routine.nest)
    numbers = tuple(number for number in range(len(types)) if number != routine.result)
    names, kinds = (tuple(listed[number] for number in numbers) for listed in (made.names, types))
    return Epilogue("\n".join(made.finished()), numbers, names, kinds)


def finishing_kernel(routine: Routine, name: str) -> CudaKernel | None:
    """The epilogue of a product as a kernel of its own, which reads the result where the product is stored."""
    if routine.nest is None:
        return None
    made = print_kernel(routine.nest, name)
    numbers = range(len(routine.nest.operands))
    places = tuple((2, 0) if number == routine.result else (3 + number, 0) for number in numbers)
    narrow = made.narrow and replace(made.narrow, places=places)
    return replace(made, places=places, narrow=narrow)


class _Epilogue(Statements):
    """`result`, an operand, is in a local, not in memory."""

    def __init__(self, nest: Nest, result: int) -> None:
        super().__init__(nest)
        self.result = result
        self.names = tuple(f"p{number}" for number in range(len(nest.kernel.operands)))

    def operand(self, number: int) -> str:
        return self.names[number]

    def load(
        self, name: str, operand: int, dtype: DType, index: NestIndex, otherwise: int | None, element: str = ""
    ) -> None:
        if operand == self.result:
            self.assign(name, ["product"])
        else:
            super().load(name, operand, dtype, index, otherwise, element)

    def finished(self) -> list[str]:
        body = self.nest.kernel.body
        stores = [n for n, s in enumerate(body) if isinstance(s, Store) and not self.nest.is_never(s.index)]
        self.values([n for n, needed in enumerate(self.nest.needed) if needed and not isinstance(body[n], Store)])
        for store in stores:
            self.store(store)
        return self.lines
