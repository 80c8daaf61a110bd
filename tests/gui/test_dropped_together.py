"""A slide and what lies on it, dropped together: the slide first, and each file on its own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot
from tests.gui.hand import Hand

from tilescope.store.project import Project


@pytest.fixture
def empty(qtbot: QtBot, tmp_path: Path) -> Iterator[Hand]:
    made = Hand(qtbot, tmp_path / "data")
    yield made
    made.close()


@pytest.fixture
def two(tmp_path: Path, hes_slide: Path, dapi_image: Path) -> tuple[Path, Path]:
    """Two slides in a folder of their own."""
    folder = tmp_path / "slides"
    folder.mkdir()
    paths = folder / "a.scan.svs", folder / "b.png"
    for source, path in zip((hes_slide, dapi_image), paths, strict=True):
        shutil.copyfile(source, path)
    return paths


def objects_file(folder: Path, name: str, count: int = 1) -> Path:
    """Write a file of small squares."""
    ring = [[100, 100], [120, 100], [120, 120], [100, 120], [100, 100]]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    feature = {"type": "Feature", "geometry": geometry, "properties": {}}
    file = folder / name
    file.write_text(json.dumps({"type": "FeatureCollection", "features": [feature] * count}))
    return file


def counts(hand: Hand) -> dict[str, int]:
    """Return how many objects there are, by the name of their slide."""
    with Project.open(hand.project_path(), writable=False) as project:
        slides = project.slides()
        return {s.name: sum(project.counts_by_class(s.slide).values()) for s in slides}


def drop(hand: Hand, *paths: Path) -> None:
    hand.window.dropped.emit(list(paths))
    hand.wait()


@pytest.mark.parametrize("turn", [1, -1])
def test_objects_go_to_the_slide_they_came_with(
    hand: Hand, two: tuple[Path, Path], turn: int
) -> None:
    file = objects_file(two[1].parent, "marks.geojson")
    drop(hand, *(two[1], file)[::turn])
    assert counts(hand) == {"b.png": 1}
    assert "marks" not in hand.window.notices.text
    assert "1 object from marks.geojson" in hand.window.status.currentMessage()


def test_with_nothing_open_the_slide_is_opened_first(empty: Hand, two: tuple[Path, Path]) -> None:
    drop(empty, objects_file(two[0].parent, "a.geojson", 2), two[0])
    assert counts(empty) == {"a.scan.svs": 2}
    assert empty.window.notices.text == ""


def test_each_of_several_files_goes_to_the_slide_of_its_name(
    empty: Hand, two: tuple[Path, Path]
) -> None:
    folder = two[0].parent
    files = [objects_file(folder, f"{name}.geojson", n) for n, name in enumerate("ab", 1)]
    drop(empty, *files, *two)
    assert counts(empty) == {"a.scan.svs": 1, "b.png": 2}
    assert "geojson" not in empty.window.notices.text


def test_a_file_of_another_name_is_not_put_on_any_of_several(
    empty: Hand, two: tuple[Path, Path]
) -> None:
    drop(empty, *two, objects_file(two[0].parent, "c.geojson"))
    assert empty.annotations.project is None
    assert "c.geojson was not imported: several slides came with it" in empty.window.notices.text


def test_objects_of_a_slide_that_cannot_be_opened_go_nowhere(hand: Hand, tmp_path: Path) -> None:
    bad = tmp_path / "bad.svs"
    bad.write_text("<html>")
    drop(hand, bad, objects_file(tmp_path, "bad.geojson"))
    assert hand.annotations.project is None
    assert "bad.geojson was not imported: bad.svs is not open" in hand.window.notices.text


def test_the_same_slide_twice_is_one(empty: Hand, two: tuple[Path, Path]) -> None:
    drop(empty, two[0], two[1], two[0])
    assert [tab.path for tab in empty.window.all_tabs].count(two[0]) == 1
    assert len(empty.window.all_tabs) == 2


def test_objects_wait_for_the_slides_of_a_project(
    empty: Hand, two: tuple[Path, Path], qtbot: QtBot
) -> None:
    folder = two[0].parent
    drop(empty, *two, *(objects_file(folder, f"{name}.geojson") for name in "ab"))
    path = empty.project_path()
    empty.close()
    again = Hand(qtbot, folder / "data")
    for name, count in (("a", 2), ("b", 4)):
        drop(again, objects_file(folder, f"{name}.json", count), path)
    found = counts(again)
    again.close()
    assert found == {"a.scan.svs": 3, "b.png": 5}


def test_objects_of_a_project_that_cannot_be_opened_go_nowhere(hand: Hand, tmp_path: Path) -> None:
    bad = tmp_path / "bad.tilescope"
    bad.write_text("<html>")
    drop(hand, bad, objects_file(tmp_path, "bad.geojson"))
    assert hand.annotations.project is None
    assert "bad.geojson: open the slide it belongs to first" in hand.window.notices.text
