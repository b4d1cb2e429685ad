/* The weights' gradient of a 3x3 convolution by Winograd's F(3x3, 2x2): squares of the output's gradient are the 2x2 kernels,
 *
 *     w = A' [(G g G') * (B' d B)] A      with the B of winograd.h, summed over squares and images between the brackets
 *
 * The output's gradient is turned, so that outputs lie side by side in vectors. A part of conv.h.
 */
/* G g G' for `rows` rows of squares of `pair` outputs: to[place * step + square * pair + output]. `turned` holds what there
 * is of the squares' rows, `height` of them. */
GC_FUNCTION void gc_winograd_gradient(int64_t rows, int64_t height, int64_t width, const float *turned, float *to,
                                      int64_t step) {
    const int64_t pair = 2 * GC_F32_LANES;
    const int64_t across = (width + 1) / 2, wide = gc_winograd_wide(across);
    for (int64_t r = 0; r < rows; r++, to += (wide - across) * pair)
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

/* sums[channel * row + output] += sum over squares of lines[channel * pitch + square] * squares[square * pair + output] for a
 * strip of channels, of which the last is repeated if there are fewer. Every fourth square fetches a line from `ahead` on. */
GC_FUNCTION void gc_winograd_channels(int64_t channels, int64_t count, const float *lines, int64_t pitch, const float *squares,
                                      float *sums, int64_t row, const char *ahead) {
    gc_f32v sum[GC_CONV_ROWS][2];
    const float *line[GC_CONV_ROWS];
    _Pragma("GCC unroll 8") for (int i = 0; i < GC_CONV_ROWS; i++) {
        line[i] = lines + gc_smaller(i, channels - 1) * pitch;
        sum[i][0] = sum[i][1] = (gc_f32v){0};
    }
    _Pragma("GCC unroll 4") for (int64_t p = 0; p < count; p++, squares += 2 * GC_F32_LANES) {
        const gc_f32v low = gc_load_f32(squares), high = gc_load_f32(squares + GC_F32_LANES);
        if (p % 4 == 0) __builtin_prefetch(ahead + 16 * p, 0, 2);
        _Pragma("GCC unroll 8") for (int i = 0; i < GC_CONV_ROWS; i++) {
            const gc_f32v value = gc_splat_f32(line[i][p]);
            sum[i][0] = gc_fma_f32(value, low, sum[i][0]), sum[i][1] = gc_fma_f32(value, high, sum[i][1]);
        }
    }
    _Pragma("GCC unroll 8") for (int i = 0; i < GC_CONV_ROWS; i++, sums += row) {
        gc_store_f32(sums, gc_load_f32(sums) + sum[i][0]);
        gc_store_f32(sums + GC_F32_LANES, gc_load_f32(sums + GC_F32_LANES) + sum[i][1]);
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

#define GC_WINOGRAD_TURNED 64 /* positions that are turned at a time, or two rows */

/* What conv_weights does, by squares, up to the result. Steps are in elements. */
GC_FUNCTION void gc_winograd_weight_grad(const gc_conv *g, gc_sweep *s, const float *x, int64_t x_step, const float *grad,
                                         int64_t grad_step, float *out, int64_t out_step, char *scratch) {
    const int64_t across = (g->out_width + 1) / 2, all = (g->out_height + 1) / 2, plane = g->out_height * g->out_width;
    const int64_t pair = 2 * GC_F32_LANES, row = gc_parts(s->outputs, pair) * pair, wide = gc_winograd_wide(across);
    const int64_t slots = gc_parts(s->channels, GC_CONV_ROWS) * GC_CONV_ROWS, pitch = gc_winograd_row(g->band * wide);
    const int64_t places = gc_winograd_step(s->channels, pitch), step = gc_winograd_step(slots, row);
    const int64_t turn = gc_winograd_step(g->band * wide, pair);
    float *sums = (float *)(void *)scratch, *lines = sums + 16 * step, *squares = lines + 16 * places;
    float *turned = squares + 16 * turn;
    gc_conv_rows(g, s, 0, g->out_height);
    for (int64_t i = 0; i < 16 * step; i++) sums[i] = 0;
    for (int64_t i = 0; i < 16 * turn; i++) squares[i] = 0;
    for (int64_t image = 0; image < g->images; image++, x += x_step, grad += grad_step)
        for (int64_t first = 0, rows; first < all; first += rows) {
            rows = gc_smaller(g->band, all - first);
            const int64_t height = gc_smaller(2 * rows, g->out_height - 2 * first);
            gc_winograd_input(&s->planes, s->channels, first, rows, across, x, lines, places, pitch);
            for (int64_t o = 0; o < s->outputs; o += pair) {
                const int last = o + pair >= s->outputs, more = first + rows >= all && image + 1 < g->images;
                const float *next = grad + (last ? grad_step : (o + pair) * plane);
                gc_winograd_ahead ahead[] = {
                    gc_winograd_ahead_of(next, more || !last, gc_smaller(pair, s->outputs) * plane, 0),
                    gc_winograd_ahead_of(x + x_step, last && more, s->channels * g->height * g->width, 0)};
                const float *from = grad + o * plane + 2 * first * g->out_width;
                const int64_t outputs = gc_smaller(pair, s->outputs - o);
                const int64_t group = 2 * gc_parts(GC_WINOGRAD_TURNED, 2 * g->out_width);
                for (int64_t y = 0, some; y < height; y += some) {
                    some = gc_smaller(group, height - y);
                    gc_conv_turn_f32(outputs, pair, some * g->out_width, from + y * g->out_width, plane, turned);
                    gc_winograd_gradient((some + 1) / 2, some, g->out_width, turned, squares + y / 2 * wide * pair, turn);
                }
                for (int place = 0; place < 16; place++)
                    for (int64_t c = 0; c < slots; c += GC_CONV_ROWS)
                        gc_winograd_channels(s->channels - c, rows * wide, lines + place * places + c * pitch, pitch,
                                             squares + place * turn, sums + place * step + c * row + o, row,
                                             gc_winograd_next(ahead, gc_parts(rows * wide, 4)));
            }
        }
    gc_winograd_kernel(s, sums, step, row, out, out_step);
}
