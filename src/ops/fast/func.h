/* The functions of maths, our own: libm picks its variant by CPU. Errors, in units of the last place, were measured over all magnitudes. */

/* e^x, error <= 1 unit. e^0 is 1, e^-inf is 0, above 88.73 it is inf, NaN stays. x = n ln 2 + r, |r| <= ln 2 / 2. */
INLINE vf vf_exp(vf x) {
    x = vf_max(vf_set(-104.0f), vf_min(vf_set(89.0f), x));
    vf n = vf_round(vf_mul(x, vf_set(1.44269504f)));
    vf r = vf_fnma(n, vf_set(0.693145752f), x);                /* ln 2 in two parts: n times the first is exact */
    r = vf_fnma(n, vf_set(1.42860677e-6f), r);
    vf p = vf_fma(r, vf_set(0.0013814460f), vf_set(0.0083687818f));
    p = vf_fma(r, p, vf_set(0.041668393f));
    p = vf_fma(r, p, vf_set(0.16666520f));
    p = vf_fma(r, p, vf_set(0.49999994f));
    p = vf_fma(vf_mul(r, r), p, r);
    return vf_ldexp(vf_add(p, vf_set(1.0f)), n);
}

/* 2^x for x <= 127, error <= 1 unit. 2^0 is 1, below -125 it is 2^-125, NaN stays. */
INLINE vf vf_exp2(vf x) {
    x = vf_max(vf_set(-125.0f), x);
    vf n = vf_round(x), r = vf_sub(x, n);                      /* exact */
    vf p = vf_fma(r, vf_set(0.00015353362f), vf_set(0.0013398875f));
    p = vf_fma(r, p, vf_set(0.0096184369f));
    p = vf_fma(r, p, vf_set(0.055503324f));
    p = vf_fma(r, p, vf_set(0.24022648f));
    p = vf_fma(r, p, vf_set(0.69314718f));
    return vf_ldexp_normal(vf_fma(r, p, vf_set(1.0f)), n);
}
/* 2^x for x <= 120, relative error <= 1e-4: for what becomes 8 bits. 2^n is exact; below -100 it is 2^-100. */
INLINE vf vf_pow2(vf x) {
    x = vf_max(vf_set(-100.0f), x);
    vf n = vf_round(x), r = vf_sub(x, n);
    vf p = vf_fma(r, vf_set(0.05500892f), vf_set(0.24221096f));
    p = vf_fma(r, p, vf_set(0.69328293f));
    return vf_ldexp_normal(vf_fma(r, p, vf_set(1.0f)), n);
}

/* erf x, error <= 1.3 units. Below 15/16 an odd polynomial, above 1 - e^-q(x); from 4 on it is 1. */
INLINE vf vf_erf(vf x) {
    vf a = vf_abs(x), z = vf_mul(a, a);
    vf p = vf_fma(z, vf_set(-0.00059194089f), vf_set(0.0049791285f));
    p = vf_fma(z, p, vf_set(-0.026757034f));
    p = vf_fma(z, p, vf_set(0.11281552f));
    p = vf_fma(z, p, vf_set(-0.37612468f));
    p = vf_fma(z, p, vf_set(0.12837915f));
    p = vf_fma(a, p, a);
    vf b = vf_min(vf_set(4.0f), a);
    vf q = vf_fma(b, vf_set(-0.00019390126f), vf_set(0.0030231688f));
    q = vf_fma(b, q, vf_set(-0.022146666f));
    q = vf_fma(b, q, vf_set(0.10376435f));
    q = vf_fma(b, q, vf_set(0.63737375f));
    q = vf_fma(b, q, vf_set(1.1275613f));
    q = vf_fma(b, q, vf_set(0.00022349512f));
    q = vf_sub(vf_set(1.0f), vf_exp(vf_sub(vf_set(0.0f), q)));
    return vf_sign(vf_less(a, vf_set(0.9375f), p, q), x);
}

/* ln x for a normal x > 0, error <= 2 units;  x = 2^e m, s = (m - 1)/(m + 1), ln m = 2 (s + s³/3 + s^5/5 ..). NaN and inf stay. */
INLINE float f1_log(float x) {
    union { float f; uint32_t u; } m = { x };
    if (!(x < INFINITY)) return x;
    int e = (int)(m.u - 0x3F3504F3u) >> 23;                    /* m in [sqrt 1/2, sqrt 2) */
    m.u -= (uint32_t)e << 23;
    float s = (m.f - 1) / (m.f + 1), z = s * s;
    float p = __builtin_fmaf(z, __builtin_fmaf(z, __builtin_fmaf(z, __builtin_fmaf(z, 2 / 9.0f, 2 / 7.0f), 2 / 5.0f), 2 / 3.0f), 0);
    return __builtin_fmaf((float)e, 0.693145752f, __builtin_fmaf((float)e, 1.42860677e-6f, __builtin_fmaf(s, p, 2 * s)));
}
