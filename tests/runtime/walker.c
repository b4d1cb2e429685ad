/* Runs random graphs of stages on several threads and compares with one thread. Each launch sums what it depends on, so
 * an order that was not kept changes the result; sanitizers see the races behind it. With -DFORGET the dependencies are
 * left out, which must be noticed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graphc/execute.h"

static void gc_run_region(const gc_call *call, int64_t a0, int64_t a1, int64_t c0, int64_t c1) {
    (void)call, (void)a0, (void)a1, (void)c0, (void)c1;
}

enum { LAUNCHES = 60, TILES = 9, THREADS = 4, GRAPHS = 10, RUNS = 5 };

static int64_t values[LAUNCHES][TILES];
static int64_t needs[LAUNCHES][4];
static atomic_int ran;

static void sum(const gc_call *call, int64_t tile) {
    const int64_t self = call->params[0];
    uint64_t total = (uint64_t)(self * 31 + tile);
    if (atomic_fetch_add(&ran, 1) % 8 == 0)
        nanosleep(&(struct timespec){0, 10000}, NULL); /* lets the others run ahead on a busy machine */
    call->scratch[0]++;
    for (int i = 0; i < 4 && needs[self][i] >= 0; i++)
        for (int t = 0; t < TILES; t++)
            total = total * 7 + (uint64_t)values[needs[self][i]][t];
    values[self][tile] = (int64_t)(total & 0xffffff);
}

static int try_graph(unsigned seed) {
    static gc_launch launches[LAUNCHES];
    static gc_stage stages[LAUNCHES];
    static int64_t params[LAUNCHES], alone[LAUNCHES][TILES];
    static char scratch[THREADS * 64];
    static gc_progress progress[LAUNCHES];
    gc_team team = {.step = {.launches = launches, .launch_count = LAUNCHES, .scratch = scratch, .scratch_stride = 64}, .stages = stages, .stage_count = LAUNCHES,
                    .progress = progress, .work = 1000000};
    srand(seed);
    memset(stages, 0, sizeof stages);
    memset(launches, 0, sizeof launches);
    for (int64_t i = 0; i < LAUNCHES; i++) {
        int64_t count = 0;
        for (int k = 0; k < 4; k++)
            needs[i][k] = -1;
        while (i && count < rand() % 5 && count < 4)
            needs[i][count++] = rand() % 3 ? i - 1 - rand() % (i < 4 ? i : 4) : rand() % i;
        params[i] = i;
        launches[i] = (gc_launch){.kernel = sum, .tiles = TILES, .params = &params[i]};
        stages[i].first = i, stages[i].last = i + 1, stages[i].tiles = TILES, stages[i].grain = 1 + rand() % 3;
        stages[i].depends = needs[i], stages[i].depend_count = count;
#ifdef FORGET
        stages[i].depend_count = 0;
#endif
    }
    gc_team_prepare(&team);
    gc_step_alone(&team.step);
    memcpy(alone, values, sizeof alone);
    int agree = 1;
    for (int run = 0; run < RUNS; run++) {
        memset(values, 0, sizeof values);
        gc_team_together(&team, 1 + rand() % THREADS);
        agree = agree && memcmp(alone, values, sizeof alone) == 0;
    }
    for (int run = 0; run < RUNS; run++)
        gc_run_team(&team, THREADS);
    gc_team_dispose(&team);
    return agree;
}

int main(void) {
    for (unsigned seed = 0; seed < GRAPHS; seed++)
        if (!try_graph(seed)) {
            printf("graph %u differs\n", seed);
            return 1;
        }
    printf("%d graphs agree\n", GRAPHS);
    return 0;
}
