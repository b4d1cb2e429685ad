/* The weights' gradient once for each real type: sums over positions of register blocks of taps by outputs. Vectors hold
 * outputs, for which gradients are turned, or positions, where weights are so few that their sums still fit.
 *
 * Included by conv.h after conv_real.h, with the same macros.
 */
#define GC_R(name) GC_CONV_JOIN(gc_, name, GC_TAG)

/* Some taps of the weights' gradient: sums[t * row + lane] += sum over positions p of
 * x[offsets[t] + places[p]] * g[p * vectors * lanes + lane]. */
GC_ALWAYS_INLINE void GC_R(conv_taps)(const int vectors, int64_t count, const int32_t *places, const GC_REAL *x,
                                      const int32_t *offsets, const GC_REAL *g, GC_REAL *sums, int64_t row) {
    GC_VECTOR sum[GC_CONV_TAPS][2];
    const GC_REAL *tap[GC_CONV_TAPS];
    _Pragma("GCC unroll 9") for (int t = 0; t < GC_CONV_TAPS; t++) {
        tap[t] = x + offsets[t];
        sum[t][0] = sum[t][1] = (GC_VECTOR){0};
    }
    for (int64_t p = 0; p < count; p++, g += vectors * GC_LANES) {
        const int64_t place = places[p];
        const GC_VECTOR low = GC_R(load)(g), high = vectors > 1 ? GC_R(load)(g + GC_LANES) : low;
        _Pragma("GCC unroll 9") for (int t = 0; t < GC_CONV_TAPS; t++) {
            const GC_VECTOR value = GC_R(splat)(tap[t][place]);
            sum[t][0] = GC_R(fma)(value, low, sum[t][0]);
            if (vectors > 1) sum[t][1] = GC_R(fma)(value, high, sum[t][1]);
        }
    }
    _Pragma("GCC unroll 9") for (int t = 0; t < GC_CONV_TAPS; t++) {
        GC_REAL *to = sums + t * row;
        GC_R(store)(to, GC_R(load)(to) + sum[t][0]);
        if (vectors > 1) GC_R(store)(to + GC_LANES, GC_R(load)(to + GC_LANES) + sum[t][1]);
    }
}

GC_FUNCTION void GC_R(conv_taps_1)(int64_t count, const int32_t *places, const GC_REAL *x, const int32_t *offsets,
                                   const GC_REAL *g, GC_REAL *sums, int64_t row) {
    GC_R(conv_taps)(1, count, places, x, offsets, g, sums, row);
}
GC_FUNCTION void GC_R(conv_taps_2)(int64_t count, const int32_t *places, const GC_REAL *x, const int32_t *offsets,
                                   const GC_REAL *g, GC_REAL *sums, int64_t row) {
    GC_R(conv_taps)(2, count, places, x, offsets, g, sums, row);
}

/* The same with positions in the lanes, for some taps and outputs: sums[(t * row + o) * lanes + lane] += sum over the whole
 * vectors of positions of x[offsets[t] + position] * g[o * plane + position]. */
GC_ALWAYS_INLINE void GC_R(conv_dots)(const int outputs, const gc_sweep *s, const GC_REAL *x, const int32_t *offsets,
                                      const GC_REAL *g, int64_t plane, const GC_REAL *ahead, GC_REAL *sums, int64_t row) {
    GC_VECTOR sum[GC_CONV_TAPS][GC_CONV_DOTS];
    const GC_REAL *tap[GC_CONV_TAPS];
    _Pragma("GCC unroll 9") for (int t = 0; t < GC_CONV_TAPS; t++) {
        tap[t] = x + offsets[t];
        _Pragma("GCC unroll 3") for (int o = 0; o < outputs; o++) sum[t][o] = (GC_VECTOR){0};
    }
    const int64_t across = s->columns / GC_LANES, gap = s->planes.columns - s->columns;
    for (int64_t left = s->rows * across, column = across, place = 0; left; left--, g += GC_LANES, ahead += GC_LANES) {
        GC_VECTOR value[GC_CONV_DOTS];
        _Pragma("GCC unroll 3") for (int o = 0; o < outputs; o++) value[o] = GC_R(load)(g + o * plane);
        __builtin_prefetch(ahead);
        _Pragma("GCC unroll 9") for (int t = 0; t < GC_CONV_TAPS; t++) {
            const GC_VECTOR line = GC_R(load)(tap[t] + place);
            _Pragma("GCC unroll 3") for (int o = 0; o < outputs; o++) sum[t][o] = GC_R(fma)(line, value[o], sum[t][o]);
        }
        place += GC_LANES + (--column ? 0 : gap);
        column = column ? column : across;
    }
    _Pragma("GCC unroll 9") for (int t = 0; t < GC_CONV_TAPS; t++)
        _Pragma("GCC unroll 3") for (int o = 0; o < outputs; o++) {
            GC_REAL *to = sums + (t * row + o) * GC_LANES;
            GC_R(store)(to, GC_R(load)(to) + sum[t][o]);
        }
}

#define GC_CONV_DOTS_OF(outputs)                                                                                       \
    GC_FUNCTION void GC_R(conv_dots_##outputs)(const gc_sweep *s, const GC_REAL *x, const int32_t *offsets,            \
                                               const GC_REAL *g, int64_t plane, const GC_REAL *ahead, GC_REAL *sums,   \
                                               int64_t row) {                                                          \
        GC_R(conv_dots)(outputs, s, x, offsets, g, plane, ahead, sums, row);                                           \
    }
GC_CONV_DOTS_OF(1)
GC_CONV_DOTS_OF(2)
#if GC_CONV_DOTS > 2
GC_CONV_DOTS_OF(3)
#endif
#undef GC_CONV_DOTS_OF

/* All taps and outputs of some rows of an image. */
GC_FUNCTION void GC_R(conv_dot_rows)(const gc_sweep *s, int64_t slots, const GC_REAL *x, const int32_t *offsets, const GC_REAL *g,
                                     int64_t plane, GC_REAL *sums, int64_t row) {
    for (int64_t o = 0, outputs; o < s->outputs; o += outputs, g += outputs * plane) {
        const int64_t left = s->outputs - o;
        outputs = left == 1 ? 1 : GC_CONV_DOTS == 2 || left == 2 || left == 4 ? 2 : GC_CONV_DOTS;
        for (int64_t t = 0; t < slots; t += GC_CONV_TAPS) {
            GC_REAL *to = sums + (t * row + o) * GC_LANES;
            const GC_REAL *ahead = g + (outputs + t / GC_CONV_TAPS) * plane; /* what comes next, a plane for each block of taps */
            if (outputs == 1)
                GC_R(conv_dots_1)(s, x, offsets + t, g, plane, ahead, to, row);
            else if (outputs == 2)
                GC_R(conv_dots_2)(s, x, offsets + t, g, plane, ahead, to, row);
#if GC_CONV_DOTS > 2
            else
                GC_R(conv_dots_3)(s, x, offsets + t, g, plane, ahead, to, row);
#endif
        }
    }
}

/* to[p * width + o] = from[o * plane + p], with zeros up to the width, a whole number of vectors. */
GC_FUNCTION void GC_R(conv_turn)(int64_t outputs, int64_t width, int64_t count, const GC_REAL *from, int64_t plane,
                                 GC_REAL *to) {
    for (int64_t o = 0; o < width; o += GC_LANES) {
        const int64_t rows = gc_smaller(outputs - o, GC_LANES);
        for (int64_t p = 0; p < count && count >= GC_LANES; p += GC_LANES) {
            const int64_t start = gc_smaller(p, count - GC_LANES); /* the last square may overlap the one before */
            GC_VECTOR square[GC_LANES];
            if (rows == GC_LANES)
                for (int i = 0; i < GC_LANES; i++) square[i] = GC_R(load)(from + (o + i) * plane + start);
            else
                for (int i = 0; i < GC_LANES; i++)
                    square[i] = i < rows ? GC_R(load)(from + (o + i) * plane + start) : (GC_VECTOR){0};
            GC_R(transpose)(square);
            for (int i = 0; i < GC_LANES; i++) GC_R(store)(to + (start + i) * width + o, square[i]);
        }
        for (int64_t p = 0; p < count && count < GC_LANES; p++)
            for (int64_t i = 0; i < GC_LANES; i++) to[p * width + o + i] = i < rows ? from[(o + i) * plane + p] : 0;
    }
}

/* All taps and outputs of some rows of an image, with outputs in the lanes: positions are `turned` a few at a time, and
 * `places` says where they read. */
GC_FUNCTION void GC_R(conv_tap_rows)(const gc_sweep *s, int64_t slots, const GC_REAL *x, const int32_t *offsets, const GC_REAL *g,
                                     int64_t plane, GC_REAL *sums, int64_t row, int32_t *places, GC_REAL *turned) {
    const int64_t positions = s->rows * s->columns, pair = 2 * GC_LANES;
    for (int64_t p = 0; p < positions; p += GC_CONV_PLACES) {
        const int64_t count = gc_smaller(positions - p, GC_CONV_PLACES);
        for (int64_t i = 0, r = p / s->columns, c = p % s->columns; i < count; i++) {
            places[i] = (int32_t)(r * s->planes.columns + c);
            if (++c == s->columns) c = 0, r++;
        }
        for (int64_t o = 0; o < s->outputs; o += pair) {
            const int64_t outputs = gc_smaller(s->outputs - o, pair), width = outputs > GC_LANES ? pair : GC_LANES;
            GC_R(conv_turn)(outputs, width, count, g + p + o * plane, plane, turned);
            for (int64_t t = 0; t < slots; t += GC_CONV_TAPS)
                if (width > GC_LANES)
                    GC_R(conv_taps_2)(count, places, x, offsets + t, turned, sums + t * row + o, row);
                else
                    GC_R(conv_taps_1)(count, places, x, offsets + t, turned, sums + t * row + o, row);
        }
    }
}

/* 16-bit floats as GC_REAL; returns what follows them in memory. */
typedef GC_REAL *(*GC_R(conv_widen))(const uint16_t *from, int64_t count, GC_REAL *to);

/* sums[tap * row + output] */
typedef struct GC_R(conv_sums) {
    const GC_REAL *sums;
    int64_t row;
} GC_R(conv_sums);

/* The weights' gradient for some channels and outputs of a group, summed over all images, whose x and gradient are x_step
 * and grad_step bytes apart; 16-bit floats if `widen` says how to read them. Scratch: what is widened, offsets, places,
 * sums, turned gradients, spaced planes. */
GC_FUNCTION GC_R(conv_sums) GC_R(conv_weights)(const gc_conv *g, gc_sweep *s, const void *x, int64_t x_step,
                                                    const void *grad, int64_t grad_step, char *scratch,
                                                    GC_R(conv_widen) widen) {
    const int64_t taps = s->channels * s->taps, groups = gc_parts(taps, GC_CONV_TAPS), slots = groups * GC_CONV_TAPS;
    const int dots = g->method == GC_CONV_POSITIONS;
    const int64_t row = dots ? s->outputs : gc_parts(s->outputs, GC_LANES) * GC_LANES;
    const int64_t plane = g->out_height * g->out_width, size = slots * row * (dots ? GC_LANES : 1);
    char *memory = scratch;
    if (widen) memory += 4 * (gc_conv_even(s->channels * g->height * g->width) + gc_conv_even(s->outputs * plane));
    int32_t *offsets = (int32_t *)(void *)memory, *places = offsets + slots;
    GC_REAL *sums = (GC_REAL *)(void *)(memory + gc_conv_round((slots + GC_CONV_PLACES) * 4));
    GC_REAL *turned = sums + size, *spaced = turned + GC_CONV_PLACES * 2 * GC_LANES;
    for (int64_t i = 0; i < size; i++) sums[i] = 0;
    for (int64_t image = 0; image < g->images; image++) {
        const GC_REAL *image_x = (const GC_REAL *)(const void *)((const char *)x + image * x_step);
        const GC_REAL *image_grad = (const GC_REAL *)(const void *)((const char *)grad + image * grad_step);
        if (widen) {
            GC_REAL *wide = (GC_REAL *)(void *)scratch, *rest;
            rest = widen((const uint16_t *)(const void *)image_x, s->channels * g->height * g->width, wide);
            widen((const uint16_t *)(const void *)image_grad, s->outputs * plane, rest);
            image_x = wide, image_grad = rest;
        }
        for (int64_t first = 0; first < g->out_height; first += g->tile_rows) {
            const int known = image && g->tile_rows >= g->out_height;
            if (!known) gc_conv_rows(g, s, first, gc_smaller(g->tile_rows, g->out_height - first));
            for (int64_t i = 0; i < slots && !known; i++) {
                const int64_t tap = gc_smaller(i, taps - 1);
                offsets[i] = (int32_t)(tap / s->taps * s->planes.pitch + s->tap_offset[tap % s->taps]);
            }
            GC_R(conv_space)(&s->planes, s->channels, image_x, spaced);
            const GC_REAL *from = image_grad + first * g->out_width;
            if (dots)
                GC_R(conv_dot_rows)(s, slots, spaced, offsets, from, plane, sums, row);
            else
                GC_R(conv_tap_rows)(s, slots, spaced, offsets, from, plane, sums, row, places, turned);
        }
    }
    for (int64_t i = 0; i < slots * row && dots; i++) sums[i] = GC_R(sum)(GC_R(load)(sums + i * GC_LANES));
    return (GC_R(conv_sums)){sums, row};
}

#undef GC_R
