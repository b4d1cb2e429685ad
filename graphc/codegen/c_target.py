"""The C engine's code: a function for each launch, equal launches sharing theirs.

`fused_N` is a printed loop nest; `call_N` calls a library kernel of `kernels/cpu/include/graphc` with constants, and
a fused kernel's `fused_N_region` as its epilogue. No name of the user's gets into the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from graphc.codegen.c_kernel import CKernel, print_kernel
from graphc.codegen.c_parts import Function, cut, in_parts
from graphc.codegen.target import Code
from graphc.errors import InternalError
from graphc.lower.kernel import Kernel, LibraryCall
from graphc.lower.library_matmul import products_macro

__all__ = ["CTarget", "header_of"]

_HEADERS = {
    "attention": "attention.h", "gemm": "gemm.h", "conv2d": "conv.h", "max_pool2d": "pool.h", "avg_pool2d": "pool.h",
    "take": "index.h", "scatter_add": "index.h", "argmax": "index.h", "argmin": "index.h", "cumsum": "scan.h",
}  # fmt: skip
LARGE = 500_000  # scalar operations of a product's tile that is not worth a kernel with its constants folded
MANY = 4  # products that share a copy instead


def header_of(kernel: str) -> str:
    """The header that defines a library kernel. Raises InternalError for a name that none does."""
    for prefix, header in _HEADERS.items():
        if kernel.startswith(f"{prefix}_"):
            return header
    raise InternalError(f"C target: no header defines kernel {kernel!r}")


def _share(kernel: str, functions: list[Function], positions: Sequence[int]) -> None:
    """Let functions call one copy of a library kernel, which knows no constants, instead of inlining it."""
    for position in positions:
        text = functions[position].text.replace(f"    gc_{kernel}(", f"    {kernel}_large(")
        functions[position] = replace(functions[position], text=text)
    first = functions[positions[0]]
    shared = [
        f"static __attribute__((noinline, unused)) void {kernel}_large(const gc_call *call, int64_t tile) {{",
        f"    gc_{kernel}(call, tile);",
        "}\n",
    ]
    functions[positions[0]] = replace(first, text="\n".join([*shared, first.text]))


class CTarget:
    """Writes C functions; `headers` are those they need, `definitions` what these must find defined."""

    programs: tuple[tuple[int, ...], ...] = ()

    def __init__(self, threads: int = 2) -> None:
        self.threads = threads
        self.headers: dict[str, None] = {"generated.h": None}  # in order, each once
        self.functions: list[Function] = []
        self._large: dict[str, list[int]] = {}  # by kernel, the products with large tiles
        self._across: dict[str, None] = {}  # functions that launches or other functions name
        self._fused: dict[Kernel, tuple[str, CKernel]] = {}
        self._calls: dict[tuple[LibraryCall, Kernel | None], Code] = {}

    @property
    def definitions(self) -> str:
        """Macros for the headers: heights.h compiles only what these products need."""
        return f"{products_macro(call for call, _ in self._calls)}\n" if "gemm.h" in self.headers else ""

    @property
    def _parts(self) -> list[tuple[int, list[Function]]]:
        functions = list(self.functions)
        for kernel, positions in self._large.items():
            if len(positions) >= MANY:
                _share(kernel, functions, positions)
        return cut(functions)

    @property
    def weights(self) -> tuple[int, ...]:
        """How dear each part of the text is to compile."""
        return tuple(weight for weight, _ in self._parts)

    @property
    def source(self) -> str:
        if len(self._parts) == 1:
            return "\n".join(function.text for function in self._parts[0][1])
        return in_parts([part for _, part in self._parts], tuple(self._across))

    def code(self, call: LibraryCall | None, kernel: Kernel | None) -> Code:
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
            self.functions.append(Function(name, found[1].text))
        return found

    def _call(self, call: LibraryCall, kernel: Kernel | None) -> Code:
        name, scratch, work = f"call_{len(self._calls)}", call.scratch, call.work
        epilogue, lines = "0", []
        if kernel is not None:
            fused, printed = self._kernel(kernel)
            scratch, work, epilogue = max(scratch, printed.scratch), work + printed.work, f"&{name}_epilogue"
            lines.append(f"static const gc_region {name}_epilogue = {fused}_region;")
            self._across[f"{fused}_region"] = None
        self.headers[header_of(call.name)] = None
        params = ", ".join(map(str, call.params))
        text = "\n".join(
            [
                f"/* {call.name} */",
                f"static const int64_t {name}_params[] = {{{params}}};",
                *lines,
                f"static void {name}(const gc_call *call, int64_t tile) {{",
                "    const gc_call own = {",
                f"        call->buffers, call->operands, {name}_params, {epilogue}, call->program_operands, "
                "call->scratch, call->local};",
                f"    gc_{call.name}(&own, tile);",
                "}\n",
            ]
        )
        family = header_of(call.name)
        if call.name in ("gemm_f32", "gemm_f64") and 1 in call.params[:2]:
            family = "gemv.h"  # with their constants, most products with a vector need nothing else
        if family == "gemm.h" and work >= LARGE * call.tiles:
            self._large.setdefault(call.name, []).append(len(self.functions))
        self._across[name] = None
        self.functions.append(Function(name, text, family))
        return Code(name, (), -1, call.tiles, scratch, work)
