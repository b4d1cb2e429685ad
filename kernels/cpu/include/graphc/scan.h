/* Running sums and products along an axis, and linear recurrences, in the direction of the axis or against it.
 *
 * cumsum_{f64,f32,bf16,f16,i64,i32,i8}  operands  x[outer, extent, inner], out like x; integers of either sign wrap
 * cumprod_{f64,f32,bf16,f16,i64}        operands  x[outer, extent, inner], out (double, of integers int64)
 * recurrence_{f64,f32,bf16,f16}         operands  a[outer, extent, inner], b (double), out (double)
 *     out[k] = b[k] + a[k] out[k - 1], or from the end out[k] = b[k] + a[k + 1] out[k + 1]: a[k] links k - 1 and k;
 *     where a[k] is 0 nothing comes over, were it infinite or NaN
 *
 * params    0 outer, 1 extent, 2 inner, 3 whether to start from the end, 4 outer of a tile, 5 inner of a tile
 * tile      (outer block) * inner blocks + inner block
 * scratch   tile inner * 8 bytes
 *
 * Floats are summed and multiplied in double: a float that is added one by one soon no longer counts, and products of
 * floats soon leave the range of floats. Lines that lie in memory one after the other are walked GC_SCAN_LINES at a time.
 */
#ifndef GRAPHC_SCAN_H
#define GRAPHC_SCAN_H

#include "elements.h"
#include "index.h"
#include "launch.h"
#include "simd.h"
#include "vmath.h"

#define GC_SCAN_LINES 8

/* `lanes` lines, of which the first is at `at`, the next `lane` further; `step` leads along a line, s holds their states.
 * FIRST and NEXT are what s[l] becomes, OUTPUT what is written of it, of x and b at `i` and a line's own state s[l]. */
#define GC_SCAN(NAME, TAG, INPUTS, TYPE, STATE, OUT, FIRST, NEXT, OUTPUT)                                                  \
    GC_ALWAYS_INLINE void gc_##NAME##_lines_##TAG(int64_t lanes, int64_t lane, int64_t at, int64_t extent, int64_t step,   \
                                                  int64_t link, const TYPE *x, const STATE *b, OUT *out, STATE *s) {       \
        (void)b, (void)link;                                                                                               \
        _Pragma("GCC unroll 8") for (int64_t l = 0; l < lanes; l++) {                                                      \
            const int64_t i = at + l * lane;                                                                               \
            s[l] = FIRST;                                                                                                  \
            out[i] = OUTPUT;                                                                                               \
        }                                                                                                                  \
        for (int64_t k = 1; k < extent; k++) {                                                                             \
            at += step;                                                                                                    \
            _Pragma("GCC unroll 8") for (int64_t l = 0; l < lanes; l++) {                                                  \
                const int64_t i = at + l * lane;                                                                           \
                s[l] = (STATE)(NEXT);                                                                                      \
                out[i] = OUTPUT;                                                                                           \
            }                                                                                                              \
        }                                                                                                                  \
    }                                                                                                                      \
    GC_KERNEL gc_##NAME##_##TAG(const gc_call *call, int64_t tile) {                                                       \
        const int64_t *p = call->params, extent = p[1], inner = p[2], reverse = p[3], step = reverse ? -inner : inner;     \
        const int64_t first = reverse ? (extent - 1) * inner : 0, link = reverse ? inner : 0;                              \
        const gc_index_tile t = gc_index_tile_of(p[0], inner, p[4], p[5], tile);                                           \
        const TYPE *x = gc_operand(call, 0);                                                                               \
        const STATE *b = gc_operand(call, 1);                                                                              \
        OUT *out = gc_operand(call, INPUTS);                                                                               \
        STATE lines[GC_SCAN_LINES];                                                                                        \
        for (int64_t o = t.outer; o < t.outer_end && extent; o++) {                                                        \
            const int64_t at = o * extent * inner + t.inner + first;                                                       \
            if (inner > 1) {                                                                                               \
                gc_##NAME##_lines_##TAG(t.width, 1, at, extent, step, link, x, b, out, (STATE *)call->scratch);            \
            } else if (o + GC_SCAN_LINES <= t.outer_end) {                                                                 \
                gc_##NAME##_lines_##TAG(GC_SCAN_LINES, extent, at, extent, step, link, x, b, out, lines);                  \
                o += GC_SCAN_LINES - 1;                                                                                    \
            } else {                                                                                                       \
                gc_##NAME##_lines_##TAG(1, extent, at, extent, step, link, x, b, out, lines);                              \
            }                                                                                                              \
        }                                                                                                                  \
    }

#define GC_SCANS(TAG, TYPE, WIDE, FROM, TO)                                                                                \
    GC_SCAN(cumsum, TAG, 1, TYPE, double, TYPE, FROM(x[i]), s[l] + FROM(x[i]), TO((WIDE)s[l]))                             \
    GC_SCAN(cumprod, TAG, 1, TYPE, double, double, FROM(x[i]), s[l] * FROM(x[i]), s[l])                                    \
    GC_SCAN(recurrence, TAG, 2, TYPE, double, double, b[i],                                                                \
            FROM(x[i + link]) == 0 ? b[i] : gc_muladd_f64(FROM(x[i + link]), s[l], b[i]), s[l])
#define GC_INTEGER_SUM(TAG, TYPE) GC_SCAN(cumsum, TAG, 1, TYPE, TYPE, TYPE, x[i], s[l] + x[i], s[l])

GC_EACH_FLOAT(GC_SCANS)
GC_INTEGER_SUM(i64, uint64_t)
GC_INTEGER_SUM(i32, uint32_t)
GC_INTEGER_SUM(i8, uint8_t)
GC_SCAN(cumprod, i64, 1, uint64_t, uint64_t, uint64_t, x[i], s[l] * x[i], s[l])
#undef GC_INTEGER_SUM
#undef GC_SCANS
#undef GC_SCAN
#endif
