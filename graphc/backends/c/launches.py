"""The C engine's launches: a function for each, equal ones sharing theirs.

`fused_N` is a printed loop nest; `call_N` calls a library kernel of `kernels/cpu/include/graphc` with constants, and
a fused kernel's `fused_N_region` as its epilogue. No name of the user's gets into the text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

from graphc.backends.backend import Footprint, LaunchCode, Routine, Written
from graphc.backends.c.kernel import CKernel, print_kernel
from graphc.backends.c.parts import FunctionText, cut, in_parts
from graphc.backends.cpu.matmul import is_vector_product, product_shapes
from graphc.errors import InternalError
from graphc.kernel.ir import Kernel, LibraryCall
from graphc.plan.plan import Plan
from graphc.runtime.executor import table_bytes

__all__ = ["CCode", "CWriter", "header_of", "products_macro"]

UNNAMED = "fused_N"  # stands in a printed loop nest for the name that it gets

_HEADERS = {
    "attention": "attention.h", "gemm": "gemm.h", "conv2d": "conv.h", "max_pool2d": "pool.h", "avg_pool2d": "pool.h",
    "take": "index.h", "scatter_add": "index.h", "argmax": "index.h", "argmin": "index.h",
    "sort": "sort.h", "searchsorted": "sort.h", "cumsum": "scan.h", "cumprod": "scan.h", "recurrence": "scan.h",
}  # fmt: skip
LARGE = 500_000  # scalar operations of a product's tile that is not worth a kernel with its constants folded
MANY = 4  # products that share a copy instead


def header_of(kernel: str) -> str:
    """The header that defines a library kernel. Raises InternalError for a name that none does."""
    for prefix, header in _HEADERS.items():
        if kernel.startswith(f"{prefix}_"):
            return header
    raise InternalError(f"C engine: no header defines kernel {kernel!r}")


def products_macro(calls: Iterable[LibraryCall]) -> str:
    """The lines of C that have only those of gemm.h's kernels compiled which `calls` need; see heights.h.

    All that calls gemm.h must be among `calls`, of which those that are no products are passed over.
    Example: `#define GC_PRODUCTS(F, ...) F(64, 512, 0, __VA_ARGS__) F(128, 32, 1, __VA_ARGS__)` and
    `#define GC_PRODUCT_ROWS(F) F(64) F(128)`.
    """
    shapes = product_shapes(calls)
    products = [f"F({rows}, {columns}, {packs}, __VA_ARGS__)" for rows, columns, packs in shapes]
    heights = [f"F({rows})" for rows in sorted({rows for rows, _, _ in shapes})]
    lines = ["#define GC_PRODUCTS(F, ...)", *products], ["#define GC_PRODUCT_ROWS(F)", *heights]
    return "\n".join(map(" ".join, lines))


@dataclass(frozen=True)
class _Caller:
    """A function that calls a library kernel, with the fused kernel of this name, if any, as its epilogue."""

    name: str
    call: LibraryCall
    fused: str

    @property
    def family(self) -> str:
        """The header whose code the function brings in; with constants, a product with a vector needs gemv.h only."""
        return "gemv.h" if is_vector_product(self.call) else header_of(self.call.name)

    def function(self, callee: str) -> FunctionText:
        """Its text, where the kernel goes by the name `callee`."""
        params, epilogue = ", ".join(map(str, self.call.params)), f"&{self.name}_epilogue" if self.fused else "0"
        lines = [f"/* {self.call.name} */", f"static const int64_t {self.name}_params[] = {{{params}}};"]
        if self.fused:
            lines.append(f"static const gc_region {self.name}_epilogue = {self.fused}_region;")
        lines += [
            f"static void {self.name}(const gc_call *call, int64_t tile) {{",
            "    const gc_call own = {",
            f"        call->buffers, call->operands, {self.name}_params, {epilogue}, call->program_operands, "
            "call->scratch, call->local};",
            f"    {callee}(&own, tile);",
            "}\n",
        ]
        return FunctionText(self.name, "\n".join(lines), self.family)


def _shared(callers: Sequence[_Caller]) -> list[FunctionText]:
    """Functions that call one copy of their library kernel, which knows no constants, instead of inlining it."""
    kernel = callers[0].call.name
    first, *rest = [caller.function(f"{kernel}_large") for caller in callers]
    copy = [
        f"static __attribute__((noinline, unused)) void {kernel}_large(const gc_call *call, int64_t tile) {{",
        f"    gc_{kernel}(call, tile);",
        "}\n",
    ]
    return [replace(first, text="\n".join([*copy, first.text])), *rest]


@dataclass(frozen=True)
class CCode:
    """The functions of a program, the headers that they need, and the macros that these must find defined.

    `across` are the functions that launches, or functions of other parts, name.
    """

    headers: tuple[str, ...]
    definitions: str
    functions: tuple[FunctionText, ...]
    across: tuple[str, ...]

    def parts(self, driver: int = 0) -> list[tuple[int, list[FunctionText]]]:
        """The functions cut for compilers that work side by side, and how dear each part is (parts.py).

        `driver` is the weight of what runs the launches of a standalone program.
        """
        return cut(self.functions, driver)

    def weights(self, driver: int = 0) -> tuple[int, ...]:
        """How dear each part of the text is to compile."""
        return tuple(weight for weight, _ in self.parts(driver))

    def text(self, driver: int = 0) -> str:
        """The functions, in parts if they are so many."""
        parts = self.parts(driver)
        if len(parts) == 1:
            return "\n".join(function.text for function in parts[0][1])
        return in_parts([part for _, part in parts], self.across)

    @property
    def source(self) -> str:
        return self.text()

    def facts(self) -> Mapping[str, Any]:
        functions = [(function.name, function.text, function.family) for function in self.functions]
        return {
            "headers": self.headers, "definitions": self.definitions, "functions": functions, "across": self.across,
        }  # fmt: skip

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> CCode:
        """The code that `facts` told. Raises LookupError, TypeError, ValueError."""
        functions = tuple(FunctionText(*function) for function in facts["functions"])
        return cls(tuple(facts["headers"]), facts["definitions"], functions, tuple(facts["across"]))


class CWriter:
    """Writes C functions. A loop nest is printed when it is measured, under a name that it gets when it is written."""

    def __init__(self) -> None:
        self._printed: dict[Kernel, CKernel] = {}

    def measure(self, routine: Routine) -> Footprint:
        return routine.footprint(None if routine.nest is None else self.printed(routine.nest))

    def printed(self, nest: Kernel) -> CKernel:
        """The functions of a loop nest that is called `UNNAMED`."""
        found = self._printed.get(nest)
        if found is None:
            found = self._printed[nest] = print_kernel(nest, UNNAMED)
        return found

    def tables(self, plan: Plan, routines: Sequence[Routine]) -> int:
        return table_bytes(plan)

    def write(self, routines: Sequence[Routine]) -> Written:
        unit = _Unit(self, {routine.nest for routine in routines if routine.call is None})
        launches = tuple(LaunchCode(unit.name(routine)) for routine in routines)
        return Written(launches, (), unit.code())


class _Unit:
    """The functions of one program, as they are asked for; the loop nests `alone` are launches of their own, too."""

    def __init__(self, writer: CWriter, alone: Set[Kernel | None]) -> None:
        self._writer, self._alone = writer, alone
        self._headers: dict[str, None] = {"generated.h": None}  # in order, each once
        self._functions: dict[str, FunctionText] = {}
        self._large: dict[str, list[_Caller]] = {}  # by kernel, the products with large tiles
        self._across: dict[str, None] = {}
        self._nests: dict[Kernel, str] = {}
        self._calls: dict[Routine, str] = {}

    def name(self, routine: Routine) -> str:
        """The function of a launch."""
        if routine.call is None:
            assert routine.nest is not None
            name = self._nest(routine.nest)
        elif routine in self._calls:
            return self._calls[routine]
        else:
            name = self._calls[routine] = self._call(routine, routine.call)
        self._across[name] = None
        return name

    def _nest(self, nest: Kernel) -> str:
        if nest not in self._nests:
            name, printed = f"fused_{len(self._nests)}", self._writer.printed(nest)
            self._nests[nest] = name
            self._headers.update(dict.fromkeys(printed.headers))
            text = printed.text if nest in self._alone else printed.text.removesuffix(printed.units)
            self._functions[name] = FunctionText(name, text.replace(UNNAMED, name))
        return self._nests[nest]

    def _call(self, routine: Routine, call: LibraryCall) -> str:
        name, fused = f"call_{len(self._calls)}", ""
        if routine.nest is not None:
            fused = self._nest(routine.nest)
            self._across[f"{fused}_region"] = None
        self._headers[header_of(call.name)] = None
        caller = _Caller(name, call, fused)
        if caller.family == "gemm.h" and self._writer.measure(routine).work >= LARGE * call.tiles:
            self._large.setdefault(call.name, []).append(caller)
        self._functions[name] = caller.function(f"gc_{call.name}")
        return name

    def code(self) -> CCode:
        """All that was asked for."""
        functions = dict(self._functions)
        for callers in self._large.values():
            if len(callers) >= MANY:
                functions.update((function.name, function) for function in _shared(callers))
        calls = (routine.call for routine in self._calls if routine.call is not None)
        macros = f"{products_macro(calls)}\n" if "gemm.h" in self._headers else ""
        return CCode(tuple(self._headers), macros, tuple(functions.values()), tuple(self._across))
