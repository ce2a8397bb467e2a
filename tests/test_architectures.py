"""What is particular to each system: the layers of its publication, and its faults as switches."""

import pytest
import torch
from networks import build, images
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from fer import systems
from fer.errors import FerError

FAMILY = ["cnn_lstm", "cnn_alstm", "acnn_alstm"]
ATTENTIVE = ["cnn_alstm", "acnn_alstm"]
ATTENTION = {"cnn_alstm": ["global"], "acnn_alstm": ["local", "global"]}


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


# --- attentional_cnn and dnn --------------------------------------------------------------------------------------


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


# --- spatial transformers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options"), [("attentional_cnn", {}), ("deepfer", {"stn": "input"}), ("deepfer", {"stn": "features"})]
)
def test_a_spatial_transformer_starts_as_the_identity_and_learns_from_the_first_step(name, options):
    size = 82 if name == "deepfer" else 48
    network = build(name, size, **options)
    assert torch.allclose(network.transform(faces(2, size)), faces(2, size), atol=1e-4)
    learn(network, faces(4, size))
    assert network.localisation[-1].weight.grad.abs().max() > 0


@pytest.mark.parametrize("stn", ["input", "features"])
def test_deepfer_starts_with_the_same_answers_with_and_without_its_spatial_transformer(stn):
    without, with_it = build("deepfer", 96).eval(), build("deepfer", 96, stn=stn).eval()
    own = with_it.state_dict()
    assert all(torch.equal(value, own[name]) for name, value in without.state_dict().items())
    assert torch.allclose(without(faces(2, 96)), with_it(faces(2, 96)), atol=1e-4)


@pytest.mark.parametrize("stn", ["input", "features"])
def test_deepfer_s_spatial_transformer_warps_what_its_option_says(stn):
    network, batch = build("deepfer", 96, stn=stn).eval(), faces(2, 96)
    with torch.no_grad():
        network.localisation[-1].bias.copy_(torch.tensor([0.0, 1, 0, -1, 0, 0]))  # a quarter turn clockwise
    turned = batch.rot90(-1, (2, 3))
    features = network.features(turned) if stn == "input" else network.features(batch).rot90(-1, (2, 3))
    assert torch.allclose(network.transform(batch), turned, atol=1e-4)
    assert torch.allclose(network(batch), network.classifier(features), atol=1e-5)


# --- deepfer ------------------------------------------------------------------------------------------------------


def test_deepfer_s_layers_have_the_published_shapes():
    network = build("deepfer", 256).to("meta").eval()
    assert network.features(torch.empty(1, 1, 256, 256, device="meta")).shape == (1, 128, 12, 12)
    assert [layer.in_features for layer in systems.dense_layers(network)] == [18_432, 256, 128, 32]


def test_deepfer_takes_smaller_images_and_trains_on_a_single_one():
    network = build("deepfer", 82)
    learn(network, faces(1, 82))
    assert network.features(faces(1, 82)).shape == (1, 128, 2, 2)


@pytest.mark.parametrize(("size", "channels"), [(81, 1), (257, 1), (96, 3)])
def test_deepfer_refuses_what_it_cannot_take(size, channels):
    with pytest.raises(FerError, match=r"82 to 256 pixels a side with 1 channel; input gives size"):
        build("deepfer", size, channels)


# --- cnn_lstm, cnn_alstm, acnn_alstm: the sequence and the attention ----------------------------------------------


@pytest.mark.parametrize("name", FAMILY)
def test_an_lstm_starts_with_its_forget_gate_open_and_orthogonal_states(name):
    lstm = build(name).lstm
    forget = slice(lstm.hidden_size, 2 * lstm.hidden_size)
    bias = (lstm.bias_ih_l0 + lstm.bias_hh_l0).detach()
    assert (bias[forget] == 1).all() and bias.sum() == lstm.hidden_size
    columns = lstm.weight_hh_l0.detach()
    torch.testing.assert_close(columns.T @ columns, torch.eye(lstm.hidden_size), atol=1e-5, rtol=0)


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
    network, batch = build("cnn_alstm").eval(), faces()
    context = torch.einsum("bt,btf->bf", network.attention(batch)["global"], network.states(batch))
    assert torch.allclose(network(batch), network.classifier(context), atol=1e-6)


def test_without_relu_the_convolutions_of_the_cnn_alstm_let_negative_features_through():
    rectified, plain = (build("cnn_alstm", relu=relu) for relu in (True, False))
    assert count(rectified) == count(plain)
    assert rectified.features(faces()).min() >= 0 > plain.features(faces()).min()


# --- resnet18_attention -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["resnet18_attention", "prior_attention"])
def test_a_branch_sees_its_own_plane_alone(name):
    options = {"resnet18_attention": {"modality": "fused"}, "prior_attention": {}}[name]
    network = build(name, **options).eval()
    seen = {}
    for view, branch in network.branches.items():
        branch.register_forward_hook(lambda module, given, output, view=view: seen.update({view: given[0]}))
    batch = images(name, network)
    network(batch)
    channels = batch.shape[1] // 2
    expected = {"resnet18_attention": ["visible", "infrared"], "prior_attention": ["eyes", "mouth"]}[name]
    assert list(seen) == expected
    assert torch.equal(seen[expected[0]], batch[:, :channels]) and torch.equal(seen[expected[1]], batch[:, channels:])


def test_fused_features_are_visible_and_infrared_in_turn():
    network = build("resnet18_attention", modality="fused").eval()
    batch = images("resnet18_attention", network, 2)
    visible, infrared = network.branches["visible"](batch[:, :3]), network.branches["infrared"](batch[:, 3:])
    features = network.features(batch)
    assert features.shape == (2, 1024)
    assert torch.equal(features[:, 0::2], visible) and torch.equal(features[:, 1::2], infrared)


@pytest.mark.parametrize(
    ("modality", "name", "squared"),
    [
        ("visible", "visible", False),
        ("infrared", "infrared", True),
        ("fused", "visible", True),
        ("fused", "infrared", True),
    ],
)
def test_a_gate_is_the_sigmoid_of_the_features_or_of_their_squares(modality, name, squared):
    branch = build("resnet18_attention", modality=modality).eval().branches[name]
    batch = torch.rand(2, 3, 64, 64)
    features = branch.backbone(batch)
    inside = features * features if squared else features
    weights = 1 / (1 + torch.exp(-(inside @ branch.attention.weight.T + branch.attention.bias)))
    assert torch.allclose(branch(batch), features * weights, rtol=1e-4)
    assert torch.allclose(branch.gate(features), weights, rtol=1e-4)


@pytest.mark.parametrize(
    ("modality", "dropouts", "others"),
    [
        ("visible", [0.4, 0.4], ["Linear", "Linear"]),
        ("infrared", [0.7, 0.8], ["Linear", "ReLU", "BatchNorm1d", "Linear"]),
        ("fused", [0.2, 0.2], ["Linear", "ReLU", "BatchNorm1d", "Linear"]),
    ],
)
def test_a_head_has_the_published_layers(modality, dropouts, others):
    with torch.device("meta"):
        head = build("resnet18_attention", modality=modality).head
    assert [layer.p for layer in head if isinstance(layer, nn.Dropout)] == dropouts
    assert [type(layer).__name__ for layer in head if not isinstance(layer, nn.Dropout)] == others


def test_dropout_of_the_logits_is_a_switch_of_training():
    network = build("resnet18_attention", logits_dropout=0.5)
    logits = network(torch.rand(8, 3, 64, 64))
    assert 0 < (logits == 0).sum() < logits.numel()
    assert (network.eval()(torch.rand(8, 3, 64, 64)) != 0).all()
    assert (build("resnet18_attention")(torch.rand(8, 3, 64, 64)) != 0).all()


def test_the_infrared_branch_of_a_fused_network_starts_where_the_infrared_network_ended():
    trained = build("resnet18_attention", modality="infrared")
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.add_(0.01)
    fused = build("resnet18_attention", modality="fused").eval()
    before = {name: value.clone() for name, value in fused.branches["visible"].state_dict().items()}
    fused.start_infrared(trained.state_dict())
    batch = torch.rand(2, 3, 64, 64)
    assert torch.equal(fused.branches["infrared"](batch), trained.eval().branches["infrared"](batch))
    assert all(torch.equal(value, before[name]) for name, value in fused.branches["visible"].state_dict().items())


# --- prior_attention ----------------------------------------------------------------------------------------------


def test_the_views_share_no_weights():
    network = build("prior_attention", small=True)
    eyes, mouth = (list(branch.parameters()) for branch in network.branches.values())
    assert not any(torch.equal(one, other) for one, other in zip(eyes, mouth, strict=True) if one.ndim > 1)


def test_the_latent_features_have_no_activation():
    network = build("prior_attention", small=True).eval()
    latent = network.branches["eyes"](torch.rand(4, 1, 32, 32))
    assert latent.shape == (4, 100) and latent.min() < 0 < latent.max()


@pytest.mark.parametrize("small", [False, True])
def test_dropout_is_the_one_asked_for(small):
    with torch.device("meta"):
        network = build("prior_attention", small=small, dropout=0.25)
    assert {layer.p for layer in network.modules() if isinstance(layer, nn.Dropout)} == {0.25}


# --- local_global_resnet50 ----------------------------------------------------------------------------------------


def test_the_corner_extractor_ignores_everything_but_the_top_left_corner():
    network = build("local_global_resnet50", size=224, extractor="corner").eval()
    batch = torch.rand(2, 3, 224, 224)
    local = network.local_features(batch, stem=None)
    assert local.shape == (2, 116, 28, 28)
    outside = torch.rand_like(batch)
    outside[..., :56, :56] = batch[..., :56, :56]
    assert torch.equal(network.local_features(outside, stem=None), local)
    inside = batch.clone()
    inside[..., 55, 55] += 1
    assert not torch.equal(network.local_features(inside, stem=None), local)


def test_the_sound_extractor_sees_the_whole_image():
    network = build("local_global_resnet50", size=224).eval()
    batch = torch.rand(1, 3, 224, 224)
    local = network.local_features(batch, network.stem(batch))
    assert local.shape == (1, 116, 28, 28)
    for row in (0, 223):
        for column in (0, 223):
            changed = batch.clone()
            changed[..., row, column] += 5
            assert not torch.equal(network.local_features(changed, network.stem(changed)), local)


def test_each_quadrant_has_its_own_layers_and_keeps_its_place():
    extractor = build("local_global_resnet50").local.eval()
    maps = torch.rand(1, 64, 16, 16)
    local = extractor(maps)
    assert local.shape == (1, 116, 8, 8)
    for number, (row, column) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
        quarter = maps[..., 8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
        place = local[..., 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
        assert torch.allclose(place, extractor.quadrants[number](quarter), atol=1e-6)


def test_the_stage_gates_weigh_every_position_for_itself():
    gate = build("local_global_resnet50").gates[0].eval()
    maps = torch.randn(1, 256, 4, 4)
    shrink, _, widen, _ = gate.weights
    column = maps[0, :, 1, 2]
    hidden = functional.relu(shrink.weight.flatten(1) @ column + shrink.bias)
    expected = column * torch.sigmoid(widen.weight.flatten(1) @ hidden + widen.bias)
    assert torch.allclose(gate(maps)[0, :, 1, 2], expected, atol=1e-5)


def test_local_and_global_features_are_added():
    network = build("local_global_resnet50").eval()
    batch = torch.rand(2, 3, 64, 64)
    both = network(batch)
    nn.init.zeros_(network.adapter.weight)
    nn.init.zeros_(network.adapter.bias)
    without = build("local_global_resnet50", extractor="none").eval()
    without.load_state_dict({name: network.state_dict()[name] for name in without.state_dict()})
    assert torch.allclose(network(batch), without(batch), rtol=1e-4)
    assert not torch.allclose(network(batch), both, rtol=1e-4)


# --- fer_baseline, the benchmark's reference ----------------------------------------------------------------------


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
