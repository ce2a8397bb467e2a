"""Every system in params/systems/ is tested by existing; what is particular to one follows."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from fer import params, systems
from fer.errors import FerError
from fer.params import Input

SYSTEMS = sorted(path.stem for path in (params.SYSTEMS.parents[1] / "params/systems").glob("*.yaml"))
PARAMETERS = {  # classes, parameters
    "acnn_alstm": (7, 373_511),  # the three LSTMs over 36 positions; as published, over one step, their tables have
    "attentional_cnn": (7, 66_877),
    "box_geometry": (7, 5_191),
    "cnn_alstm": (7, 373_383),
    "cnn_lstm": (7, 398_527),
    "deepfer": (7, 6_179_911),
    "dnn": (7, 3_653_191),
    "fer_baseline": (7, 2_534_904),
    "local_global_resnet50": (7, 24_495_831),  # 24,464,843 as published, with its extractor in the corner
    "prior_attention": (7, 35_480_655),
    "resnet18_attention": (5, 11_571_781),
}
SMALLER = {"deepfer": 96, "local_global_resnet50": 64, "resnet18_attention": 64}  # where other sides are taken


def load(name):
    system = params.load_system(name)
    size = SMALLER.get(name, system.input.size)
    return system.model_copy(update={"input": system.input.model_copy(update={"size": size})})


def build(name):
    torch.manual_seed(0)
    return systems.build(name, load(name), 7)


def images(name, network, count=4):
    input = load(name).input
    return torch.rand(count, getattr(network, "planes", 1) * input.channels, input.size, input.size)


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_system_has_the_number_of_parameters_that_its_table_says(name):
    classes, count = PARAMETERS[name]
    with torch.device("meta"):
        network = systems.build(name, params.load_system(name), classes)
    assert sum(parameter.numel() for parameter in network.parameters()) == count


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_system_turns_images_into_logits_that_are_no_probabilities(name):
    network = build(name).eval()
    logits = network(images(name, network))
    assert logits.shape == (4, 7) and logits.dtype == torch.float32
    assert not torch.allclose(logits.exp().sum(1), torch.ones(4)) and not torch.allclose(logits.sum(1), torch.ones(4))


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_parameter_of_a_system_gets_a_gradient(name):
    network = build(name)
    for layer in network.modules():  # the spatial transformer starts at the identity, deaf to its own features
        if isinstance(layer, torch.nn.Linear):
            torch.nn.init.normal_(layer.weight, std=0.1)
    functional.cross_entropy(network(images(name, network)), torch.tensor([0, 1, 2, 3])).backward()
    for label, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, label


@pytest.mark.parametrize("name", SYSTEMS)
def test_at_evaluation_a_system_gives_the_same_answer_twice(name):
    network = build(name).eval()
    batch = images(name, network)
    assert torch.equal(network(batch), network(batch))


@pytest.mark.parametrize("name", SYSTEMS)
def test_an_image_s_answer_does_not_depend_on_its_batch(name):
    network = build(name).eval()
    batch = images(name, network)
    assert torch.allclose(network(batch)[:1], network(batch[:1]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_system_refuses_an_input_that_its_layers_cannot_take(name):
    wrong = load(name).model_copy(update={"input": Input(size=24, channels=1, mean=0, std=1)})
    with pytest.raises(FerError, match="this system takes .*; input gives size 24 and channels 1"):
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
    norm = next(layer for layer in build("dnn").modules() if isinstance(layer, nn.LocalResponseNorm))
    values = torch.randn(1, 64, 2, 2) * 30
    squares = functional.pad(values.square(), (0, 0, 0, 0, 4, 4))
    total = torch.stack([squares[:, shift : shift + 64] for shift in range(9)]).sum(0)
    assert torch.allclose(norm(values), values / (1 + 0.001 / 9 * total) ** 0.75, atol=1e-5)


@pytest.mark.parametrize("pool", [nn.MaxPool2d(2), nn.MaxPool2d(3, 2, ceil_mode=True)])
def test_relu_after_pooling_gives_the_bits_and_the_gradients_of_relu_before_it(pool):
    answers = []
    for later in (nn.Sequential(pool, nn.ReLU()), nn.Sequential(nn.ReLU(), pool)):
        values = torch.randn(4, 8, 12, 12, generator=torch.Generator().manual_seed(0)).requires_grad_()
        answer = later(values)
        answer.square().sum().backward()
        answers.append((answer, values.grad))
    assert all(torch.equal(*pair) for pair in zip(*answers, strict=True))


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
