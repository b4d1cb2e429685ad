"""The C printer of fused kernels: a kernel of the IR becomes C text of which the compiler makes vector loops.

`print_kernel` gives, for the kernel called NAME,

    static void NAME_region(const gc_call *call, int64_t a0, int64_t a1, int64_t c0, int64_t c1)
    static void NAME(const gc_call *call, int64_t tile)

which compute a part of the outer and inner positions (gc_run_region of launch.h), and one of `tiles` units of all. What
is computed and how it is cut depends on the kernel alone. An operand that is written may be the memory of one that is
read with the same index. Reductions of pairs, which are never an epilogue, have no NAME_region.

    kernel -> MergedSpace and Walk (space) -> LoopPlan (facts, arrangement) -> text (text, functions, values, scalar)
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

from graphc.backends.c.arrangement import LAST, LoopPlan, LoopStep, make_plan
from graphc.backends.c.facts import FULL
from graphc.backends.c.space import MergedSpace, Walk, blocked_walk, domain_of, paired_walk, plain_walk
from graphc.backends.c.text import print_function
from graphc.ir.scalar import Scalar
from graphc.kernel.cost import BLOCKS, GRAIN, share_of, statement_cost
from graphc.kernel.ir import Kernel, Store
from graphc.kernel.machine import SIZES
from graphc.kernel.nest import Nest, without_empty_reductions
from graphc.kernel.text import kernel_text
from graphc.kernel.verify import verify

__all__ = ["CKernel", "print_kernel"]

CACHE = 24 * 1024  # bytes of buffers that stay in the first-level cache
SECOND_CACHE = 256 * 1024
STRIP = 16  # least positions of a strip of columns: a cache line of float32
FIXED = 128  # rows of at most so many elements are loops of a fixed length
LANES = 64  # rows that are taken side by side where they are short
WIDEST = 2048  # columns of a strip,
WIDE = 64  # and of one where pairs are reduced
BLOCK = 64  # positions of a block that is transposed
_HEADERS = (
    (r"\bgc_(\w+_run_[fu]\d\d|random_word|random_key)", "runs.h"),
    (r"\bgc_transpose_", "blocks.h"),
    (r"\bgc_(row|column|columns|add_kept|kept|sums|maximums|minimums)_", "rows.h"),
    (r"\bgc_(from|to|round)_b?f16|\bgc_(f\d\d_to|narrow)_", "convert.h"),
)


@dataclass(frozen=True)
class CKernel:
    """A printed kernel.

    `text` defines the functions and needs `headers` (of kernels/cpu/include/graphc) before it. The `tiles` units of
    work are independent of each other; each needs `scratch` bytes, aligned to 64. `work` counts the scalar operations
    of all. `regions`: whether there is a function for regions. `units` is the end of the text: the function that runs
    a unit, which an epilogue does without.
    """

    text: str
    tiles: int
    scratch: int
    work: int
    headers: tuple[str, ...]
    regions: bool = True
    units: str = ""


def print_kernel(kernel: Kernel, name: str) -> CKernel:
    """The kernel as C functions called `name` and `name_region`. Raises InternalError for malformed kernel IR."""
    verify(kernel)
    comment = "/* " + kernel_text(kernel).replace("\n", "\n * ") + " */"
    kernel = without_empty_reductions(kernel)
    needed = Nest(kernel).needed
    if math.prod(kernel.space.extents) == 0 or not any(needed):
        return _nothing(name, comment)
    line = domain_of(kernel, needed, join=True)
    if line.is_flat and len(line.extents) <= 1 and kernel.space.outer + kernel.space.inner:
        plain = _fitted(Walk(line, (), line.inner, line.inner, {}, is_line=bool(line.inner)))
    else:
        plain = _fitted(plain_walk(domain_of(kernel, needed)))
    domain, cost = plain.walk.domain, _cost(plain)
    blocked = _blocked(domain)
    functions = [print_function(plain, f"{name}_region")] if domain.is_flat or blocked is None else []
    units = _Units(name, f"{name}_region", *_grains(plain.walk, cost))
    if blocked is not None:
        functions.append(print_function(blocked, f"{name}_blocks"))
        units = _Units(name, f"{name}_blocks", *_grains(blocked.walk, cost))
    whole = units.text()
    body = "\n\n".join([*(function.text for function in functions), whole])
    headers = ("printed.h", "scalar.h", *(header for pattern, header in _HEADERS if re.search(pattern, body)))
    scratch = max(function.scratch for function in functions)
    work, regions = domain.size(range(len(domain.extents))) * cost, domain.is_flat or blocked is None
    return CKernel(f"{comment}\n{body}\n", units.tiles, scratch, work, headers, regions, f"\n{whole}\n")


def _nothing(name: str, comment: str) -> CKernel:
    """A kernel that writes nothing."""
    ranges = "int64_t a0, int64_t a1, int64_t c0, int64_t c1"
    lines = [
        comment,
        f"static __attribute__((unused)) void {name}_region(const gc_call *call, {ranges}) {{",
        "    (void)call, (void)a0, (void)a1, (void)c0, (void)c1;",
        "}",
        "",
        f"static __attribute__((unused)) void {name}(const gc_call *call, int64_t tile) {{",
        "    (void)call, (void)tile;",
        "}",
        "",
    ]
    return CKernel("\n".join(lines), 0, 0, 0, ("printed.h",))


# How much a box holds ------------------------------------------------------------------------------------------------
def _fitted(walk: Walk) -> LoopPlan:
    """The plan of a walk with boxes as large as keep its buffers in the cache."""
    plan = make_plan(walk, resident=True)
    width = _width(plan)
    if plan.moved is not None:
        return make_plan(replace(walk, limits={walk.box[0]: BLOCK}), resident=True)
    if walk.domain.is_flat:
        return make_plan(replace(walk, limits=_flat_limits(walk, width)), resident=True) if width else plan
    reduce = walk.domain.size(walk.domain.reduce)
    if not walk.columns:
        if reduce * width <= (SECOND_CACHE if _full_stages(plan) > 1 else CACHE):
            return plan
        vector = walk.domain.reduce[-1]
        chunk = _multiple(CACHE // width, 64, 256)
        return make_plan(replace(walk, box=(vector,), limits={vector: chunk}), resident=False)
    vector = walk.columns[-1]
    if _full_stages(plan) > 1 and reduce * STRIP * width <= SECOND_CACHE:
        streams = width + sum(size for _, size in walk.domain.memory())
        room = CACHE // (width * reduce) if width else 0
        if room < LANES:
            room = min(LANES, SECOND_CACHE // (streams * reduce))
        return make_plan(replace(walk, limits={vector: _multiple(min(room, WIDEST), STRIP, STRIP)}), resident=True)
    strip = min(walk.domain.extents[vector], WIDEST // 4 if width else WIDEST)
    rows = _multiple(CACHE // (width * strip), 8, 8) if width else 1 << 30
    last = walk.domain.reduce[-1]
    return make_plan(replace(walk, box=(last, vector), limits={last: rows, vector: strip}), resident=False)


def _blocked(domain: MergedSpace) -> LoopPlan | None:
    """The plan of a walk in blocks over all of the domain, if that is quicker than the plain one."""
    if not domain.is_flat:
        return _paired(domain)
    if domain.outer or len(domain.extents) <= 1:
        return None
    plan = _fitted(blocked_walk(domain))
    extents, grains = _grains(plan.walk, _cost(plan))
    if grains[1] == extents[1] and plan.walk.is_unlimited:
        plan = make_plan(replace(plan.walk, all_columns=True), resident=True)
    in_order = (*plan.walk.rows, *plan.walk.columns) == tuple(range(len(domain.extents)))
    return plan if len(plan.walk.box) > 1 or not in_order or extents[1] <= FIXED else None


def _paired(domain: MergedSpace) -> LoopPlan | None:
    """The plan of a reduction of pairs: a block's states, and what it transposes, stay in the first-level cache."""
    walk = paired_walk(domain)
    if walk is None:
        return None
    plan = make_plan(walk, resident=False)
    stores = [step for step, positions in plan.stores.items() if positions]
    if (
        _full_stages(plan) > 1
        or stores != [LoopStep(LAST, False, 0)]
        or any(map(plan.is_turning, range(len(plan.scopes))))
    ):
        return None
    last, block, vector = walk.box
    strip = share_of(domain.extents[vector], WIDE, STRIP)
    states = sum(2 * SIZES["f64"] for positions in plan.reductions.values() for _ in positions)
    width = sum(buffer.size for buffer in plan.buffers.values() if buffer.is_full)
    limits = {
        last: _multiple(CACHE // (width * strip), 8, 8) if width else 1 << 30,
        block: _multiple(CACHE // (states * strip), 4, 4),
        vector: strip,
    }
    walk = replace(walk, limits=limits)
    extents, grains = _grains(walk, _cost(plan))
    return make_plan(replace(walk, all_columns=grains[1] == extents[1] and walk.is_unlimited), resident=False)


def _flat_limits(walk: Walk, width: int) -> dict[int, int]:
    vector = walk.box[-1]
    if len(walk.box) == 1:
        return {vector: min(2048, _multiple(CACHE // width, 64, 256))}
    return {vector: BLOCK, walk.box[0]: min(BLOCK, _multiple(2 * CACHE // (width * BLOCK), 16, 16))}


def _multiple(number: int, unit: int, least: int) -> int:
    return max(least, number // unit * unit)


def _width(plan: LoopPlan) -> int:
    """Bytes of buffers for each position of the box."""
    return sum(buffer.size for buffer in (*plan.buffers.values(), *plan.store_buffers.values()) if buffer.is_full)


def _full_stages(plan: LoopPlan) -> int:
    """How many times loops go over the reduced dims."""
    return len({step.stage for step in plan.steps if step.is_full} | set(plan.reductions))


# Units of work -------------------------------------------------------------------------------------------------------
def _cost(plan: LoopPlan) -> int:
    """Scalar operations for each point of the space."""
    kernel, total = plan.kernel, 0
    for position, statement in enumerate(kernel.body):
        if not plan.needed[position]:
            continue
        if isinstance(statement, Store):
            total += statement_cost(statement, kernel.operands[statement.operand].dtype)
        elif plan.scopes[position] == FULL and not isinstance(statement, Scalar):
            arguments = kernel.arguments(statement)
            total += statement_cost(statement, plan.dtype(arguments[-1] if arguments else position))
    return max(1, total)


@dataclass(frozen=True)
class _Units:
    """The function that runs unit `tile`: `grains` rows and columns of `extents` make one."""

    name: str
    region: str
    extents: tuple[int, int]
    grains: tuple[int, int]

    @property
    def across(self) -> int:
        return math.ceil(self.extents[1] / self.grains[1])

    @property
    def tiles(self) -> int:
        return math.ceil(self.extents[0] / self.grains[0]) * self.across

    def text(self) -> str:
        """The function's text."""
        lines = [f"static __attribute__((unused)) void {self.name}(const gc_call *call, int64_t tile) {{"]
        rows, columns = self.across == 1, self.grains[0] >= self.extents[0]
        bounds: list[str] = []
        for axis, (extent, grain) in enumerate(zip(self.extents, self.grains, strict=True)):
            if grain >= extent:
                bounds += ["0", str(extent)]
                continue
            at = "tile" if rows or columns else f"tile / {self.across}" if axis == 0 else f"tile % {self.across}"
            letter = "ac"[axis]
            end = f"{letter}0 + {grain}"
            lines.append(f"    const int64_t {letter}0 = {at} * {grain};")
            bounds += [f"{letter}0", end if extent % grain == 0 else f"gc_smaller({extent}, {end})"]
        if self.tiles == 1:
            lines.append("    (void)tile;")
        lines.append(f"    {self.region}(call, {', '.join(bounds)});")
        return "\n".join([*lines, "}"])


def _grains(walk: Walk, cost: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Rows and columns of the whole space in the terms of the walk's ranges, and how many make one unit of work."""
    domain, points = walk.domain, max(1, GRAIN // cost)
    if walk.is_line:
        rows, columns = (math.prod(part) for part in (domain.kernel.space.outer, domain.kernel.space.inner))
        if rows == 1:
            return (1, columns), (1, share_of(columns, points, 64))
        return (rows, columns), (share_of(rows, points / columns, 1), columns)
    rows, columns, reduce = (domain.size(part) for part in (walk.rows, walk.columns, domain.reduce))
    unit = walk.limits.get(walk.columns[-1], 1) if walk.columns else 1
    if walk.swapped:
        return (columns, 1), (share_of(columns, points / reduce, min(unit, 256)), 1)
    if domain.is_flat and not walk.rows:
        last = domain.extents[walk.columns[-1]] if walk.columns else 1
        return (1, columns), (1, share_of(columns, points, last if last < points else 64))
    wide = rows < BLOCKS and reduce * columns >= points * 3 // 2 and columns >= 32 * STRIP
    share = share_of(columns, max(points / reduce, columns / 4), 4 * STRIP) if wide else columns
    block = walk.limits.get(walk.rows[-1], 1) if walk.rows and walk.rows[-1] in walk.box else 1
    few = share_of(rows, points / (reduce * columns), block) if share == columns else block if wide else 1
    return (rows, columns), (max(1, min(rows, few)), share)
