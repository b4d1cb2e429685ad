/* Attention over one real type: its steps, then a tile forward and a tile backward. Included by attention.h, which defines
 * GC_TAG (f32 or f64), GC_REAL, GC_VECTOR and GC_LANES.
 *
 * A panel is GC_ATTEND_PANEL queries, in lanes. Everything that a product reads is packed in scratch first: widened, scaled
 * and padded with zeros to whole register blocks, so that strides, 16-bit types and odd extents are met in one place.
 */
#define GC_ATTEND_PANEL (2 * GC_LANES)
#define GC_ATTEND_ROWS GC_ATTENTION_ROWS
#define GC_ATTEND_KEYS GC_ATTENTION_KEYS
#define GC_ATTEND_CHUNK GC_ATTENTION_CHUNK
#define GC_ATTEND_NOTHING (-(GC_REAL)INFINITY)

/* How the stored type is read: gc_at_pack_TAG and gc_at_add_TAG. */
typedef struct GC_ATTEND(at_reader) {
    int64_t size;
    void (*pack)(gc_attention_view m, int64_t rows, int64_t columns, GC_REAL scale, GC_REAL *to, int64_t height, int64_t width);
    void (*add)(gc_attention_view mask, int64_t keys, int64_t queries, int64_t step, GC_REAL *s);
} GC_ATTEND(at_reader);

/* Products ----------------------------------------------------------------------------------------------------------
 * C[rows, vectors] (+)= A[rows, depth] B[depth, vectors]; A at a[i + k * a_step] if `unit`, else at a[i * a_step + k]. */
GC_ALWAYS_INLINE void GC_ATTEND(at_block)(const int vectors, const int unit, int64_t depth, const GC_REAL *a, int64_t a_step,
                                      const GC_REAL *b, int64_t b_step, GC_REAL *c, int64_t c_step, int accumulate) {
    GC_VECTOR sum[GC_ATTEND_ROWS][2];
    _Pragma("GCC unroll 8") for (int i = 0; i < GC_ATTEND_ROWS; i++) sum[i][0] = sum[i][1] = (GC_VECTOR){0};
    for (int64_t k = 0; k < depth; k++) {
        const GC_VECTOR b0 = GC_ATTEND(load)(b), b1 = vectors > 1 ? GC_ATTEND(load)(b + GC_LANES) : b0;
        _Pragma("GCC unroll 8") for (int i = 0; i < GC_ATTEND_ROWS; i++) {
            const GC_VECTOR x = GC_ATTEND(splat)(unit ? a[i] : a[i * a_step]);
            sum[i][0] = GC_ATTEND(fma)(x, b0, sum[i][0]);
            if (vectors > 1) sum[i][1] = GC_ATTEND(fma)(x, b1, sum[i][1]);
        }
        a += unit ? a_step : 1;
        b += b_step;
    }
    _Pragma("GCC unroll 8") for (int i = 0; i < GC_ATTEND_ROWS; i++)
        for (int j = 0; j < vectors; j++) {
            GC_REAL *p = c + i * c_step + j * GC_LANES;
            GC_ATTEND(store)(p, accumulate ? GC_ATTEND(load)(p) + sum[i][j] : sum[i][j]);
        }
}

/* All rows, in whole register blocks, and all columns, in whole vectors. */
#define GC_ATTEND_PRODUCT(name, unit)                                                                                          \
    GC_ATTEND_FUNCTION void GC_ATTEND(name)(int64_t rows, int64_t columns, int64_t depth, const GC_REAL *a, int64_t a_step,    \
                                 const GC_REAL *b, int64_t b_step, GC_REAL *c, int64_t c_step, int accumulate) {               \
        for (int64_t j = 0; j < columns; j += GC_ATTEND_PANEL)                                                                 \
            for (int64_t i = 0; i < rows; i += GC_ATTEND_ROWS) {                                                               \
                const GC_REAL *from = a + (unit ? i : i * a_step);                                                             \
                GC_REAL *to = c + i * c_step + j;                                                                              \
                if (columns - j > GC_LANES)                                                                                    \
                    GC_ATTEND(at_block)(2, unit, depth, from, a_step, b + j, b_step, to, c_step, accumulate);                  \
                else                                                                                                           \
                    GC_ATTEND(at_block)(1, unit, depth, from, a_step, b + j, b_step, to, c_step, accumulate);                  \
            }                                                                                                                  \
    }
GC_ATTEND_PRODUCT(at_product, 0)
GC_ATTEND_PRODUCT(at_product_transposed, 1)
#undef GC_ATTEND_PRODUCT

/* Rows --------------------------------------------------------------------------------------------------------------
 * to[width, panel] = the transpose of from[panel, width]; width is in whole vectors. */
GC_ATTEND_FUNCTION void GC_ATTEND(at_transpose)(int64_t width, const GC_REAL *from, GC_REAL *to) {
    for (int64_t j = 0; j < width; j += GC_LANES)
        for (int64_t i = 0; i < GC_ATTEND_PANEL; i += GC_LANES) {
            GC_VECTOR square[GC_LANES];
            for (int r = 0; r < GC_LANES; r++) square[r] = GC_ATTEND(load)(from + (i + r) * width + j);
            GC_ATTEND(transpose)(square);
            for (int r = 0; r < GC_LANES; r++) GC_ATTEND(store)(to + (j + r) * GC_ATTEND_PANEL + i, square[r]);
        }
}

/* Each row of a panel times a factor of its own; width is in whole vectors. */
GC_ATTEND_FUNCTION void GC_ATTEND(at_scale)(int64_t width, const GC_REAL *factors, GC_REAL *rows) {
    for (int r = 0; r < GC_ATTEND_PANEL; r++, rows += width) {
        const GC_VECTOR factor = GC_ATTEND(splat)(factors[r]);
        for (int64_t c = 0; c < width; c += GC_LANES) GC_ATTEND(store)(rows + c, factor * GC_ATTEND(load)(rows + c));
    }
}

static inline void GC_ATTEND(at_clear)(GC_REAL *x, int64_t count) { memset(x, 0, (size_t)count * sizeof *x); }

/* Where a batch lies in a result that has `extent` rows of `width` for each batch. */
static inline gc_attention_view GC_ATTEND(at_output)(const int64_t *p, int64_t batch, int64_t extent, int64_t width,
                                                     GC_REAL *out) {
    const GC_REAL *from = out + (batch / p[6] * extent * p[6] + batch % p[6]) * width;
    return (gc_attention_view){(const char *)from, sizeof(GC_REAL), p[6] * width, 1};
}

/* Writes (or adds) rows[count, step] times `scale`, of which `width` columns exist. */
GC_ATTEND_FUNCTION void GC_ATTEND(at_write)(gc_attention_view to, int64_t count, int64_t width, GC_REAL scale,
                                            const GC_REAL *rows, int64_t step, int add) {
    GC_REAL *out = (GC_REAL *)(uintptr_t)to.data;
    for (int64_t i = 0; i < count; i++, rows += step, out += to.row) {
        for (int64_t c = 0; i + GC_ATTENTION_AHEAD < count && c < width; c += 64 / to.size)
            __builtin_prefetch(out + GC_ATTENTION_AHEAD * to.row + c, 1);
        for (int64_t c = 0; c < width; c += GC_LANES) {
            const int64_t rest = gc_smaller(width - c, GC_LANES);
            GC_VECTOR x = GC_ATTEND(splat)(scale) * GC_ATTEND(load)(rows + c), old = {0};
            if (rest == GC_LANES) {
                GC_ATTEND(store)(out + c, add ? GC_ATTEND(load)(out + c) + x : x);
            } else {
                if (add) memcpy(&old, out + c, (size_t)rest * sizeof *out);
                x += old;
                memcpy(out + c, &x, (size_t)rest * sizeof *out);
            }
        }
    }
}

/* Scores ------------------------------------------------------------------------------------------------------------
 * s[key, lane] of `keys` keys from `key` on and of a panel of queries from `query` on, of which `queries` exist. */
GC_ATTEND_FUNCTION void GC_ATTEND(at_hide)(const int64_t *p, const GC_ATTEND(at_reader) *reader, gc_attention_view mask,
                                           int64_t key, int64_t keys, int64_t query, int64_t queries, GC_REAL *s) {
    mask.data += (query * mask.row + key * mask.column) * mask.size;
    if ((p[0] & GC_ATTENTION_MASKED) && !(p[0] & GC_ATTENTION_MASK_BOOL)) reader->add(mask, keys, queries, GC_ATTEND_PANEL, s);
    if ((p[0] & GC_ATTENTION_MASKED) && (p[0] & GC_ATTENTION_MASK_BOOL))
        for (int64_t i = 0; i < queries; i++)
            for (int64_t j = 0; j < keys; j++)
                if (!mask.data[i * mask.row + j * mask.column]) s[j * GC_ATTEND_PANEL + i] = GC_ATTEND_NOTHING;
    if (p[0] & GC_ATTENTION_CAUSAL)
        for (int64_t j = gc_larger(query - key + 1, 0); j < keys; j++) {
            const int32_t hidden = (int32_t)gc_smaller(key + j - query, GC_ATTEND_PANEL);
            GC_REAL *row = s + j * GC_ATTEND_PANEL;
            for (int32_t i = 0; i < GC_ATTEND_PANEL; i++) row[i] = i < hidden ? GC_ATTEND_NOTHING : row[i];
        }
}

/* How many keys the queries before `query` see, at most. */
static inline int64_t GC_ATTEND(at_seen)(const int64_t *p, int64_t query) {
    return p[0] & GC_ATTENTION_CAUSAL ? gc_smaller(p[2], query) : p[2];
}

/* One step of the online softmax (Milakov & Gimelshein 2018): scores become weights relative to the new `max`, `sum` is
 * brought up to date, `decay` is what older weights must be multiplied by. Answers whether that changes anything. */
GC_ATTEND_FUNCTION int GC_ATTEND(at_softmax)(int64_t keys, GC_REAL *restrict s, GC_REAL *restrict max, GC_REAL *restrict sum,
                                  GC_REAL *restrict decay) {
    GC_REAL top[GC_ATTEND_PANEL], total[GC_ATTEND_PANEL];
    int changed = 0;
    for (int i = 0; i < GC_ATTEND_PANEL; i++) top[i] = max[i], total[i] = 0;
    for (int64_t j = 0; j < keys; j++)
        for (int i = 0; i < GC_ATTEND_PANEL; i++) {
            const GC_REAL score = s[j * GC_ATTEND_PANEL + i];
            top[i] = score > top[i] ? score : top[i];
        }
    for (int i = 0; i < GC_ATTEND_PANEL; i++) {
        const GC_REAL base = top[i] == GC_ATTEND_NOTHING ? 0 : top[i]; /* nothing is seen yet: all weights are 0 */
        decay[i] = GC_ATTEND(weight)(max[i] - base);
        changed |= decay[i] != 1;
        max[i] = top[i];
        top[i] = base;
    }
    for (int64_t j = 0; j < keys; j++, s += GC_ATTEND_PANEL)
        for (int i = 0; i < GC_ATTEND_PANEL; i++) {
            s[i] = GC_ATTEND(weight)(s[i] - top[i]);
            total[i] += s[i];
        }
    for (int i = 0; i < GC_ATTEND_PANEL; i++) sum[i] = sum[i] * decay[i] + total[i];
    return changed;
}

/* s becomes the weights, exp(s - top) share, t (the gradient of the weights) the gradient of the scores. Rows up to a whole register block
 * become 0, so that products over them add nothing. */
GC_ATTEND_FUNCTION void GC_ATTEND(at_softmax_grad)(int64_t keys, GC_REAL *restrict s, GC_REAL *restrict t,
                                        const GC_REAL *restrict top, const GC_REAL *restrict share,
                                        const GC_REAL *restrict delta) {
    const int64_t beyond = (gc_attention_whole(keys, GC_ATTEND_ROWS) - keys) * GC_ATTEND_PANEL;
    for (int64_t j = 0; j < keys; j++, s += GC_ATTEND_PANEL, t += GC_ATTEND_PANEL)
        for (int i = 0; i < GC_ATTEND_PANEL; i++) {
            s[i] = share[i] * GC_ATTEND(weight)(s[i] - top[i]);
            t[i] = s[i] * (t[i] - delta[i]);
        }
    GC_ATTEND(at_clear)(s, beyond);
    GC_ATTEND(at_clear)(t, beyond);
}

/* Forward -----------------------------------------------------------------------------------------------------------
 * scratch, in reals, with dv and wv for d and w in whole vectors: K[GC_ATTENTION_KEYS, dv], V[GC_ATTENTION_KEYS, wv],
 * scores[GC_ATTENTION_KEYS, panel], Q[panel, dv], decay[panel]; then for each panel of a tile Qᵀ (dv), output (wv), max,
 * sum. */
GC_ATTEND_FUNCTION void GC_ATTEND(attention_forward)(const gc_call *call, int64_t tile, const GC_ATTEND(at_reader) *reader) {
    const int64_t *p = call->params, panel = GC_ATTEND_PANEL, masked = p[0] & GC_ATTENTION_MASKED ? 3 : 0, size = reader->size;
    const int64_t dv = gc_attention_whole(p[3], GC_LANES), wv = gc_attention_whole(p[4], GC_LANES);
    const int64_t state = panel * (dv + wv + 2);
    const int64_t parts = gc_parts(p[1], p[8]), batch = tile / parts, first = tile % parts * p[8];
    const int64_t end = gc_smaller(first + p[8], p[1]);
    const gc_attention_view q = gc_attention_operand(call, 0, batch, size), k = gc_attention_operand(call, 1, batch, size);
    const gc_attention_view v = gc_attention_operand(call, 2, batch, size);
    const gc_attention_view mask = gc_attention_operand(call, masked, batch, p[0] & GC_ATTENTION_MASK_BOOL ? 1 : size);
    GC_REAL *keys = (GC_REAL *)(void *)call->scratch, *values = keys + GC_ATTEND_KEYS * dv, *s = values + GC_ATTEND_KEYS * wv;
    GC_REAL *rows = s + GC_ATTEND_KEYS * panel, *decay = rows + panel * dv, *states = decay + panel, *at = states;
    GC_REAL *tops = (GC_REAL *)gc_operand(call, (int)p[10] + 1) + batch * p[1];
    GC_REAL *totals = (GC_REAL *)gc_operand(call, (int)p[10] + 2) + batch * p[1];
    const gc_attention_view output = GC_ATTEND(at_output)(p, batch, p[1], p[4], gc_operand(call, (int)p[10]));
    for (int64_t i = first; i < end; i += panel, at += state) {
        reader->pack(gc_attention_from(q, i), end - i, p[3], (GC_REAL)gc_attention_scale(p), rows, panel, dv);
        GC_ATTEND(at_transpose)(dv, rows, at);
        GC_ATTEND(at_clear)(at + panel * dv, panel * (wv + 2));
        for (int n = 0; n < GC_ATTEND_PANEL; n++) at[panel * (dv + wv) + n] = GC_ATTEND_NOTHING;
    }
    for (int64_t j = 0; j < GC_ATTEND(at_seen)(p, end); j += GC_ATTEND_KEYS) {
        const int64_t block = gc_smaller(p[2] - j, GC_ATTEND_KEYS);
        reader->pack(gc_attention_from(k, j), block, p[3], 1, keys, gc_attention_whole(block, GC_ATTEND_ROWS), dv);
        reader->pack(gc_attention_from(v, j), block, p[4], 1, values, block, wv);
        at = states;
        for (int64_t i = first; i < end; i += panel, at += state) {
            const int64_t lanes = gc_smaller(end - i, panel), seen = gc_smaller(GC_ATTEND(at_seen)(p, i + lanes) - j, block);
            GC_REAL *sums = at + panel * dv, *max = sums + panel * wv;
            if (seen <= 0) continue;
            GC_ATTEND(at_product)(gc_attention_whole(seen, GC_ATTEND_ROWS), lanes, p[3], keys, dv, at, panel, s, panel, 0);
            GC_ATTEND(at_hide)(p, reader, mask, j, seen, i, lanes, s);
            if (GC_ATTEND(at_softmax)(seen, s, max, max + panel, decay)) GC_ATTEND(at_scale)(wv, decay, sums);
            const int64_t height = gc_attention_whole(lanes, GC_ATTEND_ROWS);
            GC_ATTEND(at_product_transposed)(height, wv, seen, s, panel, values, wv, sums, wv, 1);
        }
    }
    at = states;
    for (int64_t i = first; i < end; i += panel, at += state) {
        GC_REAL *sums = at + panel * dv, *max = sums + panel * wv, *sum = max + panel;
        const int64_t lanes = gc_smaller(end - i, panel);
        for (int n = 0; n < GC_ATTEND_PANEL; n++) decay[n] = sum[n] == 0 ? 0 : 1 / sum[n];
        GC_ATTEND(at_scale)(wv, decay, sums);
        GC_ATTEND(at_write)(gc_attention_from(output, i), lanes, p[4], 1, sums, wv, 0);
        memcpy(tops + i, max, (size_t)lanes * sizeof *tops);
        memcpy(totals + i, sum, (size_t)lanes * sizeof *totals);
    }
}

/* Backward ----------------------------------------------------------------------------------------------------------
 * scratch, in reals: scores and their gradient [GC_ATTENTION_KEYS, panel] each; for a panel Q and its gradient (dv each),
 * G (wv), Qᵀ (dv), Gᵀ (wv), top, 1 / total, delta; for up to GC_ATTENTION_CHUNK keys K and its gradient (dv each), V and its gradient
 * (wv each). */
GC_ATTEND_FUNCTION void GC_ATTEND(attention_backward)(const gc_call *call, int64_t tile, const GC_ATTEND(at_reader) *reader,
                                                      const GC_ATTEND(at_reader) *real) {
    const int64_t *p = call->params, panel = GC_ATTEND_PANEL, masked = p[0] & GC_ATTENTION_MASKED ? 7 : 0, size = reader->size;
    const int64_t dv = gc_attention_whole(p[3], GC_LANES), wv = gc_attention_whole(p[4], GC_LANES);
    const int64_t key_parts = p[9] ? gc_parts(p[2], p[9]) : 0, parts = p[9] ? key_parts + gc_parts(p[1], p[8]) : 1;
    const int64_t batch = tile / parts, part = tile % parts;
    const int of_keys = !p[9] || part < key_parts, of_queries = !p[9] || part >= key_parts;
    const int64_t first_key = of_queries ? 0 : part * p[9], end_key = of_queries ? p[2] : gc_smaller(first_key + p[9], p[2]);
    const int64_t first = of_keys ? 0 : (part - key_parts) * p[8], end = of_keys ? p[1] : gc_smaller(first + p[8], p[1]);
    const gc_attention_view q = gc_attention_operand(call, 0, batch, size), k = gc_attention_operand(call, 1, batch, size);
    const gc_attention_view v = gc_attention_operand(call, 2, batch, size);
    const gc_attention_view g = gc_attention_operand(call, 3, batch, real->size);
    const gc_attention_view top = gc_attention_operand(call, 4, batch, real->size);
    const gc_attention_view total = gc_attention_operand(call, 5, batch, real->size);
    const gc_attention_view delta = gc_attention_operand(call, 6, batch, real->size);
    const gc_attention_view mask = gc_attention_operand(call, masked, batch, p[0] & GC_ATTENTION_MASK_BOOL ? 1 : size);
    const GC_REAL scale = (GC_REAL)gc_attention_scale(p);
    const gc_attention_view query_grad = GC_ATTEND(at_output)(p, batch, p[1], p[3], gc_operand(call, (int)p[10]));
    const gc_attention_view key_grad = GC_ATTEND(at_output)(p, batch, p[2], p[3], gc_operand(call, (int)p[10] + 1));
    const gc_attention_view value_grad = GC_ATTEND(at_output)(p, batch, p[2], p[4], gc_operand(call, (int)p[10] + 2));
    GC_REAL *s = (GC_REAL *)(void *)call->scratch, *t = s + GC_ATTEND_KEYS * panel, *rows = t + GC_ATTEND_KEYS * panel;
    GC_REAL *row_sums = rows + panel * dv, *g_rows = row_sums + panel * dv, *columns = g_rows + panel * wv;
    GC_REAL *g_columns = columns + panel * dv, *base = g_columns + panel * wv, *share = base + panel, *shift = share + panel;
    GC_REAL *keys = shift + panel, *key_sums = keys + GC_ATTEND_CHUNK * dv, *values = key_sums + GC_ATTEND_CHUNK * dv;
    GC_REAL *value_sums = values + GC_ATTEND_CHUNK * wv;
    int64_t chunk = first_key;
    do { /* once, too, where there are no keys: the gradient of q is 0 then */
        const int64_t count = gc_smaller(end_key - chunk, GC_ATTEND_CHUNK), height = gc_attention_whole(count, GC_ATTEND_ROWS);
        reader->pack(gc_attention_from(k, chunk), count, p[3], 1, keys, height, dv);
        reader->pack(gc_attention_from(v, chunk), count, p[4], 1, values, height, wv);
        GC_ATTEND(at_clear)(key_sums, height * dv);
        GC_ATTEND(at_clear)(value_sums, height * wv);
        for (int64_t i = first; i < end; i += panel) {
            const int64_t lanes = gc_smaller(end - i, panel);
            const int64_t seen = gc_smaller(GC_ATTEND(at_seen)(p, i + lanes) - chunk, count);
            if (seen <= 0 && !(of_queries && chunk == 0)) continue;
            reader->pack(gc_attention_from(q, i), lanes, p[3], scale, rows, panel, dv);
            real->pack(gc_attention_from(g, i), lanes, p[4], 1, g_rows, panel, wv);
            real->pack(gc_attention_from(top, i), lanes, 1, 1, base, panel, 1);
            real->pack(gc_attention_from(total, i), lanes, 1, 1, share, panel, 1);
            real->pack(gc_attention_from(delta, i), lanes, 1, 1, shift, panel, 1);
            GC_ATTEND(at_transpose)(dv, rows, columns);
            GC_ATTEND(at_transpose)(wv, g_rows, g_columns);
            for (int n = 0; n < GC_ATTEND_PANEL; n++) {
                base[n] = base[n] == GC_ATTEND_NOTHING ? 0 : base[n]; /* sees no key */
                share[n] = share[n] == 0 ? 0 : 1 / share[n];
            }
            GC_ATTEND(at_clear)(row_sums, panel * dv);
            for (int64_t j = 0; j < seen; j += GC_ATTEND_KEYS) {
                const int64_t block = gc_smaller(seen - j, GC_ATTEND_KEYS), whole = gc_attention_whole(block, GC_ATTEND_ROWS);
                GC_ATTEND(at_product)(whole, panel, p[3], keys + j * dv, dv, columns, panel, s, panel, 0);
                GC_ATTEND(at_product)(whole, panel, p[4], values + j * wv, wv, g_columns, panel, t, panel, 0);
                GC_ATTEND(at_hide)(p, reader, mask, chunk + j, block, i, lanes, s);
                GC_ATTEND(at_softmax_grad)(block, s, t, base, share, shift);
                GC_ATTEND(at_product)(of_keys * whole, wv, lanes, s, panel, g_rows, wv, value_sums + j * wv, wv, 1);
                GC_ATTEND(at_product)(of_keys * whole, dv, lanes, t, panel, rows, dv, key_sums + j * dv, dv, 1);
                GC_ATTEND(at_product_transposed)(of_queries * panel, dv, block, t, panel, keys + j * dv, dv, row_sums, dv, 1);
            }
            GC_ATTEND(at_write)(gc_attention_from(query_grad, i), of_queries * lanes, p[3], scale, row_sums, dv, chunk > 0);
        }
        GC_ATTEND(at_write)(gc_attention_from(key_grad, chunk), of_keys * count, p[3], 1, key_sums, dv, 0);
        GC_ATTEND(at_write)(gc_attention_from(value_grad, chunk), of_keys * count, p[4], 1, value_sums, wv, 0);
        chunk += GC_ATTEND_CHUNK;
    } while (chunk < end_key);
}

#undef GC_ATTEND_PANEL
#undef GC_ATTEND_ROWS
#undef GC_ATTEND_KEYS
#undef GC_ATTEND_CHUNK
#undef GC_ATTEND_NOTHING
