Training meets what is wrong: folders, data, checkpoints, logs. Each is one error that says where, what, and what to do.

$ ln -s $ROOT/tests/golden/models $ROOT/tests/golden/images .; echo 'vlm train models/vlm_dino --data images/mixed.jsonl --batch-samples 3 --quiet "$@"' >t
$ bash ./t --steps 2 --save-every 1 -o run
| run

RUN: a folder of something else stays as it is
$ mkdir photos; cp images/rgb_40x40.png photos/a.png; echo cap >photos/a.txt; bash ./t -o photos --steps 1 2>&1 | sed -E 's/holds [a-z0-9_.]+/holds X/'
| vlm: photos: is not empty (it holds X) and is no run; name another folder
$ bash ./t -o photos --steps 1 --resume auto 2>&1 | sed -E 's/holds [a-z0-9_.]+/holds X/'; ls photos
| vlm: photos: is not empty (it holds X) and is no run; name another folder
| a.png
| a.txt
$ vlm ask run Hi
! vlm: run: is a run; name its newest checkpoint: run/latest
= 1

Options
$ bash ./t -o x --lr 0
! vlm: --lr: is 0 for every part, so nothing is trained; raise one
= 1
$ bash ./t -o x0 --freeze 'vision, language' --steps 1; sed -E 's/.*"lr":\{([^}]*)\}.*/\1/; s/[0-9.e-]+$/N/' x0/metrics.jsonl
| x0
| "projector":N
$ vlm train models/vlm_dino photos -o x
! vlm: train: "photos" is one argument too many; usage: vlm train MODEL --data D -o RUN
= 2

Data
$ vlm train models/vlm_dino --data images/mixed.jsonl --data-root nowhere -o x1 --quiet
! vlm: nowhere: is no folder; name the one that holds the images
= 1
$ vlm train models/vlm_dino --data images/mixed.jsonl@1e-6 --steps 1 -o x2 --quiet
! vlm: --data: takes no sample in the first 32 epochs; raise the weight behind @
= 1
A weight under which most epochs are empty: of 8 samples one in ten epochs.
$ vlm train models/vlm_dino --data images/mixed.jsonl@0.0125 --steps 2 -o rare --quiet; wc -l <rare/metrics.jsonl
| rare
| 2
$ vlm train models/vlm_dino --data images/mixed.jsonl --val images/mixed.jsonl --steps 1 -o x3 2>&1 | grep warning
| vlm: images/mixed.jsonl: warning: is trained on, too: validation says nothing of data that the model has not seen
Names from a file do not drive the terminal, and a message stays one line.
$ printf '{"images":["a\\u001b[31m\\nb.png"],"texts":[{"user":"a","assistant":"b"}]}\n{"texts":[{"user":"a","assistant":"b"}]}\n' >esc.jsonl
$ vlm train models/vlm_dino --data esc.jsonl --steps 1 -o x4 2>&1 | sed -n 1p; vlm train models/vlm_dino --data esc.jsonl --strict -o x5 --quiet
| vlm: quarantined esc.jsonl:1 (missing_image): image a?[31m?b.png: cannot open: No such file or directory; check the path
! vlm: esc.jsonl:1: image a?[31m?b.png: cannot open: No such file or directory; check the path (missing_image); mend the sample, or leave out --strict to train without it
= 1
$ mkdir esc; cp images/rgb_40x40.png $'esc/\e[31m.png'; echo cap >$'esc/\e[31m.txt'; echo >$'esc/\e[1m.txt'; touch $'esc/\e[1m.log'; vlm train models/vlm_dino --data esc --steps 1 -o x6 2>&1 | grep -v ^step | sed -n 1,2p
| vlm: esc: warning: 1 of its files belong to no sample, as ?[1m.log; they are left out
| vlm: quarantined esc:\x1b[1m.txt (missing_image): is a text without an image of the same name; add the image or take the text away
$ vlm plan models/vlm_dino --data esc 2>/dev/null | grep -c $'\e'
| 0
= 1
Cut short while it is read: the file is named.
$ for i in $(seq 3000); do echo "{\"texts\": [{\"user\": \"a\", \"assistant\": \"b $i\"}]}"; done >long.jsonl
$ vlm train models/vlm_dino --data long.jsonl --batch-samples 1 --epochs 1000 -o cut --quiet 2>err & p=$!; while ! [ -s cut/metrics.jsonl ]; do sleep 0.02; done; truncate -s 0 long.jsonl; wait $p; code=$?; sed -E 's/jsonl:[0-9]+/jsonl:N/; s/byte [0-9]+/byte N/' err; (exit $code)
| vlm: long.jsonl:N: ends at byte N; it was longer before: leave it alone while it is read
= 1

A run's own files
$ bash ./t --steps 2 -o run --resume auto
| run
$ cp -r run r1; truncate -s 3000 r1/step_*/train_state.safetensors; bash ./t --steps 2 -o r1 --resume auto 2>&1 | sed -E 's/step_2\/train.*/step_2\/.../'
| vlm: r1: holds no whole checkpoint, only broken ones; bring a copy back, or begin anew in another folder (r1/step_2/...
$ cp -r run r2; for f in r2/step_*/checksums.json; do sed -i '/train_state/d' $f; done; bash ./t --steps 2 -o r2 --resume auto
! vlm: r2: holds no whole checkpoint, only broken ones; bring a copy back, or begin anew in another folder (r2/step_2/checksums.json: does not name model.safetensors and train_state.safetensors; take another checkpoint)
= 1
$ cp -r run r3; sed -i '1s/^/{"step":77,"loss":1}\n/' r3/metrics.jsonl; bash ./t --steps 2 -o r3 --resume auto
! vlm: r3/metrics.jsonl:1: is of a later step than a row behind it; mend that line or move the file away, and go on
= 1
$ for t in '[]' '{"starts": 5}'; do rm -rf r4; cp -r run r4; echo "$t" >r4/run.json; bash ./t --steps 2 -o r4 --resume auto; done
! vlm: r4/run.json: is no run's: it has no array starts; move the file away, and go on
! vlm: r4/run.json: is no run's: it has no array starts; move the file away, and go on
= 1

Ctrl-C says what it does
$ vlm train models/vlm_dino --data images/mixed.jsonl --batch-samples 3 --steps 1000000 -o sig 2>err & p=$!; while ! [ -s sig/metrics.jsonl ]; do sleep 0.02; done; kill -INT $p; wait $p; code=$?; grep -v '^step\|param\|planned' err | sed -E 's/step_[0-9]+/step_N/'; (exit $code)
| vlm: stops behind this update and saves; once more ends at once
| vlm: saved sig/step_N
| vlm: stopped; --resume auto goes on
= 130

A limit on the size of files is a full disk
$ (ulimit -f 64; bash ./t --steps 1 -o limit); code=$?; ls limit; (exit $code)
| lock
| metrics.jsonl
| quarantine.jsonl
| run.json
! vlm: limit/step_1/model.safetensors: cannot write: File too large; check the file and its disk
= 1
