/* What this processor can do: the x86-64 levels v3 and v4, asked of the processor and of the operating system. */
#ifndef GRAPHC_FEATURES_H
#define GRAPHC_FEATURES_H

#if defined(__x86_64__)
#include <cpuid.h>

/* Vector registers are usable only where the operating system saves them, which __builtin_cpu_supports looks at. */
static inline int gc_has_avx2(void) {
    unsigned a = 0, b = 0, c = 0, d = 0;
    __builtin_cpu_init();
    if (!(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
          __builtin_cpu_supports("bmi2")))
        return 0;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_F16C) || !(c & bit_MOVBE))
        return 0;
    return __get_cpuid(0x80000001, &a, &b, &c, &d) && (c & bit_LZCNT);
}

static inline int gc_has_avx512(void) {
    return gc_has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
}

#else

static inline int gc_has_avx2(void) { return 0; }
static inline int gc_has_avx512(void) { return 0; }

#endif
#endif
