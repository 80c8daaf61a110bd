"""Objects that somebody points at, on slides and on pictures in memory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import numpy as np
import shapely
from numpy.typing import NDArray

from tilescope.domain.annotation import Annotation, Author
from tilescope.domain.clicks import Prompt
from tilescope.domain.results import Detections, ModelRef
from tilescope.domain.scale import PixelSize
from tilescope.exchange.objects import measure
from tilescope.exchange.palette import class_colour
from tilescope.exchange.staging import staged_file
from tilescope.io.cache import TileCache
from tilescope.io.registry import open_slide
from tilescope.io.source import SlideSource
from tilescope.jobs.clicking.array import ArraySource
from tilescope.jobs.clicking.session import ClickOptions, ClickResult, ClickSession
from tilescope.plugins.registry import InstalledModel
from tilescope.runtime.cancel import CancellationToken

_CACHE_BYTES = 256 * 2**20
_IDS = UUID("6d6f1c62-0f0e-5d0f-8e55-6a0c9c9d2d7b")


@dataclass(frozen=True, slots=True, eq=False)
class ClickReport:
    """The answers to all prompts, and what is needed to make them again.

    Attributes
    ----------
    results
        One per prompt, in their order.
    model, licence, class_name
        Which weights gave them, what those may be used for, what the objects are.
    diameter_px
        The level-0 diameter that objects were expected to have, None when nothing said so.
    pixel_size
        Of the slide, None when it is not known.
    """

    results: tuple[ClickResult, ...]
    model: ModelRef
    licence: str
    class_name: str
    diameter_px: float | None
    pixel_size: PixelSize | None

    @classmethod
    def of(cls, session: ClickSession, results: tuple[ClickResult, ...]) -> ClickReport:
        """Return what a session answered."""
        return cls(
            results,
            session.model,
            session.licence,
            session.class_name,
            session.diameter_px,
            session.pixel_size,
        )

    @property
    def found(self) -> tuple[ClickResult, ...]:
        """The answers that have an outline."""
        return tuple(result for result in self.results if result.is_found)

    def detections(self) -> Detections:
        """Return the objects that were found, as columns."""
        found = self.found
        return Detections.of(
            [r.ring for r in found if r.ring is not None],
            np.array([r.score for r in found], np.float32),
            np.zeros(len(found), np.uint16),
            (self.class_name,),
        )

    def record(self, result: ClickResult) -> dict[str, Any]:
        """Return what JSON can hold and what makes the object again."""
        return {
            "version": self.model.version,
            "sha256": self.model.sha256,
            "licence": self.licence,
            "prompt": result.prompt.as_dict(),
        }


def click(
    model: InstalledModel,
    slide: Path | str | SlideSource | NDArray[Any],
    prompts: Sequence[Prompt],
    options: ClickOptions | None = None,
    *,
    um_per_px: float | None = None,
    allow_overlap: bool = False,
    token: CancellationToken | None = None,
) -> ClickReport:
    """Return the object of every prompt.

    Parameters
    ----------
    model
        An installed model of the task ``click``.
    slide
        A file or folder, an open slide, which stays open, or ``[h, w]`` or ``[h, w, bands]`` of
        ``uint8``, ``uint16`` or ``float32``.
    prompts
        In level-0 pixels.
    options
        How prompts are answered.
    um_per_px
        Pixel size to use instead of the slide's; an open slide keeps its own.
    allow_overlap
        Give every object whole, whatever lies under it.

    Raises
    ------
    SlideError, UsageError, ModelError, PluginBroken, Cancelled
        Whatever stands in the way of answers; a prompt that finds nothing is an answer.
    """
    cache = TileCache(_CACHE_BYTES)
    with ExitStack() as stack:
        source = _opened(slide, um_per_px, cache, stack)
        session = stack.enter_context(ClickSession(model, source, cache, options))
        results = session.segment(prompts, allow_overlap=allow_overlap, token=token)
        return ClickReport.of(session, results)


def _opened(
    slide: Path | str | SlideSource | NDArray[Any],
    um_per_px: float | None,
    cache: TileCache,
    stack: ExitStack,
) -> SlideSource:
    if isinstance(slide, np.ndarray):
        return stack.enter_context(ArraySource(slide, um_per_px=um_per_px))
    if isinstance(slide, Path | str):
        return stack.enter_context(open_slide(slide, cache=cache, um_per_px=um_per_px))
    return slide


def as_annotations(report: ClickReport) -> list[Annotation]:
    """Return the objects that were found, with the prompts and weights that made them.

    The same prompt with the same weights gives the same id.
    """
    made = []
    for result in report.found:
        assert result.ring is not None
        record = report.record(result)
        name = json.dumps(record, sort_keys=True)
        made.append(
            Annotation(
                str(uuid5(_IDS, name)),
                shapely.to_wkb(shapely.Polygon(result.ring), byte_order=1),
                "annotation",
                report.class_name,
                measurements={"score": result.score},
                author=Author("model", report.model.id, record),
            )
        )
    return made


def write_clicks(path: Path, report: ClickReport) -> int:
    """Write the objects that were found as GeoJSON in QuPath's dialect; return how many.

    Prompt and weights of an object lie in its ``metadata``; the file as a whole names the model
    and its licence.

    Raises
    ------
    OutputError
        When ``path`` cannot be written.
    """
    head = {
        "type": "FeatureCollection",
        "tilescope:model": asdict(report.model),
        "tilescope:licence": report.licence,
    }
    features = _features(report)
    with staged_file(path) as file:
        file.write(json.dumps(head, ensure_ascii=False)[:-1].encode() + b', "features": [')
        for i, feature in enumerate(features):
            file.write((b",\n" if i else b"\n") + json.dumps(feature, ensure_ascii=False).encode())
        file.write(b"\n]}\n")
    return len(features)


def _features(report: ClickReport) -> list[dict[str, Any]]:
    objects = as_annotations(report)
    if not objects:
        return []
    measures = measure(report.detections(), report.pixel_size)
    kind = {"name": report.class_name, "color": list(class_colour(0))}
    return [
        {
            "type": "Feature",
            "id": item.id,
            "geometry": {"type": "Polygon", "coordinates": [_closed(result)]},
            "properties": {
                "objectType": item.kind,
                "classification": kind,
                "measurements": {
                    f"Area {measures.unit}^2": round(float(area), 4),
                    f"Perimeter {measures.unit}": round(float(perimeter), 4),
                    "score": round(result.score, 4),
                },
                "metadata": {
                    "tilescope:author": f"model:{report.model.id}",
                    "tilescope:made": json.dumps(item.author.detail, ensure_ascii=False),
                },
            },
        }
        for item, result, area, perimeter in zip(
            objects, report.found, measures.areas, measures.perimeters, strict=True
        )
    ]


def _closed(result: ClickResult) -> list[list[float]]:
    assert result.ring is not None
    points = [[round(float(x), 2), round(float(y), 2)] for x, y in result.ring]
    return [*points, points[0]]
