"""Compares two trees of golden files: ids, bytes and text exactly, floats to 1e-6 (relative above 1; gradients: of the largest)."""

import json

import numpy as np
import torch
from safetensors import safe_open

LIMIT = 1e-6


def difference(a, b):
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or a.dtype != b.dtype:
        return float("inf")
    if a.dtype.kind != "f":
        return 0.0 if np.array_equal(a, b) else float("inf")
    return float(np.max(np.abs(a.astype(np.float64) - b) / np.maximum(1, np.abs(b)), initial=0.0))


def tensors(path):
    with safe_open(path, "pt") as f:
        names = sorted(f.keys())
        return f.metadata(), {n: f.get_tensor(n) for n in names}


def gradient_difference(a, b):
    """Relative to the tensor's largest element; what is rounding only (a K bias that the softmax cancels) to the file's largest."""
    top = max(float(x.abs().max()) for x in b.values())

    def one(x, y):
        if x.shape != y.shape or x.dtype != y.dtype:
            return float("inf")
        return float((x - y).abs().max()) / max(float(y.abs().max()), 1e-6 * top)

    return max(one(a[k], b[k]) for k in b)


def bf16_difference(a, b):
    """Errors of PyTorch in bfloat16 depend on the CPU's kernels: half to twice the stored error is the same error."""
    same = a.keys() == b.keys() and all(0.5 * b[k] <= a[k] <= 2 * b[k] for k in a)
    return 0.0 if same else float("inf")


def json_difference(a, b):
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b) / max(1.0, abs(b))
    if type(a) is not type(b):
        return float("inf")
    if isinstance(a, dict):
        if a.keys() != b.keys():
            return float("inf")
        return max(((bf16_difference if k == "bf16" else json_difference)(a[k], b[k]) for k in a), default=0.0)
    if isinstance(a, list):
        return max(map(json_difference, a, b), default=0.0) if len(a) == len(b) else float("inf")
    return 0.0 if a == b else float("inf")


def file_difference(a, b):
    if a.read_bytes() == b.read_bytes():
        return 0.0
    if a.suffix == ".npy":
        return difference(np.load(a), np.load(b))
    if a.suffix == ".json":
        return json_difference(json.loads(a.read_text()), json.loads(b.read_text()))
    if a.suffix == ".safetensors":
        (ma, ta), (mb, tb) = tensors(a), tensors(b)
        if ma != mb or ta.keys() != tb.keys():
            return float("inf")
        if a.name == "grads.safetensors":
            return gradient_difference(ta, tb)
        return 0.0 if all(ta[k].dtype == tb[k].dtype and torch.equal(ta[k], tb[k]) for k in ta) else float("inf")
    return float("inf")


def compare(new, old):
    """Prints the largest difference of every file; 0 if all are within the limit and no file is missing or left over."""
    parts = ("images", "models", "tokenizers", "cases", "training")
    made, kept = ({p.relative_to(root) for part in parts for p in (root / part).rglob("*") if p.is_file()} for root in (new, old))
    bad = 0
    for name in sorted(made | kept):
        d = file_difference(new / name, old / name) if name in made & kept else float("inf")
        note = "" if name in made & kept else "  only in the rebuild" if name in made else "  only in the tree"
        print(f"{d:9.3g}  {name}{note}")
        bad += d > LIMIT
    print(f"{len(made | kept)} files, {bad} differ by more than {LIMIT}")
    return 1 if bad else 0
