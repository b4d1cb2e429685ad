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

#define GC_TRANSPOSE_EDGE(T, r0, c0)                                                                                   \
    for (int64_t r = r0; r < rows; r++)                                                                                \
        GC_IVDEP for (int64_t c = c0; c < columns; c++)                                                                \
            ((T *)to)[r * to_pitch + c] = ((const T *)from)[c * from_pitch + r];

#define GC_TRANSPOSE_PLAIN(size, T)                                                                                    \
    GC_FUNCTION void gc_transpose_##size(void *to, int64_t to_pitch, const void *from, int64_t from_pitch,             \
                                         int64_t rows, int64_t columns) {                                              \
        GC_TRANSPOSE_EDGE(T, 0, 0)                                                                                     \
    }
GC_TRANSPOSE_PLAIN(1, gc_bits8)
GC_TRANSPOSE_PLAIN(2, gc_bits16)

/* By squares of L elements. Where fewer than L rows are left, whole vectors are still read as far as they lie within the block,
 * whose columns then follow each other in memory, and only the rows that there are written. */
#define GC_TRANSPOSE_SQUARES(size, T, E, L, V, tag)                                                                    \
    GC_FUNCTION void gc_transpose_##size(void *to, int64_t to_pitch, const void *from, int64_t from_pitch,             \
                                         int64_t rows, int64_t columns) {                                              \
        int64_t r0 = 0;                                                                                                \
        for (; r0 < rows; r0 += L) {                                                                                   \
            const int64_t height = gc_smaller(L, rows - r0);                                                           \
            int64_t c0 = 0;                                                                                            \
            for (; c0 + L <= columns; c0 += L) {                                                                       \
                if (height < L && (from_pitch != rows || (c0 + L) * rows + L > columns * rows + height))               \
                    break;                                                                                             \
                V square[L];                                                                                           \
                const E *const source = (const E *)from + c0 * from_pitch + r0;                                        \
                E *const target = (E *)to + r0 * to_pitch + c0;                                                        \
                for (int64_t c = 0; c < L; c++)                                                                        \
                    square[c] = gc_load_##tag(source + c * from_pitch);                                                \
                gc_transpose_##tag(square);                                                                            \
                if (height == L)                                                                                       \
                    for (int64_t r = 0; r < L; r++)                                                                    \
                        gc_store_##tag(target + r * to_pitch, square[r]);                                              \
                else                                                                                                   \
                    for (int64_t r = 0; r < height; r++)                                                               \
                        gc_store_##tag(target + r * to_pitch, square[r]);                                              \
            }                                                                                                          \
            for (int64_t r = r0; r < r0 + height; r++)                                                                 \
                GC_IVDEP for (int64_t c = c0; c < columns; c++)                                                        \
                    ((T *)to)[r * to_pitch + c] = ((const T *)from)[c * from_pitch + r];                               \
        }                                                                                                              \
    }
GC_TRANSPOSE_SQUARES(4, gc_bits32, float, GC_F32_LANES, gc_f32v, f32)
GC_TRANSPOSE_SQUARES(8, gc_bits64, double, GC_F64_LANES, gc_f64v, f64)

#endif
