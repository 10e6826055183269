/* A whole VLM of random weights in the temporary folder, open for all tests of a file: open_all and close_all are their fixtures. */
#ifndef TINY_H
#define TINY_H
#include "folder.h"
#include "infer/new.h"

static vlm_model *tiny;                /* of the preset: DINOv3-like, P 16, s 2, a Llama over bytes, context 4096 */

static int open_all(void **state) {
    char dir[600];
    if (temp_open(state)) return -1;
    snprintf(dir, sizeof dir, "%s", temp("tiny"));
    if (vlm_new(&(vlm_new_options){ .preset = "tiny", .out = dir, .seed = 5 }) || vlm_model_open(dir, NULL, &tiny)) {
        print_error("%s: %s\n", vlm_error_where(), vlm_error_message());
        return -1;
    }
    return 0;
}
static int close_all(void **state) { vlm_model_close(tiny); return temp_close(state); }
#endif
