"""An update is taken whole or not at all, whatever is wrong with it and wherever the process dies."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgekit.camera.clock import boot_id
from edgekit.camera.config import parse_config
from edgekit.errors import ArtifactError, BusyError, EdgekitError, UsageError, VerificationError
from edgekit.updating import record
from edgekit.updating.install import install
from edgekit.updating.pace import too_slow
from edgekit.updating.pack import pack
from edgekit.updating.probe import Answer, probe
from edgekit.updating.record import begin, give_back, keep, last_outcome, locked, pause, read_record
from tests.updating.conftest import Hive, made_hive, new_key, passes, rewritten


def test_an_update_is_taken_tried_and_kept(hive: Hive, package: Path) -> None:
    assert hive.used() == "tiny.onnx"
    taken = install(package, hive.config, passes)
    assert hive.used() == "better.onnx"
    found = read_record(hive.models)
    assert found.trial is not None
    assert found.previous is None
    keep(hive.models, taken.new.ident)
    assert read_record(hive.models).trial is None
    assert hive.used() == "better.onnx"
    assert last_outcome(hive.models)["outcome"] == "kept"
    with pytest.raises(ArtifactError, match="not newer"):  # replayed
        install(package, hive.config, passes)
    assert hive.used() == "better.onnx"


def test_it_is_given_back_and_not_taken_again(hive: Hive, package: Path) -> None:
    taken = install(package, hive.config, passes)
    assert give_back(hive.models, taken.new.ident, "it fails")
    assert hive.used() == "tiny.onnx"
    assert (last_outcome(hive.models)["outcome"], last_outcome(hive.models)["why"]) == ("returned", "it fails")
    assert not give_back(hive.models, taken.new.ident, "again")
    with pytest.raises(ArtifactError, match="not newer"):
        install(package, hive.config, passes)


def test_the_one_before_is_an_update_too(
    hive: Hive, package: Path, good: Path, pictures: Path, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = install(package, hive.config, passes)
    keep(hive.models, first.new.ident)
    monkeypatch.setattr(time, "time", lambda: read_record(hive.models).serial + 7.0)
    other = pack(good, pictures, key, tmp_path).path
    second = install(other, hive.config, passes)
    assert hive.used() == "tiny.onnx"
    assert read_record(hive.models).current == second.new
    assert read_record(hive.models).previous == first.new
    give_back(hive.models, second.new.ident, "slow")
    assert hive.used() == "better.onnx"
    folders = [place.name for place in hive.models.iterdir() if place.is_dir()]
    assert sorted(folders) == sorted(one.new.folder for one in (first, second))
    record.sweep(hive.models)
    assert [place.name for place in hive.models.iterdir() if place.is_dir()] == [first.new.folder]


def test_a_damaged_one_is_passed_over(hive: Hive, package: Path) -> None:
    taken = install(package, hive.config, passes)
    keep(hive.models, taken.new.ident)
    model = hive.models / taken.new.folder / "better.onnx"
    whole = model.read_bytes()
    model.write_bytes(whole[:-1])
    assert hive.used() == "tiny.onnx"
    model.write_bytes(whole)
    assert hive.used() == "better.onnx"
    (hive.models / "current.json").write_text("{}")
    assert hive.used() == "tiny.onnx"


def test_one_whose_key_is_trusted_no_more_is_passed_over(hive: Hive, package: Path, good: Path, tmp_path: Path) -> None:
    keep(hive.models, install(package, hive.config, passes).new.ident)
    assert hive.used() == "better.onnx"
    assert made_hive(good, new_key(tmp_path / "new.pem"), hive.models.parent).used() == "tiny.onnx"


def test_a_slower_model_is_refused(hive: Hive, package: Path) -> None:
    with pytest.raises(VerificationError) as caught:
        install(package, hive.config, lambda asked: Answer(True, "", 0.031, 0.015))
    told = "a look takes 31.0 ms, 2.1 times as long as with the model in use, over update.slowest = 2"
    assert caught.value.got == told
    assert hive.used() == "tiny.onnx"
    assert install(package, hive.config, lambda asked: Answer(True, "", 0.03, 0.015))


@pytest.mark.parametrize(
    ("rates", "seconds", "slow"),
    [
        ((5.0,), 0.1, False),
        ((5.0,), 0.11, True),
        ((0.0,), 0.1, True),
        ((5.0, 5.0), 0.05, False),
        ((5.0, 0.0), 0.04, True),
    ],
)
def test_a_larger_model_may_come_where_the_asked_rate_leaves_room(
    rates: tuple[float, ...], seconds: float, slow: bool
) -> None:
    """Half of the time at most is spent looking, for all cameras together."""
    rows = ", ".join(f"{{name='{i}', source={{uri='{i}'}}, rate={{fps={fps}}}}}" for i, fps in enumerate(rates))
    config = parse_config(f"cameras = [{rows}]", "a test")
    assert bool(too_slow(config, seconds, 0.01)) is slow


def test_another_model_in_the_configuration_ends_what_stood_in_for_the_old_one(
    hive: Hive, package: Path, newer: Path
) -> None:
    install(package, hive.config, passes)
    other = Hive(hive.config.model_copy(update={"model": hive.config.model.model_copy(update={"path": newer})}))
    assert other.used() == newer.name
    assert record.choices(other.models, other.of) == []


def wrong_key(package: Path, key: Path, folder: Path) -> tuple[Path, Path]:
    return package, new_key(folder / "other.pem")


def changed(package: Path, key: Path, folder: Path) -> tuple[Path, Path]:
    return rewritten(package, folder / "w", lambda name, data: data + b"x" if name == "better.onnx" else data), key


def truncated(package: Path, key: Path, folder: Path) -> tuple[Path, Path]:
    (folder / "t").write_bytes(package.read_bytes()[:-20_000])
    return folder / "t", key


def missing(package: Path, key: Path, folder: Path) -> tuple[Path, Path]:
    return folder / "not there.update", key


@pytest.mark.parametrize(
    ("spoilt", "error"),
    [(wrong_key, VerificationError), (changed, ArtifactError), (truncated, ArtifactError), (missing, ArtifactError)],
)
def test_a_wrong_one_changes_nothing_and_is_noted(
    spoilt: Callable[..., tuple[Path, Path]], error: type[EdgekitError], package: Path, good: Path, key: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    path, trusted = spoilt(package, key, tmp_path)
    hive = made_hive(good, trusted, tmp_path / "store")
    with pytest.raises(error):
        install(path, hive.config, passes)
    assert hive.used() == "tiny.onnx"
    assert [place.name for place in hive.models.iterdir() if place.is_dir()] == []
    assert last_outcome(hive.models)["outcome"] == "refused"


def test_a_check_that_fails_changes_nothing(hive: Hive, package: Path) -> None:
    with pytest.raises(VerificationError, match="failed its check"):
        install(package, hive.config, lambda asked: Answer(False, "no"))
    assert hive.used() == "tiny.onnx"
    assert read_record(hive.models) == record.NOTHING
    assert install(package, hive.config, passes), "what was refused by a check may be tried again"


def test_without_a_store_or_a_key_there_are_no_updates(good: Path, key: Path, package: Path, tmp_path: Path) -> None:
    config = made_hive(good, key, tmp_path).config
    for table, told in (("store", "no store.folder"), ("update", "no update.keys")):
        fresh = type(getattr(config, table))()
        with pytest.raises(UsageError, match="takes no updates") as caught:
            install(package, config.model_copy(update={table: fresh}), passes)
        assert caught.value.got == told


def test_one_at_a_time(hive: Hive, package: Path) -> None:
    with locked(hive.models, "update"), pytest.raises(BusyError, match="being checked"):
        install(package, hive.config, passes)
    install(package, hive.config, passes)
    with pytest.raises(BusyError, match="on trial"):
        install(package, hive.config, passes)


def killed_at(step: int, folder: Path, work: Callable[[], Any]) -> bool:
    """Does `work` in a process that is killed before its n-th step on files in `folder`; whether it was."""
    if (child := os.fork()) == 0:
        left = [step]

        def die(event: str, arguments: tuple[Any, ...]) -> None:
            if event in _STEPS and any(str(folder) in os.fsdecode(a) for a in arguments if isinstance(a, (str, bytes))):
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(die)
        try:
            work()
        except BaseException:  # noqa: BLE001 - of the child nothing but its code is told
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


_STEPS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree", "os.listdir", "os.scandir"}


@pytest.fixture(scope="module")
def small(newer: Path, pictures: Path, key: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An update with one golden picture, which has fewer steps."""
    return pack(newer, pictures / "0.png", key, tmp_path_factory.mktemp("small")).path


@pytest.mark.parametrize("every", [9, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_at_every_step_of_an_update(every: int, small: Path, good: Path, key: Path, tmp_path: Path) -> None:
    """Before the last rename the old model is used, after it the new one; and the update can then be taken anew."""
    seen: list[str] = []
    for step in range(0, 1000, every):
        hive = made_hive(good, key, tmp_path / str(step))
        killed = killed_at(step, hive.models, lambda hive=hive: install(small, hive.config, passes))  # type: ignore[misc]
        seen.append(hive.used())
        if seen[-1] == "tiny.onnx":
            install(small, hive.config, passes)
            assert hive.used() == "better.onnx"
        record.sweep(hive.models)
        assert len([place for place in hive.models.iterdir() if place.is_dir()]) == 1
        if not killed:
            break
    else:
        pytest.fail("it does not end")
    assert len(seen) > 40 / every
    first = seen.index("better.onnx")
    assert 20 / every < first < len(seen)
    assert set(seen[:first]) == {"tiny.onnx"}
    assert set(seen[first:]) == {"better.onnx"}


@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("end", "after"), [("kept", "better.onnx"), ("returned", "tiny.onnx"), ("paused", "better.onnx")]
)
def test_killed_at_every_step_of_a_trials_end(
    end: str, after: str, every: int, hive: Hive, small: Path, good: Path, key: Path, tmp_path: Path
) -> None:
    ends: dict[str, Callable[[Path, str], Any]] = {
        "kept": keep, "paused": pause, "returned": lambda models, ident: give_back(models, ident, "why"),
    }  # fmt: skip
    ident = install(small, hive.config, passes).new.ident
    for step in range(0, 200, every):
        copy = made_hive(good, key, tmp_path / str(step))
        shutil.copytree(hive.models, copy.models)
        killed = killed_at(step, copy.models, lambda copy=copy: ends[end](copy.models, ident))  # type: ignore[misc]
        assert copy.used() in ("better.onnx", after)
        if not killed:
            assert copy.used() == after
            break
    assert step > 3


def test_a_process_that_died_on_trial_gives_the_model_back(hive: Hive, package: Path) -> None:
    install(package, hive.config, passes)
    assert begin(hive.models, hive.of) == ""
    assert hive.used() == "better.onnx"
    assert "ended without a word" in begin(hive.models, hive.of)
    assert hive.used() == "tiny.onnx"
    assert begin(hive.models, hive.of) == ""


def test_an_orderly_stop_or_a_power_cut_is_no_failure_but_three_are(hive: Hive, package: Path) -> None:
    taken = install(package, hive.config, passes)
    for _ in range(5):
        assert begin(hive.models, hive.of) == ""
        pause(hive.models, taken.new.ident)
    for boot in range(3):
        found = read_record(hive.models)
        assert found.trial is not None
        if boot:  # the machine started anew meanwhile
            record._write(hive.models, replace(found, trial=replace(found.trial, boot=f"boot {boot}")))
        assert begin(hive.models, hive.of) == ""
    found = read_record(hive.models)
    assert found.trial is not None
    assert found.trial.boot == (boot_id() or "unknown")
    record._write(hive.models, replace(found, trial=replace(found.trial, boot="another boot")))
    assert "started anew 3 times" in begin(hive.models, hive.of)
    assert hive.used() == "tiny.onnx"


def test_the_real_check_passes_the_model_and_refuses_another(
    hive: Hive, package: Path, newer: Path, pictures: Path, key: Path, tmp_path: Path
) -> None:
    taken = install(package, hive.config)
    assert taken.answer.passed
    assert taken.answer.seconds > 0
    assert taken.answer.standing > 0
    give_back(hive.models, taken.new.ident, "for the next one")


def test_a_model_that_answers_otherwise_than_where_it_was_signed_is_refused(
    hive: Hive, newer: Path, pictures: Path, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if another board's runtime computed something else: one of the golden answers is moved before it is signed."""
    import numpy as np

    real = np.savez_compressed

    def moved(stream: Any, **answers: Any) -> None:
        answers["logits"][3] += 0.5
        real(stream, **answers)

    monkeypatch.setattr(np, "savez_compressed", moved)
    wrong = pack(newer, pictures, key, tmp_path).path
    with pytest.raises(VerificationError) as caught:
        install(wrong, hive.config)
    assert "of 8 golden pictures: max|d logits| 0.5" in str(caught.value.got)
    assert hive.used() == "tiny.onnx"


@pytest.mark.parametrize(
    ("planted", "told"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "crashed the runtime: SIGSEGV"),
        ("time.sleep(60)", "not done with its golden pictures after 2 s"),
        ("print('no memory', file=sys.stderr); os._exit(1)", "ended with code 1 and said: no memory"),
    ],
)
def test_a_model_that_crashes_or_hangs_is_refused(
    planted: str, told: str, hive: Hive, package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A runtime that dies: the process that asks it dies with it, and this one goes on."""
    (tmp_path / "sitecustomize.py").write_text(
        f"import os, signal, sys, time\nif '-m' in sys.orig_argv:\n    {planted}\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(VerificationError) as caught:
        install(package, hive.config, lambda asked: probe(asked, longest=2))
    assert told in str(caught.value.got)
    assert hive.used() == "tiny.onnx"


def test_labels_that_the_model_has_not_are_found_before_it_is_used(
    package: Path, good: Path, key: Path, tmp_path: Path
) -> None:
    hive = made_hive(good, key, tmp_path, "visits.labels=['zebra']")
    with pytest.raises(VerificationError) as caught:
        install(package, hive.config)
    assert "labels that the model does not have" in str(caught.value.got)
