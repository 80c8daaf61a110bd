"""Numbers of things, as they are said."""

from __future__ import annotations

import pytest

from tilescope.domain.counts import counted


@pytest.mark.parametrize(
    ("number", "said"),
    [(0, "0 objects"), (1, "1 object"), (2, "2 objects"), (4321, "4,321 objects")],
)
def test_one_is_no_plural(number: int, said: str) -> None:
    assert counted(number, "object") == said


@pytest.mark.parametrize(("number", "said"), [(1, "1 class"), (12, "12 classes")])
def test_a_plural_of_its_own(number: int, said: str) -> None:
    assert counted(number, "class", "classes") == said
