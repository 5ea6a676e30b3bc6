"""Match the many names of a language: ``it``, ``ita``, ``ita_Latn``, ``it_IT``, ``>>ita<<``."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from ce2de_os.errors import ConfigError

_NEAR = 5  # most names in a message

# ISO 639-1 codes with NLLB's names of the same languages (FLORES-200).
_PAIRS = """
af:afr_Latn am:amh_Ethi ar:arb_Arab as:asm_Beng az:azj_Latn ba:bak_Cyrl be:bel_Cyrl bg:bul_Cyrl
bn:ben_Beng bo:bod_Tibt bs:bos_Latn ca:cat_Latn cs:ces_Latn cy:cym_Latn da:dan_Latn de:deu_Latn
el:ell_Grek en:eng_Latn eo:epo_Latn es:spa_Latn et:est_Latn eu:eus_Latn fa:pes_Arab fi:fin_Latn
fo:fao_Latn fr:fra_Latn ga:gle_Latn gd:gla_Latn gl:glg_Latn gn:grn_Latn gu:guj_Gujr ha:hau_Latn
he:heb_Hebr hi:hin_Deva hr:hrv_Latn ht:hat_Latn hu:hun_Latn hy:hye_Armn id:ind_Latn ig:ibo_Latn
is:isl_Latn it:ita_Latn ja:jpn_Jpan jv:jav_Latn ka:kat_Geor kk:kaz_Cyrl km:khm_Khmr kn:kan_Knda
ko:kor_Hang ku:kmr_Latn ky:kir_Cyrl lb:ltz_Latn lg:lug_Latn li:lim_Latn ln:lin_Latn lo:lao_Laoo
lt:lit_Latn lv:lvs_Latn mg:plt_Latn mi:mri_Latn mk:mkd_Cyrl ml:mal_Mlym mn:khk_Cyrl mr:mar_Deva
ms:zsm_Latn mt:mlt_Latn my:mya_Mymr nb:nob_Latn ne:npi_Deva nl:nld_Latn nn:nno_Latn no:nob_Latn
oc:oci_Latn om:gaz_Latn or:ory_Orya pa:pan_Guru pl:pol_Latn ps:pbt_Arab pt:por_Latn ro:ron_Latn
ru:rus_Cyrl rw:kin_Latn sa:san_Deva sc:srd_Latn sd:snd_Arab si:sin_Sinh sk:slk_Latn sl:slv_Latn
sn:sna_Latn so:som_Latn sq:als_Latn sr:srp_Cyrl st:sot_Latn su:sun_Latn sv:swe_Latn sw:swh_Latn
ta:tam_Taml te:tel_Telu tg:tgk_Cyrl th:tha_Thai ti:tir_Ethi tk:tuk_Latn tl:tgl_Latn tn:tsn_Latn
tr:tur_Latn ts:tso_Latn tt:tat_Cyrl ug:uig_Arab uk:ukr_Cyrl ur:urd_Arab uz:uzn_Latn vi:vie_Latn
wo:wol_Latn xh:xho_Latn yi:ydd_Hebr yo:yor_Latn zh:zho_Hans zu:zul_Latn
"""
_FLORES = dict(pair.split(":") for pair in _PAIRS.split())
# Three-letter codes of the same languages that FLORES-200 does not use.
_ALSO = {
    "ar": "ara", "az": "aze", "fa": "fas", "ku": "kur", "lv": "lav", "mg": "mlg", "mn": "mon", "ms": "msa",
    "ne": "nep", "no": "nor", "om": "orm", "or": "ori", "ps": "pus", "sq": "sqi", "sw": "swa", "uz": "uzb",
    "yi": "yid", "zh": "cmn",
}  # fmt: skip


def code_of(wanted: str, codes: Iterable[str], whose: str) -> str:
    """Find the one of a translator's language ``codes`` that means ``wanted``.

    A name with script or region (``zho_Hant``) means that only; without (``zh``) it means the usual one.

    Raises:
        ConfigError: there is none; the message names ``whose`` codes they are, and near ones.
    """
    known = {code.strip("><").replace("-", "_").lower(): code for code in codes}
    asked = wanted.replace("-", "_").lower()
    names = [asked, *(name for name in names_of(asked) if "_" not in name or "_" not in asked)]
    for name in names:
        if name in known:
            return known[name]
    regional = [code for name, code in known.items() if name.split("_")[0] in names]
    if regional and "_" not in asked:
        return regional[0]
    near = get_close_matches(asked, known, _NEAR, cutoff=0.4) or sorted(known)[:_NEAR]
    raise ConfigError(
        f"{whose}: has no language '{wanted}'; near names: {', '.join(known[name] for name in near)}; "
        f"it has {len(known):,} in all"
    )


def is_same(left: str, right: str) -> bool | None:
    """Return whether two codes mean one language; ``None`` where one of them is in no list."""
    names = names_of(left), names_of(right)
    return None if not all(names) else bool(set(names[0]) & set(names[1]))


def names_of(code: str) -> list[str]:
    """Return all the lists' codes for a language, in small letters, usual ones first; else empty."""
    base = code.replace("-", "_").lower().split("_")[0]
    meant = {flores for two, flores in _FLORES.items() if base in (two, flores.split("_")[0], _ALSO.get(two))}
    found: list[str] = []
    for two, flores in _FLORES.items():
        if flores in meant:
            found += [two, flores.lower(), flores.split("_")[0], *([_ALSO[two]] if two in _ALSO else [])]
    return list(dict.fromkeys(found))
