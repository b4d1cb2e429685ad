"""The C file of a program: one translation unit with everything in it.

headers (amalgamation.py), kernels (launches.py), the table of launches; in a standalone one also what runs them and
the interface. In this process the executor does, and a small program is compiled in less than half the time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from graphc.backends.c.amalgamation import Amalgamation
from graphc.backends.c.interface import Interface, parameters, prototype
from graphc.backends.c.launches import CCode
from graphc.backends.c.parts import DRIVER, PARTS
from graphc.ir.indices import numbered
from graphc.plan.plan import BufferNumber, Loop, Plan, Ref, copied_outputs
from graphc.plan.stages import group, sharable_work

__all__ = ["header_text", "unit_text"]

_USE = """\
/* {name}: a program compiled by graphc. It needs a C11 compiler, libm and POSIX threads, and allocates nothing.
 *
 *     cc -std=c11 -O3 -march=native -falign-loops=64 -pthread -c {name}.c
 *
 * With -DGRAPHC_SINGLE_THREAD it needs no threads. {name}.h says how it is called.
 */
"""
_HEAD = """\
#define _POSIX_C_SOURCE 200809L
#define GC_GENERATED 1
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic error "-Wreturn-type"
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__) && !defined(__NO_MATH_ERRNO__)
#pragma GCC optimize("no-math-errno", "no-trapping-math", "fp-contract=off")
#endif
"""

_DRIVER = """\
/* The program ------------------------------------------------------------------------------------------------ */
struct {name}_program {{
#ifdef GRAPHC_SINGLE_THREAD
    gc_step step;
#else
    gc_team team;
    int threads;
    gc_progress progress[{stages}];
#endif
    char *buffers[{buffers}];
}};
_Static_assert(sizeof(struct {name}_program) <= {context_bytes}, "the context has room for the program's records");

static const gc_ref program_arena[] = {{{arena}}};
static const gc_ref program_state[] = {{{state}}};

{name}_program *{name}_open(void *memory, void *state, int threads) {{
    if (!memory || (!state && {state_bytes} > 0) || (uintptr_t)memory % 64 || (uintptr_t)state % 64 || threads < 1)
        return NULL;
    {name}_program *const program = memory;
    memset(program, 0, sizeof *program);
    char *const arena = (char *)memory + {context_bytes};
    for (int i = 0; i < {arena_count}; i++)
        program->buffers[program_arena[i].buffer] = arena + program_arena[i].offset;
    for (int i = 0; i < {state_count}; i++)
        program->buffers[program_state[i].buffer] = (char *)state + program_state[i].offset;
    const gc_step step = {{program_launches, {launches}, program_loops, {loops}, program->buffers,
                          arena + {arena_bytes}, {scratch_bytes}}};
#ifdef GRAPHC_SINGLE_THREAD
    program->step = step;
#else
    program->team.step = step;
    program->team.stages = program_stages;
    program->team.stage_count = {stage_count};
    program->team.progress = program->progress;
    program->team.work = {work};
    program->threads = threads < GC_MAX_THREADS ? threads : GC_MAX_THREADS;
    gc_team_prepare(&program->team);
#endif
    return program;
}}

void {name}_run({parameters}) {{
{bind}
#ifdef GRAPHC_SINGLE_THREAD
    gc_step_alone(&program->step);
#else
    gc_run_team(&program->team, program->threads);
#endif
{finish}}}

void {name}_close({name}_program *program) {{
#ifdef GRAPHC_SINGLE_THREAD
    (void)program;
#else
    gc_team_dispose(&program->team);
#endif
}}
"""

_IMAGE = """\
__attribute__((visibility("default"))) const gc_compiled {name}_image = {{
    GC_IMAGE_FORMAT, {launches}, program_launches, {loops}, program_loops,
    "{digest}"}};
"""


def header_text(interface: Interface) -> str:
    """The header of an exported program."""
    guard = f"GRAPHC_PROGRAM_{interface.name}_H"
    return "\n".join(
        [
            f"/* {interface.name}.h: how the program in {interface.name}.c is called. */",
            f"#ifndef {guard}", f"#define {guard}", "", "#include <stddef.h>", "#include <stdint.h>", "",
            "#ifdef __cplusplus", 'extern "C" {', "#endif", "", prototype(interface), "",
            "#ifdef __cplusplus", "}", "#endif", f"#endif /* {guard} */", "",
        ]
    )  # fmt: skip


def unit_text(interface: Interface, code: CCode, *, standalone: bool = False) -> str:
    """The C file, with what C programs call if it is `standalone`. Equal plans and kernels give equal text."""
    headers, name = Amalgamation(), interface.name
    kernels = [
        "#include <stddef.h>\n#include <stdint.h>\n#include <string.h>\n",
        PARTS,
        code.definitions,
        headers.text([*code.headers, "step.h"]),
        "/* Kernels ------------------------------------------------------------------------------------------ */",
        code.text(DRIVER if standalone else 0),
    ]
    launches = [
        "#if GC_PART(0)",
        _launch_tables(interface),
        _loop_tables(interface.plan.loops),
        _IMAGE.format(
            name=name, launches=len(interface.plan.launches), loops=len(interface.plan.loops), digest=interface.digest
        ),
        "#endif",
    ]
    if not standalone:
        return "\n".join([_HEAD, *kernels, *launches])
    driver = [
        "#if GC_PART(0)",
        "#ifndef GRAPHC_SINGLE_THREAD", headers.text(["execute.h"]), _stage_tables(interface), "#endif\n",
        "#pragma GCC visibility push(default)", prototype(interface), "#pragma GCC visibility pop\n",
        _driver(interface),
        "#endif",
    ]  # fmt: skip
    return "\n".join([_USE.format(name=name) + _HEAD, *kernels, *launches, *driver])


def _array(type: str, name: str, items: Iterable[str], *, wide: bool = False) -> str:
    """A constant array, of one element where it would have none."""
    listed = list(items) or ["0"]
    if wide:
        return f"static const {type} {name}[] = {{\n" + "".join(f"    {item},\n" for item in listed) + "};"
    return f"static const {type} {name}[] = {{{', '.join(listed)}}};"


def _refs(refs: Sequence[Ref]) -> list[str]:
    return [f"{{{ref.buffer}, {ref.offset}}}" for ref in refs]


def _launch_tables(interface: Interface) -> str:
    lines, entries = list[str](), list[str]()
    for position, launch in enumerate(interface.plan.launches):
        fields = [launch.kernel, str(launch.tiles)]
        for kind, refs in (("operands", launch.operands), ("fused", launch.program_operands)):
            if refs:
                lines.append(_array("gc_ref", f"launch_{kind}_{position}", _refs(refs)))
            fields.append(f"launch_{kind}_{position}" if refs else "0")
        entries.append(f"{{{fields[0]}, {fields[1]}, {fields[2]}, 0, 0, {fields[3]}}} /* {launch.label} */")
    return "\n".join(["", *lines, _array("gc_launch", "program_launches", entries or ["{0}"], wide=True), ""])


def _loop_tables(loops: Sequence[Loop]) -> str:
    lines, entries = list[str](), list[str]()
    for number, loop in enumerate(loops):
        slices = [f"{{{part.buffer}, {part.of}, {part.offset}, {part.step}}}" for part in loop.slices]
        lines.append(_array("gc_slice", f"loop_slices_{number}", slices or ["{0}"]))
        place = f"{loop.first}, {loop.last}, {loop.count}"
        entries.append(f"{{{place}, loop_slices_{number}, {len(slices)}}} /* {loop.label} */")
    return "\n".join([*lines, _array("gc_loop", "program_loops", entries or ["{0}"], wide=True), ""])


def _stage_tables(interface: Interface) -> str:
    lines, entries = list[str](), list[str]()
    for position, stage in enumerate(group(interface.plan.launches, interface.plan.loops)):
        needed = f"stage_depends_{position}" if stage.depends else "0"
        if stage.depends:
            lines.append(_array("int64_t", needed, map(str, stage.depends)))
        place = f"{stage.first}, {stage.last}, {stage.loop}, {stage.tiles}, {stage.grain}"
        entries.append(f"{{{place}, {needed}, {len(stage.depends)}}}")
    return "\n".join([*lines, _array("gc_stage", "program_stages", entries or ["{0}"], wide=True)])


def _driver(interface: Interface) -> str:
    name, plan = interface.name, interface.plan
    stages = group(plan.launches, plan.loops)
    arena = [Ref(i, buffer.offset) for i, buffer in numbered(BufferNumber, plan.buffers) if buffer.space == "arena"]
    state = [Ref(stored.buffer, stored.offset) for stored in interface.state]
    inputs = [f"input{i}" for i in range(len(plan.inputs))]
    outputs = [f"output{i}" for i in range(len(plan.outputs))]
    return _DRIVER.format(
        name=name, launches=len(plan.launches), loops=len(plan.loops), buffers=max(1, len(plan.buffers)),
        stages=max(1, len(stages)),
        stage_count=len(stages), work=sharable_work(stages), context_bytes=interface.context_bytes,
        arena_bytes=interface.memory_bytes(0) - interface.context_bytes, scratch_bytes=interface.scratch_bytes,
        arena=", ".join(_refs(arena)) or "{0, 0}", arena_count=len(arena),
        state=", ".join(_refs(state)) or "{0, 0}", state_count=len(state), state_bytes=interface.state_bytes,
        parameters=", ".join([f"{name}_program *program", *parameters(plan)]),
        bind="\n".join(_bind(plan, inputs, outputs)), finish="".join(_finish(plan, outputs)),
    )  # fmt: skip


def _bind(plan: Plan, inputs: Sequence[str], outputs: Sequence[str]) -> list[str]:
    """Arguments to buffers. What is an output, but has no buffer of its own, is copied by `_finish`."""
    pairs = [*zip(plan.inputs, inputs, strict=True)]
    pairs += [pair for i, pair in enumerate(zip(plan.outputs, outputs, strict=True)) if i not in copied_outputs(plan)]
    return [f"    program->buffers[{buffer}] = (char *)(uintptr_t){argument};" for buffer, argument in pairs]


def _finish(plan: Plan, outputs: Sequence[str]) -> list[str]:
    lines = [
        f"    memcpy({outputs[i]}, program->buffers[{plan.outputs[i]}], {plan.buffers[plan.outputs[i]].nbytes});\n"
        for i in copied_outputs(plan)
    ]
    if plan.rng >= 0:
        lines.append(f"    ++((uint64_t *)(void *)program->buffers[{plan.rng}])[1];\n")
    return lines
