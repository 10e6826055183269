#include "term.h"
#include "infer/model.h"
#include <archive.h>
#include <jpeglib.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <spng.h>
#include <string.h>
#include <utf8proc.h>
#include <webp/decode.h>

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)

void vlm_print_version(FILE *f, bool json) {
    unsigned cpu = vlm_cpu_flags();
    const char *isas[] = { "ref", cpu & VLM_CPU_AVX2 ? "avx2" : NULL, cpu & VLM_CPU_AVX512 ? "avx512" : NULL,
                           cpu & VLM_CPU_NEON ? "neon" : NULL };
    const char *best = vlm_isa_name(cpu);
    char pcre[64] = "", webp[32];
    int w = WebPGetDecoderVersion();
    pcre2_config(PCRE2_CONFIG_VERSION, pcre);
    pcre[strcspn(pcre, " ")] = 0;
    snprintf(webp, sizeof webp, "%d.%d.%d", w >> 16, w >> 8 & 255, w & 255);
    const char *libs[][2] = { { "libjpeg-turbo", TEXT(LIBJPEG_TURBO_VERSION) }, { "spng", spng_version_string() }, { "libwebp", webp },
                              { "libarchive", archive_version_string() + strlen("libarchive ") }, { "PCRE2", pcre },
                              { "utf8proc", utf8proc_version() }, { "jansson", jansson_version_str() } };
    const int n = (int)(sizeof libs / sizeof *libs);
    if (json) {
        json_t *available = json_array(), *libraries = json_object();
        for (int i = 0; i < 4; i++) if (isas[i]) json_array_append_new(available, json_string(isas[i]));
        for (int i = 0; i < n; i++) json_object_set_new(libraries, libs[i][0], json_string(libs[i][1]));
        vlm_json_out(json_pack("{s:s,s:s,s:o,s:o}", "version", VLM_VERSION, "isa", best, "isas", available, "libraries", libraries));
        return;
    }
    fprintf(f, "vlm %s\nisa: %s (this machine has:", VLM_VERSION, best);
    for (int i = 0; i < 4; i++) if (isas[i]) fprintf(f, " %s", isas[i]);
    fputs(")\nlibraries:", f);
    for (int i = 0; i < n; i++) fprintf(f, "%s %s %s", i ? "," : "", libs[i][0], libs[i][1]);
    fputc('\n', f);
}
