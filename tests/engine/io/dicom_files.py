"""Small DICOM whole slides, for tests of what real ones rarely have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import ExplicitVRLittleEndian, VLWholeSlideMicroscopyImageStorage

ROOT = "1.2.826.0.1.3680043.10.999"


def item(**values: Any) -> Dataset:
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def tiles_of(pixels: NDArray[Any], tile: int) -> list[NDArray[Any]]:
    """Return the tiles of a picture row by row, padded with zeros to their full size."""
    height, width = pixels.shape[:2]
    grown = np.zeros((-(-height // tile) * tile, -(-width // tile) * tile, *pixels.shape[2:]))
    grown[:height, :width] = pixels
    places = [(y, x) for y in range(0, height, tile) for x in range(0, width, tile)]
    return [grown[y : y + tile, x : x + tile].astype(pixels.dtype) for y, x in places]


def write_dicom(
    path: Path,
    frames: Sequence[NDArray[Any]],
    size: tuple[int, int],
    *,
    positions: Sequence[tuple[int, int]] | None = None,
    depths: int = 1,
    optics: Sequence[Dataset] = (),
    um_per_px: float = 0.25,
    flavour: str = "VOLUME",
    series: int = 1,
    **values: Any,
) -> Path:
    """Write one instance with native frames.

    Parameters
    ----------
    frames
        Tiles of one size, in the order of the standard's full tiling unless positions are given.
    size
        Width and height of the level.
    positions
        Column and row of each tile's first pixel, from 0; makes the tiling sparse.
    optics
        Items of the optical path sequence.
    values
        Further attributes.
    """
    tile = frames[0]
    colour = tile.ndim == 3
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.file_meta.MediaStorageSOPClassUID = VLWholeSlideMicroscopyImageStorage
    number = abs(hash(path.name)) % 10**8
    image.SOPInstanceUID = f"{ROOT}.{series}.{number}"
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    image.SOPClassUID = VLWholeSlideMicroscopyImageStorage
    image.StudyInstanceUID, image.SeriesInstanceUID = f"{ROOT}.7.{series}", f"{ROOT}.8.{series}"
    image.FrameOfReferenceUID = f"{ROOT}.9.{series}"
    image.ImageType = ["DERIVED", "PRIMARY", flavour, "NONE"]
    image.Modality, image.InstanceNumber = "SM", 1
    image.TotalPixelMatrixColumns, image.TotalPixelMatrixRows = size
    image.Rows, image.Columns = tile.shape[:2]
    image.NumberOfFrames = len(frames)
    image.TotalPixelMatrixFocalPlanes = depths
    image.NumberOfOpticalPaths = max(len(optics), 1)
    image.SamplesPerPixel = 3 if colour else 1
    image.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        image.PlanarConfiguration = 0
    bits = 8 * tile.dtype.itemsize
    image.BitsAllocated, image.BitsStored, image.HighBit = bits, bits, bits - 1
    image.PixelRepresentation = 0
    image.ImagedVolumeWidth, image.ImagedVolumeHeight = (n * um_per_px / 1000 for n in size)
    image.ImagedVolumeDepth = 0.001
    image.ImageOrientationSlide = [0, -1, 0, -1, 0, 0]
    measures = item(PixelSpacing=[um_per_px / 1000] * 2, SpacingBetweenSlices=0.001)
    image.SharedFunctionalGroupsSequence = DicomSequence(
        [item(PixelMeasuresSequence=DicomSequence([measures]))]
    )
    if optics:
        image.OpticalPathSequence = DicomSequence(optics)
    image.DimensionOrganizationType = "TILED_FULL" if positions is None else "TILED_SPARSE"
    if positions is not None:
        image.PerFrameFunctionalGroupsSequence = DicomSequence([_place(*p) for p in positions])
    image.PixelData = b"".join(frame.tobytes() for frame in frames)
    image["PixelData"].VR = "OB" if bits == 8 else "OW"
    for keyword, value in values.items():
        setattr(image, keyword, value)
    image.save_as(path, enforce_file_format=True)
    return path


def _place(column: int, row: int) -> Dataset:
    position = item(
        ColumnPositionInTotalImagePixelMatrix=column + 1,
        RowPositionInTotalImagePixelMatrix=row + 1,
    )
    return item(PlanePositionSlideSequence=DicomSequence([position]))
