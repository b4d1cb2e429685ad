/* A step: a list of launches over a table of buffers, and how one thread runs it.
 *
 * The launches are constants of the program; buffers and scratch memory belong to whoever runs it, so that several can
 * at the same time. No allocation, no Python.
 */
#ifndef GRAPHC_STEP_H
#define GRAPHC_STEP_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "launch.h"

/* One kernel call; the fields are gc_call's. */
typedef struct gc_launch {
    gc_kernel kernel;
    int64_t tiles;
    const gc_ref *operands;
    const int64_t *params;
    const void *program;
    const gc_ref *program_operands;
} gc_launch;

/* What a program compiled to machine code shows of itself: the symbol NAME_image of its library, in a capsule. Plan and
 * interface of a program are data beside its library: `digest` is the hash of those that it was compiled for. */
#define GC_IMAGE_CAPSULE "graphc.image"
#define GC_IMAGE_FORMAT 2

typedef struct gc_compiled {
    int64_t format;
    int64_t launch_count;
    const gc_launch *launches;
    const char *digest; /* 64 hexadecimal digits */
} gc_compiled;

typedef struct gc_step {
    const gc_launch *launches;
    int64_t launch_count;
    char **buffers; /* base address of every buffer of the plan */
    char *scratch;  /* `scratch_stride` bytes for each thread */
    int64_t scratch_stride;
} gc_step;

static inline int64_t gc_nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Tiles [first, last) of a launch. */
static inline void gc_run_launch(const gc_launch *launch, char *const *buffers, char *scratch, int64_t first,
                                 int64_t last) {
    char *local = NULL;
    const gc_call call = {buffers, launch->operands, launch->params, launch->program, launch->program_operands, scratch,
                          &local};
    for (int64_t tile = first; tile < last; tile++)
        launch->kernel(&call, tile);
}

static inline void gc_step_alone(const gc_step *step) {
    for (int64_t i = 0; i < step->launch_count; i++)
        gc_run_launch(&step->launches[i], step->buffers, step->scratch, 0, step->launches[i].tiles);
}

/* Run on one thread, adding each launch's nanoseconds to `elapsed`. */
static inline void gc_step_profile(const gc_step *step, int64_t *elapsed) {
    int64_t before = gc_nanoseconds();
    for (int64_t i = 0; i < step->launch_count; i++) {
        gc_run_launch(&step->launches[i], step->buffers, step->scratch, 0, step->launches[i].tiles);
        const int64_t now = gc_nanoseconds();
        elapsed[i] += now - before;
        before = now;
    }
}

#endif
