"""`edgekit demo`: the whole path on this machine, nothing to download: train, export, gate, evaluate, mark, watch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekit.cli.shared.helptext import OUTPUT
from edgekit.cli.shared.options import next_command, say

WATCHED = "synthetic://hive?seed=2&fps=20&frames=300"  # 15 s of scene; a hornet comes late
_WITHOUT_TORCH = "import sys; sys.modules['torch'] = None; from edgekit.cli.app import main; main()"


def demo(
    out: Annotated[Path, OUTPUT("-o, --out DIR", "Folder to write to.")] = Path("demo-output"),
    keep: Annotated[bool, OUTPUT("--keep", "Fail instead of replacing the files of an earlier demo.")] = False,
) -> int:
    """Train a small bee and hornet detector on a made hive entrance, export, verify, mark, and watch a clip.

    Examples:
        edgekit demo
        edgekit demo --out elsewhere
    """
    import shutil

    from edgekit import loading, pipeline
    from edgekit.api.train import draw
    from edgekit.artifacts.atomic import make_folder, refuse_existing, write_bytes
    from edgekit.benchmark.quality.accuracy import evaluate
    from edgekit.config.recipe import load_recipe
    from edgekit.data import load_dataset
    from edgekit.progress import working
    from edgekit.training.loop.run import train
    from edgekit.training.tasks import make_task
    from edgekit.vision.image import encode_picture

    make_folder(out / "pictures")
    refuse_existing(out / "camera", not keep)

    def told(line: str) -> None:
        say("    " + line)

    run = out / "run"
    if run.exists():
        refuse_existing(run, not keep)
        shutil.rmtree(run)
    recipe = load_recipe("demo")
    source = Path(str(recipe.data.path))
    say("1/5 train a CenterNet of 0.4 million parameters on 600 made pictures of a hive entrance, a minute or two")
    task = make_task(recipe, source, told)
    trained = train(task, recipe, run, say=told)
    curves = draw(task, trained, run, told)
    say("2/5 export, each step compared with the checkpoint")
    checkpoint = out / "hive.pt"
    write_bytes(checkpoint, trained.best.read_bytes(), overwrite=not keep)
    result = pipeline.export(checkpoint, out, data=source, force=not keep, say=told)
    if not result.passed or result.model is None:
        say(f"error: verification failed; see {result.report}")
        return 3
    say("3/5 accuracy of the exported file on 100 pictures that were not trained on")
    unseen = load_dataset(source)
    with loading.open_predictor(result.model) as predictor:
        model_task = predictor.task
        evaluation = evaluate(predictor, unseen)
        say("4/5 twelve of them, marked")
        for sample in unseen.samples[:12]:
            frame = sample.read()
            found = predictor.detect([frame])[0]
            path = out / "pictures" / f"{sample.name}.jpg"
            write_bytes(path, encode_picture(found.draw(frame), ".jpg"), overwrite=not keep)
            counts = ", ".join(f"{found.names.count(name)} {name}" for name in predictor.spec.classes)
            typer.echo(f"{path}  {counts}")
    say("5/5 watch a made hive with the shipped hornet-mobile, in a process that cannot import torch, as on a device")
    with working("watching", elsewhere=True):  # it tells itself
        code = watch(out / "camera")
    if code:
        return code
    typer.echo("")
    for stage in result.stages:
        typer.echo(f"{stage.name:<11} {model_task.figures(stage)}")
    typer.echo("")
    label = model_task.metric(model_task.main).label
    for name, value in evaluation.classes.items():
        typer.echo(f"{label} {name:<8} " + ("not measured" if value is None else f"{value:.3f}"))
    typer.echo(f"trained   {run}")
    typer.echo(f"model     {result.model}")
    typer.echo(f"verdict   {result.report}")
    if curves is not None:
        typer.echo(f"curves    {curves}")
    typer.echo(f"pictures  {out / 'pictures'}")
    typer.echo(f"camera    {out / 'camera'}: annotated.mp4, events.jsonl, summary.json, store")
    next_command("edgekit", "predict", result.model, out / "pictures")
    return 0


def watch(out: Path) -> int:
    """`edgekit camera` on WATCHED into `out`, which is replaced, in a process without torch; its exit code."""
    import shutil
    import subprocess
    import sys

    if out.exists():
        shutil.rmtree(out)
    arguments = ["camera", "--source", WATCHED, "--model", "hornet-mobile", "--out", str(out)]
    return subprocess.run([sys.executable, "-c", _WITHOUT_TORCH, *arguments], check=False).returncode  # noqa: S603 - ourselves
