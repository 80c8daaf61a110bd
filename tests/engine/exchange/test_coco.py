"""COCO: polygons, boxes and areas agree."""

import json

import numpy as np
import pytest

from tilescope.domain.geometry import Size
from tilescope.exchange.coco import write_coco
from tilescope.exchange.objects import ObjectBatch


def test_annotations(tmp_path, nuclei):
    d = nuclei(5000)
    d.scores[3] = np.nan
    path = tmp_path / "o.json"
    count = write_coco(
        path,
        ObjectBatch(d, 1).parts(999),
        image="a.svs",
        size_l0=Size(1000, 900),
        class_names=d.class_names,
    )
    content = json.loads(path.read_text(encoding="utf-8"))
    assert count == len(content["annotations"]) == 5000
    assert content["images"] == [{"id": 1, "file_name": "a.svs", "width": 1000, "height": 900}]
    assert content["categories"][1] == {"id": 2, "name": "Lymphozyt, µ"}
    assert "score" not in content["annotations"][3]
    for i in (0, 3, 4999):
        found = content["annotations"][i]
        assert (found["id"], found["image_id"], found["iscrowd"]) == (i + 1, 1, 0)
        assert found["category_id"] == d.classes[i] + 1
        ring = np.reshape(found["segmentation"][0], (-1, 2))
        np.testing.assert_allclose(ring, d.ring(i), atol=0.00501)
        x, y, w, h = found["bbox"]
        np.testing.assert_allclose([x, y, x + w, y + h], d.boxes()[i], atol=0.011)
        assert found["area"] == pytest.approx(np.pi * 81, rel=0.02)


def test_nothing(tmp_path):
    path = tmp_path / "o.json"
    assert write_coco(path, [], image="a", size_l0=Size(1, 1), class_names=()) == 0
    assert json.loads(path.read_text())["annotations"] == []
