"""Damaged files end in one clear line, soon and in little memory; each batch in its own process."""

import io
import json
import random
import subprocess
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile

HERE = Path(__file__).parent
BATCH = 24
SECONDS_PER_FILE = 10
MOST_MIB = 400

#: Opens what it is given on stdin and reports, per file, the outcome and the peak so far.
CHILD = """
import json, sys, time
from tilescope.errors import SlideError
from tilescope.io.cache import TileCache
from tilescope.io.registry import open_slide
from tilescope.io.thumbnail import thumbnail
from tilescope.runtime.memory import peak_rss_bytes
for path in json.load(sys.stdin):
    start, cache = time.perf_counter(), TileCache(32 << 20)
    try:
        with open_slide(path, cache=cache) as slide:
            outcome = f"opened {thumbnail(slide, cache, 256).shape}"
    except SlideError as error:
        outcome = str(error)
    peak_mib = peak_rss_bytes() >> 20
    print(json.dumps([path, outcome, time.perf_counter() - start, peak_mib]), flush=True)
"""


def batches(folder):
    files = sorted(str(p) for p in folder.rglob("*") if p.is_file() and p.suffix != ".md")
    return [files[i : i + BATCH] for i in range(0, len(files), BATCH)]


def check(files):
    child = subprocess.run(
        [sys.executable, "-c", CHILD],
        input=json.dumps(files),
        capture_output=True,
        text=True,
        timeout=SECONDS_PER_FILE * len(files),
        check=False,
    )
    assert child.returncode == 0, child.stderr[-2000:]
    reports = [json.loads(line) for line in child.stdout.splitlines()]
    assert [r[0] for r in reports] == files
    for path, outcome, seconds, peak_mib in reports:
        assert "\n" not in outcome, path
        assert seconds < SECONDS_PER_FILE, path
        assert peak_mib < MOST_MIB, path
    return {path: outcome for path, outcome, _, _ in reports}


@pytest.mark.parametrize("number", range(len(batches(HERE / "bad_files"))))
def test_kept_files(number):
    check(batches(HERE / "bad_files")[number])


def encoded_samples():
    pixels = np.random.default_rng(0).integers(0, 255, (60, 70, 3), np.uint8)
    memory = io.BytesIO()
    tifffile.imwrite(memory, pixels, tile=(32, 32), photometric="rgb", compression="zlib")
    return {
        "tiff": memory.getvalue(),
        "png": imagecodecs.png_encode(pixels),
        "jpeg": imagecodecs.jpeg8_encode(pixels),
        "webp": imagecodecs.webp_encode(pixels),
        "jp2": imagecodecs.jpeg2k_encode(pixels),
        "bmp": imagecodecs.bmp_encode(pixels),
    }


@pytest.mark.parametrize("kind", encoded_samples())
def test_flipped_bytes_and_cut_ends(tmp_path, kind):
    good, chance = encoded_samples()[kind], random.Random(kind)
    files = []
    for number in range(100):
        data = bytearray(good)
        for _ in range(chance.choice([1, 2, 6])):
            at = chance.randrange(min(len(data), chance.choice([60, 300, 100_000])))
            data[at] = chance.choice([0, 1, 127, 255, chance.randrange(256)])
        path = tmp_path / f"{number:03}"
        path.write_bytes(data[: chance.choice([len(data), len(data), chance.randrange(1, 999)])])
        files.append(str(path))
    check(files)


def test_all_files(shared_data):
    for files in batches(shared_data / "bad_files"):
        check(files)


def test_vendor_files_broken_on_purpose(shared_data):
    slides = shared_data / "slides"
    files = [str(slides / name) for name in ("broken.svs", "unopenable.tiff", "unreadable.svs")]
    outcomes = check(files)
    assert not any(outcome.startswith("opened") for outcome in outcomes.values())
