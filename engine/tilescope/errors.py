"""Everything Tilescope raises on purpose.

::

    TilescopeError
    ├── SlideError(path, reason)
    │   ├── SlideNotFound            also FileNotFoundError
    │   ├── UnsupportedFormat        no reader takes the file
    │   ├── CorruptSlide             a reader took it and the bytes are wrong
    │   └── TileReadError            one tile cannot be decoded; the slide stays open
    ├── ModelError
    │   ├── ModelNotFound            no installed plugin has that id
    │   ├── ManifestInvalid          plugin.toml is wrong; lists every problem
    │   ├── WeightsError             missing file, wrong size or wrong sha256
    │   ├── GraphMismatch            the ONNX graph is not what the manifest says
    │   ├── GoldenMismatch           the weights do not reproduce their golden output
    │   ├── InferenceFailed          the runtime refused one tile
    │   └── ModelProcessEnded        the process that ran it ended before it did
    ├── PluginBroken                 importing or calling a plugin failed
    ├── BudgetTooSmall               the memory cap cannot hold one tile of the model
    ├── RunMismatch                  resuming with another model, slide or parameters
    ├── AnnotationError(path, reason)   a file of annotations cannot be read
    ├── ProjectError(path, reason)   a project file cannot be used as asked
    │   ├── ProjectBusy              another process is writing to it
    │   ├── ProjectDamaged           its bytes contradict themselves
    │   └── ProjectReadOnly          it was opened for reading only
    ├── OutputError                  the output folder cannot be written
    └── UsageError                   an argument makes no sense
        └── PixelSizeUnknown         the slide does not say how large its pixels are

    Cancelled                        outside the tree: not an error, never shown
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

__all__ = [
    "AnnotationError",
    "BudgetTooSmall",
    "Cancelled",
    "CorruptSlide",
    "GoldenMismatch",
    "GraphMismatch",
    "InferenceFailed",
    "ManifestInvalid",
    "ModelError",
    "ModelNotFound",
    "ModelProcessEnded",
    "OutputError",
    "PixelSizeUnknown",
    "PluginBroken",
    "ProjectBusy",
    "ProjectDamaged",
    "ProjectError",
    "ProjectReadOnly",
    "RunMismatch",
    "SlideError",
    "SlideNotFound",
    "TileReadError",
    "TilescopeError",
    "UnsupportedFormat",
    "UsageError",
    "WeightsError",
]


#: What can be done about a plugin of which nobody knows how it was installed.
UNKNOWN_PLUGIN = "update or remove the plugin; 'tilescope plugins' says what it belongs to"
#: What can be done about a run whose process ended.
GO_ON = (
    "what it had finished is kept: run it again to go on, and update or remove the model if that "
    "does not help"
)
_LONGEST_SAID = 300


class TilescopeError(Exception):
    """Root of the tree: whoever catches it catches everything Tilescope raises on purpose."""


class SlideError(TilescopeError):
    """A slide cannot be opened or read; names the file and the reason.

    Attributes
    ----------
    path
        The file or folder that was asked for.
    reason
        One sentence without the path.
    """

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = str(path)
        self.reason = reason


class SlideNotFound(SlideError, FileNotFoundError):
    """Nothing exists at the path."""


class UnsupportedFormat(SlideError):
    """No reader recognises the content of the file."""


class CorruptSlide(SlideError):
    """A reader recognised the file, and its bytes contradict themselves or end too early."""


class TileReadError(SlideError):
    """One tile cannot be read or decoded; other tiles of the slide may be fine."""


class ModelError(TilescopeError):
    """A model cannot be used."""


class ModelNotFound(ModelError):
    """No installed plugin provides a model of that id."""

    def __init__(self, model_id: str, known: Sequence[str]) -> None:
        listed = ", ".join(known) if known else "none"
        super().__init__(f"no model is called {model_id!r}; installed models: {listed}")
        self.model_id = model_id
        self.known = tuple(known)


class ManifestInvalid(ModelError):
    """A plugin manifest is wrong; every problem is listed with its key.

    Attributes
    ----------
    path
        The manifest file.
    problems
        One sentence per problem, each beginning with the dotted key.
    """

    def __init__(self, path: str | Path, problems: Sequence[str]) -> None:
        super().__init__(f"{path}: " + "; ".join(problems))
        self.path = str(path)
        self.problems = tuple(problems)


class WeightsError(ModelError):
    """The weights file is missing, has another size or another sha256 than its manifest says."""


class GraphMismatch(ModelError):
    """The ONNX graph has other inputs or outputs than the manifest declares."""


class GoldenMismatch(ModelError):
    """The weights do not reproduce the output that was recorded when they were exported."""


class InferenceFailed(ModelError):
    """The inference runtime refused to evaluate one tile."""


class ModelProcessEnded(ModelError):
    """The process in which a model ran ended before it had answered.

    Parameters
    ----------
    remedy
        What to do now; by default that of a run.
    """

    def __init__(self, title: str, how: str, remedy: str = GO_ON) -> None:
        super().__init__(f"the process that ran {title} {how}; {remedy}")


class PluginBroken(TilescopeError):
    """Plugin code raised on import or in a call; the original exception is chained.

    Attributes
    ----------
    plugin_id
        The plugin.
    remedy
        What the user can do about it.
    """

    def __init__(
        self, plugin_id: str, action: str, cause: BaseException, remedy: str = UNKNOWN_PLUGIN
    ) -> None:
        super().__init__(f"plugin {plugin_id}: {action} failed: {_said_by(cause)}; {remedy}")
        self.plugin_id = plugin_id
        self.remedy = remedy


def _said_by(cause: BaseException) -> str:
    """Return the kind and the words of an exception in one line, however it was made."""
    kind = type(cause).__name__
    try:
        words = " ".join(str(cause).split())[:_LONGEST_SAID]
    except BaseException:  # noqa: BLE001 - plugin code: one of the boundaries
        words = ""
    return f"{kind}: {words}" if words else kind


class BudgetTooSmall(TilescopeError):
    """The memory cap cannot hold even one tile of what is to be done.

    Attributes
    ----------
    needed_bytes
        The least cap that would do.
    available_bytes
        The cap that was given. Where it can be changed is said by whoever took it.
    """

    def __init__(
        self, needed_bytes: int, available_bytes: int, purpose: str = "this model"
    ) -> None:
        self.needed_bytes = needed_bytes
        self.available_bytes = available_bytes
        super().__init__(
            f"a memory cap of {available_bytes // 2**20} MiB is too small for {purpose}: "
            f"it needs at least {self.needed_mib} MiB"
        )

    @property
    def needed_mib(self) -> int:
        """The least cap that would do, in whole MiB."""
        return -(-self.needed_bytes // 2**20)


class RunMismatch(TilescopeError):
    """A run folder belongs to another model, slide or set of parameters.

    Attributes
    ----------
    differences
        One sentence per difference.
    """

    def __init__(self, folder: str | Path, differences: Sequence[str]) -> None:
        super().__init__(
            f"{folder} holds another run ({'; '.join(differences)}); "
            "use --overwrite to discard it, or another output folder"
        )
        self.differences = tuple(differences)


class AnnotationError(TilescopeError):
    """A file of annotations cannot be read; names the file, the place in it and the reason.

    Attributes
    ----------
    path
        The file or folder.
    reason
        One sentence without the path and the place.
    place
        Where in the file, as ``object 17`` or ``line 3, character 80``; None for the whole file.
    """

    def __init__(self, path: str | Path, reason: str, place: str | None = None) -> None:
        super().__init__(f"{path}: {place}: {reason}" if place else f"{path}: {reason}")
        self.path = str(path)
        self.reason = reason
        self.place = place


class ProjectError(TilescopeError):
    """A project file cannot be used as asked; names the file and the remedy.

    Attributes
    ----------
    path
        The project file.
    reason
        One sentence without the path.
    """

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = str(path)
        self.reason = reason


class ProjectBusy(ProjectError):
    """Another process is writing to the project."""


class ProjectDamaged(ProjectError):
    """The bytes of the file contradict themselves."""

    def __init__(self, path: str | Path, found: str) -> None:
        super().__init__(
            path,
            f"the file is damaged ({found}) and was left as it is; `tilescope project salvage` "
            "reads what can be read into a new file, and backups lie beside it",
        )


class ProjectReadOnly(ProjectError):
    """The project was opened for reading only."""


class OutputError(TilescopeError):
    """The output folder cannot be written: no room, no permission, or not a folder."""

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = str(path)
        self.reason = reason


class UsageError(TilescopeError):
    """An argument is out of range or contradicts another one."""


class PixelSizeUnknown(UsageError):
    """A model needs to know how large a pixel is, and neither the slide nor the user says so.

    Attributes
    ----------
    takes_diameter
        Whether the size of the objects would do instead. Where either can be said is said by
        whoever was asked for the run.
    """

    def __init__(self, message: str, *, takes_diameter: bool = False) -> None:
        super().__init__(message)
        self.takes_diameter = takes_diameter


class Cancelled(Exception):
    """The work was cancelled; whoever sees it leaves quietly."""
