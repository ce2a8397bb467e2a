"""Saliency maps are where they should be, say what they should say, and are compared by number."""

import copy
import itertools
import shutil
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from captum.attr import Occlusion
from safetensors.numpy import load_file
from torch import nn

from fer import params, systems
from fer.errors import FerError
from fer.evaluation.cost import flops
from fer.explain.attention import crops_of_transformer, own_maps
from fer.explain.explanation import (
    CAM,
    DROP,
    RANDOM,
    WRONG,
    affordable,
    explain_network,
    mean_of_classes,
    share_of_maximum,
    summary,
)
from fer.explain.gradcam import gradcam, last_map_layers
from fer.explain.occlusion import count_windows, coverage, occlusion
from fer.explain.passes import altered_probabilities, probabilities
from fer.explain.planes import branches_of
from fer.explain.scores import area, blurred, random_map, removal_order, score, stepwise
from fer.layers.spatial_transformer import warp
from fer.layout import Layout
from fer.params import Explain
from fer.reporting import saliency
from fer.reporting.document import explained as report_of
from fer.reporting.document import scores_table
from fer.runs import Run
from fer.stages import explain as stage
from fer.stages.train import train
from fer.storage import read_json
from fer.training.data import Part, load_part

SYSTEMS = sorted(path.stem for path in (params.SYSTEMS.parents[1] / "params/systems").glob("*.yaml"))
SEEING = [name for name in SYSTEMS if params.load_system(name).input.size > 1]  # the others see numbers, no image
SMALLER = {"deepfer": 96, "local_global_resnet50": 64, "resnet18_attention": 64}  # where other sides are taken
SQUARE = (slice(8, 12), slice(12, 16))  # rows and columns of the one place that matters
QUICK = Explain(windows=[0.5], stride=1, removed=0, samples=1, budget=1e6, steps=2, blur=0.1, columns=1)


class Watcher(nn.Module):
    """Says class 1 where the square of a plane is bright on the average, else class 0, and looks nowhere else."""

    def __init__(self, planes=1, plane=0):
        super().__init__()
        self.planes, self.plane = planes, plane

    def forward(self, images):
        brightness = images[:, self.plane, SQUARE[0], SQUARE[1]].mean((1, 2))
        return torch.stack([torch.zeros_like(brightness), 8 * (brightness - 0.5)], 1)


@pytest.fixture
def image():
    torch.manual_seed(0)
    image = 0.4 * torch.rand(1, 24, 24)
    image[0][SQUARE] = 1
    return image


def inside():
    mask = np.zeros((24, 24), bool)
    mask[SQUARE] = True
    return mask


# --- occlusion ------------------------------------------------------------------------------------------------------


def test_occlusion_is_highest_on_the_one_square_that_the_network_looks_at_and_zero_out_of_a_window_s_reach(image):
    for values in occlusion(Watcher(), image, 1, 1, [4 / 24], 0.25, 0.0):
        near = np.zeros((24, 24), bool)
        near[8 - 3 : 12 + 3, 12 - 3 : 16 + 3] = True
        assert inside()[np.unravel_index(values[0].argmax(), (24, 24))]
        assert (values[0][~near] == 0).all() and values[0][near].max() > 0.3


def test_the_binary_map_is_what_a_naive_double_loop_counts(image):
    network, window, step = Watcher(), 7, 3  # 24 − 7 is no multiple of 3: the last window stands flush with the edge
    wrong, covering = np.zeros((24, 24)), np.zeros((24, 24))
    places = [*range(0, 17, step), 17]
    for top, left in itertools.product(places, places):
        altered = image.clone()
        altered[0, top : top + window, left : left + window] = 0.1
        mistaken = network(altered[None]).argmax().item() != 1
        for row, column in itertools.product(range(top, top + window), range(left, left + window)):
            covering[row, column] += 1
            wrong[row, column] += mistaken
    found, _ = occlusion(network, image, 1, 1, [window / 24], step / window, 0.1)
    assert wrong.any() and np.allclose(found[0], wrong / covering, atol=1e-6)


def test_the_soft_map_is_captum_s_occlusion(image):
    network = Watcher()
    _, drop = occlusion(network, image, 1, 1, [8 / 24], 0.5, 0.0)
    captum = Occlusion(lambda images: network(images).softmax(1))
    expected = captum.attribute(image[None], (1, 8, 8), (1, 4, 4), 0.0, target=1)
    assert torch.allclose(drop, expected[0].float(), atol=1e-6)


def test_maps_of_several_sizes_of_the_window_are_averaged(image):
    each = [occlusion(Watcher(), image, 1, 1, [size], 0.5, 0.0) for size in (0.25, 0.5)]
    both = occlusion(Watcher(), image, 1, 1, [0.25, 0.5], 0.5, 0.0)
    for kind in (0, 1):
        assert torch.allclose(both[kind], (each[0][kind] + each[1][kind]) / 2, atol=1e-6)


def test_a_window_over_the_whole_image_makes_an_even_map_of_what_the_removed_image_loses(image):
    network = Watcher()
    wrong, drop = occlusion(network, image, 1, 1, [1.0], 0.5, 0.0)
    lost = probabilities(network, image[None])[0, 1] - probabilities(network, torch.zeros(1, 1, 24, 24))[0, 1]
    assert (wrong == 1).all() and torch.allclose(drop, lost.expand_as(drop))


@pytest.mark.parametrize("side", [7, 32, 48, 224])
@pytest.mark.parametrize("fraction", [0.01, 1 / 6, 1 / 3, 0.99, 1])
@pytest.mark.parametrize("stride", [0.25, 0.5, 1])
def test_windows_are_of_one_size_in_steps_no_longer_than_they_are_and_reach_every_pixel(side, fraction, stride):
    covered = coverage(side, fraction, stride)
    assert (covered.sum(1) == max(1, round(fraction * side))).all() and covered.any(0).all()
    assert len(torch.unique(covered, dim=0)) == len(covered)


def test_each_plane_is_occluded_on_its_own():
    images = torch.ones(2, 24, 24)
    wrong, drop = occlusion(Watcher(planes=2, plane=1), images, 1, 2, [0.25], 0.5, 0.0)
    assert (wrong[0] == 0).all() and (drop[0] == 0).all()
    assert wrong[1][SQUARE].max() > 0 and drop[1][SQUARE].max() > 0.1


def test_a_mask_alters_all_channels_of_its_plane_and_no_other():
    seen = []

    def network(images):
        seen.append(images)
        return torch.zeros(len(images), 2)

    masks = torch.zeros(1, 2, 4, 4, dtype=torch.bool)
    masks[0, 1, 0, 0] = True
    altered_probabilities(network, torch.ones(6, 4, 4), masks, torch.tensor(5.0))
    assert torch.equal((seen[0][0] == 5).nonzero(), torch.tensor([[3, 0, 0], [4, 0, 0], [5, 0, 0]]))


# --- Grad-CAM -------------------------------------------------------------------------------------------------------


class Convolutional(nn.Module):
    """One convolution that passes what is bright on, averaged over the image: for class 1, and against class 0."""

    def __init__(self):
        super().__init__()
        self.features = nn.Conv2d(1, 1, 1, bias=False)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 2, bias=False))
        nn.init.ones_(self.features.weight)
        self.head[2].weight.data = torch.tensor([[-1.0], [1.0]])

    def forward(self, images):
        return self.head(self.features(images))


class Warping(Convolutional):
    """The same behind a spatial transformer that looks at the image turned, shifted and at half its size."""

    def localisation(self, images):
        return torch.tensor([[0.4, -2.0, 0.1, 2.0, 0.3, -0.1]]).repeat(len(images), 1)

    def transform(self, images):
        return warp(images, self.localisation(images))

    def forward(self, images):
        return super().forward(self.transform(images))


def test_gradcam_finds_the_square_and_is_nothing_for_a_class_that_it_speaks_against():
    images = torch.zeros(2, 1, 24, 24)
    images[:, 0, 8:12, 12:16] = 1
    maps = gradcam(Convolutional().eval(), images, torch.tensor([1, 0]))
    assert maps.shape == (2, 1, 24, 24) and ((maps[0, 0] > 0).numpy() == inside()).all() and (maps[1] == 0).all()


def test_gradcam_behind_a_spatial_transformer_is_a_map_of_the_image_not_of_its_crop():
    row, column = np.mgrid[:24, :24]
    blob = np.exp(-((row - 12) ** 2 + (column - 9) ** 2) / 8)
    images = torch.from_numpy(blob).float()[None, None]
    network = Warping().eval()
    values = gradcam(network, images, torch.tensor([1]))[0, 0].numpy()
    in_the_crop = network.transform(images)[0, 0].numpy()

    def centre(weights):
        return np.array([(weights * row).sum(), (weights * column).sum()]) / weights.sum()

    assert np.abs(centre(values) - (12, 9)).max() < 0.5 < 2 < np.abs(centre(in_the_crop) - (12, 9)).max()


@pytest.mark.parametrize(
    ("name", "planes", "shape"),
    [
        ("fer_baseline", ["image"], (320, 3, 3)),  # the sum of both paths of its last block
        ("local_global_resnet50", ["image"], (2048, 2, 2)),  # with what the local part adds
        ("cnn_lstm", ["image"], (128, 6, 6)),
        ("attentional_cnn", ["image"], (10, 9, 9)),
        ("prior_attention", ["eyes", "mouth"], (64, 16, 16)),
    ],
)
def test_the_last_map_is_found_in_each_branch(name, planes, shape):
    network, images = build(name)
    layers = last_map_layers(network, images)
    assert list(layers) == planes
    for layer in layers.values():
        shapes = []
        if layer.entrance:
            hook = layer.module.register_forward_pre_hook(lambda _, values, found=shapes: found.append(values[0].shape))
        else:
            hook = layer.module.register_forward_hook(lambda *values, found=shapes: found.append(values[2].shape))
        network(images)
        hook.remove()
        assert shapes == [(1, *shape)]
    assert len({id(layer.module) for layer in layers.values()}) == len(planes)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def test_the_last_map_is_the_sum_that_the_classifier_sees_and_no_summand_of_it():
    network, images = build("local_global_resnet50")
    assert last_map_layers(network, images) == {"image": (network.head[0], True, (2, 2))}, (
        "not the adapter, which runs last"
    )


def test_a_network_that_has_no_map_is_an_error_that_says_so():
    class Blind(nn.Module):
        planes = 2

        def __init__(self):
            super().__init__()
            self.branches = nn.ModuleDict({"eyes": nn.Linear(1, 2), "mouth": nn.Linear(1, 2)})

        def forward(self, images):
            eyes, mouth = images.mean((2, 3)).chunk(2, 1)
            return self.branches["eyes"](eyes) + self.branches["mouth"](mouth)

    with pytest.raises(FerError, match="Blind has no map with more than one place for eyes, mouth"):
        last_map_layers(Blind(), torch.rand(1, 2, 8, 8))


def test_no_image_s_gradcam_outweighs_another_s():
    maps = np.stack([np.eye(3), 50 * np.eye(3), np.zeros((3, 3))])[:, None].astype(np.float32)
    assert np.array_equal(share_of_maximum(maps)[:, 0], np.stack([np.eye(3), np.eye(3), np.zeros((3, 3))]))


# --- the systems' own attention -------------------------------------------------------------------------------------


def test_attention_weights_become_maps_of_6_by_6_in_reading_order_with_even_weights_at_1():
    network, images = build("acnn_alstm")
    maps, weights = own_maps(network, images), network.attention(images)
    assert list(maps) == ["attention, local", "attention, global"]
    for name in ("local", "global"):
        values = maps[f"attention, {name}"]
        centres = values[0, 3:48:8, 3:48:8] + values[0, 4:48:8, 3:48:8] + values[0, 3:48:8, 4:48:8]
        centres = (centres + values[0, 4:48:8, 4:48:8]) / 4
        assert values.shape == (1, 48, 48)
        assert torch.corrcoef(torch.stack([centres.flatten(), weights[name][0]]))[0, 1] > 0.9
        assert values.mean() == pytest.approx(1, abs=0.05)


def test_one_step_has_no_place():
    system = params.load_system("cnn_alstm")
    system = system.model_copy(update={"architecture": {"sequence": "single"}})
    assert own_maps(systems.build("cnn_alstm", system, 7).eval(), torch.rand(2, 1, 48, 48)) == {}


def test_gate_maps_are_the_mean_share_that_passes_each_gate_of_the_forward_pass():
    network, images = build("local_global_resnet50")
    shares = []
    for gate in network.gates:
        gate.weights.register_forward_hook(lambda *values: shares.append(values[2].mean(1)))
    network(images)
    passed, shares = list(shares), []
    maps = network.gate_maps(images)
    assert list(maps) == [f"gate, stage {number}" for number in (1, 2, 3, 4)]
    assert [values.shape[-1] for values in maps.values()] == [16, 8, 4, 2]
    for values, expected in zip(maps.values(), passed, strict=True):
        assert torch.equal(values, expected) and 0 < values.min() <= values.max() < 1


def test_the_spatial_transformer_s_crop_is_shown_only_where_there_is_one_in_use():
    images = torch.rand(2, 1, 24, 24)
    assert torch.equal(crops_of_transformer(Warping(), images), Warping().transform(images))
    assert crops_of_transformer(Convolutional(), images) is None
    network, images = build("deepfer")  # its own is off by default
    assert crops_of_transformer(network, images) is None


# --- deletion and insertion -----------------------------------------------------------------------------------------


def test_pixels_go_in_the_order_of_the_map_in_equal_steps():
    maps = np.random.default_rng(0).permutation(2 * 4 * 4).reshape(2, 4, 4).astype(float)
    masks = stepwise(maps, 4, np.random.default_rng(0)).numpy()
    assert masks.sum((1, 2, 3)).tolist() == [0, 8, 16, 24, 32]
    for mask in masks[1:-1]:
        assert maps[mask].min() > maps[~mask].max(), "the planes are ranked together"


def test_equal_pixels_go_in_random_order_and_not_row_by_row():
    order = removal_order(np.zeros((1, 10, 10)), np.random.default_rng(0))
    assert sorted(order) == list(range(100)) and abs(np.corrcoef(order, np.arange(100))[0, 1]) < 0.3
    again = removal_order(np.zeros((1, 10, 10)), np.random.default_rng(0))
    assert np.array_equal(order, again)


def test_the_areas_are_those_of_curves_worked_out_by_hand():
    assert area(torch.tensor([1.0, 0.5, 0.0])) == pytest.approx(0.5)
    assert area(torch.tensor([1.0, 0.0, 0.0, 0.0, 0.0])) == pytest.approx(1 / 8)


def test_the_curves_run_from_the_image_to_nothing_and_from_the_blurred_image_to_the_image(image):
    network, maps = Watcher(), np.random.default_rng(0).random((1, 24, 24))
    ends = [probabilities(network, each[None])[0, 1] for each in (image, torch.zeros_like(image), blurred(image, 0.1))]
    found = score(network, image, 1, maps, 1, 0.1, 0.0, np.random.default_rng(0))
    assert found["deletion"] == pytest.approx(float(ends[0] + ends[1]) / 2, abs=1e-6)
    assert found["insertion"] == pytest.approx(float(ends[2] + ends[0]) / 2, abs=1e-6)


def test_deletion_falls_and_insertion_rises_faster_by_the_right_map_than_by_random_ones_and_slowest_by_its_reverse(
    image,
):
    right = inside()[None].astype(float)

    def scored(maps, seed=0):
        return score(Watcher(), image, 1, maps, 24, 0.1, 0.0, np.random.default_rng(seed))

    randoms = [scored(random_map(1, 24, np.random.default_rng(seed)), seed) for seed in range(8)]
    best, worst = scored(right), scored(-right)
    assert all(best["deletion"] < found["deletion"] < worst["deletion"] + 1e-6 for found in randoms)
    assert all(best["insertion"] > found["insertion"] > worst["insertion"] - 1e-6 for found in randoms)


def test_the_random_map_is_smooth_and_another_for_each_sample():
    first, second = (random_map(2, 48, np.random.default_rng(seed)) for seed in (0, 1))
    assert first.shape == (2, 48, 48) and abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.5
    assert np.abs(np.diff(first)).max() < 0.2


def test_a_method_s_gain_on_the_random_map_is_paired_sample_by_sample():
    generator = np.random.default_rng(0)
    level = generator.random(40)
    scores = {
        CAM: {"deletion": level - 0.1, "insertion": level + 0.2},
        RANDOM: {"deletion": level, "insertion": level},
    }
    for kinds in scores.values():
        kinds["deletion"][:5] = kinds["insertion"][:5] = np.nan  # classified wrongly
    cam, control = summary(scores, np.arange(40).astype(str))
    assert cam["deletion"]["mean"] == pytest.approx(level[5:].mean() - 0.1)
    assert cam["deletion"]["interval"][1] - cam["deletion"]["interval"][0] > 0.1
    assert cam["deletion"]["above_random_interval"] == pytest.approx([-0.1, -0.1])
    assert cam["insertion"]["above_random"] == pytest.approx(0.2)
    assert control["name"] == RANDOM and "above_random" not in control["deletion"]


def test_without_a_sample_that_is_classified_correctly_nothing_is_scored():
    nothing = {name: {kind: np.full(3, np.nan) for kind in ("deletion", "insertion")} for name in (CAM, RANDOM)}
    assert summary(nothing, np.array(["a", "b", "c"])) == []
    assert scores_table([]).empty


# --- a whole network ------------------------------------------------------------------------------------------------


def build(name):
    """A system with random weights at its smallest input, in evaluation mode, and one image."""
    system = params.load_system(name)
    size = SMALLER.get(name, system.input.size)
    system = system.model_copy(update={"input": system.input.model_copy(update={"size": size})})
    torch.manual_seed(0)
    network = systems.build(name, system, 7).eval()
    return network, torch.rand(1, getattr(network, "planes", 1) * system.input.channels, size, size)


@pytest.mark.parametrize("name", SEEING)
def test_every_system_that_sees_an_image_gets_maps_and_scores(name):
    network, images = build(name)
    label = probabilities(network, images).argmax(1)
    before = copy.deepcopy(network.state_dict())
    found = explain_network(network, images, label, np.array([3]), QUICK)
    planes, side = len(branches_of(network)), images.shape[-1]
    assert list(found.maps)[:3] == [WRONG, DROP, CAM] and found.correct.all()
    for values in found.maps.values():
        assert values.shape == (1, planes, side, side) and values.dtype == np.float32 and np.isfinite(values).all()
    assert np.abs(found.maps[DROP]).max() > 0
    assert found.scores.keys() == {*found.maps, RANDOM}
    assert all(0 <= value[0] <= 1 for kinds in found.scores.values() for value in kinds.values())
    own = list(found.maps)[3:]
    assert bool(own or found.crops is not None) != any("no attention with a place" in note for note in found.remarks)
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_images_that_are_classified_wrongly_are_left_out_of_the_binary_map_and_of_the_scores(image):
    network = nn.Sequential(nn.Conv2d(1, 1, 1), nn.Flatten(), nn.Linear(24 * 24, 2)).eval()
    images = torch.stack([image, image, image])
    predicted = int(probabilities(network, images)[0].argmax())
    labels = np.array([predicted, 1 - predicted, predicted])
    found = explain_network(network, images, torch.from_numpy(labels), np.arange(3), QUICK)
    assert found.correct.tolist() == [True, False, True]
    assert np.isnan(found.maps[WRONG][1]).all() and np.isfinite(found.maps[WRONG][[0, 2]]).all()
    assert np.isfinite(found.maps[DROP]).all(), "a probability can drop all the same"
    assert np.isnan(found.scores[CAM]["deletion"]).tolist() == [False, True, False]
    means = mean_of_classes(found.maps[WRONG], labels, 3)
    assert np.allclose(means[predicted], found.maps[WRONG][[0, 2]].mean(0)) and np.isnan(means[1 - predicted]).all()


def test_the_mean_of_a_class_leaves_out_what_a_method_does_not_know_and_a_class_without_samples_has_none():
    values = np.array([1, np.nan, 4, 2], np.float32)[:, None, None]
    means = mean_of_classes(values, np.array([0, 0, 1, 1]), 3)
    assert means[:2, 0, 0].tolist() == [1, 3] and np.isnan(means[2]).all()


def test_the_budget_bounds_the_samples_by_what_the_passes_cost():
    network, images = build("attentional_cnn")
    passes = count_windows(48, [0.5], 1) + 2 * 3 * 4
    cost = 7 * passes * flops(network, images) / 1e12
    asked = QUICK.model_copy(update={"samples": 8})
    for budget, samples in ((0.5 * cost, 1), (3.5 * cost, 3), (100 * cost, 8)):
        assert affordable(network, images[0], 7, asked.model_copy(update={"budget": budget})) == samples
    assert passes == 4 + 24


# --- the stage ------------------------------------------------------------------------------------------------------

# What is hidden becomes as dark as the background: the network's own zero, mid-grey, would look like another square
FAST = "windows: [0.33333]\nstride: 0.5\nremoved: -0.53\nsamples: 3\nbudget: 20\nsteps: 4\nblur: 0.1\ncolumns: 1\n"


@pytest.fixture(scope="module")
def run(learnable, tmp_path_factory):
    """A network trained on images in which a bright square's place tells the class, and its explanation."""
    folder = tmp_path_factory.mktemp("explained")
    with pytest.MonkeyPatch.context() as patch:
        shutil.copytree("params", folder / "params")
        (folder / "params/explain.yaml").write_text(FAST)
        shutil.copytree(learnable.root, folder, dirs_exist_ok=True)
        patch.chdir(folder)
        untracked = SimpleNamespace(log=lambda row: None)  # an MLflow store takes longer to make than all of this
        patch.setattr("fer.stages.train.LiveRun", lambda run: nullcontext(untracked))
        run = Run("fer2013-attentional_cnn", "0", 0, {"epochs": 6, "batch_size": 20}, 1, Layout(folder))
        train(run, "cpu")
        stage.explain(run.as_trained(), "cpu")
    return run


@pytest.fixture
def explained(run, monkeypatch):
    monkeypatch.chdir(run.layout.root)
    return run


def outputs(run):
    name, layout = run.name, run.layout
    return [layout.explanation(name), layout.explanation_maps(name), layout.figure(name, "explain")]


def test_what_was_learned_is_found_by_occlusion_in_the_square_of_each_class(explained):
    maps = load_file(explained.layout.explanation_maps(explained.name))
    found = read_json(explained.layout.explanation(explained.name))
    drop, right = maps[f"{DROP}, image"], [count["correct"] for count in found["samples"]]
    assert drop.shape == (7, 48, 48) and drop.dtype == np.float32 and min(right) > 0
    hits = 0
    for code in range(7):
        row, column = np.unravel_index(drop[code].argmax(), (48, 48))
        hits += (row // 16, column // 16) == divmod(code, 3)
    assert hits == 7


def sequences(people):
    """A part of as many people: each shows two expressions of four, in a sequence of six neighbouring frames each."""
    labels = np.concatenate([np.repeat([person % 4, (person + 1) % 4], 6) for person in range(people)])
    part = Part(torch.zeros(len(labels), 1, 2, 2), torch.from_numpy(labels), np.arange(len(labels)))
    return part, labels, np.repeat(np.arange(people), 12)


@pytest.mark.parametrize(("people", "per_class"), [(12, 5), (3, 2), (40, 8)])
def test_explained_samples_are_one_a_person_at_even_spacing_within_each_expression(people, per_class):
    part, labels, clusters = sequences(people)
    order = np.random.default_rng(0).permutation(len(part))
    shuffled = Part(part.images[order], part.labels[order], part.samples[order])
    chosen = order[stage.spread(shuffled, clusters[order].astype(str), per_class)]
    assert (np.diff(chosen) > 0).all(), "in the order of the samples"
    for code in range(4):
        own, known = clusters[chosen[labels[chosen] == code]], np.unique(clusters[labels == code])
        assert len(np.unique(own)) == len(own) == min(per_class, len(known))
        steps = np.diff(np.searchsorted(known, own))
        assert not len(steps) or steps.max() - steps.min() <= 1
    assert set(chosen % 6) == {3}, "the middle frames"


def test_of_a_single_person_the_images_are_explained_at_even_spacing():
    part, labels, _ = sequences(4)
    chosen = stage.spread(part, np.repeat("subject:KA", len(part)), 3)
    assert np.bincount(labels[chosen]).tolist() == [3] * 4 and chosen[labels[chosen] == 1].tolist() == [8, 12, 16]


def test_the_explained_samples_of_each_class_are_counted(explained):
    found = read_json(explained.layout.explanation(explained.name))
    assert [count["expression"] for count in found["samples"]] == explained.dataset.classes
    assert [count["samples"] for count in found["samples"]] == [3] * 7
    assert found["scored"] == sum(count["correct"] for count in found["samples"])
    assert found["parameters"]["steps"] == 4 and (found["fold"], found["seed"]) == ("0", 0)


def test_explaining_twice_gives_the_same_files_to_the_bit(explained):
    before = [path.read_bytes() for path in outputs(explained)]
    stage.explain(explained.as_trained(), "cpu")
    assert [path.read_bytes() for path in outputs(explained)] == before


@pytest.mark.parametrize("synthetic", [True, False])
def test_the_figure_is_stamped_if_and_only_if_the_faces_were_drawn(explained, monkeypatch, tmp_path, synthetic):
    titles = []
    monkeypatch.setattr(saliency, "save", lambda figure, target: titles.append(figure.get_suptitle()))
    monkeypatch.setattr(Layout, "explanation", lambda *_: tmp_path / "explain.json")
    monkeypatch.setattr(Layout, "explanation_maps", lambda *_: tmp_path / "explain.safetensors")
    assert stage.is_synthetic(explained.layout.index("fer2013"))
    monkeypatch.setattr(stage, "is_synthetic", lambda *_: synthetic)
    stage.explain(explained.as_trained(), "cpu", {"samples": 1})
    found = read_json(tmp_path / "explain.json")
    assert found["synthetic"] == synthetic and found["parameters"]["samples"] == 1
    assert titles and titles[0].startswith(explained.name) and ("SYNTHETIC" in titles[0]) == synthetic


def test_a_column_has_its_head_where_the_first_expression_has_fewer_samples(monkeypatch, tmp_path):
    heads, face = [], np.zeros((4, 4), np.uint8)
    monkeypatch.setattr(saliency, "save", lambda figure, target: heads.extend(axes.get_title() for axes in figure.axes))
    mean, first, second = (saliency.Tile(head, face) for head in ("mean face", "sample 1", "sample 2"))
    rows = [saliency.Row("angry", [mean], [first]), saliency.Row("happy", [mean], [first, second])]
    saliency.draw_maps("title", rows, True, tmp_path / "figure.png")
    assert [head for head in heads if head] == ["mean face", "sample 1", "sample 2"]


def test_the_report_finds_a_table_of_all_methods_and_the_figure(explained):
    shown, found = report_of(explained.layout, explained.name), read_json(explained.layout.explanation(explained.name))
    table = pd.DataFrame(shown["table"]["cells"], columns=shown["table"]["columns"])
    assert table["map"].tolist() == [WRONG, DROP, CAM, RANDOM] == [method["name"] for method in found["methods"]]
    assert table["clusters"].tolist() == [str(shown["scored"])] * 4, "each image stands for itself"
    scores = {entry["name"]: entry for entry in found["scores"]}
    assert table["deletion ↓ %"].tolist() == [f"{100 * scores[name]['deletion']['mean']:.1f}" for name in scores]
    assert scores[DROP]["deletion"]["mean"] < scores[RANDOM]["deletion"]["mean"]
    counts = pd.DataFrame(found["samples"])
    assert counts["samples"].sum() == 21 and counts["correct"].sum() == shown["scored"]
    figure = explained.layout.figure(explained.name, "explain")
    assert figure.read_bytes().startswith(b"\x89PNG") and found["synthetic"]


def test_only_the_box_numbers_have_no_image():
    assert set(SYSTEMS) - set(SEEING) == {"box_geometry"}


def test_a_system_that_sees_numbers_without_a_place_is_left_out_with_a_note(explained, monkeypatch, tmp_path):
    part = Part(torch.zeros(7, 8, 1, 1, dtype=torch.uint8), torch.arange(7), np.arange(7))
    monkeypatch.setattr(stage, "load_part", lambda source, name: part)
    monkeypatch.setattr(Layout, "run", lambda self, *_: explained.layout.root / "runs" / explained.name / "0.0")
    elsewhere = {name: tmp_path / name for name in ("explanation", "explanation_maps", "figure")}
    for name, path in elsewhere.items():
        monkeypatch.setattr(Layout, name, lambda *_, path=path: path)
    assert stage.explain(explained.as_trained(), "cpu") == stage.NO_PLACES
    assert load_file(elsewhere["explanation_maps"]) == {} and elsewhere["figure"].read_bytes().startswith(b"\x89PNG")
    shown = report_of(explained.layout, explained.name)
    assert shown["remarks"] == [stage.NO_PLACES] and shown["table"]["cells"] == [] and shown["scored"] == 0


def test_pictures_of_what_the_network_sees_are_those_of_the_pixels(explained):
    part, input_spec = load_part(explained.source, "test"), explained.system.input
    seen = stage.normalise(part.images, input_spec)
    assert torch.allclose(stage.pixels(seen, input_spec), part.images.float(), atol=1e-3)


def test_a_mistake_in_the_parameters_names_file_and_key(explained, monkeypatch, tmp_path):
    path = tmp_path / "explain.yaml"
    monkeypatch.setattr("fer.params.loading.EXPLAIN", path)
    for old, new, message in (
        ("[0.33333]", "[0]", "windows.0: given 0; input should be greater than 0"),
        ("stride", "strides", "unknown key 'strides' (did you mean 'stride'?)"),
        ("samples: 3", "samples: 0", "samples: given 0"),
    ):
        path.write_text(FAST.replace(old, new))
        with pytest.raises(FerError) as error:
            params.load_explain()
        assert message in str(error.value) and str(path) in str(error.value)


def test_a_study_may_cut_the_cost_of_its_explanations():
    shipped = params.load_explain()
    study = params.Study(name="x", experiments={"fer2013-dnn": None}, seeds=[0], explain={"samples": 2, "stride": 1})
    cut = params.load_explain(study.explain_overrides())
    assert shipped.samples > 2 and cut == shipped.model_copy(update={"samples": 2, "stride": 1.0})
    with pytest.raises(FerError, match="--set: samples: given 0"):
        params.load_explain({"samples": 0})
