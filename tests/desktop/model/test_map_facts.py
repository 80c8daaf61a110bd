"""What maps say of themselves is believed as far as it makes sense, and refused in words else."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tilescope.domain.geometry import Size
from tilescope.domain.scale import PixelSize
from tilescope.domain.slide import SlideId, SlideInfo
from tilescope.errors import CorruptSlide, SlideError, UnsupportedFormat
from tilescope.exchange.classmap import class_attributes
from tilescope.exchange.classmap_pyramid import MapPlace
from tilescope.exchange.heat import heat_attributes
from tilescope.exchange.labels import level_sizes
from tilescope.exchange.palette import class_colour
from tilescope.io.levels import make_levels
from tilescope_desktop.model.map_colors import HEAT_WORDS, painter_of
from tilescope_desktop.model.map_facts import (
    MapFacts,
    MapKind,
    facts_of,
    levels_over,
    tiles_touched,
)

PIXEL = PixelSize(0.5, 0.25)
MAP = Size(1000, 700)
NAMES = ("a", "b")


def info(
    size: Size, dtype: str = "uint8", bands: tuple[str, ...] = ("0",), tile: int = 1024
) -> SlideInfo:
    sizes = level_sizes(size)
    return SlideInfo(
        id=SlideId("map"),
        path="labels.ome.zarr",
        size_bytes=1,
        format="ome-zarr",
        reader="zarr",
        levels=make_levels(sizes, [Size(tile, tile)] * len(sizes)),
        bands=bands,
        dtype=dtype,
        background=(0,) * len(bands),
    )


SLIDE = replace(info(Size(9000, 8000)), path="slide.svs", pixel_size=PIXEL)


def place(um: PixelSize | None = PIXEL) -> MapPlace:
    return MapPlace(MAP, (4.0, 4.0), (120.0, 40.0), um, SLIDE.size)


def classes(um: PixelSize | None = PIXEL, **changes: Any) -> dict[str, Any]:
    return {**class_attributes("labels", 2, place(um), NAMES), **changes}


def test_a_map_says_where_it_lies_and_what_its_classes_are() -> None:
    found = facts_of(classes(), info(MAP), SLIDE)
    expected = tuple((name, class_colour(i)) for i, name in enumerate(NAMES))
    assert found == MapFacts(MapKind.CLASSES, expected, (4.0, 4.0), (120.0, 40.0))


@pytest.mark.parametrize("um", [PIXEL, None])
@pytest.mark.parametrize("kind", ["classes", "heat"])
def test_without_our_own_words_the_metadata_of_the_image_say_it(
    um: PixelSize | None, kind: str
) -> None:
    said = classes(um) if kind == "classes" else heat_attributes("heat", 2, place(um), "tumour")
    del said["tilescope"]
    found = facts_of(said, info(MAP, bands=("tumour",)), SLIDE)
    assert found.factor == pytest.approx((4.0, 4.0))
    assert found.origin_l0 == pytest.approx((120.0, 40.0))
    assert found.kind is (MapKind.CLASSES if kind == "classes" else MapKind.HEAT)


def test_a_pixel_size_that_was_stated_for_the_run_does_not_move_the_map() -> None:
    found = facts_of(classes(PixelSize(1.0, 1.0)), info(MAP), SLIDE)
    assert found.origin_l0 == (120.0, 40.0)


@pytest.mark.parametrize(
    ("attributes", "of", "slide", "words"),
    [
        (classes(), info(MAP), replace(SLIDE, levels=info(Size(9001, 8000)).levels), "9000 x 8000"),
        (classes(), info(Size(3000, 700)), SLIDE, "reaches beyond"),
        (classes(), info(MAP, "float32"), SLIDE, "numbers of objects"),
        ({}, info(MAP, "uint16"), SLIDE, "neither a class map nor a heat map"),
        ({}, info(MAP), SLIDE, "no scale"),
        ({"multiscales": "?"}, info(MAP), SLIDE, "no scale"),
        (classes(tilescope={"factor": [0, 1], "origin_l0": [0, 0]}), info(MAP), SLIDE, "0.0 x 1.0"),
        (classes(tilescope={"factor": [-4, 4]}), info(MAP), SLIDE, "-4.0 x 4.0"),
        (
            classes(tilescope={"factor": [4, 4], "origin_l0": [-9e9, 0]}),
            info(MAP),
            SLIDE,
            "reaches beyond",
        ),
        (
            {k: v for k, v in classes().items() if k != "tilescope"},
            info(MAP),
            replace(SLIDE, pixel_size=None),
            "no pixel size",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(
    attributes: dict[str, Any], of: SlideInfo, slide: SlideInfo, words: str
) -> None:
    with pytest.raises(SlideError, match=words):
        facts_of(attributes, of, slide)


@pytest.mark.parametrize(
    "label",
    [
        {"properties": "?", "colors": None},
        {"properties": [{"label-value": 1.5}, 7, None, {"label-value": 1 << 40, "class": "x"}]},
        {"colors": [{"label-value": 2, "rgba": [1, 2]}, {"label-value": 1, "rgba": [1, "x", 999]}]},
        {"properties": [{"label-value": -1, "class": "x"}], "colors": [{"label-value": 0}]},
    ],
)
def test_nonsense_about_classes_leaves_them_out(label: dict[str, Any]) -> None:
    found = facts_of(classes(**{"image-label": label}), info(MAP), SLIDE)
    assert found.classes == ()
    assert not painter_of(found)(np.full((4, 4, 1), 2, np.uint8)).any()


@pytest.mark.parametrize("value", [math.nan, -math.inf, "4", None, 10**400, [4]])
def test_a_place_that_is_no_number_is_not_believed(value: object) -> None:
    own = {"factor": [value, 4.0], "origin_l0": [120.0, value], "threshold": value}
    found = facts_of(classes(tilescope=own), info(MAP), SLIDE)
    assert found.origin_l0 == pytest.approx((120.0, 40.0))
    assert 0 <= found.threshold <= 1


def test_levels_lie_on_the_slide_and_are_cut_for_painting() -> None:
    levels = levels_over(info(MAP), (4.0, 4.0))
    assert [level.size for level in levels] == [Size(1000, 700), Size(500, 350)]
    assert [level.downsample_x for level in levels] == [4.0, 8.0]
    assert all(level.tile == Size(256, 256) for level in levels)


def test_levels_that_are_no_pyramid_or_too_coarse_to_read_are_refused() -> None:
    odd = replace(info(MAP), levels=make_levels([MAP, Size(300, 300)], [Size(256, 256)] * 2))
    with pytest.raises(CorruptSlide, match="not half"):
        levels_over(odd, (1.0, 1.0))
    with pytest.raises(UnsupportedFormat, match="too large"):
        levels_over(info(MAP, tile=1 << 14), (1.0, 1.0))


def test_the_tiles_of_a_rectangle_are_those_that_show_some_of_it() -> None:
    levels = levels_over(info(MAP), (4.0, 4.0))
    touched = [
        (key.level, key.col, key.row)
        for key in tiles_touched(
            levels, SlideId("m"), (120 + 1024, 40, 120 + 2048, 41), (120.0, 40.0)
        )
    ]
    # From pixel 256 to 512: the second tile of the finest level, and the first of the next.
    assert touched == [(0, 1, 0), (1, 0, 0)]
    everything = tiles_touched(levels, SlideId("m"), (0, 0, 9000, 8000), (120.0, 40.0))
    assert len(list(everything)) == 4 * 3 + 2 * 2
    assert not list(tiles_touched(levels, SlideId("m"), (0, 0, 100, 30), (120.0, 40.0)))


def test_numbers_become_the_colours_of_their_classes() -> None:
    facts = MapFacts(MapKind.CLASSES, (("a", (1, 2, 3)), ("b", (4, 5, 6))), (1, 1), (0, 0))
    shown = painter_of(facts)(np.array([[[0], [1], [2], [3], [60_000]]], np.uint16))
    assert shown.tolist() == [[0, 0xFF010203, 0xFF040506, 0, 0]]


def test_heat_is_nothing_then_yellow_then_red() -> None:
    facts = MapFacts(MapKind.HEAT, (("tumour", (1, 2, 3)),), (1, 1), (0, 0))
    shown = painter_of(facts)(np.array([[[0], [80], [160], [255]]], np.uint8))
    assert shown.tolist() == [HEAT_WORDS[[0, 80, 160, 255]].tolist()]
    alpha, red, green, blue = (shown[0] >> shift & 255 for shift in (24, 16, 8, 0))
    assert alpha[0] == 0
    assert alpha.tolist() == sorted(alpha.tolist())
    assert (np.maximum(red, green) <= alpha).all()
    assert not blue.any()
    assert green[-1] == 0
    assert red[-1] == 255


def test_scores_are_the_likeliest_class_or_the_heat_of_the_only_one() -> None:
    two = MapFacts(MapKind.SCORES, (("a", (1, 2, 3)), ("b", (4, 5, 6))), (1, 1), (0, 0), 0.0)
    scores = np.array([[[0.2, 0.8], [0.0, 0.0], [0.6, 0.4]]], np.float32)
    assert painter_of(two)(scores).tolist() == [[0xFF040506, 0, 0xFF010203]]
    strict = replace(two, threshold=0.7)
    assert painter_of(strict)(scores).tolist() == [[0xFF040506, 0, 0]]
    one = MapFacts(MapKind.SCORES, (("a", (1, 2, 3)),), (1, 1), (0, 0))
    shown = painter_of(one)(np.array([[[0.0], [1.0], [7.5]]], np.float32))
    assert shown.tolist() == [[0, HEAT_WORDS[255], HEAT_WORDS[255]]]
