/* Bytes in files: mapped or read under a limit, written so that a reader sees the old file or the whole new one. */
#ifndef VLM_FILE_H
#define VLM_FILE_H
#include "base/status.h"
#include <stdbool.h>
#include <stdio.h>

/* A regular file, mapped read-only. Fails on anything else, and over `limit` bytes (0: no limit). A file that
   another program cuts short while it is mapped ends the process (SIGBUS): the one thing we cannot answer. A program that
   wants to say so installs a handler, which writes and calls _exit (app/term.c does); the library touches no signal. */
typedef struct vlm_map { const unsigned char *data; size_t size; } vlm_map;
vlm_status vlm_map_open(const char *path, size_t limit, vlm_map *out);
void       vlm_map_close(vlm_map *m);                  /* zeroed is fine */
/* The whole pages in [p, p + bytes) are not needed for now: they leave this process's memory. */
void       vlm_map_forget(const void *p, size_t bytes);

/* The whole file, with a NUL behind it; the caller frees. A regular file, or "-": standard input, whatever that is. */
vlm_status vlm_read(const char *path, size_t limit, unsigned char **out, size_t *size);

/* n bytes at `at` of an open file, all of them; fewer there: VLM_EFORMAT. Any thread: the file's own position is not used. */
vlm_status vlm_read_at(int fd, const char *where, void *to, size_t n, int64_t at);

/* Writes beside the target and takes its place only at commit: flush, fsync, rename, fsync of the folder.
   One of commit, place and cancel ends it; all free it. A regular file that exists is replaced. Opening asks for the umask,
   which is the whole process's: other threads that make files at that moment may see it as 0. */
typedef struct vlm_writer { FILE *f; char *path, *temp; } vlm_writer;
vlm_status vlm_writer_open(const char *path, vlm_writer *out);
vlm_status vlm_writer_commit(vlm_writer *w);
/* As commit, but nothing is synced: after a power failure the file may hold anything. For files that say themselves whether they are whole,
   and can be made again. */
vlm_status vlm_writer_place(vlm_writer *w);
void       vlm_writer_cancel(vlm_writer *w);           /* zeroed is fine */
vlm_status vlm_write(const char *path, const void *data, size_t size);         /* all of it at once */

/* A folder likewise: fill `temp` with files of vlm_writer, then commit syncs it, renames it to `path` and syncs the folder of that. A
   commit that fails has changed nothing. `replace`: an existing folder changes places with the new one in one step, where the system
   can, and is removed, but only if all it holds looks like a program's output (.json, .jsonl, .safetensors, .npy, .txt, .jinja,
   quantization.md; such files in tokenizer/, vision/, language/; .png in singles/, train/, heldout/), and if `kind` (NULL: any) says that
   it is such a folder, or it is empty: nobody's work dies of a --force. Without it an existing path is an error that names --force. A
   symbolic link is not replaced, nor what it points to. */
typedef vlm_status vlm_dir_kind(const char *path);     /* fails with why it is none */
typedef struct vlm_dir_writer { char *path, *temp; bool replace; vlm_dir_kind *kind; } vlm_dir_writer;
vlm_status vlm_dir_writer_open(const char *path, bool replace, vlm_dir_kind *kind, vlm_dir_writer *out);
vlm_status vlm_dir_holds(const char *path, const char *name);  /* for a kind that is known by a file: VLM_EIO without it */
vlm_status vlm_dir_writer_commit(vlm_dir_writer *w);
void       vlm_dir_writer_cancel(vlm_dir_writer *w);   /* removes what was written; zeroed is fine. An error that was
                                                          recorded about a file in `temp` now names it in `path` */

/* The name of what was made at `path` reaches the disk: its folder is synced. Files and folders written as above have had that. */
vlm_status vlm_sync_parent(const char *path);

/* Names in `dir` that end in one of `endings` (NULL ends these), in the order of their bytes; *names, n of them, is the caller's:
   vlm_names_free. */
vlm_status vlm_dir_names(const char *dir, const char *const *endings, char ***names, size_t *n);
void       vlm_names_free(char **names, size_t n);

/* The folder and those above it, as far as they are not there; synced. */
vlm_status vlm_dir_make(const char *path);

/* Takes a folder of ours away: it loses its name first, so that half of it never looks like all of it. Killed in between, it leaves
   PATH.tmp-XXXXXX. A folder that holds anything else (see above) stays, with an error that names what. */
vlm_status vlm_dir_remove(const char *path);
/* Removes what killed writers left in `dir`: files, links and folders called NAME.tmp-XXXXXX, where NAME, of n characters, is one that
   `takes` takes (NULL: any). Only for who knows that nobody is writing there: the owner of its lock (base/lock.h). A folder that holds
   anything of another make stays, with a warning. *removed (NULL is fine): how many. */
vlm_status vlm_sweep(const char *dir, bool (*takes)(const char *name, size_t n), int *removed);
/* `path` becomes a symbolic link to `target` (any text, not looked at): a new one, or in place of the link that is there, in one step:
   a reader sees one or the other. Anything else that exists there is an error. */
vlm_status vlm_link_switch(const char *path, const char *target);

bool  vlm_exists(const char *path);
bool  vlm_is_dir(const char *path);
bool  vlm_same_file(const char *a, const char *b);     /* both exist and are one file or folder */
bool  vlm_is_inside(const char *path, const char *folder);     /* both exist, and it is the folder, or something in it; NULL is nothing */
char *vlm_join(const char *dir, const char *name);     /* "dir/name", to be freed; NULL: no memory */
#endif
