"""Which pages of a QPTIFF are channels, levels and pictures of the slide.

Akoya (once PerkinElmer) writes into each page's XML what it is: ``FullResolution``,
``ReducedResolution``, ``Thumbnail``, ``Overview`` or ``Label``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tilescope.io.tiff_description import parsed_xml

if TYPE_CHECKING:
    import tifffile

_FINEST, _COARSER = "FullResolution", "ReducedResolution"


def qptiff_series(
    tif: tifffile.TiffFile,
) -> tuple[tifffile.TiffPageSeries, tuple[str, ...]] | None:
    """Return the slide with its levels, and the kinds of the other pages.

    None when the pages do not say what they are.
    """
    kinds = [(page, _image_type(page)) for page in tif.pages]
    full = [page for page, kind in kinds if kind == _FINEST]
    full = [page for page in full if page.shape == full[0].shape]
    if not full:
        return None
    groups: dict[tuple[int, ...], list[tifffile.TiffPage]] = {}
    for page, kind in kinds:
        if kind == _COARSER and page.shape != full[0].shape:
            groups.setdefault(page.shape, []).append(page)
    slide = _series(full)
    slide.levels.extend(_series(pages) for pages in groups.values() if len(pages) == len(full))
    others = tuple(kind for _, kind in kinds if kind and kind not in {_FINEST, _COARSER})
    return slide, others


def qptiff_picture(tif: tifffile.TiffFile, kind: str) -> tifffile.TiffPageSeries:
    """Return the first page of a kind, as `qptiff_series` names them."""
    return _series([next(page for page in tif.pages if _image_type(page) == kind)])


def _series(pages: Sequence[tifffile.TiffPage]) -> tifffile.TiffPageSeries:
    import tifffile

    first = pages[0]
    shape = (len(pages), *first.shape)
    return tifffile.TiffPageSeries(
        list(pages), shape, first.dtype, "C" + first.axes, name="Baseline", kind="qpi"
    )


def _image_type(page: tifffile.TiffPage) -> str:
    root = parsed_xml(page.description)
    return "" if root is None else (root.findtext("ImageType") or "").strip()
