/* How the tile machine reads and writes operands: affine indices over a tile, as runs of evenly spaced elements.
 *
 * Where a tile's elements lie side by side in the operand, the value *is* that memory and nothing is copied. Elsewhere an
 * odometer over the index's axes hands runs to a small loop: a copy, a fill, or a walk with a stride.
 */
#ifndef GRAPHC_TILE_ACCESS_H
#define GRAPHC_TILE_ACCESS_H

#include "random.h"
#include "tile_loops.h"

/* A range of positions of one part of the space. */
typedef struct gc_span {
    const gc_axis *axes;
    int64_t count, start, length;
} gc_span;

/* A position of a span: its coordinates, what it adds to the index, how many coordinates are outside the guard. */
typedef struct gc_cursor {
    int64_t at[GC_AXES];
    int64_t offset, outside;
} gc_cursor;

static inline int gc_is_outside(const gc_axis *axis, int64_t at) { return at < axis->low || at >= axis->high; }

static inline void gc_cursor_start(gc_cursor *cursor, const gc_span *span) {
    int64_t position = span->start;
    cursor->offset = cursor->outside = 0;
    for (int64_t k = span->count - 1; k >= 0; k--) {
        const gc_axis *axis = &span->axes[k];
        const int64_t rest = k ? position / axis->extent : 0;
        cursor->at[k] = position - rest * axis->extent;
        cursor->offset += cursor->at[k] * axis->stride;
        cursor->outside += gc_is_outside(axis, cursor->at[k]);
        position = rest;
    }
}

/* `steps` on along the last axis, to its end at most; at the end the axes before it move on. */
static inline void gc_cursor_move(gc_cursor *cursor, const gc_span *span, int64_t steps) {
    for (int64_t k = span->count - 1; k >= 0; k--, steps = 1) {
        const gc_axis *axis = &span->axes[k];
        const int64_t to = cursor->at[k] + steps, wrapped = to < axis->extent || k == 0 ? to : 0;
        cursor->offset += (wrapped - cursor->at[k]) * axis->stride;
        cursor->outside += gc_is_outside(axis, wrapped) - gc_is_outside(axis, cursor->at[k]);
        cursor->at[k] = wrapped;
        if (wrapped)
            return;
    }
}

/* What to do with a run: n elements of the value from `position` on are the operand's from `offset` on, `stride` apart. */
typedef struct gc_run {
    const gc_machine *machine;
    const gc_instruction *instruction;
    char *value, *memory;
    gc_random_key key;
} gc_run;
typedef void (*gc_run_body)(const gc_run *run, int64_t position, int64_t offset, int64_t stride, int64_t n);

/* The runs of one span, the other parts of the index adding up to `offset`. */
static inline void gc_span_runs(const gc_span *span, int64_t offset, int64_t position, const gc_run *run, gc_run_body body) {
    if (span->count == 0) {
        body(run, position, offset, 0, span->length);
        return;
    }
    gc_cursor cursor;
    gc_cursor_start(&cursor, span);
    const int64_t last = span->count - 1;
    const gc_axis *axis = &span->axes[last];
    for (int64_t left = span->length; left > 0; ) {
        const int64_t at = cursor.at[last], rest = axis->extent - at, n = rest < left ? rest : left;
        const int64_t low = at > axis->low ? at : axis->low, high = at + n < axis->high ? at + n : axis->high;
        if (low < high && cursor.outside - gc_is_outside(axis, at) == 0)
            body(run, position + low - at, offset + cursor.offset + (low - at) * axis->stride, axis->stride, high - low);
        position += n;
        left -= n;
        if (left > 0)
            gc_cursor_move(&cursor, span, n);
    }
}

/* The tile's runs in the order of the value's elements. */
GC_APART gc_runs(const gc_run *run, int64_t rows, int64_t columns, gc_run_body body) {
    const gc_machine *m = run->machine;
    const gc_access *x = run->instruction->access;
    gc_span span[GC_PARTS];
    for (int part = 0; part < GC_PARTS; part++)
        span[part] = (gc_span){x->axes[part], x->count[part], m->start[part], m->length[part]};
    if (m->program->flat) {
        for (int64_t o = 0; o < rows; o++) {
            const int64_t start = m->start[GC_INNER] + (m->start[GC_OUTER] + o) * m->pitch;
            const gc_span flat = {x->axes[GC_INNER], x->count[GC_INNER], start, columns};
            gc_span_runs(&flat, x->offset, o * columns, run, body);
        }
        return;
    }
    span[GC_OUTER].length = rows;
    if (x->level != GC_FULL)
        span[GC_REDUCE] = (gc_span){NULL, 0, 0, 1};
    if (m->program->extent[GC_INNER] == 1) { /* runs go along the innermost part that there is */
        span[GC_INNER] = span[GC_REDUCE];
        span[GC_REDUCE] = (gc_span){NULL, 0, 0, 1};
        if (x->level != GC_FULL) {
            span[GC_INNER] = span[GC_OUTER];
            span[GC_OUTER] = (gc_span){NULL, 0, 0, 1};
        }
    }
    const int64_t width = span[GC_INNER].length;
    int64_t position = 0;
    gc_cursor outer, middle, first;
    gc_cursor_start(&outer, &span[GC_OUTER]);
    gc_cursor_start(&first, &span[GC_REDUCE]);
    for (int64_t o = 0; o < span[GC_OUTER].length; o++) {
        middle = first;
        for (int64_t r = 0; r < span[GC_REDUCE].length; r++, position += width) {
            if (outer.outside + middle.outside == 0)
                gc_span_runs(&span[GC_INNER], x->offset + outer.offset + middle.offset, position, run, body);
            gc_cursor_move(&middle, &span[GC_REDUCE], 1);
        }
        gc_cursor_move(&outer, &span[GC_OUTER], 1);
    }
}

/* Whether the tile's positions of one part are evenly spaced; then the first one's offset is added and the stride set. */
static inline int gc_is_even(const gc_access *x, int part, int64_t start, int64_t n, int64_t *offset, int64_t *stride) {
    const int64_t count = x->count[part];
    const gc_axis *axis = x->axes[part];
    *stride = 0;
    if (count == 0)
        return 1;
    if (count > 1) {
        const gc_span span = {axis, count, start, n};
        gc_cursor cursor;
        gc_cursor_start(&cursor, &span);
        *offset += cursor.offset;
        *stride = axis[count - 1].stride;
        return cursor.at[count - 1] + n <= axis[count - 1].extent;
    }
    *offset += start * axis->stride;
    *stride = axis->stride;
    return 1;
}

/* Where the tile begins in the operand, if it lies there as the value does; else NULL. */
static inline char *gc_in_place(const gc_machine *m, const gc_access *x) {
    char *const memory = (char *)gc_program_operand(m->call, (int)x->operand);
    if (x->level == GC_ONE)
        return memory + x->offset * x->size;
    if (x->guarded)
        return NULL;
    const int64_t outer = m->length[GC_OUTER], inner = m->length[GC_INNER];
    int64_t offset = x->offset, by_outer, by_reduce, by_inner;
    if (m->program->flat) {
        const int64_t start = m->start[GC_INNER] + m->start[GC_OUTER] * m->pitch;
        if ((outer > 1 && m->pitch != inner) || !gc_is_even(x, GC_INNER, start, outer * inner, &offset, &by_inner))
            return NULL;
        return by_inner == 1 || outer * inner == 1 ? memory + offset * x->size : NULL;
    }
    const int64_t reduce = x->level == GC_FULL ? m->length[GC_REDUCE] : 1;
    if (!gc_is_even(x, GC_OUTER, m->start[GC_OUTER], outer, &offset, &by_outer) ||
        !gc_is_even(x, GC_INNER, m->start[GC_INNER], inner, &offset, &by_inner))
        return NULL;
    by_reduce = inner;
    if (x->level == GC_FULL && !gc_is_even(x, GC_REDUCE, m->start[GC_REDUCE], reduce, &offset, &by_reduce))
        return NULL;
    const int dense = (inner == 1 || by_inner == 1) && (reduce == 1 || by_reduce == inner) &&
                      (outer == 1 || by_outer == reduce * inner);
    return dense ? memory + offset * x->size : NULL;
}

#define GC_COPY_RUN(A)                                                                                                 \
    {                                                                                                                  \
        A *const d = (A *)to;                                                                                          \
        const A *const s = (const A *)from;                                                                            \
        if (to_stride == 1 && from_stride == 0) {                                                                      \
            const A repeated = *s;                                                                                     \
            for (int64_t i = 0; i < n; i++)                                                                            \
                d[i] = repeated;                                                                                       \
        } else {                                                                                                       \
            for (int64_t i = 0; i < n; i++)                                                                            \
                d[i * to_stride] = s[i * from_stride];                                                                 \
        }                                                                                                              \
    }                                                                                                                  \
    break

/* n elements of `size` bytes, with strides in elements. */
static inline void gc_copy_run(char *to, int64_t to_stride, const char *from, int64_t from_stride, int64_t n, int64_t size) {
    if ((to_stride == 1 && from_stride == 1) || n == 1) {
        memmove(to, from, (size_t)(n * size));
        return;
    }
    switch (size) {
    case 1: GC_COPY_RUN(uint8_t);
    case 2: GC_COPY_RUN(gc_raw16);
    case 4: GC_COPY_RUN(gc_raw32);
    default: GC_COPY_RUN(gc_raw64);
    }
}

static void gc_load_run(const gc_run *run, int64_t position, int64_t offset, int64_t stride, int64_t n) {
    const int64_t size = run->instruction->access->size;
    gc_copy_run(run->value + position * size, 1, run->memory + offset * size, stride, n, size);
}

static void gc_store_run(const gc_run *run, int64_t position, int64_t offset, int64_t stride, int64_t n) {
    const int64_t size = run->instruction->access->size;
    gc_copy_run(run->memory + offset * size, stride, run->value + position * size, 1, n, size);
}

/* Whether a block of rows and columns of a flat program is evenly spaced both ways in the operand. */
static inline int gc_is_block(const gc_machine *m, const gc_access *x, int64_t *offset, int64_t *by_row, int64_t *by_column) {
    const int64_t rows = m->length[GC_OUTER], count = x->count[GC_INNER];
    if (x->guarded || rows == 1 || count == 0)
        return 0;
    const gc_axis *const last = &x->axes[GC_INNER][count - 1];
    const gc_span span = {x->axes[GC_INNER], count, m->start[GC_INNER] + m->start[GC_OUTER] * m->pitch, 1};
    gc_cursor cursor;
    gc_cursor_start(&cursor, &span);
    *offset = x->offset + cursor.offset;
    *by_column = last->stride;
    *by_row = last->stride * m->pitch;
    if (last->extent != m->pitch) /* rows go on along the last axis */
        return last->extent % m->pitch == 0 && cursor.at[count - 1] + (rows - 1) * m->pitch < last->extent;
    if (count < 2)
        return 0;
    *by_row = last[-1].stride;
    return cursor.at[count - 2] + rows <= last[-1].extent;
}

#define GC_COPY_BLOCK(A)                                                                                               \
    {                                                                                                                  \
        A *const d = (A *)to;                                                                                          \
        const A *const s = (const A *)from;                                                                            \
        for (int64_t c = 0; c < columns; c++)                                                                          \
            for (int64_t r = 0; r < rows; r++)                                                                         \
                d[c * to_column + r * to_row] = s[c * from_column + r * from_row];                                     \
    }                                                                                                                  \
    break

/* A block, column by column; strides in elements. */
GC_APART gc_copy_block(char *to, int64_t to_row, int64_t to_column, const char *from, int64_t from_row, int64_t from_column,
                       int64_t rows, int64_t columns, int64_t size) {
    switch (size) {
    case 1: GC_COPY_BLOCK(uint8_t);
    case 2: GC_COPY_BLOCK(gc_raw16);
    case 4: GC_COPY_BLOCK(gc_raw32);
    default: GC_COPY_BLOCK(gc_raw64);
    }
}

/* The first `done` bytes, over and over up to `total`. */
static inline void gc_replicate(char *value, int64_t done, int64_t total) {
    for (int64_t n; done < total; done += n) {
        n = total - done < done ? total - done : done;
        memcpy(value + done, value, (size_t)n);
    }
}

static inline gc_run gc_run_of(const gc_machine *m, const gc_instruction *x, int64_t value) {
    const int64_t operand = x->access->operand;
    char *const memory = operand >= 0 ? (char *)gc_program_operand(m->call, (int)operand) : NULL;
    return (gc_run){.machine = m, .instruction = x, .value = m->value[value], .memory = memory};
}

/* Copies the operand's elements; of what repeats, one period is copied from the operand and the rest from there. */
GC_APART gc_gather(const gc_machine *m, const gc_instruction *x) {
    const gc_access *access = x->access;
    const gc_run run = gc_run_of(m, x, x->target);
    const int64_t rows = m->length[GC_OUTER], columns = m->length[GC_INNER], size = access->size;
    const int64_t total = m->count[access->level] * size;
    int64_t offset, by_row, by_column;
    if (m->program->flat && gc_is_block(m, access, &offset, &by_row, &by_column) && by_row == 1) {
        gc_copy_block(run.value, columns, 1, run.memory + offset * size, 1, by_column, rows, columns, size);
        return;
    }
    if (m->program->flat) {
        const int repeats = access->period && rows == 1 && access->period < columns;
        gc_runs(&run, rows, repeats ? access->period : columns, gc_load_run);
        if (repeats)
            gc_replicate(run.value, access->period * size, total);
        return;
    }
    const int repeats = rows > 1 && !access->guarded &&
                        (access->count[GC_OUTER] == 0 || (access->count[GC_OUTER] == 1 && access->axes[GC_OUTER]->stride == 0));
    gc_runs(&run, repeats ? 1 : rows, columns, gc_load_run);
    if (repeats)
        gc_replicate(run.value, total / rows, total);
}

/* The value is the operand's memory where that is possible. */
GC_LOOP(load) {
    char *const place = gc_in_place(m, x->access);
    m->value[x->target] = place ? place : gc_home(m, x->target);
    if (!place)
        gc_gather(m, x);
}

/* Value a outside the guard, the operand inside. */
GC_LOOP(load_over) {
    const int64_t bytes = m->count[x->level] * x->access->size;
    if (m->value[x->target] != m->value[x->a])
        memcpy(m->value[x->target], m->value[x->a], (size_t)bytes);
    const gc_run run = gc_run_of(m, x, x->target);
    gc_runs(&run, m->length[GC_OUTER], m->length[GC_INNER], gc_load_run);
}

/* The value that is computed next goes right to where it is stored, if that is possible. */
GC_LOOP(bind) {
    char *const place = gc_in_place(m, x->access);
    m->value[x->a] = place ? place : gc_home(m, x->a);
}

/* `extra` says that a bind stands before: then a value away from its home is stored already. */
GC_LOOP(store) {
    if (x->extra && m->value[x->a] != gc_home(m, x->a))
        return;
    const gc_run run = gc_run_of(m, x, x->a);
    const int64_t rows = m->length[GC_OUTER], columns = m->length[GC_INNER], size = x->access->size;
    char *const place = gc_in_place(m, x->access);
    int64_t offset, by_row, by_column;
    if (place)
        memmove(place, run.value, (size_t)(m->count[x->access->level] * size));
    else if (m->program->flat && gc_is_block(m, x->access, &offset, &by_row, &by_column) && by_row == 1)
        gc_copy_block(run.memory + offset * size, 1, by_column, run.value, columns, 1, rows, columns, size);
    else
        gc_runs(&run, rows, columns, gc_store_run);
}

/* The index itself, as a number. */
#define GC_IOTA(T)                                                                                                     \
    static void gc_iota_run_##T(const gc_run *run, int64_t position, int64_t offset, int64_t stride, int64_t n) { \
        gc_##T *const d = (gc_##T *)run->value + position;                                                             \
        for (int64_t i = 0; i < n; i++)                                                                                \
            d[i] = (gc_##T)(offset + i * stride);                                                                      \
    }                                                                                                                  \
    GC_LOOP(iota_##T) {                                                                                                \
        const gc_run run = gc_run_of(m, x, x->target);                                                                 \
        if (x->access->level == GC_ONE)                                                                                \
            gc_iota_run_##T(&run, 0, x->access->offset, 0, 1);                                                         \
        else                                                                                                           \
            gc_runs(&run, m->length[GC_OUTER], m->length[GC_INNER], gc_iota_run_##T);                                  \
    }

GC_IOTA(u8)
GC_IOTA(i32)
GC_IOTA(u32)
GC_IOTA(i64)
GC_IOTA(f32)
GC_IOTA(f64)

static void gc_random_run(const gc_run *run, int64_t position, int64_t offset, int64_t stride, int64_t n) {
    uint32_t *const d = (uint32_t *)run->value + position;
    if (stride == 1)
        gc_random_fill(run->key, offset, n, d);
    else
        for (int64_t i = 0; i < n; i++)
            d[i] = gc_random_word(run->key, offset + i * stride);
}

/* `extra` is the stream; operand a holds seed and step. */
GC_LOOP(random) {
    gc_run run = gc_run_of(m, x, x->target);
    run.key = gc_random_key_of((const uint64_t *)gc_program_operand(m->call, (int)x->a), (uint32_t)x->extra);
    if (x->access->level == GC_ONE)
        gc_random_run(&run, 0, x->access->offset, 0, 1);
    else
        gc_runs(&run, m->length[GC_OUTER], m->length[GC_INNER], gc_random_run);
}

#endif
