vlm bench: which rows there are, what a row says, what is refused. Times are nobody's promise: numbers become N.

$ ln -s $ROOT/tests/golden/models $ROOT/tests/golden/images .; printf '%s\n' 's/-\?[0-9][0-9.]*\(e[-+][0-9]*\)\?/N/g; s/null/N/g' >numbers.sed

rows
$ vlm bench gemm --list --only 'SmolLM2-head f32'
| gemm f32 forward 1x576x49152 SmolLM2-head rows=1
| gemm f32 forward 8x576x49152 SmolLM2-head rows=8
$ vlm bench gemm --list --json --only 'SmolLM2-head f32'
| {"names":["gemm f32 forward 1x576x49152 SmolLM2-head rows=1","gemm f32 forward 8x576x49152 SmolLM2-head rows=8"]}
$ vlm bench all --list | cut -d' ' -f1 | uniq | paste -sd' '
| gemm attention encode prefill decode train image load growth
$ vlm bench encode --list --only '512x512'
| encode dinov3-s f32 512x512
| encode dinov3-splus f32 512x512
| encode dinov3-b f32 512x512
| encode dinov3-l f32 512x512
$ vlm bench encode models/vlm_dino --list --quick; vlm bench prefill models/gemma3 --list; vlm bench decode models/vlm_gemma/ --list; vlm bench load models/llama --list
| encode vlm_dino f32 224x224
| prefill gemma3 f32 512
| decode vlm_gemma f32
| load llama f32
$ vlm bench train --list
| train dinov3-splus+smollm2-135m f32 equal
| train dinov3-splus+smollm2-135m f32 equal recompute
| train dinov3-splus+smollm2-135m f32 mixed
| train dinov3-splus+smollm2-135m f32 mixed recompute

a table: the machine, a head, a line each
$ vlm bench gemm --quick --only 'f32 forward rows=8' | sed -n '1s/^.*, [0-9]* thread.*/machine/p;2,$p' | sed -f numbers.sed -e 's/  *$//; s/  */ /g; s/ N [mu]*s N - N / TIME /; s/ TIME N GB\/s \(N % read \)\?N [kMG]*B N$/ .../'
| machine
| 
| work median least - largest rate share of memory reps
| gemm fN forward NxNxN SmolLMN-qkv rows=N ...

JSON: one object; every row has the same keys
$ vlm bench attention --quick --json | sed -f numbers.sed -e 's/"machine":"[^"]*"/"machine":"M"/; s/"isa":"[a-zN]*"/"isa":"I"/; s/{"name":"attention forward[^{]*},//; s/"bound":"FMA"/"bound":B/'
| {"machine":"M","threads":N,"isa":"I","limits":{"fma_gflops":N,"intN_gops":N,"read_gbps":N},"rows":[{"name":"attention backward ViT-S tokens=N heads=N/N width=N","min_ms":N,"qN_ms":N,"median_ms":N,"qN_ms":N,"max_ms":N,"repetitions":N,"gflop":N,"megabytes":N,"rate":N,"unit":N,"bound":B,"limit":N,"share":N,"peak_bytes":N}],"summary":[]}
$ vlm bench encode models/vlm_dino --quick --json | grep -o '"[a-z_]*_bytes"' | sort | paste -sd' '
| "peak_bytes" "planned_bytes" "taken_bytes"
$ for w in prefill decode load; do vlm bench $w models/vlm_gemma --context 200 --quick --json | grep -o '"name":"[^"]*"\|"unit":"[^"]*"' | paste -sd' '; done
| "name":"prefill vlm_gemma f32 512" "unit":"tokens"
| "name":"decode vlm_gemma f32" "unit":"tokens"
| "name":"load vlm_gemma f32" "unit":"MB"
$ vlm bench image --quick --json | grep -o '"name":"[^"]*"'
| "name":"image decode-jpeg 300x400"
| "name":"image resize 300x400 to 64x64"
| "name":"image jpeg-to-pixels 300x400 to 64x64"
| "name":"image fast-decode jpeg-to-pixels 300x400 to 64x64"
$ vlm bench image $ROOT/examples/cat.jpg --quick --json --only resize | grep -c '"median_ms":[0-9]'
| 1
$ vlm bench train --quick --json --threads 1 --only equal | grep -o '"name":"[^"]*"\|"taken_bytes":[0-9]\|"repetitions":1,' | sed 's/:[0-9]$/:N/'
| "name":"train tiny f32 equal"
| "repetitions":1,
| "taken_bytes":N
| "name":"train tiny f32 equal recompute"
| "repetitions":1,
| "taken_bytes":N
$ TMPDIR=$PWD/nowhere vlm bench train --quick 2>&1 >/dev/null | sed 's/^.*nowhere.vlm-bench-......: //'
| cannot make a temporary folder: No such file or directory; check the path
$ mkdir tmp && TMPDIR=$PWD/tmp vlm bench train --quick --only 'mixed recompute' --threads 1 >/dev/null && ls tmp

the picture: points that say what they are, under roofs that are named; a page of its own
$ vlm bench attention --quick --json --svg r.svg >/dev/null; grep -o '<title>attention [a-z]* ViT-S' r.svg; grep -c 'FMA, GFLOP/s: [0-9]' r.svg; grep -ciE 'href|<script|<image|url\(|"[^"]*(inf|nan)[ "]' r.svg
| <title>attention forward ViT-S
| <title>attention backward ViT-S
| 1
| 0
= 1

what a row is said to take does not hold what earlier rows left behind
$ base() { tr -d '"' | sed 's/.*peak_bytes:\([0-9]*\),.*taken_bytes:\([0-9]*\).*/\1 \2/' | awk '{ print $1 - $2 }'; }; one() { vlm bench $1 --quick --json --threads 1 --only 'gemm rows>=256' --only growth | base; }; [ $(one all) -gt $(($(one growth) + 1000000)) ]

refused
$ vlm bench
! vlm: bench: WHAT is missing; usage: vlm bench WHAT [MODEL]
= 2
$ vlm bench speed
! vlm: speed: is nothing to measure; choose gemm, attention, encode, prefill, decode, train, image, load, growth or all
= 2
$ vlm bench gemm models/llama
! vlm: models/llama: is not needed by bench gemm; leave it out
= 2
$ vlm bench encode --only 'dinov3-s 3x3' --list
! vlm: --only: "dinov3-s 3x3" fits no row; `vlm bench encode --list` prints them
= 2
$ vlm bench growth --only zzz
! vlm: --only: "zzz" fits no row; `vlm bench growth --list` prints them
= 2
$ vlm bench encode models/llama --list
! vlm: models/llama: has no vision encoder; name a folder that has one
= 1
$ vlm bench gemm --svg r.png
! vlm: --svg: r.png does not end in .svg, which is what it would hold; name a .svg file
= 2
$ vlm bench gemm --svg r.svg
! vlm: r.svg: exists already; name another file or give --force to replace it
= 1
$ vlm bench image --quick --only resize --svg s.svg 2>&1 >/dev/null | cut -d: -f1-3; ls | grep -c 's.svg'
| vlm: --svg: no row has operations and bytes to draw; measure gemm, attention, encode or others
| 0
= 1
$ vlm bench attention --quick --isa ref --svg s.svg 2>&1 | sed -n '1s/^[^:]*: //p;$p'
| no yardstick for these instructions
| vlm: --svg: these instructions have no yardstick, so there are no roofs; leave --isa ref out
