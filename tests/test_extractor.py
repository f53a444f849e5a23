"""The front of a network as a transformer: features worked by hand, and the road through scikit-learn."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.special import expit, softmax
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC
from sklearn.utils.validation import check_is_fitted

from medladder import rungs
from medladder.architecture import convolution_layers
from medladder.errors import InputError, OptionError
from medladder.models.extractor import LayerExtractor, extractor, layer_names
from medladder.rungs.convolution import ConvolutionalNetworkClassifier
from medladder.rungs.ensembles import ConvolutionalEnsemble, DenseEnsemble, Network
from medladder.rungs.networks import DeepNetworkClassifier

pytestmark = pytest.mark.usefixtures("one_thread")


def draw_images(shape: tuple[int, ...], n: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noise, brighter in the first column for every other image."""
    rng, labels = np.random.default_rng(seed), np.arange(n) % 2
    images = rng.integers(0, 150, (n, *shape), dtype=np.uint8)
    images[:, :, 0] += (100 * labels).astype(np.uint8).reshape(n, *(1,) * (images.ndim - 2))
    return images, labels


def fit(text: str, shape: tuple[int, ...], n_classes: int = 2) -> Any:
    images, _ = draw_images(shape)
    return rungs.build(rungs.parse_rung(text)).set_params(random_state=0).fit(images, np.arange(40) % n_classes)


DNN = fit("dnn:epochs=2,widths=9-5-3,members=3", (8, 7))
CNN = fit("cnn:epochs=1,width=8,members=2", (18, 16, 3))


@pytest.fixture
def two_layers() -> DeepNetworkClassifier:
    """Two members on vectors of two values, each with one hidden layer of two nodes."""
    first = Network(
        (np.array([[1, -1], [2, 1]], np.float32), np.array([[3], [-2]], np.float32)),
        (np.array([0.5, 0.0]), np.array([1.0])),
    )
    second = Network((np.eye(2, dtype=np.float32), np.array([[1], [1]], np.float32)), (np.zeros(2), np.zeros(1)))
    network = DeepNetworkClassifier(widths=(2,), members=2)
    network.ensemble_ = DenseEnsemble("relu", False, (first, second), (1.0, 1.0))
    network.classes_, network.n_features_in_ = np.array([0, 1]), 2
    return network


def test_activations_worked_by_hand(two_layers: DeepNetworkClassifier) -> None:
    assert layer_names(two_layers) == ["hidden1", "output"]
    vectors = np.array([[1.0, 0.0], [0.0, -1.0]])
    # Member 0: (1, 0) → (1 + .5, -1) → relu (1.5, 0) → 3·1.5 + 1 = 5.5; (0, -1) → (-2 + .5, -1) → (0, 0) → 1.
    # Member 1 passes positive values on: (1, 0) → (1, 0) → 1; (0, -1) → (0, 0) → 0.
    hidden, output = ([[1.5, 0, 1, 0], [0, 0, 0, 0]], [[5.5, 1], [1, 0]])
    for layer, expected in (("hidden1", hidden), (0, hidden), (-2, hidden), ("output", output), (1, output)):
        found = extractor(two_layers, layer).transform(vectors)
        assert found.dtype == np.float32
        assert found.tolist() == expected
    proba = two_layers.predict_proba(vectors)[:, 1]
    np.testing.assert_allclose(proba, [(expit(5.5) + expit(1)) / 2, (expit(1) + expit(0)) / 2])
    assert extractor(two_layers, "hidden1").get_feature_names_out().tolist() == [
        "member0_hidden1_0",
        "member0_hidden1_1",
        "member1_hidden1_0",
        "member1_hidden1_1",
    ]


def test_maps_worked_by_hand() -> None:
    # One convolution of one channel that sums the three pixels above, at and below; two images of four columns.
    [given, first, second, output] = convolution_layers((4, 4), width=2, depth=1)
    assert (first.channels, second.channels) == (2, 2)
    column, itself = np.zeros((2, 1, 3, 3), np.float32), np.zeros((2, 2, 3, 3), np.float32)
    column[0, 0, :, 1], column[1, 0, 1, 1] = 1, -1  # channel 0 sums, channel 1 turns the sign
    itself[0, 0, 1, 1] = itself[1, 1, 1, 1] = 1
    weights = (column, itself, np.array([[1, 0, 0, 2]], np.float32))
    network = ConvolutionalNetworkClassifier(members=1)
    network.ensemble_ = ConvolutionalEnsemble(
        (given, first, second, output),
        False,
        np.zeros(1),
        np.ones(1),
        (Network(weights, (np.array([0, 5], np.float32), np.zeros(2, np.float32), np.array([-1], np.float32))),),
        (1.0,),
    )
    network.classes_, network.n_features_in_ = np.array([0, 1]), 16
    images = np.zeros((1, 4, 4))
    images[0, 1, 2] = 8
    # Channel 0: three rows see the 8, so 24 over 16 positions, largest 8. Channel 1: 5 everywhere but relu(5 - 8).
    expected = [24 / 16, 5 * 15 / 16, 8, 5]
    assert layer_names(network) == ["convolution1", "convolution2", "output"]
    for layer in ("convolution1", "convolution2"):
        assert extractor(network, layer).transform(images).tolist() == [expected]
    # The output: 1·(mean of channel 0) + 2·(largest of channel 1) - 1.
    assert extractor(network, "output").transform(images).tolist() == [[1.5 + 10 - 1]]
    assert extractor(network, "convolution1").get_feature_names_out().tolist() == [
        "member0_convolution1_mean0",
        "member0_convolution1_mean1",
        "member0_convolution1_largest0",
        "member0_convolution1_largest1",
    ]


def proba_of(logits: np.ndarray) -> np.ndarray:
    """Mean probability over the members, from `(image, member, output)`."""
    if logits.shape[2] > 1:
        return softmax(logits.astype(float), axis=2).mean(axis=1)
    voted = expit(logits[..., 0].astype(float)).mean(axis=1)
    return np.stack([1 - voted, voted], axis=1)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("nn:epochs=1,width=6,activation=tanh", (6, 7)),
        ("dnn:epochs=1,widths=9-5-4,activation=gelu", (6, 5, 3)),
        ("dnn:epochs=1,widths=6-4,standardise=false,members=1,activation=sigmoid", (4, 5, 4, 1)),
        ("cnn:epochs=1,width=6,members=2", (18, 16)),
        ("cnn:epochs=1,width=4,depth=2,members=1,standardise=false", (6, 8, 7, 1)),
    ],
)
def test_the_last_layer_before_the_output_and_its_weights_give_the_networks_answer(
    text: str, shape: tuple[int, ...], n_classes: int
) -> None:
    network, (images, _) = fit(text, shape, n_classes), draw_images(shape, n=37, seed=1)
    members = network.ensemble_.members
    last = extractor(network, -2).transform(images).reshape(37, len(members), -1)
    logits = extractor(network, "output").transform(images).reshape(37, len(members), -1)
    for place, member in enumerate(members):
        # Dense weights are (before, after), convolutional ones (after, before).
        weight = member.weights[-1].T if text.startswith("cnn") else member.weights[-1]
        np.testing.assert_allclose(last[:, place] @ weight + member.biases[-1], logits[:, place], atol=2e-5)
    np.testing.assert_allclose(proba_of(logits), network.predict_proba(images), atol=1e-6)


@pytest.mark.parametrize("network", [DNN, CNN], ids=["dnn", "cnn"])
def test_features_of_every_layer_have_names_and_do_not_hang_on_neighbours(network: Any) -> None:
    images, _ = draw_images((8, 7) if network is DNN else (18, 16, 3), n=70, seed=1)
    for layer in layer_names(network):
        cut = extractor(network, layer)
        features, names = cut.transform(images), cut.get_feature_names_out()
        assert features.shape == (70, len(names))
        assert len(set(names)) == len(names)
        assert np.array_equal(cut.transform(images[33:34]), features[33:34])
        assert np.array_equal(cut.transform(images[::-1])[::-1], features)
        assert np.array_equal(cut.transform(images.reshape(70, -1)), features)
        assert np.array_equal(cut.transform(images / np.float32(255)), features)


def test_layers_are_named_as_the_architecture_names_them() -> None:
    assert layer_names(DNN) == ["hidden1", "hidden2", "hidden3", "output"]
    assert layer_names(CNN) == [*(f"convolution{place}" for place in range(1, 7)), "output"]
    assert layer_names(SimpleNamespace(rung=DNN)) == layer_names(DNN)
    wide = [len(extractor(CNN, layer).get_feature_names_out()) for layer in layer_names(CNN)]
    assert wide == [2 * 2 * channels for channels in (2, 2, 4, 4, 8, 8)] + [2]  # members · (mean, largest) · channels


def test_another_classifier_stands_on_the_front_of_a_network() -> None:
    images, labels = draw_images((8, 7), n=60)
    # A network that passes the first column on, negated and not, so that a machine on it must do well.
    first = np.zeros((56, 2), np.float32)
    first[::7, 0], first[::7, 1] = 1, -1
    network = DeepNetworkClassifier(widths=(2,), members=1, standardise=False)
    network.ensemble_ = DenseEnsemble(
        "relu", False, (Network((first, np.ones((2, 1), np.float32)), (np.array([0, 3.0]), np.zeros(1))),), (1.0,)
    )
    network.classes_, network.n_features_in_ = np.array([0, 1]), 56
    piped = make_pipeline(extractor(network, "hidden1"), SVC()).fit(images[:40], labels[:40])
    assert piped.score(images[40:], labels[40:]) == 1
    assert piped[:-1].get_feature_names_out().tolist() == ["member0_hidden1_0", "member0_hidden1_1"]


def test_a_search_over_layers_and_settings_keeps_the_network() -> None:
    images, labels = draw_images((8, 7), n=60)
    before = DNN.predict_proba(images)
    grid = {"layerextractor__layer": ["hidden1", "hidden3"], "svc__C": [0.1, 10]}
    search = GridSearchCV(make_pipeline(extractor(DNN, "hidden2"), SVC()), grid, cv=2, error_score="raise")
    search.fit(images, labels)
    best = search.best_estimator_[0]
    assert best.model is DNN
    assert best.layer == search.best_params_["layerextractor__layer"]
    assert search.predict(images).shape == (60,)
    assert np.array_equal(DNN.predict_proba(images), before)


def test_a_clone_keeps_the_network() -> None:
    images, _ = draw_images((8, 7))
    cut = extractor(DNN, "hidden2").set_output(transform="pandas")
    twin = clone(cut)
    assert twin is not cut
    assert twin.model is DNN
    assert list(twin.transform(images).columns) == cut.get_feature_names_out().tolist()
    twin.set_params(layer="output")
    assert cut.layer == "hidden2"
    check_is_fitted(LayerExtractor(DNN, 0))


def test_a_model_is_as_good_as_its_rung_and_knows_the_shape_of_its_images() -> None:
    images, _ = draw_images((8, 7))
    model = SimpleNamespace(rung=DNN, record=SimpleNamespace(shape=(8, 7)))
    assert np.array_equal(extractor(model, 0).transform(images), extractor(DNN, 0).transform(images))
    turned = images.transpose(0, 2, 1)
    assert extractor(DNN, 0).transform(turned).shape == (40, 27)  # unrolled, a network cannot tell
    with pytest.raises(InputError, match=r"of shape 40×7×8\. .* 8×7"):
        extractor(model, 0).transform(turned)


@pytest.mark.parametrize(
    ("network", "shape"),
    [(DNN, (8, 8)), (DNN, (8, 7, 3)), (DNN, (55,)), (CNN, (18, 16)), (CNN, (16, 18, 3)), (CNN, (18, 16, 1, 3))],
)
def test_images_of_another_shape_are_refused(network: Any, shape: tuple[int, ...]) -> None:
    cut = extractor(network, -1)
    for ask in (cut.transform, cut.fit):
        with pytest.raises(InputError, match="×".join(map(str, (2, *shape)))):
            ask(np.zeros((2, *shape)))


def test_a_lone_vector_is_no_row_of_images() -> None:
    with pytest.raises(InputError, match="shape 56"):
        extractor(DNN, 0).transform(np.zeros(56))


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        ("hiden2", "Did you mean 'hidden2'"),
        (4, "0 to 3"),
        (-5, "0 to 3"),
        (True, "0 to 3"),
        (1.0, "0 to 3"),
        (None, "0 to 3"),
    ],
)
def test_layers_that_are_not_there_are_refused(layer: Any, reason: str) -> None:
    with pytest.raises(OptionError, match=reason):
        extractor(DNN, layer)
    with pytest.raises(OptionError, match=reason):
        LayerExtractor(DNN, layer).fit(draw_images((8, 7))[0])


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (rungs.build(rungs.parse_rung("logistic")), "A LogisticClassifier. A network"),
        (SimpleNamespace(rung=SVC()), "A SVC. A network"),
        (rungs.build(rungs.parse_rung("dnn")), "A DeepNetworkClassifier that is not fitted"),
        (None, "A NoneType. A network"),
    ],
)
def test_what_is_no_fitted_network_is_refused(model: Any, reason: str) -> None:
    for ask in (
        lambda: extractor(model, 0),
        lambda: layer_names(model),
        lambda: LayerExtractor(model, 0).transform([]),
    ):
        with pytest.raises(InputError, match=reason):
            ask()
