"""The objects of a slide below the objects they lie in, read as far as one looks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from PySide6.QtWidgets import QLabel, QTreeWidgetItem, QVBoxLayout, QWidget

from tilescope.store.family import Family, Kin
from tilescope_desktop.bridge.annotations import Annotations
from tilescope_desktop.bridge.object_rows import read_project
from tilescope_desktop.bridge.work import Work
from tilescope_desktop.view.flying import fly_to
from tilescope_desktop.view.hierarchy_tree import (
    Branch,
    BranchItem,
    HierarchyTree,
    KinItem,
    MoreItem,
)
from tilescope_desktop.view.listing_panel import ListingPanel
from tilescope_desktop.view.slide_tab import SlideTab
from tilescope_desktop.view.tool_bench import ToolBench

T = TypeVar("T")

_PAGE = 200
#: Objects of a branch that are listed again at once after a change.
_MOST_AGAIN = 2000


class HierarchyPanel(ListingPanel):
    """A tree of the objects of the slide in front.

    Nothing is read while it cannot be seen; ``shown`` tells that something was listed.
    """

    def __init__(
        self,
        bench: ToolBench,
        annotations: Annotations,
        front: Callable[[], SlideTab | None],
        work: Work,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(bench, annotations, front, work, parent)
        self._turn = 0
        self._open: set[Branch | str] = set()
        self._listed: dict[Branch, int] = {}
        self._items: dict[str, KinItem] = {}
        self.tree = HierarchyTree()
        self.tree.itemExpanded.connect(self._expand)
        self.tree.itemCollapsed.connect(lambda item: self._open.discard(_key(item)))
        self.tree.itemClicked.connect(lambda item, _column: self._go_on(item))
        self.tree.itemActivated.connect(lambda item, _column: self._go_on(item))
        self.tree.itemSelectionChanged.connect(self._choose)
        self.tree.moved.connect(self._put)
        hint = QLabel("Drag an object onto another to put it there, beside all to take it out.")
        hint.setWordWrap(True)
        layout = QVBoxLayout(self)
        layout.addWidget(self.tree)
        layout.addWidget(hint)
        self.due.connect(self._load)
        self.outdated.connect(self._drop)
        annotations.selection_changed.connect(self._follow_selection)

    # -- reading ----------------------------------------------------------------------------------

    def _drop(self) -> None:
        """Show nothing of another slide, nor what is read of it still."""
        self._turn += 1
        self._clear()

    def _load(self) -> None:
        self._turn += 1
        slide = self._slide
        if slide is None or slide.number is None or self._annotations.project is None:
            self._clear()
            self.shown.emit()
            return
        if self.isVisible():
            self._read(lambda family: family.counts(), self._show_top)

    def _read(self, look: Callable[[Family], T], show: Callable[[T], None]) -> None:
        """Look at the tree in a thread; what was asked before a reload is not shown."""
        slide, project, desk = self._slide, self._annotations.project, self._annotations.desk
        if slide is None or slide.number is None or project is None or self._annotations.is_lent:
            return
        number, path, turn = slide.number, project.path, self._turn

        def done(found: T) -> None:
            if turn == self._turn:
                show(found)
                self._follow_selection()
                self.shown.emit()

        self._work.start(
            "hierarchy",
            lambda _token, _report: read_project(desk, path, lambda p: look(p.family(number))),
            done,
            self._annotations.failed.emit,
        )

    def _show_top(self, counts: dict[str | None, int]) -> None:
        self._clear()
        self._hang(None, None, counts)

    def _clear(self) -> None:
        self._is_following = True
        self.tree.clear()
        self._is_following = False
        self._items.clear()

    def _hang(
        self, item: KinItem | None, parent: str | None, counts: dict[str | None, int]
    ) -> None:
        color_of = self._annotations.style.color_of
        branches = [BranchItem(Branch(parent, c), n, color_of(c)) for c, n in counts.items()]
        self.tree.show_branches(item, branches)
        self._reopen(branches)

    def _expand(self, item: QTreeWidgetItem) -> None:
        self._open.add(_key(item))
        if isinstance(item, BranchItem) and not item.is_loaded:
            item.is_loaded = True
            again = min(self._listed.get(item.branch, _PAGE), _MOST_AGAIN)
            self._list(item, max(_PAGE, again))
        elif isinstance(item, KinItem) and not item.is_loaded:
            item.is_loaded = True
            name = item.kin.id
            self._read(
                lambda family: family.counts(name), lambda counts: self._hang(item, name, counts)
            )

    def _list(self, item: BranchItem, limit: int) -> None:
        branch, after = item.branch, item.after
        self._read(
            lambda family: family.page(branch.parent, branch.class_name, after, limit),
            lambda page: self._show_page(item, page),
        )

    def _show_page(self, item: BranchItem, page: Sequence[Kin]) -> None:
        last = item.child(item.childCount() - 1)
        if isinstance(last, MoreItem):
            item.removeChild(last)
        found = [KinItem(kin) for kin in page]
        item.addChildren(found)
        self._items.update((one.kin.id, one) for one in found)
        listed = self._listed[item.branch] = item.childCount()
        if page and listed < item.count:
            item.after = page[-1].row
            item.addChild(MoreItem(item.count - listed))
        self._reopen(found)

    def _reopen(self, items: Sequence[QTreeWidgetItem]) -> None:
        for item in items:
            if _key(item) in self._open:
                item.setExpanded(True)

    # -- what the user does -----------------------------------------------------------------------

    def _go_on(self, item: QTreeWidgetItem) -> None:
        branch = item.parent()
        if isinstance(item, MoreItem) and isinstance(branch, BranchItem) and not item.isDisabled():
            item.setDisabled(True)
            self._list(branch, _PAGE)

    def _choose(self) -> None:
        tab, slide, chosen = self._front(), self._slide, self.tree.chosen
        if self._is_following or tab is None or slide is None or not chosen:
            return
        self._annotations.select(slide, [kin.id for kin in chosen])
        if len(chosen) == 1 and not self.tree.is_for_menu:
            fly_to(tab, chosen[0].box_l0, chosen[0].plane)

    def _put(self, ids: list[str], parent: str | None) -> None:
        slide = self._slide
        if slide is not None:
            self._annotations.put_into(slide, ids, parent)

    def _follow_selection(self) -> None:
        """Mark what is selected, as far as it is listed."""
        wanted = set(self._annotations.selected_ids)
        if not self.isVisible() or wanted == {kin.id for kin in self.tree.chosen}:
            return
        self._is_following = True
        self.tree.clearSelection()
        for name in wanted & self._items.keys():
            self._items[name].setSelected(True)
        if len(wanted) == 1 and (item := self._items.get(next(iter(wanted)))) is not None:
            self.tree.scrollToItem(item)
        self._is_following = False


def _key(item: QTreeWidgetItem) -> Branch | str:
    """Return what an item is known by after its tree was read anew."""
    if isinstance(item, BranchItem):
        return item.branch
    return item.kin.id if isinstance(item, KinItem) else ""
