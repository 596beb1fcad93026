"""The two bindings of CUDA: which one is taken, what they call, and what they say where there is no driver."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgekit.backends.cuda import base
from edgekit.backends.cuda import open as opening
from edgekit.backends.cuda.open import open_cuda
from edgekit.errors import BackendError, UsageError


class TestCuda:
    """Choosing a binding, and what a machine without a driver says."""

    def test_an_unknown_binding(self) -> None:
        with pytest.raises(UsageError, match="Unknown CUDA binding"):
            open_cuda("torch")

    def test_none_is_installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(opening, "_installed", lambda module: False)
        with pytest.raises(BackendError, match="No Python binding of CUDA") as caught:
            open_cuda()
        assert caught.value.exit_code == 5
        assert "pip install cuda-bindings" in str(caught.value.fix)
        with pytest.raises(BackendError) as caught:
            open_cuda("pycuda")
        assert caught.value.expected == "pycuda"

    @pytest.mark.parametrize(("present", "chosen"), [({"cuda.bindings", "pycuda"}, "a"), ({"pycuda"}, "b")])
    def test_auto_takes_the_first_that_is_installed(
        self, monkeypatch: pytest.MonkeyPatch, present: set[str], chosen: str
    ) -> None:
        monkeypatch.setattr(opening, "_installed", lambda module: module in present)
        monkeypatch.setattr(opening, "_cuda_bindings", lambda index: ("a", index))
        monkeypatch.setattr(opening, "_pycuda", lambda index: ("b", index))
        assert open_cuda("auto", 3) == (chosen, 3)  # type: ignore[comparison-overlap]

    def test_no_driver_is_an_error_in_words(self) -> None:
        runtime = pytest.importorskip("cuda.bindings.runtime", reason="cuda-bindings is not installed")
        if int(runtime.cudaGetDeviceCount()[0]) == 0:
            pytest.skip("there is a GPU here")
        with pytest.raises(BackendError, match="CUDA failed in cudaGetDeviceCount") as caught:
            open_cuda("cuda-bindings")
        assert str(caught.value.got).startswith("cudaError")

    def test_pycuda_without_a_driver(self, monkeypatch: pytest.MonkeyPatch) -> None:
        broken = SimpleNamespace()
        monkeypatch.setitem(sys.modules, "pycuda", broken)
        monkeypatch.setitem(sys.modules, "pycuda.driver", None)
        with pytest.raises(BackendError, match="pycuda cannot use a GPU here"):
            opening._pycuda(0)
        with pytest.raises(BackendError, match="one GPU only"):
            opening._pycuda(1)


class FakeRuntime:
    """cuda.bindings.runtime with memory of numpy: every function gives (error, results...)."""

    cudaStreamNonBlocking = 1
    cudaHostAllocMapped = 2
    cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2)
    cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)

    def __init__(self, integrated: bool) -> None:
        self.integrated, self.calls, self.memory = integrated, list[tuple[Any, ...]](), dict[int, np.ndarray]()
        self.fail = ""

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> tuple[Any, ...]:
            self.calls.append((name, *arguments))
            if name == self.fail:
                return (2, None)
            return (0, *getattr(self, f"do_{name}", lambda *a: ())(*arguments))

        if not name.startswith("cuda"):
            raise AttributeError(name)
        return call

    def do_cudaGetDeviceCount(self) -> tuple[int]:
        return (1,)

    def do_cudaRuntimeGetVersion(self) -> tuple[int]:
        return (12060,)

    def do_cudaGetDeviceProperties(self, index: int) -> tuple[Any]:
        return (SimpleNamespace(name=b"Orin", major=8, minor=7, integrated=int(self.integrated)),)

    def do_cudaStreamCreateWithFlags(self, flags: int) -> tuple[int]:
        assert flags == self.cudaStreamNonBlocking
        return (77,)

    def do_cudaHostAlloc(self, nbytes: int, flags: int) -> tuple[int]:
        memory = np.zeros(nbytes, np.uint8)
        self.memory[memory.ctypes.data] = memory
        return (memory.ctypes.data,)

    do_cudaMalloc = lambda self, nbytes: self.do_cudaHostAlloc(nbytes, 0)  # noqa: E731

    def do_cudaHostGetDevicePointer(self, host: int, flags: int) -> tuple[int]:
        return (host,)

    def do_cudaMemcpyAsync(self, to: int, source: int, nbytes: int, kind: int, stream: int) -> tuple[()]:
        self.memory[to][:nbytes] = self.memory[source][:nbytes]
        return ()

    def do_cudaStreamEndCapture(self, stream: int) -> tuple[str]:
        return ("graph",)

    def do_cudaGraphInstantiate(self, graph: str, flags: int) -> tuple[str]:
        return ("executable",)


class TestCudaBindings:
    """Against a stand-in of the runtime API, whose names are compared with the real one's."""

    def open(self, monkeypatch: pytest.MonkeyPatch, integrated: bool) -> tuple[Any, FakeRuntime]:
        from edgekit.backends.cuda.bindings import CudaBindings

        runtime = FakeRuntime(integrated)
        monkeypatch.setitem(sys.modules, "cuda", SimpleNamespace(bindings=SimpleNamespace(runtime=runtime)))
        monkeypatch.setitem(sys.modules, "cuda.bindings", SimpleNamespace(runtime=runtime))
        return CudaBindings(0), runtime

    @pytest.mark.parametrize("integrated", [False, True])
    def test_memory(self, monkeypatch: pytest.MonkeyPatch, integrated: bool) -> None:
        cuda, runtime = self.open(monkeypatch, integrated)
        assert cuda.device == ("Orin", "8.7", "12.6", integrated)
        with cuda.current():
            stream = cuda.stream()
            buffer = cuda.allocate(16)
            buffer.host[:] = np.arange(16)
            cuda.upload(buffer, 8, stream)
            on_device = runtime.memory[buffer.device]
            assert on_device[:8].tolist() == list(range(8))
            assert on_device[8:].any() == integrated
            on_device[:4] = 9
            cuda.download(buffer, 4, stream)
            assert buffer.host.tolist() == [9] * 4 + list(range(4, 16))
            cuda.free(buffer)
            cuda.close_stream(stream)
        names = [call[0] for call in runtime.calls]
        assert ("cudaMemcpyAsync" in names) == (not integrated)
        assert names.count("cudaFreeHost") == 1
        assert (
            names.count("cudaMalloc") == names.count("cudaFree") - 1 == (0 if integrated else 1)
        )  # one made the context

    def test_graphs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        cuda, runtime = self.open(monkeypatch, False)
        graph = cuda.capture(77, lambda: None)
        cuda.launch(graph, 77)
        cuda.free_graph(graph)
        assert [c[0] for c in runtime.calls[-6:]] == [
            "cudaStreamBeginCapture", "cudaStreamEndCapture", "cudaGraphInstantiate", "cudaGraphDestroy",
            "cudaGraphLaunch", "cudaGraphExecDestroy",
        ]  # fmt: skip

        def broken() -> None:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            cuda.capture(77, broken)
        assert runtime.calls[-1][0] == "cudaStreamEndCapture"  # or the stream would stay in capture

    def test_memory_that_runs_out_is_given_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        cuda, runtime = self.open(monkeypatch, False)
        runtime.fail = "cudaMalloc"
        with pytest.raises(BackendError, match="CUDA failed in cudaMalloc"):
            cuda.allocate(16)
        assert runtime.calls[-1][0] == "cudaFreeHost"

    def test_every_name_exists_in_the_real_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real = pytest.importorskip("cuda.bindings.runtime", reason="cuda-bindings is not installed")
        text = (Path(base.__file__).with_name("bindings.py")).read_text()
        names = set(re.findall(r'"(cuda\w+)"|_rt\.(cuda\w+)', text))
        flat = {a or b for a, b in names}
        assert len(flat) > 18
        assert [name for name in flat if not hasattr(real, name)] == []
        for kind, member in re.findall(r"_rt\.(cuda\w+)\.(\w+)", text):
            assert hasattr(getattr(real, kind), member)


class FakePycuda:
    """pycuda.driver and pycuda.autoprimaryctx, with contexts that are counted."""

    class Error(Exception):
        pass

    host_alloc_flags = SimpleNamespace(DEVICEMAP=2)
    device_attribute = SimpleNamespace(INTEGRATED="integrated")

    def __init__(self, integrated: bool) -> None:
        fake = self
        self.depth, self.log = 0, list[Any]()

        class Host(np.ndarray):
            def get_device_pointer(self) -> int:
                return 4096

            def free(self) -> None:
                fake.log.append("free host")

        class Memory:
            def __init__(self, nbytes: int) -> None:
                self.data = np.zeros(nbytes, np.uint8)

            def __int__(self) -> int:
                return int(self.data.ctypes.data)

            def free(self) -> None:
                fake.log.append("free device")

        def pagelocked_empty(shape: int, dtype: Any, mem_flags: int = 0) -> np.ndarray:
            fake.log.append(("host", shape, mem_flags))
            return np.zeros(shape, dtype).view(Host)[:].view(np.ndarray)

        def push() -> None:
            fake.depth += 1

        def pop() -> None:
            fake.depth -= 1

        def htod(to: int, source: np.ndarray, stream: Any) -> None:
            fake.log.append(("htod", to, source.copy(), stream))

        def dtoh(to: np.ndarray, source: int, stream: Any) -> None:
            to[:] = 9

        self.pagelocked_empty, self.mem_alloc = pagelocked_empty, Memory
        self.memcpy_htod_async, self.memcpy_dtoh_async = htod, dtoh
        self.Stream = lambda flags: SimpleNamespace(handle=70 + flags, synchronize=lambda: fake.log.append("wait"))
        device = SimpleNamespace(
            compute_capability=lambda: (8, 7), name=lambda: "Orin", get_attribute=lambda which: int(integrated)
        )
        self.context = SimpleNamespace(push=push, pop=pop)
        self.device = device
        self.get_version = lambda: (12, 6, 0)


class TestPyCuda:
    def open(self, monkeypatch: pytest.MonkeyPatch, integrated: bool) -> tuple[Any, FakePycuda]:
        from edgekit.backends.cuda.pycuda_ import PyCuda

        fake, package = FakePycuda(integrated), ModuleType("pycuda")
        package.driver = fake  # type: ignore[attr-defined]
        package.autoprimaryctx = fake  # type: ignore[attr-defined]
        for name, module in (("pycuda", package), ("pycuda.driver", fake), ("pycuda.autoprimaryctx", fake)):
            monkeypatch.setitem(sys.modules, name, module)
        return PyCuda(0), fake

    def test_pinned_memory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        cuda, fake = self.open(monkeypatch, False)
        assert cuda.device == ("Orin", "8.7", "12.6", False)
        with cuda.current():
            assert fake.depth == 1
            stream = cuda.stream()
            assert cuda.handle(stream) == 71  # flag 1: does not wait for the default stream
            buffer = cuda.allocate(8)
            assert (buffer.mapped, buffer.device) == (False, int(buffer.owner))
            buffer.host[:] = 5
            cuda.upload(buffer, 3, stream)
            kind, to, copied, used = fake.log[-1]
            assert (kind, to, copied.tolist(), used) == ("htod", buffer.device, [5, 5, 5], stream)
            cuda.download(buffer, 2, stream)
            assert buffer.host.tolist() == [9, 9, 5, 5, 5, 5, 5, 5]
            cuda.synchronize(stream)
            cuda.free(buffer)
        assert fake.depth == 0
        assert fake.log[-3:] == ["wait", "free device", "free host"]

    def test_mapped_memory_on_an_integrated_gpu(self, monkeypatch: pytest.MonkeyPatch) -> None:
        cuda, fake = self.open(monkeypatch, True)
        buffer = cuda.allocate(8)
        assert (buffer.mapped, buffer.device) == (True, 4096)
        assert fake.log == [("host", 8, 2)]
        cuda.upload(buffer, 8, None)
        cuda.download(buffer, 8, None)
        assert fake.log == [("host", 8, 2)]
        cuda.free(buffer)
        assert fake.log[-1] == "free host"

    def test_its_errors_are_ours_and_the_context_is_popped(self, monkeypatch: pytest.MonkeyPatch) -> None:
        cuda, fake = self.open(monkeypatch, False)

        def full(nbytes: int) -> Any:
            raise fake.Error("cuMemAlloc failed: out of memory")

        monkeypatch.setattr(fake, "mem_alloc", full)
        with cuda.current():
            with pytest.raises(BackendError, match="CUDA failed") as caught:  # at the call: callers pass over some
                cuda.allocate(8)
            assert fake.depth == 1
        assert caught.value.got == "cuMemAlloc failed: out of memory"
        assert fake.depth == 0

    def test_it_has_no_graphs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        cuda, _ = self.open(monkeypatch, False)
        assert not cuda.has_graphs
        with pytest.raises(BackendError, match="pycuda has no CUDA graphs"):
            cuda.capture(None, lambda: None)


@pytest.mark.gpu
@pytest.mark.parametrize("binding", ["cuda-bindings", "pycuda"])
class TestOnAGpu:
    """The bindings on what they are for: memory that goes there and comes back, streams, graphs."""

    @pytest.fixture
    def cuda(self, binding: str) -> base.Cuda:
        try:
            return open_cuda(binding)
        except BackendError as error:
            pytest.skip(f"nothing ran on a GPU: {error.what} {error.got}")

    def test_bytes_come_back(self, cuda: base.Cuda) -> None:
        major, minor = map(int, cuda.device.sm.split("."))
        assert (major, minor) >= (5, 0)
        assert cuda.device.name
        rng = np.random.default_rng(0)
        with cuda.current():
            stream = cuda.stream()
            assert cuda.handle(stream) != 0  # not the default stream
            buffer = cuda.allocate(1 << 20)
            sent = rng.integers(0, 256, 1 << 20, np.uint8)
            buffer.host[:] = sent
            cuda.upload(buffer, 1 << 20, stream)
            cuda.synchronize(stream)
            if not buffer.mapped:
                buffer.host[:] = 0
                cuda.download(buffer, 1 << 19, stream)  # half of it
                cuda.synchronize(stream)
                sent[1 << 19 :] = 0
            np.testing.assert_array_equal(buffer.host, sent)
            cuda.free(buffer)
            cuda.close_stream(stream)

    def test_a_graph_copies_what_lies_there_at_each_launch(self, cuda: base.Cuda) -> None:
        if not cuda.has_graphs or cuda.device.integrated:
            pytest.skip("no graph with copies in it here")
        with cuda.current():
            stream, buffer = cuda.stream(), cuda.allocate(64)

            def there_and_back() -> None:
                cuda.upload(buffer, 64, stream)
                cuda.download(buffer, 64, stream)

            there_and_back()
            cuda.synchronize(stream)
            graph = cuda.capture(stream, there_and_back)
            for value in (3, 200):
                buffer.host[:] = value
                cuda.launch(graph, stream)
                cuda.synchronize(stream)
                assert buffer.host.tolist() == [value] * 64
            with pytest.raises(ZeroDivisionError):
                cuda.capture(stream, lambda: 1 // 0)
            cuda.launch(graph, stream)  # the stream is as good as before
            cuda.synchronize(stream)
            cuda.free_graph(graph)
            cuda.free(buffer)
            cuda.close_stream(stream)

    def test_too_much_memory_is_an_error_and_not_the_end(self, cuda: base.Cuda) -> None:
        with cuda.current():
            with pytest.raises(BackendError) as caught:
                cuda.allocate(1 << 44)
            assert caught.value.got
            cuda.free(cuda.allocate(16))
