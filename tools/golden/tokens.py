"""Tiny tokenizers of every kind in use, trained here, and what the tokenizers library makes of difficult strings."""
import json

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from . import corpus

BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())
CHATML = ("{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
          "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")


GEMMA_TEMPLATE = ("{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set first = messages[0]['content'] + '\n\n' %}{% set rest = messages[1:] %}"
                  "{% else %}{% set first = '' %}{% set rest = messages %}{% endif %}{% for message in rest %}"
                  "{{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else message['role']) + '\n' + (first if loop.first else '')"
                  " + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}")


def special(*names):
    return [AddedToken(n, special=True, normalized=False) for n in names]


def train(tok, size, specials=(), alphabet=BYTES, limit=None):
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=list(specials), initial_alphabet=alphabet, show_progress=False,
                                  **({"limit_alphabet": limit} if limit else {}))
    tok.train_from_iterator(corpus.TRAIN.split("\n"), trainer)
    return tok


def smol():
    """SmolLM2: GPT-2's byte-level BPE, every digit alone; no BOS is added."""
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                                 pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tok.decoder = decoders.ByteLevel()
    return train(tok, 320, special("<|endoftext|>", "<|im_start|>", "<|im_end|>"))


def gemma():
    """Gemma: SentencePiece-style BPE with byte fallback, spaces as U+2581, <bos> in front."""
    tok = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tok.normalizer = normalizers.Replace(" ", "▁")
    tok.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tok.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    first = special("<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>")
    first += [AddedToken("\n" * n, normalized=False) for n in (2, 3)] + [AddedToken(f"<0x{b:02X}>", normalized=False) for b in range(256)]
    train(tok, 420, first, [], 90)
    data = json.loads(tok.to_str())
    data["added_tokens"] = [t for t in data["added_tokens"] if not t["content"].startswith("<0x")]
    tok = Tokenizer.from_str(json.dumps(data))
    tok.post_processor = processors.TemplateProcessing(single="<bos> $A", pair="<bos> $A <bos> $B", special_tokens=[("<bos>", tok.token_to_id("<bos>"))])
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
    """Parts of a conversation, spec 5.3. A message is (role, content) with content a text or a list of parts."""
    t = tok.token_to_id
    if template == "chatml":
        parts = []
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
        parts += [t("<start_of_turn>"), ("model" if role == "assistant" else role) + "\n", first, *content, t("<end_of_turn>"), "\n"]
        first = ""
    return parts + ([t("<start_of_turn>"), "model\n"] if generation else [])


def make(out):
    pass
