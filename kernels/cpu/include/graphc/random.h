/* Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): random bits by counter.
 *
 * Element i of a stream is word i % 4 of block i / 4. A block's counter is (block low, stream, step low, block high * 2^16 +
 * step high), the key (seed low, seed high), all of 32 bits: blocks and steps have 48.
 */
#ifndef GRAPHC_RANDOM_H
#define GRAPHC_RANDOM_H

#include <stdint.h>

typedef struct gc_random_key {
    uint32_t stream, step_low, high, seed_low, seed_high;
} gc_random_key;

/* `state` holds the seed and the step. */
static inline gc_random_key gc_random_key_of(const uint64_t *state, uint32_t stream) {
    return (gc_random_key){stream, (uint32_t)state[1], (uint32_t)(state[1] >> 32 & 0xFFFF), (uint32_t)state[0],
                           (uint32_t)(state[0] >> 32)};
}

/* The key for the blocks from element i on, up to the next 2^32nd. */
static inline gc_random_key gc_random_key_at(gc_random_key key, int64_t i) {
    key.high |= (uint32_t)(i >> 34) << 16;
    return key;
}

/* The four words of a block, of which the key holds the high bits. */
static inline void gc_random_block(gc_random_key key, uint32_t block, uint32_t *w0, uint32_t *w1, uint32_t *w2, uint32_t *w3) {
    uint32_t x0 = block, x1 = key.stream, x2 = key.step_low, x3 = key.high;
    uint32_t k0 = key.seed_low, k1 = key.seed_high;
#pragma GCC unroll 10
    for (int round = 0; round < 10; round++) {
        const uint64_t p = (uint64_t)0xD2511F53u * x0, q = (uint64_t)0xCD9E8D57u * x2;
        const uint32_t y0 = (uint32_t)(q >> 32) ^ x1 ^ k0, y2 = (uint32_t)(p >> 32) ^ x3 ^ k1;
        x0 = y0;
        x1 = (uint32_t)q;
        x2 = y2;
        x3 = (uint32_t)p;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    *w0 = x0;
    *w1 = x1;
    *w2 = x2;
    *w3 = x3;
}

/* The word of element i. */
static inline uint32_t gc_random_word(gc_random_key key, int64_t i) {
    uint32_t w[4];
    gc_random_block(gc_random_key_at(key, i), (uint32_t)(i >> 2), &w[0], &w[1], &w[2], &w[3]);
    return w[i & 3];
}

/* Elements i .. i + n into `out`. Whole blocks go 32 at a time: first their words apart, which vectorises, then interleaved. */
static __attribute__((noinline, unused)) void gc_random_fill(gc_random_key key, int64_t i, int64_t n, uint32_t *out) {
    for (; n > 0 && (i & 3); i++, n--)
        *out++ = gc_random_word(key, i);
    for (; n >= 4; ) {
        enum { LOT = 32 };
        uint32_t w0[LOT], w1[LOT], w2[LOT], w3[LOT];
        const uint32_t first = (uint32_t)(i >> 2);
        const int64_t rest = n / 4 < LOT ? n / 4 : LOT, whole = ((int64_t)1 << 32) - first;
        const int64_t blocks = rest < whole ? rest : whole;
        const gc_random_key own = gc_random_key_at(key, i);
        for (int b = 0; b < LOT; b++)
            gc_random_block(own, first + (uint32_t)b, &w0[b], &w1[b], &w2[b], &w3[b]);
        for (int64_t b = 0; b < blocks; b++) {
            out[4 * b] = w0[b];
            out[4 * b + 1] = w1[b];
            out[4 * b + 2] = w2[b];
            out[4 * b + 3] = w3[b];
        }
        out += 4 * blocks;
        i += 4 * blocks;
        n -= 4 * blocks;
    }
    for (; n > 0; i++, n--)
        *out++ = gc_random_word(key, i);
}

#endif
