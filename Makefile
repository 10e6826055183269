# make              libvlm.a, libvlm.so and vlm, in build/
# make demo         what the program does, on a photograph; installs what it needs first
# make test         every test; ends with one line "N passed, N failed, N skipped"
# make fuzz         60 seconds for each fuzz target
# make bench        every speed beside this machine's limits, and a picture of them (some minutes)
# make bench-peers  the same work done by PyTorch, OpenVINO, ONNX Runtime, llama.cpp and Pillow (installs them; under an hour)
# make install      PREFIX=/usr/local DESTDIR=
# Variables: CC, B (build folder), SAN=1 (address and undefined-behaviour sanitizers), WERROR=1, ROOMS (what of src/ goes in).
MAKEFLAGS += -r
VERSION  = 0.1.0
CC       = cc
SAN      =
WERROR   =
B        = $(if $(SAN),build-asan,build)
ROOMS    = base ops io model data infer train
PREFIX   = /usr/local
LIBDIR   = $(PREFIX)/lib

CFLAGS   = -O2 -g
ALL      = -std=c11 -D_POSIX_C_SOURCE=200809L -D_DEFAULT_SOURCE -DVLM_VERSION='"$(VERSION)"' -Iinclude -Isrc -pthread -fPIC -fvisibility=hidden \
           -ffp-contract=off -fno-math-errno -Wall -Wextra -Wstrict-prototypes -Wmissing-prototypes -MMD -MP \
           $(if $(WERROR),-Werror) $(if $(SAN),-fsanitize=address$(,)undefined -fno-sanitize-recover=all) $(CFLAGS) $(EXTRA)
LIBS     = -ljpeg -lspng -lwebp -larchive -lpcre2-8 -lutf8proc -ljansson -lm -pthread
,        = ,

ARCH    := $(firstword $(subst -, ,$(shell $(CC) -dumpmachine)))
ISAS     = $(if $(filter x86_64,$(ARCH)),avx2 avx512 avxvnni avx512vnni)$(if $(filter aarch64,$(ARCH)),neon)
FLAGS_avx2   = -mavx2 -mfma -mf16c
FLAGS_avx512 = -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mf16c
FLAGS_avxvnni    = $(FLAGS_avx2) -mavxvnni -Wno-unused-function
FLAGS_avx512vnni = $(FLAGS_avx512) -mavx512vnni -Wno-unused-function

SRC      = $(foreach r,$(ROOMS),$(wildcard src/$r/*.c)) $(if $(filter ops,$(ROOMS)),$(wildcard src/ops/ref/*.c))
OBJ      = $(SRC:%.c=$(B)/%.o) $(if $(filter ops,$(ROOMS)),$(ISAS:%=$(B)/src/ops/fast/isa_%.o))
APP      = $(patsubst %.c,$(B)/%.o,$(wildcard app/*.c))
UNIT     = $(patsubst tests/unit/%.c,$(B)/unit/%,$(wildcard tests/unit/test_*.c))
CHECK    = $(patsubst %.c,$(B)/%.o,$(wildcard tests/checkops/*.c)) $(patsubst src/ops/ref/%.c,$(B)/ref64/%.o,$(wildcard src/ops/ref/*.c))
FUZZ     = $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))

JOBS     = -j$(shell nproc 2>/dev/null || echo 1)
# Commands are shown in short; V=1 shows them whole.
say      = @$(if $(V),,echo "  $(1) $@";)
run      = $(if $(V),,@)

.PHONY: all deps test-deps test suites fuzz fuzzers unit checkops golden demo bench bench-peers install clean
all: $(B)/vlm $(B)/libvlm.a $(B)/libvlm.so

$(B)/vlm: $(APP) $(B)/libvlm.a
	$(call say,CC)
	$(run)$(CC) $(ALL) $(LDFLAGS) -o $@ $^ $(LIBS)
$(B)/libvlm.a: $(OBJ)
	@rm -f $@
	$(call say,AR)
	$(run)$(AR) rcs $@ $^
$(B)/libvlm.so: $(OBJ)
	$(call say,CC)
	$(run)$(CC) $(ALL) $(LDFLAGS) -shared -Wl,-soname,libvlm.so.0 -o $@ $(OBJ) $(LIBS)

$(B)/src/ops/fast/isa_%.o: src/ops/fast/isa.c
	@mkdir -p $(@D)
	$(call say,CC)
	$(run)$(CC) $(if $(LINKFUZZ),$(subst $(EXTRA),,$(ALL)),$(ALL)) $(FLAGS_$*) -DISA=$* -DISA_$*=1 -c -o $@ $<  # kernels are not fuzzed
$(B)/ref64/%.o: src/ops/ref/%.c
	@mkdir -p $(@D)
	$(call say,CC)
	$(run)$(CC) $(ALL) -DVLM_REF64 -c -o $@ $<
$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC)
	$(run)$(CC) $(ALL) -c -o $@ $<
.PRECIOUS: $(B)/%.o

unit: $(UNIT)
checkops: $(B)/checkops
$(B)/unit/%: $(B)/tests/unit/%.o $(B)/libvlm.a
	@mkdir -p $(@D)
	$(call say,CC)
	$(run)$(CC) $(ALL) $(LDFLAGS) -o $@ $^ -lcmocka $(LIBS)
$(B)/unit/test_train: LDFLAGS += -Wl,--wrap=vlm_example_make
$(B)/checkops: $(CHECK) $(B)/libvlm.a
	$(call say,CC)
	$(run)$(CC) $(ALL) $(LDFLAGS) -o $@ $^ $(LIBS)

# Fuzz targets want clang; build-fuzz/ holds the library with coverage counters.
fuzzers:
	@$(MAKE) --no-print-directory CC=clang B=build-fuzz CFLAGS='-O1 -g' \
	    EXTRA='-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all' LINKFUZZ=-fsanitize=fuzzer fuzz-programs
.PHONY: fuzz-programs
fuzz-programs: $(FUZZ)
$(B)/fuzz/%: $(B)/tests/fuzz/%.o $(B)/libvlm.a
	@mkdir -p $(@D)
	$(call say,CC)
	$(run)$(CC) $(ALL) $(LDFLAGS) $(LINKFUZZ) -o $@ $^ $(LIBS)

golden: $(B)/golden $(B)/training
$(B)/training: $(B)/tests/golden/training.o $(B)/libvlm.a
	$(call say,CC)
	$(run)$(CC) $(ALL) $(LDFLAGS) -Wl,--wrap=vlm_ctx_open -o $@ $^ $(LIBS)
$(B)/golden: $(B)/tests/golden/golden.o $(B)/libvlm.a
	$(call say,CC)
	$(run)$(CC) $(ALL) $(LDFLAGS) -o $@ $^ $(LIBS)
$(B)/faults: $(B)/tests/fault/faults.o $(B)/libvlm.a
	$(call say,CC)
	$(run)$(CC) $(ALL) $(LDFLAGS) $(patsubst %,-Wl$(,)--wrap=%,malloc calloc realloc aligned_alloc strdup strndup) -o $@ $^ $(LIBS)
$(B)/diskfault.so: tests/fault/diskfault.c     # loaded into other programs: no sanitizer, nothing hidden
	@mkdir -p $(@D)
	$(call say,CC)
	$(run)$(CC) -std=c11 -Wall -Wextra $(if $(WERROR),-Werror) -O2 -g -fPIC -shared -o $@ $< -ldl

deps:
	@CC=$(CC) tools/deps build
test-deps:
	@CC=$(CC) tools/deps test

# What make test runs, in one build folder; SAN=1 runs it in build-asan.
programs: all unit checkops golden $(B)/faults $(B)/diskfault.so
.PHONY: programs
SUITES   = 'checkops=$B/checkops' $(foreach u,$(UNIT),'$(patsubst test_%,unit %,$(notdir $u))=$u') \
           'golden=$B/golden tests/golden' 'training=$B/training tests/golden' 'faults=$B/faults tests/golden' \
           'disk faults=tests/fault/disk $B' 'cache faults=tests/fault/cache $B' 'resume=tests/fault/resume $B' 'cli=tests/cli/run $B/vlm'
suites: programs
	@tests/run $(SUITES)

test: test-deps
	@$(MAKE) $(JOBS) --no-print-directory WERROR=1 programs
	@$(MAKE) $(JOBS) --no-print-directory WERROR=1 SAN=1 programs
	@$(MAKE) $(JOBS) --no-print-directory WERROR=1 CC=clang B=build-clang all
	@$(MAKE) $(JOBS) --no-print-directory WERROR=1 fuzzers
	@tests/run $(SUITES) $(subst $B/,build-asan/,$(SUITES:'%='asan %)) \
	    'neon=tests/neon $B' 'installed=tests/installed $B' 'house=tests/house' 'fuzz smoke=tests/fuzz/run 5'

fuzz: test-deps
	@$(MAKE) $(JOBS) --no-print-directory fuzzers
	@tests/fuzz/run 60

bench: deps
	@$(MAKE) $(JOBS) --no-print-directory all
	$B/vlm bench all --svg $B/roofline.svg --force

bench-peers: deps
	@$(MAKE) $(JOBS) --no-print-directory all
	@bench/peers/setup $B/peers
	@$B/peers/venv/bin/python bench/peers/run --vlm $B/vlm --work $B/peers

demo: deps
	@$(MAKE) $(JOBS) --no-print-directory all
	@tools/demo $B/vlm runs/demo

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(PREFIX)/include $(DESTDIR)$(PREFIX)/share/man/man1 \
	    $(DESTDIR)$(PREFIX)/share/bash-completion/completions $(DESTDIR)$(PREFIX)/share/zsh/site-functions
	install -m 755 $B/vlm $(DESTDIR)$(PREFIX)/bin/
	install -m 644 $B/libvlm.a $(DESTDIR)$(LIBDIR)/
	install -m 755 $B/libvlm.so $(DESTDIR)$(LIBDIR)/libvlm.so.$(VERSION)
	ln -sf libvlm.so.$(VERSION) $(DESTDIR)$(LIBDIR)/libvlm.so.0
	ln -sf libvlm.so.0 $(DESTDIR)$(LIBDIR)/libvlm.so
	install -m 644 include/vlm.h $(DESTDIR)$(PREFIX)/include/
	sed 's|@PREFIX@|$(PREFIX)|; s|@LIBDIR@|$(LIBDIR)|; s|@VERSION@|$(VERSION)|; s|@LIBS@|$(LIBS)|' tools/vlm.pc.in > $(DESTDIR)$(LIBDIR)/pkgconfig/vlm.pc
	$B/vlm help --man > $(DESTDIR)$(PREFIX)/share/man/man1/vlm.1
	$B/vlm help --completion bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/vlm
	$B/vlm help --completion zsh > $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_vlm

clean:
	rm -rf build build-asan build-clang build-fuzz build-neon

-include $(wildcard $(B)/*/*.d $(B)/*/*/*.d $(B)/*/*/*/*.d)
