"""``tilescope click``: its options, and prompts out of their order on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from tilescope.cli.exits import exit_codes

_ORDER = "tilescope.cli.click.order"


class PromptCommand(TyperCommand):
    """A command that remembers in which order its options were given."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - typer's own
        """Parse as usual; the names of the options, once per use, go into ``ctx.meta``."""
        _, _, order = self.make_parser(ctx).parse_args(args=list(args))
        ctx.meta[_ORDER] = tuple(parameter.name for parameter in order)
        return super().parse_args(ctx, args)


def click(  # noqa: PLR0913, PLR0917 - one parameter per documented option
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="Id of a click model, e.g. nuclick-nucleus.")],
    slide: Annotated[Path, typer.Argument(help="A slide file or an OME-Zarr folder.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The GeoJSON to write.")],
    at: Annotated[
        list[str] | None,
        typer.Option(
            metavar="X,Y", help="On an object, level-0 pixels; every --at is an object of its own."
        ),
    ] = None,
    also: Annotated[
        list[str] | None,
        typer.Option(metavar="X,Y", help="One more point on the object before it."),
    ] = None,
    not_: Annotated[
        list[str] | None, typer.Option("--not", metavar="X,Y", help="Not on the object before it.")
    ] = None,
    box: Annotated[
        list[str] | None,
        typer.Option(metavar="X0,Y0,X1,Y1", help="Around an object; an object of its own."),
    ] = None,
    scribble: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="A file of lines over objects: GeoJSON, or rows of X,Y."),
    ] = None,
    um_per_px: Annotated[
        float | None, typer.Option(help="Pixel size to use instead of the slide's.")
    ] = None,
    diameter_px: Annotated[
        float | None, typer.Option(help="About how large objects are, in level-0 pixels.")
    ] = None,
    overlap: Annotated[
        bool, typer.Option("--overlap", help="Give every object whole, even over another.")
    ] = False,
    param: Annotated[
        list[str] | None,
        typer.Option("--param", metavar="NAME=NUMBER", help="One of the model's parameters."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, max=256, help="Threads of one inference. Default: all.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object on stdout.")
    ] = False,
) -> None:
    """Outline the objects at the given points."""
    from tilescope.cli.click_prompts import ClickSettings, click_objects, prompts_of

    with exit_codes():
        given: dict[str, list[Any]] = {
            "at": at or [],
            "also": also or [],
            "not_": not_ or [],
            "box": box or [],
            "scribble": scribble or [],
        }
        settings = ClickSettings(
            um_per_px, diameter_px, tuple(param or ()), overlap, threads, as_json
        )
        prompts = prompts_of(_in_order(context.meta[_ORDER], given))
        raise typer.Exit(click_objects(model, slide, output, prompts, settings))


def _in_order(order: Sequence[str], given: dict[str, list[Any]]) -> list[tuple[str, Any]]:
    """Return option and value one after the other, as they stood on the command line."""
    values = {name: iter(of) for name, of in given.items()}
    return [(name, next(values[name])) for name in order if name in values]
