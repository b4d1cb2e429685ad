/* Copies of A and B as the kernels of block.h read them, once for each real type: strips of A, panels of B. */

/* packed[k * height + i] = rows[i * step + k] for one strip: a transposition, by squares of vectors. A vector may run over
 * into the next k's place, which is written after it. */
GC_FUNCTION void GC_(pack_rows)(int64_t height, int64_t depth, const GC_REAL *rows, int64_t step, GC_REAL *packed) {
    enum { SQUARES = (GC_MICRO_ROWS + GC_LANES - 1) / GC_LANES };
    int64_t k = 0;
    for (; (depth - k) * height >= (GC_LANES - 1) * height + SQUARES * GC_LANES; k += GC_LANES) {
        GC_VECTOR square[SQUARES][GC_LANES];
        for (int q = 0; q < SQUARES; q++) {
            for (int i = 0; i < GC_LANES; i++)
                square[q][i] = GC_(load)(rows + (q * GC_LANES + i < height ? q * GC_LANES + i : height - 1) * step + k);
            GC_(transpose)(square[q]);
        }
        for (int i = 0; i < GC_LANES; i++)
            for (int q = 0; q < SQUARES; q++) GC_(store)(packed + (k + i) * height + q * GC_LANES, square[q][i]);
    }
    for (; k < depth; k++)
        for (int64_t i = 0; i < height; i++) packed[k * height + i] = rows[i * step + k];
}

/* Strips of `height` rows, `count` of them: packed[(s * depth + k) * height + i] = from[s * height + i + k * column]. Goes
 * along A's columns, which are the lines in memory; a vector may run over what its strip has still to be written. */
GC_FUNCTION void GC_(pack_columns)(int64_t count, int64_t height, int64_t depth, const GC_REAL *from, int64_t column,
                                   GC_REAL *packed) {
    const int64_t width = (height + GC_LANES - 1) / GC_LANES * GC_LANES, step = height * depth;
    for (int64_t k = 0; k < depth; k++, from += column, packed += height) {
        const int whole = (depth - 1 - k) * column >= width && (depth - k) * height >= width;
        for (int64_t s = 0; s < count; s++)
            if (whole)
                for (int64_t i = 0; i < width; i += GC_LANES)
                    GC_(store)(packed + s * step + i, GC_(load)(from + s * height + i));
            else
                for (int64_t i = 0; i < height; i++) packed[s * step + i] = from[s * height + i];
    }
}

/* All rows of A as the strips that the panel product goes by. */
GC_DRIVER void GC_(pack_strips)(int64_t rows, int64_t depth, const GC_REAL *from, int64_t row, int64_t column,
                                  GC_REAL *packed) {
    for (int64_t i = 0, height, count; i < rows; i += count * height) {
        height = gc_strip_height(rows - i);
        count = i == 0 && gc_whole_strips(rows) > 0 ? gc_whole_strips(rows) : 1;
        if (row == 1 && column != 1) {
            GC_(pack_columns)(count, height, depth, from + i, column, packed + i * depth);
            continue;
        }
        for (int64_t s = i; s < i + count * height; s += height)
            if (column == 1)
                GC_(pack_rows)(height, depth, from + s * row, row, packed + s * depth);
            else
                for (int64_t k = 0; k < depth; k++)
                    for (int64_t r = 0; r < height; r++) packed[s * depth + k * height + r] = from[(s + r) * row + k * column];
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

/* packed[k * width + j] = from[k * row + j]. */
GC_FUNCTION void GC_(pack_lines)(int64_t depth, int64_t columns, const GC_REAL *from, int64_t row, GC_REAL *packed,
                                 int64_t width) {
    for (int64_t k = 0; k < depth; k++, from += row, packed += width) {
        const int64_t room = columns + (depth - 1 - k) * row; /* what lies beyond the columns is of the next rows */
        if (columns == width || (row > 0 && room >= width))
            for (int64_t j = 0; j < width; j += GC_LANES) {
                if (k + GC_FAR < depth) __builtin_prefetch(from + GC_FAR * row + j);
                GC_(store)(packed + j, GC_(load)(from + j));
            }
        else
            for (int64_t j = 0; j < width; j++) packed[j] = j < columns ? from[j] : 0;
    }
}

/* packed[k * width + j] = from[k * row + j * column] for j < columns and any number beyond, up to the width. */
GC_DRIVER void GC_(pack_panel)(int64_t depth, int64_t columns, const GC_REAL *from, int64_t row, int64_t column,
                               GC_REAL *packed, int64_t width) {
    if (column == 1)
        GC_(pack_lines)(depth, columns, from, row, packed, width);
    else if (row == 1)
        GC_(pack_transposed)(depth, columns, from, column, packed, width);
    else
        for (int64_t k = 0; k < depth; k++)
            for (int64_t j = 0; j < width; j++) packed[k * width + j] = j < columns ? from[k * row + j * column] : 0;
}

/* B's rows from `b` on, `depth` of them, as panels; the last may be a narrow one, `part` columns with zeros beside them.
 * Rows are copied across panels, as each lies in another page. */
GC_DRIVER void GC_(pack_block)(int64_t depth, int64_t panels, int64_t part, const GC_REAL *b, int64_t b_row,
                                 int64_t b_column, GC_REAL *packed) {
    if (b_column == 1)
        for (int64_t k = 0; k < depth; k++) {
            const GC_REAL *from = b + k * b_row, *ahead = k + GC_FAR < depth ? from + GC_FAR * b_row : from;
            GC_REAL *to = packed + k * GC_PANEL;
            for (int64_t j = 0; j < panels; j++, from += GC_PANEL, ahead += GC_PANEL, to += depth * GC_PANEL) {
                __builtin_prefetch(ahead);
                __builtin_prefetch(ahead + GC_LANES);
                GC_(store)(to, GC_(load)(from));
                GC_(store)(to + GC_LANES, GC_(load)(from + GC_LANES));
            }
        }
    else
        for (int64_t j = 0; j < panels; j++)
            GC_(pack_panel)(depth, GC_PANEL, b + j * GC_PANEL * b_column, b_row, b_column, packed + j * depth * GC_PANEL,
                            GC_PANEL);
    if (part > 0)
        GC_(pack_panel)(depth, part, b + panels * GC_PANEL * b_column, b_row, b_column, packed + panels * depth * GC_PANEL,
                        part > GC_LANES ? GC_PANEL : GC_LANES);
}
