/* The walker of launch lists: how a step is run by several threads.
 *
 * Launches are grouped into stages: a launch with several tiles is a stage of its own, neighbouring small launches form
 * one stage that is run by a single thread, and so does a loop. Every thread walks the same list of stages. A stage starts once the stages
 * it depends on are done; a thread that would have to wait looks a little ahead for one that may start already. Tiles are
 * handed out by an atomic counter, `grain` at a time. What a tile computes does not depend on who runs it, so the bits are
 * the same for any number of threads.
 *
 * No allocation, no Python. Waiting spins briefly, then sleeps.
 */
#ifndef GRAPHC_EXECUTE_H
#define GRAPHC_EXECUTE_H

#include "step.h"
#include "threads.h"

typedef struct gc_stage {
    int64_t first, last;    /* launches [first, last) */
    int64_t loop;           /* the first loop that may start there */
    int64_t tiles, grain;   /* 1 and 1 for several launches, and for loops */
    const int64_t *depends; /* earlier stages */
    int64_t depend_count;
} gc_stage;

/* How far a stage has come in the current run. */
typedef struct gc_progress {
    _Alignas(64) atomic_int_least64_t taken; /* tiles handed out */
    _Alignas(64) atomic_int_least64_t done;  /* tiles finished */
} gc_progress;

/* A step and what several threads need to share it. */
typedef struct gc_team {
    gc_step step;
    const gc_stage *stages;
    int64_t stage_count;
    gc_progress *progress; /* of each stage */
    int64_t work;     /* scalar operations that several threads can share */
    int64_t runs;     /* how often the step ran, for choosing how to run it */
    int64_t alone;    /* recent nanoseconds of a run on one thread; 0 before the first */
    int64_t together; /* the same on all threads */
    pthread_mutex_t lock; /* for threads that sleep until a stage is done */
    pthread_cond_t finished;
    atomic_int sleepers;
    int forks; /* of the process when `lock` was made */
    _Alignas(64) atomic_int_least64_t head; /* stages before it are handed out */
} gc_team;

static inline int gc_stage_done(const gc_team *team, int64_t stage) {
    return atomic_load(&team->progress[stage].done) >= team->stages[stage].tiles;
}

static inline int gc_stage_taken(const gc_team *team, int64_t stage) {
    return atomic_load_explicit(&team->progress[stage].taken, memory_order_relaxed) >= team->stages[stage].tiles;
}

static void gc_team_sleep(gc_team *team, int64_t until) {
    pthread_mutex_lock(&team->lock);
    atomic_fetch_add(&team->sleepers, 1);
    while (!gc_stage_done(team, until))
        pthread_cond_wait(&team->finished, &team->lock);
    atomic_fetch_sub(&team->sleepers, 1);
    pthread_mutex_unlock(&team->lock);
}

/* Called after the last tile of a stage. A sleeper raises `sleepers` before it looks at the counter for the last time, and
 * the counter was raised before `sleepers` is read here, so one of the two sees the other. */
static void gc_team_wake(gc_team *team) {
    if (atomic_load(&team->sleepers)) {
        pthread_mutex_lock(&team->lock);
        pthread_cond_broadcast(&team->finished);
        pthread_mutex_unlock(&team->lock);
    }
}

/* The first stage that `stage` still waits for, or -1. */
static inline int64_t gc_stage_waits_for(const gc_team *team, int64_t stage) {
    for (int64_t i = 0; i < team->stages[stage].depend_count; i++)
        if (!gc_stage_done(team, team->stages[stage].depends[i]))
            return team->stages[stage].depends[i];
    return -1;
}

/* Take the next tiles of a stage and run them; 0 if others have taken them all. */
static int gc_stage_step(gc_team *team, int64_t position, char *scratch) {
    const gc_step *const step = &team->step;
    const gc_stage *const stage = &team->stages[position];
    gc_progress *const progress = &team->progress[position];
    const int64_t first = atomic_fetch_add(&progress->taken, stage->grain);
    if (first >= stage->tiles)
        return 0;
    const int64_t last = first + stage->grain < stage->tiles ? first + stage->grain : stage->tiles;
    if (stage->tiles > 1)
        gc_run_launch(&step->launches[stage->first], step->buffers, scratch, first, last);
    else
        gc_run_launches(step, stage->first, stage->last, stage->loop, scratch, NULL, NULL);
    if (atomic_fetch_add(&progress->done, last - first) + last - first >= stage->tiles)
        gc_team_wake(team);
    return 1;
}

/* How many stages beyond one that must wait are looked at for something to do meanwhile. */
#define GC_LOOK_AHEAD 16

/* Run tiles of a later stage that may start already; 0 if there is none near. */
static int gc_stage_ahead(gc_team *team, int64_t stage, char *scratch) {
    const int64_t end = stage + 1 + GC_LOOK_AHEAD < team->stage_count ? stage + 1 + GC_LOOK_AHEAD : team->stage_count;
    for (int64_t i = stage + 1; i < end; i++)
        if (!gc_stage_taken(team, i) && gc_stage_waits_for(team, i) < 0 && gc_stage_step(team, i, scratch))
            return 1;
    return 0;
}

/* Help with a stage until all of it is taken. No tile of it is claimed while waiting, so that the thread which finishes
 * the last dependency can go straight on. */
static void gc_run_stage(gc_team *team, int64_t stage, char *scratch) {
    for (int round = 0; !gc_stage_taken(team, stage);) {
        const int64_t needed = gc_stage_waits_for(team, stage);
        if (needed < 0) {
            while (gc_stage_step(team, stage, scratch))
                ;
            return;
        }
        if (gc_stage_ahead(team, stage, scratch))
            round = 0;
        else if (!gc_spin(&round))
            gc_team_sleep(team, needed);
    }
}

static void gc_team_walk(void *context, int thread) {
    gc_team *team = context;
    char *scratch = team->step.scratch + thread * team->step.scratch_stride;
    for (int64_t i = atomic_load(&team->head); i < team->stage_count; i++) {
        gc_run_stage(team, i, scratch);
        atomic_store_explicit(&team->head, i + 1, memory_order_release); /* a hint; going back does no harm */
    }
}

/* Makes a team ready whose step, stages, progress and work are set. */
static void gc_team_prepare(gc_team *team) {
    gc_crew_prepare();
    pthread_mutex_init(&team->lock, NULL);
    pthread_cond_init(&team->finished, NULL);
    atomic_store(&team->sleepers, 0);
    team->forks = atomic_load(&gc_forks);
    team->alone = team->together = 0;
}

static void gc_team_dispose(gc_team *team) {
    pthread_mutex_destroy(&team->lock);
    pthread_cond_destroy(&team->finished);
}

static void gc_team_together(gc_team *team, int threads) {
    if (team->forks != atomic_load(&gc_forks))
        gc_team_prepare(team); /* a thread that is not in this process may have held the lock */
    for (int64_t i = 0; i < team->stage_count; i++) {
        atomic_store_explicit(&team->progress[i].taken, 0, memory_order_relaxed);
        atomic_store_explicit(&team->progress[i].done, 0, memory_order_relaxed);
    }
    atomic_store(&team->head, 0);
    gc_run_crew(gc_team_walk, team, threads);
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

static int gc_team_shares(gc_team *team) {
    if (team->work < GC_LITTLE_WORK || team->work > GC_MUCH_WORK)
        return team->work > GC_MUCH_WORK;
    const int64_t run = team->runs++ % GC_TRIAL_PERIOD;
    if (run == 0)
        team->alone = team->together = 0;
    if (run < GC_TRIALS || team->alone < GC_SHORT_STEP)
        return 0;
    return run < 2 * GC_TRIALS || team->together < team->alone;
}

/* Run the step on the calling thread and, where that is faster, on up to `threads` - 1 others. */
static void gc_run_team(gc_team *team, int threads) {
    if (threads <= 1 || team->work < GC_LITTLE_WORK) {
        gc_step_alone(&team->step);
        return;
    }
    const int shared = gc_team_shares(team);
    const int64_t before = gc_nanoseconds();
    if (shared)
        gc_team_together(team, threads);
    else
        gc_step_alone(&team->step);
    const int64_t elapsed = gc_nanoseconds() - before;
    int64_t *recent = shared ? &team->together : &team->alone;
    *recent = *recent ? (3 * *recent + elapsed) / 4 : elapsed;
}

#endif
