Every golden case (tests/golden/README.md): the stages of one pass, and greedy answers. Written by golden.py.
A stage that is missing, misshapen or further off than the tolerance is printed.

$ cd $ROOT/tests/golden; set -o pipefail; vlm trace models/dinov2 -i images/rgb_53x37.png -i images/rgb_96x32.png -i images/rgb_1x1.png -i images/rgb_40x40.png --max-size 84 --against cases/dinov2 --tolerance 0.0002 --quiet | grep -v 'ok$\|^stage' || test ${PIPESTATUS[0]} = 0
$ cd $ROOT/tests/golden; set -o pipefail; vlm trace models/dinov2_giant -i images/rgb_53x37.png -i images/rgb_33x31.png --max-size 48 --against cases/dinov2_giant --tolerance 0.0002 --quiet | grep -v 'ok$\|^stage' || test ${PIPESTATUS[0]} = 0
$ cd $ROOT/tests/golden; set -o pipefail; vlm trace models/dinov2_reg -i images/rgb_53x37.png -i images/rgb_96x32.png -i images/rgb_1x1.png -i images/rgb_40x40.png --max-size 56 --against cases/dinov2_reg --tolerance 0.0002 --quiet | grep -v 'ok$\|^stage' || test ${PIPESTATUS[0]} = 0
$ cd $ROOT/tests/golden; set -o pipefail; vlm trace models/dinov3_7b -i images/rgb_53x37.png -i images/rgb_33x31.png --max-size 16 --against cases/dinov3_7b --tolerance 0.0002 --quiet | grep -v 'ok$\|^stage' || test ${PIPESTATUS[0]} = 0
$ cd $ROOT/tests/golden; set -o pipefail; vlm trace models/dinov3_bf16 -i images/rgb_53x37.png -i images/rgb_33x31.png --max-size 32 --against cases/dinov3_bf16 --tolerance 0.0002 --quiet | grep -v 'ok$\|^stage' || test ${PIPESTATUS[0]} = 0
$ cd $ROOT/tests/golden; set -o pipefail; vlm trace models/dinov3_heads72_f16 -i images/rgb_53x37.png -i images/rgb_33x31.png --max-size 16 --against cases/dinov3_heads72_f16 --tolerance 0.0002 --quiet | grep -v 'ok$\|^stage' || test ${PIPESTATUS[0]} = 0
$ cd $ROOT/tests/golden; set -o pipefail; vlm trace models/dinov3_lplus -i images/rgb_53x37.png -i images/rgb_33x31.png --max-size 40 --against cases/dinov3_lplus --tolerance 0.0002 --quiet | grep -v 'ok$\|^stage' || test ${PIPESTATUS[0]} = 0
$ cd $ROOT/tests/golden; set -o pipefail; vlm trace models/dinov3_p8 -i images/rgb_40x40.png -i images/rgb_33x31.png -i images/exif3.jpg -i images/rgb_7x120.png --against cases/dinov3_p8 --tolerance 0.0002 --quiet | grep -v 'ok$\|^stage' || test ${PIPESTATUS[0]} = 0
$ cd $ROOT/tests/golden; set -o pipefail; vlm trace models/dinov3_p8 -i ../../examples/cat.jpg --max-size 64 --against cases/dinov3_p8_cat --tolerance 0.0002 --quiet | grep -v 'ok$\|^stage' || test ${PIPESTATUS[0]} = 0
$ cd $ROOT/tests/golden; set -o pipefail; vlm trace models/dinov3_p8 -i images/rgb_53x37.png -i images/rgb_33x31.png --no-upscale --against cases/dinov3_p8_no_upscale --tolerance 0.0002 --quiet | grep -v 'ok$\|^stage' || test ${PIPESTATUS[0]} = 0
$ cd $ROOT/tests/golden; set -o pipefail; vlm trace models/dinov3_s -i images/rgb_64x48.png -i images/rgb_53x37.png -i images/rgb_1x1.png -i images/rgb_150x9.png -i images/rgb_7x120.png -i images/exif6.jpg --max-size 64 --against cases/dinov3_s --tolerance 0.0002 --quiet | grep -v 'ok$\|^stage' || test ${PIPESTATUS[0]} = 0
$ cd $ROOT/tests/golden; set -o pipefail; vlm trace models/dinov3_sharded -i images/rgb_53x37.png -i images/rgb_33x31.png --max-size 32 --against cases/dinov3_sharded --tolerance 0.0002 --quiet | grep -v 'ok$\|^stage' || test ${PIPESTATUS[0]} = 0
$ cd $ROOT/tests/golden; set -o pipefail; vlm trace models/dinov3_splus -i images/rgb_53x37.png -i images/rgb_33x31.png -i images/rgb_96x32.png --max-size 48 --against cases/dinov3_splus --tolerance 0.0002 --quiet | grep -v 'ok$\|^stage' || test ${PIPESTATUS[0]} = 0
$ cd $ROOT/tests/golden; set -o pipefail; vlm trace models/gemma3 --prompt $'Der Fuchs springt über den Hund.\n\ndef f(x):\n    return 3.1 # 猫 😀' --against cases/gemma3 --tolerance 0.0002 --quiet | grep -v 'ok$\|^stage' || test ${PIPESTATUS[0]} = 0
$ cd $ROOT/tests/golden; vlm ask models/gemma3 --template none --max-tokens 20 --json -- 'What is in this picture? It'"'"'s 42 cats.' | grep -o '"ids":[^]]*]\|"finish_reason":"[a-z]*"\|"prompt_tokens":[0-9]*'
| "ids":[228,228,99,61,324,324,324,324,324,324,324,227,227,227,227,227,227,227,97,97]
| "finish_reason":"length"
| "prompt_tokens":27
$ cd $ROOT/tests/golden; set -o pipefail; vlm trace models/gemma3_bf16 --prompt $'Der Fuchs springt über den Hund.\n\ndef f(x):\n    return 3.1 # 猫 😀' --against cases/gemma3_bf16 --tolerance 0.0124 --quiet | grep -v 'ok$\|^stage' || test ${PIPESTATUS[0]} = 0
$ cd $ROOT/tests/golden; set -o pipefail; vlm trace models/gemma3 --prompt 'The cat' --against cases/gemma3_short --tolerance 0.0002 --quiet | grep -v 'ok$\|^stage' || test ${PIPESTATUS[0]} = 0
$ cd $ROOT/tests/golden; vlm ask models/gemma3 --max-tokens 20 --json -- 'What is in this picture? It'"'"'s 42 cats.' | grep -o '"ids":[^]]*]\|"finish_reason":"[a-z]*"\|"prompt_tokens":[0-9]*'
| "ids":[4,97,11,11,11,151,151,151,151,305,97,149,129,129,129,129,129,129,129,129]
| "finish_reason":"length"
| "prompt_tokens":40
$ cd $ROOT/tests/golden; set -o pipefail; vlm trace models/llama --prompt $'Der Fuchs springt über den Hund.\n\ndef f(x):\n    return 3.1 # 猫 😀' --against cases/llama --tolerance 0.0002 --quiet | grep -v 'ok$\|^stage' || test ${PIPESTATUS[0]} = 0
$ cd $ROOT/tests/golden; vlm ask models/llama --template none --max-tokens 24 --json -- 'What is in this picture? It'"'"'s 42 cats.' | grep -o '"ids":[^]]*]\|"finish_reason":"[a-z]*"\|"prompt_tokens":[0-9]*'
| "ids":[215,254,185,157,287,300,171,208,208,62,314,124,262,10,89,77,277,173,54,142,71,68,18,297]
| "finish_reason":"length"
| "prompt_tokens":27
$ cd $ROOT/tests/golden; set -o pipefail; vlm trace models/llama_bf16 --prompt 'What is in this picture? It'"'"'s 42 cats.' --against cases/llama_bf16 --tolerance 0.0002 --quiet | grep -v 'ok$\|^stage' || test ${PIPESTATUS[0]} = 0
$ cd $ROOT/tests/golden; set -o pipefail; vlm trace models/llama_f16 --prompt 'What is in this picture? It'"'"'s 42 cats.' --against cases/llama_f16 --tolerance 0.0002 --quiet | grep -v 'ok$\|^stage' || test ${PIPESTATUS[0]} = 0
$ cd $ROOT/tests/golden; set -o pipefail; vlm trace models/llama --ids cases/llama_ids/ids.npy --against cases/llama_ids --tolerance 0.0002 --quiet | grep -v 'ok$\|^stage' || test ${PIPESTATUS[0]} = 0
$ cd $ROOT/tests/golden; set -o pipefail; vlm trace models/llama --prompt A --against cases/llama_one --tolerance 0.0002 --quiet | grep -v 'ok$\|^stage' || test ${PIPESTATUS[0]} = 0
$ cd $ROOT/tests/golden; vlm ask models/llama --max-tokens 12 --json -- 'What is in this picture? It'"'"'s 42 cats.' | grep -o '"ids":[^]]*]\|"finish_reason":"[a-z]*"\|"prompt_tokens":[0-9]*'
| "ids":[240,175,275,12,8,64,111,66,45,24,71,245]
| "finish_reason":"length"
| "prompt_tokens":43
$ cd $ROOT/tests/golden; set -o pipefail; vlm trace models/llama_sharded --prompt 'What is in this picture? It'"'"'s 42 cats.' --against cases/llama_sharded --tolerance 0.0002 --quiet | grep -v 'ok$\|^stage' || test ${PIPESTATUS[0]} = 0
$ cd $ROOT/tests/golden; set -o pipefail; vlm trace models/llama_untied --prompt 'What is in this picture? It'"'"'s 42 cats.' --against cases/llama_untied --tolerance 0.0002 --quiet | grep -v 'ok$\|^stage' || test ${PIPESTATUS[0]} = 0
$ cd $ROOT/tests/golden; vlm ask models/llama_untied --max-tokens 16 --json -- 'What is in this picture? It'"'"'s 42 cats.' | grep -o '"ids":[^]]*]\|"finish_reason":"[a-z]*"\|"prompt_tokens":[0-9]*'
| "ids":[25,230,157,86,138,97,275,158]
| "finish_reason":"stop"
| "prompt_tokens":108
$ cd $ROOT/tests/golden; set -o pipefail; vlm trace models/siglip -i images/rgb_53x37.png -i images/rgb_7x120.png -i images/rgb_1x1.png --against cases/siglip --tolerance 0.0002 --quiet | grep -v 'ok$\|^stage' || test ${PIPESTATUS[0]} = 0
$ cd $ROOT/tests/golden; set -o pipefail; vlm trace models/siglip_bf16 -i images/rgb_53x37.png -i images/rgb_7x120.png -i images/rgb_1x1.png --against cases/siglip_bf16 --tolerance 0.0002 --quiet | grep -v 'ok$\|^stage' || test ${PIPESTATUS[0]} = 0
$ cd $ROOT/tests/golden; set -o pipefail; vlm trace models/siglip_heads72 -i images/rgb_53x37.png -i images/rgb_7x120.png -i images/rgb_1x1.png --against cases/siglip_heads72 --tolerance 0.0002 --quiet | grep -v 'ok$\|^stage' || test ${PIPESTATUS[0]} = 0
$ cd $ROOT/tests/golden; set -o pipefail; vlm trace models/siglip_nested -i images/rgb_53x37.png -i images/rgb_7x120.png -i images/rgb_1x1.png --against cases/siglip_nested --tolerance 0.0002 --quiet | grep -v 'ok$\|^stage' || test ${PIPESTATUS[0]} = 0
$ cd $ROOT/tests/golden; set -o pipefail; vlm trace models/siglip_prefix -i images/rgb_53x37.png -i images/rgb_7x120.png -i images/rgb_1x1.png --against cases/siglip_prefix --tolerance 0.0002 --quiet | grep -v 'ok$\|^stage' || test ${PIPESTATUS[0]} = 0
$ cd $ROOT/tests/golden; set -o pipefail; vlm trace models/vlm_dino -i images/rgb_53x37.png --prompt 'What is in this picture?' --against cases/vlm_dino --tolerance 0.0002 --quiet | grep -v 'ok$\|^stage' || test ${PIPESTATUS[0]} = 0
$ cd $ROOT/tests/golden; vlm ask models/vlm_dino -i images/rgb_53x37.png --max-tokens 16 --json -- 'What is in this picture? It'"'"'s 42 cats.' | grep -o '"ids":[^]]*]\|"finish_reason":"[a-z]*"\|"prompt_tokens":[0-9]*'
| "ids":[141,47,324,324,324,324,12,76,282,324,12,12,76,324,324,324]
| "finish_reason":"length"
| "prompt_tokens":55
$ cd $ROOT/tests/golden; set -o pipefail; vlm trace models/vlm_dino_bf16 -i images/rgb_40x40.png --prompt 'What is this?' --against cases/vlm_dino_bf16 --tolerance 0.0002 --quiet | grep -v 'ok$\|^stage' || test ${PIPESTATUS[0]} = 0
$ cd $ROOT/tests/golden; set -o pipefail; vlm trace models/vlm_dino_plain -i images/rgb_40x40.png --prompt 'What is this?' --against cases/vlm_dino_plain --tolerance 0.0002 --quiet | grep -v 'ok$\|^stage' || test ${PIPESTATUS[0]} = 0
$ cd $ROOT/tests/golden; set -o pipefail; vlm trace models/vlm_dino -i images/rgb_7x120.png --max-size 32 --prompt 'Describe the image.' --against cases/vlm_dino_small --tolerance 0.0002 --quiet | grep -v 'ok$\|^stage' || test ${PIPESTATUS[0]} = 0
$ cd $ROOT/tests/golden; set -o pipefail; vlm trace models/vlm_dino --prompt 'Is it 42? <|image|> <|im_end|>' --against cases/vlm_dino_text --tolerance 0.0002 --quiet | grep -v 'ok$\|^stage' || test ${PIPESTATUS[0]} = 0
$ cd $ROOT/tests/golden; set -o pipefail; vlm trace models/vlm_dino -i images/rgb_150x9.png -i images/exif6.jpg --prompt 'Which one is red?' --against cases/vlm_dino_two --tolerance 0.0002 --quiet | grep -v 'ok$\|^stage' || test ${PIPESTATUS[0]} = 0
$ cd $ROOT/tests/golden; set -o pipefail; vlm trace models/vlm_fork_maths -i images/rgb_40x40.png --fork-maths --prompt 'What is this?' --against cases/vlm_fork_maths --tolerance 0.0002 --quiet | grep -v 'ok$\|^stage' || test ${PIPESTATUS[0]} = 0
$ cd $ROOT/tests/golden; set -o pipefail; vlm trace models/vlm_gemma -i images/rgb_53x37.png --prompt 'What is in this picture?' --against cases/vlm_gemma --tolerance 0.0002 --quiet | grep -v 'ok$\|^stage' || test ${PIPESTATUS[0]} = 0
$ cd $ROOT/tests/golden; vlm ask models/vlm_gemma -i images/rgb_53x37.png --max-tokens 12 --json -- The | grep -o '"ids":[^]]*]\|"finish_reason":"[a-z]*"\|"prompt_tokens":[0-9]*'
| "ids":[18,257,257,56,368,368,368,368,368,368,412,6]
| "finish_reason":"length"
| "prompt_tokens":28
$ cd $ROOT/tests/golden; set -o pipefail; vlm trace models/vlm_gemma -i images/exif6.jpg -i images/rgb_96x32.png --prompt 'Which one is red?' --against cases/vlm_gemma_two --tolerance 0.0002 --quiet | grep -v 'ok$\|^stage' || test ${PIPESTATUS[0]} = 0
$ cd $ROOT/tests/golden; set -o pipefail; vlm trace models/vlm_siglip_fork -i images/rgb_53x37.png -i images/rgb_7x120.png --prompt 'What is in this picture?' --against cases/vlm_siglip_fork --tolerance 0.0002 --quiet | grep -v 'ok$\|^stage' || test ${PIPESTATUS[0]} = 0
$ cd $ROOT/tests/golden; set -o pipefail; vlm trace models/vlm_siglip_up -i images/rgb_53x37.png --prompt 'What is in this picture?' --against cases/vlm_siglip_up --tolerance 0.0002 --quiet | grep -v 'ok$\|^stage' || test ${PIPESTATUS[0]} = 0
$ cd $ROOT/tests/golden; vlm ask models/vlm_siglip_up -i images/rgb_53x37.png --max-tokens 16 --json -- 'What is in this picture? It'"'"'s 42 cats.' | grep -o '"ids":[^]]*]\|"finish_reason":"[a-z]*"\|"prompt_tokens":[0-9]*'
| "ids":[111,182,353,182,197,44,151,182,197,255,275,175,10,98,169,200]
| "finish_reason":"length"
| "prompt_tokens":68
$ cd $ROOT/tests/golden; set -o pipefail; vlm trace models/vlm_siglip_up -i images/rgb_1x1.png --max-size 16 --prompt 'What?' --against cases/vlm_siglip_up_one --tolerance 0.0002 --quiet | grep -v 'ok$\|^stage' || test ${PIPESTATUS[0]} = 0
$ cd $ROOT/tests/golden; set -o pipefail; vlm trace models/vlm_siglip_up -i images/rgb_33x31.png -i images/rgb_96x32.png --max-size 48 --prompt 'Which?' --against cases/vlm_siglip_up_two --tolerance 0.0002 --quiet | grep -v 'ok$\|^stage' || test ${PIPESTATUS[0]} = 0
