JPEGs decoded at a lower resolution (--fast-decode): plan says so, other bits, close ones; PNG stays as it is.

$ ln -s $ROOT/tests/golden/models $ROOT/examples/cat.jpg $ROOT/tests/golden/images .
$ vlm plan models/vlm_dino cat.jpg --max-size 128
| image    size WxH  EXIF  resized WxH  patches HxW  grid HxW  tokens  stretch    GFLOP    memory
| cat.jpg   451x300     1       128x96        12x16       6x8      48   -11.3%  0.02157  928.8 kB
|
| total    1 image, 48 tokens, 0.02157 GFLOP
| memory   214.4 kB weights + 928.8 kB images + 366.6 kB session = 1.5 MB
| context  48 of 256 positions in images
$ vlm plan models/vlm_dino cat.jpg images/rgb_150x9.png images/exif6.jpg --max-size 32 --no-upscale --fast-decode
| image                 size WxH  EXIF  decoded WxH  resized WxH  patches HxW  grid HxW  tokens  stretch      GFLOP    memory
| cat.jpg                451x300     1        57x38        32x16          2x4       1x2       2   +33.0%   0.000733  457.9 kB
| images/rgb_150x9.png     150x9     1        150x9        32x16          2x4       1x2       2   -88.0%   0.000733   28.6 kB
| images/exif6.jpg         15x24     6        15x24        16x16          2x2       1x1       1   +60.0%  0.0004771   16.7 kB
|
| total    3 images, 5 tokens, 0.001943 GFLOP
| memory   214.4 kB weights + 475.4 kB images + 366.6 kB session = 1.1 MB
| context  5 of 256 positions in images
$ vlm plan models/vlm_dino cat.jpg --max-size 64 --fast-decode --json | grep -o '"decoded":[][0-9,]*'
| "decoded":[75,113],
$ for i in cat.jpg images/exif6.jpg images/rgb_150x9.png; do for o in "" --fast-decode; do vlm preprocess models/vlm_dino $i --max-size 32 --u8 -o x.npy --force $o >/dev/null; cksum <x.npy; done | uniq | wc -l; done
| 2
| 1
| 1
$ vlm preprocess models/vlm_dino cat.jpg --max-size 512 --u8 -o a.npy >/dev/null; vlm preprocess models/vlm_dino cat.jpg --max-size 512 --u8 -o b.npy --fast-decode >/dev/null; cmp a.npy b.npy
$ echo '{"images":["cat.jpg"],"texts":[{"user":"What?","assistant":"A cat."}]}' >d.jsonl; vlm plan models/vlm_dino --data d.jsonl --fast-decode --max-size 32 | grep ^images
| images   JPEGs that shrink to half or less are decoded at a lower resolution: other bits (--fast-decode)
$ for o in "" --fast-decode; do vlm plan models/vlm_dino --data d.jsonl --max-size 32 --json $o | grep -c '"fast_decode"'; done
| 0
| 1
$ for o in "" --fast-decode --fast-decode; do vlm features models/vlm_dino cat.jpg --max-size 32 -o f.npy --force --cache c $o --quiet >/dev/null; cksum <f.npy; done | uniq -c | awk '{ print $1 }'
| 1
| 2
$ vlm train models/vlm_dino --data d.jsonl -o run --max-size 32 --steps 1 --fast-decode --quiet; vlm train models/vlm_dino --data d.jsonl -o run --max-size 32 --steps 1 --resume auto --quiet
| run
! vlm: run/step_1: was made with fast-decode true, this command has false; give what it had, or --allow-change to go on differently
= 1
