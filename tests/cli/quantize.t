vlm convert --packed and vlm quantize, through the program.

$ ln -s $ROOT/tests/golden/models $ROOT/tests/golden/images $ROOT/models/digits $ROOT/examples/digits/strip.png .

Packed: the same bits at every stage, whatever the model is.
$ for m in vlm_dino vlm_dino_bf16 vlm_siglip_up vlm_dinov2_giant vlm_gemma; do a="-i images/rgb_64x48.png -i images/rgb_33x31.png --prompt hello --quiet"; vlm trace models/$m $a -o t.$m >/dev/null && vlm convert models/$m --packed -o p.$m --quiet && vlm trace p.$m $a --against t.$m --tolerance 0 >/dev/null || echo $m differs; done
| p.vlm_dino
| p.vlm_dino_bf16
| p.vlm_siglip_up
| p.vlm_dinov2_giant
| p.vlm_gemma
$ for m in dinov3_sharded llama_f16; do case $m in d*) a="-i images/rgb_64x48.png";; *) a="--prompt hello";; esac; vlm trace models/$m $a -o t.$m --quiet >/dev/null && vlm convert models/$m --packed -o p.$m --quiet && vlm trace p.$m $a --against t.$m --tolerance 0 --quiet >/dev/null || echo $m differs; done
| p.dinov3_sharded
| p.llama_f16
$ ls p.dinov3_sharded p.llama_f16
| p.dinov3_sharded:
| config.json
| model.safetensors
| 
| p.llama_f16:
| config.json
| generation_config.json
| model.safetensors
| tokenizer.json
| tokenizer.safetensors
| tokenizer_config.json
$ vlm convert digits --packed --dtype f16 -o p --json && vlm inspect p | grep -v '^[vpltic]' && vlm plan p strip.png --json | grep -o '"weights_bytes":[0-9]*' && vlm ask p -i strip.png "Read the number." --quiet
| {"path":"p"}
| model      p: whole VLM (ours), packed
| weights    vision     243264 parameters, F32+F16, 493.8 kB
|            projector  49152 parameters, F16, 98.3 kB
|            language   624000 parameters, F32+F16, 1.3 MB
|            all        916416 parameters, F32+F16, 1.8 MB
| "weights_bytes":1849088
| 877694975

What packed folders do not serve for.
$ vlm convert p --dtype f32 -o x
! vlm: p: holds packed weights, which are used as they are and do not serve for converting; name the folder that it was made from
= 1
$ vlm train p --data x.jsonl -o run
! vlm: p: holds packed weights, which are used as they are and do not serve for training; name the folder that it was made from
= 1
$ vlm quantize p -o x
! vlm: p: holds packed weights, which are used as they are and do not serve for quantizing; name the folder that it was made from
= 1
$ vlm new --vision p.dinov3_sharded --language models/llama -o x
! vlm: p.dinov3_sharded: holds packed weights, which are used as they are and do not serve for making models; name the folder that it was made from
= 1
$ vlm convert digits --packed --to nanovlm -o x
! vlm: --packed: is for this program's own folders, and --to nanovlm for others; leave one of them out
= 1
$ cp -r p cut && truncate -s -4 cut/model.safetensors && vlm inspect cut
! vlm: cut/model.safetensors: tensor decoder.norm.weight ends at byte 1849088 of the data, but the file holds 1849084: it is cut short; get the file again
= 1

Quantized: what the folder holds, what it answers, what the report says.
$ vlm quantize digits -o q --language int4 --vision int8 --quiet | sed 's/[0-9.]* to [0-9.]* ms/N to N ms/; s/[0-9.]* to [0-9.]* tok/N to N tok/; s/cosine .*/cosine X/; s/divergence .*/divergence X/'
| weights    1.8 MB to 752.4 kB
| features   cosine X
| tokens     divergence X
| encode     N to N ms
| decode     N to N tokens/s
| q
$ ls q
| config.json
| model.safetensors
| quantization.json
| quantization.md
| tokenizer.json
| tokenizer.safetensors
| tokenizer_config.json
| vlm.json
$ vlm inspect q | grep param
| weights    vision     243264 parameters, F32+BF16+I8, 279.6 kB
|            projector  49152 parameters, BF16, 98.3 kB
|            language   624000 parameters, F32+G8+G4, 374.5 kB
|            all        916416 parameters, F32+BF16+I8+G8+G4, 752.4 kB
$ vlm inspect q --tensors | awk '/panels/ { print $2, $3, $4 }' | sort | uniq -c | sed 's/^ *//'
| 1 BF16 [128,384] projector
| 1 BF16 [96,192] vision
| 3 G4 [128,128] language
| 3 G4 [128,384] language
| 3 G4 [256,128] language
| 3 G4 [768,128] language
| 1 G8 [260,128] language
| 2 I8 [288,96] vision
| 2 I8 [384,96] vision
| 2 I8 [96,384] vision
| 2 I8 [96,96] vision
$ vlm ask q -i strip.png "Read the number." --quiet
| 877694975
$ grep -c '^| vision_encoder.blocks.*i8\|^| decoder.blocks.*g4\|^| decoder.token_embedding.weight | g8' q/quantization.md
| 21
$ vlm quantize digits -o v --language none --calibrate strip.png --json --quiet | grep -o '^{"model":"digits"\|"vision":"[a-z0-9]*"\|"language":"[a-z0-9]*"\|"made_up":[a-z]*\|"images":[0-9]*\|"path":"v"'
| {"model":"digits"
| "vision":"int8"
| "language":"none"
| "made_up":false
| "images":1
| "path":"v"
$ for m in dinov3_s siglip_bf16 llama gemma3_bf16; do vlm quantize models/$m -o q.$m --quiet >/dev/null && vlm inspect q.$m | grep 'all  *[0-9]'; done
|            all        44128 parameters, F32+I8, 124.3 kB
|            all        22800 parameters, F32+BF16+I8, 35.1 kB
|            all        32436 parameters, F32+G8, 66.0 kB
|            all        26040 parameters, F32+G8, 43.0 kB
$ vlm quantize models/llama -o q.llama --quiet --force --language int4 >/dev/null && vlm ask q.llama hello --max-tokens 2 --template none --quiet >/dev/null
$ vlm quantize digits -o e --language int4 --eval images/mixed.jsonl --limit 2 --metrics exact --quiet 2>/dev/null | grep -c '^exact  *[01].[0-9]* to [01].[0-9]*$'; grep -c '^| exact | .* |$' e/quantization.md
| 1
| 1

Bits: a quantized language model has the same under every instruction set; an int8 encoder's features depend on VNNI, and --cache tells them apart.
$ vlm trace q.llama --prompt hello --kv int8 -o t.q --quiet >/dev/null && vlm trace q.llama --prompt hello --kv int8 --against t.q --tolerance 0 --isa avx2 --quiet >/dev/null; echo $?
| 0
$ for k in avx2 all; do case $k in avx2) i="--isa avx2";; *) i=;; esac; vlm features q strip.png -o $k.npy --quiet $i >/dev/null; vlm features q strip.png -o $k.kept.npy --cache kept --quiet $i >/dev/null; cmp $k.npy $k.kept.npy && echo the same; done
| the same
| the same

The answer counts whole, also where it repeats itself; the picture is the first that the context has room for, or there is none.
$ for c in 1024 400 100; do vlm quantize digits -o c$c --context $c --json --quiet | grep -o '"positions":[0-9]*\|"decode_tokens":[0-9]*' | paste -sd' '; done
| "positions":705 "decode_tokens":32
| "positions":400 "decode_tokens":31
| "positions":100 "decode_tokens":32

What is refused.
$ vlm quantize digits
! vlm: --output: is missing; say with -o which folder to write
= 2
$ vlm quantize digits -o x --limit 3
! vlm: --limit: is for --eval's data; give --eval, or leave it out
= 2
$ vlm quantize digits -o x --vision int4
! vlm: --vision: "int4" is not known; give int8|none
= 2
$ vlm quantize digits -o x --vision none --language none
! vlm: digits: would stay as it is; say what to quantize with --vision or --language, or use vlm convert --packed
= 1
$ vlm quantize models/dinov3_s -o x --language int8
! vlm: --language: asks for a language model, but models/dinov3_s has none; leave it out
= 1
$ vlm quantize models/llama -o x --calibrate strip.png
! vlm: models/llama: has no vision encoder; name a folder that has one
= 1
$ vlm quantize models/dinov3_s -o x --eval images/mixed.jsonl
! vlm: models/dinov3_s: has no language model; name a folder that has one
= 1
$ vlm quantize digits -o q --quiet
! vlm: q: exists already; name another folder or give --force to replace it
= 1
$ touch q/notes.md; vlm quantize digits -o q --quiet --force
! vlm: q: holds notes.md, which this program does not write; no folder with such a file is replaced: move it away
= 1
$ vlm quantize digits -o x --eval none.jsonl
! vlm: none.jsonl: cannot open: No such file or directory; check the path
= 1
$ trap '' XFSZ; ulimit -f 8; vlm quantize digits -o x --quiet
! vlm: x/model.safetensors: cannot write: File too large; check the file and its disk
= 1
$ test -z "$(ls | grep '^x')"
