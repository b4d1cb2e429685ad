/* The element types as lists: F(tag, stored type, type computed in, conversion in, conversion out).
 *
 * GC_EACH_FLOAT are the four floats; GC_EACH_VALUE adds the integers and bool, for comparing; GC_EACH_NUMBER adds the
 * integers as unsigned numbers, for adding, so that they wrap.
 */
#ifndef GRAPHC_ELEMENTS_H
#define GRAPHC_ELEMENTS_H

#include "half.h"

#define GC_AS_IS(x) (x)

#define GC_EACH_FLOAT(F)                             \
    F(f64, double, double, GC_AS_IS, GC_AS_IS)       \
    F(f32, float, float, GC_AS_IS, GC_AS_IS)         \
    F(bf16, uint16_t, float, gc_from_bf16, gc_to_bf16) \
    F(f16, uint16_t, float, gc_from_f16, gc_to_f16)

#define GC_EACH_VALUE(F)                             \
    GC_EACH_FLOAT(F)                                 \
    F(i64, int64_t, int64_t, GC_AS_IS, GC_AS_IS)     \
    F(i32, int32_t, int32_t, GC_AS_IS, GC_AS_IS)     \
    F(i8, int8_t, int8_t, GC_AS_IS, GC_AS_IS)        \
    F(u32, uint32_t, uint32_t, GC_AS_IS, GC_AS_IS)   \
    F(u8, uint8_t, uint8_t, GC_AS_IS, GC_AS_IS)      \
    F(bool, uint8_t, uint8_t, GC_AS_IS, GC_AS_IS)

#define GC_EACH_NUMBER(F)                            \
    GC_EACH_FLOAT(F)                                 \
    F(i64, uint64_t, uint64_t, GC_AS_IS, GC_AS_IS)   \
    F(i32, uint32_t, uint32_t, GC_AS_IS, GC_AS_IS)   \
    F(i8, uint8_t, uint8_t, GC_AS_IS, GC_AS_IS)

/* Whether results are computed in place, without a wider copy. */
#define GC_IS_NATIVE(TYPE, WIDE) (sizeof(TYPE) == sizeof(WIDE))

static inline int64_t gc_smaller(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t gc_larger(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t gc_parts(int64_t whole, int64_t part) { return (whole + part - 1) / part; }

#endif
