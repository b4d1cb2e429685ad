/* Functions over runs of elements that loops of printed kernels cannot hold: random bits, and sines of any argument. */
#ifndef GRAPHC_RUNS_H
#define GRAPHC_RUNS_H

#include "printed.h"
#include "random.h"
#include "scalar.h"
#include "simd.h"

/* Elements first, first + stride, ... of a stream. */
GC_ALWAYS_INLINE void gc_random_run_u32(gc_random_key key, int64_t first, int64_t stride, int64_t n, uint32_t *out) {
    if (stride == 1)
        gc_random_fill(key, first, n, out);
    else
        for (int64_t i = 0; i < n; i++)
            out[i] = gc_random_word(key, first + i * stride);
}

/* A block that holds an argument too large for the branch-free functions is done element by element; the others in one go. */
#define GC_TURNING_RUN(op)                                                                                             \
    GC_SHARED void gc_##op##_run_f64(double *to, const double *from, int64_t total) {                                  \
        for (int64_t n, at = 0; at < total; at += n, to += n, from += n) {                                             \
            n = gc_smaller(128, total - at);                                                                           \
            int wide = 0;                                                                                              \
            for (int64_t i = 0; i < n; i++)                                                                            \
                wide |= fabs(from[i]) >= GC_NEAR_F64;                                                                  \
            if (wide)                                                                                                  \
                for (int64_t i = 0; i < n; i++)                                                                        \
                    to[i] = gc_##op##_f64(from[i]);                                                                    \
            else                                                                                                       \
                GC_IVDEP for (int64_t i = 0; i < n; i++)                                                               \
                    to[i] = gc_##op##_near_f64(from[i]);                                                               \
        }                                                                                                              \
    }
GC_TURNING_RUN(sin)
GC_TURNING_RUN(cos)

#endif
