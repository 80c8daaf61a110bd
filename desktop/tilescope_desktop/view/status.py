"""The line at the bottom: where the cursor is, how large the slide is shown, what is held."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

from PySide6.QtCore import QEvent, QObject, Qt, QTimer, Signal
from PySide6.QtGui import QPalette, QResizeEvent, QShowEvent
from PySide6.QtWidgets import QLabel, QPushButton, QSizePolicy, QStatusBar, QWidget

from tilescope.domain.geometry import Point
from tilescope.io.cache import TileCache
from tilescope.runtime.memory import program_rss_bytes, rss_bytes
from tilescope_desktop.model.readout import (
    bytes_text,
    magnification_text,
    pixel_size_text,
    place_text,
)
from tilescope_desktop.view.slide_tab import SlideTab
from tilescope_desktop.view.theme import warning_color

_MEMORY_EVERY_MS = 1000
#: What the window may take besides tiles once it is used: objects, and libraries that load later.
OBJECT_BYTES = 512 << 20


class _News(QLabel):
    """Words as far as there is room for them, all of them in the tool tip."""

    def __init__(self) -> None:
        super().__init__()
        self._words = ""
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)

    def say(self, words: str) -> None:
        """Show other words."""
        self._words = " ".join(words.splitlines())
        self.setToolTip(f"<p>{escape(words)}</p>" if words else "")
        self.setAccessibleDescription(words)
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 - Qt's name
        """Show as much as there is room for now; called by Qt."""
        if self._words:
            self._fit()
        super().resizeEvent(event)

    def _fit(self) -> None:
        right = Qt.TextElideMode.ElideRight
        self.setText(self.fontMetrics().elidedText(self._words, right, self.width()))


class Status(QStatusBar):
    """What the window has to say all the time, what goes on, and passing news in front of it.

    What has to be read stands in the notice bar. All of it is about one slide: the one in front,
    or the one beside it while the mouse is over that. ``pixel_size_clicked`` tells which.
    """

    pixel_size_clicked = Signal(object)

    def __init__(self, caches: tuple[TileCache, ...], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._caches = caches
        self._cap_bytes: Callable[[], int] = lambda: 0
        self._first_bytes: int | None = None
        self._front: SlideTab | None = None
        self._under: SlideTab | None = None
        self._going: dict[object, str] = {}
        self._passing = ""
        self._passes = QTimer(self, singleShot=True)
        self._passes.timeout.connect(self.clearMessage)
        self._news = _News()
        self._news.setAccessibleName("What goes on")
        self.addWidget(self._news, 1)
        self._place = QLabel()
        self._magnification = QLabel()
        self._memory = QLabel()
        self._saved = QLabel()
        self._pixel_size = QPushButton(flat=True)
        self._pixel_size.setToolTip("Size of a pixel, and where it comes from; click to change it")
        self._pixel_size.clicked.connect(lambda: self.pixel_size_clicked.emit(self.tab))
        for name, widget in (
            ("Position", self._place),
            ("Magnification", self._magnification),
            ("Pixel size", self._pixel_size),
            ("Memory", self._memory),
            ("Saved", self._saved),
        ):
            widget.setAccessibleName(name)
            self.addPermanentWidget(widget)
        self._timer = QTimer(self, interval=_MEMORY_EVERY_MS)
        self._timer.timeout.connect(self._show_memory)
        self._timer.start()
        self._show_memory()

    @property
    def tab(self) -> SlideTab | None:
        """The slide that is spoken of."""
        return self._under or self._front

    @property
    def going(self) -> str:
        """What goes on, in words; of several things the one that began or went on last."""
        return next(reversed(self._going.values()), "")

    def showMessage(self, text: str, timeout: int | None = None) -> None:  # noqa: N802 - Qt's name
        """Say something for so many milliseconds, else until the next news.

        Qt would cut it off where the read-outs begin, and have menus take it away.
        """
        self._passing = text
        self._passes.stop()
        if text and timeout:
            self._passes.start(timeout)
        self._show_news()

    def clearMessage(self) -> None:  # noqa: N802 - Qt's name
        """Say no longer what passes."""
        self.showMessage("")

    def unsay(self, text: str) -> None:
        """Say no longer what passes, if it is this: it does not hold any more."""
        if text and text == self._passing:
            self.clearMessage()

    def currentMessage(self) -> str:  # noqa: N802 - Qt's name
        """Return what passes, empty for nothing."""
        return self._passing

    def begin(self, text: str) -> object:
        """Say that something goes on until it is ended by what is returned."""
        key = object()
        self.tell(key, text)
        return key

    def tell(self, key: object, text: str) -> None:
        """Say how far something is; no menu takes it away."""
        self._going.pop(key, None)
        self._going[key] = text
        self._show_news()

    def end(self, key: object) -> None:
        """Say no longer that something goes on."""
        self._going.pop(key, None)
        self._show_news()

    def follow(self, tab: SlideTab | None) -> None:
        """Speak of another slide in front."""
        if tab is not self.tab:
            self._place.clear()
        self._front = tab
        self._look_at(None)
        self.show_view()

    def show_view(self) -> None:
        """Say how large the slide is shown."""
        tab = self.tab
        has_view = tab is not None and tab.view.viewport is not None
        self._pixel_size.setVisible(has_view)
        self._magnification.setVisible(has_view)
        if tab is not None and tab.view.viewport is not None:
            self._magnification.setText(magnification_text(tab.view.viewport, tab.um_per_px))
            self._pixel_size.setText(pixel_size_text(tab.source.info, tab.um_override))

    def show_place(self, point_l0: Point, tab: SlideTab) -> None:
        """Say where the cursor is on a slide."""
        if tab is not self.tab:
            self._look_at(None if tab is self._front else tab)
            self.show_view()
        self._place.setText(place_text(point_l0, tab.pixel_size))

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802 - Qt's name
        """Notice that the mouse is over the slide beside no longer; called by Qt."""
        under = self._under
        if event.type() == QEvent.Type.Leave and under is not None and watched is under.view:
            self._place.clear()
            self._look_at(None)
            self.show_view()
        return super().eventFilter(watched, event)

    def show_saved(self, text: str, why: str = "") -> None:
        """Say when annotations were saved last, ``saved 12:03:07``, or why they are not."""
        self._saved.setText(text)
        self._saved.setToolTip(why)

    def _look_at(self, tab: SlideTab | None) -> None:
        """Speak of a slide that is not in front until the mouse leaves it."""
        if self._under is not None:
            self._under.view.removeEventFilter(self)
        self._under = tab
        if tab is not None:
            tab.view.installEventFilter(self)

    def _show_news(self) -> None:
        self._news.say(self._passing or self.going)

    def measure_against(self, cap_bytes: Callable[[], int]) -> None:
        """Count what a model may take, which is asked for every time, to what the program may."""
        self._cap_bytes = cap_bytes
        self._show_memory()

    @property
    def budget_bytes(self) -> int:
        """What the program may take: the window as it was shown first, what it holds, a model."""
        first = rss_bytes() if self._first_bytes is None else self._first_bytes
        return first + self._most_tile_bytes + OBJECT_BYTES + self._cap_bytes()

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802 - Qt's name
        """Note what the window takes before there is anything in it; called by Qt."""
        if self._first_bytes is None:
            self._first_bytes = rss_bytes()
            self._show_memory()
        super().showEvent(event)

    @property
    def _most_tile_bytes(self) -> int:
        return sum(cache.use.max_bytes for cache in self._caches)

    def _show_memory(self) -> None:
        taken, budget = program_rss_bytes(), self.budget_bytes
        tiles = bytes_text(sum(cache.use.size_bytes for cache in self._caches))
        first = budget - self._most_tile_bytes - OBJECT_BYTES - self._cap_bytes()
        self._memory.setText(f"{bytes_text(taken)} / {bytes_text(budget)}")
        self._warn_of_memory(is_over=taken > budget)
        over = "This is more than foreseen: close slides. " if taken > budget else ""
        self._memory.setToolTip(
            f"{over}Tilescope takes {bytes_text(taken)} of memory now and may take "
            f"{bytes_text(budget)}: {bytes_text(first)} for the window as it began, "
            f"{bytes_text(OBJECT_BYTES)} for objects, {bytes_text(self._cap_bytes())} for a model "
            "as Memory in the Models panel says, and what tiles take. Tiles are "
            f"{tiles} of it, at most {bytes_text(self._most_tile_bytes)}."
        )

    def _warn_of_memory(self, *, is_over: bool) -> None:
        """Have the memory stand out, also for who sees no colours, or as everything else does."""
        font, palette = self.font(), self.palette()
        font.setBold(is_over)
        if is_over:
            palette.setColor(QPalette.ColorRole.WindowText, warning_color(palette))
        self._memory.setFont(font)
        self._memory.setPalette(palette)
