"""Guards that hold for every test: no network, no thread and no file left behind."""

from __future__ import annotations

import gc
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

# A shared machine stalls now and then; how long an example took says nothing about it.
settings.register_profile(
    "tilescope", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("tilescope")

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = ROOT / "engine" / "tilescope" / "samples"


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep out of the user's cache; one for all tests, so that a model is measured once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TILESCOPE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers that are the same in every run."""
    return np.random.default_rng(20260101)


@pytest.fixture
def hes_slide() -> Path:
    """A real H&E slide, Aperio SVS."""
    return SAMPLES / "CMU-1-Small-Region.svs"


@pytest.fixture
def dapi_image() -> Path:
    """A real fluorescence image."""
    return SAMPLES / "fluorescence-nuclei.png"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of sample slides beside the checkout; tests that need it skip without."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no sample slides beside the checkout")
    return folder


@pytest.fixture(autouse=True)
def _no_models_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TILESCOPE_MODELS", str(tmp_path / "models"))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that Python imports from, for plugins to be installed in."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return folder


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        # Servers that a test starts itself are on the loopback.
        near = isinstance(address, tuple) and address[0] in ("127.0.0.1", "::1", "localhost")
        if self.family != socket.AF_UNIX and not near:
            msg = f"a test wanted to connect to {address}"
            raise AssertionError(msg)
        connect(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", guarded)


# zarr-python keeps one event loop and its executor for the life of the process.
_LASTING_THREADS = ("zarr_io", "asyncio_", "zarr_pool", "ThreadPoolExecutor")


@pytest.fixture(autouse=True)
def _no_leaked_threads() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    left = [
        thread.name
        for thread in threading.enumerate()
        if thread not in before and not thread.name.startswith(_LASTING_THREADS)
    ]
    assert not left, f"threads left running: {left}"


def _open_files() -> dict[int, str]:
    folder = Path("/proc/self/fd")
    found: dict[int, str] = {}
    for link in folder.iterdir() if folder.exists() else ():
        try:
            target = str(link.readlink())
        except OSError:
            continue
        if target.startswith("/") and not target.startswith(("/dev/", "/proc/", "/memfd:")):
            found[int(link.name)] = target
    return found


@pytest.fixture(autouse=True)
def _no_leaked_files() -> Iterator[None]:
    before = set(_open_files().values())
    yield
    left = sorted(set(_open_files().values()) - before)
    if left:  # what only waits for the garbage collector is not a leak of ours
        gc.collect()
        left = sorted(set(_open_files().values()) - before)
    left = [name for name in left if not name.endswith((".so", ".pyc", " (deleted)"))]
    assert not left, f"files left open: {left}"
