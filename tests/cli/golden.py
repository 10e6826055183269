#!/usr/bin/env python3
"""Writes golden.t from tests/golden/cases/*/{case,generate}.json. Only needed when the cases change."""

import json
import shlex
from pathlib import Path

HERE = Path(__file__).resolve().parent
CASES = HERE.parent / "golden/cases"


def quote(s):
    return "$'" + s.replace("\\", r"\\").replace("'", r"\'").replace("\n", r"\n") + "'" if "\n" in s else shlex.quote(s)


def command(name, c):
    words = [name, c["model"], *(w for i in c.get("images", []) for w in ("-i", i)), *map(str, c.get("options", []))]
    return words


out = [
    "Every golden case (tests/golden/README.md): the stages of one pass, and greedy answers. Written by golden.py.",
    "A stage that is missing, misshapen or further off than the tolerance is printed.",
    "",
]
for f in sorted(CASES.glob("*/case.json")):
    c, d = json.loads(f.read_text()), f.parent.name
    words = command("trace", c)
    if c.get("ids"):
        words += ["--ids", f"cases/{d}/ids.npy"]
    elif c.get("prompt") is not None:
        words += ["--prompt", c["prompt"]]
    tolerance = c["tolerance"]
    if "bf16" in c and "gemma" in c["model"]:  # the embedding's factor is rounded to bf16, as the original does; the float64 reference does not
        tolerance = 2 * min(e / max(1, c["stages"][k]["rms"]) for k, e in c["bf16"].items())
    words += ["--against", f"cases/{d}", "--tolerance", f"{tolerance:.3g}", "--quiet"]
    out.append("$ cd $ROOT/tests/golden; set -o pipefail; vlm " + " ".join(map(quote, words)) + " | grep -v 'ok$\\|^stage' || test ${PIPESTATUS[0]} = 0")
    g = f.parent / "generate.json"
    if g.exists():
        g = json.loads(g.read_text())
        words = command("ask", g) + ["--max-tokens", str(g["max_tokens"]), "--json", "--", g["prompt"]]
        pick = """ | tr -d ' \\n' | grep -o '"ids":[^]]*]\\|"finish_reason":"[a-z]*"'"""
        out.append(f"$ cd $ROOT/tests/golden; diff <(vlm {' '.join(map(quote, words))}{pick}) <(cat cases/{d}/generate.json{pick})")
out.append(f"$ ls -d $ROOT/tests/golden/cases/*/case.json | wc -l")
out.append(f"| {len(list(CASES.glob('*/case.json')))}")
(HERE / "golden.t").write_text("\n".join(out) + "\n", encoding="utf-8")
