#include "checkops.h"
#include <math.h>
#include <string.h>

void check_patches_forward(check *k) {
    static const int64_t S[][3] = { {1, 1, 1}, {2, 3, 4}, {1, 5, 14}, {3, 1, 16}, {2, 2, 17}, {7, 4, 2} };     /* Hp Wp P */
    for (int i = 0; i < 6; i++) {
        int64_t Hp = S[i][0], Wp = S[i][1], P = S[i][2], n = 3 * Hp * P * Wp * P;
        buf x = check_in(k, n), out = check_out(k, n);
        k->op->patches_forward(k->ctx, out.f, x.f, Hp, Wp, P);
        k->want->patches_forward(k->ctx, out.d, x.d, Hp, Wp, P);
        check_same(k, "out", out, 1e-30);
        int64_t t = Hp * Wp - 1, at = ((t * 3 + 2) * P + P - 1) * P;           /* last patch, blue, last row, first column */
        check_bits(k, "order (c, ky, kx)", x.f + (2 * Hp * P + Hp * P - 1) * Wp * P + (Wp - 1) * P, out.f + at, 1);
        check_free(k);
    }
}

void check_shuffle_forward(check *k) {
    /* Hp Wp s C */
    static const int64_t S[][4] = { {1, 1, 1, 1}, {2, 2, 2, 3}, {4, 6, 2, 5}, {4, 8, 4, 7}, {3, 6, 3, 16}, {8, 4, 4, 33} };
    for (int i = 0; i < 6; i++) {
        int64_t Hp = S[i][0], Wp = S[i][1], s = S[i][2], C = S[i][3], n = Hp * Wp * C;
        buf x = check_in(k, n), out = check_out(k, n);
        k->op->shuffle_forward(k->ctx, out.f, x.f, Hp, Wp, s, C);
        k->want->shuffle_forward(k->ctx, out.d, x.d, Hp, Wp, s, C);
        check_same(k, "out", out, 1e-30);
        check_bits(k, "token 0 has (s-1, 0) at channel (s-1) s C", x.f + (s - 1) * Wp * C, out.f + (s - 1) * s * C, C);
        check_free(k);
    }
}

void check_embed_forward(check *k) {
    static const int64_t S[][3] = { {1, 1, 1}, {3, 40, 7}, {5, 33, 17}, {9, 100, 64}, {2, 5, 33} };            /* R V C */
    for (int i = 0; i < 5; i++)
        for (int t = VLM_F32; t <= VLM_BF16; t++) {
            int64_t R = S[i][0], V = S[i][1], C = S[i][2], ids[16];
            mat m = check_mat(k, t, V, C);
            for (int64_t r = 0; r < R; r++) ids[r] = r ? (r * 7919) % V : V - 1;
            for (int layout = 0; layout < 2; layout++) {
                buf out = check_out(k, R * C);
                k->op->embed_forward(k->ctx, out.f, ids, layout ? &m.panels : &m.rows, 25.25f, R);
                k->want->embed_forward(k->ctx, out.d, ids, &m.want, 25.25f, R);
                check_same(k, layout ? "from panels" : "from rows", out, 1e-7);
            }
            check_free(k);
        }
    /* Every number of the two-byte types, against their definition. */
    enum { ALL = 1 << 16 };
    uint16_t *every = check_raw(k, ALL * 2);
    buf out = check_out(k, ALL);
    for (int i = 0; i < ALL; i++) every[i] = (uint16_t)i;
    vlm_mat m = { VLM_F16, VLM_ROWS, 1, ALL, every };
    for (int t = 0; t < 2; t++) {
        m.dtype = t ? VLM_BF16 : VLM_F16;
        int bits = t ? 7 : 10, bias = t ? 127 : 15, top = t ? 255 : 31;        /* of the mantissa; of the exponent; its largest */
        k->op->embed_forward(k->ctx, out.f, &(int64_t){ 0 }, &m, 1, 1);
        for (int i = 0; i < ALL; i++) {
            int e = (i & 0x7FFF) >> bits, f = i & ((1 << bits) - 1);
            double v = e == top ? (f ? NAN : INFINITY) : ldexp(e ? f + (1 << bits) : f, (e ? e : 1) - bias - bits);
            if (i >> 15) v = -v;
            check_true(k, "every value of a type", isnan(v) ? isnan(out.f[i]) : (double)out.f[i] == v && !signbit(v) == !signbit(out.f[i]));
        }
    }
}
