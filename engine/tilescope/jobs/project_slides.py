"""The slides of a project: opened, known again by their content, and chosen by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from tilescope.domain.geometry import Size
from tilescope.domain.scale import PixelSize
from tilescope.domain.slide import SlideInfo
from tilescope.errors import SlideError, SlideNotFound, UsageError
from tilescope.exchange.formats import SlideFrame
from tilescope.exchange.palette import RGB
from tilescope.io.address import parse_address
from tilescope.io.cache import TileCache
from tilescope.io.registry import open_slide
from tilescope.io.source import SlideSource
from tilescope.jobs.report import head_sha256
from tilescope.store.project import Project, SlideRecord

_GLASS_OFFSETS = ("hamamatsu.XOffsetFromSlideCentre", "hamamatsu.YOffsetFromSlideCentre")
_ENTERED = "entered by the user"
_NOT_LOOKED_AT = Size(1, 1)
#: For slides that are opened for what they say of themselves.
CACHE_BYTES = 16 << 20


def identity_of_slide(path: str | Path, info: SlideInfo) -> str:
    """Return what stays the same when a slide is moved: its size and a hash of its head.

    Raises
    ------
    UsageError
        When the slide lies on the network, where nothing tells that it is still the same.
    SlideError
        When it cannot be read any more.
    """
    address = parse_address(path)
    if address.url is not None:
        raise UsageError(
            f"{address.name}: a project holds slides on a disk; copy the slide to one first"
        )
    part = "".join(f" {name}={value}" for name, value in sorted(address.part.items()))
    size = f"{info.size.width}x{info.size.height}"
    try:
        head = head_sha256(address.path)
    except FileNotFoundError as exc:
        raise SlideNotFound(path, "is no longer there; put it back and open it again") from exc
    except OSError as exc:
        why = exc.strerror or type(exc).__name__
        raise SlideError(
            path, f"cannot be read ({why}); check the disk or the network it lies on"
        ) from exc
    return f"{head} {info.size_bytes} {size}{part}"


def lasting_identity(path: str | Path, info: SlideInfo) -> str | None:
    """Return the identity of a slide, or None for one that a project cannot hold.

    Raises
    ------
    SlideError
        When it cannot be read any more.
    """
    return None if parse_address(path).url is not None else identity_of_slide(path, info)


def add_slide(
    project: Project,
    path: Path,
    info: SlideInfo,
    pixel_size: PixelSize | None = None,
    identity: str | None = None,
) -> int:
    """Add an open slide to a project and return its number there; one that is known stays one.

    Parameters
    ----------
    pixel_size
        What the user says of the size of a level-0 pixel; None takes what the slide says.
    identity
        What the slide was known by when it was opened; its file may be gone since. None looks
        at the file.

    Raises
    ------
    UsageError, SlideError
        As :func:`identity_of_slide`.
    """
    source = info.pixel_size_source if pixel_size in (None, info.pixel_size) else _ENTERED
    known = pixel_size or info.pixel_size
    return project.add_slide(
        path,
        identity or identity_of_slide(path, info),
        um_per_px=None if known is None else (known.um_x, known.um_y),
        um_per_px_source=None if known is None else source,
    )


def enter_pixel_size(project: Project, slide: int, um_per_px: float) -> None:
    """Note what the user says of the size of a level-0 pixel of a slide, in both directions."""
    record = next(one for one in project.slides() if one.slide == slide)
    size = (um_per_px, um_per_px)
    if (record.um_per_px, record.um_per_px_source) != (size, _ENTERED):
        project.change_slide(replace(record, um_per_px=size, um_per_px_source=_ENTERED))


def forget_pixel_size(project: Project, slide: int, info: SlideInfo) -> None:
    """Go back to what a slide says itself of the size of its pixels."""
    record = next(one for one in project.slides() if one.slide == slide)
    known = info.pixel_size
    size = None if known is None else (known.um_x, known.um_y)
    source = None if known is None else info.pixel_size_source
    if (record.um_per_px, record.um_per_px_source) != (size, source):
        project.change_slide(replace(record, um_per_px=size, um_per_px_source=source))


def entered_pixel_size(record: SlideRecord) -> float | None:
    """Return what the user said of the size of a level-0 pixel, None if nothing."""
    is_entered = record.um_per_px is not None and record.um_per_px_source == _ENTERED
    size = pixel_size_of(record) if is_entered else None
    return None if size is None else size.mean_um


def known_slide(project: Project, identity: str) -> SlideRecord | None:
    """Return the slide of that identity, None when the project has none."""
    return next((record for record in project.slides() if record.identity == identity), None)


def chosen_slide(project: Project, name: str | None) -> SlideRecord:
    """Return the slide of a project that the user names, or its only one.

    Parameters
    ----------
    name
        Its name or path.

    Raises
    ------
    UsageError
        When there is none, or no name tells which one is meant.
    """
    slides = project.slides()
    if name is not None:
        return _named(project, slides, name)
    if not slides:
        raise UsageError(f"{project.path.name} has no slide yet; name it with --slide FILE")
    if len(slides) > 1:
        listed = ", ".join(record.name for record in slides)
        raise UsageError(
            f"{project.path.name} has {len(slides)} slides; choose one with --slide: {listed}"
        )
    return slides[0]


def _named(project: Project, slides: list[SlideRecord], name: str) -> SlideRecord:
    path = Path(name).absolute()
    found = [r for r in slides if path in r.candidates(project.path)]
    found = found or [r for r in slides if name in (r.name, Path(r.name).stem)]
    if len(found) == 1:
        return found[0]
    listed = ", ".join(str(r.path) for r in found) or ", ".join(r.name for r in slides)
    if found:
        raise UsageError(f"several slides of {project.path.name} are called {name!r}: {listed}")
    raise UsageError(f"{project.path.name} has no slide {name!r}, only: {listed or 'none'}")


def sources_of(project: Project) -> list[Path]:
    """Return the project's own file and its slides, wherever they may be."""
    places = (p for record in project.slides() for p in record.candidates(project.path))
    return [project.path, *places]


def known_planes(project: Project, record: SlideRecord) -> tuple[int, int] | None:
    """Return how many focal planes and time points a slide of a project has.

    None when it is away or cannot be opened.
    """
    try:
        with open_known(project, record, TileCache(CACHE_BYTES)) as source:
            return source.info.z, source.info.t
    except (UsageError, SlideError):
        return None


def open_known(project: Project, record: SlideRecord, cache: TileCache) -> SlideSource:
    """Open a slide of a project, which the caller closes, wherever it is now.

    Raises
    ------
    UsageError
        When it is not where it was, nor beside the project.
    SlideError
        When it is there and cannot be opened.
    """
    refused: SlideError | None = None
    for path in record.candidates(project.path):
        try:
            source = open_slide(path, cache=cache)
        except SlideNotFound:
            continue
        except SlideError as exc:
            refused = refused or exc
            continue
        if identity_of_slide(path, source.info) == record.identity:
            return source
        source.close()
    if refused is not None:
        raise refused
    raise UsageError(
        f"the slide {record.name} is no longer at {record.path}; put it back, or beside "
        f"{project.path.name} as it was before"
    )


def frame_of(
    path: Path,
    info: SlideInfo,
    pixel_size: PixelSize | None,
    colours: Mapping[str, RGB] = MappingProxyType({}),
) -> SlideFrame:
    """Return what readers and writers of files have to know of an open slide."""
    return SlideFrame(
        path=path,
        size=info.size,
        pixel_size=pixel_size,
        glass_offset_nm=_glass_offset(info),
        dicom=_finest_dicom(path, info),
        colours=colours,
    )


def known_frame(
    project: Project,
    record: SlideRecord,
    *,
    is_looked_at: bool,
    colours: Mapping[str, RGB] = MappingProxyType({}),
) -> SlideFrame:
    """Return what readers and writers have to know of a slide of a project.

    Parameters
    ----------
    is_looked_at
        Whether they need more than name and calibration; otherwise the slide may be away.

    Raises
    ------
    UsageError, SlideError
        When the slide is needed and cannot be opened.
    """
    pixel_size = pixel_size_of(record)
    if not is_looked_at:
        return SlideFrame(record.path, _NOT_LOOKED_AT, pixel_size, colours=colours)
    with open_known(project, record, TileCache(CACHE_BYTES)) as source:
        return frame_of(Path(source.info.path), source.info, pixel_size, colours)


def pixel_size_of(record: SlideRecord) -> PixelSize | None:
    """Return the size of a level-0 pixel as the project knows it; what no slide has is None."""
    if record.um_per_px is None:
        return None
    try:
        return PixelSize(*record.um_per_px)
    except ValueError:
        return None


def _glass_offset(info: SlideInfo) -> tuple[float, float] | None:
    try:
        x, y = (float(info.properties[name]) for name in _GLASS_OFFSETS)
    except (KeyError, ValueError):
        return None
    return x, y


def _finest_dicom(path: Path, info: SlideInfo) -> Path | None:
    if info.reader != "dicom":
        return None
    from tilescope.io.dicom_header import slide_instances

    levels = [instance for instance in slide_instances(path) if instance.is_volume]
    return max(levels, key=lambda i: int(i.header.TotalPixelMatrixColumns)).path
