/* Stacks of small products, once for each real type: a vector holds the same element of as many products, so that all lanes work
 * however small the matrices are. Operands whose batch lies densely are read, and C is written, where they lie; others go through
 * scratch, transposed by squares. Each element of C is a running sum in the order of k.
 */

/* `rows` x `columns` matrices; an element of the next product is `batch` further on. */
typedef struct GC_(stack) {
    int64_t rows, columns;
    int64_t row, column, batch;
} GC_(stack);

/* How a stack is taken through scratch: runs of elements that follow each other there, and if `step` is 1 in memory, too. */
typedef struct GC_(runs) {
    int64_t runs, run, length, step;
    int64_t row, column; /* strides in scratch */
} GC_(runs);

GC_FUNCTION GC_(runs) GC_(runs_of)(const GC_(stack) * s) {
    const int by_columns = s->column != 1 && s->row == 1;
    const GC_(runs) r = by_columns ? (GC_(runs)){s->columns, s->column, s->rows, s->row, GC_LANES, s->rows * GC_LANES}
                                   : (GC_(runs)){s->rows, s->row, s->columns, s->column, s->columns * GC_LANES, GC_LANES};
    if (r.run != r.length * r.step) return r;
    return (GC_(runs)){1, 0, r.runs * r.length, r.step, r.row, r.column}; /* one after the other */
}

/* `count` products from `from` on, into scratch. */
GC_FUNCTION void GC_(gather_stack)(const GC_(runs) * r, int64_t count, int64_t batch, const GC_REAL *from, GC_REAL *to) {
    for (int64_t i = 0; i < r->runs; i++, from += r->run, to += r->length * GC_LANES) {
        const int by_squares = r->step == 1 && r->length >= GC_LANES;
        for (int64_t n = 0; by_squares && n < r->length; n += GC_LANES) {
            const int64_t start = n + GC_LANES <= r->length ? n : r->length - GC_LANES; /* the last may overlap */
            GC_(transpose_square)(count, from + start, batch, to + start * GC_LANES, GC_LANES);
        }
        for (int64_t n = 0; !by_squares && n < r->length; n++)
            for (int64_t l = 0; l < GC_LANES; l++)
                to[n * GC_LANES + l] = from[n * r->step + (l < count ? l : 0) * batch];
    }
}

/* The other way. */
GC_FUNCTION void GC_(scatter_stack)(const GC_(runs) * r, int64_t count, int64_t batch, const GC_REAL *from, GC_REAL *to) {
    for (int64_t i = 0; i < r->runs; i++, to += r->run, from += r->length * GC_LANES) {
        const int by_squares = r->step == 1 && r->length >= GC_LANES;
        for (int64_t n = 0; by_squares && n < r->length; n += GC_LANES) {
            const int64_t start = n + GC_LANES <= r->length ? n : r->length - GC_LANES;
            GC_VECTOR square[GC_LANES];
            for (int l = 0; l < GC_LANES; l++) square[l] = GC_(load)(from + (start + l) * GC_LANES);
            GC_(transpose)(square);
            for (int l = 0; l < GC_LANES; l++)
                if (l < count) GC_(store)(to + start + l * batch, square[l]);
        }
        for (int64_t n = 0; !by_squares && n < r->length; n++)
            for (int64_t l = 0; l < count; l++) to[n * r->step + l * batch] = from[n * GC_LANES + l];
    }
}

/* A block of C in registers over all of the depth. */
GC_ALWAYS_INLINE void GC_(across_block)(const int rows, const int columns, int64_t depth, const GC_REAL *a, int64_t a_row,
                                        int64_t a_column, const GC_REAL *b, int64_t b_row, int64_t b_column, GC_REAL *c,
                                        int64_t c_row, int64_t c_column) {
    GC_VECTOR sum[2][4];
    GC_UNROLL for (int i = 0; i < rows; i++)
        GC_UNROLL for (int j = 0; j < columns; j++) sum[i][j] = (GC_VECTOR){0};
    for (int64_t k = 0; k < depth; k++, a += a_column, b += b_row) {
        const GC_VECTOR x0 = GC_(load)(a), x1 = rows > 1 ? GC_(load)(a + a_row) : x0;
        GC_UNROLL for (int j = 0; j < columns; j++) {
            const GC_VECTOR y = GC_(load)(b + j * b_column);
            sum[0][j] = GC_(fma)(x0, y, sum[0][j]);
            if (rows > 1) sum[1][j] = GC_(fma)(x1, y, sum[1][j]);
        }
    }
    GC_UNROLL for (int i = 0; i < rows; i++)
        GC_UNROLL for (int j = 0; j < columns; j++) GC_(store)(c + i * c_row + j * c_column, sum[i][j]);
}

/* A strip of one or two rows of C. */
GC_ALWAYS_INLINE void GC_(across_strip)(const int rows, int64_t columns, int64_t depth, const GC_REAL *a, int64_t a_row,
                                        int64_t a_column, const GC_REAL *b, int64_t b_row, int64_t b_column, GC_REAL *c,
                                        int64_t c_row, int64_t c_column) {
    int64_t j = 0;
    for (; j + 4 <= columns; j += 4, b += 4 * b_column, c += 4 * c_column)
        GC_(across_block)(rows, 4, depth, a, a_row, a_column, b, b_row, b_column, c, c_row, c_column);
    if (columns - j >= 2) {
        GC_(across_block)(rows, 2, depth, a, a_row, a_column, b, b_row, b_column, c, c_row, c_column);
        j += 2, b += 2 * b_column, c += 2 * c_column;
    }
    if (j < columns) GC_(across_block)(rows, 1, depth, a, a_row, a_column, b, b_row, b_column, c, c_row, c_column);
}

/* One vector of products, all operands as `a`, `b` and `c` have their strides. */
GC_FUNCTION void GC_(across_product)(const GC_(stack) * a, const GC_(stack) * b, const GC_(stack) * c, const GC_REAL *x,
                                     const GC_REAL *y, GC_REAL *z) {
    int64_t i = 0;
    for (; i + 2 <= c->rows; i += 2)
        GC_(across_strip)(2, c->columns, a->columns, x + i * a->row, a->row, a->column, y, b->row, b->column, z + i * c->row,
                          c->row, c->column);
    if (i < c->rows)
        GC_(across_strip)(1, c->columns, a->columns, x + i * a->row, a->row, a->column, y, b->row, b->column, z + i * c->row,
                          c->row, c->column);
}

/* `count` products from `x`, `y` and `z` on, as many as a vector has lanes at a time. */
GC_FUNCTION void GC_(across_run)(const GC_(stack) * a, const GC_(stack) * b, const GC_(stack) * c, int64_t count,
                                 const GC_REAL *x, const GC_REAL *y, GC_REAL *z, GC_REAL *scratch) {
    const GC_(runs) a_runs = GC_(runs_of)(a), b_runs = GC_(runs_of)(b), c_runs = GC_(runs_of)(c);
    GC_REAL *const x_copy = scratch, *const y_copy = x_copy + a->rows * a->columns * GC_LANES;
    GC_REAL *const z_copy = y_copy + b->rows * b->columns * GC_LANES;
    for (int64_t at = 0; at < count; at += GC_LANES, x += GC_LANES * a->batch, y += GC_LANES * b->batch, z += GC_LANES * c->batch) {
        const int64_t lanes = count - at < GC_LANES ? count - at : GC_LANES;
        const int whole = lanes == GC_LANES, x_lies = whole && a->batch == 1, y_lies = whole && b->batch == 1;
        const int z_lies = whole && c->batch == 1;
        GC_(stack) a_here = *a, b_here = *b, c_here = *c;
        if (!x_lies) {
            if (at == 0 || a->batch) GC_(gather_stack)(&a_runs, lanes, a->batch, x, x_copy);
            a_here.row = a_runs.row, a_here.column = a_runs.column;
        }
        if (!y_lies) {
            if (at == 0 || b->batch) GC_(gather_stack)(&b_runs, lanes, b->batch, y, y_copy);
            b_here.row = b_runs.row, b_here.column = b_runs.column;
        }
        if (!z_lies) c_here.row = c_runs.row, c_here.column = c_runs.column;
        GC_(across_product)(&a_here, &b_here, &c_here, x_lies ? x : x_copy, y_lies ? y : y_copy, z_lies ? z : z_copy);
        if (!z_lies) GC_(scatter_stack)(&c_runs, lanes, c->batch, z_copy, z);
    }
}
