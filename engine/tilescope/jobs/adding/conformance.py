"""Does a model do what its manifest says, on tiles that it will meet: findings in words.

Runs the model; for one that nobody knows only inside :mod:`tilescope.jobs.adding.model_trial`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.clicks import Clicks
from tilescope.domain.contrast import Contrast
from tilescope.domain.geometry import Size
from tilescope.domain.manifest import ModelSpec, TensorSpec
from tilescope.inference.session import OnnxSession
from tilescope.jobs.adding.assumption import OptionName
from tilescope.jobs.adding.result_soundness import covers, object_count, result_problem
from tilescope.plugins.api import TileImage
from tilescope.plugins.calling import is_interrupt
from tilescope.plugins.registry import InstalledModel
from tilescope.runtime import memory
from tilescope.runtime.cancel import CancellationToken

Verdict = Literal["ok", "warning", "failed"]
Arrays = Mapping[str, NDArray[Any]]

#: Larger tiles only take longer to show the same.
_LARGEST_TILE = 256
_SAME = 1e-3
_SLOW_SECONDS_PER_MEGAPIXEL = 60.0


@dataclass(frozen=True, slots=True)
class Check:
    """One finding; ``words`` say what was seen and what to change.

    ``option`` is what a user can say otherwise, None where it would not help.
    """

    name: str
    verdict: Verdict
    words: str
    option: OptionName | None = None


@dataclass(frozen=True, slots=True)
class Cost:
    """What one tile takes on this machine; ``peak_bytes_per_px`` is None where it is not known."""

    seconds: float
    peak_bytes_per_px: float | None


class Subject:
    """A model opened for being checked."""

    def __init__(self, model: InstalledModel, session: OnnxSession) -> None:
        self.spec: ModelSpec = model.spec
        self.parameters = model.spec.resolved({})
        self._session = session
        is_click = model.spec.task == "click"
        self._tiles = None if is_click else model.load_adapter()
        self._clicks = model.load_click_adapter() if is_click else None
        self.tile_size = _tile_size(model.spec)

    def encode(self, pixels: NDArray[Any]) -> Arrays:
        """Return the graph's inputs for a tile of 8-bit pixels."""
        bands = pixels.shape[2]
        tile = TileImage(pixels, Contrast(False, (0.0,) * bands, (255.0,) * bands))
        if self._clicks is not None:
            return self._clicks.encode(tile, self._click(pixels))
        assert self._tiles is not None
        return self._tiles.encode(tile)

    def infer(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Return the graph's outputs."""
        return dict(self._session.run(inputs, CancellationToken()))

    def decode(self, outputs: Arrays, pixels: NDArray[Any]) -> object:
        """Return what the adapter makes of outputs."""
        if self._clicks is not None:
            return self._clicks.decode(outputs, self._click(pixels), self.parameters)
        assert self._tiles is not None
        return self._tiles.decode(outputs, self.parameters)

    def tile(self, size: Size, fill: int | None = None) -> NDArray[np.uint8]:
        """Return a tile of one value, or a random one that is the same every time."""
        encoding = self.spec.encoding
        bands = encoding.channels if encoding is not None and encoding.colour == "bands" else 3
        shape = (size.height, size.width, bands)
        if fill is not None:
            return np.full(shape, fill, np.uint8)
        return np.random.default_rng(7).integers(0, 256, shape, np.uint8)

    @staticmethod
    def _click(pixels: NDArray[Any]) -> Clicks:
        middle = np.array([[pixels.shape[1] / 2, pixels.shape[0] / 2]])
        return Clicks(middle, np.zeros((0, 2)))


def check_model(subject: Subject) -> Iterator[Check]:
    """Yield the findings one by one; the first failure ends them where the rest cannot be told."""
    size = subject.tile_size
    blank = _guarded("blank tile", lambda: _blank(subject, size))
    yield blank
    if blank.verdict == "failed":
        return
    yield _guarded("random tile", lambda: _random(subject, size))
    yield _guarded("odd size", lambda: _odd_size(subject))
    yield _guarded("batch", lambda: _batch(subject))
    yield _guarded("declared shapes", lambda: _declared(subject))
    yield _guarded("nothing found", lambda: _nothing(subject))
    yield _guarded("NaN", lambda: _nan(subject))


def measure(subject: Subject) -> tuple[Check, Cost]:
    """Return what one tile costs, as a finding and as numbers."""
    size = subject.tile_size
    inputs = subject.encode(subject.tile(size))
    held = sum(a.nbytes for a in (*inputs.values(), *subject.infer(inputs).values()))
    memory.trim()
    before = memory.rss_bytes()
    is_marked = _forget_peak()
    seconds = []
    for _ in range(2):
        started = time.perf_counter()
        subject.infer(inputs)
        seconds.append(time.perf_counter() - started)
    best = min(seconds)
    # What was freed and kept by the allocator does not show; the tensors themselves must.
    peak = max(held, memory.peak_rss_bytes() - before) if is_marked else None
    cost = Cost(round(best, 4), None if peak is None else round(peak / size.area, 1))
    words = f"{best:.2f} s for a tile of {size.width} x {size.height} px on one thread"
    if peak is not None:
        words += f", {peak / 2**20:.0f} MiB at its peak"
    rate = best / size.area * 1e6
    if rate > _SLOW_SECONDS_PER_MEGAPIXEL:
        words += f": {rate / 60:.0f} minutes per megapixel; use a smaller network or a GPU"
        return Check("time and memory", "warning", words), cost
    return Check("time and memory", "ok", words), cost


def _tile_size(spec: ModelSpec) -> Size:
    size, step = spec.tile.size, spec.tile.multiple_of
    if spec.tile.fixed:
        return size
    most = max(step, _LARGEST_TILE // step * step)
    return Size(min(size.width, most), min(size.height, most))


def _guarded(name: str, check: Callable[[], Check | tuple[Verdict, str]]) -> Check:
    """Return a check's finding; whatever is raised is one, too."""
    try:
        found = check()
    except BaseException as exc:  # plugin code and the runtime: one of the boundaries
        if is_interrupt(exc):
            raise
        said = " ".join(str(exc).split())[:300] or type(exc).__name__
        return Check(name, "failed", f"{said}; correct the manifest or the model")
    return found if isinstance(found, Check) else Check(name, *found)


def _whole(subject: Subject, pixels: NDArray[Any]) -> tuple[Arrays, object]:
    outputs = subject.infer(subject.encode(pixels))
    return outputs, subject.decode(outputs, pixels)


def _blank(subject: Subject, size: Size) -> tuple[Verdict, str]:
    counts = []
    for fill in (0, 255):
        pixels = subject.tile(size, fill)
        _, result = _whole(subject, pixels)
        problem = result_problem(subject.spec, result, size)
        if problem is not None:
            return "failed", f"on a tile of value {fill}: {problem}"
        counts.append(object_count(result))
    found = [f"{n} objects" for n in counts if n]
    if found:
        return "warning", f"finds {' and '.join(found)} where there is nothing; raise its threshold"
    return "ok", "black and white tiles run and give a sound result"


def _random(subject: Subject, size: Size) -> tuple[Verdict, str]:
    pixels = subject.tile(size)
    outputs, result = _whole(subject, pixels)
    problem = result_problem(subject.spec, result, size)
    if problem is not None:
        return "failed", problem
    again = subject.infer(subject.encode(pixels))
    if not all(np.array_equal(outputs[name], again[name], equal_nan=True) for name in outputs):
        return "warning", (
            "the same tile gives other values when it is run again; runs cannot be repeated: "
            "export the model in evaluation mode"
        )
    return "ok", "a tile of noise runs, twice alike"


def _odd_size(subject: Subject) -> tuple[Verdict, str]:
    tile = subject.spec.tile
    if tile.fixed or subject.spec.task in {"classification", "click"}:
        sides = f"{tile.size.width} x {tile.size.height}"
        return "ok", f"tiles are always {sides} px; what is beyond the slide is padded"
    step = tile.multiple_of
    size = Size(step * (-(-96 // step)), step * (-(-160 // step) + 1))
    _, result = _whole(subject, subject.tile(size))
    problem = result_problem(subject.spec, result, size)
    if problem is not None:
        return "failed", f"{problem}; set multiple_of in the manifest, or export it for one size"
    return "ok", f"takes any size that is a multiple of {step} px"


def _batch(subject: Subject) -> tuple[Verdict, str]:
    most = subject.spec.tile.max_batch
    layout = subject.spec.inputs[0].layout
    if most == 1 or not layout.startswith("N"):
        return "ok", "tiles are run one by one"
    inputs = subject.encode(subject.tile(subject.tile_size))
    alone = subject.infer(inputs)
    both = subject.infer(
        {name: np.concatenate([a, np.zeros_like(a)]) for name, a in inputs.items()}
    )
    for name, values in alone.items():
        if not np.allclose(both[name][:1], values, rtol=_SAME, atol=_SAME, equal_nan=True):
            return "failed", (
                f"{name!r} of a tile is another one beside a second tile; set max_batch to 1, or "
                "export the model in evaluation mode"
            )
    return "ok", f"two tiles at once give what each gives alone; up to {most} are allowed"


def _declared(subject: Subject) -> tuple[Verdict, str]:
    size = subject.tile_size
    inputs = subject.encode(subject.tile(size))
    outputs = subject.infer(inputs)
    pairs = [(t, inputs.get(t.name)) for t in subject.spec.inputs]
    pairs += [(t, outputs.get(t.name)) for t in subject.spec.outputs]
    for tensor, array in pairs:
        problem = "is missing" if array is None else _mismatch(tensor, array, size)
        if problem is not None:
            return "failed", f"{tensor.name!r} {problem}; correct the manifest"
    return "ok", "inputs and outputs have the axes, sizes and types that are declared"


def _mismatch(tensor: TensorSpec, array: NDArray[Any], size: Size) -> str | None:
    shape = list(array.shape)
    if str(array.dtype) != tensor.dtype:
        return f"is {array.dtype}, declared {tensor.dtype}"
    if len(shape) != len(tensor.layout):
        return f"has the shape {shape}, declared {tensor.layout}"
    if tensor.channels and "C" in tensor.layout:
        count = shape[tensor.layout.index("C")]
        if count != len(tensor.channels):
            return f"has {count} channels, declared {len(tensor.channels)}"
    axes = tensor.spatial_axes
    sides = (1, 1) if axes is None else (shape[axes[0]], shape[axes[1]])
    if max(sides) == 1 or (covers(sides[0], size.height) and covers(sides[1], size.width)):
        return None
    return f"has the shape {shape} for a tile of {size.width} x {size.height} px"


def _nothing(subject: Subject) -> tuple[Verdict, str]:
    pixels = subject.tile(subject.tile_size, 0)
    outputs = subject.infer(subject.encode(pixels))
    nothing = {name: np.zeros_like(array) for name, array in outputs.items()}
    listed = [t for t in subject.spec.outputs if t.layout in {"A", "AC"}]
    for tensor in listed:
        nothing[tensor.name] = nothing[tensor.name][:0]
    subject.decode(nothing, pixels)
    return "ok", "outputs without anything in them are understood"


def _nan(subject: Subject) -> tuple[Verdict, str]:
    pixels = subject.tile(subject.tile_size, 0)
    outputs = subject.infer(subject.encode(pixels))
    broken = {n: np.full_like(a, np.nan) if a.dtype.kind == "f" else a for n, a in outputs.items()}
    try:
        with np.errstate(invalid="ignore"):
            result = subject.decode(broken, pixels)
    except Exception:  # noqa: BLE001 - refusing NaN is right, however the plugin does it
        return "ok", "NaN in the outputs is refused, and the tile counted as failed"
    if result_problem(subject.spec, result, None) is not None:
        return "warning", "NaN in the outputs goes into the results; have decode refuse it"
    return "ok", "NaN in the outputs leaves the results sound"


def _forget_peak() -> bool:
    """Start a new peak of resident memory; tell whether the system can (Linux)."""
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:  # noqa: PTH123
            file.write("5")
    except OSError:
        return False
    return True


def with_cost(spec: ModelSpec, cost: Cost) -> ModelSpec:
    """Return the manifest with what was measured."""
    if cost.peak_bytes_per_px is None:
        return spec
    return replace(spec, tile=replace(spec.tile, peak_bytes_per_px=cost.peak_bytes_per_px))
