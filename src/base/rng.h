/* One stream of random numbers: xoshiro256** seeded through splitmix64 (Blackman & Vigna, https://prng.di.unimi.it).
   The state is plain data: copying it saves it. Same seed, same numbers, on every machine. */
#ifndef VLM_RNG_H
#define VLM_RNG_H
#include <stdint.h>

typedef struct vlm_rng { uint64_t s[4]; } vlm_rng;

void     vlm_rng_seed(vlm_rng *r, uint64_t seed);
uint64_t vlm_rng_next(vlm_rng *r);
double   vlm_rng_uniform(vlm_rng *r);  /* [0, 1), 53 bits */
double   vlm_rng_normal(vlm_rng *r);   /* mean 0, variance 1 (Marsaglia's polar method; no state besides s) */
#endif
