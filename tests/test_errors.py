"""Every error carries its exit code, and its text answers got / expected / fix."""

import inspect

import pytest

from edgekit import errors
from edgekit.errors import EdgekitError

CLASSES = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, EdgekitError)]
CODES = {
    "EdgekitError": 1,
    "UsageError": 2,
    "InputError": 1,
    "CheckpointError": 1,
    "PictureError": 1,
    "DataError": 1,
    "SplitError": 1,
    "LayoutError": 1,
    "SourceError": 1,
    "OutputError": 1,
    "BusyError": 5,
    "StandstillError": 6,
    "FoldError": 1,
    "VerificationError": 3,
    "RegressionError": 4,
    "ArtifactError": 5,
    "BackendError": 5,
}


def test_exit_codes_are_the_documented_ones() -> None:
    assert {c.__name__: c.exit_code for c in CLASSES} == CODES


def test_the_tree_drawn_at_the_top_is_the_tree() -> None:
    """Names, indentation and codes of the drawing; a code that is not drawn is the parent's."""
    drawn: dict[str, tuple[str | None, int]] = {}
    above: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        words = line.strip(" │├└─").split()
        if not words or not words[0].endswith("Error"):
            continue
        depth = line.index(words[0])
        above = [(d, name) for d, name in above if d < depth]
        parent = above[-1][1] if above else None
        code = int(words[1]) if words[1].isdigit() else drawn[str(parent)][1]
        drawn[words[0]] = (parent, code)
        above.append((depth, words[0]))
    bases = {c.__name__: c.__base__.__name__ if c is not EdgekitError else None for c in CLASSES}
    assert drawn == {name: (bases[name], CODES[name]) for name in CODES}


@pytest.mark.parametrize("cls", CLASSES)
def test_the_text_says_what_got_expected_and_fix_in_this_order(cls: type[EdgekitError]) -> None:
    error = cls("It broke.", got="a", expected="b", fix="c")
    assert str(error) == "It broke.\n  got:      a\n  expected: b\n  fix:      c"
    assert (error.what, error.got, error.expected, error.fix) == ("It broke.", "a", "b", "c")


def test_parts_that_are_not_known_leave_no_empty_line() -> None:
    assert str(EdgekitError("It broke.")) == "It broke."
    assert str(EdgekitError("It broke.", got="", fix="c")) == "It broke.\n  fix:      c"
