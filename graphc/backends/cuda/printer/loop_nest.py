"""Kernel IR as a CUDA kernel in Numba's Python: readable text, of which the compiler and the simulator see the same.

A kernel is a function of its operands, pointers to elements; all else is literal. A flat nest has a thread for each
point. Rows are reduced by some threads each (layout.py): a lane goes through its elements in steps of the number of
lanes, then lanes are combined in an order that depends on their number alone, by shuffles within a warp and through
shared memory beyond. What a row needs several times it reads again; stores along a row come in its last loop, as they
may lie in the place of what is read.

Names are ordinals: `o0` an operand, `v3` the value of statement 3, `i1_4` a coordinate. Indices are 32 bits wide, or 64
where an operand has more elements.
"""

from __future__ import annotations

from dataclasses import replace

from graphc.backends.cuda.kernel import BLOCK, WARP, CudaKernel
from graphc.backends.cuda.printer.grouping import ALONE, Grouping, grouping_of
from graphc.backends.cuda.printer.layout import ThreadLayout, layout_of
from graphc.backends.cuda.printer.spelling import call, memory_type, rounded, whole
from graphc.backends.cuda.printer.statements import Statements
from graphc.kernel.ir import Kernel, Load, Random, Reduce, Statement, Store
from graphc.kernel.machine import machine_type
from graphc.kernel.nest import FULL, Nest, without_empty_reductions

__all__ = ["operand_types", "print_kernel"]

_COMBINE = {"sum": "add", "max": "maximum", "min": "minimum"}


def print_kernel(kernel: Kernel, name: str = "kernel") -> CudaKernel:
    """The CUDA kernel of a loop nest, called `name`."""
    nest = Nest(without_empty_reductions(kernel))
    layout = layout_of(nest)
    grouping = grouping_of(nest, along_rows=not nest.is_flat) if nest.is_flat or layout.lanes_first else ALONE
    layout = layout_of(nest, grouping.size)
    made = _printed(kernel, nest, layout, grouping, name)
    widths = _widths(nest, grouping)
    if not any(widths):
        return made
    return replace(made, widths=widths, narrow=_printed(kernel, nest, layout, grouping, name, is_aligned=False))


def _printed(
    kernel: Kernel, nest: Nest, layout: ThreadLayout, grouping: Grouping, name: str, *, is_aligned: bool = True
) -> CudaKernel:
    printer = _CudaPrinter(nest, layout, grouping)
    printer.is_aligned = is_aligned
    body = [] if not nest.size else printer.flat() if nest.is_flat else printer.rows()
    operands = ", ".join(f"o{i}" for i in range(len(kernel.operands)))
    lines = [f"def {name}({operands}):", *(f"    {line}" for line in body or ["pass"])]
    return CudaKernel(name, "\n".join(lines) + "\n", operand_types(kernel), layout.blocks)


def _widths(nest: Nest, grouping: Grouping) -> tuple[int, ...]:
    """What the address of each operand must be a multiple of, in bytes; 0 for anything."""
    found = [0] * len(nest.operands)
    for n in grouping.wide:
        statement = nest.kernel.body[n]
        if isinstance(statement, (Load, Store)):
            found[statement.operand] = grouping.size * nest.operands[statement.operand].dtype.itemsize
    return tuple(found)


def operand_types(kernel: Kernel) -> tuple[str, ...]:
    """The types of a loop nest's operands in memory."""
    states = {statement.operand for statement in kernel.body if isinstance(statement, Random)}
    return tuple("u64" if i in states else memory_type(o.dtype) for i, o in enumerate(kernel.operands))


class _CudaPrinter(Statements):
    """The lines of a kernel as they come."""

    def __init__(self, nest: Nest, layout: ThreadLayout, grouping: Grouping = ALONE) -> None:
        super().__init__(nest, grouping)
        self.layout = layout
        self.shared = 0

    # Shapes of kernels -----------------------------------------------------------------------------------------------
    def flat(self) -> list[str]:
        size = self.nest.size
        self.line(f"c = {self.scaled(self.position('cuda.blockIdx.x', BLOCK, 'cuda.threadIdx.x'))}")
        self.line(f"if c < {self.word}({size}):")
        body = self.nest.kernel.body
        stores = [n for n, s in enumerate(body) if isinstance(s, Store) and not self.nest.is_never(s.index)]
        self.enter()
        self.grouped([n for n in self._needed_by(stores) if n not in stores], stores)
        if not stores:
            self.line("pass")
        self.leave()
        return self.lines

    def rows(self) -> list[str]:
        """Loops over the rows, each followed by what is combined and what rows compute with it."""
        self._begin_rows()
        body = self.nest.kernel.body
        stores = [n for n, s in enumerate(body) if isinstance(s, Store) and not self.nest.is_never(s.index)]
        along = [n for n in stores if self._is_along(n)]
        last = max(self.nest.stages, default=0)
        for stage in range(last + 1):
            self.values([n for n in self._all_needed() if self._is_row_value(n) and self._when(n) == stage])
            reduces = [n for n in self._all_needed() if isinstance(body[n], Reduce) and self._when(n) == stage + 1]
            self._loop(reduces, along if stage == last else [])
        once = [store for store in stores if store not in along]
        if once:
            several = self.layout.lanes > 1 or self._there  # threads without a row read that of the last
            if several and self._may_write_over(once):
                self.line("cuda.syncthreads()")
            first = [f"lane == {self.word}(0)"] if self.layout.lanes > 1 else []
            if conditions := [*self._there, *first]:
                self.line(f"if {' and '.join(conditions)}:")
                self.enter()
            for store in once:
                self.store(store)
            if conditions:
                self.leave()
        return self.lines

    @property
    def _there(self) -> list[str]:
        """What holds for threads that have a row: nothing where all do."""
        outer, _, inner = self.nest.extents
        return ["is_row"] if outer * inner % self.layout.rows else []

    def _begin_rows(self) -> None:
        """The row of a thread, its `place` among those of the block, and which `lane` of the row it is."""
        outer, _, inner = self.nest.extents
        layout, word = self.layout, self.word
        self.line(f"t = {word}(cuda.threadIdx.x)")
        first, second = ("lane", "place") if layout.lanes_first else ("place", "lane")
        unit = layout.lanes if layout.lanes_first else layout.rows
        self.line(f"{first} = {word}(t % {word}({unit}))")
        self.line(f"{second} = {word}(t // {word}({unit}))")
        self.line(f"row = {self.position('cuda.blockIdx.x', layout.rows, 'place')}")
        if self._there:
            self.line(f"is_row = row < {word}({outer * inner})")
            self.line(f"row = row if is_row else {word}({outer * inner - 1})")
        self.line("a = row" if inner == 1 else f"a = {word}(row // {word}({inner}))")
        if inner > 1:
            self.line("c = row" if outer == 1 else f"c = {word}(row % {word}({inner}))")

    def _loop(self, reduces: list[int], stores: list[int]) -> None:
        """One loop of each lane over its elements of a row, and the combination of what lanes have."""
        if not reduces and not stores:
            return
        body, word = self.nest.kernel.body, self.word
        reduce, lanes = self.nest.extents[1], self.layout.lanes * self.grouping.size
        for n in reduces:
            self.line(f"v{n} = {_identity(body[n])}")
            if self._is_compensated(n):
                self.line(f"v{n}c = {_identity(body[n])}")
        depth = self.depth
        if self._there:
            self.line("if is_row:")
            self.enter()
        if reduce > lanes:
            self.line(f"for k in range({-(-reduce // lanes)}):")
            self.enter()
            self.line(f"r = {word}({word}(k) * {word}({lanes}) + {self.scaled('lane')})")
        else:
            self.line(f"r = {self.scaled('lane')}")
        guard = reduce % lanes != 0
        if guard:
            self.line(f"if r < {word}({reduce}):")
            self.enter()
        needed = self._needed_by([*reduces, *stores])
        inside = [n for n in needed if self._is_inside(n) and n not in reduces and n not in stores]
        self.grouped(inside, stores, lambda: self._add(reduces))
        while self.depth > depth:
            self.leave()
        for n in reduces:
            if self._is_compensated(n):
                self.line(f"v{n} = v{n} + v{n}c if v{n}c == v{n}c else v{n}")  # the error of inf is nan
            self._combine(n)

    def scaled(self, number: str) -> str:
        """The position of the first point of a group."""
        return number if self.grouping.size == 1 else f"{self.word}({number} * {self.word}({self.grouping.size}))"

    def _add(self, reduces: list[int]) -> None:
        """What a point gives to each reduction."""
        for n in reduces:
            (self._compensate if self._is_compensated(n) else self._accumulate)(n, f"v{n}", f"v{self._argument(n)}")

    def _may_write_over(self, stores: list[int]) -> bool:
        """Whether what is stored once a row may lie where lanes of the row have read."""
        body = self.nest.kernel.body
        written = {statement.index for statement in (body[n] for n in stores) if isinstance(statement, Store)}
        return any(
            isinstance(s, Load) and needed and s.index in written
            for s, needed in zip(body, self.nest.needed, strict=True)
        )

    # Reductions ------------------------------------------------------------------------------------------------------
    def _argument(self, reduce: int) -> int:
        statement = self.nest.kernel.body[reduce]
        assert isinstance(statement, Reduce)
        return statement.arg

    def _accumulate(self, reduce: int, total: str, term: str) -> None:
        """Combine a term into what a lane has; 16-bit floats add up in float32."""
        statement = self.nest.kernel.body[reduce]
        assert isinstance(statement, Reduce)
        self.assign(total, call(_COMBINE[statement.op], statement.dtype, [total, term], f"{total}t"))

    def _is_compensated(self, reduce: int) -> bool:
        """Whether a lane keeps the rounding errors of its sum, as a long one loses digits."""
        statement = self.nest.kernel.body[reduce]
        assert isinstance(statement, Reduce)
        wide = statement.dtype.is_float and not statement.dtype.is_low_precision
        return wide and statement.op == "sum" and self.nest.extents[1] > 2 * self.layout.lanes

    def _compensate(self, reduce: int, total: str, term: str) -> None:
        """Add a term and note what rounding took, after Knuth (The art of computer programming, 4.2.2, theorem B)."""
        del reduce
        self.line(f"{total}t = {total} + {term}")
        self.line(f"{total}b = {total}t - {total}")
        self.line(f"{total}c = {total}c + (({total} - ({total}t - {total}b)) + ({term} - {total}b))")
        self.line(f"{total} = {total}t")

    def _combine(self, reduce: int) -> None:
        """What all lanes of a row have together, in each of them."""
        statement, lanes = self.nest.kernel.body[reduce], self.layout.lanes
        assert isinstance(statement, Reduce)
        name, kind = f"v{reduce}", machine_type(statement.dtype)
        if self.layout.lanes_first:
            step = min(lanes, WARP) // 2
            if step:
                self.line(f"for k in range({step.bit_length()}):")
                self.enter()
                self.line(f"{name}s = {_shuffled(kind, name, f'i32(i32({step}) >> k)')}")
                self._accumulate(reduce, name, f"{name}s")
                self.leave()
        groups = -(-lanes // WARP) if self.layout.lanes_first else lanes
        if groups > 1:
            self._through_shared(reduce, kind, groups)
        self.assign(name, [rounded(_COMBINE[statement.op], statement.dtype, name)])

    def _through_shared(self, reduce: int, kind: str, groups: int) -> None:
        """Partial results of a row's groups of lanes, combined in order by every lane."""
        layout, name, shared = self.layout, f"v{reduce}", f"s{self.shared}"
        self.shared += 1
        self.line(f"{shared} = cuda.shared.array({groups * layout.rows}, {kind})")
        if layout.lanes_first:
            self.line(f"if lane % {self.word}({WARP}) == {self.word}(0):")
            self.enter()
            self.line(f"{shared}[place * {self.word}({groups}) + lane // {self.word}({WARP})] = {name}")
            self.leave()
        else:
            self.line(f"{shared}[lane * {self.word}({layout.rows}) + place] = {name}")
        self.line("cuda.syncthreads()")
        word = self.word
        k = f"{word}(k)"
        first, step = f"{word}(place * {word}({groups}))", k
        if not layout.lanes_first:
            first, step = "place", f"{k} * {word}({layout.rows})"
        self.line(f"{name} = {shared}[{first}]")
        self.line(f"for k in range(1, {groups}):")
        self.enter()
        self.line(f"{name}s = {shared}[{word}({first} + {step})]")
        self._accumulate(reduce, name, f"{name}s")
        self.leave()

    # Which statements where ------------------------------------------------------------------------------------------
    def _all_needed(self) -> list[int]:
        return [n for n, needed in enumerate(self.nest.needed) if needed]

    def _needed_by(self, wanted: list[int]) -> list[int]:
        """The statements that `wanted` ones need, in order, themselves included."""
        kernel, found = self.nest.kernel, set(wanted)
        for n in reversed(range(max(wanted, default=-1) + 1)):
            if n in found:
                statement = kernel.body[n]
                if n in wanted or not isinstance(statement, Reduce) or self.nest.is_flat:
                    found.update(kernel.arguments(statement))
        return sorted(found)

    def _is_inside(self, n: int) -> bool:
        """Whether a value is computed in the loops over rows."""
        return self.nest.levels[n] == FULL and not isinstance(self.nest.kernel.body[n], Store)

    def _is_row_value(self, n: int) -> bool:
        return self.nest.levels[n] != FULL and not isinstance(self.nest.kernel.body[n], (Store, Reduce))

    def _when(self, n: int) -> int:
        return self.nest.stages[n]

    def _is_along(self, store: int) -> bool:
        """Whether a store writes all along a row, not once for it."""
        statement = self.nest.kernel.body[store]
        assert isinstance(statement, Store)
        varies = any(axis.stride for axis in self.nest.axes(statement.index)[1])
        return varies or self.nest.levels[statement.arg] == FULL


def _identity(statement: Statement) -> str:
    """What a reduction starts from, in its machine type."""
    assert isinstance(statement, Reduce)
    dtype, kind = statement.dtype, machine_type(statement.dtype)
    if statement.op == "sum":
        return f"{kind}(0)"
    sign = "-" if statement.op == "max" else ""
    if dtype.is_float:
        return f"{kind}({sign}math.inf)"
    bits = 8 if dtype.name == "int8" else {"i32": 32, "i64": 64, "u32": 32, "u8": 8}[kind]
    if dtype.kind in ("uint", "bool"):
        return whole(kind, 0 if sign else 1 if dtype.kind == "bool" else (1 << bits) - 1)
    return whole(kind, -(1 << (bits - 1)) if sign else (1 << (bits - 1)) - 1)


def _shuffled(kind: str, name: str, step: str) -> str:
    """The value of the lane `step` away. Unsigned integers go as signed ones of 32 bits."""
    if kind in ("u8", "u32"):
        return f"{kind}(cuda.shfl_xor_sync(4294967295, i32({name}), {step}))"
    return f"cuda.shfl_xor_sync(4294967295, {name}, {step})"
