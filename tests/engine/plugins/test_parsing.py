"""Manifests: what is right is read as it stands, what is wrong is named with its key."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.engine.plugins.conftest import MANIFEST, changed

from tilescope.domain.geometry import Size
from tilescope.domain.manifest import Parameter, PluginManifest, TensorSpec
from tilescope.domain.scale import AtObjectSize, AtPixelSize, FitWithin, Native, Sampling
from tilescope.errors import ManifestInvalid
from tilescope.plugins.parsing import load_manifest


def parse(folder: Path, text: str) -> PluginManifest:
    path = folder / "plugin.toml"
    path.write_text(text, encoding="utf-8")
    return load_manifest(path)


def problems(folder: Path, text: str) -> tuple[str, ...]:
    with pytest.raises(ManifestInvalid) as caught:
        parse(folder, text)
    assert caught.value.path == str(folder / "plugin.toml")
    assert all(problem in str(caught.value) for problem in caught.value.problems)
    return caught.value.problems


def test_a_valid_manifest_is_read_as_it_stands(tmp_path: Path) -> None:
    manifest = parse(tmp_path, MANIFEST)
    assert (manifest.schema, manifest.id, manifest.name) == (1, "example.spots", "Spots")
    assert manifest.requires == ">=0.1"
    (model,) = manifest.models
    assert (model.id, model.version, model.title) == ("spots", "1.0", "Bright spots")
    assert model.adapter == "spotty.adapter:Spots"
    assert model.classes == ("spot", "halo")
    assert model.sampling == AtObjectSize(24.0, 8.0)
    assert model.tile.size == Size(512, 256)
    assert (model.tile.halo_px, model.tile.decode_margin_px) == (16, 8)
    assert (model.tile.multiple_of, model.tile.max_batch) == (32, 2)
    assert model.tile.peak_bytes_per_px == 150.0
    assert model.inputs == (TensorSpec("image", "NCHW", "float32", ("R", "G", "B")),)
    assert model.outputs == (TensorSpec("maps", "NHWC", "float32"),)
    assert model.golden is not None
    assert model.golden.atol == 1e-4
    assert model.parameters == {"threshold": Parameter(0.5, 0.1, 0.9, "Least brightness")}
    assert model.card == {"seed": 7, "metrics": {"aji": 0.6}}


def test_what_may_be_left_out_has_its_default(tmp_path: Path) -> None:
    text = MANIFEST
    for line in ("decode_margin = 8", "multiple_of = 32", "max_batch = 2"):
        text = text.replace(line + "\n", "")
    text = text.replace("peak_bytes_per_px = 150.0\n", "").replace('channels = ["R", "G", "B"]', "")
    golden, inputs = text.index("[model.golden]"), text.index("[[model.inputs]]")
    text = text[:golden] + text[inputs : text.index("[model.parameters")]
    (model,) = parse(tmp_path, text).models
    assert (model.tile.decode_margin_px, model.tile.multiple_of, model.tile.max_batch) == (0, 1, 1)
    assert model.tile.peak_bytes_per_px is None
    assert model.golden is None
    assert model.parameters == {}
    assert model.card == {}
    assert model.inputs[0].channels == ()


SAMPLING = 'kind = "object-size"\ndiameter_px = 24.0\ndiameter_um = 8'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('kind = "native"', Native()),
        ('kind = "pixel-size"\num = 1', AtPixelSize(1.0)),
        ('kind = "fit-within"\nmax_side = 512', FitWithin(512)),
    ],
    ids=["native", "pixel-size", "fit-within"],
)
def test_every_kind_of_sampling(tmp_path: Path, text: str, expected: Sampling) -> None:
    (model,) = parse(tmp_path, changed(SAMPLING, text)).models
    assert model.sampling == expected


MISTAKES = [
    # missing
    ('name = "Spots"\n', "", "name: is missing"),
    ('requires = ">=0.1"\n', "", "requires: is missing"),
    ('licence = "CC0-1.0"\n', "", "model[0].licence: is missing"),
    ("halo = 16\n", "", "model[0].tile.halo: is missing"),
    ("bytes = 22\n", "", "model[0].weights.bytes: is missing"),
    ('name = "image"\n', "", "model[0].inputs[0].name: is missing"),
    ("min = 0.1\n", "", "model[0].parameters.threshold.min: is missing"),
    ("diameter_um = 8\n", "", "model[0].sampling.diameter_um: is missing"),
    ("atol = 1e-4\n", "", "model[0].golden.atol: is missing"),
    # of the wrong type
    ("schema = 1", 'schema = "1"', "schema: must be int, not '1'"),
    ("schema = 1", "schema = true", "schema: must be int, not True"),
    ('id = "spots"', "id = 5", "model[0].id: must be str, not 5"),
    ('["spot", "halo"]', "[1]", "model[0].classes: must be a list of strings"),
    ("halo = 16", "halo = 16.0", "model[0].tile.halo: must be int, not 16.0"),
    ("default = 0.5", "default = true", "model[0].parameters.threshold.default: must be int or"),
    # out of range
    ("schema = 1", "schema = 0", "manifest: schema 0 is not 1"),
    ("schema = 1", "schema = 2", "manifest: schema 2 is newer than 1"),
    ('">=0.1"', '"about 1"', "requires: 'about 1' is not a version specifier"),
    ('id = "spots"', 'id = "Spots 1"', "model[0]: id 'Spots 1'"),
    ('"instances"', '"magic"', "model[0]: task 'magic'"),
    ('"spotty.adapter:Spots"', '"spotty.adapter"', "model[0]: 'spotty.adapter' is not"),
    ('["spot", "halo"]', "[]", "model[0]: classes is empty"),
    ("[512, 256]", "[512]", "model[0].tile: size must be [width, height], not [512]"),
    ("[512, 256]", "[512, true]", "model[0].tile: size must be"),
    ("[512, 256]", "[0, 0]", "model[0].tile: a size must be positive"),
    ("[512, 256]", "[500, 256]", "model[0].tile: tile size"),
    ("halo = 16", "halo = -1", "model[0].tile: halo -1 is negative"),
    ("multiple_of = 32", "multiple_of = 0", "model[0].tile: multiple_of 0"),
    ("= 150.0", "= nan", "model[0].tile.peak_bytes_per_px: must be a positive number, not nan"),
    ('"object-size"', '"by-eye"', "model[0].sampling: kind 'by-eye'"),
    ("diameter_px = 24.0", "diameter_px = 0", "model[0].sampling.diameter_px: must be a positive"),
    ("diameter_um = 8", "diameter_um = inf", "model[0].sampling.diameter_um: must be a positive"),
    ("spots.onnx", "spots.pkl", "model[0].weights: weights 'weights/spots.pkl' are not an ONNX"),
    ("bytes = 22", "bytes = 0", "model[0].weights: bytes = 0"),
    ("1e-4", "-1.0", "model[0].golden.atol: must be a positive number, not -1.0"),
    ('"NHWC"', '"WHC"', "model[0].outputs[0]: layout 'WHC'"),
    ("default = 0.5", "default = 5.0", "model[0].parameters.threshold: default 5.0 is not in"),
    ("default = 0.5", "default = nan", "model[0].parameters.threshold: default nan is not in"),
    # unknown, with the nearest name
    ('name = "Spots"', 'nam = "Spots"', "nam: unknown key; did you mean 'name'?"),
    ("halo = 16", "hallo = 16", "model[0].tile.hallo: unknown key; did you mean 'halo'?"),
    ("max_batch = 2", "batch_max = 2", "model[0].tile.batch_max: unknown key"),
    ("bytes = 22", "bytes = 22\nurl = 'x'", "model[0].weights.url: unknown key"),
    ("max = 0.9", "maxi = 0.9", "model[0].parameters.threshold.maxi: unknown key; did you mean"),
    ("[model.golden]", "[model.goldn]", "model[0].goldn: unknown key; did you mean 'golden'?"),
    # tables and lists that are none
    ("[model.card]", "[extra]", "extra: unknown key"),
    ("[[model.outputs]]", "[[model.more]]", "model[0].outputs: is missing"),
]


@pytest.mark.parametrize(("old", "new", "problem"), MISTAKES, ids=[m[2][:50] for m in MISTAKES])
def test_a_mistake_is_named_with_its_key(tmp_path: Path, old: str, new: str, problem: str) -> None:
    found = problems(tmp_path, changed(old, new))
    assert any(text.startswith(problem) for text in found), found


@pytest.mark.parametrize(
    "file",
    ["/etc/spots.onnx", "../spots.onnx", "weights/../../spots.onnx"],
    ids=["absolute", "parent", "parent-inside"],
)
def test_weights_outside_the_package_are_refused(tmp_path: Path, file: str) -> None:
    (problem,) = problems(tmp_path, changed("weights/spots.onnx", file))
    assert problem == f"model[0].weights: weights '{file}' lie outside the package"


@pytest.mark.parametrize("value", ["3", '"weights"', "[1, 2]"], ids=["int", "str", "list"])
def test_a_value_where_a_table_belongs(tmp_path: Path, value: str) -> None:
    start, end = MANIFEST.index("[model.weights]"), MANIFEST.index("[model.golden]")
    text = changed(MANIFEST[start:end], "").replace("[[model]]", f"[[model]]\nweights = {value}")
    assert "model[0].weights: must be a table" in problems(tmp_path, text)


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    text = MANIFEST.replace('title = "Bright spots"', 'titel = "Bright spots"')
    text = text.replace("size = [512, 256]", "size = [512]").replace("halo = 16", 'halo = "16"')
    text = text.replace('kind = "object-size"', 'kind = "by-eye"').replace("bytes = 22\n", "")
    text = text.replace('name = "Spots"\n', "").replace('licence = "CC0-1.0"', "licence = 0")
    assert sorted(problem.partition(":")[0] for problem in problems(tmp_path, text)) == [
        "model[0].licence",
        "model[0].sampling",
        "model[0].tile.halo",
        "model[0].titel",
        "model[0].title",
        "model[0].weights.bytes",
        "name",
    ]


def test_a_later_schema_is_the_only_complaint(tmp_path: Path) -> None:
    text = changed("schema = 1", "schema = 3\nfuture = true").replace("halo = 16", "halos = []")
    (problem,) = problems(tmp_path, text)
    assert "schema 3" in problem


def test_two_models_of_one_id_are_refused(tmp_path: Path) -> None:
    model = MANIFEST[MANIFEST.index("[[model]]") :]
    (problem,) = problems(tmp_path, f"{MANIFEST}\n{model}")
    assert problem == "model[1].id: 'spots' is the id of an earlier model"


@pytest.mark.parametrize("count", [0, 2])
def test_a_model_has_one_input(tmp_path: Path, count: int) -> None:
    start, end = MANIFEST.index("[[model.inputs]]"), MANIFEST.index("[[model.outputs]]")
    table = MANIFEST[start:end]
    text = changed(table, table * count)
    if not count:
        text = text.replace("[[model]]", "[[model]]\ninputs = []")
    assert problems(tmp_path, text) == (f"model[0]: {count} inputs; one is supported",)


def test_files_that_cannot_be_parsed_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestInvalid, match="No such file"):
        load_manifest(tmp_path / "plugin.toml")
    (problem,) = problems(tmp_path, "schema = = 1")
    assert "line 1" in problem
    (tmp_path / "plugin.toml").write_bytes(b"name = '\xff'")
    with pytest.raises(ManifestInvalid, match="utf-8"):
        load_manifest(tmp_path / "plugin.toml")
