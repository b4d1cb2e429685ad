/* A tile of a matrix product, once for each real type, in one of two orders.
 *
 * By panels, for few rows: a panel of B goes by all strips of A, which stay in the second cache; the first strip packs the
 * panel as it goes, while the second fetches the next. By blocks, for many rows: a block of B is packed and stays in the
 * second cache, while each strip of A goes by its panels; so pages of A and C are few at a time, and B is packed once for
 * as many rows as there are. Operands are read where they lie unless that would cost more. Or B lies in panels already,
 * of GC_PANEL_COLUMNS columns for every instruction set; their first columns are b_column * GC_PANEL_COLUMNS elements apart.
 * Stacks of small products go side by side: across_real.h.
 */
#ifndef GC_PANEL_COLUMNS
#define GC_PANEL_COLUMNS 32
enum { GC_BY_PANELS, GC_BY_BLOCKS, GC_IN_PANELS, GC_SIDE_BY_SIDE };
#endif

#include "block.h"
#include "gemv.h"
#include "pack.h"

#include "across_real.h"

/* C = A B for one tile: all of the depth. `a` and `b` point to the tile's first row and first column. How they are packed
 * is a pointer, so that what no product of generated C needs is not compiled. */
typedef struct GC_(product) {
    int64_t rows, columns, depth;
    const GC_REAL *a;
    int64_t a_row, a_column;
    const GC_REAL *b;
    int64_t b_row, b_column;
    GC_REAL *c;
    int64_t c_row;
    int with_vector; /* A has one row or B one column in all, not only in this tile */
    char *scratch;
    int copy_a;               /* whether A's rows are copied, closer to each other */
    GC_(strip_packer) pack_a; /* or else packed as strips; NULL where they are read where they lie */
    GC_(panel_packer) pack_b;
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

/* A as the strips of `s` read it, copied to `copy` if at all. */
GC_FUNCTION void GC_(take_a)(const GC_(product) * p, GC_(strip) * s, GC_REAL *copy) {
    if (p->copy_a) {
        GC_(copy_part)(p->rows, s->depth, s->a, p->a_row, 1, copy, s->depth + GC_ROW_GAP);
        s->a = copy, s->a_row = s->depth + GC_ROW_GAP;
    } else if (p->pack_a) {
        GC_(pack_strips_by)(p->pack_a, p->rows, s->depth, s->a, p->a_row, p->a_column, copy);
        s->a = copy;
    }
}

/* By panels, for the part of the depth that `s` describes: whole panels, then the columns that are left. */
GC_FUNCTION void GC_(multiply_panels)(const GC_(product) * p, GC_(strip) s) {
    const int64_t rows = p->rows, part = p->columns % GC_PANEL;
    GC_REAL *packed = (GC_REAL *)p->scratch;
    const int strips = p->pack_a != 0;
    if (GC_(packing) & GC_TAKES_A) GC_(take_a)(p, &s, packed + s.depth * GC_PANEL);
    const int small = rows <= GC_MICRO_ROWS || s.depth * p->b_row * (int64_t)sizeof(GC_REAL) <= GC_SMALL_PANEL;
    const int in_place = p->b_column == 1 && (small || p->b_row == GC_PANEL);
    const int may_pack = (GC_(packing) & GC_PACKS_PANELS) && p->b_column == 1 && gc_whole_strips(rows) > 0;
    const GC_REAL *const b = s.b;
    GC_REAL *const c = s.c;
    int64_t j = 0;
    s.packed = packed;
    for (; j + GC_PANEL <= p->columns; j += GC_PANEL) {
        s.b = b + j * p->b_column, s.b_row = p->b_row, s.c = c + j;
        s.next = s.b + GC_PANEL * p->b_column, s.next_step = p->b_column == 1 ? p->b_row : GC_LANES;
        if (!may_pack && !in_place) {
            p->pack_b(1, s.depth, GC_PANEL, s.b, p->b_row, p->b_column, packed, GC_PANEL);
            s.b = packed, s.b_row = GC_PANEL;
        }
        GC_(panel_product)(rows, GC_PANEL, strips, may_pack && !in_place, s);
    }
    if (part > 0) {
        const int64_t width = part > GC_LANES ? GC_PANEL : GC_LANES;
        p->pack_b(1, s.depth, part, b + j * p->b_column, p->b_row, p->b_column, packed, width);
        s.b = packed, s.b_row = width, s.c = c + j, s.next = packed, s.next_step = 0;
        GC_(panel_product)(rows, part, strips, 0, s);
    }
}

/* For a B in panels. */
GC_FUNCTION void GC_(multiply_in_panels)(const GC_(product) * p, GC_(strip) s) {
    const GC_REAL *const b = s.b;
    GC_REAL *const c = s.c;
    if (GC_(packing) & GC_TAKES_A) GC_(take_a)(p, &s, (GC_REAL *)p->scratch);
    s.b_row = s.next_step = GC_PANEL_COLUMNS;
    for (int64_t j = 0; j < p->columns; j += GC_PANEL) {
        const int64_t place = j % GC_PANEL_COLUMNS, after = (j + GC_PANEL) % GC_PANEL_COLUMNS;
        s.b = b + (j - place) * p->b_column + place, s.c = c + j;
        s.next = b + (j + GC_PANEL - after) * p->b_column + after;
        GC_(panel_product)(p->rows, GC_PANEL, p->pack_a != 0, 0, s);
    }
}

/* `count` strips of `height` rows times a packed block of B, which may end with a narrower panel. Meanwhile what is read
 * next is fetched: the columns of A that will be packed after these, or the next strip's rows if they follow each other. */
GC_FUNCTION void GC_(block_product)(const GC_(product) * p, int64_t count, int64_t height, GC_REAL *copy, GC_(strip) s) {
    const int64_t panels = p->columns / GC_PANEL, part = p->columns % GC_PANEL;
    const int by_columns = p->pack_a && s.a_row == 1, contiguous = s.a_column == 1 && s.a_row == s.depth;
    const int64_t lines = by_columns ? count * height : 0, line_step = s.a_column;
    const GC_REAL *const after = s.a + count * height;
    int64_t a_step = height * s.a_row;
    if (p->pack_a) {
        p->pack_a(count, height, s.depth, s.a, s.a_row, s.a_column, copy);
        s.a = copy, s.a_row = 1, s.a_column = height;
        a_step = height * s.depth;
    } else if (p->copy_a) {
        GC_(copy_part)(count * height, s.depth, s.a, s.a_row, 1, copy, s.depth + GC_ROW_GAP);
        s.a = copy, s.a_row = s.depth + GC_ROW_GAP;
        a_step = height * s.a_row;
    }
    const GC_REAL *const b = s.b;
    GC_REAL *c = s.c;
    for (int64_t i = 0; i < count; i++, s.a += a_step, c += height * s.c_row) {
        s.b = b, s.b_row = GC_PANEL, s.c = c;
        for (int64_t j = 0; j < panels; j++, s.b += s.depth * GC_PANEL, s.c += GC_PANEL) {
            const int64_t line = lines - ((count - i) * panels - j) * GC_LANES; /* late, lest they are pushed out again */
            s.next = line >= 0 && lines > 0 ? after + line : s.a + a_step;
            s.next_step = line >= 0 && lines > 0 ? line_step : contiguous && j == 0 ? GC_LANES : 0;
            GC_(strip_product)(height, GC_PANEL, &s);
        }
        s.b_row = part > GC_LANES ? GC_PANEL : GC_LANES;
        if (part > 0) GC_(strip_product)(height, part, &s);
    }
}

/* By blocks. A is packed, if at all, by as many strips as also fit the second cache. */
GC_FUNCTION void GC_(multiply_blocks)(const GC_(product) * p, GC_(strip) s) {
    const int64_t whole = gc_whole_strips(p->rows), rest = p->rows - whole * GC_MICRO_ROWS, upper = gc_strip_height(rest);
    const int64_t panels = p->columns / GC_PANEL, part = p->columns % GC_PANEL;
    GC_REAL *packed = (GC_REAL *)p->scratch, *copy = packed + s.depth * (panels + (part > 0)) * GC_PANEL;
    const int64_t width = part > GC_LANES ? GC_PANEL : GC_LANES;
    if (panels > 0) p->pack_b(panels, s.depth, GC_PANEL, s.b, p->b_row, p->b_column, packed, GC_PANEL);
    if (part > 0)
        p->pack_b(1, s.depth, part, s.b + panels * GC_PANEL * p->b_column, p->b_row, p->b_column,
                  packed + panels * s.depth * GC_PANEL, width);
    s.b = s.next = packed;
    for (int64_t i = 0, count; i < whole; i += count) {
        count = whole - i < GC_BLOCK_STRIPS ? whole - i : GC_BLOCK_STRIPS;
        GC_(block_product)(p, count, GC_MICRO_ROWS, copy, s);
        s.a += count * GC_MICRO_ROWS * s.a_row, s.c += count * GC_MICRO_ROWS * s.c_row;
    }
    if (rest > 0) GC_(block_product)(p, 1, upper, copy, s);
    s.a += upper * s.a_row, s.c += upper * s.c_row;
    if (rest > upper) GC_(block_product)(p, 1, rest - upper, copy, s);
}

/* All of the depth, by slices of at most `slice`; inlined, so that only the order that is asked for is compiled. */
GC_ALWAYS_INLINE void GC_(multiply_tile)(const GC_(product) * p, int64_t order, int64_t slice) {
    if (p->depth == 0) GC_(clear_part)(p->rows, p->columns, p->c, p->c_row);
    const int64_t slices = (p->depth + slice - 1) / slice;
    for (int64_t n = 0, start = 0, depth; n < slices; n++, start += depth) {
        depth = (p->depth - start + slices - n - 1) / (slices - n);
        const GC_REAL *a = p->a + start * p->a_column, *b = p->b + start * p->b_row;
        const GC_(strip) s = {depth, a, p->a_row, p->a_column, b, p->b_row, p->c, p->c_row, start > 0, 0, b, 0};
        if (order == GC_BY_BLOCKS)
            GC_(multiply_blocks)(p, s);
        else if (order == GC_IN_PANELS)
            GC_(multiply_in_panels)(p, s);
        else
            GC_(multiply_panels)(p, s);
    }
}
