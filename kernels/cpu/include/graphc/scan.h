/* Running sums along an axis: cumsum_{f64,f32,bf16,f16,i64,i32,i8}; integers of either sign wrap.
 *
 * operands  x[outer, extent, inner], out like x
 * params    0 outer, 1 extent, 2 inner, 3 whether to start from the end, 4 outer of a tile, 5 inner of a tile
 * tile      (outer block) * inner blocks + inner block
 * scratch   tile inner elements of the type computed in: 16-bit floats are summed in float32
 */
#ifndef GRAPHC_SCAN_H
#define GRAPHC_SCAN_H

#include "elements.h"
#include "index.h"
#include "launch.h"

#define GC_CUMSUM(TAG, TYPE, WIDE, FROM, TO)                                                                  \
    GC_KERNEL gc_cumsum_##TAG(const gc_call *call, int64_t tile) {                                            \
        const int64_t *p = call->params, extent = p[1], inner = p[2], reverse = p[3];                         \
        const gc_index_tile t = gc_index_tile_of(p[0], inner, p[4], p[5], tile);                              \
        WIDE *restrict sum = (WIDE *)call->scratch;                                                           \
        for (int64_t o = t.outer; o < t.outer_end; o++) {                                                     \
            const int64_t start = o * extent * inner + t.inner;                                               \
            const TYPE *x = (const TYPE *)gc_operand(call, 0) + start;                                        \
            TYPE *out = (TYPE *)gc_operand(call, 1) + start;                                                  \
            for (int64_t k = 0; k < extent; k++) {                                                            \
                const int64_t row = (reverse ? extent - 1 - k : k) * inner;                                   \
                for (int64_t i = 0; i < t.width; i++) {                                                       \
                    const WIDE value = FROM(x[row + i]);                                                      \
                    sum[i] = (WIDE)(k ? sum[i] + value : value);                                              \
                    out[row + i] = TO(sum[i]);                                                                \
                }                                                                                             \
            }                                                                                                 \
        }                                                                                                     \
    }

GC_EACH_NUMBER(GC_CUMSUM)
#undef GC_CUMSUM
#endif
