"""The layer before the scores is found, looked into and replaced; files without one are refused."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from edgekit.artifacts.onnx_file import read_onnx
from edgekit.backends import open_session
from edgekit.errors import UsageError
from edgekit.loading import model_path
from edgekit.refit.layer import FEATURES, LOGITS, replaced, score_layer, with_features

NAMES = ("centernet-tiny", "hornet-mobile")


@pytest.fixture(params=NAMES)
def model(request: pytest.FixtureRequest) -> onnx.ModelProto:
    return read_onnx(model_path(Path(request.param))).model


def run(model: onnx.ModelProto, seed: int = 0) -> dict[str, np.ndarray]:
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim][1:]
    image = np.random.default_rng(seed).integers(0, 256, (1, *shape), dtype=np.uint8)
    with open_session(model.SerializeToString()) as session:
        return {name: value.copy() for name, value in session.run({"image": image}).items()}


def test_what_it_gives_is_its_weights_times_its_features(model: onnx.ModelProto) -> None:
    layer = score_layer(model, 2)
    found = run(with_features(model, layer))
    assert set(found) == {FEATURES, LOGITS}
    wanted = np.einsum("nfhw,cf->nchw", found[FEATURES].astype(np.float64), layer.weight) + layer.bias[:, None, None]
    assert np.abs(found[LOGITS] - wanted).max() < 1e-3
    best = 1 / (1 + np.exp(-found[LOGITS].max()))
    assert run(model)["scores"][0, 0] == pytest.approx(best, abs=1e-5)


def test_only_that_layer_changes(model: onnx.ModelProto) -> None:
    layer = score_layer(model, 2)
    same = replaced(model, layer, layer.weight, layer.bias)
    assert all((a == b).all() for a, b in zip(run(model).values(), run(same).values(), strict=True))
    bias = layer.bias + np.array([0.0, 3.0], np.float32)
    other = score_layer(replaced(model, layer, layer.weight, bias), 2)
    assert (other.bias == bias).all()
    assert (other.weight == layer.weight).all()
    assert (score_layer(model, 2).bias == layer.bias).all()  # the given one stays


def test_another_number_of_classes_is_refused(model: onnx.ModelProto) -> None:
    with pytest.raises(UsageError, match="cannot be fitted"):
        score_layer(model, 3)


def test_a_graph_without_such_a_layer_is_refused() -> None:
    node = onnx.helper.make_node("Identity", ["image"], ["scores"])
    value = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, ["N", 3]) for n in ("image", "scores")]
    graph = onnx.helper.make_graph([node], "g", value[:1], value[1:])
    with pytest.raises(UsageError, match="no convolution"):
        score_layer(onnx.helper.make_model(graph), 2)


def test_quantized_weights_are_refused(model: onnx.ModelProto) -> None:
    layer = score_layer(model, 2)
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    (conv,) = [n for n in copy.graph.node if layer.weight_name in n.input]
    conv.input[1] = "dequantized"
    copy.graph.node.insert(0, onnx.helper.make_node("Identity", [layer.weight_name], ["dequantized"]))
    with pytest.raises(UsageError, match="cannot be fitted"):
        score_layer(copy, 2)
