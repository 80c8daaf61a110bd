"""OME-Zarr labels, 0.4 and 0.5, as outlines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.annotation import Annotation, Author
from tilescope.domain.geometry import Rect, Size
from tilescope.domain.scale import PixelSize
from tilescope.errors import AnnotationError, TilescopeError
from tilescope.exchange.findings import Findings
from tilescope.exchange.intake import Draft, Intake, as_number, as_text, batches
from tilescope.ops.contours import Outlines, outlines, ring_areas, ring_perimeters
from tilescope.ops.rings import closed, wkb_polygons

_BLOCK = 2048
#: An object of a larger box is outlined on a coarser level.
_LARGEST_WINDOW = 4096
_MOST_LABELS = 20_000_000
_MOST_PIXELS = 400 * 10**9
_MOST_LEVELS = 32
_LARGEST_JSON_BYTES = 64 << 20
_LARGEST_CHUNK_BYTES = 1 << 28
_METADATA_FILES = ("zarr.json", ".zgroup", ".zattrs", ".zmetadata")


def read_labels(
    path: Path, *, pixel_size: PixelSize | None = None, findings: Findings | None = None
) -> Iterator[list[Annotation]]:
    """Yield one outline for every label, in batches of at most 4096.

    Of a label in several pieces the largest is taken, holes filled; the label's number becomes
    the name, its ``class`` and ``score`` are taken from ``properties``.

    Parameters
    ----------
    path
        The label group: a folder with multiscales metadata.
    pixel_size
        Of the slide: labels that say how large their pixels are in micrometres are scaled by it.
        Without it level-0 pixels of the labels are taken to be those of the slide.
    findings
        Gets what could not be taken.

    Raises
    ------
    AnnotationError
        When the folder holds no labels, or a block of them cannot be read.
    """
    findings = Findings() if findings is None else findings
    labels = _Labels.open(path, pixel_size, findings)
    boxes = _boxes(labels)
    intake = Intake(Author("import", path.name, {"format": "OME-Zarr labels"}), findings)
    parts = (labels.taken(boxes, group, intake, findings) for group in _groups(boxes))
    yield from batches(chain.from_iterable(parts))


@dataclass(frozen=True, slots=True, eq=False)
class _Boxes:
    """Which labels there are: values ascending, boxes ``int64[n, 4]``, numbers of pixels."""

    values: NDArray[np.uint64]
    boxes: NDArray[np.int64]
    pixels: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Labels:
    path: Path
    levels: tuple[Any, ...]
    scale: tuple[float, float]
    offset: tuple[float, float]
    told: dict[int, tuple[str | None, float | None]]

    @classmethod
    def open(cls, path: Path, pixel_size: PixelSize | None, findings: Findings) -> _Labels:
        """Return the pyramid in a folder."""
        import zarr

        _check_metadata(path)
        try:
            group: Any = zarr.open_group(path, mode="r")
            attributes: dict[str, Any] = dict(group.attrs)
            attributes = attributes.get("ome", attributes)
            datasets = attributes["multiscales"][0]["datasets"][:_MOST_LEVELS]
            levels = tuple(_plane(group[dataset["path"]], findings) for dataset in datasets)
            scale, offset = _placed(attributes["multiscales"][0], pixel_size)
        except TilescopeError:
            raise
        except Exception as exc:
            raise AnnotationError(path, f"holds no OME-Zarr labels ({_said(exc)})") from exc
        labels = cls(path, levels, scale, offset, _told(attributes.get("image-label")))
        labels.check()
        return labels

    def check(self) -> None:
        """Refuse what is not a pyramid of whole numbers in chunks of a bearable size."""
        if not self.levels:
            raise AnnotationError(self.path, "has labels without any level")
        if self.size.area > _MOST_PIXELS:
            raise AnnotationError(self.path, "has labels of more than 400 gigapixels")
        for level in self.levels:
            array = level.array
            if array.dtype.kind not in "ui":
                raise AnnotationError(self.path, f"has labels of type {array.dtype}, not integer")
            chunk_bytes = int(np.prod([float(c) for c in array.chunks])) * array.dtype.itemsize
            if chunk_bytes > _LARGEST_CHUNK_BYTES:
                raise AnnotationError(self.path, "has chunks of more than 256 MiB")

    @property
    def size(self) -> Size:
        """Of the finest level."""
        size: Size = self.levels[0].size
        return size

    def read(self, level: int, rect: Rect) -> NDArray[Any]:
        """Return a rectangle of a level."""
        try:
            window: NDArray[Any] = self.levels[level].read(rect)
        except Exception as exc:
            raise AnnotationError(
                self.path, f"labels cannot be read ({_said(exc)})", f"level {level}, {rect}"
            ) from exc
        return window

    def taken(
        self, boxes: _Boxes, group: NDArray[np.intp], intake: Intake, findings: Findings
    ) -> list[Annotation]:
        """Return the objects at ``group`` of ``boxes``, which lie near each other."""
        low, high = boxes.boxes[group, :2].min(axis=0), boxes.boxes[group, 2:].max(axis=0)
        level = self._level_for(int((high - low).max()))
        factor = np.array([self.size.width, self.size.height], float) / [
            self.levels[level].size.width,
            self.levels[level].size.height,
        ]
        rect = _window(low, high, factor, self.levels[level].size)
        window = self.read(level, rect).astype(np.uint64)
        wanted = boxes.values[group]
        index = np.minimum(np.searchsorted(wanted, window), len(wanted) - 1)
        found = outlines(np.where(wanted[index] == window, index + 1, 0).astype(np.int32))
        points, offsets = closed(found.rings, found.offsets)
        points = (points + np.array([rect.x0, rect.y0])) * factor * self.scale + self.offset
        numbers = found.values - 1
        drafts = [self._draft(int(wanted[number]), intake) for number in numbers.tolist()]
        if level:
            coarse = f"was outlined on level {level} of the pyramid, being large"
            findings.change(coarse, drafts[0].place if drafts else "?")
        else:
            self._note_pieces(found, boxes.pixels[group][numbers], drafts, findings)
        for missing in np.setdiff1d(np.arange(len(group)), numbers).tolist():
            findings.leave_out("is too small for its level", f"label {wanted[missing]}")
        return intake.taken(drafts, wkb_polygons(points, offsets))

    def _level_for(self, side: int) -> int:
        for level, plane in enumerate(self.levels):
            if side * plane.size.width / self.size.width <= _LARGEST_WINDOW:
                return level
        return len(self.levels) - 1

    def _draft(self, value: int, intake: Intake) -> Draft:
        name, score = self.told.get(value, (None, None))
        draft = Draft(f"label {value}", kind="detection", name=str(value))
        draft.class_name = intake.meet(name)
        if score is not None:
            draft.measurements = {"score": score}
        return draft

    @staticmethod
    def _note_pieces(
        found: Outlines,
        pixels: NDArray[np.int64],
        drafts: list[Draft],
        findings: Findings,
    ) -> None:
        areas = ring_areas(found.rings, found.offsets)
        # What thinning can take away at most.
        slack = 1 + 0.5 * ring_perimeters(found.rings, found.offsets)
        for i in np.flatnonzero(pixels > areas + slack).tolist():
            findings.change("of a label in several pieces the largest was taken", drafts[i].place)
        for i in np.flatnonzero(pixels < areas - slack).tolist():
            findings.change("the holes of a label were filled", drafts[i].place)


@dataclass(frozen=True, slots=True)
class _Plane:
    """One level, two-dimensional however many axes it has."""

    array: Any

    @property
    def size(self) -> Size:
        return Size(int(self.array.shape[-1]), int(self.array.shape[-2]))

    def read(self, rect: Rect) -> NDArray[Any]:
        first = (0,) * (self.array.ndim - 2)
        window: NDArray[Any] = self.array[
            (*first, slice(rect.y0, rect.y1), slice(rect.x0, rect.x1))
        ]
        return window


def _plane(array: Any, findings: Findings) -> _Plane:  # noqa: ANN401
    if any(side > 1 for side in array.shape[:-2]):
        findings.leave_out("all planes but the first", f"array {array.path}")
    return _Plane(array)


def _check_metadata(path: Path) -> None:
    """Refuse a folder without metadata, or with metadata that would fill the memory."""
    sizes = [(path / name).stat().st_size for name in _METADATA_FILES if (path / name).is_file()]
    if not sizes:
        raise AnnotationError(path, "is no Zarr group; name the folder of the labels")
    if max(sizes) > _LARGEST_JSON_BYTES:
        raise AnnotationError(path, "has more than 64 MiB of metadata")


def _placed(
    multiscale: dict[str, Any], pixel_size: PixelSize | None
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return level-0 pixels of the slide per pixel of the labels, and where these begin."""
    steps = [*multiscale["datasets"][0]["coordinateTransformations"]]
    steps += multiscale.get("coordinateTransformations", [])
    scale, offset = np.ones(2), np.zeros(2)
    for step in steps:
        if step.get("type") == "scale":
            more = np.array(step["scale"][-2:], float)
            scale, offset = scale * more, offset * more
        elif step.get("type") == "translation":
            offset = offset + np.array(step["translation"][-2:], float)
    if not (np.isfinite([scale, offset]).all() and (scale > 0).all()):
        msg = "its scale is no positive number"
        raise ValueError(msg)
    units = {axis.get("unit") for axis in multiscale["axes"][-2:]}
    if units == {"micrometer"}:
        size = scale if pixel_size is None else np.array([pixel_size.um_y, pixel_size.um_x])
        scale, offset = scale / size, offset / size
    return (float(scale[1]), float(scale[0])), (float(offset[1]), float(offset[0]))


def _told(image_label: object) -> dict[int, tuple[str | None, float | None]]:
    """Return the class and the score of each label."""
    told: dict[int, tuple[str | None, float | None]] = {}
    properties = image_label.get("properties") if isinstance(image_label, dict) else None
    for entry in properties if isinstance(properties, list) else []:
        if isinstance(entry, dict) and type(entry.get("label-value")) is int:
            name = as_text(entry.get("class"))
            told[entry["label-value"]] = (name, as_number(entry.get("score")))
    return told


def _boxes(labels: _Labels) -> _Boxes:
    """Return the box of every label, from one pass over the finest level."""
    size = labels.size
    all_boxes = _Boxes(np.zeros(0, np.uint64), np.zeros((0, 4), np.int64), np.zeros(0, np.int64))
    for y in range(0, size.height, _BLOCK):
        row = [all_boxes]
        for x in range(0, size.width, _BLOCK):
            rect = Rect(x, y, min(x + _BLOCK, size.width), min(y + _BLOCK, size.height))
            row.append(_boxes_in(labels.read(0, rect), x, y))
        all_boxes = _united(row)
        if len(all_boxes.values) > _MOST_LABELS:
            raise AnnotationError(labels.path, f"has more than {_MOST_LABELS:,} labels")
    return all_boxes


def _boxes_in(block: NDArray[Any], x0: int, y0: int) -> _Boxes:
    """Return the boxes of a block from its runs, of which there are few."""
    if not block.any():
        return _Boxes(np.zeros(0, np.uint64), np.zeros((0, 4), np.int64), np.zeros(0, np.int64))
    begins = np.ones(block.shape, bool)
    begins[:, 1:] = block[:, 1:] != block[:, :-1]
    row, start = np.nonzero(begins)
    flat = row * block.shape[1] + start
    length = np.diff(flat, append=block.size)
    values = block[row, start]
    kept = values > 0
    row, start, length = row[kept] + y0, start[kept] + x0, length[kept]
    boxes = np.stack([start, row, start + length, row + 1], axis=1).astype(np.int64)
    return _united([_Boxes(values[kept].astype(np.uint64), boxes, length.astype(np.int64))])


def _united(parts: list[_Boxes]) -> _Boxes:
    values = np.concatenate([part.values for part in parts])
    boxes = np.concatenate([part.boxes for part in parts])
    pixels = np.concatenate([part.pixels for part in parts])
    if not len(values):
        return parts[0]
    order = np.argsort(values, kind="stable")
    values, boxes, pixels = values[order], boxes[order], pixels[order]
    first = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
    low = np.minimum.reduceat(boxes[:, :2], first)
    high = np.maximum.reduceat(boxes[:, 2:], first)
    together = np.concatenate([low, high], axis=1)
    return _Boxes(values[first], together, np.add.reduceat(pixels, first))


def _groups(boxes: _Boxes) -> Iterator[NDArray[np.intp]]:
    """Yield labels that can be outlined together, ascending in each group; each label once."""
    side = (boxes.boxes[:, 2:] - boxes.boxes[:, :2]).max(axis=1, initial=0)
    block = boxes.boxes[:, 1::-1] // _BLOCK
    small = np.flatnonzero(side <= _LARGEST_WINDOW - _BLOCK)
    order = small[np.lexsort((small, block[small, 1], block[small, 0]))]
    if len(order):
        ends = np.flatnonzero((np.diff(block[order], axis=0) != 0).any(axis=1)) + 1
        yield from np.split(order, ends)
    for i in np.flatnonzero(side > _LARGEST_WINDOW - _BLOCK):
        yield np.array([i])


def _window(
    low: NDArray[np.int64], high: NDArray[np.int64], factor: NDArray[np.float64], size: Size
) -> Rect:
    x0, y0 = np.floor(low / factor).astype(int).tolist()
    x1, y1 = np.ceil(high / factor).astype(int).tolist()
    return Rect(x0, y0, max(x0 + 1, min(x1, size.width)), max(y0 + 1, min(y1, size.height)))


def _said(exc: BaseException) -> str:
    text = " ".join(str(exc).split())[:200]
    return f"{type(exc).__name__}: {text}" if text else type(exc).__name__
