/* Vectors taken apart and put together by pairs: the even and odd elements of two vectors, and back. What pooling and
 * convolution with a stride of 2 are made of. */
#ifndef GRAPHC_PAIRS_H
#define GRAPHC_PAIRS_H

#include "simd.h"

typedef int32_t gc_i32v __attribute__((vector_size(GC_VECTOR_BYTES)));
typedef int64_t gc_i64v __attribute__((vector_size(GC_VECTOR_BYTES)));

#define GC_EVEN_LANE(lanes, lane) (2 * (lane))
#define GC_ODD_LANE(lanes, lane) (2 * (lane) + 1)
#define GC_FIRST_LANE(lanes, lane) ((lane) / 2 + ((lane) % 2 ? (lanes) : 0))
#define GC_SECOND_LANE(lanes, lane) ((lanes) / 2 + (lane) / 2 + ((lane) % 2 ? (lanes) : 0))

/* gc_even_TAG(a, b) and gc_odd_TAG(a, b): every second element of the two vectors in a row; gc_first_TAG and gc_second_TAG:
 * the halves of a and b put together element by element. LANES vectors of VECTOR, which EACH lists. */
#ifdef GC_HAS_SHUFFLE
#define GC_PAIRING(NAME, LANE, TAG, VECTOR, LANES, EACH) \
    GC_ALWAYS_INLINE VECTOR gc_##NAME##_##TAG(VECTOR a, VECTOR b) { return __builtin_shufflevector(a, b, EACH(LANE, LANES)); }
#else
#define GC_PAIRING(NAME, LANE, TAG, VECTOR, LANES, EACH)                                                \
    GC_ALWAYS_INLINE VECTOR gc_##NAME##_##TAG(VECTOR a, VECTOR b) {                                     \
        VECTOR c = a;                                                                                   \
        for (int i = 0; i < LANES; i++)                                                                 \
            c[i] = LANE(LANES, i) < LANES ? a[LANE(LANES, i) % LANES] : b[LANE(LANES, i) % LANES];      \
        return c;                                                                                       \
    }
#endif
#define GC_PAIRINGS(TAG, VECTOR, LANES, EACH)                   \
    GC_PAIRING(even, GC_EVEN_LANE, TAG, VECTOR, LANES, EACH)    \
    GC_PAIRING(odd, GC_ODD_LANE, TAG, VECTOR, LANES, EACH)      \
    GC_PAIRING(first, GC_FIRST_LANE, TAG, VECTOR, LANES, EACH)  \
    GC_PAIRING(second, GC_SECOND_LANE, TAG, VECTOR, LANES, EACH)

GC_PAIRINGS(f32, gc_f32v, GC_F32_LANES, GC_EACH_F32)
GC_PAIRINGS(f64, gc_f64v, GC_F64_LANES, GC_EACH_F64)
#endif
