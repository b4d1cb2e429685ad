/* Transposition of blocks: to[r * to_pitch + c] = from[c * from_pitch + r] for r < rows and c < columns, elements of any type
 * by their size. Squares of vectors are transposed in registers; at the edges elements go one by one. */
#ifndef GRAPHC_BLOCKS_H
#define GRAPHC_BLOCKS_H

#include "printed.h"
#include "simd.h"

typedef uint8_t __attribute__((may_alias)) gc_bits8;
typedef uint16_t __attribute__((may_alias)) gc_bits16;
typedef uint32_t __attribute__((may_alias)) gc_bits32;
typedef uint64_t __attribute__((may_alias)) gc_bits64;

/* Element by element. */
#define GC_TRANSPOSE_EDGE(name, T)                                                                                     \
    GC_SHARED void name(void *to, int64_t to_pitch, const void *from, int64_t from_pitch, int64_t rows,                \
                        int64_t columns) {                                                                             \
        for (int64_t r = 0; r < rows; r++)                                                                             \
            for (int64_t c = 0; c < columns; c++)                                                                      \
                ((T *)to)[r * to_pitch + c] = ((const T *)from)[c * from_pitch + r];                                   \
    }

#ifdef GC_HAS_SHUFFLE
/* Squares of 16 bytes, and of 8 times 2 bytes, in vectors of 16 bytes. */
#define GC_LOW_16(d, lane) (((lane) & (d)) ? 16 + (lane) - (d) : (lane))
#define GC_HIGH_16(d, lane) (((lane) & (d)) ? 16 + (lane) : (lane) + (d))
#define GC_LOW_8(d, lane) (((lane) & (d)) ? 8 + (lane) - (d) : (lane))
#define GC_HIGH_8(d, lane) (((lane) & (d)) ? 8 + (lane) : (lane) + (d))
#define GC_NARROW_SQUARE(tag, E)                                                                                       \
    typedef E gc_##tag##v __attribute__((vector_size(16)));                                                            \
    typedef E gc_##tag##u __attribute__((vector_size(16), aligned(1), may_alias));                                     \
    GC_ALWAYS_INLINE gc_##tag##v gc_load_##tag(const E *p) { return *(const gc_##tag##u *)p; }                         \
    GC_ALWAYS_INLINE void gc_store_##tag(E *p, gc_##tag##v x) { *(gc_##tag##u *)p = x; }
GC_NARROW_SQUARE(u8, uint8_t)
GC_NARROW_SQUARE(u16, uint16_t)
GC_ALWAYS_INLINE void gc_transpose_u8(gc_u8v *rows) {
    GC_SWAP_BLOCKS(rows, 16, GC_EACH_16, GC_LOW_16, GC_HIGH_16, gc_u8v, 1)
    GC_SWAP_BLOCKS(rows, 16, GC_EACH_16, GC_LOW_16, GC_HIGH_16, gc_u8v, 2)
    GC_SWAP_BLOCKS(rows, 16, GC_EACH_16, GC_LOW_16, GC_HIGH_16, gc_u8v, 4)
    GC_SWAP_BLOCKS(rows, 16, GC_EACH_16, GC_LOW_16, GC_HIGH_16, gc_u8v, 8)
}
GC_ALWAYS_INLINE void gc_transpose_u16(gc_u16v *rows) {
    GC_SWAP_BLOCKS(rows, 8, GC_EACH_8, GC_LOW_8, GC_HIGH_8, gc_u16v, 1)
    GC_SWAP_BLOCKS(rows, 8, GC_EACH_8, GC_LOW_8, GC_HIGH_8, gc_u16v, 2)
    GC_SWAP_BLOCKS(rows, 8, GC_EACH_8, GC_LOW_8, GC_HIGH_8, gc_u16v, 4)
}
#endif

/* By squares of L elements; the squares of L columns follow each other, so that whole stretches of `from` are read. A square with
 * fewer rows or columns is still read, or written, in whole vectors where these lie within the block and what is too much is
 * dropped, or overwritten by the next row. */
#define GC_TRANSPOSE_SQUARES(size, T, E, L, V, tag)                                                                    \
    GC_SHARED void gc_square_##size(E *to, int64_t to_pitch, const E *from, int64_t from_pitch, int64_t height,        \
                                    int64_t width) {                                                                   \
        V square[L];                                                                                                   \
        for (int64_t c = 0; c < L; c++)                                                                                \
            square[c] = gc_load_##tag(from + (c < width ? c : 0) * from_pitch);                                        \
        gc_transpose_##tag(square);                                                                                    \
        if (height == L)                                                                                               \
            for (int64_t r = 0; r < L; r++)                                                                            \
                gc_store_##tag(to + r * to_pitch, square[r]);                                                          \
        else                                                                                                           \
            for (int64_t r = 0; r < height; r++)                                                                       \
                gc_store_##tag(to + r * to_pitch, square[r]);                                                          \
    }                                                                                                                  \
    GC_TRANSPOSE_EDGE(gc_edge_##size, T)                                                                               \
    GC_SHARED void gc_transpose_##size(void *to, int64_t to_pitch, const void *from, int64_t from_pitch,               \
                                       int64_t rows, int64_t columns) {                                                \
        for (int64_t c = 0; c < columns; c += L)                                                                       \
            for (int64_t r = 0; r < rows; r += L) {                                                                    \
                const int64_t height = gc_smaller(L, rows - r), width = gc_smaller(L, columns - c);                    \
                const E *const source = (const E *)from + c * from_pitch + r;                                          \
                E *const target = (E *)to + r * to_pitch + c;                                                          \
                const int reads = height == L || (from_pitch == rows && (c + width - 1) * rows + r + L <= columns * rows); \
                const int writes = width == L || (columns == to_pitch && columns == width &&                           \
                                                  (r + height - 1) * columns + L <= rows * columns);                   \
                if (reads && writes)                                                                                   \
                    gc_square_##size(target, to_pitch, source, from_pitch, height, width);                             \
                else                                                                                                   \
                    gc_edge_##size(target, to_pitch, source, from_pitch, height, width);                               \
            }                                                                                                          \
    }
GC_TRANSPOSE_SQUARES(4, gc_bits32, float, GC_F32_LANES, gc_f32v, f32)
GC_TRANSPOSE_SQUARES(8, gc_bits64, double, GC_F64_LANES, gc_f64v, f64)
#ifdef GC_HAS_SHUFFLE
GC_TRANSPOSE_SQUARES(1, gc_bits8, uint8_t, 16, gc_u8v, u8)
GC_TRANSPOSE_SQUARES(2, gc_bits16, uint16_t, 8, gc_u16v, u16)
#else
GC_TRANSPOSE_EDGE(gc_transpose_1, gc_bits8)
GC_TRANSPOSE_EDGE(gc_transpose_2, gc_bits16)
#endif

#endif
