/* Attention without the matrix of its weights: softmax(scale q kᵀ + mask) v and its gradient, tile by tile.
 * attention_{f64,f32,bf16,f16}, attention_grad_{f64,f32,bf16,f16}
 *
 * For each batch: q[Tq, d], k[Tk, d], v[Tk, w]; a mask[Tq, Tk] of bools (false hides a key) or of q's type (it is added);
 * if causal, query i sees the keys j <= i alone. A query that sees no key has the output 0, top = -inf and total = 0.
 *
 * attention       operands  q, k, v, [mask]; output, top[Tq], the largest score, and total[Tq], the sum of exp(score - top)
 *                 tile      batch * query tiles + query tile
 * attention_grad  operands  q, k, v, g[Tq, w] (real), top[Tq], total[Tq] (real), delta[Tq] (real: the sum of g times the
 *                           output), [mask]; the gradients of q, of k and of v
 *                 tile      batch, if params[9] is 0; else batch * (key tiles + query tiles) + tile, the key tiles first:
 *                           a key tile gives the gradients of its k and v, a query tile those of its q
 * params  0 flags (below), 1 Tq, 2 Tk, 3 d, 4 w, 5 batches, 6 inner batches, 7 bits of the scale (double), 8 queries of a
 *         tile, 9 keys of a tile, 10 count of operands N (without results), 11 count of batch dims, 12 row and column stride
 *         of each operand, then for each batch dim: extent, N strides. Strides are in elements and may be zero or negative.
 * results are real; an array [Tq or Tk, d or w] for each batch lies as [outer batch, T, inner batch, d or w], top and total
 *         as [batch, Tq]
 * scratch see attention_real.h, before gc_attention_forward and gc_attention_backward
 *
 * "real" is float64 for float64, else float32: 16-bit floats are read, and everything is computed and written, in it.
 * Scores are held transposed, keys as rows and queries in the lanes, so that no step of the softmax goes across lanes:
 * a panel of queries (two vectors) meets blocks of keys. The gradient recomputes the weights (Dao 2023), exp(score - top) /
 * total: scores of both passes have the same bits, and the logarithm of a total would be lost beside a large top. Sums run
 * over blocks in order, whoever computes them: results depend on shapes alone.
 */
#ifndef GRAPHC_ATTENTION_H
#define GRAPHC_ATTENTION_H

#include "elements.h"
#include "launch.h"
#include "simd.h"
#include "vmath.h"

enum { GC_ATTENTION_CAUSAL = 1, GC_ATTENTION_MASKED = 2, GC_ATTENTION_MASK_BOOL = 4 }; /* flags */

/* Rows of a register block of two vectors, so that the sums of both fit the registers. */
#if defined(__AVX512F__) || defined(__aarch64__)
#define GC_ATTENTION_ROWS 8
#else
#define GC_ATTENTION_ROWS 4
#endif
#define GC_ATTENTION_KEYS 64   /* keys of a block */
#define GC_ATTENTION_CHUNK 256 /* keys whose gradients are summed at a time */
#define GC_ATTENTION_AHEAD 12  /* rows that are fetched ahead: each may lie on a page of its own */
/* A function that is compiled once: GCC would clone it for every set of constants that it is called with. */
#ifdef __clang__
#define GC_ATTEND_FUNCTION GC_FUNCTION
#else
#define GC_ATTEND_FUNCTION GC_FUNCTION __attribute__((noclone))
#endif
/* Keeps a loop that is rarely run from being vectorised, which takes long to compile. */
#define GC_AS_WRITTEN __asm__ volatile("")

static inline int64_t gc_attention_whole(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

/* A matrix in memory: bytes of an element, and strides in elements. */
typedef struct gc_attention_view {
    const char *data;
    int64_t size, row, column;
} gc_attention_view;

/* Operand `position` of one batch. */
GC_ATTEND_FUNCTION gc_attention_view gc_attention_operand(const gc_call *call, int64_t position, int64_t batch, int64_t size) {
    const int64_t *p = call->params, *strides = p + 12, count = p[10];
    int64_t at = 0;
    for (int64_t d = p[11] - 1; d >= 0; d--) {
        const int64_t *dim = strides + 2 * count + d * (count + 1);
        at += batch % dim[0] * dim[1 + position];
        batch /= dim[0];
    }
    return (gc_attention_view){(const char *)gc_operand(call, (int)position) + at * size, size, strides[2 * position],
                       strides[2 * position + 1]};
}

/* The rows of a matrix from one on. */
static inline gc_attention_view gc_attention_from(gc_attention_view m, int64_t row) {
    m.data += row * m.row * m.size;
    return m;
}

static inline double gc_attention_scale(const int64_t *p) {
    double scale;
    memcpy(&scale, p + 7, sizeof scale);
    return scale;
}

/* exp(x) for x <= 0 (a little above does no harm), 0 below -87: what weights are made with, at half the price of gc_exp_f32.
 * Within 1.4 ulp for x > -20; further down n * log(2), rounded once, starts to show: 4.5 ulp at most, of weights of 1e-38. */
static inline float gc_weight_f32(float x) {
    const float shifted = gc_muladd_f32(x, 0x1.715476p+0f, GC_SHIFT_F32);
    const float r = gc_muladd_f32(shifted - GC_SHIFT_F32, -0x1.62e430p-1f, x);
    float y = 0x1.6a1a78p-10f;
    y = gc_muladd_f32(y, r, 0x1.123fc6p-7f);
    y = gc_muladd_f32(y, r, 0x1.555916p-5f);
    y = gc_muladd_f32(y, r, 0x1.55548ap-3f);
    y = gc_muladd_f32(y, r, 0x1.fffffcp-2f);
    y = gc_muladd_f32(y, r, 1.0f);
    y = gc_muladd_f32(y, r, 1.0f);
    y = gc_float_f32(gc_bits_f32(y) + (gc_bits_f32(shifted) << 23)); /* times 2^n: the low bits of `shifted` are n */
    return x < -87.0f ? 0.0f : y;
}

static inline double gc_weight_f64(double x) { return gc_exp_f64(x); }

#define GC_ATTEND_JOIN_(a, b) gc_##a##_##b
#define GC_ATTEND_JOIN(a, b) GC_ATTEND_JOIN_(a, b)
#define GC_ATTEND(name) GC_ATTEND_JOIN(name, GC_TAG)

#define GC_TAG f32
#define GC_REAL float
#define GC_VECTOR gc_f32v
#define GC_LANES GC_F32_LANES
#include "attention_real.h"
#undef GC_TAG
#undef GC_REAL
#undef GC_VECTOR
#undef GC_LANES

#define GC_TAG f64
#define GC_REAL double
#define GC_VECTOR gc_f64v
#define GC_LANES GC_F64_LANES
#include "attention_real.h"
#undef GC_TAG
#undef GC_REAL
#undef GC_VECTOR
#undef GC_LANES

/* For each stored type, how its matrices are packed and its masks are added, and the kernels. */
#define GC_ATTENTION(TAG, TYPE, REAL_TAG, REAL, FROM)                                                                          \
    GC_ATTEND_FUNCTION void gc_at_pack_##TAG(gc_attention_view m, int64_t rows, int64_t columns, REAL scale, REAL *restrict to, \
                                      int64_t height, int64_t width) {                                                         \
        for (int64_t i = 0; i < height; i++, m.data += m.row * (int64_t)sizeof(TYPE), to += width) {                           \
            const TYPE *from = (const TYPE *)(const void *)m.data;                                                             \
            const int64_t count = i < rows ? columns : 0;                                                                      \
            for (int64_t j = 0; i + GC_ATTENTION_AHEAD < rows && j < count; j += 64 / (int64_t)sizeof(TYPE))                   \
                __builtin_prefetch(from + GC_ATTENTION_AHEAD * m.row + j * m.column);                                          \
            memset(to + count, 0, (size_t)(width - count) * sizeof(REAL));                                                     \
            if (m.column == 1)                                                                                                 \
                for (int64_t j = 0; j < count; j++) to[j] = scale * FROM(from[j]);                                             \
            else                                                                                                               \
                for (int64_t j = 0; j < count; j++) {                                                                          \
                    GC_AS_WRITTEN;                                                                                             \
                    to[j] = scale * FROM(from[j * m.column]);                                                                  \
                }                                                                                                              \
        }                                                                                                                      \
    }                                                                                                                          \
    GC_ATTEND_FUNCTION void gc_at_add_##TAG(gc_attention_view mask, int64_t keys, int64_t queries, int64_t step, REAL *s) {    \
        for (int64_t i = 0; i < queries; i++) {                                                                                \
            const TYPE *from = (const TYPE *)(const void *)mask.data + i * mask.row;                                           \
            for (int64_t j = 0; j < keys; j++) {                                                                               \
                GC_AS_WRITTEN;                                                                                                 \
                s[j * step + i] += FROM(from[j * mask.column]);                                                                \
            }                                                                                                                  \
        }                                                                                                                      \
    }                                                                                                                          \
    static const gc_at_reader_##REAL_TAG gc_at_stored_##TAG __attribute__((unused)) = {sizeof(TYPE), gc_at_pack_##TAG,         \
                                                                                      gc_at_add_##TAG};                        \
    GC_KERNEL gc_attention_##TAG(const gc_call *call, int64_t tile) {                                                          \
        gc_attention_forward_##REAL_TAG(call, tile, &gc_at_stored_##TAG);                                                      \
    }                                                                                                                          \
    GC_KERNEL gc_attention_grad_##TAG(const gc_call *call, int64_t tile) {                                                     \
        gc_attention_backward_##REAL_TAG(call, tile, &gc_at_stored_##TAG, &gc_at_stored_##REAL_TAG);                           \
    }

GC_ATTENTION(f64, double, f64, double, GC_AS_IS)
GC_ATTENTION(f32, float, f32, float, GC_AS_IS)
GC_ATTENTION(bf16, uint16_t, f32, float, gc_from_bf16)
GC_ATTENTION(f16, uint16_t, f32, float, gc_from_f16)
#undef GC_ATTENTION
#undef GC_AS_WRITTEN
#undef GC_ATTEND
#undef GC_ATTEND_JOIN
#undef GC_ATTEND_JOIN_
#undef GC_ATTEND_FUNCTION
#endif
