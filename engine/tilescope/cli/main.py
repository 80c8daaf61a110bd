"""``tilescope``: the commands and their options; each imports what it needs when it is called."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from tilescope.cli.click import PromptCommand, click
from tilescope.cli.exits import exit_codes
from tilescope.cli.project import project_app

app = typer.Typer(
    name="tilescope",
    help="Whole-slide and gigapixel images: read tiles, run models, keep to a memory cap.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
models_app = typer.Typer(
    help="Installed models.", rich_markup_mode=None, invoke_without_command=True
)
app.add_typer(models_app, name="models")
app.add_typer(project_app, name="project")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Slide = Annotated[Path, typer.Argument(help="A slide file or an OME-Zarr folder.")]
Memory = Annotated[
    str | None,
    typer.Option(help="Cap on the memory of the whole process, e.g. 1GiB. Default: half of it."),
]
Threads = Annotated[
    int | None, typer.Option(min=1, max=256, help="Threads of one inference. Default: all cores.")
]
ProjectFile = Annotated[Path, typer.Argument(help="A project, e.g. STUDY.tilescope.")]
OutDir = Annotated[Path, typer.Option("-o", "--output", help="Folder for the results.")]


def _version(wanted: bool) -> None:
    if wanted:
        from tilescope import __version__

        typer.echo(f"tilescope {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Whole-slide and gigapixel images: read tiles, run models, keep to a memory cap."""


@app.command()
def demo(
    output: OutDir = Path("tilescope-demo"),
    as_json: Json = False,
    memory: Memory = None,
    threads: Threads = None,
) -> None:
    """Find the nuclei on the two sample slides that come with Tilescope."""
    from tilescope.cli.demo import run_demo

    with exit_codes():
        raise typer.Exit(run_demo(output, as_json=as_json, memory=memory, threads=threads))


@app.command()
def view(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Slides, OME-Zarr folders, a project.")
    ] = None,
) -> None:
    """Open the window."""
    from tilescope.cli.view import show_window

    with exit_codes():
        raise typer.Exit(show_window(files or []))


@app.command()
def info(
    slide: Slide,
    um_per_px: Annotated[
        float | None, typer.Option(help="Pixel size to use instead of the slide's.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what a slide is: size, levels, bands, pixel size and where it comes from."""
    # Threads for linear algebra that nothing here does are a third of numpy's time to load.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from tilescope.cli.slides import print_info

    with exit_codes():
        print_info(slide, as_json=as_json, um_per_px=um_per_px)


@app.command()
def thumbnail(
    slide: Slide,
    out: Annotated[Path, typer.Argument(help="The PNG to write.")],
    max_side: Annotated[int, typer.Option(min=16, max=16384, help="Longer side, pixels.")] = 1024,
    picture: Annotated[
        str | None, typer.Option(help="The label, macro or other picture of that name instead.")
    ] = None,
) -> None:
    """Write a small picture of a slide."""
    from tilescope.cli.slides import save_thumbnail

    with exit_codes():
        save_thumbnail(slide, out, max_side, picture)


@app.command()
def convert(  # noqa: PLR0913, PLR0917 - one parameter per documented option
    slide: Slide,
    out: Annotated[Path, typer.Argument(help="The OME-Zarr folder to make, e.g. OUT.ome.zarr.")],
    version: Annotated[str, typer.Option("--format", help="OME-Zarr version: 0.4 or 0.5.")] = "0.5",
    tile: Annotated[int, typer.Option(help="Side of a chunk, pixels.")] = 512,
    shard: Annotated[bool, typer.Option("--shard", help="Many chunks per file; 0.5 only.")] = False,
    compressor: Annotated[
        str, typer.Option(help="blosc, zstd or none; all keep the pixels as they are.")
    ] = "blosc",
    memory: Memory = None,
    threads: Annotated[
        int | None, typer.Option(min=1, max=256, help="Threads at work. Default: all cores.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace OUT, discard an unfinished conversion.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write a slide as an OME-Zarr pyramid; an interrupted conversion continues."""
    from tilescope.cli.convert import ConvertOptions, convert_slide

    with exit_codes():
        options = ConvertOptions(
            version=version,
            tile=tile,
            shard=shard,
            compressor=compressor,
            memory=memory,
            threads=threads,
            overwrite=overwrite,
            as_json=as_json,
        )
        raise typer.Exit(convert_slide(slide, out, options))


@app.command()
def run(  # noqa: PLR0913, PLR0917 - one parameter per documented option
    model: Annotated[str, typer.Argument(help="Id of an installed model, e.g. nuclei-unet.")],
    slides: Annotated[list[Path], typer.Argument(help="One or more slides.")],
    output: OutDir,
    region: Annotated[
        str | None, typer.Option(help="Part of the slide as X,Y,WIDTH,HEIGHT in level-0 pixels.")
    ] = None,
    within: Annotated[
        Path | None, typer.Option(help="Run inside the outlines of a GeoJSON file only.")
    ] = None,
    within_class: Annotated[
        str | None, typer.Option(help="Of these outlines only those of one class.")
    ] = None,
    memory: Memory = None,
    threads: Threads = None,
    provider: Annotated[
        str, typer.Option(help="auto, cpu, cpu-lean, openvino, cuda, directml or coreml.")
    ] = "auto",
    precision: Annotated[
        str, typer.Option(help="fp32, or int8 or bf16 once 'models quantize' accepted it.")
    ] = "fp32",
    um_per_px: Annotated[
        float | None, typer.Option(help="Pixel size to use instead of the slide's.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume/--overwrite", help="Continue an earlier run or discard it.")
    ] = True,
    formats: Annotated[
        str | None, typer.Option("--format", help="geojson,ome-zarr,csv,coco,overview")
    ] = None,
    param: Annotated[
        list[str] | None, typer.Option("--param", help="A parameter of the model, NAME=VALUE.")
    ] = None,
    project: Annotated[
        Path | None, typer.Option(help="A project that takes the objects, too, e.g. S.tilescope.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Run a model over slides; an interrupted run continues where it stopped."""
    from tilescope.cli.run import RunOptions, run_slides

    with exit_codes():
        options = RunOptions(
            region=region,
            within=within,
            within_class=within_class,
            memory=memory,
            threads=threads,
            provider=provider,
            precision=precision,
            um_per_px=um_per_px,
            overwrite=not resume,
            formats=formats,
            parameters=tuple(param or ()),
            project=project,
            as_json=as_json,
        )
        raise typer.Exit(run_slides(model, slides, output, options))


@app.command("import")
def import_(
    project: ProjectFile,
    file: Annotated[
        Path,
        typer.Argument(
            help="GeoJSON, ASAP, ImageScope or NDPA XML, COCO, DICOM or OME-Zarr labels."
        ),
    ],
    slide: Annotated[
        str | None,
        typer.Option(help="The slide the objects lie on. Default: the project's only one."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Add the objects of a file to a project, which is made when it is not there."""
    from tilescope.cli.projects import import_file

    with exit_codes():
        import_file(project, file, slide, as_json=as_json)


@app.command()
def export(
    project: ProjectFile,
    out: Annotated[Path, typer.Option("-o", "--output", help="The file or folder to write.")],
    form: Annotated[
        str,
        typer.Option(
            "--format",
            help="geojson, geojson.gz, asap, coco, coco-rle, csv, parquet, geoparquet, ome-zarr, "
            "tiff-labels, dicom or spatialdata.",
        ),
    ],
    slide: Annotated[
        str | None, typer.Option(help="A slide of the project. Default: its only one.")
    ] = None,
    class_names: Annotated[
        list[str] | None,
        typer.Option("--class", help="Only objects of this class; several are possible."),
    ] = None,
    simplify: Annotated[
        float | None,
        typer.Option(
            metavar="PX",
            help="Leave out vertices that lie no farther than this from the outline without them, "
            "in level-0 pixels; outlines stay valid. Default: all vertices are written.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the objects of a project into a file that other programs open."""
    from tilescope.cli.projects import export_file
    from tilescope.jobs.export_objects import ExportRequest

    with exit_codes():
        request = ExportRequest(project, form, out, slide, tuple(class_names or ()), simplify)
        export_file(request, as_json=as_json)


@app.command()
def measure(
    project: ProjectFile,
    slide: Annotated[
        str | None, typer.Option(help="A slide of the project. Default: its only one.")
    ] = None,
    level: Annotated[int, typer.Option(help="Level whose pixels are read, 0 is the finest.")] = 0,
    again: Annotated[
        bool, typer.Option("--again", help="Measure objects that were measured before, too.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Measure shape and pixel values of the objects of a project that lack them."""
    from tilescope.cli.projects import measure as measure_project
    from tilescope.jobs.measure_objects import MeasureRequest

    with exit_codes():
        request = MeasureRequest(project, slide, level, again)
        raise typer.Exit(measure_project(request, as_json=as_json))


@models_app.callback()
def models(context: typer.Context, as_json: Json = False) -> None:
    """List the installed models."""
    if context.invoked_subcommand is None:
        from tilescope.cli.models import print_models

        with exit_codes():
            print_models(as_json=as_json)


@models_app.command("list")
def models_list(as_json: Json = False) -> None:
    """List the installed models."""
    from tilescope.cli.models import print_models

    with exit_codes():
        print_models(as_json=as_json)


@models_app.command("show")
def models_show(model: str, as_json: Json = False) -> None:
    """Print everything about one model: tensors, parameters, licence, model card."""
    from tilescope.cli.models import print_model

    with exit_codes():
        print_model(model, as_json=as_json)


@models_app.command("add")
def models_add(  # noqa: PLR0913, PLR0917 - one parameter per documented option
    source: Annotated[
        Path,
        typer.Argument(
            help="An ONNX file, or a folder or zip of the BioImage Model Zoo or WSInfer."
        ),
    ],
    model_id: Annotated[
        str | None, typer.Option("--id", help="Id to store it under. Default: from its name.")
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="semantic, classification or detect. Default: found out.")
    ] = None,
    classes: Annotated[str | None, typer.Option(help="Names of the classes: a,b,c.")] = None,
    um_per_px: Annotated[
        float | None, typer.Option(min=0.01, max=100, help="Pixel size it was trained on.")
    ] = None,
    normalise: Annotated[
        str | None, typer.Option(help="0-1, 0-255, imagenet, zero-mean, percentile or none.")
    ] = None,
    colour: Annotated[str | None, typer.Option(help="rgb, bgr, grey or bands.")] = None,
    tile: Annotated[
        int | None, typer.Option(min=16, max=8192, help="Side of a tile, pixels.")
    ] = None,
    halo: Annotated[
        int | None,
        typer.Option(min=0, max=4096, help="Context on each side, where it cannot be computed."),
    ] = None,
    boxes: Annotated[
        str | None,
        typer.Option(help="yolo-objectness, yolo-classes, final-boxes or box-lists."),
    ] = None,
    first_label: Annotated[
        int | None, typer.Option(min=0, max=1, help="Number of the first class in the outputs.")
    ] = None,
    licence: Annotated[str | None, typer.Option(help="Licence of the weights.")] = None,
    memory: Annotated[
        str | None, typer.Option(help="What trying it out may take, e.g. 4GiB. Default: half.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Add a model of your own; it is looked at and tried out first."""
    from tilescope.cli.models import add_model, told_by_flags
    from tilescope.jobs.add_model import AddOptions

    with exit_codes(), told_by_flags():
        names = None if classes is None else tuple(name.strip() for name in classes.split(","))
        options = AddOptions(
            id=model_id,
            task=task,
            classes=names,
            um_per_px=um_per_px,
            normalise=normalise,
            colour=colour,
            tile_px=tile,
            halo_px=halo,
            boxes=boxes,
            first_label=first_label,
            licence=licence,
        )
        add_model(source, options, memory, as_json=as_json)


@models_app.command("remove")
def models_remove(model: str, as_json: Json = False) -> None:
    """Delete a model that you added."""
    from tilescope.cli.models import remove_model

    with exit_codes():
        remove_model(model, as_json=as_json)


@models_app.command("test")
def models_test(
    model: str,
    memory: Annotated[
        str | None, typer.Option(help="What trying it out may take, e.g. 4GiB. Default: half.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check a model: its recorded output, and how it takes tiles of every kind."""
    from tilescope.cli.models import test_model

    with exit_codes():
        test_model(model, memory, as_json=as_json)


@models_app.command("probe")
def models_probe(model: str, threads: Threads = None, as_json: Json = False) -> None:
    """Measure memory and speed of a model on this machine."""
    from tilescope.cli.models import probe_model

    with exit_codes():
        probe_model(model, threads=threads, as_json=as_json)


@models_app.command("quantize")
def models_quantize(
    model: str,
    slides: Annotated[
        list[Path] | None,
        typer.Option("--slides", help="Slides like those it will see. Default: the samples."),
    ] = None,
    precision: Annotated[str, typer.Option(help="int8 or bf16.")] = "int8",
    tolerance: Annotated[
        float | None, typer.Option(help="Share of results that may differ. Default: 0.02.")
    ] = None,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Make a quicker variant of a model, kept only if its results stay the same."""
    from tilescope.cli.quantize import quantize

    with exit_codes():
        quantize(
            model,
            slides or [],
            precision=precision,
            tolerance=tolerance,
            threads=threads,
            as_json=as_json,
        )


@app.command()
def plugins(as_json: Json = False) -> None:
    """List installed plugins and their state, broken ones with the reason."""
    from tilescope.cli.models import print_plugins

    with exit_codes():
        print_plugins(as_json=as_json)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what is installed, what is used, and why something is not."""
    from tilescope.cli.doctor import print_doctor

    with exit_codes():
        print_doctor(as_json=as_json)


app.command("click", cls=PromptCommand)(click)


def main() -> None:
    """Run the command line; of all commands only the one that is asked for is built.

    To build them all takes a tenth of what ``tilescope info`` takes.
    """
    asked = sys.argv[1] if len(sys.argv) > 1 else ""
    commands = [c for c in app.registered_commands if asked == (c.name or _name_of(c.callback))]
    if commands:
        app.registered_commands = commands
        app.registered_groups = []
    app()


def _name_of(callback: Callable[..., object] | None) -> str:
    return "" if callback is None else callback.__name__.replace("_", "-")
