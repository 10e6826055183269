Features of a frozen encoder, kept on disk; answers shown while a model trains. On golden models with random weights.

$ ln -s $ROOT/tests/golden/models $ROOT/tests/golden/images .
$ for i in rgb_64x48.png exif6.jpg lossy.webp; do echo '{"images":["images/'$i'"],"texts":[{"user":"What\nis\tit?","assistant":"A picture."}]}'; done >d.jsonl

Refused
$ vlm train models/vlm_dino --data d.jsonl -o run --cache-features cache
! vlm: --cache-features: keeps what a frozen encoder makes, and vision is trained; add --freeze vision, or leave it out
= 1
$ vlm train models/vlm_dino --data d.jsonl -o run --cache-dtype bf16
! vlm: --cache-dtype: says how --cache-features keeps them; give that, too
= 2
$ vlm train models/vlm_dino --data d.jsonl -o run --cache-features cache --cache-dtype f16
! vlm: --cache-dtype: "f16" is not known; give f32|bf16
= 2
$ vlm train models/vlm_dino --data d.jsonl -o run --show 2
! vlm: --show: shows held-out samples; give --val or --val-fraction
= 2
$ vlm train models/vlm_dino --data d.jsonl -o run2 --freeze vision --cache-features d.jsonl --quiet
! vlm: d.jsonl: is no folder; name one
= 1
$ ls
| d.jsonl
| images
| models
| run2

The same bits without a cache, with an empty one, and from it
$ rm -r run2; for r in a b c; do vlm train models/vlm_dino --data d.jsonl -o $r --freeze vision --epochs 2 --batch-samples 2 --quiet $(test $r = a || echo --cache-features cache); done
| a
| b
| c
$ for r in b c; do for f in model train_state; do cmp a/latest/$f.safetensors $r/latest/$f.safetensors; done; done; sed 's/"ms":[^,]*,//' a/metrics.jsonl >a/bare; sed 's/"ms":[^,]*,//' c/metrics.jsonl | cmp - a/bare; wc -l <a/bare
| 4
$ vlm train models/vlm_dino --data d.jsonl -o d --freeze vision --cache-features cache --threads 1 2>&1 | grep -o -e "features of all.*where" -e "(.*cache)"
| features of all images take at most 11.3 kB in cache, where
| (100 % from the cache)
$ find cache -type f | sed 's/[0-9a-f]\{32\}/ENCODER/; s/[0-9a-f]\{2\}\/[0-9a-f]\{30\}/IMAGE/' | sort
| cache/ENCODER/IMAGE
| cache/ENCODER/IMAGE
| cache/ENCODER/IMAGE
| cache/ENCODER/about.json
| cache/ENCODER/lock

Half the disk, other bits; a run goes on only with what it had, and f32 is what it had without a cache
$ vlm train models/vlm_dino --data d.jsonl -o e --freeze vision --batch-samples 1 --cache-features half --cache-dtype bf16 --quiet; cmp -s a/latest/model.safetensors e/latest/model.safetensors
| e
= 1
$ vlm train models/vlm_dino --data d.jsonl -o e --freeze vision --batch-samples 1 --resume auto --quiet
! vlm: e/step_3: was made with cache-dtype "bf16", this command has "f32"; give what it had, or --allow-change to go on differently
= 1
$ vlm train models/vlm_dino --data d.jsonl -o a --freeze vision --epochs 2 --batch-samples 2 --cache-features cache --resume auto --quiet
| a

Answers
$ vlm train models/vlm_dino --data d.jsonl --val d.jsonl -o f --steps 4 --eval-every 2 --show 2 2>&1 | grep -a -o -e "sample: .*" -e "question: .*" -e "reference: .*" -e "answer: "
| sample: d.jsonl:1
| question: What\nis it?
| reference: A picture.
| answer: 
| sample: d.jsonl:2
| question: What\nis it?
| reference: A picture.
| answer: 
| sample: d.jsonl:1
| question: What\nis it?
| reference: A picture.
| answer: 
| sample: d.jsonl:2
| question: What\nis it?
| reference: A picture.
| answer: 
$ vlm train models/vlm_dino --data d.jsonl --val d.jsonl -o g --steps 4 --eval-every 2 --quiet; cmp f/latest/model.safetensors g/latest/model.safetensors
| g
