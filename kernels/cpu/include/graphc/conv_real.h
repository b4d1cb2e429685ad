/* Convolution of one image and one group, once for each real type, as products of matrices that are never whole.
 *
 * Rows of the patch matrix are taps (channel, kernel row, kernel column), its columns are output positions. Planes are
 * copied into zero-padded ones first, so that no inner loop asks about borders.
 */

/* Input rows [first, first + rows) of the padded plane, for `channels` planes, followed by room for a vector to overrun. */
GC_FUNCTION void GC_(pad_planes)(const gc_conv *g, int64_t channels, int64_t first, int64_t rows, const GC_REAL *x,
                                 GC_REAL *padded) {
    const int64_t width = gc_conv_padded_width(g);
    const int64_t left = g->left < width ? g->left : width;
    const int64_t inside = g->width < width - left ? g->width : width - left;
    for (int64_t c = 0; c < channels; c++)
        for (int64_t row = first; row < first + rows; row++, padded += width) {
            const int64_t from = row - g->top, kept = 0 <= from && from < g->height ? inside : 0;
            const GC_REAL *line = x + (c * g->height + (kept ? from : 0)) * g->width;
            for (int64_t i = 0; i < left; i++) padded[i] = 0;
            for (int64_t i = 0; i < kept; i++) padded[left + i] = line[i];
            for (int64_t i = left + kept; i < width; i++) padded[i] = 0;
        }
}

/* The inside of padded planes. */
GC_FUNCTION void GC_(unpad_planes)(const gc_conv *g, int64_t channels, const GC_REAL *padded, GC_REAL *x) {
    const int64_t height = gc_conv_padded_rows(g, g->out_height), width = gc_conv_padded_width(g);
    int64_t inside = width - g->left < g->width ? width - g->left : g->width;
    if (inside < 0) inside = 0;
    for (int64_t c = 0; c < channels; c++)
        for (int64_t row = 0; row < g->height; row++, x += g->width) {
            const int64_t kept = row + g->top < height ? inside : 0;
            const GC_REAL *line = padded + (c * height + (kept ? row + g->top : 0)) * width + g->left;
            for (int64_t i = 0; i < kept; i++) x[i] = line[i];
            for (int64_t i = kept; i < g->width; i++) x[i] = 0;
        }
}

/* patches[i * step + j] = padded[offsets[i] + place of position j]. Rows are written in order, each up to a vector too long. */
GC_FUNCTION void GC_(copy_patches)(const gc_conv *g, int64_t taps, const int64_t *offsets, int64_t runs,
                                   const gc_conv_run *run, const GC_REAL *padded, GC_REAL *patches, int64_t step) {
    for (int64_t i = 0; i < taps; i++, patches += step)
        for (int64_t r = 0; r < runs; r++) {
            const GC_REAL *from = padded + offsets[i] + run[r].from;
            GC_REAL *to = patches + run[r].to;
            if (g->stride_width == 1)
                for (int64_t j = 0; j < run[r].length; j += GC_LANES) GC_(store)(to + j, GC_(load)(from + j));
            else if (g->stride_width == 2)
                for (int64_t j = 0; j < run[r].length; j++) to[j] = from[2 * j];
            else
                for (int64_t j = 0; j < run[r].length; j++) to[j] = from[j * g->stride_width];
        }
}

/* The transpose of copy_patches for all taps of some channels: adds every patch element to where it came from. The
 * channels go by innermost, so that no addition reads what the one before it has just written one element aside. */
GC_FUNCTION void GC_(add_patches)(const gc_conv *g, int64_t channels, int64_t padded_rows, int64_t runs,
                                  const gc_conv_run *run, const GC_REAL *patches, int64_t step, GC_REAL *padded) {
    const int64_t width = gc_conv_padded_width(g), window = g->kernel_height * g->kernel_width;
    for (int64_t tap = 0; tap < window; tap++) {
        const int64_t row = tap / g->kernel_width * g->dilation_height, column = tap % g->kernel_width * g->dilation_width;
        for (int64_t c = 0; c < channels; c++)
            for (int64_t r = 0; r < runs; r++) {
                const GC_REAL *from = patches + (c * window + tap) * step + run[r].to;
                GC_REAL *to = padded + (c * padded_rows + row) * width + column + run[r].from;
                int64_t j = 0;
                if (g->stride_width == 1)
                    for (; j + GC_LANES <= run[r].length; j += GC_LANES)
                        GC_(store)(to + j, GC_(load)(to + j) + GC_(load)(from + j));
                for (; j < run[r].length; j++) to[j * g->stride_width] += from[j];
            }
    }
}

/* One filter alone (a depthwise convolution): the sums stay in registers while the taps go by. Needs stride 1 along rows. */
GC_FUNCTION void GC_(conv_single)(const gc_conv *g, int64_t rows, int64_t taps, const int64_t *offsets,
                                  const GC_REAL *padded, const GC_REAL *w, GC_REAL *out) {
    const int64_t width = gc_conv_padded_width(g);
    for (int64_t row = 0; row < rows; row++, out += g->out_width)
        for (int64_t column = 0; column < g->out_width; column += 2 * GC_LANES) {
            const GC_REAL *from = padded + row * g->stride_height * width + column;
            GC_VECTOR low = {0}, high = {0};
            for (int64_t i = 0; i < taps; i++) {
                low = GC_(fma)(GC_(splat)(w[i]), GC_(load)(from + offsets[i]), low);
                high = GC_(fma)(GC_(splat)(w[i]), GC_(load)(from + offsets[i] + GC_LANES), high);
            }
            GC_REAL sums[2 * GC_LANES];
            GC_(store)(sums, low);
            GC_(store)(sums + GC_LANES, high);
            for (int64_t j = 0; j < 2 * GC_LANES && column + j < g->out_width; j++) out[column + j] = sums[j];
        }
}

/* out[o, p] = sum over taps of w[o, tap] * patch[tap, p], for output rows [first, first + rows). */
GC_FUNCTION void GC_(conv_forward)(const gc_conv *g, int64_t first, int64_t rows, const GC_REAL *x, const GC_REAL *w,
                                   GC_REAL *out, char *scratch) {
    const int64_t plane = g->out_height * g->out_width, taps = gc_conv_taps(g, g->channels);
    const int64_t positions = rows * g->out_width, padded_rows = gc_conv_padded_rows(g, rows);
    out += first * g->out_width;
    if (gc_conv_is_product(g)) {
        const GC_(product) product = {g->outputs, positions, taps, w, taps, 1, x + first * g->width, plane, 1,
                                      out, plane, 0, scratch};
        GC_(multiply)(&product);
        return;
    }
    GC_REAL *patches = (GC_REAL *)scratch, *padded = patches + GC_DEPTH * GC_PANEL + GC_PANEL;
    GC_(pad_planes)(g, g->channels, first * g->stride_height, padded_rows, x, padded);
    int64_t offsets[GC_DEPTH];
    gc_conv_run run[GC_PANEL];
    if (g->outputs == 1 && taps <= GC_DEPTH && g->stride_width == 1) {
        gc_conv_offsets(g, padded_rows, 0, taps, offsets);
        GC_(conv_single)(g, rows, taps, offsets, padded, w, out);
        return;
    }
    const int64_t slices = (taps + GC_DEPTH - 1) / GC_DEPTH;
    for (int64_t s = 0, start = 0, depth; s < slices; s++, start += depth) {
        depth = (taps - start + slices - s - 1) / (slices - s);
        gc_conv_offsets(g, padded_rows, start, depth, offsets);
        for (int64_t p = 0; p < positions; p += GC_PANEL) {
            const int64_t columns = positions - p < GC_PANEL ? positions - p : GC_PANEL;
            const int64_t width = columns > GC_LANES ? GC_PANEL : GC_LANES;
            const int64_t runs = gc_conv_runs(g, p, columns, run);
            GC_(copy_patches)(g, depth, offsets, runs, run, padded, patches, width);
            GC_(panel)(g->outputs, columns, depth, w + start, taps, GC_ROWS, patches, width, out + p, plane, start > 0);
        }
    }
    for (int64_t o = 0; slices == 0 && o < g->outputs; o++)
        for (int64_t p = 0; p < positions; p++) out[o * plane + p] = 0;
}

/* The gradient for `channels` planes of the input: patch[tap, p] = sum over o of w[o, tap] * grad[o, p], added up. `w`
 * is at the first of these channels' taps. */
GC_FUNCTION void GC_(conv_input_grad)(const gc_conv *g, int64_t channels, const GC_REAL *grad, const GC_REAL *w,
                                      GC_REAL *x, char *scratch) {
    const int64_t plane = g->out_height * g->out_width, taps = gc_conv_taps(g, channels);
    const int64_t padded_rows = gc_conv_padded_rows(g, g->out_height);
    const int64_t padded_size = channels * padded_rows * gc_conv_padded_width(g);
    GC_REAL *packed = (GC_REAL *)scratch, *strips = packed + GC_DEPTH * GC_PANEL + GC_PANEL;
    GC_REAL *patches = strips + taps * (g->outputs < GC_DEPTH ? g->outputs : GC_DEPTH);
    GC_REAL *padded = patches + taps * GC_PANEL;
    gc_conv_run run[GC_PANEL];
    for (int64_t i = 0; i < padded_size; i++) padded[i] = 0;
    for (int64_t start = 0; start < g->outputs; start += GC_DEPTH) {
        const int64_t depth = g->outputs - start < GC_DEPTH ? g->outputs - start : GC_DEPTH;
        GC_(pack_strips)(taps, depth, w + start * gc_conv_taps(g, g->channels), 1, gc_conv_taps(g, g->channels), strips);
        for (int64_t p = 0; p < plane; p += GC_PANEL) {
            const int64_t columns = plane - p < GC_PANEL ? plane - p : GC_PANEL;
            const int64_t width = columns > GC_LANES ? GC_PANEL : GC_LANES, runs = gc_conv_runs(g, p, columns, run);
            GC_(pack_panel)(depth, columns, grad + start * plane + p, plane, 1, packed, width);
            GC_(panel)(taps, width, depth, strips, 0, GC_STRIPS, packed, width, patches, GC_PANEL, 0);
            GC_(add_patches)(g, channels, padded_rows, runs, run, patches, GC_PANEL, padded);
        }
    }
    GC_(unpad_planes)(g, channels, padded, x);
}

/* Adds one image's part of the weights' gradient, transposed: sums[tap, o] += sum over p of patch[tap, p] * grad[o, p],
 * for `channels` planes of the input and `outputs` of the gradient. A row of sums holds `row` elements, whole vectors. */
GC_FUNCTION void GC_(conv_weight_grad)(const gc_conv *g, int64_t channels, int64_t outputs, const GC_REAL *x,
                                       const GC_REAL *grad, GC_REAL *sums, int64_t row, char *scratch) {
    const int64_t plane = g->out_height * g->out_width, taps = gc_conv_taps(g, channels);
    const int64_t padded_rows = gc_conv_padded_rows(g, g->out_height);
    GC_REAL *packed = (GC_REAL *)scratch, *padded = packed + GC_DEPTH * GC_PANEL + GC_PANEL;
    GC_REAL *patches = padded + channels * padded_rows * gc_conv_padded_width(g) + 2 * GC_PANEL;
    int64_t offsets[GC_DEPTH];
    gc_conv_run run[GC_DEPTH];
    GC_(pad_planes)(g, channels, 0, padded_rows, x, padded);
    const int64_t slices = (plane + GC_DEPTH - 1) / GC_DEPTH;
    for (int64_t s = 0, start = 0, depth; s < slices; s++, start += depth) {
        depth = (plane - start + slices - s - 1) / (slices - s);
        const int64_t runs = gc_conv_runs(g, start, depth, run), step = depth + GC_PANEL / 2;
        for (int64_t t = 0; t < taps; t += GC_DEPTH) {
            const int64_t count = taps - t < GC_DEPTH ? taps - t : GC_DEPTH;
            gc_conv_offsets(g, padded_rows, t, count, offsets);
            GC_(copy_patches)(g, count, offsets, runs, run, padded, patches + t * step, step);
        }
        for (int64_t o = 0; o < outputs; o += GC_PANEL) {
            const int64_t columns = outputs - o < GC_PANEL ? outputs - o : GC_PANEL;
            const int64_t width = columns > GC_LANES ? GC_PANEL : GC_LANES;
            GC_(pack_panel)(depth, columns, grad + o * plane + start, 1, plane, packed, width);
            GC_(panel)(taps, width, depth, patches, step, GC_ROWS, packed, width, sums + o, row, 1);
        }
    }
}
