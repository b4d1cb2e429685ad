/* Matrix products: gemm_f32, gemm_f64, gemm_bf16, gemm_f16, and gemm_i64, gemm_i32, gemm_i8 (of
 * either sign), gemm_bool.
 *
 * operands  A, B, C
 * params    0 rows M, 1 columns N, 2 depth K, 3 A's row stride, 4 A's column stride, 5 B's row stride, 6 B's column
 *           stride, 7 C's row stride, 8 C's batch stride, 9 rows of a tile, 10 columns of a tile, 11 batches of a tile,
 *           12 batches in all, 13 count of batch dims, then for each: extent, A's stride, B's stride
 * tile      ((batch group) * row tiles + row tile) * column tiles + column tile
 * scratch   a panel of B (GC_DEPTH * 128 bytes), then tile rows * (GC_DEPTH + GC_ROW_GAP) elements for A, and for 16-bit
 *           floats the tile of C in float32
 * epilogue  outer = batches * M rows, inner = N columns; run on each tile once all of its depth is summed
 *
 * Strides are in elements and may be zero or negative. A column stride of 1 makes C rows contiguous, always. A tile
 * sums over the whole depth, in order, so the way C is cut into tiles changes no bit. 16-bit floats are summed in float32 and
 * rounded once. Integers wrap, bool is "or" of "and".
 */
#ifndef GRAPHC_GEMM_H
#define GRAPHC_GEMM_H

#include "half.h"
#include "launch.h"
#include "simd.h"

/* Rows of a register block, chosen so that two vectors of sums for each fit the registers. */
#if defined(__AVX512F__)
#define GC_MICRO_ROWS 14
#define GC_MICRO_ROW_COUNTS(F) F(1) F(2) F(3) F(4) F(5) F(6) F(7) F(8) F(10) F(12) F(14)
#elif defined(__aarch64__)
#define GC_MICRO_ROWS 12
#define GC_MICRO_ROW_COUNTS(F) F(1) F(2) F(3) F(4) F(5) F(6) F(7) F(8) F(10) F(12)
#else
#define GC_MICRO_ROWS 6
#define GC_MICRO_ROW_COUNTS(F) F(1) F(2) F(3) F(4) F(5) F(6)
#endif

/* How much of the depth is summed before going on to the next panel: a panel this deep fits the first cache. */
#define GC_DEPTH 256

/* How A is laid out: contiguous rows, contiguous columns, or packed strips. */
enum { GC_ROWS, GC_COLUMNS, GC_STRIPS };

/* Rows of the strips that `rows` are cut into: as equal as the strips that exist allow (above 8, even ones). */
static inline int64_t gc_strip_height(int64_t rows) {
    const int64_t strips = (rows + GC_MICRO_ROWS - 1) / GC_MICRO_ROWS, height = strips ? (rows + strips - 1) / strips : 0;
    return height > 8 ? (height + 1) & ~(int64_t)1 : height;
}
static inline int64_t gc_strip(int64_t left, int64_t height) {
    if (left >= height) return height;
    return left > 8 ? left & ~(int64_t)1 : left;
}

/* Rows a power of two apart fall into the same few sets of the first cache; copied with a gap they do not. It pays when
 * the rows are read again for several panels. library_matmul.py asks the same question, for the scratch. */
#define GC_ROW_GAP 16
static inline int gc_rows_collide(int64_t rows, int64_t columns, int64_t row_bytes) {
    return rows >= 32 && columns >= 64 && row_bytes % 2048 == 0;
}

#define GC_JOIN_(a, b) a##b
#define GC_JOIN(a, b) GC_JOIN_(a, b)
#define GC_(name) GC_JOIN(GC_JOIN(gc_, name##_), GC_TAG)

#define GC_TAG f32
#define GC_REAL float
#define GC_VECTOR gc_f32v
#define GC_LANES GC_F32_LANES
#include "gemm_real.h"
#undef GC_TAG
#undef GC_REAL
#undef GC_VECTOR
#undef GC_LANES

#define GC_TAG f64
#define GC_REAL double
#define GC_VECTOR gc_f64v
#define GC_LANES GC_F64_LANES
#include "gemm_real.h"
#undef GC_TAG
#undef GC_REAL
#undef GC_VECTOR
#undef GC_LANES

/* One tile: which rows, columns and batches. */
typedef struct gc_gemm_tile {
    int64_t row, rows, column, columns, batch, batches;
} gc_gemm_tile;

static inline gc_gemm_tile gc_gemm_tile_of(const int64_t *p, int64_t tile) {
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

/* Where a batch starts in A and B, in elements. */
static inline void gc_gemm_batch(const int64_t *p, int64_t batch, int64_t *a, int64_t *b) {
    *a = *b = 0;
    for (int64_t d = p[13] - 1; d >= 0; d--) {
        const int64_t *dim = p + 14 + 3 * d;
        *a += batch % dim[0] * dim[1];
        *b += batch % dim[0] * dim[2];
        batch /= dim[0];
    }
}

/* Several batches in a tile are whole matrices, so their rows follow each other. */
static inline void gc_gemm_epilogue(const gc_call *call, const gc_gemm_tile *t) {
    if (!call->program) return;
    const int64_t first = t->batch * call->params[0] + t->row;
    const int64_t rows = t->batches == 1 ? t->rows : t->batches * call->params[0];
    gc_tile_run(call, first, first + rows, t->column, t->column + t->columns);
}

#define GC_GEMM_REAL(TAG, REAL)                                                                                   \
    static void gc_gemm_##TAG(const gc_call *call, int64_t tile) {                                                \
        const int64_t *p = call->params;                                                                          \
        const gc_gemm_tile t = gc_gemm_tile_of(p, tile);                                                          \
        for (int64_t batch = t.batch; batch < t.batch + t.batches; batch++) {                                     \
            int64_t a, b;                                                                                         \
            gc_gemm_batch(p, batch, &a, &b);                                                                      \
            const gc_product_##TAG product = {                                                                    \
                t.rows, t.columns, p[2],                                                                          \
                (const REAL *)gc_operand(call, 0) + a + t.row * p[3], p[3], p[4],                                 \
                (const REAL *)gc_operand(call, 1) + b + t.column * p[6], p[5], p[6],                              \
                (REAL *)gc_operand(call, 2) + batch * p[8] + t.row * p[7] + t.column, p[7],                       \
                p[0] == 1 || p[1] == 1, call->scratch};                                                           \
            gc_multiply_##TAG(&product);                                                                          \
        }                                                                                                         \
        gc_gemm_epilogue(call, &t);                                                                               \
    }

GC_GEMM_REAL(f32, float)
GC_GEMM_REAL(f64, double)
#undef GC_GEMM_REAL

/* 16-bit floats: A's slice and B's panel become float32 as they are packed, C is summed in scratch and rounded once. */
#define GC_GEMM_HALF(TAG)                                                                                         \
    GC_FUNCTION void gc_multiply_##TAG(const int64_t *p, const gc_gemm_tile *t, const uint16_t *a,                \
                                       const uint16_t *b, uint16_t *c, char *scratch) {                           \
        const int64_t width = 2 * GC_F32_LANES, slices = (p[2] + GC_DEPTH - 1) / GC_DEPTH;                        \
        float *packed_b = (float *)scratch, *packed_a = packed_b + GC_DEPTH * width;                              \
        float *sums = packed_a + p[9] * (GC_DEPTH + GC_ROW_GAP);                                                          \
        for (int64_t i = 0; i < t->rows * t->columns; i++) sums[i] = 0;                                           \
        for (int64_t s = 0, start = 0, depth; s < slices; s++, start += depth) {                                  \
            depth = (p[2] - start + slices - s - 1) / (slices - s);                                               \
            for (int64_t i = 0; i < t->rows; i++)                                                                 \
                for (int64_t k = 0; k < depth; k++)                                                               \
                    packed_a[i * (depth + GC_ROW_GAP) + k] = gc_from_##TAG(a[i * p[3] + (start + k) * p[4]]);             \
            for (int64_t j = 0; j < t->columns; j += width) {                                                     \
                const int64_t columns = t->columns - j < width ? t->columns - j : width;                          \
                const uint16_t *from = b + start * p[5] + j * p[6];                                               \
                for (int64_t k = 0; k < depth; k++) {                                                             \
                    for (int64_t l = 0; l < columns; l++)                                                         \
                        packed_b[k * width + l] = gc_from_##TAG(from[k * p[5] + l * p[6]]);                       \
                    for (int64_t l = columns; l < width; l++) packed_b[k * width + l] = 0;                        \
                }                                                                                                 \
                gc_panel_f32(t->rows, columns, depth, packed_a, depth + GC_ROW_GAP, GC_ROWS, packed_b, width, sums + j,   \
                             t->columns, start > 0);                                                              \
            }                                                                                                     \
        }                                                                                                         \
        for (int64_t i = 0; i < t->rows; i++)                                                                     \
            for (int64_t j = 0; j < t->columns; j++) c[i * p[7] + j] = gc_to_##TAG(sums[i * t->columns + j]);     \
    }                                                                                                             \
    static void gc_gemm_##TAG(const gc_call *call, int64_t tile) {                                                \
        const int64_t *p = call->params;                                                                          \
        const gc_gemm_tile t = gc_gemm_tile_of(p, tile);                                                          \
        for (int64_t batch = t.batch; batch < t.batch + t.batches; batch++) {                                     \
            int64_t a, b;                                                                                         \
            gc_gemm_batch(p, batch, &a, &b);                                                                      \
            gc_multiply_##TAG(p, &t, (const uint16_t *)gc_operand(call, 0) + a + t.row * p[3],                    \
                              (const uint16_t *)gc_operand(call, 1) + b + t.column * p[6],                        \
                              (uint16_t *)gc_operand(call, 2) + batch * p[8] + t.row * p[7] + t.column,           \
                              call->scratch);                                                                     \
        }                                                                                                         \
        gc_gemm_epilogue(call, &t);                                                                               \
    }

GC_GEMM_HALF(bf16)
GC_GEMM_HALF(f16)
#undef GC_GEMM_HALF

/* Integers, as unsigned numbers so that they wrap: a row of C at a time, by parts of B that stay in the cache. */
#define GC_GEMM_INTEGER(TAG, TYPE, COMBINE)                                                                       \
    static void gc_gemm_##TAG(const gc_call *call, int64_t tile) {                                                \
        const int64_t *p = call->params;                                                                          \
        const gc_gemm_tile t = gc_gemm_tile_of(p, tile);                                                          \
        for (int64_t batch = t.batch; batch < t.batch + t.batches; batch++) {                                     \
            int64_t a_start, b_start;                                                                             \
            gc_gemm_batch(p, batch, &a_start, &b_start);                                                          \
            const TYPE *a = (const TYPE *)gc_operand(call, 0) + a_start + t.row * p[3];                           \
            const TYPE *b = (const TYPE *)gc_operand(call, 1) + b_start + t.column * p[6];                        \
            TYPE *c = (TYPE *)gc_operand(call, 2) + batch * p[8] + t.row * p[7] + t.column;                       \
            for (int64_t i = 0; i < t.rows; i++)                                                                  \
                for (int64_t j = 0; j < t.columns; j++) c[i * p[7] + j] = 0;                                      \
            for (int64_t start = 0; start < p[2]; start += 64)                                                    \
                for (int64_t i = 0; i < t.rows; i++)                                                              \
                    for (int64_t k = start; k < p[2] && k < start + 64; k++) {                                    \
                        const TYPE x = a[i * p[3] + k * p[4]], *y = b + k * p[5];                                 \
                        TYPE *sum = c + i * p[7];                                                                 \
                        if (p[6] == 1)                                                                            \
                            for (int64_t j = 0; j < t.columns; j++) sum[j] = (TYPE)COMBINE(sum[j], x, y[j]);      \
                        else                                                                                      \
                            for (int64_t j = 0; j < t.columns; j++)                                               \
                                sum[j] = (TYPE)COMBINE(sum[j], x, y[j * p[6]]);                                   \
                    }                                                                                             \
        }                                                                                                         \
        gc_gemm_epilogue(call, &t);                                                                               \
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
