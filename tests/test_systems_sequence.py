"""What is particular to DeepFER, the CNN-LSTM family and the benchmark's reference (the rest: test_systems.py)."""

import pytest
import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from fer import params, systems
from fer.errors import FerError

FAMILY = ["cnn_lstm", "cnn_alstm", "acnn_alstm"]
ATTENTIVE = ["cnn_alstm", "acnn_alstm"]
ATTENTION = {"cnn_alstm": ["global"], "acnn_alstm": ["local", "global"]}


def build(name, size=48, channels=1, **options):
    """A network with the weights of seed 0; options not given are the constructor's own."""
    torch.manual_seed(0)
    system = params.load_system(name)
    input = system.input.model_copy(update={"size": size, "channels": channels})
    return systems.build(name, system.model_copy(update={"input": input, "architecture": options}), 7)


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def faces(count=4, size=48, channels=1):
    return torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(1))


def learn(network, images):
    """One backward pass."""
    functional.cross_entropy(network(images), torch.arange(len(images)) % 7).backward()


def scatter(network, scale):
    """Move every weight off its starting value, so that nothing is at rest by construction."""
    torch.manual_seed(2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += scale * torch.randn_like(parameter)
    return network


# --- numbers of parameters ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "positions", "single"),
    [
        ("cnn_lstm", 398_527, 2_692_287),
        ("cnn_alstm", 373_383, 2_667_143),
        ("acnn_alstm", 373_511, 963_335),
    ],
)
def test_the_published_number_of_parameters_is_that_of_the_sequence_of_one_step(name, positions, single):
    assert count(build(name, sequence="positions")) == positions
    assert count(build(name, sequence="single")) == single


@pytest.mark.parametrize(("stn", "expected"), [("off", 6_179_911), ("input", 7_334_551), ("features", 7_334_551)])
def test_deepfer_s_spatial_transformer_adds_its_parameters_to_the_published_ones(stn, expected):
    assert count(build("deepfer", 256, stn=stn)) == expected


def test_deepfer_s_layers_have_the_published_shapes():
    network = build("deepfer", 256).to("meta").eval()
    assert network.features(torch.empty(1, 1, 256, 256, device="meta")).shape == (1, 128, 12, 12)
    assert [layer.in_features for layer in systems.dense_layers(network)] == [18_432, 256, 128, 32]


# --- the sequence ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sequence", ["positions", "single"])
@pytest.mark.parametrize("name", FAMILY)
def test_both_sequences_give_logits(name, sequence):
    assert build(name, sequence=sequence).eval()(faces(3)).shape == (3, 7)


@pytest.mark.parametrize("name", FAMILY)
def test_over_positions_every_parameter_gets_a_gradient(name):
    network = build(name)
    learn(network, faces())
    assert all(parameter.grad.abs().sum() > 0 for parameter in network.parameters())


@pytest.mark.parametrize("name", FAMILY)
def test_over_one_step_the_query_and_the_recurrent_weights_never_get_a_gradient(name):
    network = scatter(build(name, sequence="single"), 0.05)
    learn(network, faces())
    idle = {label for label, parameter in network.named_parameters() if not parameter.grad.any()}
    assert idle == {"lstm.weight_hh_l0"} | ({"global_attention.query"} if name in ATTENTIVE else set())


@pytest.mark.parametrize("name", FAMILY)
def test_the_sequence_is_the_last_map_s_positions_row_by_row(name):
    network = build(name).eval()
    read = []
    network.lstm.register_forward_pre_hook(lambda layer, given: read.append(given[0]))
    maps = network.features(faces())
    network(faces())
    step = maps[:, :, 1, 2]  # second row, third column: step 6 + 2
    if name == "acnn_alstm":
        step = step * 36 * network.attention(faces())["local"][:, 8:9]
    assert read[0].shape == (4, 36, 128) and torch.allclose(read[0][:, 8], step, atol=1e-6)


@pytest.mark.parametrize("name", FAMILY)
def test_the_answer_depends_on_the_order_of_the_positions(name):
    network, maps = scatter(build(name).eval(), 0.05), faces(2, 6, 128)
    network.features = torch.nn.Identity()
    assert (network(maps) - network(maps.flip(2, 3))).abs().max() > 1e-3


# --- attention ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ATTENTIVE)
def test_attention_weights_sum_to_one_and_differ_between_positions_and_images(name):
    for network in (build(name).eval(), scatter(build(name).eval(), 0.05)):
        attention = network.attention(faces())
        assert list(attention) == ATTENTION[name]
        for weights in attention.values():
            assert weights.shape == (4, 36) and (weights > 0).all()
            assert torch.allclose(weights.sum(1), torch.ones(4), atol=1e-6)
            assert (weights.std(1) > 1e-4).all() and not torch.allclose(weights[0], weights[1], atol=1e-6)


@pytest.mark.parametrize("name", ATTENTIVE)
def test_attention_over_one_step_is_one_whatever_the_image(name):
    attention = scatter(build(name, sequence="single").eval(), 0.05).attention(faces())
    assert list(attention) == ["global"] and torch.equal(attention["global"], torch.ones(4, 1))


def test_local_attention_moves_to_the_position_that_agrees_with_the_query():
    local = build("acnn_alstm").local_attention
    maps = torch.zeros(1, 128, 6, 6)
    maps[0, :, 2, 3] = local.attention.query
    assert local.weights(maps)[0].argmax() == 2 * 6 + 3 and local.weights(maps)[0].max() > 0.99
    assert torch.allclose(local(maps)[0, 15], 36 * local.attention.query, rtol=0.01)


def test_even_local_attention_changes_nothing():
    network, maps = build("acnn_alstm"), faces(2, 6, 128)
    torch.nn.init.zeros_(network.local_attention.attention.query)
    assert torch.allclose(network.local_attention(maps), maps.flatten(2).transpose(1, 2), atol=1e-6)


def test_global_attention_weighs_the_hidden_states_that_are_classified():
    network, images = build("cnn_alstm").eval(), faces()
    context = torch.einsum("bt,btf->bf", network.attention(images)["global"], network.states(images))
    assert torch.allclose(network(images), network.classifier(context), atol=1e-6)


# --- the other faults of the originals ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FAMILY)
def test_softmax_is_a_switch_that_turns_the_same_logits_into_probabilities(name):
    logits, probabilities = (build(name, softmax=softmax).eval()(faces()) for softmax in (False, True))
    assert torch.allclose(logits.softmax(1), probabilities, atol=1e-6)


def test_without_relu_the_convolutions_of_the_cnn_alstm_let_negative_features_through():
    rectified, plain = (build("cnn_alstm", relu=relu) for relu in (True, False))
    assert count(rectified) == count(plain)
    assert rectified.features(faces()).min() >= 0 > plain.features(faces()).min()


# --- repeatable -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sequence", ["positions", "single"])
@pytest.mark.parametrize("name", FAMILY)
def test_an_image_s_answer_is_the_same_in_every_batch(name, sequence):
    network, images = scatter(build(name, sequence=sequence).eval(), 0.05), faces(9)
    whole = network(images)
    for size in (1, 2, 7):
        parts = torch.cat([network(batch) for batch in images.split(size)])
        assert torch.allclose(parts, whole, atol=1e-3)
    assert torch.allclose(network(images.flip(0)).flip(0), whole, atol=1e-5)


@pytest.mark.parametrize("name", [*FAMILY, "deepfer", "fer_baseline"])
def test_answers_and_gradients_repeat_to_the_bit_under_deterministic_algorithms(name):
    options = {"stn": "input"} if name == "deepfer" else {}
    size = 82 if name == "deepfer" else 48

    def gradients():
        network = scatter(build(name, size, **options), 0.01)
        learn(network, faces(4, size))
        return [parameter.grad for parameter in network.parameters()]

    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        assert all(map(torch.equal, gradients(), gradients()))
    finally:
        torch.use_deterministic_algorithms(before)


# --- DeepFER's spatial transformer ----------------------------------------------------------------------------------


@pytest.mark.parametrize("stn", ["input", "features"])
def test_deepfer_starts_with_the_same_answers_with_and_without_its_spatial_transformer(stn):
    without, with_it = build("deepfer", 96).eval(), build("deepfer", 96, stn=stn).eval()
    own = with_it.state_dict()
    assert all(torch.equal(value, own[name]) for name, value in without.state_dict().items())
    assert torch.allclose(without(faces(2, 96)), with_it(faces(2, 96)), atol=1e-4)
    assert torch.allclose(with_it.transform(faces(2, 96)), faces(2, 96), atol=1e-4)


@pytest.mark.parametrize("stn", ["input", "features"])
def test_deepfer_s_spatial_transformer_learns_from_the_first_step_and_all_of_it_thereafter(stn):
    network = build("deepfer", 82, stn=stn)
    learn(network, faces(4, 82))
    assert network.localisation[-1].weight.grad.abs().max() > 0
    learn(scatter(network, 0.01), faces(4, 82))
    assert all(parameter.grad.abs().sum() > 0 for parameter in network.parameters())


@pytest.mark.parametrize("stn", ["input", "features"])
def test_deepfer_s_spatial_transformer_warps_what_its_option_says(stn):
    network, images = build("deepfer", 96, stn=stn).eval(), faces(2, 96)
    with torch.no_grad():
        network.localisation[-1].bias.copy_(torch.tensor([0.0, 1, 0, -1, 0, 0]))  # a quarter turn clockwise
    turned = images.rot90(-1, (2, 3))
    features = network.features(turned) if stn == "input" else network.features(images).rot90(-1, (2, 3))
    assert torch.allclose(network.transform(images), turned, atol=1e-4)
    assert torch.allclose(network(images), network.classifier(features), atol=1e-5)


def test_deepfer_takes_smaller_images_and_trains_on_a_single_one():
    network = build("deepfer", 82)
    learn(network, faces(1, 82))
    assert network.features(faces(1, 82)).shape == (1, 128, 2, 2)


@pytest.mark.parametrize(("size", "channels"), [(81, 1), (257, 1), (96, 3)])
def test_deepfer_refuses_what_it_cannot_take(size, channels):
    with pytest.raises(FerError, match=r"82 to 256 pixels a side with 1 channel; input gives size"):
        build("deepfer", size, channels)


# --- the benchmark's reference --------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [40, 47, 48, 100, 112])
def test_the_reference_takes_grey_and_colour_of_every_size(size, channels):
    network = build("fer_baseline", size, channels).eval()
    assert network(faces(1, size, channels)).shape == (1, 7)
    assert count(network) == 2_534_904 + (channels - 1) * 32 * 9


@pytest.mark.parametrize(("size", "channels"), [(39, 1), (113, 3)])
def test_the_reference_refuses_other_sizes(size, channels):
    with pytest.raises(FerError, match=r"40 to 112 pixels a side with 1 or 3 channels;"):
        build("fer_baseline", size, channels)


def test_the_reference_stays_within_its_budget():
    network = build("fer_baseline").eval()
    with FlopCounterMode(display=False) as counter:
        network(faces(1))
    assert count(network) <= 5e6 and counter.get_total_flops() == pytest.approx(176.5e6, rel=1e-3)


def test_the_reference_s_dropout_and_stochastic_depth_are_off_at_evaluation_and_can_be_switched_off():
    still = build("fer_baseline", dropout=0.0, drop_path=0.0).train()
    assert torch.equal(still(faces()), still(faces()))
    for options in ({"dropout": 0.5, "drop_path": 0.0}, {"dropout": 0.0, "drop_path": 0.9}):
        network = build("fer_baseline", **options)
        assert not torch.equal(network.train()(faces()), network(faces()))
        assert torch.equal(network.eval()(faces()), network(faces()))


def test_stochastic_depth_of_the_reference_rises_from_nothing_to_the_chance_given():
    network = build("fer_baseline", drop_path=0.5)
    chances = [layer.p for layer in network.modules() if type(layer).__name__ == "StochasticDepth"]
    assert chances == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5])


def test_the_reference_s_width_may_be_very_small():
    assert build("fer_baseline", width=4).eval()(faces()).shape == (4, 7)
