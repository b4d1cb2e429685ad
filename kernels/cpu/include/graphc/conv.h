/* Two-dimensional convolutions, NCHW: conv2d, conv2d_input_grad and conv2d_weight_grad, each for f32, f64, bf16, f16.
 *
 * operands  conv2d: x, w, out; conv2d_input_grad: grad, w, out; conv2d_weight_grad: x, grad, out
 * params    the fields of gc_conv
 * tiles     conv2d: (item block) * row blocks + row block; conv2d_input_grad: (item block) * channel blocks + channel
 *           block; conv2d_weight_grad: ((group) * channel blocks + channel block) * output blocks + output block.
 *           An item is an image's group, items are numbered as they lie in memory.
 * epilogue  conv2d alone: outer = images * (groups * outputs), inner = output height * output width
 *
 * Sums run over the taps, or for the weights' gradient over images and positions, in a fixed order. 16-bit floats are
 * converted to float32 item by item and results rounded once. Scratch sizes are worked out in library_convolution.py.
 */
#ifndef GRAPHC_CONV_H
#define GRAPHC_CONV_H

#include "elements.h"
#include "gemm.h"

/* Sizes of a convolution; `channels` and `outputs` are those of one group. */
typedef struct gc_conv {
    int64_t images, groups, channels, outputs;
    int64_t height, width, out_height, out_width, kernel_height, kernel_width;
    int64_t stride_height, stride_width, top, left, dilation_height, dilation_width;
    int64_t tile_items, tile_rows, tile_channels, tile_outputs; /* those that the kernel's tiles are cut by */
} gc_conv;

/* A run of output positions in one row: where it begins in the padded plane and in a patch row. */
typedef struct gc_conv_run {
    int64_t from, to, length;
} gc_conv_run;

static inline int64_t gc_conv_taps(const gc_conv *g, int64_t channels) {
    return channels * g->kernel_height * g->kernel_width;
}

/* Rows of the padded plane that `rows` output rows read. */
static inline int64_t gc_conv_padded_rows(const gc_conv *g, int64_t rows) {
    const int64_t last = (rows - 1) * g->stride_height + (g->kernel_height - 1) * g->dilation_height;
    return rows > 0 && g->kernel_height > 0 ? last + 1 : 0;
}

static inline int64_t gc_conv_padded_width(const gc_conv *g) {
    const int64_t last = (g->out_width - 1) * g->stride_width + (g->kernel_width - 1) * g->dilation_width;
    return g->out_width > 0 && g->kernel_width > 0 ? last + 1 : 0;
}

/* Whether the patches are the input itself. */
static inline int gc_conv_is_product(const gc_conv *g) {
    return g->kernel_height == 1 && g->kernel_width == 1 && g->stride_height == 1 && g->stride_width == 1 &&
           g->top == 0 && g->left == 0 && g->out_height == g->height && g->out_width == g->width;
}

/* Where taps [start, start + count) lie relative to an output position's place in the padded planes. */
static inline void gc_conv_offsets(const gc_conv *g, int64_t padded_rows, int64_t start, int64_t count, int64_t *offsets) {
    const int64_t width = gc_conv_padded_width(g), window = g->kernel_height * g->kernel_width;
    for (int64_t i = 0; i < count; i++) {
        const int64_t channel = (start + i) / window, tap = (start + i) % window;
        const int64_t row = tap / g->kernel_width * g->dilation_height, column = tap % g->kernel_width * g->dilation_width;
        offsets[i] = (channel * padded_rows + row) * width + column;
    }
}

/* Output positions [start, start + count) as runs; returns how many. */
static inline int64_t gc_conv_runs(const gc_conv *g, int64_t start, int64_t count, gc_conv_run *run) {
    const int64_t width = gc_conv_padded_width(g);
    int64_t runs = 0, row = start / g->out_width, column = start % g->out_width;
    for (int64_t done = 0; done < count; row++, column = 0) {
        const int64_t length = gc_smaller(g->out_width - column, count - done);
        run[runs++] = (gc_conv_run){row * g->stride_height * width + column * g->stride_width, done, length};
        done += length;
    }
    return runs;
}

#define GC_TAG f32
#define GC_REAL float
#define GC_VECTOR gc_f32v
#define GC_LANES GC_F32_LANES
#include "conv_real.h"
#undef GC_TAG
#undef GC_REAL
#undef GC_VECTOR
#undef GC_LANES

#define GC_TAG f64
#define GC_REAL double
#define GC_VECTOR gc_f64v
#define GC_LANES GC_F64_LANES
#include "conv_real.h"
#undef GC_TAG
#undef GC_REAL
#undef GC_VECTOR
#undef GC_LANES

/* The weights' gradient from its transposed sums. */
#define GC_CONV_TRANSPOSE_SUMS(out, STORE)                                                      \
    for (int64_t o = 0; o < outputs; o++)                                                       \
        for (int64_t t = 0; t < gc_conv_taps(g, channels); t++)                                 \
            (out)[o * gc_conv_taps(g, g->channels) + t] = STORE(sums[t * row + o]);

/* What the three kernels have in common with their 16-bit versions: how a tile is found. */
#define GC_CONV_ITEM_TILE(PARTS)                                                                \
    const gc_conv *g = (const gc_conv *)call->params;                                           \
    const int64_t parts = PARTS, part = tile % parts, start = tile / parts * g->tile_items;     \
    const int64_t end = gc_smaller(start + g->tile_items, g->images * g->groups);                 \
    const int64_t plane = g->height * g->width, out_plane = g->out_height * g->out_width;       \
    const int64_t taps = gc_conv_taps(g, g->channels);

#define GC_CONV_WEIGHT_TILE()                                                                   \
    const gc_conv *g = (const gc_conv *)call->params;                                           \
    const int64_t output_parts = gc_parts(g->outputs, g->tile_outputs);                         \
    const int64_t channel_parts = gc_parts(g->channels, g->tile_channels);                      \
    const int64_t output = tile % output_parts * g->tile_outputs;                               \
    const int64_t channel = tile / output_parts % channel_parts * g->tile_channels;             \
    const int64_t group = tile / output_parts / channel_parts;                                  \
    const int64_t outputs = gc_smaller(g->outputs - output, g->tile_outputs);                     \
    const int64_t channels = gc_smaller(g->channels - channel, g->tile_channels);                 \
    const int64_t plane = g->height * g->width, out_plane = g->out_height * g->out_width;       \
    const int64_t first_tap = gc_conv_taps(g, channel);                                         \
    const int64_t weight = (group * g->outputs + output) * gc_conv_taps(g, g->channels) + first_tap;

static inline void gc_conv_epilogue(const gc_call *call, const gc_conv *g, int64_t item, int64_t first, int64_t rows) {
    if (!call->program) return;
    gc_tile_run(call, item * g->outputs, (item + 1) * g->outputs, first * g->out_width, (first + rows) * g->out_width);
}

#define GC_CONV_REAL(TAG, REAL, LANES)                                                                             \
    static void gc_conv2d_##TAG(const gc_call *call, int64_t tile) {                                               \
        GC_CONV_ITEM_TILE(gc_parts(g->out_height, g->tile_rows))                                                   \
        const REAL *x = gc_operand(call, 0), *w = gc_operand(call, 1);                                             \
        REAL *out = gc_operand(call, 2);                                                                           \
        const int64_t first = part * g->tile_rows, rows = gc_smaller(g->tile_rows, g->out_height - first);           \
        for (int64_t item = start; item < end; item++) {                                                           \
            gc_conv_forward_##TAG(g, first, rows, x + item * g->channels * plane,                                  \
                                  w + item % g->groups * g->outputs * taps, out + item * g->outputs * out_plane,   \
                                  call->scratch);                                                                  \
            gc_conv_epilogue(call, g, item, first, rows);                                                          \
        }                                                                                                          \
    }                                                                                                              \
    static void gc_conv2d_input_grad_##TAG(const gc_call *call, int64_t tile) {                                    \
        GC_CONV_ITEM_TILE(gc_parts(g->channels, g->tile_channels))                                                 \
        const REAL *grad = gc_operand(call, 0), *w = gc_operand(call, 1);                                          \
        REAL *out = gc_operand(call, 2);                                                                           \
        const int64_t channel = part * g->tile_channels, channels = gc_smaller(g->tile_channels, g->channels - channel); \
        for (int64_t item = start; item < end; item++)                                                             \
            gc_conv_input_grad_##TAG(g, channels, grad + item * g->outputs * out_plane,                            \
                                     w + item % g->groups * g->outputs * taps + gc_conv_taps(g, channel),          \
                                     out + (item * g->channels + channel) * plane, call->scratch);                 \
    }                                                                                                              \
    static void gc_conv2d_weight_grad_##TAG(const gc_call *call, int64_t tile) {                                   \
        GC_CONV_WEIGHT_TILE()                                                                                      \
        const REAL *x = gc_operand(call, 0), *grad = gc_operand(call, 1);                                          \
        REAL *out = (REAL *)gc_operand(call, 2) + weight, *sums = (REAL *)call->scratch;                           \
        const int64_t row = gc_parts(outputs, 2 * LANES) * 2 * LANES, size = gc_conv_taps(g, channels) * row;      \
        for (int64_t i = 0; i < size; i++) sums[i] = 0;                                                            \
        for (int64_t item = group; item < g->images * g->groups; item += g->groups)                                \
            gc_conv_weight_grad_##TAG(g, channels, outputs, x + (item * g->channels + channel) * plane,            \
                                      grad + (item * g->outputs + output) * out_plane, sums, row,                  \
                                      (char *)(sums + size));                                                      \
        GC_CONV_TRANSPOSE_SUMS(out, GC_AS_IS)                                                                       \
    }

GC_CONV_REAL(f32, float, GC_F32_LANES)
GC_CONV_REAL(f64, double, GC_F64_LANES)
#undef GC_CONV_REAL

#define GC_CONV_HALF(TAG)                                                                                          \
    static inline float *gc_widen_##TAG(const uint16_t *from, int64_t count, float *to) {                          \
        for (int64_t i = 0; i < count; i++) to[i] = gc_from_##TAG(from[i]);                                        \
        return to + count;                                                                                         \
    }                                                                                                              \
    static inline void gc_narrow_##TAG(const float *from, int64_t count, uint16_t *to) {                           \
        for (int64_t i = 0; i < count; i++) to[i] = gc_to_##TAG(from[i]);                                          \
    }                                                                                                              \
    static void gc_conv2d_##TAG(const gc_call *call, int64_t tile) {                                               \
        GC_CONV_ITEM_TILE(1)                                                                                       \
        const uint16_t *x = gc_operand(call, 0), *w = gc_operand(call, 1);                                         \
        uint16_t *out = gc_operand(call, 2);                                                                       \
        const int64_t w_size = g->outputs * taps, x_size = g->channels * plane, out_size = g->outputs * out_plane; \
        for (int64_t item = start + part; item < end; item++) {                                                    \
            float *wide_x = (float *)call->scratch;                                                                \
            float *wide_w = gc_widen_##TAG(x + item * x_size, x_size, wide_x);                                     \
            float *wide_out = gc_widen_##TAG(w + item % g->groups * w_size, w_size, wide_w);                       \
            gc_conv_forward_f32(g, 0, g->out_height, wide_x, wide_w, wide_out, (char *)(wide_out + out_size));     \
            gc_narrow_##TAG(wide_out, out_size, out + item * out_size);                                            \
            gc_conv_epilogue(call, g, item, 0, g->out_height);                                                     \
        }                                                                                                          \
    }                                                                                                              \
    static void gc_conv2d_input_grad_##TAG(const gc_call *call, int64_t tile) {                                    \
        GC_CONV_ITEM_TILE(1)                                                                                       \
        const uint16_t *grad = gc_operand(call, 0), *w = gc_operand(call, 1);                                      \
        uint16_t *out = gc_operand(call, 2);                                                                       \
        const int64_t w_size = g->outputs * taps, x_size = g->channels * plane, out_size = g->outputs * out_plane; \
        for (int64_t item = start + part; item < end; item++) {                                                    \
            float *wide_grad = (float *)call->scratch;                                                             \
            float *wide_w = gc_widen_##TAG(grad + item * out_size, out_size, wide_grad);                           \
            float *wide_x = gc_widen_##TAG(w + item % g->groups * w_size, w_size, wide_w);                         \
            gc_conv_input_grad_f32(g, g->channels, wide_grad, wide_w, wide_x, (char *)(wide_x + x_size));          \
            gc_narrow_##TAG(wide_x, x_size, out + item * x_size);                                                  \
        }                                                                                                          \
    }                                                                                                              \
    static void gc_conv2d_weight_grad_##TAG(const gc_call *call, int64_t tile) {                                   \
        GC_CONV_WEIGHT_TILE()                                                                                      \
        const uint16_t *x = gc_operand(call, 0), *grad = gc_operand(call, 1);                                      \
        uint16_t *out = (uint16_t *)gc_operand(call, 2) + weight;                                                  \
        const int64_t row = gc_parts(outputs, 2 * GC_F32_LANES) * 2 * GC_F32_LANES;                                \
        const int64_t size = gc_conv_taps(g, channels) * row;                                                      \
        float *sums = (float *)call->scratch;                                                                      \
        for (int64_t i = 0; i < size; i++) sums[i] = 0;                                                            \
        for (int64_t item = group; item < g->images * g->groups; item += g->groups) {                              \
            const uint16_t *item_x = x + (item * g->channels + channel) * plane;                                   \
            const uint16_t *item_grad = grad + (item * g->outputs + output) * out_plane;                           \
            float *wide_grad = gc_widen_##TAG(item_x, channels * plane, sums + size);                              \
            float *rest = gc_widen_##TAG(item_grad, outputs * out_plane, wide_grad);                               \
            gc_conv_weight_grad_f32(g, channels, outputs, sums + size, wide_grad, sums, row, (char *)rest);        \
        }                                                                                                          \
        GC_CONV_TRANSPOSE_SUMS(out, gc_to_##TAG)                                                                   \
    }

GC_CONV_HALF(bf16)
GC_CONV_HALF(f16)
#undef GC_CONV_HALF
#undef GC_CONV_ITEM_TILE
#undef GC_CONV_WEIGHT_TILE
#undef GC_CONV_TRANSPOSE_SUMS
#endif
