"""Features that differ in id, outline and measurements only: read once for all of them.

A file of a million nuclei has a handful of patterns, one for each class. Whatever else is in a
feature, it makes the feature a pattern of its own, and such features are parsed as JSON together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from tilescope.domain.annotation import Author
from tilescope.domain.annotation_table import Traits
from tilescope.exchange.intake import Draft, as_text
from tilescope.exchange.lifting import FIRST_MARK, ID_MARK, NUMBER_MARK, Stripped

#: Patterns of one file that are remembered, and how long one may be.
_MOST_PATTERNS = 2000
_LONGEST = 16_384
#: Features per pattern in a run from which on it is worth the while.
_FEW = 4


@dataclass(frozen=True, slots=True, eq=False)
class Matched:
    """Features with what the features of each pattern have in common.

    Attributes
    ----------
    traits
        Of ``stripped.texts``.
    """

    traits: list[Traits]
    stripped: Stripped


class Patterns:
    """The patterns of one file.

    Parameters
    ----------
    read
        Makes a draft of a feature; None when it is more than one object with nothing to note.
    author
        Of a feature that names none.
    """

    def __init__(self, read: Callable[[dict[str, Any]], Draft | None], author: Author) -> None:
        self._read = read
        self._author = author
        self._known: dict[bytes, Traits | None] = {}

    def match(self, stripped: Stripped) -> Matched | None:
        """Return the features with their patterns; None when they have to be parsed."""
        texts, known = stripped.texts, self._known
        if (stripped.shape_ends != np.arange(1, len(stripped) + 1)).any():
            return None
        new = dict.fromkeys(text for text in texts if text not in known)
        if len(new) > 1 + len(stripped) // _FEW or len(new) + len(known) > _MOST_PATTERNS:
            return None
        for text in new:
            if len(text) > _LONGEST:
                return None
            known[text] = self._pattern(text)
        traits = [found for text in texts if (found := known[text]) is not None]
        if len(traits) < len(texts):
            return None
        sizes = np.array([len(found.measured) for found in traits], np.int64)
        # Numbers may have been lifted out of what only looks like measurements, too.
        is_whole = (np.cumsum(sizes[stripped.text_of]) == stripped.number_ends).all()
        return Matched(traits, stripped) if is_whole else None

    def _pattern(self, text: bytes) -> Traits | None:
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError:
            return None
        geometry = value.get("geometry")
        if type(geometry) is not dict or geometry.get("type") != "Polygon":
            return None
        if geometry.get("coordinates") != FIRST_MARK or "isEllipse" in geometry:
            return None
        if value.setdefault("id", ID_MARK) != ID_MARK:
            return None
        names = _taken_names(value)
        del value["id"]
        draft = self._read(value)
        if draft is None or names is None or draft.measurements:
            return None
        return Traits(
            draft.kind,
            draft.class_name,
            draft.name,
            names,
            draft.locked,
            draft.parent_id,
            draft.author or self._author,
            draft.z,
            draft.t,
        )


def _taken_names(value: dict[str, Any]) -> tuple[str, ...] | None:
    """Take the measurements out of a feature and return their names; None for any other numbers."""
    properties = value.get("properties")
    if type(properties) is not dict or "measurements" not in properties:
        return ()
    given = properties["measurements"]
    if type(given) is not dict:
        return None
    properties["measurements"] = {}
    marks = [*range(NUMBER_MARK, NUMBER_MARK + len(given))]
    names = tuple(as_text(name) or "?" for name in given)
    return names if [*given.values()] == marks and len(set(names)) == len(names) else None
