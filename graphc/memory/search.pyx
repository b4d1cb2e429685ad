"""The compiled part of placement: greedy best fit, and the search of search.h.

Blocks are sorted by their first step. `best_fit` places any number of them; a `Search` holds what is known of the
blocks that live together and looks for packings within a capacity, for as much work as it is given. Work is counted in
entries of tables that are looked at, about 2 ns each. Both release the GIL; neither is for two threads at a time.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t

import numpy as np

cdef extern from "search.h" nogil:
    int GC_IMPOSSIBLE, GC_PLACED, GC_EXHAUSTED
    ctypedef struct gc_change:
        pass
    ctypedef struct gc_ranked:
        pass
    ctypedef struct gc_search:
        int32_t blocks, sections
        const int64_t *size
        const double *duration
        const int32_t *first
        const int32_t *last
        const int64_t *near_start
        const int64_t *member_start
        const int32_t *near
        const int32_t *member
        int64_t capacity, work
        const char *order
        int64_t *low
        int64_t *bound
        int64_t *placed
        int64_t *floor
        int64_t *rest
        int64_t *crossing
        int64_t *mark
        int32_t *touched
        gc_change *changes
        int64_t change_room, list_room
        int32_t *lists
        gc_ranked *ranked
    int64_t gc_room_for_lists(int64_t blocks)
    int64_t gc_room_for_changes(int64_t blocks, int64_t sections)
    int gc_find(gc_search *s, int32_t begin, int32_t end)
    int64_t gc_best_fit(
        int64_t count, const int64_t *order, const int64_t *size, const int64_t *first, const int64_t *last,
        int64_t *offset, int64_t *stack,
    )

PLACED, IMPOSSIBLE, EXHAUSTED = GC_PLACED, GC_IMPOSSIBLE, GC_EXHAUSTED
MOST_CHANGES = 1 << 22  # that a search remembers to undo them; one that is deeper gives up


def best_fit(const int64_t[::1] order, const int64_t[::1] size, const int64_t[::1] first, const int64_t[::1] last):
    """The offsets of the blocks, placed in `order`, each into the tightest gap that holds it."""
    cdef int64_t count = size.shape[0]
    if not order.shape[0] == first.shape[0] == last.shape[0] == count:
        raise ValueError("best_fit: the arrays differ in length")
    offsets = np.zeros(count, np.int64)
    cdef int64_t[::1] offset = offsets, stack = np.empty(count, np.int64)
    if count:
        with nogil:
            gc_best_fit(count, &order[0], &size[0], &first[0], &last[0], &offset[0], &stack[0])
    return offsets


cdef class Search:
    """Blocks of `size` units that live for the sections `first` to `last`, sorted by `first`; tables for a search."""

    cdef gc_search state
    cdef list kept
    cdef const int64_t[::1] size
    cdef const int32_t[::1] first, last
    cdef int64_t[::1] low
    cdef readonly int64_t entries

    def __init__(
        self, const int64_t[::1] size, const double[::1] duration, const int32_t[::1] first, const int32_t[::1] last
    ):
        cdef int32_t count = <int32_t>size.shape[0]
        if not count or not first.shape[0] == last.shape[0] == duration.shape[0] == count:
            raise ValueError("Search: the arrays are empty or differ in length")
        self.size, self.first, self.last, self.kept = size, first, last, [duration]
        self.state.blocks, self.state.sections = count, np.max(last) + 1
        self.state.size, self.state.duration = &size[0], &duration[0]
        self.state.first, self.state.last = &first[0], &last[0]
        self._list_members()
        self._list_neighbours()
        self._make_room(count, self.state.sections)

    cdef _list_members(self):
        """For each section the blocks that live then."""
        cdef int32_t block, section
        cdef int64_t[::1] start = np.zeros(self.state.sections + 2, np.int64)
        for block in range(self.state.blocks):
            for section in range(self.first[block], self.last[block] + 1):
                start[section + 2] += 1
        for section in range(self.state.sections):
            start[section + 2] += start[section + 1]
        cdef int32_t[::1] member = np.empty(max(start[self.state.sections + 1], 1), np.int32)
        for block in range(self.state.blocks):
            for section in range(self.first[block], self.last[block] + 1):
                member[start[section + 1]] = block
                start[section + 1] += 1
        self.kept += [start, member]
        self.state.member_start, self.state.member = &start[0], &member[0]

    cdef _list_neighbours(self):
        """For each block those that live together with it."""
        cdef int32_t block, other
        cdef int64_t[::1] start = np.zeros(self.state.blocks + 2, np.int64)
        for block in range(self.state.blocks):
            for other in range(block + 1, self.state.blocks):
                if self.first[other] > self.last[block]:
                    break
                start[block + 2] += 1
                start[other + 2] += 1
        for block in range(self.state.blocks):
            start[block + 2] += start[block + 1]
        self.entries = start[self.state.blocks + 1]
        cdef int32_t[::1] near = np.empty(max(self.entries, 1), np.int32)
        for block in range(self.state.blocks):
            for other in range(block + 1, self.state.blocks):
                if self.first[other] > self.last[block]:
                    break
                near[start[block + 1]], near[start[other + 1]] = other, block
                start[block + 1] += 1
                start[other + 1] += 1
        self.kept += [start, near]
        self.state.near_start, self.state.near = &start[0], &near[0]

    cdef _make_room(self, int64_t blocks, int64_t sections):
        """The state of a search, its lists of blocks, and the changes that it may have to undo."""
        cdef int64_t[:, ::1] by_block = np.zeros((3, blocks), np.int64), by_section = np.zeros((4, sections), np.int64)
        cdef int32_t[::1] touched = np.empty(sections, np.int32)
        self.state.list_room = gc_room_for_lists(blocks)
        cdef int32_t[::1] lists = np.empty(self.state.list_room, np.int32)
        self.state.change_room = min(gc_room_for_changes(blocks, sections), <int64_t>MOST_CHANGES)
        cdef uint8_t[::1] changes = np.empty(self.state.change_room * sizeof(gc_change), np.uint8)
        cdef uint8_t[::1] ranked = np.empty(blocks * sizeof(gc_ranked), np.uint8)
        self.kept += [by_block, by_section, touched, lists, changes, ranked]
        self.low = by_block[0]
        self.state.low, self.state.bound, self.state.placed = &by_block[0, 0], &by_block[1, 0], &by_block[2, 0]
        self.state.floor, self.state.rest = &by_section[0, 0], &by_section[1, 0]
        self.state.crossing, self.state.mark = &by_section[2, 0], &by_section[3, 0]
        self.state.touched, self.state.lists = &touched[0], &lists[0]
        self.state.changes, self.state.ranked = <gc_change *>&changes[0], <gc_ranked *>&ranked[0]

    def find(self, int32_t begin, int32_t end, int64_t capacity, bytes order, int64_t work):
        """Look for a packing of the blocks from `begin` up to `end`, which no other block lives with.

        Answers with PLACED, IMPOSSIBLE (there is none) or EXHAUSTED, the offsets, and the work that was done.
        `order` is the three keys that rank blocks: A for area, D for duration, L for the bytes alive with it.
        """
        if not 0 <= begin < end <= self.state.blocks or len(order) != 3:
            raise ValueError(f"Search.find: no blocks {begin} to {end}, or no order {order!r}")
        cdef int result
        self.state.capacity, self.state.work, self.state.order = capacity, work, order
        with nogil:
            result = gc_find(&self.state, begin, end)
        return result, np.array(self.low[begin:end]), work - self.state.work
