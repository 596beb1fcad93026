"""What the cases of one run answer: accuracy, agreement with a reference, and answers that were expected."""

from __future__ import annotations

from collections.abc import Callable

from edgekit.benchmark.quality.accuracy import evaluate
from edgekit.benchmark.quality.agreement import Answers, accuracy, agreement, read_samples
from edgekit.benchmark.schema import Case, Data, Expected, Row
from edgekit.data import Dataset, sample_evenly
from edgekit.errors import VerificationError
from edgekit.predictor import Predictor
from edgekit.screen import count_of

Key = tuple[str, str, str]


class Answering:
    """Measures each file on each runtime once: threads, batch and streams change nothing that is measured here.

    Args:
        wanted: pictures that accuracy is measured on; None for all, 0 for no accuracy.
        pictures: keep thumbnails of the worst disagreements.
        expected: a predictor's answers beside those that they must be, or None where none are known.
        say: told what goes on.
    """

    def __init__(
        self,
        wanted: int | None,
        pictures: bool,
        expected: Callable[[Case, Predictor], Expected] | None,
        say: Callable[[str], None],
    ) -> None:
        self.wanted, self.pictures, self.expected, self.say = wanted, pictures, expected, say
        self._answers: dict[Key, Answers] = {}
        self._classes: dict[Case, tuple[str, ...]] = {}
        self._measured: dict[str, int] = {}
        self._digests: dict[str, str] = {}  # of what accuracy is measured on, where that is not all

    def write(self, row: Row, predictor: Predictor, dataset: Dataset, reference: Row | None) -> None:
        """Fills the row's `accuracy`, `agreement` with `reference`, and `expected`.

        Raises:
            VerificationError: the answers are not those expected.
        """
        self._accuracy(row, predictor, dataset, reference)
        if self.expected is None:
            return
        row.expected = found = self.expected(row.case, predictor)
        if not found.passed:
            raise VerificationError(f"{row.name} answers otherwise than expected.", got=found.text, expected=found.by)

    def describe(self, task: str, data: Data) -> None:
        """Writes how many pictures the task's accuracy was measured on, and which."""
        data.measured, data.measured_digest = self._measured.get(task), self._digests.get(task)

    def _accuracy(self, row: Row, predictor: Predictor, dataset: Dataset, reference: Row | None) -> None:
        if self.wanted == 0 or not predictor.task.known(dataset):
            return
        task, key = predictor.spec.task, _key(row.case)
        chosen = dataset if self.wanted is None else sample_evenly(dataset, self.wanted)
        if key not in self._answers:
            self.say(f"accuracy of {row.name} on {count_of(len(chosen), 'picture')}")
            evaluation = evaluate(predictor, chosen)
            self._answers[key] = Answers(task, evaluation, read_samples(chosen, evaluation.unread))
            if len(chosen) < len(dataset) and task not in self._digests:
                self._digests[task] = chosen.digest
        row.accuracy = accuracy(self._answers[key])
        self._measured[task] = max(self._measured.get(task, 0), row.accuracy.n)
        self._classes[row.case] = predictor.spec.classes
        if reference is None or self._classes.get(reference.case) != predictor.spec.classes:
            return  # answers are compared by index
        if (other := self._answers.get(_key(reference.case))) is not None:
            row.agreement = agreement(other, self._answers[key], reference.name, self.pictures)


def _key(case: Case) -> Key:
    return case.model, case.backend, case.provider
