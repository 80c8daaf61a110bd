"""``tilescope project``: steps back and forth, health, and what is left of a damaged project."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tilescope.cli.exits import SOME_FAILED, exit_codes
from tilescope.domain.counts import counted

if TYPE_CHECKING:
    from tilescope.store.project import Edit

project_app = typer.Typer(
    help="Undo, redo, check, back up and salvage projects.",
    rich_markup_mode=None,
    no_args_is_help=True,
)
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
ProjectFile = Annotated[Path, typer.Argument(help="A project, e.g. STUDY.tilescope.")]


@project_app.command()
def undo(project: ProjectFile, as_json: Json = False) -> None:
    """Take the newest step back: an import, a run or an edit."""
    _turn(project, undo=True, as_json=as_json)


@project_app.command()
def redo(project: ProjectFile, as_json: Json = False) -> None:
    """Do again what was undone last."""
    _turn(project, undo=False, as_json=as_json)


@project_app.command()
def history(
    project: ProjectFile,
    limit: Annotated[int, typer.Option(min=1, help="How many steps at most.")] = 100,
    as_json: Json = False,
) -> None:
    """List the newest steps, newest first."""
    from tilescope.jobs.project_upkeep import history as steps

    with exit_codes():
        edits = steps(project, limit)
        if as_json:
            _print({"project": str(project), "edits": [_fields(edit) for edit in edits]})
        else:
            for edit in edits:
                typer.echo(_line(edit))


@project_app.command()
def check(project: ProjectFile, as_json: Json = False) -> None:
    """Read the whole file and say what is wrong with it."""
    from tilescope.jobs.project_upkeep import problems

    with exit_codes():
        found = problems(project)
        if as_json:
            _print({"project": str(project), "problems": found})
        else:
            typer.echo(f"{project.name}: {'; '.join(found) or 'everything agrees'}")
        if found:
            raise typer.Exit(SOME_FAILED)


@project_app.command()
def backup(project: ProjectFile, as_json: Json = False) -> None:
    """Copy it beside itself; the newest three copies are kept."""
    from tilescope.jobs.project_upkeep import back_up

    with exit_codes():
        copy = back_up(project)
        if as_json:
            _print({"project": str(project), "backup": str(copy)})
        else:
            typer.echo(f"{project.name}: copied to {copy}")


@project_app.command()
def salvage(
    project: ProjectFile,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="The new project. Default: NAME.salvaged.tilescope."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write what can be read of a damaged project to a new one."""
    from tilescope.jobs.project_upkeep import salvage_project

    with exit_codes():
        new, found = salvage_project(project, out)
        if as_json:
            _print({"project": str(project), "new": str(new), **asdict(found)})
            return
        typer.echo(f"{project.name}: {counted(found.objects, 'object')} saved to {new}")
        for loss in found.losses:
            typer.echo(f"  lost: {loss}")


def _turn(project: Path, *, undo: bool, as_json: bool) -> None:
    from tilescope.jobs.project_upkeep import turn

    with exit_codes():
        edit = turn(project, undo=undo).edit
        if as_json:
            _print({"project": str(project), "edit": edit and _fields(edit)})
            return
        done = "undone" if undo else "done again"
        what = _line(edit) if edit else f"nothing can be {done}"
        typer.echo(f"{project.name}: {f'{done}: ' if edit else ''}{what}")


def _line(edit: Edit) -> str:
    counts = (("added", edit.added), ("removed", edit.removed), ("changed", edit.changed))
    numbers = ", ".join(f"{number:,} {word}" for word, number in counts if number)
    who = f" by {edit.user}" if edit.user else ""
    return f"{edit.number} {edit.label} ({numbers}), {edit.at}{who}, {edit.standing.name.lower()}"


def _fields(edit: Edit) -> dict[str, Any]:
    return {**asdict(edit), "standing": edit.standing.name.lower()}


def _print(found: dict[str, Any]) -> None:
    typer.echo(json.dumps(found, ensure_ascii=False, allow_nan=False))
