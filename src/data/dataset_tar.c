/* The index of an uncompressed tar, through libarchive: where each member's bytes lie. The file is mapped only for that; libarchive hands
   out members as pieces of the map, so where a piece begins says where it lies. Members are then read, not mapped. */
#define _GNU_SOURCE                    /* uselocale on old systems */
#include "base/log.h"
#include "data/dataset_impl.h"
#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static bool failed(int got) { return got != ARCHIVE_OK && got != ARCHIVE_EOF && got != ARCHIVE_WARN; }     /* RETRY, FAILED, FATAL */
/* WebDataset: the path up to the first dot behind its last slash. 0: hidden, or without ending. */
static size_t key_of(const char *name) {
    const char *slash = strrchr(name, '/'), *base = slash ? slash + 1 : name, *dot = strchr(base, '.');
    return dot && dot > base ? (size_t)(dot - name) : 0;
}
static vlm_status add(vlm_dataset *d, const char *path, struct archive *a, struct archive_entry *e, const unsigned char *map, size_t size,
                      int64_t shard) {
    const char *name = archive_entry_pathname(e);
    int64_t header = archive_read_header_position(a), bytes = archive_entry_size(e);
    if (!name) return vlm_fail(VLM_EFORMAT, path, "the name of the member at byte %lld cannot be read; pack it anew", (long long)header);
    if (archive_entry_filetype(e) == AE_IFDIR) return VLM_OK;
    size_t key = key_of(name);
    vlm_member_kind kind = key ? vlm_member_kind_of(name) : VLM_MEMBER_OTHER;
    if (kind != VLM_MEMBER_IMAGE && kind != VLM_MEMBER_OTHER && strchr(name + key + 1, '.')) kind = VLM_MEMBER_OTHER;  /* .meta.json */
    vlm_member m = { .at = header, .bytes = bytes, .shard = (uint32_t)shard, .kind = (uint8_t)kind };
    m.odd = archive_entry_filetype(e) != AE_IFREG || archive_entry_hardlink(e) || archive_entry_symlink(e);
    if (bytes > 0 && !m.odd && kind != VLM_MEMBER_OTHER) {
        const void *piece;
        size_t n;
        la_int64_t offset;
        int got = archive_read_data_block(a, &piece, &n, &offset);
        uintptr_t lo = (uintptr_t)map, p = (uintptr_t)piece;
        if (failed(got))
            return vlm_fail(VLM_EFORMAT, path, "is damaged in member %s: %s; get it again", name, archive_error_string(a));
        if (got == ARCHIVE_OK && !offset && n == (uint64_t)bytes && p >= lo && p - lo <= size && n <= size - (p - lo))
            m.at = (int64_t)(p - lo);
        else m.odd = true;                     /* sparse; cut short, which the next header will tell */
    }
    return vlm_members_add(d, name, key, m);
}
static vlm_status walk(vlm_dataset *d, const char *path, const unsigned char *map, size_t size, int64_t shard) {
    struct archive *a = archive_read_new();
    struct archive_entry *e;
    vlm_status status = VLM_OK;
    int64_t n = 0;
    int got;
    if (!a) return vlm_fail_memory(path, 1 << 16);
    /* archives that were joined by cat go on behind the first one's end */
    if (archive_read_support_format_tar(a) || archive_read_set_format_option(a, "tar", "read_concatenated_archives", "1")
        || archive_read_open_memory(a, map, size))
        status = vlm_fail(VLM_EFORMAT, path, "cannot be read as tar: %s; get it again", archive_error_string(a));
    while (!status && (got = archive_read_next_header(a, &e)) != ARCHIVE_EOF) {
        if (failed(got))
            status = vlm_fail(VLM_EFORMAT, path, "is damaged or cut short, in or after its member %lld: %s; get it again", (long long)n,
                              archive_error_string(a));
        else status = add(d, path, a, e, map, size, shard);
        n++;
    }
    archive_read_free(a);
    return status;
}
vlm_status vlm_tar_index(vlm_dataset *d, const char *path, int64_t shard) {
    struct stat st;
    int fd = d->shard[shard].fd;
    if (fstat(fd, &st)) return vlm_fail_errno(path, "read");
    if (!st.st_size) return vlm_fail(VLM_EFORMAT, path, "is empty; get the file again");
    void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED) return vlm_fail_errno(path, "map");
    posix_madvise(map, (size_t)st.st_size, POSIX_MADV_RANDOM);        /* headers alone: no reading ahead */
    /* names are bytes here; in another locale libarchive would convert them */
    locale_t plain = newlocale(LC_CTYPE_MASK, "C", (locale_t)0), before = plain ? uselocale(plain) : (locale_t)0;
    vlm_status status = plain ? walk(d, path, map, (size_t)st.st_size, shard) : vlm_fail_memory(path, 1 << 10);
    if (plain) uselocale(before), freelocale(plain);
    munmap(map, (size_t)st.st_size);
    return status;
}
