"""Some blocks of a kernel while they run: its statements on arrays with an element for each thread, under a mask."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from graphc.backends.cuda.kernel import CudaKernel
from graphc.backends.cuda.layout import WARP
from graphc.backends.cuda.simulator.functions import FUNCTIONS, OPERATORS, TYPES, binary, garbage, libdevice, widened
from graphc.backends.cuda.simulator.memory import Memory, Private, Several, Shared, SimulationError

__all__ = ["Grid"]

Array = np.ndarray[Any, Any]
SHUFFLED = [np.dtype(kind) for kind in (np.int32, np.int64, np.float32, np.float64)]  # what Numba's shuffles take


class Grid:
    """Some blocks of a kernel while it runs."""

    def __init__(self, kernel: CudaKernel, memory: Mapping[str, Memory], first: int, blocks: int) -> None:
        self.kernel, self.memory, self.blocks = kernel, memory, blocks
        self.lanes = blocks * kernel.threads
        lane = np.arange(self.lanes)
        self.block, self.thread = lane // kernel.threads, lane % kernel.threads
        self.ids, self.block_ids = lane + first * kernel.threads, self.block + first
        self.all = np.ones(self.lanes, bool)  # the mask of all threads, known by its identity
        self.locals: dict[str, Any] = {}
        self.shared: dict[int, Shared] = {}
        self.special = {
            "threadIdx": self.thread.astype(np.int32), "blockIdx": (self.block + first).astype(np.int32),
            "blockDim": np.int32(kernel.threads), "gridDim": np.int32(kernel.blocks),
        }  # fmt: skip

    # Statements ------------------------------------------------------------------------------------------------------
    def run(self, body: Sequence[ast.stmt], mask: Array) -> None:
        for statement in body:
            try:
                self._run(statement, mask)
            except SimulationError as error:
                if "\n" in str(error):
                    raise
                line = self.kernel.text.splitlines()[statement.lineno - 1].strip()
                raise SimulationError(f"{error}\n  in line {statement.lineno}: {line}") from None

    def _run(self, statement: ast.stmt, mask: Array) -> None:
        match statement:
            case ast.Assign(targets=[ast.Name(name)], value=value):
                self._assign(name, value, mask)
            case ast.Assign(targets=[ast.Subscript(value=ast.Name(name), slice=index)], value=value):
                self._store(name, index, value, mask)
            case ast.If(test=test, body=body, orelse=orelse):
                condition = np.broadcast_to(np.asarray(self._value(test, mask), bool), mask.shape)
                for branch, taken in ((body, mask & condition), (orelse, mask & ~condition)):
                    if branch and taken.any():
                        self.run(branch, self.all if taken.all() else taken)
            case ast.For(target=ast.Name(name), iter=ast.Call(func=ast.Name("range"), args=bounds), body=body):
                found = [self._value(bound, mask) for bound in bounds]
                if any(map(np.ndim, found)):
                    self._own_ranges(name, found, body, mask)
                    return
                for number in range(*map(int, found)):
                    self.locals[name] = np.int64(number)
                    self.run(body, mask)
            case ast.Expr(value=ast.Call(ast.Name(name), [ast.Name(operand), at, ast.Name(several)])):
                self._store_wide(name, operand, at, several, mask)
            case ast.Expr(value=value):
                self._value(value, mask)
            case ast.Pass():
                pass
            case _:
                raise SimulationError("this statement is none of those that kernels have")

    def _own_ranges(self, name: str, bounds: Sequence[Any], body: Sequence[ast.stmt], mask: Array) -> None:
        """A loop in which each thread has bounds of its own: those that have come to their end wait for the others."""
        if any(np.asarray(bound).dtype != np.int64 for bound in bounds) or len(bounds) > 2:
            raise SimulationError("a range that differs between threads has one or two bounds, of type int64")
        first, end = np.broadcast_arrays(*([0, *bounds][-2:]), mask)[:2]
        number, active = first.astype(np.int64), mask & (first < end)
        while active.any():
            self.locals[name] = number
            self.run(body, active)
            active = active & (number + 1 < end)
            number = np.where(active, number + 1, number)

    def _assign(self, name: str, value: ast.expr, mask: Array) -> None:
        self._give(name, self._value(value, mask), mask)

    def _give(self, name: str, found: Any, mask: Array) -> None:
        if isinstance(found, (Private, Shared)):
            self.locals[name] = found
            return
        if isinstance(found, Several):
            self.locals[name] = found.where(mask, self.locals.get(name))
            return
        new, old = found if np.shape(found) == mask.shape else np.broadcast_to(found, mask.shape), self.locals.get(name)
        if old is not None and np.ndim(old) and old.dtype != new.dtype:
            raise SimulationError(f"{name} is {old.dtype} and becomes {new.dtype}")
        if mask is self.all:
            self.locals[name] = new
        else:
            self.locals[name] = np.where(mask, new, garbage(new.dtype) if old is None else old).astype(new.dtype)

    # Memory ----------------------------------------------------------------------------------------------------------
    def _place(self, name: str, index: Any, mask: Array) -> tuple[Memory, Array]:
        """Where the active lanes' elements lie: the memory, and positions in it."""
        at = self._active(index, mask)
        if at.dtype.kind not in "iu":
            raise SimulationError(f"an index of {name} is {at.dtype}")
        at = at.astype(np.int64)
        shared = self.locals.get(name)
        memory, size = (shared.memory, shared.size) if isinstance(shared, Shared) else (self._operand(name), -1)
        limit = memory.array.size if size < 0 else size
        if at.size and not (at.min() >= 0 and at.max() < limit):
            wrong = int(at.max() if at.max() >= limit else at.min())
            raise SimulationError(f"{name}[{wrong}] is not there: it has {limit}")
        if size >= 0:
            at = at + self._active(self.block, mask) * size
        return memory, at

    def _operand(self, name: str) -> Memory:
        if name not in self.memory:
            raise SimulationError(f"{name} is no operand and no shared array")
        return self.memory[name]

    def _load(self, name: str, index: ast.expr, mask: Array) -> Array:
        if isinstance(private := self.locals.get(name), Private):
            return self._private(private, name, self._value(index, mask), mask)
        return self._load_at(name, self._value(index, mask), mask)

    def _load_at(self, name: str, index: Any, mask: Array) -> Array:
        memory, at = self._place(name, index, mask)
        who = self._active(self.ids, mask), self._active(self.block_ids, mask)
        loaded = memory.load(at, *who, f"an element of {name}")
        if mask is self.all:
            return loaded
        found = np.full(mask.shape, garbage(memory.array.dtype), memory.array.dtype)
        found[mask] = loaded
        return found

    def _store(self, name: str, index: ast.expr, value: ast.expr, mask: Array) -> None:
        if isinstance(private := self.locals.get(name), Private):
            self._keep(private, name, self._value(index, mask), self._value(value, mask), mask)
            return
        self._store_at(name, self._value(index, mask), self._value(value, mask), mask)

    def _store_at(self, name: str, index: Any, value: Any, mask: Array) -> None:
        memory, at = self._place(name, index, mask)
        who = self._active(self.ids, mask), self._active(self.block_ids, mask)
        memory.store(at, self._active(value, mask), *who, f"an element of {name}")

    def _load_wide(self, function: str, name: str, index: ast.expr, mask: Array) -> Several:
        """Elements side by side, read with one access."""
        first, size = self._several("load", function, name, self._value(index, mask), mask)
        return Several([self._load_at(name, first + k, mask) for k in range(size)])

    def _store_wide(self, function: str, name: str, index: ast.expr, several: str, mask: Array) -> None:
        first, size = self._several("store", function, name, self._value(index, mask), mask)
        values = self._local(several)
        if not isinstance(values, Several) or size != len(values.values):
            raise SimulationError(f"{function} takes {size} values in one local")
        for k, value in enumerate(values.values):
            self._store_at(name, first + k, value, mask)

    def _several(self, what: str, function: str, name: str, index: Any, mask: Array) -> tuple[Array, int]:
        """Where an access begins, and how many elements it has: at a multiple of its size, as devices ask for."""
        called = re.fullmatch(what + r"_(\w+)x(\d)", function)
        if called is None or TYPES.get(called[1]) != self._operand(name).array.dtype:
            raise SimulationError(f"{function} of {name} is no access of several elements")
        array, first, size = self._operand(name).array, np.asarray(index).astype(np.int64), int(called[2])
        address = array.__array_interface__["data"][0] + self._active(first, mask) * array.itemsize
        if (address % (size * array.itemsize)).any():
            raise SimulationError(f"{size} elements of {name} at an address that is no multiple of their size")
        return first, size

    def _active(self, values: Any, mask: Array) -> Array:
        """The values of the threads that are there."""
        whole: Array = values if np.shape(values) == mask.shape else np.broadcast_to(values, mask.shape)
        return whole if mask is self.all else whole[mask]

    def _private(self, private: Private, name: str, index: Any, mask: Array) -> Array:
        """An element of each thread's own array, at one index for all."""
        at = self._index_of(private, name, index)
        if not self._active(private.written[at], mask).all():
            raise SimulationError(f"{name}[{at}] is read before it was written")
        found: Array = private.array[at].copy()
        return found

    def _keep(self, private: Private, name: str, index: Any, value: Any, mask: Array) -> None:
        at, new = self._index_of(private, name, index), np.broadcast_to(value, mask.shape)
        if new.dtype != private.array.dtype:
            raise SimulationError(f"{name} holds {private.array.dtype}, stored is {new.dtype}")
        if mask is self.all:
            private.array[at], private.written[at] = new, True
            return
        private.array[at, mask] = new[mask]
        private.written[at, mask] = True

    def _index_of(self, private: Private, name: str, index: Any) -> int:
        if np.ndim(index) or not 0 <= int(index) < private.size:
            raise SimulationError(f"{name} takes a number from 0 to {private.size - 1}, the same in all threads")
        return int(index)

    # Expressions -----------------------------------------------------------------------------------------------------
    def _value(self, node: ast.expr, mask: Array) -> Any:
        match node:
            case ast.Constant(value=value):
                return (np.int64 if isinstance(value, int) else np.float64)(value)  # type: ignore[arg-type]
            case ast.Name(name):
                return self._local(name)
            case ast.BinOp(left=left, op=op, right=right):
                return binary(op, self._value(left, mask), self._value(right, mask))
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                return OPERATORS[type(op)](self._value(left, mask), self._value(right, mask))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return widened(-self._wide(operand, mask))
            case ast.UnaryOp(op=ast.Invert(), operand=operand):
                return ~self._wide(operand, mask)
            case ast.BoolOp(op=op, values=values):
                parts = np.broadcast_arrays(*(np.asarray(self._value(value, mask), bool) for value in values))
                return (np.logical_and if isinstance(op, ast.And) else np.logical_or).reduce(parts)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return self._choice(test, body, orelse, mask)
            case ast.Subscript(value=ast.Name(name), slice=index):
                return self._load(name, index, mask)
            case ast.Attribute(value=ast.Attribute(value=ast.Name("cuda"), attr=place), attr="x"):
                return self.special[place]
            case ast.Attribute(value=ast.Name("math"), attr="inf"):
                return np.float64(math.inf)
            case ast.Call(func=function, args=args):
                return self._call(node, function, args, mask)
        raise SimulationError("this expression is none of those that kernels have")

    def _wide(self, operand: ast.expr, mask: Array) -> Any:
        return widened(self._value(operand, mask))

    def _local(self, name: str) -> Any:
        if name not in self.locals:
            raise SimulationError(f"{name} is read before it has a value")
        return self.locals[name]

    def _choice(self, test: ast.expr, body: ast.expr, orelse: ast.expr, mask: Array) -> Any:
        condition = np.broadcast_to(np.asarray(self._value(test, mask), bool), mask.shape)
        yes, no = self._value(body, mask & condition), self._value(orelse, mask & ~condition)
        if np.asarray(yes).dtype != np.asarray(no).dtype:
            raise SimulationError(f"a choice between {np.asarray(yes).dtype} and {np.asarray(no).dtype}")
        return np.where(condition, yes, no)

    def _call(self, node: ast.expr, function: ast.expr, args: Sequence[ast.expr], mask: Array) -> Any:
        match function:
            case ast.Name(name) if found := re.fullmatch(r"(load|zeros|pick|put)_(\w+)x(\d)", name):
                return self._wide_call(found[1], TYPES[found[2]], int(found[3]), name, args, mask)
            case ast.Name("min" | "max" as name):
                return _extreme(name, [np.asarray(self._value(arg, mask)) for arg in args])
            case ast.Name(name) if name in FUNCTIONS:
                return FUNCTIONS[name](*(np.asarray(self._value(arg, mask)) for arg in args))
            case ast.Attribute(value=ast.Name("libdevice"), attr=name):
                return libdevice(name, [np.asarray(self._value(arg, mask)) for arg in args])
            case ast.Attribute(value=ast.Name("cuda"), attr="syncthreads"):
                return self._barrier(mask)
            case ast.Attribute(value=ast.Name("cuda"), attr="shfl_xor_sync"):
                named, value, step = (self._value(arg, mask) for arg in args)
                return self._shuffle(named, value, step, mask)
            case ast.Attribute(value=ast.Attribute(value=ast.Name("cuda"), attr=space), attr="array"):
                size, kind = args
                assert isinstance(kind, ast.Name)
                made = int(self._value(size, mask)), TYPES[kind.id]
                if space == "local":
                    return Private(self.lanes, *made)
                return self.shared.setdefault(id(node), Shared(self.blocks, *made))
        raise SimulationError("this function is none of those that kernels call")

    def _wide_call(
        self, what: str, kind: type[np.generic], size: int, name: str, args: Sequence[ast.expr], mask: Array
    ) -> Any:
        """What functions of several elements in one local give."""
        if what == "load":
            assert isinstance(args[0], ast.Name)
            return self._load_wide(name, args[0].id, args[1], mask)
        if what == "zeros":
            return Several([np.zeros(mask.shape, kind) for _ in range(size)])
        several, number = self._value(args[0], mask), int(self._value(args[1], mask))
        if not isinstance(several, Several) or len(several.values) != size or several.values[0].dtype != kind:
            raise SimulationError(f"{name} of what is not {size} elements of {np.dtype(kind)}")
        if what == "pick":
            return several.values[number]
        return several.put(number, self._value(args[2], mask), mask.shape)

    def _barrier(self, mask: Array) -> None:
        there = mask.reshape(self.blocks, -1)
        if (there.any(axis=1) & ~there.all(axis=1)).any():
            raise SimulationError("a barrier that some threads of a block do not reach")
        for memory in (*self.memory.values(), *(shared.memory for shared in self.shared.values())):
            memory.forget()

    def _shuffle(self, named: Any, value: Any, step: Any, mask: Array) -> Array:
        lanes = np.arange(self.lanes)
        if np.asarray(value).dtype not in SHUFFLED:
            raise SimulationError(f"a shuffle of {np.asarray(value).dtype}")
        named = np.broadcast_to(np.asarray(named).astype(np.uint64), mask.shape)
        bits = (named >> (lanes % WARP).astype(np.uint64)) & np.uint64(1) == 1
        warps = np.where(mask, 1, 0).reshape(-1, WARP).any(axis=1).repeat(WARP)
        if (warps & (bits != mask)).any():
            raise SimulationError("a shuffle whose mask is not that of the threads that are there")
        partners: Array = np.broadcast_to(value, mask.shape)[lanes ^ np.asarray(step).astype(np.int64)]
        return partners


def _extreme(name: str, args: Sequence[Array]) -> Array:
    """The built-in functions, of integers."""
    if any(arg.dtype.kind not in "iu" for arg in args):
        raise SimulationError(f"{name} of floats is libdevice's")
    found: Array = (np.minimum if name == "min" else np.maximum)(*(widened(arg) for arg in args))
    return found
