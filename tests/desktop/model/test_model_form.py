"""What is asked about a model that is added, and what the answers mean."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from tilescope.jobs.add_model import CHOICES, AddedModel, AddOptions
from tilescope.jobs.adding.assumption import Assumption, OptionName, Unsettled
from tilescope.jobs.adding.conformance import Check
from tilescope_desktop.model.model_form import FIELDS, ModelForm, problem_text, report_lines

ADDED = AddedModel(
    "net",
    Path("net"),
    (
        Assumption("the licence is unknown", "licence", "unknown"),
        Assumption("pixel values are scaled", "normalise", "0-1"),
        Assumption("a softmax is applied"),
        Assumption("slides are taken pixel by pixel", "um_per_px"),
        Assumption("tiles of at most 2048 px", "tile_px", 2048),
        Assumption("classes are called class 0 to class 1", "classes", ("class 0", "class 1")),
    ),
    (Check("blank tile", "ok", "it runs"),),
)
FORM = ModelForm().about(ADDED, AddOptions())


def test_what_was_assumed_stands_in_the_fields_in_their_order() -> None:
    assert list(FORM.texts.items()) == [
        ("classes", "class 0, class 1"),
        ("um_per_px", ""),
        ("normalise", "0-1"),
        ("tile_px", "2048"),
        ("licence", "unknown"),
    ]


def test_what_was_assumed_is_not_said() -> None:
    assert FORM.options(FORM.texts) == AddOptions()


def test_what_is_written_is_said() -> None:
    texts = {**FORM.texts, "classes": " a,b ", "um_per_px": "0,25", "tile_px": " 512"}
    said = FORM.options(texts)
    assert said == AddOptions(classes=("a", "b"), um_per_px=0.25, tile_px=512)
    after = AddedModel("net", Path("net"), ADDED.assumed[:3], ADDED.checks)
    again = FORM.about(after, said)
    assert again.texts == {**FORM.texts, "classes": "a, b", "um_per_px": "0.25", "tile_px": "512"}
    assert again.options(again.texts) == said
    assert again.options({**again.texts, "um_per_px": "", "classes": "class 0, class 1"}) == (
        AddOptions(tile_px=512)
    )


@pytest.mark.parametrize(
    ("option", "text", "words"),
    [
        ("um_per_px", "-1", "-1 is not between 0.01 and 100"),
        ("um_per_px", "half", "'half' is no number"),
        ("um_per_px", "nan", "that is not between 0.01 and 100"),
        ("um_per_px", "9" * 400, "that is not between 0.01 and 100"),
        ("tile_px", "7.5", "'7.5' is no whole number"),
        ("tile_px", "9" * 5000, "is no whole number"),
        ("tile_px", "9" * 400, "that is not between 16 and 8192"),
        ("classes", "a,,b", "a class has no name"),
        ("classes", "a, b, a", "a class is named twice"),
    ],
    ids=["negative", "word", "nan", "infinite", "part", "endless", "huge", "empty", "twice"],
)
def test_what_makes_no_sense_says_where_it_stands(
    option: OptionName, text: str, words: str
) -> None:
    with pytest.raises(Unsettled) as caught:
        FORM.options({**FORM.texts, option: text})
    assert caught.value.options == (option,)
    assert words in str(caught.value)
    said = problem_text(caught.value, str(caught.value))
    assert said.startswith(f"{FIELDS[option].title}: ")
    assert len(said) < 100


def test_a_check_can_ask_for_what_the_package_says() -> None:
    check = Check("author's test", "warning", "is not reproduced", "normalise")
    form = ModelForm().about(AddedModel("net", Path("net"), (), (check,)), AddOptions())
    assert form.texts == {"normalise": ""}
    assert form.options({"normalise": "imagenet"}) == AddOptions(normalise="imagenet")


def test_what_is_missing_is_asked_for_too() -> None:
    assert list(FORM.asking(["colour", "memory"]).texts) == [
        *("classes", "um_per_px", "normalise", "colour", "tile_px", "licence"),
    ]


def test_everything_that_can_be_said_has_a_field_with_words_for_every_choice() -> None:
    assert set(FIELDS) == set(get_args(OptionName)) - {"memory"}
    for option, known in CHOICES.items():
        assert set(FIELDS[option].choices) == set(known)
        assert len(set(FIELDS[option].choices.values())) == len(known)


def test_the_report_in_words() -> None:
    lines = report_lines(ADDED)
    assert lines[0] == "Assumed: the licence is unknown"
    assert lines[-1] == "ok: blank tile: it runs"
    assert not [line for line in lines if "--" in line]
