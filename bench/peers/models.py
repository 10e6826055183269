"""The peers' models, with random weights: transformers' modules, and what OpenVINO, ONNX Runtime and llama.cpp read, made once and kept in
a folder. Nothing is downloaded."""

import pathlib

ENCODERS = {
    "dinov3-s": dict(hidden_size=384, intermediate_size=1536, num_hidden_layers=12, num_attention_heads=6),
    "dinov3-splus": dict(
        hidden_size=384, intermediate_size=1536, num_hidden_layers=12, num_attention_heads=6, hidden_act="silu", use_gated_mlp=True
    ),
    "dinov3-b": dict(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12),
    "dinov3-l": dict(hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16),
    "tiny": dict(hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2),
}
DECODERS = {
    "smollm2-135m": dict(arch="llama", D=576, F=1536, L=30, H=9, G=3, Dh=64, V=49152, theta=1e5, eps=1e-5),
    "gemma3-270m": dict(arch="gemma3", D=640, F=2048, L=18, H=4, G=1, Dh=256, V=262144, theta=1e6, eps=1e-6),
    "tiny": dict(arch="llama", D=64, F=128, L=2, H=2, G=1, Dh=32, V=512, theta=1e4, eps=1e-5),
}


def encoder(name, attention="sdpa"):
    """transformers' DINOv3, in F32."""
    import torch
    from transformers import DINOv3ViTConfig, DINOv3ViTModel

    torch.manual_seed(0)
    config = DINOv3ViTConfig(**ENCODERS[name], num_register_tokens=4, attn_implementation=attention)
    return DINOv3ViTModel(config).eval()


def decoder(name):
    """transformers' Llama, in F32, with a head."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    c = DECODERS[name]
    return LlamaForCausalLM(
        LlamaConfig(
            hidden_size=c["D"],
            intermediate_size=c["F"],
            num_hidden_layers=c["L"],
            num_attention_heads=c["H"],
            num_key_value_heads=c["G"],
            vocab_size=c["V"],
            rms_norm_eps=c["eps"],
            rope_parameters={"rope_type": "default", "rope_theta": c["theta"]},
            max_position_embeddings=8192,
            tie_word_embeddings=True,
        )
    ).eval()


def features_only(module):
    """pixels -> last hidden state: what the exporters take."""
    import torch

    class Features(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = module

        def forward(self, pixel_values):
            return self.inner(pixel_values=pixel_values).last_hidden_state

    return Features().eval()


def openvino(folder, name, h, w, int8):
    """The path of an IR for one size; int8: weights and activations by NNCF, as OpenVINO's own guide has it for transformers."""
    import openvino as ov
    import torch

    path = pathlib.Path(folder) / f"ov-{name}-{h}x{w}{'-int8' if int8 else ''}.xml"
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    if int8:
        import nncf

        plain = ov.Core().read_model(openvino(folder, name, h, w, False))
        torch.manual_seed(1)
        data = nncf.Dataset([torch.randn(1, 3, h, w).numpy() for _ in range(2)])
        model = nncf.quantize(plain, data, subset_size=2, model_type=nncf.ModelType.TRANSFORMER)
    else:
        model = ov.convert_model(features_only(encoder(name)), example_input=torch.randn(1, 3, h, w), input=[1, 3, h, w])
    ov.save_model(model, path, compress_to_fp16=False)
    return path


def onnx(folder, name, h, w, int8):
    """The path of an ONNX file for one size; int8: ONNX Runtime's dynamic quantization, weights per output channel."""
    import torch

    path = pathlib.Path(folder) / f"onnx-{name}-{h}x{w}{'-int8' if int8 else ''}" / "model.onnx"
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    if int8:
        from onnxruntime.quantization import QuantType, quantize_dynamic

        quantize_dynamic(onnx(folder, name, h, w, False), path, per_channel=True, weight_type=QuantType.QInt8)
    else:
        torch.onnx.export(features_only(encoder(name)), (torch.randn(1, 3, h, w),), path, dynamo=True, external_data=False, verbose=False)
    return path


def gguf(folder, name, kind):
    """The path of a GGUF file, "f32", "bf16", "q8_0" or "q4_0": random weights, quantized by llama.cpp itself; no vocabulary."""
    import gguf as g
    import numpy as np

    path = pathlib.Path(folder) / f"{name}-{kind}.gguf"
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    if kind != "f32":
        import llama_cpp as lc

        p = lc.llama_model_quantize_default_params()
        p.nthread = 2
        p.ftype = {"bf16": lc.LLAMA_FTYPE_MOSTLY_BF16, "q8_0": lc.LLAMA_FTYPE_MOSTLY_Q8_0, "q4_0": lc.LLAMA_FTYPE_MOSTLY_Q4_0}[kind]
        if lc.llama_model_quantize(str(gguf(folder, name, "f32")).encode(), str(part).encode(), p):
            raise RuntimeError(f"llama.cpp cannot quantize {name} to {kind}")
        return part.rename(path)
    c = DECODERS[name]
    w = g.GGUFWriter(str(part), c["arch"])
    w.add_context_length(8192)
    w.add_embedding_length(c["D"])
    w.add_block_count(c["L"])
    w.add_feed_forward_length(c["F"])
    w.add_head_count(c["H"])
    w.add_head_count_kv(c["G"])
    w.add_key_length(c["Dh"])
    w.add_value_length(c["Dh"])
    w.add_rope_freq_base(c["theta"])
    w.add_layer_norm_rms_eps(c["eps"])
    w.add_vocab_size(c["V"])
    w.add_file_type(g.LlamaFileType.ALL_F32)
    w.add_tokenizer_model("none")
    if c["arch"] == "gemma3":
        w.add_sliding_window(512)
    else:
        w.add_rope_dimension_count(c["Dh"])
    rng = np.random.default_rng(0)

    def matrix(tensor, rows, cols):
        w.add_tensor(tensor, rng.standard_normal((rows, cols), dtype=np.float32) / np.float32(cols**0.5))

    def norm(tensor, n):
        w.add_tensor(tensor, np.ones(n, dtype=np.float32))

    q, kv = c["H"] * c["Dh"], c["G"] * c["Dh"]
    matrix("token_embd.weight", c["V"], c["D"])
    norm("output_norm.weight", c["D"])
    for i in range(c["L"]):
        b = f"blk.{i}."
        norm(b + "attn_norm.weight", c["D"])
        norm(b + "ffn_norm.weight", c["D"])
        if c["arch"] == "gemma3":
            norm(b + "attn_q_norm.weight", c["Dh"])
            norm(b + "attn_k_norm.weight", c["Dh"])
            norm(b + "post_attention_norm.weight", c["D"])
            norm(b + "post_ffw_norm.weight", c["D"])
        for tensor, rows, cols in (("attn_q", q, c["D"]), ("attn_k", kv, c["D"]), ("attn_v", kv, c["D"]), ("attn_output", c["D"], q),
                                   ("ffn_gate", c["F"], c["D"]), ("ffn_up", c["F"], c["D"]), ("ffn_down", c["D"], c["F"])):
            matrix(f"{b}{tensor}.weight", rows, cols)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    return part.rename(path)
