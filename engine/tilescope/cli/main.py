"""``tilescope``: the commands and their options; each imports what it needs when it is called."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from tilescope.cli.exits import exit_codes

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
) -> None:
    """Write a small picture of a slide."""
    from tilescope.cli.slides import save_thumbnail

    with exit_codes():
        save_thumbnail(slide, out, max_side)


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
    memory: Memory = None,
    threads: Threads = None,
    provider: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
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
            memory=memory,
            threads=threads,
            provider=provider,
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
    as_json: Json = False,
) -> None:
    """Write the objects of a project into a file that other programs open."""
    from tilescope.cli.projects import export_file
    from tilescope.jobs.export_objects import ExportRequest

    with exit_codes():
        request = ExportRequest(project, form, out, slide, tuple(class_names or ()))
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


@models_app.command("test")
def models_test(model: str, as_json: Json = False) -> None:
    """Check that the weights reproduce the output recorded when they were exported."""
    from tilescope.cli.models import test_model

    with exit_codes():
        test_model(model, as_json=as_json)


@models_app.command("probe")
def models_probe(model: str, threads: Threads = None, as_json: Json = False) -> None:
    """Measure memory and speed of a model on this machine."""
    from tilescope.cli.models import probe_model

    with exit_codes():
        probe_model(model, threads=threads, as_json=as_json)


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


def main() -> None:
    """Run the command line."""
    app()
