The commands on the golden models: what they print, and how they fail. Numbers of features are golden.t's business.

$ ln -s $ROOT/tests/golden/models $ROOT/tests/golden/images $ROOT/tests/golden/cases .

tokenize
$ vlm tokenize models/llama 'Hello <|im_end|> world'
| 42 71 78 78 81 223 2 275 279 78 70
$ vlm tokenize models/llama 'Hello <|im_end|> world' --literal
| 42 71 78 78 81 223 30 94 75 79 65 71 80 70 94 32 275 279 78 70
$ vlm tokenize models/llama 'a 42' --json
| {"ids":[67,223,22,20],"pieces":["a","Ġ","4","2"]}
$ vlm tokenize models/gemma3 'Hi there'
| 2 80 299 350 356 361 295
$ vlm tokenize models/gemma3 'Hi there' --no-special
| 80 299 350 356 361 295
$ printf 'Hi there' | vlm tokenize models/gemma3 --file -
| 2 80 299 350 356 361 295
$ vlm tokenize models/vlm_dino --decode '320,1 2, 72'
| <|image|><|im_start|><|im_end|>f
$ vlm tokenize models/vlm_dino --decode '320 1 72' --skip-special --json
| {"text":"f"}
$ vlm tokenize models/vlm_dino '<|im_end|>' --chat --json
| {"ids":[1,87,85,267,201,30,94,75,79,65,71,80,70,94,32,2,201,1,67,85,85,75,286,312,86,201],"pieces":["<|im_start|>","u","s","er","Ċ","<","|","i","m","_","e","n","d","|",">","<|im_end|>","Ċ","<|im_start|>","a","s","s","i","st","an","t","Ċ"]}
$ vlm tokenize models/llama ''
| 
$ vlm tokenize models/llama
! vlm: tokenize: has no text; give one of TEXT, --file F and --decode IDS
= 2
$ vlm tokenize models/llama a --decode 1
! vlm: tokenize: is asked for two things; give one of TEXT, --file F and --decode IDS
= 2
$ vlm tokenize models/llama --decode 1,x
! vlm: --decode: "x" is not a whole number; give 0 to 16777216
= 2
$ vlm tokenize models/llama --decode 0000000000000000000000000000000000000042
| H
$ vlm tokenize models/llama --decode 00000000000000000000000000000000x
! vlm: --decode: "00000000000000000000000000000000x" is not a whole number; give 0 to 16777216
= 2
$ vlm tokenize models/llama --decode 99999
! vlm: models/llama/tokenizer.json: id 99999 has no token (the largest is 319); check the ids
= 1
$ vlm tokenize models/llama --decode ' , '
! vlm: --decode: holds no ids; write them as 1,2,3
= 2
$ vlm tokenize models/llama --decode 1 --literal
! vlm: --decode: does not go with --chat, --literal or --no-special; leave them out
= 2
$ vlm tokenize models/llama a --skip-special
! vlm: --skip-special: is for --decode; --no-special leaves BOS out of ids
= 2
$ vlm tokenize models/dinov3_s hi
! vlm: models/dinov3_s: has no tokenizer.json, nor tokenizer/tokenizer.json; get the folder again
= 1
$ vlm tokenize models/llama --file nowhere
! vlm: nowhere: cannot open: No such file or directory; check the path
= 1
$ printf 'a\377' | vlm tokenize models/llama --file -
! vlm: standard input: byte 1 is not UTF-8; convert the text
= 1
$ vlm tokenize models/llama --file - <&-
! vlm: standard input: cannot read: Bad file descriptor; check the file and its disk
= 1
$ printf 'a\0b' | vlm tokenize models/vlm_dino --file - --chat
! vlm: standard input: holds a NUL, which no turn can; leave --chat out or mend the text
= 1

plan: the vectors of the size rule, from headers alone
$ set -o pipefail; vlm plan models/vlm_dino images/rgb_96x32.png images/rgb_1x1.png images/exif6.jpg | sed 's/ *[0-9.]* [kMG]B/ B/g; s/ *memory$//'
| image                 size WxH  EXIF  resized WxH  patches HxW  grid HxW  tokens  stretch      GFLOP
| images/rgb_96x32.png     96x32     1        64x32          4x8       2x4       8   -33.3%   0.002444 B
| images/rgb_1x1.png         1x1     1        16x16          2x2       1x1       1    +0.0%  0.0004771 B
| images/exif6.jpg         15x24     6        32x32          4x4       2x2       4   +60.0%    0.00127 B
| 
| total    3 images, 13 tokens, 0.004191 GFLOP
| memory B weights + B images + B session = B
| context  13 of 256 positions in images
$ set -o pipefail; vlm plan models/vlm_dino images/rgb_96x32.png --json | sed 's/"memory".*},//; s/"memory_bytes":[0-9]*/M/'
| {"images":[{"path":"images/rgb_96x32.png","width":96,"height":32,"format":"PNG","exif":1,"resized":[32,64],"grid":[2,4],"tokens":8,"patches":[4,8],"stretch":0.666666667,"gflop":0.002444288,M}],"totals":{"images":1,"tokens":8,"gflop":0.002444288},"context":256,"broken_limits":[]}
$ set -o pipefail; vlm plan models/vlm_siglip_up images/rgb_53x37.png | sed 's/ *[0-9.]* [kMG]B/ B/g; s/ *memory$//'
| image                 size WxH  EXIF  resized WxH  patches HxW      grid HxW  tokens  stretch     GFLOP
| images/rgb_53x37.png     53x37     1        32x32          4x4  2x2 tiles, 5      20   -30.2%  0.003505 B
| 
| total    1 image, 20 tokens, 0.003505 GFLOP
| memory B weights + B images + B session = B
| context  20 of 256 positions in images
$ set -o pipefail; vlm plan models/llama | sed 's/ *[0-9.]* [kMG]B/ B/g; s/ *memory$//'
| memory B weights + B session = B
$ set -o pipefail; vlm plan models/llama images/rgb_1x1.png | sed 's/ *[0-9.]* [kMG]B/ B/g; s/ *memory$//'
! vlm: models/llama: has no vision encoder; name a folder that has one
= 1
$ set -o pipefail; vlm plan models/vlm_dino images/rgb_1x1.png nowhere.png | sed 's/ *[0-9.]* [kMG]B/ B/g; s/ *memory$//'
| image               size WxH  EXIF  resized WxH  patches HxW  grid HxW  tokens  stretch      GFLOP
| images/rgb_1x1.png       1x1     1        16x16          2x2       1x1       1    +0.0%  0.0004771 B
| 
| total    1 image, 1 tokens, 0.0004771 GFLOP
| memory B weights + B images + B session = B
| context  1 of 256 positions in images
! vlm: nowhere.png: cannot open: No such file or directory; check the path
= 1
$ set -o pipefail; vlm plan models/vlm_dino nowhere.png --json | sed 's/"memory".*},//; s/"memory_bytes":[0-9]*/M/'
| {"images":[{"path":"nowhere.png","error":{"code":"io","where":"nowhere.png","message":"cannot open: No such file or directory; check the path"}}],"totals":{"images":0,"tokens":0,"gflop":0.0},"context":256,"broken_limits":["images"]}
! vlm: plan: 1 of 1 images cannot be taken; each has its reason
= 1
$ set -o pipefail; vlm plan models/dinov3_s images/rgb_96x32.png --max-pixels 100 | sed 's/ *[0-9.]* [kMG]B/ B/g; s/ *memory$//'
| memory B weights
! vlm: images/rgb_96x32.png: is 96×32 pixels, over the limit of 100 in all; make it smaller or raise --max-pixels
= 1
$ set -o pipefail; vlm plan models/dinov3_s images/rgb_96x32.png --max-side 95 | sed 's/ *[0-9.]* [kMG]B/ B/g; s/ *memory$//'
| memory B weights
! vlm: images/rgb_96x32.png: is 96×32 pixels, over the limit of 95 a side; make it smaller or raise --max-side
= 1
$ set -o pipefail; vlm plan models/dinov3_s images/rgb_96x32.png --max-bytes 10 | sed 's/ *[0-9.]* [kMG]B/ B/g; s/ *memory$//'
| memory B weights
! vlm: images/rgb_96x32.png: has 7771 bytes, over the limit of 10; check that it is the right file, or raise --max-bytes
= 1
$ set -o pipefail; vlm plan models/vlm_dino images/rgb_40x40.png --context 5 | sed 's/ *[0-9.]* [kMG]B/ B/g; s/ *memory$//'
| image                 size WxH  EXIF  resized WxH  patches HxW  grid HxW  tokens  stretch     GFLOP
| images/rgb_40x40.png     40x40     1        48x48          6x6       3x3       9    +0.0%  0.002759 B
| 
| total    1 image, 9 tokens, 0.002759 GFLOP
| memory B weights + B images + B session = B
| context  9 of 5 positions in images
! vlm: models/vlm_dino: an image of 9 tokens leaves no room in a context of 5; use --max-size or --max-image-tokens
= 1
$ vlm plan models/vlm_dino images/rgb_1x1.png images/rgb_1x1.png --max-images 1 --json | grep -o '"broken_limits".*'
| "broken_limits":["max-images"]}
! vlm: 2 images are over the limit of 1 in a sample; use fewer or raise --max-images
$ printf 'GIF89a\1\0\1\0\0\0\0;' >a.gif; set -o pipefail; vlm plan models/vlm_dino a.gif | sed 's/ *[0-9.]* [kMG]B/ B/g; s/ *memory$//'
| memory B weights + B session = B
| context  0 of 256 positions in images
! vlm: a.gif: is GIF, which cannot be read; convert it to PNG or JPEG
= 1
$ head -c 100 images/j444.jpg >cut.jpg; set -o pipefail; vlm plan models/vlm_dino cut.jpg | sed 's/ *[0-9.]* [kMG]B/ B/g; s/ *memory$//'
| memory B weights + B session = B
| context  0 of 256 positions in images
! vlm: cut.jpg: is a damaged JPEG: Premature end of JPEG file; get the file again or save it anew
= 1
$ vlm plan models/vlm_dino - <images/rgb_96x32.png --json | grep -o '"path":"-","width":96,"height":32'
| "path":"-","width":96,"height":32
$ vlm plan models/vlm_dino - </dev/null 2>&1 >/dev/null
| vlm: standard input: is empty; get the file again
= 1
$ vlm plan models/vlm_dino - --max-bytes 3 <images/rgb_96x32.png 2>&1 >/dev/null
| vlm: standard input: has more than 3 bytes; check that it is the right file, or raise --max-bytes
= 1
$ vlm plan models/vlm_dino - -
! vlm: -: standard input can be read once; name a file for the others
= 2

inspect
$ vlm inspect models/dinov3_s
| model      models/dinov3_s: vision encoder (Hugging Face)
| vision     dinov3: width 32, 2 layers, 2 heads of 16, ffn 80 (gelu), patch 16, CLS, 4 registers
| weights    vision     44064 parameters, F32, 176.3 kB
|            all        44064 parameters, F32, 176.3 kB
| images     own rectangle, multiples of 16, long side at most 1024; bicubic; normalised: imagenet; a token is 16 x 16 pixels
$ vlm inspect models/vlm_dino
| model      models/vlm_dino: whole VLM (nanoVLM)
| vision     dinov3: width 32, 2 layers, 2 heads of 16, ffn 64 (silu, gated), patch 8, CLS, 4 registers
| projector  2 x 2 patches to a token, 128 to 24
| language   llama: width 24, 2 layers, 3 heads on 1 of 8, ffn 48 (silu), vocabulary 384 (tied)
| weights    vision     27840 parameters, F32, 111.4 kB
|            projector  3072 parameters, F32, 12.3 kB
|            language   19320 parameters, F32, 77.3 kB
|            all        50232 parameters, F32, 200.9 kB
| images     own rectangle, multiples of 16, long side at most 64; bicubic; normalised: imagenet; a token is 16 x 16 pixels
| tokens     337 ids, 20 special, bos 1 <|im_start|>, eos 2 <|im_end|>, pad 2 <|im_end|>, image 320 <|image|>, an answer ends at 2
| context    256 positions, chat template: chatml
$ vlm inspect models/gemma3_bf16
| model      models/gemma3_bf16: language model (Hugging Face)
| language   gemma3: width 24, 3 layers, 2 heads on 1 of 16, ffn 40 (gelu_tanh), vocabulary 420 (tied), window 12
| weights    language   26040 parameters, BF16, 52.1 kB
|            all        26040 parameters, BF16, 52.1 kB
| tokens     420 ids, 6 special, bos 2 <bos>, eos 1 <eos>, pad 0 <pad>, an answer ends at 1 5
| context    256 positions, chat template: gemma
$ vlm inspect models/vlm_siglip_up | grep images
| images     tiles of 16 x 16 and a global tile, long side always 32; bicubic; normalised: none; a token is 8 x 8 pixels
$ vlm inspect models/dinov3_p8 --tensors | sed -n '7,10p' | awk '{print $1, $2, $3, $4, $8, $9}'
| tensor dtype shape group NaN inf
| embeddings.cls_token F32 [1,1,32] vision 0 0
| embeddings.mask_token F32 [1,1,32] unused 0 0
| embeddings.patch_embeddings.bias F32 [32] vision 0 0
$ vlm inspect models/llama --json
| {"path":"models/llama","kind":"language model (Hugging Face)","parameters":{"language":{"count":32436,"bytes":129744,"dtype":"F32"},"all":{"count":32436,"bytes":129744,"dtype":"F32"}},"language":{"family":"llama","width":36,"layers":2,"heads":3,"kv_heads":1,"head":12,"ffn":64,"vocabulary":320,"activation":"silu","tied":true,"window":0,"positions":256},"tokens":{"bos":1,"eos":2,"pad":2,"stop":[2],"size":320,"special":[{"id":0,"text":"<|endoftext|>"},{"id":1,"text":"<|im_start|>"},{"id":2,"text":"<|im_end|>"}]},"context":256,"template":"chatml"}

Broken folders: every class of file names itself.
$ mkdir empty; vlm inspect empty
! vlm: empty: holds no config.json; name a MODEL folder that holds config.json and model.safetensors
= 1
$ touch empty/model-q4.gguf; vlm inspect empty
! vlm: empty/model-q4.gguf: is GGUF, which this version does not read; get the folder with safetensors that it was made from
= 1
$ vlm ask empty/model-q4.gguf hi
! vlm: empty/model-q4.gguf: is GGUF, which this version does not read; get the folder with safetensors that it was made from
= 1
$ touch empty/b.pth empty/a.pth; vlm inspect empty
! vlm: empty/a.pth: is a pickle, which can run code when it is read; save the model with safetensors
= 1
$ vlm inspect empty/b.pth
! vlm: empty/b.pth: is a pickle, which can run code when it is read; save the model with safetensors
= 1
$ touch empty/model.safetensors; vlm inspect empty
! vlm: empty: holds no config.json; name a MODEL folder that holds config.json and model.safetensors
= 1
$ vlm inspect empty/model.safetensors
! vlm: empty/model.safetensors: is a file; name a MODEL folder that holds config.json and model.safetensors
= 1
$ touch empty/tokenizer.model; vlm tokenize empty/tokenizer.model hi
! vlm: empty/tokenizer.model: is a SentencePiece model; save the tokenizer as tokenizer.json and name its folder
= 1
$ cp -r models/llama/ bad; echo '{' >bad/config.json; vlm inspect bad
! vlm: bad/config.json: is not valid JSON: string or '}' expected near end of file, line 2 column 0; get the file again or mend it
= 1
$ echo '{"model_type": "mamba"}' >bad/config.json; vlm inspect bad
! vlm: bad/config.json: model_type "mamba" is not supported; dinov3_vit, dinov2, dinov2_with_registers, siglip, siglip_vision_model, llama and gemma3_text are
= 1
$ sed 's/"hidden_size": 36/"hidden_size": 48/' models/llama/config.json >bad/config.json; vlm ask bad hi
! vlm: bad/model.safetensors: tensor model.embed_tokens.weight has shape [320,36], expected [320,48] from config.json; one of the two files is another model's
= 1
$ cp models/llama/config.json bad; truncate -s -4 bad/model.safetensors; vlm ask bad hi
! vlm: bad/model.safetensors: tensor model.norm.weight ends at byte 129744 of the data, but the file holds 129740: it is cut short; get the file again
= 1
$ cp models/llama/model.safetensors bad; printf '\377\377\377\377' | dd of=bad/model.safetensors bs=1 seek=$(($(stat -c %s bad/model.safetensors) - 4)) conv=notrunc status=none; vlm ask bad hi
! vlm: bad/model.safetensors: tensor model.norm.weight holds 1 NaN or infinite value; get the weights again or save them from a sound run
= 1
$ vlm inspect bad --tensors --quiet | awk 'NF == 9 && $2 == "F32" && $8 > 0 {print $1, $8, $9}'
| model.norm.weight 1 0
$ vlm inspect bad --tensors 2>&1 >/dev/null
| vlm: warning: bad: 1 values are NaN or infinite; commands that compute with them refuse the folder
$ cp models/llama/model.safetensors bad; echo '{}' >bad/tokenizer.json; vlm ask bad hi
! vlm: bad/tokenizer.json: has no model; get the file again
= 1
$ rm bad/tokenizer.json; touch bad/tokenizer.model; vlm ask bad hi
! vlm: bad/tokenizer.model: a SentencePiece model alone is not supported; save the tokenizer as tokenizer.json (AutoTokenizer(...).save_pretrained)
= 1
$ rm bad/model.safetensors; touch bad/pytorch_model.bin; vlm inspect bad
! vlm: bad/pytorch_model.bin: is a pickle, which can run code when it is read; save the model with safetensors (save_pretrained does)
= 1
$ cp -r models/llama/ chatless; sed -i 's/"chat_template"/"x"/' chatless/tokenizer_config.json; vlm ask chatless hi
! vlm: chatless: has no chat template; choose one with --template chatml|smollm2|gemma|none
= 1
$ mkdir chatless/tokenizer; mv chatless/tokenizer*.json chatless/tokenizer; echo '{% for m in messages %}{{ m.content }}{% endfor %}' >chatless/tokenizer/chat_template.jinja; vlm ask chatless hi
! vlm: chatless: its chat template is of a kind that is not known; choose one with --template chatml|smollm2|gemma|none
= 1

preprocess
$ vlm preprocess models/vlm_dino images/rgb_53x37.png -o p.npy
| p.npy: float32 [3,48,64]
$ vlm preprocess models/vlm_dino images/rgb_53x37.png -o u.npy --u8 --json
| {"path":"u.npy","dtype":"uint8","shape":[48,64,3]}
$ cmp u.npy cases/vlm_dino/image.0.u8.npy
$ vlm preprocess models/vlm_siglip_up images/rgb_53x37.png -o t.npy
| t.npy: float32 [5,3,16,16]
$ vlm preprocess models/vlm_dino images/rgb_53x37.png -o p.npy
! vlm: p.npy: exists already; name another file or give --force to replace it
= 1
$ vlm preprocess models/vlm_dino images/rgb_53x37.png -o p.npy --force
| p.npy: float32 [3,48,64]
$ vlm preprocess models/vlm_dino images/rgb_53x37.png
! vlm: --output: is missing; say with -o where the result goes
= 2
$ vlm preprocess models/vlm_dino images/rgb_53x37.png -o no/such/p.npy
! vlm: no/such/p.npy: cannot write: No such file or directory; check the path
= 1
$ ln -s /dev/null null.npy; vlm preprocess models/vlm_dino images/rgb_53x37.png -o null.npy --force
! vlm: null.npy: is no regular file; name a file
= 1
$ vlm preprocess models/vlm_dino images/rgb_53x37.png -o images
! vlm: --output: images does not end in .npy, which is what it would hold; name a .npy file
= 2
$ vlm preprocess models/vlm_dino images/rgb_53x37.png -o -
! vlm: --output: is -, but nothing is written to standard output here; name a file or folder
= 2
$ vlm preprocess models/llama images/rgb_53x37.png -o q.npy
! vlm: models/llama: has no vision encoder; name a folder that has one
= 1
$ vlm preprocess models/vlm_dino nowhere.png -o q.npy; test ! -e q.npy
! vlm: nowhere.png: cannot open: No such file or directory; check the path

features
$ vlm features models/dinov3_p8 images/rgb_53x37.png -o f.npy --prefix fp.npy --pca f.png --similar s.png --at 52,36 --quiet
| f.npy: float32 [5,7,32]
| fp.npy: float32 [1,32]
| f.png: 53x37
| s.png: 53x37
$ vlm features models/dinov3_p8 images/rgb_53x37.png images/rgb_1x1.png -o fs --pca fs --quiet; ls fs
| fs/rgb_53x37.npy: float32 [5,7,32]
| fs/rgb_53x37.png: 53x37
| fs/rgb_1x1.npy: float32 [1,1,32]
| fs/rgb_1x1.png: 1x1
| rgb_1x1.npy
| rgb_1x1.png
| rgb_53x37.npy
| rgb_53x37.png
$ cmp f.npy fs/rgb_53x37.npy
$ cmp f.png fs/rgb_53x37.png
$ vlm features models/dinov3_p8 images/rgb_53x37.png --pca t1.png --threads 1 --quiet && vlm features models/dinov3_p8 images/rgb_53x37.png --pca t3.png --threads 3 --quiet && cmp t1.png t3.png
| t1.png: 53x37
| t3.png: 53x37
$ vlm features models/dinov3_p8 images/rgb_53x37.png --similar s2.png --at 53,0
! vlm: --at: 53,0 lies outside images/rgb_53x37.png, which has 53x37 pixels; X is below the first, Y below the second
= 1
$ vlm features models/dinov3_p8 images/exif6.jpg --similar s2.png --at 16,22 --quiet
! vlm: --at: 16,22 lies outside images/exif6.jpg, which has 15x24 pixels; X is below the first, Y below the second
= 1
$ vlm features models/dinov3_p8 images/exif6.jpg --similar s3.png --at 22,16 --quiet
! vlm: --at: 22,16 lies outside images/exif6.jpg, which has 15x24 pixels; X is below the first, Y below the second
= 1
$ vlm features models/dinov3_p8 images/rgb_53x37.png --similar s4.png --at '1;2'
! vlm: --at: "1;2" is not X,Y; give two whole numbers
= 2
$ vlm features models/dinov3_p8 images/rgb_53x37.png --similar s4.png --at 1x,2
! vlm: --at: "1x" is not a whole number; give 0 to 1073741824
= 2
$ vlm features models/dinov3_p8 images/rgb_53x37.png --similar s4.png
! vlm: --at: is missing; --similar F.png and --at X,Y go together
= 2
$ vlm features models/dinov3_p8 images/rgb_53x37.png
! vlm: --output: is missing; say with -o, --prefix, --pca or --similar what to write
= 2
$ vlm features models/dinov3_p8 images/rgb_53x37.png ./images/rgb_53x37.png -o fs
! vlm: ./images/rgb_53x37.png: has the same name as images/rgb_53x37.png, their files would be one; give them to two calls
= 2
$ vlm features models/dinov3_p8 images/rgb_53x37.png -o same.npy --prefix same.npy
! vlm: same.npy: is named for two outputs; name two files or folders
= 2
$ vlm features models/dinov3_p8 images/rgb_53x37.png --pca x.jpg
! vlm: --pca: x.jpg does not end in .png, which is what it would hold; name a .png file
= 2
$ vlm features models/dinov3_p8 images/rgb_53x37.png -o f --prefix p.npy
! vlm: --output: f does not end in .npy, which is what it would hold; name a .npy file
= 2
$ vlm features models/dinov3_p8 images/rgb_53x37.png --pca -
! vlm: --pca: is -, but nothing is written to standard output here; name a file or folder
= 2
$ vlm features models/dinov3_p8 images/rgb_53x37.png nowhere.png -o halfway; test ! -e halfway
! vlm: nowhere.png: cannot open: No such file or directory; check the path
$ vlm features models/dinov3_p8 images/rgb_53x37.png --pca T.PNG --similar s5.png --at 3,3 2>&1 >/dev/null | sed 's/[0-9]* ms/N ms/g; s/[0-9.-]* to/N to/'
| vlm: s5.png: patch 0,0 (column, row); colours from cosine N to 1.000
| vlm: images/rgb_53x37.png: 5x7 patches; load N ms, encode N ms, draw N ms, write N ms
$ vlm features models/dinov3_p8 images/rgb_53x37.png -o f.npy
! vlm: f.npy: exists already; name another file or give --force to replace it
= 1
$ vlm features models/llama images/rgb_53x37.png -o g.npy
! vlm: models/llama: has no vision encoder; name a folder that has one
= 1

trace
$ vlm trace models/vlm_dino -i images/rgb_53x37.png --prompt hi -o tr --quiet | cut -d' ' -f1 | tr '\n' ' '; ls tr | tr '\n' ' '; echo
| stage image.0.u8 image.0.pixels image.0.prefix image.0.patches image.0.tokens ids embed hidden logits embed.npy hidden.npy ids.npy image.0.patches.npy image.0.pixels.npy image.0.prefix.npy image.0.tokens.npy image.0.u8.npy logits.npy trace.json 
$ tr -d ' \n' <tr/trace.json | grep -o '"images".*'
| "images":[{"path":"images/rgb_53x37.png","width":53,"height":37,"resized":[48,64],"grid":[3,4],"tokens":12,"patches":[6,8],"row":5}]}
$ vlm trace models/vlm_dino -i images/rgb_53x37.png --ids tr/ids.npy --against tr --json | grep -o '"compared".*'
| "compared":9,"failed":0,"tolerance":0.0002,"equal":true}
$ vlm trace models/vlm_dino -i images/rgb_53x37.png --ids tr/ids.npy --against tr --threads 1 --tolerance 0 | grep -c 'ok$'
| 9
$ rm tr/hidden.npy; vlm trace models/vlm_dino -i images/rgb_1x1.png --prompt hi --against tr | awk '{print $1, $NF}'
| stage error/tolerance
| image.0.u8 [48,64,3]
| image.0.pixels [3,48,64]
| image.0.prefix OVER
| image.0.patches [48,32]
| image.0.tokens [12,24]
| ids [30]
| embed [30,24]
| logits [30,384]
! vlm: tr: 8 of 8 stages differ; see the rows, or raise --tolerance
$ vlm trace models/vlm_dino --prompt hi --against tr 2>&1 | grep -c MISSING
| 5
$ mkdir none; vlm trace models/vlm_dino --prompt hi --against none
! vlm: none: holds no stage to compare; name a folder that vlm trace wrote
= 1
$ vlm trace models/vlm_dino --prompt hi --against nowhere
! vlm: nowhere: is not a folder; name one that vlm trace wrote
= 1
$ vlm trace models/vlm_dino --prompt hi -o tr
! vlm: tr: exists already; name another folder or give --force to replace it
= 1
$ vlm trace models/vlm_dino --prompt hi -o tr --force --quiet | wc -l
| 5
$ vlm trace models/dinov3_s --prompt hi -o t2
! vlm: models/dinov3_s: has no language model; leave --prompt and --ids out
= 1
$ vlm trace models/dinov3_s -o t2
! vlm: --image: is missing; give images with -i
= 2
$ vlm trace models/llama -o t2
! vlm: --prompt: is missing; give --prompt S or --ids F.npy
= 2
$ vlm trace models/llama -i images/rgb_1x1.png --prompt hi -o t2
! vlm: models/llama: has no vision encoder; name a folder that has one
= 1
$ vlm trace models/vlm_dino --ids p.npy -o t2
! vlm: p.npy: is not a list of ids; give int64 or int32 of shape (T)
= 1
$ vlm trace models/vlm_dino --ids tr/ids.npy --prompt x -o t2
! vlm: --ids: and --prompt are two texts; give one
= 2
$ vlm trace models/vlm_dino --prompt x
! vlm: --output: is missing; say with -o where the stages go, or --against what to compare with
= 2
$ test -z "$(ls | grep '^t2')"

ask
$ vlm ask models/vlm_dino -i images/rgb_53x37.png 'What is in this picture?' --max-tokens 3 --json --quiet | sed 's/"timings".*//; s/"text".*"ids"/"ids"/; s/\[[0-9,]*\],"finish/ids,"finish/'
| {"ids":ids,"finish_reason":"length","prompt_tokens":43,"completion_tokens":3,"images":[{"path":"images/rgb_53x37.png","width":53,"height":37,"resized":[48,64],"grid":[3,4],"tokens":12}],
$ vlm ask models/vlm_dino hi --max-tokens 3 --json | grep -o '"timings".*' | sed 's/:[0-9.e-]*/:N/g'
| "timings":N{"load_ms":N,"preprocess_ms":N,"encode_ms":N,"prefill_ms":N,"decode_ms":N,"decode_tok_per_s":N}}
$ vlm ask models/vlm_dino hi --max-tokens 3 --json --seed 7 --temperature 1 | grep -o '"ids":[^a-z]*' >a; vlm ask models/vlm_dino hi --max-tokens 3 --json --seed 7 --temperature 1 | grep -o '"ids":[^a-z]*' | cmp - a
$ for t in f32 f16 int8; do vlm ask models/vlm_dino hi --max-tokens 3 --json --kv $t | grep -o '"completion_tokens":[0-9]*'; done; vlm ask models/vlm_dino hi --max-tokens 3 --json | grep -o '"ids":[^a-z]*' >a; vlm ask models/vlm_dino hi --max-tokens 3 --json --kv f32 | grep -o '"ids":[^a-z]*' | cmp - a
| "completion_tokens":3
| "completion_tokens":3
| "completion_tokens":3
$ for t in f32 f16 int8; do vlm plan models/llama --kv $t --max-tokens 256 --json | grep -o '"session_bytes":[0-9]*' | grep -o '[0-9]*'; done | awk 'NR > 1 {print ($1 < last ? "less" : "not less")} {last = $1}'
| less
| less
$ vlm ask models/vlm_dino hi --kv int4
! vlm: --kv: "int4" is not known; give f32|f16|int8
= 2
$ vlm ask models/vlm_dino -i - 'hi' --max-tokens 1 --json <images/rgb_1x1.png | grep -o '"path":"[^"]*"'
| "path":"-"
$ echo hi | vlm ask models/vlm_dino - --max-tokens 1 --json | grep -o '"prompt_tokens":[0-9]*'
| "prompt_tokens":19
$ vlm ask models/vlm_dino '' --max-tokens 1 --json | grep -o '"prompt_tokens":[0-9]*'
| "prompt_tokens":16
$ printf 'a\377' | vlm ask models/vlm_dino -
! vlm: standard input: byte 1 is not UTF-8; convert the text
= 1
$ vlm ask models/vlm_dino -i - - </dev/null
! vlm: -: standard input can be read once; name a file for the others
= 2
$ vlm ask models/vlm_dino
! vlm: ask: PROMPT is missing; usage: vlm ask MODEL [-i IMAGE] PROMPT
= 2
$ vlm ask models/dinov3_s hi
! vlm: models/dinov3_s: has no language model; name a folder that has one
= 1
$ vlm ask models/llama hi -i images/rgb_1x1.png
! vlm: models/llama: is a language model and sees no images; make a VLM of it with vlm new
= 1
$ vlm ask models/vlm_dino hi -i images/rgb_1x1.png -i images/rgb_1x1.png --max-images 1
! vlm: images/rgb_1x1.png: is image 2 of a limit of 1; raise it with --max-images
= 1
$ vlm ask models/vlm_dino "$(printf 'word %.0s' $(seq 200))"
! vlm: models/vlm_dino: needs 617 positions, but the context has 256; use fewer or smaller images (--max-image-tokens), a shorter text or a longer --context
= 1
$ vlm ask models/vlm_dino hi --context 10000
! vlm: --context: is 10000, but the model knows 256 positions; choose at most that
= 1
$ vlm ask models/vlm_dino hi -i images/rgb_53x37.png --context 20
! vlm: models/vlm_dino: needs 30 positions, but the context has 20; use fewer or smaller images (--max-image-tokens), a shorter text or a longer --context
= 1
$ vlm ask models/vlm_dino hi --max-tokens 100000 --json | grep -o '"finish_reason":"[a-z]*"'
| "finish_reason":"length"
$ vlm ask models/vlm_dino hi --max-tokens 3 --quiet >/dev/full
! vlm: cannot write standard output: No space left on device; check where it goes
= 1
$ vlm ask models/vlm_dino hi --batch x.jsonl
! vlm: --batch: brings its own prompts and images; leave PROMPT and -i out
= 2
$ vlm ask models/vlm_dino --batch nowhere.jsonl
! vlm: nowhere.jsonl: cannot open: No such file or directory; check the path
= 1
$ printf '%s\n' '{"images":["images/rgb_1x1.png"],"texts":[{"user":"hi"}]}' 'no' '' '{"texts":[{"user":"a","assistant":"b"},{"user":"c"}]}' '{"images":["../x.png"],"texts":[{"user":"c"}]}' '{"texts":[{"user":"a"},{"user":"c"}]}' '{"texts":[]}' '{"user":"a"}' '{"messages":[{"role":"user","content":[{"type":"image","image":"images/rgb_1x1.png"},{"type":"text","text":"hi"}]}]}' '{"messages":[{"role":"assistant","content":"hi"}]}' '{"images":["images/nowhere.png"],"texts":[{"user":"hi"}]}' >b.jsonl; set -o pipefail; vlm ask models/vlm_dino --batch b.jsonl --max-tokens 2 | sed 's/"timings".*},/.../; s/"text".*"finish_reason"/"finish_reason"/'
| {"finish_reason":"length","prompt_tokens":19,"completion_tokens":2,"images":[{"path":"images/rgb_1x1.png","width":1,"height":1,"resized":[16,16],"grid":[1,1],"tokens":1}],..."line":1}
| {"line":2,"error":{"code":"format","where":"b.jsonl:2","message":"is not valid JSON: invalid token near 'no', column 2; mend the line"}}
| {"finish_reason":"length","prompt_tokens":37,"completion_tokens":2,"images":[],..."line":4}
| {"line":5,"error":{"code":"format","where":"b.jsonl:5","message":"image ../x.png has .. in its path; write it relative to --data-root, a folder above it"}}
| {"line":6,"error":{"code":"format","where":"b.jsonl:6","message":"turn 1 has no answer, but is not the last; give one"}}
| {"line":7,"error":{"code":"format","where":"b.jsonl:7","message":"has no user turn; give one"}}
| {"line":8,"error":{"code":"format","where":"b.jsonl:8","message":"has neither texts nor messages; give one of them"}}
| {"finish_reason":"length","prompt_tokens":19,"completion_tokens":2,"images":[{"path":"images/rgb_1x1.png","width":1,"height":1,"resized":[16,16],"grid":[1,1],"tokens":1}],..."line":9}
| {"line":10,"error":{"code":"format","where":"b.jsonl:10","message":"message 1 has role \"assistant\"; user and assistant take turns, system comes first"}}
| {"line":11,"error":{"code":"io","where":"images/nowhere.png","message":"cannot open: No such file or directory; check the path"}}
! vlm: b.jsonl: 7 of 10 lines could not be answered; see the error objects
= 1
$ head -1 b.jsonl | vlm ask models/vlm_dino --batch - --max-tokens 2 --quiet | grep -o '"ids":[^a-z]*' >one; vlm ask models/vlm_dino -i images/rgb_1x1.png hi --max-tokens 2 --json | grep -o '"ids":[^a-z]*' | cmp - one

Each answer and each error bears its sample's id; what takes time in earlier turns is booked where it belongs.
$ printf '%s\n' '{"id":"a7","texts":[{"user":"hi"}]}' '{"id":{"n":[1]},"texts":[{"assistant":"hi"}]}' '{"id":3,"messages":[{"content":"x"}]}' | vlm ask models/vlm_dino --batch - --max-tokens 1 2>/dev/null | sed 's/.*"line":1/"line":1/'
| "line":1,"id":"a7"}
| {"line":2,"error":{"code":"format","where":"standard input:2","message":"a text has no key user; give one"},"id":{"n":[1]}}
| {"line":3,"error":{"code":"format","where":"standard input:3","message":"a message has no key role; give one"},"id":3}
= 0
$ printf '%s\n' '{"images":["images/rgb_53x37.png"],"texts":[{"user":"a","assistant":"b"},{"user":"c"}]}' >e.jsonl; vlm ask models/vlm_dino --batch e.jsonl --max-tokens 1 | grep -o '"encode_ms":[0-9.]*' | awk -F: '{print ($2 > 0.03 ? "some" : $2)}'
| some
$ vlm ask models/vlm_dino hi --max-tokens 3 --json | grep -c '[0-9][.][0-9]\{4\}'
| 0
= 1
? script -qec true /dev/null # there is no script or no pseudo-terminal: what a terminal is shown is not tested
$ script -qec 'vlm ask models/vlm_dino hi --max-tokens 60 --temperature 3 --seed 1 --quiet' /dev/null | tr -d '\r\n\t' | LC_ALL=C tr -d ' -~\200-\377' | wc -c
| 0
$ vlm ask models/vlm_dino hi --max-tokens 60 --temperature 3 --seed 1 --quiet | tr -d '\r\n\t' | LC_ALL=C tr -d ' -~\200-\377' | wc -c | sed 's/^[1-9][0-9]*$/some/'
| some
? true # always

A line with a NUL is no empty one; a key that nobody reads is named; what does not fit is a line.
$ printf '\0{"texts":[{"user":"a"}]}\n \t\r\n' | vlm ask models/vlm_dino --batch - 2>/dev/null | sed 's/"message".*/.../'
| {"line":1,"error":{"code":"format","where":"standard input:1",...
$ printf '%s\n' '{"image":["images/rgb_1x1.png"],"texts":[{"user":"hi"}]}' '{"texts":[{"user":"hi","asistant":"x"}]}' '{"messages":[{"role":"user","content":[{"type":"text","text":"a","image":"images/rgb_1x1.png"}]}]}' '{"messages":[{"role":"user","content":"a","zzzzzz":1}]}' '{"images":"images/rgb_1x1.png","messages":[{"role":"user","content":"a"}]}' "{\"texts\":[{\"user\":\"$(printf 'word %.0s' $(seq 200))\"}]}" "{\"texts\":[{\"user\":\"$(printf 'word %.0s' $(seq 200))\",\"assistant\":\"b\"},{\"user\":\"c\"}]}" >k.jsonl; vlm ask models/vlm_dino --batch k.jsonl
| {"line":1,"error":{"code":"format","where":"k.jsonl:1","message":"the sample has the unknown key image; did you mean images?"}}
| {"line":2,"error":{"code":"format","where":"k.jsonl:2","message":"a text has the unknown key asistant; did you mean assistant?"}}
| {"line":3,"error":{"code":"format","where":"k.jsonl:3","message":"a part has the unknown key image; type, text are known"}}
| {"line":4,"error":{"code":"format","where":"k.jsonl:4","message":"a message has the unknown key zzzzzz; role, content are known"}}
| {"line":5,"error":{"code":"format","where":"k.jsonl:5","message":"has images beside messages; name each in a part {\"type\": \"image\", \"image\": ...}"}}
| {"line":6,"error":{"code":"context","where":"k.jsonl:6","message":"needs 617 positions, but the context has 256; use fewer or smaller images (--max-image-tokens), a shorter text or a longer --context"}}
| {"line":7,"error":{"code":"context","where":"k.jsonl:7","message":"needs 617 positions, but the context has 256; use fewer or smaller images (--max-image-tokens), a shorter text or a longer --context"}}
! vlm: k.jsonl: 7 of 7 lines could not be answered; see the error objects
= 1
$ printf '%s\n' '{"id":7,"source":"x","answers":["b"],"choices":null,"relevance_ratings":[5],"formatting_min":1,"images":[],"texts":[{"user":"a","assistant":"b","source":"y"},{"user":"c","extra":null}]}' '{"images":null,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"text","text":"b"}]},{"role":"user","content":"c"}]}' | vlm ask models/vlm_dino --batch - --max-tokens 2 | grep -o '"ids":[^a-z]*' | uniq -c | wc -l
| 1

chat
$ printf '/plan\nhi\n/image images/rgb_53x37.png\n/plan\n/foo\n/image nowhere.png\n/image\n/reset\n/plan\n/quit\nnever\n' | vlm chat models/vlm_dino --max-tokens 2 | grep -a '^next\|^context' | sed 's/: [1-9][0-9]* of/: N of/; s/[0-9]* free/N free/'
| context: 0 of 256 positions used, 0 wait in images, N free
| next turn: images/rgb_53x37.png, 12 tokens
| context: N of 256 positions used, 12 wait in images, N free
| context: 0 of 256 positions used, 0 wait in images, N free
! vlm: the answer was cut at --max-tokens
! vlm: images/rgb_53x37.png: goes with the next turn
! vlm: /foo: unknown; /image F, /plan, /reset, /quit and /help are known, a blank in front makes it text
! vlm: nowhere.png: cannot open: No such file or directory; check the path
! vlm: /image: needs a file; write /image F
! vlm: the context is empty
$ printf '/help\n' | vlm chat models/vlm_dino
! /image F adds an image, /plan says what is used, /reset starts again, /quit ends, /help says this
$ printf '/foo\n/image nowhere.png\n/reset\n' | vlm chat models/vlm_dino
! vlm: /foo: unknown; /image F, /plan, /reset, /quit and /help are known, a blank in front makes it text
! vlm: nowhere.png: cannot open: No such file or directory; check the path
! vlm: the context is empty
$ printf '%s\nhi\n' "$(yes 'This is a long talk.' | head -80 | tr '\n' ' ')" | vlm chat models/vlm_dino --max-tokens 2 2>&1 >/dev/null | sed 's/needs [0-9]* /needs N /'
| vlm: models/vlm_dino: needs N positions, but the context has 256; use fewer or smaller images (--max-image-tokens), a shorter text or a longer --context
| vlm: 0 of 256 positions are used; say less, or /reset starts again (without the images that wait)
| vlm: the answer was cut at --max-tokens
$ vlm chat models/dinov3_s </dev/null
! vlm: models/dinov3_s: has no language model; name a folder that has one
= 1
$ vlm chat models/vlm_dino --json </dev/null
| {"error":{"code":"usage","where":"--json","message":"is not for chat; use vlm ask --json"}}
! vlm: --json: is not for chat; use vlm ask --json
= 2
$ vlm chat models/vlm_dino </dev/null
$ sleep 2 | timeout --preserve-status -s INT 0.5 vlm chat models/vlm_dino
= 130

new
$ vlm new -o n
! vlm: --vision: is missing; give --vision DIR and --language DIR, or --preset NAME (`--preset help` lists them)
= 2
$ vlm new --preset tiny
! vlm: --output: is missing; say with -o which folder to make
= 2
$ vlm new --preset tiny --vision models/dinov3_s -o n
! vlm: --preset: brings its own backbones; leave --vision and --language out
= 2
$ vlm new --preset tyni -o n
! vlm: --preset: "tyni" is not known; did you mean tiny?
= 2
$ vlm new --preset help -o n
! vlm: --preset: help lists the presets and makes nothing; leave -o out or name one
= 2
$ vlm new --vision models/dinov3_s -o n
! vlm: --language: is missing; give --vision DIR and --language DIR, or --preset NAME (`--preset help` lists them)
= 2
$ vlm new --vision models/llama --language models/llama -o n
! vlm: models/llama: is no vision encoder; name a DINOv3, DINOv2 or SigLIP folder with --vision
= 1
$ vlm new --preset help | cut -d' ' -f1
| tiny
| digits
| dinov3s-smollm2-135m
| dinov3splus-smollm2-135m
| dinov3b-smollm2-360m
| dinov3l-smollm2-360m
| dinov3splus-gemma3-270m
| siglip-smollm2-135m
$ vlm new --preset tiny -o n --seed 3 --quiet && vlm new --preset tiny -o n2 --seed 3 --quiet && cmp n/model.safetensors n2/model.safetensors
| n
| n2
$ vlm new --preset tiny -o n
! vlm: n: exists already; name another folder or give --force to replace it
= 1
$ vlm new --vision models/dinov3_s --language models/llama -o n --force --json && vlm inspect n | grep '^model\|^images\|^tokens'
! vlm: the projector is random: answers about images mean nothing before training
| {"path":"n"}
| model      n: whole VLM (ours)
| images     own rectangle, multiples of 32, long side at most 1024; bicubic; normalised: imagenet; a token is 32 x 32 pixels
| tokens     321 ids, 4 special, bos 1 <|im_start|>, eos 2 <|im_end|>, pad 2 <|im_end|>, image 320 <|image|>, an answer ends at 2
$ vlm new --vision models/siglip --language models/gemma3 -o n3 --dtype bf16 --context 128 --quiet && vlm inspect n3 | grep '^model\|^images\|^tokens\|^context'
| n3
| model      n3: whole VLM (ours)
| images     tiles of 32 x 32 and a global tile, long side always 128; bicubic; normalised: siglip; a token is 16 x 16 pixels
| tokens     486 ids, 72 special, bos 2 <bos>, eos 1 <eos>, pad 0 <pad>, image 420 <|image|>, global 421 <|global_image|>, an answer ends at 1 5
| context    128 positions, chat template: gemma
$ rm -r n3; vlm ask n2 'Tell me a long story.' --max-tokens 3000 --isa ref --threads 1 --quiet >/dev/null & sleep 0.4; kill -INT $!; wait $!
= 130

A full disk (here: a limit on what a file may hold): the output is named as it was asked for, with the system's word, and nothing stays.
$ trap '' XFSZ; ulimit -f 64; vlm new --preset tiny -o full --quiet
! vlm: full/model.safetensors: cannot write: File too large; check the file and its disk
= 1
$ trap '' XFSZ; ulimit -f 8; vlm features models/dinov3_p8 $ROOT/examples/cat.jpg --max-size 128 --pca full.png --quiet
! vlm: full.png: cannot write: File too large; check the file and its disk
= 1
$ trap '' XFSZ; ulimit -f 8; vlm trace models/vlm_dino -i images/rgb_53x37.png -o full --quiet
! vlm: full/image.0.u8.npy: cannot write: File too large; check the file and its disk
= 1
$ test -z "$(ls | grep '^full')"
