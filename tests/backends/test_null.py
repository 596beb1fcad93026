"""The fake is a real backend: it checks its inputs and gives zeros of the right shapes."""

import numpy as np
import pytest

from edgekit.backends.null import NullSession
from edgekit.errors import InputError
from edgekit.spec import TensorSpec

IMAGE = TensorSpec("image", "uint8", ("N", 4, "W", 3))
OUTPUTS = (
    TensorSpec("logits", "float32", ("N", 7)),
    TensorSpec("columns", "int32", ("W", 2)),
    TensorSpec("found", "int64", ("K", 1)),
)


@pytest.mark.parametrize(("n", "w"), [(1, 5), (3, 2)])
def test_it_gives_zeros_of_the_sizes_that_came_in(n: int, w: int) -> None:
    result = NullSession((IMAGE,), OUTPUTS).run({"image": np.ones((n, 4, w, 3), np.uint8)})
    shapes = {name: (array.shape, array.dtype.name) for name, array in result.items()}
    assert shapes == {"logits": ((n, 7), "float32"), "columns": ((w, 2), "int32"), "found": ((1, 1), "int64")}
    assert not any(array.any() for array in result.values())


def test_its_results_are_new_arrays() -> None:
    session = NullSession((IMAGE,), OUTPUTS)
    feeds = {"image": np.ones((1, 4, 1, 3), np.uint8)}
    first = session.run(feeds)["logits"]
    first[:] = 1
    assert not session.run(feeds)["logits"].any()


def test_it_checks_its_inputs_as_every_backend_does() -> None:
    with pytest.raises(InputError, match="Input image does not fit"):
        NullSession((IMAGE,), OUTPUTS).run({"image": np.ones((1, 5, 1, 3), np.uint8)})
