"""Opens a GPU through the binding that is installed."""

from __future__ import annotations

from collections.abc import Callable
from importlib import util

from edgekit.backends.cuda.base import FIX, Cuda
from edgekit.errors import BackendError, UsageError


def open_cuda(binding: str = "auto", index: int = 0) -> Cuda:
    """GPU number `index`.

    Args:
        binding: `cuda-bindings`, `pycuda`, or `auto`: the first of them that is installed.

    Raises:
        UsageError: unknown binding.
        BackendError: no binding, no driver or no such GPU; never another one instead.
    """
    bindings: dict[str, tuple[str, Callable[[int], Cuda]]] = {
        "cuda-bindings": ("cuda.bindings", _cuda_bindings),
        "pycuda": ("pycuda", _pycuda),
    }
    if binding != "auto" and binding not in bindings:
        raise UsageError("Unknown CUDA binding.", got=binding, expected="auto, " + ", ".join(bindings))
    names = list(bindings) if binding == "auto" else [binding]
    present = [name for name in names if _installed(bindings[name][0])]
    if not present:
        raise BackendError(
            "No Python binding of CUDA is installed.",
            got=f"no {' and no '.join(names)}",
            expected=" or ".join(names),
            fix=FIX,
        )
    return bindings[present[0]][1](index)


def _installed(module: str) -> bool:
    try:
        return util.find_spec(module) is not None
    except ModuleNotFoundError:  # its parent is missing
        return False


def _cuda_bindings(index: int) -> Cuda:
    from edgekit.backends.cuda.bindings import CudaBindings

    return CudaBindings(index)


def _pycuda(index: int) -> Cuda:
    from edgekit.backends.cuda.pycuda_ import PyCuda

    return PyCuda(index)
