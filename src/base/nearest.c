#include "base/nearest.h"
#include <string.h>

int vlm_name_distance(const char *a, const char *b) {
    enum { MOST = 40 };
    int n = (int)strlen(a), m = (int)strlen(b), d[MOST + 1][MOST + 1];
    if (n > MOST || m > MOST) return n > m ? n : m;
    for (int i = 0; i <= n; i++) d[i][0] = i;
    for (int j = 0; j <= m; j++) d[0][j] = j;
    for (int i = 1; i <= n; i++)
        for (int j = 1; j <= m; j++) {
            int best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            if (best > d[i - 1][j] + 1) best = d[i - 1][j] + 1;
            if (best > d[i][j - 1] + 1) best = d[i][j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && best > d[i - 2][j - 2] + 1) best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    return d[n][m];
}
const char *vlm_nearest(const char *name, const char *const *names) {
    const char *best = NULL;
    int least = (int)strlen(name) / 2 + 1;
    for (; *names; names++) {
        int d = vlm_name_distance(name, *names);
        if (d < least) { least = d; best = *names; }
    }
    return best;
}
