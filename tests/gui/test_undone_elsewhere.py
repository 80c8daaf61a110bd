"""What is said of an edit that is undone on a slide that is not in front."""

from __future__ import annotations

from pathlib import Path

from tests.gui.hand import Hand


def said(hand: Hand) -> str:
    hand.wait()
    return hand.window.status.currentMessage()


def test_undoing_on_another_slide_names_it(hand: Hand, hes_slide: Path, dapi_image: Path) -> None:
    hand.rectangle()
    hand.act("edit.undo")
    assert said(hand) == "Undone: draw area"
    hand.act("edit.redo")
    hand.open(dapi_image)
    hand.act("edit.undo")
    assert hand.objects() == []
    assert said(hand) == f"Undone: draw area on {hes_slide.name}"
    hand.act("edit.redo")
    assert said(hand) == f"Done again: draw area on {hes_slide.name}"
    hand.rectangle()
    hand.act("edit.undo")
    assert said(hand) == "Undone: draw area"


def test_of_two_slides_that_are_shown_none_is_named(hand: Hand, dapi_image: Path) -> None:
    hand.rectangle()
    hand.open(dapi_image)
    hand.window.tabs.put_beside(*hand.window.all_tabs)
    hand.act("compare.other")
    hand.act("edit.undo")
    assert said(hand) == "Undone: draw area"
