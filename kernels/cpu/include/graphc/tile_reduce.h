/* The tile machine's reductions: start a state, step it over a tile, finish it into a row value.
 *
 * The order of the additions depends on the tile's shape alone, and is the same on every instruction set. Sums of float32 are
 * taken in float64. Sums of float64 run in 16 lanes within a tile, and the tiles' sums are added with the lost digits kept
 * (Neumaier 1974). max and min pass NaN on. A state has two planes of 8 bytes for each row element.
 */
#ifndef GRAPHC_TILE_REDUCE_H
#define GRAPHC_TILE_REDUCE_H

#include "tile_loops.h"

typedef double gc_f64x4 __attribute__((vector_size(32)));
typedef float gc_f32x4_any __attribute__((vector_size(16), aligned(4), may_alias));
typedef double gc_f64x4_any __attribute__((vector_size(32), aligned(8), may_alias));

/* Four elements from `p` on, in float64. */
#define GC_FOUR_f32(p) __builtin_convertvector(*(const gc_f32x4_any *)(p), gc_f64x4)
#define GC_FOUR_f64(p) (*(const gc_f64x4_any *)(p))

/* The sum of x[0 .. n): 16 lanes, then four, then one by one. */
#define GC_ROW_SUM(T)                                                                                                  \
    static inline double gc_row_sum_##T(const gc_##T *x, int64_t n) {                                                  \
        gc_f64x4 s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};                                                               \
        int64_t i = 0;                                                                                                 \
        for (; i + 16 <= n; i += 16) {                                                                                 \
            s0 += GC_FOUR_##T(x + i);                                                                                  \
            s1 += GC_FOUR_##T(x + i + 4);                                                                              \
            s2 += GC_FOUR_##T(x + i + 8);                                                                              \
            s3 += GC_FOUR_##T(x + i + 12);                                                                             \
        }                                                                                                              \
        for (; i + 4 <= n; i += 4)                                                                                     \
            s0 += GC_FOUR_##T(x + i);                                                                                  \
        double rest = 0.0;                                                                                             \
        for (; i < n; i++)                                                                                             \
            rest += x[i];                                                                                              \
        s0 = (s0 + s2) + (s1 + s3);                                                                                    \
        return ((s0[0] + s0[2]) + (s0[1] + s0[3])) + rest;                                                             \
    }
GC_ROW_SUM(f32)
GC_ROW_SUM(f64)

enum { GC_SHORT = 16 }; /* rows of fewer elements are taken four at a time, one in each lane */

/* Adds to sums[0 .. rows) the rows of `n` elements, each summed from its first to its last. */
GC_APART gc_short_sums(const float *x, int64_t rows, int64_t n, double *sums) {
    int64_t o = 0;
    for (; o + 4 <= rows; o += 4, x += 4 * n) {
        gc_f64x4 s = {0};
        for (int64_t i = 0; i < n; i++)
            s += (gc_f64x4){x[i], x[n + i], x[2 * n + i], x[3 * n + i]};
        *(gc_f64x4_any *)(sums + o) += s;
    }
    for (; o < rows; o++, x += n) {
        double s = 0.0;
        for (int64_t i = 0; i < n; i++)
            s += x[i];
        sums[o] += s;
    }
}

/* *sum + *lost += x */
static inline void gc_add_kept(double *sum, double *lost, double x) {
    const double total = *sum + x;
    *lost += fabs(*sum) >= fabs(x) ? (*sum - total) + x : (x - total) + *sum;
    *sum = total;
}

/* Adds to sums[0 .. 8) the sums of 8 columns of x, which are `width` apart from row to row; the sum of one column. */
#define GC_COLUMN_SUMS(T)                                                                                              \
    static inline void gc_eight_sums_##T(const gc_##T *x, int64_t rows, int64_t width, double *sums) {                 \
        gc_f64x4 s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};                                                               \
        for (int64_t r = 0; r + 2 <= rows; r += 2, x += 2 * width) {                                                   \
            s0 += GC_FOUR_##T(x);                                                                                      \
            s1 += GC_FOUR_##T(x + 4);                                                                                  \
            s2 += GC_FOUR_##T(x + width);                                                                              \
            s3 += GC_FOUR_##T(x + width + 4);                                                                          \
        }                                                                                                              \
        if (rows & 1) {                                                                                                \
            s0 += GC_FOUR_##T(x);                                                                                      \
            s1 += GC_FOUR_##T(x + 4);                                                                                  \
        }                                                                                                              \
        *(gc_f64x4_any *)sums += s0 + s2;                                                                              \
        *(gc_f64x4_any *)(sums + 4) += s1 + s3;                                                                        \
    }                                                                                                                  \
    static inline double gc_one_sum_##T(const gc_##T *x, int64_t rows, int64_t width) {                                \
        double even = 0.0, odd = 0.0;                                                                                  \
        for (int64_t r = 0; r + 2 <= rows; r += 2, x += 2 * width) {                                                   \
            even += x[0];                                                                                              \
            odd += x[width];                                                                                           \
        }                                                                                                              \
        return even + odd + (rows & 1 ? x[0] : 0.0);                                                                   \
    }
GC_COLUMN_SUMS(f32)
GC_COLUMN_SUMS(f64)

static inline void gc_column_sums_f32(const float *x, int64_t rows, int64_t width, double *sum) {
    int64_t c = 0;
    for (; c + 8 <= width; c += 8)
        gc_eight_sums_f32(x + c, rows, width, sum + c);
    for (; c < width; c++)
        sum[c] += gc_one_sum_f32(x + c, rows, width);
}

static inline void gc_column_sums_f64(const double *x, int64_t rows, int64_t width, double *sum, double *lost) {
    int64_t c = 0;
    for (; c + 8 <= width; c += 8) {
        double sums[8] = {0};
        gc_eight_sums_f64(x + c, rows, width, sums);
        for (int k = 0; k < 8; k++)
            gc_add_kept(&sum[c + k], &lost[c + k], sums[k]);
    }
    for (; c < width; c++)
        gc_add_kept(&sum[c], &lost[c], gc_one_sum_f64(x + c, rows, width));
}

#define GC_REDUCE_STEP(T)                                                                                              \
    const int64_t outer = m->length[GC_OUTER], reduce = m->length[GC_REDUCE], inner = m->length[GC_INNER];             \
    const int64_t block = reduce * inner;                                                                              \
    const gc_##T *v = (const gc_##T *)m->value[x->a];                                                                  \
    char *const state = m->value[x->target];

GC_LOOP(sum_step_f32) {
    GC_REDUCE_STEP(f32)
    double *const sum = (double *)state;
    if (inner == 1 && reduce < GC_SHORT) {
        gc_short_sums(v, outer, reduce, sum);
        return;
    }
    for (int64_t o = 0; o < outer; o++, v += block)
        if (inner == 1)
            sum[o] += gc_row_sum_f32(v, reduce);
        else
            gc_column_sums_f32(v, reduce, inner, sum + o * inner);
}

GC_LOOP(sum_step_f64) {
    GC_REDUCE_STEP(f64)
    double *const sum = (double *)state, *const lost = sum + m->program->capacity[GC_ROW];
    for (int64_t o = 0; o < outer; o++, v += block)
        if (inner == 1)
            gc_add_kept(&sum[o], &lost[o], gc_row_sum_f64(v, reduce));
        else
            gc_column_sums_f64(v, reduce, inner, sum + o * inner, lost + o * inner);
}

/* best = the better of best and other, NaN above all; vectors have no ?: in C. */
#define GC_BEST(V, M, beats, best, other)                                                                              \
    {                                                                                                                  \
        const V candidate = other;                                                                                     \
        const M takes = (candidate beats best) | (candidate != candidate);                                             \
        best = (V)(((M)candidate & takes) | ((M)best & ~takes));                                                       \
    }

/* The best of x[0 .. n); `beats` is > or <, `op` the scalar operation, `worst` what loses to everything. I is an integer of
 * T's size. */
#define GC_ROW_BEST(op, T, I, beats, worst)                                                                            \
    static inline gc_##T gc_row_##op##_##T(const gc_##T *x, int64_t n) {                                               \
        typedef gc_##T four __attribute__((vector_size(4 * sizeof(gc_##T))));                                          \
        typedef gc_##T any_four __attribute__((vector_size(4 * sizeof(gc_##T)), aligned(sizeof(gc_##T)), may_alias));  \
        typedef I mask __attribute__((vector_size(4 * sizeof(gc_##T))));                                               \
        four b0 = {worst, worst, worst, worst}, b1 = b0, b2 = b0, b3 = b0;                                             \
        gc_##T best = worst;                                                                                           \
        int64_t i = 0;                                                                                                 \
        for (; i + 16 <= n; i += 16) {                                                                                 \
            GC_BEST(four, mask, beats, b0, *(const any_four *)(x + i))                                                 \
            GC_BEST(four, mask, beats, b1, *(const any_four *)(x + i + 4))                                             \
            GC_BEST(four, mask, beats, b2, *(const any_four *)(x + i + 8))                                             \
            GC_BEST(four, mask, beats, b3, *(const any_four *)(x + i + 12))                                            \
        }                                                                                                              \
        for (; i + 4 <= n; i += 4)                                                                                     \
            GC_BEST(four, mask, beats, b0, *(const any_four *)(x + i))                                                 \
        for (; i < n; i++)                                                                                             \
            best = gc_op_##op##_##T(best, x[i]);                                                                       \
        GC_BEST(four, mask, beats, b0, b2)                                                                             \
        GC_BEST(four, mask, beats, b1, b3)                                                                             \
        GC_BEST(four, mask, beats, b0, b1)                                                                             \
        const gc_##T even = gc_op_##op##_##T(b0[0], b0[2]), odd = gc_op_##op##_##T(b0[1], b0[3]);                      \
        return gc_op_##op##_##T(best, gc_op_##op##_##T(even, odd));                                                    \
    }                                                                                                                  \
    /* the bests of as many rows of n elements as are a multiple of 4; how many that is */                             \
    static inline int64_t gc_short_##op##_##T(const gc_##T *x, int64_t rows, int64_t n, gc_##T *bests) {               \
        typedef gc_##T four __attribute__((vector_size(4 * sizeof(gc_##T))));                                          \
        typedef I mask __attribute__((vector_size(4 * sizeof(gc_##T))));                                               \
        int64_t o = 0;                                                                                                 \
        for (; o + 4 <= rows; o += 4, x += 4 * n) {                                                                    \
            four best = {bests[o], bests[o + 1], bests[o + 2], bests[o + 3]};                                          \
            for (int64_t i = 0; i < n; i++)                                                                            \
                GC_BEST(four, mask, beats, best, ((four){x[i], x[n + i], x[2 * n + i], x[3 * n + i]}))                 \
            memcpy(bests + o, &best, sizeof best);                                                                     \
        }                                                                                                              \
        return o;                                                                                                      \
    }
GC_ROW_BEST(maximum, f32, int32_t, >, -INFINITY)
GC_ROW_BEST(minimum, f32, int32_t, <, INFINITY)
GC_ROW_BEST(maximum, f64, int64_t, >, -INFINITY)
GC_ROW_BEST(minimum, f64, int64_t, <, INFINITY)

/* For integers the order of the steps does not matter, and compilers vectorise the plain loop. */
#define GC_ROW_PLAIN(op, T, first)                                                                                     \
    static inline gc_##T gc_row_##op##_##T(const gc_##T *x, int64_t n) {                                               \
        gc_##T best = first;                                                                                           \
        for (int64_t i = 0; i < n; i++)                                                                                \
            best = gc_op_##op##_##T(best, x[i]);                                                                       \
        return best;                                                                                                   \
    }                                                                                                                  \
    static inline int64_t gc_short_##op##_##T(const gc_##T *x, int64_t rows, int64_t n, gc_##T *bests) {               \
        (void)x, (void)rows, (void)n, (void)bests;                                                                     \
        return 0;                                                                                                      \
    }
#define GC_ROW_PLAIN_OPS(T, lowest, highest)                                                                           \
    GC_ROW_PLAIN(add, T, 0) GC_ROW_PLAIN(maximum, T, lowest) GC_ROW_PLAIN(minimum, T, highest)
GC_ROW_PLAIN_OPS(i32, INT32_MIN, INT32_MAX)
GC_ROW_PLAIN_OPS(i64, INT64_MIN, INT64_MAX)
GC_ROW_PLAIN_OPS(u32, 0, UINT32_MAX)
GC_ROW_PLAIN_OPS(u8, 0, UINT8_MAX)

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
                for (int64_t r = 0; r < reduce; r++)                                                                   \
                    gc_pairs_##op##_##T(best, best, v + r * inner, inner);                                             \
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
        d[i] = fabs(sum[i]) < INFINITY ? sum[i] + lost[i] : sum[i]; /* of an infinite sum `lost` is NaN */
}

#endif
