/* The walker of launch lists: how a step is run by one thread or several.
 *
 * Launches are grouped into stages: a launch with several tiles is a stage of its own, neighbouring small launches form
 * one stage that is run by a single thread. Every thread walks the same list of stages. A stage is entered once the
 * stages it depends on are done; its tiles are handed out by an atomic counter, `grain` at a time. What a tile computes
 * does not depend on who runs it, so the bits are the same for any number of threads.
 *
 * No allocation, no Python. Waiting spins briefly, then sleeps.
 */
#ifndef GRAPHC_EXECUTE_H
#define GRAPHC_EXECUTE_H

#include <stdint.h>
#include <time.h>

#include "launch.h"
#include "threads.h"

typedef struct gc_launch {
    gc_kernel kernel;
    gc_call call; /* `scratch` is filled in by the thread that runs it */
    int64_t tiles;
} gc_launch;

typedef struct gc_stage {
    int64_t first, last;    /* launches [first, last) */
    int64_t tiles, grain;   /* 1 and 1 for several launches */
    const int64_t *depends; /* earlier stages */
    int64_t depend_count;
    _Alignas(64) atomic_int_least64_t taken; /* tiles handed out */
    _Alignas(64) atomic_int_least64_t done;  /* tiles finished */
} gc_stage;

typedef struct gc_step {
    const gc_launch *launches;
    int64_t launch_count;
    gc_stage *stages;
    int64_t stage_count;
    char *scratch; /* `scratch_stride` bytes for each thread */
    int64_t scratch_stride;
    int64_t work;     /* scalar operations that several threads can share */
    int64_t runs;     /* how often the step ran, for choosing how to run it */
    int64_t alone;    /* recent nanoseconds of a run on one thread; 0 before the first */
    int64_t together; /* the same on all threads */
    pthread_mutex_t lock; /* for threads that sleep until a stage is done */
    pthread_cond_t finished;
    atomic_int sleepers;
    int forks; /* of the process when `lock` was made */
    _Alignas(64) atomic_int_least64_t head; /* stages before it are handed out */
} gc_step;

static inline int64_t gc_nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline void gc_launch_run(const gc_launch *launch, char *scratch, int64_t first, int64_t last) {
    gc_call call = launch->call;
    call.scratch = scratch;
    for (int64_t tile = first; tile < last; tile++)
        launch->kernel(&call, tile);
}

/* One thread ---------------------------------------------------------------------------------------------------- */
static void gc_step_alone(gc_step *step) {
    for (int64_t i = 0; i < step->launch_count; i++)
        gc_launch_run(&step->launches[i], step->scratch, 0, step->launches[i].tiles);
}

/* Run on one thread, adding each launch's nanoseconds to `elapsed`. */
static void gc_step_profile(gc_step *step, int64_t *elapsed) {
    int64_t before = gc_nanoseconds();
    for (int64_t i = 0; i < step->launch_count; i++) {
        gc_launch_run(&step->launches[i], step->scratch, 0, step->launches[i].tiles);
        const int64_t now = gc_nanoseconds();
        elapsed[i] += now - before;
        before = now;
    }
}

/* Several threads ----------------------------------------------------------------------------------------------- */
static inline int gc_stage_done(gc_stage *stage) { return atomic_load(&stage->done) >= stage->tiles; }

static inline int gc_stage_taken(gc_stage *stage) {
    return atomic_load_explicit(&stage->taken, memory_order_relaxed) >= stage->tiles;
}

static void gc_step_sleep(gc_step *step, gc_stage *until) {
    pthread_mutex_lock(&step->lock);
    atomic_fetch_add(&step->sleepers, 1);
    while (!gc_stage_done(until))
        pthread_cond_wait(&step->finished, &step->lock);
    atomic_fetch_sub(&step->sleepers, 1);
    pthread_mutex_unlock(&step->lock);
}

/* Called after the last tile of a stage. A sleeper raises `sleepers` before it looks at the counter for the last time, and
 * the counter was raised before `sleepers` is read here, so one of the two sees the other. */
static void gc_step_wake(gc_step *step) {
    if (atomic_load(&step->sleepers)) {
        pthread_mutex_lock(&step->lock);
        pthread_cond_broadcast(&step->finished);
        pthread_mutex_unlock(&step->lock);
    }
}

/* Wait until `stage` may start; 0 if by then others have taken all of it. No tile is claimed while waiting, so that the
 * thread which finishes the last dependency can go straight on. */
static int gc_stage_enter(gc_step *step, gc_stage *stage) {
    for (int64_t i = 0; i < stage->depend_count; i++) {
        gc_stage *needed = &step->stages[stage->depends[i]];
        for (int round = 0; !gc_stage_done(needed);) {
            if (gc_stage_taken(stage))
                return 0;
            if (!gc_spin(&round))
                gc_step_sleep(step, needed);
        }
    }
    return !gc_stage_taken(stage);
}

static void gc_stage_run(gc_step *step, gc_stage *stage, char *scratch) {
    for (;;) {
        const int64_t first = atomic_fetch_add(&stage->taken, stage->grain);
        if (first >= stage->tiles)
            return;
        const int64_t last = first + stage->grain < stage->tiles ? first + stage->grain : stage->tiles;
        if (stage->last - stage->first == 1)
            gc_launch_run(&step->launches[stage->first], scratch, first, last);
        else
            for (int64_t i = stage->first; i < stage->last; i++)
                gc_launch_run(&step->launches[i], scratch, 0, step->launches[i].tiles);
        if (atomic_fetch_add(&stage->done, last - first) + last - first >= stage->tiles)
            gc_step_wake(step);
    }
}

static void gc_step_walk(void *context, int thread) {
    gc_step *step = context;
    char *scratch = step->scratch + thread * step->scratch_stride;
    for (int64_t i = atomic_load(&step->head); i < step->stage_count; i++) {
        if (gc_stage_enter(step, &step->stages[i]))
            gc_stage_run(step, &step->stages[i], scratch);
        atomic_store_explicit(&step->head, i + 1, memory_order_release); /* a hint; going back does no harm */
    }
}

static void gc_step_prepare(gc_step *step) {
    gc_pool_prepare();
    pthread_mutex_init(&step->lock, NULL);
    pthread_cond_init(&step->finished, NULL);
    atomic_store(&step->sleepers, 0);
    step->forks = atomic_load(&gc_forks);
    step->alone = step->together = 0;
}

static void gc_step_dispose(gc_step *step) {
    pthread_mutex_destroy(&step->lock);
    pthread_cond_destroy(&step->finished);
}

static void gc_step_together(gc_step *step, int threads) {
    if (step->forks != atomic_load(&gc_forks))
        gc_step_prepare(step); /* a thread that is not in this process may have held the lock */
    for (int64_t i = 0; i < step->stage_count; i++) {
        atomic_store_explicit(&step->stages[i].taken, 0, memory_order_relaxed);
        atomic_store_explicit(&step->stages[i].done, 0, memory_order_relaxed);
    }
    atomic_store(&step->head, 0);
    gc_pool_run(gc_step_walk, step, threads);
}

/* The choice between the two ---------------------------------------------------------------------------------------
 * Steps below GC_LITTLE_WORK run alone, steps above GC_MUCH_WORK together. In between the faster way is found by
 * measuring, a few runs of each and again after a while, as the machine may be busy with something else; when the chosen
 * way slows down past the other, the other is taken. A step that takes one thread less than GC_SHORT_STEP nanoseconds is
 * not worth waking anybody for. */
#define GC_LITTLE_WORK 100000
#define GC_MUCH_WORK 100000000
#define GC_SHORT_STEP 100000
#define GC_TRIALS 3
#define GC_TRIAL_PERIOD 1024

static int gc_step_shared(gc_step *step) {
    if (step->work < GC_LITTLE_WORK || step->work > GC_MUCH_WORK)
        return step->work > GC_MUCH_WORK;
    const int64_t run = step->runs++ % GC_TRIAL_PERIOD;
    if (run == 0)
        step->alone = step->together = 0;
    if (run < GC_TRIALS || step->alone < GC_SHORT_STEP)
        return 0;
    return run < 2 * GC_TRIALS || step->together < step->alone;
}

/* Run the step on the calling thread and, where that is faster, on up to `threads` - 1 others. */
static void gc_step_run(gc_step *step, int threads) {
    if (threads <= 1 || step->work < GC_LITTLE_WORK) {
        gc_step_alone(step);
        return;
    }
    const int shared = gc_step_shared(step);
    const int64_t before = gc_nanoseconds();
    if (shared)
        gc_step_together(step, threads);
    else
        gc_step_alone(step);
    const int64_t elapsed = gc_nanoseconds() - before;
    int64_t *recent = shared ? &step->together : &step->alone;
    *recent = *recent ? (3 * *recent + elapsed) / 4 : elapsed;
}

#endif
