"""x509-limbo: every applicable case is judged as stated; the rest is listed by reason in `limbo.REASONS`."""

from __future__ import annotations

import pytest

from tests.corpora import limbo

pytestmark = pytest.mark.corpora


def test_the_cases_are_counted(corpora):
    names = {case.name for case in limbo.cases()}
    assert len(names) == 208
    assert set(limbo.REASONS) <= names
    assert len(names - set(limbo.REASONS)) == 165


@pytest.mark.parametrize(
    "case", [case for case in limbo.cases() if case.name not in limbo.REASONS], ids=lambda case: case.name
)
def test_case(case):
    accepted, why = limbo.judge(case)
    assert accepted == case.valid, why


@pytest.mark.parametrize(
    "case", [case for case in limbo.cases() if case.name in limbo.REASONS], ids=lambda case: case.name
)
def test_what_is_not_applicable_is_accepted_for_the_reason_given(case):
    """Were it refused, it would agree with the stated outcome and could be moved to the applicable ones."""
    accepted, why = limbo.judge(case)
    assert not case.valid
    assert accepted, why
