"""The many names of a language."""

from __future__ import annotations

import pytest

from ce2de_os.errors import ConfigError
from ce2de_os.translate.languages import code_of, is_same

NLLB = ["eng_Latn", "ita_Latn", "zho_Hans", "zho_Hant", "pes_Arab", "srp_Cyrl", "nob_Latn", "ace_Arab"]
M2M100 = ["en", "it", "zh", "fa", "no", "ns", "ast"]
MARIAN = [">>ita<<", ">>cmn_Hans<<", ">>fra<<", ">>pt_BR<<"]


@pytest.mark.parametrize(
    ("wanted", "codes", "code"),
    [
        ("it", NLLB, "ita_Latn"),
        ("IT", NLLB, "ita_Latn"),
        ("ita", NLLB, "ita_Latn"),
        ("ita_Latn", NLLB, "ita_Latn"),
        ("fa", NLLB, "pes_Arab"),
        ("fas", NLLB, "pes_Arab"),
        ("zh", NLLB, "zho_Hans"),  # the usual one of two
        ("zho_Hant", NLLB, "zho_Hant"),
        ("zho-hant", NLLB, "zho_Hant"),
        ("nb", NLLB, "nob_Latn"),
        ("ace_Arab", NLLB, "ace_Arab"),  # in no list of ours
        ("it", M2M100, "it"),
        ("ita", M2M100, "it"),
        ("ita_Latn", M2M100, "it"),
        ("nb", M2M100, "no"),
        ("pes_Arab", M2M100, "fa"),
        ("ast", M2M100, "ast"),
        ("it", MARIAN, ">>ita<<"),
        ("zh", MARIAN, ">>cmn_Hans<<"),
        ("pt", MARIAN, ">>pt_BR<<"),
        ("pt-BR", MARIAN, ">>pt_BR<<"),
    ],
)
def test_a_language_is_found_by_any_of_its_names(wanted, codes, code):
    assert code_of(wanted, codes, "m") == code


@pytest.mark.parametrize(
    ("wanted", "codes", "message"),
    [
        ("zho_Hand", NLLB, "m: has no language 'zho_Hand'; near names: zho_Han"),
        ("zh_TW", NLLB, "has no language 'zh_TW'"),  # not the other script in its place
        ("srp_Latn", NLLB, "has no language 'srp_Latn'; near names: .*srp_Cyrl"),
        ("italian", NLLB, "near names: ita_Latn.* it has 8 in all"),
        ("xx", M2M100, "near names: ast, en, fa, it, no; it has 7 in all"),
    ],
)
def test_an_unknown_language_is_told_with_near_names(wanted, codes, message):
    with pytest.raises(ConfigError, match=message):
        code_of(wanted, codes, "m")


def test_codes_are_compared():
    assert is_same("en", "eng")
    assert is_same("zh", "cmn_Hans")
    assert is_same("en", "de") is False
    assert is_same("en", "ROMANCE") is None
