/* The tile machine: runs a kernel-IR loop nest, assembled into words by `graphc/backends/tile/assembler.py`, over cache-sized tiles.
 *
 * gc_program_size and gc_program_decode turn the words into a program, once; gc_tile_kernel runs one unit of its
 * parallel work and gc_run_region any region. Values lie in `scratch` from its start on: a library kernel with an
 * epilogue keeps nothing there across gc_run_region. What a program computes does not depend on how its space is cut into
 * regions of whole rows or columns. An operand that is written may be the memory of one that is read with the same index.
 */
#ifndef GRAPHC_TILE_H
#define GRAPHC_TILE_H

#include "tile_decode.h"

/* Decodes into `memory`, gc_program_size bytes aligned to 8. 0, or -1 if the words are malformed. */
static int gc_program_decode(const int64_t *words, int64_t count, void *memory) {
    if (gc_program_size(words, count) < 0)
        return -1;
    gc_program *const p = (gc_program *)memory;
    if (gc_decode_header(words, p))
        return -1;
    p->instruction = (gc_instruction *)(p + 1);
    p->access = (gc_access *)(p->instruction + p->instructions);
    p->segment = (gc_segment *)(p->access + p->accesses);
    gc_axis *const axes = (gc_axis *)(p->segment + p->segments);
    p->constant = (int64_t *)(axes + p->axes);
    p->places = p->constant + p->constants;
    p->operand_sizes = p->places + p->values;
    p->operand_bytes = p->operand_sizes + p->operands;

    const int64_t *const operand = gc_table_at(words, GC_T_OPERANDS), *const value = gc_table_at(words, GC_T_VALUES);
    for (int64_t i = 0; i < p->operands; i++)
        p->operand_sizes[i] = operand[i], p->operand_bytes[i] = 0;
    for (int64_t i = 0; i < p->constants; i++)
        p->constant[i] = gc_table_at(words, GC_T_CONSTANTS)[i];
    for (int64_t i = 0; i < p->axes; i++) {
        const int64_t *const word = gc_table_at(words, GC_T_AXES) + GC_AXIS_WORDS * i;
        axes[i] = (gc_axis){word[0], word[1], word[2], word[3]};
        if (!gc_between(word[0], 1, GC_MOST) || !gc_between(word[1], -GC_MOST, GC_MOST) || !gc_between(word[2], 0, word[0]) ||
            !gc_between(word[3], 0, word[0]))
            return -1;
    }
    for (int64_t i = 0; i < p->accesses; i++)
        if (gc_decode_access(gc_table_at(words, GC_T_ACCESSES) + GC_ACCESS_WORDS * i, p, axes, &p->access[i]))
            return -1;
    for (int64_t i = 0; i < p->values; i++) {
        p->places[i] = value[GC_VALUE_WORDS * i];
        if (gc_decode_place(value + GC_VALUE_WORDS * i, p))
            return -1;
    }
    for (int64_t i = 0; i < p->instructions; i++)
        if (gc_decode_instruction(gc_table_at(words, GC_T_INSTRUCTIONS) + GC_INSTRUCTION_WORDS * i, value, p, &p->instruction[i]))
            return -1;
    for (int64_t i = 0; i < p->segments; i++) {
        const int64_t *const word = gc_table_at(words, GC_T_SEGMENTS) + GC_SEGMENT_WORDS * i;
        p->segment[i] = (gc_segment){word[0], word[1], word[2]};
        if (!gc_between(word[0], 0, p->instructions) || !gc_between(word[1], 0, p->instructions - word[0]))
            return -1;
    }
    return gc_check_bindings(p, gc_table_at(words, GC_T_INSTRUCTIONS), value, p->operand_bytes + p->operands);
}

/* Bytes that the program may touch of an operand, from its start on. */
static inline int64_t gc_program_operand_bytes(const void *program, int64_t operand) {
    return ((const gc_program *)program)->operand_bytes[operand];
}

static inline void gc_tile_sizes(gc_machine *m, int64_t outer, int64_t reduce, int64_t inner) {
    m->length[GC_OUTER] = outer;
    m->length[GC_REDUCE] = reduce;
    m->length[GC_INNER] = inner;
    m->count[GC_ROW] = outer * inner;
    m->count[GC_FULL] = outer * reduce * inner;
}

static inline void gc_run_instructions(const gc_machine *m, const gc_segment *segment) {
    const gc_instruction *x = m->program->instruction + segment->first, *const end = x + segment->count;
    for (; x < end; x++)
        x->run(m, x);
}

/* All segments but the first over one tile of outer and inner positions. */
static inline void gc_run_tile(gc_machine *m, int64_t outer, int64_t inner) {
    const gc_program *const p = m->program;
    const int64_t reduce = p->extent[GC_REDUCE], step = p->step[GC_REDUCE];
    for (int64_t s = 1; s < p->segments; s++) {
        m->start[GC_REDUCE] = 0;
        gc_tile_sizes(m, outer, reduce < step ? reduce : step, inner);
        if (!p->segment[s].looped) {
            gc_run_instructions(m, &p->segment[s]);
            continue;
        }
        for (int64_t r = 0; r < reduce; r += step) {
            m->start[GC_REDUCE] = r;
            gc_tile_sizes(m, outer, reduce - r < step ? reduce - r : step, inner);
            gc_run_instructions(m, &p->segment[s]);
        }
    }
}

static inline int64_t gc_least(int64_t a, int64_t b) { return a < b ? a : b; }

static void gc_tile_region(const gc_call *call, int64_t a0, int64_t a1, int64_t c0, int64_t c1, int64_t pitch) {
    const gc_program *const p = (const gc_program *)call->program;
    if (a0 >= a1 || c0 >= c1 || p->extent[GC_REDUCE] == 0)
        return;
    gc_machine m = {.program = p, .call = call, .value = (char **)(void *)call->scratch, .pitch = pitch, .count = {1, 1, 1}};
    for (int64_t i = 0; i < p->values; i++)
        m.value[i] = gc_home(&m, i);
    const int64_t step_c = gc_least(p->step[GC_INNER], c1 - c0);
    /* a flat program without blocks takes as many short rows at a time as there is room for, and long rows one by one */
    const int64_t fitting = !p->flat || p->block ? p->step[GC_OUTER] : c1 - c0 >= 512 ? 1 : p->step[GC_INNER] / step_c;
    const int64_t step_a = gc_least(fitting, a1 - a0);
    m.start[GC_OUTER] = a0;
    m.start[GC_INNER] = c0;
    gc_tile_sizes(&m, step_a, gc_least(p->step[GC_REDUCE], p->extent[GC_REDUCE]), step_c);
    gc_run_instructions(&m, &p->segment[0]);
    for (int64_t a = a0; a < a1; a += step_a)
        for (int64_t c = c0; c < c1; c += step_c) {
            m.start[GC_OUTER] = a;
            m.start[GC_INNER] = c;
            gc_run_tile(&m, gc_least(step_a, a1 - a), gc_least(step_c, c1 - c));
        }
}

static void gc_run_region(const gc_call *call, int64_t a0, int64_t a1, int64_t c0, int64_t c1) {
    const gc_program *const p = (const gc_program *)call->program;
    const int64_t columns = p->extent[GC_INNER];
    if (p->flat && !p->block && c0 == 0 && c1 == columns)
        gc_tile_region(call, 0, 1, a0 * columns, a1 * columns, 0);
    else
        gc_tile_region(call, a0, a1, c0, c1, columns);
}

/* Unit `tile` of the program's parallel work: a grain of the flat range or its rows, or of outer and inner positions. */
static void gc_tile_kernel(const gc_call *call, int64_t tile) {
    const gc_program *const p = (const gc_program *)call->program;
    const int64_t *const extent = p->extent, *const grain = p->grain;
    if (p->flat) {
        const int64_t all = extent[GC_OUTER] * extent[GC_INNER], a0 = tile * grain[GC_OUTER], c0 = tile * grain[GC_INNER];
        if (p->block)
            gc_tile_region(call, a0, gc_least(all / p->block, a0 + grain[GC_OUTER]), 0, p->block, p->block);
        else
            gc_tile_region(call, 0, 1, c0, gc_least(all, c0 + grain[GC_INNER]), 0);
        return;
    }
    const int64_t across = (extent[GC_INNER] + grain[GC_INNER] - 1) / grain[GC_INNER];
    const int64_t a0 = tile / across * grain[GC_OUTER], c0 = tile % across * grain[GC_INNER];
    gc_tile_region(call, a0, gc_least(extent[GC_OUTER], a0 + grain[GC_OUTER]), c0,
                   gc_least(extent[GC_INNER], c0 + grain[GC_INNER]), 0);
}

#endif
