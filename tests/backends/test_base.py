"""Inputs are checked once, for every backend, and the message names the tensor."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgekit.backends import BACKENDS, open_session
from edgekit.backends.base import Arrays, Session
from edgekit.errors import BackendError, InputError
from edgekit.spec import TensorSpec


class Echo(Session):
    """Gives back what arrived."""

    backend = "echo"
    inputs = (
        TensorSpec("image", "uint8", ("N", 2, "W")),
        TensorSpec("mask", "float32", ("N", "W")),
        TensorSpec("gain", "float32", ()),
    )
    outputs = ()
    closed = False

    def _run(self, feeds: Arrays) -> Arrays:
        return feeds

    def close(self) -> None:
        self.closed = True


def feeds(**changes: Any) -> dict[str, Any]:
    good = {"image": np.zeros((3, 2, 4), np.uint8), "mask": np.zeros((3, 4), np.float32), "gain": np.float32(2)}
    return {**good, "gain": np.array(2, np.float32), **changes}


def test_what_fits_arrives_under_its_name() -> None:
    given = feeds(image=np.arange(24, dtype=np.uint8).reshape(3, 2, 4))
    got = Echo().run(given)
    assert list(got) == ["image", "mask", "gain"]
    for name, array in got.items():
        np.testing.assert_array_equal(array, given[name])


def test_the_order_of_the_names_does_not_matter() -> None:
    assert list(Echo().run(dict(reversed(feeds().items())))) == ["image", "mask", "gain"]


@pytest.mark.parametrize(
    ("given", "got"),
    [
        ({"image": np.zeros((3, 2, 4), np.uint8)}, "image"),
        ({}, "none"),
        (feeds(more=np.zeros(1)), "gain, image, mask, more"),
    ],
)
def test_missing_and_unknown_names_are_refused(given: dict[str, Any], got: str) -> None:
    with pytest.raises(InputError, match="do not have the model's names") as caught:
        Echo().run(given)
    assert caught.value.got == got
    assert caught.value.expected == "gain, image, mask"


@pytest.mark.parametrize(
    ("bad", "got"),
    [
        (np.zeros((3, 2, 4), np.int8), "image int8[3, 2, 4]"),
        (np.zeros((3, 2, 4), np.float32), "image float32[3, 2, 4]"),
        (np.zeros((3, 3, 4), np.uint8), "image uint8[3, 3, 4]"),
        (np.zeros((3, 2), np.uint8), "image uint8[3, 2]"),
        (np.zeros((1, 3, 2, 4), np.uint8), "image uint8[1, 3, 2, 4]"),
        (np.zeros((0, 2, 4), np.uint8), "image uint8[0, 2, 4]"),
        ([[0]], "[[0]]"),
        (None, "None"),
    ],
)
def test_another_dtype_or_shape_is_refused_by_name(bad: Any, got: str) -> None:
    with pytest.raises(InputError, match="Input image does not fit") as caught:
        Echo().run(feeds(image=bad))
    assert caught.value.got == got
    assert caught.value.expected == "image uint8[N, 2, W]"


@pytest.mark.parametrize(("shape", "dim"), [((4, 4), "N"), ((3, 5), "W")])
def test_dimensions_of_one_name_must_agree(shape: tuple[int, ...], dim: str) -> None:
    with pytest.raises(InputError, match=f"Input mask disagrees with another input about {dim}"):
        Echo().run(feeds(mask=np.zeros(shape, np.float32)))


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a[::-1],
        lambda a: np.asfortranarray(a),
        lambda a: np.repeat(a, 2, axis=2)[..., ::2],
        lambda a: np.ascontiguousarray(a.transpose(2, 1, 0)).transpose(2, 1, 0),
    ],
)
def test_strided_arrays_are_accepted_and_arrive_contiguous(view: Any) -> None:
    array = view(np.arange(24, dtype=np.uint8).reshape(3, 2, 4))
    assert not array.flags.c_contiguous
    got = Echo().run(feeds(image=array))["image"]
    assert got.flags.c_contiguous
    np.testing.assert_array_equal(got, array)


def test_scalars_stay_scalars_and_bytes_come_in_the_machines_order() -> None:
    got = Echo().run(feeds(mask=np.full((3, 4), 1.5, ">f4")))
    assert got["gain"].shape == ()
    assert got["mask"].dtype == np.dtype("float32")
    assert got["mask"].dtype.isnative
    assert (got["mask"] == 1.5).all()


def test_a_session_is_closed_when_its_block_ends_or_breaks() -> None:
    with Echo() as session:
        assert not session.closed
    assert session.closed
    with pytest.raises(ValueError, match="x"), Echo() as session:
        raise ValueError("x")
    assert session.closed


def test_an_unknown_backend_is_refused_by_name() -> None:
    with pytest.raises(BackendError, match="Unknown backend") as caught:
        open_session(b"", "tensorflow")
    assert caught.value.expected == "one of " + ", ".join(BACKENDS)
