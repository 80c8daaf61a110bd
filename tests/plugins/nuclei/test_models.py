"""The nuclei models that come with Tilescope: what they may be used for, and what they find."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import shapely

from tilescope.jobs.request import RunRequest
from tilescope.jobs.run_model import run_model
from tilescope.plugins.registry import find_model, installed_models
from tilescope.runtime.cancel import CancellationToken
from tilescope_training.nuclei.monuseg import HELD_OUT, drawn_names, read_research

MODELS = {"nuclei-unet": "BSD-3-Clause", "nuclei-unet-research": "CC BY-NC-SA 4.0"}


def test_the_model_of_free_data_is_the_first():
    ids = [m.spec.id for m in installed_models() if m.plugin_id == "tilescope.nuclei"]
    assert ids == list(MODELS)


@pytest.mark.parametrize("model", MODELS)
def test_weights_are_small_and_say_what_they_may_be_used_for(model):
    spec = find_model(model).spec
    assert spec.weights.size_bytes <= 8 * 2**20
    assert spec.licence.startswith(MODELS[model])


def test_results_name_the_licence(tmp_path, hes_slide):
    report = run(hes_slide, tmp_path, "nuclei-unet-research", um_per_px=None)
    (record,) = tmp_path.rglob("run.json")
    assert "non-commercial" in json.loads(record.read_text(encoding="utf-8"))["licence"]
    assert report.objects > 1000


def test_patients_never_trained_on_are_segmented_better(tmp_path, shared_data):
    """One image of each hospital that was held out; the research weights against the free ones."""
    folder = shared_data / "nuclei_monuseg_train"
    _, held_out = read_research(folder)
    chosen = [next(s for s in held_out if s.name.startswith(n)) for n in ("TCGA-B0", "TCGA-NH")]
    assert all(s.name in drawn_names(folder) and s.name.startswith(HELD_OUT) for s in chosen)
    for sample in chosen:
        path = next((folder / "images").glob(f"{sample.name}*"))
        shares = [matched(run(path, tmp_path / m, m), sample.labels) for m in MODELS]
        assert shares[1] > shares[0] + 0.05


def run(slide: Path, out: Path, model: str, um_per_px: float | None = 0.25):
    request = RunRequest(
        find_model(model), slide, out, 3 << 30, 1, provider="cpu", um_per_px=um_per_px
    )
    report = run_model(request, CancellationToken())
    assert report.status == "complete", report.errors
    return report


def matched(report, labels):
    """Return F1 at IoU 0.5 of a run's outlines against labels."""
    features = json.loads(Path(report.outputs["geojson"]).read_text(encoding="utf-8"))["features"]
    shapes = [shapely.geometry.shape(feature["geometry"]) for feature in features]
    hits = 0
    rows, columns = np.indices(labels.shape)
    areas = np.bincount(labels.ravel())
    for shape in shapes:
        left, top, right, bottom = (int(v) for v in shape.bounds)
        window = np.s_[max(top, 0) : bottom + 1, max(left, 0) : right + 1]
        inside = shapely.contains_xy(shape, columns[window] + 0.5, rows[window] + 0.5)
        under = np.bincount(labels[window][inside], minlength=areas.size)
        under[0] = 0
        best = int(under.argmax())
        union = inside.sum() + areas[best] - under[best]
        hits += bool(under[best] > 0.5 * union)
    return 2 * hits / (len(shapes) + np.count_nonzero(areas[1:]))
