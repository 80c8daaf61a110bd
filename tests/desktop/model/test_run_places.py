"""Where a run goes when its folder holds another one, and what is said of that."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tilescope.errors import RunMismatch
from tilescope.jobs.request import RunRequest
from tilescope.testing.toy import toy_model
from tilescope_desktop.model.notices import words_of
from tilescope_desktop.model.run_requests import places_of

NAME = "toy-0123456789ab"


def test_a_run_goes_beside_others_and_takes_the_place_of_one_when_all_are_taken(
    tmp_path: Path,
) -> None:
    request = RunRequest(toy_model(tmp_path), Path("a.svs"), tmp_path / NAME, 1 << 30, 1)
    places = list(places_of(request))
    names = [place.out_dir.name for place in places]
    assert names == [NAME, *(f"{NAME}-{number}" for number in range(2, 10)), NAME]
    assert [place.overwrite for place in places] == [False] * 9 + [True]
    third = replace(request, out_dir=tmp_path / f"{NAME}-3")
    again = [place.out_dir.name for place in places_of(third)]
    assert again[:3] == [f"{NAME}-3", NAME, f"{NAME}-2"]
    assert set(again) == set(names)


def test_no_option_of_the_command_line_is_spoken_of() -> None:
    said = words_of(RunMismatch("runs/toy", ["provider was cpu, now openvino"]))
    assert "--" not in said
    assert "provider was cpu, now openvino" in said
