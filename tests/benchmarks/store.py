"""Benchmark ``store``: the project file with a million nuclei, against those who store them too.

The nuclei are polygons of 30 corners, as dense as in tissue, and come tile by tile as a model finds
them; with ``_shuffled`` they come in no order, as other programs' files may hold them. Objects are
made outside of what is timed. Inserting and viewing are compared with tiatoolbox's ``SQLiteStore``
in turns; QuPath-style GeoJSON held in memory is what a program without a store would do. Half as
many are imported from a GeoJSON file and exported to one by the commands, each in its own process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import shapely
from numpy.typing import NDArray
from pairs import Batch, Timing
from peer_process import PeerGone, PeerProcess
from report import Report, Settings

from tilescope.domain.annotation import Annotation, Author
from tilescope.domain.geometry import Rect
from tilescope.store.project import Project, Selection

#: Side of a tile in level-0 pixels, and nuclei on it.
TILE, PER_TILE = 1024, 1000
CORNERS = 30
CLASSES = ("tumour", "stroma", "immune", "dead", "other")
VIEW = 2000
_AUTHOR = Author("model", "nuclei", {"version": "1.0"})


def run(settings: Settings, report: Report) -> None:
    """Measure everything the benchmark ``store`` has keys for."""
    count = settings.scaled(1_000_000, 20_000)
    nuclei = Nuclei(count, settings.seed)
    report.input("nuclei", objects=count, corners=CORNERS, side_px=nuclei.side)
    _against_tiatoolbox(settings, report)
    with ExitStack() as stack:
        path = settings.folder / "million.tilescope"
        path.unlink(missing_ok=True)
        project = stack.enter_context(Project.create(path))
        slide = project.add_slide(Path("slide.svs"), "slide")
        _fill(report, project, slide, nuclei)
        _use(settings, report, project, slide, nuclei)
        _bulk(report, project, count)
        _view(settings, report, project, slide, nuclei, "viewport_after_edits_ms")
    report.figure("file_bytes_per_object", path.stat().st_size / count)
    _opening(settings, report, path)
    _shuffled(settings, report, nuclei)
    _memory(settings, report)
    _geojson(settings, report, nuclei)
    _exchange(settings, report)


class Nuclei:
    """Nuclei in tiles that follow each other row by row; the same ones every time."""

    def __init__(self, count: int, seed: int) -> None:
        self.count = count
        self.seed = seed
        self.columns = max(2, int(np.ceil(np.sqrt(count / PER_TILE))))

    @property
    def side(self) -> int:
        """Width and height of the slide in level-0 pixels."""
        return self.columns * TILE

    def shapes(self, tile: int) -> NDArray[np.object_]:
        """Return the polygons of a tile."""
        rng = np.random.default_rng([self.seed, tile])
        corner = np.array(divmod(tile, self.columns)[::-1]) * TILE
        return polygons(corner + rng.uniform(0, TILE, (PER_TILE, 2)), rng)

    def batches(self) -> Iterator[list[Annotation]]:
        """Yield the nuclei of one tile after the other."""
        for tile in range(self.count // PER_TILE):
            yield annotations(self.shapes(tile), tile)

    def view(self, rng: np.random.Generator) -> Rect:
        """Return a random viewport that holds about ``VIEW`` nuclei."""
        side = int(np.sqrt(VIEW / PER_TILE) * TILE) - 16  # boxes that touch the edge count too
        x, y = (int(v) for v in rng.integers(0, self.side - side, 2))
        return Rect(x, y, x + side, y + side)


def polygons(centres: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.object_]:
    """Return a wobbly polygon about every centre."""
    angles = np.linspace(0, 2 * np.pi, CORNERS + 1)
    radii = rng.uniform(5, 11, (len(centres), 1)) * rng.uniform(
        0.9, 1.1, (len(centres), CORNERS + 1)
    )
    points = np.stack([np.cos(angles) * radii, np.sin(angles) * radii], axis=-1)
    points += centres[:, None]
    points[:, -1] = points[:, 0]
    found: NDArray[np.object_] = shapely.polygons(points)
    return found


def annotations(shapes: NDArray[np.object_], tile: int) -> list[Annotation]:
    """Return the objects of a tile, with ids that are the same every time."""
    ids = np.random.default_rng([7, tile]).bytes(16 * len(shapes))
    return [
        Annotation(
            str(UUID(bytes=ids[16 * i : 16 * i + 16])),
            data,
            "detection",
            CLASSES[i % len(CLASSES)],
            measurements={"score": 0.5},
            author=_AUTHOR,
        )
        for i, data in enumerate(shapely.to_wkb(shapes, byte_order=1))
    ]


class Untimed:
    """Passes batches on and notes the time that making them took."""

    def __init__(self, batches: Iterator[list[Annotation]]) -> None:
        self._batches = batches
        self.seconds = 0.0

    def __iter__(self) -> Iterator[list[Annotation]]:
        while True:
            start = time.perf_counter()
            batch = next(self._batches, None)
            self.seconds += time.perf_counter() - start
            if batch is None:
                return
            yield batch


def _against_tiatoolbox(settings: Settings, report: Report) -> None:
    keys = ["insert_vs_tiatoolbox", "viewport_vs_tiatoolbox"]
    python = settings.pythons.get("tiatoolbox", Path(sys.executable))
    worker = Path(__file__).with_name("tiatoolbox_worker.py")
    path = settings.folder / "pairs.tilescope"
    path.unlink(missing_ok=True)
    per_batch = settings.scaled(8, 1)  # tiles
    nuclei = Nuclei((settings.pairs + 1) * per_batch * PER_TILE, settings.seed)
    tiles = [
        list(range(at, at + per_batch))
        for at in range(0, (settings.pairs + 1) * per_batch, per_batch)
    ]
    rng = np.random.default_rng(settings.seed)
    views = [[nuclei.view(rng) for _ in range(5)] for _ in range(settings.pairs + 1)]
    with PeerProcess(python, worker) as peer, Project.create(path) as project:
        slide = project.add_slide(Path("slide.svs"), "slide")
        try:
            report.peer("tiatoolbox", peer.ask("hello")["version"])
            peer.ask(
                "open",
                path=str(settings.folder / "tiatoolbox.db"),
                seed=settings.seed,
                columns=nuclei.columns,
            )
        except PeerGone as gone:
            report.missing("tiatoolbox", str(gone), keys)
            return

        def insert(batch: Batch) -> Timing:
            made = [annotations(nuclei.shapes(tile), tile) for tile in batch]
            return _timed(lambda: project.insert(slide, made))

        def look(batch: Batch) -> Timing:
            return _timed(lambda: [project.in_view(slide, rect, 10**6) for rect in batch])

        report.ratio("insert_vs_tiatoolbox", insert, peer.side("insert"), tiles)
        seen = len(project.in_view(slide, views[0][0], 10**6))
        box = _box(views[0][0])
        if peer.ask("query", batch=[box])["found"] != seen:
            raise AssertionError(f"{seen} objects here and not so many there")
        theirs = peer.side("query")
        report.ratio(
            "viewport_vs_tiatoolbox",
            look,
            lambda batch: theirs([_box(rect) for rect in batch]),
            views,
        )


def _fill(report: Report, project: Project, slide: int, nuclei: Nuclei) -> None:
    batches = Untimed(nuclei.batches())
    start = time.perf_counter()
    project.insert(slide, batches)
    seconds = time.perf_counter() - start - batches.seconds
    size = project.path.stat().st_size
    report.figure("insert_per_s", nuclei.count / seconds, file_bytes=size, seconds=seconds)


def _use(settings: Settings, report: Report, project: Project, slide: int, nuclei: Nuclei) -> None:
    _view(settings, report, project, slide, nuclei, "viewport_ms")
    ids = [a.id for batch in nuclei.batches() for a in batch[:1]][: 8 * settings.pairs + 1]
    spread(report, "counts_ms", lambda i: project.counts_by_class(), 8 * settings.pairs)
    spread(report, "get_ms", lambda i: project.get(ids[i]), len(ids))
    spread(report, "set_class_one_ms", lambda i: project.set_class([ids[i]], "x"), len(ids))


def _view(
    settings: Settings, report: Report, project: Project, slide: int, nuclei: Nuclei, key: str
) -> None:
    rng = np.random.default_rng(settings.seed)
    seen: list[int] = []

    def look(_: int) -> None:
        seen.append(len(project.in_view(slide, nuclei.view(rng), 10**6)))

    spread(report, key, look, 20 * settings.pairs)
    report.figure(key.replace("_ms", "_objects"), float(np.mean(seen)))


def _bulk(report: Report, project: Project, count: int) -> None:
    for key, act in (
        ("delete_all_s", lambda: project.delete(Selection())),
        ("undo_delete_all_s", project.undo),
        ("redo_delete_all_s", project.redo),
        ("undo_again_s", project.undo),
        ("set_class_all_s", lambda: project.set_class(Selection(), "x")),
        ("undo_set_class_all_s", project.undo),
    ):
        size = project.path.stat().st_size
        timing = _timed(act)
        report.figure(
            key, timing.wall_s, cpu_s=timing.cpu_s, grown_bytes=project.path.stat().st_size - size
        )
    if sum(project.counts_by_class().values()) != count:
        raise AssertionError("objects were lost")


def _opening(settings: Settings, report: Report, path: Path) -> None:
    spread(report, "open_ms", lambda i: Project.open(path).close(), 2 * settings.pairs)


def _shuffled(settings: Settings, report: Report, nuclei: Nuclei) -> None:
    """Store the same nuclei in no order of space."""
    path = settings.folder / "shuffled.tilescope"
    path.unlink(missing_ok=True)

    def batches() -> Iterator[list[Annotation]]:
        for tile in range(nuclei.count // PER_TILE):
            rng = np.random.default_rng([nuclei.seed, tile])
            centres = rng.uniform(0, nuclei.side, (PER_TILE, 2))
            yield annotations(polygons(centres, rng), tile)

    with Project.create(path) as project:
        slide = project.add_slide(Path("slide.svs"), "slide")
        made = Untimed(batches())
        start = time.perf_counter()
        project.insert(slide, made)
        seconds = time.perf_counter() - start - made.seconds
        report.figure("insert_shuffled_per_s", nuclei.count / seconds)
        _view(settings, report, project, slide, nuclei, "viewport_shuffled_ms")
    path.unlink()


def _memory(settings: Settings, report: Report) -> None:
    """Fill projects of growing size, each in a process of its own; peak resident memory."""
    for key, count in (
        ("peak_rss_mib_tenth", settings.scaled(100_000, 4000)),
        ("peak_rss_mib", settings.scaled(1_000_000, 20_000)),
    ):
        path = settings.folder / "memory.tilescope"
        path.unlink(missing_ok=True)
        command = [sys.executable, __file__, str(path), str(count)]
        ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=3600)
        report.figure(key, float(ran.stdout), objects=count)
        path.unlink()


def _geojson(settings: Settings, report: Report, nuclei: Nuclei) -> None:
    """Hold the same objects as parsed GeoJSON and look for a viewport in all of them."""
    tiles = min(nuclei.count // PER_TILE, 100)
    text = json.dumps(
        [
            {
                "type": "Feature",
                "id": a.id,
                "geometry": json.loads(shapely.to_geojson(shapely.from_wkb(a.geometry))),
                "properties": {"objectType": a.kind, "classification": {"name": a.class_name}},
            }
            for tile in range(tiles)
            for a in annotations(nuclei.shapes(tile), tile)
        ]
    )
    start = time.perf_counter()
    features = json.loads(text)
    parsing = time.perf_counter() - start
    rect = nuclei.view(np.random.default_rng(settings.seed))

    def look(_: int) -> list[Any]:
        found = []
        for feature in features:
            ring = feature["geometry"]["coordinates"][0]
            xs, ys = [p[0] for p in ring], [p[1] for p in ring]
            across = max(xs) >= rect.x0 and min(xs) <= rect.x1
            if across and max(ys) >= rect.y0 and min(ys) <= rect.y1:
                found.append(ring)
        return found

    report.figure("geojson_in_memory_load_per_s", len(features) / parsing)
    spread(report, "geojson_in_memory_viewport_ms", look, 3)
    report.figure("geojson_in_memory_objects", float(len(features)), text_bytes=len(text))


def _exchange(settings: Settings, report: Report) -> None:
    """Import nuclei from a GeoJSON file and export them, each by its command.

    The rates are those of whole processes, from their start to their end.
    """
    nuclei = Nuclei(settings.scaled(500_000, 4000), settings.seed)
    file, project = settings.folder / "nuclei.geojson", settings.folder / "exchange.tilescope"
    back = settings.folder / "back.geojson"
    for path in (project, back):
        path.unlink(missing_ok=True)
    _write_geojson(file, nuclei)
    report.input("geojson", objects=nuclei.count, file_bytes=file.stat().st_size)
    with Project.create(project) as made:
        made.add_slide(Path("slide.svs"), "slide", um_per_px=(0.25, 0.25))
    rates, peaks = [], []
    for key, arguments in (
        ("import", ["import", str(project), str(file)]),
        ("export", ["export", str(project), "--format", "geojson", "-o", str(back)]),
    ):
        start, cpu = time.perf_counter(), _children_cpu_s()
        found = _command(arguments)
        seconds, cpu = time.perf_counter() - start, _children_cpu_s() - cpu
        if found["objects"] != nuclei.count or found["left_out"]:
            raise AssertionError(f"{key} took {found['objects']} of {nuclei.count} objects")
        rates.append(nuclei.count / seconds)
        peaks.append(found["peak_rss_bytes"] / 2**20)
        size = (file if key == "import" else back).stat().st_size
        report.figure(
            f"geojson_{key}_per_s", rates[-1], seconds=seconds, cpu_s=cpu, file_bytes=size
        )
        report.figure(f"geojson_{key}_peak_rss_mib", peaks[-1])
    report.figure("geojson_objects_per_s", min(rates), objects=nuclei.count)
    report.figure("geojson_peak_rss_mib", max(peaks))
    for path in (file, project, back):
        path.unlink()


def _children_cpu_s() -> float:
    times = os.times()
    return times.children_user + times.children_system


def _command(arguments: Sequence[str]) -> dict[str, Any]:
    """Run the program in a process of its own and return what it reports."""
    program = "from tilescope.cli.main import main; main()"
    ran = subprocess.run(
        [sys.executable, "-c", program, *arguments, "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=3600,
    )
    if ran.returncode:
        raise AssertionError(f"{' '.join(arguments)}: {ran.stderr}")
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def _write_geojson(path: Path, nuclei: Nuclei) -> None:
    """Write nuclei as QuPath does: compact, coordinates with two decimals."""
    with path.open("w") as file:
        file.write('{"type":"FeatureCollection","features":[')
        comma = ""
        for tile in range(nuclei.count // PER_TILE):
            shapes = shapely.transform(nuclei.shapes(tile), lambda points: np.round(points, 2))
            for text, a in zip(
                shapely.to_geojson(shapes).tolist(), annotations(shapes, tile), strict=True
            ):
                file.write(
                    f'{comma}{{"type":"Feature","id":"{a.id}","geometry":{text},"properties":'
                    f'{{"objectType":"{a.kind}","classification":{{"name":"{a.class_name}",'
                    '"color":[200,0,0]},"measurements":{"score":0.5}}}'
                )
                comma = ","
        file.write("]}")


def spread(report: Report, key: str, work: Callable[[int], object], times: int) -> None:
    """Keep median and 95th percentile of some calls, in milliseconds."""
    work(0)
    walls, cpus = [], []
    for i in range(times):
        timing = _timed(lambda i=i: work(i))
        walls.append(timing.wall_s * 1e3)
        cpus.append(timing.cpu_s * 1e3)
    p50, p95 = np.percentile(walls, [50, 95])
    cpu_p50, cpu_p95 = np.percentile(cpus, [50, 95])
    report.figure(f"{key}_p95", float(p95), times=times, cpu=round(float(cpu_p95), 3))
    report.figure(key, float(p50), cpu=round(float(cpu_p50), 3), least=round(min(walls), 3))


def _timed(work: Callable[[], object]) -> Timing:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Timing(time.perf_counter() - wall, time.process_time() - cpu)


def _box(rect: Rect) -> list[int]:
    return [rect.x0, rect.y0, rect.x1, rect.y1]


def _peak_rss_mib() -> float:
    if sys.platform == "win32":
        import psutil

        return float(psutil.Process(os.getpid()).memory_info().peak_wset) / 2**20
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def _fill_and_measure(path: Path, count: int) -> None:
    nuclei = Nuclei(count, 1)
    with Project.create(path) as project:
        slide = project.add_slide(Path("slide.svs"), "slide")
        project.insert(slide, nuclei.batches())
        project.in_view(slide, nuclei.view(np.random.default_rng(1)), 10**6)
        project.delete(Selection())
        project.undo()
    print(_peak_rss_mib())


if __name__ == "__main__":
    _fill_and_measure(Path(sys.argv[1]), int(sys.argv[2]))
