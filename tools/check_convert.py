"""Would the Python load what `vlm convert` writes? Run by hand:

    tools/check_convert.py build/vlm                                    nanoVLM's fields, names and shapes; transformers on the hf folders
    tools/check_convert.py build/vlm --fork DIR --upstream DIR          and their own code: it loads the folders and computes what vlm does

DIR is a checkout of github.com/amazingvince/nanoVLM (branch gemma-dinov3 or fix/dinov3-inference) and of github.com/huggingface/nanoVLM.
"""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import types
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests/golden"
TOLERANCE = 2e-4  # times max(1, rms), as in vlm trace
WHOLE = ["vlm_dino", "vlm_dino_plain", "vlm_dino_bf16", "vlm_fork_maths", "vlm_siglip_fork", "vlm_siglip_up", "vlm_gemma"]
MADE = {  # of bare golden folders: what vlm new makes, with the option that the fork's rope base needs
    "new_siglip": ("siglip", "llama"),
    "new_dino": ("dinov3_7b", "llama_untied"),
    "new_dino_gemma": ("dinov3_p8", "gemma3"),
    "new_giant": ("dinov2_giant", "llama_f16"),
    "new_reg": ("dinov2_reg", "gemma3_bf16"),
}

# Fields of the two VLMConfig classes; lm_vocab_size is computed by the fork, which takes the key away before it makes the object.
BOTH = """vit_model_type vit_hidden_dim vit_inter_dim vit_patch_size vit_img_size vit_n_heads vit_dropout vit_n_blocks vit_ln_eps vit_cls_flag
lm_model_type lm_tokenizer lm_hidden_dim lm_inter_dim lm_rms_eps lm_re_base lm_max_position_embeddings lm_base_vocab_size extra_token_amount
lm_vocab_size lm_n_heads lm_n_kv_heads lm_dropout lm_n_blocks lm_attn_scaling lm_max_length lm_use_tokens lm_tie_weights lm_chat_template
mp_pixel_shuffle_factor mp_image_token_length max_img_size vlm_extra_tokens vlm_load_backbone_weights vlm_checkpoint_path hf_repo_name"""
FORK = """vit_architecture vit_channels vit_num_registers vit_use_swiglu vit_use_rope vit_use_sincos_pos vit_rope_base vit_layer_scale
vit_layer_scale_init vit_drop_path_rate vit_rope_augment lm_architecture lm_head_dim mp_handle_special_tokens vlm_max_image_tokens"""
FIELDS = {"fork": set(BOTH.split()) | set(FORK.split()), "upstream": set(BOTH.split()) | {"resize_to_max_side_len"}}

failed = passed = 0


def check(what, ok, detail=""):
    global failed, passed
    passed += bool(ok)
    failed += not ok
    if not ok or detail:
        print(("ok   " if ok else "FAIL ") + what + (f": {detail}" if detail else ""))


def close(what, got, want):
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    if got.shape != want.shape:
        return check(what, False, f"shape {got.shape}, expected {want.shape}")
    error, rms = np.abs(got - want).max(), np.sqrt((want**2).mean())
    check(what, error <= TOLERANCE * max(1, rms), f"largest difference {error:.1e} at rms {rms:.2g}")


def tensors(path):
    with safe_open(path, "pt") as f:
        return {k: f.get_tensor(k) for k in f.keys()}, f.metadata() or {}


def state_of(c):
    """Names and shapes of the model that a flat config describes."""
    fork = "vit_architecture" in c
    D, F, L = c["vit_hidden_dim"], c["vit_inter_dim"], c["vit_n_blocks"]
    dino = fork and c["vit_architecture"] == "dinov3"
    v, out = "vision_encoder.", {}
    out[v + "patch_embedding.conv.weight"], out[v + "patch_embedding.conv.bias"] = [D, 3] + [c["vit_patch_size"]] * 2, [D]
    if c["vit_cls_flag"]:
        out[v + "patch_embedding.cls_token"] = [1, 1, D]
    if fork and c["vit_num_registers"]:
        out[v + "patch_embedding.register_tokens"] = [1, c["vit_num_registers"], D]
    if not dino:
        out[v + "patch_embedding.position_embedding"] = [1, (c["vit_img_size"] // c["vit_patch_size"]) ** 2, D]
    gated = fork and c["vit_use_swiglu"]
    layers = {"attn.qkv_proj": [3 * D, D], "attn.out_proj": [D, D]}
    layers |= {"mlp.gate_proj": [F, D], "mlp.up_proj": [F, D], "mlp.down_proj": [D, F]} if gated else {"mlp.fc1": [F, D], "mlp.fc2": [D, F]}
    layers |= {"ln1": [D], "ln2": [D]}
    for i in range(L):
        for k, shape in layers.items():
            out[f"{v}blocks.{i}.{k}.weight"], out[f"{v}blocks.{i}.{k}.bias"] = shape, shape[:1]
        for j in "12" if fork and c["vit_layer_scale"] else "":
            out[f"{v}blocks.{i}.layer_scale{j}.lambda_param"] = [D]
    out[v + "layer_norm.weight"] = out[v + "layer_norm.bias"] = [D]
    d, F, H, G, V = (c["lm_" + k] for k in ("hidden_dim", "inter_dim", "n_heads", "n_kv_heads", "vocab_size"))
    Dh = c.get("lm_head_dim") or d // H
    out["MP.proj.weight"] = [d, D * c["mp_pixel_shuffle_factor"] ** 2]
    out["decoder.token_embedding.weight"] = out["decoder.head.weight"] = [V, d]
    out["decoder.rotary_embd.inv_freq"], out["decoder.norm.weight"] = [Dh // 2], [d]
    for i in range(c["lm_n_blocks"]):
        for k, shape in {"attn.q_proj": [H * Dh, d], "attn.k_proj": [G * Dh, d], "attn.v_proj": [G * Dh, d], "attn.out_proj": [d, H * Dh],
                         "mlp.gate_proj": [F, d], "mlp.up_proj": [F, d], "mlp.down_proj": [d, F], "norm1": [d], "norm2": [d]}.items():
            out[f"decoder.blocks.{i}.{k}.weight"] = shape
    return out


def check_nanovlm(name, folder):
    c = json.loads((folder / "config.json").read_text())
    flavour = "fork" if "vit_architecture" in c else "upstream"
    keys = set(c)
    check(f"{name}: keys of {flavour}", keys == FIELDS[flavour], f"{sorted(keys ^ FIELDS[flavour])}" if keys != FIELDS[flavour] else "")
    if flavour == "fork":
        rows = -(-(c["lm_base_vocab_size"] + c["extra_token_amount"]) // 128) * 128
        check(f"{name}: rows that the fork computes", rows == c["lm_vocab_size"])
        check(f"{name}: the fork needs a head size", isinstance(c["lm_head_dim"], int))
    have, metadata = tensors(folder / "model.safetensors")
    want = state_of(c)
    if c["lm_tie_weights"]:
        del want["decoder.token_embedding.weight"]
        check(f"{name}: alias", metadata.get("decoder.token_embedding.weight") == "decoder.head.weight")
    check(f"{name}: format", metadata.get("format") == "pt")
    shapes = {k: list(t.shape) for k, t in have.items()}
    check(f"{name}: names and shapes", shapes == want, "" if shapes == want else str(sorted(set(shapes) ^ set(want))))
    return flavour


def check_hf(name, folder, trace):
    import transformers

    transformers.utils.logging.disable_progress_bar()
    for part, auto in (("vision", transformers.AutoModel), ("language", transformers.AutoModelForCausalLM)):
        model, info = auto.from_pretrained(folder / part, output_loading_info=True, dtype=torch.float32)
        bad = {k: v for k, v in info.items() if v}
        check(f"{name}: {type(model).__name__} loads", not bad, str(bad) if bad else "")
        model.eval()
        with torch.no_grad():
            if part == "vision":
                k = 0
                while (trace / f"image.{k}.pixels.npy").exists():
                    pixels = torch.from_numpy(np.load(trace / f"image.{k}.pixels.npy"))
                    out = model(pixel_values=pixels if pixels.ndim == 4 else pixels[None]).last_hidden_state
                    want = np.load(trace / f"image.{k}.patches.npy")
                    close(f"{name}: patches of image {k}", out[:, -(len(want) // len(out)) :].reshape(want.shape), want)
                    k += 1
            else:
                embed = torch.from_numpy(np.load(trace / "embed.npy"))[None]
                close(f"{name}: logits", model(inputs_embeds=embed).logits[0], np.load(trace / "logits.npy"))
                tokenizer = transformers.AutoTokenizer.from_pretrained(folder / part)
                image = tokenizer.convert_tokens_to_ids("<|image|>")
                check(f"{name}: tokenizer", image is not None and image < model.config.vocab_size)


def worker(repo, folder, trace, flavour):
    """Their own classes on one folder, in a process of its own: the two repositories have modules of the same names."""
    import transformers

    sys.path.insert(0, repo)
    for module in ("torchvision", "torchvision.transforms", "torchvision.transforms.functional"):  # only the image path needs it
        sys.modules[module] = types.ModuleType(module)
    names = ("Compose", "ToTensor", "Normalize", "Resize", "InterpolationMode", "resize")
    for name in names:
        setattr(sys.modules["torchvision.transforms"], name, type(name, (), {"BICUBIC": 3, "BILINEAR": 2}))
    setattr(sys.modules["torchvision"], "transforms", sys.modules["torchvision.transforms"])
    setattr(sys.modules["torchvision.transforms"], "functional", sys.modules["torchvision.transforms.functional"])
    for name in names:
        setattr(sys.modules["torchvision.transforms.functional"], name, getattr(sys.modules["torchvision.transforms"], name))

    os.chdir(folder)  # for lm_tokenizer "."
    c = json.loads(Path("config.json").read_text())
    if c["lm_tokenizer"] != ".":  # a name at the Hub: the folder's own instead
        real = transformers.AutoTokenizer.from_pretrained
        here = "." if Path("tokenizer.json").exists() else "tokenizer"
        transformers.AutoTokenizer.from_pretrained = lambda name, **kw: real(here, **kw)
    from models.config import VLMConfig
    from models.vision_language_model import VisionLanguageModel

    fields = {f.name for f in dataclasses.fields(VLMConfig)}
    check("their fields", set(c) == fields, str(sorted(set(c) ^ fields)) if set(c) != fields else "")
    model = VisionLanguageModel.from_pretrained(".").eval()
    state = {k: list(t.shape) for k, t in model.state_dict().items()}
    check("their state_dict", state == state_of(c), "" if state == state_of(c) else str(sorted(set(state) ^ set(state_of(c)))))
    have, _ = tensors("model.safetensors")
    same = all(torch.equal(model.state_dict()[k].float(), t.float()) for k, t in have.items() if "inv_freq" not in k)
    check("their values are those of the file", same)
    close("their inv_freq", model.state_dict()["decoder.rotary_embd.inv_freq"], have["decoder.rotary_embd.inv_freq"])
    ids = model.tokenizer.convert_tokens_to_ids("<|image|>")
    placeholder = json.loads(Path(trace, "vlm.json").read_text())["ids"][0]
    check("their image token", ids == placeholder, f"{ids}, ours {placeholder}" if ids != placeholder else "")
    with torch.no_grad():
        k = 0
        while os.path.exists(f"{trace}/image.{k}.pixels.npy"):
            pixels = torch.from_numpy(np.load(f"{trace}/image.{k}.pixels.npy"))
            if pixels.ndim == 3:
                pixels = pixels[None]
            rows = model.vision_encoder(pixels)
            grid = [n // c["vit_patch_size"] for n in pixels.shape[-2:]]
            dino = c.get("vit_architecture") == "dinov3"
            want = np.load(f"{trace}/image.{k}.tokens.npy")
            close(f"their tokens of image {k}", (model.MP(rows, *grid) if dino else model.MP(rows)).reshape(want.shape), want)
            k += 1
        hidden, _ = model.decoder(torch.from_numpy(np.load(f"{trace}/embed.npy"))[None])
        close("their logits", model.decoder.head(hidden)[0], np.load(f"{trace}/logits.npy"))


def main():
    global failed, passed
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("vlm")
    p.add_argument("--fork", action="append", default=[])
    p.add_argument("--upstream", action="append", default=[])
    p.add_argument("--worker", nargs=4, help=argparse.SUPPRESS)
    a = p.parse_args()
    torch.set_num_threads(1)
    if a.worker:
        worker(*a.worker)
        print(f"{passed} {failed}")
        return 0

    vlm = str(Path(a.vlm).resolve())

    def run(*args, may_fail=False):
        r = subprocess.run([vlm, *map(str, args)], capture_output=True, text=True)
        if r.returncode and not may_fail:
            raise SystemExit(f"vlm {' '.join(map(str, args))}: {r.stderr}")
        return r

    with tempfile.TemporaryDirectory() as tmp:
        tmp = Path(tmp)
        sources = {name: GOLDEN / "models" / name for name in WHOLE}
        for name, (vision, language) in MADE.items():
            template = ["--template", "gemma"] if "gemma" in language else []
            run("new", "--vision", GOLDEN / "models" / vision, "--language", GOLDEN / "models" / language, "-o", tmp / name, *template)
            sources[name] = tmp / name
        for name, source in sources.items():
            fork_maths = ["--fork-maths"] if name == "vlm_fork_maths" else []
            images = [GOLDEN / "images/rgb_64x48.png", GOLDEN / "images/rgb_33x31.png"]
            asked = ["-i", images[0], "-i", images[1], "--prompt", "hello"]
            trace = tmp / f"{name}.trace"
            run("trace", source, *asked, "-o", trace, *fork_maths)
            run("convert", source, "--to", "hf", "-o", tmp / f"{name}.hf", *fork_maths)
            check_hf(name, tmp / f"{name}.hf", trace)
            out = tmp / f"{name}.nanovlm"
            r = run("convert", source, "--to", "nanovlm", "-o", out, *fork_maths, may_fail=True)
            if r.returncode:
                print(f"     {name}: refused: {r.stderr.strip().splitlines()[-1]}")
                continue
            flavour = check_nanovlm(name, out)
            theirs = tmp / f"{name}.theirs"  # what their code sees: their statistics; for a plain DINOv3 their activation
            plain = flavour == "fork" and not json.loads((out / "config.json").read_text())["vit_use_swiglu"]
            dino = flavour == "fork" and json.loads((out / "config.json").read_text())["vit_architecture"] == "dinov3"
            run("trace", out, *asked, "-o", theirs, *(["--fork-maths"] if plain and dino else []))
            ids = json.loads(run("tokenize", out, "<|image|>", "--no-special", "--json").stdout)["ids"]
            (theirs / "vlm.json").write_text(json.dumps({"ids": ids}))
            for repo in a.fork if flavour == "fork" else a.upstream:
                print(f"     {name} in {repo}")
                command = [sys.executable, __file__, vlm, "--worker", str(Path(repo).resolve()), str(out), str(theirs), flavour]
                r = subprocess.run(command, capture_output=True, text=True)
                lines = r.stdout.strip().splitlines()
                if r.returncode:
                    check(f"{name} in {repo}", False, r.stderr)
                    continue
                print("\n".join("     " + line for line in lines[:-1]))
                passed, failed = passed + int(lines[-1].split()[0]), failed + int(lines[-1].split()[1])
    print(f"{passed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
