#!/usr/bin/env python3
"""Makes every file in tests/golden from seeds; with --check compares a rebuild with the tree. See tools/README.md."""

import argparse
import os
import sys
import tempfile
from pathlib import Path

os.environ.update(TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1", CUDA_VISIBLE_DEVICES="")
sys.path.insert(0, str(Path(__file__).parent))

from golden import check, common, images, resize, tokens, encoders, decoders, vlms, ours, training, curves  # noqa: E402

PARTS = {
    "images": images,
    "resize": resize,
    "tokens": tokens,
    "encoders": encoders,
    "decoders": decoders,
    "vlms": vlms,
    "ours": ours,
    "training": training,
    "curves": curves,
}


def main():
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument("--check", action="store_true", help="rebuild into a temporary folder and compare with tests/golden")
    a.add_argument("--only", nargs="+", choices=PARTS, help="parts to make; the others are taken as they lie in tests/golden")
    args = a.parse_args()
    tree = common.TREE / "tests/golden"
    parts = [p for p in PARTS if not args.only or p in args.only]
    if not args.check:
        for p in parts:
            PARTS[p].make(common.Out(tree))
        return 0
    with tempfile.TemporaryDirectory() as tmp:
        for p in PARTS:
            PARTS[p].make(common.Out(tmp))
        return check.compare(Path(tmp), tree)


if __name__ == "__main__":
    sys.exit(main())
