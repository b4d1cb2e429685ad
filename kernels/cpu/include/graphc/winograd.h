/* Convolution with 3x3 kernels and unit stride in float32 by Winograd's F(2x2, 3x3): 16 products instead of 36 for every
 * four outputs. (S. Winograd, Arithmetic Complexity of Computations, 1980; A. Lavin and S. Gray, 2016.)
 *
 *     y = A' [(G g G') * (B' d B)] A      for each 4x4 square d of the input and 2x2 square y of the output, summed over
 *                                         channels between the brackets
 *
 * All factors are 0, 1, -1 and one half, so errors stay within a few of those of the plain sum. Where a square holds an
 * infinity, all four outputs may be NaN. Squares lie side by side in vectors; of narrow planes, those of two rows. `band`
 * rows of them are worked on at a time. A part of conv.h.
 */
typedef float gc_winograd_strip __attribute__((vector_size(GC_CONV_ROWS * 4)));
typedef float gc_winograd_strip_anywhere __attribute__((vector_size(GC_CONV_ROWS * 4), aligned(4), may_alias));

/* Elements between channels of squares and between their places: room for a vector to overrun, and no power of two. */
static inline int64_t gc_winograd_row(int64_t squares) { return gc_parts(squares, 16) * 16 + 16; }
static inline int64_t gc_winograd_step(int64_t rows, int64_t row) { return rows * row + 16; }

/* Parts of planes that will be written or read soon, to be fetched into the second cache while products keep the core busy:
 * `planes` of them are left, `length` bytes of each. A prefetch of an address that is not there does nothing. */
typedef struct gc_winograd_ahead {
    const char *from;
    int64_t planes, length, step, at;
} gc_winograd_ahead;

static inline gc_winograd_ahead gc_winograd_ahead_of(const float *from, int64_t planes, int64_t length, int64_t step) {
    return (gc_winograd_ahead){(const char *)from, length > 0 ? planes : 0, 4 * length, 4 * step, 0};
}

/* Where the next `lines` of 64 bytes lie, of the first part of the two that has some left. */
static inline const char *gc_winograd_next(gc_winograd_ahead *ahead, int64_t lines) {
    if (!ahead->planes) ahead++;
    const char *next = ahead->from + ahead->at;
    if (!ahead->planes) return next;
    ahead->at += 64 * lines;
    if (ahead->at >= ahead->length) ahead->at = 0, ahead->from += ahead->step, ahead->planes--;
    return next;
}

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

/* Squares from one row of them to the next: half a vector where fewer would fill more than a quarter of it, as then two
 * rows are worked on side by side. */
static inline int gc_winograd_paired(int64_t across) { return 4 * across > GC_F32_LANES && 2 * across <= GC_F32_LANES; }
static inline int64_t gc_winograd_wide(int64_t across) { return gc_winograd_paired(across) ? GC_F32_LANES / 2 : across; }

/* Columns 2 * square + j, j < 4, of the squares whose lines start at `low`, and of the other half at `high`, as far as they
 * are kept. */
GC_ALWAYS_INLINE void gc_winograd_columns(const float *low, const float *high, const gc_i32v *kept, gc_f32v *to) {
    const gc_f32v a = gc_load_f32(low), b = gc_load_f32(high), c = gc_load_f32(low + 2), d = gc_load_f32(high + 2);
    const gc_f32v columns[4] = {gc_even_f32(a, b), gc_odd_f32(a, b), gc_even_f32(c, d), gc_odd_f32(c, d)};
    _Pragma("GCC unroll 4") for (int j = 0; j < 4; j++) to[j] = (gc_f32v)((gc_i32v)columns[j] & kept[j]);
}

/* `reach` elements of a row of `width` from column `x` on, zeros where there are none. */
GC_FUNCTION const float *gc_winograd_edge(const float *row, int64_t width, int64_t x, int64_t reach, float *edge) {
    for (int64_t i = 0; i < reach; i++) edge[i] = 0 <= x + i && x + i < width ? row[x + i] : 0;
    return edge;
}

/* Where row `y` of a plane may be read from column `x` on, for `reach` elements: in its place, in `edge` where that would reach
 * beyond the `size` elements from `all` on, or in `zeros` where there is no such row. */
GC_ALWAYS_INLINE const float *gc_winograd_line(const gc_planes *p, const float *plane, int64_t y, int64_t x, const float *all,
                                               int64_t size, int64_t reach, const float *zeros, float *edge) {
    const int64_t at = plane - all + y * p->width + x;
    if (y < 0 || y >= p->height) return zeros;
    return 0 <= at && at + reach <= size ? all + at : gc_winograd_edge(plane + y * p->width, p->width, x, reach, edge);
}

/* B' d B of squares whose columns are d[row][column], `step` elements apart. */
GC_ALWAYS_INLINE void gc_winograd_turn(gc_f32v d[4][4], float *place, int64_t step) {
    gc_f32v half[4][4];
    _Pragma("GCC unroll 4") for (int j = 0; j < 4; j++) {
        half[0][j] = d[0][j] - d[2][j], half[1][j] = d[1][j] + d[2][j];
        half[2][j] = d[2][j] - d[1][j], half[3][j] = d[1][j] - d[3][j];
    }
    _Pragma("GCC unroll 4") for (int i = 0; i < 4; i++) {
        gc_store_f32(place + 4 * i * step, half[i][0] - half[i][2]);
        gc_store_f32(place + (4 * i + 1) * step, half[i][1] + half[i][2]);
        gc_store_f32(place + (4 * i + 2) * step, half[i][2] - half[i][1]);
        gc_store_f32(place + (4 * i + 3) * step, half[i][1] - half[i][3]);
    }
}

/* Which lanes hold columns of the plane, for `across` squares from `column` on, and again after `period` of them. */
GC_ALWAYS_INLINE void gc_winograd_kept(const gc_planes *p, int64_t column, int64_t across, int period, gc_i32v *kept) {
    for (int j = 0; j < 4; j++) {
        int32_t lanes[GC_F32_LANES];
        for (int i = 0; i < GC_F32_LANES; i++) {
            const int64_t x = column + 2 * (i % period) + j;
            lanes[i] = 0 <= x && x < p->width && i % period < across ? -1 : 0;
        }
        memcpy(&kept[j], lanes, sizeof lanes);
    }
}

/* gc_winograd_input where two rows of squares are worked on side by side. */
GC_FUNCTION void gc_winograd_pairs(const gc_planes *p, int64_t channels, int64_t first, int64_t rows, int64_t across,
                                   const float *x, float *to, int64_t step, int64_t pitch) {
    const int64_t plane = p->height * p->width, size = channels * plane, reach = GC_F32_LANES + 2;
    const float zeros[GC_F32_LANES + 2] = {0};
    float edge[6][GC_F32_LANES + 2];
    gc_i32v kept[4];
    gc_winograd_kept(p, -p->left, across, GC_F32_LANES / 2, kept);
    for (int64_t c = 0; c < channels; c++)
        for (int64_t r = 0; r < rows; r += 2) {
            const float *line[6];
            _Pragma("GCC unroll 6") for (int i = 0; i < 6; i++)
                line[i] = gc_winograd_line(p, x + c * plane, 2 * (first + r) + i - p->top, -p->left, x, size, reach, zeros,
                                           edge[i]);
            gc_f32v d[4][4];
            _Pragma("GCC unroll 4") for (int i = 0; i < 4; i++) gc_winograd_columns(line[i], line[i + 2], kept, d[i]);
            gc_winograd_turn(d, to + c * pitch + r * (GC_F32_LANES / 2), step);
        }
}

/* B' d B for `rows` rows of `across` squares from `first` on: to[place * step + channel * pitch + square]. */
GC_FUNCTION void gc_winograd_input(const gc_planes *p, int64_t channels, int64_t first, int64_t rows, int64_t across,
                                   const float *x, float *to, int64_t step, int64_t pitch) {
    if (gc_winograd_paired(across)) {
        gc_winograd_pairs(p, channels, first, rows, across, x, to, step, pitch);
        return;
    }
    const int64_t plane = p->height * p->width, size = channels * plane, reach = 2 * GC_F32_LANES + 2;
    const float zeros[2 * GC_F32_LANES + 2] = {0};
    float edge[2 * GC_F32_LANES + 2];
    /* from the right, as the last vector of a row reaches into the next row */
    for (int64_t square = (across - 1) / GC_F32_LANES * GC_F32_LANES; square >= 0; square -= GC_F32_LANES) {
        const int64_t column = 2 * square - p->left;
        gc_i32v kept[4];
        gc_winograd_kept(p, column, across, GC_F32_LANES, kept);
        for (int64_t c = 0; c < channels; c++) {
            float *place = to + c * pitch + square;
            gc_f32v d[4][4];
#define GC_WINOGRAD_ROW(i)                                                                                              \
    {                                                                                                                   \
        const float *line = gc_winograd_line(p, x + c * plane, y + i, column, x, size, reach, zeros, edge);             \
        gc_winograd_columns(line, line + GC_F32_LANES, kept, d[i]);                                                     \
    }
            int64_t y = 2 * first - p->top;
            GC_WINOGRAD_ROW(0)
            GC_WINOGRAD_ROW(1)
            for (const int64_t end = y + 2 * rows; y < end; y += 2, place += across) {
                GC_WINOGRAD_ROW(2)
                GC_WINOGRAD_ROW(3)
                gc_winograd_turn(d, place, step);
                _Pragma("GCC unroll 4") for (int j = 0; j < 4; j++) d[0][j] = d[2][j], d[1][j] = d[3][j];
            }
#undef GC_WINOGRAD_ROW
        }
    }
}

/* Up to a vector of a row of the result: `count` elements. */
GC_ALWAYS_INLINE void gc_winograd_store(gc_f32v found, int64_t count, int accumulate, float *to) {
    if (count >= GC_F32_LANES) {
        gc_store_f32(to, accumulate ? gc_load_f32(to) + found : found);
        return;
    }
    float lanes[GC_F32_LANES];
    gc_store_f32(lanes, found);
    for (int64_t i = 0; i < count; i++) to[i] = accumulate ? to[i] + lanes[i] : lanes[i];
}

/* A' m A for rows of squares from `first` on: sums[output * step + place * pitch + square] to the result. */
GC_FUNCTION void gc_winograd_output(const gc_sweep *s, int64_t first, int64_t rows, const float *sums, int64_t step,
                                    int64_t pitch, float *out, int64_t plane, int accumulate) {
    const int64_t across = (s->columns + 1) / 2, wide = gc_winograd_wide(across);
    const int paired = gc_winograd_paired(across);
    for (int64_t o = 0; o < s->outputs; o++)
        for (int64_t r = 0; r < rows; r += 1 + paired)
            for (int64_t x = 0; x < across; x += GC_F32_LANES) {
                const float *from = sums + o * step + r * wide + x;
                gc_f32v half[2][4];
                _Pragma("GCC unroll 4") for (int j = 0; j < 4; j++) {
                    const gc_f32v a = gc_load_f32(from + j * pitch), b = gc_load_f32(from + (4 + j) * pitch);
                    const gc_f32v c = gc_load_f32(from + (8 + j) * pitch), d = gc_load_f32(from + (12 + j) * pitch);
                    half[0][j] = a + b + c, half[1][j] = b - c - d;
                }
                const int64_t left = s->columns - 2 * x, next = paired ? 2 * s->columns : GC_F32_LANES;
                _Pragma("GCC unroll 2") for (int i = 0; i < 2; i++) {
                    const gc_f32v low = half[i][0] + half[i][1] + half[i][2], high = half[i][1] - half[i][2] - half[i][3];
                    const int64_t row = 2 * (first + r) + i;
                    const int both = paired ? r + 1 < rows && row + 2 < s->rows : left > GC_F32_LANES;
                    float *to = out + o * plane + row * s->columns + 2 * x;
                    if (row >= s->rows) break;
                    gc_winograd_store(gc_first_f32(low, high), left, accumulate, to);
                    const int64_t rest = paired ? left : left - GC_F32_LANES;
                    if (both) gc_winograd_store(gc_second_f32(low, high), rest, accumulate, to + next);
                }
            }
}

/* A strip of outputs by vectors of squares, side by side: c[row * c_row + lane] = sum over channels of a[channel, row] *
 * b[channel * pitch + lane]. The first channels fetch the result's lines, the others a line each from `ahead` on. */
GC_ALWAYS_INLINE void gc_winograd_block(const int vectors, int64_t channels, const float *a, const float *b, int64_t pitch,
                                        float *c, int64_t c_row, const char *ahead) {
    gc_f32v sum[GC_CONV_ROWS][GC_CONV_VECTORS];
    _Pragma("GCC unroll 8") for (int i = 0; i < GC_CONV_ROWS; i++)
        _Pragma("GCC unroll 3") for (int v = 0; v < vectors; v++) sum[i][v] = (gc_f32v){0};
    const int64_t fetching = gc_smaller(channels, GC_CONV_ROWS);
    const float *fetched = c;
#define GC_WINOGRAD_CHANNEL                                                                                             \
    {                                                                                                                   \
        gc_f32v line[GC_CONV_VECTORS];                                                                                  \
        _Pragma("GCC unroll 3") for (int v = 0; v < vectors; v++) line[v] = gc_load_f32(b + v * GC_F32_LANES);          \
        _Pragma("GCC unroll 8") for (int i = 0; i < GC_CONV_ROWS; i++) {                                                \
            const gc_f32v weight = gc_splat_f32(a[i]);                                                                  \
            _Pragma("GCC unroll 3") for (int v = 0; v < vectors; v++) sum[i][v] = gc_fma_f32(weight, line[v], sum[i][v]); \
        }                                                                                                               \
        a += GC_CONV_ROWS, b += pitch;                                                                                  \
    }
    for (int64_t left = fetching; left; left--, fetched += c_row) {
        for (int v = 0; v < vectors; v++) __builtin_prefetch(fetched + v * GC_F32_LANES, 1);
        GC_WINOGRAD_CHANNEL
    }
    for (int64_t left = channels - fetching; left; left--, ahead += 64) {
        __builtin_prefetch(ahead, 0, 2);
        GC_WINOGRAD_CHANNEL
    }
#undef GC_WINOGRAD_CHANNEL
    _Pragma("GCC unroll 8") for (int i = 0; i < GC_CONV_ROWS; i++)
        _Pragma("GCC unroll 3") for (int v = 0; v < vectors; v++) gc_store_f32(c + i * c_row + v * GC_F32_LANES, sum[i][v]);
}

#define GC_WINOGRAD_BLOCK(vectors)                                                                                      \
    GC_FUNCTION void gc_winograd_block_##vectors(int64_t channels, const float *a, const float *b, int64_t pitch, float *c, \
                                                 int64_t c_row, const char *ahead) {                                    \
        gc_winograd_block(vectors, channels, a, b, pitch, c, c_row, ahead);                                             \
    }
GC_WINOGRAD_BLOCK(1)
GC_WINOGRAD_BLOCK(2)
GC_WINOGRAD_BLOCK(3)
#undef GC_WINOGRAD_BLOCK

/* One place of all squares: for each output, c[output * step + square]. `offsets` are those of the channels. */
GC_ALWAYS_INLINE void gc_winograd_product(const int even, int64_t outputs, int64_t channels, const float *packed,
                                          const int32_t *offsets, const float *lines, int64_t pitch, int64_t vectors, float *c,
                                          int64_t step, gc_winograd_ahead *ahead) {
    const int64_t whole = outputs / GC_CONV_ROWS * GC_CONV_ROWS;
    for (int64_t v = 0, some; v < vectors; v += some) {
        some = gc_conv_vectors(vectors - v);
        const float *b = lines + v * GC_F32_LANES;
        float *to = c + v * GC_F32_LANES;
        for (int64_t o = 0; o < whole; o += GC_CONV_ROWS) {
            const char *next = gc_winograd_next(ahead, gc_larger(channels - GC_CONV_ROWS, 0));
            if (some == 3)
                gc_winograd_block_3(channels, packed + o * channels, b, pitch, to + o * step, step, next);
            else if (some == 2)
                gc_winograd_block_2(channels, packed + o * channels, b, pitch, to + o * step, step, next);
            else
                gc_winograd_block_1(channels, packed + o * channels, b, pitch, to + o * step, step, next);
        }
        if (even || whole == outputs) continue;
        gc_ahead nothing = {NULL, NULL, 0};
        gc_conv_lines_f32 block = {.vectors = (int)some, .whole = 1};
        for (int i = 0; i < some; i++)
            block.from[i] = b + i * GC_F32_LANES, block.to[i] = to + whole * step + i * GC_F32_LANES;
        gc_conv_strips_f32(0, outputs - whole, channels, packed + whole * channels, offsets, &block, step, 0, &nothing);
    }
}

/* What conv_work does, by squares. Scratch: offsets, packed weights, squares, sums. */
GC_ALWAYS_INLINE void gc_winograd_work(const int even, const gc_sweep *s, const gc_conv_job_f32 *job) {
    const int64_t slice = gc_smaller(s->slice, s->channels), across = (s->columns + 1) / 2, all = (s->rows + 1) / 2;
    const int64_t wide = gc_winograd_wide(across), pitch = gc_winograd_row(s->band * wide);
    const int64_t plane = s->planes.height * s->planes.width;
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
                const float *from = job->x + item * job->x_step + channel * plane;
                float *to = job->out + item * job->out_step;
                gc_winograd_input(&s->planes, channels, first, rows, across, from, lines, places, pitch);
                const int64_t vectors = gc_parts(rows * wide, GC_F32_LANES), done = gc_smaller(2 * (first + rows), s->rows);
                const int64_t next = done < s->rows ? gc_larger(done - s->planes.top, 0) * s->planes.width : job->x_step;
                const int64_t most = gc_smaller(2 * s->band * s->planes.width, done < s->rows ? plane - next : plane);
                const int more = done < s->rows || item + 1 < job->items;
                gc_winograd_ahead ahead[] = {
                    gc_winograd_ahead_of(to + 2 * first * s->columns, s->outputs, (done - 2 * first) * s->columns, job->plane),
                    gc_winograd_ahead_of(from + next, channels, more ? most : 0, plane)};
                for (int place = 0; place < 16; place++)
                    gc_winograd_product(even, s->outputs, channels, packed + place * s->outputs * channels, offsets,
                                        lines + place * places, pitch, vectors, sums + place * pitch, step, ahead);
                gc_winograd_output(s, first, rows, sums, step, pitch, to, job->plane, channel > 0);
            }
    }
}

GC_FUNCTION void gc_winograd_run_even(const gc_sweep *s, const gc_conv_job_f32 *job) { gc_winograd_work(1, s, job); }
GC_FUNCTION void gc_winograd_run_any(const gc_sweep *s, const gc_conv_job_f32 *job) { gc_winograd_work(0, s, job); }

GC_ALWAYS_INLINE void gc_winograd_run_f32(const int even, const gc_sweep *s, const gc_conv_job_f32 job) {
    if (even)
        gc_winograd_run_even(s, &job);
    else
        gc_winograd_run_any(s, &job);
}
