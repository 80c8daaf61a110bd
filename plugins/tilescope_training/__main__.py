"""``python -m tilescope_training train|evaluate|export nuclei|nuclick --data DIR --out DIR``."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status."""
    options = _parser().parse_args(arguments)
    import torch

    torch.set_num_threads(options.threads)
    commands = {
        ("train", "nuclei"): _train,
        ("evaluate", "nuclei"): _evaluate,
        ("export", "nuclei"): _export,
        ("train", "nuclick"): _train_nuclick,
        ("evaluate", "nuclick"): _evaluate_nuclick,
        ("export", "nuclick"): _export_nuclick,
    }
    commands[options.command, options.model](options)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tilescope_training", description=__doc__)
    parser.add_argument("--threads", type=int, default=2, help="torch threads")
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="train, or continue the run in --out")
    train.add_argument("--minutes", type=float, default=60.0, help="bound on the wall clock")
    train.add_argument("--steps", type=int, default=5000)
    train.add_argument("--rate", type=float, default=2.5e-3, help="highest learning rate")
    train.add_argument("--start-from", type=Path, help="checkpoint whose weights begin a new run")
    train.add_argument("--all-groups", action="store_true", help="train on held-out groups too")
    train.add_argument("--research", type=Path, help="MoNuSeg, for research weights")
    train.add_argument("--batch", type=int, default=8, help="nuclick: patches in a step")
    evaluate = commands.add_parser("evaluate", help="measure a graph on a side of the split")
    evaluate.add_argument("--graph", type=Path, required=True, help="ONNX file")
    evaluate.add_argument("--side", choices=("validation", "test", "folder"), default="validation")
    evaluate.add_argument("--objects", type=int, default=40, help="nuclick: clicks per image")
    evaluate.add_argument("--images", type=int, help="nuclick: images of the side; default all")
    export = commands.add_parser("export", help="write the shipped files into --out")
    export.add_argument("--checkpoint", type=Path, required=True)
    export.add_argument("--version", default="1.0")
    export.add_argument("--metrics", type=Path, help="JSON of card entries")
    for command in (train, evaluate, export):
        command.add_argument("model", choices=("nuclei", "nuclick"))
        command.add_argument("--out", type=Path, required=True)
        command.add_argument("--seed", type=int, default=2018)
    for command in (train, evaluate):
        command.add_argument("--data", type=Path, required=True)
        command.add_argument(
            "--aim",
            choices=("nucleus", "cell", "gland"),
            default="nucleus",
            help="nuclick: objects",
        )
    return parser


def _train(options: argparse.Namespace) -> None:
    from tilescope_training.nuclei.train import Plan, train

    plan = replace(
        Plan(),
        seed=options.seed,
        steps=options.steps,
        minutes=options.minutes,
        rate=options.rate,
        all_groups=options.all_groups,
    )
    train(plan, options.data, options.out, research=options.research, start_from=options.start_from)


def _evaluate(options: argparse.Namespace) -> None:
    from tilescope_training.nuclei import data, evaluate, split

    if options.side == "folder":
        samples = data.read_folder(options.data, "histology")
    else:
        every = data.read_dsb2018(options.data)
        dealt = split.deal(every, seed=options.seed)
        side = dealt.validation if options.side == "validation" else dealt.test
        samples = tuple(every[i] for i in side)
    predictor = evaluate.Predictor(options.graph.read_bytes())
    rows = [row for sample in samples for row in evaluate.measure(predictor, sample)]
    options.out.mkdir(parents=True, exist_ok=True)
    evaluate.write_rows(rows, options.out / f"{options.side}.csv")
    summary = json.dumps(evaluate.summarise(rows), indent=1)
    (options.out / f"{options.side}.json").write_text(summary)
    sys.stdout.write(summary + "\n")


def _export(options: argparse.Namespace) -> None:
    from tilescope_training.nuclei.export import export

    card = json.loads(options.metrics.read_text()) if options.metrics else {}
    export(options.checkpoint, options.out, version=options.version, card=card)


def _train_nuclick(options: argparse.Namespace) -> None:
    from tilescope_training.nuclick.train import Plan, train

    plan = replace(
        Plan(),
        aim=options.aim,
        seed=options.seed,
        steps=options.steps,
        minutes=options.minutes,
        batch=options.batch,
        rate=options.rate,
    )
    train(plan, options.data, options.out, research=options.research, start_from=options.start_from)


def _evaluate_nuclick(options: argparse.Namespace) -> None:
    from tilescope_training.nuclick.aims import AIMS
    from tilescope_training.nuclick.evaluate import Extent, evaluate, samples_of

    aim = AIMS[options.aim]
    evaluate(
        options.graph,
        samples_of(options.data, options.side, options.seed, aim),
        options.out,
        side=options.side,
        seed=options.seed,
        extent=Extent(options.objects, options.images),
        aim=aim,
    )


def _export_nuclick(options: argparse.Namespace) -> None:
    from tilescope_training.nuclick.export import export

    card = json.loads(options.metrics.read_text()) if options.metrics else {}
    export(options.checkpoint, options.out, version=options.version, card=card)


if __name__ == "__main__":
    sys.exit(main())
