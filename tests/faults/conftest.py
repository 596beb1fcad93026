"""The room that bad input is built in."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

from tests.faults.room import Room


@pytest.fixture
def room(tmp_path: Path, checkpoint: Path, net: nn.Module, good: Path, pictures: Path) -> Room:
    folder = tmp_path / "room"
    folder.mkdir()
    return Room(folder, checkpoint, net.state_dict(), good, pictures)
