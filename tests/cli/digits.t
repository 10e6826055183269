The model that is shipped: what README shows, and the table of models/digits/README.md.

$ ln -s $ROOT/models $ROOT/examples .; for p in column table strip; do vlm ask models/digits -i examples/digits/$p.png "Read the number." --quiet; done
| 32328
| 246784
| 877694975
$ vlm ask models/digits -i examples/digits/table.png "How many digits are there?" --quiet
| 6

held-out digits: no other build, instruction set or number of threads reads them otherwise
$ vlm demo-data -o data --seed 1 --train 1 --held-out 1440 --quiet >/dev/null; vlm eval models/digits data/heldout.jsonl --metrics exact,digits --max-tokens 16 --quiet | grep -vE '^(cell|count|largest)/'
| samples     1440 of data/heldout.jsonl
| 
| metric     mean  95 % from       to  samples
| exact   92.99 %    91.66 %  94.24 %     1440
| digits  98.23 %    97.88 %  98.55 %     1440
| 
| group       samples     exact    digits
| cell            120   84.17 %   84.17 %
| count           120  100.00 %  100.00 %
| largest         120   95.83 %   95.83 %
| read           1080   92.87 %   98.52 %
| read/1          120   99.17 %   99.17 %
| read/2          120   99.17 %   99.58 %
| read/3          120   95.83 %   98.61 %
| read/4          120   98.33 %   99.58 %
| read/5          120   95.83 %   99.17 %
| read/6          120   87.50 %   97.78 %
| read/7           60   98.33 %   99.76 %
| read/8           60   91.67 %   98.54 %
| read/9           60   81.67 %   97.78 %
| read/10          60   83.33 %   97.83 %
| read/11          60   83.33 %   98.48 %
| read/12          60   81.67 %   97.92 %

demo-data: the seed decides every byte, whatever the size of another part
$ vlm demo-data -o a --train 40 --held-out 24 --json --quiet
|*
$ ls a a/singles a/train a/heldout | grep -c png
| 74
$ vlm demo-data examples/digits/digits.png -o b --train 40 --held-out 24 --quiet >/dev/null; diff -r a b
$ vlm demo-data -o c --train 40 --held-out 1 --quiet >/dev/null; diff -r a/train c/train && diff a/train.jsonl c/train.jsonl
$ vlm demo-data -o d --seed 1 --train 40 --held-out 24 --quiet >/dev/null; cmp -s a/train.jsonl d/train.jsonl
= 1
held-out samples go round: reading 1 to 6 and, three at a time, 7 to 12 digits, then each other question
$ sed 's/{"id":"\([^"]*\)".*/\1/' a/heldout.jsonl | paste -sd ' '
| read/1/0 read/2/1 read/3/2 read/4/3 read/5/4 read/6/5 read/7/6 read/8/7 read/9/8 count/1/9 cell/1/10 largest/1/11 read/1/12 read/2/13 read/3/14 read/4/15 read/5/16 read/6/17 read/10/18 read/11/19 read/12/20 count/2/21 cell/2/22 largest/2/23
$ vlm demo-data
! vlm: --output: is missing; say with -o which folder to make
= 2
$ vlm demo-data -o a
! vlm: a: exists already; name another folder or give --force to replace it
= 1
$ vlm demo-data -o a --train 1 --held-out 1 --force --quiet >/dev/null; ls a/singles a/train a/heldout | grep -c png
| 3
$ touch a/train/notes.md; vlm demo-data -o a --train 1 --force
! vlm: a/train: holds notes.md, which this program does not write; no folder with such a file is replaced: move it away
= 1
$ vlm demo-data nowhere.png -o e
! vlm: nowhere.png: cannot open: No such file or directory; check the path
= 1
$ vlm demo-data examples/cat.jpg -o e
! vlm: examples/cat.jpg: is no sheet of digits, which has 400 x 320 pixels; the sheet is examples/digits/digits.png of the source, tools/make_digits.py makes it
= 1
$ vlm demo-data -o e --train 0
! vlm: --train: 0 is out of range; give 1 to 1000000
= 2
$ vlm demo-data -o no/such/folder --train 1
! vlm: no/such/folder: cannot make the folder: No such file or directory; check the path
= 1
$ test -e e -o -e no
= 1
