"""Clicks on slides and pictures with the model that comes with Tilescope."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely
from shapely.geometry import shape

from tilescope.domain.clicks import Prompt
from tilescope.domain.results import Detections
from tilescope.errors import UsageError
from tilescope.exchange.geojson_reader import read_geojson
from tilescope.io.cache import TileCache
from tilescope.io.registry import open_slide
from tilescope.jobs.click import as_annotations, click, write_clicks
from tilescope.jobs.clicking import session as click_session
from tilescope.jobs.clicking.array import ArraySource
from tilescope.jobs.clicking.look import smoothed
from tilescope.jobs.clicking.overlap import Beside
from tilescope.jobs.clicking.proposals import propose
from tilescope.jobs.clicking.session import ClickOptions, ClickSession
from tilescope.ops.contours import outlines
from tilescope.plugins.registry import InstalledModel, find_model
from tilescope.testing.sources import SlideSourceContract
from tilescope.testing.synthetic import pyramid, write_tiff_pyramid

RADIUS = 13.0
CENTRES = [
    (60.0, 60.0),
    (150.0, 70.0),
    (260.0, 90.0),
    (90.0, 200.0),
    (180.0, 180.0),
    (250.0, 260.0),
]


@pytest.fixture(scope="module")
def model() -> InstalledModel:
    return find_model("nuclick-nucleus")


def stained(centres: list[tuple[float, float]] = CENTRES, side: int = 320) -> np.ndarray:
    """Return pale tissue with dark nuclei, ``uint8[side, side, 3]``."""
    random = np.random.default_rng(1)
    rows, columns = np.indices((side, side)) + 0.5
    cover = np.zeros((side, side))
    for x, y in centres:
        cover = np.maximum(cover, np.clip(RADIUS + 0.5 - np.hypot(columns - x, rows - y), 0, 1))
    cover = cover[..., None]
    picture = (1 - cover) * (236, 205, 224) + cover * (110, 80, 155)
    return np.clip(picture + random.normal(0, 4, picture.shape), 0, 255).astype(np.uint8)


def disc(x: float, y: float, radius: float = RADIUS) -> shapely.Polygon:
    return shapely.Point(x, y).buffer(radius)


def dice(ring: np.ndarray | None, true: shapely.Polygon) -> float:
    found = shapely.Polygon() if ring is None else shapely.Polygon(ring)
    return 2 * found.intersection(true).area / (found.area + true.area)


@pytest.fixture(scope="module")
def session(model: InstalledModel) -> Iterator[ClickSession]:
    options = ClickOptions(diameter_px=2 * RADIUS, threads=1)
    with ClickSession(model, ArraySource(stained()), TileCache(2**26), options) as opened:
        yield opened


def test_a_click_outlines_the_nucleus_under_it(session: ClickSession) -> None:
    results = session.segment([Prompt.at(x + 4, y - 3) for x, y in CENTRES])
    assert [r.status for r in results] == ["found"] * len(CENTRES)
    for result, (x, y) in zip(results, CENTRES, strict=True):
        assert dice(result.ring, disc(x, y)) > 0.85
        assert result.score > 0.5
        assert result.whole


def test_what_is_stored_makes_the_object_again(
    session: ClickSession, model: InstalledModel
) -> None:
    prompts = [Prompt.at(x + 4, y - 3) for x, y in CENTRES]
    found = session.segment([*prompts, Prompt.at(94, 203).excluding(120, 200).adding(88, 196)])
    stored = [json.dumps(r.prompt.as_dict()) for r in found if r.is_found]
    assert len(stored) == len(CENTRES)
    # Another session, which expects objects of another size, one prompt at a time.
    options = ClickOptions(diameter_px=90, threads=1)
    with ClickSession(model, ArraySource(stained()), TileCache(2**26), options) as other:
        for text, result in zip(stored, [r for r in found if r.is_found], strict=True):
            (again,) = other.segment([Prompt.of(json.loads(text))])
            assert again.ring is not None
            assert result.ring is not None
            assert dice(again.ring, shapely.Polygon(result.ring)) > 0.999
            assert again.prompt.factor == result.prompt.factor


def test_the_size_of_objects_is_found_out(model: InstalledModel) -> None:
    report = click(model, stained(), [Prompt.at(*centre) for centre in CENTRES])
    assert report.diameter_px == pytest.approx(2 * RADIUS, rel=0.25)
    assert all(dice(r.ring, disc(*c)) > 0.85 for r, c in zip(report.results, CENTRES, strict=True))


@pytest.mark.parametrize("guess", [1 / 3, 1 / 1.6, 1.6, 3.5])
def test_a_wrong_guess_of_the_size_hardly_matters(model: InstalledModel, guess: float) -> None:
    options = ClickOptions(diameter_px=2 * RADIUS * guess)
    report = click(model, stained(), [Prompt.at(*c) for c in CENTRES], options)
    found = [dice(r.ring, disc(*c)) for r, c in zip(report.results, CENTRES, strict=True)]
    assert np.mean(found) > 0.85


def test_fluorescence_of_any_depth(model: InstalledModel) -> None:
    light = (255 - stained()[..., 1]).astype(np.float32)
    for pixels in (light, (light * 40).astype(np.uint16), light.astype(np.uint8)):
        report = click(model, pixels, [Prompt.at(*CENTRES[4])])
        assert dice(report.results[0].ring, disc(*CENTRES[4])) > 0.85


def test_outlines_have_no_stairs_and_keep_their_area() -> None:
    rows, columns = np.indices((96, 96)) + 0.5
    round_mask = np.hypot(columns - 48, rows - 40) < 20
    fine = smoothed(round_mask)
    assert fine.shape == (206, 206)
    assert fine.sum() == pytest.approx(4 * round_mask.sum(), rel=0.01)
    ring = (outlines(fine.astype(np.int32)).rings - 7) / 2
    plain = outlines(round_mask.astype(np.int32)).rings
    roughness = [np.hypot(*(r - (48, 40)).T).std() for r in (ring, plain)]
    assert roughness[0] < 0.75 * roughness[1]
    hair = np.zeros((32, 32), np.bool_)
    hair[8:24, 8:24] = True
    hair[:8, 15] = True
    assert not smoothed(hair)[: 7 + 2 * 7].any()
    assert smoothed(hair)[7 + 2 * 9].any()


def test_a_slide_gives_level_0_pixels(tmp_path: Path, model: InstalledModel) -> None:
    large = stained().repeat(3, axis=0).repeat(3, axis=1)
    path = write_tiff_pyramid(
        tmp_path / "slide.tiff", pyramid(large, 3), um_per_px=7 / (6 * RADIUS)
    )
    x, y = (3 * v for v in CENTRES[2])
    report = click(model, path, [Prompt.at(x, y)])
    assert report.pixel_size is not None
    assert report.diameter_px == pytest.approx(6 * RADIUS, rel=0.01)
    assert dice(report.results[0].ring, disc(x, y, 3 * RADIUS)) > 0.85
    with open_slide(path, um_per_px=7 / (6 * RADIUS)) as source:
        again = click(model, source, [Prompt.at(x, y)])
        np.testing.assert_array_equal(again.results[0].ring, report.results[0].ring)
        source.read_tile(0, 0, 0)


def test_a_box_and_a_scribble_are_prompts_too(session: ClickSession) -> None:
    x, y = CENTRES[1]
    box = Prompt.in_box(x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS)
    line = Prompt.over(np.array([[x - 6, y - 6], [x, y], [x + 7, y + 4]]))
    for prompt in (box, line):
        (result,) = session.segment([prompt])
        assert dice(result.ring, disc(x, y)) > 0.8


def test_what_is_excluded_is_not_in_the_object(session: ClickSession) -> None:
    x, y = CENTRES[3]
    (result,) = session.segment([Prompt.at(x - 5, y).excluding(x + 8, y)])
    assert result.ring is None or not shapely.Polygon(result.ring).contains(shapely.Point(x + 8, y))


def test_every_bad_prompt_gets_its_own_answer(session: ClickSession) -> None:
    x, y = CENTRES[0]
    prompts = [
        Prompt.at(x, y),
        Prompt.at(-5, 10),
        Prompt.at(10, 320),
        Prompt.at(x, y),
        Prompt.at(x + 5, y + 2),
        Prompt.at(1e9, 1e9),
        Prompt.at(*CENTRES[1]),
    ]
    results = session.segment(prompts)
    assert [r.status for r in results] == [
        "found", "outside", "outside", "duplicate", "duplicate", "outside", "found",
    ]  # fmt: skip
    assert results[3].reason.endswith("prompt 1")
    for result in results:
        assert result.is_found == (result.reason == "")
    whole = session.segment(prompts, allow_overlap=True)
    assert [r.status for r in whole][3:5] == ["found", "found"]


def test_where_there_is_nothing_nothing_is_invented(model: InstalledModel) -> None:
    random = np.random.default_rng(0)
    glass = np.full((200, 200, 3), 238, np.uint8)
    noisy = np.clip(glass + random.normal(0, 2, glass.shape), 0, 255).astype(np.uint8)
    dark = random.poisson(3, (200, 200)).astype(np.uint16)
    prompts = [Prompt.at(x, y) for x in (20, 100, 180) for y in (20, 100, 180)]
    for pixels, options in (
        (glass, None),
        (noisy, None),
        (glass, ClickOptions(26)),
        (dark, ClickOptions(26)),
    ):
        report = click(model, pixels, prompts, options)
        assert [r.status for r in report.results] == ["nothing"] * 9


def test_an_unsure_outline_is_not_given_but_a_box_makes_it_count(model: InstalledModel) -> None:
    x, y = CENTRES[0]
    options = ClickOptions(2 * RADIUS, {"least_score": 1.0}, threads=1)
    click_at = Prompt.at(x, y)
    box = Prompt.in_box(x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS)
    with ClickSession(model, ArraySource(stained()), TileCache(2**26), options) as strict:
        refused, found = strict.segment([click_at, box])
        again, _ = strict.segment([replace(click_at, factor=found.prompt.factor), box])
    assert refused.status == again.status == "nothing"
    assert "unsure" in refused.reason
    assert "1.00" in refused.reason
    assert refused.ring is None
    assert dice(found.ring, disc(x, y)) > 0.8


def test_a_thousand_prompts_at_once(model: InstalledModel) -> None:
    """All are answered, and what is found does not overlap, also without a known pixel size."""
    picture = stained(CENTRES[:1] + CENTRES[3:4] + [(150.0, 150.0)], side=200)
    random = np.random.default_rng(2)
    places = random.uniform(-20, 220, (12, 2))
    prompts = [Prompt.at(*places[i]) for i in random.integers(0, len(places), 1000)]
    report = click(model, picture, prompts)
    assert len(report.results) == 1000
    outside = [
        not (0 <= p.clicks.middle[0] < 200 and 0 <= p.clicks.middle[1] < 200) for p in prompts
    ]
    assert [r.status == "outside" for r in report.results] == outside
    shapes = [shapely.Polygon(r.ring) for r in report.found]
    for i, first in enumerate(shapes):
        assert all(first.intersection(other).area < 1e-6 for other in shapes[i + 1 :])


@pytest.mark.parametrize("factor", [1e-300, 1e-9, 1e9, 1e300])
def test_no_stored_scale_costs_more_than_a_look(session: ClickSession, factor: float) -> None:
    (result,) = session.segment([replace(Prompt.at(*CENTRES[0]), factor=factor)])
    assert result.status in {"found", "nothing"}


def test_more_prompts_than_can_be_held_are_refused(session: ClickSession) -> None:
    with pytest.raises(UsageError, match="100001 prompts"):
        session.segment([Prompt.at(1, 1)] * (click_session.MOST_PROMPTS + 1))


def test_objects_that_are_there_keep_their_place(session: ClickSession) -> None:
    x, y = CENTRES[4]
    half = np.array([[x, y - 30], [x + 30, y - 30], [x + 30, y + 30], [x, y + 30]])
    (result,) = session.segment([Prompt.at(x - 4, y)], committed=[half])
    assert result.ring is not None
    left = shapely.Polygon(result.ring)
    assert left.intersection(shapely.Polygon(half)).area < 1e-6
    assert left.area == pytest.approx(disc(x, y).area / 2, rel=0.25)
    around = np.array([[x - 40, y - 40], [x + 40, y - 40], [x + 40, y + 40], [x - 40, y + 40]])
    (covered,) = session.segment([Prompt.at(x, y)], committed=[around])
    assert covered.status == "covered"
    (whole,) = session.segment([Prompt.at(x, y)], committed=[around], allow_overlap=True)
    assert dice(whole.ring, disc(x, y)) > 0.85


def test_places_beside_others() -> None:
    square = np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 10.0], [0.0, 10.0]])
    beside = Beside([square, np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]])])
    assert len(beside) == 1
    assert beside.place(square + 0.5, (5, 5)).same_as == 0
    free = beside.place(square + 20, (25, 25))
    np.testing.assert_array_equal(free.ring, square + 20)
    assert beside.place(square + 20, (25, 25)).same_as == 1
    # A bar across the first square falls apart; the part that was pointed at stays.
    bar = np.array([[-20.0, 4.0], [30.0, 4.0], [30.0, 6.0], [-20.0, 6.0]])
    right = beside.place(bar, (15, 5))
    assert right.ring is not None
    assert right.ring[:, 0].min() == 10


def test_many_objects_are_told_apart() -> None:
    square = np.array([[0.0, 0.0], [4.0, 0.0], [4.0, 4.0], [0.0, 4.0]])
    places = np.random.default_rng(0).permutation(
        np.stack(np.meshgrid(np.arange(30), np.arange(30)), axis=-1).reshape(-1, 2) * 5.0
    )
    beside = Beside()
    for place in places:
        assert beside.place(square + place, (0, 0)).ring is not None
    for i in (0, 200, 257, 600, 899):
        assert beside.place(square + places[i] + 0.3, (0, 0)).same_as == i


def test_found_objects_become_clicks_in_them_of_their_size() -> None:
    crescent = disc(50, 50, 20).difference(disc(60, 50, 18))
    flat = np.array([[0.0, 0.0], [5.0, 5.0], [9.0, 9.0]])
    rings = [shapely.get_coordinates(g.exterior)[:-1] for g in (disc(9, 9, 6), crescent)]
    rings.insert(1, flat)
    names, classes = ("nucleus",), np.zeros(3, np.uint16)
    prompts = propose(Detections.of(rings, np.ones(3, np.float32), classes, names))
    assert len(prompts) == 2
    for prompt, true in zip(prompts, (disc(9, 9, 6), crescent), strict=True):
        assert true.contains(shapely.Point(prompt.clicks.middle))
        assert prompt.diameter_px == pytest.approx(2 * np.sqrt(true.area / np.pi))
    assert propose(Detections.empty(names)) == []


def test_the_user_says_how_large_objects_are(session: ClickSession) -> None:
    before = session.diameter_px
    assert before is not None
    session.use_diameter(77)
    assert session.diameter_px == 77
    session.use_diameter(before)
    for bad in (0.0, -1.0, float("nan"), 1e9):
        with pytest.raises(UsageError):
            session.use_diameter(bad)


def test_other_models_and_parameters_are_refused(model: InstalledModel) -> None:
    source = ArraySource(stained())
    with pytest.raises(UsageError, match="takes no clicks"):
        ClickSession(find_model("nuclei-unet"), source, TileCache(2**24))
    with pytest.raises(UsageError, match="treshold"):
        ClickSession(model, source, TileCache(2**24), ClickOptions(parameters={"treshold": 0.5}))


def test_the_file_names_weights_licence_and_prompts(tmp_path: Path, model: InstalledModel) -> None:
    report = click(model, stained(), [Prompt.at(*CENTRES[0]), Prompt.at(-1, -1)], um_per_px=0.3)
    path = tmp_path / "clicks.geojson"
    assert write_clicks(path, report) == 1
    values = json.loads(path.read_text(encoding="utf-8"))
    assert values["tilescope:licence"] == model.spec.licence
    assert values["tilescope:model"]["sha256"] == model.spec.weights.sha256
    (feature,) = values["features"]
    assert shape(feature["geometry"]).is_valid
    properties = feature["properties"]
    assert properties["classification"]["name"] == "nucleus"
    area = shape(feature["geometry"]).area * 0.3**2
    assert properties["measurements"]["Area µm^2"] == pytest.approx(area, rel=0.01)
    made = json.loads(properties["metadata"]["tilescope:made"])
    assert made["sha256"] == model.spec.weights.sha256
    again = click(model, stained(), [Prompt.of(made["prompt"])])
    assert dice(again.results[0].ring, shape(feature["geometry"])) > 0.99
    (annotation,) = as_annotations(report)
    assert annotation.id == feature["id"]
    assert annotation.author.detail["prompt"] == made["prompt"]


def test_the_file_is_read_by_our_own_reader(tmp_path: Path, model: InstalledModel) -> None:
    report = click(model, stained(), [Prompt.at(*centre) for centre in CENTRES])
    path = tmp_path / "clicks.geojson"
    write_clicks(path, report)
    (read,) = read_geojson(path)
    assert [a.id for a in read] == [a.id for a in as_annotations(report)]
    assert {(a.class_name, a.author.kind, a.author.name) for a in read} == {
        ("nucleus", "model", "nuclick-nucleus")
    }
    empty = tmp_path / "empty.geojson"
    assert write_clicks(empty, click(model, stained(), [Prompt.at(-1, -1)])) == 0
    assert list(read_geojson(empty)) == []


@pytest.mark.parametrize(
    "pixels", [np.zeros((0, 4), np.uint8), np.zeros((4, 4), np.int64), np.zeros(9, np.uint8)]
)
def test_what_is_no_picture_is_refused(pixels: np.ndarray, model: InstalledModel) -> None:
    with pytest.raises(UsageError, match="array"):
        click(model, pixels, [Prompt.at(1, 1)])


class TestArraySource(SlideSourceContract):
    @pytest.fixture
    def source(self) -> Iterator[ArraySource]:
        with ArraySource(np.arange(700 * 530 * 2, dtype=np.uint16).reshape(700, 530, 2)) as opened:
            yield opened
