/* A block of a matrix product, once for each real type: chooses what is packed and what is read in place.
 *
 * Small operands and unit strides are used where they lie; a product with a vector takes its own path. Scratch: a
 * packed panel of B, then the packed rows of A.
 */
#include "block.h"

/* C = A B for one block: all of the depth. `a` and `b` point to the block's first row and first column. */
typedef struct GC_(product) {
    int64_t rows, columns, depth;
    const GC_REAL *a;
    int64_t a_row, a_column;
    const GC_REAL *b;
    int64_t b_row, b_column;
    GC_REAL *c;
    int64_t c_row;
    int with_vector; /* A has one row or B one column in all, not only in this block */
    char *scratch;
} GC_(product);

/* Products with a vector. Returns 0 where the strides suit neither way. */
GC_ALWAYS_INLINE int GC_(product_with_vector)(const GC_(product) * p) {
    const int row_vector = p->rows == 1;
    const int64_t length = row_vector ? p->columns : p->rows, out_step = row_vector ? 1 : p->c_row;
    const GC_REAL *x = row_vector ? p->a : p->b, *y = row_vector ? p->b : p->a;
    const int64_t x_step = row_vector ? p->a_column : p->b_row;
    const int64_t k_step = row_vector ? p->b_row : p->a_column, l_step = row_vector ? p->b_column : p->a_row;
    if (l_step == 1 && length >= GC_LANES) {
        GC_(combine_rows)(length, p->depth, x, x_step, y, k_step, p->c, out_step);
        return 1;
    }
    if (k_step == 1 && x_step == 1) {
        GC_(dot_rows)(length, p->depth, x, y, l_step, p->c, out_step);
        return 1;
    }
    return 0;
}

/* The part of the depth from `start` on, `depth` long. */
GC_ALWAYS_INLINE void GC_(product_slice)(const GC_(product) * p, int64_t start, int64_t depth) {
    GC_REAL *packed_b = (GC_REAL *)p->scratch, *packed_a = packed_b + GC_DEPTH * GC_PANEL;
    const GC_REAL *a = p->a + start * p->a_column;
    int64_t a_step = p->a_column == 1 ? p->a_row : p->a_column;
    int layout = p->a_column == 1 ? GC_ROWS : GC_COLUMNS;
    if (layout == GC_COLUMNS && p->rows > 1 && (p->a_row != 1 || p->rows * depth > GC_DEPTH * GC_PANEL / 2)) {
        GC_(pack_strips)(p->rows, depth, a, p->a_row, p->a_column, packed_a);
        a = packed_a;
        layout = GC_STRIPS;
    } else if (layout == GC_ROWS && gc_rows_collide(p->rows, p->columns, p->a_row * (int64_t)sizeof *a)) {
        a_step = depth + GC_ROW_GAP;
        for (int64_t i = 0; i < p->rows; i++)
            for (int64_t k = 0; k < depth; k++) packed_a[i * a_step + k] = a[i * p->a_row + k];
        a = packed_a;
    }
    const int small_b = p->rows <= 3 * GC_MICRO_ROWS || depth * p->b_row <= GC_DEPTH * GC_PANEL / 2;
    for (int64_t j = 0; j < p->columns; j += GC_PANEL) {
        const int64_t columns = p->columns - j < GC_PANEL ? p->columns - j : GC_PANEL;
        const int64_t width = columns > GC_LANES ? GC_PANEL : GC_LANES;
        const GC_REAL *b = p->b + start * p->b_row + j * p->b_column;
        int64_t b_step = p->b_row;
        if (p->b_column != 1 || columns != width || !small_b) {
            GC_(pack_panel)(depth, columns, b, p->b_row, p->b_column, packed_b, width);
            b = packed_b;
            b_step = width;
        }
        GC_(panel)(p->rows, columns, depth, a, a_step, layout, b, b_step, p->c + j, p->c_row, start > 0);
    }
}

GC_FUNCTION void GC_(multiply)(const GC_(product) * p) {
    if (p->with_vector && GC_(product_with_vector)(p)) return;
    if (p->depth == 0)
        for (int64_t i = 0; i < p->rows; i++)
            for (int64_t j = 0; j < p->columns; j++) p->c[i * p->c_row + j] = 0;
    const int64_t slices = (p->depth + GC_DEPTH - 1) / GC_DEPTH;
    for (int64_t s = 0, start = 0; s < slices; s++) {
        const int64_t depth = (p->depth - start + slices - s - 1) / (slices - s);
        GC_(product_slice)(p, start, depth);
        start += depth;
    }
}
