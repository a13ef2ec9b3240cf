"""Scripts, as character classes: what a word is differs between them (UAX 29, UAX 24)."""

import unicodedata

#: Scripts written without spaces between words: Thai, Lao, Myanmar, Khmer, kana, bopomofo, CJK.
SPACELESS = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u312f"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
HANGUL = "\u1100-\u11ff\ua960-\ua97f\uac00-\ud7ff"
ARABIC = "\u0620-\u064a\u066e-\u06d3"
HEBREW = "\u05d0-\u05ea"
#: Combining marks, of which Python's ``\w`` knows nothing: without them Hindi falls into pieces.
MARKS = "".join(c for c in map(chr, range(0x300, 0x20000)) if unicodedata.category(c)[0] == "M")
