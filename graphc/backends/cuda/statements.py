"""The statements of kernel IR as lines of a CUDA kernel: loads, scalar ops, draws, stores."""

from __future__ import annotations

from collections.abc import Iterator

from graphc.backends.cuda.spelling import call, cast, literal, loaded, memory_type, rounded, stored
from graphc.backends.cuda.text import KernelText
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
    """Writes the values of statements, which are called after their numbers, and after points where these differ.

    What is wide is read and written with one access for a group where it `is_aligned`.
    """

    is_aligned = True

    def operand(self, number: int) -> str:
        """What an operand is called."""
        return f"o{number}"

    def name(self, n: int) -> str:
        """What the value of a statement is called, at the point that is written for."""
        return f"v{n}_{self.point}" if n in self.grouping.varying else f"v{n}"

    def group(self, n: int) -> list[str]:
        """What the values of a statement are called at all points of a group."""
        return [f"v{n}_{point}" for point in range(self.grouping.size)] if n in self.grouping.varying else [f"v{n}"]

    def values(self, numbers: list[int]) -> None:
        for n in numbers:
            statement = self.nest.kernel.body[n]
            if n in self.grouping.wide and isinstance(statement, Load) and self.is_aligned:
                self.load_wide(n, statement)
            elif n in self.grouping.wide and isinstance(statement, Random) and self.grouping.size % 4 == 0:
                self.draw_wide(n, statement)
            else:
                for _ in self.points(n):
                    self.value(n, statement)

    def points(self, n: int) -> Iterator[int]:
        """The points for which there are values of a statement; each is the one that is written for meanwhile."""
        for point in range(self.grouping.size if n in self.grouping.varying else 1):
            self.point = point
            yield point
        self.point = 0

    def value(self, n: int, statement: Statement) -> None:
        name = self.name(n)
        match statement:
            case Load(otherwise=int(otherwise)) if self.nest.is_never(statement.index):
                self.assign(name, [self.name(otherwise)])
            case Load(operand, dtype, _, otherwise):
                self.load(name, operand, dtype, self.access(n), otherwise)
            case Scalar():
                self.assign(name, [literal(statement)])
            case Iota(dtype):
                self.assign(name, [_iota(dtype, self.index(self.access(n), "i64"))])
            case Random(operand, stream):
                index = self.index(self.access(n))
                self.assign(name, _PHILOX.format(r=name, i=index, o=self.operand(operand), stream=stream).split("\n"))
            case Compute(op, dtype, args):
                self.compute(name, op, dtype, args)
            case Reduce(arg=arg):
                self.assign(name, [self.name(arg)])
            case _:
                raise AssertionError(statement)

    def compute(self, name: str, op: str, dtype: DType, args: tuple[int, ...]) -> None:
        body, names = self.nest.kernel.body, [self.name(arg) for arg in args]
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

    def load(self, name: str, operand: int, dtype: DType, index: NestIndex, otherwise: int | None) -> None:
        guard = self.guard(index)
        value = loaded(dtype, f"{self.operand(operand)}[{self.index(index)}]")
        if otherwise is None or not guard:
            self.assign(name, [value])
            return
        self.assign(name, [self.name(otherwise)])
        self.line(f"if {guard}:")
        self.enter()
        self.assign(name, [value])
        self.leave()

    def load_wide(self, n: int, statement: Load) -> None:
        """The elements of a group with one access."""
        index, names, size, otherwise = self.access(n), self.group(n), self.grouping.size, statement.otherwise
        guard = self.guard(index)
        if otherwise is not None and guard:
            for point in self.points(n):
                self.assign(names[point], [self.name(otherwise)])
            self.line(f"if {guard}:")
            self.enter()
        kind = memory_type(statement.dtype)
        raw = [name if loaded(statement.dtype, "") == "" else f"m{name[1:]}" for name in names]
        self.line(f"{', '.join(raw)} = load_{kind}x{size}({self.operand(statement.operand)}, {self.index(index)})")
        for name, element in zip(names, raw, strict=True):
            self.assign(name, [loaded(statement.dtype, element)])
        if otherwise is not None and guard:
            self.leave()

    def draw_wide(self, n: int, statement: Random) -> None:
        """The draws of a group, of which four come from one block."""
        for first in range(0, self.grouping.size, 4):
            self.point = first
            name, index = self.name(n), self.index(self.access(n))
            lines = _PHILOX.format(r=name, i=index, o=self.operand(statement.operand), stream=statement.stream)
            for line in lines.split("\n")[:-2]:
                self.line(line)
            for word in range(4):
                self.line(f"v{n}_{first + word} = {name}{word}")
        self.point = 0

    def store(self, n: int) -> None:
        statement = self.nest.kernel.body[n]
        assert isinstance(statement, Store)
        dtype = self.nest.operands[statement.operand].dtype
        if n in self.grouping.wide and self.is_aligned:
            self._guarded(n, [self._stored_wide(n, statement, dtype)])
            return
        for _ in self.points(n):
            element = f"{self.operand(statement.operand)}[{self.index(self.access(n))}]"
            self._guarded(n, [f"{element} = {stored(dtype, self.name(statement.arg))}"])

    def _stored_wide(self, n: int, statement: Store, dtype: DType) -> str:
        names = self.group(statement.arg) * (1 if statement.arg in self.grouping.varying else self.grouping.size)
        values = ", ".join(stored(dtype, name) for name in names)
        kind, size = memory_type(dtype), self.grouping.size
        return f"store_{kind}x{size}({self.operand(statement.operand)}, {self.index(self.access(n))}, ({values}))"

    def _guarded(self, n: int, lines: list[str]) -> None:
        """Lines behind the guard of an access, if it has one."""
        guard = self.guard(self.access(n))
        if guard:
            self.line(f"if {guard}:")
            self.enter()
        for line in lines:
            self.line(line)
        if guard:
            self.leave()


def _iota(dtype: DType, index: str) -> str:
    return rounded("add", dtype, f"{machine_type(dtype)}({index})")
