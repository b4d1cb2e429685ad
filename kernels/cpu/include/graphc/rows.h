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

/* The same for the best of all in 64 lanes. `worst` is what loses to everything, I an integer of C's size, LANES those of a vector. */
#define GC_BESTS(op, T, C, I, LANES, worst)                                                                            \
    typedef C gc_best_##op##_##T __attribute__((vector_size(GC_VECTOR_BYTES)));                                        \
    typedef C gc_any_##op##_##T __attribute__((vector_size(GC_VECTOR_BYTES), aligned(sizeof(C)), may_alias));          \
    typedef I gc_mask_##op##_##T __attribute__((vector_size(GC_VECTOR_BYTES)));                                        \
    typedef struct {                                                                                                   \
        gc_best_##op##_##T lanes[GC_BEST_LANES / (LANES)];                                                             \
    } gc_##op##s_##T;                                                                                                  \
    GC_ALWAYS_INLINE void gc_##op##s_take_##T(gc_##op##s_##T *best, const C *x, int64_t n) {                           \
        enum { VECTORS = GC_BEST_LANES / (LANES) };                                                                    \
        const int64_t rest = n % GC_BEST_LANES, whole = n - rest;                                                      \
        for (int64_t i = 0; i < whole; i += GC_BEST_LANES)                                                             \
            _Pragma("GCC unroll 32") for (int k = 0; k < VECTORS; k++)                                                 \
                GC_BEST_##op(gc_best_##op##_##T, gc_mask_##op##_##T, best->lanes[k],                                 \
                        *(const gc_any_##op##_##T *)(x + i + k * (LANES)))                                             \
        if (rest) {                                                                                                    \
            C tail[GC_BEST_LANES];                                                                                     \
            for (int k = 0; k < GC_BEST_LANES; k++)                                                                    \
                tail[k] = worst;                                                                                       \
            memcpy(tail, x + whole, (size_t)rest * sizeof *x);                                                         \
            _Pragma("GCC unroll 32") for (int k = 0; k < VECTORS; k++)                                                 \
                GC_BEST_##op(gc_best_##op##_##T, gc_mask_##op##_##T, best->lanes[k],                                 \
                        *(const gc_any_##op##_##T *)(tail + k * (LANES)))                                              \
        }                                                                                                              \
    }                                                                                                                  \
    GC_ALWAYS_INLINE gc_##op##s_##T gc_##op##s_none_##T(void) {                                                        \
        gc_##op##s_##T best;                                                                                           \
        _Pragma("GCC unroll 32") for (int k = 0; k < GC_BEST_LANES / (LANES); k++)                                     \
            best.lanes[k] = (gc_best_##op##_##T){0} + (C)(worst);                                                      \
        return best;                                                                                                   \
    }                                                                                                                  \
    GC_ALWAYS_INLINE C gc_##op##s_taken_##T(gc_##op##s_##T *best) {                                                    \
        C lanes[LANES];                                                                                                \
        GC_HALVES(GC_BEST_##op(gc_best_##op##_##T, gc_mask_##op##_##T, best->lanes[k], best->lanes[k + half]),       \
                  GC_BEST_LANES / (LANES))                                                                             \
        memcpy(lanes, best->lanes, sizeof lanes);                                                                      \
        GC_HALVES(lanes[k] = gc_op_##op##_##T(lanes[k], lanes[k + half]);, LANES)                                      \
        return lanes[0];                                                                                               \
    }                                                                                                                  \
    GC_SHARED C gc_row_##op##_##T(const C *x, int64_t n) {                                                             \
        gc_##op##s_##T best = gc_##op##s_none_##T();                                                                   \
        gc_##op##s_take_##T(&best, x, n);                                                                              \
        return gc_##op##s_taken_##T(&best);                                                                            \
    }
GC_BESTS(maximum, f32, float, int32_t, GC_F32_LANES, -INFINITY)
GC_BESTS(minimum, f32, float, int32_t, GC_F32_LANES, INFINITY)
GC_BESTS(maximum, f64, double, int64_t, GC_F64_LANES, -INFINITY)
GC_BESTS(minimum, f64, double, int64_t, GC_F64_LANES, INFINITY)

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
