"""How often does a model raise the alarm where there is nothing to be alarmed about?"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import parse_qs

from edgekit.api.evaluate import evaluate
from edgekit.api.model import Model, load
from edgekit.benchmark.quality.accuracy import readable
from edgekit.benchmark.quality.false_alarms import ClipScores, FalseAlarms, Moment, PictureScores, of_class
from edgekit.camera.config import CameraConfig, SourceConfig, VisitConfig
from edgekit.camera.detect.detectors import make_detector
from edgekit.camera.events.visits import Visit
from edgekit.camera.replay import Replay
from edgekit.camera.rules import Model as Watching
from edgekit.camera.rules import make_rules
from edgekit.camera.source.disk.media import find_media, is_picture
from edgekit.camera.source.grabber import Ended, Grabber
from edgekit.camera.source.open import open_grabber
from edgekit.camera.source.uri import frames_in, parse_source
from edgekit.data import Sample, load_dataset
from edgekit.data.classes.class_map import ClassMap, ClassMapLike, class_map
from edgekit.data.load import has_boxes
from edgekit.data.made import is_made
from edgekit.data.sample import class_index
from edgekit.errors import DataError, SourceError, UsageError
from edgekit.predictor import Predictor
from edgekit.progress import track
from edgekit.screen import as_typed, some
from edgekit.tasks import Asked
from edgekit.tasks.evaluation import Evaluation
from edgekit.vision.image import Frame
from edgekit.vision.results import Detections

Say = Callable[[str], None]
_BATCH = 4
_EVERYTHING = Asked(threshold=0.0)


def false_alarms(
    model: str | os.PathLike[str] | Model,
    places: Sequence[str | os.PathLike[str]],
    *,
    without: Sequence[str] = (),
    data: str | os.PathLike[str] | None = None,
    split: str | None = None,
    apart_from: str | None = None,
    classes_map: ClassMapLike | None = None,
    recall: float | None = None,
    evaluation: Evaluation | None = None,
    say: Say = lambda line: None,
) -> FalseAlarms:
    """Counts a detector's alarms in clips and pictures without the insect, as `edgekit eval --alarms` does.

    An alarm is a picture whose best box of a class reaches the threshold of its alarm. In a clip alarms of single
    frames that are less than a visit's `end_after` and `cooldown` (8 s) apart are one; beside them stand the visits
    that the camera's rules, with their defaults, make of the same detections.

    Args:
        model: a path, as `edgekit.load` takes it, or what that opened, which stays open.
        places: clips, folders, globs, synthetic://hive?frames=N&hornets=0; of a folder with boxes (YOLO, Pascal VOC,
            COCO) those pictures count for a class that are without it.
        without: classes of the model that are in none of `places`; default: none of its classes is. Folders with boxes
            say it themselves.
        data: labelled pictures, on which the recall at the same threshold is measured.
        split, apart_from, classes_map: as in `edgekit.evaluate`, of `data` and of folders with boxes.
        recall: take the highest threshold with so large a recall on `data`, 0..1; default: the model's own.
        evaluation: of this model on `data`, where that was done already.
        say: called with a line for whatever is to be told, such as what the places are taken to be without.

    Raises:
        UsageError: no detector, no such class, a recall without `data`, or a source that has no end.
        DataError: nothing to look at, or no threshold with so large a recall.
        EdgekitError: as `edgekit.load`.
    """
    if recall is not None and not 0 < recall <= 1:
        raise UsageError("A recall is a share.", got=str(recall), expected="above 0, at most 1")
    with ExitStack() as opened:
        if not isinstance(model, Model):
            model = opened.enter_context(load(model, say=say))
        names = class_map(classes_map)
        predictor = model.predictor
        settings = {s.label: s for s in predictor.task.alarms(predictor.spec, None, None)}  # refuses what has no alarm
        absent = _absent(without, model.classes)
        if data is not None and evaluation is None:
            evaluation = evaluate(model, data, split=split, apart_from=apart_from, classes_map=classes_map, say=say)
        if data is not None or recall is not None:
            settings = {s.label: s for s in predictor.task.alarms(predictor.spec, evaluation, recall)}
        if unknown := [name for name in absent if name not in settings]:
            told = f"no picture of {some(unknown)} with a box of it" if data is not None else "no labelled pictures"
            raise DataError(f"No threshold has a recall of {recall:g}.", got=told, expected="a smaller recall")
        alarms = predictor.spec.alarm_thresholds
        if recall is not None:  # the camera's rules are asked at the same threshold
            own = alarms or (0.0,) * len(model.classes)
            alarms = tuple(
                settings[name].threshold if name in absent else at for name, at in zip(model.classes, own, strict=True)
            )
        looked = _Looked(predictor, alarms, say)
        for place in places:
            looked.at(os.fspath(place), split, names)
        if looked.unlabelled and not without:
            say(f"taken to be without {some(absent)}; --without NAME says which classes are not in them")
        visits = VisitConfig()
        apart = visits.end_after + visits.cooldown
        classes = predictor.spec.classes
        return FalseAlarms(
            classes=tuple(
                of_class(settings[name], classes.index(name), looked.clips, looked.pictures, apart) for name in absent
            ),
            clips=tuple((clip.name, clip.seconds, clip.broken) for clip in looked.clips),
            pictures=len(looked.pictures),
            data="" if data is None else Path(os.fspath(data)).name,
            apart=apart,
            unread=tuple(looked.unread),
        )


def _absent(without: Sequence[str], classes: Sequence[str]) -> tuple[str, ...]:
    """The model's own names of the classes that are not in the places, in its order."""
    found = {name: class_index(name, classes) for name in without}
    if strange := [name for name, index in found.items() if index is None]:
        raise UsageError("The model has no such class.", got=some(strange), expected="some of " + some(classes))
    wanted = set(found.values())
    return tuple(name for i, name in enumerate(classes) if not wanted or i in wanted)


class _Looked:
    """Clips and pictures, and what the model gave of them."""

    def __init__(self, predictor: Predictor, alarms: tuple[float, ...], say: Say) -> None:
        self._predictor, self._alarms, self._say = predictor, alarms, say
        self.clips: list[ClipScores] = []
        self.pictures: list[PictureScores] = []
        self.unread: list[str] = []
        self.unlabelled = False

    def at(self, place: str, split: str | None, names: ClassMap | None) -> None:
        """Looks at a clip, a folder, a glob or a made hive."""
        path = Path(place)
        made = is_made(place)
        if made and not {"n", "val"} & set(parse_qs(place.partition("?")[2])):  # one with them is a set of pictures
            self._clip(as_typed(place), as_typed(place))
            return
        if made or (path.exists() and has_boxes(path)):
            classes = self._predictor.spec.classes
            dataset = load_dataset(place, () if names else classes, split, names, truth="boxes")
            for note in dataset.notes:
                self._say(note)
            self._pictures(dataset.samples)
            return
        self.unlabelled = True
        named = {p: str(p.relative_to(path)) if path.is_dir() else p.name for p in find_media(place).paths}
        self._pictures([Sample(p, None, None, name) for p, name in named.items() if is_picture(p)])
        for clip, name in named.items():
            if not is_picture(clip):
                self._clip(name, str(clip))

    def _pictures(self, samples: Sequence[Sample]) -> None:
        known: list[Sample] = []
        frames = readable(samples, known, self.unread)
        for count, found in enumerate(self._predictor.results(frames, _EVERYTHING, _BATCH)):
            sample = known[count]
            there = [labels.tolist() for labels in (sample.box_labels, sample.ignored_labels) if labels is not None]
            present = frozenset(label for labels in there for label in labels)
            self.pictures.append(PictureScores(sample.name, self._best(found), present))

    def _clip(self, name: str, uri: str) -> None:
        config = SourceConfig(uri=uri)
        source = parse_source(config)
        if source.live:
            raise UsageError(
                "Alarms are counted in what has an end.",
                got=source.shown,
                expected="clips, folders, or synthetic://hive?frames=N",
            )
        self.unlabelled = True
        clip = ClipScores(name)
        replay = self._replay()
        shapes: list[tuple[int, ...]] = []
        grabber = open_grabber(source, config)
        try:
            frames = _frames(grabber, clip, shapes)
            work = track(frames, "looking at frames", frames_in(config))
            for count, found in enumerate(self._predictor.results(work, _EVERYTHING, _BATCH)):
                clip.scores.append(self._best(found))
                replay.see(found, shapes[count], clip.times[count])
        finally:
            grabber.close()
        if not clip.times:
            raise SourceError(f"{name} holds no frame that can be read.")
        clip.seconds = clip.times[-1] + 1 / (grabber.fps or 25)
        clip.visits = [(visit.label, self._moment(clip, visit)) for visit in replay.visits]
        self.clips.append(clip)

    def _moment(self, clip: ClipScores, visit: Visit) -> Moment:
        label = self._predictor.spec.classes.index(visit.label)
        during = [
            (scores[label], -at)
            for at, scores in zip(clip.times, clip.scores, strict=True)
            if visit.start <= at <= visit.seen
        ]
        return Moment(clip.name, visit.start, visit.seen, visit.top_score, -max(during)[1], None)

    def _best(self, found: Detections) -> tuple[float, ...]:
        scores, labels = found.scores, found.labels
        return tuple(float(scores[labels == i].max(initial=0.0)) for i in range(len(self._predictor.spec.classes)))

    def _replay(self) -> Replay:
        spec, config = self._predictor.spec, CameraConfig()
        watching = Watching(
            make=lambda wanted, floor: make_detector(self._predictor, wanted, floor),
            classes=spec.classes,
            thresholds=spec.thresholds,
            info={},
            alarms=self._alarms,
        )
        return Replay(make_rules(config, watching))


def _frames(grabber: Grabber, clip: ClipScores, shapes: list[tuple[int, ...]]) -> Iterator[Frame]:
    """A clip's frames; `clip` gets their times and counts the broken ones, `shapes` their sizes."""
    fps, index = grabber.fps or 25, -1
    while True:
        try:
            frame = grabber.read()
        except Ended:
            return
        index += 1
        if frame is None:
            clip.broken += 1
            continue
        clip.times.append(index / fps if grabber.at is None else grabber.at)
        shapes.append(frame.shape)
        yield frame
