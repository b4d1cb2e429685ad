/* Windows of a plane, for one real type and one length of vector: some outputs of a row at a time.
 *
 * The includer defines GC_TAG, GC_REAL, GC_LANES and GC_INDEX, the integer as wide as GC_REAL, and undefines them.
 */
#define GC_P(name) GC_POOL_JOIN(gc_pool_##name, GC_TAG)
#define GC_POOL_EACH GC_POOL_PASTE(GC_EACH_, GC_LANES)

typedef GC_REAL GC_P(vector) __attribute__((vector_size(GC_LANES * sizeof(GC_REAL))));
typedef GC_REAL GC_P(anywhere) __attribute__((vector_size(GC_LANES * sizeof(GC_REAL)), aligned(sizeof(GC_REAL)), may_alias));
typedef GC_INDEX GC_P(mask) __attribute__((vector_size(GC_LANES * sizeof(GC_REAL))));
typedef int32_t GC_P(places) __attribute__((vector_size(GC_LANES * 4), aligned(4), may_alias));

GC_ALWAYS_INLINE GC_P(vector) GC_P(select)(GC_P(mask) choice, GC_P(vector) a, GC_P(vector) b) {
    return (GC_P(vector))((choice & (GC_P(mask))a) | (~choice & (GC_P(mask))b));
}

/* from[i * stride] for each lane i. With a stride of 2, `odd` says that the element before belongs to the row as well. */
GC_ALWAYS_INLINE GC_P(vector) GC_P(tap)(const GC_REAL *from, const int64_t stride, int odd) {
    if (stride == 1) return *(const GC_P(anywhere) *)from;
    GC_P(vector) found = {0};
#ifdef GC_HAS_SHUFFLE
    if (stride == 2) {
        const GC_P(vector) low = *(const GC_P(anywhere) *)(from - odd), high = *(const GC_P(anywhere) *)(from - odd + GC_LANES);
        return odd ? __builtin_shufflevector(low, high, GC_POOL_EACH(GC_ODD_LANE, GC_LANES))
                   : __builtin_shufflevector(low, high, GC_POOL_EACH(GC_EVEN_LANE, GC_LANES));
    }
#endif
    (void)odd;
    for (int i = 0; i < GC_LANES; i++) found[i] = from[i * stride];
    return found;
}

/* Fetches as many elements of some rows, for reading or writing: the same part of the next plane, as planes often are pages,
 * where the hardware's own fetching ends. A prefetch of an address that is not there does nothing. */
GC_ALWAYS_INLINE void GC_P(fetch)(const GC_REAL *from, int64_t rows, int64_t width, int64_t count, const int writing) {
    for (int64_t row = 0; row < rows; row++)
        for (int64_t i = 0; i < count; i += 64 / (int64_t)sizeof(GC_REAL))
            if (writing)
                __builtin_prefetch(from + row * width + i, 1, 2);
            else
                __builtin_prefetch(from + row * width + i, 0, 2);
}

/* The maximum of the taps in rows [top, bottom) of the windows, and if asked for its place; from[0] is the first tap. */
GC_ALWAYS_INLINE void GC_P(max)(const gc_pool *g, const int64_t stride, int64_t top, int64_t bottom, const GC_REAL *from,
                                int64_t place, GC_REAL *out, int32_t *where) {
    GC_P(vector) best = {0};
    GC_P(mask) found = {0}, lane = {0};
    for (int i = 0; i < GC_LANES; i++) lane[i] = (GC_INDEX)(i * stride);
    for (int64_t i = top; i < bottom; i++)
        for (int64_t j = 0; j < g->window_width; j++) {
            const int64_t step = (i - top) * g->dilation_height * g->width + j * g->dilation_width;
            const GC_P(vector) value = GC_P(tap)(from + step, stride, (int)(j * g->dilation_width % 2));
            if (i == top && j == 0) {
                best = value, found = lane + (GC_INDEX)place;
                continue;
            }
            const GC_P(mask) nan = (GC_P(mask))(value != value);
            const GC_P(mask) better = (GC_P(mask))(value > best) | (where ? nan & (GC_P(mask))(best == best) : nan);
            best = GC_P(select)(better, value, best);
            if (where) found = (better & (lane + (GC_INDEX)(place + step))) | (~better & found);
        }
    if (out) *(GC_P(anywhere) *)out = best;
    if (where) *(GC_P(places) *)where = __builtin_convertvector(found, GC_P(places));
}

/* The mean of the taps in rows [top, bottom) of the windows: rows are summed apart, GC_POOL_ROW taps at a time, so that no
 * sum of a large window is one of many small numbers to a large one. */
GC_ALWAYS_INLINE void GC_P(mean)(const gc_pool *g, const int64_t stride, int64_t top, int64_t bottom, const GC_REAL *from,
                                 GC_REAL count, GC_REAL *out) {
    GC_P(vector) total = {0};
    for (int64_t i = top; i < bottom; i++)
        for (int64_t first = 0; first < g->window_width; first += GC_POOL_ROW) {
            const int64_t last = gc_smaller(first + GC_POOL_ROW, g->window_width);
            GC_P(vector) sum = {0};
            for (int64_t j = first; j < last; j++) sum += GC_P(tap)(from + (i - top) * g->width + j, stride, (int)(j % 2));
            total += sum;
        }
    *(GC_P(anywhere) *)out = total / count;
}

/* Outputs [first, last) of a row, whose windows lie inside the plane: `from` is the first tap of the first of them and
 * `room` elements may be read from there on. Returns how many were done: none, or all that the room is enough for. */
GC_ALWAYS_INLINE int64_t GC_P(span)(const gc_pool *g, const int64_t stride, int64_t top, int64_t bottom, int64_t count,
                                    const GC_REAL *from, int64_t room, int64_t place, GC_REAL mean, GC_REAL *out,
                                    int32_t *where) {
    const int64_t last = (g->window_width - 1) * g->dilation_width;
    const int64_t reach = stride == 2 ? last / 2 * 2 + 2 * GC_LANES : last + (GC_LANES - 1) * stride + 1;
    int64_t done = 0;
    while (done < count) {
        const int64_t k = gc_smaller(done, count - GC_LANES); /* the last block may overlap the one before */
        if (k < 0 || k * stride + reach + (bottom - 1 - top) * g->dilation_height * g->width > room) break;
        const GC_REAL *next = from + k * stride + g->height * g->width;
        GC_P(fetch)(next, gc_smaller(bottom - top, g->stride_height), g->width, GC_LANES * stride, 0);
        if (mean > 0)
            GC_P(mean)(g, stride, top, bottom, from + k * stride, mean, out + k);
        else
            GC_P(max)(g, stride, top, bottom, from + k * stride, place + k * stride, out ? out + k : out,
                      where ? where + k : where);
        done = k + GC_LANES;
    }
    return done;
}
/* Some values of a row spread over windows of 2x2 that tile the plane: lane i goes to one of to[2 * i], to[2 * i + 1] and the
 * same `width` further on, which `base` + 2 * i is the position of, and the others become zero. Returns the lanes (all bits
 * set) whose position is one of these. */
GC_ALWAYS_INLINE GC_P(mask) GC_P(tile)(const GC_REAL *g, const int32_t *positions, int64_t base, int64_t width, GC_REAL *to) {
    const GC_P(vector) value = *(const GC_P(anywhere) *)g;
    GC_P(mask) lane = {0}, inside = {0};
    for (int i = 0; i < GC_LANES; i++) lane[i] = (GC_INDEX)(2 * i);
    const GC_P(mask) place = __builtin_convertvector(*(const GC_P(places) *)positions, GC_P(mask)) - lane - (GC_INDEX)base;
    for (int row = 0; row < 2; row++) {
        const GC_P(mask) left = (GC_P(mask))(place == (GC_INDEX)(row * width));
        const GC_P(mask) right = (GC_P(mask))(place == (GC_INDEX)(row * width + 1));
        const GC_P(vector) a = (GC_P(vector))(left & (GC_P(mask))value) + 0, b = (GC_P(vector))(right & (GC_P(mask))value) + 0;
        inside |= left | right;
        GC_REAL *line = to + row * width;
#ifdef GC_HAS_SHUFFLE
        *(GC_P(anywhere) *)line = __builtin_shufflevector(a, b, GC_POOL_EACH(GC_FIRST_LANE, GC_LANES));
        *(GC_P(anywhere) *)(line + GC_LANES) = __builtin_shufflevector(a, b, GC_POOL_EACH(GC_SECOND_LANE, GC_LANES));
#else
        for (int i = 0; i < GC_LANES; i++) line[2 * i] = a[i], line[2 * i + 1] = b[i];
#endif
    }
    return inside;
}

/* A plane of windows of 2x2, whose rows are whole vectors. Returns whether all positions were in their windows; if not, what
 * has been written is of no use. The first row tells most planes of other windows. */
GC_ALWAYS_INLINE int GC_P(tiles)(const GC_REAL *g, const int32_t *positions, int64_t rows, int64_t columns, GC_REAL *to) {
    GC_P(mask) inside = ~(GC_P(mask)){0};
    GC_INDEX all = -1;
    for (int64_t row = 0; row < rows && all; row++) {
        for (int64_t k = 0; k < columns; k += GC_LANES) {
            const int64_t place = 4 * row * columns + 2 * k;
            GC_P(fetch)(to + 4 * rows * columns + place, 2, 2 * columns, 2 * GC_LANES, 1);
            inside &= GC_P(tile)(g + row * columns + k, positions + row * columns + k, place, 2 * columns, to + place);
        }
        for (int i = 0; i < GC_LANES && (row == 0 || row == rows - 1); i++) all &= inside[i];
    }
    return all != 0;
}
#undef GC_P
#undef GC_POOL_EACH
