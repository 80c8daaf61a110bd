"""A page of a PDF as a slide, drawn tile by tile at a chosen resolution.

PDFium draws any rectangle of a page without holding the rest of it. It is not safe to be called
from two threads, whatever the documents: one lock serves the whole process. Pages are addressed as
in RFC 8118 (``file.pdf#page=3``).
"""

from __future__ import annotations

import math
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from tilescope.domain.geometry import Rect, Size
from tilescope.domain.slide import SlideInfo
from tilescope.domain.tiles import TileKey
from tilescope.errors import CorruptSlide, UnsupportedFormat
from tilescope.io.extras import extra
from tilescope.io.faults import closed_error, foreign_errors, one_line
from tilescope.io.identity import slide_id
from tilescope.io.levels import make_levels
from tilescope.io.slide_reader import SlideReader

if TYPE_CHECKING:
    import pypdfium2

Pixels = NDArray[Any]

DEFAULT_DPI = 300
_DPI_RANGE = (10, 2400)

#: Length of a unit of a page's own coordinates (ISO 32000-1, 8.3.2.3).
_UNITS_PER_INCH = 72

_TILE = Size(1024, 1024)

#: A page box of absurd size is damage, or needs fewer dots per inch.
_MOST_PIXELS = 1 << 30

#: PDFium decodes a picture on the page as a whole, up to four bytes per pixel.
_LARGEST_PICTURE_BYTES = 512 << 20

#: A page whose tile takes longer to draw is made to never end.
_PATIENCE_SECONDS = 60.0

_PDFIUM = threading.Lock()


class PdfSource(SlideReader):
    """One page of an open PDF."""

    def __init__(self, info: SlideInfo, document: Any, page: Any, patience: float) -> None:  # noqa: ANN401
        super().__init__(info)
        self._document = document
        self._page = page
        self._patience = patience

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        page: int = 1,
        dpi: int = DEFAULT_DPI,
        patience: float = _PATIENCE_SECONDS,
    ) -> Self:
        """Return a page as a slide.

        Parameters
        ----------
        path
            The PDF.
        page
            Counted from 1.
        dpi
            Pixels per inch of level 0, 10 to 2400.
        patience
            Seconds after which drawing one tile is given up.

        Raises
        ------
        UnsupportedFormat
            When PDFium is not installed, the document needs a password, there is no such page,
            or it would be too large.
        CorruptSlide
            When the document or the page cannot be read.
        """
        if not _DPI_RANGE[0] <= dpi <= _DPI_RANGE[1]:
            raise UnsupportedFormat(path, f"{dpi} dpi is outside {_DPI_RANGE[0]}-{_DPI_RANGE[1]}")
        with foreign_errors(path, "opening the PDF"), _PDFIUM:
            document = _load(path)
            try:
                leaf = _page(path, document, page)
                _check_pictures(path, leaf)
                info = _describe(path, leaf, (page, len(document), dpi))
                return cls(info, document, leaf, patience)
            except BaseException:
                document.close()
                raise

    def _read(self, tile: TileKey, rect: Rect) -> Pixels:
        del tile  # the only level and plane
        with _PDFIUM:
            if self._page is None:
                raise closed_error()
            return _draw(self._page, self._info.size, rect, self._patience)

    def close(self) -> None:
        """Give back the document; twice is fine."""
        with _PDFIUM:
            document, self._document, self._page = self._document, None, None
            if document is not None:
                document.close()


def _load(path: Path) -> pypdfium2.PdfDocument:
    with extra(path, "pypdfium2", "pdf"):
        import pypdfium2
    from pypdfium2 import raw

    # PDFium itself leaves a file that it cannot read open
    file = path.open("rb")
    try:
        return pypdfium2.PdfDocument(file, autoclose=True)
    except pypdfium2.PdfiumError as error:
        file.close()
        if getattr(error, "err_code", None) == raw.FPDF_ERR_PASSWORD:
            reason = "the PDF needs a password; save a copy without one"
            raise UnsupportedFormat(path, reason) from error
        raise CorruptSlide(path, f"damaged PDF ({one_line(error)})") from error


def _page(path: Path, document: pypdfium2.PdfDocument, page: int) -> Any:  # noqa: ANN401
    if not 1 <= page <= len(document):
        raise UnsupportedFormat(path, f"the PDF has {len(document)} pages, no page {page}")
    return document.get_page(page - 1)


def _check_pictures(path: Path, page: Any) -> None:  # noqa: ANN401
    """Refuse a page with a picture that takes too much memory to decode."""
    from pypdfium2 import raw

    for picture in page.get_objects(filter=[raw.FPDF_PAGEOBJ_IMAGE]):
        width, height = picture.get_px_size()
        needed = 4 * width * height
        if needed > _LARGEST_PICTURE_BYTES:
            reason = (
                f"a picture on the page of {width} x {height} pixels takes up to "
                f"{needed >> 20} MiB, more than {_LARGEST_PICTURE_BYTES >> 20} MiB"
            )
            raise UnsupportedFormat(path, reason)


def _describe(path: Path, leaf: Any, place: tuple[int, int, int]) -> SlideInfo:  # noqa: ANN401
    page, pages, dpi = place
    sides = [float(side) * dpi / _UNITS_PER_INCH for side in leaf.get_size()]
    if not all(0 < side < math.inf for side in sides):
        raise CorruptSlide(path, f"page {page} has no size")
    if math.prod(sides) > _MOST_PIXELS:
        text = f"page {page} at {dpi} dpi has {sides[0]:.0f} x {sides[1]:.0f} pixels"
        raise UnsupportedFormat(path, f"{text}, too many; choose fewer, such as #dpi=72")
    size = Size(math.ceil(sides[0]), math.ceil(sides[1]))
    part = f"page={page}&dpi={dpi}"
    identity, size_bytes = slide_id(path, part)
    return SlideInfo(
        id=identity,
        path=f"{path}#{part}",
        size_bytes=size_bytes,
        format="pdf",
        reader="pdf",
        levels=make_levels([size], [_TILE]),
        bands=("R", "G", "B"),
        dtype="uint8",
        background=(255, 255, 255),
        properties={"pdf.page": str(page), "pdf.pages": str(pages), "pdf.dpi": str(dpi)},
    )


def _draw(page: Any, size: Size, rect: Rect, patience: float) -> Pixels:  # noqa: ANN401
    """Return ``uint8[h, w, 3]``, ``rect`` of the page at ``size``, within so many seconds."""
    import pypdfium2
    from pypdfium2 import raw

    bitmap = pypdfium2.PdfBitmap.new_native(
        rect.width, rect.height, raw.FPDFBitmap_BGR, rev_byteorder=True
    )
    try:
        bitmap.fill_rect((255, 255, 255, 255), 0, 0, rect.width, rect.height)
        flags = raw.FPDF_ANNOT | raw.FPDF_REVERSE_BYTE_ORDER
        place = (-rect.x0, -rect.y0, size.width, size.height, 0)
        pause = _deadline(time.monotonic() + patience)
        state = raw.FPDF_RenderPageBitmap_Start(bitmap, page, *place, flags, pause)
        raw.FPDF_RenderPage_Close(page)
        if state != raw.FPDF_RENDER_DONE:
            late = state == raw.FPDF_RENDER_TOBECONTINUED
            msg = f"took more than {patience:g} s" if late else "PDFium gave up"
            raise ValueError(msg)
        return np.array(bitmap.to_numpy(), order="C")
    finally:
        bitmap.close()


def _deadline(when: float) -> Any:  # noqa: ANN401
    """Return the structure by which PDFium asks whether to pause."""
    from pypdfium2 import raw

    pause = raw.IFSDK_PAUSE(version=1)
    kind = type(pause.NeedToPauseNow)
    pause.NeedToPauseNow = kind(lambda _: time.monotonic() > when)
    return pause
