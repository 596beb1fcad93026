"""A veto takes one class away where a place looks as a marked false alarm did, in numpy as in the graph."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from edgekit.artifacts.onnx_file import read_onnx
from edgekit.backends import open_session
from edgekit.loading import model_path
from edgekit.refit.examples import Golden, Places, Said
from edgekit.refit.false_looks import MOST, Real, real_of, strangeness, veto_of
from edgekit.refit.layer import FEATURES, LOGITS, ScoreLayer, score_layer, with_features
from edgekit.refit.veto import REACH, Fit, Veto, looks_at, squared_distances, with_vetoes

F, SIDE, THRESHOLD = 3, 24, 0.5


def places(at: dict[tuple[int, int], float], seed: int, kind: float = 0.0) -> Places:
    """One class, peaks with these logits; around each features of a kind, elsewhere noise."""
    random = np.random.default_rng(seed)
    features = random.normal(0, 0.3, (SIDE, SIDE, F)).astype(np.float32)
    logits = np.full((SIDE, SIDE, 1), -5.0)
    for (row, column), value in at.items():
        features[row - 4 : row + 5, column - 4 : column + 5] += kind
        logits[row, column, 0] = value
    return Places(features, logits)


def golden(number: int) -> list[Golden]:
    """Pictures with one labelled insect each, all of a kind."""
    box = np.array([[10.0, 10.0, 15.0, 15.0]])
    return [Golden(places({(12, 12): 2.0}, i, 2.0), box, np.zeros(1, np.int64)) for i in range(number)]


def false(seed: int = 99, kind: float = -2.0) -> list[Said]:
    return [Said(places({(12, 12): 1.5}, seed + i, kind), 0, None) for i in range(3)]


@pytest.fixture(scope="module")
def real() -> Real:
    return real_of(golden(12), [], 0, THRESHOLD)


def test_what_looks_so_is_shown_no_more_and_labelled_insects_are(real: Real) -> None:
    veto = veto_of([false()], real, THRESHOLD, 0.8)
    assert veto is not None
    noise = np.random.default_rng(7).normal(0, 0.05, (SIDE, SIDE, F)).astype(np.float32)
    again = Places(false()[0].places.features + noise, false()[0].places.logits)
    insect = places({(12, 12): 1.5}, 8, 2.0)
    assert veto.taken(again.features)[12, 12] == 20
    assert not veto.taken(insect.features)[12 - REACH : 13 + REACH, 12 - REACH : 13 + REACH].any()
    fit = Fit(np.zeros((1, F)), np.array([1.0]), (veto,))
    assert fit.logits(again.features)[12, 12, 0] == -19
    assert fit.logits(insect.features)[12, 12, 0] == 1


def test_its_reach_ends_before_the_nearest_labelled_insect(real: Real) -> None:
    for share in (0.5, 0.9):
        veto = veto_of([false()], real, THRESHOLD, share)
        assert veto is not None
        nearest = min(
            float(squared_distances(veto.centres[:1], looks_at(f, at, real.basis)).min()) for f, at in real.around
        )
        assert veto.radius[0] == pytest.approx(share * min(nearest**0.5, real.ordinary))


def test_visits_called_right_are_kept_from_it_too(real: Real) -> None:
    right = Said(places({(12, 12): 1.5}, 200, -2.0), 0, 0)  # it looks just as the false one does
    with_right = real_of(golden(12), [right], 0, THRESHOLD)
    veto = veto_of([false()], with_right, THRESHOLD, 0.9)
    assert veto is not None
    assert veto.taken(right.places.features)[12, 12] == 0


def test_an_insect_that_is_called_false_is_not_strange(real: Real) -> None:
    assert strangeness(false(kind=2.0), real, THRESHOLD) < 0.68
    assert strangeness(false(kind=-2.0), real, THRESHOLD) == 1
    few = real_of(golden(3), [], 0, THRESHOLD)
    assert strangeness(false(kind=2.0), few, THRESHOLD) == 1  # three say nothing of what is ordinary


def test_without_a_labelled_insect_nothing_says_how_far_it_may_reach() -> None:
    nobody = real_of([Golden(places({}, 0), np.zeros((0, 4)), np.zeros(0, np.int64))], [], 0, THRESHOLD)
    assert veto_of([false()], nobody, THRESHOLD, 0.8) is None


def test_each_mark_has_its_surest_looks_among_the_centres(real: Real) -> None:
    many = [false(1000 + 10 * i) for i in range(MOST)]
    veto = veto_of(many, real, THRESHOLD, 0.8)
    assert veto is not None
    assert len(veto.centres) == MOST
    for frame in many:
        (look,) = looks_at(frame[0].places.features, np.array([[12, 12]]), real.basis)
        others = [looks_at(one.places.features, np.array([[12, 12]]), real.basis)[0] for one in frame]
        assert any((veto.centres == one).all(axis=1).any() for one in (look, *others))


@pytest.mark.parametrize("name", ["centernet-tiny", "hornet-mobile"])
@pytest.mark.parametrize("labels", [(1,), (0, 1)])
def test_the_graph_takes_what_numpy_takes(name: str, labels: tuple[int, ...]) -> None:
    model = read_onnx(model_path(Path(name))).model
    layer = score_layer(model, 2)
    features, before = run(model, layer)
    spread = features.std(axis=(0, 1)) + 0.01
    basis = np.linalg.qr(np.random.default_rng(1).normal(size=(len(spread), 12)))[0] / spread[:, None]
    basis = basis.astype(np.float32)
    random = np.random.default_rng(0)
    vetoes = []
    for label in labels:
        at = random.integers(6, features.shape[0] - 6, (3, 2))
        centres = looks_at(features, at, basis)
        vetoes.append(Veto(label, basis, centres, np.sqrt(np.full(3, 0.6 * centres.shape[1]))))
    fit = Fit(layer.weight.astype(np.float64), layer.bias.astype(np.float64), tuple(vetoes))
    _, after = run(with_vetoes(model, layer, fit.vetoes), layer)
    wanted = fit.logits(features)
    assert np.abs(after - wanted).max() < 0.02
    taken = [float(np.abs(wanted - before)[:, :, label].max()) for label in range(2)]
    assert [value > 5 for value in taken] == [label in labels for label in range(2)]
    left = np.abs(wanted - before).max(axis=2) < 1e-3
    assert left.mean() > 0.2  # elsewhere nothing is taken
    assert with_vetoes(model, layer, ()) is model


def run(model: onnx.ModelProto, layer: ScoreLayer) -> tuple[np.ndarray, np.ndarray]:
    """Features [h, w, F] and logits [h, w, 2] of one picture."""
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim][1:]
    image = np.random.default_rng(3).integers(0, 256, (1, *shape), dtype=np.uint8)
    with open_session(with_features(model, layer).SerializeToString()) as session:
        found = session.run({"image": image})
        return tuple(found[name][0].transpose(1, 2, 0).copy() for name in (FEATURES, LOGITS))  # type: ignore[return-value]
