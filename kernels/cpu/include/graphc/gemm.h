/* Matrix products: gemm_f32, gemm_f64, gemm_bf16, gemm_f16, and gemm_i64, gemm_i32, gemm_i8 (of
 * either sign), gemm_bool.
 *
 * operands  A, B, C or B, A, C
 * params    0 rows M, 1 columns N, 2 depth K, 3 A's row stride, 4 A's column stride, 5 B's row stride, 6 B's column
 *           stride, 7 C's row stride, 8 C's column stride, 9 rows of a tile, 10 columns of a tile (a multiple of 32 if
 *           there are several), 11 batches of a tile, 12 batches in all, 13 most of the depth that is summed at a time,
 *           14 whether A is packed, 15 the order of gemm_real.h, 16 the position of A among the operands, 17 count of
 *           batch dims, then for each: extent, A's stride, B's stride, C's stride
 * tile      ((batch group) * row tiles + row tile) * column tiles + column tile
 * scratch   as graphc/backends/cpu/matmul.py counts it: the packed panel or block of B, then A's rows if packed; for
 *           16-bit floats those in float32, with the tile of C
 * epilogue  outer = batches * M rows, inner = N columns; run on each tile once all of its depth is summed
 *
 * Strides are in elements; those of A and B may be zero or negative. C's rows are contiguous except in the order
 * GC_SIDE_BY_SIDE, and may lie apart; with an epilogue its batches, rows and columns follow each other, or columns and rows where B comes first.
 * A tile sums over the whole depth, in order, so the way C is cut into tiles changes no bit. 16-bit floats are summed in float32
 * and rounded once. Integers wrap, bool is "or" of "and".
 */
#ifndef GRAPHC_GEMM_H
#define GRAPHC_GEMM_H

#include "half.h"
#include "heights.h"
#include "launch.h"
#include "simd.h"

#define GC_DEPTH 256         /* how much of the depth is summed before going on to the next panel, if nobody says */
#define GC_AHEAD 16          /* rows of a packed panel between those that are fetched and those that are used */
#define GC_FAR 8             /* the same for rows of B in memory, which may lie a page apart */
#define GC_SMALL_PANEL 16384 /* bytes of B that stay in the first cache where they lie */
#define GC_BLOCK_STRIPS 8    /* strips of A that are packed at a time for a block of B */
#define GC_ROW_GAP 16        /* elements between copied rows, so that they do not fall into the same few sets of a cache */

/* Rows of the next strip. */
GC_ALWAYS_INLINE int64_t gc_strip_height(int64_t rows) {
    return GC_WHOLE_ROWS(rows) > 0 ? GC_MICRO_ROWS : GC_UPPER_ROWS(rows);
}

/* How many strips of GC_MICRO_ROWS `rows` begin with; at most two others follow. */
GC_ALWAYS_INLINE int64_t gc_whole_strips(int64_t rows) { return GC_WHOLE_ROWS(rows) / GC_MICRO_ROWS; }

#define GC_UNROLL _Pragma("GCC unroll 14")
#define GC_HIDE(x) __asm__("" : "+r"(x)) /* keeps the compiler from knowing what x is */
#define GC_AT_BYTES(p, bytes) ((const void *)((const char *)(p) + (bytes)))

#define GC_JOIN_(a, b) a##b
#define GC_JOIN(a, b) GC_JOIN_(a, b)
#define GC_(name) GC_JOIN(GC_JOIN(gc_, name##_), GC_TAG)

#define GC_TAG f32
#define GC_REAL float
#define GC_REAL_BYTES 4
#define GC_VECTOR gc_f32v
#define GC_LANES GC_F32_LANES
#include "gemm_real.h"
#undef GC_TAG
#undef GC_REAL
#undef GC_REAL_BYTES
#undef GC_VECTOR
#undef GC_LANES

#define GC_TAG f64
#define GC_REAL double
#define GC_REAL_BYTES 8
#define GC_VECTOR gc_f64v
#define GC_LANES GC_F64_LANES
#include "gemm_real.h"
#undef GC_TAG
#undef GC_REAL
#undef GC_REAL_BYTES
#undef GC_VECTOR
#undef GC_LANES

/* One tile: which rows, columns and batches. */
typedef struct gc_gemm_tile {
    int64_t row, rows, column, columns, batch, batches;
} gc_gemm_tile;

GC_ALWAYS_INLINE gc_gemm_tile gc_gemm_tile_of(const int64_t *p, int64_t tile) {
    const int64_t row_tiles = (p[0] + p[9] - 1) / p[9], column_tiles = (p[1] + p[10] - 1) / p[10];
    gc_gemm_tile t;
    t.column = tile % column_tiles * p[10];
    t.row = tile / column_tiles % row_tiles * p[9];
    t.batch = tile / column_tiles / row_tiles * p[11];
    t.rows = p[0] - t.row < p[9] ? p[0] - t.row : p[9];
    t.columns = p[1] - t.column < p[10] ? p[1] - t.column : p[10];
    t.batches = p[12] - t.batch < p[11] ? p[12] - t.batch : p[11];
    return t;
}

/* Where a batch starts in A, B and C, in elements. */
typedef struct gc_gemm_place {
    int64_t a, b, c;
} gc_gemm_place;

GC_ALWAYS_INLINE gc_gemm_place gc_gemm_batch(const int64_t *p, int64_t batch) {
    gc_gemm_place at = {0, 0, 0};
    for (int64_t d = p[17] - 1; d >= 0; d--) {
        const int64_t *dim = p + 18 + 4 * d, here = batch % dim[0];
        at.a += here * dim[1], at.b += here * dim[2], at.c += here * dim[3];
        batch /= dim[0];
    }
    return at;
}

/* Where a tile starts in C, in elements. */
static inline int64_t gc_gemm_start(const int64_t *p, const gc_gemm_tile *t) {
    return gc_gemm_batch(p, t->batch).c + t->row * p[7] + t->column * p[8];
}

/* Several batches in a tile are whole matrices, so their rows follow each other; so is one whose C is computed transposed. */
GC_ALWAYS_INLINE void gc_gemm_epilogue(const gc_call *call, const gc_gemm_tile *t) {
    if (!call->program) return;
    const int64_t *p = call->params, height = p[16] ? p[1] : p[0];
    const int64_t first = t->batch * height + t->row, rows = t->batches == 1 && !p[16] ? t->rows : t->batches * height;
    gc_run_region(call, first, first + rows, t->column, t->column + (p[16] ? t->rows : t->columns));
}

#define GC_GEMM_REAL(TAG, REAL)                                                                                        \
    /* The tile's products side by side, along the last of the batch dims. */                                          \
    GC_FUNCTION void gc_gemm_across_##TAG(const int64_t *p, const gc_gemm_tile *t, const REAL *a, const REAL *b, REAL *c,\
                                          char *scratch) {                                                             \
        const int64_t *dim = p + 18 + 4 * (p[17] - 1), end = t->batch + t->batches, start = gc_gemm_start(p, t);       \
        const gc_stack_##TAG left = {p[0], p[2], p[3], p[4], dim[1]}, right = {p[2], p[1], p[5], p[6], dim[2]};        \
        const gc_stack_##TAG product = {p[0], p[1], p[7], p[8], dim[3]};                                               \
        for (int64_t batch = t->batch, count; batch < end; batch += count) {                                           \
            const gc_gemm_place at = gc_gemm_batch(p, batch);                                                          \
            const int64_t rest = dim[0] - batch % dim[0];                                                              \
            count = rest < end - batch ? rest : end - batch;                                                           \
            gc_across_run_##TAG(&left, &right, &product, count, a + at.a, b + at.b, c + (at.c - start), (REAL *)scratch);\
        }                                                                                                              \
    }                                                                                                                  \
    GC_KERNEL gc_gemm_##TAG(const gc_call *call, int64_t tile) {                                                       \
        const int64_t *p = call->params;                                                                               \
        const gc_gemm_tile t = gc_gemm_tile_of(p, tile);                                                               \
        const int64_t start = gc_gemm_start(p, &t);                                                                    \
        const REAL *const a = gc_operand(call, (int)p[16]), *const b = gc_operand(call, 1 - (int)p[16]);               \
        REAL *const c = gc_result(call, 2, start * (int64_t)sizeof(REAL));                                             \
        if (p[15] == GC_SIDE_BY_SIDE) gc_gemm_across_##TAG(p, &t, a, b, c, call->scratch);                             \
        for (int64_t batch = t.batch; p[15] != GC_SIDE_BY_SIDE && batch < t.batch + t.batches; batch++) {              \
            const gc_gemm_place at = gc_gemm_batch(p, batch);                                                          \
            const gc_product_##TAG product = {                                                                         \
                t.rows, t.columns, p[2],                                                                               \
                a + at.a + t.row * p[3], p[3], p[4],                                                                   \
                b + at.b + t.column * p[6], p[5], p[6],                                                                \
                c + (at.c + t.row * p[7] + t.column - start), p[7],                                                    \
                p[0] == 1 || p[1] == 1, call->scratch,                                                                 \
                p[14] && p[4] == 1, p[14] && p[4] != 1 ? gc_strip_packer_of_##TAG(p[3], p[4]) : 0,                     \
                gc_panel_packer_of_##TAG(p[2], p[5], p[6])};                                                           \
            if (product.with_vector && gc_product_with_vector_##TAG(&product)) continue;                               \
            gc_multiply_tile_##TAG(&product, p[15], p[13]);                                                            \
        }                                                                                                              \
        gc_gemm_epilogue(call, &t);                                                                                    \
    }

GC_GEMM_REAL(f32, float)
GC_GEMM_REAL(f64, double)
#undef GC_GEMM_REAL

/* 16-bit floats: slices of A and panels of B become float32 as they are packed, C is summed in scratch and rounded once. */
#define GC_GEMM_HALF(TAG)                                                                                              \
    /* to[i * step + j] = from[i * row + j * column], and zeros up to `width` */                                       \
    GC_FUNCTION void gc_widen_rows_##TAG(int64_t rows, int64_t columns, const uint16_t *from, int64_t row,             \
                                         int64_t column, float *to, int64_t step, int64_t width) {                     \
        for (int64_t i = 0; i < rows; i++, from += row, to += step) {                                                  \
            if (column == 1)                                                                                           \
                for (int64_t j = 0; j < columns; j++) to[j] = gc_from_##TAG(from[j]);                                  \
            else                                                                                                       \
                for (int64_t j = 0; j < columns; j++) to[j] = gc_from_##TAG(from[j * column]);                         \
            for (int64_t j = columns; j < width; j++) to[j] = 0;                                                       \
        }                                                                                                              \
    }                                                                                                                  \
    GC_FUNCTION void gc_narrow_rows_##TAG(int64_t rows, int64_t columns, const float *from, uint16_t *to,              \
                                          int64_t step) {                                                              \
        for (int64_t i = 0; i < rows; i++, from += columns, to += step)                                                \
            for (int64_t j = 0; j < columns; j++) to[j] = gc_to_##TAG(from[j]);                                        \
    }                                                                                                                  \
    GC_FUNCTION void gc_multiply_##TAG(const int64_t *p, const gc_gemm_tile *t, const uint16_t *a,                     \
                                       const uint16_t *b, float *sums, char *scratch) {                                \
        const int64_t panel = 2 * GC_F32_LANES, slices = (p[2] + GC_DEPTH - 1) / GC_DEPTH, rows = t->rows;             \
        const int by_columns = p[3] == 1 && p[4] != 1, transposed = p[5] == 1 && p[6] != 1;                            \
        float *packed_b = (float *)scratch, *wide_b = packed_b + GC_DEPTH * panel;                                     \
        float *wide_a = wide_b + GC_DEPTH * panel;                                                                     \
        for (int64_t i = 0; p[2] == 0 && i < rows * t->columns; i++) sums[i] = 0;                                      \
        for (int64_t n = 0, start = 0, depth; n < slices; n++, start += depth) {                                       \
            depth = (p[2] - start + slices - n - 1) / (slices - n);                                                    \
            const int64_t a_step = by_columns ? rows : depth + GC_ROW_GAP;                                             \
            gc_strip_f32 s = {depth, wide_a, by_columns ? 1 : a_step, by_columns ? a_step : 1, packed_b, panel,        \
                              sums, t->columns, start > 0, packed_b, packed_b, 0};                                     \
            if (by_columns)                                                                                            \
                gc_widen_rows_##TAG(depth, rows, a + start * p[4], p[4], 1, wide_a, a_step, 0);                        \
            else                                                                                                       \
                gc_widen_rows_##TAG(rows, depth, a + start * p[4], p[3], p[4], wide_a, a_step, 0);                     \
            for (int64_t j = 0; j < t->columns; j += panel, s.c += panel) {                                            \
                const int64_t columns = t->columns - j < panel ? t->columns - j : panel;                               \
                const uint16_t *from = b + start * p[5] + j * p[6];                                                    \
                if (transposed) {                                                                                      \
                    gc_widen_rows_##TAG(columns, depth, from, p[6], 1, wide_b, GC_DEPTH, 0);                           \
                    gc_pack_panel_f32(depth, columns, wide_b, 1, GC_DEPTH, packed_b, panel);                           \
                } else {                                                                                               \
                    gc_widen_rows_##TAG(depth, columns, from, p[5], p[6], packed_b, panel, panel);                     \
                }                                                                                                      \
                gc_panel_product_f32(rows, columns, 0, 0, s);                                                          \
            }                                                                                                          \
        }                                                                                                              \
    }                                                                                                                  \
    GC_KERNEL gc_gemm_##TAG(const gc_call *call, int64_t tile) {                                                       \
        const int64_t *p = call->params;                                                                               \
        const gc_gemm_tile t = gc_gemm_tile_of(p, tile);                                                               \
        float *sums = (float *)call->scratch;                                                                          \
        char *scratch = (char *)(sums + (p[9] * t.columns + 15) / 16 * 16);                                            \
        for (int64_t batch = t.batch; batch < t.batch + t.batches; batch++) {                                          \
            const gc_gemm_place at = gc_gemm_batch(p, batch);                                                          \
            const uint16_t *a = (const uint16_t *)gc_operand(call, (int)p[16]) + at.a + t.row * p[3];                  \
            const uint16_t *b = (const uint16_t *)gc_operand(call, 1 - (int)p[16]) + at.b + t.column * p[6];           \
            uint16_t *c = (uint16_t *)gc_operand(call, 2) + at.c + t.row * p[7] + t.column;                            \
            gc_multiply_##TAG(p, &t, a, b, sums, scratch);                                                             \
            gc_narrow_rows_##TAG(t.rows, t.columns, sums, c, p[7]);                                                    \
        }                                                                                                              \
        gc_gemm_epilogue(call, &t);                                                                                    \
    }

GC_GEMM_HALF(bf16)
GC_GEMM_HALF(f16)
#undef GC_GEMM_HALF

/* Integers, as unsigned numbers so that they wrap: a row of C at a time, by parts of B that stay in the cache. */
#define GC_GEMM_INTEGER(TAG, TYPE, COMBINE)                                                                            \
    GC_KERNEL gc_gemm_##TAG(const gc_call *call, int64_t tile) {                                                       \
        const int64_t *p = call->params;                                                                               \
        const gc_gemm_tile t = gc_gemm_tile_of(p, tile);                                                               \
        for (int64_t batch = t.batch; batch < t.batch + t.batches; batch++) {                                          \
            const gc_gemm_place at = gc_gemm_batch(p, batch);                                                          \
            const TYPE *a = (const TYPE *)gc_operand(call, (int)p[16]) + at.a + t.row * p[3];                          \
            const TYPE *b = (const TYPE *)gc_operand(call, 1 - (int)p[16]) + at.b + t.column * p[6];                   \
            TYPE *c = (TYPE *)gc_operand(call, 2) + at.c + t.row * p[7] + t.column;                                    \
            for (int64_t i = 0; i < t.rows; i++)                                                                       \
                for (int64_t j = 0; j < t.columns; j++) c[i * p[7] + j] = 0;                                           \
            for (int64_t start = 0; start < p[2]; start += 64)                                                         \
                for (int64_t i = 0; i < t.rows; i++)                                                                   \
                    for (int64_t k = start; k < p[2] && k < start + 64; k++) {                                         \
                        const TYPE x = a[i * p[3] + k * p[4]], *y = b + k * p[5];                                      \
                        TYPE *sum = c + i * p[7];                                                                      \
                        if (p[6] == 1)                                                                                 \
                            for (int64_t j = 0; j < t.columns; j++) sum[j] = (TYPE)COMBINE(sum[j], x, y[j]);           \
                        else                                                                                           \
                            for (int64_t j = 0; j < t.columns; j++)                                                    \
                                sum[j] = (TYPE)COMBINE(sum[j], x, y[j * p[6]]);                                        \
                    }                                                                                                  \
        }                                                                                                              \
        gc_gemm_epilogue(call, &t);                                                                                    \
    }
#define GC_ADD_PRODUCT(sum, x, y) ((sum) + (x) * (y))
#define GC_OR_AND(sum, x, y) ((sum) | ((x) & (y)))

GC_GEMM_INTEGER(i64, uint64_t, GC_ADD_PRODUCT)
GC_GEMM_INTEGER(i32, uint32_t, GC_ADD_PRODUCT)
GC_GEMM_INTEGER(i8, uint8_t, GC_ADD_PRODUCT)
GC_GEMM_INTEGER(bool, uint8_t, GC_OR_AND)
#undef GC_GEMM_INTEGER
#undef GC_ADD_PRODUCT
#undef GC_OR_AND
#endif
