/* Which kernels of gemm.h are compiled: GC_MICRO_HEIGHTS(F), the heights of strips, and GC_MICRO_ROWS, the highest.
 *
 * A compiler spends most of its time on these kernels. Generated C may say beforehand which products it has, as
 * #define GC_PRODUCTS(F) F(rows, rows of a tile, columns) F(rows, rows of a tile, columns) ...
 * for all that calls gemm.h, and gets only those kernels. One that is missing then traps where it would run.
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

#ifdef GC_PRODUCTS
#define GC_HAS_HEIGHT(h, rows) \
    (((h) == GC_MICRO_ROWS && (rows) >= (h)) || GC_UPPER_ROWS(rows) == (h) || GC_LOWER_ROWS(rows) == (h))
#define GC_NEEDS_HEIGHT(h, rows, tile) || GC_HAS_HEIGHT(h, tile) || GC_HAS_HEIGHT(h, (rows) % (tile))
/* Whether some panel is of one vector only, of so many lanes. */
#define GC_HAS_PART(lanes, columns) || ((columns) % (2 * (lanes)) > 0 && (columns) % (2 * (lanes)) <= (lanes))
#define GC_NEEDS_PART_2(rows, tile, columns) GC_HAS_PART(2, columns)
#define GC_NEEDS_PART_4(rows, tile, columns) GC_HAS_PART(4, columns)
#define GC_NEEDS_PART_8(rows, tile, columns) GC_HAS_PART(8, columns)
#define GC_NEEDS_PART_16(rows, tile, columns) GC_HAS_PART(16, columns)
#define GC_MICRO_NEEDS_NARROW(lanes)                                                              \
    (((lanes) == 2 && (0 GC_PRODUCTS(GC_NEEDS_PART_2))) || ((lanes) == 4 && (0 GC_PRODUCTS(GC_NEEDS_PART_4))) || \
     ((lanes) == 8 && (0 GC_PRODUCTS(GC_NEEDS_PART_8))) || ((lanes) == 16 && (0 GC_PRODUCTS(GC_NEEDS_PART_16))))
#define GC_NEEDS_1(rows, tile, columns) GC_NEEDS_HEIGHT(1, rows, tile)
#define GC_NEEDS_2(rows, tile, columns) GC_NEEDS_HEIGHT(2, rows, tile)
#define GC_NEEDS_3(rows, tile, columns) GC_NEEDS_HEIGHT(3, rows, tile)
#define GC_NEEDS_4(rows, tile, columns) GC_NEEDS_HEIGHT(4, rows, tile)
#define GC_NEEDS_5(rows, tile, columns) GC_NEEDS_HEIGHT(5, rows, tile)
#define GC_NEEDS_6(rows, tile, columns) GC_NEEDS_HEIGHT(6, rows, tile)
#define GC_NEEDS_7(rows, tile, columns) GC_NEEDS_HEIGHT(7, rows, tile)
#define GC_NEEDS_8(rows, tile, columns) GC_NEEDS_HEIGHT(8, rows, tile)
#define GC_NEEDS_10(rows, tile, columns) GC_NEEDS_HEIGHT(10, rows, tile)
#define GC_NEEDS_12(rows, tile, columns) GC_NEEDS_HEIGHT(12, rows, tile)
#define GC_NEEDS_14(rows, tile, columns) GC_NEEDS_HEIGHT(14, rows, tile)
#else
#define GC_PRODUCTS(F) || 1
#define GC_MICRO_NEEDS_NARROW(lanes) 1
#endif

#define GC_NO_HEIGHT(F)
#if 0 GC_PRODUCTS(GC_NEEDS_1)
#define GC_HEIGHT_1(F) F(1)
#else
#define GC_HEIGHT_1 GC_NO_HEIGHT
#endif
#if 0 GC_PRODUCTS(GC_NEEDS_2)
#define GC_HEIGHT_2(F) F(2)
#else
#define GC_HEIGHT_2 GC_NO_HEIGHT
#endif
#if 0 GC_PRODUCTS(GC_NEEDS_3)
#define GC_HEIGHT_3(F) F(3)
#else
#define GC_HEIGHT_3 GC_NO_HEIGHT
#endif
#if 0 GC_PRODUCTS(GC_NEEDS_4)
#define GC_HEIGHT_4(F) F(4)
#else
#define GC_HEIGHT_4 GC_NO_HEIGHT
#endif
#if 0 GC_PRODUCTS(GC_NEEDS_5)
#define GC_HEIGHT_5(F) F(5)
#else
#define GC_HEIGHT_5 GC_NO_HEIGHT
#endif
#if 0 GC_PRODUCTS(GC_NEEDS_6)
#define GC_HEIGHT_6(F) F(6)
#else
#define GC_HEIGHT_6 GC_NO_HEIGHT
#endif
#if GC_MICRO_ROWS >= 7 && (0 GC_PRODUCTS(GC_NEEDS_7))
#define GC_HEIGHT_7(F) F(7)
#else
#define GC_HEIGHT_7 GC_NO_HEIGHT
#endif
#if GC_MICRO_ROWS >= 8 && (0 GC_PRODUCTS(GC_NEEDS_8))
#define GC_HEIGHT_8(F) F(8)
#else
#define GC_HEIGHT_8 GC_NO_HEIGHT
#endif
#if GC_MICRO_ROWS >= 10 && (0 GC_PRODUCTS(GC_NEEDS_10))
#define GC_HEIGHT_10(F) F(10)
#else
#define GC_HEIGHT_10 GC_NO_HEIGHT
#endif
#if GC_MICRO_ROWS >= 12 && (0 GC_PRODUCTS(GC_NEEDS_12))
#define GC_HEIGHT_12(F) F(12)
#else
#define GC_HEIGHT_12 GC_NO_HEIGHT
#endif
#if GC_MICRO_ROWS >= 14 && (0 GC_PRODUCTS(GC_NEEDS_14))
#define GC_HEIGHT_14(F) F(14)
#else
#define GC_HEIGHT_14 GC_NO_HEIGHT
#endif

#define GC_MICRO_HEIGHTS(F)                                                                                  \
    GC_HEIGHT_1(F) GC_HEIGHT_2(F) GC_HEIGHT_3(F) GC_HEIGHT_4(F) GC_HEIGHT_5(F) GC_HEIGHT_6(F) GC_HEIGHT_7(F) \
    GC_HEIGHT_8(F) GC_HEIGHT_10(F) GC_HEIGHT_12(F) GC_HEIGHT_14(F)

#endif
