"""Every system in params/systems/ is tested by existing; what is particular to one follows."""

import pytest
import torch
from torch.nn import functional

from fer import params, systems
from fer.errors import FerError
from fer.params import Input

SYSTEMS = sorted(path.stem for path in (params.SYSTEMS.parents[1] / "params/systems").glob("*.yaml"))
PARAMETERS = {"attentional_cnn": 66_877, "dnn": 3_653_191}


def build(name):
    torch.manual_seed(0)
    return systems.build(name, params.load_system(name), 7)


def images(system, count=4):
    return torch.rand(count, system.input.channels, system.input.size, system.input.size)


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_system_has_its_published_number_of_parameters(name):
    assert sum(parameter.numel() for parameter in build(name).parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_system_turns_images_into_logits_that_are_no_probabilities(name):
    logits = build(name).eval()(images(params.load_system(name)))
    assert logits.shape == (4, 7) and logits.dtype == torch.float32
    assert not torch.allclose(logits.exp().sum(1), torch.ones(4)) and not torch.allclose(logits.sum(1), torch.ones(4))


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_parameter_of_a_system_gets_a_gradient(name):
    network = build(name)
    for layer in network.modules():  # the spatial transformer starts at the identity, deaf to its own features
        if isinstance(layer, torch.nn.Linear):
            torch.nn.init.normal_(layer.weight, std=0.1)
    functional.cross_entropy(network(images(params.load_system(name))), torch.tensor([0, 1, 2, 3])).backward()
    for label, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, label


@pytest.mark.parametrize("name", SYSTEMS)
def test_at_evaluation_a_system_gives_the_same_answer_twice(name):
    network, batch = build(name).eval(), images(params.load_system(name))
    assert torch.equal(network(batch), network(batch))


@pytest.mark.parametrize("name", SYSTEMS)
def test_an_image_s_answer_does_not_depend_on_its_batch(name):
    network, batch = build(name).eval(), images(params.load_system(name))
    assert torch.allclose(network(batch)[:1], network(batch[:1]), atol=1e-5)


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_system_refuses_an_input_size_it_was_not_published_for(name):
    system = params.load_system(name)
    wrong = system.model_copy(update={"input": Input(size=64, channels=1, mean=0, std=1)})
    with pytest.raises(FerError, match="48×48"):
        systems.build(name, wrong, 7)


def test_the_spatial_transformer_starts_as_the_identity():
    network, batch = build("attentional_cnn"), torch.rand(2, 1, 48, 48)
    assert torch.allclose(network.transform(batch), batch, atol=1e-5)


def test_the_spatial_transformer_learns_from_the_first_step():
    network = build("attentional_cnn")
    functional.cross_entropy(network(torch.rand(8, 1, 48, 48)), torch.arange(8) % 7).backward()
    assert network.localisation[-1].weight.grad.abs().max() > 0


def test_dropout_of_the_attentional_cnn_is_off_at_evaluation_and_on_in_training():
    network, batch = build("attentional_cnn"), torch.rand(8, 1, 48, 48)
    network.train()
    assert not torch.equal(network(batch), network(batch))


def test_the_dnn_s_local_response_norm_is_tensorflow_s():
    """TensorFlow: x / (bias + alpha · Σ over 4 neighbours either side of x²)^beta with alpha 0.001/9."""
    norm = next(layer for layer in build("dnn").modules() if isinstance(layer, torch.nn.LocalResponseNorm))
    values = torch.randn(1, 64, 2, 2) * 30
    squares = functional.pad(values.square(), (0, 0, 0, 0, 4, 4))
    total = torch.stack([squares[:, shift : shift + 64] for shift in range(9)]).sum(0)
    assert torch.allclose(norm(values), values / (1 + 0.001 / 9 * total) ** 0.75, atol=1e-5)


def test_the_dnn_s_pooling_is_tensorflow_s_same_padding():
    pool = next(layer for layer in build("dnn").modules() if isinstance(layer, torch.nn.MaxPool2d))
    values = torch.randn(1, 3, 48, 48)
    padded = functional.pad(values, (0, 1, 0, 1), value=float("-inf"))
    assert torch.equal(pool(values), functional.max_pool2d(padded, 3, 2))


def test_the_dnn_starts_from_a_truncated_normal_and_biases_of_a_tenth():
    network = build("dnn")
    weights = network.classifier[1].weight
    assert weights.abs().max() <= 0.2 and 0.08 < weights.std() < 0.1
    assert torch.equal(network.features[0].bias, torch.full((64,), 0.1))


def test_an_unknown_system_names_the_missing_module():
    with pytest.raises(FerError, match="fer/systems/nothing.py does not exist"):
        systems.build("nothing", params.load_system("dnn"), 7)
