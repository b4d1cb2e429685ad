/* Copies of A and B as the kernels of block.h read them, once for each real type: strips of A, panels of B. */

/* to[j * to_step + i] = from[i * step + j] for a square of vectors; from row `count` on, zeros. */
GC_FUNCTION void GC_(transpose_square)(int64_t count, const GC_REAL *from, int64_t step, GC_REAL *to, int64_t to_step) {
    GC_VECTOR square[GC_LANES];
    for (int i = 0; i < GC_LANES; i++) square[i] = i < count ? GC_(load)(from + i * step) : (GC_VECTOR){0};
    GC_(transpose)(square);
    for (int i = 0; i < GC_LANES; i++) GC_(store)(to + i * to_step, square[i]);
}

/* Packs strips of A: packed[(s * depth + k) * height + i] = from[(s * height + i) * row + k * column], `count` of them. */
typedef void (*GC_(strip_packer))(int64_t count, int64_t height, int64_t depth, const GC_REAL *from, int64_t row,
                                  int64_t column, GC_REAL *packed);

/* For contiguous rows, by squares put side by side; what they are too long is of the next k, which is written later. */
GC_FUNCTION void GC_(pack_strips_of_rows)(int64_t count, int64_t height, int64_t depth, const GC_REAL *from, int64_t row,
                                          int64_t column, GC_REAL *packed) {
    enum { WIDTH = (GC_MICRO_ROWS + GC_LANES - 1) / GC_LANES * GC_LANES };
    GC_REAL square[GC_LANES * WIDTH];
    for (int64_t s = 0; s < count; s++, from += height * row, packed += height * depth) {
        int64_t k = 0;
        for (; (depth - k) * height >= (GC_LANES - 1) * height + WIDTH; k += GC_LANES) {
            for (int64_t i = 0; i < height; i += GC_LANES)
                GC_(transpose_square)(height - i, from + i * row + k, row, square + i, WIDTH);
            for (int64_t j = 0; j < GC_LANES; j++)
                for (int64_t i = 0; i < height; i += GC_LANES)
                    GC_(store)(packed + (k + j) * height + i, GC_(load)(square + j * WIDTH + i));
        }
        GC_(copy_part)(depth - k, height, from + k, column, row, packed + k * height, height);
    }
}

/* For contiguous columns, along them; a vector may run over what its strip has still to be written. */
GC_FUNCTION void GC_(pack_strips_of_columns)(int64_t count, int64_t height, int64_t depth, const GC_REAL *from,
                                             int64_t row, int64_t column, GC_REAL *packed) {
    const int64_t width = (height + GC_LANES - 1) / GC_LANES * GC_LANES, step = height * depth;
    for (int64_t k = 0; k < depth; k++, from += column, packed += height)
        if ((depth - 1 - k) * column >= width && (depth - k) * height >= width)
            for (int64_t s = 0; s < count; s++)
                for (int64_t i = 0; i < width; i += GC_LANES)
                    GC_(store)(packed + s * step + i, GC_(load)(from + s * height + i));
        else
            GC_(copy_part)(count, height, from, height, row, packed, step);
}

GC_FUNCTION void GC_(pack_strips_of_elements)(int64_t count, int64_t height, int64_t depth, const GC_REAL *from,
                                              int64_t row, int64_t column, GC_REAL *packed) {
    for (int64_t s = 0; s < count; s++)
        GC_(copy_part)(depth, height, from + s * height * row, column, row, packed + s * height * depth, height);
}

GC_ALWAYS_INLINE GC_(strip_packer) GC_(strip_packer_of)(int64_t row, int64_t column) {
    return column == 1 ? GC_(pack_strips_of_rows) : row == 1 ? GC_(pack_strips_of_columns) : GC_(pack_strips_of_elements);
}

/* All rows of A as the strips that the panel product goes by. */
GC_FUNCTION void GC_(pack_strips_by)(GC_(strip_packer) pack, int64_t rows, int64_t depth, const GC_REAL *from,
                                     int64_t row, int64_t column, GC_REAL *packed) {
    for (int64_t i = 0, height, count; i < rows; i += count * height) {
        height = gc_strip_height(rows - i);
        count = i == 0 && gc_whole_strips(rows) > 0 ? gc_whole_strips(rows) : 1;
        pack(count, height, depth, from + i * row, row, column, packed + i * depth);
    }
}
GC_ALWAYS_INLINE void GC_(pack_strips)(int64_t rows, int64_t depth, const GC_REAL *from, int64_t row, int64_t column,
                                       GC_REAL *packed) {
    GC_(pack_strips_by)(GC_(strip_packer_of)(row, column), rows, depth, from, row, column, packed);
}

/* Packs panels of B: packed[p * depth * width + k * width + j] = from[k * row + (p * width + j) * column], `count` of them.
 * In the last one there may be `columns` only; anything is put beside them. */
typedef void (*GC_(panel_packer))(int64_t count, int64_t depth, int64_t columns, const GC_REAL *from, int64_t row,
                                  int64_t column, GC_REAL *packed, int64_t width);

/* For contiguous rows, along them: as each may lie in a page of its own, the next ones are fetched ahead. */
GC_FUNCTION void GC_(pack_panels_of_rows)(int64_t count, int64_t depth, int64_t columns, const GC_REAL *from, int64_t row,
                                          int64_t column, GC_REAL *packed, int64_t width) {
    const int64_t length = (count - 1) * width + columns;
    for (int64_t k = 0; k < depth; k++, from += row, packed += width) {
        const int64_t room = length + (depth - 1 - k) * row; /* what lies beyond the columns is of the next rows */
        if (columns == width || (row > 0 && room >= count * width)) {
            for (int64_t p = 0; p < count; p++)
                for (int64_t j = 0; j < width; j += GC_LANES) {
                    if (k + GC_FAR < depth) __builtin_prefetch(from + GC_FAR * row + p * width + j);
                    GC_(store)(packed + p * depth * width + j, GC_(load)(from + p * width + j));
                }
        } else {
            GC_(clear_part)(1, width, packed + (count - 1) * depth * width, width);
            GC_(copy_part)(count - 1, width, from, width, column, packed, depth * width);
            GC_(copy_part)(1, columns, from + (count - 1) * width, 0, column, packed + (count - 1) * depth * width, 0);
        }
    }
}

/* For contiguous columns: a transposition, by squares of vectors. */
GC_FUNCTION void GC_(pack_panels_of_columns)(int64_t count, int64_t depth, int64_t columns, const GC_REAL *from,
                                             int64_t row, int64_t column, GC_REAL *packed, int64_t width) {
    const int64_t squares = depth / GC_LANES * GC_LANES, length = (count - 1) * width + columns;
    for (int64_t j = 0; j < count * width; j += GC_LANES, from += GC_LANES * column) {
        GC_REAL *to = packed + j / width * width * depth + j % width;
        const int64_t left = length - j < GC_LANES ? length - j : GC_LANES;
        for (int64_t k = 0; k < squares; k += GC_LANES) GC_(transpose_square)(left, from + k, column, to + k * width, width);
        GC_(clear_part)(depth - squares, GC_LANES, to + squares * width, width);
        GC_(copy_part)(depth - squares, left, from + squares, row, column, to + squares * width, width);
    }
}

GC_FUNCTION void GC_(pack_panels_of_elements)(int64_t count, int64_t depth, int64_t columns, const GC_REAL *from,
                                              int64_t row, int64_t column, GC_REAL *packed, int64_t width) {
    GC_(clear_part)(depth, width, packed + (count - 1) * depth * width, width);
    for (int64_t p = 0; p < count; p++)
        GC_(copy_part)(depth, p < count - 1 ? width : columns, from + p * width * column, row, column,
                       packed + p * depth * width, width);
}

/* A depth of less than a square has none to transpose. */
GC_ALWAYS_INLINE GC_(panel_packer) GC_(panel_packer_of)(int64_t depth, int64_t row, int64_t column) {
    return column == 1                    ? GC_(pack_panels_of_rows)
           : row == 1 && depth >= GC_LANES ? GC_(pack_panels_of_columns)
                                           : GC_(pack_panels_of_elements);
}

/* One panel of B. */
GC_ALWAYS_INLINE void GC_(pack_panel)(int64_t depth, int64_t columns, const GC_REAL *from, int64_t row, int64_t column,
                                      GC_REAL *packed, int64_t width) {
    GC_(panel_packer_of)(depth, row, column)(1, depth, columns, from, row, column, packed, width);
}
