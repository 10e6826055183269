"""Makes the seed corpora of the formats that need no encoder: safetensors, index, npy, json_config. Run it from here; the files are in the tree."""
import json, os, struct

here = os.path.dirname(os.path.abspath(__file__))


def seed(corpus, name, data):
    folder = os.path.join(here, "corpus", corpus)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "wb") as f:
        f.write(data if isinstance(data, bytes) else data.encode())


def t(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def st(name, header, data):
    text = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    seed("safetensors", name, struct.pack("<Q", len(text)) + text + bytes(range(data)))


st("good", {"__metadata__": {"format": "pt", "tied": "w"}, "w": t("F32", [2, 3], 0, 24), "b": t("BF16", [3], 24, 30), "h": t("F16", [], 30, 32),
            "none": t("F64", [0, 4], 32, 32), "d": t("F64", [1], 32, 40), "i": t("I64", [1], 40, 48)}, 48)
st("padded", b"{}     ", 0)
st("hole", {"a": t("U8", [2], 0, 2), "b": t("U8", [2], 3, 5)}, 5)
st("overlap", {"a": t("U8", [2], 0, 2), "b": t("U8", [2], 1, 3)}, 3)
st("tail", {"a": t("U8", [2], 0, 2)}, 9)
st("short", {"a": t("U8", [9], 0, 9)}, 3)
st("sizes", {"a": t("F32", [2], 0, 4)}, 4)
st("count", {"a": t("F32", [1 << 40, 1 << 40], 0, 4)}, 4)
st("dims", {"a": t("U8", [1] * 9, 0, 1)}, 1)
st("dtype", {"a": t("F4", [2], 0, 1)}, 1)
st("shape", {"a": t("U8", [-1], 0, 1)}, 1)
st("offsets", {"a": t("U8", [1], 1, 0)}, 1)
st("keys", {"a": {"dtype": "U8", "shape": [1]}}, 1)
st("metadata", {"__metadata__": {"a": 1}}, 0)
st("twice", b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}', 2)
st("array", b"[]", 0)
seed("safetensors", "lfs", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
seed("safetensors", "huge", struct.pack("<Q", 1 << 40) + b"{}")
seed("safetensors", "cut", struct.pack("<Q", 99) + b"{}")

DICT = "{'descr': '%s', 'fortran_order': %s, 'shape': %s, }"


def npy(name, text, data, version=b"\x01\x00"):
    size = struct.pack("<H" if version[0] == 1 else "<I", len(text))
    seed("npy", name, b"\x93NUMPY" + version + size + text.encode() + bytes(range(data)))


for descr, n in (("<f4", 4), ("<f8", 8), ("<f2", 2), ("<i8", 8), ("<i4", 4), ("|u1", 1)):
    npy(descr[1:], DICT % (descr, "False", "(2, 1)") + "  \n", 2 * n)
npy("scalar", DICT % ("<f4", "False", "()"), 4)
npy("version2", DICT % ("<f4", "False", "(1,)"), 4, b"\x02\x00")
npy("version3", DICT % ("<f4", "False", "(1,)"), 4, b"\x03\x00")
npy("fortran", DICT % ("<f4", "True", "(1,)"), 4)
npy("big", DICT % (">f4", "False", "(1,)"), 4)
npy("complex", DICT % ("<c8", "False", "(1,)"), 8)
npy("record", "{'descr': [('a', '<f4')], }", 4)
npy("dims", DICT % ("<f4", "False", "(1, 1, 1, 1, 1, 1, 1, 1, 1)"), 4)
npy("short", DICT % ("<f4", "False", "(3,)"), 4)
npy("twice", "{'descr': '<f4', 'descr': '<f4'}", 4)

seed("index", "good", json.dumps({"metadata": {"total_size": 6}, "weight_map": {"a": "1", "b": "1", "c": "2"}}))
seed("index", "one", json.dumps({"weight_map": {"c": "2"}}))
for name, weight_map in (("lost", {"a": "1", "b": "1", "c": "2", "x": "2"}), ("extra", {"a": "1"}), ("outside", {"a": "../1"}), ("number", {"a": 1}),
                         ("both", {"a": "1", "b": "1", "d": "3"}), ("none", {"a": "9"}), ("empty", {}), ("list", [])):
    seed("index", name, json.dumps({"weight_map": weight_map}))
seed("index", "many", json.dumps({"weight_map": {"%d" % i: "%d" % i for i in range(1001)}}, separators=(",", ":")))
seed("index", "cut", '{"weight_map":{')

seed("json_config", "llama", json.dumps({"model_type": "llama", "hidden_size": 576, "eps": 1e-5, "flag": True, "a": None}))
seed("json_config", "nested", json.dumps({"text_config": {"hidden_size": 2.0, "flag": False}, "vision_config": {"hidden_size": "x"}, "a": [1, "\u00e4\n"]}))
seed("json_config", "types", json.dumps({"model_type": 3, "hidden_size": 2.5, "eps": "1e-5", "flag": 1, "a": 5}))
seed("json_config", "ranges", json.dumps({"hidden_size": -5, "eps": 1e300, "a": 1001}))
seed("json_config", "array", "[1, 2]")
seed("json_config", "twice", '{"a": 1, "a": 2}')
seed("json_config", "word", "null")
