"""Writes examples/digits/digits.png from scikit-learn's copy of the UCI handwritten digits; examples/digits/README.md says how it is laid out.

    build/venv/bin/pip install scikit-learn==1.9.1 Pillow
    build/venv/bin/python tools/make_digits.py            # --check compares pixel by pixel and writes nothing
"""
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

OUT = Path(__file__).resolve().parent.parent / "examples/digits/digits.png"
SIDE, ACROSS, ROWS = 8, 50, 4       # of a digit, in pixels; digits in a row; rows for each label


def sheet():
    source = load_digits()
    out = np.zeros((10 * ROWS * SIDE, ACROSS * SIDE), np.uint8)
    for label in range(10):
        images = source.images[source.target == label]
        assert len(images) <= ACROSS * ROWS and images.max() <= 16 and images.any(axis=(1, 2)).all()
        for i, image in enumerate(images):
            y, x = (label * ROWS + i // ACROSS) * SIDE, i % ACROSS * SIDE
            out[y:y + SIDE, x:x + SIDE] = image * 15
    return out


if __name__ == "__main__":
    if "--check" in sys.argv:
        same = np.array_equal(np.array(Image.open(OUT)), sheet())
        print("the same" if same else "DIFFERENT")
        sys.exit(not same)
    Image.fromarray(sheet()).save(OUT, optimize=True)
