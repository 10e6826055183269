vlm train: options, refusals, what is said and written. What is computed is the business of tests/golden/training and tests/unit/test_train.

$ ln -s $ROOT/tests/golden/models $ROOT/tests/golden/images .; echo 'vlm train models/vlm_dino --data images/mixed.jsonl --batch-samples 3 --quiet "$@"' >t
$ bash ./t --steps 2 -o run
| run
$ ls run run/latest; readlink run/latest
| run:
| latest
| lock
| metrics.jsonl
| quarantine.jsonl
| run.json
| step_2
| 
| run/latest:
| checksums.json
| config.json
| model.safetensors
| tokenizer
| train_state.safetensors
| vlm.json
| step_2
$ sed -E 's/"ms":[0-9.]+/"ms":N/; s/("loss"|"grad_norm"|"vision"|"projector"|"language"):[0-9.e-]+/\1:N/g' run/metrics.jsonl
| {"step":1,"loss":N,"grad_norm":N,"lr":{"vision":N,"projector":N,"language":N},"samples":3,"tokens":210,"labels":50,"images":4,"patches":100,"ms":N,"skipped":false}
| {"step":2,"loss":N,"grad_norm":N,"lr":{"vision":N,"projector":N,"language":N},"samples":3,"tokens":224,"labels":51,"images":2,"patches":96,"ms":N,"skipped":false}
$ vlm train models/vlm_dino --data images/mixed.jsonl --steps 1 --json -o json 2>&1 | tail -1
| {"path":"json"}
$ vlm train models/vlm_dino --data images/mixed.jsonl --steps 1 -o told 2>&1 | sed -E 's/[0-9.]+ [kMG]?B/N/g; s/[0-9.e-]*[0-9] tokens.*/.../; s/lr.*, /lr.., /'
| vlm: 8 samples, 0 held out, 0 quarantined; 1 updates planned
| vlm: 0.05023 M parameters, 0.05023 M trained; memory N weights + N gradients and moments + N activations + N data
| step 1/1, loss 6.7565, lr.., ...
| vlm: saved told/step_1
| told
$ vlm ask run/latest -i images/rgb_40x40.png Hi --max-tokens 2 --quiet >answer; wc -l <answer
| 1

Usage
$ vlm train models/vlm_dino
! vlm: --data: is missing; name a data set: JSON Lines, a .tar or a folder
= 2
$ vlm train models/vlm_dino --data images/mixed.jsonl
! vlm: --output: is missing; say with -o where the result goes
= 2
$ vlm train --datta x
! vlm: --datta: unknown option; did you mean --data?
= 2
$ bash ./t -o x --freeze vision,head
! vlm: --freeze: "head" is no part; give vision, language, projector, parted by commas
= 2
$ bash ./t -o x --schedule linear
! vlm: --schedule: "linear" is not known; give cosine|constant
= 2
$ bash ./t -o x --steps 0
! vlm: --steps: 0 is out of range; give 1 to 1073741824
= 2
$ bash ./t -o x --steps 3 --epochs 2
! vlm: --steps: and --epochs are given; leave one out
= 2
$ bash ./t -o x --val images/mixed.jsonl --val-fraction 0.1
! vlm: --val-fraction: and --val are given; leave one out
= 2
$ bash ./t -o x --memory 8XB
! vlm: --memory: "8XB" is no amount of bytes; write 8GB, 500MB or bytes
= 2
$ bash ./t -o x --keep -1
! vlm: --keep: -1 is out of range; give 0 to 1048576
= 2
$ bash ./t -o x --lr=-1
! vlm: --lr: -1 is out of range; give 0 to 1000000
= 2
$ echo '{"stepps": 3}' >c.json; bash ./t -o x --config c.json
! vlm: c.json: stepps: unknown key; did you mean steps?
= 2
$ ls x
! ls: cannot access 'x': No such file or directory
= 2

Settings from a file, the environment, the command line
$ echo '{"steps": 3, "freeze": "vision,language", "lr": 0.001, "schedule": "constant", "warmup": 0}' >c.json; bash ./t -o c --config c.json
| c
$ wc -l <c/metrics.jsonl; sed -E 's/.*"lr":(\{[^}]*\}).*/\1/' c/metrics.jsonl
| 3
| {"projector":0.001}
| {"projector":0.001}
| {"projector":0.001}
$ VLM_STEPS=2 bash ./t -o e --config c.json; wc -l <e/metrics.jsonl; bash ./t -o e2 --config c.json --steps 1; wc -l <e2/metrics.jsonl
| e
| 2
| e2
| 1

Refusals
$ bash ./t --steps 2 -o run 2>&1 | sed -E 's/holds [a-z0-9_.]+/holds X/'
| vlm: run: is not empty (it holds X); give --resume auto to go on with that run, or name another folder
$ bash ./t -o x --freeze vision,language,projector
! vlm: --freeze: leaves nothing to train; free vision, language or projector
= 1
$ vlm train models/llama --data images/mixed.jsonl -o x2 --quiet
! vlm: models/llama: is no whole VLM; make one of two backbones with vlm new
= 1
$ bash ./t -o x3 --memory 3MB 2>&1 | sed -E 's/[0-9.]+ [kMG]?B/N/g'
| vlm: training: takes N, N are there; lower --batch-samples 3, give --recompute, --freeze parts or raise --memory (weights and optimiser alone take N)
$ vlm train models/vlm_dino --data nowhere.jsonl -o x4 --quiet
! vlm: nowhere.jsonl: cannot open: No such file or directory; check the path
= 1
$ vlm train models/vlm_dino --data images/mixed.jsonl@0 -o x5 --quiet
! vlm: --data: images/mixed.jsonl@0: "0" is no weight; write PATH@0.5, above 0 and at most 1000000
= 1

Going on
$ bash ./t --steps 2 -o run --resume auto
| run
$ bash ./t --steps 4 -o run --resume auto
! vlm: run/step_2: was made with steps 2, this command has 4; give what it had, or --allow-change to go on differently
= 1
$ bash ./t --steps 2 -o run --resume auto --lr-vision 1e-3 --json
| {"error":{"code":"argument","where":"run/step_2","message":"was made with lr {\"vision\":5e-5,\"projector\":0.00512,\"language\":5e-5}, this command has {\"vision\":0.001,\"projector\":0.00512,\"language\":5e-5}; give what it had, or --allow-change to go on differently"}}
! vlm: run/step_2: was made with lr {"vision":5e-5,"projector":0.00512,"language":5e-5}, this command has {"vision":0.001,"projector":0.00512,"language":5e-5}; give what it had, or --allow-change to go on differently
= 1
$ bash ./t --steps 4 -o run --resume auto --allow-change; wc -l <run/metrics.jsonl; readlink run/latest
| run
| 4
| step_4
$ bash ./t --steps 4 -o run --resume nowhere --allow-change
! vlm: nowhere: is no folder; name a checkpoint, RUN/step_N, or give --resume auto
= 1

Ctrl-C and TERM finish the update, save and say so; one owner; then the run goes on
$ bash ./t --steps 1000000 -o sig & p=$!; while ! [ -s sig/metrics.jsonl ]; do sleep 0.02; done; bash ./t --steps 1000000 -o sig --resume auto 2>err; sed -E 's/process [0-9]+/process N/' err; kill -TERM $(cat sig/lock); wait $p
| vlm: sig/lock: is in use by process N; wait for that or stop it, or name another folder
= 130
$ [ step_$(wc -l <sig/metrics.jsonl) = $(readlink sig/latest) ] && rm -f sig/*.tmp-*; ls sig | grep -v step_
| latest
| lock
| metrics.jsonl
| quarantine.jsonl
| run.json

Bad samples
$ cp images/rgb_40x40.png good.png; head -c 900 good.png >cut.png
$ for i in good.png no.png cut.png ../a.png; do echo "{\"images\": [\"$i\"], \"texts\": [{\"user\": \"a\", \"assistant\": \"b\"}]}"; done >d.jsonl; echo nonsense >>d.jsonl
$ vlm train models/vlm_dino --data d.jsonl -o bad --steps 2 2>&1 | grep 'quarantined' | grep -v '^step'
| vlm: quarantined d.jsonl:2 (missing_image): image no.png: cannot open: No such file or directory; check the path
| vlm: quarantined d.jsonl:4 (bad_path): image ../a.png has .. in its path; write it relative to --data-root, a folder above it
| vlm: quarantined d.jsonl:5 (bad_json): is not valid JSON: invalid token near 'nonsense', column 8; mend the line
| vlm: 2 samples, 0 held out, 3 quarantined; 2 updates planned
| vlm: quarantined d.jsonl:3 (corrupt_image): image cut.png: is a PNG that is cut short (end of stream); get the file again
| vlm: 4 samples were quarantined; bad/quarantine.jsonl says which and why
$ cat bad/quarantine.jsonl
| {"file":"d.jsonl","row":"2","code":"missing_image","reason":"image no.png: cannot open: No such file or directory; check the path","step":0}
| {"file":"d.jsonl","row":"4","code":"bad_path","reason":"image ../a.png has .. in its path; write it relative to --data-root, a folder above it","step":0}
| {"file":"d.jsonl","row":"5","code":"bad_json","reason":"is not valid JSON: invalid token near 'nonsense', column 8; mend the line","step":0}
| {"file":"d.jsonl","row":"3","code":"corrupt_image","reason":"image cut.png: is a PNG that is cut short (end of stream); get the file again","step":1}
$ vlm train models/vlm_dino --data d.jsonl -o strict --strict --quiet
! vlm: d.jsonl:2: image no.png: cannot open: No such file or directory; check the path (missing_image); mend the sample, or leave out --strict to train without it
= 1
A start that came to nothing may be tried again.
$ vlm train models/vlm_dino --data d.jsonl -o strict --quiet --steps 1; wc -l <strict/quarantine.jsonl
| strict
| 4

Gradients of the first update
$ bash ./t --steps 1 -o grads --dump-grads g --freeze language,vision; ls g; ls grads | grep -c step_; wc -l <grads/metrics.jsonl
| grads
| MP.proj.weight.npy
| 0
| 1
