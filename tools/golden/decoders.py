"""Language models as transformers writes them, every stage of a forward pass, and greedy answers."""

import numpy as np
import torch
from transformers import Gemma3ForCausalLM, Gemma3TextConfig, LlamaConfig, LlamaForCausalLM

from . import tokens, weights
from .common import rng
from .encoders import edit_config, write_case

PROMPTS = ["What is in this picture? It's 42 cats.", "The", "Der Fuchs springt über den Hund.\n\ndef f(x):\n    return 3.1 # 猫 😀"]


CLEAR = 2e-3  # the smallest distance between the best and the second logit that float32 cannot turn round
QUESTIONS = PROMPTS[:2] + [
    "What is this?",
    "Hello",
    "Where is the cat?",
    "Name 3 colours.",
    "Why?",
    "How many?",
    "red or blue",
    "x = 3",
    "Описание",
    "Describe the image.",
    "猫",
    "one two three",
    "yes",
    "no",
    "left",
    "right",
    "The sky is",
    *"abcdefghijklmnop",
    *map(str, range(100)),
]


def run(model, rows):
    """embedded rows (T,D) to (hidden after the final norm, raw logits)."""
    with torch.no_grad():

        def forward():
            h = model.model(inputs_embeds=rows[None], use_cache=False).last_hidden_state
            return h[0], model.lm_head(h)[0]

        if rows.dtype == torch.float64:
            with weights.Float64():
                return forward()
        return forward()


def embed(model, ids):
    with torch.no_grad():
        return model.model.embed_tokens(torch.tensor(ids, dtype=torch.long))


def stages(model, ids, rows=None):
    rows = embed(model, ids) if rows is None else rows
    hidden, logits = run(model, rows)
    f = {"embed": rows, "hidden": hidden, "logits": logits}
    return {"ids": np.array(ids, np.int64), **{k: v.double().numpy() for k, v in f.items()}}


def greedy(model, rows, count, stop, known):
    """Greedy ids up to a stop id (left out), among the first `known` of the vocabulary; every choice must be clear."""
    ids, least = [], 1e9
    while len(ids) < count and least > CLEAR:
        logits = run(model, rows)[1][-1][:known]
        top = torch.topk(logits, 2)
        least = min(least, float(top.values[0] - top.values[1]))
        best = int(top.indices[0])
        if best in stop:
            return ids, "stop", least
        ids.append(best)
        rows = torch.cat([rows, embed(model, [best])])
    return ids, "length", least


def plain(model, tok):
    """prepare() for text without a template, with BOS if the tokenizer adds one."""
    return lambda q: (tok.encode(q).ids, embed(model, tok.encode(q).ids))


def chat(model, tok, template):
    def prepare(q):
        ids = tokens.ids_of(tok, tokens.render(tok, template, [("user", q)]))
        return ids, embed(model, ids)

    return prepare


def save_tokenizer(out, folder, tok, config, merges="pairs"):
    out.bytes(f"models/{folder}/tokenizer.json", tokens.text_of(tok, merges).encode())
    out.json(f"models/{folder}/tokenizer_config.json", config, indent=2)


SMOL_CONFIG = {
    "bos_token": "<|im_start|>",
    "eos_token": "<|im_end|>",
    "pad_token": "<|im_end|>",
    "unk_token": "<|endoftext|>",
    "model_max_length": 8192,
    "clean_up_tokenization_spaces": False,
    "tokenizer_class": "GPT2Tokenizer",
}
GEMMA_CONFIG = {
    "bos_token": "<bos>",
    "eos_token": "<eos>",
    "pad_token": "<pad>",
    "unk_token": "<unk>",
    "add_bos_token": True,
    "add_eos_token": False,
    "clean_up_tokenization_spaces": False,
    "tokenizer_class": "GemmaTokenizer",
}


def make_case(out, name, exact, stored, tok, prompt=None, ids=None, suffix="", options=()):
    case = {"model": f"models/{name}", "images": []}
    if options:
        case["options"] = list(options)
    if ids is None:
        case["prompt"] = prompt
        ids = tok.encode(prompt).ids
    else:
        case["ids"] = True
    arrays = stages(exact, ids)
    low = None
    if stored.dtype == torch.bfloat16:
        low = stages(stored, ids)
        low.pop("ids")
    write_case(out, name + suffix, case, arrays, low)


def llama_config(**kw):
    base = dict(
        vocab_size=320,
        hidden_size=36,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=3,
        num_key_value_heads=1,
        max_position_embeddings=256,
        rope_theta=25000.0,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
        hidden_act="silu",
    )
    return LlamaConfig(**{**base, **kw})


def make_llama(out):
    tok = tokens.smol()
    assert tok.get_vocab_size() == 320
    small = dict(hidden_size=32, num_attention_heads=2, intermediate_size=64)
    table = [
        ("llama", {}, {}, PROMPTS[2]),
        (
            "llama_untied",
            {},
            dict(
                tie_word_embeddings=False,
                num_attention_heads=4,
                num_key_value_heads=2,
                head_dim=8,
                hidden_size=32,
                rms_norm_eps=1e-3,
            ),
            PROMPTS[0],
        ),
        ("llama_bf16", dict(dtype="bf16"), small, PROMPTS[0]),
        ("llama_f16", dict(dtype="f16"), small, PROMPTS[0]),
        ("llama_sharded", dict(shard="30KB"), dict(small, num_key_value_heads=2), PROMPTS[0]),
    ]
    for name, how, kw, prompt in table:
        config = llama_config(**kw)
        exact, stored = weights.build(out, LlamaForCausalLM, config, name, **how)
        speaks = {"llama": {"chat_template": tokens.CHATML}, "llama_untied": {"chat_template": tokens.SMOLLM2}}.get(name, {})
        save_tokenizer(out, name, tok, {**SMOL_CONFIG, **speaks}, "strings" if name == "llama_untied" else "pairs")
        make_case(out, name, exact, stored, tok, prompt)
        if name == "llama":
            make_case(out, name, exact, stored, tok, "A", suffix="_one")
            ids = [int(i) for i in rng("ids").randint(0, 320, 60)]
            make_case(out, name, exact, stored, tok, ids=ids, suffix="_ids")
            generate(out, name, name, tok, exact, plain(exact, tok), 24, [2], ["--template", "none"])
            generate(out, name + "_one", name, tok, exact, chat(exact, tok, "chatml"), 12, [2], [])
        if name == "llama_untied":
            # A second stop id, as instruct models have, so chosen that the answer ends there.
            long = generate(out, name, name, tok, exact, chat(exact, tok, "smollm2"), 16, [2], [])
            stop = [2, next(i for i in long[8:] if i not in long[:8])]
            generate(out, name, name, tok, exact, chat(exact, tok, "smollm2"), 16, stop, [])
            out.json(
                f"models/{name}/generation_config.json", {"bos_token_id": 1, "eos_token_id": stop, "pad_token_id": 2}, indent=2
            )
        if name == "llama_f16":  # the older spelling of the rotation's base

            def top(c):
                c["rope_theta"] = c.pop("rope_parameters")["rope_theta"]

            edit_config(out, name, top)


def generate(out, case, model, tok, lm, prepare, count, stop, options, images=()):
    """A greedy answer as `ask` gives it, to the first question whose every choice is clear and which is not one token for ever.

    prepare(question) gives (prompt ids, embedded rows).
    """
    for question in QUESTIONS:
        ids, rows = prepare(question)
        got, why, margin = greedy(lm, rows, count, stop, tok.get_vocab_size())
        if margin > CLEAR and len(set(got)) >= min(5, count):
            break
    else:
        raise AssertionError(f"{case}: no question gives a clear answer")
    out.json(
        f"cases/{case}/generate.json",
        {
            "model": f"models/{model}",
            "images": list(images),
            "options": list(options),
            "prompt": question,
            "max_tokens": count,
            "prompt_ids": ids,
            "ids": got,
            "finish_reason": why,
            "text": tok.decode(got, skip_special_tokens=False),
            "margin": round(margin, 6),
        },
    )
    print(f"{case:24} greedy, {why} after {len(got)}, smallest margin {margin:.3g}: {question!r} -> {tok.decode(got)!r}")
    return got


def gemma_config(**kw):
    base = dict(
        vocab_size=420,
        hidden_size=32,
        intermediate_size=40,
        num_hidden_layers=7,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        max_position_embeddings=256,
        sliding_window=12,
        query_pre_attn_scalar=20,
        rms_norm_eps=1e-4,
        bos_token_id=2,
        eos_token_id=1,
        pad_token_id=0,
        tie_word_embeddings=True,
        hidden_activation="gelu_pytorch_tanh",
        attn_logit_softcapping=None,
        final_logit_softcapping=None,
        use_bidirectional_attention=False,
        rope_parameters={
            "full_attention": {"rope_type": "default", "rope_theta": 500000.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 5000.0},
        },
    )
    return Gemma3TextConfig(**{**base, **kw})


def make_gemma(out):
    tok = tokens.gemma()
    assert tok.get_vocab_size() == 420
    table = [
        ("gemma3", {}, {}),
        (
            "gemma3_bf16",
            dict(dtype="bf16"),
            dict(
                hidden_size=24,
                num_hidden_layers=3,
                query_pre_attn_scalar=16,
                layer_types=["sliding_attention", "full_attention", "sliding_attention"],
            ),
        ),
    ]
    for name, how, kw in table:
        exact, stored = weights.build(out, Gemma3ForCausalLM, gemma_config(**kw), name, plus_one=True, **how)
        save_tokenizer(out, name, tok, {**GEMMA_CONFIG, "chat_template": tokens.GEMMA_TEMPLATE})
        out.json(
            f"models/{name}/generation_config.json",
            {
                "bos_token_id": 2,
                "eos_token_id": [1, tok.token_to_id("<end_of_turn>")],
                "pad_token_id": 0,
                "cache_implementation": "hybrid",
                "do_sample": True,
                "top_k": 64,
                "top_p": 0.95,
            },
            indent=2,
        )
        make_case(out, name, exact, stored, tok, PROMPTS[2])
        if name == "gemma3_bf16":  # the older spelling: sliding, full, sliding

            def older(c):
                rope = c.pop("rope_parameters")
                c["rope_theta"], c["rope_local_base_freq"] = (
                    rope["full_attention"]["rope_theta"],
                    rope["sliding_attention"]["rope_theta"],
                )
                c["torch_dtype"], c["sliding_window_pattern"] = c.pop("dtype"), 2
                c.pop("layer_types"), c.pop("_sliding_window_pattern", None)

            edit_config(out, name, older)
        if name == "gemma3":
            make_case(out, name, exact, stored, tok, "The cat", suffix="_short")
            stop = [1, tok.token_to_id("<end_of_turn>")]
            generate(out, name, name, tok, exact, plain(exact, tok), 20, stop, ["--template", "none"])
            generate(out, name + "_short", name, tok, exact, chat(exact, tok, "gemma"), 20, stop, [])


def make(out):
    make_llama(out)
    make_gemma(out)
