"""Tilescope: read whole-slide images as tiles and run ONNX models over them under a memory cap."""

from __future__ import annotations

__all__ = ["__version__"]

__version__: str


def __getattr__(name: str) -> str:
    # Reading the metadata takes longer than most of what is imported from here.
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("tilescope")
    except PackageNotFoundError:  # a source tree on the path that was never installed
        return "0+unknown"
