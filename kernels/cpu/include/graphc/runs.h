/* Functions over runs of elements that loops of printed kernels cannot hold: random bits, and sines of any argument. */
#ifndef GRAPHC_RUNS_H
#define GRAPHC_RUNS_H

#include "printed.h"
#include "random.h"
#include "scalar.h"
#include "simd.h"

/* Elements first, first + stride, ... of a stream. */
GC_ALWAYS_INLINE void gc_random_run(gc_random_key key, int64_t first, int64_t stride, int64_t n, uint32_t *out) {
    if (stride == 1)
        gc_random_fill(key, first, n, out);
    else
        for (int64_t i = 0; i < n; i++)
            out[i] = gc_random_word(key, first + i * stride);
}

static inline double gc_tan_wide_f64(double x) { return gc_tan_f64(x); }
#ifndef GC_TRIG_LIMIT /* then the functions of vmath.h hold for any argument */
#define GC_TRIG_LIMIT INFINITY
static inline float gc_sin_wide_f32(float x) { return gc_sin_f32(x); }
static inline float gc_cos_wide_f32(float x) { return gc_cos_f32(x); }
static inline float gc_tan_wide_f32(float x) { return gc_tan_f32(x); }
static inline double gc_sin_wide_f64(double x) { return gc_sin_f64(x); }
static inline double gc_cos_wide_f64(double x) { return gc_cos_f64(x); }
#endif

/* A block that holds an argument too large for the branch-free functions is done element by element; the others in one go. */
#define GC_TURNING_RUN(op, T, C, F)                                                                                    \
    GC_SHARED void gc_##op##_run_##T(C *to, const C *from, int64_t total) {                                          \
        for (int64_t n, at = 0; at < total; at += n, to += n, from += n) {                                             \
            n = gc_smaller(128, total - at);                                                                           \
            int wide = 0;                                                                                              \
            for (int64_t i = 0; i < n; i++)                                                                            \
                wide |= fabs##F(from[i]) > (C)GC_TRIG_LIMIT;                                                           \
            if (wide)                                                                                                  \
                for (int64_t i = 0; i < n; i++)                                                                        \
                    to[i] = gc_##op##_wide_##T(from[i]);                                                               \
            else                                                                                                       \
                GC_IVDEP for (int64_t i = 0; i < n; i++)                                                               \
                    to[i] = gc_##op##_##T(from[i]);                                                                    \
        }                                                                                                              \
    }
GC_TURNING_RUN(sin, f32, float, f)
GC_TURNING_RUN(cos, f32, float, f)
GC_TURNING_RUN(tan, f32, float, f)
GC_TURNING_RUN(sin, f64, double, )
GC_TURNING_RUN(cos, f64, double, )
GC_TURNING_RUN(tan, f64, double, )

#endif
