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
| exact   91.18 %    89.65 %  92.50 %     1440
| digits  97.80 %    97.41 %  98.16 %     1440
| 
| group       samples     exact    digits
| cell            120   81.67 %   81.67 %
| count           120  100.00 %  100.00 %
| largest         120   91.67 %   91.67 %
| read           1080   91.20 %   98.20 %
| read/1          120   98.33 %   98.33 %
| read/2          120   97.50 %   98.75 %
| read/3          120   93.33 %   97.50 %
| read/4          120   97.50 %   99.38 %
| read/5          120   95.00 %   99.00 %
| read/6          120   86.67 %   97.08 %
| read/7           60   91.67 %   98.81 %
| read/8           60   90.00 %   98.54 %
| read/9           60   78.33 %   97.22 %
| read/10          60   85.00 %   98.33 %
| read/11          60   88.33 %   98.94 %
| read/12          60   71.67 %   97.36 %
