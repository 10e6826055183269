"""Whole models that nanoVLM's config cannot say, in our own format: config.json and vlm.json beside it, as `vlm new` writes them."""

import json

import torch
from transformers import (
    Dinov2Config,
    Dinov2Model,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    Gemma3ForCausalLM,
    LlamaForCausalLM,
)

from . import decoders, tokens, vlms
from .resize import NORMALISE

EXTRA = {"image_token": "<|image|>"}


def dinov2_names(state):
    """DINOv2's tensors (or their gradients), as transformers has them in memory, under nanoVLM's names."""
    V, emb, out = "vision_encoder.", "embeddings.", {}
    names = {"cls_token": "cls_token", "register_tokens": "register_tokens", "position_embeddings": "position_embedding"}
    for a, b in names.items():
        if emb + a in state:
            out[f"{V}patch_embedding.{b}"] = state[emb + a]
    gated = "encoder.layer.0.mlp.gate_proj.weight" in state
    for i in range(sum(k.endswith("norm1.weight") for k in state)):
        h, n = f"encoder.layer.{i}.", f"{V}blocks.{i}."
        for wb in ("weight", "bias"):
            out[f"{n}attn.qkv_proj.{wb}"] = torch.cat([state[f"{h}attention.{x}_proj.{wb}"] for x in "qkv"])
            out[f"{n}attn.out_proj.{wb}"] = state[f"{h}attention.o_proj.{wb}"]
            for j in "12":
                out[f"{n}ln{j}.{wb}"] = state[f"{h}norm{j}.{wb}"]
            for x in ("gate_proj", "up_proj", "down_proj") if gated else ("fc1", "fc2"):
                out[f"{n}mlp.{x}.{wb}"] = state[f"{h}mlp.{x}.{wb}"]
        for j in "12":
            out[f"{n}layer_scale{j}.lambda_param"] = state[f"{h}layer_scale{j}.lambda1"]
    for wb in ("weight", "bias"):
        out[f"{V}patch_embedding.conv.{wb}"] = state[f"{emb}patch_embeddings.projection.{wb}"]
        out[f"{V}layer_norm.{wb}"] = state[f"layernorm.{wb}"]
    return out


def flat(m, ffn, max_size):
    """config.json: upstream's keys and no others."""
    v, c = m.vit[1].config, m.lm_config
    rope = c.rope_parameters["full_attention"] if m.gemma else c.rope_parameters
    return {
        "vit_hidden_dim": v.hidden_size,
        "vit_inter_dim": ffn,
        "vit_patch_size": v.patch_size,
        "vit_img_size": max_size,
        "vit_n_heads": v.num_attention_heads,
        "vit_dropout": 0.0,
        "vit_n_blocks": v.num_hidden_layers,
        "vit_ln_eps": v.layer_norm_eps,
        "vit_cls_flag": True,
        "vit_model_type": "dinov2",
        **vlms.lm_fields(c, c.vocab_size - 1),
        "lm_re_base": rope["rope_theta"],
        "extra_token_amount": 1,
        "lm_vocab_size": c.vocab_size,
        "lm_dropout": 0.0,
        "lm_attn_scaling": 1.0,
        "lm_max_length": c.max_position_embeddings,
        "lm_use_tokens": False,
        "lm_tie_weights": c.tie_word_embeddings,
        "lm_model_type": "gemma3" if m.gemma else "llama",
        "lm_tokenizer": ".",
        "lm_chat_template": tokens.CHATML,
        "mp_pixel_shuffle_factor": m.r.shuffle,
        "mp_image_token_length": 1,
        "max_img_size": max_size,
        "resize_to_max_side_len": False,
        "vlm_extra_tokens": EXTRA,
        "vlm_load_backbone_weights": False,
        "vlm_checkpoint_path": "checkpoints",
        "hf_repo_name": None,
    }


def own(m, max_size):
    """vlm.json."""
    mean, std = NORMALISE[m.r.norm]
    return {
        "format_version": 1,
        "vision_config": json.loads(m.vit[1].config.to_json_string()),
        "language_config": json.loads(m.lm_config.to_json_string()),
        "image": {
            "rule": "dynamic",
            "block": m.patch * m.r.shuffle,
            "max_size": max_size,
            "max_tokens": 0,
            "no_upscale": False,
            "fill_max": False,
            "global_tile": False,
            "filter": "bicubic",
            "mean": list(mean),
            "std": list(std),
        },
        "template": m.r.template,
    }


def dinov2(out, name):
    """Positions of a 4 x 4 square: bicubic up, down, both, and as they are; the head is not tied and wider than the stream."""
    vit = Dinov2Config(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=3, mlp_ratio=2, patch_size=8, image_size=32, layer_norm_eps=1e-3
    )
    lm = decoders.llama_config(
        vocab_size=321, hidden_size=20, intermediate_size=44, num_attention_heads=4, num_key_value_heads=2, head_dim=6
    )
    lm.tie_word_embeddings = False
    tok = vlms.smol_with(EXTRA)
    m = vlms.VLM(out, name, (Dinov2Model, vit), (LlamaForCausalLM, lm), tok, dict(names=dinov2_names))
    return m, flat(m, 48, 64)


def dinov2_reg(out, name):
    """Positions of a 5 x 5 square, antialiased; a Gemma whose window is shorter than every sample."""
    vit = Dinov2WithRegistersConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, mlp_ratio=2, patch_size=7, image_size=35, num_register_tokens=3
    )
    tok = tokens.gemma()
    tok.add_special_tokens(tokens.special(*EXTRA.values()))
    kinds = ["sliding_attention", "full_attention", "sliding_attention"]
    lm = decoders.gemma_config(
        vocab_size=421, hidden_size=20, intermediate_size=28, num_hidden_layers=3, head_dim=8, sliding_window=7, layer_types=kinds
    )
    rules = dict(names=dinov2_names, template="gemma")
    m = vlms.VLM(out, name, (Dinov2WithRegistersModel, vit), (Gemma3ForCausalLM, lm), tok, rules)
    return m, flat(m, 32, 56)


def dinov2_giant(out, name):
    """The gated MLP, s = 1; SmolLM2's template with its own system text."""
    vit = Dinov2Config(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, mlp_ratio=4, patch_size=8, image_size=24, use_swiglu_ffn=True
    )
    lm = decoders.llama_config(vocab_size=321, hidden_size=18, intermediate_size=32, num_hidden_layers=1, head_dim=6)
    rules = dict(names=dinov2_names, template="smollm2", shuffle=1)
    m = vlms.VLM(out, name, (Dinov2Model, vit), (LlamaForCausalLM, lm), vlms.smol_with(EXTRA), rules)
    return m, flat(m, 48, 40)


FOLDERS = {"vlm_dinov2": dinov2, "vlm_dinov2_reg": dinov2_reg, "vlm_dinov2_giant": dinov2_giant}
SPEAKS = {"chatml": tokens.CHATML, "smollm2": tokens.SMOLLM2, "gemma": tokens.GEMMA_TEMPLATE}


def make(out):
    for name, build in FOLDERS.items():
        m, config = build(out, name)
        speaks = decoders.GEMMA_CONFIG if m.gemma else decoders.SMOL_CONFIG
        m.save(config, "", {**speaks, "chat_template": SPEAKS[m.r.template]})
        out.json(f"models/{name}/vlm.json", own(m, config["max_img_size"]), indent=2)
        m.case("", ["rgb_53x37.png"], "What?", config)
