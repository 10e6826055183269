"""The data set of training, its ids and labels, and the loss and gradients of whole models in float64 (training/NAME).

A sample goes through its model alone, so that nothing can reach a neighbour: what a packed batch has to equal. The modules are
transformers' own, as in the forward cases; gradients are theirs, carried over to the stored names as the weights are.
"""

import copy
import json

import numpy as np
import torch

from . import decoders, ours, tokens, vlms, weights
from .common import rng
from .images import decode

DATA = "images/mixed.jsonl"
TOLERANCE = 1e-4
CASES = {  # the model's folder: options beyond the data's
    "vlm_dino": {},
    "vlm_dino_plain": {},
    "vlm_fork_maths": {"fork-maths": True},
    "vlm_siglip_up": {},
    "vlm_siglip_fork": {},
    "vlm_gemma": {},
    **{name: {} for name in ours.FOLDERS},
}


def sample(texts, images=()):
    return {"images": list(images), "texts": [{"user": u, "assistant": a} for u, a in texts]}


MIXED = [
    sample([("What is this?", "A red disc.")], ["rgb_53x37.png"]),
    sample(
        [("Which one is wide?", "The first one."), ("And which is tall?", "The other,\nof course.")], ["rgb_150x9.png", "exif6.jpg"]
    ),
    sample([("Name 3 colours.", "Red, green, blue."), ("One more?", "Grey.")]),
    {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [{"type": "image", "image": "rgb_7x120.png"}, {"type": "text", "text": "Is it <|im_end|> 42?"}],
            },
            {"role": "assistant", "content": "No, 7 x 120."},
            {"role": "user", "content": [{"type": "text", "text": "Why?"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "Count."}]},
        ]
    },
    sample([(" Describe the image. ", "Noise.")], ["rgb_96x32.png"]),
    sample([("Где кот?", "Там: 猫 😀")], ["rgb_40x40.png"]),
    sample([("Left or right?", "Left"), ("Sure?", "Yes"), ("Really?", "Yes!")], ["rgb_64x48.png"]),
    sample([("How many?", "One.")], ["rgb_1x1.png"]),
]


# ---------------------------------------------------------------- From a line of data to ids
def conversation(row):
    """[(role, [texts and {"image": file}])] of either spelling."""
    if "messages" in row:
        as_list = [(m["role"], m["content"] if isinstance(m["content"], list) else [m["content"]]) for m in row["messages"]]
        return [(role, [p["text"] if isinstance(p, dict) and p["type"] == "text" else p for p in parts]) for role, parts in as_list]
    talk = [(role, [turn[role]]) for turn in row["texts"] for role in ("user", "assistant")]
    talk[0] = (talk[0][0], [{"image": name} for name in row["images"]] + talk[0][1])
    return talk


class Sample:
    """ids; what is trained as ranges [first, behind) of ids, each predicted from the position before; the views of the images."""

    def __init__(self, m, row, max_size):
        talk, count, k = conversation(row), sum(isinstance(p, dict) for _, parts in conversation(row) for p in parts), 0
        self.views, self.grids, messages = [], [], []
        for role, parts in talk:
            content = []
            for p in parts:
                if isinstance(p, str):
                    content.append(p.strip() if m.gemma else p)
                    continue
                _, views, tiles = m.views(decode(m.out.path(f"images/{p['image']}")), max_size)
                side = m.patch * m.r.shuffle
                grid = (views.shape[2] // side, views.shape[3] // side)
                content += [f"<image: {k}>"] * (count > 1) + m.parts(tiles, grid[0] * grid[1])
                self.views.append(views)
                self.grids.append(tiles or grid)
                k += 1
            messages.append((role, content[0] if role == "system" else content))

        def ids(n, generation=False):
            return tokens.ids_of(m.tok, tokens.render(m.tok, m.r.template, messages[:n], generation))

        self.ids, self.trained = ids(len(messages)), []
        for n, (role, _) in enumerate(messages):
            if role == "assistant":
                head, whole = ids(n, True), ids(n + 1)
                assert self.ids[: len(whole)] == whole and whole[: len(head)] == head, "a token lies across a boundary"
                self.trained.append([len(head), len(whole)])

    @property
    def labels(self):
        return sum(b - a for a, b in self.trained)


def samples(m, config):
    lines = m.out.path(DATA).read_text(encoding="utf-8").splitlines()
    return [Sample(m, json.loads(line), config["max_img_size"]) for line in lines]


# ---------------------------------------------------------------- The loss
class Net:
    """A model's parts with their parameters by name, in float64 or (to see what float32 costs) in float32."""

    def __init__(self, m, dtype=torch.float64):
        self.m, self.dtype = m, dtype
        self.vit, self.lm = (copy.deepcopy(part[0]).to(dtype) for part in (m.vit, m.lm))
        self.lm.model.embed_tokens.padding_idx = None  # else the row of <|im_end|>, which also pads, would get no gradient
        self.mp = m.mp[0].to(dtype).detach().clone().requires_grad_()
        self.groups = {
            "vision": {k: p for k, p in self.vit.named_parameters() if "mask_token" not in k},
            "projector": {"": self.mp},
            "language": dict(self.lm.named_parameters()),
        }

    def stored(self, values):
        """Values of all parameters ({group: {name: tensor}}) under the names and in the shapes that the folder has."""
        named = self.m.tensors(values["vision"], values["language"], values["projector"][""])
        return {k: v for k, v in named.items() if not k.endswith("inv_freq")}

    def rows(self, views):
        """An image's rows for the language model."""
        out = []
        for v in views:
            y = self.vit(pixel_values=torch.from_numpy(np.ascontiguousarray(v))[None].to(self.dtype)).last_hidden_state[0]
            y = y[self.m.prefix :]
            y = vlms.shuffle(y, v.shape[1] // self.m.patch, v.shape[2] // self.m.patch, self.m.r.shuffle)
            out.append(y @ self.mp.T)
        return torch.cat(out)

    def logits(self, s):
        ids = torch.tensor(s.ids)
        x = self.lm.model.embed_tokens(ids)
        if s.views:
            where = torch.nonzero(ids == self.m.tok.token_to_id("<|image|>"))[:, 0]
            rows = torch.cat([self.rows(v) for v in s.views])
            assert len(rows) == len(where)
            x = x.index_put((where,), rows)
        return self.lm.lm_head(self.lm.model(inputs_embeds=x[None], use_cache=False).last_hidden_state)[0]

    def nll(self, s):
        """Sum over a sample's labels."""
        if self.dtype == torch.float64:
            with weights.Float64():
                logits = self.logits(s)
        else:
            logits = self.logits(s)
        at = torch.tensor([t for a, b in s.trained for t in range(a, b)])
        return torch.nn.functional.cross_entropy(logits[at - 1], torch.tensor(s.ids)[at], reduction="sum")

    def backward(self, batch, share=1.0, labels=None):
        """Adds share·(sum of nll)/labels to the gradients; returns (nll of each sample, labels)."""
        labels, out = labels or sum(s.labels for s in batch), []
        for s in batch:
            nll = self.nll(s)
            if nll.requires_grad:  # not a text alone where all but the projector is frozen
                (nll * (share / labels)).backward()
            out.append(float(nll.detach()))
        return out, labels

    def gradients(self):
        return self.stored({g: {k: p.grad for k, p in ps.items()} for g, ps in self.groups.items()})

    def values(self):
        return self.stored({g: {k: p.detach().clone() for k, p in ps.items()} for g, ps in self.groups.items()})


# ---------------------------------------------------------------- Checks
def check_forward(net, s):
    """The loss's own pass against the one that made the forward cases."""
    m = net.m
    with torch.no_grad():
        got = [net.rows(v) for v in s.views]
        for view, rows in zip(s.views, got):
            again = []
            for v in view:
                p = torch.from_numpy(vlms.encoders.encode(m.vit[0], v, m.prefix)[1])
                again.append(vlms.shuffle(p, v.shape[1] // m.patch, v.shape[2] // m.patch, m.r.shuffle) @ m.mp[0].T)
            assert torch.allclose(rows, torch.cat(again), rtol=0, atol=1e-6)
        x = decoders.embed(m.lm[0], s.ids).clone()
        x[torch.tensor(s.ids) == m.tok.token_to_id("<|image|>")] = torch.cat(got)
        hidden, logits = decoders.run(m.lm[0], x)
        with weights.Float64():
            worst = float((net.logits(s) - logits).abs().max())
    assert worst < 1e-5, worst


def check_differences(net, batch, labels, step=1e-5):
    """Central differences along one random direction of every parameter; returns the largest error, relative to the gradient."""

    def loss():
        with torch.no_grad():
            return sum(float(net.nll(s)) for s in batch) / labels

    worst = 0.0
    for group, params in net.groups.items():
        for name, p in params.items():
            d = torch.from_numpy(rng("direction", group, name).standard_normal(tuple(p.shape)))
            d /= d.norm()
            ends = []
            for sign in (1, -1):
                p.data.add_(d, alpha=sign * step)
                ends.append(loss())
                p.data.sub_(d, alpha=sign * step)
            slope, want = (ends[0] - ends[1]) / (2 * step), float((p.grad * d).sum())
            worst = max(worst, abs(slope - want) / max(float(p.grad.norm()), 1e-3))
    return worst


def relative(a, b):
    """The largest error of a tensor of a relative to that of b, in norms."""
    return max((float((a[k].double() - b[k]).norm() / b[k].norm()), k) for k in b)


# ---------------------------------------------------------------- Cases
def write_case(out, name, head, what, rows):
    """case.json with a line for each entry and each of the rows."""
    lines = [f'"{k}": {json.dumps(v, ensure_ascii=False)}' for k, v in head.items()]
    body = ",\n".join("  " + json.dumps(r, ensure_ascii=False) for r in rows)
    out.bytes(f"training/{name}/case.json", ("{\n" + ",\n".join(lines) + f',\n"{what}": [\n{body}\n]\n}}\n').encode())


def options_of(more):
    return {"no-shuffle": True, **more}


def make_case(out, name, more):
    m, config = (ours.FOLDERS | vlms.FOLDERS)[name](out, name)
    batch, net = samples(m, config), Net(m)
    check_forward(net, batch[1])
    nll, labels = net.backward(batch)
    loss, grads = sum(nll) / labels, net.gradients()
    assert all(torch.isfinite(g).all() and g.abs().max() > 0 for g in grads.values())
    low = Net(m, torch.float32)
    low_loss = sum(low.backward(batch)[0]) / labels
    worst, where = relative(low.gradients(), grads)
    error = check_differences(net, batch, labels)
    assert error < 1e-6, error
    vlms.write_safetensors(out, f"training/{name}/grads.safetensors", grads, {"format": "pt"})
    head = {
        "kind": "gradients",
        "model": f"models/{name}",
        "data": DATA,
        "options": options_of({"batch-samples": len(batch), **more}),
        "loss": loss,
        "labels": labels,
        "grad_norm": float(sum((g**2).sum() for g in grads.values()) ** 0.5),
        "gradients": "grads.safetensors",
        "tolerance": TOLERANCE,
    }
    rows = [
        {"labels": s.labels, "nll": n, "grids": s.grids, "trained": s.trained, "ids": s.ids} for s, n in zip(batch, nll, strict=True)
    ]
    write_case(out, name, head, "samples", rows)
    print(
        f"training/{name:24} loss {loss:.6f} of {labels} labels; differences {error:.2g}; PyTorch in float32: "
        f"loss {abs(low_loss - loss) / loss:.2g}, gradients {worst:.2g} ({where})"
    )


def make(out):
    body = "\n".join(json.dumps(row, ensure_ascii=False) for row in MIXED)
    out.bytes(DATA, (body + "\n").encode())
    for name, more in CASES.items():
        make_case(out, name, more)
