"""Strings that are hard on a tokenizer: languages, scripts, whitespace, digits, emoji, code, special tokens' text."""

import random

WORDS = {
    "english": "the quick brown fox jumps over a lazy dog's back don't you'll WE'RE I'm they've it'd café naïve",
    "french": "l'été où garçon œuvre Noël déjà ça français aujourd'hui",
    "german": "Straße über größer Äpfel Fußgängerübergang süß Öl",
    "spanish": "¿dónde está el niño? ¡mañana! corazón pingüino",
    "polish": "zażółć gęślą jaźń źdźbło łódź",
    "turkish": "İstanbul ığdır şeker çiçek güneş",
    "vietnamese": "Tiếng Việt đẹp quá người phở Nguyễn",
    "russian": "рыжая лиса сидит на снегу под ёлкой ночь",
    "greek": "η αλεπού κάθεται στο χιόνι Ὀδυσσεύς",
    "hebrew": "שועל אדום יושב בשלג שָׁלוֹם",
    "arabic": "ثعلب أحمر يجلس في الثلج مُحَمَّد ١٢٣",
    "persian": "روباه قرمز می‌نشیند در برف ۴۵۶",
    "hindi": "लाल लोमड़ी बर्फ में बैठी है क्षत्रिय १२३",
    "bengali": "লাল শিয়াল তুষারে বসে আছে",
    "tamil": "சிவப்பு நரி பனியில் அமர்ந்திருக்கிறது",
    "thai": "สุนัขจิ้งจอกสีแดงนั่งอยู่บนหิมะ ๑๒๓",
    "khmer": "កញ្ជ្រោងក្រហមអង្គុយលើព្រិល",
    "georgian": "წითელი მელა ზის თოვლში",
    "armenian": "կարմիր աղվեսը նստած է ձյան վրա",
    "amharic": "ቀይ ቀበሮ በበረዶ ላይ ተቀምጧል",
    "chinese": "一只红色的狐狸坐在雪地里 背景是森林和山 夜空中有一轮明月 龍鳳呈祥 “引号” 。，！？",
    "japanese": "赤い狐が雪の上に座っている カタカナ ｶﾞｷﾞｸﾞ ひらがな 東京タワー ゔ ㍿",
    "korean": "빨간 여우가 눈 위에 앉아 있다 한국어 값싼",
    "old": "𐍈𐌰𐌹 𓂀𓃰 𒀀𒁀 ᚠᚢᚦ ᛟ",
    "maths": "∑∫√∞≠≤≥ αβγ ℝ→ℂ x² H₂O ½ ⅷ ① 𝓗𝓮𝓵𝓵𝓸 ﬁ ﬂ Å Å Ω",
}
EMOJI = "🦊 👩‍👩‍👧‍👦 👍🏽 🇨🇳 🏳️‍🌈 ❤️ ☃ 🧑🏿‍🚀 1️⃣ 🏴󠁧󠁢󠁳󠁣󠁴󠁿 😀😃 ⏏︎ 👨‍❤️‍💋‍👨".split()
# Sequences that NFC changes, and some that it must not.
MARKS = (
    "e\u0301 o\u0308 a\u030a n\u0303 c\u0327\u0301 q\u0307\u0323 \u1100\u1161\u11a8 \u0915\u093c \u05e9\u05c1 \u212b \u2126 "
    "\u0344 \ufb1d \uf900 \u0041\u030a\u0323 \u0061\u0315\u0300\u05ae\u0062 \u1e9b\u0323 \u0b47\u0b56 \u30ab\u3099"
).split(" ")
SPACES = [" ", "  ", "   ", "\t", "\n", "\r\n", "\r", "\n\n", " \n ", "\t\t ", "\u00a0", "\u2003", "\u3000", "\u200b", "\u2028", "\u0085", "\x0b", "\x0c", "\ufeff"]
CONTROL = [chr(i) for i in (*range(0, 32), 127, 128, 159, 0xAD, 0x200E, 0x202E, 0xFFFD, 0xFFFE, 0xE000, 0x10FFFF)]
TOKENS = (
    "<|endoftext|> <|im_start|> <|im_end|> <|vision_start|> <|image_pad|> <think> </think> <tool_call> <|fim_prefix|> "
    "<|im_start <|im_end| |im_end|> <|IM_END|> <| im_end |> <think > <|im_end|><|im_end|> assistant user system"
).split()
CODE = [
    "def f(x):\n    return x**2  # comment\n",
    "for (int i=0;i<n;++i){a[i]+=b[i];}",
    '{"key": [1, 2.5, -3e-7], "s": "a\\n"}',
    "https://example.com/a?b=c&d=%20#e",
    "SELECT * FROM t WHERE a != 'b' -- c",
    "<div class='x'>&nbsp;</div>",
    "C:\\path\\to\\file.txt ~/.config/zimg.toml",
    "--size 1024x1024 -n 4 --seed=42",
    "(masterpiece:1.2), [bad], {a|b}, ((x))",
]
PUNCTUATION = ["...", "…", "!!!", "?!", "—", "--", "'s", "'S", "’s", "'LL", "''", "\"", "(", ")", ",", ";", ":", "/", "\\", "@", "#", "$", "€", "%", "&", "*", "+", "=", "~", "`", "^", "_", "|"]


def pieces(random_: random.Random) -> str:
    """One piece, of a kind chosen at random."""
    kind = random_.randrange(14)
    if kind < 6:
        return random_.choice(random_.choice(list(WORDS.values())).split())
    if kind == 6:
        return random_.choice(EMOJI)
    if kind == 7:
        return random_.choice(MARKS)
    if kind == 8:
        return random_.choice(TOKENS)
    if kind == 9:
        return random_.choice(CODE)
    if kind == 10:
        return str(random_.randrange(10 ** random_.randint(1, 12)))
    if kind == 11:
        return random_.choice(CONTROL)
    if kind == 12:
        return random_.choice(PUNCTUATION) * random_.choice((1, 1, 1, 2, 3))
    # Any character at all, surrogates excepted.
    return "".join(chr(random_.choice((random_.randrange(0x20, 0xD800), random_.randrange(0xE000, 0x110000)))) for _ in range(3))


def strings(count: int = 3000) -> list[str]:
    """The same strings on every call: each piece alone, whitespace in all places, long ones, and mixtures."""
    random_ = random.Random(20261123)
    out = ["", *WORDS.values(), *EMOJI, *MARKS, *SPACES, *CONTROL, *TOKENS, *CODE, *PUNCTUATION]
    out += [f"a{space}b" for space in SPACES] + [f"{space}a" for space in SPACES] + [f"a{space}" for space in SPACES]
    out += ["a" * 5000, " " * 3000, "\n" * 700, "1" * 900, "狐" * 1500, "🦊" * 800, "e\u0301" * 1000, "ab " * 2000]
    out += ["x" * n for n in range(1, 40)] + ["7" * n for n in range(1, 20)]
    while len(out) < count:
        joined = random_.choice(("", " ", " ", " ", None))
        parts = [pieces(random_) for _ in range(random_.randint(2, 9))]
        if joined is None:
            out.append("".join(part + random_.choice(SPACES) for part in parts))
        else:
            out.append(joined.join(parts))
    return out
