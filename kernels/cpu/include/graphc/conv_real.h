/* Convolution once for each real type: register blocks of outputs by positions.
 *
 * The includer defines GC_TAG (f32 or f64), GC_REAL, GC_VECTOR, GC_MASK and GC_LANES, and undefines them. Sources are copied into
 * spaced planes first (gc_planes), in which a tap of all windows in a row is one contiguous line whatever the stride. So
 * the forward product and the input's gradient are one routine, conv_run: for each tap, a weight times a line. Sums run in
 * the order of the taps within a slice of channels, and slices are added in order.
 */
#define GC_R(name) GC_CONV_JOIN(gc_, name, GC_TAG)
#define GC_CONV_LINE (GC_CONV_VECTORS * GC_LANES)

/* to[i] = from[i * step] for i < count. Where `free`, any number of elements up to a vector may be read behind the last one
 * and any value may be written there. */
GC_ALWAYS_INLINE void GC_R(conv_copy)(int64_t count, int64_t step, const GC_REAL *from, int free, GC_REAL *to) {
    int64_t i = 0;
    if (step == 1)
        for (; i + (free ? 1 : GC_LANES) <= count; i += GC_LANES) GC_R(store)(to + i, GC_R(load)(from + i));
    if (step == 2)
        for (; i + (free ? 1 : GC_LANES + 1) <= count; i += GC_LANES)
            GC_R(store)(to + i, GC_R(even)(GC_R(load)(from + 2 * i), GC_R(load)(from + 2 * i + GC_LANES)));
    for (; i < count; i++) to[i] = from[i * step];
}

/* Zeros, and up to a vector more of them. A few are the common case, for which a loop would become a call of memset. */
GC_ALWAYS_INLINE void GC_R(conv_clear)(int64_t count, GC_REAL *to) {
    if (count > 0) GC_R(store)(to, (GC_VECTOR){0});
    for (int64_t i = GC_LANES; i < count; i += GC_LANES) GC_R(store)(to + i, (GC_VECTOR){0});
}

/* Rows of one phase of a plane. `free` elements behind x's plane may be read. */
GC_ALWAYS_INLINE void GC_R(conv_space_rows)(const gc_planes *g, int64_t step, int64_t down, int64_t across, const GC_REAL *x,
                                            int64_t free, GC_REAL *to) {
    const int64_t start = gc_conv_steps(g->left - across, step), stop = gc_conv_steps(g->left - across + g->width, step);
    const int64_t from = gc_smaller(start, g->columns), end = gc_larger(from, gc_smaller(stop, g->columns));
    const int64_t beyond = 2 * step * GC_LANES; /* what a vector may read behind the row */
    for (int64_t row = 0; row < g->rows; row++, to += g->columns) {
        const int64_t y = row * g->step_height + down - g->top;
        const int outside = y < 0 || y >= g->height;
        GC_R(conv_clear)(outside ? g->columns : from, to);
        if (outside) continue;
        const GC_REAL *line = x + y * g->width + from * step + across - g->left;
        GC_R(conv_copy)(end - from, step, line, (g->height - 1 - y) * g->width + free >= beyond, to + from);
        GC_R(conv_clear)(g->columns - end, to + end);
    }
}

/* `channels` planes of x, spaced; x is at the first of them. What follows the planes, up to a vector, is any number. */
GC_FUNCTION void GC_R(conv_space)(const gc_planes *g, int64_t channels, const GC_REAL *x, GC_REAL *spaced) {
    const int64_t plane = g->height * g->width;
    for (int64_t c = 0; c < channels; c++, spaced += g->pitch, x += plane)
        for (int64_t phase = 0; phase < g->phases_height * g->phases_width; phase++) {
            const int64_t down = phase / g->phases_width, across = phase % g->phases_width;
            const int64_t free = (channels - 1 - c) * plane;
            GC_REAL *to = spaced + phase * g->rows * g->columns;
            GC_R(conv_space_rows)(g, g->step_width, down, across, x, free, to);
        }
}

/* Weights of one slice, as strips of outputs: for each strip, tap by tap, its outputs' weights side by side. */
GC_FUNCTION void GC_R(conv_pack)(const gc_sweep *s, int64_t outputs, int64_t channels, const GC_REAL *w, GC_REAL *packed) {
    for (int64_t o = 0, strip; o < outputs; o += strip, w += strip * s->output_step) {
        strip = gc_conv_strip(outputs - o);
        for (int64_t c = 0; c < channels; c++)
            for (int64_t t = 0; t < s->taps; t++, packed += strip) {
                const GC_REAL *from = w + c * s->channel_step + s->tap_weight[t];
                if (strip == GC_CONV_ROWS)
                    for (int i = 0; i < GC_CONV_ROWS; i++) packed[i] = from[i * s->output_step];
                else
                    for (int64_t i = 0; i < strip; i++) packed[i] = from[i * s->output_step];
            }
    }
}

/* c[v][row * c_row + lane] (+)= sum over taps of a[tap, row] * b[v][offsets[tap] + lane]. */
GC_ALWAYS_INLINE void GC_R(conv_block)(const int rows, const int vectors, int64_t depth, const GC_REAL *a,
                                       const int32_t *offsets, const GC_REAL *const *b, GC_REAL *const *c, int64_t c_row,
                                       int accumulate) {
    GC_VECTOR sum[GC_CONV_ROWS][GC_CONV_VECTORS];
    _Pragma("GCC unroll 8") for (int i = 0; i < rows; i++)
        _Pragma("GCC unroll 3") for (int v = 0; v < vectors; v++) sum[i][v] = (GC_VECTOR){0};
    const GC_REAL *b0 = b[0], *b1 = vectors > 1 ? b[1] : b0, *b2 = vectors > 2 ? b[2] : b0;
    GC_REAL *const to[GC_CONV_VECTORS] = {c[0], vectors > 1 ? c[1] : c[0], vectors > 2 ? c[2] : c[0]};
    /* the result's lines are fetched a few at a time, for the loads that the sums wait for to find their way */
    const int32_t *const end = offsets + depth, *const fetching = offsets + gc_smaller(depth, rows);
#define GC_CONV_TAP                                                                                                     \
    {                                                                                                                   \
        const int64_t place = *offsets++;                                                                               \
        GC_VECTOR line[GC_CONV_VECTORS] = {GC_R(load)(b0 + place)};                                                     \
        if (vectors > 1) line[1] = GC_R(load)(b1 + place);                                                              \
        if (vectors > 2) line[2] = GC_R(load)(b2 + place);                                                              \
        _Pragma("GCC unroll 8") for (int i = 0; i < rows; i++) {                                                        \
            const GC_VECTOR weight = GC_R(splat)(a[i]);                                                                 \
            _Pragma("GCC unroll 3") for (int v = 0; v < vectors; v++) sum[i][v] = GC_R(fma)(weight, line[v], sum[i][v]); \
        }                                                                                                               \
        a += rows;                                                                                                      \
    }
    for (int64_t fetched = 0; offsets < fetching; fetched += c_row) {
        for (int v = 0; v < vectors; v++) __builtin_prefetch(to[v] + fetched, 1);
        GC_CONV_TAP
    }
    while (offsets < end) GC_CONV_TAP
#undef GC_CONV_TAP
    _Pragma("GCC unroll 3") for (int v = 0; v < vectors; v++)
        _Pragma("GCC unroll 8") for (int i = 0; i < rows; i++) {
            GC_REAL *place = to[v] + i * c_row;
            GC_R(store)(place, accumulate ? GC_R(load)(place) + sum[i][v] : sum[i][v]);
        }
}

#define GC_CONV_BLOCK(rows, vectors)                                                                                   \
    GC_FUNCTION void GC_R(conv_block_##rows##_##vectors)(int64_t depth, const GC_REAL *a, const int32_t *offsets,      \
                                                         const GC_REAL *const *b, GC_REAL *const *c, int64_t c_row,    \
                                                         int accumulate) {                                             \
        GC_R(conv_block)(rows, vectors, depth, a, offsets, b, c, c_row, accumulate);                                   \
    }
#define GC_CONV_BLOCKS(rows) GC_CONV_BLOCK(rows, 1) GC_CONV_BLOCK(rows, 2) GC_CONV_BLOCK(rows, 3)
#if GC_CONV_ROWS > 4
GC_CONV_BLOCKS(8)
#endif
GC_CONV_BLOCKS(4)
GC_CONV_BLOCKS(2)
GC_CONV_BLOCKS(1)
#undef GC_CONV_BLOCKS
#undef GC_CONV_BLOCK

/* Up to GC_CONV_VECTORS lines of positions: where they are read and written, and how many elements of each count. */
typedef struct GC_R(conv_lines) {
    const GC_REAL *from[GC_CONV_VECTORS];
    GC_REAL *to[GC_CONV_VECTORS];
    int64_t lanes[GC_CONV_VECTORS];
    int vectors, whole;
} GC_R(conv_lines);

/* Lanes that count of a strip's results, from where they belong to a block of whole lines, or back. */
GC_FUNCTION void GC_R(conv_edges)(const GC_R(conv_lines) * lines, int64_t first, int64_t strip, int64_t plane, GC_REAL *edge,
                                  int back) {
    for (int v = 0; v < lines->vectors; v++)
        for (int64_t i = 0; i < strip; i++) {
            GC_REAL *there = lines->to[v] + (first + i) * plane, *here = edge + i * GC_CONV_LINE + v * GC_LANES;
            memcpy(back ? there : here, back ? here : there, (size_t)lines->lanes[v] * sizeof *edge);
        }
}

/* All outputs of some lines; `even` where there are only whole strips. Meanwhile, what lies `ahead` is fetched. */
GC_ALWAYS_INLINE void GC_R(conv_strips)(const int even, int64_t outputs, int64_t depth, const GC_REAL *packed,
                                        const int32_t *offsets, const GC_R(conv_lines) * lines, int64_t plane,
                                        int accumulate, gc_ahead *ahead) {
    GC_REAL edge[GC_CONV_ROWS * GC_CONV_LINE];
    for (int64_t o = 0, strip; o < outputs; o += strip) {
        strip = even ? GC_CONV_ROWS : gc_conv_strip(outputs - o);
        gc_fetch_ahead(ahead);
        GC_REAL *to[GC_CONV_VECTORS];
        const int64_t row = lines->whole ? plane : GC_CONV_LINE;
        for (int v = 0; v < lines->vectors; v++) to[v] = lines->whole ? lines->to[v] + o * plane : edge + v * GC_LANES;
        if (accumulate && !lines->whole) GC_R(conv_edges)(lines, o, strip, plane, edge, 0);
#define GC_CONV_CASE(rows)                                                                                             \
    if (strip == rows) {                                                                                               \
        if (lines->vectors == 3)                                                                                       \
            GC_R(conv_block_##rows##_3)(depth, packed + o * depth, offsets, lines->from, to, row, accumulate);         \
        else if (lines->vectors == 2)                                                                                  \
            GC_R(conv_block_##rows##_2)(depth, packed + o * depth, offsets, lines->from, to, row, accumulate);         \
        else                                                                                                           \
            GC_R(conv_block_##rows##_1)(depth, packed + o * depth, offsets, lines->from, to, row, accumulate);         \
    }
#if GC_CONV_ROWS > 4
        GC_CONV_CASE(8)
#endif
        GC_CONV_CASE(4)
        GC_CONV_CASE(2)
        GC_CONV_CASE(1)
#undef GC_CONV_CASE
        if (!lines->whole) GC_R(conv_edges)(lines, o, strip, plane, edge, 1);
    }
}

/* One run of positions of the patches, up to `vectors` long, for some taps. Where `kept` is not NULL, it masks the lanes of
 * the last vector that stay as they are. */
GC_ALWAYS_INLINE void GC_R(conv_run_of_patches)(const int vectors, int64_t taps, const int32_t *offsets, const GC_REAL *from,
                                                GC_REAL *to, const GC_MASK *kept) {
    for (int64_t t = 0; t < taps; t++, to += GC_CONV_LINE) {
        const GC_REAL *line = from + offsets[t];
        __builtin_prefetch(line + GC_CONV_LINE); /* what the next patches will read, likely */
        _Pragma("GCC unroll 3") for (int v = 0; v < vectors; v++) {
            GC_VECTOR found = GC_R(load)(line + v * GC_LANES);
            if (kept && v == vectors - 1)
                found = (GC_VECTOR)(((GC_MASK)found & ~*kept) | ((GC_MASK)GC_R(load)(to + v * GC_LANES) & *kept));
            GC_R(store)(to + v * GC_LANES, found);
        }
    }
}

/* patches[tap * GC_CONV_LINE + j] = the element that position start + j reads at the tap, j < count. What follows is any
 * number: a run is copied for all taps before the next one, and whole vectors reach into it. The last `careful` taps read
 * nothing beyond their elements. */
GC_FUNCTION void GC_R(conv_patches)(const gc_sweep *s, int64_t taps, const int32_t *offsets, int64_t start, int64_t count,
                                    const GC_REAL *spaced, int64_t careful, GC_REAL *patches) {
    const int64_t width = s->planes.columns == s->columns ? s->rows * s->columns : s->columns, free = taps - careful;
    for (int64_t done = 0, length, row = start / width, column = start % width; done < count; row++, column = 0) {
        length = gc_smaller(width - column, count - done);
        const GC_REAL *from = spaced + row * s->planes.columns + column;
        GC_REAL *to = patches + done;
        const int64_t vectors = gc_parts(length, GC_LANES);
        GC_MASK kept = {0};
        for (int i = 0; i < GC_LANES; i++) kept[i] = length - (vectors - 1) * GC_LANES > i ? 0 : -1;
        const GC_MASK *mask = done + vectors * GC_LANES > GC_CONV_LINE ? &kept : NULL;
        if (vectors == 1)
            GC_R(conv_run_of_patches)(1, free, offsets, from, to, mask);
        else if (vectors == 2)
            GC_R(conv_run_of_patches)(2, free, offsets, from, to, mask);
        else
            GC_R(conv_run_of_patches)(3, free, offsets, from, to, mask);
        for (int64_t t = free; t < taps; t++)
            for (int64_t j = 0; j < length; j++) to[t * GC_CONV_LINE + j] = from[offsets[t] + j];
        done += length;
    }
}

/* Some positions from `first` on of one item: as lines of rows, or as patches. Returns how many there were. */
GC_ALWAYS_INLINE int64_t GC_R(conv_lines_at)(const gc_sweep *s, int64_t first, int64_t left, const GC_REAL *spaced,
                                             GC_REAL *patches, GC_REAL *out, GC_R(conv_lines) * lines) {
    const int64_t per_row = gc_parts(s->columns, GC_LANES);
    lines->vectors = gc_conv_vectors(left), lines->whole = 1;
    for (int v = 0; v < lines->vectors; v++) {
        const int64_t row = s->patches ? 0 : (first + v) / per_row, column = s->patches ? first + v : (first + v) % per_row;
        const int64_t most = s->patches ? s->rows * s->columns : s->columns;
        lines->from[v] = s->patches ? patches + v * GC_LANES : spaced + row * s->planes.columns + column * GC_LANES;
        lines->to[v] = out + row * s->columns + column * GC_LANES;
        lines->lanes[v] = gc_smaller(most - column * GC_LANES, GC_LANES);
        lines->whole &= lines->lanes[v] == GC_LANES;
    }
    return lines->vectors;
}

/* One slice of one item: out[o, position] (+)= sum over the slice's taps. */
GC_ALWAYS_INLINE void GC_R(conv_sweep)(const int even, const gc_sweep *s, int64_t outputs, int64_t depth, const GC_REAL *packed,
                                       const int32_t *offsets, const GC_REAL *spaced, GC_REAL *patches, GC_REAL *out,
                                       int64_t plane, int accumulate, const GC_REAL *next, int64_t next_size) {
    const int64_t positions = s->rows * s->columns;
    const int64_t vectors = s->patches ? gc_parts(positions, GC_LANES) : s->rows * gc_parts(s->columns, GC_LANES);
    const int32_t *line_offsets = s->patches ? offsets + depth : offsets;
    const int64_t blocks = gc_parts(vectors, GC_CONV_VECTORS) * gc_parts(outputs, GC_CONV_ROWS);
    gc_ahead ahead = gc_ahead_of(next, next_size * (int64_t)sizeof *next, blocks);
    for (int64_t first = 0; first < vectors;) {
        GC_R(conv_lines) lines;
        const int64_t start = first * GC_LANES;
        first += GC_R(conv_lines_at)(s, first, vectors - first, spaced, patches, out, &lines);
        if (s->patches)
            GC_R(conv_patches)(s, depth, offsets, start, gc_smaller(first * GC_LANES, positions) - start, spaced,
                               s->in_place ? s->taps : 0, patches);
        GC_R(conv_strips)(even, outputs, depth, packed, line_offsets, &lines, plane, accumulate, &ahead);
    }
}

/* Everything that a sweep works on: `items` items, x_step and out_step elements apart. */
typedef struct GC_R(conv_job) {
    int64_t items;
    const GC_REAL *x;
    int64_t x_step;
    const GC_REAL *w;
    GC_REAL *out;
    int64_t out_step, plane;
    char *scratch;
} GC_R(conv_job);

/* All items, slice by slice. Scratch: offsets, packed weights, spaced planes, patches. */
GC_ALWAYS_INLINE void GC_R(conv_work)(const int even, const gc_sweep *s, const GC_R(conv_job) * job) {
    char *scratch = job->scratch;
    const int64_t slice = gc_smaller(s->slice, s->channels), most = slice * s->taps;
    int32_t *offsets = (int32_t *)(void *)scratch;
    GC_REAL *packed = (GC_REAL *)(void *)(scratch + gc_conv_round(2 * most * 4)), *spaced = packed + s->outputs * most + 16;
    GC_REAL *patches = spaced + (s->in_place ? 0 : slice * s->planes.pitch + 64);
    for (int64_t c = 0; c < slice; c++)
        for (int64_t t = 0; t < s->taps; t++) {
            offsets[c * s->taps + t] = (int32_t)(c * s->planes.pitch + s->tap_offset[t]);
        }
    for (int64_t channel = 0; channel == 0 || channel < s->channels; channel += slice) {
        const int64_t channels = gc_smaller(slice, s->channels - channel), depth = channels * s->taps;
        for (int64_t i = 0; i < depth && s->patches; i++) offsets[depth + i] = (int32_t)(i * GC_CONV_LINE);
        GC_R(conv_pack)(s, s->outputs, channels, job->w + channel * s->channel_step, packed);
        for (int64_t item = 0; item < job->items; item++) {
            const GC_REAL *from = job->x + item * job->x_step + channel * s->planes.height * s->planes.width;
            if (!s->in_place) GC_R(conv_space)(&s->planes, channels, from, spaced);
            const int all = !s->in_place && s->planes.rows * s->planes.step_height >= s->planes.height;
            const int64_t more = all && item + 1 < job->items ? channels * s->planes.height * s->planes.width : 0;
            GC_R(conv_sweep)(even, s, s->outputs, depth, packed, offsets, s->in_place ? from : spaced, patches,
                             job->out + item * job->out_step, job->plane, channel > 0, more ? from + job->x_step : from, more);
        }
        if (slice == 0) break;
    }
}

GC_FUNCTION void GC_R(conv_run_even)(const gc_sweep *s, const GC_R(conv_job) * job) { GC_R(conv_work)(1, s, job); }
GC_FUNCTION void GC_R(conv_run_any)(const gc_sweep *s, const GC_R(conv_job) * job) { GC_R(conv_work)(0, s, job); }

/* `even` where all outputs of all tiles are whole strips: for most convolutions, and other code is not compiled then. */
GC_ALWAYS_INLINE void GC_R(conv_run)(const int even, const gc_sweep *s, const GC_R(conv_job) job) {
    if (even)
        GC_R(conv_run_even)(s, &job);
    else
        GC_R(conv_run_any)(s, &job);
}

/* The input's gradient at the rows and columns of one residue, from where it was found to where it belongs. */
GC_FUNCTION void GC_R(conv_spread)(const gc_conv *g, const gc_sweep *s, int64_t planes, int64_t first, int64_t row,
                                   int64_t column, const GC_REAL *found, GC_REAL *out) {
    const int64_t start = g->left / g->stride_width * g->stride_width + column - g->left;
    const int64_t from = gc_conv_steps(-start, g->stride_width);
    const int64_t end = gc_smaller(s->columns, gc_conv_steps(g->width - start, g->stride_width));
    for (int64_t p = 0; p < planes; p++, out += g->height * g->width)
        for (int64_t r = 0; r < s->rows; r++, found += s->columns) {
            const int64_t y = (first + r) * g->stride_height + row - g->top;
            if (y < 0 || y >= g->height) continue;
            GC_REAL *to = out + y * g->width + start;
            if (g->stride_width == 2)
                for (int64_t c = from; c < end; c++) to[2 * c] = found[c];
            else
                for (int64_t c = from; c < end; c++) to[c * g->stride_width] = found[c];
        }
}

#undef GC_R
#undef GC_CONV_LINE
