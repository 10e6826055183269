/* What the results of a run depend on, as JSON: written into its checkpoints, compared on resume; and run.json, which says it all to
   people. */
#ifndef VLM_SETTINGS_H
#define VLM_SETTINGS_H
#include "train/train_impl.h"

/* Hash of all parameters' values as they lie in memory. */
uint64_t   vlm_net_hash(const vlm_net *net);
/* t->settings, of the options, the model (its weights as MODEL has them) and the data. Reads all texts of the data. */
vlm_status vlm_settings_make(vlm_trainer *t);
/* The first key in which they differ: VLM_EARG names it with both values, and --allow-change. */
vlm_status vlm_settings_compare(const json_t *before, const json_t *now, const char *where);
/* RUN/run.json: settings, options, paths, versions, CPU; the starts of the run so far. */
vlm_status vlm_manifest_write(const vlm_trainer *t, const char *resumed);
#endif
