"""One peer at one piece of work, in a process of its own: prepares and says {"ready": true}; for a first line warms up, tries its settings and
says {"settings": ...}; then for each line `N` on standard input does the work N times and answers with a line of JSON: {"seconds": [...], "peak_bytes": ...}. Ends with its input.

usage: worker.py '{"peer": "openvino", "mode": "f32", "work": "encode", "model": "dinov3-s", "h": 512, "w": 512, "threads": 2, "folder": "..."}'
"""

import contextlib
import ctypes
import json
import os
import resource
import sys
import time
import warnings

JOB = json.loads(sys.argv[1])
os.environ["OMP_NUM_THREADS"] = str(JOB["threads"])    # before anything is imported that has a team of threads
warnings.filterwarnings("ignore")

import models  # noqa: E402

PROMPT, ANSWER = 64, 48    # of a decode, as vlm bench has it


def torch_ready():
    import torch

    torch.set_num_threads(JOB["threads"])
    torch.manual_seed(0)
    torch.set_grad_enabled(False)
    return torch


def compiled(torch, module):
    """Inductor with weights packed for oneDNN: the fastest that PyTorch has for a frozen module on CPUs."""
    import torch._inductor.config as inductor

    inductor.freezing = True
    return torch.compile(module, dynamic=False)


def encode_torch():
    torch = torch_ready()
    module = models.encoder(JOB["model"], "eager" if JOB["mode"] == "eager" else "sdpa")
    if JOB["mode"] == "compiled":
        module = compiled(torch, module)
    x = torch.randn(1, 3, JOB["h"], JOB["w"])

    def once():
        with torch.inference_mode() if JOB["mode"] != "compiled" else torch.no_grad():
            module(pixel_values=x)

    return once


def encode_openvino():
    import numpy as np
    import openvino as ov

    path = models.openvino(JOB["folder"], JOB["model"], JOB["h"], JOB["w"], JOB["mode"] == "int8")
    hints = {"INFERENCE_NUM_THREADS": JOB["threads"], "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    request = ov.Core().compile_model(str(path), "CPU", hints).create_infer_request()
    x = np.random.default_rng(0).standard_normal((1, 3, JOB["h"], JOB["w"]), dtype=np.float32)
    return lambda: request.infer([x], share_inputs=True, share_outputs=True)


def encode_onnxruntime():
    import numpy as np
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = JOB["threads"], 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    path = models.onnx(JOB["folder"], JOB["model"], JOB["h"], JOB["w"], JOB["mode"] == "int8")
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    x = {session.get_inputs()[0].name: np.random.default_rng(0).standard_normal((1, 3, JOB["h"], JOB["w"]), dtype=np.float32)}
    return lambda: session.run(None, x)


def gemm_torch():
    """All layers of JOB["layers"], (rows, inputs, outputs) each, on operands that rotate past the second cache."""
    torch = torch_ready()
    calls = []
    for R, K, C in JOB["layers"]:
        n = 24 * 2**20 // (4 * (K * C + R * K + R * C)) + 2
        for _ in range(n):
            x, w = torch.randn(R, K), torch.randn(C, K)
            if JOB["mode"] == "compiled":      # packed weights
                layer = torch.nn.Linear(K, C, bias=False)
                layer.weight.data = w
                layer = compiled(torch, layer.eval())
                layer(x)
                calls.append((n, lambda x=x, layer=layer: layer(x)))
            else:
                calls.append((n, lambda x=x, w=w: torch.nn.functional.linear(x, w)))

    def once():    # each layer once on average: what the calls of all its copies took, over their number
        total = 0
        for n, call in calls:
            start = time.perf_counter()
            call()
            total += (time.perf_counter() - start) / n
        return total

    return once


def prefill_torch():
    torch = torch_ready()
    module, ids = models.decoder(JOB["model"]), torch.arange(JOB["tokens"])[None]
    if JOB["mode"] == "compiled":
        module = compiled(torch, module)

    def once():
        with torch.inference_mode() if JOB["mode"] != "compiled" else torch.no_grad():
            module(input_ids=ids, use_cache=False, logits_to_keep=1)

    return once


def llama():
    """prefill or decode; the batch settings are the fastest of some."""
    import llama_cpp as lc
    import numpy as np

    keep = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(lambda level, text, user: None)
    lc.llama_log_set(keep, None)
    llama.keep = keep
    lc.llama_backend_init()
    p = lc.llama_model_default_params()
    p.n_gpu_layers = 0
    model = lc.llama_model_load_from_file(str(models.gguf(JOB["folder"], JOB["model"], JOB["mode"])).encode(), p)
    vocabulary = models.DECODERS[JOB["model"]]["V"]

    def context(ubatch, flash):
        c = lc.llama_context_default_params()
        c.n_ctx, c.n_batch, c.n_ubatch, c.n_threads, c.n_threads_batch = 1024, 512, ubatch, JOB["threads"], JOB["threads"]
        c.flash_attn_type = 1 if flash else 0
        return lc.llama_init_from_model(model, c)

    def feed(ctx, ids):
        tokens = (lc.llama_token * len(ids))(*ids)
        if lc.llama_decode(ctx, lc.llama_batch_get_one(tokens, len(ids))):
            raise RuntimeError("llama_decode failed")

    def best(ctx):
        return int(np.ctypeslib.as_array(lc.llama_get_logits(ctx), shape=(vocabulary,)).argmax())

    def prefill(ctx):
        lc.llama_memory_clear(lc.llama_get_memory(ctx), True)
        feed(ctx, range(JOB["tokens"]))
        best(ctx)

    def decode(ctx):
        lc.llama_memory_seq_rm(lc.llama_get_memory(ctx), 0, PROMPT, -1)
        token = 1
        for _ in range(ANSWER):
            feed(ctx, [token])
            token = best(ctx)

    def timed(work, ctx):
        work(ctx)
        start = time.perf_counter()
        work(ctx)
        return time.perf_counter() - start

    work, choices = (prefill, [(512, 1), (512, 0), (128, 1)]) if JOB["work"] == "prefill" else (decode, [(512, 1), (512, 0)])
    chosen = []

    def once():
        if not chosen:
            tried = []
            for ubatch, flash in choices:
                ctx = context(ubatch, flash)
                if JOB["work"] == "decode":
                    feed(ctx, range(PROMPT))
                tried.append((timed(work, ctx), f"ubatch {ubatch}, flash attention {'on' if flash else 'off'}", ctx))
            tried.sort(key=lambda t: t[0])
            for _, _, ctx in tried[1:]:
                lc.llama_free(ctx)
            JOB["settings"] = tried[0][1]
            chosen.append(tried[0][2])
        work(chosen[0])

    return once


def train_torch():
    import train

    return train.Step(JOB["mode"], JOB["batch"], JOB["threads"], JOB.get("tiny", False))


def resize_pillow():
    from PIL import Image

    image = Image.effect_noise((JOB["w"], JOB["h"]), 60).convert("RGB")
    return lambda: image.resize((JOB["to_w"], JOB["to_h"]), Image.Resampling.BICUBIC)


WORK = {
    ("encode", "pytorch"): encode_torch,
    ("encode", "openvino"): encode_openvino,
    ("encode", "onnxruntime"): encode_onnxruntime,
    ("gemm", "pytorch"): gemm_torch,
    ("prefill", "pytorch"): prefill_torch,
    ("prefill", "llama.cpp"): llama,
    ("decode", "llama.cpp"): llama,
    ("train", "pytorch"): train_torch,
    ("resize", "pillow"): resize_pillow,
}


def main():
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)    # what libraries print is no answer
    with contextlib.redirect_stdout(sys.stderr):
        once = WORK[JOB["work"], JOB["peer"]]()
        if JOB["mode"] == "compiled":
            once()
    print(json.dumps({"ready": True}), file=answers, flush=True)
    sys.stdin.readline()
    with contextlib.redirect_stdout(sys.stderr):
        once()
    print(json.dumps({"settings": JOB.get("settings", "")}), file=answers, flush=True)
    for line in sys.stdin:
        seconds = []
        for _ in range(int(line)):
            start = time.perf_counter()
            own = once()
            took = time.perf_counter() - start
            seconds.append(own if JOB["work"] == "gemm" else took)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps({"seconds": seconds, "peak_bytes": peak}), file=answers, flush=True)


main()
