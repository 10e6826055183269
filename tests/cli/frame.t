The frame: dispatch, usage errors, environment, --config, help, completion.

$ vlm
! vlm: no command; `vlm help` lists them
= 2
$ vlm help
| vlm 0.1.0: vision-language models whose images keep their own shape
| 
| usage: vlm COMMAND MODEL [options] [arguments]
| 
|   new         make a VLM of two backbones, or draw one from a seed
|   inspect     say what a model folder is
|   plan        say what images, or training on a data set, will cost
|   preprocess  write the exact pixels the encoder sees
|   tokenize    text to ids, ids to text
|   features    write dense features of images, and pictures of them
|   trace       write every stage of one forward pass, or compare with one
|   ask         answer a question about images
|   chat        hold a conversation about images
|   train       train a VLM on images and conversations
|   eval        ask a model what a data set asks, and say how right it is
|   plot        draw the curves of training runs
|   convert     write the same weights as another folder
|   quantize    write a model with 8- or 4-bit weights, and what that does to it
|   bench       measure speed beside what this machine can do at most
|   demo-data   lay handwritten digits out as pictures with questions, to train on
|   help        say how a command is used
| 
| `vlm help COMMAND` says more, `vlm --version` what this program is made of. MODEL is a folder with config.json and
| model.safetensors. Exit codes: 0 ok, 1 failed, 2 wrong usage, 130 stopped.
$ vlm --help | cmp - <(vlm help)
$ vlm -h | cmp - <(vlm help)
$ vlm help preprocess
| usage: vlm preprocess MODEL IMAGE [options]
| 
| Writes float32 (3,H,W), normalised; with --u8 uint8 (H,W,3) before the normalisation.
| 
| options:
|   -o, --output PATH         where the result goes: a file, or a folder
|   --u8                      uint8 (H,W,3) before the normalisation
|   --max-size PX             long side of a resized image (1 to 65500)
|   --no-upscale              never enlarge an image, except to one block
|   --max-image-tokens N      shrink an image that would make more tokens (1 or more)
|   --context N               lower the context to N positions (1 or more)
|   --compat-resize           sizes by the Python float rule, with its rounding errors
|   --fast-decode             decode a JPEG at a lower resolution where it shrinks by half: other bits
|   --fork-maths              tanh-GELU and K bias, as the nanoVLM fork trained its plain DINOv3
|   --template chatml|smollm2|gemma|none
|                             chat template, where the folder's is not known
|   --max-pixels N            limit: pixels of an image (1 or more, default 128000000)
|   --max-side PX             limit: pixels of a side of an image (1 or more, default 65500)
|   --max-bytes N             limit: bytes of an image file (1 or more, default 256000000)
| 
| everywhere:
|   --threads N               threads (default: the cores this process may use) (1 to 1024)
|   --isa ref|avx2|avx512|neon
|                             instruction set; avx512 takes VNNI where it is there, avx2 does not
|                             (default: the best this machine has)
|   --seed N                  seed of everything random (0 or more, default 0)
|   --json                    print JSON, errors too
|   --quiet                   no progress, timings or warnings
|   --verbose                 say more on standard error
|   --force                   replace an output that exists: a file, or a folder of the same kind
|   --config F                read options from a JSON file; the environment and the command line win
|                             over it
|   -h, --help                print this
| 
| --max-size 512 can also be given as VLM_MAX_SIZE=512 in the environment, or as {"max-size": 512} in a --config file.

Every command has its page, the same by both ways.
$ for c in new inspect plan preprocess tokenize features trace ask chat convert help; do cmp <(vlm help $c) <(vlm $c --help) || echo $c; done
$ for c in new inspect plan preprocess tokenize features trace ask chat convert; do vlm help $c | head -1; done
| usage: vlm new [options]
| usage: vlm inspect MODEL [options]
| usage: vlm plan MODEL [IMAGE...] [options]
| usage: vlm preprocess MODEL IMAGE [options]
| usage: vlm tokenize MODEL [TEXT] [options]
| usage: vlm features MODEL IMAGE... [options]
| usage: vlm trace MODEL [options]
| usage: vlm ask MODEL [PROMPT] [options]
| usage: vlm chat MODEL [options]
| usage: vlm convert MODEL [options]
$ vlm --version | sed 's/ .*//'
| vlm
| isa:
| libraries:
$ vlm --version --json | grep -o '"libjpeg-turbo"\|"spng"\|"libwebp"\|"libarchive"\|"PCRE2"\|"utf8proc"\|"jansson"\|"isas":\["ref"'
| "isas":["ref"
| "libjpeg-turbo"
| "spng"
| "libwebp"
| "libarchive"
| "PCRE2"
| "utf8proc"
| "jansson"

Unknown names: the nearest is said.
$ vlm plna m
! vlm: plna: unknown command; did you mean plan? (this version has: new, inspect, plan, preprocess, tokenize, features, trace, ask, chat, train, eval, plot, convert, quantize, bench, demo-data, help)
= 2
$ vlm serve m
! vlm: serve: unknown command; this version has: new, inspect, plan, preprocess, tokenize, features, trace, ask, chat, train, eval, plot, convert, quantize, bench, demo-data, help
= 2
$ vlm help tokenise
! vlm: tokenise: unknown command; did you mean tokenize? (this version has: new, inspect, plan, preprocess, tokenize, features, trace, ask, chat, train, eval, plot, convert, quantize, bench, demo-data, help)
= 2
$ vlm --json ask
! vlm: --json: is not a command; options come behind it: vlm COMMAND [options]
| {"error":{"code":"usage","where":"--json","message":"is not a command; options come behind it: vlm COMMAND [options]"}}
= 2
$ vlm plan m --max-szie 3
! vlm: --max-szie: unknown option; did you mean --max-size?
= 2
$ vlm plan m --max-szie=3 --json
! vlm: --max-szie: unknown option; did you mean --max-size?
| {"error":{"code":"usage","where":"--max-szie","message":"unknown option; did you mean --max-size?"}}
= 2
$ vlm plan m --temperature 1
! vlm: --temperature: is not an option of plan; `vlm help plan` lists them
= 2
$ vlm ask m --zzzzzzzzz
! vlm: --zzzzzzzzz: unknown option; `vlm help ask` lists them, and -- ends the options
= 2
$ vlm ask m -x
! vlm: -x: unknown option; `vlm help ask` lists them, and -- ends the options
= 2

Values.
$ vlm ask m p --max-tokens
! vlm: --max-tokens: needs a value; write --max-tokens N
= 2
$ vlm ask m p --max-tokens 12x
! vlm: --max-tokens: "12x" is not a whole number; give 1 to 1073741824
= 2
$ vlm ask m p --max-tokens ''
! vlm: --max-tokens: "" is not a whole number; give 1 to 1073741824
= 2
$ vlm ask m p --max-tokens ' 5'
! vlm: --max-tokens: " 5" is not a whole number; give 1 to 1073741824
= 2
$ vlm ask m p --max-tokens=+5
! vlm: --max-tokens: "+5" is not a whole number; give 1 to 1073741824
= 2
$ vlm ask m p --max-tokens 0
! vlm: --max-tokens: 0 is out of range; give 1 to 1073741824
= 2
$ vlm ask m p --max-tokens -3
! vlm: --max-tokens: -3 is out of range; give 1 to 1073741824
= 2
$ vlm ask m p --seed 9223372036854775808
! vlm: --seed: 9223372036854775808 is out of range; give 0 to 9223372036854775807
= 2
$ vlm ask m p --temperature nan
! vlm: --temperature: "nan" is not a number; give 0 to 1000000
= 2
$ vlm ask m p --temperature 1e999
! vlm: --temperature: 1e999 is out of range; give 0 to 1000000
= 2
$ vlm ask m p --top-p 1.5
! vlm: --top-p: 1.5 is out of range; give 0 to 1
= 2
$ vlm ask m p --temperature 0x1p3
! vlm: --temperature: "0x1p3" is not a number; give 0 to 1000000
= 2
$ vlm ask m p --isa sse9
! vlm: --isa: "sse9" is not known; give ref|avx2|avx512|neon
= 2
$ vlm ask m p --isa ''
! vlm: --isa: "" is not known; give ref|avx2|avx512|neon
= 2
$ vlm ask m p --no-upscale=maybe
! vlm: --no-upscale: "maybe" is neither true nor false; give one of them
= 2
$ vlm ask m p --system --json
! vlm: --system: needs a value and is followed by --json; write --system=--json if that is the value
| {"error":{"code":"usage","where":"--system","message":"needs a value and is followed by --json; write --system=--json if that is the value"}}
= 2

Arguments.
$ vlm inspect
! vlm: inspect: MODEL is missing; usage: vlm inspect MODEL
= 2
$ vlm preprocess m
! vlm: preprocess: an argument is missing; usage: vlm preprocess MODEL IMAGE
= 2
$ vlm ask m what is this
! vlm: ask: "is" is one argument too many; usage: vlm ask MODEL [PROMPT]; a text with blanks needs quotes
= 2
$ vlm ask m -i a.png b.png hi
! vlm: ask: "hi" is one argument too many; usage: vlm ask MODEL [PROMPT]; repeat -i for each image; a text with blanks needs quotes
= 2
$ vlm chat m -i a.png b.png
! vlm: chat: "b.png" is one argument too many; usage: vlm chat MODEL; repeat -i for each image
= 2
$ vlm new m
! vlm: new: "m" is one argument too many; usage: vlm new
= 2
$ vlm version
! vlm: version: unknown command; did you mean --version? (this version has: new, inspect, plan, preprocess, tokenize, features, trace, ask, chat, train, eval, plot, convert, quantize, bench, demo-data, help)
= 2
$ vlm -v
! vlm: -v: is not a command; did you mean --version?
= 2
$ vlm inspect -- --json
! vlm: --json: is not a folder; name a MODEL folder that holds config.json and model.safetensors
= 1
$ vlm help plan --man
! vlm: help: --man and --completion are for all commands; leave plan out
= 2

Nothing empty where a path belongs, no bytes that are not text where text belongs: each names its option.
$ vlm inspect ''
! vlm: inspect: MODEL is empty; usage: vlm inspect MODEL
= 2
$ vlm plan m a.png ''
! vlm: plan: IMAGE is empty; usage: vlm plan MODEL [IMAGE...]
= 2
$ vlm ask m p -i ''
! vlm: --image: is empty; give F or leave it out
= 2
$ vlm preprocess m a.png -o ''
! vlm: --output: is empty; give PATH or leave it out
= 2
$ vlm tokenize m --file=
! vlm: --file: is empty; give F or leave it out
= 2
$ vlm ask m --batch ''
! vlm: --batch: is empty; give F.jsonl or leave it out
= 2
$ vlm ask m p --config ''
! vlm: --config: is empty; give F or leave it out
= 2
$ vlm ''
! vlm: COMMAND: unknown command; this version has: new, inspect, plan, preprocess, tokenize, features, trace, ask, chat, train, eval, plot, convert, quantize, bench, demo-data, help
= 2
$ vlm ask m $'a\377'
! vlm: PROMPT: byte 1 is not UTF-8; convert the text
= 2
$ vlm tokenize m $'\300\200'
! vlm: TEXT: byte 0 is not UTF-8; convert the text
= 2
$ vlm ask m p --system $'ab\355\240\200'
! vlm: --system: byte 2 is not UTF-8; convert the text
= 2
$ VLM_STOP=$'\377' vlm ask m p
! vlm: VLM_STOP: byte 0 is not UTF-8; convert the text
= 2
$ vlm trace m --prompt $'\377' -o x
! vlm: --prompt: byte 0 is not UTF-8; convert the text
= 2
$ vlm ask m p --data-root .
! vlm: --data-root: is for --batch's images; leave it out
= 2
$ vlm features m - - -o x
! vlm: -: standard input can be read once; name a file for the others
= 2

Environment and --config: the line wins over the environment, that over the file. A bad value is an error even where another wins.
$ VLM_MAX_TOKENS=x vlm ask m p
! vlm: VLM_MAX_TOKENS: "x" is not a whole number; give 1 to 1073741824
= 2
$ VLM_MAX_TOKENS=x vlm inspect nowhere
! vlm: nowhere: is not a folder; name a MODEL folder that holds config.json and model.safetensors
= 1
$ VLM_MAX_TOKENS=x vlm ask nowhere p --max-tokens 3
! vlm: VLM_MAX_TOKENS: "x" is not a whole number; give 1 to 1073741824
= 2
$ echo '{"max-tokens": "x"}' >c.json; vlm ask m p --config c.json
! vlm: c.json: max-tokens: has the wrong type; give a whole number
= 2
$ echo '{"max-tokens": 0}' >c.json; vlm ask m p --config c.json
! vlm: c.json: max-tokens: 0 is out of range; give 1 to 1073741824
= 2
$ VLM_MAX_TOKENS=5 vlm ask nowhere p --max-tokens 3 --config c.json
! vlm: c.json: max-tokens: 0 is out of range; give 1 to 1073741824
= 2
$ echo '{"config": "d.json"}' >c.json; vlm ask m p --config c.json
! vlm: c.json: config: is not for a file; give it on the command line
= 2
$ echo '{"max-images": 2, "image": ["a.png", "b.png"]}' >c.json; ln -sf $ROOT/tests/golden/models; VLM_MAX_IMAGES=1 vlm ask models/vlm_dino p --config c.json -i $ROOT/tests/golden/images/rgb_1x1.png --max-tokens 1 --json | grep -o '"tokens":1'
| "tokens":1
$ echo '{"max-tokens": 0}' >c.json
$ VLM_CONFIG=c.json vlm ask m p
! vlm: c.json: max-tokens: 0 is out of range; give 1 to 1073741824
= 2
$ echo '{"max_tokens": 3}' >c.json; vlm ask m p --config c.json
! vlm: c.json: max_tokens: unknown key; did you mean max-tokens?
= 2
$ echo '{"tensors": true, "temperature": 0.5}' >c.json; vlm ask nowhere p --config c.json
! vlm: nowhere: is not a folder; name a MODEL folder that holds config.json and model.safetensors
= 1
$ echo '[1]' >c.json; vlm ask m p --config c.json
! vlm: c.json: is not a JSON object; write {"option": value}
= 2
$ echo '{"json": true}' >c.json; vlm inspect nowhere --config c.json
| {"error":{"code":"io","where":"nowhere","message":"is not a folder; name a MODEL folder that holds config.json and model.safetensors"}}
! vlm: nowhere: is not a folder; name a MODEL folder that holds config.json and model.safetensors
= 1
$ echo '{"json": true' >c.json; vlm inspect nowhere --config c.json 2>&1 | grep -c 'vlm: c.json: is not valid JSON'
| 1
$ echo '{"stop": ["a", 3]}' >c.json; vlm ask m p --config c.json
! vlm: c.json: stop: has the wrong type; give a string or an array of strings
= 2
$ vlm ask m p --config none.json
! vlm: none.json: cannot open: No such file or directory; check the path
= 2
$ VLM_MAXSIZE=3 VLM_OTHER=1 vlm help help >/dev/null
! vlm: VLM_MAX_SIZE: warning: is an option, but the environment has VLM_MAXSIZE; is that meant?
$ VLM_MAXSIZE=3 vlm help help --quiet >/dev/null
$ VLM_JSON=1 vlm inspect nowhere
| {"error":{"code":"io","where":"nowhere","message":"is not a folder; name a MODEL folder that holds config.json and model.safetensors"}}
! vlm: nowhere: is not a folder; name a MODEL folder that holds config.json and model.safetensors
= 1
$ VLM_JSON=1 vlm inspect nowhere --json=false
! vlm: nowhere: is not a folder; name a MODEL folder that holds config.json and model.safetensors
= 1

Standard output that cannot be written is a failure; a reader that has gone is none.
$ vlm help >/dev/full
! vlm: cannot write standard output: No space left on device; check where it goes
= 1
$ vlm help >&-
! vlm: cannot write standard output: Bad file descriptor; check where it goes
= 1
$ vlm help --man | head -1 | cut -c1-9
| .TH VLM 1
$ vlm help 2>&- </dev/null >/dev/null

Completion and manual page come out of the same table.
$ vlm help --completion bash >vlm.bash; bash -n vlm.bash && . ./vlm.bash && COMP_WORDS=(vlm tok) COMP_CWORD=1 && _vlm && echo "${COMPREPLY[@]}"
| tokenize
$ . ./vlm.bash; COMP_WORDS=(vlm tokenize m --no) COMP_CWORD=3; _vlm; echo "${COMPREPLY[@]}"
| --no-special
$ . ./vlm.bash; COMP_WORDS=(vlm ask m --isa av) COMP_CWORD=4; _vlm; echo "${COMPREPLY[@]}"
| avx2 avx512
$ . ./vlm.bash; COMP_WORDS=(vlm new --preset ti) COMP_CWORD=3; _vlm; echo "${COMPREPLY[@]}"
| tiny
$ . ./vlm.bash; touch 'two words.jpg' two.png; COMP_WORDS=(vlm plan m two) COMP_CWORD=3; _vlm; printf '<%s>\n' "${COMPREPLY[@]}" | sort
| <two words.jpg>
| <two.png>
$ vlm help --completion fish
! vlm: --completion: "fish" is not known; give bash|zsh
= 2
$ vlm help --man | grep -c '^\.SS vlm '
| 17
$ vlm help --man | grep '^\.B ' | sort | uniq -d
? command -v zsh # zsh is not installed: its completion is not parsed
$ vlm help --completion zsh >vlm.zsh; zsh -n vlm.zsh
? command -v groff # groff is not installed: the manual page is not formatted
$ vlm help --man | groff -man -Tutf8 -ww -z
