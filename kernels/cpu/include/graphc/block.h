/* The product that everything dense is made of, once for each real type: C += A B by register blocks.
 *
 * The includer defines GC_TAG (f32 or f64), GC_REAL, GC_VECTOR and GC_LANES, and undefines them. A strip is up to
 * GC_MICRO_ROWS rows of A, a panel up to two vectors of columns of B; a strip times a panel stays in registers over
 * the depth. Each element of C is a running sum in the order of k, so how C is cut never changes a bit; a long
 * depth is cut into slices, whose sums are added in order.
 */
#define GC_PANEL (2 * GC_LANES)

/* One strip times one panel. A is read at a[i + k * a_step] if `unit`, else at a[i * a_step + k]. */
GC_ALWAYS_INLINE void GC_(micro)(const int rows, const int vectors, const int unit, int64_t depth, const GC_REAL *a,
                                 int64_t a_step, const GC_REAL *b, int64_t b_step, GC_REAL *c, int64_t c_row,
                                 int accumulate) {
    GC_VECTOR sum[GC_MICRO_ROWS][2];
    _Pragma("GCC unroll 14") for (int i = 0; i < rows; i++)
        for (int j = 0; j < vectors; j++) sum[i][j] = (GC_VECTOR){0};
    for (int64_t k = 0; k < depth; k++) {
        const GC_VECTOR b0 = GC_(load)(b), b1 = vectors > 1 ? GC_(load)(b + GC_LANES) : b0;
        _Pragma("GCC unroll 14") for (int i = 0; i < rows; i++) {
            const GC_VECTOR x = GC_(splat)(unit ? a[i] : a[i * a_step]);
            sum[i][0] = GC_(fma)(x, b0, sum[i][0]);
            if (vectors > 1) sum[i][1] = GC_(fma)(x, b1, sum[i][1]);
        }
        a += unit ? a_step : 1;
        b += b_step;
    }
    _Pragma("GCC unroll 14") for (int i = 0; i < rows; i++)
        for (int j = 0; j < vectors; j++) {
            GC_REAL *p = c + i * c_row + j * GC_LANES;
            GC_(store)(p, accumulate ? GC_(load)(p) + sum[i][j] : sum[i][j]);
        }
}

#define GC_MICRO(rows, vectors, unit)                                                                              \
    GC_FUNCTION void GC_(micro_##rows##_##vectors##_##unit)(int64_t depth, const GC_REAL *a, int64_t a_step,       \
                                                            const GC_REAL *b, int64_t b_step, GC_REAL *c,          \
                                                            int64_t c_row, int accumulate) {                       \
        GC_(micro)(rows, vectors, unit, depth, a, a_step, b, b_step, c, c_row, accumulate);                        \
    }
#define GC_MICRO_FAMILY(rows) GC_MICRO(rows, 1, 0) GC_MICRO(rows, 1, 1) GC_MICRO(rows, 2, 0) GC_MICRO(rows, 2, 1)
#define GC_MICRO_ENTRY(rows)                                                                 \
    [rows] = {{GC_(micro_##rows##_1_0), GC_(micro_##rows##_1_1)}, {GC_(micro_##rows##_2_0), GC_(micro_##rows##_2_1)}},

GC_MICRO_ROW_COUNTS(GC_MICRO_FAMILY)

typedef void (*GC_(micro_kernel))(int64_t depth, const GC_REAL *a, int64_t a_step, const GC_REAL *b, int64_t b_step,
                                  GC_REAL *c, int64_t c_row, int accumulate);
static const GC_(micro_kernel) GC_(micro_kernels)[GC_MICRO_ROWS + 1][2][2] = {GC_MICRO_ROW_COUNTS(GC_MICRO_ENTRY)};

/* All rows of A times one panel. B has all its vectors' lanes, also where fewer `columns` are asked for. */
GC_FUNCTION void GC_(panel)(int64_t rows, int64_t columns, int64_t depth, const GC_REAL *a, int64_t a_step, int layout,
                            const GC_REAL *b, int64_t b_step, GC_REAL *c, int64_t c_row, int accumulate) {
    const int vectors = columns > GC_LANES ? 2 : 1, whole = columns == vectors * GC_LANES;
    const int64_t height = gc_strip_height(rows);
    GC_REAL edge[GC_MICRO_ROWS * GC_PANEL];
    for (int64_t row = 0, strip; row < rows; row += strip) {
        strip = gc_strip(rows - row, height);
        const GC_(micro_kernel) kernel = GC_(micro_kernels)[strip][vectors - 1][layout != GC_ROWS];
        const GC_REAL *strip_a = a + row * (layout == GC_ROWS ? a_step : layout == GC_COLUMNS ? 1 : depth);
        if (layout == GC_STRIPS) a_step = strip;
        GC_REAL *strip_c = c + row * c_row;
        if (whole) {
            kernel(depth, strip_a, a_step, b, b_step, strip_c, c_row, accumulate);
            continue;
        }
        for (int64_t i = 0; i < strip * GC_PANEL; i++) edge[i] = 0;
        for (int64_t i = 0; accumulate && i < strip; i++)
            for (int64_t j = 0; j < columns; j++) edge[i * GC_PANEL + j] = strip_c[i * c_row + j];
        kernel(depth, strip_a, a_step, b, b_step, edge, GC_PANEL, accumulate);
        for (int64_t i = 0; i < strip; i++)
            for (int64_t j = 0; j < columns; j++) strip_c[i * c_row + j] = edge[i * GC_PANEL + j];
    }
}

/* `count` strips of `height` rows: for each strip, its rows' elements side by side for each k. Goes along the columns of
 * A, which are the lines in memory where `row` is 1; a vector may run over what its strip has still to be written.
 * `beyond` rows follow the last strip. */
GC_ALWAYS_INLINE void GC_(pack_equal_strips)(int64_t count, int64_t height, int64_t beyond, int64_t depth,
                                             const GC_REAL *from, int64_t row, int64_t column, GC_REAL *packed) {
    const int64_t width = (height + GC_LANES - 1) / GC_LANES * GC_LANES;
    for (int64_t k = 0; k < depth; k++) {
        const int whole = row == 1 && (depth - k) * height >= width && (depth - 1 - k) * column + height + beyond >= width;
        const GC_REAL *line = from + k * column;
        GC_REAL *to = packed + k * height;
        for (int64_t s = 0; s < count; s++, line += height * row, to += height * depth)
            if (whole)
                for (int64_t r = 0; r < width; r += GC_LANES) GC_(store)(to + r, GC_(load)(line + r));
            else
                for (int64_t r = 0; r < height; r++) to[r] = line[r * row];
    }
}

/* All rows of A as the strips that the panel product goes by. */
GC_FUNCTION void GC_(pack_strips)(int64_t rows, int64_t depth, const GC_REAL *from, int64_t row, int64_t column,
                                  GC_REAL *packed) {
    int64_t height = gc_strip_height(rows);
    for (int64_t i = 0, count; i < rows; i += count * height) {
        height = gc_strip(rows - i, height);
        count = (rows - i) / height;
        GC_(pack_equal_strips)(count, height, rows - i - count * height, depth, from + i * row, row, column, packed + i * depth);
    }
}

/* packed[k * width + j] = columns[j * step + k]: a transposition, by squares of vectors. */
GC_FUNCTION void GC_(pack_transposed)(int64_t depth, int64_t columns, const GC_REAL *from, int64_t step,
                                      GC_REAL *packed, int64_t width) {
    const int64_t squares = depth / GC_LANES * GC_LANES;
    for (int64_t j = 0; j < columns; j += GC_LANES) {
        const int64_t count = columns - j < GC_LANES ? columns - j : GC_LANES;
        for (int64_t k = 0; k < squares; k += GC_LANES) {
            GC_VECTOR square[GC_LANES];
            if (count == GC_LANES)
                for (int i = 0; i < GC_LANES; i++) square[i] = GC_(load)(from + (j + i) * step + k);
            else
                for (int i = 0; i < GC_LANES; i++)
                    square[i] = i < count ? GC_(load)(from + (j + i) * step + k) : (GC_VECTOR){0};
            GC_(transpose)(square);
            for (int i = 0; i < GC_LANES; i++) GC_(store)(packed + (k + i) * width + j, square[i]);
        }
        for (int64_t k = squares; k < depth; k++)
            for (int64_t i = 0; i < GC_LANES; i++) packed[k * width + j + i] = i < count ? from[(j + i) * step + k] : 0;
    }
}

/* packed[k * width + j] = from[k * row + j * column] for j < columns and any number beyond, up to the width. */
GC_FUNCTION void GC_(pack_panel)(int64_t depth, int64_t columns, const GC_REAL *from, int64_t row, int64_t column,
                                 GC_REAL *packed, int64_t width) {
    if (column == 1 && columns == width) {
        for (int64_t k = 0; k < depth; k++)
            for (int64_t j = 0; j < width; j += GC_LANES) {
                if (k + 8 < depth) __builtin_prefetch(from + (k + 8) * row + j); /* rows may lie a page apart */
                GC_(store)(packed + k * width + j, GC_(load)(from + k * row + j));
            }
    } else if (column == 1 && row > 0) {
        for (int64_t k = 0; k < depth; k++) {
            const GC_REAL *line = from + k * row;
            if ((depth - 1 - k) * row >= width - columns) /* what lies beyond the columns is of the next rows */
                for (int64_t j = 0; j < width; j += GC_LANES) GC_(store)(packed + k * width + j, GC_(load)(line + j));
            else
                for (int64_t j = 0; j < width; j++) packed[k * width + j] = j < columns ? line[j] : 0;
        }
    } else if (row == 1 && column != 1) {
        GC_(pack_transposed)(depth, columns, from, column, packed, width);
    } else {
        for (int64_t k = 0; k < depth; k++)
            for (int64_t j = 0; j < width; j++) packed[k * width + j] = j < columns ? from[k * row + j * column] : 0;
    }
}

/* out[l * out_step] = sum over k of x[k * x_step] * y[k * k_step + l], l < length, length at least one vector. */
GC_ALWAYS_INLINE void GC_(combine_block)(const int vectors, int64_t depth, const GC_REAL *x, int64_t x_step,
                                         const GC_REAL *y, int64_t k_step, GC_REAL *out, int64_t out_step) {
    GC_VECTOR sum[8];
    for (int j = 0; j < vectors; j++) sum[j] = (GC_VECTOR){0};
    for (int64_t k = 0; k < depth; k++) {
        const GC_VECTOR scale = GC_(splat)(x[k * x_step]);
        for (int j = 0; j < vectors; j++)
            sum[j] = GC_(fma)(scale, GC_(load)(y + k * k_step + j * GC_LANES), sum[j]);
    }
    GC_REAL lanes[8 * GC_LANES];
    for (int j = 0; j < vectors; j++) GC_(store)(out_step == 1 ? out + j * GC_LANES : lanes + j * GC_LANES, sum[j]);
    for (int64_t j = 0; out_step != 1 && j < vectors * GC_LANES; j++) out[j * out_step] = lanes[j];
}

GC_FUNCTION void GC_(combine_rows)(int64_t length, int64_t depth, const GC_REAL *x, int64_t x_step, const GC_REAL *y,
                                   int64_t k_step, GC_REAL *out, int64_t out_step) {
    int64_t l = 0;
    for (; l + 8 * GC_LANES <= length; l += 8 * GC_LANES)
        GC_(combine_block)(8, depth, x, x_step, y + l, k_step, out + l * out_step, out_step);
    for (; l + 2 * GC_LANES <= length; l += 2 * GC_LANES)
        GC_(combine_block)(2, depth, x, x_step, y + l, k_step, out + l * out_step, out_step);
    for (; l < length; l += GC_LANES) { /* the last vector may overlap the one before: it writes the same again */
        const int64_t start = l + GC_LANES <= length ? l : length - GC_LANES;
        GC_(combine_block)(1, depth, x, x_step, y + start, k_step, out + start * out_step, out_step);
    }
}

/* out[l * out_step] = sum over k of x[k] * y[l * l_step + k]: a vector of rows at a time, summed across by transposing. */
GC_FUNCTION void GC_(dot_rows)(int64_t length, int64_t depth, const GC_REAL *x, const GC_REAL *y, int64_t l_step,
                               GC_REAL *out, int64_t out_step) {
    const int64_t whole = depth / GC_LANES * GC_LANES;
    for (int64_t l = 0; l < length; l += GC_LANES) {
        const int64_t count = length - l < GC_LANES ? length - l : GC_LANES;
        const GC_REAL *rows[GC_LANES];
        GC_VECTOR sum[GC_LANES];
        for (int i = 0; i < GC_LANES; i++) {
            rows[i] = y + (l + (i < count ? i : count - 1)) * l_step;
            sum[i] = (GC_VECTOR){0};
        }
        for (int64_t k = 0; k < whole; k += GC_LANES) {
            const GC_VECTOR scale = GC_(load)(x + k);
            for (int i = 0; i < GC_LANES; i++) sum[i] = GC_(fma)(scale, GC_(load)(rows[i] + k), sum[i]);
        }
        GC_(transpose)(sum);
        for (int half = GC_LANES / 2; half; half /= 2)
            for (int i = 0; i < half; i++) sum[i] += sum[i + half];
        GC_REAL total[GC_LANES];
        GC_(store)(total, sum[0]);
        for (int64_t i = 0; i < count; i++) {
            for (int64_t k = whole; k < depth; k++) total[i] += x[k] * rows[i][k];
            out[(l + i) * out_step] = total[i];
        }
    }
}

#undef GC_MICRO
#undef GC_MICRO_FAMILY
#undef GC_MICRO_ENTRY
