"""Writes the two batches of bench/peers/train.py as data that `vlm train` reads: DIR/equal.jsonl, DIR/mixed.jsonl and their pictures.

pip install pillow; python bench/peers/train_data.py DIR
"""

import json
import pathlib
import sys

from PIL import Image

BATCHES = {"equal": [(512, 512)] * 4, "mixed": [(320, 1024), (1024, 320), (512, 512), (768, 768)]}

out = pathlib.Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)
for name, shapes in BATCHES.items():
    rows = []
    for k, (height, width) in enumerate(shapes):
        picture = f"{name}-{k}.png"
        Image.effect_noise((width, height), 60 + k).convert("RGB").save(out / picture)
        turn = {"user": "What is it?", "assistant": "abcdefghij klmnop qrs tuv."}  # with the template 58 ids, where the peer has 60
        rows.append(json.dumps({"images": [picture], "texts": [turn]}) + "\n")
    (out / f"{name}.jsonl").write_text("".join(rows))
