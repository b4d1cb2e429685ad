/* What every printed kernel needs: its calling convention and a word to compilers about its loops. */
#ifndef GRAPHC_PRINTED_H
#define GRAPHC_PRINTED_H

#include "elements.h"
#include "launch.h"

/* The iterations of the loop that follows do not depend on each other: what one writes, none but itself may have read. */
#ifdef __clang__
#pragma clang diagnostic ignored "-Wpass-failed" /* of loops that call libm */
#define GC_IVDEP _Pragma("clang loop vectorize(assume_safety)")
#else
#define GC_IVDEP _Pragma("GCC ivdep")
#endif

#endif
