"""The text that the tiny tokenizers are trained on, and the strings that they are tried with."""

TRAIN = """
What is in this picture? The picture shows a cat that is sitting on the ground near an old wooden door.
Describe the image in detail. There are 3 red boats, 12 blue boats and 450 people at the harbour in 2024.
How many words are there? I can't count them all, but we'll try: one, two, three, four, five, six, seven.
It's a photograph of the mountains; they're covered with snow. The weather isn't warm, the sky is grey.
The user asks a question and the assistant answers the question. The answer is short and the answer is right.
user assistant system model turn image row col question answer yes no left right top bottom red green blue
Der schnelle braune Fuchs springt über den faulen Hund. Größe, Straße, Übermut, schön, wäre, möchte.
Voilà une très belle image à côté de la fenêtre : l'été, le garçon, où, naïve, cœur, déjà vu.
El niño comió una manzana; ¿dónde está la biblioteca? ¡Qué día! Ação, não, coração, avó.
Быстрая коричневая лиса прыгает через ленивую собаку. На картинке изображён кот, который сидит на полу.
Η γάτα κάθεται στο πάτωμα. Το σκυλί τρέχει στον κήπο. ΑΒΓΔΕ αβγδε.
这张图片里有一只猫坐在地上。天空是蓝色的，树是绿色的。今天天气很好。
写真には猫が写っています。カタカナとひらがなと漢字。東京は日本の首都です。
이 사진에는 고양이가 있습니다. 안녕하세요, 반갑습니다.
القطة جالسة على الأرض بالقرب من الباب. מה יש בתמונה הזאת? חתול יושב על הרצפה.
यह एक बिल्ली की तस्वीर है। नमस्ते दुनिया।  แมวนั่งอยู่บนพื้น
def main(argc, argv):\n    for i in range(10):\n        print(f"{i}: {i * 2}")\n\n    return 0\n
#include <stdio.h>\nint main(void) {\n\tprintf("hello, world\\n");\n\treturn 0;\n}\n
x = 3.14159; y = -2.5e10; z = x ** 2 + y / 7; 1234567890 1,000,000 99% $5.00 #42 @home a_b_c foo-bar
https://example.org/path?query=value&other=1  email@example.com  C:\\Users\\name  ~/home  ...  --- ***
😀 😃 👍 👍🏽 👩‍👩‍👧 🇩🇪 ❤️ → ← ± × ÷ ∑ √ ∞ ≤ ≥ “quoted” ‘single’ – — … • §
the the the of of and and to to in in a a is is that that it it for for on on with with as as are are
"""

CHECK = [
    "",
    " ",
    "  ",
    "   ",
    "\n",
    "\n\n",
    " \n",
    "\n ",
    "\t",
    "\r\n",
    "a",
    "A",
    " a",
    "a ",
    " a ",
    "  a  b   c    d     ",
    "What is in this picture?",
    "Describe the image in detail.",
    "Hello, world! It's 2024; we're here, I'd say they'll've it.",
    "IT'S I'M WE'LL DON'T 'S 'em ''s o'clock",
    "the cat sat on the mat",
    "thecatsatonthemat",
    "antidisestablishmentarianism",
    "1",
    "12",
    "123",
    "1234567890",
    "3.14159",
    "1,000,000",
    "x1y22z333",
    "٣٤٥ ೨೩ Ⅷ ½ ² ①",
    "१२३४",
    "def f(x):\n    return x + 1\n\n\nclass A:\n\tpass\n",
    "if (a<b && c>d) { e[0] = *f; }",
    "a\n\n\nb",
    "a \n b",
    "a\n  b\n    c",
    "a\t\tb",
    "trailing newline\n",
    "  leading and trailing  ",
    "mixed \t \n \r\n whitespace\u00a0nbsp\u3000ideographic\u2003em\u200bzero\u2028line",
    "Größe Straße über",
    "Gro\u0308\u00dfe u\u0308ber e\u0301te\u0301",
    "\u0301leading combining",
    "Ame\u0301lie, a\u030a \u212b \u00c5 \u2126 \ufb01n \u1e9b\u0323",
    "İstanbul ıI ǅ ß ẞ ΑΣ Σ",
    "这张图片里有一只猫。",
    "写真には猫が写っています。",
    "カタカナ ｶﾀｶﾅ ﾊﾞ １２３ ＡＢＣ",
    "안녕하세요 각 \u1100\u1161\u11a8",
    "القطة جالسة على الأرض",
    "שָׁלוֹם עולם",
    "नमस्ते दुनिया",
    "แมวนั่งอยู่บนพื้น",
    "Быстрая лиса, ЁЖИК",
    "Η γάτα κάθεται. ΑΒΓ",
    "😀😃",
    "👍🏽 👩‍👩‍👧 🇩🇪 ❤️",
    "a😀b",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐍈 𠮷",
    "\u0001\u0002\u001f\u007f",
    "\u0085\u009f",
    "it'\u017f 'LL \u212a'RE",
    "\ufeffbom",
    "\ufffd\uffff\ue000",
    "\u00ad\u200d\u200e",
    "https://example.org/path?q=1&r=2#frag",
    "email@example.com",
    "C:\\Users\\name",
    "a_b_c foo-bar --x=1 $5.00 100%",
    "“quoted” ‘single’ – — …",
    "!!!",
    "?!?!",
    "...",
    "-----",
    "=====",
    "((()))",
    "a.b.c",
    "'",
    '"',
    "\\n",
    "▁",
    "▁▁a ▁b",
    "a▁b",
    "Ġ",
    "aĠb",
    "<0x41>",
    "<0x0A>",
    "<unk>",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "abcabcabcabc",
    "zzz qqq xxx",
    "The  quick   brown    fox",
    "é",
    "e\u0301",
    "x\u0300\u0301\u0302",
]
