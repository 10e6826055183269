"""The peers of `train`: one update of DINOv3-S+ and SmolLM2-135M (random weights, f32) with PyTorch, on the same machine and threads.

build/peers/venv/bin/python bench/peers/train.py [--threads 2]    (bench/peers/setup makes that)

Two ways: `padded` as nanoVLM's fork does it (images padded to the batch's largest height and width, texts padded on the left to 1024
positions, logits of every position), `unpadded` as one would write it well in PyTorch (images of one shape together, samples packed
into one row with attention inside each, the head on labelled rows only, the fused optimiser). Two batches of four pictures with 60 ids
of text each, 30 of them labels. A step is forward, backward, clipping and AdamW. Each way and batch runs in a process of its own, for
its peak memory; `padded mixed` needs more than 22 GB.
"""

import argparse
import itertools
import resource
import statistics
import subprocess
import sys
import time

import torch
from torch.nn import functional as F
from transformers import AttentionInterface, DINOv3ViTConfig, DINOv3ViTModel, LlamaConfig, LlamaForCausalLM

BATCHES = {"equal": [(512, 512)] * 4, "mixed": [(320, 1024), (1024, 320), (512, 512), (768, 768)]}
PATCH, SHUFFLE, TEXT, LABELS = 16, 2, 60, 30


def attention_inside(module, q, k, v, mask, scaling, **_):
    """Each sample of a packed row attends to itself; q (1,H,T,D), lengths are module.config's."""
    k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], 1) for x in (k, v))
    parts = zip(*(x.split(module.config.lengths, 2) for x in (q, k, v)), strict=True)
    return torch.cat([F.scaled_dot_product_attention(*p, is_causal=True, scale=scaling) for p in parts], 2).transpose(1, 2), None


AttentionInterface.register("inside", attention_inside)


class Model(torch.nn.Module):
    def __init__(self, tiny, attention):
        super().__init__()
        vit = dict(hidden_size=384, intermediate_size=1536, num_hidden_layers=12, num_attention_heads=6)
        lm = dict(hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9, num_key_value_heads=3)
        if tiny:
            vit.update(hidden_size=48, intermediate_size=96, num_hidden_layers=2, num_attention_heads=3)
            lm.update(hidden_size=48, intermediate_size=96, num_hidden_layers=2, num_attention_heads=3, num_key_value_heads=1)
        vit = DINOv3ViTConfig(**vit, num_register_tokens=4, use_gated_mlp=True, hidden_act="silu", attn_implementation="sdpa")
        rope = {"rope_type": "default", "rope_theta": 1e5}
        lm = LlamaConfig(
            **lm,
            vocab_size=512 if tiny else 49280,
            rope_parameters=rope,
            max_position_embeddings=8192,
            tie_word_embeddings=True,
            attn_implementation=attention,
        )
        self.vit, self.lm = DINOv3ViTModel(vit), LlamaForCausalLM(lm)
        self.mp = torch.nn.Linear(vit.hidden_size * SHUFFLE**2, lm.hidden_size, bias=False)

    def rows(self, images):
        """(B,3,H,W) to the projector's rows (B, H/32, W/32, D)."""
        s, hp, wp = SHUFFLE, images.shape[2] // PATCH, images.shape[3] // PATCH
        y = self.vit(pixel_values=images).last_hidden_state[:, 5:]
        y = y.reshape(len(y), hp // s, s, wp // s, s, -1).transpose(2, 3)
        return self.mp(y.reshape(len(y), hp // s, wp // s, -1))


def padded(model, images, ids, length):
    """The loss; ids[i] is the text behind image i."""
    h, w = (max(x.shape[d] for x in images) for d in (1, 2))
    rows = model.rows(torch.stack([F.pad(x, (0, w - x.shape[2], 0, h - x.shape[1])) for x in images]))
    side, table = PATCH * SHUFFLE, model.lm.model.embed_tokens
    embed, mask, labels = torch.zeros(len(ids), length, table.embedding_dim), *torch.zeros(2, len(ids), length, dtype=torch.long)
    labels -= 100
    texts = table(torch.stack(ids))
    for i, x in enumerate(images):
        own = rows[i, : x.shape[1] // side, : x.shape[2] // side].flatten(0, 1)
        embed[i, length - TEXT - len(own) :] = torch.cat([own, texts[i]])
        mask[i, length - TEXT - len(own) :] = 1
        labels[i, -LABELS - 1 : -1] = ids[i][-LABELS:]
    logits = model.lm(inputs_embeds=embed, attention_mask=mask, use_cache=False).logits
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100)


def unpadded(model, images, ids, _):
    rows = [None] * len(images)
    for shape in {x.shape for x in images}:
        which = [i for i, x in enumerate(images) if x.shape == shape]
        for i, own in zip(which, model.rows(torch.stack([images[i] for i in which])), strict=True):
            rows[i] = own.flatten(0, 1)
    texts = model.lm.model.embed_tokens(torch.stack(ids))
    packed = torch.cat([part for pair in zip(rows, texts, strict=True) for part in pair])
    model.lm.config.lengths = [len(r) + TEXT for r in rows]
    ends = list(itertools.accumulate(model.lm.config.lengths))
    positions = torch.cat([torch.arange(n) for n in model.lm.config.lengths])
    hidden = model.lm.model(inputs_embeds=packed[None], position_ids=positions[None], use_cache=False).last_hidden_state[0]
    labelled = torch.cat([torch.arange(e - LABELS - 1, e - 1) for e in ends])
    return F.cross_entropy(model.lm.lm_head(hidden[labelled]), torch.cat([i[-LABELS:] for i in ids]))


class Step:
    """One way on one batch; each call is an update and gives its loss."""

    def __init__(self, way, batch, threads, tiny=False):
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        self.loss, self.length = (padded if way == "padded" else unpadded), 128 if tiny else 1024
        self.model = Model(tiny, "sdpa" if way == "padded" else "inside")
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4, fused=way == "unpadded")
        sizes = [(h // 4 // 32 * 32, w // 4 // 32 * 32) for h, w in BATCHES[batch]] if tiny else BATCHES[batch]
        self.images = [torch.randn(3, h, w) for h, w in sizes]
        self.ids = [torch.randint(0, self.model.lm.config.vocab_size, (TEXT,)) for _ in sizes]

    def __call__(self):
        loss = self.loss(self.model, self.images, self.ids, self.length)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.item()


def measure(a):
    step, times, losses = Step(a.way, a.batch, a.threads, a.tiny), [], []
    for _ in range(a.steps + 1):
        start = time.perf_counter()
        losses.append(step())
        times.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    times = times[1:]
    print(
        f"pytorch {a.way:8} {a.batch:5} f32, {a.threads} threads: {min(times):7.2f} s a step (median {statistics.median(times):.2f}), "
        f"peak {peak:5.1f} GB, loss {' '.join(f'{x:.4f}' for x in losses)}",
        flush=True,
    )


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--threads", type=int, default=2)
    a.add_argument("--steps", type=int, default=3, help="timed, after one that is not")
    a.add_argument("--way", choices=("padded", "unpadded"), help="one of the ways only")
    a.add_argument("--batch", choices=BATCHES, help="one of the batches only")
    a.add_argument("--tiny", action="store_true", help="small layers and pictures: does it run?")
    args = a.parse_args()
    if args.way and args.batch:
        return measure(args)
    for way, batch in itertools.product([args.way] if args.way else ["unpadded", "padded"], [args.batch] if args.batch else BATCHES):
        done = subprocess.run([sys.executable, __file__, *sys.argv[1:], "--way", way, "--batch", batch])
        if done.returncode:
            print(f"pytorch {way} {batch}: ended with {done.returncode} (out of memory?)")


if __name__ == "__main__":
    main()
