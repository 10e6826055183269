What earlier calls have computed (--cache): the same answers without it, with an empty one, from it, and from a damaged one. On golden
models with random weights; vlm_gemma has sliding layers, vlm_siglip_up tiles.

$ ln -s $ROOT/tests/golden/models $ROOT/tests/golden/images .; for i in $(seq 13); do echo -n "a long question, "; done >long
$ printf '%s\n' '#!/bin/bash' 'm=models/$1 i=images/$2 q=$3; shift 3; vlm ask $m -i $i "$q" --max-tokens 8 --json --quiet "$@" >out || exit; grep -o "\"ids\":.*\"completion_tokens\":[0-9]*" out | cksum >>sums; grep -o "\"cache\":{.*}" out | tr -d "}"; true' >ask; chmod +x ask

The same bits; the second time nothing is computed twice
$ for m in vlm_dino vlm_gemma vlm_siglip_up; do rm -f sums; ./ask $m rgb_150x9.png "$(cat long)"; for k in 1 2 3; do ./ask $m rgb_150x9.png "$(cat long)" --cache c; done; sort -u sums | wc -l; done
| "cache":{"images":0,"positions":0
| "cache":{"images":1,"positions":128
| "cache":{"images":1,"positions":128
| 1
| "cache":{"images":0,"positions":0
| "cache":{"images":1,"positions":128
| "cache":{"images":1,"positions":128
| 1
| "cache":{"images":0,"positions":0
| "cache":{"images":1,"positions":192
| "cache":{"images":1,"positions":192
| 1

Another end of the question, another picture, other sizes, another kind of maths, another context's length
$ ./ask vlm_dino rgb_150x9.png "$(cat long)?" --cache c
| "cache":{"images":1,"positions":128
$ ./ask vlm_dino rgb_33x31.png "$(cat long)" --cache c
| "cache":{"images":0,"positions":0
$ ./ask vlm_dino rgb_150x9.png "$(cat long)" --cache c --max-size 32
| "cache":{"images":0,"positions":0
$ ./ask vlm_dino rgb_150x9.png "$(cat long)" --cache c --isa ref
| "cache":{"images":0,"positions":0
$ ./ask vlm_dino rgb_150x9.png "$(cat long)" --cache c --isa avx2
| "cache":{"images":1,"positions":128
$ ./ask vlm_dino rgb_150x9.png "$(cat long)" --cache c --context 255 --threads 1
| "cache":{"images":1,"positions":128
$ vlm ask models/vlm_dino -i images/rgb_150x9.png "$(cat long)" --max-tokens 1 --cache c 2>&1 >answer | grep -o "from the cache.*"
| from the cache: 1 images, 128 positions

Damaged in any way: said once, computed again, and sound afterwards
$ rm -f sums; ./ask vlm_dino rgb_150x9.png "$(cat long)"; rm -r c; ./ask vlm_dino rgb_150x9.png "$(cat long)" --cache c
| "cache":{"images":0,"positions":0
$ for f in $(find c/?? -type f -size +1k); do printf x | dd of=$f bs=1 seek=500 conv=notrunc status=none; done; vlm ask models/vlm_dino -i images/rgb_150x9.png "$(cat long)" --max-tokens 8 --cache c 2>&1 >answer | grep -o "is damaged.*\|; from.*"
| is damaged and made again, and further ones without a word
| ; from the cache: 0 images, 0 positions
$ ./ask vlm_dino rgb_150x9.png "$(cat long)" --cache c; for f in $(find c/?? -type f); do : >$f; done; ./ask vlm_dino rgb_150x9.png "$(cat long)" --cache c; ./ask vlm_dino rgb_150x9.png "$(cat long)" --cache c
| "cache":{"images":1,"positions":128
| "cache":{"images":0,"positions":0
| "cache":{"images":1,"positions":128
$ for f in $(find c/?? -type f); do echo a name for something else >$f; done; ./ask vlm_dino rgb_150x9.png "$(cat long)" --cache c; ./ask vlm_dino rgb_150x9.png "$(cat long)" --cache c; sort -u sums | wc -l
| "cache":{"images":0,"positions":0
| "cache":{"images":1,"positions":128
| 1

Weights that change under the same name
$ cp -r models/vlm_dino m; chmod -R u+w m; vlm ask m -i images/rgb_64x48.png hi --max-tokens 8 --cache d --quiet >a; vlm ask m -i images/rgb_64x48.png hi --max-tokens 8 --quiet | cmp - a; printf '\1' | dd of=m/model.safetensors bs=1 seek=$(($(stat -Lc %s m/model.safetensors) - 201)) conv=notrunc status=none; vlm ask m -i images/rgb_64x48.png hi --max-tokens 8 --cache d --json --quiet | grep -o '"cache".*'
| "cache":{"images":0,"positions":0}}

Features
$ for k in 1 2; do vlm features models/vlm_dino images/exif6.jpg -o f$k.npy --prefix p$k.npy --cache c --quiet >/dev/null; done; vlm features models/vlm_dino images/exif6.jpg -o f.npy --prefix p.npy --quiet >/dev/null; cmp f.npy f1.npy; cmp f.npy f2.npy; cmp p.npy p1.npy; cmp p.npy p2.npy

A conversation, and a batch of them
$ printf '%s\n' "$(cat long)" "and then?" "/reset" "$(cat long)" >talk; for o in "" "--cache e" "--cache e"; do vlm chat models/vlm_dino -i images/rgb_64x48.png --context 256 --max-tokens 8 --quiet $o <talk 2>err | cksum; done | sort -u | wc -l
| 1
$ for k in 1 2; do echo '{"images":["images/rgb_64x48.png"],"texts":[{"user":"'$(cat long)'"}]}'; done >b.jsonl; vlm ask models/vlm_dino --batch b.jsonl --max-tokens 4 --cache g --quiet | grep -o '"cache".*}'
| "cache":{"images":0,"positions":0},"line":1}
| "cache":{"images":1,"positions":192},"line":2}

A folder that is small, cannot be made, or cannot be written to
$ for i in rgb_64x48 rgb_33x31 rgb_96x32 rgb_150x9; do ./ask vlm_dino $i.png "$(cat long)" --cache s --cache-size 100kB >/dev/null; done; test $(cat s/??/* | wc -c) -le 100000 && ./ask vlm_dino rgb_150x9.png "$(cat long)" --cache s --cache-size 100kB
| "cache":{"images":1,"positions":128
$ ./ask vlm_dino rgb_64x48.png hi --cache long/c
! vlm: long/c: cannot make the folder: Not a directory; check the file and its disk
= 1
$ ./ask vlm_dino rgb_64x48.png hi --cache c --cache-size 5apples
! vlm: --cache-size: "5apples" is no amount of bytes; write 8GB, 500MB or bytes
= 2
$ for x in nan 0x8GB 0.2 . -1GB '5 G B' 1e30; do ./ask vlm_dino rgb_64x48.png hi --cache c --cache-size "$x" 2>&1; done | grep -c 'is no amount of bytes'
| 7
$ for x in 1KB 100kb 0.1MB .5GB 2g '1.50 GB' '100.0 kB' 1KiB 1tib 123456; do ./ask vlm_dino rgb_64x48.png hi --cache b --cache-size "$x" >/dev/null || echo "$x"; done
$ ./ask vlm_dino rgb_64x48.png hi --cache-size 1GB
! vlm: --cache-size: is the limit of --cache's folder, and there is none; give --cache DIR, or leave it out
= 2
$ VLM_CACHE_SIZE=1GB ./ask vlm_dino rgb_64x48.png hi
$ mkdir w w/lock; vlm ask models/vlm_dino -i images/rgb_64x48.png hi --max-tokens 1 --cache w 2>&1 >answer | sed "s|^vlm: $PWD|vlm: |; s|[;] load.*from|; from|"
| vlm: w: warning: keeps nothing more, the work goes on without: cannot lock: Is a directory; check the file and its disk
| vlm: 30 prompt tokens, 1 answered (length); from the cache: 0 images, 0 positions
$ vlm eval models/vlm_dino b.jsonl --cache c
! vlm: --cache: is not an option of eval; `vlm help eval` lists them
= 2
$ vlm help ask | grep -A1 -e --cache
|   --cache DIR               keep images' features and prompts' keys and values there, for later
|                             calls
|   --cache-size X            limit of that folder: the least recently used go first (default 2GB)
|   --data-root DIR           folder of the data's images, instead of the file's own

What is not an entry is nobody's to remove, and a lower limit holds although nothing new is kept
$ mkdir -p desk/data.tmp-sorted desk/00; touch desk/thesis.tmp-backup desk/00/mine.tmp-abcdef; vlm features models/vlm_dino images/rgb_150x9.png -o own.npy --cache desk --quiet >/dev/null; ls -d desk/*tmp-* desk/00/*tmp-*
| desk/00/mine.tmp-abcdef
| desk/data.tmp-sorted
| desk/thesis.tmp-backup
$ ls -d desk/??/* | grep -c "/[0-9a-f]*$"; vlm features models/vlm_dino images/rgb_150x9.png -o own.npy --force --cache desk --cache-size 10 --quiet >/dev/null; ls -d desk/??/* | grep -c "/[0-9a-f]*$"
| 3
| 0
= 1
