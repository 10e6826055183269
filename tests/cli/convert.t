vlm convert: the same weights as another folder, through the program.

$ ln -s $ROOT/tests/golden/models $ROOT/tests/golden/images .

Every whole model, as ours and as nanoVLM's, computes the same bits at every stage.
$ for m in vlm_dino vlm_dino_bf16 vlm_dino_plain vlm_siglip_fork vlm_siglip_up; do vlm trace models/$m -i images/rgb_64x48.png -i images/rgb_33x31.png --prompt hello -o t.$m --quiet >/dev/null || echo trace $m; for to in ours nanovlm; do vlm convert models/$m --to $to -o $m.$to --quiet && vlm trace $m.$to -i images/rgb_64x48.png -i images/rgb_33x31.png --prompt hello --against t.$m --tolerance 0 --quiet >/dev/null || echo $m $to differs; done; done 2>&1 | grep -v warning
| vlm_dino.ours
| vlm_dino.nanovlm
| vlm_dino_bf16.ours
| vlm_dino_bf16.nanovlm
| vlm_dino_plain.ours
| vlm_dino_plain.nanovlm
| vlm_siglip_fork.ours
| vlm_siglip_fork.nanovlm
| vlm_siglip_up.ours
| vlm_siglip_up.nanovlm
$ vlm trace models/vlm_fork_maths -i images/rgb_64x48.png --prompt hello -o t.f --quiet --fork-maths >/dev/null; vlm convert models/vlm_fork_maths --fork-maths -o f --quiet && vlm trace f -i images/rgb_64x48.png --prompt hello --against t.f --tolerance 0 --quiet >/dev/null
| f
$ vlm trace models/vlm_gemma -i images/rgb_64x48.png --prompt hello -o t.g --quiet >/dev/null; vlm convert models/vlm_gemma -o g --quiet && vlm trace g -i images/rgb_64x48.png --prompt hello --against t.g --tolerance 0 --quiet >/dev/null
| g

Backbones: the dtype alone changes; taken out of a whole they are folders like any other.
$ vlm convert models/dinov3_sharded --dtype f16 -o v --json && vlm convert v --dtype f32 -o w --quiet && vlm features w images/rgb_64x48.png -o w.npy --quiet >/dev/null && vlm inspect v --json | grep -o '"vision":{"count":[0-9]*,"bytes":[0-9]*,"dtype":"F16"}' | cut -d, -f3
| {"path":"v"}
| w
| "dtype":"F16"}
$ vlm convert models/vlm_siglip_up --to hf -o h --quiet && (cd h && find . -type f | sort) && vlm inspect h/vision | head -1 && vlm inspect h/language | head -1
| h
| ./language/config.json
| ./language/model.safetensors
| ./language/special_tokens_map.json
| ./language/tokenizer.json
| ./language/tokenizer_config.json
| ./projector.safetensors
| ./vision/config.json
| ./vision/model.safetensors
| ./vision/preprocessor_config.json
| model      h/vision: vision encoder (Hugging Face)
| model      h/language: language model (Hugging Face)
$ vlm new --vision h/vision --language h/language --projector h/projector.safetensors -o again && vlm trace again -i images/rgb_64x48.png -i images/rgb_33x31.png --prompt hello --against t.vlm_siglip_up --tolerance 0 --quiet >/dev/null
!*
| again
$ vlm new --preset tiny --projector h/projector.safetensors -o x
! vlm: --preset: draws its own projector; leave --projector out
= 2
$ vlm convert models/vlm_dino --to hf -o h --quiet
! vlm: h: exists already; name another folder or give --force to replace it
= 1
$ vlm convert models/vlm_dino --to hf -o h --quiet --force && ls h/vision
| h
| config.json
| model.safetensors
| preprocessor_config.json
$ mkdir own; echo '{"author":1}' >own/config.json; echo dear diary >own/a.txt; vlm convert models/vlm_dino -o own --quiet --force; cat own/a.txt
| dear diary
! vlm: own: holds no model's config.json, and no other folder is replaced here: move it away
$ vlm quantize models/vlm_dino -o own --quiet --force 2>&1; vlm new --preset tiny -o own --quiet --force 2>&1; vlm trace models/vlm_dino --prompt hi -o own --quiet --force 2>&1; vlm demo-data $ROOT/examples/digits/digits.png -o own --quiet --force 2>&1; cat own/a.txt
| vlm: own: holds no model's config.json, and no other folder is replaced here: move it away
| vlm: own: holds no model's config.json, and no other folder is replaced here: move it away
| vlm: own: holds no trace.json, and no other folder is replaced here: move it away
| vlm: own: holds no singles.jsonl, and no other folder is replaced here: move it away
| dear diary
$ rm own/*; vlm convert models/vlm_dino -o own --quiet --force && vlm convert models/llama -o own --quiet --force; ls own | head -1
| own
| own
| config.json
$ touch h/vision/notes.md; vlm convert models/vlm_dino -o h --quiet --force
! vlm: h/vision: holds notes.md, which this program does not write; no folder with such a file is replaced: move it away
= 1

What is refused, and what is said.
$ vlm convert models/vlm_dino
! vlm: --output: is missing; say with -o which folder to write
= 2
$ vlm convert models/vlm_dino --to theirs -o x
! vlm: --to: "theirs" is not known; give ours|nanovlm|hf
= 2
$ vlm convert models/vlm_gemma --to nanovlm -o x
! vlm: models/vlm_gemma: its language model is gemma3, which nanoVLM would run as a Llama, into nonsense; use --to ours or --to hf
= 1
$ vlm convert models/llama --to ours -o x
! vlm: models/llama: is a language model alone, and --to ours is for whole models; make one with vlm new, or change the dtype only with --to hf
= 1
$ vlm convert models/vlm_fork_maths -o x
! vlm: models/vlm_fork_maths/config.json: warning: the fork trained plain DINOv3 encoders with tanh-GELU; this run uses the official erf-GELU, --fork-maths the fork's
! vlm: models/vlm_fork_maths/model.safetensors: tensor vision_encoder.blocks.0.attn.qkv_proj.bias has a key bias, which DINOv3 does not; it was trained by the fork: --fork-maths runs it as it was trained
= 1
$ vlm convert g --dtype bf16 -o g16 2>&1 | grep -v tensors
| vlm: g16: warning: Gemma's embeddings are scaled by a factor that is rounded to their dtype: answers change a little with it
| g16
$ vlm new --preset tiny -o n --quiet && vlm convert n --to nanovlm -o n.n 2>&1 | grep -v tensors
| n
| vlm: n.n: warning: the fork rounds the vocabulary: the table gets 384 rows for 260, the new ones the mean of the others
| vlm: n.n: warning: the fork's Python computes tanh-GELU where this encoder has erf-GELU: its answers differ a little; vlm reads the folder rightly
| n.n
$ trap '' XFSZ; ulimit -f 8; vlm convert models/vlm_dino -o full --quiet
! vlm: full/model.safetensors: cannot write: File too large; check the file and its disk
= 1
$ trap '' XFSZ; ulimit -f 8; vlm convert models/vlm_dino --to hf -o full --quiet
! vlm: full/vision/model.safetensors: cannot write: File too large; check the file and its disk
= 1
$ test -z "$(ls | grep '^full\|^x')"

--force leaves a link and what it points to alone, and a folder that holds what is read
$ cp -r models/vlm_dino kept; ln -s kept link; vlm convert models/llama -o link --quiet --force
! vlm: link: is a symbolic link, which is not replaced; name the folder itself
= 1
$ vlm new --preset tiny -o link/ --quiet --force
! vlm: link: is a symbolic link, which is not replaced; name the folder itself
= 1
$ diff -r models/vlm_dino kept
$ vlm convert kept --to hf -o parts --quiet && vlm convert parts/language -o parts --force --quiet
| parts
! vlm: parts: holds what is to be converted; name another folder
= 1
$ vlm quantize parts/vision -o parts --force --quiet
! vlm: parts: holds what is to be quantized; name another folder
= 1
$ vlm new --vision parts/vision --language parts/language -o parts --force --quiet
! vlm: parts: holds what the model is made of; name another folder
= 1
$ touch text; vlm convert kept -o text --quiet --force
! vlm: text: is no folder, and one is to be written; name another
= 1
