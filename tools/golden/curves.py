"""Twenty updates by torch.optim.AdamW in float64: the loss before each, its gradient's norm, the rates, and what became of the weights.

The rates are low enough for float32 to follow: with ten times as much the models' loud weights make a rounding error grow to 1e-3.
"""

import math

import torch

from . import ours, training, vlms
from .common import rms

STEPS, TOLERANCE = 20, {"loss": 1e-5, "grad_norm": 5e-4, "moved": 5e-3}
BASE = {
    "steps": STEPS,
    "batch-samples": 3,
    "lr-projector": 1e-3,
    "lr-vision": 1e-4,
    "lr-language": 3e-4,
    "warmup": 0.1,
    "weight-decay": 1.0,  # a hundred times the default, to be seen in the loss
    "max-grad-norm": 1.0,
}
TWO = {"batch-samples": 2, "accumulate": 2}
CURVES = {  # name: (the model's folder, options that differ)
    "vlm_dino_all": ("vlm_dino", {}),
    "vlm_dino_decay_all": ("vlm_dino", {"decay-all": True, "warmup": 0.03, "lr-projector": 5e-4, "lr-vision": 5e-5, "lr-language": 1.5e-4}),
    "vlm_dino_projector": ("vlm_dino", {"freeze": "vision,language", "lr-projector": 5e-4}),
    "vlm_dino_frozen_vision": ("vlm_dino", {"freeze": "vision"}),
    "vlm_dino_one": ("vlm_dino", {"batch-samples": 1}),  # a text alone gives vision and projector no gradient: they rest
    "vlm_dino_accumulate": ("vlm_dino", TWO),
    "vlm_dino_mean": ("vlm_dino", {**TWO, "mean-per-microbatch": True}),
    "vlm_dino_bf16_all": ("vlm_dino_bf16", {}),
    "vlm_siglip_up_all": ("vlm_siglip_up", {}),
    "vlm_dinov2_all": ("vlm_dinov2", {}),
    "vlm_dinov2_reg_all": ("vlm_dinov2_reg", {}),
}


def rate(it, top, steps, warmup):
    """Of update it = 0, 1, ...: linear to the top, then half a cosine to a tenth of it. warmup below 1 is a share of the steps."""
    warm, low = (warmup * steps if warmup < 1 else warmup), 0.1 * top
    if it < warm:
        return top * (it + 1) / warm
    return low if it > steps else low + 0.5 * (1 + math.cos(math.pi * (it - warm) / (steps - warm))) * (top - low)


def decays(name, p, decay_all):
    """Matrices do, other than tables of embeddings (a tied head with them) and positions, CLS and registers."""
    table = any(x in name for x in ("embed_tokens", "position_embedding", "cls_token", "register_tokens"))
    return decay_all or (p.ndim >= 2 and not table)


def micro_batches(data, size):
    """In the file's order, again and again; the last of an epoch may be short."""
    while True:
        yield from (data[i : i + size] for i in range(0, len(data), size))


def run(net, data, o):
    """The curve, and the stored tensors' values before and after."""
    frozen = o.get("freeze", "").split(",")
    parts = {g: ps for g, ps in net.groups.items() if g not in frozen}
    for g in frozen:
        for p in net.groups.get(g, {}).values():
            p.requires_grad_(False)
    params = [p for ps in parts.values() for p in ps.values()]
    groups = []
    for g, ps in parts.items():
        for on in (True, False):
            some = [p for k, p in ps.items() if decays(k, p, o.get("decay-all")) == on]
            groups.append({"params": some, "weight_decay": o["weight-decay"] if on else 0.0, "part": g})
    optimizer = torch.optim.AdamW([g for g in groups if g["params"]], lr=0.0, foreach=False)
    out = {"loss": [], "labels": [], "grad_norm": [], "lr": {g: [] for g in parts}}
    batches, count, first = micro_batches(data, o["batch-samples"]), o.get("accumulate", 1), net.values()
    for it in range(o["steps"]):
        update = [next(batches) for _ in range(count)]
        labels, nll = sum(s.labels for b in update for s in b), 0.0
        for b in update:
            mean = o.get("mean-per-microbatch")
            nll += sum(net.backward(b, 1 / count if mean else 1.0, None if mean else labels)[0])
        norm = torch.nn.utils.clip_grad_norm_(params, o["max-grad-norm"], foreach=False)
        for g in optimizer.param_groups:
            g["lr"] = rate(it, o[f"lr-{g['part']}"], o["steps"], o["warmup"])
        optimizer.step()
        optimizer.zero_grad()
        out["loss"].append(nll / labels)
        out["labels"].append(labels)
        out["grad_norm"].append(float(norm))
        for g in parts:
            out["lr"][g].append(rate(it, o[f"lr-{g}"], o["steps"], o["warmup"]))
    return out, first, net.values()


def exempt(net, o):
    """Stored names without decay."""
    mark = {g: {k: torch.full_like(p, decays(k, p, o.get("decay-all"))) for k, p in ps.items()} for g, ps in net.groups.items()}
    return sorted(k for k, x in net.stored(mark).items() if not x.any())


def tensors(net, first, last):
    """What became of each stored tensor: sum and rms of its values, rms of their change. A K bias that the softmax cancels has a gradient
    of rounding only, and AdamW moves by its sign: no more than the rms is said of a bias that holds one."""
    cancels = not hasattr(net.vit.config, "rope_theta") and not getattr(net.vit.config, "rope_parameters", None)
    rows = []
    for k in sorted(last):
        row = {"tensor": k, "rms": rms(last[k])}
        if not (cancels and k.endswith("qkv_proj.bias")):
            row |= {"sum": float(last[k].sum()), "moved": rms(last[k] - first[k])}
        rows.append(row)
    return rows


def worst_of(low, high):
    """How far off float32 is in the movement of any tensor."""
    pairs = [(a, b) for a, b in zip(low, high, strict=True) if b.get("moved")]
    return max(abs(a["moved"] - b["moved"]) / b["moved"] for a, b in pairs)


def make_curve(out, name, folder, more):
    m, config = (ours.FOLDERS | vlms.FOLDERS)[folder](out, folder)
    o = training.options_of({**BASE, **more})
    data, net = training.samples(m, config), training.Net(m)
    curve, first, last = run(net, data, o)
    rows = tensors(net, first, last)
    low, *ends = run(training.Net(m, torch.float32), data, o)
    apart = [max(abs(a - b) / b for a, b in zip(low[k], curve[k], strict=True)) for k in ("loss", "grad_norm")]
    apart.append(worst_of(tensors(net, *ends), rows))
    head = {
        "kind": "curve",
        "model": f"models/{folder}",
        "data": training.DATA,
        "options": o,
        "no_decay": [] if o.get("decay-all") else exempt(net, o),
        "tolerance": TOLERANCE,
        **curve,
    }
    training.write_case(out, name, head, "tensors", rows)
    print(
        f"training/{name:24} loss {' '.join(f'{x:.3f}' for x in curve['loss'])}, norms {min(curve['grad_norm']):.2f}-"
        f"{max(curve['grad_norm']):.2f}; in float32: loss {apart[0]:.2g}, norm {apart[1]:.2g}, movement {apart[2]:.2g}"
    )


def make(out):
    for name, (folder, more) in CURVES.items():
        make_curve(out, name, folder, more)
