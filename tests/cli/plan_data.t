plan --data: what training would do and take, and what it would quarantine. Bytes of memory are masked: they are the unit test's.

$ ln -s $ROOT/tests/golden/models $ROOT/tests/golden/images .; echo "s/ *[0-9.]* [kMG]B/ B/g; s/\"memory\":{[^}]*}/M/" >mask

A data set of JSON Lines
$ set -o pipefail; vlm plan models/vlm_dino --data images/mixed.jsonl | sed -f mask
| data                weight  samples  held out  bad  images  text tokens  image tokens  labels  largest sample
| images/mixed.jsonl       1        8         0    0       8          508            54     128  112 tokens: 2
| 
| tokens a sample  samples   share
|        24 to 31        1  12.5 %  ################
|        32 to 47        0   0.0 %
|        48 to 63        3  37.5 %  ################################################
|        64 to 95        1  12.5 %  ################
|       96 to 127        3  37.5 %  ################################################
| 
| tokens an image  images   share
|               1       1  12.5 %  ################
|               2       0   0.0 %
|               3       0   0.0 %
|          4 to 5       3  37.5 %  ################################################
|          6 to 7       0   0.0 %
|         8 to 11       2  25.0 %  ################################
|        12 to 15       2  25.0 %  ################################
| 
| width:height  images   share
| 1:4 to 1:2         1  12.5 %  ################
| 1:2 to 3:4         0   0.0 %
| 3:4 to 4:3         3  37.5 %  ################################################
| 4:3 to 2:1         2  25.0 %  ################################
| 2:1 to 4:1         1  12.5 %  ################
| 4:1 and over       1  12.5 %  ################
| 
| epoch    8 samples, 508 text + 54 image tokens, 128 labels, 8 images, 216 patches, 0.1023 GFLOP
| batches  1 of at most 4096 tokens; the largest: 8 samples, 562 tokens, 128 labels, 216 patches
| updates  1 an epoch, 1 in all
| context  112 of 256 positions in the largest sample
| model    0.05023 M parameters, 0.05023 M trained
| memory B weights + B gradients and moments + B activations + B data = B of B
$ vlm plan models/vlm_dino --data images/mixed.jsonl --batch-samples 3 --accumulate 2 --epochs 2.5 --json | sed -f mask
| {"data":[{"path":"images/mixed.jsonl","weight":1.0,"samples":8,"held_out":0,"quarantined":0,"images":8,"tokens":562,"text_tokens":508,"image_tokens":54,"labels":128,"patches":216,"largest":{"images":2,"tokens":112,"text_tokens":104,"image_tokens":8,"labels":27,"patches":32,"row":"2"}}],"val":[],"histogram":{"sample_tokens":[{"from":24,"to":31,"count":1},{"from":48,"to":63,"count":3},{"from":64,"to":95,"count":1},{"from":96,"to":127,"count":3}],"image_tokens":[{"from":1,"to":1,"count":1},{"from":4,"to":5,"count":3},{"from":8,"to":11,"count":2},{"from":12,"to":15,"count":2}],"grids":[{"grid":[1,1],"tokens":1,"images":1},{"grid":[1,4],"tokens":4,"images":1},{"grid":[2,2],"tokens":4,"images":1},{"grid":[2,4],"tokens":8,"images":1},{"grid":[3,3],"tokens":9,"images":1},{"grid":[3,4],"tokens":12,"images":2},{"grid":[4,1],"tokens":4,"images":1}]},"quarantined":[],"held_out":0,"epoch":{"images":8,"tokens":562,"text_tokens":508,"image_tokens":54,"labels":128,"patches":216,"samples":8,"batches":3,"updates":2,"gflop":0.102260544},"largest_batch":{"images":2,"tokens":224,"text_tokens":200,"image_tokens":24,"labels":51,"patches":96,"samples":3,"rows":106},"updates":5,"parameters":{"all":50232,"trained":50232},"caps":{"batch_tokens":0,"batch_patches":0,"batch_samples":3},M,"context":256,"broken_limits":[]}
$ vlm plan models/vlm_dino --data images/mixed.jsonl --json | grep -o '"memory":.*}' | sed 's/[1-9][0-9]*/N/g'
| "memory":{"weights_bytes":N,"optimizer_bytes":N,"activation_bytes":N,"loader_bytes":N,"total_bytes":N,"available_bytes":N},"context":N,"broken_limits":[]}

Caps, the order of samples, what is held out, and how much of an epoch there is
$ vlm plan models/vlm_dino --data images/mixed.jsonl --batch-tokens 112 | grep '^batches\|^updates'
| batches  7 of at most 112 tokens; the largest: 1 sample, 112 tokens, 27 labels, 32 patches
| updates  7 an epoch, 7 in all
$ vlm plan models/vlm_dino --data images/mixed.jsonl --batch-tokens 112 --no-shuffle | grep '^batches\|^updates'
| batches  7 of at most 112 tokens; the largest: 1 sample, 112 tokens, 27 labels, 32 patches
| updates  7 an epoch, 7 in all
$ vlm plan models/vlm_dino --data images/mixed.jsonl --batch-patches 60 --batch-samples 2 --accumulate 3 --mean-per-microbatch | grep '^batches\|^updates'
| batches  6 of at most 60 patches, 2 samples; the largest: 2 samples, 176 tokens, 39 labels, 48 patches
| updates  2 an epoch, 2 in all
$ vlm plan models/vlm_dino --data images/mixed.jsonl --val-fraction 0.25 --seed 3 --steps 7 | grep '^data\|^images\|^epoch\|^updates'
| data                weight  samples  held out  bad  images  text tokens  image tokens  labels  largest sample
| images/mixed.jsonl       1        6         2    0       8          508            54     128  112 tokens: 2
| epoch    6 samples, 364 text + 38 image tokens, 93 labels, 5 images, 152 patches, 0.07233 GFLOP
| updates  1 an epoch, 7 in all
$ vlm plan models/vlm_dino --data images/mixed.jsonl@0.5 --data images/mixed.jsonl --val images/mixed.jsonl | grep '^data\|^images\|^epoch\|^updates'
| data                weight  samples  held out  bad  images  text tokens  image tokens  labels  largest sample
| images/mixed.jsonl     0.5        8         0    0       8          508            54     128  112 tokens: 2
| images/mixed.jsonl       1        8         0    0       8          508            54     128  112 tokens: 2
| images/mixed.jsonl     val        8         0    0       8          508            54     128  112 tokens: 2
| epoch    12 samples, 708 text + 84 image tokens, 174 labels, 12 images, 336 patches, 0.15 GFLOP
| updates  1 an epoch, 1 in all
! vlm: images/mixed.jsonl: warning: is trained on, too: validation says nothing of data that the model has not seen
$ vlm plan models/vlm_siglip_up --data images/mixed.jsonl --json | grep -o '"grids":.*' | sed 's/,"epoch".*//'
| "grids":[{"grid":[1,2],"tokens":12,"images":2},{"grid":[2,1],"tokens":12,"images":1},{"grid":[2,2],"tokens":20,"images":5}]},"quarantined":[],"held_out":0

What learns, and how often a forward is made: whole, three times; frozen and nothing comes back, once
$ for o in "--lr 1" "--freeze vision" "--lr-vision 0 --freeze language" "--recompute"; do vlm plan models/vlm_dino --data images/mixed.jsonl $o | sed -n 's/^epoch.*patches, //p; s/^model *//p'; done
| 0.1023 GFLOP
| 0.05023 M parameters, 0.05023 M trained
| 0.07049 GFLOP
| 0.05023 M parameters, 0.02239 M trained
| 0.05246 GFLOP
| 0.05023 M parameters, 0.003072 M trained
| 0.1337 GFLOP
| 0.05023 M parameters, 0.05023 M trained, recompute
$ vlm plan models/vlm_dino --data images/mixed.jsonl --freeze vision,language,projector
! vlm: --freeze: leaves nothing to train; free vision, language or projector
= 1

A folder, and a .tar: the same two samples
$ mkdir f && cp images/rgb_53x37.png f/a.png && cp images/exif6.jpg f/b.jpg && printf 'A disc.' >f/a.txt && echo '{"texts":[{"user":"What?","assistant":"Noise."}]}' >f/b.json && tar -cf f.tar -C f a.png a.txt b.jpg b.json
$ for d in f f.tar; do vlm plan models/vlm_dino --data $d | grep "^$d\|^epoch"; done
| f          1        2         0    0       2           53            16      17  37 tokens: a.txt
| epoch    2 samples, 53 text + 16 image tokens, 17 labels, 2 images, 64 patches, 0.02003 GFLOP
| f.tar       1        2         0    0       2           53            16      17  37 tokens: a.txt
| epoch    2 samples, 53 text + 16 image tokens, 17 labels, 2 images, 64 patches, 0.02003 GFLOP

Bad samples: found, counted, no failure
$ head -c $(($(stat -Lc %s images/j444.jpg) * 2 / 3)) images/j444.jpg >half.jpg; cp images/rgb_1x1.png .; (echo '{"images":["rgb_1x1.png"],"texts":[{"user":"What?","assistant":"A dot."}]}'; echo '{"images":["none.png"],"texts":[{"user":"What?","assistant":"A dot."}]}'; echo '{"images":["half.jpg"],"texts":[{"user":"What?","assistant":"A dot."}]}'; echo '{"texts":[{"user":"What?"}]}'; echo '{"images":["../a.png"],"texts":[{"user":"What?","assistant":"A dot."}]}'; echo '{"images":['; echo "{\"texts\":[{\"user\":\"What?\",\"assistant\":\"$(yes dot | head -90 | tr '\n' ' ')\"}]}"; echo '{"images":["images/la16.png"],"texts":[{"user":"What?","assistant":"A dot."}]}'; echo '{"images":["images/rgb_150x9.png"],"texts":[{"user":"What?","assistant":"A dot."}]}') >bad.jsonl
$ set -o pipefail; vlm plan models/vlm_dino --data bad.jsonl --max-side 100 | sed -n '/^data/,/^bad.jsonl/p; /^bad sample/,$p'
| data       weight  samples  held out  bad  images  text tokens  image tokens  labels  largest sample
| bad.jsonl       1        3         0    6       3           84            11      24  34 tokens: 3
| bad sample   code           reason
| bad.jsonl:2  missing_image  image none.png: cannot open: No such file or directory; check the path
| bad.jsonl:4  no_assistant   has no assistant turn, so there is nothing to learn; give the answer
| bad.jsonl:5  bad_path       image ../a.png has .. in its path; write it relative to --data-root, a folder above it
| bad.jsonl:6  bad_json       is not valid JSON: ']' expected near end of file, column 11; mend the line
| bad.jsonl:7  too_long       has 382 tokens, over the 256 of the context; shorten its text
| bad.jsonl:9  too_large      image images/rgb_150x9.png: is 150×9 pixels, over the limit of 100 a side; make it smaller or raise --max-side
! vlm: 6 samples would be quarantined; --decode looks into the images too
$ set -o pipefail; vlm plan models/vlm_dino --data bad.jsonl --decode | grep half
| bad.jsonl:3  corrupt_image  image half.jpg: is a damaged JPEG: Premature end of JPEG file; get the file again or save it anew
! vlm: 6 samples would be quarantined
$ vlm plan models/vlm_dino --data bad.jsonl --json --decode --max-side 100 --quiet | grep -o '"quarantined":\[.*\],"held' | sed 's/"reason":"[^"]*"/R/g'
| "quarantined":[{"file":"bad.jsonl","row":"2","code":"missing_image",R},{"file":"bad.jsonl","row":"3","code":"corrupt_image",R},{"file":"bad.jsonl","row":"4","code":"no_assistant",R},{"file":"bad.jsonl","row":"5","code":"bad_path",R},{"file":"bad.jsonl","row":"6","code":"bad_json",R},{"file":"bad.jsonl","row":"7","code":"too_long",R},{"file":"bad.jsonl","row":"9","code":"too_large",R}],"held
$ yes '{}' | head -30 >many.jsonl; cat bad.jsonl >>many.jsonl; vlm plan models/vlm_dino --data many.jsonl --quiet | sed -n '/^bad sample/,$p' | tail -2
| many.jsonl:20  bad_json  has neither texts nor messages; give one of them
| and 15 more; --verbose lists them all
$ vlm plan models/vlm_dino --data many.jsonl --verbose | grep -c '^many.jsonl:[0-9]* '
| 35
! vlm: 35 samples would be quarantined; --decode looks into the images too
$ vlm plan models/vlm_dino --data many.jsonl --json --quiet | grep -o '"code"' | wc -l
| 35
$ vlm plan models/vlm_dino --data bad.jsonl --quiet --context 30 | grep '^bad.jsonl:[189] '
| bad.jsonl:8  too_long       has 32 tokens, over the 30 of the context; raise --context, lower --max-image-tokens or give --shrink-images
| bad.jsonl:9  too_long       has 32 tokens, over the 30 of the context; raise --context, lower --max-image-tokens or give --shrink-images
$ vlm plan models/vlm_dino --data bad.jsonl --quiet --context 30 --shrink-images | grep '^bad.jsonl:[189] \|^context'
| context  30 of 30 positions in the largest sample
$ vlm plan models/vlm_dino --data bad.jsonl --quiet --batch-patches 8 | grep '^bad.jsonl:[189] '
| bad.jsonl:8  too_long       has 16 patches, over the 8 of a batch; raise --batch-patches, lower --max-image-tokens or give --shrink-images
| bad.jsonl:9  too_long       has 16 patches, over the 8 of a batch; raise --batch-patches, lower --max-image-tokens or give --shrink-images
$ vlm plan models/vlm_dino --data bad.jsonl --quiet --batch-tokens 30 | grep '^bad.jsonl:8 '
| bad.jsonl:8  too_long       has 32 tokens, over the 30 of a batch; raise --batch-tokens, lower --max-image-tokens or give --shrink-images

Where training would be refused
$ echo '{}' >none.jsonl; vlm plan models/vlm_dino --data none.jsonl | sed -f mask
| data        weight  samples  held out  bad  images  text tokens  image tokens  labels  largest sample
| none.jsonl       1        0         0    1       0            0             0       0  none
| 
| epoch    0 samples, 0 text + 0 image tokens, 0 labels, 0 images, 0 patches, 0 GFLOP
| batches  0 of at most 4096 tokens; the largest: 0 samples, 0 tokens, 0 labels, 0 patches
| updates  0 an epoch, 0 in all
| context  0 of 256 positions in the largest sample
| model    0.05023 M parameters, 0.05023 M trained
| memory B weights + B gradients and moments + B activations + B data = B of B
| 
| bad sample    code      reason
| none.jsonl:1  bad_json  has neither texts nor messages; give one of them
! vlm: 1 sample would be quarantined; --decode looks into the images too
! vlm: none.jsonl: holds no sample that can be trained on; mend what is quarantined, or name other data
$ set -o pipefail; vlm plan models/vlm_dino --data none.jsonl --json | grep -o '"broken.*'
| "broken_limits":["samples"]}
! vlm: 1 sample would be quarantined; --decode looks into the images too
! vlm: none.jsonl: holds no sample that can be trained on; mend what is quarantined, or name other data
= 1
$ set -o pipefail; vlm plan models/vlm_dino --data images/mixed.jsonl --memory 2MB 2>&1 | grep -A1 '^memory' | sed 's/[0-9.]* [kMG]B/B/g'
| memory   B weights + B gradients and moments + B activations + B data = B of B
| vlm: training: takes B, B are there; lower --batch-tokens 4096, give --recompute, --freeze parts or raise --memory (weights and optimiser alone take B)
= 1
$ set -o pipefail; vlm plan models/vlm_dino --data images/mixed.jsonl --memory 10kB --json --recompute 2>&1 | sed 's/[0-9.]* [kMG]B/B/g; s/^{.*"broken/"broken/'
| "broken_limits":["memory"]}
| vlm: training: takes B, B are there, and weights and optimiser alone take B; --freeze parts, take a smaller model or raise --memory
= 1
$ vlm train models/vlm_dino --data images/mixed.jsonl --memory 2MB --batch-samples 4 --batch-tokens 300 -o run --recompute --quiet 2>&1 | sed 's/[0-9.]* [kMG]B/B/g'; ls run/metrics.jsonl run/step_* 2>/dev/null; wc -c <run/metrics.jsonl
| vlm: training: takes B, B are there; lower --batch-tokens 300, --batch-samples 4, --freeze parts or raise --memory (weights and optimiser alone take B)
| run/metrics.jsonl
| 0
$ vlm plan models/vlm_dino --data images/mixed.jsonl --batch-samples 9 --epochs 0.000001 | grep ^updates
| updates  1 an epoch, 1 in all
$ vlm plan models/dinov3_s --data images/mixed.jsonl
! vlm: models/dinov3_s: is no whole VLM; make one of two backbones with vlm new
= 1
$ vlm plan models/vlm_dino --data nowhere.jsonl
! vlm: nowhere.jsonl: cannot open: No such file or directory; check the path
= 1
$ vlm plan models/vlm_dino --data images/mixed.jsonl@0
! vlm: --data: images/mixed.jsonl@0: "0" is no weight; write PATH@0.5, above 0 and at most 1000000
= 1

Images and data are two things
$ vlm plan models/vlm_dino images/rgb_1x1.png --data images/mixed.jsonl
! vlm: --data: and IMAGE are given; plan one of them
= 2
$ vlm plan models/vlm_dino images/rgb_1x1.png --decode
! vlm: --decode: is for data; give --data, or leave it out
= 2
$ vlm plan models/vlm_dino --batch-tokens 9
! vlm: --batch-tokens: is for data; give --data, or leave it out
= 2
$ vlm plan models/vlm_dino --data-root .
! vlm: --data-root: is for data; give --data, or leave it out
= 2
$ vlm plan models/vlm_dino --data images/mixed.jsonl --max-tokens 9
! vlm: --max-tokens: is for images; leave it out with --data
= 2
$ vlm plan models/vlm_dino --data images/mixed.jsonl --val-fraction 0.1 --val images/mixed.jsonl
! vlm: --val-fraction: and --val are given; leave one out
= 2
$ vlm plan models/vlm_dino --data images/mixed.jsonl --steps 1 --epochs 1
! vlm: --steps: and --epochs are given; leave one out
= 2
$ vlm plan models/vlm_dino --data images/mixed.jsonl --freeze head
! vlm: --freeze: "head" is no part; give vision, language, projector, parted by commas
= 2
$ vlm plan models/vlm_dino --data images/mixed.jsonl --memory much
! vlm: --memory: "much" is no amount of bytes; write 8GB, 500MB or bytes
= 2
$ vlm plan models/vlm_dino --data images/mixed.jsonl --resume auto
! vlm: --resume: is not an option of plan; `vlm help plan` lists them
= 2
$ VLM_BATCH_TOKENS=100 vlm plan models/vlm_dino | grep -c memory
| 1
$ vlm tokenize models/vlm_dino --decode 1,2
| <|im_start|><|im_end|>
