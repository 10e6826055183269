"""The resize rule of nanoVLM, normalisation, and goldens of Pillow's resampling."""

import math

import numpy as np
from PIL import Image

from .images import picture

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
NORMALISE = {
    "imagenet": IMAGENET,
    "siglip": ((0.5,) * 3, (0.5,) * 3),
    "sat": ((0.430, 0.411, 0.296), (0.213, 0.156, 0.143)),
    "none": ((0.0,) * 3, (1.0,) * 3),
}


def rule(w, h, p, m, upscale=True, max_side=False):
    """Target (height, width) in integers: both multiples of p, the long side at most m. max_side: always m."""
    long, short = max(w, h), min(w, h)
    top = max(p, m - m % p)
    if max_side:
        t = top
    elif upscale:
        t = min(top, -(-long // p) * p)
    else:
        t = min(top, max(p, long // p * p))
    blocks = short * t // (long * p) if not upscale else -(-short * t // (long * p))
    s = min(t, max(p, blocks * p))
    return (s, t) if w >= h else (t, s)


def rule_compat(w, h, p, m, upscale=True, max_side=False):
    """The same in the Python's floating point, with its faults (--compat-resize)."""
    long, short = max(w, h), min(w, h)
    t = m if max_side else min(m, math.ceil(long / p) * p)
    if not upscale:
        t = min(t, long)
    scale = t / long
    s = max(p, math.ceil(short * scale / p) * p)
    return (s, t) if w >= h else (t, s)


def rule_budget(w, h, q, n):
    """--max-image-tokens: f = sqrt(n*q*q/(h*w)), both sides floored to multiples of q (exactly, in integers)."""
    return max(1, math.isqrt(n * h // w)) * q, max(1, math.isqrt(n * w // h)) * q


def resize(u8, h, w, how=Image.Resampling.BICUBIC):
    """Pillow's resize of uint8 (H,W,3); nothing happens where the size is the same."""
    if u8.shape[:2] == (h, w):
        return u8
    return np.array(Image.fromarray(u8).resize((w, h), how))


def normalise(u8, name):
    """(H,W,3) uint8 to float64 (3,H,W)."""
    mean, std = NORMALISE[name]
    x = np.transpose(u8.astype(np.float64) / 255.0, (2, 0, 1))
    return (x - np.array(mean)[:, None, None]) / np.array(std)[:, None, None]


def make(out):
    pairs = [  # source (w,h), target (w,h)
        ((53, 37), (64, 48)),
        ((48, 36), (32, 32)),
        ((48, 36), (48, 24)),
        ((40, 32), (28, 32)),
        ((33, 31), (32, 48)),
        ((1, 1), (32, 32)),
        ((1, 40), (16, 48)),
        ((40, 1), (64, 16)),
        ((100, 70), (16, 16)),
        ((91, 45), (31, 17)),
        ((17, 50), (32, 64)),
        ((130, 20), (64, 16)),
        ((7, 5), (1, 1)),
        ((40, 40), (39, 41)),
        ((30, 30), (30, 30)),
    ]
    table = []
    for i, ((w, h), (tw, th)) in enumerate(pairs):
        u8 = picture(f"resize{i}", w, h)
        if i % 3 == 0:  # full swing, so that the kernel's overshoot is clamped at both ends
            u8 = np.where(u8 > 128, 255, 0).astype(np.uint8)
        out.npy(f"cases/resize/{i:02d}.in.npy", u8)
        for name, how in (("bicubic", Image.Resampling.BICUBIC), ("bilinear", Image.Resampling.BILINEAR)):
            out.npy(f"cases/resize/{i:02d}.{name}.npy", resize(u8, th, tw, how))
        table.append({"id": f"{i:02d}", "in": [h, w], "out": [th, tw]})
    out.json("cases/resize/pairs.json", table)

    rows = []
    sizes = [
        (640, 480),
        (1920, 1080),
        (1000, 1000),
        (333, 500),
        (224, 224),
        (2000, 50),
        (31, 33),
        (1024, 768),
        (1, 1),
        (3000, 4000),
        (200, 200),
        (147, 147),
        (500, 500),
        (33, 33),
        (546, 728),
        (728, 546),
        (900, 1000),
        (1, 65500),
        (65500, 65500),
        (451, 300),
        (32, 32),
        (1023, 1025),
        (5, 31),
    ]
    settings = [(32, 1024), (16, 1024), (28, 1024), (32, 1000), (512, 2048), (224, 1024), (14, 518), (32, 20)]
    for p, m in settings:
        for w, h in sizes:
            for mode in ("up", "no_upscale", "max_side"):
                if mode == "max_side" and p not in (512, 32):
                    continue
                kw = {"upscale": mode != "no_upscale", "max_side": mode == "max_side"}
                rows.append([mode, p, m, h, w, *rule(w, h, p, m, **kw), *rule_compat(w, h, p, m, **kw)])
    budget = [
        ["budget", q, n, h, w, *rule_budget(w, h, q, n)]
        for q in (32, 16)
        for n in (1, 16, 64, 256, 1024)
        for w, h in sizes
        if max(w, h) <= 32 * min(w, h)
    ]
    text = ['{"columns": ["mode", "p", "m", "h", "w", "out_h", "out_w", "compat_h", "compat_w"],', '"rows": [']
    text.append(",\n".join(str(r).replace("'", '"') for r in rows))
    text += ["],", '"budget_columns": ["mode", "q", "n", "h", "w", "out_h", "out_w"],', '"budget": [']
    text.append(",\n".join(str(r).replace("'", '"') for r in budget))
    out.bytes("cases/resize/rule.json", ("\n".join(text) + "\n]}\n").encode())
