eval on the golden models: random weights, so what they say with --max-tokens 1 is made the reference where a case wants it right.

$ ln -s $ROOT/tests/golden/models $ROOT/tests/golden/images .
$ echo '{"id":"read/1/1","images":["images/rgb_64x48.png"],"texts":[{"user":"Read.","assistant":"0"}]}' >d.jsonl; echo '{"id":"read/2/2","images":["images/la_i.png"],"texts":[{"user":"Read.","assistant":"01"}]}' >>d.jsonl; echo '{"id":"read/10/3","images":["images/rgb_150x9.png"],"texts":[{"user":"Read.","assistant":"l"}]}' >>d.jsonl; echo '{"id":"pick/4","images":["images/grey8.png"],"texts":[{"user":"Read.","assistant":"B"}],"choices":["cat","dog"]}' >>d.jsonl

The tables
$ vlm eval models/vlm_dino d.jsonl --metrics exact,digits,anls --max-tokens 1
| samples     4 of d.jsonl
| 
| metric     mean  95 % from        to  samples
| exact   75.00 %    25.00 %  100.00 %        4
| anls    87.50 %    62.50 %  100.00 %        4
| digits  80.00 %    57.14 %  100.00 %        4
| 
| group    samples     exact      anls    digits
| pick           1  100.00 %  100.00 %  100.00 %
| read           3   66.67 %   83.33 %   75.00 %
| read/1         1  100.00 %  100.00 %  100.00 %
| read/2         1    0.00 %   50.00 %   50.00 %
| read/10        1  100.00 %  100.00 %  100.00 %
$ vlm eval models/vlm_dino d.jsonl --metrics loss
| samples     4 of d.jsonl
| perplexity  872.365
| 
| metric    mean  95 % from      to  samples
| loss    6.7712     6.2583  7.2873        4
| 
| group    samples    loss
| pick           1  7.5352
| read           3  6.5420
| read/1         1  6.0489
| read/2         1  6.7295
| read/10        1  6.7852
$ vlm eval models/vlm_dino d.jsonl --max-tokens 1 --limit 2
| samples     2 of d.jsonl
| perplexity  625.038
| 
| metric      mean  95 % from        to  samples
| exact    50.00 %     0.00 %  100.00 %        2
| anls     75.00 %    50.00 %  100.00 %        2
| relaxed  50.00 %     0.00 %  100.00 %        2
| vqa      50.00 %     0.00 %  100.00 %        2
| loss      6.4378     6.0489    6.7295        2
| 
| group   samples     exact      anls   relaxed       vqa    loss
| read          2   50.00 %   75.00 %   50.00 %   50.00 %  6.4378
| read/1        1  100.00 %  100.00 %  100.00 %  100.00 %  6.0489
| read/2        1    0.00 %   50.00 %    0.00 %    0.00 %  6.7295

JSON
$ vlm eval models/vlm_dino d.jsonl --metrics exact,choice --max-tokens 1 --json
| {"samples":4,"loss":null,"perplexity":null,"metrics":{"exact":{"mean":0.75,"low":0.25,"high":1.0,"samples":4},"choice":{"mean":1.0,"low":1.0,"high":1.0,"samples":1},"choice_likelihood":{"mean":0.0,"low":0.0,"high":0.0,"samples":1}},"groups":{"pick":{"samples":1,"loss":null,"perplexity":null,"metrics":{"exact":{"mean":1.0,"low":1.0,"high":1.0,"samples":1},"choice":{"mean":1.0,"low":1.0,"high":1.0,"samples":1},"choice_likelihood":{"mean":0.0,"low":0.0,"high":0.0,"samples":1}}},"read":{"samples":3,"loss":null,"perplexity":null,"metrics":{"exact":{"mean":0.666666667,"low":0.0,"high":1.0,"samples":3}}},"read/1":{"samples":1,"loss":null,"perplexity":null,"metrics":{"exact":{"mean":1.0,"low":1.0,"high":1.0,"samples":1}}},"read/2":{"samples":1,"loss":null,"perplexity":null,"metrics":{"exact":{"mean":0.0,"low":0.0,"high":0.0,"samples":1}}},"read/10":{"samples":1,"loss":null,"perplexity":null,"metrics":{"exact":{"mean":1.0,"low":1.0,"high":1.0,"samples":1}}}},"bad":[]}
$ vlm eval models/vlm_dino d.jsonl --metrics choice_likelihood --limit 1 --json
| {"samples":1,"loss":null,"perplexity":null,"metrics":{"choice_likelihood":{"mean":null,"low":null,"high":null,"samples":0}},"groups":{"read":{"samples":1,"loss":null,"perplexity":null,"metrics":{}},"read/1":{"samples":1,"loss":null,"perplexity":null,"metrics":{}}},"bad":[]}

Answers
$ vlm eval models/vlm_dino d.jsonl --metrics exact,digits --max-tokens 1 -o a.jsonl --quiet >/dev/null; sed 's/"run":"[0-9a-f]*"/RUN/' a.jsonl
| {"sample":1,RUN,"row":"1","image":["images/rgb_64x48.png"],"grid":[[3,4]],"question":"Read.","reference":["0"],"id":"read/1/1","answer":"0","finish_reason":"length","prompt_tokens":33,"digits":[1,1],"score":{"exact":1.0,"digits":1.0}}
| {"sample":2,RUN,"row":"2","image":["images/la_i.png"],"grid":[[2,2]],"question":"Read.","reference":["01"],"id":"read/2/2","answer":"0","finish_reason":"length","prompt_tokens":25,"digits":[1,2],"score":{"exact":0.0,"digits":0.5}}
| {"sample":3,RUN,"row":"3","image":["images/rgb_150x9.png"],"grid":[[1,4]],"question":"Read.","reference":["l"],"id":"read/10/3","answer":"L","finish_reason":"length","prompt_tokens":25,"digits":[1,1],"score":{"exact":1.0,"digits":1.0}}
| {"sample":4,RUN,"row":"4","image":["images/grey8.png"],"grid":[[2,2]],"question":"Read.","reference":["B"],"id":"pick/4","answer":" b","finish_reason":"length","prompt_tokens":25,"digits":[1,1],"score":{"exact":1.0,"digits":1.0}}
$ vlm eval models/vlm_dino d.jsonl --metrics exact,digits --max-tokens 1 --seed 3 -o a.jsonl
! vlm: a.jsonl: exists already; name another file or give --force to replace it
= 1
$ cp a.jsonl whole.jsonl; vlm eval models/vlm_dino d.jsonl --metrics exact,digits --max-tokens 1 -o a.jsonl --force >one; cmp a.jsonl whole.jsonl
$ head -c 700 whole.jsonl >a.jsonl; vlm eval models/vlm_dino d.jsonl --metrics exact,digits --max-tokens 1 -o a.jsonl --resume >two; cmp a.jsonl whole.jsonl && cmp one two
! vlm: a.jsonl: samples that have their answers: 2
$ sed 2d whole.jsonl >a.jsonl; vlm eval models/vlm_dino d.jsonl --metrics exact,digits --max-tokens 1 -o a.jsonl --resume >two; sort a.jsonl | cmp - whole.jsonl && cmp one two
! vlm: a.jsonl: samples that have their answers: 3
$ : >a.jsonl; vlm eval models/vlm_dino d.jsonl --metrics exact,digits --max-tokens 1 -o a.jsonl --resume >two; cmp a.jsonl whole.jsonl && cmp one two
$ rm a.jsonl; vlm eval models/vlm_dino d.jsonl --metrics exact,digits --max-tokens 1 -o a.jsonl --resume >two; cmp a.jsonl whole.jsonl && cmp one two
$ vlm eval models/vlm_dino d.jsonl --metrics exact,digits --max-tokens 1 -o a.jsonl --resume --limit 1 | head -1
! vlm: a.jsonl: samples that have their answers: 1
| samples     1 of d.jsonl
$ vlm eval models/vlm_dino d.jsonl --metrics exact,digits --max-tokens 2 -o a.jsonl --resume
! vlm: a.jsonl:1: was answered by another model, of other data or with other options; name another file with -o, or give --force to begin again
= 1
$ sed '$d' d.jsonl >shorter.jsonl; vlm eval models/vlm_dino shorter.jsonl --metrics exact,digits --max-tokens 1 -o a.jsonl --resume
! vlm: a.jsonl:1: was answered by another model, of other data or with other options; name another file with -o, or give --force to begin again
= 1
$ vlm eval models/vlm_dino_bf16 d.jsonl --metrics exact,digits --max-tokens 1 -o a.jsonl --resume
! vlm: a.jsonl:1: was answered by another model, of other data or with other options; name another file with -o, or give --force to begin again
= 1
$ head -1 whole.jsonl >>a.jsonl; vlm eval models/vlm_dino d.jsonl --metrics exact,digits --max-tokens 1 -o a.jsonl --resume
! vlm: a.jsonl:5: answers sample 1 a second time; give --force to begin again
= 1
$ echo junk >a.jsonl; vlm eval models/vlm_dino d.jsonl --metrics exact,digits --max-tokens 1 -o a.jsonl --resume
! vlm: a.jsonl:1: is not valid JSON: invalid token near 'junk', column 4; mend the line
= 1
$ head -1 whole.jsonl | sed 's/"exact":1.0/"exact":"x"/' >a.jsonl; vlm eval models/vlm_dino d.jsonl --metrics exact,digits --max-tokens 1 -o a.jsonl --resume
! vlm: a.jsonl:1: has no score of exact; give --force to begin again
= 1
$ mkdir folder; vlm eval models/vlm_dino d.jsonl -o folder --resume
! vlm: folder: cannot write: Is a directory; check the file and its disk
= 1
$ vlm eval models/vlm_dino d.jsonl -o nowhere/a.jsonl
! vlm: nowhere/a.jsonl: cannot write: No such file or directory; check the path
= 1
$ vlm eval models/vlm_dino d.jsonl --metrics exact --max-tokens 1 -o /dev/full --resume
! vlm: /dev/full: is no regular file; name a file
= 1
$ mkfifo fifo; vlm eval models/vlm_dino d.jsonl -o fifo --resume
! vlm: fifo: is no regular file; name a file
= 1

A stop keeps what is answered, and so does a kill.
$ for i in $(seq 20000); do echo '{"texts":[{"user":"What?","assistant":"b"}]}'; done >many.jsonl; vlm eval models/vlm_dino many.jsonl --metrics exact,loss --limit 300 -o m.jsonl --quiet --json >whole
$ vlm eval models/vlm_dino many.jsonl --metrics exact,loss -o s.jsonl --quiet 2>said & p=$!; until [ -s s.jsonl ]; do sleep 0.01; done; kill -INT $p; wait $p; code=$?; sed 's/sample [0-9]* of/sample N of/' said; exit $code
| vlm: stopped at sample N of 20000; --resume goes on
= 130
$ [ $(wc -l <s.jsonl) -lt 20000 ] && vlm eval models/vlm_dino many.jsonl --metrics exact,loss --limit 300 -o s.jsonl --resume --quiet --json | cmp - whole
$ vlm eval models/vlm_dino many.jsonl --metrics exact,loss -o k.jsonl --quiet & until [ -s k.jsonl ]; do sleep 0.01; done; kill -KILL $!; wait $!; [ $? = 137 ]
!*
$ vlm eval models/vlm_dino many.jsonl --metrics exact,loss --limit 300 -o k.jsonl --resume --quiet --json | cmp - whole
$ vlm eval models/vlm_dino many.jsonl --metrics exact -o t.jsonl --quiet 2>/dev/null & until [ -s t.jsonl ]; do sleep 0.01; done; vlm eval models/vlm_dino many.jsonl --metrics exact -o t.jsonl --resume; kill $!; wait
! vlm: t.jsonl: is being written by another program; wait for it or name another file

Bad samples are named, counted and left out.
$ echo '{"images":["images/nowhere.png"],"texts":[{"user":"Read.","assistant":"1"}]}' >bad.jsonl; echo junk >>bad.jsonl; echo '{"images":["../up.png"],"texts":[{"user":"Read.","assistant":"1"}]}' >>bad.jsonl; echo '{"texts":[{"user":"Read."}]}' >>bad.jsonl; echo '{"texts":[{"user":"Read."}],"answers":["b"]}' >>bad.jsonl
$ vlm eval models/vlm_dino bad.jsonl --metrics exact --max-tokens 1
! vlm: bad.jsonl:1: warning: missing_image: image images/nowhere.png: cannot open: No such file or directory; check the path
! vlm: bad.jsonl:2: warning: bad_json: is not valid JSON: invalid token near 'junk', column 4; mend the line
! vlm: bad.jsonl:3: warning: bad_path: image ../up.png has .. in its path; write it relative to --data-root, a folder above it
! vlm: bad.jsonl:4: warning: no_assistant: has no answer to compare with; give the last turn its assistant, or answers
| samples     1 of bad.jsonl
| bad         4 left out: 1 missing_image 1 bad_json 1 bad_path 1 no_assistant
| 
| metric    mean  95 % from      to  samples
| exact   0.00 %     0.00 %  0.00 %        1
$ vlm eval models/vlm_dino bad.jsonl --metrics exact --max-tokens 1 --quiet --json
| {"samples":1,"loss":null,"perplexity":null,"metrics":{"exact":{"mean":0.0,"low":0.0,"high":0.0,"samples":1}},"bad":[{"file":"bad.jsonl","row":"1","code":"missing_image","reason":"image images/nowhere.png: cannot open: No such file or directory; check the path"},{"file":"bad.jsonl","row":"2","code":"bad_json","reason":"is not valid JSON: invalid token near 'junk', column 4; mend the line"},{"file":"bad.jsonl","row":"3","code":"bad_path","reason":"image ../up.png has .. in its path; write it relative to --data-root, a folder above it"},{"file":"bad.jsonl","row":"4","code":"no_assistant","reason":"has no answer to compare with; give the last turn its assistant, or answers"}]}
$ head -4 bad.jsonl >all.jsonl; vlm eval models/vlm_dino all.jsonl --quiet
! vlm: all.jsonl: has no good sample among 4; each is warned of with its reason
= 1
$ vlm eval models/vlm_dino d.jsonl --metrics exact --max-tokens 1 --context 27 --json | grep -o '"code":"too_long"'
! vlm: d.jsonl:1: warning: too_long: needs 33 positions, but the context has 27; use fewer or smaller images (--max-image-tokens), a shorter text or a longer --context
| "code":"too_long"

What else it says
$ echo '{"texts":[{"user":"What?","assistant":"b"}],"answers":["b","c"],"choices":["x","y"]}' >few.jsonl; vlm eval models/vlm_dino few.jsonl --metrics vqa,choice --max-tokens 1
! vlm: vqa: samples with 2 or 3 references: 1; there the right answer scores 1/3 or 2/3, it is made for 10
| samples     1 of few.jsonl
| 
| metric                 mean  95 % from        to  samples
| vqa                 16.67 %    16.67 %   16.67 %        1
| choice             100.00 %   100.00 %  100.00 %        1
| choice_likelihood    0.00 %     0.00 %    0.00 %        1
$ mkdir flat; cp images/rgb_64x48.png flat/a.png; printf 0 >flat/a.txt; vlm eval models/vlm_dino flat --metrics exact --max-tokens 1 | head -1
| samples     1 of flat
$ vlm eval models/llama few.jsonl --metrics exact --max-tokens 1 | head -1
| samples     1 of few.jsonl
$ vlm eval models/llama d.jsonl
! vlm: models/llama: is a language model and sees no images; make a VLM of it with vlm new
= 1
$ vlm eval models/dinov3_s d.jsonl
! vlm: models/dinov3_s: has no language model; name a folder that has one
= 1
$ vlm eval models/vlm_dino nowhere.jsonl
! vlm: nowhere.jsonl: cannot open: No such file or directory; check the path
= 1
$ vlm eval models/vlm_dino
! vlm: eval: an argument is missing; usage: vlm eval MODEL DATA
= 2
$ vlm eval models/vlm_dino ''
! vlm: eval: DATA is empty; usage: vlm eval MODEL DATA
= 2
$ vlm eval models/vlm_dino d.jsonl more
! vlm: eval: "more" is one argument too many; usage: vlm eval MODEL DATA
= 2
$ vlm eval models/vlm_dino d.jsonl --metrics exakt
! vlm: --metrics: "exakt" is not known; did you mean exact?
= 2
$ vlm eval models/vlm_dino d.jsonl --metrics exact,bleu-score-of-corpus
! vlm: --metrics: "bleu-score-of-corpus" is not known; give some of exact, anls, relaxed, vqa, digits, choice, choice_likelihood, loss, with commas between
= 2
$ vlm eval models/vlm_dino d.jsonl --metrics ,
! vlm: --metrics: "" is not known; give some of exact, anls, relaxed, vqa, digits, choice, choice_likelihood, loss, with commas between
= 2
$ vlm eval models/vlm_dino d.jsonl --resume
! vlm: --resume: goes on behind the answers of a file; name it with -o
= 2
$ vlm eval models/vlm_dino d.jsonl --resume --force -o a.jsonl
! vlm: --resume: keeps what --force would replace; give one of them
= 2
$ vlm eval models/vlm_dino d.jsonl --limit 0
! vlm: --limit: 0 is out of range; give 1 to 1073741824
= 2
