/* The two 16-bit floats as bits, to and from float32. Rounding is to nearest even; NaN stays NaN. Written without
 * branches, so that loops over them vectorise. */
#ifndef GRAPHC_HALF_H
#define GRAPHC_HALF_H

#include <stdint.h>
#include <string.h>

static inline uint32_t gc_bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float gc_float_of(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline float gc_from_bf16(uint16_t h) { return gc_float_of((uint32_t)h << 16); }

static inline uint16_t gc_to_bf16(float x) {
    const uint32_t bits = gc_bits_of(x);
    const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    return (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? (bits >> 16) | 0x40u : rounded);
}

static inline float gc_from_f16(uint16_t h) {
    const uint32_t magnitude = (uint32_t)(h & 0x7fff) << 13, sign = (uint32_t)(h & 0x8000) << 16;
    const uint32_t scaled = gc_bits_of(gc_float_of(magnitude) * 0x1p112f); /* moves the exponent; denormals too */
    return gc_float_of(sign | (magnitude >= 0x0f800000u ? magnitude | 0x7f800000u : scaled));
}

static inline uint16_t gc_to_f16(float x) {
    const uint32_t bits = gc_bits_of(x), magnitude = bits & 0x7fffffffu, sign = (bits >> 16) & 0x8000u;
    const uint32_t normal = (magnitude + 0xfffu + ((magnitude >> 13) & 1u) - 0x38000000u) >> 13;
    const uint32_t denormal = gc_bits_of(gc_float_of(magnitude) + 0.5f) - 0x3f000000u; /* the addition rounds */
    const uint32_t special = 0x7c00u | (magnitude > 0x7f800000u ? 0x200u | ((magnitude >> 13) & 0x3ffu) : 0u);
    return (uint16_t)(sign | (magnitude >= 0x47800000u ? special : magnitude < 0x38800000u ? denormal : normal));
}

#endif
