/* What the kinds of data sets share. Private to src/data. */
#ifndef VLM_DATASET_IMPL_H
#define VLM_DATASET_IMPL_H
#include "data/dataset.h"

/* A file of a folder or a member of a tar that takes part in a sample. Those of one key (name.key bytes) make one. */
typedef enum vlm_member_kind { VLM_MEMBER_IMAGE, VLM_MEMBER_JSON, VLM_MEMBER_TEXT, VLM_MEMBER_OTHER } vlm_member_kind;
typedef struct vlm_member {
    union { size_t at; const char *s; } name;          /* `at` in the names while they grow */
    int64_t at, bytes;                                 /* in the tar, no two at the same place; in a folder 0 */
    uint32_t shard;
    uint16_t key;                                      /* bytes of the name */
    uint8_t kind;
    bool odd, twice;                                   /* a link, sparse or no file; another member has the same name */
} vlm_member;
typedef struct vlm_group { int64_t first, at; uint32_t n, shard; } vlm_group;  /* member[first ..]; where the first lies */
typedef struct vlm_line { int64_t at; uint32_t bytes, number; } vlm_line;      /* bytes UINT32_MAX: over the limit; number from 1 */
typedef struct vlm_shard { char *name; int fd; } vlm_shard;            /* name: in the folder of shards; a lone tar's is NULL */

struct vlm_dataset {
    char *path, *root;                                 /* root: folder of images that are named */
    vlm_dataset_options o;                             /* data_root is `root` or NULL */
    bool folder;
    int fd;                                            /* JSON Lines; else -1 */
    vlm_line *line;     int64_t lines; size_t line_room;
    vlm_shard *shard;   int64_t shards;
    vlm_member *member; int64_t members; size_t member_room;
    char *names;        size_t names_bytes, names_room;
    vlm_group *group;   int64_t groups;
    int64_t others;                                    /* files or members of no kind that is known */
    char other[256];                                   /* the first of them */
};

/* Room for n elements of `size` bytes, half as much again each time; *room counts elements. */
vlm_status vlm_dataset_room(const char *where, void *array, size_t *room, size_t n, size_t size);
/* By what stands behind the last dot, in any case. */
vlm_member_kind vlm_member_kind_of(const char *name);
/* A member whose name's first `key` bytes are its key. Over the limits: VLM_ELIMIT. */
vlm_status vlm_members_add(vlm_dataset *d, const char *name, size_t key, vlm_member m);
/* All are there: sorts them into groups. */
vlm_status vlm_members_group(vlm_dataset *d);

vlm_status vlm_tar_index(vlm_dataset *d, const char *path, int64_t shard);     /* its fd is open */
vlm_status vlm_folder_index(vlm_dataset *d);           /* members, or shards with their members */
vlm_status vlm_shard_open(vlm_dataset *d, const char *path, const char *name); /* another one, with its index */
#endif
