/* The product that everything dense is made of, once for each real type: C += A B by register blocks.
 *
 * The includer defines GC_TAG (f32 or f64), GC_REAL, GC_REAL_BYTES, GC_VECTOR and GC_LANES, and undefines them. A strip
 * is up to GC_MICRO_ROWS rows of A, a panel up to two vectors of columns of B; a strip times a panel stays in registers
 * over the depth. Each element of C is a running sum in the order of k, so how C is cut never changes a bit; a long depth
 * is cut into slices, whose sums are added in order.
 */
#define GC_PANEL (2 * GC_LANES)

/* A strip of A times a panel of B. A is read at a[i * a_row + k * a_column], B at b[k * b_row + j]. */
typedef struct GC_(strip) {
    int64_t depth;
    const GC_REAL *a;
    int64_t a_row, a_column;
    const GC_REAL *b;
    int64_t b_row;
    GC_REAL *c;
    int64_t c_row;
    int accumulate;
    GC_REAL *packed;     /* for the kernel that leaves a contiguous copy of the panel behind */
    const GC_REAL *next; /* what will be read after this strip: a place for each k */
    int64_t next_step;
} GC_(strip);

/* Memory is fetched ahead of its use: B some rows before, `next` all the while, and C when the end comes near, a row for
 * each k. Three rows of A share a pointer and the steps between them, so that a turn adds to few registers; GC_HIDE keeps
 * the compiler from sharing more, and from a second version of the loop for steps of one element. */
GC_ALWAYS_INLINE void GC_(micro)(const int rows, const int vectors, const int packing, const GC_(strip) * s) {
    const int64_t b_row = s->b_row * (int64_t)sizeof(GC_REAL);
    int64_t next_step = s->next_step;
    int64_t a_column = s->a_column * (int64_t)sizeof(GC_REAL);
    int64_t at[3] = {0, s->a_row * (int64_t)sizeof(GC_REAL), 2 * s->a_row * (int64_t)sizeof(GC_REAL)};
    const GC_REAL *a[(GC_MICRO_ROWS + 2) / 3], *b = s->b, *next = s->next;
    GC_REAL *packed = s->packed, *c = s->c;
    GC_HIDE(a_column);
    GC_UNROLL for (int i = 0; i < rows; i += 3) {
        a[i / 3] = GC_AT_BYTES(s->a, i * s->a_row * (int64_t)sizeof(GC_REAL));
        GC_HIDE(a[i / 3]);
    }
    GC_VECTOR sum[GC_MICRO_ROWS][2];
    GC_UNROLL for (int i = 0; i < rows; i++)
        for (int j = 0; j < vectors; j++) sum[i][j] = (GC_VECTOR){0};
    for (int64_t left = s->depth, steps; left > 0; left -= steps) {
        steps = left > 2 * rows ? left - 2 * rows : left > rows ? left - rows : left;
        int64_t turns = steps;
        do {
            const GC_VECTOR b0 = GC_(load)(b), b1 = vectors > 1 ? GC_(load)(b + GC_LANES) : b0;
            if (packing) {
                __builtin_prefetch(GC_AT_BYTES(b, GC_FAR * b_row), 0, 2);
                __builtin_prefetch(GC_AT_BYTES(b, GC_FAR * b_row + GC_VECTOR_BYTES), 0, 2);
                GC_(store)(packed, b0);
                GC_(store)(packed + GC_LANES, b1);
                packed += GC_PANEL;
            } else {
                __builtin_prefetch(GC_AT_BYTES(b, GC_AHEAD * vectors * GC_VECTOR_BYTES));
                if (vectors > 1) __builtin_prefetch(GC_AT_BYTES(b, (GC_AHEAD * vectors + 1) * GC_VECTOR_BYTES));
            }
            __builtin_prefetch(next, 0, 2);
            next += next_step;
            GC_UNROLL for (int i = 0; i < rows; i++) {
                const GC_VECTOR x = GC_(splat)(*(const GC_REAL *)GC_AT_BYTES(a[i / 3], at[i % 3]));
                sum[i][0] = GC_(fma)(x, b0, sum[i][0]);
                if (vectors > 1) sum[i][1] = GC_(fma)(x, b1, sum[i][1]);
            }
            GC_UNROLL for (int i = 0; i < 3; i++) {
                at[i] += a_column;
                GC_HIDE(at[i]);
            }
            b = GC_AT_BYTES(b, b_row);
        } while (--turns);
        next = left > rows + steps ? c : c + (vectors - 1) * GC_LANES;
        next_step = s->c_row;
    }
    c = s->c;
    GC_HIDE(c); /* else the addresses above wait for these lines in memory */
    if (s->accumulate) {
        GC_UNROLL for (int i = 0; i < rows; i++, c += s->c_row)
            for (int j = 0; j < vectors; j++) sum[i][j] += GC_(load)(c + j * GC_LANES);
        c = s->c;
        GC_HIDE(c);
    }
    GC_UNROLL for (int i = 0; i < rows; i++, c += s->c_row)
        for (int j = 0; j < vectors; j++) GC_(store)(c + j * GC_LANES, sum[i][j]);
}

#define GC_MICRO(rows)                                                                          \
    GC_FUNCTION void GC_(micro_##rows##_1)(const GC_(strip) * s) { GC_(micro)(rows, 1, 0, s); } \
    GC_FUNCTION void GC_(micro_##rows##_2)(const GC_(strip) * s) { GC_(micro)(rows, 2, 0, s); }
GC_MICRO_HEIGHTS(GC_MICRO)
GC_FUNCTION void GC_(micro_packing)(const GC_(strip) * s) { GC_(micro)(GC_MICRO_ROWS, 2, 1, s); }

/* Rows and vectors one by one, with the sums of a kernel for all of them. */
GC_FUNCTION void GC_(micro_by_one)(int64_t rows, int vectors, const GC_(strip) * s) {
    GC_(strip) one = *s;
    for (int64_t i = 0; i < rows; i++)
        for (int j = 0; j < vectors; j++) {
            one.a = s->a + i * s->a_row, one.b = s->b + j * GC_LANES, one.c = s->c + i * s->c_row + j * GC_LANES;
            GC_(micro_1_1)(&one);
        }
}

/* Only the kernels that are needed are named, and so compiled; a height that nobody asked for goes by one. */
enum {
    GC_(heights_1) = GC_HEIGHTS_NEEDED(1, GC_LANES),
    GC_(heights_2) = GC_HEIGHTS_NEEDED(2, GC_LANES),
    GC_(packing) = GC_PACKING_NEEDED
};
#define GC_MICRO_CALL(rows, vectors)               \
    if (GC_(heights_##vectors) >> (rows) & 1) {    \
        GC_(micro_##rows##_##vectors)(s);          \
        return;                                    \
    }                                              \
    break;
#define GC_MICRO_CASE(rows)           \
    case rows: GC_MICRO_CALL(rows, 2) \
    case -(rows): GC_MICRO_CALL(rows, 1)
GC_ALWAYS_INLINE void GC_(micro_of)(int64_t rows, const int vectors, const GC_(strip) * s) {
    switch (vectors > 1 ? rows : -rows) {
        GC_MICRO_HEIGHTS(GC_MICRO_CASE)
        default: break;
    }
    GC_UNFORESEEN;
    GC_(micro_by_one)(rows, vectors, s);
}

/* to[i * to_row + j] = from[i * from_row + j * from_column]. */
GC_FUNCTION void GC_(copy_part)(int64_t rows, int64_t columns, const GC_REAL *from, int64_t from_row, int64_t from_column,
                                GC_REAL *to, int64_t to_row) {
    for (int64_t i = 0; i < rows; i++, from += from_row, to += to_row)
        if (from_column == 1)
            for (int64_t j = 0; j < columns; j++) to[j] = from[j];
        else
            for (int64_t j = 0; j < columns; j++) to[j] = from[j * from_column];
}

GC_FUNCTION void GC_(clear_part)(int64_t rows, int64_t columns, GC_REAL *to, int64_t to_row) {
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++) to[i * to_row + j] = 0;
}

/* A strip of which C has only `columns`, through a copy of that part of C where they are not whole vectors. */
GC_FUNCTION void GC_(strip_product)(int64_t rows, int64_t columns, const GC_(strip) * s) {
    const int vectors = columns > GC_LANES ? 2 : 1;
    if (columns == vectors * GC_LANES) {
        GC_(micro_of)(rows, vectors, s);
        return;
    }
    GC_REAL edge[GC_MICRO_ROWS * GC_PANEL];
    GC_(strip) inner = *s;
    inner.c = edge;
    inner.c_row = GC_PANEL;
    if (s->accumulate) {
        GC_(clear_part)(rows, GC_PANEL, edge, GC_PANEL);
        GC_(copy_part)(rows, columns, s->c, s->c_row, 1, edge, GC_PANEL);
    }
    GC_(micro_of)(rows, vectors, &inner);
    GC_(copy_part)(rows, columns, edge, GC_PANEL, 1, s->c, s->c_row);
}

/* All `rows` of A times one panel, of which C has `columns`; the panel has all its vectors' lanes. `s` describes the first
 * strip. In packed strips of A, each strip's rows are contiguous for each k. With `packing` the first strip, which then
 * has GC_MICRO_ROWS rows, leaves a copy of the panel for the others. */
GC_FUNCTION void GC_(panel_product)(int64_t rows, int64_t columns, int strips, int packing, GC_(strip) s) {
    const int64_t whole = gc_whole_strips(rows), rest = rows - whole * GC_MICRO_ROWS, upper = gc_strip_height(rest);
    const int64_t a_step = strips ? s.depth : s.a_row, next_step = s.next_step;
    const GC_REAL *next = s.next;
    if (strips) s.a_row = 1, s.a_column = GC_MICRO_ROWS;
    for (int64_t i = 0; i < whole; i++, s.a += GC_MICRO_ROWS * a_step, s.c += GC_MICRO_ROWS * s.c_row) {
        const int fetching = i >= packing && i < packing + 2; /* two strips fetch the two vectors of what comes next */
        s.next = fetching ? next + (i - packing) * GC_LANES : s.b, s.next_step = fetching ? next_step : 0;
        if ((GC_(packing) & GC_PACKS_PANELS) && packing && i == 0) {
            GC_(micro_packing)(&s);
            s.b = s.packed, s.b_row = GC_PANEL;
        } else {
            GC_(strip_product)(GC_MICRO_ROWS, columns, &s);
        }
    }
    s.next = s.b, s.next_step = 0;
    if (strips) s.a_column = upper;
    if (rest > 0) GC_(strip_product)(upper, columns, &s);
    s.a += upper * a_step, s.c += upper * s.c_row;
    if (strips) s.a_column = rest - upper;
    if (rest > upper) GC_(strip_product)(rest - upper, columns, &s);
}

#undef GC_MICRO
#undef GC_MICRO_CALL
#undef GC_MICRO_CASE
