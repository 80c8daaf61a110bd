"""Files of a finished run, written one after the other."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tilescope.jobs.request import RunProgress
from tilescope.runtime.cancel import CancellationToken


@dataclass(frozen=True, slots=True)
class ResultFile:
    """One file or folder that a run can write.

    Attributes
    ----------
    key
        What it is called among the outputs of a run.
    format
        Which of the chosen formats it belongs to.
    name
        Of the file, inside the folder of the results.
    write
        Writes it to a path.
    """

    key: str
    format: str
    name: str
    write: Callable[[Path], object]


def write_files(
    files: Iterable[ResultFile],
    folder: Path,
    formats: Collection[str],
    token: CancellationToken,
    written: dict[str, Path],
) -> Iterator[RunProgress]:
    """Write the files of the chosen formats, yielding before each; ``written`` gets them by key.

    Raises
    ------
    OutputError
        When the folder cannot take them.
    Cancelled
        When the token is set between two files.
    """
    for file in files:
        if file.format not in formats:
            continue
        token.raise_if_cancelled()
        path = folder / file.name
        yield RunProgress(file.name)
        file.write(path)
        written[file.key] = path
