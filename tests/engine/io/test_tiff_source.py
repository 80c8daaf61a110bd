import os
import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tilescope.domain.geometry import Rect, Size
from tilescope.errors import CorruptSlide, TileReadError, UnsupportedFormat
from tilescope.io.region import read_region
from tilescope.io.tiff_source import TiffSource
from tilescope.testing.synthetic import pyramid, write_tiff_pyramid


def written(path: Path, pixels, **options) -> TiffSource:
    tifffile.imwrite(path, pixels, metadata=None, **options)
    return TiffSource.open(path)


def whole(source, cache, level=0, plane=0):
    size = source.info.levels[level].size
    return read_region(source, cache, level, Rect.of_size(size), plane=plane)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "slide.tif"


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("bigtiff", [False, True])
def test_the_places_of_thousands_of_tiles(path, cache, byteorder, bigtiff):
    pixels = np.random.default_rng(11).integers(0, 255, (1050, 1050), np.uint8)
    options = {"tile": (16, 16), "photometric": "minisblack", "byteorder": byteorder}
    with written(path, pixels, bigtiff=bigtiff, **options) as source:
        np.testing.assert_array_equal(whole(source, cache)[..., 0], pixels)


@pytest.mark.parametrize("subifds", [False, True])
@pytest.mark.parametrize("bands", [1, 3])
def test_levels_are_found_and_read(path, cache, coordinates, subifds, bands):
    levels = pyramid(coordinates[..., :bands], 4)
    write_tiff_pyramid(path, levels, tile=128, subifds=subifds)
    with TiffSource.open(path) as source:
        assert [v.downsample_x for v in source.info.levels] == [1, 2, 4, 8]
        assert source.info.bands == (("R", "G", "B") if bands == 3 else ("grey",))
        for index, expected in enumerate(levels):
            np.testing.assert_array_equal(whole(source, cache, index), expected)


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "zstd", "packbits"])
@pytest.mark.parametrize("rows", [1, 7, 64, 777])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_strips_of_any_height(path, cache, coordinates, compression, rows, planar):
    data = coordinates if planar == "contig" else np.moveaxis(coordinates, 2, 0)
    options = {"photometric": "rgb", "planarconfig": planar, "rowsperstrip": rows}
    with written(path, data, compression=compression, **options) as source:
        np.testing.assert_array_equal(whole(source, cache), coordinates)


def test_one_tall_compressed_strip_is_handed_out_in_windows(path, cache):
    pixels = np.random.default_rng(0).integers(0, 255, (2100, 2300, 3), np.uint8)
    options = {"photometric": "rgb", "rowsperstrip": 2100, "compression": "zlib"}
    with written(path, pixels, **options) as source:
        assert source.info.levels[0].tile == Size(1024, 1024)
        np.testing.assert_array_equal(whole(source, cache), pixels)


def test_a_large_uncompressed_page_is_read_row_by_row(path, cache):
    pixels = np.zeros((9000, 3000, 3), np.uint8)
    pixels[8999, 2999] = 7
    with written(path, pixels, photometric="rgb") as source:
        tile = source.info.levels[0].tile
        assert tile.area * 3 <= 4 << 20
        last = read_region(source, cache, 0, Rect(2999, 8999, 3000, 9000))
        assert last.tolist() == [[[7, 7, 7]]]


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_wide_uncompressed_pages_are_cut_across_too(path, cache, planar):
    pixels = np.random.default_rng(9).integers(0, 60000, (70, 20000, 3), np.uint16)
    data = pixels if planar == "contig" else np.moveaxis(pixels, 2, 0)
    options = {"photometric": "rgb", "planarconfig": planar, "rowsperstrip": 9}
    with written(path, data, byteorder=">", **options) as source:
        assert source.info.levels[0].tile == Size(1024, 70)
        np.testing.assert_array_equal(whole(source, cache), pixels)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "int8", "int16", "float64"])
@pytest.mark.parametrize("tile", [None, (64, 64)])
def test_number_types_keep_their_values(path, cache, byteorder, dtype, tile):
    values = np.random.default_rng(1).integers(-90, 90, (150, 170)).astype(dtype)
    with written(path, values, byteorder=byteorder, tile=tile, photometric="minisblack") as source:
        assert source.info.dtype == (dtype if dtype in {"uint8", "uint16"} else "float32")
        np.testing.assert_array_equal(whole(source, cache)[..., 0], values)


@pytest.mark.parametrize("dtype", ["uint64", "complex64"])
def test_number_types_without_a_place_are_refused(path, dtype):
    with pytest.raises(UnsupportedFormat, match="not supported"):
        written(path, np.zeros((20, 20), dtype), photometric="minisblack")


def test_white_is_zero_is_inverted(path, cache):
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    with written(path, values, photometric="miniswhite") as source:
        np.testing.assert_array_equal(whole(source, cache)[..., 0], 255 - values)


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_one_bit_becomes_black_and_white(path, cache, photometric):
    bits = np.random.default_rng(2).integers(0, 2, (33, 41)).astype(bool)
    with written(path, bits, photometric=photometric) as source:
        ink = bits if photometric == "minisblack" else ~bits
        np.testing.assert_array_equal(whole(source, cache)[..., 0], ink * np.uint8(255))


@pytest.mark.parametrize("bits", [2, 4])
def test_few_bits_fill_the_byte(path, cache, bits):
    values = np.random.default_rng(3).integers(0, 2**bits, (20, 32), np.uint8)
    step = 255 // (2**bits - 1)
    with written(path, values, photometric="minisblack", bitspersample=bits) as source:
        np.testing.assert_array_equal(whole(source, cache)[..., 0], values * step)


def test_palette_becomes_colour(path, cache):
    table = np.random.default_rng(4).integers(0, 65536, (3, 256), np.uint16)
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    with written(path, values, photometric="palette", colormap=table) as source:
        assert source.info.is_rgb
        np.testing.assert_array_equal(whole(source, cache), (table.T >> 8)[values])


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("kind", ["unassalpha", "assocalpha", "unspecified"])
def test_alpha_lies_over_white(path, cache, dtype, kind):
    top = np.iinfo(dtype).max
    pixels = np.zeros((16, 16, 4), dtype)
    pixels[:8, :, :3] = top // 2
    pixels[:8, :, 3] = top
    expected = {"unspecified": 0}.get(kind, top)
    with written(path, pixels, photometric="rgb", extrasamples=[kind]) as source:
        out = whole(source, cache)
        assert (out[:8] == top // 2).all()
        assert (out[8:] == expected).all()


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_grey_with_opacity_lies_over_white(path, cache, photometric):
    pixels = np.zeros((16, 16, 2), np.uint8)
    pixels[..., 0] = 40
    pixels[:8, :, 1] = 255
    options = {"photometric": photometric, "planarconfig": "contig"}
    with written(path, pixels, extrasamples=["unassalpha"], **options) as source:
        assert source.info.bands == ("grey",)
        out = whole(source, cache)
        assert (out[:8] == (40 if photometric == "minisblack" else 215)).all()
        assert (out[8:] == 255).all()


def test_stored_ycbcr_is_converted(path, cache):
    grey = np.full((16, 16, 3), 128, np.uint8)
    grey[..., 0] = 77
    with written(path, grey, photometric="ycbcr", subsampling=(1, 1)) as source:
        assert (whole(source, cache) == 77).all()


def test_cmyk_is_converted(path, cache):
    ink = np.zeros((16, 16, 4), np.uint8)
    ink[..., 0] = 255
    with written(path, ink, photometric="separated") as source:
        assert whole(source, cache)[0, 0].tolist() == [0, 255, 255]


def test_channels_depths_and_times_of_ome(path, cache):
    stack = np.random.default_rng(5).integers(0, 65535, (2, 3, 4, 40, 50), np.uint16)
    metadata = {
        "axes": "TZCYX",
        "Channel": {"Name": ["DAPI", "FITC", "TRITC", "Cy5"]},
        "PhysicalSizeX": 0.325,
        "PhysicalSizeY": 0.325,
    }
    tifffile.imwrite(path, stack, ome=True, metadata=metadata, photometric="minisblack")
    with TiffSource.open(path) as source:
        info = source.info
        assert info.bands == ("DAPI", "FITC", "TRITC", "Cy5")
        assert (info.z, info.t, info.format) == (3, 2, "ome-tiff")
        assert info.pixel_size is not None
        assert info.pixel_size.um_x == 0.325
        for t in range(2):
            for z in range(3):
                out = whole(source, cache, plane=t * 3 + z)
                np.testing.assert_array_equal(out, np.moveaxis(stack[t, z], 0, 2))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_sub_resolutions_of_an_ome_stack(path, cache, dtype, compression):
    stack = np.random.default_rng(10).integers(0, 250, (2, 3, 2, 96, 130)).astype(dtype)
    levels = [stack, stack[..., ::2, ::2], stack[..., ::4, ::4]]
    options = {"tile": (32, 32), "compression": compression, "photometric": "minisblack"}
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(levels[0], subifds=2, metadata={"axes": "TZCYX"}, **options)
        for level in levels[1:]:
            writer.write(level, subfiletype=1, **options)
    with TiffSource.open(path) as source:
        assert [v.downsample_x for v in source.info.levels] == [1, 2, 4]
        assert (source.info.z, source.info.t, source.info.dtype) == (3, 2, dtype)
        for index, level in enumerate(levels):
            for plane in (0, 4):
                expected = np.moveaxis(level[plane // 3, plane % 3], 0, 2)
                np.testing.assert_array_equal(whole(source, cache, index, plane), expected)


def test_imagej_hyperstack_and_its_unit(path, cache):
    stack = np.random.default_rng(6).integers(0, 65535, (3, 2, 40, 50), np.uint16)
    tifffile.imwrite(
        path, stack, imagej=True, resolution=(2, 2), metadata={"axes": "ZCYX", "unit": "um"}
    )
    with TiffSource.open(path) as source:
        assert source.info.pixel_size is not None
        assert source.info.pixel_size.um_x == 0.5
        assert source.info.z == 3
        np.testing.assert_array_equal(whole(source, cache, plane=1), np.moveaxis(stack[1], 0, 2))


def test_a_missing_tile_is_background(path, coordinates):
    write_tiff_pyramid(path, [coordinates], tile=256)
    with tifffile.TiffFile(path, mode="r+") as tif:
        counts = list(tif.pages[0].databytecounts)
        counts[1] = 0
        tif.pages[0].tags["TileByteCounts"].overwrite(counts)
    with TiffSource.open(path) as source:
        assert (source.read_tile(0, 1, 0) == 255).all()
        np.testing.assert_array_equal(source.read_tile(0, 0, 0), coordinates[:256, :256])


def leave_out_strip(path, page, strip):
    with tifffile.TiffFile(path, mode="r+") as tif:
        counts = list(tif.pages[page].databytecounts)
        counts[strip] = 0
        tif.pages[page].tags["StripByteCounts"].overwrite(counts)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("rows", [7, 256])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_a_missing_strip_is_background_and_the_others_are_not(
    path, cache, coordinates, compression, rows, planar
):
    data = coordinates if planar == "contig" else np.moveaxis(coordinates, 2, 0)
    options = {"photometric": "rgb", "planarconfig": planar, "rowsperstrip": rows}
    written(path, data, compression=compression, **options).close()
    leave_out_strip(path, 0, 1)
    with TiffSource.open(path) as source:
        expected = coordinates.copy()
        expected[rows : 2 * rows] = 255
        np.testing.assert_array_equal(whole(source, cache), expected)


@pytest.mark.parametrize("predictor", [2, 3])
@pytest.mark.parametrize(
    "options", [{"tile": (64, 48)}, {"rowsperstrip": 9}], ids=["tile", "strip"]
)
def test_predictors_are_undone(path, cache, predictor, options):
    dtype = "uint16" if predictor == 2 else "float32"
    values = np.random.default_rng(8).integers(0, 9000, (90, 100)).astype(dtype)
    options = options | {"predictor": predictor, "compression": "zlib"}
    with written(path, values, photometric="minisblack", **options) as source:
        np.testing.assert_array_equal(whole(source, cache)[..., 0], values)


@pytest.mark.parametrize(
    ("tag", "value", "reason"),
    [
        ("YCbCrSubSampling", [2, 2], "subsampling"),
        ("Predictor", 77, "77"),
    ],
)
def test_what_cannot_be_decoded_is_refused_on_opening(path, tag, value, reason):
    options = {"YCbCrSubSampling": {"photometric": "ycbcr"}}.get(tag, {"photometric": "rgb"})
    options |= {"predictor": 2} if tag == "Predictor" else {}
    pixels = np.zeros((64, 64, 3), np.uint8)
    written(path, pixels, tile=(32, 32), compression="zlib", **options).close()
    with tifffile.TiffFile(path, mode="r+") as tif:
        tif.pages[0].tags[tag].overwrite(value)
    with pytest.raises(UnsupportedFormat, match=reason):
        TiffSource.open(path)


def test_a_damaged_tile_leaves_the_others_readable(path, coordinates):
    write_tiff_pyramid(path, [coordinates], tile=256)
    with tifffile.TiffFile(path) as tif:
        offset = tif.pages[0].dataoffsets[1]
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"garbage!")
    with TiffSource.open(path) as source:
        with pytest.raises(TileReadError, match="tile \\(1, 0\\) of level 0"):
            source.read_tile(0, 1, 0)
        np.testing.assert_array_equal(source.read_tile(0, 2, 0), coordinates[:256, 512:768])


def test_a_cut_off_file_opens_and_says_which_tile_is_gone(path, coordinates):
    write_tiff_pyramid(path, [coordinates], tile=256, compression=None)
    with tifffile.TiffFile(path) as tif:
        offsets = tif.pages[0].dataoffsets
    assert offsets[-1] > tif.pages[0].offset  # or the directory would be cut off, too
    os.truncate(path, offsets[-1] + 10)
    with TiffSource.open(path) as source:
        source.read_tile(0, 0, 0)
        level = source.info.levels[0]
        with pytest.raises(TileReadError, match="outside a file"):
            source.read_tile(0, level.columns - 1, level.rows - 1)


def test_a_tile_that_claims_to_be_huge_is_not_decoded(path):
    import imagecodecs

    tile = np.zeros((64, 64, 3), np.uint8)
    with written(path, tile, tile=(64, 64), photometric="rgb", compression="jpeg") as source:
        source.read_tile(0, 0, 0)
    huge = bytes(imagecodecs.jpeg8_encode(np.zeros((4096, 4096, 3), np.uint8), level=10))
    with tifffile.TiffFile(path, mode="r+") as tif:
        offset = path.stat().st_size
        tif.pages[0].tags["TileOffsets"].overwrite([offset])
        tif.pages[0].tags["TileByteCounts"].overwrite([min(len(huge), 30000)])
    with path.open("ab") as file:
        file.write(b"\0" * (offset - path.stat().st_size) + huge)
    with TiffSource.open(path) as source, pytest.raises(TileReadError, match="4096 x 4096"):
        source.read_tile(0, 0, 0)


def test_segments_above_the_bound_are_refused_with_a_remedy(path):
    options = {"photometric": "minisblack", "compression": "zlib", "rowsperstrip": 40000}
    with pytest.raises(UnsupportedFormat, match="tiled TIFF or OME-Zarr"):
        written(path, np.zeros((40000, 7000), np.uint8), **options)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 300), (300, 1), (17, 5)])
def test_slides_smaller_than_a_tile(path, cache, width, height):
    pixels = np.random.default_rng(7).integers(0, 255, (height, width, 3), np.uint8)
    with written(path, pixels, tile=(256, 256), photometric="rgb") as source:
        np.testing.assert_array_equal(whole(source, cache), pixels)


def patched_size(path, width, height):
    with tifffile.TiffFile(path, mode="r+") as tif:
        tif.pages[0].tags["ImageWidth"].overwrite(width, dtype="I")
        tif.pages[0].tags["ImageLength"].overwrite(height, dtype="I")


@pytest.mark.parametrize("tile", [None, (64, 64)])
def test_an_absurd_size_is_damage(path, tile):
    written(path, np.zeros((64, 70), np.uint8), tile=tile, photometric="minisblack").close()
    patched_size(path, 2**31, 2**31)
    with pytest.raises((CorruptSlide, UnsupportedFormat)):
        TiffSource.open(path)


def test_a_closed_slide_says_so(path, coordinates):
    write_tiff_pyramid(path, [coordinates])
    source = TiffSource.open(path)
    source.close()
    with pytest.raises(TileReadError, match="closed"):
        source.read_tile(0, 0, 0)


def test_an_unknown_compression_is_refused_on_opening(path):
    written(path, np.zeros((16, 16), np.uint8), photometric="minisblack").close()
    with tifffile.TiffFile(path, mode="r+") as tif:
        tif.pages[0].tags["Compression"].overwrite(52479)
    with pytest.raises(UnsupportedFormat, match="52479"):
        TiffSource.open(path)


def test_an_image_spread_over_files_is_refused(tmp_path):
    names = [tmp_path / f"part{i}.ome.tif" for i in range(2)]
    blocks = "".join(
        f'<TiffData IFD="0" FirstC="{i}" PlaneCount="1"><UUID FileName="{name.name}">'
        f"urn:uuid:0000000{i}-0000-0000-0000-000000000000</UUID></TiffData>"
        for i, name in enumerate(names)
    )
    for i, name in enumerate(names):
        xml = (
            '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"'
            f' UUID="urn:uuid:0000000{i}-0000-0000-0000-000000000000"><Image ID="Image:0">'
            '<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="32" SizeY="32"'
            f' SizeC="2" SizeZ="1" SizeT="1"><Channel ID="Channel:0:0"/><Channel ID="Channel:0:1"/>'
            f"{blocks}</Pixels></Image></OME>"
        )
        pixels = np.full((32, 32), i, np.uint8)
        tifffile.imwrite(name, pixels, description=xml, metadata=None, photometric="minisblack")
    with pytest.raises(UnsupportedFormat, match="several files"):
        TiffSource.open(names[0])


@pytest.mark.parametrize("value", [0, 3, 65535])
def test_samples_that_lie_neither_together_nor_apart(path, value):
    pixels = np.zeros((64, 64, 3), np.uint8)
    written(path, pixels, tile=(32, 32), photometric="rgb", compression="zlib").close()
    with tifffile.TiffFile(path, mode="r+") as tif:
        tif.pages[0].tags["PlanarConfiguration"].overwrite(value)
    with pytest.raises(CorruptSlide, match=f"PlanarConfiguration is {value}"):
        TiffSource.open(path)


@pytest.mark.parametrize("length", [1 << 22, 2**32 - 16])
def test_tiles_longer_than_the_page_are_bounded_too(path, length):
    pixels = np.zeros((64, 64, 3), np.uint8)
    written(path, pixels, tile=(32, 32), photometric="rgb", compression="zlib").close()
    with tifffile.TiffFile(path, mode="r+") as tif:
        tif.pages[0].tags["TileLength"].overwrite(length, dtype="I")
    with pytest.raises(UnsupportedFormat, match="more than 256 MiB"):
        TiffSource.open(path)


def test_a_tile_that_decodes_to_fewer_samples_is_refused(path):
    pixels = np.zeros((64, 64, 3), np.uint8)
    options = {"tile": (64, 64), "compression": "jpeg2000"}
    written(path, pixels, photometric="rgb", **options).close()
    grey = tifffile.imread(path)[..., 0].copy()
    with tifffile.TiffFile(path, mode="r+") as tif:
        import imagecodecs

        data = bytes(imagecodecs.jpeg2k_encode(grey, level=0, codecformat="j2k"))
        tif.pages[0].tags["TileByteCounts"].overwrite([len(data)])
        offset = tif.pages[0].dataoffsets[0]
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)
    with TiffSource.open(path) as source, pytest.raises(TileReadError):
        source.read_tile(0, 0, 0)


@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("back_to", [0, 1, 2])
def test_directories_that_come_round_again(tmp_path, bigtiff, back_to):
    path = tmp_path / "ring.tif"
    with tifffile.TiffWriter(path, bigtiff=bigtiff) as writer:
        for _ in range(3):
            writer.write(np.zeros((64, 64, 3), np.uint8), photometric="rgb", metadata=None)
    with tifffile.TiffFile(path) as tif:
        pages = [(page.offset, len(page.tags)) for page in tif.pages]
    start, tags = pages[-1]
    with path.open("r+b") as file:
        file.seek(start + (8 + 20 * tags if bigtiff else 2 + 12 * tags))
        file.write(struct.pack("<Q" if bigtiff else "<I", pages[back_to][0]))
    with pytest.raises(CorruptSlide, match=f"byte {pages[back_to][0]} comes round again"):
        TiffSource.open(path)
