#include "base/hash.h"
#include "base/file.h"

vlm_status vlm_hash_file(const char *path, uint64_t *h) {
    enum { PIECE = 1 << 20 };          /* whole words; each leaves memory */
    vlm_map m;
    TRY(vlm_map_open(path, 0, &m));
    uint64_t x = vlm_hash_int(*h, (int64_t)m.size);
    for (size_t at = 0; at < m.size; at += PIECE) {
        size_t n = m.size - at < PIECE ? m.size - at : PIECE;
        x = vlm_hash_fast(x, m.data + at, n);
        vlm_map_forget(m.data + at, n);
    }
    vlm_map_close(&m);
    *h = x;
    return VLM_OK;
}
