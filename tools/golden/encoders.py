"""Vision encoders as transformers writes them, and every stage of a forward pass."""

import inspect
import json

import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import (
    Dinov2Config,
    Dinov2Model,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    DINOv3ViTConfig,
    DINOv3ViTModel,
    SiglipConfig,
    SiglipModel,
    SiglipVisionConfig,
    SiglipVisionModel,
)
from transformers.models.dinov3_vit import modeling_dinov3_vit
from PIL import Image

from . import weights
from .common import TREE, rms
from .images import decode
from .resize import normalise, resize, rule

TOLERANCE = 2e-4
transformers.utils.logging.disable_progress_bar()
transformers.utils.logging.set_verbosity_error()
# The cache is keyed by the type that was asked for: it would hand float32 coordinates to the float64 model.
modeling_dinov3_vit.get_patches_center_coordinates = inspect.unwrap(modeling_dinov3_vit.get_patches_center_coordinates)
MANY = ["rgb_64x48.png", "rgb_53x37.png", "rgb_1x1.png", "rgb_150x9.png", "rgb_7x120.png", "exif6.jpg"]
FEW = ["rgb_53x37.png", "rgb_33x31.png"]


def stages_json(arrays):
    return {k: {"shape": list(np.shape(v)), "rms": round(rms(v), 6)} for k, v in arrays.items()}


def write_case(out, name, case, arrays, bf16=None):
    """case.json and one array per stage; bf16 is the same stages from PyTorch in bfloat16."""
    for stage, x in arrays.items():
        out.npy(f"cases/{name}/{stage}.npy", x)
    case = dict(case, stages=stages_json(arrays), tolerance=TOLERANCE)
    if bf16:
        case["bf16"] = {k: float(f"{np.abs(np.asarray(v, np.float64) - arrays[k]).max():.3g}") for k, v in bf16.items()}
    out.json(f"cases/{name}/case.json", case)
    print(f"{name:24}", " ".join(f"{k}:{v['rms']:.3g}" for k, v in case["stages"].items()))


def encode(model, pixels, prefix):
    """Final-norm tokens of one image: (prefix rows, patch rows), float64."""
    dtype = next(model.parameters()).dtype
    x = torch.from_numpy(np.ascontiguousarray(pixels))[None].to(dtype)
    with torch.no_grad():
        if dtype == torch.float64:
            with weights.Float64():
                y = model(pixel_values=x).last_hidden_state[0]
        else:
            y = model(pixel_values=x).last_hidden_state[0]
    y = y.double().numpy()
    return y[:prefix], y[prefix:]


def trace(out, model, images, prefix, view, norm):
    """All image stages. view(u8 of the source) is the resized u8."""
    arrays = {}
    for k, image in enumerate(images):
        u8 = view(decode(TREE / image.lstrip("./") if image.startswith("..") else out.path(f"images/{image}")))
        pixels = normalise(u8, norm)
        first, patches = encode(model, pixels, prefix)
        arrays[f"image.{k}.u8"] = u8
        arrays[f"image.{k}.pixels"] = pixels
        if prefix:
            arrays[f"image.{k}.prefix"] = first
        arrays[f"image.{k}.patches"] = patches
    return arrays


def low(model, arrays, prefix):
    """What PyTorch makes of the same pixels in the stored type."""
    got = {}
    for k in range(len([a for a in arrays if a.endswith("pixels")])):
        first, patches = encode(model, arrays[f"image.{k}.pixels"], prefix)
        got[f"image.{k}.prefix"], got[f"image.{k}.patches"] = first, patches
    return got


def dino(out, name, cls, config, images, max_size=None, **how):
    exact, stored = weights.build(out, cls, config, name, **how)
    p, m = config.patch_size, max_size or 1024
    prefix = 1 + getattr(config, "num_register_tokens", 0)

    def view(u8):
        return resize(u8, *rule(u8.shape[1], u8.shape[0], p, m))

    arrays = trace(out, exact, images, prefix, view, "imagenet")
    case = {"model": f"models/{name}", "images": [f"images/{i}" for i in images]}
    if max_size:
        case["options"] = ["--max-size", str(max_size)]
    write_case(out, name, case, arrays, low(stored, arrays, prefix) if stored.dtype == torch.bfloat16 else None)


def again(out, name, suffix, cls, config, images, options, m=1024, upscale=True):
    """Another case of a DINOv3 that lies there."""
    config._attn_implementation = "eager"
    exact = weights.exact(cls, config, weights.drawn(cls(config), name))

    def view(u8):
        return resize(u8, *rule(u8.shape[1], u8.shape[0], config.patch_size, m, upscale))

    arrays = trace(out, exact, images, 1 + config.num_register_tokens, view, "imagenet")
    paths = [i.removeprefix("../") if i.startswith("..") else f"images/{i}" for i in images]
    write_case(out, name + suffix, {"model": f"models/{name}", "images": paths, "options": options}, arrays)


def dinov3(**kw):
    base = dict(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=80,
        patch_size=16,
        image_size=64,
        num_register_tokens=4,
        layerscale_value=1.0,
    )
    gated = dict(use_gated_mlp=True, hidden_act="silu")
    if kw.pop("gated", False):
        base.update(gated)
    return DINOv3ViTConfig(**{**base, **kw})


def edit_config(out, name, change):
    path = out.path(f"models/{name}/config.json")
    config = json.loads(path.read_text())
    change(config)
    out.json(f"models/{name}/config.json", config, indent=2)


def make_dinov3(out):
    M = DINOv3ViTModel
    dino(out, "dinov3_s", M, dinov3(), MANY, 64)
    dino(out, "dinov3_splus", M, dinov3(gated=True, patch_size=8, intermediate_size=72), FEW + ["rgb_96x32.png"], 48)
    dino(
        out,
        "dinov3_lplus",
        M,
        dinov3(gated=True, num_hidden_layers=3, num_attention_heads=4, intermediate_size=40, patch_size=8),
        FEW,
        40,
    )
    dino(
        out,
        "dinov3_7b",
        M,
        dinov3(
            gated=True,
            hidden_size=128,
            num_attention_heads=1,
            num_hidden_layers=1,
            patch_size=4,
            intermediate_size=24,
            query_bias=False,
            value_bias=False,
        ),
        FEW,
        16,
    )
    heads72 = dinov3(hidden_size=144, num_hidden_layers=1, patch_size=4, intermediate_size=24)
    dino(out, "dinov3_heads72_f16", M, heads72, FEW, 16, dtype="f16")
    small = dict(patch_size=8, num_register_tokens=0, rope_theta=50.0, layer_norm_eps=1e-3)
    dino(out, "dinov3_p8", M, dinov3(**small), ["rgb_40x40.png", "rgb_33x31.png", "exif3.jpg", "rgb_7x120.png"])
    again(out, "dinov3_p8", "_no_upscale", M, dinov3(**small), FEW, ["--no-upscale"], upscale=False)
    again(out, "dinov3_p8", "_cat", M, dinov3(**small), ["../../../examples/cat.jpg"], ["--max-size", "64"], m=64)
    dino(out, "dinov3_sharded", M, dinov3(patch_size=8), FEW, 32, shard="40KB")
    dino(out, "dinov3_bf16", M, dinov3(patch_size=8), FEW, 32, dtype="bf16", like="dinov3_sharded")

    def rope_parameters(c):  # the spelling that other families have in newer files
        c["rope_parameters"] = {"rope_theta": c.pop("rope_theta"), "rope_type": "default"}

    edit_config(out, "dinov3_splus", rope_parameters)


def siglip_config(**kw):
    base = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=56, patch_size=8, image_size=32)
    return SiglipVisionConfig(**{**base, **kw})


def square(size):
    return lambda u8: resize(u8, size, size, Image.Resampling.BILINEAR)


def make_siglip(out):
    images = ["rgb_53x37.png", "rgb_7x120.png", "rgb_1x1.png"]

    def case(name, exact, stored, size):
        arrays = trace(out, exact, images, 0, square(size), "siglip")
        bf16 = low(stored, arrays, 0) if stored.dtype == torch.bfloat16 else {}
        bf16 = {k: v for k, v in bf16.items() if "patches" in k}
        write_case(out, name, {"model": f"models/{name}", "images": [f"images/{i}" for i in images]}, arrays, bf16)

    bare = dict(vision_use_head=False)
    table = [
        ("siglip", {}, {}),
        (
            "siglip_heads72",
            {},
            dict(
                bare,
                layer_norm_eps=1e-3,
                hidden_size=72,
                num_attention_heads=1,
                num_hidden_layers=1,
                intermediate_size=40,
                patch_size=4,
                image_size=16,
            ),
        ),
        ("siglip_bf16", {"dtype": "bf16", "like": "siglip"}, bare),
        ("siglip_prefix", {}, dict(bare, hidden_size=16, patch_size=16, image_size=32)),
    ]
    for name, how, kw in table:
        config = siglip_config(**kw)
        exact, stored = weights.build(out, SiglipVisionModel, config, name, **how)
        case(name, exact, stored, config.image_size)

    # Older files carry "vision_model." before every name, and configs may leave defaults out.
    file = out.path("models/siglip_prefix/model.safetensors")
    tensors = {k if k.startswith("vision_model.") else "vision_model." + k: v for k, v in load_file(file).items()}
    save_file(tensors, file, metadata={"format": "pt"})
    keep = ("model_type", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "image_size")
    edit_config(out, "siglip_prefix", lambda c: [c.pop(k) for k in list(c) if k not in keep])

    text = dict(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        vocab_size=20,
        max_position_embeddings=4,
        projection_size=16,
    )
    config = SiglipConfig(vision_config=siglip_config(hidden_size=16).to_dict(), text_config=text)
    config.vision_config._attn_implementation = config.text_config._attn_implementation = "eager"
    exact, stored = weights.build(out, SiglipModel, config, "siglip_nested")
    case("siglip_nested", exact.vision_model, stored.vision_model, 32)


def make_dinov2(out):
    base = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, mlp_ratio=2, patch_size=14, image_size=42)
    images = ["rgb_53x37.png", "rgb_96x32.png", "rgb_1x1.png", "rgb_40x40.png"]
    dino(out, "dinov2", Dinov2Model, Dinov2Config(**base), images, 84)
    dino(
        out,
        "dinov2_reg",
        Dinov2WithRegistersModel,
        Dinov2WithRegistersConfig(**{**base, "hidden_size": 16, "patch_size": 7, "image_size": 42}, num_register_tokens=4),
        images,
        56,
    )
    dino(
        out,
        "dinov2_giant",
        Dinov2Model,
        Dinov2Config(
            **{**base, "hidden_size": 16, "patch_size": 8, "image_size": 40, "mlp_ratio": 4, "layer_norm_eps": 1e-3},
            use_swiglu_ffn=True,
        ),
        FEW,
        48,
    )


def make(out):
    make_dinov3(out)
    make_siglip(out)
    make_dinov2(out)
