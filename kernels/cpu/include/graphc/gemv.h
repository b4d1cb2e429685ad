/* Products with a vector, once for each real type. Sums run over GC_VECTOR_DEPTH positions at a time, and those are summed:
 * in a float that millions of numbers are added to one by one, each new one soon counts for less than it should. */
#define GC_VECTOR_DEPTH 1024

/* out[l * out_step] = sum over k of x[k * x_step] * y[k * k_step + l], l < length, length at least one vector. */
GC_ALWAYS_INLINE void GC_(combine_block)(const int vectors, int64_t depth, const GC_REAL *x, int64_t x_step,
                                         const GC_REAL *y, int64_t k_step, GC_REAL *out, int64_t out_step) {
    GC_VECTOR sum[8], total[8];
    for (int j = 0; j < vectors; j++) total[j] = (GC_VECTOR){0};
    for (int64_t from = 0; from < depth; from += GC_VECTOR_DEPTH) {
        const int64_t end = depth - from < GC_VECTOR_DEPTH ? depth : from + GC_VECTOR_DEPTH;
        for (int j = 0; j < vectors; j++) sum[j] = (GC_VECTOR){0};
        for (int64_t k = from; k < end; k++) {
            const GC_VECTOR scale = GC_(splat)(x[k * x_step]);
            for (int j = 0; j < vectors; j++)
                sum[j] = GC_(fma)(scale, GC_(load)(y + k * k_step + j * GC_LANES), sum[j]);
        }
        for (int j = 0; j < vectors; j++) total[j] += sum[j];
    }
    GC_REAL lanes[8 * GC_LANES];
    for (int j = 0; j < vectors; j++) GC_(store)(out_step == 1 ? out + j * GC_LANES : lanes + j * GC_LANES, total[j]);
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
        GC_VECTOR sum[GC_LANES], total[GC_LANES];
        for (int i = 0; i < GC_LANES; i++) {
            rows[i] = y + (l + (i < count ? i : count - 1)) * l_step;
            total[i] = (GC_VECTOR){0};
        }
        for (int64_t from = 0; from < whole; from += GC_VECTOR_DEPTH * GC_LANES) {
            const int64_t end = whole - from < GC_VECTOR_DEPTH * GC_LANES ? whole : from + GC_VECTOR_DEPTH * GC_LANES;
            for (int i = 0; i < GC_LANES; i++) sum[i] = (GC_VECTOR){0};
            for (int64_t k = from; k < end; k += GC_LANES) {
                const GC_VECTOR scale = GC_(load)(x + k);
                for (int i = 0; i < GC_LANES; i++) sum[i] = GC_(fma)(scale, GC_(load)(rows[i] + k), sum[i]);
            }
            for (int i = 0; i < GC_LANES; i++) total[i] += sum[i];
        }
        GC_(transpose)(total);
        for (int half = GC_LANES / 2; half; half /= 2)
            for (int i = 0; i < half; i++) total[i] += total[i + half];
        GC_REAL each[GC_LANES];
        GC_(store)(each, total[0]);
        for (int64_t i = 0; i < count; i++) {
            for (int64_t k = whole; k < depth; k++) each[i] += x[k] * rows[i][k];
            out[(l + i) * out_step] = each[i];
        }
    }
}
#undef GC_VECTOR_DEPTH
