"""What is particular to resnet18_attention, prior_attention and local_global_resnet50, and where weights come from."""

import pickle
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional
from torchvision.models import ResNet18_Weights, resnet18

from fer import params, systems
from fer.errors import FerError
from fer.systems.weights import load_backbone, read_weights

SIDE = {"resnet18_attention": 64, "prior_attention": 32, "local_global_resnet50": 64}
VARIANTS = {  # every variant: its options, and its parameters with 5 classes (resnet18_attention) or 7
    "resnet18_attention": [
        ({"modality": "visible"}, 11_571_781),
        ({"modality": "infrared"}, 11_572_293),
        ({"modality": "fused"}, 23_142_533),
    ],
    "prior_attention": [
        ({"views": "both"}, 35_480_655),
        ({"views": "eyes"}, 18_005_035),
        ({"views": "mouth"}, 18_005_035),
        ({"views": "face"}, 18_005_035),
        ({"views": "both", "small": True}, 278_447),
        ({"views": "eyes", "small": True}, 139_739),
        ({"views": "mouth", "small": True}, 139_739),
        ({"views": "face", "small": True}, 139_739),
    ],
    "local_global_resnet50": [
        ({"extractor": "sound"}, 24_495_831),
        ({"extractor": "corner"}, 24_464_843),
        ({"extractor": "none"}, 24_222_775),
        ({"extractor": "none", "attention": False}, 23_522_375),
    ],
}
COUNTS = [(name, options, count) for name, variants in VARIANTS.items() for options, count in variants]
TRAINED = [  # one of each kind; the generic tests of test_systems.py cover the defaults
    ("resnet18_attention", {"modality": "infrared"}),
    ("resnet18_attention", {"modality": "fused"}),
    ("prior_attention", {"views": "mouth"}),
    ("prior_attention", {"small": True}),
    ("local_global_resnet50", {"extractor": "corner"}),
]


def build(name, classes=7, size=None, **options):
    """Return a system with some of its options changed, its input smaller where that makes it quicker."""
    system = params.load_system(name)
    path = params.system_file(name)
    architecture = system.architecture | options
    params.check(params.constructor(params.SYSTEMS, name, path), architecture, path, "architecture")
    input = system.input.model_copy(update={"size": size or SIDE[name]})
    torch.manual_seed(0)
    return systems.build(name, system.model_copy(update={"architecture": architecture, "input": input}), classes)


def images(name, network, count=2):
    channels = params.load_system(name).input.channels
    return torch.rand(count, network.planes * channels if hasattr(network, "planes") else channels, *2 * [SIDE[name]])


def label(value):
    if isinstance(value, dict):
        return "-".join(map(str, value.values()))


# --- what every variant does ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "options", "count"), COUNTS, ids=label)
def test_a_variant_has_its_number_of_parameters(name, options, count):
    with torch.device("meta"):
        network = build(name, 5 if name == "resnet18_attention" else 7, **options)
    assert sum(parameter.numel() for parameter in network.parameters()) == count


@pytest.mark.parametrize(("name", "options", "count"), COUNTS, ids=label)
def test_a_variant_takes_images_of_the_published_size(name, options, count):
    input = params.load_system(name).input
    with torch.device("meta"):
        network = build(name, 5, input.size, **options)
        batch = torch.empty(2, getattr(network, "planes", 1) * input.channels, input.size, input.size)
    assert network(batch).shape == (2, 5)


@pytest.mark.parametrize(("name", "options"), TRAINED, ids=label)
def test_every_parameter_of_a_variant_gets_a_gradient(name, options):
    network = build(name, **options)
    functional.cross_entropy(network(images(name, network, 4)), torch.tensor([0, 1, 2, 3])).backward()
    for parameter_name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, parameter_name


@pytest.mark.parametrize(("name", "options"), TRAINED, ids=label)
def test_at_evaluation_an_answer_repeats_and_does_not_depend_on_the_batch(name, options):
    network = build(name, **options).eval()
    batch = images(name, network)
    logits = network(batch)
    assert torch.equal(logits, network(batch))
    assert torch.allclose(logits[:1], network(batch[:1]), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(logits[0], logits[1])


@pytest.mark.parametrize(("name", "options"), TRAINED[1:4], ids=label)
def test_every_plane_changes_the_answer(name, options):
    network = build(name, **options).eval()
    batch = images(name, network)
    logits = network(batch)
    for plane in range(network.planes):
        changed = batch.clone()
        changed.chunk(network.planes, 1)[plane].neg_()
        assert not torch.allclose(network(changed), logits)


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


def test_options_of_another_type_are_refused():
    with pytest.raises(FerError, match="architecture.modality: given 'thermal'"):
        build("resnet18_attention", modality="thermal")
    with pytest.raises(FerError, match="architecture.logits_dropout: given 1.5"):
        build("resnet18_attention", logits_dropout=1.5)


# --- resnet18_attention ---------------------------------------------------------------------------------------------


def test_fused_features_are_visible_and_infrared_in_turn():
    network = build("resnet18_attention", modality="fused").eval()
    batch = images("resnet18_attention", network)
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


def test_the_softmax_switch_turns_the_same_logits_into_probabilities():
    batch = torch.rand(2, 3, 64, 64)
    logits = build("resnet18_attention").eval()(batch)
    probabilities = build("resnet18_attention", softmax=True).eval()(batch)
    assert torch.allclose(probabilities, logits.softmax(1))


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


# --- prior_attention ------------------------------------------------------------------------------------------------


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


# --- local_global_resnet50 ------------------------------------------------------------------------------------------


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


def test_the_adapter_commutes_with_shrinking_the_map():
    adapter = build("local_global_resnet50").adapter
    local = torch.randn(1, 116, 8, 8)
    shrunk = functional.interpolate(local, (2, 2), mode="bilinear")
    widened = functional.interpolate(adapter(local), (2, 2), mode="bilinear")
    assert torch.allclose(adapter(shrunk), widened, atol=1e-5)


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


# --- where weights come from ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def published():
    """The state of a torchvision ResNet-18, classifier included; as old as torchvision's, which count no batches."""
    torch.manual_seed(1)
    state = resnet18().state_dict()
    return {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """torchvision's own folder, empty, and no network."""

    def fail(*arguments, **options):
        raise URLError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    folder = tmp_path / "hub/checkpoints"
    folder.mkdir(parents=True)
    return folder


def holds(network, published):
    return all(torch.equal(value, published[name]) for name, value in network.named_parameters())


def backbone():
    network = resnet18()
    network.fc = nn.Identity()
    return network


@pytest.mark.parametrize("suffix", ["pth", "pt", "safetensors"])
def test_a_backbone_starts_from_a_local_file(suffix, published, tmp_path):
    path = tmp_path / f"weights.{suffix}"
    save_file(published, path) if suffix == "safetensors" else torch.save(published, path)
    network = build("resnet18_attention", weights=str(path), modality="fused")
    assert all(holds(branch.backbone, published) for branch in network.branches.values())


def test_random_weights_differ_from_seed_to_seed_and_need_no_file(cache):
    first = build("resnet18_attention").branches["visible"].backbone.conv1.weight
    assert torch.equal(first, build("resnet18_attention").branches["visible"].backbone.conv1.weight)
    assert not torch.equal(first, backbone().conv1.weight)


@pytest.mark.parametrize(
    ("name", "file"),
    [("resnet18_attention", "resnet18-f37072fd.pth"), ("local_global_resnet50", "resnet50-0676ba61.pth")],
)
def test_weights_that_cannot_be_downloaded_are_named_with_what_to_do(name, file, cache):
    with pytest.raises(FerError, match=f"{file}.*no route to host.*give its path as `weights`, or.*`weights: random`"):
        build(name, weights="imagenet")


def test_weights_in_torchvision_s_folder_are_used_without_a_download(published, cache):
    torch.save(published, cache / "resnet18-f37072fd.pth")
    assert holds(build("resnet18_attention", weights="imagenet").branches["visible"].backbone, published)


def test_a_damaged_file_in_torchvision_s_folder_is_named(cache):
    (cache / "resnet18-f37072fd.pth").write_bytes(b"half a downl")
    with pytest.raises(FerError, match="resnet18-f37072fd.pth is available neither from .*KeyError"):
        build("resnet18_attention", weights="imagenet")


def test_a_missing_file_is_named_with_the_other_choices(tmp_path):
    with pytest.raises(FerError, match="'imagnet' is neither random, nor imagenet, nor an existing file"):
        build("resnet18_attention", weights="imagnet")


def test_a_file_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "weights.onnx"
    path.write_bytes(b"")
    with pytest.raises(FerError, match=r"weights\.onnx: expected a file that ends in \.safetensors, \.pth or \.pt"):
        read_weights(path)


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_a_damaged_file_is_named(suffix, tmp_path):
    path = tmp_path / f"weights.{suffix}"
    path.write_bytes(b"half a file")
    with pytest.raises(FerError, match=rf"weights\.{suffix} cannot be read"):
        read_weights(path)


class Harmful:
    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


@pytest.mark.parametrize("save", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value, 2))])
def test_a_file_that_would_run_code_is_refused_and_does_not(save, tmp_path):
    path, target = tmp_path / "weights.pth", tmp_path / "executed"
    save({"conv1.weight": Harmful(target)}, path)
    with pytest.raises(FerError, match="cannot be read as a file of tensors only"):
        read_weights(path)
    assert not target.exists()


def test_a_file_without_names_is_refused(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save([torch.zeros(2)], path)
    with pytest.raises(FerError, match="holds no tensors by name .*, but a list"):
        read_weights(path)


def test_weights_of_another_network_are_refused(published, tmp_path):
    path = tmp_path / "weights.pth"
    torch.save({name: value for name, value in published.items() if not name.startswith("layer4")}, path)
    with pytest.raises(FerError, match=r"weights\.pth does not hold the weights of this backbone: .*layer4"):
        load_backbone(backbone(), str(path), ResNet18_Weights.IMAGENET1K_V1)
    torch.save(published | {"conv1.weight": torch.zeros(64, 1, 7, 7)}, path)
    with pytest.raises(FerError, match=r"size mismatch for conv1\.weight"):
        load_backbone(backbone(), str(path), ResNet18_Weights.IMAGENET1K_V1)
