"""Light and dark, as the system has it or as the user wants it."""

from __future__ import annotations

from enum import StrEnum

from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QApplication

_ROLE = QPalette.ColorRole


class Theme(StrEnum):
    """Which colours the window has."""

    SYSTEM = "system"
    LIGHT = "light"
    DARK = "dark"

    @classmethod
    def of(cls, name: str | None) -> Theme:
        """Return the theme of a name; what is no name of one is as the system has it."""
        return next((one for one in cls if one == name), cls.SYSTEM)


_LIGHT = {
    _ROLE.Window: "#f3f4f6",
    _ROLE.WindowText: "#1b1f24",
    _ROLE.Base: "#ffffff",
    _ROLE.AlternateBase: "#eceef1",
    _ROLE.Text: "#1b1f24",
    _ROLE.Button: "#e6e8ec",
    _ROLE.ButtonText: "#1b1f24",
    _ROLE.ToolTipBase: "#1b1f24",
    _ROLE.ToolTipText: "#f3f4f6",
    _ROLE.PlaceholderText: "#6b7280",
    _ROLE.Highlight: "#1f6feb",
    _ROLE.HighlightedText: "#ffffff",
    _ROLE.Link: "#0b57d0",
    _ROLE.Mid: "#c3c8d0",
}
_DARK = {
    _ROLE.Window: "#1e2126",
    _ROLE.WindowText: "#e4e7ec",
    _ROLE.Base: "#16181c",
    _ROLE.AlternateBase: "#23272d",
    _ROLE.Text: "#e4e7ec",
    _ROLE.Button: "#2b2f36",
    _ROLE.ButtonText: "#e4e7ec",
    _ROLE.ToolTipBase: "#e4e7ec",
    _ROLE.ToolTipText: "#16181c",
    _ROLE.PlaceholderText: "#98a1ae",
    _ROLE.Highlight: "#3b82f6",
    _ROLE.HighlightedText: "#ffffff",
    _ROLE.Link: "#8ab4f8",
    _ROLE.Mid: "#3d434c",
}
#: The style draws the outlines of boxes a fixed step darker than the window, which is too little
#: beside a dark one, and hard to see beside a light one. These kinds of widgets paint nothing else
#: in the colour of the window, so that they get one that their outlines can be seen by.
_OUTLINED = (
    "QAbstractItemView", "QAbstractSpinBox", "QCheckBox", "QComboBox", "QLineEdit", "QMenu",
    "QProgressBar", "QPushButton", "QRadioButton", "QSlider",
)  # fmt: skip
_INSIDE_OUTLINED = ("QScrollBar", "QHeaderView")
_OUTLINED_LIGHT = "#a2aab6"
_OUTLINED_DARK = "#adb5c1"
_WARNING_LIGHT = "#b42318"
_WARNING_DARK = "#ff9b8f"
_MIDDLE_GREY = 128


def is_dark(app: QApplication, theme: Theme, scheme: Qt.ColorScheme | None = None) -> bool:
    """Tell whether the window is dark under a theme.

    Parameters
    ----------
    scheme
        What the system has, by default as it says now.
    """
    if theme is Theme.SYSTEM:
        return (scheme or app.styleHints().colorScheme()) == Qt.ColorScheme.Dark
    return theme is Theme.DARK


def warning_color(palette: QPalette) -> QColor:
    """Return the colour of words that warn, to be read on the window of a palette."""
    is_bright = palette.color(_ROLE.Window).lightness() > _MIDDLE_GREY
    return QColor(_WARNING_LIGHT if is_bright else _WARNING_DARK)


def apply_theme(app: QApplication, theme: Theme, scheme: Qt.ColorScheme | None = None) -> None:
    """Give all windows the colours of a theme; ``scheme`` as in ``is_dark``."""
    if app.style().name() != "fusion":
        app.setStyle("Fusion")
    dark = is_dark(app, theme, scheme)
    colors = _DARK if dark else _LIGHT
    palette = QPalette(QColor(colors[_ROLE.Button]), QColor(colors[_ROLE.Window]))
    for role, color in colors.items():
        palette.setColor(role, QColor(color))
    grey = QColor("#7b838f" if dark else "#8a929e")
    for role in (_ROLE.Text, _ROLE.WindowText, _ROLE.ButtonText):
        palette.setColor(QPalette.ColorGroup.Disabled, role, grey)
    app.setPalette(palette)
    outlined = QPalette(palette)
    outlined.setColor(_ROLE.Window, QColor(_OUTLINED_DARK if dark else _OUTLINED_LIGHT))
    # A name is text, other than what the stubs of PySide say.
    for kind in _OUTLINED:
        app.setPalette(outlined, kind)  # type: ignore[arg-type]
    if dark:
        # Menus stand out from what they lie over, and the lines in them from the menus.
        outlined.setColor(_ROLE.Base, QColor(colors[_ROLE.Button]))
        app.setPalette(outlined, "QMenu")  # type: ignore[arg-type]
    for kind in _INSIDE_OUTLINED:
        app.setPalette(palette, kind)  # type: ignore[arg-type]
