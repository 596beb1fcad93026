"""What becomes of what was seen: visits, the store, the page, learning, updates, output."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from edgekit.config.tables import Table

MB = 1_000_000
# what openssl pkey -pubout prints: SubjectPublicKeyInfo of Ed25519 (RFC 8410, section 4) in base64
PublicKey = Annotated[str, StringConstraints(pattern=r"^MCowBQYDK2VwAyEA[A-Za-z0-9+/]{43}=$")]


class LabelRule(Table):
    """When a label is confirmed; what is left out comes from [visits]."""

    min_score: float | None = Field(default=None, ge=0, le=1)
    threshold: float | None = Field(default=None, ge=0, le=1)
    alarm: float | None = Field(default=None, ge=0, le=1)


class VisitConfig(Table):
    """When tracks become a visit, and what is kept of it."""

    labels: tuple[str, ...] = Field(default=(), description="that make visits; none: every class")
    min_score: float | None = Field(default=None, ge=0, le=1, description="none: the model's of the class, or 0.5")
    threshold: float | None = Field(default=None, ge=0, le=1, description="of the median; none: the model's, or 0.7")
    alarm: float | None = Field(default=None, ge=0, le=1, description="of the best score; none: the model's, or 0")
    end_after: float = Field(default=3, gt=0, description="seconds without until a visit ends")
    cooldown: float = Field(default=5, ge=0, description="seconds after a visit until the label's next one")
    update_every: float = Field(default=10, gt=0, description="seconds")
    snapshot: bool = True
    plain: bool = Field(default=True, description="the snapshot's frame too, nothing drawn on it: to label")
    clip: bool = False
    pre_roll: float = Field(default=3, ge=0, le=60, description="seconds before the visit in its clip")
    post_roll: float = Field(default=2, ge=0, le=60, description="seconds after it")
    longest_clip: float = Field(default=60, gt=0, le=600, description="seconds")


class StoreConfig(Table):
    """Where visits are kept: SQLite and pictures in one folder."""

    folder: Path | None = Field(default=None, description="none: nothing is kept")
    quota_mb: float = Field(default=2000, gt=0, description="of everything in it; the oldest pictures and clips go")
    rows_mb: float | None = Field(
        default=None, gt=0, description="of visits.db, whose oldest visits go; none: a quarter"
    )
    reserve_mb: float = Field(default=500, ge=0, description="of the disk that pictures and clips leave free")
    clips_mb_a_day: float = Field(
        default=120,
        gt=0,
        description="of clips written in a day, a tenth of what is left of it for one: SD cards wear out",
    )

    @property
    def most_rows_mb(self) -> float:
        return self.quota_mb / 4 if self.rows_mb is None else self.rows_mb

    @model_validator(mode="after")
    def _room_for_rows(self) -> StoreConfig:
        if self.most_rows_mb > self.quota_mb:
            raise ValueError("rows_mb is a part of quota_mb, and no larger")
        return self


class WebConfig(Table):
    """The page. Only this machine reaches it, unless `host` says otherwise; then it needs a token."""

    enabled: bool = False
    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535, description="0: any free one")
    token: str | None = Field(
        default=None, repr=False, description="16 characters or more; `${NAME}` is of the environment"
    )
    viewers: int = Field(default=4, ge=1, le=64, description="of the live picture at a time")
    live_fps: float = Field(default=10, gt=0, le=60)


class LearnConfig(Table):
    """Learning from visits that were marked on the page, when the camera starts."""

    enabled: bool = False
    golden: str | None = Field(default=None, description="labelled pictures with boxes, which judge what was learnt")
    split: str | None = Field(default=None, description="train, val, test or all; none: the held-out one")
    map: str | None = Field(default=None, description="where they call classes differently, as --map")


class UpdateConfig(Table):
    """Models that come signed while the camera is at the hive (docs/updates.md)."""

    keys: tuple[PublicKey, ...] = Field(default=(), description="ed25519 public keys that may sign; none: no updates")
    trial_minutes: float = Field(default=10, gt=0, le=1440, description="a new model looks until it is kept")
    trial_looks: int = Field(default=100, ge=1, le=100_000, description="that it takes at least in that time")
    slowest: float = Field(default=2, ge=1, le=100, description="times the old model's time a look that it may take")


class OutputConfig(Table):
    """What else is written."""

    video: Path | None = Field(default=None, description="an annotated video, .mp4 or .avi")
    json_lines: bool = Field(default=False, description="events on stdout, one JSON object a line")
