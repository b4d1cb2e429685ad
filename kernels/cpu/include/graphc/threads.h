/* One pool of threads for the process.
 *
 * Workers sleep between steps and are woken once per step. A step is joined by whoever wakes up in time: the caller
 * waits for workers that are inside the step, never for one that has not been scheduled yet. The pool serves one
 * step at a time; a caller that finds it taken runs its step alone. Nothing is allocated, and a forked child starts with
 * an empty pool.
 */
#ifndef GRAPHC_THREADS_H
#define GRAPHC_THREADS_H

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>

#define GC_MAX_THREADS 256

/* Waiting: a few microseconds of pauses, then offers of the processor to others, then 0: time to sleep. */
#define GC_SPIN_PAUSES 64
#define GC_SPIN_YIELDS 128

static inline int gc_spin(int *round) {
    if (*round >= GC_SPIN_PAUSES + GC_SPIN_YIELDS)
        return 0;
    if (++*round > GC_SPIN_PAUSES)
        sched_yield();
    else
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
        __asm__ __volatile__("yield");
#else
        atomic_signal_fence(memory_order_seq_cst);
#endif
    return 1;
}

typedef void (*gc_task)(void *context, int thread);

typedef struct gc_crew {
    atomic_int taken; /* a step is being run */
    atomic_int active; /* workers inside the step */
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t opened;
    pthread_cond_t left;
    gc_task task;
    void *context;
    uint64_t step; /* counts steps, so that no worker joins one twice */
    int places; /* workers that may still join */
    int workers; /* threads started */
} gc_crew;

static gc_crew gc_the_crew = {
    .lock = PTHREAD_MUTEX_INITIALIZER, .opened = PTHREAD_COND_INITIALIZER, .left = PTHREAD_COND_INITIALIZER};
static atomic_int gc_forks; /* how many times this process is a forked child */

static void *gc_crew_worker(void *unused) {
    gc_crew *crew = &gc_the_crew;
    uint64_t joined = 0;
    pthread_mutex_lock(&crew->lock);
    for (;;) {
        while (crew->places == 0 || joined == crew->step)
            pthread_cond_wait(&crew->opened, &crew->lock);
        const int thread = crew->places--;
        joined = crew->step;
        atomic_fetch_add(&crew->active, 1);
        pthread_mutex_unlock(&crew->lock);
        crew->task(crew->context, thread);
        pthread_mutex_lock(&crew->lock);
        if (atomic_fetch_sub(&crew->active, 1) == 1)
            pthread_cond_signal(&crew->left);
    }
    return unused;
}

/* Only the forking thread lives on in the child: whatever the others held is forgotten. */
static void gc_crew_forked(void) {
    gc_crew *crew = &gc_the_crew;
    pthread_mutex_init(&crew->lock, NULL);
    pthread_cond_init(&crew->opened, NULL);
    pthread_cond_init(&crew->left, NULL);
    crew->places = crew->workers = 0;
    atomic_store(&crew->active, 0);
    atomic_store(&crew->taken, 0);
    atomic_fetch_add(&gc_forks, 1);
}

static void gc_crew_register(void) { pthread_atfork(NULL, NULL, gc_crew_forked); }

/* Prepare for forks. Called before anything that a fork could tear apart. */
static void gc_crew_prepare(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, gc_crew_register);
}

/* Start workers until there are `count`, or until the system refuses more. Signals stay with the threads there were. */
static void gc_crew_grow(gc_crew *crew, int count) {
    sigset_t all, before;
    if (crew->workers >= count)
        return;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (crew->workers < count) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, gc_crew_worker, NULL))
            break;
        pthread_detach(thread);
        crew->workers++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* Run `task(context, thread)` on up to `threads` threads; the caller is thread 0. Every call of `task` must return once
 * no work is left, whether or not others run it too. */
static void gc_run_crew(gc_task task, void *context, int threads) {
    gc_crew *crew = &gc_the_crew;
    if (threads <= 1 || atomic_exchange(&crew->taken, 1)) {
        task(context, 0);
        return;
    }
    gc_crew_grow(crew, (threads < GC_MAX_THREADS ? threads : GC_MAX_THREADS) - 1);
    pthread_mutex_lock(&crew->lock);
    crew->task = task;
    crew->context = context;
    crew->step++;
    crew->places = threads - 1 < crew->workers ? threads - 1 : crew->workers;
    for (int i = 0; i < crew->places; i++)
        pthread_cond_signal(&crew->opened);
    pthread_mutex_unlock(&crew->lock);

    task(context, 0);

    pthread_mutex_lock(&crew->lock);
    crew->places = 0;
    pthread_mutex_unlock(&crew->lock);
    for (int round = 0; atomic_load(&crew->active) && gc_spin(&round);)
        ;
    pthread_mutex_lock(&crew->lock);
    while (atomic_load(&crew->active))
        pthread_cond_wait(&crew->left, &crew->lock);
    pthread_mutex_unlock(&crew->lock);
    atomic_store(&crew->taken, 0);
}

#endif
