/* Pooling over the planes of x[N, C, H, W]: max_pool2d, max_pool2d_argmax, max_pool2d_both, max_pool2d_scatter,
 * max_pool2d_gather, avg_pool2d and avg_pool2d_grad, each for f64, f32, bf16, f16.
 *
 * operands  the op's inputs in order, then the output; of max_pool2d_both the maxima, then their positions
 * params    windows (max_pool2d and its kin, avg_pool2d, avg_pool2d_grad): the fields of gc_pool; for
 *           avg_pool2d_grad, height and width are those of its output, out_height and out_width of its input.
 *           positions (scatter, gather): 0 planes, 1 plane size of g or of the result, 2 plane size of the other, which
 *           positions count in, 3 planes of a tile, 4 and 5 rows and columns of the first plane
 * tile      a block of planes
 * epilogue  max_pool2d and avg_pool2d: outer = planes, inner = a plane of the result
 * scratch   16-bit floats: the planes of x and of the result in float32; avg_pool2d_grad besides 2 * out_width elements
 *
 * The maximum of a window with a NaN is NaN; of equal elements the first counts. Taps are visited row by row, so each
 * output element is combined in one order, in whatever vector it is.
 */
#ifndef GRAPHC_POOL_H
#define GRAPHC_POOL_H

#include "elements.h"
#include "launch.h"
#include "pairs.h"

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

#define GC_POOL_PASTE_(a, b) a##b
#define GC_POOL_PASTE(a, b) GC_POOL_PASTE_(a, b)
enum { GC_POOL_ROW = 512 }; /* taps that are summed one by one */
#define GC_POOL_JOIN_(a, b) a##_##b
#define GC_POOL_JOIN(a, b) GC_POOL_JOIN_(a, b)

/* In generated C the sizes of windows are constants that their code should know; in modules it is there once. */
#ifdef GC_GENERATED
#define GC_POOL_FUNCTION GC_ALWAYS_INLINE
#else
#define GC_POOL_FUNCTION GC_FUNCTION
#endif

#if GC_VECTOR_BYTES >= 64
#define GC_TAG f32_64
#define GC_REAL float
#define GC_INDEX int32_t
#define GC_LANES 16
#include "pool_real.h"
#undef GC_TAG
#undef GC_REAL
#undef GC_INDEX
#undef GC_LANES
#endif

#if GC_VECTOR_BYTES >= 32
#define GC_TAG f32_32
#define GC_REAL float
#define GC_INDEX int32_t
#define GC_LANES 8
#include "pool_real.h"
#undef GC_TAG
#undef GC_REAL
#undef GC_INDEX
#undef GC_LANES
#endif

#define GC_TAG f32_16
#define GC_REAL float
#define GC_INDEX int32_t
#define GC_LANES 4
#include "pool_real.h"
#undef GC_TAG
#undef GC_REAL
#undef GC_INDEX
#undef GC_LANES

#if GC_VECTOR_BYTES >= 64
#define GC_TAG f64_64
#define GC_REAL double
#define GC_INDEX int64_t
#define GC_LANES 8
#include "pool_real.h"
#undef GC_TAG
#undef GC_REAL
#undef GC_INDEX
#undef GC_LANES
#endif

#if GC_VECTOR_BYTES >= 32
#define GC_TAG f64_32
#define GC_REAL double
#define GC_INDEX int64_t
#define GC_LANES 4
#include "pool_real.h"
#undef GC_TAG
#undef GC_REAL
#undef GC_INDEX
#undef GC_LANES
#endif

#define GC_TAG f64_16
#define GC_REAL double
#define GC_INDEX int64_t
#define GC_LANES 2
#include "pool_real.h"
#undef GC_TAG
#undef GC_REAL
#undef GC_INDEX
#undef GC_LANES

/* SPAN(bytes) for each length of vector, the longest first: what one leaves goes to the next. */
#if GC_VECTOR_BYTES >= 64
#define GC_POOL_SPANS(SPAN) SPAN(64) SPAN(32) SPAN(16)
#elif GC_VECTOR_BYTES >= 32
#define GC_POOL_SPANS(SPAN) SPAN(32) SPAN(16)
#else
#define GC_POOL_SPANS(SPAN) SPAN(16)
#endif
#define GC_POOL_SPAN(TAG, stride, bytes)                                                                               \
    done += gc_pool_span_##TAG##_##bytes(g, stride, top, bottom, inside - done, from + done * (stride), room - done * (stride), \
                                         place + done * (stride), mean, line ? line + done : line, where ? where + done : where);
#define GC_POOL_SPAN_F32_1(bytes) GC_POOL_SPAN(f32, 1, bytes)
#define GC_POOL_SPAN_F32_2(bytes) GC_POOL_SPAN(f32, 2, bytes)
#define GC_POOL_SPAN_F64_1(bytes) GC_POOL_SPAN(f64, 1, bytes)
#define GC_POOL_SPAN_F64_2(bytes) GC_POOL_SPAN(f64, 2, bytes)

/* The windows of a plane, of which `room` elements may be read: means if `means`, else maxima, and where they are if
 * `positions` is not NULL. */
#define GC_POOL_WINDOWS(TAG, REAL, SPAN)                                                                               \
    /* One window, any part of which may lie outside. */                                                               \
    GC_FUNCTION void gc_pool_window_##TAG(const gc_pool *g, int means, int64_t row, int64_t k, const REAL *x, REAL *out, \
                                          int32_t *positions) {                                                        \
        REAL best = 0;                                                                                                 \
        double sum = 0;                                                                                                \
        int64_t found = -1, count = 0;                                                                                 \
        for (int64_t i = 0; i < g->window_height; i++) {                                                               \
            const int64_t y = row * g->stride_height - g->top + i * g->dilation_height;                                \
            for (int64_t j = 0; j < g->window_width && 0 <= y && y < g->height; j++) {                                 \
                const int64_t column = k * g->stride_width - g->left + j * g->dilation_width;                          \
                if (column < 0 || column >= g->width) continue;                                                        \
                const REAL value = x[y * g->width + column];                                                           \
                const int better = (value > best) | ((value != value) & (best == best)) | (count == 0);                \
                sum += means ? (double)value : 0;                                                                      \
                best = better ? value : best;                                                                          \
                found = better ? y * g->width + column : found;                                                        \
                count++;                                                                                               \
            }                                                                                                          \
        }                                                                                                              \
        if (g->count_padding) count = g->window_height * g->window_width;                                              \
        if (out) out[k] = means ? (REAL)(sum / (double)count) : best;                                                  \
        if (positions) positions[k] = (int32_t)found;                                                                  \
    }                                                                                                                  \
    GC_ALWAYS_INLINE void gc_pool_walk_##TAG(const gc_pool *g, const int means, const REAL *x, int64_t available,      \
                                             REAL *out, int32_t *positions) {                                          \
        const int64_t last = (g->window_width - 1) * g->dilation_width, end = g->width - last + g->left;               \
        const int64_t first = gc_smaller(gc_parts(g->left, g->stride_width), g->out_width);                            \
        const int64_t inside = gc_larger(gc_smaller(end > 0 ? gc_parts(end, g->stride_width) : 0, g->out_width) - first, 0); \
        for (int64_t row = 0; row < g->out_height; row++) {                                                            \
            const int64_t y = row * g->stride_height - g->top;                                                         \
            const int64_t top = y < 0 ? gc_parts(-y, g->dilation_height) : 0;                                          \
            const int64_t bottom = gc_smaller(g->window_height, gc_parts(g->height - y, g->dilation_height));          \
            const int64_t place = (y + top * g->dilation_height) * g->width + first * g->stride_width - g->left;       \
            const REAL *from = x + place;                                                                              \
            const int64_t room = available - place;                                                                    \
            const REAL mean = means ? (REAL)((g->count_padding ? g->window_height : bottom - top) * g->window_width) : 0; \
            REAL *line = out ? out + row * g->out_width + first : out;                                                 \
            int32_t *where = positions ? positions + row * g->out_width + first : positions;                           \
            int64_t done = 0;                                                                                          \
            if (g->stride_width == 1) {                                                                                \
                GC_POOL_SPANS(SPAN##_1)                                                                                \
            } else if (g->stride_width == 2) {                                                                         \
                GC_POOL_SPANS(SPAN##_2)                                                                                \
            }                                                                                                          \
            for (int64_t k = 0; k < g->out_width; k++) {                                                               \
                if (k == first) k += done;                                                                             \
                if (k < g->out_width)                                                                                  \
                    gc_pool_window_##TAG(g, means, row, k, x, out ? out + row * g->out_width : out,                    \
                                         positions ? positions + row * g->out_width : positions);                      \
            }                                                                                                          \
        }                                                                                                              \
    }

GC_POOL_WINDOWS(f32, float, GC_POOL_SPAN_F32)
GC_POOL_WINDOWS(f64, double, GC_POOL_SPAN_F64)

/* The common windows of float32 with their sizes as constants, which is twice as fast. */
#define GC_POOL_COMMON(g, size)                                                                                        \
    ((g)->stride_height == 2 && (g)->stride_width == 2 && (g)->dilation_height == 1 && (g)->dilation_width == 1 &&     \
     (g)->window_height == (size) && (g)->window_width == (size))
GC_ALWAYS_INLINE gc_pool gc_pool_common(const gc_pool *g, const int64_t size) {
    gc_pool known = *g;
    known.stride_height = known.stride_width = 2, known.dilation_height = known.dilation_width = 1;
    known.window_height = known.window_width = size;
    return known;
}
#define GC_POOL_KIND(KIND, MEANS, OUT, POSITIONS)                                                                      \
    GC_POOL_FUNCTION void gc_pool_##KIND##_f32(const gc_pool *g, const float *x, int64_t room, float *out, int32_t *where) { \
        const gc_pool two = gc_pool_common(g, 2), three = gc_pool_common(g, 3);                                        \
        (void)out, (void)where;                                                                                        \
        if (GC_POOL_COMMON(g, 2))                                                                                      \
            gc_pool_walk_f32(&two, MEANS, x, room, OUT, POSITIONS);                                                    \
        else if (GC_POOL_COMMON(g, 3))                                                                                 \
            gc_pool_walk_f32(&three, MEANS, x, room, OUT, POSITIONS);                                                  \
        else                                                                                                           \
            gc_pool_walk_f32(g, MEANS, x, room, OUT, POSITIONS);                                                       \
    }                                                                                                                  \
    GC_POOL_FUNCTION void gc_pool_##KIND##_f64(const gc_pool *g, const double *x, int64_t room, double *out, int32_t *where) { \
        (void)out, (void)where;                                                                                        \
        gc_pool_walk_f64(g, MEANS, x, room, OUT, POSITIONS);                                                           \
    }
GC_POOL_KIND(maxima, 0, out, NULL)
GC_POOL_KIND(positions, 0, NULL, where)
GC_POOL_KIND(both, 0, out, where)
GC_POOL_KIND(means, 1, out, NULL)
#undef GC_POOL_KIND
#undef GC_POOL_COMMON

#define GC_POOL_TILE()                                                                     \
    const gc_pool *g = (const gc_pool *)call->params;                                      \
    const int64_t start = tile * g->tile_planes;                                           \
    const int64_t end = gc_smaller(start + g->tile_planes, g->planes);                     \
    const int64_t plane = g->height * g->width, out_plane = g->out_height * g->out_width;

/* into[stride * k] += share[k] for k < count; `room` elements may be written from `into` on. With a stride of 2, zeros are
 * added between them. */
#define GC_POOL_SPREAD(TAG, REAL, VECTOR, LANES)                                                                       \
    GC_ALWAYS_INLINE void gc_pool_spread_##TAG(int64_t count, int64_t stride, const REAL *restrict share, int64_t room, \
                                               REAL *restrict into) {                                                  \
        int64_t k = 0;                                                                                                 \
        if (stride == 1)                                                                                               \
            for (; k < count; k++) into[k] += share[k];                                                                \
        for (; stride == 2 && k + LANES <= count && 2 * (k + LANES) <= room; k += LANES) {                             \
            const VECTOR part = gc_load_##TAG(share + k), zero = {0};                                                  \
            REAL *low = into + 2 * k, *high = low + LANES;                                                             \
            gc_store_##TAG(low, gc_load_##TAG(low) + gc_first_##TAG(part, zero));                                      \
            gc_store_##TAG(high, gc_load_##TAG(high) + gc_second_##TAG(part, zero));                                   \
        }                                                                                                              \
        for (; k < count; k++) into[k * stride] += share[k];                                                           \
    }

GC_POOL_SPREAD(f32, float, gc_f32v, GC_F32_LANES)
GC_POOL_SPREAD(f64, double, gc_f64v, GC_F64_LANES)
#undef GC_POOL_SPREAD

/* What max_pool2d_scatter does, where windows of 2x2 tile the plane and each position is in its window; else returns 0. */
#define GC_POOL_TILES(TAG, REAL)                                                                                        \
    GC_ALWAYS_INLINE int gc_pool_tiles_##TAG(const REAL *g, const int32_t *positions, int64_t rows, int64_t columns,   \
                                             int64_t size, REAL *to) {                                                 \
        const int64_t bytes = columns * (int64_t)sizeof(REAL);                                                         \
        if (size != 4 * rows * columns) return 0;                                                                      \
        GC_POOL_TILES_64(TAG)                                                                                          \
        GC_POOL_TILES_32(TAG)                                                                                          \
        return bytes % 16 == 0 && gc_pool_tiles_##TAG##_16(g, positions, rows, columns, to);                           \
    }
#define GC_POOL_TILES_OF(TAG, length) \
    if (bytes % length == 0) return gc_pool_tiles_##TAG##_##length(g, positions, rows, columns, to);
#if GC_VECTOR_BYTES >= 64
#define GC_POOL_TILES_64(TAG) GC_POOL_TILES_OF(TAG, 64)
#else
#define GC_POOL_TILES_64(TAG)
#endif
#if GC_VECTOR_BYTES >= 32
#define GC_POOL_TILES_32(TAG) GC_POOL_TILES_OF(TAG, 32)
#else
#define GC_POOL_TILES_32(TAG)
#endif
GC_POOL_TILES(f32, float)
GC_POOL_TILES(f64, double)
#undef GC_POOL_TILES_32
#undef GC_POOL_TILES_64
#undef GC_POOL_TILES_OF
#undef GC_POOL_TILES

/* A position as an index that is safe. Planes have fewer than 2^31 elements. */
static inline uint32_t gc_pool_position(int32_t position, int64_t size) {
    const uint32_t last = (uint32_t)(size - 1), at = position < 0 ? 0 : (uint32_t)position;
    return at < last ? at : last;
}

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

/* A plane in the type computed in: where it lies, or 16-bit floats widened into scratch. */
#define GC_POOL_PLANE(TAG, TYPE, REAL, FROM, TO)                                                       \
    static inline const REAL *gc_pool_plane_##TAG(const TYPE *x, int64_t size, REAL *wide) {           \
        if (GC_IS_NATIVE(TYPE, REAL)) return (const REAL *)(const void *)x;                            \
        for (int64_t i = 0; i < size; i++) wide[i] = FROM(x[i]);                                       \
        return wide;                                                                                   \
    }

GC_EACH_FLOAT(GC_POOL_PLANE)
#undef GC_POOL_PLANE

/* The kernels over windows: maxima, their positions, or means. */
#define GC_POOL_FORWARD(NAME, KIND, TAG, TYPE, OF, REAL, TO, OUT, VALUES, WHERE)                                       \
    GC_KERNEL gc_##NAME##_##TAG(const gc_call *call, int64_t tile) {                                                   \
        GC_POOL_TILE()                                                                                                 \
        const int widened = VALUES && !GC_IS_NATIVE(TYPE, REAL);                                                       \
        for (int64_t p = start; p < end; p++) {                                                                        \
            const TYPE *x = (const TYPE *)gc_operand(call, 0) + p * plane;                                             \
            OUT *out = (OUT *)gc_operand(call, 1) + p * out_plane;                                                     \
            REAL *wide = (REAL *)(void *)call->scratch, *values = widened ? wide + plane : (REAL *)(void *)out;        \
            const int64_t room = GC_IS_NATIVE(TYPE, REAL) ? (g->planes - p) * plane : plane;                           \
            int32_t *where = WHERE ? (int32_t *)gc_operand(call, WHERE) + p * out_plane : NULL;                        \
            gc_pool_##KIND##_##OF(g, gc_pool_plane_##TAG(x, plane, wide), room, values, where);                        \
            for (int64_t k = 0; k < out_plane && widened; k++) out[k] = (OUT)TO(values[k]);                            \
        }                                                                                                              \
        if (VALUES && call->program) gc_run_region(call, start, end, 0, out_plane);                                      \
    }

#define GC_POOL_FORWARDS(TAG, TYPE, OF, REAL, TO)                                             \
    GC_POOL_FORWARD(max_pool2d, maxima, TAG, TYPE, OF, REAL, TO, TYPE, 1, 0)                  \
    GC_POOL_FORWARD(max_pool2d_argmax, positions, TAG, TYPE, OF, REAL, TO, int32_t, 0, 1)     \
    GC_POOL_FORWARD(max_pool2d_both, both, TAG, TYPE, OF, REAL, TO, TYPE, 1, 2)               \
    GC_POOL_FORWARD(avg_pool2d, means, TAG, TYPE, OF, REAL, TO, TYPE, 1, 0)

GC_POOL_FORWARDS(f64, double, f64, double, GC_AS_IS)
GC_POOL_FORWARDS(f32, float, f32, float, GC_AS_IS)
GC_POOL_FORWARDS(bf16, uint16_t, f32, float, gc_to_bf16)
GC_POOL_FORWARDS(f16, uint16_t, f32, float, gc_to_f16)
#undef GC_POOL_FORWARDS
#undef GC_POOL_FORWARD

#define GC_POOL_GRADIENTS(TAG, TYPE, REAL, FROM, TO, SPREAD, TILES)                                                    \
    GC_KERNEL gc_avg_pool2d_grad_##TAG(const gc_call *call, int64_t tile) {                                       \
        typedef REAL real;                                                                                          \
        GC_POOL_TILE()                                                                                              \
        REAL *restrict share = (real *)call->scratch, *restrict counts = share + g->out_width;                      \
        for (int64_t p = start; p < end; p++) {                                                                     \
            const TYPE *restrict grad = (const TYPE *)gc_operand(call, 0) + p * out_plane;                          \
            TYPE *out = (TYPE *)gc_operand(call, 1) + p * plane;                                                    \
            real *restrict into = GC_IS_NATIVE(TYPE, REAL) ? (real *)(void *)out : counts + g->out_width;           \
            for (int64_t k = 0; k < plane; k++) into[k] = 0;                                                        \
            GC_POOL_WALK(GC_POOL_COUNTS(counts) for (int64_t k = 0; k < g->out_width; k++) share[k] =               \
                             FROM(grad[row * g->out_width + k]) / counts[k],                                        \
                         SPREAD(span.last - span.first, g->stride_width, share + span.first,                        \
                                plane - base - span.first * g->stride_width, into + base + span.first * g->stride_width);, )                                                    \
            for (int64_t k = 0; !GC_IS_NATIVE(TYPE, REAL) && k < plane; k++) out[k] = TO(into[k]);                  \
        }                                                                                                           \
    }                                                                                                               \
    GC_KERNEL gc_max_pool2d_scatter_##TAG(const gc_call *call, int64_t tile) {                                    \
        const int64_t *params = call->params, count = params[1], size = params[2];                                  \
        const int64_t end = gc_smaller((tile + 1) * params[3], params[0]);                                          \
        for (int64_t p = tile * params[3]; p < end; p++) {                                                          \
            const TYPE *grad = (const TYPE *)gc_operand(call, 0) + p * count;                                       \
            const int32_t *positions = (const int32_t *)gc_operand(call, 1) + p * count;                            \
            TYPE *out = (TYPE *)gc_operand(call, 2) + p * size;                                                     \
            REAL *into = GC_IS_NATIVE(TYPE, REAL) ? (REAL *)(void *)out : (REAL *)call->scratch;                    \
            if (GC_IS_NATIVE(TYPE, REAL) && TILES((const REAL *)(const void *)grad, positions, params[4], params[5], size, into)) \
                continue;                                                                                              \
            for (int64_t k = 0; k < size; k++) into[k] = 0;                                                         \
            for (int64_t k = 0; k < count; k++)                                                                     \
                if (size > 0) into[gc_pool_position(positions[k], size)] += FROM(grad[k]);                          \
            for (int64_t k = 0; !GC_IS_NATIVE(TYPE, REAL) && k < size; k++) out[k] = TO(into[k]);                   \
        }                                                                                                           \
    }                                                                                                               \
    GC_KERNEL gc_max_pool2d_gather_##TAG(const gc_call *call, int64_t tile) {                                     \
        const int64_t *params = call->params, count = params[1], size = params[2];                                  \
        const int64_t end = gc_smaller((tile + 1) * params[3], params[0]);                                          \
        for (int64_t p = tile * params[3]; p < end; p++) {                                                          \
            const TYPE *from = (const TYPE *)gc_operand(call, 0) + p * size;                                        \
            const int32_t *positions = (const int32_t *)gc_operand(call, 1) + p * count;                            \
            TYPE *out = (TYPE *)gc_operand(call, 2) + p * count;                                                    \
            for (int64_t k = 0; k < count; k++)                                                                     \
                out[k] = size > 0 ? from[gc_pool_position(positions[k], size)] : 0;                                 \
        }                                                                                                           \
    }

GC_POOL_GRADIENTS(f64, double, double, GC_AS_IS, GC_AS_IS, gc_pool_spread_f64, gc_pool_tiles_f64)
GC_POOL_GRADIENTS(f32, float, float, GC_AS_IS, GC_AS_IS, gc_pool_spread_f32, gc_pool_tiles_f32)
GC_POOL_GRADIENTS(bf16, uint16_t, float, gc_from_bf16, gc_to_bf16, gc_pool_spread_f32, gc_pool_tiles_f32)
GC_POOL_GRADIENTS(f16, uint16_t, float, gc_from_f16, gc_to_f16, gc_pool_spread_f32, gc_pool_tiles_f32)
#undef GC_POOL_GRADIENTS
#undef GC_POOL_COUNTS
#undef GC_POOL_WINDOWS
#undef GC_POOL_SPAN_F32_1
#undef GC_POOL_SPAN_F32_2
#undef GC_POOL_SPAN_F64_1
#undef GC_POOL_SPAN_F64_2
#undef GC_POOL_SPAN
#undef GC_POOL_SPANS
#undef GC_POOL_TILE
#undef GC_POOL_WALK
#endif
