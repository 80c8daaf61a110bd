"""Training of the click networks: prompts fit labels, patches prompts, the export torch."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import replace
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import imagecodecs
import numpy as np
import onnx
import pytest
import torch

from tilescope.domain.clicks import Prompt
from tilescope.domain.manifest import WeightsRef
from tilescope_training.networks.unet import NucleiNetwork, UNetShape
from tilescope_training.nuclei.data import Sample, nuclear_diameter
from tilescope_training.nuclei.monuseg import LEAST_SOLIDITY, read_research, solidity
from tilescope_training.nuclei.stream import make_pool
from tilescope_training.nuclick import bench, evaluate, light
from tilescope_training.nuclick import data as datasets
from tilescope_training.nuclick.aims import AIMS, CELL, GLAND, NUCLEUS, Aim
from tilescope_training.nuclick.cells import crowd, read_cells
from tilescope_training.nuclick.crops import Subject, draw_patch
from tilescope_training.nuclick.export import golden_input, to_onnx
from tilescope_training.nuclick.glands import TEST_PATIENTS, VALIDATION_PATIENTS, read_glands
from tilescope_training.nuclick.loss import measure_loss
from tilescope_training.nuclick.network import ClickNetwork, ClickShape, take_over
from tilescope_training.nuclick.peers import Scene, object_at
from tilescope_training.nuclick.prompts import box_prompt, draw_prompt, first_click, look_around
from tilescope_training.nuclick.scribbles import MOST_POINTS, STYLES, draw_scribble
from tilescope_training.nuclick.stream import PromptStream, weigh
from tilescope_training.nuclick.train import Plan, learning_rate
from tilescope_training.shipment import fill_model, fold_normalisation, run_onnx


def make_sample(modality="fluorescence", radius=11, shape=(200, 240)):
    """Return a sample of discs whose red is their label and whose ground is empty."""
    random = np.random.default_rng(3)
    labels = np.zeros(shape, np.int32)
    rows, columns = np.indices(shape)
    for y in range(25, shape[0] - 15, 40):
        for x in range(25, shape[1] - 15, 40):
            dy, dx = random.uniform(-5, 5, 2)
            labels[np.hypot(rows - y - dy, columns - x - dx) < radius] = labels.max() + 1
    shade = np.where(labels > 0, 60 + 5 * labels, 0).astype(np.uint8)
    image = np.repeat(shade[..., None], 3, axis=2)
    if modality != "fluorescence":
        image = 255 - image
    return Sample("made", modality, image, labels, nuclear_diameter(labels))


@pytest.fixture(scope="module")
def subject():
    return Subject.of(make_sample())


def small_network(seed=0):
    torch.manual_seed(seed)
    network = ClickNetwork(ClickShape((8, 16, 16, 16), (1, 2)))
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.2, 0.2)
    return network.eval()


def test_a_first_click_is_on_the_object_or_just_beside(subject):
    random = np.random.default_rng(0)
    on, beside = 0, 0
    for _ in range(300):
        i = int(random.integers(len(subject.numbers)))
        around = look_around(subject.sample.labels, subject.boxes[i], subject.numbers[i])
        (x, y) = first_click(around, random)[0] + (around.x0, around.y0)
        number = subject.sample.labels[int(y), int(x)]
        assert number in {0, subject.numbers[i]}
        on, beside = on + (number > 0), beside + (number == 0)
        if number == 0:
            rows, columns = np.nonzero(subject.sample.labels == subject.numbers[i])
            away = np.hypot(rows + 0.5 - y, columns + 0.5 - x).min()
            assert away <= 0.12 * around.diameter_px + 2
    assert on > 200
    assert beside > 5


def test_points_off_the_object_are_off_it_but_for_a_few(subject):
    random = np.random.default_rng(1)
    off = wrong = boxes = strokes = 0
    for _ in range(300):
        i = int(random.integers(len(subject.numbers)))
        around = look_around(subject.sample.labels, subject.boxes[i], subject.numbers[i])
        clicks = draw_prompt(around, random, 0.1)
        boxes += len(clicks.outside) == 8
        strokes += bool(clicks.strokes)
        if len(clicks.outside) == 8:
            continue
        for x, y in clicks.outside:
            off += 1
            wrong += subject.sample.labels[int(y), int(x)] == subject.numbers[i]
    assert off > 50
    assert wrong < 0.15 * off
    assert boxes > 5
    assert strokes > 5


def test_a_box_is_trained_on_as_it_is_asked_with():
    ours, theirs = box_prompt((10, 20, 40, 60)), Prompt.in_box(10, 20, 40, 60).clicks
    np.testing.assert_allclose(ours.inside, theirs.inside)
    np.testing.assert_allclose(np.sort(ours.outside, axis=0), np.sort(theirs.outside, axis=0))


@pytest.mark.parametrize("aim", AIMS.values(), ids=AIMS)
@pytest.mark.parametrize("seed", range(6))
def test_clicks_and_labels_are_moved_alike(seed, aim):
    subject = Subject.of(make_sample(), aim)
    random = np.random.default_rng(seed)
    for _ in range(6):
        patch = draw_patch(subject, random)
        assert patch.image.shape == (aim.patch_px, aim.patch_px, 3)
        if not patch.number:
            assert not patch.target.any()
            continue
        rows, columns = np.nonzero(patch.target)
        for x, y in patch.clicks.on_object:
            away = np.hypot(rows + 0.5 - y, columns + 0.5 - x).min()
            diameter = 2 * np.sqrt(patch.target.sum() / np.pi)
            assert away <= 0.25 * diameter + 2
        if len(patch.clicks.on_object) == 1:
            np.testing.assert_allclose(patch.clicks.middle, aim.patch_px / 2, atol=1e-6)
        # The object's shade is its label: what is seen is what is meant.
        shade = patch.image[..., 0][patch.target > 0]
        assert abs(np.median(shade) * 255 - (60 + 5 * patch.number)) < 2


def long_object():
    """Return a bent band, 40 px wide and about 250 px long, and its middle line's length."""
    rows, columns = np.indices((180, 220))
    bend = np.abs(np.hypot(rows - 180, columns - 110) - 110) < 20
    return bend & (rows < 170)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("seed", range(4))
def test_a_scribble_follows_the_object(style, seed):
    mask, random = long_object(), np.random.default_rng(seed)
    for _ in range(4):
        strokes = draw_scribble(mask, random, style)
        points = np.concatenate(strokes)
        assert all(1 <= len(stroke) <= MOST_POINTS for stroke in strokes)
        assert (len(strokes) > 1) == (style == "branching")
        there = mask[tuple(np.clip(points, 0, (219, 179)).astype(int).T[::-1])]
        assert there.mean() > 0.9


def test_scribbles_are_as_long_as_their_style():
    mask, random = long_object(), np.random.default_rng(0)
    lengths = {
        style: [
            np.hypot(*np.diff(draw_scribble(mask, random, style)[0], axis=0).T).sum()
            for _ in range(20)
        ]
        for style in ("long", "incomplete", "short")
    }
    assert min(lengths["long"]) > max(lengths["short"])
    assert np.mean(lengths["long"]) > 1.4 * np.mean(lengths["incomplete"])
    assert np.mean(lengths["incomplete"]) > 1.4 * np.mean(lengths["short"])


@pytest.mark.parametrize("shape", [(1, 1), (1, 90), (3, 2), (300, 2)])
def test_any_object_can_be_scribbled_on(shape):
    mask = np.ones(shape, np.bool_)
    for style in STYLES:
        points = np.concatenate(draw_scribble(mask, np.random.default_rng(1), style))
        assert np.isfinite(points).all()
    one = np.zeros((120, 120), np.bool_)
    one[57, 61] = True
    (stroke,) = draw_scribble(one, np.random.default_rng(2), "long")
    np.testing.assert_allclose(stroke, [[61.5, 57.5]], atol=0.1)


def test_an_aim_that_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="aim"):
        Aim("disc", 100, 32.0, (9.0, 84.0))
    with pytest.raises(ValueError, match="aim"):
        replace(NUCLEUS, bounds_px=(40.0, 84.0))


def write_set(folder, images, labels, suffix="png"):
    for name, arrays in (("images", images), ("labels", labels)):
        (folder / name).mkdir()
        for stem, pixels in arrays.items():
            data = imagecodecs.png_encode(pixels)
            (folder / name / f"{stem}.{suffix}").write_bytes(data)


def test_cells_are_held_out_in_runs_with_a_gap_beside(tmp_path):
    rows, columns = np.indices((20, 24))
    labels = {}
    for n in range(1, 301):
        cell = np.hypot(rows - 10, columns - 12) < 5 + (n in range(101, 131)) * 3
        labels[f"dataset1_{n:03}"] = np.where(cell, 128, 0).astype(np.uint8)
    images = {stem: np.repeat(255 - 128 * (v[..., None] > 0), 3, 2).astype(np.uint8)
              for stem, v in labels.items()}  # fmt: skip
    write_set(tmp_path, images, labels)
    sides = read_cells(tmp_path)
    numbers = [
        {int(s.name[-3:]) for s in side} for side in (sides.train, sides.validation, sides.test)
    ]
    assert set(range(101, 131)) < numbers[2]
    assert len(numbers[2]) == 60
    assert len(numbers[1]) == 30
    held_out = numbers[1] | numbers[2]
    assert min(abs(a - b) for a in numbers[0] for b in held_out) == 4
    # The larger cells of a held-out run do not tell training how large cells are.
    assert {s.diameter_px for s in sides.test} == {s.diameter_px for s in sides.train}
    assert sides.train[0].diameter_px == pytest.approx(10, rel=0.1)
    assert set(np.unique(sides.test[0].labels)) == {0, 1}


def test_a_crowd_has_the_cell_once_and_others_around():
    sample = make_sample("histology", shape=(60, 60))
    sample = replace(sample, labels=(sample.labels == 1).astype(np.int32))
    crowded = crowd(sample)
    assert crowded.image.shape == (120, 120, 3)
    np.testing.assert_array_equal(crowded.labels[30:90, 30:90], sample.labels)
    assert (crowded.labels == 1).sum() == sample.labels.sum()
    np.testing.assert_array_equal(crowded.image[30:90, 30:90], sample.image)
    assert set(np.unique(crowded.labels)) == {0, 1, 2}


def test_glands_are_held_out_by_patient(tmp_path):
    rows, columns = np.indices((40, 50))
    gland = (np.hypot(rows - 20, columns - 25) < 12).astype(np.uint16)
    labels = {f"train_{n}": gland for n in range(1, 86)}
    images = {stem: np.full((40, 50, 3), 200, np.uint8) for stem in labels}
    write_set(tmp_path, images, labels)
    sides = read_glands(tmp_path)
    sizes = [len(side) for side in (sides.train, sides.validation, sides.test)]
    assert sizes == [63, 6, 16]
    names = {s.name for s in sides.test}
    assert names == {f"train_{n}" for numbers in TEST_PATIENTS.values() for n in numbers}
    assert not set(TEST_PATIENTS) & set(VALIDATION_PATIENTS)


def test_a_pool_keeps_the_usual_size_of_all_samples():
    sample = replace(make_sample(radius=16), diameter_px=40.0)
    (kept,) = datasets.even_pool([sample], 20.0).samples
    assert kept.labels.shape[0] < 0.8 * sample.labels.shape[0]
    assert kept.diameter_px == 20.0
    (large,) = datasets.even_pool([sample], 90.0).samples
    assert large.diameter_px == 40.0


def test_the_stream_is_repeatable_and_holds_every_kind():
    pools = {
        "fluorescence": make_pool([make_sample()], [0]),
        "histology": make_pool([make_sample("histology")], [0]),
    }
    shares = {"fluorescence": 0.3, "histology": 0.3, "synthetic": 0.3, "blank": 0.1}
    first, second = (iter(PromptStream(pools, shares, 5, texture_count=4)) for _ in range(2))
    for _ in range(12):
        for a, b in zip(next(first), next(second), strict=True):
            assert torch.equal(a, b)
            assert a.dtype == torch.float32
            assert torch.isfinite(a).all()


def test_weights_are_heavier_on_the_object_and_its_rim():
    labels = np.zeros((32, 32), np.int32)
    labels[8:20, 8:20] = 1
    labels[8:20, 24:30] = 2
    target = (labels == 1).astype(np.float32)
    weight = weigh(labels, target)[0]
    assert weight[0, 0] == 1
    assert weight[14, 14] == 3
    assert weight[14, 27] == 3
    assert weight[14, 8] == 5
    assert weight[14, 7] == 3


def test_single_nuclei_are_told_from_clumps():
    rows, columns = np.indices((60, 60))
    disc = np.hypot(rows - 30, columns - 16) < 14
    clump = disc | (np.hypot(rows - 30, columns - 43) < 14)
    assert solidity(disc) > LEAST_SOLIDITY > solidity(clump)
    assert solidity(np.ones((3, 7), np.bool_)) == 1
    sample = make_sample()
    labels = sample.labels.copy()
    labels[labels == 2] = 1
    joined = Subject.of(replace(sample, labels=labels), singles=True)
    assert set(Subject.of(sample).numbers) - set(joined.numbers) == {1, 2}


def test_research_images_are_held_out_by_patient(tmp_path):
    names = ("TCGA-B0-5710-01Z", "TCGA-AY-A8YK-01A", "TCGA-18-5592-01Z", "TCGA-21-5784-01Z")
    sources = ("xml_polygons", "easycui_3class", "easycui_3class", "xml_polygons")
    sample = make_sample("histology")
    for folder, pixels in (("images", sample.image), ("labels", sample.labels.astype(np.uint16))):
        (tmp_path / folder).mkdir()
        for name in names:
            data = imagecodecs.png_encode(pixels)
            (tmp_path / folder / f"{name}.png").write_bytes(data)
    lines = [f"{n},train,{s}" for n, s in zip(names, sources, strict=True)]
    index = "\n".join(["id,official_split,label_source", *lines])
    (tmp_path / "index.csv").write_text(index, encoding="utf-8")
    train, test = read_research(tmp_path)
    assert [s.name for s in train] == ["TCGA-18-5592-01Z", "TCGA-21-5784-01Z"]
    assert [s.name for s in test] == ["TCGA-B0-5710-01Z"]
    assert test[0].diameter_px == pytest.approx(22, abs=0.5)


def test_stains_change_and_darkness_stays():
    image = np.full((16, 16, 3), (0.9, 0.8, 0.9), np.float32)
    image[4:12, 4:12] = (0.4, 0.3, 0.6)
    random = np.random.default_rng(0)
    made = np.stack([light.restain(image, random) for _ in range(20)])
    assert made.min() >= 0
    assert made.max() <= 1.01
    assert (made[:, 8, 8] < made[:, 0, 0]).all()
    assert made[:, 8, 8].std(axis=0).min() > 0.02


def test_a_perfect_answer_costs_nothing_and_a_wrong_one_does():
    target = torch.zeros(2, 1, 32, 32)
    target[0, 0, 8:20, 8:20] = 1
    weight = torch.ones_like(target)
    perfect = measure_loss((target - 0.5) * 60, target, weight)
    wrong = measure_loss((0.5 - target) * 60, target, weight)
    assert perfect.total < 1e-3
    assert wrong.dice > 0.9
    assert wrong.entropy > 10


def test_the_exported_graph_says_what_torch_says():
    network = small_network()
    given = np.random.default_rng(0).random((3, 5, 64, 96), np.float32)
    with torch.no_grad():
        wanted = network(torch.from_numpy(given)).sigmoid().numpy()
        folded = fold_normalisation(network)(torch.from_numpy(given)).sigmoid().numpy()
    np.testing.assert_allclose(folded, wanted, atol=1e-5)
    np.testing.assert_allclose(run_onnx(to_onnx(network), given), wanted, atol=1e-4)


def test_a_new_network_begins_with_what_a_nuclei_network_knows():
    torch.manual_seed(0)
    nuclei = NucleiNetwork(UNetShape((8, 16, 16), (1, 2))).eval()
    network = ClickNetwork(ClickShape((8, 16, 16, 16), (1, 2))).eval()
    take_over(network, nuclei.state_dict())
    given = torch.rand(2, 5, 64, 64)
    with torch.no_grad():
        foreground = nuclei(given[:, :3])[:, :1]
        torch.testing.assert_close(network(given), foreground, atol=1e-5, rtol=1e-4)


def test_the_rate_rises_stays_and_falls():
    plan = Plan(rate=1.0)
    rates = [learning_rate(plan, p) for p in np.linspace(0, 1, 101)]
    assert rates[0] < 0.1
    assert max(rates[5:40]) == min(rates[5:40]) == 1.0
    assert all(a >= b for a, b in pairwise(rates[40:]))
    assert rates[-1] <= 0.02


@pytest.mark.parametrize(
    "model",
    [
        "nuclick-nucleus",
        "nuclick-cell",
        "nuclick-gland",
    ],
)
def test_the_shipped_files_fit_together(model):
    root = Path(str(files("tilescope_nuclick")))
    models = tomllib.loads((root / "plugin.toml").read_text(encoding="utf-8"))["model"]
    (table,) = [m for m in models if m["id"] == model]
    graph = (root / table["weights"]["file"]).read_bytes()
    assert len(graph) == table["weights"]["bytes"] <= 10 * 2**20
    assert hashlib.sha256(graph).hexdigest() == table["weights"]["sha256"]
    onnx.checker.check_model(onnx.load_model_from_string(graph))
    with np.load(root / table["golden"]["inputs"]) as stored:
        given = stored["image"]
    with np.load(root / table["golden"]["outputs"]) as stored:
        wanted = stored["mask"]
    np.testing.assert_array_equal(given, golden_input(0))
    np.testing.assert_allclose(run_onnx(graph, given), wanted, atol=table["golden"]["atol"])
    assert ("non-commercial" in table["licence"]) == ("NC" in table["card"]["data_licence"])
    assert ("GPL" in table["licence"]) == ("GPL" in table["card"]["data_licence"])


def test_filling_changes_one_model_only():
    text = (Path(str(files("tilescope_nuclick"))) / "plugin.toml").read_text(encoding="utf-8")
    filled = fill_model(text, "nuclick-cell", {"bytes": 7, "seed": 1})
    before, after = (tomllib.loads(t)["model"] for t in (text, filled))
    changed = [a["id"] for a, b in zip(after, before, strict=True) if a != b]
    assert changed == ["nuclick-cell"]
    (cell,) = [model for model in after if model["id"] == "nuclick-cell"]
    assert cell["weights"]["bytes"] == 7
    with pytest.raises(ValueError, match="not one"):
        fill_model(text, "nuclick-third", {})


def test_hausdorff_is_the_farthest_nearest_distance():
    a, b = np.zeros((40, 40), np.bool_), np.zeros((40, 40), np.bool_)
    a[10:20, 10:20] = True
    b[10:20, 10:26] = True
    assert bench.hausdorff(a, b) == 6
    assert np.isnan(bench.hausdorff(a, np.zeros_like(a)))


def test_peers_find_a_disc():
    scene = Scene.of(make_sample())
    true = make_sample().labels == 3
    rows, columns = np.nonzero(true)
    x, y = columns.mean() + 0.5, rows.mean() + 0.5
    for mask in (scene.flood(x, y), scene.watershed(x, y)):
        assert 2 * (mask & true).sum() / (mask.sum() + true.sum()) > 0.85
    np.testing.assert_array_equal(object_at(make_sample().labels, x, y), true)


@pytest.mark.parametrize("aim", [NUCLEUS, GLAND], ids=["nucleus", "gland"])
def test_prompts_on_the_background_touch_no_label(tmp_path, aim):
    weights = tmp_path / "w.onnx"
    weights.write_bytes(to_onnx(small_network()))
    sample = make_sample("histology", radius=6)
    opened = bench.Bench(bench.model_of(weights, aim), sample, aim)
    prompts = opened.background(np.random.default_rng(0), 40)
    assert len(prompts) > 10
    assert all(bool(p.clicks.strokes) == (aim is GLAND) for p in prompts)
    points = np.concatenate([p.clicks.on_object for p in prompts])
    columns, rows = np.floor(points).astype(int).T
    assert not sample.labels[rows, columns].any()


@pytest.mark.parametrize("aim", [NUCLEUS, CELL, GLAND], ids=AIMS)
def test_an_image_is_measured_in_every_condition(tmp_path, aim):
    weights = tmp_path / "w.onnx"
    weights.write_bytes(to_onnx(small_network()))
    course = evaluate.Course(bench.model_of(weights, aim), aim)
    assert isinstance(course.model.spec.weights, WeightsRef)
    rows, image = evaluate.measure(course, make_sample("histology", shape=(90, 90)), 1, 4)
    summary = evaluate.summarise(rows, [image])["histology"]
    first = "one scribble" if aim is GLAND else "interior"
    assert summary[first]["objects"] == 4
    others = {"short scribble", "one click"} if aim is GLAND else {"border", "jitter 3 px"}
    assert {*others, "size unknown", "peer: flood fill"} <= set(summary)
    assert all(0 <= summary[key] <= 1 for key in ("aji", "pq", "object_dice"))
    assert summary["background_clicks"] > 0
