vlm plot: what it says, what it refuses, and what stands in the picture.

$ row() { printf '{"step":%d,"loss":%s,"grad_norm":1.5,"lr":{"vision":1e-4,"language":1e-4,"projector":5e-3},"samples":4,"tokens":900,"labels":30,"images":4,"patches":800,"ms":90,"skipped":%s}\n' "$1" "$2" "${3:-false}"; }; mkdir a b empty && : >empty/metrics.jsonl; for i in {1..60}; do row $i $((90 - i)).5; [ $((i % 20)) = 0 ] && echo "{\"step\":$i,\"val_loss\":$((70 - i)).25,\"val_labels\":99}"; done >a/metrics.jsonl; { row 1 7; row 2 null true; row 3 3.25; } >b/metrics.jsonl

one run, several
$ vlm plot a -o a.svg
| run  updates  skipped  last loss  best validation  at step
| a         60        0    30.5000          10.2500       60
| a.svg
$ vlm plot a b/ empty -o all.svg --json
| {"path":"all.svg","runs":[{"path":"a","updates":60,"steps":60,"skipped":0,"last_loss":30.5,"best_val_loss":10.25,"best_val_step":60},{"path":"b/","updates":3,"steps":3,"skipped":1,"last_loss":3.25,"best_val_loss":null,"best_val_step":null},{"path":"empty","updates":0,"steps":0,"skipped":0,"last_loss":null,"best_val_loss":null,"best_val_step":null}]}
! vlm: empty/metrics.jsonl: has no rows yet
$ vlm plot a b empty -o again.svg --quiet >/dev/null; cmp all.svg again.svg
$ ls
| a
| a.svg
| again.svg
| all.svg
| b
| empty

the picture: a page of its own, five panels, a smooth line over a thin one where there are many values, gaps, crosses, a ring
$ grep -cE 'href|<script|<image|url\(|@import|<!' all.svg; grep -o '^<svg xmlns="http://www.w3.org/2000/svg" width="1000" height="[0-9]*"' all.svg; tail -1 all.svg
| 0
| <svg xmlns="http://www.w3.org/2000/svg" width="1000" height="952"
| </svg>
= 0
$ grep -o '<text class="t"[^>]*>[^<]*' all.svg | sed 's/.*>//'
| Training loss
| Validation loss
| Gradient norm
| Speed
| Learning rate
$ grep -c prefers-color-scheme:dark all.svg; grep -c 'class="ring"' all.svg; grep -c 'class="x s1"' all.svg; grep -c 'class="raw s0"' all.svg; grep -c '>no validation<' all.svg
| 1
| 1
| 1
| 3
| 0
= 1
$ vlm plot b -o b.svg --quiet >/dev/null; grep -c '>no validation<' b.svg; grep -c 'class="raw' b.svg; grep -oE 'class="line s0" d="M[0-9.]+ [0-9.]+h0M[0-9.]+ [0-9.]+h0"' b.svg | wc -l
| 1
| 0
| 1
$ grep -oE '<text class="n muted e" x="[0-9]*"[^>]*>[^<]*' a.svg | sed 's/.*>//' | paste -sd' '
| thin: each update, thick: smoothed 30 40 50 60 70 80 90 ring: best 10 20 30 40 50 1.4 1.5 1.6 0 2k 4k 6k 8k 10k 1e-4 2e-4 5e-4 0.001 0.002 0.005
$ mkdir big; for i in {1..20000}; do echo "{\"step\":$i,\"loss\":$((i % 7 + 1))}"; done >big/metrics.jsonl; vlm plot big -o big.svg --json; [ $(wc -c <big.svg) -lt 90000 ]; echo $?
| {"path":"big.svg","runs":[{"path":"big","updates":20000,"steps":20000,"skipped":0,"last_loss":2.0,"best_val_loss":null,"best_val_step":null}]}
| 0

names come from outside
$ mkdir -p 'x<y>&"z' one/run two/run 'a very long name of a run that says everything about it and then something more'; for d in 'x<y>&"z' one/run two/run a\ very*; do cp b/metrics.jsonl "$d"; done; printf 'bad\xff\x01' | { read -r n; mkdir "$n"; cp b/metrics.jsonl "$n"; }
$ vlm plot 'x<y>&"z' one/run two/run a\ very* bad* -o names.svg --quiet >/dev/null; grep -oE '<text class="" [^>]*>[^<]*' names.svg | sed 's/.*">//'
| x&lt;y&gt;&amp;&quot;z
| one/run
| two/run
| a very long name of a run th… it and then something more
| bad��
$ cd a && vlm plot . -o ../dot.svg --quiet >/dev/null; grep -c '<text class="h"[^>]*>a</text>' ../dot.svg
| 1

a run that is being written, was resumed, or was written by Python
$ mkdir torn && printf '{"step":1,"loss":2}\n{"step":2,"lo' >torn/metrics.jsonl; vlm plot torn -o torn.svg
| run   updates  skipped  last loss  best validation  at step
| torn        1        0     2.0000                -        -
| torn.svg
! vlm: torn/metrics.jsonl: the last line is not whole, as in a run that is being written; it is left out
$ mkdir whole && printf '\n{"step":1,"loss":2}\r\n{"step":2,"loss":1}' >whole/metrics.jsonl; vlm plot whole -o whole.svg --json
| {"path":"whole.svg","runs":[{"path":"whole","updates":2,"steps":2,"skipped":0,"last_loss":1.0,"best_val_loss":null,"best_val_step":null}]}
$ mkdir back && for i in 1 2 3 4 3 4; do echo "{\"step\":$i,\"loss\":$i}"; echo "{\"step\":$i,\"val_loss\":$i}"; done >back/metrics.jsonl; vlm plot back -o back.svg
| run   updates  skipped  last loss  best validation  at step
| back        4        0     4.0000           1.0000        1
| back.svg
! vlm: back/metrics.jsonl: 4 rows are of steps that were done again; the later ones count
$ mkdir nan && printf '{"step":1,"loss":NaN,"note":"NaN \\" Infinity","grad_norm":-Infinity}\n{"step":2,"loss":Infinity,"skipped":true}\n{"step":2,"val_loss":NaN}\n' >nan/metrics.jsonl; vlm plot nan -o nan.svg --json; grep -ciE '"[^"]*(inf|nan)[ "]' nan.svg
| {"path":"nan.svg","runs":[{"path":"nan","updates":2,"steps":2,"skipped":1,"last_loss":null,"best_val_loss":null,"best_val_step":null}]}
| 0
= 1
$ mkdir wild && printf '{"step":1,"loss":1e308}\n{"step":2,"loss":-1e308}\n{"step":9007199254740992,"loss":1e-308,"grad_norm":0,"lr":{"vision":0},"tokens":0,"ms":0}\n' >wild/metrics.jsonl; vlm plot wild -o wild.svg --quiet >/dev/null; grep -ciE '"[^"]*(inf|nan)[ "]' wild.svg
| 0
= 1

refused
$ vlm plot
! vlm: plot: RUN is missing; usage: vlm plot RUN...
= 2
$ vlm plot a
! vlm: --output: is missing; say with -o where the result goes
= 2
$ vlm plot a -o loss.png
! vlm: --output: loss.png does not end in .svg, which is what it would hold; name a .svg file
= 2
$ vlm plot a '' -o x.svg
! vlm: plot: RUN is empty; usage: vlm plot RUN...
= 2
$ vlm plot a b a/ -o x.svg
! vlm: a/: is the same folder as a; name it once
= 2
$ vlm plot $(printf 'r%d ' {1..61}) -o x.svg
! vlm: plot: is given 61 runs, of which nobody would see one; name up to 60
= 2
$ vlm plot a -o a.svg
! vlm: a.svg: exists already; name another file or give --force to replace it
= 1
$ vlm plot a none -o x.svg
! vlm: none: does not exist; name the folder of a run, which vlm train -o made
= 1
$ vlm plot a/metrics.jsonl -o x.svg --json
| {"error":{"code":"io","where":"a/metrics.jsonl","message":"is no folder; name the folder of a run, which vlm train -o made"}}
! vlm: a/metrics.jsonl: is no folder; name the folder of a run, which vlm train -o made
= 1
$ vlm plot $ROOT/tests/golden/models/llama -o x.svg 2>&1 | sed "s|$ROOT/||"
| vlm: tests/golden/models/llama: is no run: it holds no metrics.jsonl; name a folder that vlm train -o made
$ mkdir bad && printf '{"step":1,"loss":2}\n{"step":2,"lo\n{"step":3,"loss":2}\n' >bad/metrics.jsonl; vlm plot bad -o a.svg --force; echo $?; grep -c '<text class="t"' a.svg
| 1
| 5
! vlm: bad/metrics.jsonl: line 2: is not valid JSON; get the file again, or mend or remove the line
$ printf '{"step":1,"loss":"2"}\n' >bad/metrics.jsonl; vlm plot bad -o x.svg
! vlm: bad/metrics.jsonl: line 1: key loss is a string, expected a number; mend the file
= 1
$ printf '{"step":1.5,"loss":2}\n' >bad/metrics.jsonl; vlm plot bad -o x.svg
! vlm: bad/metrics.jsonl: line 1: key step is a number, expected an integer; mend the file
= 1
$ printf '{"loss":2}\n' >bad/metrics.jsonl; vlm plot bad -o x.svg
! vlm: bad/metrics.jsonl: line 1: has no key step; get the file again
= 1
$ printf '{"step":2}\n' >bad/metrics.jsonl; vlm plot bad -o x.svg
! vlm: bad/metrics.jsonl: line 1: has neither loss nor val_loss; get the file again or mend it
= 1
$ printf '[1,2]\n' >bad/metrics.jsonl; vlm plot bad -o x.svg
! vlm: bad/metrics.jsonl: line 1: is an array where an object with the key step is expected; mend the file
= 1
$ printf '{"step":1,"loss":2,"lr":3}\n' >bad/metrics.jsonl; vlm plot bad -o x.svg
! vlm: bad/metrics.jsonl: line 1: is an integer where an object with the key vision is expected; mend the file
= 1
$ ls | grep -cE 'x.svg|tmp-'
| 0
= 1
