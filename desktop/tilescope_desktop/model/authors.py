"""What is stored of who made an outline, and whether it still makes it."""

from __future__ import annotations

from tilescope.domain.annotation import Author
from tilescope.domain.clicks import Prompt

_EDITED = "edited"
_PROMPT = "prompt"


def edited(author: Author) -> Author:
    """Return the author of an outline that a user changed by hand.

    Who found the object is kept; that the outline is no longer theirs is added.
    """
    if author.kind == "user" or author.detail.get(_EDITED):
        return author
    return Author(author.kind, author.name, {**author.detail, _EDITED: True})


def stored_prompt(author: Author | None) -> Prompt | None:
    """Return the prompt that makes an outline again; None when none does."""
    if author is None or author.kind != "model" or author.detail.get(_EDITED):
        return None
    try:
        return Prompt.of(author.detail[_PROMPT])
    except (KeyError, ValueError):
        return None
