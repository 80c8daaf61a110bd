"""The network, its export and its reach; the shipped files."""

from __future__ import annotations

import hashlib
import tomllib
from importlib.resources import files
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from tilescope_training.networks.unet import NucleiNetwork, UNetShape
from tilescope_training.nuclei.export import receptive_radius, to_onnx
from tilescope_training.nuclei.loss import measure_loss
from tilescope_training.nuclei.train import Plan, learning_rate
from tilescope_training.run import Average
from tilescope_training.shipment import fill_manifest, fold_normalisation, golden_image, run_onnx

FINITE_REACH = {
    "Add", "Concat", "Constant", "Conv", "DepthToSpace", "Relu", "Resize", "Sigmoid", "Slice",
    "Sub",
}  # fmt: skip


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(3)
    made = NucleiNetwork(UNetShape((8, 16, 16), (1, 2)))
    for module in made.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.2, 0.2)
    return made.eval()


@pytest.fixture(scope="module")
def manifest():
    root = Path(str(files("tilescope_nuclei")))
    return root, tomllib.loads((root / "plugin.toml").read_text())["model"][0]


@pytest.mark.parametrize("shape", [(1, 3, 64, 64), (2, 3, 72, 104)])
def test_the_exported_graph_says_what_torch_says(network, shape):
    image = np.random.default_rng(0).random(shape, np.float32)
    with torch.no_grad():
        raw = network(torch.from_numpy(image))
    wanted = torch.cat((raw[:, :2].sigmoid(), raw[:, 2:]), dim=1).numpy()
    np.testing.assert_allclose(run_onnx(to_onnx(network), image), wanted, atol=1e-4)


def test_folding_normalisation_changes_nothing(network):
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(
            fold_normalisation(network)(image), network(image), atol=1e-5, rtol=1e-4
        )


def test_nothing_further_than_the_receptive_radius_is_seen(network):
    radius = receptive_radius(network)
    image = torch.rand(1, 3, 256, 256)
    other = torch.rand(1, 3, 256, 256)
    at = 128
    near = np.s_[:, :, at - radius : at + radius + 1, at - radius : at + radius + 1]
    other[near] = image[near]
    with torch.no_grad():
        same, seen = network(other)[0, :, at, at], network(image)[0, :, at, at]
    torch.testing.assert_close(same, seen, atol=1e-5, rtol=1e-5)


def test_a_small_network_learns_one_crop():
    torch.manual_seed(0)
    network = NucleiNetwork(UNetShape((8, 8, 8), (1,)))
    optimiser = torch.optim.AdamW(network.parameters(), 1e-2)
    targets = torch.zeros(2, 4, 32, 32)
    targets[:, 0, 8:24, 8:24] = 1.0
    targets[:, 1, 15:17, 15:17] = 1.0
    image, weight = targets[:, :1].expand(-1, 3, -1, -1) * 0.8, torch.ones(2, 32, 32)
    first = measure_loss(network(image), targets, weight).total.item()
    for _ in range(30):
        optimiser.zero_grad()
        loss = measure_loss(network(image), targets, weight).total
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.4 * first


def test_a_perfect_answer_costs_almost_nothing():
    targets = torch.zeros(1, 4, 16, 16)
    targets[0, :2, 4:12, 4:12] = 1.0
    maps = targets.clone()
    maps[:, :2] = (maps[:, :2] - 0.5) * 40.0
    assert float(measure_loss(maps, targets, torch.ones(1, 16, 16)).total) < 0.01


def test_the_average_follows_the_weights():
    network = torch.nn.Linear(1, 1)
    average = Average(network, 0.9)
    torch.nn.init.constant_(network.weight, 5.0)
    for _ in range(200):
        average.update(network)
    assert float(average.state["weight"]) == pytest.approx(5.0, abs=1e-3)


def test_the_rate_warms_up_and_ends_low():
    plan = Plan()
    rates = [learning_rate(plan, p) for p in (0.0, 0.03, 0.5, 1.0)]
    assert rates[0] < 0.1 * plan.rate
    assert rates[1] == pytest.approx(plan.rate)
    assert rates[1] > rates[2] > rates[3] > 0.0


def test_the_manifest_keeps_what_is_not_generated():
    text = 'a = { file = "x", bytes = 0 }\ndate = ""\nnote = "keep"\n'
    filled = fill_manifest(text, {"bytes": 12, "date": "2024-01-02"})
    assert tomllib.loads(filled) == {
        "a": {"file": "x", "bytes": 12}, "date": "2024-01-02", "note": "keep",
    }  # fmt: skip
    with pytest.raises(ValueError, match="missing"):
        fill_manifest(text, {"missing": 1})


def test_the_shipped_graph_is_the_manifest_s(manifest):
    root, model = manifest
    graph = (root / model["weights"]["file"]).read_bytes()
    assert hashlib.sha256(graph).hexdigest() == model["weights"]["sha256"]
    assert len(graph) == model["weights"]["bytes"] <= 8 * 2**20
    loaded = onnx.load_from_string(graph)
    onnx.checker.check_model(loaded)
    assert {node.op_type for node in loaded.graph.node} <= FINITE_REACH
    assert not [t for t in loaded.graph.initializer if t.external_data]


def test_the_shipped_graph_passes_its_golden_pair(manifest):
    root, model = manifest
    golden = model["golden"]
    image = np.load(root / golden["inputs"])["image"]
    wanted = np.load(root / golden["outputs"])["maps"]
    np.testing.assert_array_equal(image, golden_image(0))
    graph = (root / model["weights"]["file"]).read_bytes()
    np.testing.assert_allclose(run_onnx(graph, image), wanted, atol=golden["atol"])


def test_the_shipped_graph_reads_no_further_than_its_halo(manifest):
    root, model = manifest
    halo = model["tile"]["halo"]
    graph = (root / model["weights"]["file"]).read_bytes()
    image = np.random.default_rng(0).random((1, 3, 512, 512), np.float32)
    core = np.s_[224:288]
    tile = np.ascontiguousarray(image[:, :, 224 - halo : 288 + halo, 224 - halo : 288 + halo])
    whole = run_onnx(graph, image)[:, :, core, core]
    part = run_onnx(graph, tile)[:, :, halo : halo + 64, halo : halo + 64]
    np.testing.assert_allclose(part, whole, atol=1e-4)
