"""OME-Zarr from servers on the loopback: a web server with and without ranges, and S3."""

import http.server
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from urllib.parse import unquote

import boto3
import numpy as np
import pytest
import zarr
from botocore.config import Config
from fsspec.asyn import get_loop
from moto.server import ThreadedMotoServer

from tilescope.domain.geometry import Rect
from tilescope.errors import SlideError, SlideNotFound, TileReadError
from tilescope.io import remote
from tilescope.io.cache import TileCache
from tilescope.io.region import read_region
from tilescope.io.zarr_source import ZarrSource
from tilescope.testing.synthetic import coordinate_pixels, pyramid, write_ome_zarr

PIXELS = coordinate_pixels(Rect(0, 0, 301, 277))


@pytest.fixture(scope="module", autouse=True)
def _lasting_loop():
    """fsspec keeps one event loop and its thread for the life of the process."""
    get_loop()


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder as ``python -m http.server`` does: from the start, whatever the range."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.server.asked.append((self.path, self.headers.get("Range")))
        if self.server.status is not None:
            self.send_error(self.server.status)
        else:
            super().do_GET()


class RangeHandler(Handler):
    """Knows ranges, as every real web server does."""

    def do_GET(self):
        wanted = self.headers.get("Range")
        file = self.server.folder / unquote(self.path).lstrip("/")
        if wanted is None or not file.is_file() or self.server.status is not None:
            super().do_GET()
            return
        self.server.asked.append((self.path, wanted))
        data = file.read_bytes()
        first, last = wanted.removeprefix("bytes=").split("-")
        part = data[int(first) : int(last) + 1] if first else data[-int(last) :]
        self.send_response(206 if part else 416)
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)
        self.server.sent += len(part)


@contextmanager
def serving(folder, handler=Handler):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=folder)) as s:
        s.folder, s.asked, s.status, s.sent = folder, [], None, 0
        s.daemon_threads = False
        thread = threading.Thread(target=s.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield s, f"http://127.0.0.1:{s.server_port}"
        finally:
            s.shutdown()
            thread.join()


def colour_slide(folder, **options):
    return write_ome_zarr(folder, [np.moveaxis(v, 2, 0) for v in pyramid(PIXELS, 2)], **options)


def sharded_slide(folder):
    group = zarr.open_group(str(folder), mode="w")
    group.create_array("0", data=PIXELS[..., 0], chunks=(32, 32), shards=(256, 256))
    axes = [{"name": "y"}, {"name": "x"}]
    group.attrs["ome"] = {"multiscales": [{"axes": axes, "datasets": [{"path": "0"}]}]}


def whole(source, level=0):
    size = source.info.levels[level].size
    return read_region(source, TileCache(64 << 20), level, Rect.of_size(size))


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("handler", [Handler, RangeHandler])
def test_a_pyramid_from_a_web_server(tmp_path, version, handler):
    colour_slide(tmp_path / "a slide.zarr", version=version)
    with (
        serving(tmp_path, handler) as (_, url),
        ZarrSource.open_url(f"{url}/a slide.zarr/") as source,
    ):
        assert source.info.is_rgb
        assert source.info.path == f"{url}/a slide.zarr/"
        np.testing.assert_array_equal(whole(source), PIXELS)
        np.testing.assert_array_equal(whole(source, 1), pyramid(PIXELS, 2)[1])
        with ThreadPoolExecutor(4) as pool:
            places = [(0, c, r) for c in range(2) for r in range(2)] * 3
            tiles = pool.map(lambda place: source.read_tile(*place), places)
            for place, tile in zip(places, tiles, strict=True):
                np.testing.assert_array_equal(tile, source.read_tile(*place))


@pytest.mark.parametrize("handler", [Handler, RangeHandler])
def test_of_a_shard_only_what_is_needed_is_fetched(tmp_path, handler):
    sharded_slide(tmp_path / "a.zarr")
    with (
        serving(tmp_path, handler) as (server, url),
        ZarrSource.open_url(f"{url}/a.zarr") as source,
    ):
        server.sent = 0
        tile = source.read_tile(0, 1, 1)
        rect = Rect(256, 256, 301, 277)
        np.testing.assert_array_equal(tile[..., 0], PIXELS[rect.y0 : rect.y1, rect.x0 : rect.x1, 0])
        ranges = [wanted for path, wanted in server.asked if path.endswith("/c/1/1")]
        # the index, then the two chunks that the corner touches
        assert ranges[0] == f"bytes=-{16 * 64 + 4}"
        assert len(ranges) == 3
        assert None not in ranges
        if handler is RangeHandler:
            assert server.sent < 16 * 64 + 4 + 2 * 1200


def identity(url):
    with ZarrSource.open_url(url) as source:
        return source.info.id


def test_the_identity_follows_the_metadata(tmp_path):
    with serving(tmp_path) as (_, url):
        colour_slide(tmp_path / "a.zarr")
        first, again = identity(f"{url}/a.zarr"), identity(f"{url}/a.zarr")
        assert first == again
        colour_slide(tmp_path / "a.zarr", um_per_px=0.5)
        assert identity(f"{url}/a.zarr") != first


def refused(url, kind=SlideError):
    with pytest.raises(kind) as caught:
        ZarrSource.open_url(url)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)
    return str(caught.value)


def test_nothing_there(tmp_path):
    with serving(tmp_path) as (_, url):
        assert "zarr.json" in refused(f"{url}/absent.zarr", SlideNotFound)


@pytest.mark.parametrize(
    ("status", "text"), [(401, "credentials"), (403, "credentials"), (500, "500")]
)
def test_a_server_that_refuses(tmp_path, status, text):
    with serving(tmp_path) as (server, url):
        server.status = status
        assert text in refused(url.replace("://", "://user:secret@"))


def test_a_server_that_breaks_down_later(tmp_path):
    colour_slide(tmp_path / "a.zarr")
    with serving(tmp_path) as (server, url), ZarrSource.open_url(f"{url}/a.zarr") as source:
        server.status = 503
        with pytest.raises(TileReadError, match="503"):
            source.read_tile(0, 0, 0)
        server.status = None
        np.testing.assert_array_equal(whole(source), PIXELS)


def test_no_server():
    with serving(".") as (_, url):
        pass
    assert "reached" in refused(f"{url}/a.zarr")


def test_a_silent_server(tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "ANSWER_SECONDS", 0.2)
    release = threading.Event()

    class Silent(Handler):
        def do_GET(self):
            release.wait(10)
            self.close_connection = True

    with serving(tmp_path, Silent) as (_, url):
        try:
            assert "in time" in refused(f"{url}/a.zarr")
        finally:
            release.set()


def test_an_endless_answer_is_cut_off(tmp_path):
    class Endless(Handler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(1 << 40))
            self.end_headers()
            try:
                while True:
                    self.wfile.write(bytes(1 << 20))
            except OSError:
                self.close_connection = True

    with serving(tmp_path, Endless) as (_, url):
        assert "more than" in refused(f"{url}/a.zarr")


def test_missing_chunks_are_filled(tmp_path):
    colour_slide(tmp_path / "a.zarr")
    (tmp_path / "a.zarr/0/c/1/0/0").unlink()
    with serving(tmp_path) as (_, url), ZarrSource.open_url(f"{url}/a.zarr") as source:
        tile = source.read_tile(0, 0, 0)
    expected = PIXELS[:256, :256].copy()
    expected[..., 1] = 0
    np.testing.assert_array_equal(tile, expected)


def test_reading_after_closing(tmp_path):
    colour_slide(tmp_path / "a.zarr")
    with serving(tmp_path) as (_, url):
        source = ZarrSource.open_url(f"{url}/a.zarr")
        source.close()
        source.close()
        with pytest.raises(TileReadError, match="closed"):
            source.read_tile(0, 0, 0)


@pytest.mark.parametrize("url", ["ftp://host/a", "s3://", "http://", "file:///etc"])
def test_urls_of_other_kinds(url):
    assert "only http" in refused(url)


@pytest.fixture
def bucket(monkeypatch, tmp_path):
    """A client of an S3 server that holds the bucket ``slides``."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
    }.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3", config=Config(retries={"max_attempts": 1}))
    client.create_bucket(Bucket="slides")
    try:
        yield client
    finally:
        client.close()
        server.stop()


def upload(client, folder, **options):
    for path in folder.rglob("*"):
        if path.is_file():
            key = path.relative_to(folder.parent).as_posix()
            client.put_object(Bucket="slides", Key=key, Body=path.read_bytes(), **options)


def test_a_pyramid_from_a_bucket(tmp_path, bucket):
    colour_slide(tmp_path / "a.zarr")
    upload(bucket, tmp_path / "a.zarr")
    bucket.delete_object(Bucket="slides", Key="a.zarr/1/c/0/0/0")
    with ZarrSource.open_url("s3://slides/a.zarr") as source:
        np.testing.assert_array_equal(whole(source), PIXELS)
        assert not whole(source, 1)[..., 0].any()


def test_shards_from_a_bucket(tmp_path, bucket):
    sharded_slide(tmp_path / "a.zarr")
    upload(bucket, tmp_path / "a.zarr")
    with ZarrSource.open_url("s3://slides/a.zarr") as source:
        np.testing.assert_array_equal(whole(source)[..., 0], PIXELS[..., 0])


def without_credentials(monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")


def test_a_public_bucket_without_credentials(tmp_path, bucket, monkeypatch):
    sharded_slide(tmp_path / "a.zarr")
    upload(bucket, tmp_path / "a.zarr", ACL="public-read")
    without_credentials(monkeypatch)
    with ZarrSource.open_url("s3://slides/a.zarr") as source:
        np.testing.assert_array_equal(whole(source)[..., 0], PIXELS[..., 0])


def test_a_private_bucket_without_credentials(tmp_path, bucket, monkeypatch):
    sharded_slide(tmp_path / "a.zarr")
    upload(bucket, tmp_path / "a.zarr")
    without_credentials(monkeypatch)
    assert "check the credentials" in refused("s3://slides/a.zarr")


def test_nothing_in_the_bucket(bucket):
    refused("s3://slides/absent.zarr", SlideNotFound)
    refused("s3://no-such-bucket/a.zarr", SlideError)
