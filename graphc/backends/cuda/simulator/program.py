"""A kernel's text as functions of a grid and a mask: made once for each text, so that running it asks no more."""

from __future__ import annotations

import ast
import functools
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphc.backends.cuda.simulator.functions import FUNCTIONS, OPERATORS, TYPES, binary, libdevice, widened
from graphc.backends.cuda.simulator.grid import Array, Grid, Statement
from graphc.backends.cuda.simulator.memory import Private, Several, SimulationError

__all__ = ["program_of"]

Value = Callable[[Grid, Array], Any]


@functools.lru_cache(1024)
def program_of(text: str) -> tuple[list[str], Statement]:
    """The names of a kernel's operands, and what runs it."""
    (function,) = ast.parse(text).body
    assert isinstance(function, ast.FunctionDef)
    return [argument.arg for argument in function.args.args], _block(function.body, text.splitlines())


# Statements ----------------------------------------------------------------------------------------------------------
def _block(body: Sequence[ast.stmt], lines: Sequence[str]) -> Statement:
    """Statements one after the other. What goes wrong in one names its line."""
    made: list[tuple[Statement, int]] = []
    for statement in body:
        try:
            made.append((_statement(statement, lines), statement.lineno))
        except SimulationError as error:
            made.append((_failing(error), statement.lineno))

    def run(grid: Grid, mask: Array) -> None:
        for step, number in made:
            try:
                step(grid, mask)
            except SimulationError as error:
                if "\n" in str(error):
                    raise
                raise SimulationError(f"{error}\n  in line {number}: {lines[number - 1].strip()}") from None

    return run


def _failing(error: SimulationError) -> Statement:
    def run(grid: Grid, mask: Array) -> None:
        raise error

    return run


def _statement(statement: ast.stmt, lines: Sequence[str]) -> Statement:
    match statement:
        case ast.Assign(targets=[ast.Name(name)], value=value):
            found = _value(value)
            return lambda grid, mask: grid.give(name, found(grid, mask), mask)
        case ast.Assign(targets=[ast.Subscript(value=ast.Name(name), slice=index)], value=value):
            at, found = _value(index), _value(value)
            return lambda grid, mask: grid.store(name, at(grid, mask), found(grid, mask), mask)
        case ast.If(test=test, body=body, orelse=orelse):
            return _choosing(_value(test), _block(body, lines), _block(orelse, lines) if orelse else None)
        case ast.For(target=ast.Name(name), iter=ast.Call(func=ast.Name("range"), args=bounds), body=body):
            return _looping(name, [_value(bound) for bound in bounds], _block(body, lines))
        case ast.Expr(value=value):
            found = _value(value)
            return lambda grid, mask: (found(grid, mask), None)[1]
        case ast.Pass():
            return lambda grid, mask: None
    raise SimulationError("this statement is none of those that kernels have")


def _choosing(test: Value, body: Statement, orelse: Statement | None) -> Statement:
    def run(grid: Grid, mask: Array) -> None:
        condition = np.broadcast_to(np.asarray(test(grid, mask), bool), mask.shape)
        for branch, taken in ((body, mask & condition), (orelse, mask & ~condition)):
            if branch is not None and taken.any():
                branch(grid, grid.all if taken.all() else taken)

    return run


def _looping(name: str, bounds: Sequence[Value], body: Statement) -> Statement:
    def run(grid: Grid, mask: Array) -> None:
        found = [bound(grid, mask) for bound in bounds]
        if any(map(np.ndim, found)):
            _own_ranges(grid, mask, name, found, body)
            return
        for number in range(*map(int, found)):
            grid.locals[name] = np.int64(number)
            body(grid, mask)

    return run


def _own_ranges(grid: Grid, mask: Array, name: str, bounds: Sequence[Any], body: Statement) -> None:
    """A loop in which each thread has bounds of its own: those that have come to their end wait for the others."""
    if any(np.asarray(bound).dtype != np.int64 for bound in bounds) or len(bounds) > 2:
        raise SimulationError("a range that differs between threads has one or two bounds, of type int64")
    first, end = np.broadcast_arrays(*([0, *bounds][-2:]), mask)[:2]
    number, active = first.astype(np.int64), mask & (first < end)
    while active.any():
        grid.locals[name] = number
        body(grid, active)
        active = active & (number + 1 < end)
        number = np.where(active, number + 1, number)


# Expressions ---------------------------------------------------------------------------------------------------------
def _value(node: ast.expr) -> Value:
    match node:
        case ast.Constant(value=int(number)):
            return _constant(np.int64(number))
        case ast.Constant(value=float(number)):
            return _constant(np.float64(number))
        case ast.Name(name):
            return lambda grid, mask: grid.local(name)
        case ast.BinOp(left=left, op=operator, right=right):
            a, b = _value(left), _value(right)
            return lambda grid, mask: binary(operator, a(grid, mask), b(grid, mask))
        case ast.Compare(left=left, ops=[compare], comparators=[right]):
            a, b, function = _value(left), _value(right), OPERATORS[type(compare)]
            return lambda grid, mask: function(a(grid, mask), b(grid, mask))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            a = _value(operand)
            return lambda grid, mask: widened(-widened(a(grid, mask)))
        case ast.UnaryOp(op=ast.Invert(), operand=operand):
            a = _value(operand)
            return lambda grid, mask: ~widened(a(grid, mask))
        case ast.BoolOp(op=both, values=values):
            return _logical(np.logical_and if isinstance(both, ast.And) else np.logical_or, [*map(_value, values)])
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return _choice(_value(test), _value(body), _value(orelse))
        case ast.Subscript(value=ast.Name(name), slice=index):
            at = _value(index)
            return lambda grid, mask: grid.load(name, at(grid, mask), mask)
        case ast.Attribute(value=ast.Attribute(value=ast.Name("cuda"), attr=place), attr="x"):
            return lambda grid, mask: grid.special[place]
        case ast.Attribute(value=ast.Name("math"), attr="inf"):
            return _constant(np.float64(math.inf))
        case ast.Call(func=ast.Name(name), args=args):
            return _named_call(name, args)
        case ast.Call(func=ast.Attribute(value=ast.Name("libdevice"), attr=name), args=args):
            given = [*map(_value, args)]
            return lambda grid, mask: libdevice(name, [np.asarray(arg(grid, mask)) for arg in given])
        case ast.Call(func=ast.Attribute() as function, args=args):
            return _of_cuda(function, args, id(node))
    raise SimulationError("this expression is none of those that kernels have")


def _constant(value: Any) -> Value:
    return lambda grid, mask: value


def _logical(function: np.ufunc, parts: Sequence[Value]) -> Value:
    def evaluate(grid: Grid, mask: Array) -> Any:
        found = np.asarray(parts[0](grid, mask), bool)
        for part in parts[1:]:
            found = function(found, np.asarray(part(grid, mask), bool))
        return found

    return evaluate


def _choice(test: Value, body: Value, orelse: Value) -> Value:
    def evaluate(grid: Grid, mask: Array) -> Any:
        condition = np.broadcast_to(np.asarray(test(grid, mask), bool), mask.shape)
        yes, no = (np.asarray(v) for v in (body(grid, mask & condition), orelse(grid, mask & ~condition)))
        if yes.dtype != no.dtype:
            raise SimulationError(f"a choice between {yes.dtype} and {no.dtype}")
        return np.where(condition, yes, no)

    return evaluate


def _named_call(name: str, args: Sequence[ast.expr]) -> Value:
    """A call of a conversion, of one of our own functions, or of those of several elements in one local."""
    if called := re.fullmatch(r"(load|store|zeros|pick|put)_(\w+)x(\d)", name):
        return _of_several(called[1], called[2], int(called[3]), args)
    given = [*map(_value, args)]
    if name in ("min", "max"):
        return lambda grid, mask: _extreme(name, [np.asarray(arg(grid, mask)) for arg in given])
    if name not in FUNCTIONS:
        raise SimulationError("this function is none of those that kernels call")
    function = FUNCTIONS[name]
    if len(args) == 1 and isinstance(args[0], ast.Constant):
        return _constant(function(np.asarray(given[0](None, None))))  # type: ignore[arg-type]
    return lambda grid, mask: function(*(np.asarray(arg(grid, mask)) for arg in given))


def _of_several(what: str, kind: str, size: int, args: Sequence[ast.expr]) -> Value:
    if what in ("load", "store"):
        assert isinstance(args[0], ast.Name)
        operand, (at, *stored) = args[0].id, map(_value, args[1:])
        if what == "load":
            return lambda grid, mask: grid.load_wide(operand, kind, size, at(grid, mask), mask)
        return lambda grid, mask: grid.store_wide(operand, kind, size, at(grid, mask), stored[0](grid, mask), mask)
    given = [*map(_value, args)]

    def evaluate(grid: Grid, mask: Array) -> Any:
        if what == "zeros":
            return Several([np.zeros(mask.shape, TYPES[kind]) for _ in range(size)])
        several, number = given[0](grid, mask), int(given[1](grid, mask))
        if not isinstance(several, Several) or len(several.values) != size or several.values[0].dtype != TYPES[kind]:
            raise SimulationError(f"{what}_{kind}x{size} of what is not {size} elements of {np.dtype(TYPES[kind])}")
        return several.values[number] if what == "pick" else several.put(number, given[2](grid, mask), mask.shape)

    return evaluate


def _of_cuda(function: ast.Attribute, args: Sequence[ast.expr], place: int) -> Value:
    """What CUDA itself has: barriers, shuffles, arrays."""
    match function:
        case ast.Attribute(value=ast.Name("cuda"), attr="syncthreads"):
            return lambda grid, mask: grid.barrier(mask)
        case ast.Attribute(value=ast.Name("cuda"), attr="shfl_xor_sync"):
            named, value, step = map(_value, args)
            return lambda grid, mask: grid.shuffle(named(grid, mask), value(grid, mask), step(grid, mask), mask)
        case ast.Attribute(value=ast.Attribute(value=ast.Name("cuda"), attr="local" | "shared" as space), attr="array"):
            size, kind = args
            assert isinstance(kind, ast.Name)
            count, element = _value(size), TYPES[kind.id]
            if space == "local":
                return lambda grid, mask: Private(grid.lanes, int(count(grid, mask)), element)
            return lambda grid, mask: grid.shared_array(place, int(count(grid, mask)), element)
    raise SimulationError("this function is none of those that kernels call")


def _extreme(name: str, args: Sequence[Array]) -> Array:
    """The built-in functions, of integers."""
    if any(arg.dtype.kind not in "iu" for arg in args):
        raise SimulationError(f"{name} of floats is no function that kernels call")
    found: Array = (np.minimum if name == "min" else np.maximum)(*(widened(arg) for arg in args))
    return found
