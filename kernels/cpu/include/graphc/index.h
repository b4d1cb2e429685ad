/* Reading and adding at integer indices: take, scatter_add; and the positions of extremes: argmax, argmin.
 *
 * take_1, take_2, take_4, take_8 (by bytes of an element)
 *   operands  x[outer, extent, inner], indices[count], out[outer, count, inner]
 *   params    0 outer, 1 extent, 2 inner, 3 count, 4 bytes of an index (4 or 8), 5 rows of a tile (of outer * count)
 * scatter_add_{f64,f32,bf16,f16,i64,i32,i8} and scatter_add_f32_wide, for many updates of few elements
 *   operands  x[outer, extent, inner], indices[count], updates[outer, count, inner], out like x
 *   params    0 to 4 as above, 5 outer of a tile, 6 inner of a tile
 *   tile      (outer block) * inner blocks + inner block
 *   scratch   16-bit floats, f32_wide: extent * tile inner doubles, in which sums are formed before they are rounded once
 * argmax_ and argmin_{f64,f32,bf16,f16,i64,i32,i8,u32,u8,bool}
 *   operands  x[outer, extent, inner], out[outer, inner] (int64)
 *   params    0 outer, 1 extent, 2 inner, 3 outer of a tile, 4 inner of a tile
 *   tile      (outer block) * inner blocks + inner block
 *   scratch   tile inner * 8 bytes
 *
 * A negative index counts from the end; one that is out of range even so is clamped to the nearest end. Updates are
 * added in the order of their indices. The first of equal extremes counts, and a NaN is more extreme than any number.
 */
#ifndef GRAPHC_INDEX_H
#define GRAPHC_INDEX_H

#include <string.h>

#include "elements.h"
#include "launch.h"

static inline int64_t gc_index_at(const void *indices, int64_t bytes, int64_t position, int64_t extent) {
    const int64_t raw = bytes == 4 ? ((const int32_t *)indices)[position] : ((const int64_t *)indices)[position];
    return gc_larger(0, gc_smaller(raw < 0 ? raw + extent : raw, extent - 1));
}

#define GC_TAKE(BYTES, TYPE)                                                                              \
    GC_KERNEL gc_take_##BYTES(const gc_call *call, int64_t tile) {                                        \
        const int64_t *p = call->params, extent = p[1], inner = p[2], count = p[3];                       \
        const TYPE *x = gc_operand(call, 0);                                                              \
        const void *indices = gc_operand(call, 1);                                                        \
        const int64_t end = gc_smaller((tile + 1) * p[5], p[0] * count);                                  \
        TYPE *out = (TYPE *)gc_operand(call, 2) + tile * p[5] * inner;                                    \
        for (int64_t row = tile * p[5]; row < end; row++, out += inner) {                                 \
            const TYPE *from = x + (row / count * extent + gc_index_at(indices, p[4], row % count, extent)) * inner; \
            if (inner == 1)                                                                               \
                *out = *from;                                                                             \
            else                                                                                          \
                memcpy(out, from, (size_t)inner * sizeof(TYPE));                                          \
        }                                                                                                 \
    }

GC_TAKE(1, uint8_t)
GC_TAKE(2, uint16_t)
GC_TAKE(4, uint32_t)
GC_TAKE(8, uint64_t)
#undef GC_TAKE

/* Which part of [outer, extent, inner] a tile is. */
typedef struct gc_index_tile {
    int64_t outer, outer_end, inner, width;
} gc_index_tile;

static inline gc_index_tile gc_index_tile_of(int64_t outer, int64_t inner, int64_t tile_outer, int64_t tile_inner, int64_t tile) {
    const int64_t parts = gc_parts(inner, tile_inner), start = tile % parts * tile_inner;
    gc_index_tile t;
    t.outer = tile / parts * tile_outer;
    t.outer_end = gc_smaller(t.outer + tile_outer, outer);
    t.inner = start;
    t.width = gc_smaller(tile_inner, inner - start);
    return t;
}

#define GC_SCATTER_ADD(TAG, TYPE, WIDE, FROM, TO)                                                                  \
    GC_KERNEL gc_scatter_add_##TAG(const gc_call *call, int64_t tile) {                                            \
        const int64_t *p = call->params, extent = p[1], inner = p[2], count = p[3];                                \
        const gc_index_tile t = gc_index_tile_of(p[0], inner, p[5], p[6], tile);                                   \
        const TYPE *x = gc_operand(call, 0), *updates = gc_operand(call, 2);                                       \
        const void *indices = gc_operand(call, 1);                                                                 \
        TYPE *out = gc_operand(call, 3);                                                                           \
        const int native = GC_IS_NATIVE(TYPE, WIDE);                                                               \
        for (int64_t o = t.outer; o < t.outer_end; o++) {                                                          \
            const int64_t start = o * extent * inner + t.inner, step = native ? inner : t.width;                   \
            WIDE *sums = native ? (WIDE *)(void *)(out + start) : (WIDE *)call->scratch;                           \
            for (int64_t row = 0; row < extent && !(native && x == out); row++)                                    \
                for (int64_t i = 0; i < t.width; i++) sums[row * step + i] = FROM(x[start + row * inner + i]);     \
            for (int64_t k = 0; k < count; k++) {                                                                  \
                WIDE *restrict sum = sums + gc_index_at(indices, p[4], k, extent) * step;                          \
                const TYPE *restrict update = updates + (o * count + k) * inner + t.inner;                         \
                for (int64_t i = 0; i < t.width; i++) sum[i] = (WIDE)(sum[i] + FROM(update[i]));                   \
            }                                                                                                      \
            for (int64_t row = 0; row < extent && !native; row++)                                                  \
                for (int64_t i = 0; i < t.width; i++) out[start + row * inner + i] = TO(sums[row * step + i]);     \
        }                                                                                                          \
    }

#define GC_ROUNDED_BF16(x) gc_to_bf16((float)(x))
#define GC_ROUNDED_F16(x) gc_to_f16((float)(x))

GC_SCATTER_ADD(f64, double, double, GC_AS_IS, GC_AS_IS)
GC_SCATTER_ADD(f32, float, float, GC_AS_IS, GC_AS_IS)
GC_SCATTER_ADD(f32_wide, float, double, GC_AS_IS, (float))
GC_SCATTER_ADD(bf16, uint16_t, double, gc_from_bf16, GC_ROUNDED_BF16)
GC_SCATTER_ADD(f16, uint16_t, double, gc_from_f16, GC_ROUNDED_F16)
GC_SCATTER_ADD(i64, uint64_t, uint64_t, GC_AS_IS, GC_AS_IS)
GC_SCATTER_ADD(i32, uint32_t, uint32_t, GC_AS_IS, GC_AS_IS)
GC_SCATTER_ADD(i8, uint8_t, uint8_t, GC_AS_IS, GC_AS_IS)
#undef GC_ROUNDED_F16
#undef GC_ROUNDED_BF16
#undef GC_SCATTER_ADD

/* Whether `value` takes the place of `best`: more extreme, or the first NaN. */
#define GC_ABOVE(value, best) (((value) > (best)) | (((value) != (value)) & ((best) == (best))))
#define GC_BELOW(value, best) (((value) < (best)) | (((value) != (value)) & ((best) == (best))))

#define GC_EXTREME(NAME, BETTER, TAG, TYPE, WIDE, FROM)                                                           \
    GC_KERNEL gc_##NAME##_##TAG(const gc_call *call, int64_t tile) {                                              \
        const int64_t *p = call->params, extent = p[1], inner = p[2];                                             \
        const gc_index_tile t = gc_index_tile_of(p[0], inner, p[3], p[4], tile);                                  \
        WIDE *restrict best = (WIDE *)call->scratch;                                                              \
        for (int64_t o = t.outer; o < t.outer_end; o++) {                                                         \
            const TYPE *restrict x = (const TYPE *)gc_operand(call, 0) + o * extent * inner + t.inner;            \
            int64_t *restrict where = (int64_t *)gc_operand(call, 1) + o * inner + t.inner;                       \
            for (int64_t i = 0; i < t.width; i++) best[i] = FROM(x[i]), where[i] = 0;                             \
            for (int64_t k = 1; k < extent; k++)                                                                  \
                for (int64_t i = 0; i < t.width; i++) {                                                           \
                    const WIDE value = FROM(x[k * inner + i]);                                                    \
                    const int better = BETTER(value, best[i]);                                                    \
                    best[i] = better ? value : best[i];                                                           \
                    where[i] = better ? k : where[i];                                                             \
                }                                                                                                 \
        }                                                                                                         \
    }
#define GC_EXTREMES(TAG, TYPE, WIDE, FROM, TO) \
    GC_EXTREME(argmax, GC_ABOVE, TAG, TYPE, WIDE, FROM) GC_EXTREME(argmin, GC_BELOW, TAG, TYPE, WIDE, FROM)

GC_EACH_VALUE(GC_EXTREMES)
#undef GC_EXTREMES
#undef GC_EXTREME
#undef GC_ABOVE
#undef GC_BELOW
#endif
