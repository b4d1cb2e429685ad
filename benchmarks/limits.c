/* How fast one core can be: as many fused multiply-adds as it can start, and copies. Called from several threads to
   measure several cores. Never part of graphc itself, so contraction is left to the compiler. */
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16
#endif
#define CHAINS 12 /* more than latency times units, fewer than registers */

typedef float vector __attribute__((vector_size(BYTES)));

/* Runs `rounds` times 12 independent multiply-adds; answers with the floating-point operations. */
int64_t multiply_add(int64_t rounds, float *result) {
    vector sum[CHAINS], factor, term;
    memset(sum, 0, sizeof sum);
    for (int i = 0; i < (int)(BYTES / 4); i++) {
        factor[i] = 0.5f;
        term[i] = *result;
    }
    for (int64_t round = 0; round < rounds; round++) {
        for (int i = 0; i < CHAINS; i++)
            sum[i] = sum[i] * factor + term;
    }
    for (int i = 1; i < CHAINS; i++)
        sum[0] += sum[i];
    *result = sum[0][0];
    return rounds * CHAINS * (BYTES / 4) * 2;
}

/* Copies `bytes` bytes `rounds` times; answers with the bytes read and written. */
int64_t copy(int64_t rounds, char *to, const char *from, int64_t bytes) {
    for (int64_t round = 0; round < rounds; round++) {
        memcpy(to, from, (size_t)bytes);
        __asm__ volatile("" ::: "memory");
    }
    return rounds * 2 * bytes;
}
