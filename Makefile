# make              libvlm.a, libvlm.so and vlm, in build/
# make demo         what the program does, on a photograph; installs what it needs first
# make test         every test; ends with one line "N passed, N failed, N skipped"
# make fuzz         60 seconds for each fuzz target
# make bench        the figures of bench/README.md
# make install      PREFIX=/usr/local DESTDIR=
# Variables: CC, B (build folder), SAN=1 (address and undefined-behaviour sanitizers), WERROR=1, ROOMS (what of src/ goes in).
MAKEFLAGS += -r
VERSION  = 0.1.0
CC       = cc
SAN      =
WERROR   =
B        = $(if $(SAN),build-asan,build)
ROOMS    = base ops io model data infer
PREFIX   = /usr/local
LIBDIR   = $(PREFIX)/lib

CFLAGS   = -O2 -g
ALL      = -std=c11 -D_POSIX_C_SOURCE=200809L -D_DEFAULT_SOURCE -DVLM_VERSION='"$(VERSION)"' -Iinclude -Isrc -pthread -fPIC -fvisibility=hidden \
           -ffp-contract=off -fno-math-errno -Wall -Wextra -Wstrict-prototypes -Wmissing-prototypes -MMD -MP \
           $(if $(WERROR),-Werror) $(if $(SAN),-fsanitize=address$(,)undefined -fno-sanitize-recover=all) $(CFLAGS) $(EXTRA)
LIBS     = -ljpeg -lspng -lwebp -lpcre2-8 -lutf8proc -ljansson -lm -pthread
,        = ,

ARCH    := $(firstword $(subst -, ,$(shell $(CC) -dumpmachine)))
ISAS     = $(if $(filter x86_64,$(ARCH)),avx2 avx512)
FLAGS_avx2   = -mavx2 -mfma -mf16c
FLAGS_avx512 = -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mf16c

SRC      = $(foreach r,$(ROOMS),$(wildcard src/$r/*.c)) $(if $(filter ops,$(ROOMS)),$(wildcard src/ops/ref/*.c))
OBJ      = $(SRC:%.c=$(B)/%.o) $(if $(filter ops,$(ROOMS)),$(ISAS:%=$(B)/src/ops/fast/isa_%.o))
APP      = $(patsubst %.c,$(B)/%.o,$(wildcard app/*.c))
UNIT     = $(patsubst tests/unit/%.c,$(B)/unit/%,$(wildcard tests/unit/test_*.c))
CHECK    = $(patsubst %.c,$(B)/%.o,$(wildcard tests/checkops/*.c)) $(patsubst src/ops/ref/%.c,$(B)/ref64/%.o,$(wildcard src/ops/ref/*.c))
FUZZ     = $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))

.PHONY: all deps test-deps test fuzz fuzzers unit checkops demo bench install clean
all: $(B)/vlm $(B)/libvlm.a $(B)/libvlm.so

$(B)/vlm: $(APP) $(B)/libvlm.a
	$(CC) $(ALL) $(LDFLAGS) -o $@ $^ $(LIBS)
$(B)/libvlm.a: $(OBJ)
	@rm -f $@
	$(AR) rcs $@ $^
$(B)/libvlm.so: $(OBJ)
	$(CC) $(ALL) $(LDFLAGS) -shared -Wl,-soname,libvlm.so.0 -o $@ $(OBJ) $(LIBS)

$(B)/src/ops/fast/isa_%.o: src/ops/fast/isa.c
	@mkdir -p $(@D)
	$(CC) $(ALL) $(FLAGS_$*) -DISA=$* -DISA_$*=1 -c -o $@ $<
$(B)/ref64/%.o: src/ops/ref/%.c
	@mkdir -p $(@D)
	$(CC) $(ALL) -DVLM_REF64 -c -o $@ $<
$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL) -c -o $@ $<
.PRECIOUS: $(B)/%.o

unit: $(UNIT)
checkops: $(B)/checkops
$(B)/unit/%: $(B)/tests/unit/%.o $(B)/libvlm.a
	@mkdir -p $(@D)
	$(CC) $(ALL) $(LDFLAGS) -o $@ $^ -lcmocka $(LIBS)
$(B)/checkops: $(CHECK) $(B)/libvlm.a
	$(CC) $(ALL) $(LDFLAGS) -o $@ $^ $(LIBS)

# Fuzz targets want clang; build-fuzz/ holds the library with coverage counters.
fuzzers:
	@$(MAKE) --no-print-directory CC=clang B=build-fuzz CFLAGS='-O1 -g' \
	    EXTRA='-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all' LINKFUZZ=-fsanitize=fuzzer fuzz-programs
.PHONY: fuzz-programs
fuzz-programs: $(FUZZ)
$(B)/fuzz/%: $(B)/tests/fuzz/%.o $(B)/libvlm.a
	@mkdir -p $(@D)
	$(CC) $(ALL) $(LDFLAGS) $(LINKFUZZ) -o $@ $^ $(LIBS)

deps:
	@tools/deps build
test-deps:
	@tools/deps test

clean:
	rm -rf $(B) build-fuzz

-include $(wildcard $(B)/*/*.d $(B)/*/*/*.d $(B)/*/*/*/*.d)
