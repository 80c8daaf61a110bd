"""Pages of PDFs: the same pixels whatever the tiles, pages by name, and files made to hurt."""

import sys
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pypdfium2
import pytest

from tilescope.domain.geometry import Rect, Size
from tilescope.errors import CorruptSlide, SlideNotFound, TileReadError, UnsupportedFormat
from tilescope.io.cache import TileCache
from tilescope.io.pdf_source import PdfSource
from tilescope.io.region import read_region
from tilescope.io.registry import open_slide


def whole(source):
    return read_region(source, TileCache(256 << 20), 0, Rect.of_size(source.info.size))


def pdf(*, content=b"", box="0 0 200 300", pages=1, picture=None, trailer=""):
    """Return a PDF whose pages have ``content``, with a picture called ``/P``."""
    objects = {1: b"<< /Type /Catalog /Pages 2 0 R >>"}
    kids = " ".join(f"{10 + i} 0 R" for i in range(pages))
    objects[2] = f"<< /Type /Pages /Count {pages} /Kids [{kids}] >>".encode()
    for i in range(pages):
        objects[10 + i] = (
            f"<< /Type /Page /Parent 2 0 R /MediaBox [{box}] /Contents 3 0 R "
            "/Resources << /XObject << /P 4 0 R >> >> >>"
        ).encode()
    objects[3] = b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content)
    if picture is not None:
        header, data = picture
        objects[4] = b"<< %s /Length %d >>\nstream\n%s\nendstream" % (header, len(data), data)
    out, offsets = bytearray(b"%PDF-1.7\n"), {}
    for number, text in objects.items():
        offsets[number] = len(out)
        out += b"%d 0 obj\n%s\nendobj\n" % (number, text)
    start = len(out)
    out += b"xref\n0 1\n0000000000 65535 f \n"
    for number, at in offsets.items():
        out += b"%d 1\n%010d 00000 n \n" % (number, at)
    out += f"trailer\n<< /Root 1 0 R /Size {max(objects) + 1} {trailer} >>\n".encode()
    out += b"startxref\n%d\n%%%%EOF\n" % start
    return bytes(out)


#: A red square whose corner is 20 from the left and 60 from the bottom, and a diagonal line.
DRAWING = b"1 0 0 rg 20 60 40 40 re f 0 0 1 RG 3 w 0 0 m 200 300 l S"


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "page.pdf"
    path.write_bytes(pdf(content=DRAWING, pages=3))
    return path


def test_tiles_are_what_pdfium_draws_at_once(page):
    with open_slide(f"{page}#dpi=432") as slide:
        assert slide.info.reader == "pdf"
        assert slide.info.size == Size(1200, 1800)
        assert slide.info.levels[0].columns > 1
        ours = whole(slide)
    with pypdfium2.PdfDocument(page) as document:
        theirs = document[0].render(scale=6, rev_byteorder=True).to_numpy()
    # edges are smoothed by their distance from the origin of what is drawn
    assert np.abs(ours.astype(int) - theirs).max() <= 1
    assert tuple(ours[1800 - 6 * 95, 6 * 25]) == (255, 0, 0)


def test_a_page_is_300_dots_per_inch_and_has_no_micrometres(page):
    with open_slide(page) as slide:
        assert slide.info.size == Size(834, 1250)
        assert slide.info.pixel_size is None
        assert slide.info.properties == {"pdf.page": "1", "pdf.pages": "3", "pdf.dpi": "300"}


def test_each_page_is_a_slide_of_its_own(page):
    infos = []
    for name in (f"{page}", f"{page}#page=2", f"{page}#page=2&dpi=72", f"{page}#dpi=72&page=2"):
        with open_slide(name) as slide:
            infos.append(slide.info)
    assert infos[2].size == Size(200, 300)
    assert len({info.id for info in infos}) == 3
    assert infos[2].id == infos[3].id
    with open_slide(infos[2].path) as again:
        assert again.info.id == infos[2].id


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        ("page=4", "the PDF has 3 pages, no page 4"),
        ("page=0", "no page 0"),
        ("dpi=5", "5 dpi is outside 10-2400"),
        ("hdu=1", "knows no part called hdu"),
        ("pgae=3", "knows no part called pgae"),
        ("page", "'#page' names no part"),
        ("page=-1", "names no part"),
    ],
)
def test_parts_that_are_not_there(page, part, reason):
    with pytest.raises(UnsupportedFormat, match=reason):
        open_slide(f"{page}#{part}")


def test_a_name_with_a_hash_is_found_first(tmp_path, page):
    odd = tmp_path / "page.pdf#page=2"
    odd.write_bytes(pdf(box="0 0 72 144"))
    with open_slide(odd) as slide:
        assert slide.info.size == Size(300, 600)
    with pytest.raises(SlideNotFound):
        open_slide(tmp_path / "none.pdf#page=2")


def test_rubbish_in_front_and_any_name(tmp_path):
    path = tmp_path / "scan.tif"
    path.write_bytes(b"\r\n\r\n" + pdf(content=DRAWING))
    with open_slide(path) as slide:
        assert slide.info.format == "pdf"
        assert whole(slide).std() > 1


def test_threads_draw_different_documents(tmp_path):
    pictures = {}
    for i in range(4):
        path = tmp_path / f"{i}.pdf"
        path.write_bytes(pdf(content=b"0 0 1 rg 0 0 %d 300 re f" % (40 * i)))
        with open_slide(path) as slide:
            pictures[path] = whole(slide)

    def read(path):
        with open_slide(path) as slide:
            return path, whole(slide)

    with ThreadPoolExecutor(4) as pool:
        for path, picture in pool.map(read, list(pictures) * 4):
            np.testing.assert_array_equal(picture, pictures[path])


def test_a_password_is_asked_for(tmp_path):
    path = tmp_path / "locked.pdf"
    lock = (
        "/ID [<00112233445566778899aabbccddeeff> <00112233445566778899aabbccddeeff>] "
        "/Encrypt << /Filter /Standard /V 1 /R 2 /Length 40 /P -4 "
        f"/O <{'ab' * 32}> /U <{'cd' * 32}> >>"
    )
    path.write_bytes(pdf(trailer=lock))
    with pytest.raises(UnsupportedFormat, match="needs a password"):
        open_slide(path)


def test_damaged(tmp_path):
    path = tmp_path / "cut.pdf"
    path.write_bytes(b"%PDF-1.7\nnothing of a PDF")
    with pytest.raises(CorruptSlide, match="damaged PDF"):
        open_slide(path)


def test_a_page_of_absurd_size(tmp_path):
    path = tmp_path / "wide.pdf"
    path.write_bytes(pdf(box="0 0 90000 90000"))
    with pytest.raises(UnsupportedFormat, match="too many; choose fewer"):
        open_slide(path)
    with open_slide(f"{path}#dpi=10") as slide:
        assert slide.info.size == Size(12500, 12500)


def test_a_picture_too_large_to_decode(tmp_path):
    header = (
        b"/Type /XObject /Subtype /Image /Width 40000 /Height 40000 /BitsPerComponent 8 "
        b"/ColorSpace /DeviceRGB /Filter /FlateDecode"
    )
    path = tmp_path / "bomb.pdf"
    content = b"q 100 0 0 100 0 0 cm /P Do Q"
    path.write_bytes(pdf(content=content, picture=(header, zlib.compress(bytes(1 << 20)))))
    with pytest.raises(UnsupportedFormat, match="40000 x 40000 pixels"):
        open_slide(path)


def test_a_page_that_takes_too_long(tmp_path):
    path = tmp_path / "long.pdf"
    path.write_bytes(pdf(content=b"0 0 m 200 300 l S " * 500))
    with PdfSource.open(path) as slide:
        in_time = slide.read_tile(0, 0, 0)
    with PdfSource.open(path, patience=0) as slide:
        for row in (0, 1):
            with pytest.raises(TileReadError, match="took more than 0 s"):
                slide.read_tile(0, 0, row)
    assert in_time.shape == (1024, 834, 3)


def test_a_closed_page_says_so(page):
    slide = PdfSource.open(page)
    slide.close()
    slide.close()
    with pytest.raises(TileReadError, match="closed"):
        slide.read_tile(0, 0, 0)


def test_without_pdfium_the_remedy_is_named(page, monkeypatch):
    monkeypatch.setitem(sys.modules, "pypdfium2", None)
    with pytest.raises(UnsupportedFormat, match=r"needs pypdfium2: pip install 'tilescope\[pdf\]'"):
        PdfSource.open(page)


def test_pictures_on_a_page_are_drawn(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (30, 20, 3), np.uint8)
    header = (
        b"/Type /XObject /Subtype /Image /Width 20 /Height 30 /BitsPerComponent 8 "
        b"/ColorSpace /DeviceRGB /Filter /FlateDecode"
    )
    path = tmp_path / "scan.pdf"
    picture = (header, zlib.compress(pixels.tobytes()))
    path.write_bytes(pdf(content=b"q 200 0 0 300 0 0 cm /P Do Q", picture=picture))
    with open_slide(f"{path}#dpi=72") as slide:
        middles = whole(slide)[5::10, 5::10].astype(int)
    assert np.abs(middles - pixels).max() <= 2


def test_a_pdf_without_pages_is_given_back(tmp_path):
    # the guard against files left open watches, too
    path = tmp_path / "none.pdf"
    path.write_bytes(pdf(pages=0))
    with pytest.raises(CorruptSlide, match="damaged PDF"):
        PdfSource.open(path)
