/* Pooling over the planes of x[N, C, H, W]: max_pool2d, max_pool2d_argmax, max_pool2d_scatter, max_pool2d_gather,
 * avg_pool2d and avg_pool2d_grad, each for f64, f32, bf16, f16.
 *
 * operands  the op's inputs in order, then the output
 * params    windows (max_pool2d, max_pool2d_argmax, avg_pool2d, avg_pool2d_grad): the fields of gc_pool; for
 *           avg_pool2d_grad, height and width are those of its output, out_height and out_width of its input.
 *           positions (scatter, gather): 0 planes, 1 plane size of g or of the result, 2 plane size of the other, which
 *           positions count in, 3 planes of a tile
 * tile      a block of planes
 * scratch   2 * out_width elements of the type computed in; for 16-bit floats the scatter's or gradient's plane besides
 *
 * The maximum of a window with a NaN is NaN; of equal elements the first counts. Taps are visited row by row, so each
 * output element is combined in one order.
 */
#ifndef GRAPHC_POOL_H
#define GRAPHC_POOL_H

#include <math.h>

#include "elements.h"
#include "launch.h"

typedef struct gc_pool {
    int64_t planes, height, width, out_height, out_width, window_height, window_width;
    int64_t stride_height, stride_width, top, left, dilation_height, dilation_width;
    int64_t count_padding; /* whether a mean counts the padding it meets */
    int64_t tile_planes;
} gc_pool;

/* Output columns [first, last) that meet the plane with a tap `offset` to the right of where their window starts. */
typedef struct gc_columns {
    int64_t first, last;
} gc_columns;

static inline gc_columns gc_pool_span(const gc_pool *g, int64_t offset) {
    const int64_t missing = -offset, room = g->width - 1 - offset;
    const int64_t first = missing > 0 ? gc_parts(missing, g->stride_width) : 0;
    return (gc_columns){first, room < 0 ? 0 : gc_smaller(g->out_width, room / g->stride_width + 1)};
}

/* Runs STEP for each output row and tap that meets the plane: `base` is the tap's place for output column 0, `span` the
 * columns that it meets. BEFORE and AFTER run once for each output row. */
#define GC_POOL_WALK(BEFORE, STEP, AFTER)                                                           \
    for (int64_t row = 0; row < g->out_height; row++) {                                             \
        BEFORE;                                                                                     \
        for (int64_t i = 0; i < g->window_height; i++) {                                            \
            const int64_t y = row * g->stride_height - g->top + i * g->dilation_height;             \
            if (y < 0 || y >= g->height) continue;                                                  \
            for (int64_t j = 0; j < g->window_width; j++) {                                         \
                const int64_t offset = j * g->dilation_width - g->left, base = y * g->width + offset; \
                const gc_columns span = gc_pool_span(g, offset);                                       \
                STEP;                                                                               \
            }                                                                                       \
        }                                                                                           \
        AFTER;                                                                                      \
    }

/* LOOP(stride) with the strides that are common as constants, so that it vectorises. */
#define GC_POOL_STRIDED(LOOP)                        \
    if (g->stride_width == 1) { LOOP(1) }            \
    else if (g->stride_width == 2) { LOOP(2) }       \
    else { LOOP(g->stride_width) }

#define GC_POOL_TILE()                                                                     \
    const gc_pool *g = (const gc_pool *)call->params;                                      \
    const int64_t start = tile * g->tile_planes;                                           \
    const int64_t end = gc_smaller(start + g->tile_planes, g->planes);                     \
    const int64_t plane = g->height * g->width, out_plane = g->out_height * g->out_width;

#define GC_POOL_MAX_LOOP(stride)                                                           \
    for (int64_t k = span.first; k < span.last; k++) {                                     \
        const real value = from[base + k * stride], old = best[k];                         \
        const int better = (value > old) | (value != value);                               \
        best[k] = better ? value : old;                                                    \
    }
#define GC_POOL_ARGMAX_LOOP(stride)                                                        \
    for (int64_t k = span.first; k < span.last; k++) {                                     \
        const real value = from[base + k * stride], old = best[k];                         \
        const int32_t place = (int32_t)(base + k * stride), was = where[k];                \
        const int better = (value > old) | ((value != value) & (old == old)) | (was < 0);  \
        best[k] = better ? value : old;                                                    \
        where[k] = better ? place : was;                                                   \
    }
#define GC_POOL_SUM_LOOP(stride) \
    for (int64_t k = span.first; k < span.last; k++) best[k] += from[base + k * stride];
#define GC_POOL_SPREAD_LOOP(stride) \
    for (int64_t k = span.first; k < span.last; k++) into[base + k * stride] += share[k];

/* How many elements each mean of an output row counts. */
#define GC_POOL_COUNTS(counts)                                                                          \
    for (int64_t k = 0; k < g->out_width; k++)                                                          \
        counts[k] = (real)(g->count_padding ? g->window_height * g->window_width : 0);                  \
    for (int64_t i = 0; !g->count_padding && i < g->window_height; i++) {                               \
        const int64_t y = row * g->stride_height - g->top + i * g->dilation_height;                     \
        for (int64_t j = 0; 0 <= y && y < g->height && j < g->window_width; j++) {                      \
            const gc_columns span = gc_pool_span(g, j * g->dilation_width - g->left);                      \
            for (int64_t k = span.first; k < span.last; k++) counts[k] += 1;                            \
        }                                                                                               \
    }

#define GC_POOL_KERNELS(TAG, TYPE, REAL, FROM, TO)                                                                  \
    static void gc_max_pool2d_##TAG(const gc_call *call, int64_t tile) {                                            \
        typedef REAL real;                                                                                          \
        GC_POOL_TILE()                                                                                              \
        real *restrict best = (real *)call->scratch, *wide = best + 2 * g->out_width;                               \
        for (int64_t p = start; p < end; p++) {                                                                     \
            const real *restrict from = gc_pool_plane_##TAG((const TYPE *)gc_operand(call, 0) + p * plane, plane, wide); \
            TYPE *restrict out = (TYPE *)gc_operand(call, 1) + p * out_plane;                                       \
            GC_POOL_WALK(for (int64_t k = 0; k < g->out_width; k++) best[k] = -(real)INFINITY,                      \
                         GC_POOL_STRIDED(GC_POOL_MAX_LOOP),                                                         \
                         for (int64_t k = 0; k < g->out_width; k++) out[row * g->out_width + k] = TO(best[k]))      \
        }                                                                                                           \
    }                                                                                                               \
    static void gc_max_pool2d_argmax_##TAG(const gc_call *call, int64_t tile) {                                     \
        typedef REAL real;                                                                                          \
        GC_POOL_TILE()                                                                                              \
        real *restrict best = (real *)call->scratch, *wide = best + 2 * g->out_width;                               \
        for (int64_t p = start; p < end; p++) {                                                                     \
            const real *restrict from = gc_pool_plane_##TAG((const TYPE *)gc_operand(call, 0) + p * plane, plane, wide); \
            int32_t *restrict where = (int32_t *)gc_operand(call, 1) + p * out_plane;                               \
            GC_POOL_WALK(for (int64_t k = 0; k < g->out_width; k++) (best[k] = -(real)INFINITY, where[k] = -1),      \
                         GC_POOL_STRIDED(GC_POOL_ARGMAX_LOOP), where += g->out_width)                               \
        }                                                                                                           \
    }                                                                                                               \
    static void gc_avg_pool2d_##TAG(const gc_call *call, int64_t tile) {                                            \
        typedef REAL real;                                                                                          \
        GC_POOL_TILE()                                                                                              \
        real *restrict best = (real *)call->scratch, *restrict counts = best + g->out_width;                        \
        real *wide = counts + g->out_width;                                                                         \
        for (int64_t p = start; p < end; p++) {                                                                     \
            const real *restrict from = gc_pool_plane_##TAG((const TYPE *)gc_operand(call, 0) + p * plane, plane, wide); \
            TYPE *restrict out = (TYPE *)gc_operand(call, 1) + p * out_plane;                                       \
            GC_POOL_WALK(GC_POOL_COUNTS(counts) for (int64_t k = 0; k < g->out_width; k++) best[k] = 0,             \
                         GC_POOL_STRIDED(GC_POOL_SUM_LOOP),                                                         \
                         for (int64_t k = 0; k < g->out_width; k++) out[row * g->out_width + k] = TO(best[k] / counts[k])) \
        }                                                                                                           \
    }                                                                                                               \
    static void gc_avg_pool2d_grad_##TAG(const gc_call *call, int64_t tile) {                                       \
        typedef REAL real;                                                                                          \
        GC_POOL_TILE()                                                                                              \
        real *restrict share = (real *)call->scratch, *restrict counts = share + g->out_width;                      \
        for (int64_t p = start; p < end; p++) {                                                                     \
            const TYPE *restrict grad = (const TYPE *)gc_operand(call, 0) + p * out_plane;                          \
            TYPE *out = (TYPE *)gc_operand(call, 1) + p * plane;                                                    \
            real *restrict into = GC_IS_NATIVE(TYPE, REAL) ? (real *)(void *)out : counts + g->out_width;           \
            for (int64_t k = 0; k < plane; k++) into[k] = 0;                                                        \
            GC_POOL_WALK(GC_POOL_COUNTS(counts) for (int64_t k = 0; k < g->out_width; k++) share[k] =               \
                             FROM(grad[row * g->out_width + k]) / counts[k],                                        \
                         GC_POOL_STRIDED(GC_POOL_SPREAD_LOOP), )                                                    \
            for (int64_t k = 0; !GC_IS_NATIVE(TYPE, REAL) && k < plane; k++) out[k] = TO(into[k]);                  \
        }                                                                                                           \
    }                                                                                                               \
    static void gc_max_pool2d_scatter_##TAG(const gc_call *call, int64_t tile) {                                    \
        const int64_t *params = call->params, count = params[1], size = params[2];                                  \
        const int64_t end = gc_smaller((tile + 1) * params[3], params[0]);                                          \
        for (int64_t p = tile * params[3]; p < end; p++) {                                                          \
            const TYPE *grad = (const TYPE *)gc_operand(call, 0) + p * count;                                       \
            const int32_t *positions = (const int32_t *)gc_operand(call, 1) + p * count;                            \
            TYPE *out = (TYPE *)gc_operand(call, 2) + p * size;                                                     \
            REAL *into = GC_IS_NATIVE(TYPE, REAL) ? (REAL *)(void *)out : (REAL *)call->scratch;                    \
            for (int64_t k = 0; k < size; k++) into[k] = 0;                                                         \
            for (int64_t k = 0; k < count; k++)                                                                     \
                if (size > 0) into[gc_smaller(gc_larger(positions[k], 0), size - 1)] += FROM(grad[k]);              \
            for (int64_t k = 0; !GC_IS_NATIVE(TYPE, REAL) && k < size; k++) out[k] = TO(into[k]);                   \
        }                                                                                                           \
    }                                                                                                               \
    static void gc_max_pool2d_gather_##TAG(const gc_call *call, int64_t tile) {                                     \
        const int64_t *params = call->params, count = params[1], size = params[2];                                  \
        const int64_t end = gc_smaller((tile + 1) * params[3], params[0]);                                          \
        for (int64_t p = tile * params[3]; p < end; p++) {                                                          \
            const TYPE *from = (const TYPE *)gc_operand(call, 0) + p * size;                                        \
            const int32_t *positions = (const int32_t *)gc_operand(call, 1) + p * count;                            \
            TYPE *out = (TYPE *)gc_operand(call, 2) + p * count;                                                    \
            for (int64_t k = 0; k < count; k++)                                                                     \
                out[k] = size > 0 ? from[gc_smaller(gc_larger(positions[k], 0), size - 1)] : 0;                     \
        }                                                                                                           \
    }

/* A plane in the type computed in: where it lies, or 16-bit floats widened into scratch. */
#define GC_POOL_PLANE(TAG, TYPE, REAL, FROM, TO)                                                       \
    static inline const REAL *gc_pool_plane_##TAG(const TYPE *x, int64_t size, REAL *wide) {           \
        if (GC_IS_NATIVE(TYPE, REAL)) return (const REAL *)(const void *)x;                            \
        for (int64_t i = 0; i < size; i++) wide[i] = FROM(x[i]);                                       \
        return wide;                                                                                   \
    }

GC_EACH_FLOAT(GC_POOL_PLANE)
GC_EACH_FLOAT(GC_POOL_KERNELS)

#undef GC_POOL_PLANE
#undef GC_POOL_KERNELS
#undef GC_POOL_COUNTS
#undef GC_POOL_SPREAD_LOOP
#undef GC_POOL_SUM_LOOP
#undef GC_POOL_ARGMAX_LOOP
#undef GC_POOL_MAX_LOOP
#undef GC_POOL_TILE
#undef GC_POOL_STRIDED
#undef GC_POOL_WALK
#endif
