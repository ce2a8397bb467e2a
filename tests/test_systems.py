"""What every system and every variant of one does; a system in params/systems/ is tested by existing."""

from copy import deepcopy
from dataclasses import dataclass, field

import pytest
import torch
from networks import build, images
from torch import nn
from torch.nn import functional

from fer import params, systems
from fer.errors import FerError
from fer.params import Input


@dataclass(frozen=True)
class Variant:
    """A system with some of its options changed, and what is known of it."""

    name: str
    parameters: int
    options: dict = field(default_factory=dict)
    trained: bool = False  # its kind: it is run forwards and backwards, the others are but counted
    idle: frozenset = frozenset()  # parameters that never get a gradient

    def __str__(self) -> str:
        return "-".join([self.name, *(f"{name}={value}" for name, value in self.options.items())])

    def build(self, classes: int = 7, size: int | None = None) -> nn.Module:
        return build(self.name, size, classes=classes, **self.options)


ONE_STEP = frozenset({"lstm.weight_hh_l0"})  # a sequence of one step has nothing to remember or to choose from
QUERY = frozenset({"global_attention.query"})
VARIANTS = [  # the defaults first; parameters with 7 classes, resnet18_attention's with 5
    Variant("acnn_alstm", 373_511),
    Variant("attentional_cnn", 66_877),
    Variant("box_geometry", 5_191),
    Variant("cnn_alstm", 373_383),
    Variant("cnn_lstm", 398_527),
    Variant("deepfer", 6_179_911),
    Variant("dnn", 3_653_191),
    Variant("fer_baseline", 2_534_904),
    Variant("local_global_resnet50", 24_495_831),
    Variant("prior_attention", 35_480_655),
    Variant("resnet18_attention", 11_571_781),
    Variant("cnn_lstm", 2_692_287, {"sequence": "single"}, trained=True, idle=ONE_STEP),  # as published
    Variant("cnn_alstm", 2_667_143, {"sequence": "single"}, trained=True, idle=ONE_STEP | QUERY),
    Variant("acnn_alstm", 963_335, {"sequence": "single"}, trained=True, idle=ONE_STEP | QUERY),
    Variant("deepfer", 7_334_551, {"stn": "input"}, trained=True),
    Variant("deepfer", 7_334_551, {"stn": "features"}, trained=True),
    Variant("resnet18_attention", 11_572_293, {"modality": "infrared"}, trained=True),
    Variant("resnet18_attention", 23_142_533, {"modality": "fused"}, trained=True),
    *(Variant("prior_attention", 18_005_035, {"views": views}) for views in ("eyes", "mouth", "face")),
    Variant("prior_attention", 278_447, {"views": "both", "small": True}, trained=True),
    Variant("prior_attention", 139_739, {"views": "mouth", "small": True}, trained=True),
    *(Variant("prior_attention", 139_739, {"views": views, "small": True}) for views in ("eyes", "face")),
    Variant("local_global_resnet50", 24_464_843, {"extractor": "corner"}, trained=True),  # as published
    Variant("local_global_resnet50", 24_222_775, {"extractor": "none"}),
    Variant("local_global_resnet50", 23_522_375, {"extractor": "none", "attention": False}),
]
SYSTEMS = sorted(path.stem for path in (params.SYSTEMS.parents[1] / "params/systems").glob("*.yaml"))
TRAINED = [variant for variant in VARIANTS if variant.trained or not variant.options]


def test_every_system_has_a_line_in_the_table_of_this_file():
    assert [variant.name for variant in VARIANTS if not variant.options] == SYSTEMS


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_a_variant_takes_images_of_its_own_size_and_has_its_number_of_parameters(variant):
    classes, size = 5 if variant.name == "resnet18_attention" else 7, params.load_system(variant.name).input.size
    with torch.device("meta"):
        network = variant.build(classes, size).eval()
    assert sum(parameter.numel() for parameter in network.parameters()) == variant.parameters
    assert network(images(variant.name, network, 2, size).to("meta")).shape == (2, classes)


@pytest.fixture(scope="module", params=TRAINED, ids=str)
def built(request):
    """A variant, its network (not to be changed), and images for it."""
    network = request.param.build()
    return request.param, network, images(request.param.name, network)


def test_answers_are_logits_that_repeat_and_depend_on_the_image_but_not_on_its_batch(built):
    network, batch = deepcopy(built[1]).eval(), built[2]
    logits = network(batch)
    assert logits.shape == (4, 7) and logits.dtype == torch.float32
    assert not torch.allclose(logits.exp().sum(1), torch.ones(4)) and not torch.allclose(logits.sum(1), torch.ones(4))
    assert not torch.allclose(logits[0], logits[1])
    assert torch.equal(logits, network(batch))
    assert torch.allclose(network(batch.flip(0)).flip(0), logits, rtol=1e-4, atol=1e-5)
    assert torch.allclose(network(batch[:1]), logits[:1], rtol=1e-4, atol=1e-5)


def test_every_plane_changes_the_answer(built):
    network, batch = deepcopy(built[1]).eval(), built[2]
    logits = network(batch)
    for plane in range(getattr(network, "planes", 1)):
        changed = batch.clone()
        changed.chunk(getattr(network, "planes", 1), 1)[plane].neg_()
        assert not torch.allclose(network(changed), logits)


def test_every_parameter_gets_a_gradient_and_to_the_bit_the_same_one_again(built):
    variant, network, batch = built[0], deepcopy(built[1]), built[2]
    for layer in network.modules():  # the spatial transformer starts at the identity, deaf to its own features
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.1)

    def gradients():
        torch.manual_seed(0)
        network.zero_grad(set_to_none=True)
        functional.cross_entropy(network(batch), torch.tensor([0, 1, 2, 3])).backward()
        return {name: parameter.grad for name, parameter in network.named_parameters()}

    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        first, second = gradients(), gradients()
    finally:
        torch.use_deterministic_algorithms(before)
    assert {name for name, gradient in first.items() if gradient is None or not gradient.any()} == variant.idle
    assert all(torch.equal(first[name], second[name]) for name in first.keys() - variant.idle)


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_system_refuses_an_input_that_its_layers_cannot_take(name):
    wrong = params.load_system(name).model_copy(update={"input": Input(size=24, channels=1, mean=0, std=1)})
    with pytest.raises(FerError, match="this system takes .*; input gives size 24 and channels 1"):
        systems.build(name, wrong, 7)


@pytest.mark.parametrize("name", ["acnn_alstm", "cnn_alstm", "cnn_lstm", "resnet18_attention"])
def test_the_softmax_switch_turns_the_same_logits_into_probabilities(name):
    logits, probabilities = (build(name, softmax=softmax).eval() for softmax in (False, True))
    batch = images(name, logits, 2)
    assert torch.allclose(probabilities(batch), logits(batch).softmax(1), atol=1e-6)


def test_options_of_another_type_are_refused():
    with pytest.raises(FerError, match="architecture.modality: given 'thermal'"):
        build("resnet18_attention", modality="thermal")
    with pytest.raises(FerError, match="architecture.logits_dropout: given 1.5"):
        build("resnet18_attention", logits_dropout=1.5)


def test_an_unknown_system_names_the_missing_module():
    with pytest.raises(FerError, match="fer/systems/nothing.py does not exist"):
        systems.build("nothing", params.load_system("dnn"), 7)
