"""The statements of kernel IR as lines of a CUDA kernel: loads, scalar ops, draws, stores."""

from __future__ import annotations

from graphc.backends.cuda.spelling import call, cast, literal, loaded, rounded, stored
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
    """Writes the values of statements, which are called after their numbers."""

    def operand(self, number: int) -> str:
        """What an operand is called."""
        return f"o{number}"

    def values(self, numbers: list[int]) -> None:
        for n in numbers:
            self.value(n, self.nest.kernel.body[n])

    def value(self, n: int, statement: Statement) -> None:
        name = f"v{n}"
        match statement:
            case Load(otherwise=int(otherwise)) if self.nest.is_never(statement.index):
                self.assign(name, [f"v{otherwise}"])
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

    def load(self, name: str, operand: int, dtype: DType, index: NestIndex, otherwise: int | None) -> None:
        guard = self.guard(index)
        value = loaded(dtype, f"{self.operand(operand)}[{self.index(index)}]")
        if otherwise is None or not guard:
            self.assign(name, [value])
            return
        self.assign(name, [f"v{otherwise}"])
        self.line(f"if {guard}:")
        self.enter()
        self.assign(name, [value])
        self.leave()

    def store(self, n: int) -> None:
        statement = self.nest.kernel.body[n]
        assert isinstance(statement, Store)
        index = self.access(n)
        element = f"{self.operand(statement.operand)}[{self.index(index)}]"
        value = stored(self.nest.operands[statement.operand].dtype, f"v{statement.arg}")
        guard = self.guard(index)
        if guard:
            self.line(f"if {guard}:")
            self.enter()
        self.line(f"{element} = {value}")
        if guard:
            self.leave()


def _iota(dtype: DType, index: str) -> str:
    return rounded("add", dtype, f"{machine_type(dtype)}({index})")
