"""Whatever plugin code raises or returns is one line that names the plugin and the remedy."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from tests.conftest import ROOT
from tests.engine.jobs.conftest import Bench, discs, write_png
from tests.engine.jobs.failing_plugins import REMEDY, install_faulty
from tests.engine.jobs.test_sampling import ADAPTERS

from tilescope.domain.geometry import Size
from tilescope.domain.manifest import Task, TileSpec
from tilescope.domain.scale import AtObjectSize
from tilescope.errors import PluginBroken
from tilescope.io.cache import TileCache
from tilescope.io.registry import open_slide
from tilescope.jobs.add_model import try_model
from tilescope.jobs.clicking.session import ClickSession
from tilescope.jobs.report import RunReport
from tilescope.plugins.registry import find_model, installed_models
from tilescope.testing.toy_tasks import ToyGraph, task_model

CENTRES = [(x, y, 12.0) for x in range(20, 260, 50) for y in range(20, 260, 50)]
ENCODE = [
    ("raise RuntimeError('broke\\n  in two')", "encode failed: RuntimeError: broke in two"),
    ("return 'nonsense'", "TypeError: encode gives arrays by name, not str"),
    ("return {'image': [[1]]}", "TypeError: encode gives arrays by name, and 'image' is list"),
    ("sys.exit(3)", "encode failed: SystemExit: 3"),
    ("raise GeneratorExit", "encode failed: GeneratorExit"),
]
DECODE = [
    ("raise KeyError('x')", "decode failed: KeyError: 'x'"),
    ("return 'nonsense'", "decode failed: TypeError: str instead of Instances"),
    ("sys.exit(3)", "decode failed: SystemExit: 3"),
    ("raise GeneratorExit", "decode failed: GeneratorExit"),
]
FAULTS = [
    *(("encode", fault, words) for fault, words in ENCODE),
    *(("decode", fault, words) for fault, words in DECODE),
]
IDS = [f"{method}-{fault.split('(')[0]}" for method, fault, _ in FAULTS]
#: The slide says no pixel size, so the size of its objects is measured first.
MEASURED = AtObjectSize(24, 8)


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    return write_png(tmp_path / "slide.png", discs((280, 280), CENTRES))


def faulty_run(bench: Bench, slide: Path) -> RunReport:
    return Bench(bench.folder, find_model("faulty")).run(slide)


def in_thread(bench: Bench, slide: Path) -> RunReport | BaseException:
    """Return how a run ends in a thread of its own, as the window's do."""
    ended: list[RunReport | BaseException] = []

    def body() -> None:
        try:
            ended.append(faulty_run(bench, slide))
        except BaseException as error:  # noqa: BLE001 - what the test looks at
            ended.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    return ended[0]


def assert_one_line(text: str, words: str) -> None:
    assert text.count("\n") == 0
    assert text.startswith("plugin example.faulty: ")
    assert words in text
    assert text.endswith(f"; {REMEDY}")


@pytest.mark.parametrize(("method", "fault", "words"), FAULTS, ids=IDS)
def test_of_a_tile_that_a_plugin_fails_at(
    bench: Bench, site: Path, slide: Path, method: str, fault: str, words: str
) -> None:
    install_faulty(site, **{method: fault})
    report = faulty_run(bench, slide)
    assert report.status == "failed"
    assert report.tiles.failed == report.tiles.total >= 1
    assert len(report.errors) == report.tiles.total
    for error in report.errors:
        assert_one_line(error.partition(": ")[2], words)


@pytest.mark.parametrize(("method", "fault", "words"), FAULTS, ids=IDS)
def test_of_a_slide_whose_scale_a_plugin_cannot_measure(
    bench: Bench, site: Path, slide: Path, method: str, fault: str, words: str
) -> None:
    install_faulty(site, sampling=MEASURED, **{method: fault})
    with pytest.raises(PluginBroken) as caught:
        faulty_run(bench, slide)
    assert_one_line(str(caught.value), words)
    assert caught.value.remedy == REMEDY
    assert caught.value.__cause__ is not None
    assert not (bench.folder / "out").exists()


@pytest.mark.parametrize("sampling", [None, MEASURED], ids=["a tile", "the scale"])
@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("labels", "found.labels[None]", "decode failed: ValueError: "),
        ("scores", "found.scores[:1]", "scores of the shape (1,) and classes of the shape"),
        ("scores", "found.scores[:, None]", "labels, scores of the shape ("),
        ("scores", "found.scores * float('nan')", "scores that are not finite numbers"),
        ("classes", "found.classes + 7", "class 7 of 1"),
        ("classes", "None", "classes of the shape ()"),
    ],
)
def test_of_objects_that_make_no_sense(
    bench: Bench,
    site: Path,
    slide: Path,
    name: str,
    value: str,
    words: str,
    sampling: AtObjectSize | None,
) -> None:
    module = f"""
from dataclasses import replace
from tilescope.testing.toy import ToyAdapter

class Faulty(ToyAdapter):
    def decode(self, outputs, parameters, /):
        found = super().decode(outputs, parameters)
        return replace(found, {name}={value})
"""
    install_faulty(site, sampling=sampling, module=module)
    if sampling is None:
        error = faulty_run(bench, slide).errors[0].partition(": ")[2]
    else:
        with pytest.raises(PluginBroken) as caught:
            faulty_run(bench, slide)
        error = str(caught.value)
    assert_one_line(error, words)


@pytest.mark.parametrize(
    ("task", "adapter", "result"),
    [
        ("semantic", "ClassAdapter", "ClassMap(found.probabilities[:, 0])"),
        ("semantic", "ClassAdapter", "ClassMap(found.probabilities[:1])"),
        ("classification", "ScoreAdapter", "TileScores(np.ones((3, 2)) / 6)"),
        ("detect", "BoxAdapter", "Boxes(found.corners, found.scores, found.classes[None])"),
    ],
)
def test_of_maps_scores_and_boxes_that_make_no_sense(
    bench: Bench, site: Path, slide: Path, task: Task, adapter: str, result: str
) -> None:
    package = f"senseless_{abs(hash((task, result)))}"
    (site / f"{package}.py").write_text(f"""
import numpy as np
from tilescope.plugins.api import Boxes, ClassMap, TileScores
from tilescope.testing.toy_tasks import {adapter}

class Faulty({adapter}):
    def decode(self, outputs, parameters, /):
        found = super().decode(outputs, parameters)
        return {result}
""")
    graph = ToyGraph(fixed=Size(128, 128) if task == "classification" else None)
    tile = TileSpec(Size(128, 128), 16, 20 if task == "detect" else 0, 8, peak_bytes_per_px=64)
    model = task_model(bench.folder, task, ADAPTERS[task], graph, tile=tile)
    model = replace(model, spec=replace(model.spec, adapter=f"{package}:Faulty"))
    report = Bench(bench.folder, model).run(slide)
    assert report.status == "failed"
    assert report.tiles.done == 0
    assert report.tiles.failed == len(report.errors) >= 1
    assert "decode failed: ValueError: " in report.errors[0]


@pytest.mark.parametrize("sampling", [None, MEASURED], ids=["a tile", "the scale"])
@pytest.mark.parametrize("method", ["encode", "decode"])
def test_an_interrupt_of_a_plugin_s_own_is_a_fault_off_the_main_thread(
    bench: Bench, site: Path, slide: Path, method: str, sampling: AtObjectSize | None
) -> None:
    install_faulty(site, sampling=sampling, **{method: "raise KeyboardInterrupt"})
    ended = in_thread(bench, slide)
    words = f"{method} failed: KeyboardInterrupt"
    if isinstance(ended, RunReport):
        assert ended.status == "failed"
        assert_one_line(ended.errors[0].partition(": ")[2], words)
    else:
        assert isinstance(ended, PluginBroken)
        assert_one_line(str(ended), words)
    assert isinstance(ended, RunReport) == (sampling is None)


def test_so_it_is_where_nobody_heeds_ctrl_c(bench: Bench, site: Path, slide: Path) -> None:
    install_faulty(site, decode="raise KeyboardInterrupt")
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        report = faulty_run(bench, slide)
    finally:
        signal.signal(signal.SIGINT, before)
    assert_one_line(report.errors[0].partition(": ")[2], "decode failed: KeyboardInterrupt")


#: A run in the main thread of a process of its own, as the command line does it.
_RUN = """
import pickle, sys
from pathlib import Path
from tilescope.cli.run import cancelled_by_interrupt
from tilescope.jobs.run_model import run_model

with cancelled_by_interrupt() as token:
    report = run_model(pickle.loads(Path(sys.argv[1]).read_bytes()), token)
print(report.status, len(report.errors), report.tiles.failed)
"""


def interrupted_run(bench: Bench, site: Path, slide: Path) -> subprocess.CompletedProcess[str]:
    asked = bench.folder / "request"
    asked.write_bytes(pickle.dumps(Bench(bench.folder, find_model("faulty")).request(slide)))
    return subprocess.run(
        [sys.executable, "-c", _RUN, str(asked)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (site, ROOT)))},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_ctrl_c_while_a_plugin_decodes_cancels_the_run(
    bench: Bench, site: Path, slide: Path
) -> None:
    install_faulty(site, decode="signal.raise_signal(signal.SIGINT)")
    done = interrupted_run(bench, site, slide)
    assert done.stdout == "cancelled 0 0\n", done.stderr


@pytest.mark.parametrize("sampling", [None, MEASURED], ids=["a tile", "the scale"])
def test_a_second_ctrl_c_while_a_plugin_decodes_ends_it_at_once(
    bench: Bench, site: Path, slide: Path, sampling: AtObjectSize | None
) -> None:
    twice = "[signal.raise_signal(signal.SIGINT) for _ in range(2)]"
    install_faulty(site, sampling=sampling, decode=twice)
    done = interrupted_run(bench, site, slide)
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1] == "KeyboardInterrupt"
    assert done.returncode == -signal.SIGINT


def test_of_noise_that_a_plugin_cannot_encode(
    bench: Bench, site: Path, slide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TILESCOPE_CACHE", str(bench.folder / "cache"))  # nothing was measured yet
    module = """
from tilescope.testing.toy import ToyAdapter

class Faulty(ToyAdapter):
    def encode(self, tile, /):
        raise SystemExit
"""
    install_faulty(site, module=module)
    with pytest.raises(PluginBroken) as caught:
        faulty_run(bench, slide)
    assert_one_line(str(caught.value), "encode failed: SystemExit")


@pytest.mark.parametrize(
    "module",
    [
        "import sys; sys.exit(3)",
        "raise GeneratorExit",
        "class Faulty:\n    def __init__(self): raise SystemExit(3)",
        "class Faulty:\n    def __getattr__(self, name): raise SystemExit(3)",
    ],
    ids=["import-exit", "import-generator", "constructor", "attributes"],
)
def test_of_code_that_ends_the_program_when_it_is_loaded(site: Path, module: str) -> None:
    install_faulty(site, module=module)
    with pytest.raises(PluginBroken) as caught:
        find_model("faulty").load_adapter()
    assert_one_line(str(caught.value), "loading faulty_")


def test_an_exception_without_words_of_its_own() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise SystemExit

    assert "decode failed: Mute; " in str(PluginBroken("example", "decode", Mute()))
    long = str(PluginBroken("example", "decode", ValueError("x" * 10_000)))
    assert len(long) < 500
    assert "'tilescope plugins' says" in long


@pytest.mark.parametrize(
    ("distribution", "remedy"),
    [
        ("models folder", "remove it: tilescope models remove faulty"),
        ("tilescope", "update it: pip install --upgrade tilescope"),
        ("", "update or remove the plugin; 'tilescope plugins' says what it belongs to"),
    ],
)
def test_the_remedy_is_that_of_where_the_model_came_from(
    site: Path, distribution: str, remedy: str
) -> None:
    install_faulty(site)
    model = replace(find_model("faulty"), distribution=distribution)
    with pytest.raises(PluginBroken) as caught, model.calling("decode"):
        raise ValueError
    assert str(caught.value).endswith(remedy)


def test_a_model_that_ends_the_program_does_not_pass_its_trial(site: Path) -> None:
    install_faulty(site, decode="sys.exit(0)")
    checks = try_model(find_model("faulty"), 2**31)
    assert [check.verdict for check in checks] == ["failed"]
    assert "correct the manifest or the model" in checks[0].words


@pytest.fixture
def click_model(site: Path, request: pytest.FixtureRequest) -> tuple:
    """A click model of ours whose adapter fails, and what is said of it."""
    (model, *_) = [model for model in installed_models() if model.spec.task == "click"]
    module, _, name = model.spec.adapter.partition(":")
    method, fault, words = request.param
    package = f"faulty_click_{request.node.callspec.indices['click_model']}"
    (site / f"{package}.py").write_text(
        f"import sys\nfrom {module} import {name}\n"
        f"class Faulty({name}):\n    def {method}(self, *_, **_k): {fault}\n"
    )
    return replace(model, spec=replace(model.spec, adapter=f"{package}:Faulty")), words


@pytest.mark.parametrize(
    "click_model",
    [
        ("encode", "sys.exit(3)", "encode failed: SystemExit: 3"),
        ("encode", "return 7", "encode failed: TypeError: encode gives arrays by name, not int"),
        ("decode", "raise GeneratorExit", "decode failed: GeneratorExit"),
        ("decode", "return None", "decode failed: AttributeError: "),
    ],
    indirect=True,
    ids=["encode-exit", "encode-type", "decode-generator", "decode-type"],
)
def test_of_clicks_that_a_plugin_cannot_answer(click_model: tuple, dapi_image: Path) -> None:
    model, words = click_model
    cache = TileCache(1 << 26)
    with open_slide(dapi_image, cache=cache) as source, pytest.raises(PluginBroken) as caught:
        ClickSession(model, source, cache).close()
    assert f"plugin {model.plugin_id}: {words}" in str(caught.value)


def test_what_does_not_fail_is_left_as_it_is(bench: Bench, site: Path, slide: Path) -> None:
    install_faulty(site)
    report = faulty_run(bench, slide)
    assert report.status == "complete"
    assert report.objects == len(CENTRES)
    assert report.errors == []
