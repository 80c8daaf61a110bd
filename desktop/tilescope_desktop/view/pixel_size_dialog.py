"""Asks how large a pixel of a slide is."""

from __future__ import annotations

from PySide6.QtWidgets import QInputDialog, QWidget

from tilescope.domain.scale import PLAUSIBLE_UM_PER_PX
from tilescope_desktop.view.slide_tab import SlideTab

_FIRST_UM = 0.25
_LEAST_DECIMALS, _MOST_DECIMALS = 6, 9


def ask_pixel_size(tab: SlideTab, parent: QWidget) -> bool:
    """Have the user say another size of a pixel of a slide; True when it is another one now.

    Who gives what the slide says itself goes back to that.
    """
    size = tab.source.info.pixel_size
    own, shown = None if size is None else size.mean_um, tab.um_per_px or _FIRST_UM
    decimals = max(_LEAST_DECIMALS, *(_decimals(one) for one in (own, shown) if one is not None))
    low, high = PLAUSIBLE_UM_PER_PX
    label = "Micrometres per pixel:"
    if own is not None:
        label = f"Micrometres per pixel (the slide says {round(own, decimals):.9g}):"
    value, is_given = QInputDialog.getDouble(
        parent, "Pixel size", label, shown, low, high, decimals
    )
    if not is_given:
        return False
    is_own = own is not None and value == round(own, decimals)
    before = tab.um_override
    if not is_own and before is not None and value == round(before, decimals):
        return False
    tab.override_um_per_px(None if is_own else value)
    return tab.um_override != before


def _decimals(value: float) -> int:
    """Return how many digits after the point a size has, as far as they can be meant."""
    digits = f"{value:.{_MOST_DECIMALS}f}".rstrip("0")
    return len(digits.partition(".")[2])
