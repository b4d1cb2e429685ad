/* A step: a list of launches over a table of buffers, some of them in loops, and how one thread runs it.
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

/* In iteration i of its loop, buffer `buffer` starts at byte `offset` + `step` * i of buffer `of`. */
typedef struct gc_slice {
    int64_t buffer, of, offset, step;
} gc_slice;

/* Launches [first, last) run `count` times. Loops are in the order of their first launches, outer before inner ones. */
typedef struct gc_loop {
    int64_t first, last, count;
    const gc_slice *slices;
    int64_t slice_count;
} gc_loop;

/* What a program compiled to machine code shows of itself: the symbol NAME_image of its library, in a capsule. Plan and
 * interface of a program are data beside its library: `digest` is the hash of those that it was compiled for. */
#define GC_IMAGE_CAPSULE "graphc.image"
#define GC_IMAGE_FORMAT 3

typedef struct gc_compiled {
    int64_t format;
    int64_t launch_count;
    const gc_launch *launches;
    int64_t loop_count;
    const gc_loop *loops;
    const char *digest; /* 64 hexadecimal digits */
} gc_compiled;

typedef struct gc_step {
    const gc_launch *launches;
    int64_t launch_count;
    const gc_loop *loops;
    int64_t loop_count;
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

/* What is called after each launch of a walk, by its position. */
typedef void (*gc_watch)(void *context, int64_t launch);

static void gc_run_loop(const gc_step *step, int64_t loop, char *scratch, gc_watch watch, void *context);

/* Run launches [first, last) on one thread. `loop` is the first loop that may start there. */
static void gc_run_launches(const gc_step *step, int64_t first, int64_t last, int64_t loop, char *scratch, gc_watch watch,
                            void *context) {
    for (int64_t i = first; i < last;) {
        if (loop < step->loop_count && step->loops[loop].first == i) {
            gc_run_loop(step, loop, scratch, watch, context);
            i = step->loops[loop].last;
            while (loop < step->loop_count && step->loops[loop].first < i)
                loop++;
            continue;
        }
        gc_run_launch(&step->launches[i], step->buffers, scratch, 0, step->launches[i].tiles);
        if (watch)
            watch(context, i);
        i++;
    }
}

static void gc_run_loop(const gc_step *step, int64_t loop, char *scratch, gc_watch watch, void *context) {
    const gc_loop *const it = &step->loops[loop];
    for (int64_t i = 0; i < it->count; i++) {
        for (int64_t s = 0; s < it->slice_count; s++) {
            const gc_slice part = it->slices[s];
            step->buffers[part.buffer] = step->buffers[part.of] + part.offset + part.step * i;
        }
        gc_run_launches(step, it->first, it->last, loop + 1, scratch, watch, context);
    }
}

static inline void gc_step_alone(const gc_step *step) {
    gc_run_launches(step, 0, step->launch_count, 0, step->scratch, NULL, NULL);
}

/* Nanoseconds of each launch, and when the last one ended. */
typedef struct gc_clock {
    int64_t *elapsed;
    int64_t before;
} gc_clock;

static void gc_clock_launch(void *context, int64_t launch) {
    gc_clock *const clock = context;
    const int64_t now = gc_nanoseconds();
    clock->elapsed[launch] += now - clock->before;
    clock->before = now;
}

/* Run on one thread, adding each launch's nanoseconds to `elapsed`. */
static inline void gc_step_profile(const gc_step *step, int64_t *elapsed) {
    gc_clock clock = {elapsed, gc_nanoseconds()};
    gc_run_launches(step, 0, step->launch_count, 0, step->scratch, gc_clock_launch, &clock);
}

#endif
