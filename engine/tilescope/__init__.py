"""Tilescope: read whole-slide images as tiles and run ONNX models over them under a memory cap."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("tilescope")
except PackageNotFoundError:  # a source tree on the path that was never installed
    __version__ = "0+unknown"

__all__ = ["__version__"]
