"""What makes an object again, as text beside it: the prompt it answers, and the weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

MADE_KEY = "tilescope:made"
_LONGEST_CHARS = 1 << 16


def made_text(detail: Mapping[str, Any]) -> str | None:
    """Return the text of an author's detail; None for what no prompt made."""
    return json.dumps(detail, ensure_ascii=False) if "prompt" in detail else None


def made_of(text: object) -> dict[str, Any] | None:
    """Return what `made_text` wrote, None when it is something else."""
    if not isinstance(text, str) or len(text) > _LONGEST_CHARS:
        return None
    try:
        detail = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return detail if isinstance(detail, dict) else None
