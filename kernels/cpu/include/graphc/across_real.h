/* Stacks of small products, once for each real type: a vector holds the same element of as many products, so that all lanes work
 * however small the matrices are. Operands whose batch lies densely are read, and C is written, where they lie; others go through
 * scratch, transposed by squares. Each element of C is a running sum in the order of k, or a sum of such ones.
 */
#define GC_ACROSS_DEPTH 768

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

/* A part of the depth for a vector of products: what is read and written, with the strides of each. */
typedef struct GC_(across) {
    int64_t depth;
    const GC_REAL *a;
    int64_t a_row, a_column;
    const GC_REAL *b;
    int64_t b_row, b_column;
    GC_REAL *c;
    int64_t c_row, c_column;
    int accumulate;
} GC_(across);

/* A block of C in registers over the depth. */
GC_ALWAYS_INLINE void GC_(across_block)(const int rows, const int columns, const GC_(across) * s) {
    const GC_REAL *a = s->a, *b = s->b;
    const int64_t a_row = s->a_row, a_column = s->a_column, b_row = s->b_row, b_column = s->b_column;
    GC_VECTOR sum[2][4];
    GC_UNROLL for (int i = 0; i < rows; i++)
        GC_UNROLL for (int j = 0; j < columns; j++) sum[i][j] = (GC_VECTOR){0};
    for (int64_t k = 0; k < s->depth; k++, a += a_column, b += b_row) {
        const GC_VECTOR x0 = GC_(load)(a), x1 = rows > 1 ? GC_(load)(a + a_row) : x0;
        GC_UNROLL for (int j = 0; j < columns; j++) {
            const GC_VECTOR y = GC_(load)(b + j * b_column);
            sum[0][j] = GC_(fma)(x0, y, sum[0][j]);
            if (rows > 1) sum[1][j] = GC_(fma)(x1, y, sum[1][j]);
        }
    }
    GC_UNROLL for (int i = 0; i < rows; i++)
        GC_UNROLL for (int j = 0; j < columns; j++) {
            GC_REAL *const c = s->c + i * s->c_row + j * s->c_column;
            GC_(store)(c, s->accumulate ? sum[i][j] + GC_(load)(c) : sum[i][j]);
        }
}

/* One or two rows of C. */
GC_ALWAYS_INLINE void GC_(across_strip)(const int rows, int64_t columns, GC_(across) s) {
    for (; columns >= 4; columns -= 4, s.b += 4 * s.b_column, s.c += 4 * s.c_column) GC_(across_block)(rows, 4, &s);
    for (; columns >= 2; columns -= 2, s.b += 2 * s.b_column, s.c += 2 * s.c_column) GC_(across_block)(rows, 2, &s);
    if (columns > 0) GC_(across_block)(rows, 1, &s);
}

/* A vector of products, which `s` describes with the whole depth: by slices, as in a long sum each addend counts for less. */
GC_FUNCTION void GC_(across_product)(int64_t rows, int64_t columns, const GC_(across) * whole) {
    for (int64_t start = 0; start < whole->depth; start += GC_ACROSS_DEPTH) {
        GC_(across) s = *whole;
        s.depth = whole->depth - start < GC_ACROSS_DEPTH ? whole->depth - start : GC_ACROSS_DEPTH;
        s.a += start * s.a_column, s.b += start * s.b_row, s.accumulate = start > 0;
        for (int64_t i = 0; i + 2 <= rows; i += 2, s.a += 2 * s.a_row, s.c += 2 * s.c_row) GC_(across_strip)(2, columns, s);
        if (rows % 2) GC_(across_strip)(1, columns, s);
    }
}

/* `count` products from `x`, `y` and `z` on, as many as a vector has lanes at a time. */
GC_FUNCTION void GC_(across_run)(const GC_(stack) * a, const GC_(stack) * b, const GC_(stack) * c, int64_t count,
                                 const GC_REAL *x, const GC_REAL *y, GC_REAL *z, GC_REAL *scratch) {
    const GC_(runs) a_runs = GC_(runs_of)(a), b_runs = GC_(runs_of)(b), c_runs = GC_(runs_of)(c);
    GC_REAL *const x_copy = scratch, *const y_copy = x_copy + a->rows * a->columns * GC_LANES;
    GC_REAL *const z_copy = y_copy + b->rows * b->columns * GC_LANES;
    for (int64_t at = 0; at < count; at += GC_LANES) {
        const int64_t lanes = count - at < GC_LANES ? count - at : GC_LANES;
        const int whole = lanes == GC_LANES, x_lies = whole && a->batch == 1, y_lies = whole && b->batch == 1;
        const int z_lies = whole && c->batch == 1;
        GC_(across) s = {a->columns, x, a->row, a->column, y, b->row, b->column, z, c->row, c->column, 0};
        if (!x_lies) {
            if (at == 0 || a->batch) GC_(gather_stack)(&a_runs, lanes, a->batch, x, x_copy);
            s.a = x_copy, s.a_row = a_runs.row, s.a_column = a_runs.column;
        }
        if (!y_lies) {
            if (at == 0 || b->batch) GC_(gather_stack)(&b_runs, lanes, b->batch, y, y_copy);
            s.b = y_copy, s.b_row = b_runs.row, s.b_column = b_runs.column;
        }
        if (!z_lies) s.c = z_copy, s.c_row = c_runs.row, s.c_column = c_runs.column;
        GC_(across_product)(c->rows, c->columns, &s);
        if (!z_lies) GC_(scatter_stack)(&c_runs, lanes, c->batch, z_copy, z);
        x += GC_LANES * a->batch, y += GC_LANES * b->batch, z += GC_LANES * c->batch;
    }
}
#undef GC_ACROSS_DEPTH
