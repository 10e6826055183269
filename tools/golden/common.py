"""Where golden files go, and the seeded numbers they are made of."""

import json
import zlib
from pathlib import Path

import numpy as np

TREE = Path(__file__).resolve().parents[2]


def rng(*names):
    """A generator that depends on the names alone. RandomState: its streams are frozen for good."""
    return np.random.RandomState(zlib.crc32("/".join(map(str, names)).encode()))


class Out:
    """Writes below one root, so that a rebuild can go to another folder than the tree's."""

    def __init__(self, root):
        self.root = Path(root)

    def path(self, name):
        p = self.root / name
        p.parent.mkdir(parents=True, exist_ok=True)
        return p

    def bytes(self, name, data):
        self.path(name).write_bytes(data)

    def json(self, name, value, indent=1):
        text = json.dumps(value, ensure_ascii=False, indent=indent)
        self.path(name).write_text(text + "\n", encoding="utf-8")

    def npy(self, name, array):
        """Version 1.0, C order, little-endian; floats become float32. NaN and infinity are bugs here."""
        array = np.asarray(array)
        if array.dtype.kind == "f":
            assert np.isfinite(array).all(), name
            array = array.astype("<f4")
        with open(self.path(name), "wb") as f:
            np.lib.format.write_array(f, np.ascontiguousarray(array), version=(1, 0))


def rms(x):
    return float(np.sqrt(np.mean(np.square(np.asarray(x, dtype=np.float64))))) if np.size(x) else 0.0
