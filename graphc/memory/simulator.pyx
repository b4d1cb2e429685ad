"""`Simulator`: what a schedule would cost, without the schedule.

It does what `rematerialise` does, and finds peak, cost and what failed, some fifty times faster, so that a search can
look at thousands of schedules. `rematerialise` is the reference that it is tested against.
"""

import numpy as np

from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport free, malloc, realloc


cdef class _Lists:
    """Lists of numbers, one after the other: list i is items[start[i]:start[i + 1]]."""

    cdef int32_t[::1] start
    cdef int32_t[::1] items

    def __init__(self, lists):
        counts = np.fromiter(map(len, lists), np.int32, len(lists))
        self.start = np.concatenate([np.zeros(1, np.int32), np.cumsum(counts, dtype=np.int32)])
        self.items = np.fromiter((item for part in lists for item in part), np.int32, int(counts.sum()))


cdef class _Work:
    """What runs in a step: its reads and writes, and pairs (place among reads, then writes; place among writes)."""

    cdef _Lists reads
    cdef _Lists writes
    cdef _Lists pairs

    def __init__(self, works):
        self.reads = _Lists([work.reads for work in works])
        self.writes = _Lists([work.writes for work in works])
        pairs = []
        for work in works:
            places = {value: at for at, value in enumerate((*work.writes[::-1], *work.reads[::-1])[::-1])}
            written = {value: at for at, value in enumerate(work.writes)}
            pairs.append([at for read, to in work.in_place for at in (places[read], written[to])])
        self.pairs = _Lists(pairs)


cdef struct Steps:
    # The steps so far: the work of each (a task, or -1 - recipe), and the instances that it reads and writes.
    int32_t *work
    int32_t *touch  # where its instances start
    int32_t *instance
    int64_t count
    int64_t room
    int64_t touched
    int64_t touch_room
    # For each instance its value, the steps that touch it first and last, and that in which it shares its bytes.
    int32_t *origin
    int32_t *first
    int32_t *last
    int32_t *shared
    int64_t instances
    int64_t instance_room


cdef class Simulator:
    """Schedules of one `rematerialise.Problem`.

    After `run`, `peak` is in bytes, `cost` in seconds, `position` the task before which or in which the peak stands,
    `excess` the sum over all steps of the bytes above `limit`, and `failed` the values that could not be rematerialised.
    """

    cdef readonly int64_t peak
    cdef readonly int64_t excess
    cdef int64_t peak_step
    cdef readonly double cost
    cdef readonly int64_t position
    cdef _Work tasks
    cdef _Work recipes
    cdef _Lists ways
    cdef int64_t[::1] size
    cdef int32_t[::1] maker
    cdef double[::1] price
    cdef int32_t[::1] origin_task
    cdef int32_t[::1] is_part
    cdef int64_t[::1] deadline
    cdef list forced
    cdef int32_t[::1] start
    cdef int32_t[::1] ends
    cdef int32_t[::1] positions
    cdef int32_t[::1] now
    cdef int32_t[::1] made
    cdef int32_t[::1] broken
    cdef Steps steps
    cdef int32_t *pending
    cdef int64_t pending_room
    cdef int64_t *live
    cdef int64_t live_room

    def __init__(self, problem):
        recipes = list(dict.fromkeys(recipe for ways in problem.recipes.values() for recipe in ways))
        number = {recipe: at for at, recipe in enumerate(recipes)}
        count = len(problem.values)
        self.tasks, self.recipes = _Work(problem.tasks), _Work(recipes)
        self.ways = _Lists([[number[recipe] for recipe in problem.recipes.get(v, ())] for v in range(count)])
        self.size = np.array(problem.sizes, np.int64)
        self.maker = np.fromiter((problem.makers.get(v, -1) for v in range(count)), np.int32, count)
        self.price = np.array([recipe.cost for recipe in recipes], np.float64)
        self.origin_task = np.array([recipe.task for recipe in recipes], np.int32)
        self.is_part = np.array([recipe.part >= 0 for recipe in recipes], np.int32)
        self.deadline = np.array([problem.deadline(recipe) for recipe in recipes], np.int64)
        self.now, self.made, self.broken, self.ends = (np.zeros(count, np.int32) for _ in range(4))
        self.start, self.positions = np.zeros(count + 1, np.int32), np.zeros(64, np.int32)
        self.forced = [(value, at) for value, positions in problem.forced.items() for at in positions]

    def __dealloc__(self):
        free(self.steps.work)
        free(self.steps.touch)
        free(self.steps.instance)
        free(self.steps.origin)
        free(self.steps.first)
        free(self.steps.last)
        free(self.steps.shared)
        free(self.pending)
        free(self.live)

    def run(self, choice, int64_t limit=0):
        """Look at the schedule that drops, for each pair (value, position) of `choice`, the value after the position.

        What the problem forces to be dropped comes on top.
        """
        cdef int64_t v, count = self.size.shape[0]
        self._sort([*choice, *self.forced])
        for v in range(count):
            self.now[v] = <int32_t> v
            self.made[v] = -1
            self.broken[v] = 0
        with nogil:
            self._schedule(self.start, self.positions)
            self._measure(limit)

    @property
    def failed(self):
        return [v for v in range(self.size.shape[0]) if self.broken[v]]

    cdef int _sort(self, list pairs) except -1:
        """`start` and `positions`: for each value the positions after which it is dropped, in order."""
        cdef int64_t v, at, count = self.size.shape[0]
        cdef int32_t position
        if len(pairs) > self.positions.shape[0]:
            self.positions = np.empty(2 * len(pairs), np.int32)
        self.start[:] = 0
        for value, _ in pairs:
            v = value
            if not 0 <= v < count:
                raise ValueError(f"there is no value {value}")
            self.start[v + 1] += 1
        for v in range(count):
            self.start[v + 1] += self.start[v]
            self.ends[v] = self.start[v]
        for value, after in pairs:
            v, position = value, after
            at = self.ends[v]
            while at > self.start[v] and self.positions[at - 1] > position:
                self.positions[at] = self.positions[at - 1]
                at -= 1
            self.positions[at] = position
            self.ends[v] += 1
        return 0

    cdef int _schedule(self, const int32_t[::1] start, const int32_t[::1] positions) except -1 nogil:
        cdef int64_t count = self.size.shape[0], total = self.tasks.reads.start.shape[0] - 1
        cdef int64_t at, v
        cdef int32_t position, value
        cdef Steps *s = &self.steps
        s.count = s.touched = s.instances = 0
        self.cost = 0
        for v in range(count):
            _add_instance(s, <int32_t> v)
        for position in range(total):
            for at in range(self.tasks.reads.start[position], self.tasks.reads.start[position + 1]):
                value = self.tasks.reads.items[at]
                if self._is_gone(value, position, start, positions):
                    self._rematerialise(value, position, start, positions)
            _begin(s, position)
            for at in range(self.tasks.reads.start[position], self.tasks.reads.start[position + 1]):
                _touch(s, self.now[self.tasks.reads.items[at]])
            for at in range(self.tasks.writes.start[position], self.tasks.writes.start[position + 1]):
                value = self.tasks.writes.items[at]
                self.made[value] = position
                _touch(s, value)
            s.touch[s.count] = <int32_t> s.touched
        return 0

    cdef bint _is_gone(self, int32_t value, int32_t position, const int32_t[::1] start,
                       const int32_t[::1] positions) noexcept nogil:
        cdef int32_t since = self.made[value]
        cdef int64_t at
        if since < 0 or self.broken[value]:
            return False
        for at in range(start[value], start[value + 1]):
            if positions[at] >= since:
                return positions[at] < position
        return False

    cdef int _rematerialise(self, int32_t value, int32_t position, const int32_t[::1] start,
                            const int32_t[::1] positions) except -1 nogil:
        cdef int64_t depth = 1, at
        cdef int32_t wanted, recipe, read
        cdef bint waits
        self._reserve_pending(64)
        self.pending[0] = value
        while depth:
            wanted = self.pending[depth - 1]
            if not self._is_gone(wanted, position, start, positions):
                depth -= 1
                continue
            recipe = self._recipe(wanted, position, start, positions)
            if recipe < 0:
                self.broken[wanted] = 1
                continue
            waits = False
            for at in range(self.recipes.reads.start[recipe], self.recipes.reads.start[recipe + 1]):
                read = self.recipes.reads.items[at]
                if self._is_gone(read, position, start, positions):
                    waits = True
                    self._reserve_pending(depth + 1)
                    self.pending[depth] = read
                    depth += 1
            if not waits:
                depth -= 1
                self._emit(recipe, position, start, positions)
        return 0

    cdef int32_t _recipe(self, int32_t value, int32_t position, const int32_t[::1] start,
                         const int32_t[::1] positions) noexcept nogil:
        cdef int32_t found = -1, recipe, read
        cdef int64_t at, place
        cdef bint twice
        for at in range(self.ways.start[value], self.ways.start[value + 1]):
            recipe = self.ways.items[at]
            if self.deadline[recipe] < position:
                continue
            twice = False
            if self.is_part[recipe]:
                for place in range(self.recipes.reads.start[recipe], self.recipes.reads.start[recipe + 1]):
                    read = self.recipes.reads.items[place]
                    if self.maker[read] == self.origin_task[recipe] and self._is_gone(read, position, start, positions):
                        twice = True
            if not twice:
                return recipe
            if found < 0:
                found = recipe
        return found

    cdef int _emit(self, int32_t recipe, int32_t position, const int32_t[::1] start,
                   const int32_t[::1] positions) except -1 nogil:
        cdef int64_t at
        cdef int32_t value, new
        cdef Steps *s = &self.steps
        _begin(s, -1 - recipe)
        for at in range(self.recipes.reads.start[recipe], self.recipes.reads.start[recipe + 1]):
            _touch(s, self.now[self.recipes.reads.items[at]])
        for at in range(self.recipes.writes.start[recipe], self.recipes.writes.start[recipe + 1]):
            value = self.recipes.writes.items[at]
            new = _add_instance(s, value)
            _touch(s, new)
            if self._is_gone(value, position, start, positions):
                self.now[value] = new
                self.made[value] = position
        s.touch[s.count] = <int32_t> s.touched
        self.cost += self.price[recipe]
        return 0

    cdef int _reserve_pending(self, int64_t wanted) except -1 nogil:
        if wanted > self.pending_room:
            self.pending_room = 2 * wanted
            self.pending = <int32_t *> _grown(self.pending, self.pending_room * sizeof(int32_t))
        return 0

    def waiting(self):
        """What could lower the peak: pairs (value, task) of values that wait while it stands, and since which task; and
        the values that are rematerialised before the task that it stands at."""
        cdef Steps *s = &self.steps
        cdef int64_t at, step, i, task = 0
        cdef dict before = {}, after = {}
        cdef set near = set()
        for step in range(s.count):
            for at in range(s.touch[step], s.touch[step + 1]):
                i = s.instance[at]
                if s.first[i] < self.peak_step < s.last[i]:
                    if step < self.peak_step:
                        before[i] = task
                    elif step == self.peak_step:
                        after[i] = -1
                    elif i not in after:
                        after[i] = task
            if s.work[step] >= 0:
                task += 1
            elif task == self.position:
                for at in range(s.touch[step], s.touch[step + 1]):
                    if s.first[s.instance[at]] == step:
                        near.add(s.origin[s.instance[at]])
        found = [(s.origin[i], before[i]) for i in sorted(before) if before[i] < after[i]]
        return found, sorted(near)

    cdef int _measure(self, int64_t limit) except -1 nogil:
        """Peak, position and excess of the steps, once the spans of all instances are known."""
        cdef Steps *s = &self.steps
        cdef int64_t i, step, total, best = 0, task = 0
        cdef int32_t work
        if s.count + 1 > self.live_room:
            self.live_room = 2 * (s.count + 1)
            self.live = <int64_t *> _grown(self.live, self.live_room * sizeof(int64_t))
        for step in range(s.count + 1):
            self.live[step] = 0
        for i in range(s.instances):
            if s.first[i] >= 0:
                self.live[s.first[i]] += self.size[s.origin[i]]
                self.live[s.last[i] + 1] -= self.size[s.origin[i]]
        total = 0
        self.peak, self.position, self.peak_step, self.excess = 0, 0, 0, 0
        for step in range(s.count):
            total += self.live[step]
            work = s.work[step]
            best = total - (self._shared(step, work, self.tasks) if work >= 0
                            else self._shared(step, -1 - work, self.recipes))
            self.excess += max(best - limit, 0)
            if best > self.peak:
                self.peak, self.position, self.peak_step = best, task, step
            task += work >= 0
        return 0

    cdef int64_t _shared(self, int64_t step, int32_t number, _Work work) noexcept nogil:
        """The bytes that a step writes over what it reads last."""
        cdef Steps *s = &self.steps
        cdef int64_t reads = work.reads.start[number + 1] - work.reads.start[number], saved = 0
        cdef int64_t at
        cdef int32_t *touched = s.instance + s.touch[step]
        cdef int32_t read, written
        for at in range(work.pairs.start[number], work.pairs.start[number + 1], 2):
            read, written = touched[work.pairs.items[at]], touched[reads + work.pairs.items[at + 1]]
            if (self.size[s.origin[read]] == self.size[s.origin[written]] and s.last[read] == step
                    and s.first[written] == step and s.shared[read] != step and s.shared[written] != step):
                s.shared[read] = s.shared[written] = <int32_t> step
                saved += self.size[s.origin[written]]
        return saved


cdef void *_grown(void *memory, int64_t nbytes) except NULL nogil:
    cdef void *new = realloc(memory, nbytes)
    if new == NULL:
        with gil:
            raise MemoryError
    return new


cdef int32_t _add_instance(Steps *s, int32_t value) except -1 nogil:
    """A new instance of a value, which no step has touched yet."""
    if s.instances == s.instance_room:
        s.instance_room = 2 * s.instance_room + 1024
        s.origin = <int32_t *> _grown(s.origin, s.instance_room * sizeof(int32_t))
        s.first = <int32_t *> _grown(s.first, s.instance_room * sizeof(int32_t))
        s.last = <int32_t *> _grown(s.last, s.instance_room * sizeof(int32_t))
        s.shared = <int32_t *> _grown(s.shared, s.instance_room * sizeof(int32_t))
    s.origin[s.instances] = value
    s.first[s.instances] = s.last[s.instances] = s.shared[s.instances] = -1
    s.instances += 1
    return <int32_t> (s.instances - 1)


cdef int _begin(Steps *s, int32_t work) except -1 nogil:
    """A new step, which touches nothing yet."""
    if s.count + 2 > s.room:
        s.room = 2 * s.room + 1024
        s.work = <int32_t *> _grown(s.work, s.room * sizeof(int32_t))
        s.touch = <int32_t *> _grown(s.touch, s.room * sizeof(int32_t))
    s.work[s.count] = work
    s.touch[s.count] = <int32_t> s.touched
    s.count += 1
    return 0


cdef int _touch(Steps *s, int32_t instance) except -1 nogil:
    """The newest step reads or writes an instance."""
    if s.touched == s.touch_room:
        s.touch_room = 2 * s.touch_room + 4096
        s.instance = <int32_t *> _grown(s.instance, s.touch_room * sizeof(int32_t))
    s.instance[s.touched] = instance
    s.touched += 1
    if s.first[instance] < 0:
        s.first[instance] = <int32_t> (s.count - 1)
    s.last[instance] = <int32_t> (s.count - 1)
    return 0
