"""Plugins as an installer leaves them: found without being run, broken ones told apart."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from tests.engine.plugins.conftest import MANIFEST, WEIGHTS, Site, changed

from tilescope import __version__
from tilescope.errors import ModelNotFound, PluginBroken, WeightsError
from tilescope.plugins.api import TileAdapter
from tilescope.plugins.registry import (
    InstalledModel,
    discover,
    find_model,
    installed_models,
    version_problem,
)

ADAPTER = """
class Spots:
    def encode(self, tile, /):
        return {}

    def decode(self, outputs, parameters, /):
        return None
"""


def named(package: str, plugin_id: str, model_id: str) -> str:
    text = MANIFEST.replace("spotty.", f"{package}.").replace("example.spots", plugin_id)
    return text.replace('id = "spots"', f'id = "{model_id}"')


def only_model(site: Site) -> InstalledModel:
    (model,) = installed_models(discover(site.entries))
    return model


def test_entry_points_of_installed_distributions_are_found(site: Site) -> None:
    site.add("zulu_plugin", named("zulu_plugin", "z", "zulu"))
    site.add("alpha_plugin", named("alpha_plugin", "a", "alpha"))
    site.distribution("adist", "spots = zulu_plugin:plugin.toml")
    site.distribution("bdist", "spots = alpha_plugin:plugin.toml")
    found = [plugin for plugin in discover() if plugin.distribution in {"adist", "bdist"}]
    assert [(plugin.distribution, plugin.state) for plugin in found] == [
        ("adist", "valid"),
        ("bdist", "valid"),
    ]
    assert found[0].folder == site.folder / "zulu_plugin"
    assert find_model("alpha").folder == site.folder / "alpha_plugin"
    assert find_model("alpha").plugin_id == "a"
    with pytest.raises(ModelNotFound, match=r"'omega'.*zulu, alpha") as caught:
        find_model("omega")
    assert {"alpha", "zulu", "nuclei-unet"} <= set(caught.value.known)


def test_a_distribution_without_metadata_stops_nothing(site: Site) -> None:
    site.add("orphan_plugin", named("orphan_plugin", "o", "orphan"))
    site.distribution("orphan", "spots = orphan_plugin:plugin.toml", metadata="")
    states = {plugin.entry: plugin.state for plugin in discover()}
    assert states["nuclei"] == "valid"
    assert states["spots"] == "valid"


def test_discovery_runs_nothing_of_a_plugin(site: Site) -> None:
    site.add("explosive", MANIFEST, init="raise RuntimeError('imported')")
    (plugin,) = discover(site.entries)
    assert plugin.state == "valid"
    assert "explosive" not in sys.modules


def test_an_invalid_manifest_is_a_value_with_the_reason(site: Site) -> None:
    site.add("bad_plugin", changed("halo = 16", "hallo = 16"))
    site.add("good_plugin")
    bad, good = discover(site.entries)
    assert (bad.state, bad.manifest, bad.folder) == ("invalid", None, None)
    assert "model[0].tile.hallo: unknown key; did you mean 'halo'?" in (bad.problem or "")
    assert (good.state, good.problem) == ("valid", None)
    assert [model.spec.id for model in installed_models([bad, good])] == ["spots"]


def test_the_second_plugin_of_an_id_is_invalid(site: Site) -> None:
    site.add("first_plugin")
    site.add("second_plugin", named("second_plugin", "example.other", "spots"))
    site.add("third_plugin", named("third_plugin", "example.spots", "other"))
    first, second, third = discover(site.entries)
    assert first.state == "valid"
    assert second.problem == "duplicate of spots"
    assert third.problem == "duplicate of example.spots"


def test_order_and_so_the_winner_does_not_depend_on_the_order_of_finding(site: Site) -> None:
    for package in ("m_plugin", "k_plugin", "l_plugin"):
        site.add(package)
    expected = [(p.entry, p.state) for p in discover(site.entries)]
    assert expected == [("k_plugin", "valid"), ("l_plugin", "invalid"), ("m_plugin", "invalid")]
    assert [(p.entry, p.state) for p in discover(reversed(site.entries))] == expected


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("outer_plugin.inner:plugin.toml", "'outer_plugin.inner' is not a top-level package"),
        ("nowhere_to_be_found:plugin.toml", "'nowhere_to_be_found' is not a top-level package"),
        ("lonely_module:plugin.toml", "'lonely_module' is not a top-level package"),
        (":plugin.toml", "'' is not a top-level package"),
        ("outer_plugin:missing.toml", "missing.toml"),
        ("outer_plugin", "outer_plugin"),
    ],
    ids=["dotted", "missing", "module", "nameless", "no-manifest", "no-file"],
)
def test_entry_points_that_lead_nowhere_are_invalid(site: Site, value: str, problem: str) -> None:
    site.add("outer_plugin", init="raise RuntimeError('imported')")
    (site.folder / "outer_plugin" / "inner").mkdir()
    (site.folder / "outer_plugin" / "inner" / "__init__.py").touch()
    (site.folder / "lonely_module.py").touch()
    (plugin,) = discover([EntryPoint("spots", value, "tilescope.plugins")])
    assert plugin.state == "invalid"
    assert problem in (plugin.problem or "")


def test_a_plugin_for_another_version_is_invalid_and_says_so(site: Site) -> None:
    site.add("later_plugin", changed('">=0.1"', '">=99,<100"'))
    (plugin,) = discover(site.entries)
    assert plugin.state == "invalid"
    assert plugin.problem == f"requires Tilescope >=99,<100; this is {__version__}"


@pytest.mark.parametrize(
    ("requires", "running"),
    [
        (">=0.1,<0.2", "0.1.0"),
        (">=0.1,<0.2", "0.1.7.post1"),
        (">=0.2", "0.2.0.dev3+g1a2b3c"),
        (">=0.2", "0.2.0rc1"),
        ("==0.1.*", "0.1.4"),
        ("", "7.0"),
        (">=99", "0+unknown"),
    ],
)
def test_versions_that_fit(requires: str, running: str) -> None:
    assert version_problem(requires, running) is None


@pytest.mark.parametrize(
    ("requires", "running"),
    [(">=0.1,<0.2", "0.2.0"), (">=0.2", "0.1.9"), ("<0.2", "0.2.0.dev1"), ("!=0.1.3", "0.1.3")],
)
def test_versions_that_do_not_fit(requires: str, running: str) -> None:
    assert version_problem(requires, running) == f"requires Tilescope {requires}; this is {running}"


def test_the_adapter_is_imported_when_it_is_wanted(site: Site) -> None:
    site.add("loading_plugin", MANIFEST.replace("spotty.", "loading_plugin."), adapter=ADAPTER)
    model = only_model(site)
    assert "loading_plugin.adapter" not in sys.modules
    adapter = model.load_adapter()
    assert isinstance(adapter, TileAdapter)
    assert type(adapter).__module__ == "loading_plugin.adapter"


@pytest.mark.parametrize(
    ("adapter", "cause"),
    [
        ("raise RuntimeError('no licence')", RuntimeError),
        ("import a_library_that_nobody_has", ModuleNotFoundError),
        ("def broken(:", SyntaxError),
        ("Dots = object", AttributeError),
        ("class Spots:\n    def __init__(self):\n        self.x = 1 / 0", ZeroDivisionError),
        ("class Spots:\n    def __init__(self, needed): ...", TypeError),
    ],
    ids=["raises", "import", "syntax", "no-class", "constructor", "arguments"],
)
def test_code_that_cannot_be_loaded_is_broken_with_its_cause(
    site: Site, request: pytest.FixtureRequest, adapter: str, cause: type[Exception]
) -> None:
    package = f"broken_{request.node.callspec.id.replace('-', '_')}"
    site.add(package, MANIFEST.replace("spotty.", f"{package}."), adapter=adapter)
    with pytest.raises(PluginBroken, match=f"example.spots: loading {package}") as caught:
        only_model(site).load_adapter()
    assert isinstance(caught.value.__cause__, cause)
    assert cause.__name__ in str(caught.value)
    assert caught.value.plugin_id == "example.spots"


@pytest.mark.parametrize("method", ["encode", "decode"])
def test_an_adapter_without_a_method_is_broken(site: Site, method: str) -> None:
    package, text = f"without_{method}", ADAPTER.replace(method, "other")
    site.add(package, MANIFEST.replace("spotty.", f"{package}."), adapter=text)
    with pytest.raises(PluginBroken, match=r"encode\(tile\) and decode\(outputs, parameters\)"):
        only_model(site).load_adapter()


def test_weights_are_present_missing_or_mismatched(site: Site) -> None:
    site.add("weighty_plugin")
    model = only_model(site)
    path: Path = site.folder / "weighty_plugin" / "weights" / "spots.onnx"
    assert model.weights_path == path
    assert model.weights_state() == "present"
    assert model.verified_weights() == WEIGHTS

    path.write_bytes(WEIGHTS[::-1])  # of the right size: only using it tells
    assert model.weights_state() == "present"
    with pytest.raises(WeightsError, match="sha256 differs"):
        model.verified_weights()

    path.write_bytes(WEIGHTS + b"!")
    assert model.weights_state() == "mismatched"
    with pytest.raises(WeightsError, match=f"{len(WEIGHTS) + 1} bytes.*{len(WEIGHTS)}"):
        model.verified_weights()

    path.unlink()
    assert model.weights_state() == "missing"
    with pytest.raises(WeightsError, match=r"spots\.onnx"):
        model.verified_weights()
