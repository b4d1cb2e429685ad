/* Convolution with 3x3 kernels and unit stride in float32 by Winograd's F(2x2, 3x3): 16 products instead of 36 for every
 * four outputs. (S. Winograd, Arithmetic Complexity of Computations, 1980; A. Lavin and S. Gray, 2016.)
 *
 *     y = A' [(G g G') * (B' d B)] A      for each 4x4 square d of the input and 2x2 square y of the output, summed over
 *                                         channels between the brackets
 *
 * All factors are 0, 1, -1 and one half, so errors stay within a few of those of the plain sum. Where a square holds an
 * infinity, all four outputs may be NaN. Squares lie side by side in vectors. `band` rows of them are worked on at a
 * time. A part of conv.h.
 */
typedef float gc_winograd_strip __attribute__((vector_size(GC_CONV_ROWS * 4)));
typedef float gc_winograd_strip_anywhere __attribute__((vector_size(GC_CONV_ROWS * 4), aligned(4), may_alias));

/* Elements between channels of squares and between their places: room for a vector to overrun, and no power of two. */
static inline int64_t gc_winograd_row(int64_t squares) { return gc_parts(squares, 16) * 16 + 16; }
static inline int64_t gc_winograd_step(int64_t rows, int64_t row) { return rows * row + 16; }

/* G g G' for the weights of one slice: for each of the 16 places, what conv_pack makes of weights. `taps` holds a strip. */
GC_FUNCTION void gc_winograd_weights(gc_sweep s, int64_t channels, const float *w, float *packed, float *taps) {
    const int64_t outputs = s.outputs;
    for (int64_t o = 0; o < outputs; o += s.outputs) {
        s.outputs = gc_conv_strip(outputs - o);
        gc_conv_pack_f32(&s, s.outputs, channels, w + o * s.output_step, taps);
        for (int64_t c = 0; c < channels; c++) {
            gc_winograd_strip half[4][3];
            for (int j = 0; j < 3; j++) {
                const float *tap = taps + (9 * c + j) * s.outputs;
                const gc_winograd_strip a = *(const gc_winograd_strip_anywhere *)tap;
                const gc_winograd_strip b = *(const gc_winograd_strip_anywhere *)(tap + 3 * s.outputs);
                const gc_winograd_strip d = *(const gc_winograd_strip_anywhere *)(tap + 6 * s.outputs);
                half[0][j] = a, half[1][j] = 0.5f * (a + d + b), half[2][j] = 0.5f * (a + d - b), half[3][j] = d;
            }
            for (int i = 0; i < 4; i++) {
                const gc_winograd_strip a = half[i][0], b = half[i][1], d = half[i][2];
                const gc_winograd_strip whole[4] = {a, 0.5f * (a + d + b), 0.5f * (a + d - b), d};
                float *to = packed + (4 * i * outputs + o) * channels + c * s.outputs;
                for (int j = 0; j < 4; j++, to += outputs * channels)
                    if (s.outputs == GC_CONV_ROWS)
                        *(gc_winograd_strip_anywhere *)to = whole[j];
                    else
                        memcpy(to, &whole[j], (size_t)s.outputs * 4);
            }
        }
    }
}

/* Columns 2 * square + j of a line, j < 4, as far as they are kept. */
GC_ALWAYS_INLINE void gc_winograd_columns(const float *line, const gc_i32v *kept, gc_f32v *to) {
    const gc_f32v a = gc_load_f32(line), b = gc_load_f32(line + GC_F32_LANES);
    const gc_f32v c = gc_load_f32(line + 2), d = gc_load_f32(line + GC_F32_LANES + 2);
    const gc_f32v columns[4] = {gc_even_f32(a, b), gc_odd_f32(a, b), gc_even_f32(c, d), gc_odd_f32(c, d)};
    _Pragma("GCC unroll 4") for (int j = 0; j < 4; j++) to[j] = (gc_f32v)((gc_i32v)columns[j] & kept[j]);
}

/* Where row `y` of a plane may be read from column `x` on, for two vectors and two elements: in its place, or in `edge` where
 * that would reach beyond the `size` elements from `all` on, or where there is no such row. */
GC_ALWAYS_INLINE const float *gc_winograd_line(const gc_planes *p, const float *plane, int64_t y, int64_t x, const float *all,
                                               int64_t size, float *edge) {
    const int64_t reach = 2 * GC_F32_LANES + 2, at = plane - all + y * p->width + x;
    if (0 <= y && y < p->height && 0 <= at && at + reach <= size) return all + at;
    for (int64_t i = 0; i < reach; i++)
        edge[i] = 0 <= y && y < p->height && 0 <= x + i && x + i < p->width ? plane[y * p->width + x + i] : 0;
    return edge;
}

/* B' d B for `rows` rows of `across` squares from `first` on: to[place * step + channel * pitch + square]. */
GC_FUNCTION void gc_winograd_input(const gc_planes *p, int64_t channels, int64_t first, int64_t rows, int64_t across,
                                   const float *x, float *to, int64_t step, int64_t pitch) {
    const int64_t plane = p->height * p->width, size = channels * plane;
    float edge[2 * GC_F32_LANES + 2];
    /* from the right, as the last vector of a row reaches into the next row */
    for (int64_t square = (across - 1) / GC_F32_LANES * GC_F32_LANES; square >= 0; square -= GC_F32_LANES) {
        const int64_t column = 2 * square - p->left;
        gc_i32v kept[4];
        for (int j = 0; j < 4; j++) {
            int32_t lanes[GC_F32_LANES];
            for (int i = 0; i < GC_F32_LANES; i++)
                lanes[i] = 0 <= column + 2 * i + j && column + 2 * i + j < p->width ? -1 : 0;
            memcpy(&kept[j], lanes, sizeof lanes);
        }
        for (int64_t c = 0; c < channels; c++) {
            const float *from = x + c * plane;
            float *place = to + c * pitch + square;
            gc_f32v d[4][4], half[4][4];
            _Pragma("GCC unroll 2") for (int i = 0; i < 2; i++)
                gc_winograd_columns(gc_winograd_line(p, from, 2 * first + i - p->top, column, x, size, edge), kept, d[i]);
            for (int64_t r = first; r < first + rows; r++, place += across) {
                _Pragma("GCC unroll 2") for (int i = 2; i < 4; i++)
                    gc_winograd_columns(gc_winograd_line(p, from, 2 * r + i - p->top, column, x, size, edge), kept, d[i]);
                _Pragma("GCC unroll 4") for (int j = 0; j < 4; j++) {
                    half[0][j] = d[0][j] - d[2][j], half[1][j] = d[1][j] + d[2][j];
                    half[2][j] = d[2][j] - d[1][j], half[3][j] = d[1][j] - d[3][j];
                    d[0][j] = d[2][j], d[1][j] = d[3][j];
                }
                _Pragma("GCC unroll 4") for (int i = 0; i < 4; i++) {
                    gc_store_f32(place + 4 * i * step, half[i][0] - half[i][2]);
                    gc_store_f32(place + (4 * i + 1) * step, half[i][1] + half[i][2]);
                    gc_store_f32(place + (4 * i + 2) * step, half[i][2] - half[i][1]);
                    gc_store_f32(place + (4 * i + 3) * step, half[i][1] - half[i][3]);
                }
            }
        }
    }
}

/* `count` elements of a row of the result. */
GC_ALWAYS_INLINE void gc_winograd_store(gc_f32v low, gc_f32v high, int64_t count, int accumulate, float *to) {
    const gc_f32v a = gc_first_f32(low, high), b = gc_second_f32(low, high);
    float lanes[2 * GC_F32_LANES];
    if (count < GC_F32_LANES) {
        gc_store_f32(lanes, a);
        for (int64_t i = 0; i < count; i++) to[i] = accumulate ? to[i] + lanes[i] : lanes[i];
        return;
    }
    gc_store_f32(to, accumulate ? gc_load_f32(to) + a : a);
    if (count == 2 * GC_F32_LANES) {
        gc_store_f32(to + GC_F32_LANES, accumulate ? gc_load_f32(to + GC_F32_LANES) + b : b);
        return;
    }
    gc_store_f32(lanes + GC_F32_LANES, b);
    for (int64_t i = GC_F32_LANES; i < count; i++) to[i] = accumulate ? to[i] + lanes[i] : lanes[i];
}

/* A' m A for rows of squares from `first` on: sums[output * step + place * pitch + square] to the result. */
GC_FUNCTION void gc_winograd_output(const gc_sweep *s, int64_t first, int64_t rows, const float *sums, int64_t step,
                                    int64_t pitch, float *out, int64_t plane, int accumulate) {
    const int64_t across = (s->columns + 1) / 2;
    for (int64_t o = 0; o < s->outputs; o++)
        for (int64_t r = 0; r < rows; r++)
            for (int64_t x = 0; x < across; x += GC_F32_LANES) {
                const float *from = sums + o * step + r * across + x;
                gc_f32v half[2][4];
                _Pragma("GCC unroll 4") for (int j = 0; j < 4; j++) {
                    const gc_f32v a = gc_load_f32(from + j * pitch), b = gc_load_f32(from + (4 + j) * pitch);
                    const gc_f32v c = gc_load_f32(from + (8 + j) * pitch), d = gc_load_f32(from + (12 + j) * pitch);
                    half[0][j] = a + b + c, half[1][j] = b - c - d;
                }
                const int64_t count = gc_smaller(s->columns - 2 * x, 2 * GC_F32_LANES);
                float *to = out + o * plane + 2 * (first + r) * s->columns + 2 * x;
                _Pragma("GCC unroll 2") for (int i = 0; i < 2; i++, to += s->columns)
                    if (2 * (first + r) + i < s->rows)
                        gc_winograd_store(half[i][0] + half[i][1] + half[i][2], half[i][1] - half[i][2] - half[i][3], count,
                                          accumulate, to);
            }
}

/* What conv_work does, by squares. Scratch: offsets, packed weights, squares, sums. */
GC_ALWAYS_INLINE void gc_winograd_work(const int even, const gc_sweep *s, const gc_conv_job_f32 *job) {
    const int64_t slice = gc_smaller(s->slice, s->channels), across = (s->columns + 1) / 2, all = (s->rows + 1) / 2;
    const int64_t pitch = gc_winograd_row(s->band * across), plane = s->planes.height * s->planes.width;
    const int64_t places = gc_winograd_step(slice, pitch), step = gc_winograd_step(16, pitch);
    int32_t *offsets = (int32_t *)(void *)job->scratch;
    float *packed = (float *)(void *)(job->scratch + gc_conv_round(slice * 4)), *lines = packed + 16 * s->outputs * slice;
    float *sums = lines + 16 * places;
    for (int64_t c = 0; c < slice; c++) offsets[c] = (int32_t)(c * pitch);
    for (int64_t channel = 0; channel < s->channels; channel += slice) {
        const int64_t channels = gc_smaller(slice, s->channels - channel);
        gc_winograd_weights(*s, channels, job->w + channel * s->channel_step, packed, lines);
        for (int64_t item = 0; item < job->items; item++)
            for (int64_t first = 0, rows; first < all; first += rows) {
                rows = gc_smaller(s->band, all - first);
                gc_winograd_input(&s->planes, channels, first, rows, across,
                                  job->x + item * job->x_step + channel * plane, lines, places, pitch);
                const int64_t vectors = gc_parts(rows * across, GC_F32_LANES);
                for (int place = 0; place < 16; place++)
                    for (int64_t v = 0; v < vectors;) {
                        gc_ahead nothing = {NULL, NULL, 0};
                        gc_conv_lines_f32 block = {.vectors = gc_conv_vectors(vectors - v), .whole = 1};
                        for (int i = 0; i < block.vectors; i++, v++) {
                            block.from[i] = lines + place * places + v * GC_F32_LANES;
                            block.to[i] = sums + place * pitch + v * GC_F32_LANES;
                        }
                        gc_conv_strips_f32(even, s->outputs, channels, packed + place * s->outputs * channels, offsets, &block,
                                           step, 0, &nothing);
                    }
                gc_winograd_output(s, first, rows, sums, step, pitch, job->out + item * job->out_step, job->plane, channel > 0);
            }
    }
}

GC_FUNCTION void gc_winograd_run_even(const gc_sweep *s, const gc_conv_job_f32 *job) { gc_winograd_work(1, s, job); }
GC_FUNCTION void gc_winograd_run_any(const gc_sweep *s, const gc_conv_job_f32 *job) { gc_winograd_work(0, s, job); }

GC_ALWAYS_INLINE void gc_winograd_run(const int even, const gc_sweep *s, const gc_conv_job_f32 job) {
    if (even)
        gc_winograd_run_even(s, &job);
    else
        gc_winograd_run_any(s, &job);
}

/* The weights' gradient, F(3x3, 2x2): squares of the output's gradient are the 2x2 kernels,
 *
 *     w = A' [(G g G') * (B' d B)] A      with the same B, summed over squares and images between the brackets
 *
 * The output's gradient is turned, so that outputs lie side by side in vectors. */

/* G g G' for `rows` rows of squares of `pair` outputs: to[place * step + square * pair + output]. `turned` holds what there
 * is of the squares' rows, `height` of them. */
GC_FUNCTION void gc_winograd_gradient(int64_t rows, int64_t height, int64_t width, const float *turned, float *to,
                                      int64_t step) {
    const int64_t pair = 2 * GC_F32_LANES;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < width; c += 2)
            for (int64_t v = 0; v < pair; v += GC_F32_LANES, to += GC_F32_LANES) {
                const float *from = turned + (2 * r * width + c) * pair + v;
                const int right = c + 1 < width, below = 2 * r + 1 < height;
                const gc_f32v zero = {0}, a = gc_load_f32(from), b = right ? gc_load_f32(from + pair) : zero;
                const gc_f32v d = below ? gc_load_f32(from + width * pair) : zero;
                const gc_f32v e = right && below ? gc_load_f32(from + (width + 1) * pair) : zero;
                const gc_f32v half[4][2] = {{a, b}, {0.5f * (a + d), 0.5f * (b + e)}, {0.5f * (a - d), 0.5f * (b - e)}, {d, e}};
                _Pragma("GCC unroll 4") for (int i = 0; i < 4; i++) {
                    gc_store_f32(to + 4 * i * step, half[i][0]);
                    gc_store_f32(to + (4 * i + 1) * step, 0.5f * (half[i][0] + half[i][1]));
                    gc_store_f32(to + (4 * i + 2) * step, 0.5f * (half[i][0] - half[i][1]));
                    gc_store_f32(to + (4 * i + 3) * step, half[i][1]);
                }
            }
}

/* A' s A for each output and channel: sums[place * step + channel * row + output] to out[output * out_step + channel * 9]. */
GC_FUNCTION void gc_winograd_kernel(const gc_sweep *s, const float *sums, int64_t step, int64_t row, float *out,
                                    int64_t out_step) {
    for (int64_t c = 0; c < s->channels; c++)
        for (int64_t o = 0; o < s->outputs; o += GC_F32_LANES) {
            const float *from = sums + c * row + o;
            float found[9][GC_F32_LANES];
            gc_f32v half[3][4];
            for (int j = 0; j < 4; j++) {
                const gc_f32v a = gc_load_f32(from + j * step), b = gc_load_f32(from + (4 + j) * step);
                const gc_f32v d = gc_load_f32(from + (8 + j) * step), e = gc_load_f32(from + (12 + j) * step);
                half[0][j] = a + b + d, half[1][j] = b - d, half[2][j] = b + d - e;
            }
            for (int i = 0; i < 3; i++) {
                gc_store_f32(found[3 * i], half[i][0] + half[i][1] + half[i][2]);
                gc_store_f32(found[3 * i + 1], half[i][1] - half[i][2]);
                gc_store_f32(found[3 * i + 2], half[i][1] + half[i][2] - half[i][3]);
            }
            for (int64_t i = 0; i < gc_smaller(GC_F32_LANES, s->outputs - o); i++)
                for (int t = 0; t < 9; t++) out[(o + i) * out_step + c * 9 + t] = found[t][i];
        }
}

/* What conv_weights does, by squares, up to the result. Steps are in elements. */
GC_FUNCTION void gc_winograd_weight_grad(const gc_conv *g, gc_sweep *s, const float *x, int64_t x_step, const float *grad,
                                         int64_t grad_step, float *out, int64_t out_step, char *scratch) {
    const int64_t across = (g->out_width + 1) / 2, all = (g->out_height + 1) / 2, plane = g->out_height * g->out_width;
    const int64_t pair = 2 * GC_F32_LANES, row = gc_parts(s->outputs, pair) * pair, most = g->band * across;
    const int64_t slots = gc_parts(s->channels, GC_CONV_ROWS) * GC_CONV_ROWS, pitch = gc_winograd_row(most);
    const int64_t places = gc_winograd_step(s->channels, pitch), step = gc_winograd_step(slots, row);
    const int64_t turn = gc_winograd_step(most, pair);
    int32_t *offsets = (int32_t *)(void *)scratch, *order = offsets + slots;
    float *sums = (float *)(void *)(scratch + gc_conv_round((slots + most) * 4)), *lines = sums + 16 * step;
    float *squares = lines + 16 * places, *turned = squares + 16 * turn;
    gc_conv_rows(g, s, 0, g->out_height);
    for (int64_t i = 0; i < slots; i++) offsets[i] = (int32_t)(gc_smaller(i, s->channels - 1) * pitch);
    for (int64_t i = 0; i < most; i++) order[i] = (int32_t)i;
    for (int64_t i = 0; i < 16 * step; i++) sums[i] = 0;
    for (int64_t image = 0; image < g->images; image++, x += x_step, grad += grad_step)
        for (int64_t first = 0, rows; first < all; first += rows) {
            rows = gc_smaller(g->band, all - first);
            const int64_t height = gc_smaller(2 * rows, g->out_height - 2 * first);
            gc_winograd_input(&s->planes, s->channels, first, rows, across, x, lines, places, pitch);
            for (int64_t o = 0; o < s->outputs; o += pair) {
                gc_conv_turn_f32(gc_smaller(pair, s->outputs - o), pair, height * g->out_width,
                                 grad + o * plane + 2 * first * g->out_width, plane, turned);
                gc_winograd_gradient(rows, height, g->out_width, turned, squares, turn);
                for (int place = 0; place < 16; place++)
                    for (int64_t c = 0; c < slots; c += GC_CONV_ROWS)
                        gc_conv_channels_2_f32(rows * across, order, lines + place * places, offsets + c,
                                               squares + place * turn, sums + place * step + c * row + o, row);
            }
        }
    gc_winograd_kernel(s, sums, step, row, out, out_step);
}
