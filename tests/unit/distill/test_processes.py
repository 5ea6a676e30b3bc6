"""One training does not leave its number format to the next."""

from __future__ import annotations

import pytest
from accelerate import Accelerator

from ce2de_os.distill.processes import is_main, set_mixed_precision


@pytest.mark.parametrize(("before", "wanted", "found"), [("bf16", "fp32", "no"), ("fp32", "bf16", "bf16")])
def test_the_format_of_an_earlier_training_does_not_stay(before, wanted, found):
    set_mixed_precision(before)
    Accelerator(cpu=True)
    set_mixed_precision(wanted)
    assert Accelerator(cpu=True).mixed_precision == found
    set_mixed_precision("fp32")


def test_a_process_alone_is_the_main_one():
    assert is_main()
