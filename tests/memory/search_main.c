/* The search of placement for a C user: reads blocks, sections and capacities, prints what is found, under sanitizers.
 *
 * Input: blocks, then for each its size, first and last section, sorted by the first; then any number of lines
 * "capacity work order". Each array is a block of memory of exactly its size. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "search.h"

static void *room(int64_t count, size_t size)
{
    void *memory = calloc((size_t)(count ? count : 1), size);
    return memory ? memory : (exit(3), NULL);
}

static int together(const gc_search *s, int32_t a, int32_t b)
{
    return s->first[a] <= s->last[b] && s->first[b] <= s->last[a];
}

static void list_blocks(gc_search *s, int64_t *near_start, int64_t *member_start)
{
    int32_t *near = room((int64_t)s->blocks * s->blocks, 4), *member = room((int64_t)s->blocks * s->sections, 4);
    for (int32_t i = 0; i < s->blocks; i++) {
        near_start[i + 1] = near_start[i];
        for (int32_t j = 0; j < s->blocks; j++)
            if (i != j && together(s, i, j))
                near[near_start[i + 1]++] = j;
    }
    for (int32_t t = 0; t < s->sections; t++) {
        member_start[t + 1] = member_start[t];
        for (int32_t j = 0; j < s->blocks; j++)
            if (s->first[j] <= t && t <= s->last[j])
                member[member_start[t + 1]++] = j;
    }
    s->near_start = near_start, s->member_start = member_start;
    s->near = realloc(near, (size_t)(near_start[s->blocks] + 1) * 4);
    s->member = realloc(member, (size_t)(member_start[s->sections] + 1) * 4);
}

int main(void)
{
    int32_t count = 0;
    if (scanf("%d", &count) != 1 || count < 1)
        return 2;
    int64_t *size = room(count, 8), *offset = room(count, 8), *stack = room(count, 8), *order = room(count, 8);
    int64_t *first64 = room(count, 8), *last64 = room(count, 8);
    int32_t *first = room(count, 4), *last = room(count, 4);
    double *duration = room(count, 8);
    gc_search s = {.blocks = count, .size = size, .duration = duration, .first = first, .last = last};
    for (int32_t i = 0; i < count; i++) {
        if (scanf("%ld %d %d", &size[i], &first[i], &last[i]) != 3)
            return 2;
        duration[i] = last[i] - first[i] + 1;
        order[i] = i, first64[i] = first[i], last64[i] = last[i];
        s.sections = last[i] >= s.sections ? last[i] + 1 : s.sections;
    }
    list_blocks(&s, room(count + 1, 8), room(s.sections + 1, 8));
    s.low = room(count, 8), s.bound = room(count, 8), s.placed = room(count, 8);
    s.floor = room(s.sections, 8), s.rest = room(s.sections, 8), s.crossing = room(s.sections, 8);
    s.mark = room(s.sections, 8), s.touched = room(s.sections, 4);
    s.change_room = gc_room_for_changes(count, s.sections), s.list_room = gc_room_for_lists(count);
    s.changes = room(s.change_room, sizeof *s.changes), s.lists = room(s.list_room, 4);
    s.ranked = room(count, sizeof *s.ranked);
    printf("%ld\n", gc_best_fit(count, order, size, first64, last64, offset, stack));
    char name[4];
    int64_t work;
    while (scanf("%ld %ld %3s", &s.capacity, &work, name) == 3) {
        s.work = work, s.order = name;
        int found = gc_find(&s, 0, count);
        printf("%d %ld", found, work - s.work);
        for (int32_t i = 0; found == GC_PLACED && i < count; i++)
            printf(" %ld", s.low[i]);
        printf("\n");
    }
    return fflush(stdout);
}
