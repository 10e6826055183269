/* What several commands do first: open MODEL, load images. */
#ifndef VLM_OPEN_H
#define VLM_OPEN_H
#include "term.h"
#include "data/dataset.h"
#include "infer/session.h"

vlm_model_options vlm_options_of(const vlm_args *a);
vlm_status vlm_open_model(const vlm_args *a, vlm_model **out);         /* MODEL is the first argument */
vlm_status vlm_open_session(const vlm_args *a, const vlm_model *m, vlm_session **out);

/* The images of a turn. Paths stay the caller's; "-" is standard input. */
typedef struct vlm_pictures { vlm_image **image; char **path; int64_t n; } vlm_pictures;
vlm_status vlm_pictures_add(vlm_pictures *p, const vlm_model *m, const char *path, int64_t limit);
void       vlm_pictures_free(vlm_pictures *p);
/* [{"path","width","height","resized","grid","tokens"}]: width and height after EXIF. */
json_t    *vlm_pictures_json(const vlm_model *m, const vlm_pictures *p);
json_t    *vlm_plan_json(const vlm_model *m, const vlm_image_plan *p);         /* "resized" .. "tokens"; in tiles: grid of tiles, "tiles" */

/* For train and plan --data. Strings stay the options'. */
struct vlm_train_options;
vlm_status vlm_train_options_of(const vlm_args *a, struct vlm_train_options *out);
vlm_status vlm_plan_data(vlm_args *a);                                 /* plan_data.c */

vlm_status vlm_need_vision(const vlm_args *a, const vlm_model *m);
vlm_status vlm_need_language(const vlm_args *a, const vlm_model *m);
vlm_status vlm_check_stdin(const vlm_args *a);                         /* "-" stands for one argument or image at most */
vlm_status vlm_need_output(const vlm_args *a);                         /* -o was given */
vlm_status vlm_check_ending(const char *option, const char *path, const char *end);     /* a name that says what is in it: ".png" */
vlm_status vlm_check_output(const vlm_args *a, const char *path);      /* a file that may be written: new, or --force */
#endif
