"""`edgekit verify`: are these two models equal on these pictures, and is one equal to recorded pairs?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekit.cli.shared import after, options
from edgekit.cli.shared.helptext import DATA, Group, argument
from edgekit.cli.shared.options import (
    ArchOption,
    ClassesOption,
    ExpectOption,
    Format,
    FormatOption,
    MapOption,
    MultiLabelOption,
    NormOption,
    PreprocessOption,
    Provider,
    ProviderOption,
    ThreadsOption,
    WeightsKeyOption,
    print_json,
    say,
)

LIMITS = Group("Limits")


def verify(
    context: typer.Context,
    reference: Annotated[Path, argument("REFERENCE", "What is right: a checkpoint or an exported ONNX.")],
    candidate: Annotated[
        Path | None,
        argument("CANDIDATE", "What must equal it: an ONNX, an engine or a checkpoint; --expect alone needs none."),
    ] = None,
    data: Annotated[
        Path | None, DATA("-d, --data DIR", "Pictures to compare on; default: a small set made in code.")
    ] = None,
    pictures: Annotated[int, DATA("--pictures N", "How many pictures.", min=1)] = 64,
    target: Annotated[str, LIMITS("-t, --target BOARD", "Whose limits hold.")] = "x86-cpu",
    max_abs: Annotated[
        float | None,
        LIMITS("--max-abs X", "Largest allowed |d| of a logit, or of a box's score; default: the target's.", min=0),
    ] = None,
    expect: ExpectOption = None,
    classes_map: MapOption = None,
    classes: ClassesOption = None,
    preprocess: PreprocessOption = None,
    norm: NormOption = None,
    arch: ArchOption = None,
    weights_key: WeightsKeyOption = None,
    multi_label: MultiLabelOption = False,
    provider: ProviderOption = Provider.cpu,
    threads: ThreadsOption = 0,
    output_format: FormatOption = Format.text,
) -> int:
    """Compare two models, from pictures to logits or boxes, each with its own preprocessing.

    With --expect the last one named is compared with recorded pairs of input and output. Exit code 3 when they differ,
    5 when the exported file was made from another checkpoint.

    Examples:
        edgekit verify best.pt best.onnx --data pictures/
        edgekit verify best.onnx --expect pairs.npz
    """
    from edgekit.api.verify import verify as compare
    from edgekit.artifacts.opening import RunOptions

    judged = reference if candidate is None else candidate
    found = compare(
        reference,
        candidate,
        data,
        pictures=pictures,
        target=target,
        max_abs=max_abs,
        expect=expect,
        classes_map=classes_map,
        run=RunOptions(provider=provider.value, threads=threads),
        checkpoint=options.checkpoint_options(classes, preprocess, norm, arch, weights_key, multi_label),
        say=say,
    )
    if output_format is Format.json:
        print_json(found.to_dict())
    else:
        for line in found.lines():
            typer.echo(line)
    if not found.passed:
        say(f"error: verification failed for {judged}: " + "; ".join(found.problems))
        return 3
    after.look(context, judged, data)
    return 0
