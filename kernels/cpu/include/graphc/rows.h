/* Reductions over rows and columns in memory: of x[0 .. n), and of n columns of rows that are `pitch` elements apart.
 *
 * The order of the additions depends on the numbers of rows and columns alone, and is the same on every instruction set. Sums of
 * float32 are taken in float64. Long sums of float64 keep the digits that are lost between blocks (Neumaier 1974). max and
 * min pass NaN on.
 */
#ifndef GRAPHC_ROWS_H
#define GRAPHC_ROWS_H

#include <string.h>

#include "printed.h"
#include "scalar.h"
#include "simd.h"

enum { GC_SUM_LANES = 32, GC_SUM_BLOCK = 1024, GC_BEST_LANES = 64 };

/* *sum + *lost += x */
GC_ALWAYS_INLINE void gc_add_kept(double *sum, double *lost, double x) {
    const double total = *sum + x;
    *lost += fabs(*sum) >= fabs(x) ? (*sum - total) + x : (x - total) + *sum;
    *sum = total;
}

/* Of an infinite sum `lost` is NaN. */
GC_ALWAYS_INLINE double gc_kept_sum(double sum, double lost) { return fabs(sum) < INFINITY ? sum + lost : sum; }

/* A vector's worth of elements from `p` on, in float64. */
typedef float gc_half_vector __attribute__((vector_size(GC_VECTOR_BYTES / 2), aligned(4), may_alias));
#if defined(__clang__) || !defined(__AVX__)
#define GC_WIDEN_f32(p) __builtin_convertvector(*(const gc_half_vector *)(p), gc_f64v)
#elif defined(__AVX512F__) /* GCC converts by halves otherwise, and puts them together */
#define GC_WIDEN_f32(p) __builtin_ia32_cvtps2pd512_mask(*(const gc_half_vector *)(p), (gc_f64v){0}, (unsigned char)-1, 4)
#else
#define GC_WIDEN_f32(p) __builtin_ia32_cvtps2pd256(*(const gc_half_vector *)(p))
#endif
#define GC_WIDEN_f64(p) (*(const gc_f64u *)(p))

/* vectors[k] joins vectors[k + half] for every half; then the lanes of the first likewise. */
#define GC_HALVES(JOIN, VECTORS)                                                                                       \
    _Pragma("GCC unroll 8") for (int half = (VECTORS) / 2; half; half /= 2)                                            \
        _Pragma("GCC unroll 16") for (int k = 0; k < half; k++)                                                        \
            JOIN

/* Sums in 32 lanes, element i in lane i % 32, added by halves in the end. A row may be taken in by pieces, of which all but the
 * last are multiples of 32 long. */
#define GC_SUMS(T, C)                                                                                                  \
    typedef struct {                                                                                                   \
        gc_f64v lanes[GC_SUM_LANES / GC_F64_LANES];                                                                    \
    } gc_sums_##T;                                                                                                     \
    GC_ALWAYS_INLINE void gc_sums_take_##T(gc_sums_##T *sums, const C *x, int64_t n) {                                 \
        enum { VECTORS = GC_SUM_LANES / GC_F64_LANES };                                                                \
        const int64_t rest = n % GC_SUM_LANES, whole = n - rest;                                                       \
        for (int64_t i = 0; i < whole; i += GC_SUM_LANES)                                                              \
            _Pragma("GCC unroll 16") for (int k = 0; k < VECTORS; k++)                                                 \
                sums->lanes[k] += GC_WIDEN_##T(x + i + k * GC_F64_LANES);                                              \
        if (rest) {                                                                                                    \
            C tail[GC_SUM_LANES] = {0};                                                                                \
            memcpy(tail, x + whole, (size_t)rest * sizeof *x);                                                         \
            _Pragma("GCC unroll 16") for (int k = 0; k < VECTORS; k++)                                                 \
                sums->lanes[k] += GC_WIDEN_##T(tail + k * GC_F64_LANES);                                               \
        }                                                                                                              \
    }                                                                                                                  \
    GC_ALWAYS_INLINE double gc_sums_taken_##T(gc_sums_##T *sums) {                                                     \
        double lanes[GC_F64_LANES];                                                                                    \
        GC_HALVES(sums->lanes[k] += sums->lanes[k + half];, GC_SUM_LANES / GC_F64_LANES)                               \
        gc_store_f64(lanes, sums->lanes[0]);                                                                           \
        GC_HALVES(lanes[k] += lanes[k + half];, GC_F64_LANES)                                                          \
        return lanes[0];                                                                                               \
    }                                                                                                                  \
    GC_ALWAYS_INLINE gc_sums_##T gc_sums_none_##T(void) { return (gc_sums_##T){{{0}}}; }                               \
    GC_ALWAYS_INLINE double gc_block_sum_##T(const C *x, int64_t n) {                                                  \
        gc_sums_##T sums = gc_sums_none_##T();                                                                         \
        gc_sums_take_##T(&sums, x, n);                                                                                 \
        return gc_sums_taken_##T(&sums);                                                                               \
    }
GC_SUMS(f32, float)
GC_SUMS(f64, double)

GC_SHARED double gc_row_sum_f32(const float *x, int64_t n) { return gc_block_sum_f32(x, n); }

GC_SHARED double gc_row_sum_f64(const double *x, int64_t n) {
    enum { BLOCK = GC_SUM_BLOCK };
    if (n <= BLOCK)
        return gc_block_sum_f64(x, n);
    double sum = 0.0, lost = 0.0;
    for (int64_t i = 0; i < n; i += BLOCK)
        gc_add_kept(&sum, &lost, gc_block_sum_f64(x + i, gc_smaller(BLOCK, n - i)));
    return gc_kept_sum(sum, lost);
}

/* The best of all in 64 lanes or fewer, as gc_op_maximum and gc_op_minimum have it. `worst` is what loses to everything, V a
 * vector of C and M one of the integers I as large.
 *
 * The processor's comparison of vectors passes over NaN and does not tell zeros apart, so these are followed beside it, for less than
 * the bits of each number take: where the largest is a zero, nothing is positive, so it is -0.0 if every number has the sign,
 * and where the smallest is one, it is -0.0 if any has; that is what `signs` JOINs. */
#define GC_BESTS(op, better, beats, T, C, V, I, M, JOIN, worst)                                                        \
    enum { GC_##op##_LANES_##T = GC_VECTOR_BYTES / (int)sizeof(C) };                                                   \
    enum { GC_##op##_VECTORS_##T = 8 * GC_##op##_LANES_##T > GC_BEST_LANES ? GC_BEST_LANES / GC_##op##_LANES_##T : 8 };  \
    typedef struct {                                                                                                   \
        V lanes[GC_##op##_VECTORS_##T];                                                                                \
        M signs;                                                                                                       \
        gc_nans_##T nans;                                                                                              \
    } gc_##op##s_##T;                                                                                                  \
    GC_ALWAYS_INLINE gc_##op##s_##T gc_##op##s_none_##T(void) {                                                        \
        gc_##op##s_##T best;                                                                                           \
        _Pragma("GCC unroll 16") for (int k = 0; k < GC_##op##_VECTORS_##T; k++)                                       \
            best.lanes[k] = gc_splat_##T(worst);                                                                       \
        best.signs = (M)best.lanes[0];                                                                                 \
        best.nans = (gc_nans_##T){0};                                                                                  \
        return best;                                                                                                   \
    }                                                                                                                  \
    GC_ALWAYS_INLINE void gc_##op##s_step_##T(gc_##op##s_##T *best, const C *x) {                                      \
        enum { LANES = GC_##op##_LANES_##T, VECTORS = GC_##op##_VECTORS_##T };                                         \
        V terms[VECTORS];                                                                                              \
        _Pragma("GCC unroll 16") for (int k = 0; k < VECTORS; k++) {                                                   \
            terms[k] = gc_load_##T(x + k * LANES);                                                                     \
            best->lanes[k] = gc_##better##_##T(terms[k], best->lanes[k]);                                              \
            best->signs JOIN (M)terms[k];                                                                              \
        }                                                                                                              \
        _Pragma("GCC unroll 16") for (int k = 0; k < VECTORS; k += 2)                                                  \
            best->nans |= gc_nans_of_##T(terms[k], terms[k + 1]);                                                      \
    }                                                                                                                  \
    GC_ALWAYS_INLINE void gc_##op##s_take_##T(gc_##op##s_##T *best, const C *x, int64_t n) {                           \
        enum { STEP = GC_##op##_LANES_##T * GC_##op##_VECTORS_##T };                                                   \
        const int64_t rest = n % STEP, whole = n - rest;                                                               \
        for (int64_t i = 0; i < whole; i += STEP)                                                                      \
            gc_##op##s_step_##T(best, x + i);                                                                          \
        if (rest) {                                                                                                    \
            C tail[STEP];                                                                                              \
            for (int k = 0; k < STEP; k++)                                                                             \
                tail[k] = worst;                                                                                       \
            memcpy(tail, x + whole, (size_t)rest * sizeof *x);                                                         \
            gc_##op##s_step_##T(best, tail);                                                                           \
        }                                                                                                              \
    }                                                                                                                  \
    GC_ALWAYS_INLINE C gc_##op##s_taken_##T(gc_##op##s_##T *best) {                                                    \
        enum { LANES = GC_##op##_LANES_##T };                                                                          \
        C lanes[LANES];                                                                                                \
        I signs[LANES];                                                                                                \
        GC_HALVES(best->lanes[k] = gc_##better##_##T(best->lanes[k], best->lanes[k + half]);, GC_##op##_VECTORS_##T)     \
        gc_store_##T(lanes, best->lanes[0]);                                                                           \
        memcpy(signs, &best->signs, sizeof signs);                                                                     \
        GC_HALVES({                                                                                                    \
            lanes[k] = lanes[k] beats lanes[k + half] ? lanes[k] : lanes[k + half];                                    \
            signs[k] JOIN signs[k + half];                                                                             \
        }, LANES)                                                                                                      \
        static const gc_nans_##T none = {0};                                                                               \
        if (memcmp(&best->nans, &none, sizeof none))                                                                   \
            return (C)NAN;                                                                                             \
        return lanes[0] != 0 ? lanes[0] : signs[0] < 0 ? -(C)0 : (C)0;                                                 \
    }                                                                                                                  \
    GC_SHARED C gc_row_##op##_##T(const C *x, int64_t n) {                                                             \
        gc_##op##s_##T best = gc_##op##s_none_##T();                                                                   \
        gc_##op##s_take_##T(&best, x, n);                                                                              \
        return gc_##op##s_taken_##T(&best);                                                                            \
    }
GC_BESTS(maximum, larger, >, f32, float, gc_f32v, int32_t, gc_i32v, &=, -INFINITY)
GC_BESTS(minimum, smaller, <, f32, float, gc_f32v, int32_t, gc_i32v, |=, INFINITY)
GC_BESTS(maximum, larger, >, f64, double, gc_f64v, int64_t, gc_i64v, &=, -INFINITY)
GC_BESTS(minimum, smaller, <, f64, double, gc_f64v, int64_t, gc_i64v, |=, INFINITY)

/* For integers the order of the steps does not matter, and compilers vectorise the plain loop. */
#define GC_ROW_PLAIN(op, T, C, first)                                                                                  \
    GC_SHARED C gc_row_##op##_##T(const C *x, int64_t n) {                                                           \
        C best = first;                                                                                                \
        for (int64_t i = 0; i < n; i++)                                                                                \
            best = gc_op_##op##_##T(best, x[i]);                                                                       \
        return best;                                                                                                   \
    }
#define GC_ROW_PLAIN_OPS(T, C, lowest, highest)                                                                        \
    GC_ROW_PLAIN(add, T, C, 0) GC_ROW_PLAIN(maximum, T, C, lowest) GC_ROW_PLAIN(minimum, T, C, highest)
GC_ROW_PLAIN_OPS(i32, int32_t, INT32_MIN, INT32_MAX)
GC_ROW_PLAIN_OPS(i64, int64_t, INT64_MIN, INT64_MAX)
GC_ROW_PLAIN_OPS(u32, uint32_t, 0, UINT32_MAX)
GC_ROW_PLAIN_OPS(u8, uint8_t, 0, UINT8_MAX)

/* The sum of eight rows at column c, by pairs. */
#define GC_EIGHT(x, pitch, c)                                                                                          \
    ((((double)x[c] + (double)x[(pitch) + c]) + ((double)x[2 * (pitch) + c] + (double)x[3 * (pitch) + c])) +           \
     (((double)x[4 * (pitch) + c] + (double)x[5 * (pitch) + c]) + ((double)x[6 * (pitch) + c] + (double)x[7 * (pitch) + c])))

/* sums[c] += the sum of column c: eight rows at a time, then one by one. */
GC_SHARED void gc_column_sums_f32(const float *x, int64_t rows, int64_t pitch, int64_t n, double *sums) {
    int64_t r = 0;
    for (; r + 8 <= rows; r += 8, x += 8 * pitch)
        GC_IVDEP for (int64_t c = 0; c < n; c++)
            sums[c] += GC_EIGHT(x, pitch, c);
    for (; r < rows; r++, x += pitch)
        GC_IVDEP for (int64_t c = 0; c < n; c++)
            sums[c] += x[c];
}

GC_SHARED void gc_column_sums_f64(const double *x, int64_t rows, int64_t pitch, int64_t n, double *sums, double *lost) {
    int64_t r = 0;
    for (; r + 8 <= rows; r += 8, x += 8 * pitch)
        GC_IVDEP for (int64_t c = 0; c < n; c++)
            gc_add_kept(&sums[c], &lost[c], GC_EIGHT(x, pitch, c));
    for (; r < rows; r++, x += pitch)
        GC_IVDEP for (int64_t c = 0; c < n; c++)
            gc_add_kept(&sums[c], &lost[c], x[c]);
}

/* best[c] = the best of it and column c: four rows at a time */
#define GC_COLUMNS(op, T, C)                                                                                           \
    GC_SHARED void gc_columns_##op##_##T(const C *x, int64_t rows, int64_t pitch, int64_t n, C *best) {              \
        int64_t r = 0;                                                                                                 \
        for (; r + 4 <= rows; r += 4, x += 4 * pitch)                                                                  \
            GC_IVDEP for (int64_t c = 0; c < n; c++) {                                                                 \
                const C first = gc_op_##op##_##T(x[c], x[pitch + c]);                                                  \
                const C second = gc_op_##op##_##T(x[2 * pitch + c], x[3 * pitch + c]);                                 \
                best[c] = gc_op_##op##_##T(best[c], gc_op_##op##_##T(first, second));                                  \
            }                                                                                                          \
        for (; r < rows; r++, x += pitch)                                                                              \
            GC_IVDEP for (int64_t c = 0; c < n; c++)                                                                   \
                best[c] = gc_op_##op##_##T(best[c], x[c]);                                                             \
    }
#define GC_COLUMNS_BEST(T, C) GC_COLUMNS(maximum, T, C) GC_COLUMNS(minimum, T, C)
GC_COLUMNS_BEST(f32, float)
GC_COLUMNS_BEST(f64, double)
GC_COLUMNS_BEST(i32, int32_t)
GC_COLUMNS_BEST(i64, int64_t)
GC_COLUMNS_BEST(u32, uint32_t)
GC_COLUMNS_BEST(u8, uint8_t)
GC_COLUMNS(add, i32, int32_t)
GC_COLUMNS(add, i64, int64_t)
GC_COLUMNS(add, u32, uint32_t)
GC_COLUMNS(add, u8, uint8_t)

#endif
