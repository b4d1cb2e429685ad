/* Which kernels of gemm.h are compiled: GC_MICRO_HEIGHTS(F), the heights of strips, of which GC_MICRO_ROWS is the highest,
 * and GC_MICRO_NEEDED(height, vectors, lanes).
 *
 * A compiler spends most of its time on these kernels. Generated C may say beforehand which products it has, as
 * #define GC_PRODUCTS(F, ...) F(rows, rows of a tile, columns, packs, __VA_ARGS__) F(...) ...
 * for all that calls gemm.h, and gets only those kernels; `packs` is 1 where panels may be packed as they are used. A kernel
 * that is missing then traps where it would run.
 */
#ifndef GRAPHC_HEIGHTS_H
#define GRAPHC_HEIGHTS_H

/* Chosen so that two vectors of sums for each row fit the registers. No strip should be lower than GC_LEAST_ROWS, as its
 * sums would wait for each other. */
#if defined(__AVX512F__)
#define GC_MICRO_ROWS 14
#elif defined(__aarch64__)
#define GC_MICRO_ROWS 12
#else
#define GC_MICRO_ROWS 6
#endif
#if GC_MICRO_ROWS > 8
#define GC_LEAST_ROWS 8
#else
#define GC_LEAST_ROWS 3
#endif

/* `rows` are cut into strips of GC_MICRO_ROWS, and of what is left an upper and a lower one, either of which may be empty.
 * Above 8, only even heights exist. */
#define GC_WHOLE_ROWS(rows)                                                                                       \
    ((rows) / GC_MICRO_ROWS * GC_MICRO_ROWS -                                                                     \
     ((rows) > GC_MICRO_ROWS && (rows) % GC_MICRO_ROWS > 0 && (rows) % GC_MICRO_ROWS < GC_LEAST_ROWS ? GC_MICRO_ROWS : 0))
#define GC_REST(rows) ((rows) - GC_WHOLE_ROWS(rows))
#define GC_UPPER_OF(rest)                                                               \
    ((rest) > GC_MICRO_ROWS && (rest) > 8 ? (rest) - 8 + (rest) % 2                     \
     : (rest) > GC_MICRO_ROWS || ((rest) > 8 && (rest) % 2 == 1) ? ((rest) + 1) / 2 : (rest))
#define GC_UPPER_ROWS(rows) GC_UPPER_OF(GC_REST(rows))
#define GC_LOWER_ROWS(rows) (GC_REST(rows) - GC_UPPER_ROWS(rows))

/* Whether a product of so many columns has a panel of so many vectors. */
#define GC_HAS_WIDTH(vectors, lanes, columns)                                          \
    ((vectors) > 1 ? (columns) >= 2 * (lanes) || (columns) % (2 * (lanes)) > (lanes) \
                   : (columns) % (2 * (lanes)) > 0 && (columns) % (2 * (lanes)) <= (lanes))
#define GC_HAS_HEIGHT(height, rows)                                                            \
    (((height) == GC_MICRO_ROWS && (rows) >= (height)) || GC_UPPER_ROWS(rows) == (height) || \
     GC_LOWER_ROWS(rows) == (height))

#ifdef GC_PRODUCTS
#define GC_NEEDS_MICRO(rows, tile, columns, packs, height, vectors, lanes)                   \
    || ((GC_HAS_HEIGHT(height, tile) || GC_HAS_HEIGHT(height, (rows) % (tile))) && GC_HAS_WIDTH(vectors, lanes, columns))
#define GC_NEEDS_PACKING(rows, tile, columns, packs, unused) || (packs) > 0
#define GC_MICRO_NEEDED(height, vectors, lanes) (0 GC_PRODUCTS(GC_NEEDS_MICRO, height, vectors, lanes))
#define GC_PACKING_NEEDED (0 GC_PRODUCTS(GC_NEEDS_PACKING, 0))
#else
#define GC_MICRO_NEEDED(height, vectors, lanes) 1
#define GC_PACKING_NEEDED 1
#endif

#if GC_MICRO_ROWS == 14
#define GC_MICRO_HEIGHTS(F) F(1) F(2) F(3) F(4) F(5) F(6) F(7) F(8) F(10) F(12) F(14)
#elif GC_MICRO_ROWS == 12
#define GC_MICRO_HEIGHTS(F) F(1) F(2) F(3) F(4) F(5) F(6) F(7) F(8) F(10) F(12)
#else
#define GC_MICRO_HEIGHTS(F) F(1) F(2) F(3) F(4) F(5) F(6)
#endif

#endif
