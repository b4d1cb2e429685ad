"""How each scalar op is spelled in a CUDA kernel: Python text that Numba compiles and the simulator runs.

Values are locals, so `{a}`, `{b}`, `{c}` may stand several times. `{t}` is the type's name, a function that converts to
it: every result is wrapped in it, as Numba would compute 32-bit integers in 64 bits, and a bare number as a double.
`{f}` ends the names of libdevice's functions for float32. A spelling of several lines ends in the expression; the
locals that it needs begin with `{r}`, the name of the result. What C's headers say of edge cases (scalar.h, vmath.h)
holds here: NaN is kept by max and min, division by 0 of integers is 0, shifts past the width leave nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from graphc.scalar.ops import SCALARS, ArgumentTypes, LoopKind

__all__ = ["CUDA_FLOATS", "CUDA_INTEGERS", "unspelled"]


def _libdevice(*names: str) -> dict[str, str]:
    """Functions of one argument that libdevice calls as we do."""
    return {name: f"libdevice.{name}{{f}}({{a}})" for name in names}


_COMPARES = {
    name: f"u8({{a}} {operator} {{b}})" for name, operator in (
        ("equal", "=="), ("not_equal", "!="), ("less", "<"), ("less_equal", "<="), ("greater", ">"),
        ("greater_equal", ">="),
    )
}  # fmt: skip
_FMOD = "libdevice.fmod{f}({a}, {b})"

CUDA_FLOATS: Mapping[str, str] = {
    **_libdevice(
        "exp",
        "exp2",
        "expm1",
        "log",
        "log2",
        "log10",
        "log1p",
        "sin",
        "cos",
        "tan",
        "asin",
        "acos",
        "atan",
        "sinh",
        "cosh",
        "tanh",
        "asinh",
        "acosh",
        "atanh",
        "erf",
        "erfc",
        "floor",
        "ceil",
        "trunc",
    ),
    **_COMPARES,
    "round": "libdevice.rint{f}({a})",
    "sqrt": "libdevice.{s}sqrt_rn({a})",
    "abs": "libdevice.fabs{f}({a})",
    "negative": "-{a}",
    "sign": "{a} if {a} != {a} else {t}(i32({a} > {t}(0)) - i32({a} < {t}(0)))",
    "relu": "either_{t}(u8({a} <= {t}(0)), {t}(0), {a})",
    "isnan": "u8({a} != {a})",
    "isinf": "u8(libdevice.fabs{f}({a}) == {t}(math.inf))",
    "isfinite": "u8(libdevice.fabs{f}({a}) < {t}(math.inf))",
    "sigmoid": """\
{r}e = libdevice.exp{f}(-libdevice.fabs{f}({a}))
libdevice.{s}div_rn({r}e if {a} < {t}(0) else {t}(1), {t}(1) + {r}e)""",
    "softplus": """\
{r}e = libdevice.log1p{f}(libdevice.exp{f}(-libdevice.fabs{f}({a})))
{a} if {a} != {a} else ({a} if {a} > {t}(0) else {t}(0)) + {r}e""",
    "add": "{a} + {b}",
    "subtract": "{a} - {b}",
    "multiply": "{a} * {b}",
    "divide": "libdevice.{s}div_rn({a}, {b})",
    "maximum": "larger_{t}({a}, {b})",
    "minimum": "smaller_{t}({a}, {b})",
    "fmod": _FMOD,
    "remainder": f"""\
{{r}}m = {_FMOD}
libdevice.copysign{{f}}({{t}}(0), {{b}}) if {{r}}m == {{t}}(0) else \
({{r}}m + {{b}} if ({{r}}m < {{t}}(0)) != ({{b}} < {{t}}(0)) else {{r}}m)""",
    "floor_divide": f"""\
{{r}}m = {_FMOD}
{{r}}d = libdevice.{{s}}div_rn({{a}}, {{b}})
{{r}}x = {{t}}(1) if {{r}}m != {{t}}(0) and ({{r}}m < {{t}}(0)) != ({{b}} < {{t}}(0)) else {{t}}(0)
{{r}}q = libdevice.{{s}}div_rn({{a}} - {{r}}m, {{b}}) - {{r}}x
{{r}}w = libdevice.floor{{f}}({{r}}q)
{{r}}u = {{t}}(1) if {{r}}q - {{r}}w > {{t}}(0.5) else {{t}}(0)
{{r}}z = libdevice.copysign{{f}}({{t}}(0), {{r}}d)
{{r}}d if {{b}} == {{t}}(0) else ({{r}}z if {{r}}q == {{t}}(0) else {{r}}w + {{r}}u)""",
    "power": "libdevice.pow{f}({a}, {b})",
    "atan2": "libdevice.atan2{f}({a}, {b})",
    "where": "either_{t}({a}, {b}, {c})",
}
CUDA_INTEGERS: Mapping[str, str] = {
    **_COMPARES,
    "negative": "{t}(-{a})",
    "abs": "{t}(-{a}) if {a} < {t}(0) else {a}",
    "sign": "{t}(i32({a} > {t}(0)) - i32({a} < {t}(0)))",
    "relu": "{t}(0) if {a} < {t}(0) else {a}",
    "bitwise_invert": "{t}(~{a})",
    "logical_not": "u8({a} == u8(0))",
    "add": "{t}({a} + {b})",
    "subtract": "{t}({a} - {b})",
    "multiply": "{t}({a} * {b})",
    "floor_divide": "{t}({a} // {b}) if {b} != {t}(0) else {t}(0)",
    "remainder": "{t}({a} % {b}) if {b} != {t}(0) else {t}(0)",
    "fmod": """\
{r}m = {t}({a} % {b}) if {b} != {t}(0) else {t}(0)
{t}({r}m - {b}) if {r}m != {t}(0) and ({a} < {t}(0)) != ({b} < {t}(0)) else {r}m""",
    "power": """\
{r}p = {t}(1)
{r}x = {a}
{r}e = {b}
for {r}k in range({w}):
    if ({r}e >> {t}({r}k)) & {t}(1) != {t}(0):
        {r}p = {t}({r}p * {r}x)
    {r}x = {t}({r}x * {r}x)
{r}s = {a} if {b} & {t}(1) != {t}(0) else {t}({a} * {a})
{r}i = {a} == {t}(1) or {a} == {t}(-{t}(1))
{r}p if {b} >= {t}(0) else ({r}s if {r}i else {t}(0))""",
    "maximum": "{a} if {a} > {b} else {b}",
    "minimum": "{a} if {a} < {b} else {b}",
    "bitwise_and": "{t}({a} & {b})",
    "bitwise_or": "{t}({a} | {b})",
    "bitwise_xor": "{t}({a} ^ {b})",
    "bitwise_left_shift": "{t}({a} << {b}) if {b} >= {t}(0) and {b} < {t}({w}) else {t}(0)",
    "bitwise_right_shift": """\
{r}i = {b} >= {t}(0) and {b} < {t}({w})
{t}({a} >> {b}) if {r}i else ({t}(-{t}(1)) if {a} < {t}(0) else {t}(0))""",
    "where": "either_{t}({a}, {b}, {c})",
}


def unspelled() -> list[str]:
    """The ops that lack a spelling for some type that they have."""
    found = []
    for op in SCALARS.values():
        if op.loops is LoopKind.NONE:  # it is another op on each type
            continue
        floats = op.domain in (ArgumentTypes.ANY, ArgumentTypes.NUMBERS, ArgumentTypes.FLOATS)
        integers = op.domain is not ArgumentTypes.FLOATS and op.on_integers is None
        if (floats and op.name not in CUDA_FLOATS) or (integers and op.name not in CUDA_INTEGERS):
            found.append(op.name)
    return found
