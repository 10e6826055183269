/* "Did you mean": the nearest of some known names. */
#ifndef VLM_NEAREST_H
#define VLM_NEAREST_H

/* Insertions, deletions, substitutions and swaps of neighbours that lead from a to b (optimal string alignment). Names of more than 40
   bytes are taken for wholly different: the longer one's length. */
int         vlm_name_distance(const char *a, const char *b);
/* Of the names (NULL ends them) the nearest, NULL if none is near. Any thread. */
const char *vlm_nearest(const char *name, const char *const *names);
#endif
