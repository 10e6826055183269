"""Tiny tokenizers of every kind in use, trained here, and what the tokenizers library makes of difficult strings."""

import json

from jinja2 import Template
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from . import corpus

BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())
CHATML = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


GEMMA_TEMPLATE = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set first = messages[0]['content'] + '\n\n' %}"
    "{% set rest = messages[1:] %}{% else %}{% set first = '' %}{% set rest = messages %}{% endif %}{% for message in rest %}"
    "{{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else message['role']) + '\n' + (first if loop.first else '')"
    " + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
SMOLLM2 = CHATML.replace(
    "{% for message in messages %}",
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\n" + SYSTEM + "<|im_end|>\n' }}{% endif %}",
)
TEMPLATES = {"chatml": CHATML, "smollm2": SMOLLM2, "gemma": GEMMA_TEMPLATE}


def special(*names):
    return [AddedToken(n, special=True, normalized=False) for n in names]


def train(tok, size, specials=(), alphabet=BYTES, limit=None):
    """Trains on the corpus, or on what is left of it when only its `limit` commonest characters are kept.

    (The trainer's own limit_alphabet breaks ties in a hash table's order.)
    """
    lines = corpus.TRAIN.split("\n")
    if limit:
        kept = sorted(set(corpus.TRAIN), key=lambda c: (-corpus.TRAIN.count(c), c))[:limit]
        lines = ["".join(c for c in line if c in kept) for line in lines]
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=list(specials), initial_alphabet=alphabet, show_progress=False)
    tok.train_from_iterator(lines, trainer)
    return tok


GPT4 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def byte_level(pre=None, normalizer=None, size=330, specials=("<|endoftext|>",), post=None, prefix=False, **model):
    """Byte-level BPE after the given pre-tokenizers; without any, ByteLevel's own (GPT-2's) regex."""
    tok = Tokenizer(models.BPE(**model))
    if normalizer:
        tok.normalizer = normalizer
    last = pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=pre is None)
    tok.pre_tokenizer = pre_tokenizers.Sequence([*pre, last]) if pre else last
    tok.decoder = decoders.ByteLevel()
    train(tok, size, special(*specials))
    if post:
        tok.post_processor = post
    return tok


def template(tok, single, names):
    pair = single + " " + single.replace("$A", "$B")
    return processors.TemplateProcessing(single=single, pair=pair, special_tokens=[(n, tok.token_to_id(n)) for n in names])


def llama3():
    """Specials stand outside the model's vocabulary; words that are whole entries skip the merges."""
    tok = byte_level([pre_tokenizers.Split(Regex(GPT4 % "{1,3}"), "isolated")], specials=(), ignore_merges=True)
    tok.add_special_tokens(
        special("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
    )
    tok.post_processor = processors.Sequence(
        [processors.ByteLevel(trim_offsets=False), template(tok, "<|begin_of_text|> $A", ["<|begin_of_text|>"])]
    )
    return tok


def qwen2():
    pre = [pre_tokenizers.Split(Regex(GPT4 % ""), "isolated")]
    return byte_level(
        pre,
        normalizers.NFC(),
        specials=("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
        post=processors.ByteLevel(trim_offsets=False),
    )


def deepseek():
    """Several Splits one after another, and runs of digits."""
    pre = [
        pre_tokenizers.Split(Regex("[\r\n]"), "isolated"),
        pre_tokenizers.Split(Regex("\\s?\\p{L}+"), "isolated"),
        pre_tokenizers.Split(Regex("\\s?\\p{P}+"), "isolated"),
        pre_tokenizers.Split(Regex("[一-龥ࠀ-一가-퟿]+"), "isolated"),
        pre_tokenizers.Digits(individual_digits=False),
    ]
    tok = byte_level(pre, normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {3,}"), "  ")]))
    tok.add_special_tokens(special("<s>", "</s>"))
    tok.post_processor = template(tok, "<s> $A </s>", ["<s>", "</s>"])
    return tok


def sentencepiece(pre=None, normalizer=None, decoder=None, fallback=True, **model):
    """SentencePiece-style BPE with bytes for what it does not know. Trained on words, then given its real pre-tokenizer."""
    tok = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=fallback, **model))
    tok.pre_tokenizer = pre_tokenizers.Metaspace()
    first = special("<unk>", "<s>", "</s>")
    if fallback:
        first += [AddedToken(f"<0x{b:02X}>", normalized=False) for b in range(256)]
    train(tok, 400 if fallback else 220, first, [], 80)
    data = json.loads(tok.to_str())
    data["added_tokens"] = [t for t in data["added_tokens"] if not t["content"].startswith("<0x")]
    data["pre_tokenizer"] = None
    tok = Tokenizer.from_str(json.dumps(data))
    if pre:
        tok.pre_tokenizer = pre
    if normalizer:
        tok.normalizer = normalizer
    tok.decoder = decoder or decoders.Metaspace()
    tok.post_processor = template(tok, "<s> $A", ["<s>"])
    return tok


def llama2():
    return sentencepiece(
        normalizer=normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]),
        fuse_unk=True,
        decoder=decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        ),
    )


def metaspace(scheme, split, fallback=True):
    return sentencepiece(
        pre_tokenizers.Metaspace(prepend_scheme=scheme, split=split),
        fallback=fallback,
        fuse_unk=not split,
        decoder=decoders.Metaspace(prepend_scheme=scheme, split=split),
    )


def added():
    """Added tokens of every kind, over a lower-casing normalizer."""
    tok = byte_level(normalizer=normalizers.Sequence([normalizers.NFD(), normalizers.Lowercase()]))
    tok.add_tokens(
        [
            AddedToken("<Left>", lstrip=True, normalized=False),
            AddedToken("<Right>", rstrip=True, normalized=False),
            AddedToken("<Both>", lstrip=True, rstrip=True, normalized=False),
            AddedToken("cat", single_word=True, normalized=False),
            AddedToken("DOG", normalized=True),
            AddedToken("Bird", normalized=False),
            AddedToken("two words", normalized=True),
            AddedToken("¡olé!", normalized=False),
            AddedToken("<a>", normalized=False),
            AddedToken("<a><b>", normalized=False),
            AddedToken("café", single_word=True, normalized=True),
        ]
    )
    tok.add_special_tokens(
        [AddedToken("<Sp>", special=True, normalized=True), AddedToken("<|mask|>", special=True, lstrip=True, normalized=False)]
    )
    return tok


ADDED = [
    "<Left>",
    " <Left> x",
    "a  <Left>  b",
    "a <Right> \n b",
    "a  <Both>  b",
    "cat",
    "a cat sat",
    "concatenate cat, cat.",
    "cat_cat cats 1cat",
    "DOG",
    "dog",
    "hotdog DOGS",
    "Bird bird BIRD",
    "two words",
    "TWO WORDS two  words",
    "x¡olé!y",
    "x¡ole\u0301!y",
    "<a>",
    "<a><b>",
    "<a><a><b><b>",
    "<Sp>",
    "<sp>",
    " <SP> ",
    "a <|mask|> b",
    "<|mask|><|mask|>",
    "<Left><Right><Both>",
    "<Left> <Right>",
    "  <Both>",
    "<left>",
    "café CAFÉ cafés",
    "écat caté cat-cat",
    "<|endoftext|>x<|endoftext|>",
]


def split(behaviour, pattern, invert=False):
    return lambda: byte_level([pre_tokenizers.Split(pattern, behaviour, invert)], size=300)


WORDS, SPACES = Regex(r"\w+|[^\w\s]+"), Regex(r"\s+")
#  name: (builder, spelling of the merges, all strings or every second one)
KINDS = {
    "gpt2": (lambda: byte_level(post=processors.ByteLevel(trim_offsets=False)), "strings", 1),
    "gpt2_prefix": (lambda: byte_level(prefix=True, post=processors.ByteLevel(trim_offsets=True)), "pairs", 2),
    "smollm2": (None, "pairs", 1),
    "llama3": (llama3, "pairs", 1),
    "qwen2": (qwen2, "strings", 1),
    "o200k": (lambda: byte_level([pre_tokenizers.Split(Regex(O200K), "isolated")]), "pairs", 1),
    "deepseek": (deepseek, "pairs", 2),
    "gemma": (None, "pairs", 1),
    "llama2": (llama2, "strings", 1),
    "metaspace_always": (lambda: metaspace("always", True), "pairs", 1),
    "metaspace_first": (lambda: metaspace("first", True), "pairs", 2),
    "metaspace_never": (lambda: metaspace("never", False), "pairs", 2),
    "metaspace_unk": (lambda: metaspace("always", True, False), "pairs", 2),
    "metaspace_fuse": (lambda: metaspace("first", False, False), "pairs", 2),
    "nfd": (lambda: byte_level(normalizer=normalizers.NFD(), size=290), "pairs", 2),
    "nfkc_lower": (
        lambda: byte_level(normalizer=normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()]), size=290),
        "pairs",
        2,
    ),
    "nfkd_strip": (
        lambda: byte_level(normalizer=normalizers.Sequence([normalizers.NFKD(), normalizers.Strip(True, True)]), size=290),
        "pairs",
        2,
    ),
    "strip_left": (
        lambda: byte_level(normalizer=normalizers.Sequence([normalizers.Strip(True, False), normalizers.Prepend("_")]), size=290),
        "pairs",
        3,
    ),
    "split_removed": (split("removed", SPACES), "pairs", 3),
    "split_isolated": (split("isolated", " "), "pairs", 3),
    "split_previous": (split("merged_with_previous", SPACES), "pairs", 3),
    "split_next": (split("merged_with_next", Regex(r"[\s_-]")), "pairs", 3),
    "split_contiguous": (split("contiguous", Regex(r"\s|\d")), "pairs", 3),
    "split_invert": (split("removed", WORDS, True), "pairs", 3),
    "split_invert_next": (split("merged_with_next", WORDS, True), "pairs", 3),
    "added": (added, "pairs", 3),
}


def smol():
    """SmolLM2: GPT-2's byte-level BPE, every digit alone; no BOS is added."""
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tok.decoder = decoders.ByteLevel()
    return train(tok, 320, special("<|endoftext|>", "<|im_start|>", "<|im_end|>"))


def gemma():
    """Gemma: SentencePiece-style BPE with byte fallback, spaces as U+2581, <bos> in front."""
    tok = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tok.normalizer = normalizers.Replace(" ", "▁")
    tok.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tok.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    first = special("<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>")
    first += [AddedToken("\n" * n, normalized=False) for n in (2, 3)] + [
        AddedToken(f"<0x{b:02X}>", normalized=False) for b in range(256)
    ]
    train(tok, 420, first, [], 90)
    data = json.loads(tok.to_str())
    data["added_tokens"] = [t for t in data["added_tokens"] if not t["content"].startswith("<0x")]
    for t in data["added_tokens"]:  # the trainer makes all of them special
        t["special"] = not t["content"].startswith("\n")
    tok = Tokenizer.from_str(json.dumps(data))
    tok.post_processor = template(tok, "<bos> $A", ["<bos>"])
    return tok


def text_of(tok, merges="pairs"):
    """tokenizer.json; merges as pairs (new files) or as "a b" strings (old files)."""
    data = json.loads(tok.to_str())
    if merges == "strings":
        data["model"]["merges"] = [" ".join(m) for m in data["model"]["merges"]]
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")) + "\n"


def literal(tok):
    """The same tokenizer without its special tokens: how users' text is read, so that no text becomes a special token."""
    data = json.loads(tok.to_str())
    data["added_tokens"] = [t for t in data["added_tokens"] if not t["special"]]
    data["post_processor"] = None
    return Tokenizer.from_str(json.dumps(data))


def ids_of(tok, parts):
    """ids of a rendered prompt. Parts: an int is an id; text between ids is joined and encoded literally, in one piece."""
    plain, ids, text = literal(tok), [], ""
    for p in [*parts, None]:
        if isinstance(p, str):
            text += p
            continue
        if text:
            ids += plain.encode(text, add_special_tokens=False).ids
        text = ""
        if p is not None:
            ids.append(p)
    return ids


def render(tok, template, messages, generation=True):
    """Parts of a conversation, docs/models.md. A message is (role, content) with content a text or a list of parts."""
    t = tok.token_to_id
    if template in ("chatml", "smollm2"):
        parts = []
        if template == "smollm2" and messages[0][0] != "system":
            messages = [("system", SYSTEM), *messages]
        for role, content in messages:
            content = [content] if isinstance(content, str) else content
            parts += [t("<|im_start|>"), role + "\n", *content, t("<|im_end|>"), "\n"]
        return parts + ([t("<|im_start|>"), "assistant\n"] if generation else [])
    assert template == "gemma"
    parts, first = [t("<bos>")], ""
    for role, content in messages:
        if role == "system":
            first = content + "\n\n"
            continue
        content = [content.strip()] if isinstance(content, str) else content
        parts += [
            t("<start_of_turn>"),
            ("model" if role == "assistant" else role) + "\n",
            first,
            *content,
            t("<end_of_turn>"),
            "\n",
        ]
        first = ""
    return parts + ([t("<start_of_turn>"), "model\n"] if generation else [])


def write_kind(out, name, tok, merges, step):
    """One tokenizer and its case. pieces are the vocabulary's own strings."""
    out.bytes(f"tokenizers/{name}/tokenizer.json", text_of(tok, merges).encode())
    tok = Tokenizer.from_file(str(out.path(f"tokenizers/{name}/tokenizer.json")))
    texts = corpus.CHECK[::step] + [corpus.TRAIN[:300]]
    for t in [t for t in tok.get_added_tokens_decoder().values() if "\n" not in t.content][:3]:
        c = t.content
        texts += [c, f"a{c}b", f"a {c} b", c + c, f" {c}  {c} ", f"{c}\nhello {c}", c[:-1], c.upper()]
    texts += ADDED if name == "added" else []
    # The library now shows an added token with "normalized" in its normalized form (DOG as dog), earlier versions did not:
    # pieces have the file's own spelling, and what depends on the version is null.
    own = {i: t.content for i, t in tok.get_added_tokens_decoder().items()}
    unsure = {i for i, c in own.items() if tok.id_to_token(i) != c}
    rows = []
    for text in texts:
        ids, bare = tok.encode(text).ids, tok.encode(text, add_special_tokens=False).ids
        decoded = (None, None) if unsure & set(ids) else (tok.decode(ids, skip_special_tokens=False), tok.decode(ids))
        rows.append(
            {
                "text": text,
                "ids": ids,
                "pieces": [own.get(i, tok.id_to_token(i)) for i in ids],
                "ids_no_special": bare,
                "decoded": decoded[0],
                "decoded_skip_special": decoded[1],
            }
        )
    body = ",\n".join(json.dumps(r, ensure_ascii=False, separators=(",", ":")) for r in rows)
    out.bytes(f"cases/tokenizer/{name}.json", f"[\n{body}\n]\n".encode())
    return len(rows)


def write_chat(out):
    """Rendered conversations; where no text looks like a special token, transformers' way (one string, then ids) gives the same."""
    user, bot, system = ({"role": r} for r in ("user", "assistant", "system"))
    talks = [
        [user | {"content": "What is this?"}],
        [user | {"content": "Hi"}, bot | {"content": "Hello!\nHow are you?"}, user | {"content": "Fine, 42 times.\n"}],
        [system | {"content": "Be brief. "}, user | {"content": " What is it? \n"}],
        [user | {"content": "a <|im_end|>\n<|im_start|>assistant\n<end_of_turn> <eos><|endoftext|> b"}],
        [user | {"content": ""}],
        [user | {"content": "猫 😀"}, bot | {"content": "  Да.  "}],
    ]
    rows = []
    for tok, name, template in ((smol(), "smollm2", "chatml"), (smol(), "smollm2", "smollm2"), (gemma(), "gemma", "gemma")):
        for messages in talks:
            for generation in (True, False):
                parts = render(tok, template, [(m["role"], m["content"]) for m in messages], generation)
                ids = ids_of(tok, parts)
                if "<eos>" not in messages[0]["content"]:
                    text = Template(TEMPLATES[template]).render(
                        messages=messages, add_generation_prompt=generation, bos_token="<bos>"
                    )
                    assert tok.encode(text, add_special_tokens=False).ids == ids, (template, messages)
                rows.append({"tokenizer": name, "template": template, "messages": messages, "generation": generation, "ids": ids})
    body = ",\n".join(json.dumps(r, ensure_ascii=False, separators=(",", ":")) for r in rows)
    out.bytes("cases/tokenizer/chat.json", f"[\n{body}\n]\n".encode())


def make(out):
    for name, (builder, merges, step) in KINDS.items():
        tok = builder() if builder else {"smollm2": smol, "gemma": gemma}[name]()
        n = write_kind(out, name, tok, merges, step)
        print(f"{name:24} vocabulary {tok.get_vocab_size()}, {n} strings")
    write_chat(out)
