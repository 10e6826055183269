"""Small models with loud weights, written by transformers and computed in float64.

The default initialisation (biases 0, norms 1, std 0.02) hides errors. Here every tensor matters: biases, CLS, registers and norm
weights are far from their neutral values; queries, keys and what goes into a GELU have a larger gain than other products, so that
attention is sharp and the two kinds of GELU differ.
"""

import math
import shutil

import torch
from torch.overrides import TorchFunctionMode

from .common import rng

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}


class Float64(TorchFunctionMode):
    """transformers computes norms, softmax and rotations in float32 whatever the model's type: inside this, in float64."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is torch.Tensor.float:
            func = torch.Tensor.double
        args = tuple(torch.float64 if a is torch.float32 else a for a in args)
        kwargs = {k: torch.float64 if v is torch.float32 else v for k, v in (kwargs or {}).items()}
        return func(*args, **kwargs)


def draw(model, name, shape, plus_one=False):
    """One tensor's float32 values. The generator is the model's and tensor's name, so the order of drawing is free."""
    r = rng("weight", model, name)
    leaf = name.split(".")[-2] if name.endswith((".weight", ".bias")) else name.split(".")[-1]
    x = r.standard_normal(tuple(shape))
    if "lambda" in leaf:
        x = r.uniform(0.1, 1.0, tuple(shape)) * r.choice([-1, 1], tuple(shape))
    elif "norm" in leaf:
        x = 0.3 * x + (0.0 if name.endswith(".bias") or plus_one else 1.0)
    elif name.endswith(".bias"):
        x = 0.3 * x
    elif leaf == "embed_tokens":
        x = (0.12 if plus_one else 0.2) * x  # small: with a tied head a loud table would repeat the last token for ever
    elif "position" in leaf or "token" in leaf:
        x = 0.7 * x
    elif len(shape) >= 2:
        gain = 1.8 if leaf in ("q_proj", "k_proj", "query", "key", "up_proj", "fc1") else 1.2
        x = gain * x / math.sqrt(math.prod(shape[1:]))
    return torch.from_numpy(x).float()


def drawn(model, name, plus_one=False):
    """A whole state dict; a tied head is the embedding."""
    state = {k: draw(name, k, v.shape, plus_one) for k, v in model.state_dict().items()}
    if getattr(model.config, "tie_word_embeddings", False) and "lm_head.weight" in state:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    return state


def build(out, cls, config, folder, dtype="f32", like=None, shard=None, plus_one=False):
    """Draws a model, saves it to folder with save_pretrained, and returns (float64 model, state dict as stored).

    like: name whose weights are drawn (a bf16 copy of another model); default: the folder's.
    """
    config._attn_implementation = "eager"
    torch.manual_seed(0)
    model = cls(config).eval()
    state = drawn(model, like or folder, plus_one)
    model = model.to(DTYPES[dtype])
    model.load_state_dict(state)
    path = out.path(f"models/{folder}/config.json").parent
    shutil.rmtree(path)
    model.save_pretrained(path, **({"max_shard_size": shard} if shard else {}))
    for f in path.iterdir():
        f.chmod(0o644)
    return exact(cls, config, model.state_dict()), model


def exact(cls, config, state):
    """The same model in float64 throughout."""
    torch.set_default_dtype(torch.float64)
    with Float64():
        model = cls(config).eval().double()
    torch.set_default_dtype(torch.float32)
    model.load_state_dict({k: v.double() for k, v in state.items()})
    return model
