"""Canary texts: their embeddings are in the artifact and are checked when it is loaded."""

# ruff: noqa: RUF001 - other scripts have letters that look like Latin ones
from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ce2de_os.arrays import Embeddings

DECIMALS = 6

TEXTS = (
    "a",
    "search engine",
    "How do I read a compressed file line by line?",
    "Library for parsing configuration files - development headers",
    "The pressure on the upper surface of the wing falls as the angle of attack rises, "
    "until the flow separates.",
    "Returns True if the set has no elements in common with other; sets are disjoint if their "
    "intersection is empty.",
    "A catalogue arranges what a library owns by author, by title and by subject, so that a reader who "
    "knows one of them finds the shelf.",
    "Add salt and two spoons of flour, stir until the sauce thickens, and serve it hot with bread.",
    "ERROR 503: upstream connect error or disconnect before headers; retry in 30 s (attempt 4 of 10)",
    "SELECT title, price FROM books WHERE year >= 1999 ORDER BY price DESC LIMIT 25;",
    "Vitamin C deficiency causes scurvy; early signs are fatigue, sore joints and bleeding gums.",
    "Der schnelle braune Fuchs springt über den faulen Hund. Il gatto dorme sul divano.",
    "日本語の文章 🙂 emoji, ünïcödé and 1,234.56 € in one line",
    "!!! ??? ... --- *** ###",
    "The treaty ended the war, but its terms left both sides poorer, and within a generation the border "
    "was disputed again. Merchants moved their trade to the coast, the inland towns shrank, and the roads "
    "between them were no longer kept in repair. What had been a week's journey now took a month, and "
    "travellers went armed. Only when a railway was built along the river did people return, and with them "
    "schools, mills and a newspaper.",
    "buffer " * 120,
)
"""From one letter to a hundred words, prose, code, noise and other scripts, as in an index."""


BY_LANGUAGE: Mapping[str, tuple[str, str]] = {
    "ar": (
        "تغلق المكتبة أبوابها يوم الجمعة، لكن يمكن إعادة الكتب في الصندوق عند المدخل.",
        "كيف أجدد رخصة القيادة إذا كنت مقيما في مدينة أخرى؟",
    ),
    "de": (
        "Die Fähre legt bei starkem Wind nicht ab; Fahrkarten gelten dann auch am nächsten Tag.",
        "Wie lange muss ich Rechnungen für die Steuererklärung aufbewahren?",
    ),
    "es": (
        "El taller repara bicicletas por la tarde y presta una herramienta a quien quiera aprender.",
        "¿Cuánto cuesta enviar un paquete de cinco kilos a las islas?",
    ),
    "fr": (
        "Le barrage a été vidé pour réparer les vannes, et le niveau de la rivière baissera jusqu'en mars.",
        "Comment obtenir une copie de mon acte de naissance à l'étranger ?",
    ),
    "hi": (
        "बरसात के बाद गाँव की सड़क टूट गई, इसलिए डाकिया अब नाव से चिट्ठियाँ लाता है।",
        "पुराने कंप्यूटर से तस्वीरें नए फ़ोन में कैसे भेजें?",
    ),
    "it": (
        "Il mercato del sabato si sposta in piazza quando il fiume supera il primo gradino del ponte.",
        "Quali documenti servono per iscrivere un bambino alla scuola materna?",
    ),
    "ja": (
        "台風が近づくと、港の漁師たちは船を陸に上げて縄でしっかり結びます。",
        "引っ越したあと、郵便物を新しい住所に届けてもらうにはどうすればいいですか。",
    ),
    "ko": (
        "눈이 많이 오면 산 위의 관측소는 며칠 동안 길이 끊겨 라디오로만 소식을 전한다.",
        "세탁기에서 물이 빠지지 않을 때 무엇을 먼저 확인해야 하나요?",
    ),
    "nl": (
        "De molenaar maalt alleen op dinsdag, want dan brengt de boer uit het volgende dorp zijn graan.",
        "Waar kan ik een gevonden fiets zonder slot melden?",
    ),
    "pl": (
        "Zegar na wieży spóźnia się zimą o kwadrans, bo smar w przekładni gęstnieje od mrozu.",
        "Jak zgłosić awarię oświetlenia na mojej ulicy?",
    ),
    "pt": (
        "A padaria acende o forno às três da manhã e vende o primeiro pão aos pescadores que voltam.",
        "O que devo fazer se perder a chave do apartamento alugado?",
    ),
    "ru": (
        "Весной реку переходят только по новому мосту: старый каждый год заливает талая вода.",
        "Сколько дней хранится заказная посылка в почтовом отделении?",
    ),
    "sv": (
        "Skolan stänger tidigt i morgon eftersom värmen i den gamla byggnaden måste lagas.",
        "Hur byter jag namn på ett konto utan att förlora mina filer?",
    ),
    "tr": (
        "Köydeki değirmen yıllarca boş kaldı, sonra gençler onu küçük bir müzeye çevirdi.",
        "Kaybolan kütüphane kartımın yerine yenisini nasıl alabilirim?",
    ),
    "uk": (
        "Після повені міст розібрали, і тепер діти дістаються до школи човном.",
        "Де можна безкоштовно перевірити якість води з колодязя?",
    ),
    "zh": (
        "茶农在清晨采下嫩叶，中午以前就要炒好，否则香味会变淡。",
        "手机掉进水里以后，应该先做什么才能保住里面的照片？",
    ),
}
"""A statement and a question for each language that a student may be made for besides English."""


def texts_for(languages: Sequence[str]) -> tuple[str, ...]:
    """Return the canary texts for these languages: `TEXTS`, then those of each language."""
    return TEXTS + tuple(text for code in languages for text in BY_LANGUAGE.get(code, ()))


def write_canaries(
    path: Path, texts: Sequence[str], embeddings: Embeddings, token_means: Embeddings | None = None
) -> None:
    """Write ``N`` texts with their float32 embeddings ``(N, D)``, one JSON object a line.

    ``token_means`` are the means of their token vectors, ``(N, T)``; ``None``: the model gives none.
    """
    with path.open("w", encoding="utf-8") as file:
        for place, (text, row) in enumerate(zip(texts, embeddings, strict=True)):
            line: dict[str, Any] = {"text": text, "embedding": _rounded(row)}
            if token_means is not None:
                line["token_mean"] = _rounded(token_means[place])
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _rounded(row: NDArray[np.float32]) -> list[float]:
    return [round(float(value), DECIMALS) for value in row]
