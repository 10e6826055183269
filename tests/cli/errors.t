Every class of error has its code, its exit code, and an object on standard output (docs/errors.md).

$ ln -s $ROOT/tests/golden/models $ROOT/tests/golden/images .; cp -r models/llama/ bad; echo '[]' >bad/config.json
$ vlm plan models/vlm_dino --max-size 0 --json
| {"error":{"code":"usage","where":"--max-size","message":"0 is out of range; give 1 to 65500"}}
! vlm: --max-size: 0 is out of range; give 1 to 65500
= 2
$ vlm ask models/vlm_dino hi --context 1000 --json
| {"error":{"code":"argument","where":"--context","message":"is 1000, but the model knows 256 positions; choose at most that"}}
! vlm: --context: is 1000, but the model knows 256 positions; choose at most that
= 1
$ vlm inspect nowhere --json
| {"error":{"code":"io","where":"nowhere","message":"is not a folder; name a MODEL folder that holds config.json and model.safetensors"}}
! vlm: nowhere: is not a folder; name a MODEL folder that holds config.json and model.safetensors
= 1
$ vlm inspect bad --json
| {"error":{"code":"format","where":"bad/config.json","message":"is not a JSON object; get the file again"}}
! vlm: bad/config.json: is not a JSON object; get the file again
= 1
$ echo '{"model_type": "bert"}' >bad/config.json; vlm inspect bad --json
| {"error":{"code":"unsupported","where":"bad/config.json","message":"model_type \"bert\" is not supported; dinov3_vit, dinov2, dinov2_with_registers, siglip, siglip_vision_model, llama and gemma3_text are"}}
! vlm: bad/config.json: model_type "bert" is not supported; dinov3_vit, dinov2, dinov2_with_registers, siglip, siglip_vision_model, llama and gemma3_text are
= 1
$ vlm ask models/vlm_dino hi -i images/rgb_96x32.png --max-pixels 3071 --json
| {"error":{"code":"limit","where":"images/rgb_96x32.png","message":"is 96×32 pixels, over the limit of 3071 in all; make it smaller or raise --max-pixels"}}
! vlm: images/rgb_96x32.png: is 96×32 pixels, over the limit of 3071 in all; make it smaller or raise --max-pixels
= 1
$ vlm ask models/vlm_dino hi --context 3 --json
| {"error":{"code":"context","where":"models/vlm_dino","message":"needs 18 positions, but the context has 3; use fewer or smaller images (--max-image-tokens), a shorter text or a longer --context"}}
! vlm: models/vlm_dino: needs 18 positions, but the context has 3; use fewer or smaller images (--max-image-tokens), a shorter text or a longer --context
= 1
$ printf 'BM' >a.bmp; vlm preprocess models/vlm_dino a.bmp -o a.npy --json
| {"error":{"code":"unsupported","where":"a.bmp","message":"is BMP, which cannot be read; convert it to PNG or JPEG"}}
! vlm: a.bmp: is BMP, which cannot be read; convert it to PNG or JPEG
= 1
$ cp images/rgb_96x32.png cut.png; truncate -s 4000 cut.png; vlm features models/vlm_dino cut.png -o a.npy --json
| {"error":{"code":"format","where":"cut.png","message":"is a PNG that is cut short (end of stream); get the file again"}}
! vlm: cut.png: is a PNG that is cut short (end of stream); get the file again
= 1
$ vlm tokenize models/llama --decode 99999 --json
| {"error":{"code":"argument","where":"models/llama/tokenizer.json","message":"id 99999 has no token (the largest is 319); check the ids"}}
! vlm: models/llama/tokenizer.json: id 99999 has no token (the largest is 319); check the ids
= 1
$ vlm trace models/vlm_dino --prompt hi --against bad --json
| {"stages":[],"compared":0,"failed":0,"tolerance":0.0002,"equal":false}
! vlm: bad: holds no stage to compare; name a folder that vlm trace wrote
= 1
$ vlm new --preset nothing -o x --json
| {"error":{"code":"usage","where":"--preset","message":"\"nothing\" is not known; `--preset help` lists them"}}
! vlm: --preset: "nothing" is not known; `--preset help` lists them
= 2

A mapped file that is cut short ends the program, but not without a word. (The signal is sent: when a page goes is not ours to time.)
$ mkfifo in; vlm chat models/vlm_dino <in & exec 3>in; sleep 0.3; kill -BUS $!; wait $!
! vlm: a file was cut short while it was being read, or its disk failed; leave files alone while they are in use
= 1

A pipe that nobody writes to does not hang us: in a MODEL folder, as an image, as a text.
$ rm bad/config.json; mkfifo bad/config.json; timeout 9 vlm inspect bad
! vlm: bad/config.json: is not a regular file; name a file, or - for standard input
= 1
$ rm bad/*; cp models/llama/* bad; mkfifo bad/chat_template.jinja; timeout 9 vlm ask bad hi
! vlm: bad/chat_template.jinja: is not a regular file; name a file, or - for standard input
= 1
$ timeout 9 vlm ask models/vlm_dino hi -i in
! vlm: in: is not a regular file; name a file, or - for standard input
= 1
$ timeout 9 vlm tokenize models/llama --file in
! vlm: in: is not a regular file; name a file, or - for standard input
= 1

A name with control characters stays one line.
$ vlm inspect $'no\nwhere\033[31m'
! vlm: no?where?[31m: is not a folder; name a MODEL folder that holds config.json and model.safetensors
= 1

Messages say where they are from: a file, or the option.
$ vlm chat models/vlm_dino -i nowhere.png </dev/null
! vlm: nowhere.png: cannot open: No such file or directory; check the path
= 1
$ vlm features models/vlm_dino images/rgb_1x1.png -o no/x.npy --quiet
! vlm: no/x.npy: cannot write: No such file or directory; check the path
= 1
