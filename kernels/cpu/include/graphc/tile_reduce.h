/* The tile machine's reductions: start a state, step it over a tile, finish it into a row value.
 *
 * The order of the additions depends on the tile's shape alone. Sums of float32 are taken in float64. Sums of float64 run in
 * 32 lanes within a tile, and the tiles' sums are added with the lost digits kept (Neumaier 1974). max and min pass NaN on.
 * Lanes are 64 bytes on every instruction set, so that the order is the same on all. A state has two planes of 8 bytes for
 * each row element.
 */
#ifndef GRAPHC_TILE_REDUCE_H
#define GRAPHC_TILE_REDUCE_H

#include "tile_loops.h"

typedef float gc_f32x16 __attribute__((vector_size(64)));
typedef float gc_f32x8 __attribute__((vector_size(32)));
typedef float gc_f32x8_any __attribute__((vector_size(32), aligned(4), may_alias));
typedef double gc_f64x8 __attribute__((vector_size(64)));
typedef int32_t gc_mask_f32 __attribute__((vector_size(64)));
typedef int64_t gc_mask_f64 __attribute__((vector_size(64)));
typedef float gc_any_f32 __attribute__((vector_size(64), aligned(4), may_alias));
typedef double gc_any_f64 __attribute__((vector_size(64), aligned(8), may_alias));

#define GC_LANES_UP_8 {0, 1, 2, 3, 4, 5, 6, 7}
#define GC_LANES_UP_16 {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
#define GC_CHOOSE(V, M, mask, a, b) ((V)(((M)(a) & (mask)) | ((M)(b) & ~(mask))))

/* The sum of eight lanes, in pairs. */
static inline double gc_fold_sum(const gc_f64x8 *v) {
    const gc_f64x8 a = *v;
    return ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]));
}

/* The sum of x[0 .. n), in lanes of eight; `room` elements may be read. */
static inline double gc_row_sum_f32(const float *x, int64_t n, int64_t room) {
    gc_f64x8 s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
    int64_t i = 0;
    for (; i + 32 <= n; i += 32) {
        s0 += __builtin_convertvector(*(const gc_f32x8_any *)(x + i), gc_f64x8);
        s1 += __builtin_convertvector(*(const gc_f32x8_any *)(x + i + 8), gc_f64x8);
        s2 += __builtin_convertvector(*(const gc_f32x8_any *)(x + i + 16), gc_f64x8);
        s3 += __builtin_convertvector(*(const gc_f32x8_any *)(x + i + 24), gc_f64x8);
    }
    for (; i + 8 <= n; i += 8)
        s0 += __builtin_convertvector(*(const gc_f32x8_any *)(x + i), gc_f64x8);
    if (i < n) {
        typedef int32_t mask __attribute__((vector_size(32)));
        const int32_t left = (int32_t)(n - i);
        gc_f32x8 rest = {0};
        if (i + 8 <= room) {
            const mask inside = (mask)GC_LANES_UP_8 < left;
            rest = (gc_f32x8)((mask)*(const gc_f32x8_any *)(x + i) & inside);
        } else
            memcpy(&rest, x + i, (size_t)left * sizeof *x);
        s1 += __builtin_convertvector(rest, gc_f64x8);
    }
    s0 = (s0 + s2) + (s1 + s3);
    return gc_fold_sum(&s0);
}

static inline double gc_row_sum_f64(const double *x, int64_t n, int64_t room) {
    gc_f64x8 s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
    int64_t i = 0;
    for (; i + 32 <= n; i += 32) {
        s0 += *(const gc_any_f64 *)(x + i);
        s1 += *(const gc_any_f64 *)(x + i + 8);
        s2 += *(const gc_any_f64 *)(x + i + 16);
        s3 += *(const gc_any_f64 *)(x + i + 24);
    }
    for (; i + 8 <= n; i += 8)
        s0 += *(const gc_any_f64 *)(x + i);
    if (i < n) {
        gc_f64x8 rest = {0};
        if (i + 8 <= room)
            rest = (gc_f64x8)((gc_mask_f64)*(const gc_any_f64 *)(x + i) & ((gc_mask_f64)GC_LANES_UP_8 < n - i));
        else
            memcpy(&rest, x + i, (size_t)(n - i) * sizeof *x);
        s1 += rest;
    }
    s0 = (s0 + s2) + (s1 + s3);
    return gc_fold_sum(&s0);
}

/* *sum + *lost += x */
static inline void gc_add_kept(double *sum, double *lost, double x) {
    const double total = *sum + x;
    *lost += fabs(*sum) >= fabs(x) ? (*sum - total) + x : (x - total) + *sum;
    *sum = total;
}

/* The columns' sums over `rows` rows of x, `width` apart, for 8 columns of which `columns` count; into plane 0 (and 1). */
static inline void gc_column_sums_f32(const float *x, int64_t rows, int64_t width, int64_t columns, int64_t room, double *sum) {
    gc_f64x8 s0 = {0}, s1 = {0};
    int64_t r = 0;
    for (; r + 2 <= rows && (r + 1) * width + 8 <= room; r += 2) {
        s0 += __builtin_convertvector(*(const gc_f32x8_any *)(x + r * width), gc_f64x8);
        s1 += __builtin_convertvector(*(const gc_f32x8_any *)(x + (r + 1) * width), gc_f64x8);
    }
    for (; r < rows; r++) {
        gc_f32x8 rest = {0};
        memcpy(&rest, x + r * width, (size_t)columns * sizeof *x);
        s0 += __builtin_convertvector(rest, gc_f64x8);
    }
    s0 += s1;
    for (int64_t c = 0; c < columns; c++)
        sum[c] += s0[c];
}

static inline void gc_column_sums_f64(const double *x, int64_t rows, int64_t width, int64_t columns, int64_t room, double *sum,
                                      double *lost) {
    gc_f64x8 s0 = {0}, s1 = {0};
    int64_t r = 0;
    for (; r + 2 <= rows && (r + 1) * width + 8 <= room; r += 2) {
        s0 += *(const gc_any_f64 *)(x + r * width);
        s1 += *(const gc_any_f64 *)(x + (r + 1) * width);
    }
    for (; r < rows; r++) {
        gc_f64x8 rest = {0};
        memcpy(&rest, x + r * width, (size_t)columns * sizeof *x);
        s0 += rest;
    }
    s0 += s1;
    for (int64_t c = 0; c < columns; c++)
        gc_add_kept(&sum[c], &lost[c], s0[c]);
}

#define GC_REDUCE_STEP(T)                                                                                              \
    const int64_t outer = m->length[GC_OUTER], reduce = m->length[GC_REDUCE], inner = m->length[GC_INNER];             \
    const int64_t block = reduce * inner, total = outer * block;                                                       \
    const gc_##T *v = (const gc_##T *)m->value[x->a];                                                                  \
    char *const state = m->value[x->target];

GC_LOOP(sum_step_f32) {
    GC_REDUCE_STEP(f32)
    double *const sum = (double *)state;
    if (inner == 1)
        for (int64_t o = 0; o < outer; o++)
            sum[o] += gc_row_sum_f32(v + o * reduce, reduce, total - o * reduce);
    else
        for (int64_t o = 0; o < outer; o++)
            for (int64_t c = 0; c < inner; c += 8)
                gc_column_sums_f32(v + o * block + c, reduce, inner, inner - c < 8 ? inner - c : 8, total - o * block - c,
                                   sum + o * inner + c);
}

GC_LOOP(sum_step_f64) {
    GC_REDUCE_STEP(f64)
    double *const sum = (double *)state, *const lost = sum + m->program->capacity[GC_ROW];
    if (inner == 1)
        for (int64_t o = 0; o < outer; o++)
            gc_add_kept(&sum[o], &lost[o], gc_row_sum_f64(v + o * reduce, reduce, total - o * reduce));
    else
        for (int64_t o = 0; o < outer; o++)
            for (int64_t c = 0; c < inner; c += 8)
                gc_column_sums_f64(v + o * block + c, reduce, inner, inner - c < 8 ? inner - c : 8, total - o * block - c,
                                   sum + o * inner + c, lost + o * inner + c);
}

/* The best of x[0 .. n); `beats` is > or <, `op` the scalar operation, `worst` what loses to everything. */
#define GC_ROW_BEST(op, T, LANES, beats, worst)                                                                        \
    static inline gc_##T gc_row_##op##_##T(const gc_##T *x, int64_t n, int64_t room) {                                 \
        typedef gc_##T lanes __attribute__((vector_size(64)));                                                         \
        const gc_mask_##T up = GC_LANES_UP_##LANES;                                                                    \
        const lanes none = (lanes){0} + (gc_##T)(worst);                                                               \
        lanes b0 = none, b1 = none, b2 = none, b3 = none;                                                              \
        int64_t i = 0;                                                                                                 \
        for (; i + 4 * LANES <= n; i += 4 * LANES) {                                                                   \
            GC_BEST(T, beats, b0, *(const gc_any_##T *)(x + i))                                                        \
            GC_BEST(T, beats, b1, *(const gc_any_##T *)(x + i + LANES))                                                \
            GC_BEST(T, beats, b2, *(const gc_any_##T *)(x + i + 2 * LANES))                                            \
            GC_BEST(T, beats, b3, *(const gc_any_##T *)(x + i + 3 * LANES))                                            \
        }                                                                                                              \
        for (; i + LANES <= n; i += LANES)                                                                             \
            GC_BEST(T, beats, b0, *(const gc_any_##T *)(x + i))                                                        \
        if (i < n) {                                                                                                   \
            lanes rest = none;                                                                                         \
            if (i + LANES <= room) {                                                                                   \
                const gc_mask_##T inside = up < (gc_mask_##T){0} + (__typeof__(up[0]))(n - i);                                          \
                rest = GC_CHOOSE(lanes, gc_mask_##T, inside, *(const gc_any_##T *)(x + i), none);                      \
            } else                                                                                                     \
                memcpy(&rest, x + i, (size_t)(n - i) * sizeof *x);                                                     \
            GC_BEST(T, beats, b1, rest)                                                                                \
        }                                                                                                              \
        GC_BEST(T, beats, b0, b2)                                                                                      \
        GC_BEST(T, beats, b1, b3)                                                                                      \
        GC_BEST(T, beats, b0, b1)                                                                                      \
        gc_##T lane[LANES];                                                                                            \
        memcpy(lane, &b0, sizeof lane);                                                                                \
        for (int half = LANES / 2; half; half /= 2)                                                                    \
            for (int l = 0; l < half; l++)                                                                             \
                lane[l] = gc_op_##op##_##T(lane[l], lane[l + half]);                                                   \
        return lane[0];                                                                                                \
    }
#define GC_BEST(T, beats, best, other)                                                                                 \
    {                                                                                                                  \
        const lanes candidate = other;                                                                                 \
        const gc_mask_##T takes = (candidate beats best) | (candidate != candidate);                                   \
        best = GC_CHOOSE(lanes, gc_mask_##T, takes, candidate, best);                                                  \
    }
GC_ROW_BEST(maximum, f32, 16, >, -INFINITY)
GC_ROW_BEST(minimum, f32, 16, <, INFINITY)
GC_ROW_BEST(maximum, f64, 8, >, -INFINITY)
GC_ROW_BEST(minimum, f64, 8, <, INFINITY)
#undef GC_BEST

/* For integers the order of the steps does not matter, and compilers vectorise the plain loop. */
#define GC_ROW_PLAIN(op, T, first)                                                                                     \
    static inline gc_##T gc_row_##op##_##T(const gc_##T *x, int64_t n, int64_t room) {                                 \
        gc_##T best = first;                                                                                           \
        (void)room;                                                                                                    \
        for (int64_t i = 0; i < n; i++)                                                                                \
            best = gc_op_##op##_##T(best, x[i]);                                                                       \
        return best;                                                                                                   \
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
        for (int64_t o = 0; o < outer; o++, best += inner)                                                             \
            if (inner == 1)                                                                                            \
                *best = gc_op_##op##_##T(*best, gc_row_##op##_##T(v + o * reduce, reduce, total - o * reduce));        \
            else                                                                                                       \
                for (int64_t r = 0; r < reduce; r++)                                                                   \
                    gc_pairs_##op##_##T(best, best, v + o * block + r * inner, inner);                                 \
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
