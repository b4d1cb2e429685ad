"""The statements of kernel IR as lines of a CUDA kernel: loads, scalar ops, draws, stores."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from graphc.backends.cuda.printer.spelling import call, cast, literal, loaded, memory_type, rounded, stored
from graphc.backends.cuda.printer.text import KernelText
from graphc.ir.scalar import Scalar
from graphc.ir.types import DType
from graphc.kernel.ir import Compute, Iota, Load, Random, Reduce, Statement, Store
from graphc.kernel.machine import machine_type
from graphc.kernel.nest import NestIndex

__all__ = ["Statements"]

_PHILOX = """\
{r}b = u64({i}) >> u64(2)
{r}0 = u32({r}b)
{r}1 = u32({stream})
{r}2 = u32({o}[1])
{r}3 = u32((({r}b >> u64(32)) << u64(16)) | ((u64({o}[1]) >> u64(32)) & u64(65535)))
{r}k = u32({o}[0])
{r}l = u32(u64({o}[0]) >> u64(32))
for {r}n in range(10):
    {r}p = u64({r}0) * u64(3528531795)
    {r}q = u64({r}2) * u64(3449720151)
    {r}0 = u32(u32({r}q >> u64(32)) ^ {r}1 ^ {r}k)
    {r}1 = u32({r}q)
    {r}2 = u32(u32({r}p >> u64(32)) ^ {r}3 ^ {r}l)
    {r}3 = u32({r}p)
    {r}k = u32({r}k + u32(2654435769))
    {r}l = u32({r}l + u32(3144134277))
{r}w = u32({i}) & u32(3)
({r}0 if {r}w == u32(0) else {r}1) if {r}w < u32(2) else ({r}2 if {r}w == u32(2) else {r}3)"""


class Statements(KernelText):
    """Writes the values of statements, which are called after their numbers.

    Where points are grouped what is wide is read before the loop over the points, and written after it, with one access
    for all where it `is_aligned`; in between its elements are several in one local, `m` and the statement's number.
    """

    is_aligned = True

    def operand(self, number: int) -> str:
        """What an operand is called."""
        return f"o{number}"

    def values(self, numbers: Iterable[int]) -> None:
        for n in numbers:
            self.value(n, self.nest.kernel.body[n])

    def grouped(self, numbers: list[int], stores: list[int], finish: Callable[[], None] = lambda: None) -> None:
        """Values, what `finish` makes of them, then stores: those that vary in a loop over a group's points."""
        varying = self.grouping.varying
        self.values(n for n in numbers if n not in varying)
        if self.grouping.size > 1:
            for n in numbers:
                self.read_ahead(n, self.nest.kernel.body[n])
            for n in stores:
                self.prepare(n)
            self.line(f"for g in range({self.grouping.size}):")
            self.enter()
            self.moves = True
        self.values(n for n in numbers if n in varying)
        finish()
        for n in stores:
            self.store(n)
        if self.moves:
            self.moves = False
            self.leave()
            for n in stores:
                self.write_back(n)

    def is_wide(self, n: int) -> bool:
        """Whether a statement's elements are several in one local."""
        statement = self.nest.kernel.body[n]
        with_one = self.grouping.size % 4 == 0 if isinstance(statement, Random) else self.is_aligned
        return n in self.grouping.wide and with_one

    def value(self, n: int, statement: Statement) -> None:
        name = f"v{n}"
        match statement:
            case Load(otherwise=int(otherwise)) if self.nest.is_never(statement.index):
                self.assign(name, [f"v{otherwise}"])
            case Load(operand, dtype, _, otherwise):
                element = f"pick_{memory_type(dtype)}x{self.grouping.size}(m{n}, g)" if self.is_wide(n) else ""
                self.load(name, operand, dtype, self.access(n), otherwise, element)
            case Scalar():
                self.assign(name, [literal(statement)])
            case Iota(dtype):
                self.assign(name, [_iota(dtype, self.index(self.access(n), "i64"))])
            case Random() if self.is_wide(n):
                self.assign(name, [f"pick_u32x{self.grouping.size}(m{n}, g)"])
            case Random(operand, stream):
                index = self.index(self.access(n))
                self.assign(name, _PHILOX.format(r=name, i=index, o=self.operand(operand), stream=stream).split("\n"))
            case Compute(op, dtype, args):
                self.compute(name, op, dtype, args)
            case Reduce(arg=arg):
                self.assign(name, [f"v{arg}"])
            case _:
                raise AssertionError(statement)

    def compute(self, name: str, op: str, dtype: DType, args: tuple[int, ...]) -> None:
        body, names = self.nest.kernel.body, [f"v{arg}" for arg in args]
        if op == "cast":
            self.assign(name, [cast(self._dtype(body[args[0]]), dtype, names[0])])
            return
        source = self._dtype(body[args[-1]])
        lines = call(op, source, names, name)
        lines[-1] = rounded(op, dtype, lines[-1])
        self.assign(name, lines)

    def _dtype(self, statement: Statement) -> DType:
        assert not isinstance(statement, Store)
        return statement.dtype

    def load(
        self, name: str, operand: int, dtype: DType, index: NestIndex, otherwise: int | None, element: str = ""
    ) -> None:
        """The value of an element, which may have been read ahead."""
        guard = self.guard(index)
        element = element or f"{self.operand(operand)}[{self.index(index)}]"
        value = loaded(dtype, element)
        if otherwise is None or not guard:
            self.assign(name, [value])
            return
        self.assign(name, [f"v{otherwise}"])
        self.line(f"if {guard}:")
        self.enter()
        self.assign(name, [value])
        self.leave()

    def read_ahead(self, n: int, statement: Statement) -> None:
        """The elements of a group, or the draws, of which four come from one block."""
        size, index = self.grouping.size, self.access(n) if self.is_wide(n) else None
        if isinstance(statement, Load) and index is not None:
            kind, operand = f"{memory_type(statement.dtype)}x{size}", self.operand(statement.operand)
            if self.guard(index):
                self.line(f"m{n} = zeros_{kind}()")
            self._guarded(index, f"m{n} = load_{kind}({operand}, {self.index(index)})")
        elif isinstance(statement, Random) and index is not None:
            self.line(f"m{n} = zeros_u32x{size}()")
            for first in range(0, size, 4):
                place = f"u64({self.index(index)}) + u64({first})"
                draw = _PHILOX.format(r=f"v{n}", i=place, o=self.operand(statement.operand), stream=statement.stream)
                for line in draw.split("\n")[:-2]:
                    self.line(line)
                for word in range(4):
                    self.line(f"m{n} = put_u32x{size}(m{n}, {first + word}, v{n}{word})")

    def prepare(self, n: int) -> None:
        """The local in which elements to be stored are gathered."""
        if self.is_wide(n):
            self.line(f"m{n} = zeros_{self._stored_kind(n)}()")

    def _stored_kind(self, n: int) -> str:
        statement = self.nest.kernel.body[n]
        assert isinstance(statement, Store)
        return f"{memory_type(self.nest.operands[statement.operand].dtype)}x{self.grouping.size}"

    def write_back(self, n: int) -> None:
        statement, index = self.nest.kernel.body[n], self.access(n)
        assert isinstance(statement, Store)
        if self.is_wide(n):
            operand = self.operand(statement.operand)
            self._guarded(index, f"store_{self._stored_kind(n)}({operand}, {self.index(index)}, m{n})")

    def store(self, n: int) -> None:
        statement, index = self.nest.kernel.body[n], self.access(n)
        assert isinstance(statement, Store)
        dtype = self.nest.operands[statement.operand].dtype
        value = stored(dtype, f"v{statement.arg}")
        if self.is_wide(n):
            self.line(f"m{n} = put_{self._stored_kind(n)}(m{n}, g, {value})")
        else:
            self._guarded(index, f"{self.operand(statement.operand)}[{self.index(index)}] = {value}")

    def _guarded(self, index: NestIndex, line: str) -> None:
        """A line behind the guard of an access, if it has one."""
        guard = self.guard(index)
        if guard:
            self.line(f"if {guard}:")
        self.depth += bool(guard)
        self.line(line)
        self.depth -= bool(guard)


def _iota(dtype: DType, index: str) -> str:
    return rounded("add", dtype, f"{machine_type(dtype)}({index})")
