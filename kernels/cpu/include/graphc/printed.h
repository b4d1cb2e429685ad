/* What every printed kernel needs: its calling convention and a word to compilers about its loops. */
#ifndef GRAPHC_PRINTED_H
#define GRAPHC_PRINTED_H

#include "elements.h"
#include "launch.h"

/* The iterations of the loop that follows do not depend on each other: what one writes, none but itself may have read. A short
 * loop is to become vectors, not to be unrolled before it can. */
#ifdef __clang__
#pragma clang diagnostic ignored "-Wpass-failed" /* of loops that call libm */
#define GC_IVDEP _Pragma("clang loop vectorize(assume_safety)")
#else
#define GC_IVDEP _Pragma("GCC ivdep") _Pragma("GCC unroll 1")
#endif

/* A function that printed kernels share: compiled once, not for each constant that it is called with. */
#ifdef __clang__
#define GC_SHARED static __attribute__((noinline, unused))
#else
#define GC_SHARED static __attribute__((noinline, noclone, unused))
#endif

/* Asks for `bytes` (a constant) that lie `ahead` bytes behind `p`, where memory may have ended, to be read or to be written. */
#define GC_FETCH_AS(p, ahead, bytes, written)                                                                                 \
    _Pragma("GCC unroll 16") for (int line = 0; line < (bytes); line += 64)                                                   \
        __builtin_prefetch((const void *)((uintptr_t)(p) + (uintptr_t)(ahead) + (uintptr_t)line), written, 3);
#define GC_FETCH(p, ahead, bytes) GC_FETCH_AS(p, ahead, bytes, 0)
#define GC_FETCH_OWN(p, ahead, bytes) GC_FETCH_AS(p, ahead, bytes, 1)

#endif
