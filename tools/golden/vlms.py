"""Whole models in nanoVLM's layout (the fork's and upstream's), composed here of transformers' encoder and decoder in float64.

FOLDERS has a function for each folder, which gives (model, config.json) and writes nothing.
"""

import json
import struct
import types

import numpy as np
import torch
from transformers import DINOv3ViTModel, Gemma3ForCausalLM, LlamaForCausalLM, SiglipVisionModel

from . import decoders, encoders, tokens, weights
from .images import decode
from .resize import normalise, resize, rule

FORK_VIT = dict(
    vit_architecture="dinov3",
    vit_model_type="",
    vit_hidden_dim=0,
    vit_inter_dim=0,
    vit_patch_size=16,
    vit_img_size=64,
    vit_channels=3,
    vit_n_heads=0,
    vit_dropout=0.0,
    vit_n_blocks=0,
    vit_ln_eps=1e-5,
    vit_cls_flag=True,
    vit_num_registers=4,
    vit_use_swiglu=False,
    vit_use_rope=True,
    vit_use_sincos_pos=False,
    vit_rope_base=10000.0,
    vit_layer_scale=True,
    vit_layer_scale_init=1.0,
    vit_drop_path_rate=0.0,
    vit_rope_augment=True,
)
LM = dict(
    lm_architecture="llama",
    lm_model_type="",
    lm_tokenizer="",
    lm_hidden_dim=0,
    lm_inter_dim=0,
    lm_rms_eps=1e-5,
    lm_re_base=100000,
    lm_max_position_embeddings=0,
    lm_base_vocab_size=0,
    extra_token_amount=17,
    lm_n_heads=0,
    lm_n_kv_heads=0,
    lm_head_dim=None,
    lm_dropout=0.0,
    lm_n_blocks=0,
    lm_attn_scaling=1.0,
    lm_max_length=256,
    lm_use_tokens=False,
    lm_tie_weights=True,
    lm_chat_template=tokens.CHATML,
)
TAIL = dict(vlm_load_backbone_weights=True, vlm_checkpoint_path="checkpoints", hf_repo_name=None)


def extra_tokens(n, with_global):
    names = {"image_token": "<|image|>", **({"global_image_token": "<|global_image|>"} if with_global else {})}
    return {**names, **{f"r{i}c{j}": f"<row_{i}_col_{j}>" for i in range(1, n + 1) for j in range(1, n + 1)}}


def write_safetensors(out, name, tensors, metadata, dtype="f32"):
    """As safetensors.torch.save_model lays it out; written here so that the bytes do not depend on a hash table's order."""
    header, data = {"__metadata__": metadata}, b""
    for k in sorted(tensors):
        x = tensors[k].detach().contiguous().to(weights.DTYPES[dtype])
        b = x.view(torch.int16 if x.element_size() == 2 else torch.int32).numpy().tobytes()
        header[k] = {"dtype": dtype.upper(), "shape": list(x.shape), "data_offsets": [len(data), len(data) + len(b)]}
        data += b
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    out.bytes(name, struct.pack("<Q", len(text)) + text + data)


def vit_names(state, dino, swiglu):
    """Hugging Face's vision tensors (or their gradients) under nanoVLM's names (docs/formats.md)."""
    V, out = "vision_encoder.", {}
    emb = "embeddings.patch_embedding" + ("s" if dino else "")
    out[V + "patch_embedding.conv.weight"], out[V + "patch_embedding.conv.bias"] = state[emb + ".weight"], state[emb + ".bias"]
    if dino:
        out[V + "patch_embedding.cls_token"] = state["embeddings.cls_token"]
        out[V + "patch_embedding.register_tokens"] = state["embeddings.register_tokens"]
    else:
        out[V + "patch_embedding.position_embedding"] = state["embeddings.position_embedding.weight"][None]
    layers = 1 + max(
        int(k.split("layer" + ("." if dino else "s."))[1].split(".")[0]) for k in state if "layer." in k or "layers." in k
    )
    for i in range(layers):
        h, n = (f"layer.{i}." if dino else f"encoder.layers.{i}."), f"{V}blocks.{i}."
        attn = h + ("attention." if dino else "self_attn.")
        qkv = [state[f"{attn}{x}_proj.weight"] for x in "qkv"]
        bias = [state.get(f"{attn}{x}_proj.bias", torch.zeros(len(w))) for x, w in zip("qkv", qkv)]
        out[n + "attn.qkv_proj.weight"], out[n + "attn.qkv_proj.bias"] = torch.cat(qkv), torch.cat(bias)
        for wb in ("weight", "bias"):
            out[f"{n}attn.out_proj.{wb}"] = state[f"{attn}{'o' if dino else 'out'}_proj.{wb}"]
            for a, b in (("norm1", "ln1"), ("norm2", "ln2")):
                out[f"{n}{b}.{wb}"] = state[f"{h}{a if dino else 'layer_' + a}.{wb}"]
            pairs = (
                [("gate_proj",) * 2, ("up_proj",) * 2, ("down_proj",) * 2] if swiglu else [("up_proj", "fc1"), ("down_proj", "fc2")]
            )
            for a, b in pairs if dino else [("fc1", "fc1"), ("fc2", "fc2")]:
                out[f"{n}mlp.{b}.{wb}"] = state[f"{h}mlp.{a}.{wb}"]
        if dino:
            for j in "12":
                out[f"{n}layer_scale{j}.lambda_param"] = state[f"{h}layer_scale{j}.lambda1"]
    for wb in ("weight", "bias"):
        out[f"{V}layer_norm.{wb}"] = state[("norm." if dino else "post_layernorm.") + wb]
    return out


def lm_names(state, config, gemma, stored="decoder.head.weight"):
    """Hugging Face's decoder tensors (or their gradients) under nanoVLM's names; a tied table once, under the name `stored`."""
    D, out = "decoder.", {}
    norms = {"input_layernorm": "norm1", "post_attention_layernorm": "norm2"}
    if gemma:
        norms = {
            "input_layernorm": "norm1",
            "post_attention_layernorm": "post_attn_norm",
            "pre_feedforward_layernorm": "norm2",
            "post_feedforward_layernorm": "post_ffn_norm",
        }
    out[stored], out[D + "norm.weight"] = state["model.embed_tokens.weight"], state["model.norm.weight"]
    if not config.tie_word_embeddings:
        out["decoder.token_embedding.weight"], out["decoder.head.weight"] = state["model.embed_tokens.weight"], state["lm_head.weight"]
    dh = config.head_dim
    theta = (config.rope_parameters["full_attention"] if gemma else config.rope_parameters)["rope_theta"]
    out[D + "rotary_embd.inv_freq"] = 1.0 / theta ** (torch.arange(0, dh, 2).float() / dh)
    for i in range(config.num_hidden_layers):
        h, n = f"model.layers.{i}.", f"{D}blocks.{i}."
        for x in "qkvo":
            out[f"{n}attn.{'out' if x == 'o' else x}_proj.weight"] = state[f"{h}self_attn.{x}_proj.weight"]
        for x in ("gate", "up", "down"):
            out[f"{n}mlp.{x}_proj.weight"] = state[f"{h}mlp.{x}_proj.weight"]
        for a, b in norms.items():
            out[f"{n}{b}.weight"] = state[f"{h}{a}.weight"]
        for x in ("q_norm", "k_norm") if gemma else ():
            out[f"{n}attn.{x}.weight"] = state[f"{h}self_attn.{x}.weight"]
    return out


def shuffle(x, hp, wp, s):
    """Rectangular space-to-depth of a tensor: (hp*wp, D) to (hp/s*wp/s, s*s*D)."""
    d = x.shape[-1]
    x = x.reshape(hp // s, s, wp // s, s, d).permute(0, 2, 1, 3, 4)
    return x.reshape(hp // s * (wp // s), s * s * d)


class VLM:
    """A composed model: exact (float64) and stored (the file's type) parts, and the rules round them."""

    def __init__(self, out, name, vit, lm, tok, rules):
        self.out, self.name, self.tok, self.lm_config = out, name, tok, lm[1]
        self.r = types.SimpleNamespace(
            shuffle=2,
            dtype="f32",
            template="chatml",
            stored="decoder.head.weight",
            tiles=None,
            use_global=False,
            norm="imagenet",
            max_side=False,
            like=name,
            names=None,
        )
        self.r.__dict__.update(rules)
        self.gemma = self.r.template == "gemma"
        self.vit = self._pair(*vit, "vit")
        self.lm = self._pair(*lm, "lm")
        width = vit[1].hidden_size * self.r.shuffle**2
        mp = weights.draw(self.r.like, "MP.proj.weight", (lm[1].hidden_size, width)).to(weights.DTYPES[self.r.dtype])
        self.mp = (mp.double(), mp)
        self.patch = vit[1].patch_size
        self.prefix = 1 + getattr(vit[1], "num_register_tokens", 0) if not self.r.tiles else 0

    def _pair(self, cls, config, part):
        config._attn_implementation = "eager"
        torch.manual_seed(0)
        model = cls(config).eval()
        state = weights.drawn(model, self.r.like + part, self.gemma and part == "lm")
        model = model.to(weights.DTYPES[self.r.dtype])
        model.load_state_dict(state)
        return weights.exact(cls, config, model.state_dict()), model

    def tensors(self, vit, lm, mp):
        """All that is stored, under its names: of the parts' state dicts, or of the same names' gradients."""
        vit = {k.removeprefix("model.").removeprefix("vision_model."): v for k, v in vit.items()}
        gated = getattr(self.vit[1].config, "use_gated_mlp", False)
        out = self.r.names(vit) if self.r.names else vit_names(vit, not self.r.tiles, gated)
        return out | lm_names(lm, self.lm_config, self.gemma, self.r.stored) | {"MP.proj.weight": mp}

    def save(self, config, tokenizer="tokenizer/", tok_config=None):
        stored = self.r.stored
        tensors = self.tensors(self.vit[1].state_dict(), self.lm[1].state_dict(), self.mp[1])
        tied = stored == "decoder.head.weight" and self.lm_config.tie_word_embeddings
        alias = {"decoder.token_embedding.weight": stored} if tied else {}
        folder = f"models/{self.name}"
        write_safetensors(self.out, f"{folder}/model.safetensors", tensors, {**alias, "format": "pt"}, self.r.dtype)
        self.out.json(f"{folder}/config.json", config, indent=4)
        self.out.bytes(f"{folder}/{tokenizer}tokenizer.json", tokens.text_of(self.tok).encode())
        extra = config["vlm_extra_tokens"]
        tok_config = {**tok_config, "extra_special_tokens": extra, **extra}
        self.out.json(f"{folder}/{tokenizer}tokenizer_config.json", tok_config, indent=2)
        special = {k: tok_config[k] for k in ("bos_token", "eos_token", "pad_token", "unk_token")}
        self.out.json(f"{folder}/{tokenizer}special_tokens_map.json", {**special, **extra}, indent=2)

    # ------------------------------------------------------------ images
    def views(self, u8, max_size):
        """What the encoder sees of an image: (resized u8, pixels (views,3,H,W), grid of tiles or None)."""
        q = self.r.tiles or self.patch * self.r.shuffle
        h, w = rule(u8.shape[1], u8.shape[0], q, max_size, max_side=self.r.max_side)
        u8 = resize(u8, h, w)
        pixels = normalise(u8, self.r.norm)
        if not self.r.tiles:
            return u8, pixels[None], None
        S = self.r.tiles
        grid = (h // S, w // S)
        tiles = pixels.reshape(3, grid[0], S, grid[1], S).transpose(1, 3, 0, 2, 4).reshape(-1, 3, S, S)
        if self.r.use_global and grid != (1, 1):
            whole = torch.nn.functional.interpolate(
                torch.from_numpy(pixels)[None], (S, S), mode="bilinear", antialias=True, align_corners=False
            )
            tiles = np.concatenate([whole.numpy(), tiles])
        return u8, tiles, grid

    def parts(self, grid, count):
        """The ids and texts that stand for an image whose views give `count` tokens each."""
        t = self.tok.token_to_id
        run = [t("<|image|>")] * count
        if not grid:
            return run
        names = [f"<row_{i + 1}_col_{j + 1}>" for i in range(grid[0]) for j in range(grid[1])]
        if self.r.use_global:
            names = ["<|global_image|>"] + (names if grid != (1, 1) else [])
        return [p for n in names for p in [t(n)] + run]

    def image(self, u8, max_size, which):
        """One image's stages and the parts that stand for it."""
        u8, views, grid = self.views(u8, max_size)
        patches, rows, prefix = [], [], None
        for v in views:
            prefix, p = encoders.encode(self.vit[which], v, self.prefix)
            x = shuffle(torch.from_numpy(p), v.shape[1] // self.patch, v.shape[2] // self.patch, self.r.shuffle)
            rows.append(x.to(self.mp[which].dtype) @ self.mp[which].T)
            patches.append(p)
        pixels = views if self.r.tiles else views[0]
        stages = {"u8": u8, "pixels": pixels, "patches": np.concatenate(patches), "tokens": torch.cat(rows)}
        if self.prefix:
            stages["prefix"] = prefix
        return stages, self.parts(grid, len(rows[0]))

    def forward(self, images, prompt, max_size, which=0):
        """Every stage of one user turn with images, under the names of `vlm trace`; and the spliced rows."""
        arrays, content, rows = {}, [], []
        for k, image in enumerate(images):
            stages, parts = self.image(decode(self.out.path(f"images/{image}")), max_size, which)
            rows.append(stages["tokens"])
            stages["tokens"] = stages["tokens"].double().numpy()
            arrays |= {f"image.{k}.{n}": v for n, v in stages.items()}
            content += ([f"<image: {k}>"] if len(images) > 1 else []) + parts
        ids = tokens.ids_of(self.tok, tokens.render(self.tok, self.r.template, [("user", content + [prompt])]))
        with torch.no_grad():
            embed = decoders.embed(self.lm[which], ids)
        if rows:
            where = torch.tensor(ids) == self.tok.token_to_id("<|image|>")
            assert int(where.sum()) == sum(map(len, rows))
            embed = embed.clone()
            embed[where] = torch.cat(rows)
        return arrays | decoders.stages(self.lm[which], ids, embed), embed

    def case(self, suffix, images, prompt, config, max_size=None, answer=0, options=()):
        name = self.name + suffix
        arrays, rows = self.forward(images, prompt, max_size or config["max_img_size"])
        low = None
        if self.r.dtype == "bf16":
            low = self.forward(images, prompt, max_size or config["max_img_size"], 1)[0]
            low = {k: v for k, v in low.items() if k.split(".")[-1] not in ("u8", "pixels", "ids")}
        case = {"model": f"models/{self.name}", "images": [f"images/{i}" for i in images], "prompt": prompt}
        options = [*options, *(["--max-size", str(max_size)] if max_size else [])]
        if options:
            case["options"] = options
        encoders.write_case(self.out, name, case, arrays, low)
        if answer:

            def prepare(question):
                arrays, rows = self.forward(images, question, max_size or config["max_img_size"])
                return [int(i) for i in arrays["ids"]], rows

            t = self.tok.token_to_id
            stop = [t("<eos>"), t("<end_of_turn>")] if self.gemma else [t("<|im_end|>")]
            decoders.generate(self.out, name, self.name, self.tok, self.lm[0], prepare, answer, stop, options, case["images"])


def vit_fields(c, dino, **kw):
    f = dict(
        vit_hidden_dim=c.hidden_size,
        vit_inter_dim=c.intermediate_size,
        vit_patch_size=c.patch_size,
        vit_img_size=c.image_size,
        vit_n_heads=c.num_attention_heads,
        vit_n_blocks=c.num_hidden_layers,
        vit_ln_eps=c.layer_norm_eps,
    )
    if dino:
        f.update(vit_num_registers=c.num_register_tokens, vit_use_swiglu=c.use_gated_mlp)
    return {**f, **kw}


def lm_fields(c, base, **kw):
    f = dict(
        lm_hidden_dim=c.hidden_size,
        lm_inter_dim=c.intermediate_size,
        lm_rms_eps=c.rms_norm_eps,
        lm_max_position_embeddings=c.max_position_embeddings,
        lm_base_vocab_size=base,
        lm_n_heads=c.num_attention_heads,
        lm_n_kv_heads=c.num_key_value_heads,
        lm_n_blocks=c.num_hidden_layers,
    )
    return {**f, **kw}


def smol_with(extra):
    tok = tokens.smol()
    tok.add_special_tokens(tokens.special(*extra.values()))
    return tok


def fork_dino(out, name):
    """The fork's folders; lm_vocab_size rounded up to 128, vit_rope_base 10000 stored and (rightly) not used: the base is 100."""
    gated, extra = name in ("vlm_dino", "vlm_dino_bf16"), extra_tokens(4, False)
    lm = decoders.llama_config(
        vocab_size=384,
        hidden_size=24,
        intermediate_size=48,
        num_attention_heads=3,
        num_key_value_heads=1,
        head_dim=8,
        rope_theta=100000.0,
        rms_norm_eps=1e-3,
    )
    vit = encoders.dinov3(
        gated=gated,
        patch_size=8,
        intermediate_size=64 if gated else 96,
        num_hidden_layers=2 if gated else 1,
        layer_norm_eps=1e-3,
    )
    if name == "vlm_fork_maths":  # as the fork computed: tanh-GELU, and a K bias that has been trained
        vit.hidden_act, vit.key_bias = "gelu_pytorch_tanh", True
    how = dict(dtype="bf16", like="vlm_dino") if name == "vlm_dino_bf16" else {}
    m = VLM(out, name, (DINOv3ViTModel, vit), (LlamaForCausalLM, lm), smol_with(extra), how)
    kind = "vits16plus" if gated else "vits16"
    return m, {
        **FORK_VIT,
        **vit_fields(vit, True),
        "vit_model_type": f"facebook/dinov3-{kind}-pretrain-lvd1689m",
        **LM,
        **lm_fields(
            lm, 320, lm_model_type="HuggingFaceTB/SmolLM2-135M-Instruct", lm_tokenizer="HuggingFaceTB/SmolLM2-135M-Instruct"
        ),
        "lm_vocab_size": 384,
        "lm_head_dim": 8 if gated else None,
        "mp_pixel_shuffle_factor": 2,
        "mp_image_token_length": 1,
        "mp_handle_special_tokens": True,
        "max_img_size": 64,
        "vlm_extra_tokens": extra,
        **TAIL,
    }


def siglip(out, name):
    up = name.endswith("up")
    extra = extra_tokens(8 if up else 4, up)
    rows = 320 + 66 if up else 384
    lm = decoders.llama_config(
        vocab_size=rows, hidden_size=24, intermediate_size=48, num_attention_heads=2, num_key_value_heads=1, rope_theta=100000.0
    )
    vit = encoders.siglip_config(vision_use_head=False, image_size=16, patch_size=4, layer_norm_eps=1e-3)
    rules = dict(tiles=16, use_global=up, norm="none" if up else "imagenet", max_side=up)
    if not up:
        rules["stored"] = "decoder.token_embedding.weight"
    m = VLM(out, name, (SiglipVisionModel, vit), (LlamaForCausalLM, lm), smol_with(extra), rules)
    config = {
        **FORK_VIT,
        "vit_architecture": "siglip",
        **{k: False for k in FORK_VIT if FORK_VIT[k] is True},
        "vit_num_registers": 0,
        "vit_rope_augment": True,
        **vit_fields(vit, False, vit_model_type="google/siglip2-base-patch16-512"),
        **LM,
        **lm_fields(lm, 320),
        "lm_vocab_size": rows,
    }
    if up:
        only = ("vit_channels", "vit_num_registers", "vit_architecture", "lm_architecture", "lm_head_dim")
        config = {
            k: v
            for k, v in config.items()
            if k not in only and not k.startswith(("vit_use", "vit_rope", "vit_layer_scale", "vit_drop_path"))
        }
        config["extra_token_amount"] = 66
    config |= {"mp_pixel_shuffle_factor": 2, "mp_image_token_length": 4, "max_img_size": 32}
    config |= {"resize_to_max_side_len": True} if up else {"mp_handle_special_tokens": False}
    return m, config | {"vlm_extra_tokens": extra, **TAIL}


def gemma(out, name):
    """DINOv3 x Gemma with correct maths. As in the 270M files one token lies beyond the base table, and the new ones after it."""
    tok = tokens.gemma()
    extra = extra_tokens(4, False)
    tok.add_special_tokens(tokens.special("<image_soft_token>", *extra.values()))
    assert tok.token_to_id("<|image|>") == 421
    rope = {k: {"rope_type": "default", "rope_theta": t} for k, t in (("full_attention", 1e6), ("sliding_attention", 1e4))}
    lm = decoders.gemma_config(vocab_size=512, hidden_size=24, sliding_window=512, query_pre_attn_scalar=16, rope_parameters=rope)
    vit = encoders.dinov3(gated=True, patch_size=8, intermediate_size=40, num_hidden_layers=1)
    m = VLM(out, name, (DINOv3ViTModel, vit), (Gemma3ForCausalLM, lm), tok, dict(template="gemma"))
    gem = dict(
        lm_architecture="gemma",
        lm_model_type="google/gemma-3-270m-it",
        lm_tokenizer="google/gemma-3-270m-it",
        lm_re_base=1000000,
        lm_head_dim=16,
    )
    return m, {
        **FORK_VIT,
        **vit_fields(vit, True),
        "vit_model_type": "facebook/dinov3-vits16plus-pretrain-lvd1689m",
        **LM,
        **lm_fields(lm, 420, **gem),
        "lm_vocab_size": 512,
        "mp_pixel_shuffle_factor": 2,
        "mp_image_token_length": 1,
        "mp_handle_special_tokens": True,
        "max_img_size": 64,
        "vlm_extra_tokens": extra,
        **TAIL,
    }


FOLDERS = {
    "vlm_dino": fork_dino,
    "vlm_dino_plain": fork_dino,
    "vlm_dino_bf16": fork_dino,
    "vlm_fork_maths": fork_dino,
    "vlm_siglip_up": siglip,
    "vlm_siglip_fork": siglip,
    "vlm_gemma": gemma,
}
#  folder: (suffix of the case, images, prompt, what else)
CASES = {
    "vlm_dino": [
        ("", ["rgb_53x37.png"], "What is in this picture?", dict(answer=16)),
        ("_two", ["rgb_150x9.png", "exif6.jpg"], "Which one is red?", {}),
        ("_text", [], "Is it 42? <|image|> <|im_end|>", {}),
        ("_small", ["rgb_7x120.png"], "Describe the image.", dict(max_size=32)),
    ],
    "vlm_dino_plain": [("", ["rgb_40x40.png"], "What is this?", {})],
    "vlm_dino_bf16": [("", ["rgb_40x40.png"], "What is this?", {})],
    "vlm_fork_maths": [("", ["rgb_40x40.png"], "What is this?", dict(options=["--fork-maths"]))],
    "vlm_siglip_up": [
        ("", ["rgb_53x37.png"], "What is in this picture?", dict(answer=16)),
        ("_two", ["rgb_33x31.png", "rgb_96x32.png"], "Which?", dict(max_size=48)),
        ("_one", ["rgb_1x1.png"], "What?", dict(max_size=16)),
    ],
    "vlm_siglip_fork": [("", ["rgb_53x37.png", "rgb_7x120.png"], "What is in this picture?", {})],
    "vlm_gemma": [
        ("", ["rgb_53x37.png"], "What is in this picture?", dict(answer=12)),
        ("_two", ["exif6.jpg", "rgb_96x32.png"], "Which one is red?", {}),
    ],
}


def make(out):
    for name, cases in CASES.items():
        m, config = FOLDERS[name](out, name)
        speaks = {**decoders.SMOL_CONFIG, "chat_template": tokens.CHATML}
        if m.gemma:
            speaks = {**decoders.GEMMA_CONFIG, "chat_template": tokens.GEMMA_TEMPLATE}
        m.save(config, "" if name == "vlm_siglip_up" else "tokenizer/", speaks)
        for suffix, images, prompt, more in cases:
            m.case(suffix, images, prompt, config, **more)
