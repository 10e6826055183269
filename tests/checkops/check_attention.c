#include "checkops.h"
void check_attention_forward(check *k) { check_true(k, "later", true); }
