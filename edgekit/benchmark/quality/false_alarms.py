"""Alarms where there is nothing to be alarmed about: how many an hour of clips and a thousand pictures, and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from edgekit.metrics.alarm import AlarmSetting
from edgekit.metrics.classification import Rate, plain, rate
from edgekit.metrics.statistics import poisson
from edgekit.screen import count_of, shown
from edgekit.tasks.evaluation import rate_text

_SHOWN = 8  # moments and pictures of a class that the text names, the worst


@dataclass(frozen=True)
class Moment:
    """An alarm in a clip.

    Attributes:
        clip: its name.
        start, end: seconds of the clip, of its first and last frame.
        worst: the highest score in it; of a visit that of its tracks.
        worst_at: seconds of the clip, of the frame with the highest score.
        frames: with a score that raises the alarm; None of a visit, which is told by tracks.
    """

    clip: str
    start: float
    end: float
    worst: float
    worst_at: float
    frames: int | None


@dataclass(frozen=True)
class Hourly:
    """Alarms in some hours of clips, with Garwood's exact 95 % interval of the rate; None where there are no clips."""

    count: int
    hours: float
    per_hour: float | None
    low: float | None
    high: float | None


def hourly(count: int, hours: float) -> Hourly:
    """`count` alarms in so many hours."""
    if not hours:
        return Hourly(count, 0.0, None, None, None)
    low, high = poisson(count)
    return Hourly(count, hours, count / hours, low / hours, high / hours)


@dataclass
class ClipScores:
    """What one clip gave.

    Attributes:
        name: of the file.
        seconds: how long it is.
        broken: frames that could not be decoded.
        times: of each frame, seconds from the first.
        scores: of each frame the best score of each class.
        visits: by the camera's rules.
    """

    name: str
    seconds: float = 0.0
    broken: int = 0
    times: list[float] = field(default_factory=list)
    scores: list[tuple[float, ...]] = field(default_factory=list)
    visits: list[tuple[str, Moment]] = field(default_factory=list)

    def moments(self, label: int, threshold: float, apart: float) -> list[Moment]:
        """The alarms of single frames; those less than `apart` seconds from one another are one."""
        found: list[Moment] = []
        for at, scores in zip(self.times, self.scores, strict=True):
            score = scores[label]
            if score < threshold:
                continue
            if found and at - found[-1].end < apart:
                last = found.pop()
                worst, worst_at = max((last.worst, last.worst_at), (score, at), key=lambda pair: pair[0])
                found.append(Moment(self.name, last.start, at, worst, worst_at, (last.frames or 0) + 1))
            else:
                found.append(Moment(self.name, at, at, score, at, 1))
        return found


@dataclass(frozen=True)
class PictureScores:
    """One picture: its name, the best score of each class, and the classes that are known to be in it or unclear."""

    name: str
    scores: tuple[float, ...]
    present: frozenset[int] = frozenset()


@dataclass(frozen=True)
class ClassAlarms:
    """The alarms of one class where it is not.

    Attributes:
        setting: the threshold, where it comes from, and its recall on labelled pictures.
        alarms: of single frames in clips, an hour.
        visits: that the camera's rules (tracks) make of the clips, an hour.
        frames: with a score that raises the alarm, of all; neighbours are alike, so there is no interval.
        pictures: that raise the alarm, of those without the class, with the interval of Clopper and Pearson.
        moments, told: the alarms and the visits.
        worst: (name, score) of the pictures that raise it, the highest score first.
    """

    setting: AlarmSetting
    alarms: Hourly
    visits: Hourly
    frames: tuple[int, int]
    pictures: Rate
    moments: tuple[Moment, ...]
    told: tuple[Moment, ...]
    worst: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class FalseAlarms:
    """What a model does where there is nothing to be alarmed about.

    Attributes:
        classes: of each class that was looked for.
        clips: name, seconds and broken frames of each clip.
        pictures: how many were looked at.
        data: what the recall was measured on; "": nothing.
        apart: seconds from which on two alarms of single frames are two.
        unread: pictures that could not be read, with the reason.
    """

    classes: tuple[ClassAlarms, ...]
    clips: tuple[tuple[str, float, int], ...]
    pictures: int
    data: str
    apart: float
    unread: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; times are seconds, and what was not measured is null."""
        classes = [{**plain(one), "pictures_per_thousand": _per_thousand(one.pictures)} for one in self.classes]
        clips = [{"name": name, "seconds": seconds, "broken": broken} for name, seconds, broken in self.clips]
        rest = {"data": self.data or None, "apart": self.apart, "confidence": 0.95, "unread": list(self.unread)}
        return {"classes": classes, "clips": clips, "pictures": self.pictures, **rest}

    def lines(self, model: str) -> list[str]:
        """For people."""
        seconds = sum(length for _, length, _ in self.clips)
        where = [f"{len(self.clips)} clip{'s' * (len(self.clips) > 1)}, {_clock(seconds)} in all"] if self.clips else []
        where += [f"{self.pictures} picture{'s' * (self.pictures > 1)}"] if self.pictures else []
        told = [f"{model} where there is none: {', '.join(where)}; exact 95 % intervals"]
        for one in self.classes:
            told += _class_lines(one, self.data)
        return told


def of_class(
    setting: AlarmSetting,
    label: int,
    clips: Sequence[ClipScores],
    pictures: Sequence[PictureScores],
    apart: float,
) -> ClassAlarms:
    """The alarms of one class, at its setting, in clips without it and in those of the pictures that are without it."""
    moments = [moment for clip in clips for moment in clip.moments(label, setting.threshold, apart)]
    told = [moment for clip in clips for name, moment in clip.visits if name == setting.label]
    hours = sum(clip.seconds for clip in clips) / 3600
    without = [picture for picture in pictures if label not in picture.present]
    raised = [(p.name, p.scores[label]) for p in without if p.scores[label] >= setting.threshold]
    return ClassAlarms(
        setting=setting,
        alarms=hourly(len(moments), hours),
        visits=hourly(len(told), hours),
        frames=(sum(moment.frames or 0 for moment in moments), sum(len(clip.times) for clip in clips)),
        pictures=rate(len(raised), len(without)),
        moments=tuple(moments),
        told=tuple(told),
        worst=tuple(sorted(raised, key=lambda pair: -pair[1])),
    )


def _class_lines(one: ClassAlarms, data: str) -> list[str]:
    setting = one.setting
    recall = "recall not measured: no labelled pictures"
    if setting.point is not None:
        recall = f"recall {rate_text(setting.point.recall, 'pictures with it').strip()} on {shown(data)}"
    told = [f"  {shown(setting.label):<20.20} threshold {setting.threshold:.3f} ({setting.chosen}): {recall}"]
    if one.alarms.per_hour is not None:
        hit, all_of = one.frames
        told.append(f"    single frames  {_an_hour(one.alarms, 'alarm')}; {hit} of {count_of(all_of, 'frame')}")
        told.append(f"    camera's rules {_an_hour(one.visits, 'visit')}")
    if one.pictures.n:
        thousand = [1000 * share for share in (one.pictures.value or 0.0, one.pictures.low, one.pictures.high)]
        counts = f"{one.pictures.hits} of {one.pictures.n} without it"
        told.append(f"    pictures       {counts}: {_rates(*thousand)} a thousand")
    for moment in sorted(one.moments, key=lambda m: -m.worst)[:_SHOWN]:
        until = "" if moment.start == moment.end else f" to {_clock(moment.end)}"
        told.append(
            f"      {shown(moment.clip)}  {_clock(moment.start)}{until}  worst {moment.worst:.3f} at "
            f"{_clock(moment.worst_at)}, {moment.frames} frames"
        )
    for moment in sorted(one.told, key=lambda m: -m.worst)[:_SHOWN]:
        span = f"{_clock(moment.start)} to {_clock(moment.end)}"
        best = f"best {moment.worst:.3f} at {_clock(moment.worst_at)}"
        told.append(f"      {shown(moment.clip)}  visit {span}  {best}")
    told += [f"      {shown(name)}  {score:.3f}" for name, score in one.worst[:_SHOWN]]
    more = sum(max(0, len(things) - _SHOWN) for things in (one.moments, one.told, one.worst))
    return [*told, f"      and {more} more (--format json has all)"] if more else told


def _an_hour(found: Hourly, what: str) -> str:
    return (
        f"{count_of(found.count, what)}: {_rates(found.per_hour or 0.0, found.low or 0.0, found.high or 0.0)} an hour"
    )


def _rates(value: float, low: float, high: float) -> str:
    return f"{value:.3g} [{low:.3g}, {high:.3g}]"


def _per_thousand(found: Rate) -> list[float] | None:
    return None if found.value is None else [1000 * found.value, 1000 * found.low, 1000 * found.high]


def _clock(seconds: float) -> str:
    """h:mm:ss.t"""
    tenths = round(seconds * 10)
    minutes, tenths = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{tenths // 10:02d}.{tenths % 10}"
