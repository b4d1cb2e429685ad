/* Which kernels of gemm.h are compiled: GC_MICRO_HEIGHTS(F), the heights of strips, of which GC_MICRO_ROWS is the highest,
 * and GC_HEIGHTS_NEEDED(vectors, lanes), a bit for each.
 *
 * A compiler spends most of its time on these kernels. Generated C may say beforehand which tiles of products it has, as
 * #define GC_PRODUCTS(F, ...) F(rows, columns, packs, __VA_ARGS__) F(...) ...
 * #define GC_PRODUCT_ROWS(F) F(rows) F(...) ...        each number of rows once
 * for all that calls gemm.h, and gets only those kernels. `packs` is GC_PACKS_PANELS where panels may be packed as they are used,
 * plus GC_TAKES_A where A is packed or copied. A kernel that is missing costs time where it would run, not the process;
 * tests define GC_UNFORESEEN as what tells them.
 */
#ifndef GRAPHC_HEIGHTS_H
#define GRAPHC_HEIGHTS_H

#ifndef GC_UNFORESEEN
#define GC_UNFORESEEN ((void)0)
#endif

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

enum { GC_PACKS_PANELS = 1, GC_TAKES_A = 2 };

#ifdef GC_PRODUCTS
/* Step by step, as macros in macros in macros become long. Height 0 is none. */
#define GC_HEIGHTS_OF_ROWS(rows)                                                                  \
    GC_REST_OF_##rows = GC_REST(rows),                                                            \
    GC_UPPER_OF_##rows = GC_UPPER_OF(GC_REST_OF_##rows),                                          \
    GC_HEIGHTS_OF_##rows = ((rows) >= GC_MICRO_ROWS) << GC_MICRO_ROWS | 1 << GC_UPPER_OF_##rows | \
                           1 << (GC_REST_OF_##rows - GC_UPPER_OF_##rows),
enum { GC_PRODUCT_ROWS(GC_HEIGHTS_OF_ROWS) GC_NO_HEIGHTS };
/* Whether some panel of so many columns is of so many vectors. */
#define GC_HAS_WIDTH(columns, vectors, lanes)                                        \
    ((vectors) > 1 ? (columns) >= 2 * (lanes) || (columns) % (2 * (lanes)) > (lanes) \
                   : (columns) % (2 * (lanes)) > 0 && (columns) % (2 * (lanes)) <= (lanes))
#define GC_HEIGHTS_IF(rows, columns, packs, vectors, lanes) \
    | (GC_HAS_WIDTH(columns, vectors, lanes) ? GC_HEIGHTS_OF_##rows : 0)
#define GC_PACKING_OF(rows, columns, packs, unused) | (packs)
#define GC_HEIGHTS_NEEDED(vectors, lanes) (0 GC_PRODUCTS(GC_HEIGHTS_IF, vectors, lanes))
#define GC_PACKING_NEEDED (0 GC_PRODUCTS(GC_PACKING_OF, 0))
#else
#define GC_HEIGHTS_NEEDED(vectors, lanes) ((2 << GC_MICRO_ROWS) - 1)
#define GC_PACKING_NEEDED (GC_PACKS_PANELS | GC_TAKES_A)
#endif

#if GC_MICRO_ROWS == 14
#define GC_MICRO_HEIGHTS(F) F(1) F(2) F(3) F(4) F(5) F(6) F(7) F(8) F(10) F(12) F(14)
#elif GC_MICRO_ROWS == 12
#define GC_MICRO_HEIGHTS(F) F(1) F(2) F(3) F(4) F(5) F(6) F(7) F(8) F(10) F(12)
#else
#define GC_MICRO_HEIGHTS(F) F(1) F(2) F(3) F(4) F(5) F(6)
#endif

#endif
