"""Libraries that nearly every slide needs, loaded before anybody waits for them."""

from __future__ import annotations

from importlib import import_module

from tilescope_desktop.bridge.work import Work

_MODULES = ("tilescope.io.tiff_source", "tifffile")
#: imagecodecs loads each of its codecs when it is first named.
_CODECS = ("jpeg8_decode",)


def load_libraries(work: Work) -> None:
    """Import them in a thread: it takes a tenth of a second, which the first slide saves.

    What is missing is not said here: opening a slide says it, where it matters.
    """

    def load() -> None:
        for name in _MODULES:
            import_module(name)
        codecs = import_module("imagecodecs")
        for name in _CODECS:
            getattr(codecs, name)

    work.start("libraries", lambda _token, _report: load(), lambda _done: None, lambda _error: None)
