"""Which preprocessing fits an original, told from labelled pictures: it proposes, and the person decides.

Channel order and range are tried first, behind one resize; then the ways to resize, with the best of the first. So a
mistake in one is not hidden by a mistake in the other: a wrong range costs nearly everything, a wrong resize little.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NoReturn

from edgekit.data import Dataset, load_dataset, sample_evenly
from edgekit.data.names import ALL
from edgekit.errors import EdgekitError, UsageError
from edgekit.pipeline.adopting.options import AdoptOptions
from edgekit.pipeline.adopting.original import Decoding, Original
from edgekit.pipeline.adopting.own_pictures import prepared
from edgekit.pipeline.adopting.styles import CROPPED, MEANS, STYLES, of_style
from edgekit.progress import track
from edgekit.spec import ModelSpec, PreprocessSpec
from edgekit.tasks import task_of
from edgekit.tasks.evaluation import Answered, Evaluation

PICTURES = 64
RANGES = (
    "raw",
    "raw,color=rgb",
    "unit",
    "unit,color=bgr",
    "half",
    "half,color=bgr",
    "imagenet",
    "imagenet,color=bgr",
    "caffe",
)
CROPS = (
    "",
    "interpolation=bicubic",
    "shorter_side={side}",
    "interpolation=bicubic,shorter_side={side}",
    "resize=stretch,antialias=true",
)
FRAMES = (
    "resize=letterbox",
    "resize=letterbox,align=corner",
    "resize=stretch",
)


@dataclass(frozen=True)
class Hypothesis:
    """One preprocessing and how good the original is behind it.

    Attributes:
        text: as `--preprocess` takes it.
        spec: what that is.
        task: of the model.
        evaluation: on the labelled pictures.
    """

    text: str
    spec: PreprocessSpec
    task: str
    evaluation: Evaluation

    @property
    def value(self) -> float:
        """The task's main metric; nothing measured counts as 0."""
        return self.evaluation.main or 0.0


def refuse_unstated(
    original: Original,
    decoding: Decoding,
    spec_of: Callable[[PreprocessSpec], ModelSpec],
    options: AdoptOptions,
    say: Callable[[str], None],
) -> NoReturn:
    """Raises UsageError: nobody says how pictures are prepared. With labelled ones, it has a table of what fits."""
    labelled = _labelled(spec_of, options, original.size, say)
    if labelled is None:
        raise UsageError(
            "Nobody says how pictures are prepared for this net.",
            got="no --preprocess, and nothing in the file",
            expected="\n".join(f"{name}: {meaning}" for name, meaning in MEANS.items()),
            fix="--preprocess STYLE[,KEY=VALUE..] or FILE.toml; labelled pictures as --data tell which one fits",
        )
    say(f"trying preprocessings on {len(labelled)} labelled pictures of {options.data}")
    table = hypotheses(original, decoding, spec_of, labelled)
    best = table[0]
    raise UsageError(
        "Nobody says how pictures are prepared for this net; this is how well each way fits the labels.",
        got="no --preprocess, and nothing in the file",
        expected="\n".join(lines(table)),
        fix=f"--preprocess {best.text}, if that is how it was trained: {_clearly(table)}",
    )


def hypotheses(
    original: Original, decoding: Decoding, spec_of: Callable[[PreprocessSpec], ModelSpec], labelled: Dataset
) -> list[Hypothesis]:
    """All that were tried, the best first; among equal ones the one tried first."""
    task = spec_of(of_style("unit", "detection", original.size)).task
    tried: dict[PreprocessSpec, Hypothesis] = {}

    def attempt(texts: list[str]) -> Hypothesis:
        for text in track(texts, "trying preprocessings"):
            spec = of_style(text, task, original.size)
            if spec not in tried:
                evaluation = _measured(original, decoding, spec_of(spec), labelled)
                tried[spec] = Hypothesis(_shortest(text, spec, task, original.size), spec, task, evaluation)
        return max(tried.values(), key=lambda one: one.value)

    cropped = task in CROPPED
    first = "" if cropped else ",resize=letterbox"
    ranges = [f"{text}{first}" for text in RANGES if original.image.dtype != "uint8" or text.startswith("raw")]
    best = attempt(ranges)
    base = next(text for text in ranges if of_style(text, task, original.size) == best.spec).removesuffix(first)
    side = max(original.size)
    attempt([",".join(filter(None, (base, how.format(side=side)))) for how in (CROPS if cropped else FRAMES)])
    return sorted(tried.values(), key=lambda one: -one.value)


def lines(table: list[Hypothesis]) -> list[str]:
    """A line each, for people."""
    metric = task_of(table[0].task).metric(task_of(table[0].task).main)
    width = max(len(one.text) for one in table)
    return [f"{one.text:<{width}}  {metric.label} {metric.text(one.value)}" for one in table]


def _measured(original: Original, decoding: Decoding, spec: ModelSpec, labelled: Dataset) -> Evaluation:
    def answered() -> Iterator[Answered]:
        for sample in labelled:
            frame = sample.read()
            given = original.answers([prepared(frame, spec.preprocess)], decoding)
            yield Answered({name: values[0] for name, values in given.items()}, frame.shape, sample)

    return task_of(spec.task).evaluate(answered(), spec)


def _labelled(
    spec_of: Callable[[PreprocessSpec], ModelSpec],
    options: AdoptOptions,
    size: tuple[int, int],
    say: Callable[[str], None],
) -> Dataset | None:
    """Pictures whose labels the model's classes can be measured with, if there are such. Raises UsageError: the map."""
    if options.data is None:
        return None
    spec = spec_of(of_style("unit", "detection", size))
    task = task_of(spec.task)
    for split in (None, ALL):
        try:
            found = load_dataset(options.data, spec.classes or None, split, options.classes_map)
        except UsageError:  # the map does not fit
            raise
        except EdgekitError as error:  # other classes, no labels, no such split: the gate looks at the pictures alone
            if "--map" in (error.fix or ""):
                say(f"the labels of {options.data} are not used: {error.what} {error.fix}")
            continue
        return sample_evenly(found, PICTURES) if task.known(found) and task.anything(found) else None
    return None


def _shortest(text: str, spec: PreprocessSpec, task: str, size: tuple[int, int]) -> str:
    """The name of the style alone, where that says the same."""
    return next((name for name in STYLES if of_style(name, task, size) == spec), text)


def _clearly(table: list[Hypothesis]) -> str:
    """Whether the best is told apart from the next one by these pictures."""
    best, *others = table
    if not others:
        return "nothing else was tried"
    side = others[0].evaluation.against(best.evaluation)
    clear = side.verdict == "better"
    return f"these pictures {'tell it' if clear else 'do not tell it'} from {others[0].text}"
