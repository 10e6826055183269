/* The cases of a folder, and the instruction sets that they run on. */
#ifndef CASES_H
#define CASES_H
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CASES = 256 };
static const char *const isas[] = { "ref", "avx2", "avx512" };

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }
/* root/sub: the names in it, sorted, or `only` that one. The caller frees each. */
static int list_cases(const char *root, const char *sub, const char *only, char *names[CASES]) {
    char path[1024];
    int n = 0;
    snprintf(path, sizeof path, "%s/%s", root, sub);
    DIR *d = opendir(path);
    for (struct dirent *e; d && n < CASES && (e = readdir(d));)
        if (e->d_name[0] != '.' && (!only || !strcmp(e->d_name, only))) names[n++] = strdup(e->d_name);
    if (d) closedir(d);
    qsort(names, (size_t)n, sizeof *names, by_name);
    return n;
}
#endif
