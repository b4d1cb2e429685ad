/* The tile machine's reductions: start a state, step it over a tile, finish it into a row value.
 *
 * The order of the additions depends on the tile's shape alone, and is the same on every instruction set. Sums of float32
 * are taken in float64; of float64, tiles' sums are added with the lost digits kept. rows.h reduces rows and columns;
 * here are rows too short for it. max and min pass NaN on. A state has two planes of 8 bytes for each row element.
 */
#ifndef GRAPHC_TILE_REDUCE_H
#define GRAPHC_TILE_REDUCE_H

#include "rows.h"
#include "tile_loops.h"

typedef double gc_f64x4 __attribute__((vector_size(32)));
typedef double gc_f64x4_any __attribute__((vector_size(32), aligned(8), may_alias));

enum { GC_SHORT = 16 }; /* rows of fewer elements are taken four at a time, one in each lane */

/* The sums of four rows of `n` elements, or of one where there are fewer, each from its first to its last; how many. */
#define GC_SHORT_SUMS(T)                                                                                               \
    static inline int64_t gc_short_sums_##T(const gc_##T *x, int64_t rows, int64_t n, double *sums) {                  \
        if (rows >= 4) {                                                                                               \
            gc_f64x4 s = {0};                                                                                          \
            for (int64_t i = 0; i < n; i++)                                                                            \
                s += (gc_f64x4){x[i], x[n + i], x[2 * n + i], x[3 * n + i]};                                           \
            *(gc_f64x4_any *)sums = s;                                                                                 \
            return 4;                                                                                                  \
        }                                                                                                              \
        sums[0] = 0.0;                                                                                                 \
        for (int64_t i = 0; i < n; i++)                                                                                \
            sums[0] += x[i];                                                                                           \
        return 1;                                                                                                      \
    }
GC_SHORT_SUMS(f32)
GC_SHORT_SUMS(f64)

#define GC_REDUCE_STEP(T)                                                                                              \
    const int64_t outer = m->length[GC_OUTER], reduce = m->length[GC_REDUCE], inner = m->length[GC_INNER];             \
    const int64_t block = reduce * inner;                                                                              \
    const gc_##T *v = (const gc_##T *)m->value[x->a];                                                                  \
    char *const state = m->value[x->target];

GC_LOOP(sum_step_f32) {
    GC_REDUCE_STEP(f32)
    double *const sum = (double *)state;
    if (inner == 1 && reduce < GC_SHORT) {
        double sums[4];
        for (int64_t o = 0, taken; o < outer; o += taken, v += taken * reduce) {
            taken = gc_short_sums_f32(v, outer - o, reduce, sums);
            for (int64_t k = 0; k < taken; k++)
                sum[o + k] += sums[k];
        }
        return;
    }
    for (int64_t o = 0; o < outer; o++, v += block)
        if (inner == 1)
            sum[o] += gc_row_sum_f32(v, reduce);
        else
            gc_column_sums_f32(v, reduce, inner, inner, sum + o * inner);
}

GC_LOOP(sum_step_f64) {
    GC_REDUCE_STEP(f64)
    double *const sum = (double *)state, *const lost = sum + m->program->capacity[GC_ROW];
    if (inner == 1 && reduce < GC_SHORT) {
        double sums[4];
        for (int64_t o = 0, taken; o < outer; o += taken, v += taken * reduce) {
            taken = gc_short_sums_f64(v, outer - o, reduce, sums);
            for (int64_t k = 0; k < taken; k++)
                gc_add_kept(&sum[o + k], &lost[o + k], sums[k]);
        }
        return;
    }
    for (int64_t o = 0; o < outer; o++, v += block)
        if (inner == 1)
            gc_add_kept(&sum[o], &lost[o], gc_row_sum_f64(v, reduce));
        else
            gc_column_sums_f64(v, reduce, inner, inner, sum + o * inner, lost + o * inner);
}

/* best = the larger or the smaller of best and other, as gc_op_maximum and gc_op_minimum have them; vectors have no ?: in C. */
#define GC_BEST_maximum(V, M, best, other)                                                                             \
    {                                                                                                                  \
        const V candidate = other;                                                                                     \
        best = (V)(((M)candidate | ~(candidate >= best)) & ((M)best | ~(best >= candidate)));                          \
    }
#define GC_BEST_minimum(V, M, best, other)                                                                             \
    {                                                                                                                  \
        const V candidate = other;                                                                                     \
        best = (V)(((M)candidate & ~(best < candidate)) | ((M)best & ~(candidate < best)));                            \
    }

/* I is an integer of T's size. */
#define GC_SHORT_BEST(op, T, I)                                                                                        \
    /* the bests of as many rows of n elements as are a multiple of 4; how many that is */                             \
    static inline int64_t gc_short_##op##_##T(const gc_##T *x, int64_t rows, int64_t n, gc_##T *bests) {               \
        typedef gc_##T four __attribute__((vector_size(4 * sizeof(gc_##T))));                                          \
        typedef I mask __attribute__((vector_size(4 * sizeof(gc_##T))));                                               \
        int64_t o = 0;                                                                                                 \
        for (; o + 4 <= rows; o += 4, x += 4 * n) {                                                                    \
            four best = {bests[o], bests[o + 1], bests[o + 2], bests[o + 3]};                                          \
            for (int64_t i = 0; i < n; i++)                                                                            \
                GC_BEST_##op(four, mask, best, ((four){x[i], x[n + i], x[2 * n + i], x[3 * n + i]}))                 \
            memcpy(bests + o, &best, sizeof best);                                                                     \
        }                                                                                                              \
        return o;                                                                                                      \
    }
GC_SHORT_BEST(maximum, f32, int32_t)
GC_SHORT_BEST(minimum, f32, int32_t)
GC_SHORT_BEST(maximum, f64, int64_t)
GC_SHORT_BEST(minimum, f64, int64_t)

/* Integers are taken row by row. */
#define GC_NO_SHORT(op, T)                                                                                             \
    static inline int64_t gc_short_##op##_##T(const gc_##T *x, int64_t rows, int64_t n, gc_##T *bests) {               \
        (void)x, (void)rows, (void)n, (void)bests;                                                                     \
        return 0;                                                                                                      \
    }
#define GC_NO_SHORTS(T) GC_NO_SHORT(add, T) GC_NO_SHORT(maximum, T) GC_NO_SHORT(minimum, T)
GC_NO_SHORTS(i32)
GC_NO_SHORTS(i64)
GC_NO_SHORTS(u32)
GC_NO_SHORTS(u8)

/* The state is one plane of the type itself. */
#define GC_STEP(name, op, T)                                                                                           \
    GC_LOOP(name##_step_##T) {                                                                                         \
        GC_REDUCE_STEP(T)                                                                                              \
        gc_##T *best = (gc_##T *)state;                                                                                \
        const int64_t first = inner == 1 && reduce < GC_SHORT ? gc_short_##op##_##T(v, outer, reduce, best) : 0;       \
        v += first * block, best += first * inner;                                                                     \
        for (int64_t o = first; o < outer; o++, v += block, best += inner)                                             \
            if (inner == 1)                                                                                            \
                *best = gc_op_##op##_##T(*best, gc_row_##op##_##T(v, reduce));                                         \
            else                                                                                                       \
                gc_columns_##op##_##T(v, reduce, inner, inner, best);                                                  \
    }

#define GC_START(name, T, P, first)                                                                                    \
    GC_LOOP(name##_start_##T) {                                                                                        \
        P *const plane = (P *)m->value[x->target];                                                                     \
        for (int64_t i = 0; i < m->count[GC_ROW]; i++)                                                                 \
            plane[i] = first;                                                                                          \
    }

#define GC_FINISH(T, P, expression)                                                                                    \
    GC_LOOP(finish_##T) {                                                                                              \
        gc_##T *const d = (gc_##T *)m->value[x->target];                                                               \
        const P *const plane = (const P *)m->value[x->a];                                                              \
        for (int64_t i = 0; i < m->count[GC_ROW]; i++)                                                                 \
            d[i] = (gc_##T)(expression);                                                                               \
    }

#define GC_REDUCING(T, lowest, highest)                                                                                \
    GC_STEP(max, maximum, T) GC_STEP(min, minimum, T) GC_START(max, T, gc_##T, lowest) GC_START(min, T, gc_##T, highest)

GC_REDUCING(f32, -INFINITY, INFINITY)
GC_REDUCING(f64, -INFINITY, INFINITY)
GC_REDUCING(i32, INT32_MIN, INT32_MAX)
GC_REDUCING(i64, INT64_MIN, INT64_MAX)
GC_REDUCING(u32, 0, UINT32_MAX)
GC_REDUCING(u8, 0, UINT8_MAX)
GC_STEP(sum, add, i32)
GC_STEP(sum, add, i64)
GC_STEP(sum, add, u32)
GC_STEP(sum, add, u8)
GC_START(sum, i32, gc_i32, 0)
GC_START(sum, i64, gc_i64, 0)
GC_START(sum, u32, gc_u32, 0)
GC_START(sum, u8, gc_u8, 0)
GC_START(sum, f32, double, 0.0)
GC_FINISH(i32, gc_i32, plane[i])
GC_FINISH(i64, gc_i64, plane[i])
GC_FINISH(u32, gc_u32, plane[i])
GC_FINISH(u8, gc_u8, plane[i])
GC_FINISH(f32, gc_f32, plane[i])
GC_FINISH(f64, gc_f64, plane[i])

GC_LOOP(sum_start_f64) {
    double *const sum = (double *)m->value[x->target];
    for (int64_t i = 0; i < m->count[GC_ROW]; i++)
        sum[i] = sum[m->program->capacity[GC_ROW] + i] = 0.0;
}

GC_LOOP(sum_finish_f32) {
    float *const d = (float *)m->value[x->target];
    const double *const sum = (const double *)m->value[x->a];
    for (int64_t i = 0; i < m->count[GC_ROW]; i++)
        d[i] = (float)sum[i];
}

GC_LOOP(sum_finish_f64) {
    double *const d = (double *)m->value[x->target];
    const double *const sum = (const double *)m->value[x->a], *const lost = sum + m->program->capacity[GC_ROW];
    for (int64_t i = 0; i < m->count[GC_ROW]; i++)
        d[i] = gc_kept_sum(sum[i], lost[i]);
}

#endif
