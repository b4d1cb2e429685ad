/* What generated C adds to the calling convention: the epilogue of a library kernel is a printed function. */
#ifndef GRAPHC_GENERATED_H
#define GRAPHC_GENERATED_H

#include "launch.h"

/* A fused kernel over a region of its space; see gc_run_region. `gc_call.program` points to one. */
typedef void (*gc_region)(const gc_call *call, int64_t a0, int64_t a1, int64_t c0, int64_t c1);

static inline __attribute__((unused)) void gc_run_region(const gc_call *call, int64_t a0, int64_t a1, int64_t c0,
                                                          int64_t c1) {
    (*(const gc_region *)call->program)(call, a0, a1, c0, c1);
}

#endif
