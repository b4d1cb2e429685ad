/* Placement of blocks in an arena of a given capacity, by exhaustive search within a budget of work.
 *
 * A packing is canonical when every block stands on the ground or on another block that lives at the same time; if
 * there is a packing at all, pushing its blocks down gives a canonical one. Blocks are placed from the ground upwards,
 * in the order of (offset, rank), so every canonical packing is met once. The ideas are those of MiniMalloc (Moffitt,
 * ASPLOS 2023): that order, bounds for each section of time, no gap that would hold a block, parts of time that no
 * block crosses solved one by one; to which is added what follows for blocks that the order has passed by.
 *
 * All memory is the caller's. Work is counted, not timed, so equal problems take equal ways on every machine.
 */
#ifndef GRAPHC_SCHEDULE_SEARCH_H
#define GRAPHC_SCHEDULE_SEARCH_H

#include <stdint.h>

enum { GC_IMPOSSIBLE = 0, GC_PLACED = 1, GC_EXHAUSTED = 2 };

typedef struct {
    int64_t *where, before;
} gc_change;

typedef struct {
    int32_t block;
    double keys[3];
} gc_ranked;

typedef struct {
    /* The problem. Sections are numbered in time order; a block lives from section `first` to section `last`. */
    int32_t blocks, sections;
    const int64_t *size;
    const double *duration;
    const int32_t *first, *last;
    const int64_t *near_start, *member_start; /* by block, by section: where its list starts, and ends */
    const int32_t *near, *member;             /* blocks alive together with a block; blocks of a section */
    int64_t capacity;
    const char *order; /* the three keys that rank blocks, largest first: A area, D duration, L live bytes */
    int64_t work;      /* what is left of it */
    /* The state by block. `bound` is above `low` for blocks that must be lifted by others before they are placed. */
    int64_t *low;    /* the end of the highest placed block that the block lives with */
    int64_t *bound;  /* no packing that is still looked for has the block below */
    int64_t *placed; /* whether the block is */
    /* The state by section. */
    int64_t *floor;    /* the least bound of its blocks that are not placed */
    int64_t *rest;     /* the sum of their sizes */
    int64_t *crossing; /* how many of them reach into the next section */
    int64_t *mark, marks;
    int32_t *touched;
    /* Room: what has changed since, and lists of blocks. */
    gc_change *changes;
    int64_t change_count, change_room;
    int32_t *lists;
    int64_t list_count, list_room;
    gc_ranked *ranked;
} gc_search;

/* Enough room for any search; one that has less gives up where it would need more. */
static inline int64_t gc_room_for_lists(int64_t blocks) { return 2 * blocks * (blocks + 8); }
static inline int64_t gc_room_for_changes(int64_t blocks, int64_t sections)
{
    return 4 * (blocks + 1) * (blocks + sections);
}

static inline int64_t gc_max(int64_t a, int64_t b) { return a > b ? a : b; }

static inline void gc_set(gc_search *s, int64_t *where, int64_t value)
{
    s->changes[s->change_count].where = where;
    s->changes[s->change_count++].before = *where;
    *where = value;
}

static inline void gc_undo(gc_search *s, int64_t count)
{
    while (s->change_count > count) {
        s->change_count--;
        *s->changes[s->change_count].where = s->changes[s->change_count].before;
    }
}

/* Bounds ------------------------------------------------------------------------------------------------------- */
static inline void gc_touch(gc_search *s, int32_t section, int64_t *count)
{
    if (s->mark[section] != s->marks) {
        s->mark[section] = s->marks;
        s->touched[(*count)++] = section;
    }
}

/* Raise the bound of a block, and note the sections whose floor may rise with it. */
static void gc_raise(gc_search *s, int32_t block, int64_t bound, int64_t *touched)
{
    int64_t before = s->bound[block];
    if (bound <= before)
        return;
    gc_set(s, &s->bound[block], bound);
    for (int32_t section = s->first[block]; section <= s->last[block]; section++)
        if (s->floor[section] == before)
            gc_touch(s, section, touched);
    s->work -= s->last[block] - s->first[block] + 1;
}

/* The floors of the sections that were touched, anew; 0 where what is left of one no longer fits above its floor. */
static int gc_settle(gc_search *s, int64_t touched)
{
    for (int64_t i = 0; i < touched; i++) {
        int32_t section = s->touched[i];
        int64_t floor = INT64_MAX;
        for (int64_t k = s->member_start[section]; k < s->member_start[section + 1]; k++) {
            int32_t block = s->member[k];
            if (!s->placed[block] && s->bound[block] < floor)
                floor = s->bound[block];
        }
        s->work -= s->member_start[section + 1] - s->member_start[section];
        if (floor != s->floor[section])
            gc_set(s, &s->floor[section], floor);
        if (floor != INT64_MAX && floor + s->rest[section] > s->capacity)
            return 0;
    }
    return 1;
}

/* Blocks that should have come before (offset, rank) can only be placed once another has lifted them: not lower than
 * on the one of their neighbours that can end lowest. 0 where no neighbour is left, or where that is too high. */
static int gc_pass_by(gc_search *s, const int32_t *list, int64_t count, int64_t offset, int64_t *touched)
{
    for (int64_t i = 0; i < count; i++) {
        int32_t block = list[i];
        if (s->bound[block] > offset)
            continue;
        int64_t lift = INT64_MAX;
        for (int64_t k = s->near_start[block]; k < s->near_start[block + 1]; k++) {
            int32_t other = s->near[k];
            int64_t end = gc_max(s->bound[other], offset) + s->size[other];
            if (!s->placed[other] && end < lift)
                lift = end;
        }
        s->work -= s->near_start[block + 1] - s->near_start[block];
        if (lift == INT64_MAX || lift + s->size[block] > s->capacity)
            return 0;
        gc_raise(s, block, lift, touched);
    }
    s->work -= count;
    return 1;
}

/* Place a block where it stands, and pass by the `count` blocks of `list`, which come before it, unless it lifts them.
 * 0 where the rest can then not be placed. `alone`: whether it lives with no block that is left. */
static int gc_place(gc_search *s, int32_t block, const int32_t *list, int64_t count, int *alone)
{
    int64_t offset = s->low[block], end = offset + s->size[block], touched = 0;
    s->marks++;
    gc_set(s, &s->placed[block], 1);
    for (int32_t section = s->first[block]; section <= s->last[block]; section++) {
        gc_set(s, &s->rest[section], s->rest[section] - s->size[block]);
        gc_touch(s, section, &touched);
    }
    *alone = 1;
    for (int64_t k = s->near_start[block]; k < s->near_start[block + 1]; k++) {
        int32_t other = s->near[k];
        if (s->placed[other])
            continue;
        *alone = 0;
        if (s->low[other] < end) {
            gc_set(s, &s->low[other], end);
            gc_raise(s, other, end, &touched);
        }
    }
    s->work -= s->near_start[block + 1] - s->near_start[block] + s->last[block] - s->first[block];
    return gc_pass_by(s, list, count, offset, &touched) && gc_settle(s, touched);
}

/* The search --------------------------------------------------------------------------------------------------- */
static int gc_continue(gc_search *s, const int32_t *list, int64_t count, int32_t begin, int32_t end);

static int gc_outranks(const gc_ranked *a, const gc_ranked *b)
{
    for (int i = 0; i < 3; i++)
        if (a->keys[i] != b->keys[i])
            return a->keys[i] > b->keys[i];
    return a->block < b->block;
}

/* Shell's sort: qsort may allocate memory. */
static void gc_sort(gc_ranked *list, int64_t count)
{
    for (int64_t gap = count / 2; gap > 0; gap = gap == 2 ? 1 : gap * 5 / 11)
        for (int64_t i = gap; i < count; i++) {
            gc_ranked moved = list[i];
            int64_t k = i;
            for (; k >= gap && gc_outranks(&moved, &list[k - gap]); k -= gap)
                list[k] = list[k - gap];
            list[k] = moved;
        }
}

static double gc_key(const gc_search *s, int32_t block, char key)
{
    int64_t most = 0;
    if (key == 'D')
        return s->duration[block];
    if (key == 'A')
        return s->duration[block] * (double)s->size[block];
    for (int32_t section = s->first[block]; section <= s->last[block]; section++)
        most = gc_max(most, s->rest[section]);
    return (double)most;
}

/* Rank the blocks of a list and place them, in the sections from `begin` up to `end`, which they do not leave. */
static int gc_begin(gc_search *s, int32_t *list, int64_t count, int32_t begin, int32_t end)
{
    for (int64_t i = 0; i < count; i++) {
        s->ranked[i].block = list[i];
        for (int k = 0; k < 3; k++)
            s->ranked[i].keys[k] = gc_key(s, list[i], s->order[k]);
        s->work -= s->last[list[i]] - s->first[list[i]] + 8;
    }
    gc_sort(s->ranked, count);
    for (int64_t i = 0; i < count; i++)
        list[i] = s->ranked[i].block;
    return gc_continue(s, list, count, begin, end);
}

/* Place the blocks of a list, one part of time after the other where the block just placed was the last to cross. */
static int gc_divide(gc_search *s, int32_t block, const int32_t *list, int64_t count, int32_t begin, int32_t end)
{
    int32_t from = begin, parts = 1;
    for (int32_t section = s->first[block]; section < s->last[block]; section++) {
        gc_set(s, &s->crossing[section], s->crossing[section] - 1);
        parts += !s->crossing[section];
    }
    if (parts == 1)
        return gc_continue(s, list, count, begin, end);
    for (int32_t section = s->first[block]; parts; section++) {
        if (parts > 1 && s->crossing[section])
            continue;
        int32_t to = parts > 1 ? section + 1 : end;
        int32_t *part = s->lists + s->list_count;
        int64_t members = 0;
        for (int64_t i = 0; i < count; i++)
            if (!s->placed[list[i]] && s->first[list[i]] >= from && s->first[list[i]] < to)
                part[members++] = list[i];
        s->work -= count;
        s->list_count += members;
        int found = members ? gc_begin(s, part, members, from, to) : GC_PLACED;
        s->list_count -= members;
        if (found != GC_PLACED)
            return found;
        from = to;
        parts--;
    }
    return GC_PLACED;
}

/* No block may come next above this: another would fit below it, or some section could not hold what is left. */
static int64_t gc_highest(gc_search *s, const int32_t *list, int64_t count, int32_t begin, int32_t end)
{
    int64_t highest = s->capacity;
    for (int32_t section = begin; section < end; section++)
        if (s->rest[section] && s->capacity - s->rest[section] < highest)
            highest = s->capacity - s->rest[section];
    for (int64_t i = 0; i < count; i++)
        if (s->low[list[i]] + s->size[list[i]] - 1 < highest)
            highest = s->low[list[i]] + s->size[list[i]] - 1;
    s->work -= end - begin + 2 * count;
    return highest;
}

/* The blocks whose bound is not above `highest`, in the order of (bound, rank). Those that stand there come next. */
static int64_t gc_candidates(gc_search *s, const int32_t *list, int64_t count, int64_t highest, int32_t *out)
{
    int64_t found = 0;
    for (int64_t i = 0; i < count; i++) {
        int64_t bound = s->bound[list[i]], j = found;
        if (bound > highest)
            continue;
        for (; j > 0 && s->bound[out[j - 1]] > bound; j--)
            out[j] = out[j - 1];
        out[j] = list[i];
        found++;
    }
    s->work -= count;
    return found;
}

/* Place what is left of `list`, which is in the order of rank. */
static int gc_continue(gc_search *s, const int32_t *list, int64_t count, int32_t begin, int32_t end)
{
    int64_t start = s->list_count, need = 4 * ((int64_t)s->blocks + s->sections), left = 0;
    if (s->work <= 0 || s->change_count + need > s->change_room || start + 3 * count > s->list_room)
        return GC_EXHAUSTED;
    int32_t *own = s->lists + start;
    for (int64_t i = 0; i < count; i++)
        if (!s->placed[list[i]])
            own[left++] = list[i];
    if (left == 0)
        return GC_PLACED;
    int32_t *candidates = own + left;
    int64_t found = gc_candidates(s, own, left, gc_highest(s, own, left, begin, end), candidates);
    int result = GC_IMPOSSIBLE;
    s->list_count = start + left + found;
    for (int64_t i = 0; i < found && result == GC_IMPOSSIBLE; i++) {
        int32_t block = candidates[i];
        int64_t changes = s->change_count;
        int alone;
        if (s->low[block] < s->bound[block])
            continue;
        if (gc_place(s, block, candidates, i, &alone))
            result = gc_divide(s, block, own, left, begin, end);
        if (result == GC_PLACED)
            break;
        gc_undo(s, changes);
        if (alone)
            break;
    }
    s->list_count = start;
    return result;
}

/* Place the blocks from `begin` up to `end`, which no other block lives with, in rooms that are large enough for what
 * the caller knows of `blocks` and `sections`: GC_PLACED leaves the offsets in `low`. */
static int gc_find(gc_search *s, int32_t begin, int32_t end)
{
    int32_t from = s->sections, to = 0;
    for (int32_t block = begin; block < end; block++) {
        from = s->first[block] < from ? s->first[block] : from;
        to = s->last[block] >= to ? s->last[block] + 1 : to;
        s->low[block] = s->bound[block] = s->placed[block] = 0;
    }
    for (int32_t section = from; section < to; section++)
        s->floor[section] = s->rest[section] = s->crossing[section] = 0;
    for (int32_t block = begin; block < end; block++)
        for (int32_t section = s->first[block]; section <= s->last[block]; section++) {
            s->rest[section] += s->size[block];
            s->crossing[section] += section < s->last[block];
        }
    s->change_count = 0;
    s->list_count = end - begin;
    for (int32_t i = 0; i < end - begin; i++)
        s->lists[i] = begin + i;
    return gc_begin(s, s->lists, end - begin, from, to);
}

/* Greedy ------------------------------------------------------------------------------------------------------- */
/* Place blocks in `order`, each into the tightest gap between the placed blocks that it lives with. `stack` has room
 * for the placed blocks in the order of their offsets. Answers with the peak. */
static int64_t gc_best_fit(int64_t count, const int64_t *order, const int64_t *size, const int64_t *first,
                           const int64_t *last, int64_t *offset, int64_t *stack)
{
    int64_t peak = 0;
    for (int64_t placed = 0; placed < count; placed++) {
        int64_t block = order[placed], reached = 0, tightest = INT64_MAX, best = -1, to = placed;
        for (int64_t k = 0; k < placed; k++) {
            int64_t other = stack[k];
            if (last[other] < first[block] || first[other] > last[block])
                continue;
            int64_t gap = offset[other] - reached;
            if (gap >= size[block] && gap < tightest) {
                tightest = gap;
                best = reached;
            }
            reached = gc_max(reached, offset[other] + size[other]);
        }
        offset[block] = best < 0 ? reached : best;
        peak = gc_max(peak, offset[block] + size[block]);
        for (; to > 0 && offset[stack[to - 1]] > offset[block]; to--)
            stack[to] = stack[to - 1];
        stack[to] = block;
    }
    return peak;
}

#endif
