"""Languages: their codes as people write them, and OpenSearch's analyzer of each.

A language has its two-letter code (ISO 639-1), or three letters if it has no such code. The
analyzers are OpenSearch's built-in ones: they need no plugin.
"""

from __future__ import annotations

from collections.abc import Mapping

from ce2de_os.errors import ConfigError

ENGLISH = "en"
STANDARD = "standard"
"""The analyzer for text in any language: words in lower case, without stems."""

ANALYZERS: Mapping[str, str] = {
    "ar": "arabic", "bg": "bulgarian", "bn": "bengali", "ca": "catalan", "ckb": "sorani", "cs": "czech",
    "da": "danish", "de": "german", "el": "greek", "en": "english", "es": "spanish", "et": "estonian",
    "eu": "basque", "fa": "persian", "fi": "finnish", "fr": "french", "ga": "irish", "gl": "galician",
    "hi": "hindi", "hu": "hungarian", "hy": "armenian", "id": "indonesian", "it": "italian", "ja": "cjk",
    "ko": "cjk", "lt": "lithuanian", "lv": "latvian", "nl": "dutch", "no": "norwegian", "pt": "portuguese",
    "ro": "romanian", "ru": "russian", "sv": "swedish", "th": "thai", "tr": "turkish", "zh": "cjk",
}  # fmt: skip

_THREE_LETTERS: Mapping[str, str] = {
    "af": "afr", "am": "amh", "ar": "ara", "az": "aze", "be": "bel", "bg": "bul", "bn": "ben", "bs": "bos",
    "ca": "cat", "ckb": "ckb", "cs": "ces cze", "cy": "cym wel", "da": "dan", "de": "deu ger",
    "el": "ell gre", "en": "eng", "eo": "epo", "es": "spa", "et": "est", "eu": "eus baq", "fa": "fas per",
    "fi": "fin", "fr": "fra fre", "ga": "gle", "gl": "glg", "gu": "guj", "he": "heb", "hi": "hin",
    "hr": "hrv", "hu": "hun", "hy": "hye arm", "id": "ind", "is": "isl ice", "it": "ita", "ja": "jpn",
    "ka": "kat geo", "kk": "kaz", "km": "khm", "kn": "kan", "ko": "kor", "la": "lat", "lb": "ltz",
    "lo": "lao", "lt": "lit", "lv": "lav", "mk": "mkd mac", "ml": "mal", "mn": "mon", "mr": "mar",
    "ms": "msa may", "mt": "mlt", "my": "mya bur", "ne": "nep", "nl": "nld dut", "no": "nor nob nno",
    "pa": "pan", "pl": "pol", "pt": "por", "ro": "ron rum", "ru": "rus", "si": "sin", "sk": "slk slo",
    "sl": "slv", "so": "som", "sq": "sqi alb", "sr": "srp", "sv": "swe", "sw": "swa", "ta": "tam",
    "te": "tel", "th": "tha", "tl": "tgl fil", "tr": "tur", "uk": "ukr", "ur": "urd", "uz": "uzb",
    "vi": "vie", "zh": "zho chi cmn",
}  # fmt: skip

# Older codes, and varieties that are written like the language and take its analyzer.
_ALIASES = {
    "ary": "ar", "arz": "ar", "in": "id", "iw": "he", "mo": "ro", "nb": "no", "nn": "no", "wuu": "zh",
    "yue": "zh",
}  # fmt: skip

CODES = tuple(sorted(_THREE_LETTERS))
"""Every known language."""

_KNOWN = (
    {code: code for code in CODES}
    | {three: code for code, threes in _THREE_LETTERS.items() for three in threes.split()}
    | _ALIASES
)


def normalized(value: str) -> str | None:
    """Return the code of a language written as ``it``, ``it-IT``, ``it_IT`` or ``ita``, in any case.

    ``None``: the language is not known.
    """
    return _KNOWN.get(value.strip().lower().replace("_", "-").partition("-")[0])


def analyzer(code: str) -> str:
    """Return OpenSearch's built-in analyzer of a language; ``standard`` if there is none (Polish)."""
    return ANALYZERS.get(code, STANDARD)


def parse_languages(text: str) -> tuple[str, ...]:
    """Read a list such as ``"en,it,de"``.

    Raises:
        ConfigError: it is empty, or one of them is not known.
    """
    codes = {name.strip(): normalized(name) for name in text.split(",") if name.strip()}
    unknown = [name for name, code in codes.items() if code is None]
    if unknown or not codes:
        raise ConfigError(
            f"languages: got '{unknown[0] if unknown else text}', expected codes such as en,it,de; "
            f"there are {', '.join(CODES)}"
        )
    return tuple(dict.fromkeys(code for code in codes.values() if code))
