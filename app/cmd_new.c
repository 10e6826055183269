#include "cli.h"

vlm_status vlm_cmd_new(vlm_args *a) {
    return vlm_fail(VLM_EUNSUPPORTED, vlm_commands[a->command].name, "is not built yet; see the next version");
}
