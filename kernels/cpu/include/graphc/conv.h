/* Two-dimensional convolutions, NCHW: conv2d, conv2d_input_grad and conv2d_weight_grad, each for f32, f64, bf16, f16.
 *
 * operands  conv2d: x, w, out; conv2d_input_grad: grad, w, out; conv2d_weight_grad: x, grad, out
 * params    the fields of gc_conv
 * tiles     conv2d and conv2d_input_grad: ((image block * group blocks + group block) * row blocks + row block) * blocks of
 *           planes + block of planes, where the planes are those of the result; conv2d_weight_grad: (group * channel
 *           blocks + channel block) * output blocks + output block
 * epilogue  conv2d alone: outer = images * (groups * outputs), inner = output height * output width
 *
 * The rows that tile_rows counts are those of the result, for conv2d_input_grad in steps of the stride; the weights'
 * gradient goes by as many output rows at a time. Three ways to form vectors of positions are in conv_real.h and
 * winograd.h, three ways to the weights' gradient in conv_weights_real.h and winograd_weights.h; which is taken, and the
 * scratch sizes, graphc/backends/cpu/convolution.py works out. 16-bit floats are converted to float32 item by item and
 * results rounded once.
 */
#ifndef GRAPHC_CONV_H
#define GRAPHC_CONV_H

#include <string.h>

#include "elements.h"
#include "launch.h"
#include "pairs.h"

/* A register block: outputs by vectors of positions; taps by two vectors of outputs, or by outputs. */
#if defined(__AVX512F__) || defined(__aarch64__)
#define GC_CONV_ROWS 8
#define GC_CONV_TAPS 9
#define GC_CONV_DOTS 3
#else
#define GC_CONV_ROWS 4
#define GC_CONV_TAPS 6
#define GC_CONV_DOTS 2
#endif
#define GC_CONV_VECTORS 3
#define GC_CONV_PLACES 128 /* positions that the weights' gradient sums at a time */

#define GC_CONV_PASTE_(a, b) a##_##b
#define GC_CONV_PASTE(a, b) GC_CONV_PASTE_(a, b)
#define GC_CONV_JOIN(prefix, name, tag) GC_CONV_PASTE(prefix##name, tag)

/* Each vector reads in one row; gathered from several rows; squares of a 3x3 convolution. The weights' gradient has outputs
 * in its vectors, or whole ones of positions in rows. */
enum { GC_CONV_LINES, GC_CONV_PATCHES, GC_CONV_SQUARES, GC_CONV_POSITIONS };

/* Sizes of a convolution; `channels` and `outputs` are those of one group. */
typedef struct gc_conv {
    int64_t images, groups, channels, outputs;
    int64_t height, width, out_height, out_width, kernel_height, kernel_width;
    int64_t stride_height, stride_width, top, left, dilation_height, dilation_width;
    int64_t tile_images, tile_groups, tile_rows, tile_channels, tile_outputs;
    int64_t slice;   /* channels of the source that are summed before going on to the next tile of the result */
    int64_t method; /* how vectors of positions are made: GC_CONV_LINES and so on */
    int64_t band;    /* rows of squares that Winograd's method works on at a time */
} gc_conv;

/* Planes of a source, spaced so that each tap reads lines: zeros around them, and what lies a stride apart side by side, in
 * planes ("phases") of their own. */
typedef struct gc_planes {
    int64_t height, width, top, left; /* of the source, and the zeros before it */
    int64_t step_height, step_width, phases_height, phases_width;
    int64_t rows, columns; /* of a phase */
    int64_t pitch;         /* elements from one channel to the next */
} gc_planes;

/* A convolution with unit strides over spaced planes. A tap is read at tap_offset in the planes of its channel, and its
 * weight at tap_weight in the weights of its channel. */
typedef struct gc_sweep {
    gc_planes planes;
    int64_t channels, outputs, rows, columns, taps;
    int64_t output_step, channel_step; /* in the weights */
    int64_t slice, patches, in_place, band;
    int32_t *tap_weight, *tap_offset;
} gc_sweep;

/* Which part of the result a tile is. */
typedef struct gc_conv_part {
    int64_t image, images, group, groups, row, rows, plane, planes;
} gc_conv_part;

static inline int64_t gc_conv_strip(int64_t left) {
    return left >= GC_CONV_ROWS ? GC_CONV_ROWS : left >= 4 ? 4 : left >= 2 ? 2 : 1;
}

/* Steps to get to `distance` or beyond. */
static inline int64_t gc_conv_steps(int64_t distance, int64_t step) { return distance > 0 ? gc_parts(distance, step) : 0; }

/* Memory that will be read soon, to be fetched in equal steps. A prefetch of an address that is not there does nothing. */
typedef struct gc_ahead {
    const char *from, *end;
    int64_t step;
} gc_ahead;

static inline gc_ahead gc_ahead_of(const void *from, int64_t bytes, int64_t steps) {
    return (gc_ahead){from, (const char *)from + bytes, gc_parts(bytes, 64 * (steps ? steps : 1)) * 64};
}

static inline void gc_fetch_ahead(gc_ahead *ahead) {
    const char *stop = ahead->end - ahead->from < ahead->step ? ahead->end : ahead->from + ahead->step;
    const char *from = ahead->from;
    for (; from < stop; from += 64) __builtin_prefetch(from, 0, 2);
    ahead->from = stop;
}

/* Vectors of a block when so many are left: blocks of one are slow. */
static inline int gc_conv_vectors(int64_t left) { return left > 4 || left == 3 ? 3 : left == 1 ? 1 : 2; }

static inline int64_t gc_conv_round(int64_t bytes) { return (bytes + 63) / 64 * 64; }
static inline int64_t gc_conv_even(int64_t elements) { return (elements + 15) / 16 * 16; }

/* An odd number of lines of 64 bytes (for float32), lest channels fall into the same sets of the cache. */
static inline int64_t gc_conv_pitch(const gc_planes *p) {
    const int64_t size = p->phases_height * p->phases_width * p->rows * p->columns;
    return (gc_parts(size, 16) | 1) * 16;
}

/* Whether each output position reads the input at the same position alone. */
static inline int gc_conv_is_product(const gc_conv *g) {
    return g->kernel_height == 1 && g->kernel_width == 1 && g->stride_height == 1 && g->stride_width == 1 &&
           g->top == 0 && g->left == 0 && g->out_height == g->height && g->out_width == g->width;
}

static inline gc_conv_part gc_conv_part_of(const gc_conv *g, int64_t rows, int64_t planes, int64_t tile_planes, int64_t tile) {
    const int64_t plane_blocks = gc_parts(planes, tile_planes), row_blocks = gc_parts(rows, g->tile_rows);
    const int64_t group_blocks = gc_parts(g->groups, g->tile_groups);
    gc_conv_part p;
    p.plane = tile % plane_blocks * tile_planes;
    p.planes = gc_smaller(tile_planes, planes - p.plane);
    p.row = tile / plane_blocks % row_blocks * g->tile_rows;
    p.rows = gc_smaller(g->tile_rows, rows - p.row);
    p.group = tile / plane_blocks / row_blocks % group_blocks * g->tile_groups;
    p.groups = gc_smaller(g->tile_groups, g->groups - p.group);
    p.image = tile / plane_blocks / row_blocks / group_blocks * g->tile_images;
    p.images = gc_smaller(g->tile_images, g->images - p.image);
    return p;
}

/* `rows` output rows from `first` on: what they read, and at which offsets. */
GC_FUNCTION void gc_conv_rows(const gc_conv *g, gc_sweep *s, int64_t first, int64_t rows) {
    gc_planes *p = &s->planes;
    const int64_t down = (g->kernel_height - 1) * g->dilation_height, across = (g->kernel_width - 1) * g->dilation_width;
    p->height = g->height, p->width = g->width;
    p->step_height = g->stride_height, p->step_width = g->stride_width;
    p->top = g->top - first * g->stride_height, p->left = g->left;
    p->phases_height = gc_smaller(g->stride_height, down + 1), p->phases_width = gc_smaller(g->stride_width, across + 1);
    p->rows = rows + down / g->stride_height, p->columns = g->out_width + across / g->stride_width;
    s->rows = rows, s->columns = g->out_width;
    s->taps = g->kernel_height * g->kernel_width;
    p->pitch = s->in_place ? g->height * g->width : gc_conv_pitch(p);
    for (int64_t t = 0; t < s->taps; t++) {
        const int64_t y = t / g->kernel_width * g->dilation_height, x = t % g->kernel_width * g->dilation_width;
        const int64_t phase = y % g->stride_height * p->phases_width + x % g->stride_width;
        s->tap_weight[t] = (int32_t)t;
        s->tap_offset[t] = (int32_t)((phase * p->rows + y / g->stride_height) * p->columns + x / g->stride_width);
    }
}

/* The input's gradient at rows stride * t + row, t from `first` on, and likewise along columns: which taps reach them, and
 * where in the planes of the output's gradient. Row y of the input is row y + top of the padded one. */
GC_FUNCTION void gc_conv_residue(const gc_conv *g, gc_sweep *s, int64_t first, int64_t rows, int64_t row, int64_t column) {
    gc_planes *p = &s->planes;
    const int64_t down = (g->kernel_height - 1) * g->dilation_height / g->stride_height;
    const int64_t across = (g->kernel_width - 1) * g->dilation_width / g->stride_width, start = g->left / g->stride_width;
    p->height = g->out_height, p->width = g->out_width;
    p->step_height = p->step_width = p->phases_height = p->phases_width = 1;
    p->top = down - first, p->left = across - start;
    s->rows = rows, s->columns = (g->left + g->width - 1) / g->stride_width - start + 1;
    p->rows = rows + down, p->columns = s->columns + across;
    p->pitch = s->in_place ? g->out_height * g->out_width : gc_conv_pitch(p);
    s->taps = 0;
    for (int64_t t = g->kernel_height * g->kernel_width - 1; t >= 0; t--) {
        const int64_t y = t / g->kernel_width * g->dilation_height, x = t % g->kernel_width * g->dilation_width;
        if (y % g->stride_height != row || x % g->stride_width != column) continue;
        s->tap_weight[s->taps] = (int32_t)t;
        s->tap_offset[s->taps++] = (int32_t)((down - y / g->stride_height) * p->columns + across - x / g->stride_width);
    }
}

/* How many steps of the stride the rows of the input are. */
static inline int64_t gc_conv_residue_rows(const gc_conv *g) {
    return (g->top + g->height - 1) / g->stride_height - g->top / g->stride_height + 1;
}

/* The launch's epilogue on one image of a tile. Scratch is the epilogue's then. */
static inline void gc_conv_finish(const gc_call *call, const gc_conv_part *part, int64_t image) {
    const gc_conv *g = (const gc_conv *)call->params;
    if (!call->program) return;
    const int64_t plane = ((part->image + image) * g->groups + part->group) * g->outputs + part->plane;
    gc_run_region(call, plane, plane + part->planes, part->row * g->out_width, (part->row + part->rows) * g->out_width);
}

#define GC_TAG f32
#define GC_REAL float
#define GC_VECTOR gc_f32v
#define GC_MASK gc_i32v
#define GC_LANES GC_F32_LANES
#include "conv_real.h"
#include "conv_weights_real.h"
#undef GC_TAG
#undef GC_REAL
#undef GC_VECTOR
#undef GC_MASK
#undef GC_LANES

#define GC_TAG f64
#define GC_REAL double
#define GC_VECTOR gc_f64v
#define GC_MASK gc_i64v
#define GC_LANES GC_F64_LANES
#include "conv_real.h"
#include "conv_weights_real.h"
#undef GC_TAG
#undef GC_REAL
#undef GC_VECTOR
#undef GC_MASK
#undef GC_LANES

#include "winograd.h"
#include "winograd_weights.h"

/* Winograd's method is for float32. */
GC_ALWAYS_INLINE void gc_conv_do_f32(const gc_conv *g, const int even, gc_sweep *s, const gc_conv_job_f32 job) {
    if (g->method != GC_CONV_SQUARES) {
        gc_conv_run_f32(even, s, job);
        return;
    }
    gc_winograd_run_f32(even, s, job);
}
GC_ALWAYS_INLINE void gc_conv_do_f64(const gc_conv *g, const int even, gc_sweep *s, const gc_conv_job_f64 job) {
    (void)g;
    gc_conv_run_f64(even, s, job);
}

/* A sweep whose lists of taps lie at the front of the scratch, and what of the scratch is left. */
#define GC_CONV_SWEEP(CHANNELS, OUTPUTS, OUTPUT_STEP, CHANNEL_STEP)                                                    \
    const int64_t window = g->kernel_height * g->kernel_width, taps = g->channels * window;                            \
    const int64_t plane = g->height * g->width, out_plane = g->out_height * g->out_width;                              \
    gc_sweep s;                                                                                                        \
    s.tap_weight = (int32_t *)(void *)call->scratch, s.tap_offset = s.tap_weight + window;                             \
    s.channels = CHANNELS, s.outputs = OUTPUTS, s.output_step = OUTPUT_STEP, s.channel_step = CHANNEL_STEP;            \
    s.taps = window, s.slice = g->slice, s.patches = g->method == GC_CONV_PATCHES, s.in_place = gc_conv_is_product(g); \
    s.band = g->band;                                                                                                  \
    char *scratch = call->scratch + gc_conv_round(2 * window * 4);

/* Sizes of an item, an image's group, and where the groups of a tile end. */
#define GC_CONV_SIZES                                                                                                  \
    const int64_t plane = g->height * g->width, out_plane = g->out_height * g->out_width, end = part.group + part.groups; \
    const int64_t x_size = g->channels * plane, out_size = g->outputs * out_plane;                                     \
    const int64_t w_size = g->outputs * g->channels * g->kernel_height * g->kernel_width;                              \
    (void)plane, (void)out_plane;

/* `g` is what call->params says: read once, before anything is called, so that in generated C it stays constant. */
#define GC_CONV_REAL(TAG, REAL)                                                                                        \
    /* One group of a tile of conv2d: images x_step elements apart in x, out_step in out. */                           \
    GC_ALWAYS_INLINE void gc_conv_forward_##TAG(const gc_call *call, const gc_conv *g, gc_conv_part part,              \
                                                int64_t images, const REAL *x, int64_t x_step, const REAL *w,          \
                                                REAL *out, int64_t out_step) {                                         \
        GC_CONV_SWEEP(g->channels, part.planes, taps, window)                                                          \
        gc_conv_rows(g, &s, part.row, part.rows);                                                                      \
        const int even = g->outputs % GC_CONV_ROWS == 0 && g->tile_outputs % GC_CONV_ROWS == 0;                        \
        gc_conv_do_##TAG(g, even, &s, (gc_conv_job_##TAG){                                                               \
            images, x + (s.in_place ? part.row * g->width : 0), x_step, w + part.plane * taps,                         \
            out + part.plane * out_plane + part.row * g->out_width, out_step, out_plane, scratch});                    \
        (void)plane;                                                                                                   \
    }                                                                                                                  \
    GC_KERNEL gc_conv2d_##TAG(const gc_call *call, int64_t tile) {                                                     \
        const gc_conv *g = (const gc_conv *)call->params;                                                              \
        gc_conv_part part = gc_conv_part_of(g, g->out_height, g->outputs, g->tile_outputs, tile);                      \
        GC_CONV_SIZES                                                                                                  \
        for (; part.group < end; part.group++) {                                                                       \
            const int64_t item = part.image * g->groups + part.group;                                                  \
            gc_conv_forward_##TAG(call, g, part, part.images, (const REAL *)gc_operand(call, 0) + item * x_size,       \
                                  g->groups * x_size, (const REAL *)gc_operand(call, 1) + part.group * w_size,         \
                                  (REAL *)gc_operand(call, 2) + item * out_size, g->groups * out_size);                \
            for (int64_t image = 0; image < part.images; image++) gc_conv_finish(call, &part, image);                  \
        }                                                                                                              \
    }                                                                                                                  \
    /* One group of a tile of conv2d_input_grad. Gradients of strided convolutions are found residue by residue. */    \
    GC_ALWAYS_INLINE void gc_conv_backward_##TAG(const gc_call *call, const gc_conv *g, gc_conv_part part,             \
                                                 int64_t images, const REAL *grad, int64_t grad_step, const REAL *w,   \
                                                 REAL *out, int64_t out_step) {                                        \
        GC_CONV_SWEEP(g->outputs, part.planes, window, taps)                                                           \
        const int64_t first = g->top / g->stride_height + part.row;                                                    \
        const int even = g->channels % GC_CONV_ROWS == 0 && g->tile_channels % GC_CONV_ROWS == 0;                      \
        w += part.plane * window, out += part.plane * plane;                                                           \
        if (g->stride_height == 1 && g->stride_width == 1) {                                                           \
            gc_conv_residue(g, &s, first, part.rows, 0, 0);                                                            \
            gc_conv_do_##TAG(g, even, &s, (gc_conv_job_##TAG){                                                           \
                images, grad + (s.in_place ? part.row * g->width : 0), grad_step, w, out + part.row * g->width, out_step, \
                plane, scratch});                                                                                      \
            return;                                                                                                    \
        }                                                                                                              \
        for (int64_t row = 0; row < g->stride_height; row++)                                                           \
            for (int64_t column = 0; column < g->stride_width; column++) {                                             \
                gc_conv_residue(g, &s, first, part.rows, row, column);                                                 \
                const int64_t size = s.rows * s.columns;                                                               \
                REAL *found = (REAL *)(void *)scratch;                                                                 \
                gc_conv_do_##TAG(g, even, &s, (gc_conv_job_##TAG){                                                       \
                    images, grad, grad_step, w, found, part.planes * size, size,                                       \
                    scratch + gc_conv_round(images * part.planes * size * (int64_t)sizeof(REAL))});                 \
                for (int64_t image = 0; image < images; image++)                                                       \
                    gc_conv_spread_##TAG(g, &s, part.planes, first, row, column,                                       \
                                         found + image * part.planes * size, out + image * out_step);                  \
            }                                                                                                          \
        (void)out_plane;                                                                                               \
    }                                                                                                                  \
    GC_KERNEL gc_conv2d_input_grad_##TAG(const gc_call *call, int64_t tile) {                                          \
        const gc_conv *g = (const gc_conv *)call->params;                                                              \
        gc_conv_part part = gc_conv_part_of(g, gc_conv_residue_rows(g), g->channels, g->tile_channels, tile);          \
        GC_CONV_SIZES                                                                                                  \
        for (; part.group < end; part.group++) {                                                                       \
            const int64_t item = part.image * g->groups + part.group;                                                  \
            gc_conv_backward_##TAG(call, g, part, part.images, (const REAL *)gc_operand(call, 0) + item * out_size,    \
                                   g->groups * out_size, (const REAL *)gc_operand(call, 1) + part.group * w_size,      \
                                   (REAL *)gc_operand(call, 2) + item * x_size, g->groups * x_size);                   \
        }                                                                                                              \
    }


GC_CONV_REAL(f32, float)
GC_CONV_REAL(f64, double)
#undef GC_CONV_REAL

/* 16-bit floats: an image's group at a time in float32. */
#define GC_CONV_HALF(TAG)                                                                                              \
    GC_FUNCTION float *gc_conv_widen_##TAG(const uint16_t *from, int64_t count, float *to) {                           \
        for (int64_t i = 0; i < count; i++) to[i] = gc_from_##TAG(from[i]);                                            \
        return to + gc_conv_even(count);                                                                               \
    }                                                                                                                  \
    GC_FUNCTION void gc_conv_narrow_##TAG(const float *from, int64_t count, uint16_t *to) {                            \
        for (int64_t i = 0; i < count; i++) to[i] = gc_to_##TAG(from[i]);                                              \
    }                                                                                                                  \
    GC_KERNEL gc_conv2d_##TAG(const gc_call *call, int64_t tile) {                                                     \
        const gc_conv *g = (const gc_conv *)call->params;                                                              \
        gc_conv_part part = gc_conv_part_of(g, g->out_height, g->outputs, g->tile_outputs, tile);                      \
        GC_CONV_SIZES                                                                                                  \
        for (; part.group < end; part.group++)                                                                         \
            for (int64_t image = 0; image < part.images; image++) {                                                    \
                const int64_t item = (part.image + image) * g->groups + part.group;                                    \
                gc_call rest = *call;                                                                                  \
                float *x = (float *)(void *)call->scratch;                                                             \
                float *w = gc_conv_widen_##TAG((const uint16_t *)gc_operand(call, 0) + item * x_size, x_size, x);      \
                float *out = gc_conv_widen_##TAG((const uint16_t *)gc_operand(call, 1) + part.group * w_size, w_size, w); \
                rest.scratch = (char *)(out + gc_conv_even(out_size));                                                 \
                gc_conv_forward_f32(&rest, g, part, 1, x, 0, w, out, 0);                                               \
                const int64_t from = part.plane * out_plane;                                                           \
                gc_conv_narrow_##TAG(out + from, part.planes * out_plane,                                              \
                                     (uint16_t *)gc_operand(call, 2) + item * out_size + from);                        \
                gc_conv_finish(call, &part, image);                                                                    \
            }                                                                                                          \
    }                                                                                                                  \
    GC_KERNEL gc_conv2d_input_grad_##TAG(const gc_call *call, int64_t tile) {                                          \
        const gc_conv *g = (const gc_conv *)call->params;                                                              \
        gc_conv_part part = gc_conv_part_of(g, gc_conv_residue_rows(g), g->channels, g->tile_channels, tile);          \
        GC_CONV_SIZES                                                                                                  \
        for (; part.group < end; part.group++)                                                                         \
            for (int64_t image = 0; image < part.images; image++) {                                                    \
                const int64_t item = (part.image + image) * g->groups + part.group;                                    \
                gc_call rest = *call;                                                                                  \
                float *grad = (float *)(void *)call->scratch;                                                          \
                float *w = gc_conv_widen_##TAG((const uint16_t *)gc_operand(call, 0) + item * out_size, out_size, grad); \
                float *x = gc_conv_widen_##TAG((const uint16_t *)gc_operand(call, 1) + part.group * w_size, w_size, w); \
                rest.scratch = (char *)(x + gc_conv_even(x_size));                                                     \
                gc_conv_backward_f32(&rest, g, part, 1, grad, 0, w, x, 0);                                             \
                const int64_t from = part.plane * plane;                                                               \
                gc_conv_narrow_##TAG(x + from, part.planes * plane,                                                    \
                                     (uint16_t *)gc_operand(call, 2) + item * x_size + from);                          \
            }                                                                                                          \
    }

GC_CONV_HALF(bf16)
GC_CONV_HALF(f16)
#undef GC_CONV_HALF

#define GC_CONV_WEIGHTS(TAG, TYPE, REAL, WIDEN, STORE)                                                                 \
    GC_KERNEL gc_conv2d_weight_grad_##TAG(const gc_call *call, int64_t tile) {                                         \
        const gc_conv *g = (const gc_conv *)call->params;                                                              \
        const int64_t output_blocks = gc_parts(g->outputs, g->tile_outputs);                                           \
        const int64_t channel_blocks = gc_parts(g->channels, g->tile_channels);                                        \
        const int64_t output = tile % output_blocks * g->tile_outputs;                                                 \
        const int64_t channel = tile / output_blocks % channel_blocks * g->tile_channels;                              \
        const int64_t group = tile / output_blocks / channel_blocks, size = (int64_t)sizeof(TYPE);                     \
        GC_CONV_SWEEP(gc_smaller(g->tile_channels, g->channels - channel),                                             \
                      gc_smaller(g->tile_outputs, g->outputs - output), taps, window)                                  \
        s.in_place = 0;                                                                                                \
        if (sizeof(TYPE) == 4 && g->method == GC_CONV_SQUARES) {                                                       \
            gc_winograd_weight_grad(                                                                                   \
                g, &s, (const float *)gc_operand(call, 0) + (group * g->channels + channel) * plane,                   \
                g->groups * g->channels * plane,                                                                       \
                (const float *)gc_operand(call, 1) + (group * g->outputs + output) * out_plane,                        \
                g->groups * g->outputs * out_plane,                                                                    \
                (float *)gc_operand(call, 2) + (group * g->outputs + output) * taps + channel * window, taps, scratch); \
            return;                                                                                                    \
        }                                                                                                              \
        const gc_conv_sums_##REAL found = gc_conv_weights_##REAL(                                                      \
            g, &s, (const TYPE *)gc_operand(call, 0) + (group * g->channels + channel) * plane,                        \
            g->groups * g->channels * plane * size,                                                                    \
            (const TYPE *)gc_operand(call, 1) + (group * g->outputs + output) * out_plane,                             \
            g->groups * g->outputs * out_plane * size, scratch, WIDEN);                                                \
        TYPE *out = (TYPE *)gc_operand(call, 2) + (group * g->outputs + output) * taps + channel * window;             \
        for (int64_t o = 0; o < s.outputs; o++, out += taps)                                                           \
            for (int64_t t = 0; t < s.channels * window; t++) out[t] = STORE(found.sums[t * found.row + o]);           \
    }

GC_CONV_WEIGHTS(f32, float, f32, NULL, GC_AS_IS)
GC_CONV_WEIGHTS(f64, double, f64, NULL, GC_AS_IS)
GC_CONV_WEIGHTS(bf16, uint16_t, f32, gc_conv_widen_bf16, gc_to_bf16)
GC_CONV_WEIGHTS(f16, uint16_t, f32, gc_conv_widen_f16, gc_to_f16)
#undef GC_CONV_WEIGHTS
#undef GC_CONV_SWEEP
#undef GC_CONV_SIZES
#endif
