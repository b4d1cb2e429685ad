"""The C engine's code: a function for each launch, equal launches sharing theirs.

`fused_N` is a printed loop nest; `call_N` calls a library kernel of `kernels/cpu/include/graphc` with constants, and
a fused kernel's `fused_N_region` as its epilogue. No name of the user's gets into the text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from graphc.backends.c.kernel import CKernel, print_kernel
from graphc.backends.c.parts import DRIVER, Function, cut, in_parts
from graphc.backends.cpu.matmul import is_vector_product, product_shapes
from graphc.backends.target import Code
from graphc.errors import InternalError
from graphc.kernel.ir import Kernel, LibraryCall

__all__ = ["CTarget", "header_of", "products_macro"]

_HEADERS = {
    "attention": "attention.h", "gemm": "gemm.h", "conv2d": "conv.h", "max_pool2d": "pool.h", "avg_pool2d": "pool.h",
    "take": "index.h", "scatter_add": "index.h", "argmax": "index.h", "argmin": "index.h",
    "cumsum": "scan.h", "cumprod": "scan.h", "recurrence": "scan.h",
}  # fmt: skip
LARGE = 500_000  # scalar operations of a product's tile that is not worth a kernel with its constants folded
MANY = 4  # products that share a copy instead


def header_of(kernel: str) -> str:
    """The header that defines a library kernel. Raises InternalError for a name that none does."""
    for prefix, header in _HEADERS.items():
        if kernel.startswith(f"{prefix}_"):
            return header
    raise InternalError(f"C target: no header defines kernel {kernel!r}")


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

    def function(self, callee: str) -> Function:
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
        return Function(self.name, "\n".join(lines), self.family)


def _shared(callers: Sequence[_Caller]) -> list[Function]:
    """Functions that call one copy of their library kernel, which knows no constants, instead of inlining it."""
    kernel = callers[0].call.name
    first, *rest = [caller.function(f"{kernel}_large") for caller in callers]
    copy = [
        f"static __attribute__((noinline, unused)) void {kernel}_large(const gc_call *call, int64_t tile) {{",
        f"    gc_{kernel}(call, tile);",
        "}\n",
    ]
    return [replace(first, text="\n".join([*copy, first.text])), *rest]


class CTarget:
    """Writes C functions; `headers` are those they need, `definitions` what these must find defined.

    A `standalone` program is called from C, and has the code that runs its launches.
    """

    programs: tuple[tuple[int, ...], ...] = ()

    def __init__(self, threads: int = 2, *, standalone: bool = False) -> None:
        self.threads, self.standalone = threads, standalone
        self.headers: dict[str, None] = {"generated.h": None}  # in order, each once
        self._functions: dict[str, Function] = {}
        self._large: dict[str, list[_Caller]] = {}  # by kernel, the products with large tiles
        self._across: dict[str, None] = {}  # functions that launches or other functions name
        self._fused: dict[Kernel, tuple[str, CKernel]] = {}
        self._calls: dict[tuple[LibraryCall, Kernel | None], Code] = {}
        self._parts: list[tuple[int, list[Function]]] = []  # empty until somebody asks

    @property
    def definitions(self) -> str:
        """Macros for the headers: heights.h compiles only what these products need."""
        return f"{products_macro(call for call, _ in self._calls)}\n" if "gemm.h" in self.headers else ""

    @property
    def parts(self) -> list[tuple[int, list[Function]]]:
        """What was written, cut for compilers that work side by side, and how dear each part is (c_parts.py)."""
        if not self._parts:
            functions = dict(self._functions)
            for callers in self._large.values():
                if len(callers) >= MANY:
                    functions.update((function.name, function) for function in _shared(callers))
            self._parts = cut(list(functions.values()), DRIVER if self.standalone else 0)
        return self._parts

    @property
    def weights(self) -> tuple[int, ...]:
        """How dear each part of the text is to compile."""
        return tuple(weight for weight, _ in self.parts)

    @property
    def source(self) -> str:
        if len(self.parts) == 1:
            return "\n".join(function.text for function in self.parts[0][1])
        return in_parts([part for _, part in self.parts], tuple(self._across))

    def code(self, call: LibraryCall | None, kernel: Kernel | None) -> Code:
        self._parts = []
        if call is None:
            assert kernel is not None
            name, fused = self._kernel(kernel)
            self._across[name] = None
            return Code(name, (), -1, fused.tiles, fused.scratch, fused.work)
        found = self._calls.get((call, kernel))
        if found is None:
            found = self._calls[call, kernel] = self._call(call, kernel)
        return found

    def _kernel(self, kernel: Kernel) -> tuple[str, CKernel]:
        found = self._fused.get(kernel)
        if found is None:
            name = f"fused_{len(self._fused)}"
            found = self._fused[kernel] = name, print_kernel(kernel, name)
            self.headers.update(dict.fromkeys(found[1].headers))
            self._functions[name] = Function(name, found[1].text)
        return found

    def _call(self, call: LibraryCall, kernel: Kernel | None) -> Code:
        name, fused, scratch, work = f"call_{len(self._calls)}", "", call.scratch, call.work
        if kernel is not None:
            fused, printed = self._kernel(kernel)
            scratch, work = max(scratch, printed.scratch), work + printed.work
            self._across[f"{fused}_region"] = None
        self.headers[header_of(call.name)] = None
        caller = _Caller(name, call, fused)
        if caller.family == "gemm.h" and work >= LARGE * call.tiles:
            self._large.setdefault(call.name, []).append(caller)
        self._across[name] = None
        self._functions[name] = caller.function(f"gc_{call.name}")
        return Code(name, (), -1, call.tiles, scratch, work)
