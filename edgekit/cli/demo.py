"""`edgekit demo`: the whole path on this machine, with nothing to download: checkpoint, export, gate, predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekit.cli.options import next_command, say


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write to.")] = Path("demo-output"),
    keep: Annotated[
        bool, typer.Option("--keep", help="Fail instead of replacing the files of an earlier demo.")
    ] = False,
) -> int:
    """Make a ResNet-18 checkpoint, export it, verify it, and label made-up pictures with it."""
    from edgekit import loading, pipeline
    from edgekit.artifact import make_folder, write_bytes
    from edgekit.bench.accuracy import evaluate_classes
    from edgekit.data import made_pictures
    from edgekit.training.checkpoint import save_checkpoint
    from edgekit.training.demo import pattern_checkpoint
    from edgekit.vision.draw import annotate
    from edgekit.vision.image import encode_picture

    make_folder(out / "pictures")
    checkpoint = out / "patterns.pt"
    say("1/4 a ResNet-18, trained for half a minute on made-up pictures of six patterns")
    save_checkpoint(checkpoint, pattern_checkpoint(), overwrite=not keep)
    say("2/4 export, each step compared with the checkpoint")
    result = pipeline.export(checkpoint, out, force=not keep, say=lambda line: say("    " + line))
    if not result.passed or result.model is None:
        say(f"error: verification failed; see {result.report}")
        return 3
    say("3/4 accuracy of the exported file on 60 new pictures")
    unseen = made_pictures(60, seed=1)
    with loading.open_predictor(result.model) as predictor:
        evaluation = evaluate_classes(predictor, unseen)
        say("4/4 twelve of them, labelled")
        for sample in unseen.samples[:12]:
            frame = sample.read()
            answer = predictor.classify([frame], top=2)[0]
            path = out / "pictures" / f"{sample.name}.jpg"
            write_bytes(path, encode_picture(annotate(frame, answer), ".jpg"), overwrite=not keep)
            typer.echo(f"{path}  " + "  ".join(f"{label} {score:.1%}" for label, score in answer.top))
    typer.echo("")
    typer.echo(f"{'stage':<12}{'max|d logits|':>14}{'top-1 agreement':>18}")
    for stage in result.content["stages"]:
        typer.echo(f"{stage['name']:<12}{stage['max_abs']:>14.2e}{stage['top1_agreement']:>18.2%}")
    top1 = evaluation.report.top1
    typer.echo(f"\naccuracy on {top1.n} unseen pictures {top1.value:.1%} [{top1.low:.1%}, {top1.high:.1%}]")
    typer.echo(f"model     {result.model}")
    typer.echo(f"verdict   {result.report}")
    typer.echo(f"pictures  {out / 'pictures'}")
    next_command("edgekit", "predict", result.model, out / "pictures")
    return 0
