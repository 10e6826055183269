"""The peer of `encode`: transformers' DINOv3-S with random weights, f32, eager, on the same machine and threads.
pip install torch transformers; python bench/peers/encode.py [THREADS]"""
import statistics, sys, time, torch
from transformers import DINOv3ViTConfig, DINOv3ViTModel

torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
torch.manual_seed(0)
config = DINOv3ViTConfig(hidden_size=384, intermediate_size=1536, num_hidden_layers=12, num_attention_heads=6, num_register_tokens=4)
for attention in ("eager", "sdpa"):
    config._attn_implementation = attention
    model = DINOv3ViTModel(config).eval()
    for h, w in ((512, 512), (768, 1024)):
        x = torch.randn(1, 3, h, w)
        times = []
        with torch.inference_mode():
            for _ in range(6):
                t = time.perf_counter()
                model(pixel_values=x)
                times.append(time.perf_counter() - t)
        times = times[1:]
        print(f"transformers {attention:6} DINOv3-S f32 {h}x{w}  {1e3 * statistics.median(times):8.1f} ms (best {1e3 * min(times):.1f})")
