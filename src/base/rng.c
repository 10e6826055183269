#include "base/rng.h"
#include <string.h>
#include <math.h>

static uint64_t rotl(uint64_t x, int k) { return x << k | x >> (64 - k); }

void vlm_rng_seed(vlm_rng *r, uint64_t seed) {
    for (int i = 0; i < 4; i++) {
        uint64_t z = seed += 0x9E3779B97F4A7C15u;
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
        z = (z ^ z >> 27) * 0x94D049BB133111EBu;
        r->s[i] = z ^ z >> 31;
    }
}
uint64_t vlm_rng_next(vlm_rng *r) {
    uint64_t *s = r->s, out = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return out;
}
double vlm_rng_uniform(vlm_rng *r) { return (double)(vlm_rng_next(r) >> 11) * 0x1p-53; }
/* ln x of a normal x, by arithmetic alone: libm's log has other last bits on other CPUs. x = m 2^e, ln m = 2 atanh((m-1)/(m+1)). */
static double ln(double x) {
    uint64_t u;
    memcpy(&u, &x, sizeof u);
    int e = (int)(u >> 52) - 1023;
    u = (u & 0xFFFFFFFFFFFFFu) | (uint64_t)1023 << 52;
    memcpy(&x, &u, sizeof x);
    if (x > 1.4142135623730951) x /= 2, e++;
    double t = (x - 1) / (x + 1), q = t * t, s = 0;
    for (int k = 23; k > 0; k -= 2) s = (s + 1.0 / k) * (k > 1 ? q : 1);
    return 2 * t * s + e * 0.6931471805599453;
}
double vlm_rng_normal(vlm_rng *r) {
    double u, v, q;
    do {
        u = 2 * vlm_rng_uniform(r) - 1;
        v = 2 * vlm_rng_uniform(r) - 1;
        q = u * u + v * v;
    } while (q >= 1 || q == 0);
    return u * sqrt(-2 * ln(q) / q);
}
