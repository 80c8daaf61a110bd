"""What lies beside a model: descriptions of the zoo, of WSInfer, notes of exporters, and bombs."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from tests.engine.models.networks import RDF_04, RDF_05, WSINFER, wsinfer_package, zoo_package

from tilescope.domain.encoding import (
    Activation,
    Clip,
    Linear,
    Standardise,
    Stretch,
    Threshold,
    UnitRange,
)
from tilescope.errors import ModelError
from tilescope.jobs.adding.bioimage_rdf import read_rdf
from tilescope.jobs.adding.graph_notes import read_notes
from tilescope.jobs.adding.model_hints import BadDescription
from tilescope.jobs.adding.model_package import open_package
from tilescope.jobs.adding.rdf_steps import read_steps
from tilescope.jobs.adding.wsinfer_config import read_wsinfer

HERE = Path("rdf.yaml")


def test_the_zoo_s_version_0_4() -> None:
    hints = read_rdf(HERE, yaml.safe_load(RDF_04))
    assert (hints.name, hints.version) == ("Cell borders (U-Net)", "0.2.1")
    assert hints.licence == "CC-BY-4.0"
    assert (hints.tile_px, hints.step_px, hints.halo_px) == (512, None, 16)
    assert hints.input_layout == "NCHW"
    assert hints.steps == (Standardise(per_channel=True, eps=1e-6),)
    assert hints.output_steps == (Activation("sigmoid"),)
    assert hints.um_per_px is None
    assert hints.classes is None


def test_the_zoo_s_version_0_5() -> None:
    hints = read_rdf(HERE, yaml.safe_load(RDF_05))
    assert (hints.um_per_px, hints.halo_px) == (0.5, 24)
    assert (hints.tile_px, hints.step_px) == (512, 16)
    assert hints.classes == ("nucleus", "cell")
    assert hints.steps == (Stretch(1.0, 99.8, per_channel=True),)
    assert hints.output_layouts == {"OUTPUT": "NCHW"}


def test_sizes_with_a_step_give_a_tile_near_512() -> None:
    text = RDF_04.replace(
        "shape: [1, 1, 512, 512]", "shape: {min: [1, 1, 40, 40], step: [0, 0, 24, 24]}"
    )
    hints = read_rdf(HERE, yaml.safe_load(text))
    assert (hints.tile_px, hints.step_px) == (40 + 19 * 24, 8)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (
            {"name": "scale_linear", "kwargs": {"gain": 2, "offset": [1, 2]}},
            Linear((2.0,), (1.0, 2.0)),
        ),
        ({"id": "zero_mean_unit_variance"}, Standardise(per_channel=False)),
        (
            {
                "name": "zero_mean_unit_variance",
                "kwargs": {"mode": "fixed", "mean": 4, "std": 2, "eps": 0},
            },
            Linear((0.5,), (-2.0,)),
        ),
        (
            {
                "id": "fixed_zero_mean_unit_variance",
                "kwargs": {"mean": [4, 6], "std": [2, 4], "eps": 0},
            },
            Linear((0.5, 0.25), (-2.0, -1.5)),
        ),
        ({"name": "scale_range", "kwargs": {"axes": "cxy"}}, Stretch(per_channel=False)),
        ({"id": "clip", "kwargs": {"min": 0, "max": 1}}, Clip(0.0, 1.0)),
        ({"id": "binarize", "kwargs": {"threshold": 0.3}}, Threshold(0.3)),
    ],
)
def test_every_step(step: dict, expected: object) -> None:
    assert read_steps(HERE, [step, {"id": "ensure_dtype"}]) == (expected,)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("0.4.10", "0.3.6", "format_version '0.3.6' is not known"),
        (
            "axes: bcyx\n  data_type: float32\n  data_range: [-inf",
            "axes: bczyx\n  data_type: float32\n  data_range: [-inf",
            "axis 'z'",
        ),
        ("zero_mean_unit_variance", "per_sample_magic", "step 'per_sample_magic': is not known"),
        (
            "inputs:\n- name: image",
            "inputs:\n- name: second\n  axes: bcyx\n- name: image",
            "2 inputs",
        ),
        (
            "kwargs: {mode: per_sample, axes: xy, eps: 1.0e-6}",
            "kwargs: {mean: a}",
            "mean must be a number",
        ),
    ],
    ids=["version", "volume", "step", "inputs", "value"],
)
def test_what_cannot_be_used_is_named(old: str, new: str, reason: str) -> None:
    assert old in RDF_04
    with pytest.raises(BadDescription, match=f"rdf.yaml: .*{reason}"):
        read_rdf(HERE, yaml.safe_load(RDF_04.replace(old, new, 1)))


def test_a_description_of_nonsense_does_not_break_anything(rng: np.random.Generator) -> None:
    junk = [None, 3, "x", [], {}, [1, [2]], {"a": None}, [{"axes": 4}], [{"type": "space"}], True]
    values = yaml.safe_load(RDF_05)

    def spoilt(node: object) -> object:
        if rng.random() < 0.15:
            return junk[rng.integers(len(junk))]
        if isinstance(node, dict):
            return {key: spoilt(value) for key, value in node.items()}
        if isinstance(node, list):
            return [spoilt(value) for value in node]
        return node

    for _ in range(400):
        broken = spoilt(values)
        if isinstance(broken, dict):
            try:
                read_rdf(HERE, broken)
            except BadDescription:
                continue


def test_wsinfer_reads_the_slide_at_the_scale_of_the_resized_patch() -> None:
    hints = read_wsinfer(Path("config.json"), WSINFER)
    assert hints.task == "classification"
    assert hints.um_per_px == pytest.approx(0.5 * 96 / 64)
    assert (hints.tile_px, hints.fixed) == (64, True)
    unit, linear = hints.steps
    assert unit == UnitRange()
    np.testing.assert_allclose(linear.gain, [5, 4, 2])
    np.testing.assert_allclose(linear.offset, [-2.5, -1.6, -0.6])


@pytest.mark.parametrize(
    "changes",
    [
        {"spec_version": "2.0"},
        {"patch_size_pixels": -1},
        {"spacing_um_px": "0.5"},
        {"class_names": ["one"]},
        {"transform": [{"name": "Magic"}]},
        {"transform": [{"name": "Normalize", "arguments": {"mean": [1], "std": [0]}}]},
        {"transform": [{"name": "Resize", "arguments": {"size": [224, 200]}}]},
        {"transform": "Resize"},
    ],
    ids=["version", "patch", "spacing", "names", "unknown", "std", "oblong", "text"],
)
def test_a_wrong_configuration_is_refused(changes: dict) -> None:
    with pytest.raises(BadDescription, match=r"config\.json"):
        read_wsinfer(Path("config.json"), {**WSINFER, **changes})


def test_notes_of_an_exporter() -> None:
    hints = read_notes(
        {
            "names": "{1: 'mitosis', 0: 'cell'}",
            "imgsz": "[640, 640]",
            "stride": "32",
            "task": "detect",
            "license": "AGPL-3.0\nsee there",
            "mpp": "0.25",
        }
    )
    assert hints.classes == ("cell", "mitosis")
    assert (hints.tile_px, hints.step_px, hints.task) == (640, 32, "detect")
    assert hints.licence == "AGPL-3.0 see there"
    assert hints.um_per_px == 0.25


@pytest.mark.parametrize("text", ["__import__('os')", "(" * 5000, "[1,", "{'a': [}", "9" * 5000])
def test_notes_are_never_run_and_never_break_anything(text: str) -> None:
    hints = read_notes({"names": text, "imgsz": text, "stride": text, "version": text})
    assert hints.tile_px is None
    assert hints.step_px is None


# -- packages ------------------------------------------------------------------------------------


def zipped(folder: Path, path: Path, inside: str = "") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, inside + file.name)
    return path


@pytest.mark.parametrize("inside", ["", "package/"], ids=["flat", "nested"])
def test_a_zip_is_a_folder(tmp_path: Path, inside: str) -> None:
    path = zipped(zoo_package(tmp_path / "zoo"), tmp_path / "zoo.zip", inside)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    package = open_package(path, scratch)
    assert package.source == path
    assert package.onnx.read_bytes() == (tmp_path / "zoo" / "weights.onnx").read_bytes()
    assert [hints.source for hints in package.hints] == ["rdf.yaml"]


def test_a_file_takes_the_description_beside_it_when_it_is_its_own(tmp_path: Path) -> None:
    folder = zoo_package(tmp_path / "zoo")
    assert len(open_package(folder / "weights.onnx", tmp_path).hints) == 1
    (folder / "weights.onnx").rename(folder / "other.onnx")
    assert open_package(folder / "other.onnx", tmp_path).hints == ()


def test_weights_that_are_not_those_of_the_description(tmp_path: Path) -> None:
    folder = zoo_package(tmp_path / "zoo")
    with (folder / "weights.onnx").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ModelError, match=r"weights\.onnx: its sha256"):
        open_package(folder, tmp_path)


@pytest.mark.parametrize("source", ["../secret.onnx", "/etc/passwd", "missing.onnx"])
def test_weights_outside_the_package(tmp_path: Path, source: str) -> None:
    folder = zoo_package(tmp_path / "zoo")
    (tmp_path / "secret.onnx").write_bytes(b"x")
    text = (folder / "rdf.yaml").read_text().replace("source: weights.onnx", f"source: {source}")
    (folder / "rdf.yaml").write_text(text)
    with pytest.raises(BadDescription, match=r"outside the package|not there"):
        open_package(folder, tmp_path)


def test_a_folder_without_onnx_or_with_two(tmp_path: Path) -> None:
    folder = wsinfer_package(tmp_path / "wsi")
    (folder / "second.onnx").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"model\.onnx, second\.onnx; name the file"):
        open_package(folder, tmp_path)
    for file in folder.glob("*.onnx"):
        file.unlink()
    with pytest.raises(ModelError, match="there are none"):
        open_package(folder, tmp_path)
    with pytest.raises(ModelError, match="No such file"):
        open_package(tmp_path / "nowhere", tmp_path)


BOMB = "a0: &a0 [x, x]\n" + "".join(
    f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}, *a{i - 1}, *a{i - 1}]\n" for i in range(1, 60)
)
MERGES = "a0: &a0 {x: 1}\n" + "".join(
    f"a{i}: &a{i}\n  <<: [*a{i - 1}, *a{i - 1}, *a{i - 1}, *a{i - 1}]\n" for i in range(1, 20)
)


@pytest.mark.parametrize(
    "text",
    [
        MERGES,
        "[" * 50_000,
        "a: " + "[" * 60 + "]" * 60,
        "x" * 300_000,
        "!!python/object:os.x {}",
        "a: [",
        "\0",
    ],
    ids=["merges", "unclosed", "deep", "large", "object", "broken", "binary"],
)
def test_yaml_made_to_do_harm_is_refused(tmp_path: Path, text: str) -> None:
    folder = zoo_package(tmp_path / "zoo")
    (folder / "rdf.yaml").write_text(text)
    with pytest.raises(BadDescription, match=r"rdf\.yaml"):
        open_package(folder, tmp_path)


def test_aliases_cost_nothing(tmp_path: Path) -> None:
    folder = zoo_package(tmp_path / "zoo")
    text = (folder / "rdf.yaml").read_text()
    (folder / "rdf.yaml").write_text(text + BOMB)
    assert open_package(folder, tmp_path).hints[0].name == "Cell borders (U-Net)"


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "\xff"], ids=["broken", "deep", "binary"])
def test_json_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    folder = wsinfer_package(tmp_path / "wsi")
    (folder / "config.json").write_text(text, encoding="latin-1")
    with pytest.raises(BadDescription, match=r"config\.json"):
        open_package(folder, tmp_path)
    (folder / "config.json").write_text(json.dumps({"somebody": "else's"}))
    assert open_package(folder, tmp_path).hints == ()


@pytest.mark.parametrize(
    "name", ["../evil.onnx", "/tmp/evil.onnx", "a\\..\\..\\evil.onnx", "C:evil"]
)
def test_a_zip_cannot_write_elsewhere(tmp_path: Path, name: str) -> None:
    path = tmp_path / "evil.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, b"x")
    scratch = tmp_path / "a" / "scratch"
    scratch.mkdir(parents=True)
    with pytest.raises(ModelError, match="damaged zip"):
        open_package(path, scratch)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a", "evil.zip", "scratch"]


def test_a_zip_that_unpacks_to_more_than_it_says(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("big.onnx", bytes(50_000_000))
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\1\2")
    data[at + 24 : at + 28] = (1000).to_bytes(4, "little")  # what the table says of its size
    path.write_bytes(data)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with pytest.raises(ModelError, match="damaged zip"):
        open_package(path, scratch)
    assert sum(file.stat().st_size for file in scratch.rglob("*.onnx")) < 1 << 21


def test_a_zip_that_says_it_unpacks_to_terabytes(tmp_path: Path) -> None:
    path = zipped(zoo_package(tmp_path / "zoo"), tmp_path / "zoo.zip")
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\1\2")
    data[at + 24 : at + 28] = (0xFFFFFFF0).to_bytes(4, "little")
    at = data.index(b"PK\1\2", at + 4)
    data[at + 24 : at + 28] = (0xFFFFFFF0).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(ModelError, match="more than 4 GiB"):
        open_package(path, tmp_path)


def test_a_zip_with_an_endless_table_is_not_read(tmp_path: Path) -> None:
    path = zipped(zoo_package(tmp_path / "zoo"), tmp_path / "zoo.zip")
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\5\6")
    data[at + 12 : at + 16] = (0x7FFFFFFF).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(ModelError, match="table of files is too large"):
        open_package(path, tmp_path)
