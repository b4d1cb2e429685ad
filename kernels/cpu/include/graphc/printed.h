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

#endif
