vlm plan --time: what it says and refuses. Times are this machine's: numbers become N.

$ ln -s $ROOT/tests/golden/models $ROOT/tests/golden/images .; printf '%s\n' 's/avx[0-9a-z]*/ISA/' 's/; attention is .* and grows/; grows/' 's/; grows.*//' 's/[0-9][0-9.]*\(e[-+][0-9]*\)\?/N/g' 's/ [mu]s/ s/g' >numbers.sed

images and a prompt
$ vlm plan models/vlm_dino images/rgb_96x32.png --time --text-tokens 20 --threads 1 | sed -n '/^context/,$p' | sed -f numbers.sed
| context  N of N positions in images
| machine  ISA, N thread, just measured: N GFLOP/s, reading N GB/s
| time     encoding N s
|          prompt   N s, N tokens/s
|          answer   N s a token, N tokens/s
$ vlm plan models/dinov3_s images/rgb_96x32.png --time | sed -n '/^machine/,$p' | sed -f numbers.sed
| machine  ISA, N threads, just measured: N GFLOP/s, reading N GB/s
| time     encoding N s
$ vlm plan models/llama --time | sed -n '/^machine/,$p' | sed -f numbers.sed
| machine  ISA, N threads, just measured: N GFLOP/s, reading N GB/s
|          answer   N s a token, N tokens/s
$ vlm plan models/vlm_dino images/rgb_96x32.png images/rgb_96x32.png --time --text-tokens 20 --json | sed 's/.*"encode_ms"/"encode_ms"/; s/"totals.*"time"/"time"/' | sed -f numbers.sed
| "encode_ms":N}],"time":{"threads":N,"isa":"ISA","fma_gflops":N,"read_gbps":N,"text_tokens":N,"encode":{"ms":N,"linear_ms":N,"attention_ms":N,"rest_ms":N},"prefill":{"ms":N,"linear_ms":N,"attention_ms":N,"rest_ms":N},"token":{"ms":N,"linear_ms":N,"attention_ms":N,"rest_ms":N}}}
$ vlm plan models/dinov3_s images/rgb_96x32.png --time --json | grep -o '"prefill":null,"token":null'
| "prefill":null,"token":null
$ vlm plan models/vlm_dino images/rgb_96x32.png --json | grep -c '_ms'
| 0
= 1

text takes positions, too
$ vlm plan models/vlm_dino images/rgb_96x32.png --text-tokens 300 --json | grep -o '"broken_limits".*'
| "broken_limits":["context"]}
! vlm: models/vlm_dino: an image of 8 tokens and 300 of text leave no room in a context of 256; use a shorter text, --max-size or --max-image-tokens
$ vlm plan models/vlm_dino images/rgb_96x32.png --text-tokens 300 | sed -n '/^context/p'; echo ${PIPESTATUS[0]}
| context  8 of 256 positions in images
| 1
! vlm: models/vlm_dino: an image of 8 tokens and 300 of text leave no room in a context of 256; use a shorter text, --max-size or --max-image-tokens
$ vlm plan models/llama --text-tokens 100000 --json | grep -o '"broken_limits".*'
| "broken_limits":["context"]}
! vlm: models/llama: 100000 tokens of text leave no room in a context of 256; use a shorter text
$ vlm plan models/llama --text-tokens 100000 | wc -l; echo ${PIPESTATUS[0]}
| 1
| 1
! vlm: models/llama: 100000 tokens of text leave no room in a context of 256; use a shorter text
$ vlm plan models/vlm_dino images/rgb_96x32.png images/rgb_96x32.png --text-tokens 240 --json | grep -o '"broken_limits".*'; echo ${PIPESTATUS[0]}
| "broken_limits":["context"]}
| 0
! vlm: 16 image tokens and 240 of text leave no room in a context of 256; use fewer images, --max-size or --max-image-tokens

training
$ vlm plan models/vlm_dino --data images/mixed.jsonl --batch-samples 2 --epochs 3 --time --threads 2 | sed -n '/^machine/,$p' | sed -f numbers.sed
| machine  ISA, N threads, just measured: N GFLOP/s, reading N GB/s
| time     N s an update (optimiser N s, attention N % of the rest: it grows with the square of images and texts), N s the largest
|          N s an epoch, N s in all; pictures that are slower to read than to learn, validation and checkpoints not counted
$ vlm plan models/vlm_dino --data images/mixed.jsonl --recompute --time --json | sed 's/.*"time"/"time"/' | sed -f numbers.sed
| "time":{"threads":N,"isa":"ISA","fma_gflops":N,"read_gbps":N,"batch":{"ms":N,"linear_ms":N,"attention_ms":N,"rest_ms":N},"optimizer_ms":N,"update_ms":N,"largest_update_ms":N,"epoch_ms":N,"run_ms":N}}

refusals
$ vlm plan models/vlm_dino images/rgb_96x32.png --time --isa ref
! vlm: --time: has no yardstick for ref; leave out --time or --isa
= 1
$ vlm plan models/vlm_dino --data images/mixed.jsonl --text-tokens 3
! vlm: --text-tokens: is for images; leave it out with --data
= 2
$ vlm ask models/vlm_dino --time hi
! vlm: --time: is not an option of ask; `vlm help ask` lists them
= 2
