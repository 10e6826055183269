"""Makes the seed corpora of the formats that need no encoder: safetensors, packed, index, npy, json_config, tokenizer, tables, dataset. Run it from here; the files
are in the tree."""
import io, json, os, struct, tarfile, zlib

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

E = "vision_encoder."
MATS = (("patch_embedding.conv.weight", 8, 12), ("blocks.0.attn.qkv_proj.weight", 24, 8), ("blocks.0.attn.out_proj.weight", 8, 8),
        ("blocks.0.mlp.fc1.weight", 8, 8), ("blocks.0.mlp.fc2.weight", 8, 8))
VECS = (("patch_embedding.cls_token", [1, 1, 8]), ("patch_embedding.conv.bias", [8]), ("blocks.0.ln1.weight", [8]), ("blocks.0.ln1.bias", [8]),
        ("blocks.0.attn.qkv_proj.bias", [24]), ("blocks.0.attn.out_proj.bias", [8]), ("blocks.0.layer_scale1.lambda_param", [8]),
        ("blocks.0.ln2.weight", [8]), ("blocks.0.ln2.bias", [8]), ("blocks.0.mlp.fc1.bias", [8]), ("blocks.0.mlp.fc2.bias", [8]),
        ("blocks.0.layer_scale2.lambda_param", [8]), ("layer_norm.weight", [8]), ("layer_norm.bias", [8]))


def panel_bytes(kind, cols):
    groups = (cols + 31) // 32
    return {"f32": cols * 128, "bf16": cols * 64, "f16": cols * 64, "i8": (cols + 3) // 4 * 128 + 128, "g8": groups * 1088,
            "g4": groups * 576}[kind]


def packed(name, kinds=("f32",) * 5, change=lambda h: h, metadata={"vlm_packed": "1", "embedding": "f32"}):
    m, h, at = dict(metadata), {}, 0
    for (what, rows, cols), kind in zip(MATS, kinds):
        n = panel_bytes(kind, cols)
        m[E + what + ".panels." + kind] = "[%d,%d]" % (rows, cols)
        h[E + what + ".panels." + kind] = t("U8", [1, n], at, at + n)
        at += n
    for what, shape in VECS:
        n = 4 * shape[-1]
        h[E + what] = t("F32", shape, at, at + n)
        at += n
    seed("packed", name, json.dumps(change({"__metadata__": m, **h}), separators=(",", ":")))


def rename(a, b):
    return lambda h: {k.replace(a, b): v for k, v in h.items()}


packed("f32")
packed("whole", ("bf16", "i8", "g8", "g4", "f16"))
packed("version", metadata={"vlm_packed": "2", "embedding": "f32"})
packed("no_version", metadata={"vlm_packed": "one", "embedding": "f32"})
packed("not_packed", metadata={})
packed("embedding", metadata={"vlm_packed": "1", "embedding": "f64"})
packed("missing", change=rename("fc1.weight.panels", "fc1.weight.panel"))
packed("no_vector", change=rename("ln1.bias", "ln3.bias"))
packed("other_type", change=rename("fc1.weight.panels.f32", "fc1.weight.panels.i8"))
packed("i8", change=lambda h: json.loads(json.dumps(h).replace('"U8"', '"I8"')))
packed("i32", change=lambda h: json.loads(json.dumps(h).replace('"F32"', '"I32"')))
packed("rows", change=lambda h: json.loads(json.dumps(h).replace('"[8,8]"', '"[7,8]"')))
packed("turned", change=lambda h: json.loads(json.dumps(h).replace("[1, 1024]", "[1024, 1]")))
packed("vector", change=lambda h: json.loads(json.dumps(h).replace("[1, 1, 8]", "[1, 8]")))


def one_more(h):
    end = max(v["data_offsets"][1] for k, v in h.items() if k != "__metadata__")
    return {**h, "more": t("U8", [1], end, end + 1)}


def moved(h):
    for k, v in h.items():
        if k != "__metadata__":
            v["data_offsets"] = [v["data_offsets"][0] + 1, v["data_offsets"][1] + 1]
    return {**h, "first": t("U8", [1], 0, 1)}


packed("one_more", change=one_more)
packed("moved", change=moved)

ARRAY = {"pair.key": 0, "id.key": 1, "pair.value": 2, "id.value": 3, "slot": 4, "token": 5, "merged": 6, "text": 7, "rest": 8}
BYTES, ROWS, GONE, TYPE, SHAPE = range(5)


def tables(name, *changes):
    """(array, kind, at, bytes) each"""
    seed("tables", name, b"".join(struct.pack("<BBHB", ARRAY[a], kind, at, len(more)) + more for a, kind, at, more in changes))


tables("sound")
for a in ARRAY:
    tables("no_" + a, (a, GONE, 0, b""))
    tables("type_" + a, (a, TYPE, 0, b"\1"))
    tables("shape_" + a, (a, SHAPE, 3, b""))
    tables("fewer_" + a, (a, ROWS, 0, b"\xff"))
    tables("high_" + a, (a, BYTES, 0, b"\xff" * 4))
tables("columns", ("token", SHAPE, 0, b""), ("token", SHAPE, 4, b""))
tables("no_gap", *((a, BYTES, 0, b"\1" * 255) for a in ("slot", "id.key", "pair.key")))
tables("begins_behind", ("token", BYTES, 0, struct.pack("<I", 1 << 20)))
tables("ends_behind", ("token", BYTES, 4, struct.pack("<I", 1 << 20)))
tables("id", ("token", BYTES, 8, struct.pack("<I", 1)))
tables("inside", ("text", BYTES, 0, b"a\0\xc3\xa9b"))
tables("other_text", ("text", BYTES, 0, b"z"))
tables("no_end", ("text", BYTES, 1, b"aa"))
tables("merge", ("merged", BYTES, 0, struct.pack("<i", 7)))
tables("few_merges", ("merged", ROWS, 0, b"\xff"), ("pair.value", BYTES, 0, b"\0" * 255))
tables("no_json", ("rest", BYTES, 0, b"x"))
tables("other_json", ("rest", BYTES, 0, b"{}" + b" " * 250))
seed("tables", "empty", b"\xff")
seed("tables", "cut", b"\xff" + struct.pack("<Q", 99) + b"{}")

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

# ---- tokenizer: a tokenizer.json, a NUL, then a text (or a tokenizer_config.json) ----
BYTE = {b: chr(b) for b in (*range(33, 127), *range(161, 173), *range(174, 256))}        # GPT-2's spelling of bytes
BYTE |= {b: chr(256 + i) for i, b in enumerate(b for b in range(256) if b not in BYTE)}
LEVEL = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
MODEL = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": False,
         "byte_fallback": False, "ignore_merges": False}
BASE = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None, "pre_tokenizer": None,
        "post_processor": None, "decoder": None}
FEW = MODEL | {"vocab": {"a": 0, "b": 1, "ab": 2, "<x>": 3, "abb": 4, " ": 5, "A": 6, "c": 7}, "merges": [["a", "b"], ["ab", "b"]],
               "unk_token": "<x>"}
GPT2 = MODEL | {"vocab": {"<x>": 0} | {BYTE[b]: b + 1 for b in range(256)} | {"ab": 300, "abc": 301, "\u0120a": 302},
                "merges": ["a b", ["ab", "c"], "\u0120 a"]}
PIECE = MODEL | {"vocab": {"<unk>": 0, "<s>": 1, "</s>": 2} | {"<0x%02X>" % b: 3 + b for b in range(256)}
                 | {c: 260 + i for i, c in enumerate("\u2581abcdefgTh\u732b\u00e9")} | {"\u2581a": 300, "ab": 301},
                 "merges": ["\u2581 a", ["a", "b"]], "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True}
START = {"SpecialToken": {"id": "<s>", "type_id": 0}}
AROUND = {"type": "TemplateProcessing", "single": [START, {"Sequence": {"id": "A", "type_id": 0}}, START], "pair": [],
          "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}}
WORDS = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def tokenizer(name, text="", ascii=False, **parts):
    seed("tokenizer", name, json.dumps(BASE | parts, ensure_ascii=ascii, separators=(",", ":")) + "\0" + text)


def added(id, content, **flags):
    return {"id": id, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False} | flags


def split(regex, behavior="Isolated", invert=False):
    return {"type": "Split", "pattern": {"Regex": regex}, "behavior": behavior, "invert": invert}


def replace(kind, s, content):
    return {"type": "Replace", "pattern": {kind: s}, "content": content}


def space(scheme, **more):
    return {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": scheme} | more


def normalizers(*list):
    return {"type": "Sequence", "normalizers": list}


def decoders(*list):
    return {"type": "Sequence", "decoders": list}


def splitters(*list):
    return {"type": "Sequence", "pretokenizers": list}


def strip(content, start, stop):
    return {"type": "Strip", "content": content, "start": start, "stop": stop}


tokenizer("gpt2", "It's abc 12", model=GPT2, pre_tokenizer=LEVEL, decoder=LEVEL, post_processor=LEVEL, added_tokens=[added(0, "<x>", special=True)])
tokenizer("llama3", "ab  12345\n", True, model=FEW | {"ignore_merges": True}, decoder=LEVEL, normalizer={"type": "NFC"},
          pre_tokenizer=splitters(split(WORDS), LEVEL | {"use_regex": False}))
tokenizer("llama2", "ab \u732b x", model=PIECE, post_processor=AROUND,
          normalizer=normalizers({"type": "Prepend", "prepend": "\u2581"}, replace("String", " ", "\u2581")),
          decoder=decoders(replace("String", "\u2581", " "), {"type": "ByteFallback"}, {"type": "Fuse"}, strip(" ", 1, 0)),
          added_tokens=[added(0, "<unk>", special=True), added(1, "<s>", special=True, normalized=True), added(2, "</s>", special=True)])
tokenizer("metaspace", " a b", model=PIECE | {"byte_fallback": False}, pre_tokenizer=space("first", split=True), decoder=space("first"),
          post_processor={"type": "Sequence", "processors": [AROUND, {"type": "RobertaProcessing", "cls": ["<s>", 1], "sep": ["</s>", 2]}]})
tokenizer("added", "x  <L>  y <x>cat cat", model=FEW, normalizer=normalizers({"type": "NFKD"}, {"type": "Lowercase"}, {"type": "StripAccents"}),
          added_tokens=[added(3, "<x>", special=True), added(8, "<L>", lstrip=True, rstrip=True), added(9, "cat", single_word=True),
                        added(10, "AB", normalized=True), added(11, "<L><L>")])
tokenizer("splits", "a1b, c-d", model=FEW, normalizer={"type": "Strip", "strip_left": True, "strip_right": True},
          pre_tokenizer=splitters({"type": "Digits", "individual_digits": False}, {"type": "Punctuation", "behavior": "MergedWithNext"},
                                  {"type": "WhitespaceSplit"}, split("x") | {"pattern": {"String": "-"}, "behavior": "MergedWithPrevious"},
                                  split(r"\w", "Contiguous"), split(r"[\d\p{^L}]", "Removed", True)))
tokenizer("whitespace", "ab c", model=FEW, pre_tokenizer={"type": "Whitespace"}, normalizer={"type": "NFKC"})
tokenizer("regex", "aab\nb12", model=FEW, normalizer=replace("Regex", " {2,}", "__"),
          pre_tokenizer=splitters(split(r"^[^\S\w\h\p{Alpha}\-\]]{2}+|\bx{,2}\B|(?m-i:.)\u0041\x41\x{42}"), split("x*"),
                                  split(r"[]a[:alpha:]\u0062]+?|\W\D\H\S\A\p{Han}\P{Letter}\p{Word}|{a}|(?<=a)b{2}?$")))
tokenizer("marks", "e\u0323\u0301\u0323\u0301\u1e69\uac00\u11a8", model=FEW, normalizer={"type": "NFC"})
tokenizer("doubling", "aab", model=FEW, normalizer=normalizers(*[replace("String", "a", "aa")] * 30))
tokenizer("decoders", "ab b", model=FEW, normalizer={"type": "NFD"}, post_processor={"type": "BertProcessing", "cls": ["a", 0], "sep": ["b", 1]},
          decoder=decoders(strip("a", 1, 1), space("never") | {"replacement": "b"}, {"type": "Fuse"}, replace("String", "a", "-"),
                           {"type": "ByteFallback"}, strip("-", 1, 2), LEVEL, {"type": "Metaspace", "replacement": "b"}))
tokenizer("join", "ab b", model=FEW, normalizer={"type": "ByteLevel"})
seed("tokenizer", "old", r'{"model":{"vocab":{"a":0,"b" : 1,"ab":2,"\"\\\/\b\f\n\r\t\ud83d\ude00\u00e9":3},"merges":["#version: 0.2","a b"]}}' "\0ab b")
tokenizer("config", '{"bos_token":"<x>","eos_token":{"content":"ab"},"pad_token":null,"chat_template":[{"name":"default","template":"x"}]}', model=FEW)
tokenizer("config_odd", '{"bos_token":7}', model=FEW)
tokenizer("config_template", '{"bos_token":"<y>","chat_template":7}', model=FEW)
for i, model in enumerate((r'"vocab":{"a":0,"a":1},"merges":[]', r'"vocab":{"a":0,"b":0},"merges":[]', r'"vocab":{"a":0},"merges":["a b"]',
                           r'"vocab":{"\ud800x":0},"merges":[]', r'"vocab":{"\udc00":0},"merges":[]', r'"vocab":{"a":99999999},"merges":[["a"]]',
                           r'"vocab":{"a":0},"merges":[["a"]]', r'"vocab":{"a":0},"merges":["aa"]', r'"vocab":{"a":1.5},"merges":[]',
                           r'"vocab":{"\q":0},"merges":[]', r'"dropout":0.5,"vocab":{},"merges":[]',
                           r'"end_of_word_suffix":"x","vocab":{},"merges":[]')):
    seed("tokenizer", "bad%d" % i, '{"model":{"type":"BPE",' + model + '}}\0')
for name, text in (("unigram", b'{"model":{"type":"Unigram","vocab":[["a",0.0]]}}'), ("cut", b'{"model":{"type":"BPE","vocab":{"a'), ("array", b"[]"),
                   ("truncation", b'{"truncation":{"max_length":1},"model":{}}'), ("bytes", b'{"model":{"vocab":{"\xff":0},"merges":[]}}')):
    seed("tokenizer", name, text + b"\0")
for i, (key, value) in enumerate((
        ("normalizer", {"type": "Nmt"}), ("pre_tokenizer", {"type": "Odd"}), ("decoder", {"type": "CTC"}), ("post_processor", {"type": "Odd"}),
        ("pre_tokenizer", split("(")), ("pre_tokenizer", split("[a&&b]")), ("pre_tokenizer", split(r"a\1")), ("pre_tokenizer", split(r"\p{Nonsense}")),
        ("pre_tokenizer", split("a", "Odd")), ("added_tokens", [added(77, "<y>")]), ("added_tokens", [added(8, ""), added(8, "<y>"), added(8, "<y>")]),
        ("post_processor", AROUND | {"special_tokens": {}}), ("post_processor", {"type": "BertProcessing"}), ("decoder", strip("ab", 1, 1)),
        ("pre_tokenizer", space("first") | {"replacement": "xx"}), ("normalizer", replace("String", "", "") | {"pattern": {}}), ("padding", {"x": 1}))):
    tokenizer("odd%d" % i, "ab", model=FEW, **{key: value})

# ---- dataset: the first byte says what the rest is (fuzz_dataset.c) ----
def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


PNG = (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)) + chunk(b"IDAT", b"x\x9cc```\0\0\0\4\0\1")
       + chunk(b"IEND", b""))
ONE = {"images": ["a.png"], "texts": [{"user": "What?", "assistant": "A cat."}], "answers": ["cat"], "choices": ["a", "b"], "id": 7}


def lines(name, *samples, kind="L", between="\n"):
    seed("dataset", name, kind + between.join(s if isinstance(s, str) else json.dumps(s, separators=(",", ":")) for s in samples))


def user(*parts):
    return {"role": "user", "content": list(parts)}


def tar(*members, format=tarfile.USTAR_FORMAT):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as t:
        for name, data, *link in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            if link: info.type, info.linkname = link
            t.addfile(info, io.BytesIO(data))
    data = out.getvalue().rstrip(b"\0")              # tarfile fills up to 10 kB
    return data + bytes(-len(data) % 512 + 1024)


def archive(name, *members, kind=b"T", **more):
    seed("dataset", name, kind + tar(*members, **more))


lines("lines", "\ufeff" + json.dumps(ONE), "", "no", "[1]", {"texts": [{"user": "\u00e4"}]}, {}, between="\r\n")
lines("train", {"texts": [{"user": "a"}]}, {"texts": [{"user": "a"}, {"user": "b", "assistant": "c"}]}, {"texts": []}, kind="l")
lines("messages", {"messages": [{"role": "system", "content": "s"}, user({"type": "image", "image": "a.png"}, {"type": "text", "text": "x"},
                                                                        {"type": "image_url", "image_url": {"url": "a.png", "detail": "low"}}),
                                {"role": "assistant", "content": [{"type": "text", "text": "y"}]}]},
      {"images": ["a.png"], "messages": [user({"type": "image", "index": 0})]}, {"images": ["a.png"], "messages": [user({"type": "image", "index": 1})]},
      {"messages": [user({"type": "image"})]}, {"images": ["a.png", "a.png"], "messages": [user({"type": "image"})]},
      {"images": ["a.png"], "messages": [user({"type": "text", "text": "x"})]})
lines("odd_messages", {"messages": 1}, {"messages": [{"role": "user"}]}, {"messages": [user(), {"role": "assistant", "content": [{"type": "image"}]}]},
      {"messages": [{"role": "tool", "content": "x"}]}, {"messages": [user({"type": "video"})]}, {"messages": [user({"type": "image_url"})]},
      {"messages": [user({"type": "image", "path": "a", "url": "b"})]}, {"messages": [], "texts": []}, {"messages": [user({"typ": "text"})]})
lines("odd_texts", {"texts": 1}, {"texts": [{"usr": 1}]}, {"texts": [{"user": 1}]}, {"texts": [{"user": "a"}], "images": "a"},
      {"texts": [{"user": "a"}], "answers": 1}, {"texts": [{"user": "a"}], "choices": [1]}, {"texts": [{"user": "a"}], "zzzzzz": 1})
lines("paths", *({"images": [p], "texts": [{"user": "a"}]} for p in ("../a", "/a", "", "http://x", "data:x", "none.png", 1)),
      {"images": ["a.png"] * 9, "texts": [{"user": "a"}]})
lines("ratings", {"images": ["a.png"], "texts": [{"user": c, "assistant": c} for c in "abc"], "relevance_ratings": [0, 5, None], "formatting_ratings": [1]},
      *({"texts": [{"user": "a", "assistant": "b"}], "formatting_ratings": r} for r in ([0], [1, 1], ["1"], 1)),
      {"messages": [user({"type": "image", "image": "a.png"}), {"role": "assistant", "content": "x"}] * 2, "relevance_ratings": [1, 0]})
lines("blank", "", " ")
lines("array", "[{}]")
lines("zip", "PK\3\4")
archive("tar", ("./", b"", tarfile.DIRTYPE, ""), ("./k.0.png", PNG), ("./k.1.png", PNG), ("./k.json", b'{"texts":[{"user":"a"}],"images":["k.1.png"]}'),
        ("./l.txt", b"a cat\n"), ("./l.png", PNG), ("m.png", b""), ("n.txt", b"x"), ("._m.png", b"x"), ("m.cls", b"1"))
archive("tar_odd", ("a.png", b"", tarfile.SYMTYPE, "x"), ("b.png", PNG), ("b.png", PNG), ("c.png", PNG), ("c.json", b'{"x":1}'), ("c.txt", b"\xff"),
        ("d.json", b'{"images":["b.png"],"texts":[{"user":"a"}]}'), kind=b"t")
archive("tar_many", *(("a.%d.png" % i, b"") for i in range(9)))
archive("tar_pax", ("\u00e4" * 60 + ".txt", b"x"), ("\u00e4" * 60 + ".png", PNG), format=tarfile.PAX_FORMAT)
archive("tar_gnu", ("y" * 120 + ".txt", b"x"), ("y" * 120 + ".png", PNG), format=tarfile.GNU_FORMAT)
archive("tar_empty")
seed("dataset", "tar_text", "Tno tar")
seed("dataset", "tar_none", "T")
seed("dataset", "tar_cut", b"T" + tar(("a.txt", b"x"), ("a.png", PNG))[:1600])
seed("dataset", "tar_long", b"T" + tar(("z" * 5000 + ".png", b"x"), format=tarfile.GNU_FORMAT))
seed("dataset", "shards", b"S" + tar(("a.txt", b"x"), ("a.png", PNG)).ljust(4096, b"\0") + tar(("a.txt", b"y"), ("a.png", PNG)).ljust(4096, b"\0"))


def folder(name, *files, kind=b"D"):
    seed("dataset", name, kind + b"".join(n.encode() + b"\0" + text + b"\0" for n, text in files))


folder("folder", ("a.txt", b"\xef\xbb\xbf a cat\r\n"), ("b.json", json.dumps(ONE).encode()), ("c.JPG", b"junk"), ("c.txt", b" "), ("notes.md", b"x"), ("d.txt", b"x"))
folder("folder_odd", ("a.jpg", b"GIF8"), ("a.txt", b"x"), ("e.json", b"{"), ("f.json", b'{"x":1}'), ("f.txt", b"x"), ("f.gif", b"GIF89a"), kind=b"d")
folder("folder_lines", ("x.jsonl", b"{}"))
