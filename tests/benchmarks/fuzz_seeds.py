"""Small good files of every format, for the fuzz run to damage."""

from __future__ import annotations

import importlib
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
import zarr
from numpy.typing import NDArray

from tilescope.domain.geometry import Rect
from tilescope.testing.ndpi import write_ndpi
from tilescope.testing.synthetic import (
    coordinate_pixels,
    pyramid,
    write_ome_zarr,
    write_tiff_pyramid,
)

Pixels = NDArray[Any]

_APERIO = (
    "Aperio Image Library v11.2.1 \r\n96x80 [0,0 96x80] (32x32) JPEG/RGB Q=70|AppMag = 20|"
    "MPP = 0.4990|Filename = CMU-1|Date = 12/29/09"
)


class Missing(Exception):
    """The seeds of a reader cannot be made; says which library is missing."""


def _pixels(width: int = 96, height: int = 80, dtype: str = "uint8") -> Pixels:
    return coordinate_pixels(Rect(0, 0, width, height), dtype=dtype)


def tiff(folder: Path) -> None:
    """Tiled and striped TIFFs of all kinds of samples."""
    rgb, tile = _pixels(), {"tile": (32, 32)}
    for name, options in {
        "zlib": {"compression": "zlib", "photometric": "rgb", **tile},
        "jpeg": {"compression": "jpeg", "photometric": "ycbcr", "subsampling": (2, 2), **tile},
        "jpeg2000": {"compression": "jpeg2000", "photometric": "rgb", **tile},
        "lzw": {"compression": "lzw", "predictor": True, "photometric": "rgb", **tile},
        "strips": {"compression": "packbits", "photometric": "rgb", "rowsperstrip": 16},
        "zstd": {"compression": "zstd", "photometric": "rgb", "bigtiff": True, **tile},
        "big-endian": {"photometric": "rgb", "byteorder": ">", **tile},
    }.items():
        outer = {k: v for k, v in options.items() if k in ("bigtiff", "byteorder")}
        inner = {k: v for k, v in options.items() if k not in outer}
        with tifffile.TiffWriter(folder / f"{name}.tif", **outer) as writer:
            writer.write(rgb, metadata=None, **inner)
    planes = np.moveaxis(rgb, 2, 0)
    tifffile.imwrite(folder / "planes.tif", planes, planarconfig="separate", photometric="rgb",
                     metadata=None, **tile)  # fmt: skip
    for dtype in ("uint16", "float32"):
        grey = _pixels(dtype=dtype)[..., 0]
        tifffile.imwrite(folder / f"{dtype}.tif", grey, compression="zlib", **tile)
    tifffile.imwrite(folder / "bits.tif", rgb[..., 0] > 40, photometric="minisblack", **tile)
    colours = np.arange(768, dtype=np.uint16).reshape(3, 256)
    tifffile.imwrite(folder / "palette.tif", rgb[..., 0], photometric="palette", colormap=colours,
                     **tile)  # fmt: skip
    levels = pyramid(_pixels(200, 150), 3)
    write_tiff_pyramid(folder / "pyramid.tif", levels, tile=64, um_per_px=0.5)
    write_tiff_pyramid(folder / "jpegs.tif", levels, tile=64, compression="jpeg")


def ome_tiff(folder: Path) -> None:
    """OME-TIFFs with channels, focal planes, times and sub-resolutions."""
    for axes, dtype in (("CYX", "uint16"), ("ZCYX", "uint8"), ("TZCYX", "uint8")):
        data = np.zeros((2,) * (len(axes) - 2) + (70, 90), dtype) + _pixels(90, 70)[..., 0]
        with tifffile.TiffWriter(folder / f"{axes}.ome.tif", ome=True) as writer:
            metadata = {"axes": axes, "PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm"}
            options: dict[str, Any] = {"tile": (32, 32), "compression": "zlib"}
            writer.write(data.astype(dtype), subifds=1, metadata=metadata, **options)
            writer.write(data[..., ::2, ::2].astype(dtype), subfiletype=1, **options)
    with tifffile.TiffWriter(folder / "rgb.ome.tif", ome=True, bigtiff=True) as writer:
        writer.write(_pixels(), tile=(32, 32), photometric="rgb", metadata={"axes": "YXS"})


def svs(folder: Path) -> None:
    """Aperio slides with a thumbnail and a label, in JPEG and in JPEG 2000."""
    levels = pyramid(_pixels(200, 150), 2)
    for compression in ("jpeg", "aperio_jp2000_rgb"):
        with tifffile.TiffWriter(folder / f"{compression}.svs") as writer:
            options: dict[str, Any] = {"tile": (64, 64), "photometric": "rgb", "metadata": None}
            packed = options | {"compression": compression}
            try:
                writer.write(levels[0], description=_APERIO, **packed)
            except (KeyError, ValueError):
                packed["compression"] = "jpeg2000"
                writer.write(levels[0], description=_APERIO, **packed)
            writer.write(_pixels(40, 30), photometric="rgb", metadata=None, rowsperstrip=30,
                         compression="jpeg", description="thumbnail")  # fmt: skip
            writer.write(levels[1], description=_APERIO, **packed)
            writer.write(_pixels(30, 20), photometric="rgb", metadata=None, compression="lzw",
                         description="label 30x20", subfiletype=1)  # fmt: skip


def ndpi(folder: Path) -> None:
    """Hamamatsu slides: one JPEG per page, cut by restart markers, and the list of them."""
    _library("PIL.Image", "pillow")
    for interval, focus in ((4, (0,)), (8, (0, 200))):
        levels = pyramid(_pixels(256, 128), 2)
        pages = [pixels for pixels in levels for _ in focus]
        heights = list(focus) * len(levels)
        write_ndpi(folder / f"{interval}.ndpi", pages, interval, focus=heights, quality=80)


def image(folder: Path) -> None:
    """Plain pictures: PNG, JPEG, WebP, BMP and JPEG 2000."""
    rgb, deep = _pixels(), _pixels(dtype="uint16")
    for name, data in {
        "rgb.png": imagecodecs.png_encode(rgb),
        "deep.png": imagecodecs.png_encode(deep),
        "rgb.jpg": imagecodecs.jpeg8_encode(rgb),
        "grey.jpg": imagecodecs.jpeg8_encode(np.ascontiguousarray(rgb[..., 0])),
        "lossy.webp": imagecodecs.webp_encode(rgb),
        "lossless.webp": imagecodecs.webp_encode(rgb, lossless=True),
        "rgb.bmp": imagecodecs.bmp_encode(rgb),
        "rgb.jp2": imagecodecs.jpeg2k_encode(rgb),
        "deep.jp2": imagecodecs.jpeg2k_encode(deep, codecformat="j2k"),
    }.items():
        (folder / name).write_bytes(data)


def zarr_folders(folder: Path) -> None:
    """OME-Zarrs 0.4 and 0.5, the latter also sharded, with several codecs."""
    levels = [np.moveaxis(v, 2, 0) for v in pyramid(_pixels(), 2)]
    for version in ("0.4", "0.5"):
        write_ome_zarr(folder / version, levels, version=version, chunk=64, um_per_px=0.5)
    _compressed_zarr(folder / "sharded", levels, shards=True)
    _compressed_zarr(folder / "zstd", levels, shards=False)


def zarr_zips(folder: Path) -> None:
    """The same in zip files."""
    made = folder / "made"
    made.mkdir()
    zarr_folders(made)
    for root in [p for p in made.iterdir() if p.is_dir()]:
        with zipfile.ZipFile(folder / f"{root.name}.zarr.zip", "w") as archive:
            for path in sorted(p for p in root.rglob("*") if p.is_file()):
                archive.write(path, path.relative_to(root))
    for path in sorted(made.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    made.rmdir()


def _compressed_zarr(path: Path, levels: Sequence[Pixels], *, shards: bool) -> None:
    write_ome_zarr(path, levels, version="0.5", chunk=32)
    group = zarr.open_group(str(path), mode="a")
    for index, level in enumerate(levels):
        array = group.create_array(
            str(index),
            shape=level.shape,
            chunks=(1, 32, 32),
            shards=(1, 64, 64) if shards else None,
            dtype=level.dtype,
            compressors=zarr.codecs.BloscCodec() if shards else zarr.codecs.ZstdCodec(),
            overwrite=True,
        )
        array[...] = level


def dicom(folder: Path) -> None:
    """Whole-slide DICOM files, full and sparse."""
    _library("wsidicom", "wsidicom: the extra dicom")
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "engine" / "io"))
    try:
        files = importlib.import_module("dicom_files")
    finally:
        sys.path.pop(0)
    rgb = _pixels()
    tiles = files.tiles_of(rgb, 32)
    files.write_dicom(folder / "full.dcm", tiles, (96, 80))
    files.write_dicom(folder / "sparse.dcm", tiles[:2], (96, 80), positions=[(0, 0), (32, 0)])
    files.write_dicom(folder / "grey.dcm", files.tiles_of(_pixels(dtype="uint16")[..., 0], 32),
                      (96, 80))  # fmt: skip


def fits(folder: Path) -> None:
    """FITS pictures of several types, one of them compressed in tiles."""
    astropy = _library("astropy.io.fits", "astropy: the extra fits")
    grey = _pixels(dtype="float32")[..., 0]
    for dtype in ("uint8", "int16", "uint16", "float32", "float64"):
        astropy.PrimaryHDU(grey.astype(dtype)).writeto(folder / f"{dtype}.fits")
    cube = np.moveaxis(_pixels(dtype="uint16"), 2, 0).astype(np.int32)
    astropy.PrimaryHDU(cube).writeto(folder / "cube.fits")
    compressed = astropy.CompImageHDU(grey.astype(np.int16), compression_type="RICE_1")
    astropy.HDUList([astropy.PrimaryHDU(), compressed]).writeto(folder / "rice.fits")


def pdf(folder: Path) -> None:
    """One page with a drawing, one with a picture."""
    _library("pypdfium2", "pypdfium2: the extra pdf")
    drawing = b"1 0 0 rg 20 60 40 40 re f 0 0 1 RG 3 w 0 0 m 200 300 l S"
    (folder / "drawing.pdf").write_bytes(_pdf(drawing, []))
    picture = bytes(imagecodecs.jpeg8_encode(_pixels(32, 32)))
    header = b"/Type /XObject /Subtype /Image /Width 32 /Height 32 /ColorSpace /DeviceRGB"
    header += b" /BitsPerComponent 8 /Filter /DCTDecode"
    (folder / "picture.pdf").write_bytes(_pdf(b"100 0 0 100 9 9 cm /P Do", [(header, picture)]))


def _pdf(content: bytes, pictures: Sequence[tuple[bytes, bytes]]) -> bytes:
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 300] /Contents 4 0 R "
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
        page + b"/Resources << /XObject << /P 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
    ]
    for header, data in pictures:
        objects.append(b"<< %s /Length %d >>\nstream\n%s\nendstream" % (header, len(data), data))
    out, places = bytearray(b"%PDF-1.7\n"), []
    for number, text in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, text)
    start, count = len(out), len(objects) + 1
    out += b"xref\n0 %d\n0000000000 65535 f \n" % count
    out += b"".join(b"%010d 00000 n \n" % at for at in places)
    out += b"trailer\n<< /Root 1 0 R /Size %d >>\nstartxref\n%d\n%%%%EOF\n" % (count, start)
    return bytes(out)


def openslide(folder: Path) -> None:
    """What OpenSlide reads without our help: generic tiled TIFF, Aperio, Hamamatsu, DICOM."""
    write_tiff_pyramid(folder / "pyramid.tif", pyramid(_pixels(200, 150), 2), compression="jpeg",
                       tile=64)  # fmt: skip
    svs(folder)
    ndpi(folder)


#: What makes the seeds of each reader, files or folders.
SEEDS: dict[str, Callable[[Path], None]] = {
    "tiff": tiff,
    "ome-tiff": ome_tiff,
    "svs": svs,
    "ndpi": ndpi,
    "openslide": openslide,
    "image": image,
    "zarr": zarr_folders,
    "zarr-zip": zarr_zips,
    "dicom": dicom,
    "fits": fits,
    "pdf": pdf,
}


def seeds_in(folder: Path) -> Iterator[dict[str, bytes]]:
    """Yield every seed of a folder as its files by name; those of a folder begin with its name."""
    for path in sorted(folder.iterdir()):
        if path.is_file():
            yield {path.name: path.read_bytes()}
        else:
            files = sorted(p for p in path.rglob("*") if p.is_file())
            yield {f"{path.name}/{p.relative_to(path)}": p.read_bytes() for p in files}


def _library(module: str, remedy: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise Missing(f"needs {remedy}") from error
