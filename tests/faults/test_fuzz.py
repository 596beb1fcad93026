"""Every parser under damaged inputs: an EdgekitError or an answer, and nothing else, in bounded time and memory.

`tests/corpus/PARSER/` keeps inputs that once broke out, and right ones of formats that are written by others. What a
new campaign finds goes there: `python -m tests.faults.test_fuzz SEED INPUTS [PARSER ...]` prints and keeps it.
"""

from __future__ import annotations

import contextlib
import random
import resource
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekit.errors import EdgekitError
from tests.faults.parsers import PARSERS, Parser

CORPUS = Path(__file__).parents[1] / "corpus"
QUICK, ALL = 2_000, 20_000
SECONDS, MEGABYTES = 5.0, 500


def kept(parser: Parser) -> list[Path]:
    return sorted((CORPUS / parser.name).glob("*"))


def inputs(parser: Parser, seed: object, total: int) -> Iterator[bytes]:
    """This parser's share of `total` inputs."""
    rng = random.Random(f"{seed} {parser.name}")
    right = parser.seeds()
    known = [*right, *(file.read_bytes() for file in kept(parser))]
    share = sum(p.weight for p in PARSERS)
    for _ in range(max(1, total * parser.weight // share)):
        data = parser.mutate(rng, rng.choice(known if rng.random() < 0.3 else right), known)
        yield parser.mutate(rng, data, known) if rng.random() < 0.3 else data


def read(parser: Parser, folder: Path, number: int, data: bytes) -> None:
    """Reads one input in a folder of its own. Raises AssertionError where it takes too long, and what breaks out."""
    place = folder / str(number)
    place.mkdir()
    began = time.process_time()
    with contextlib.suppress(EdgekitError):
        parser.read(place, data)
    took = time.process_time() - began
    assert took < SECONDS, f"{took:.1f} s of processor time"


def peak() -> float:
    """The most memory that this process ever had, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def fuzzed(parser: Parser, folder: Path, total: int) -> None:
    before = peak()
    for number, data in enumerate(inputs(parser, 1, total)):
        try:
            read(parser, folder, number, data)
        except Exception as error:
            (folder / "broke").write_bytes(data)
            raise AssertionError(f"input {number} of {parser.name}, kept as {folder / 'broke'}: {error!r}") from error
    assert peak() - before < MEGABYTES


@pytest.mark.parametrize("parser", PARSERS, ids=lambda p: p.name)
def test_what_is_right_is_read(parser: Parser, tmp_path: Path) -> None:
    """Else the damage would be done to what is refused at once."""
    refused = []
    for number, data in enumerate(parser.seeds()):
        place = tmp_path / str(number)
        place.mkdir()
        try:
            parser.read(place, data)
        except EdgekitError as error:
            refused.append(error.what)
    assert len(refused) < len(parser.seeds()) or parser.name in ("checkpoint-old", "safetensors"), refused


@pytest.mark.parametrize("parser", [p for p in PARSERS if kept(p)], ids=lambda p: p.name)
def test_what_once_broke_out_is_told(parser: Parser, tmp_path: Path) -> None:
    for number, file in enumerate(kept(parser)):
        read(parser, tmp_path, number, file.read_bytes())


@pytest.mark.parametrize("parser", PARSERS, ids=lambda p: p.name)
def test_damage_is_told(parser: Parser, tmp_path: Path) -> None:
    fuzzed(parser, tmp_path, QUICK)


@pytest.mark.slow
@pytest.mark.parametrize("parser", PARSERS, ids=lambda p: p.name)
def test_much_damage_is_told(parser: Parser, tmp_path: Path) -> None:
    fuzzed(parser, tmp_path, ALL)


def campaign(seed: str, total: int, names: list[str], folder: Path) -> None:
    """Reads inputs of another seed, and keeps the smallest one of each new way out in the corpus."""
    found: dict[tuple[str, str, str, int], int] = {}
    for parser in PARSERS:
        if names and parser.name not in names:
            continue
        place = folder / parser.name
        place.mkdir()
        began, before, count = time.process_time(), peak(), 0
        for number, data in enumerate(inputs(parser, seed, total)):
            count += 1
            try:
                read(parser, place, number, data)
            except Exception as error:  # noqa: BLE001 - that is what is looked for
                at = traceback.extract_tb(error.__traceback__)[-1]
                key = (parser.name, type(error).__name__, Path(at.filename).stem, at.lineno or 0)
                if len(data) < found.get(key, sys.maxsize):
                    found[key] = len(data)
                    print(*key, repr(error)[:200], flush=True)
                    (CORPUS / parser.name).mkdir(parents=True, exist_ok=True)
                    (CORPUS / parser.name / "-".join(map(str, key[1:]))).write_bytes(data)
        print(
            f"{parser.name}: {count} in {time.process_time() - began:.1f} s, {peak() - before:.0f} MB more", flush=True
        )


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        campaign(sys.argv[1], int(sys.argv[2]), sys.argv[3:], Path(scratch))
