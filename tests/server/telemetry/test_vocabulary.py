from __future__ import annotations

import pytest

from rapide.server import errors
from rapide.server.telemetry.collector import SHED, TRITON_REASONS
from rapide.server.telemetry.version_block import LABELS, TOTALS, pack_kind
from rapide.server.telemetry.vocabulary import CODES, ENCODINGS, PROTOCOLS, index_of, snake_case


def test_every_domain_error_has_its_code() -> None:
    names = {
        snake_case(name)
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.RapideError) and kind is not errors.RapideError
    }
    assert set(CODES) == names | {"ok", "other"}


def test_reasons_are_made_of_codes() -> None:
    assert {*SHED, *(code for codes in TRITON_REASONS.values() for code in codes)} <= set(CODES)


@pytest.mark.parametrize("names", [CODES, PROTOCOLS, ENCODINGS])
def test_unknown_names_become_other(names: tuple[str, ...]) -> None:
    assert [index_of(names, name) for name in names] == list(range(len(names)))
    assert index_of(names, "no such name") == len(names) - 1
    assert names[-1] == "other"


def test_kinds_fill_the_table_exactly() -> None:
    """``fold`` counts kinds in a flat table of this size, three bits are left for the encoding."""
    assert len(ENCODINGS) <= 8
    assert (
        pack_kind(LABELS - 1, len(PROTOCOLS) - 1, len(CODES) - 1, 0) >> 3 == TOTALS["requests"].itemsize // 8 - 1
    )
