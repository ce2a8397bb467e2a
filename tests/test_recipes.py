"""What a recipe may ask for, each key by what it does, and the defects by the harm they do."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from fer import layout, params, systems
from fer.errors import FerError
from fer.folds import folds
from fer.networks import load_network, of_classes, untrained
from fer.params import Augmentation, Input, Recipe
from fer.params.run import Averaged
from fer.runs import Run, TrainedRun
from fer.stages import train as stage
from fer.stages.evaluate import evaluate, evaluate_on
from fer.storage import file_sha256, read_json, write_json
from fer.training import loop, targets
from fer.training.augmentation import augmenter
from fer.training.averaging import MovingAverage
from fer.training.data import Part, load_part, normalise
from fer.training.prediction import predict
from fer.training.schedule import advance, make_optimizer, make_scheduler
from fer.training.views import views

EXPERIMENT = "fer2013-attentional_cnn"
RELEASED = "fer/pretrained/fer2013-fer_baseline"
INPUT = Input(size=8, channels=1, mean=0.5, std=0.5)


def recipe(**values):
    base = {"epochs": 1, "batch_size": 4, "optimizer": "sgd", "learning_rate": 0.1, "schedule": "constant"}
    return Recipe(**base | values)


def run_of(data, name=EXPERIMENT, **overrides):
    return Run(name, "0", 0, {"epochs": 2, "batch_size": 64} | overrides, 1, data)


def rates(steps, steps_an_epoch, **values):
    """Return the learning rate of every step, relative to the peak."""
    parameter = nn.Parameter(torch.zeros(1))
    made = recipe(**values)
    optimizer = make_optimizer(nn.ParameterList([parameter]), made)
    scheduler = make_scheduler(optimizer, made, steps, steps_an_epoch)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"] / made.learning_rate)
        optimizer.step()
        advance(scheduler)
    return found


def test_cosine_cycles_fall_to_zero_in_their_period_and_rise_again_once_an_epoch():
    """lr 1, .75, .25, 0, .25, .75 with a period of 3, as measured in the code of Naseem et al."""
    assert rates(12, 2, schedule="cosine_cycles", period=3) == pytest.approx(
        [1, 1, 0.75, 0.75, 0.25, 0.25, 0, 0, 0.25, 0.25, 0.75, 0.75]
    )


def test_a_plateau_halves_the_rate_after_five_epochs_without_a_lower_validation_loss():
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = make_optimizer(nn.ParameterList([parameter]), recipe(schedule="plateau"))
    scheduler = make_scheduler(optimizer, recipe(schedule="plateau"), 10, 1)
    found = []
    for val_loss in (1.0, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9):
        advance(scheduler)
        advance(scheduler, val_loss)
        found.append(optimizer.param_groups[0]["lr"])
    assert found == pytest.approx([0.1] * 7 + [0.05])


def test_norms_and_biases_are_spared_by_the_weight_decay_where_the_recipe_says_so():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    decayed, spared = make_optimizer(network, recipe(weight_decay=0.1, decay_norms=False)).param_groups
    assert [parameter.ndim for parameter in decayed["params"]] == [4] and decayed["weight_decay"] == 0.1
    assert [parameter.ndim for parameter in spared["params"]] == [1, 1, 1] and spared["weight_decay"] == 0


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_mixing_gives_each_image_the_labels_of_both_in_the_shares_of_their_pixels(kind):
    torch.manual_seed(0)
    labels = torch.arange(8)
    images = labels.view(-1, 1, 1, 1).expand(8, 1, 16, 16).float()
    mixed, distributions = targets.mixer(recipe(**{kind: 1.0}), 8)(images, labels)
    assert torch.allclose(distributions.sum(1), torch.ones(8))
    assert torch.allclose(mixed.mean((1, 2, 3)), distributions @ labels.float(), atol=1e-4)


def test_without_mixing_labels_stay_classes():
    assert targets.mixer(recipe(), 7) is None


def test_a_network_that_ends_in_a_softmax_is_asked_for_its_own_probabilities(data):
    run = Run(
        "fer2013-acnn_alstm-softmax_twice", "0", 0, {"steps": 30, "batch_size": 8, "learning_rate": 0.01}, 1, data
    )
    stage.train(run, "cpu")
    evaluate(run.as_trained(), "cpu")
    part = load_part(run.source, "test")
    with torch.inference_mode():
        own = load_network(run.folder)[0](normalise(part.images, run.system.input)).numpy()
    written = pd.read_parquet(run.folder / layout.PREDICTIONS).filter(like="p_").to_numpy()
    assert np.allclose(written, own, atol=1e-6) and np.allclose(written.sum(1), 1, atol=1e-5)


def test_a_teacher_s_distribution_is_the_softmax_of_what_it_says_of_the_same_images():
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    images = torch.rand(5, 1, 8, 8)
    given = targets.teacher(network, INPUT)(images)
    assert torch.allclose(given, network((images - 0.5) / 0.5).softmax(1), atol=1e-6) and not given.requires_grad


def test_the_average_of_the_weights_follows_them_and_forgets_the_start():
    network = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(network.weight)
    average = MovingAverage(network, 0.9)
    nn.init.ones_(network.weight)
    found = []
    for _ in range(200):
        average.update(network)
        found.append(average.module.weight.item())
    assert found[0] == pytest.approx(1), "the first step takes the weights as they are"
    nn.init.constant_(network.weight, 2.0)
    average.update(network)
    assert average.module.weight.item() == pytest.approx(1.1, abs=1e-3)


def test_kept_and_judged_are_the_averaged_weights(data):
    run = run_of(data, average_weights=0.9)
    stage.train(run, "cpu")
    history = pd.read_csv(run.folder / layout.HISTORY)
    evaluate(run.as_trained(), "cpu")
    val = load_part(run.source, "val")
    logits = predict(load_network(run.folder)[0], val.images, run.system.input, run.recipe)
    assert (logits.argmax(1) == val.labels).float().mean().item() == pytest.approx(history["val_accuracy"].max())


def test_balanced_sampling_draws_a_rare_class_as_often_as_a_frequent_one():
    torch.manual_seed(0)
    labels = torch.tensor([0] * 900 + [1] * 100)
    part = Part(torch.zeros(1000, 1, 1, 1, dtype=torch.uint8), labels, np.arange(1000))
    drawn = labels[loop.epoch_order(part, recipe(balanced_sampling=True))]
    assert 420 < (drawn == 1).sum() < 580
    assert sorted(loop.epoch_order(part, recipe()).tolist()) == list(range(1000))


@pytest.mark.parametrize(("count", "sizes"), [(8, [4, 4]), (9, [4, 5]), (10, [4, 4, 2]), (1, [1])])
def test_a_batch_of_one_image_joins_the_one_before(count, sizes):
    assert [len(batch) for batch in loop.batches(torch.arange(count), 4)] == sizes


def test_the_last_epoch_is_kept_where_the_recipe_says_so(data):
    last, best = run_of(data, epochs=4, keep="last", learning_rate=0.003), run_of(data, epochs=4, learning_rate=0.003)
    line = stage.train(last, "cpu")
    kept = (last.folder / layout.WEIGHTS).read_bytes()
    history = pd.read_csv(last.folder / layout.HISTORY)["val_accuracy"]
    stage.train(best, "cpu")
    assert "last of 4 epochs: 3" in line
    assert (kept == (best.folder / layout.WEIGHTS).read_bytes()) == (history.idxmax() == 3)


def test_a_flip_at_test_time_makes_an_image_and_its_mirror_image_alike():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    images = torch.randint(0, 256, (6, 1, 8, 8), dtype=torch.uint8)
    both = Part(torch.cat([images, images.flip(-1)]), torch.zeros(12, dtype=torch.long), np.arange(12))
    logits = predict(network, both.images, INPUT, recipe(test_time_flip=True))
    assert torch.allclose(logits[:6], logits[6:], atol=1e-5) and torch.allclose(logits.exp().sum(1), torch.ones(12))


@pytest.mark.parametrize(("flip", "number"), [(False, 5), (True, 10)])
def test_crops_at_test_time_are_the_corners_and_the_middle_of_an_image_enlarged_to_the_whole(flip, number):
    corners = torch.zeros(1, 1, 8, 8)
    for value, (top, left) in enumerate(((0, 0), (0, 7), (7, 0), (7, 7)), 1):
        corners[0, 0, top, left] = value
    asked = recipe(test_time_flip=flip, test_time_crop=4)
    shown = views(corners, asked)
    assert len(shown) == asked.test_time_views == number and all(view.shape == corners.shape for view in shown)
    assert [view.max().item() for view in shown[:5]] == [1, 2, 3, 4, 0]
    assert all(mirror.equal(view.flip(-1)) for view, mirror in zip(shown[:5], shown[5:], strict=False))


def test_probabilities_are_averaged_over_the_crops_at_test_time():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    part = Part(torch.randint(0, 256, (6, 1, 8, 8), dtype=torch.uint8), torch.zeros(6, dtype=torch.long), np.arange(6))
    asked = recipe(test_time_flip=True, test_time_crop=6)
    each = [network(view).softmax(1) for view in views(normalise(part.images, INPUT), asked)]
    assert torch.allclose(predict(network, part.images, INPUT, asked).softmax(1), sum(each) / 10, atol=1e-6)


def test_each_channel_has_its_own_mean_and_deviation_in_every_plane():
    input_spec = Input(size=2, channels=3, mean=[0.0, 0.5, 1.0], std=[1.0, 0.5, 0.25])
    images = torch.full((1, 6, 2, 2), 255, dtype=torch.uint8)
    assert normalise(images, input_spec)[0, :, 0, 0].tolist() == pytest.approx([1, 1, 0, 1, 1, 0])
    with pytest.raises(ValueError, match="mean has 2 numbers for 3 channel"):
        Input(size=2, channels=3, mean=[0.0, 0.5], std=1.0)


def test_light_and_colour_change_within_their_factors_and_an_erased_rectangle_is_grey():
    torch.manual_seed(0)
    images = torch.full((64, 3, 16, 16), 0.25)
    bright = augmenter(Augmentation(brightness=0.2))(images.clone())
    assert 0.2 - 1e-4 <= bright.min() < 0.22 < 0.28 < bright.max() <= 0.3 + 1e-4
    erased = augmenter(Augmentation(erasing=1.0))(images.clone())
    assert set(erased.unique().tolist()) == {0.25, 0.5}
    colour = torch.rand(8, 3, 16, 16)
    for name in ("contrast", "saturation"):
        assert not torch.allclose(augmenter(Augmentation(**{name: 0.3}))(colour.clone()), colour)


# --- the defects -----------------------------------------------------------------------------------------------------


def spoiled(data, part):
    """Make every image of a part black; a stage that reads it must then give something else."""
    split = pd.read_parquet(data.split("fer2013", "official"))
    crops = np.load(data.crops("fer2013"))
    crops[split.loc[split["part"] == part, "sample"]] = 0
    np.save(data.crops("fer2013"), crops)


def test_a_sound_training_cannot_see_the_test_part_while_choosing_its_epoch_and_the_defect_can(data):
    chosen = {}
    for part in ("val", "test"):
        run = run_of(data, choose_epoch_on=part, learning_rate=0.003)
        stage.train(run, "cpu")
        before = pd.read_csv(run.folder / layout.HISTORY)["val_accuracy"].tolist()
        whole = np.load(data.crops("fer2013"))
        spoiled(data, "test")
        stage.train(run, "cpu")
        chosen[part] = before == pd.read_csv(run.folder / layout.HISTORY)["val_accuracy"].tolist()
        np.save(data.crops("fer2013"), whole)
    assert chosen == {"val": True, "test": False}


def test_evaluation_never_touches_a_training_or_validation_sample(data):
    run = run_of(data)
    stage.train(run, "cpu")
    evaluate(run.as_trained(), "cpu")
    files = [run.folder / name for name in (layout.PREDICTIONS, layout.METRICS)]
    before, robust = [path.read_bytes() for path in files], read_json(run.folder / layout.SUMMARY)["robustness"]
    for part in ("train", "val"):
        spoiled(data, part)
    parameters = read_json(run.folder / layout.PARAMETERS)  # which would refuse other crops
    parameters["data"]["crops"] = file_sha256(data.crops("fer2013"))
    write_json(run.folder / layout.PARAMETERS, parameters)
    evaluate(run.as_trained(), "cpu")
    assert [path.read_bytes() for path in files] == before
    assert read_json(run.folder / layout.SUMMARY)["robustness"] == robust
    split = pd.read_parquet(data.split("fer2013", "official")).set_index("sample")["part"]
    assert set(split[pd.read_parquet(files[0])["sample"]]) == {"test"}


def test_dropout_left_on_at_evaluation_makes_two_passes_differ_and_yet_repeats():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 3))
    part = Part(torch.full((300, 1, 8, 8), 255, dtype=torch.uint8), torch.zeros(300).long(), np.arange(300))
    on, off = recipe(dropout_at_evaluation=True), recipe()
    noisy, again = (predict(network, part.images, INPUT, on) for _ in range(2))
    assert torch.equal(noisy, again) and noisy.std(0).max() > 0.1
    assert predict(network, part.images, INPUT, off).std(0).max() < 1e-5


# --- variants, overrides, predecessors -------------------------------------------------------------------------------


def test_a_variant_takes_over_everything_it_does_not_change():
    base, variant = map(params.load_experiment, (EXPERIMENT, "fer2013-attentional_cnn-epoch_chosen_on_test"))
    assert variant.recipe == {"choose_epoch_on": "test"} and variant.kind == "defect"
    unchanged = {"dataset", "system", "protocol", "published", "deviations", "modality", "views"}
    assert variant.model_dump(include=unchanged) == base.model_dump(include=unchanged)


def test_the_study_s_changes_reach_input_weights_and_variants_and_evaluation_takes_them_from_the_run(data):
    experiment = params.load_experiment("viri-visible-resnet18_attention")
    path = params.experiment_file("viri-visible-resnet18_attention")
    system = params.resolve(experiment, path, {"size": 64, "weights": "imagenet", "draws": 2, "epochs": 3})
    assert (system.input.size, system.architecture["weights"]) == (64, "imagenet")
    assert (system.recipe.offline.draws, system.recipe.epochs, system.recipe.offline.rotation) == (2, 3, 20)
    without = params.resolve(params.load_experiment(EXPERIMENT), params.experiment_file(EXPERIMENT), {"draws": 2})
    assert without.recipe.offline.draws == 2  # a recipe without offline variants gets those of the defaults
    run = run_of(data)
    stage.train(run, "cpu")
    bare = Run(EXPERIMENT, "0", 0, {}, 1, data)
    assert bare.as_trained().parameters.overrides == run.overrides
    assert bare.as_trained().parameters.recipe == run.recipe != bare.recipe


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"weights": "imagenet"}, "unknown key 'experiments.x.architecture.weights'"),
        ({"size": 0}, "experiments.x.input.size: given 0"),
    ],
)
def test_a_change_that_a_system_cannot_take_is_refused_by_its_place_in_the_study(overrides, message, tmp_path):
    experiment = params.load_experiment(EXPERIMENT)
    with pytest.raises(FerError, match=message):
        params.resolve(experiment, params.experiment_file(EXPERIMENT), overrides, tmp_path, "experiments.x")


def write(folder, name, text):
    path = folder / "params/experiments" / f"{name}.yaml"
    path.write_text(text)
    return path


@pytest.fixture
def own_params(tmp_path, monkeypatch):
    shutil.copytree("params", tmp_path / "params")
    monkeypatch.chdir(tmp_path)
    return tmp_path


FUSED = "variant_of: viri-fused-resnet18_attention\nkind: ablation\nchange: x\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("variant_of: nothing\n", "variant_of: unknown experiment 'nothing'"),
        ("variant_of: fer2013-acnn_alstm-one_step\nkind: defect\nchange: x\n", "is itself a variant, of"),
        ("variant_of: fer2013-dnn\n", "variant_of, change and a kind other than sound go together"),
        (FUSED + "modality: visible\n", "infrared_from needs modality: fused"),
        (FUSED + "infrared_from: nvie-infrared-resnet18_attention\n", "has dataset 'nvie'; it must have 'viri'"),
        (FUSED + "infrared_from: viri-visible-resnet18_attention\n", "has modality 'visible'; it must have 'infrared'"),
        ("variant_of: ferg-attentional_cnn\nkind: defect\nchange: x\nconstant_image: true\n", "needs views: eyes"),
    ],
)
def test_a_mistake_in_a_variant_or_a_predecessor_is_named(own_params, text, message):
    write(own_params, "mine", text)
    with pytest.raises(FerError, match=message):
        params.load_experiment("mine")


def test_a_study_must_hold_the_network_that_a_fused_one_starts_from(own_params):
    study = own_params / "params/study.yaml"
    study.write_text("name: s\nexperiments: {viri-fused-resnet18_attention: {}}\nseeds: [0]\n")
    with pytest.raises(FerError, match=r"needs viri-infrared-resnet18_attention \(infrared_from\)"):
        params.load_study(study)


def test_every_experiment_that_there_is_can_be_resolved_and_the_paper_study_holds_them_all():
    names = {path.stem for path in (params.FOLDER / "experiments").glob("*.yaml")}
    study = params.load_study(params.FOLDER / "studies/paper.yaml")
    assert set(study.experiments) == names


# --- the weights that training starts from ----------------------------------------------------------------------------


def test_training_starts_from_the_weights_of_a_trained_run_and_records_which(data, tmp_path):
    """A rate of almost nothing leaves them as they were."""
    first = run_of(data)
    stage.train(first, "cpu")
    kept = shutil.copytree(first.folder, tmp_path / "kept")
    further = run_of(data, start_from=str(kept), learning_rate=1e-12, epochs=1)
    stage.train(further, "cpu")
    before, after = (load_network(folder)[0].state_dict() for folder in (kept, further.folder))
    assert all(
        torch.allclose(before[name], after[name], atol=1e-6) for name, _ in load_network(kept)[0].named_parameters()
    )
    assert further.as_trained().parameters.data["start_from"] == file_sha256(kept / layout.WEIGHTS)
    assert further.as_trained().parameters.recipe.start_from == str(kept)


def test_a_network_for_other_classes_keeps_the_start_of_all_but_what_has_a_size_for_each_class():
    run = Run("jaffe-fer_baseline", "KA", 0, {"start_from": RELEASED}, 1, layout.Layout(Path()))
    released, made = load_network(RELEASED)[0].state_dict(), untrained(run, torch.device("cpu")).state_dict()
    assert run.dataset.classes != load_network(RELEASED)[1].classes
    changed = {name for name, value in made.items() if not value.equal(released[name])}
    assert changed == {"classifier.3.weight", "classifier.3.bias"}


SYSTEM_OF = {
    params.load_experiment(path.stem).system: path.stem for path in sorted(Path("params/experiments").glob("*.yaml"))
}


@pytest.mark.parametrize("system", sorted(SYSTEM_OF))
def test_what_has_a_size_for_each_class_is_the_end_of_every_network(system):
    """Of a spatial transformer, whose layers are defined last, nothing is."""
    experiment = params.load_experiment(SYSTEM_OF[system])
    fold = folds(experiment.protocol, params.load_dataset(experiment.dataset))[0]
    run = Run(SYSTEM_OF[system], fold, 0, {}, 1, layout.Layout(Path()))
    built = systems.build(system, run.system, len(run.dataset.classes))
    own = of_classes(built, run)
    assert own and all(len(run.dataset.classes) in value.shape for value in own.values())
    assert not any("localisation" in name or "transformer" in name for name in own)


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("jaffe-attentional_cnn", {"start_from": RELEASED}, "a network of fer_baseline, this run trains one of att"),
        ("jaffe-fer_baseline", {"start_from": "nowhere"}, "nowhere is not the folder of a trained run"),
    ],
)
def test_weights_that_do_not_fit_or_saw_other_parts_of_the_dataset_are_refused(name, overrides, message, data):
    fold = "0" if name.startswith("fer2013") else "KA"
    with pytest.raises(FerError, match=message):
        untrained(Run(name, fold, 0, overrides, 1, data), torch.device("cpu"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fold": "1"}, r"was trained on fer2013 \(official, fold 1\), this run is on fer2013 \(official, fold 0\)"),
        ({"recipe": {"choose_epoch_on": "test"}}, "official, fold 0, epoch chosen on test"),
        ({"augment_before_split": True}, "augmented before the split"),
        ({"dataset": "ferplus", "fold": "1"}, r"was trained on ferplus \(official, fold 1\)"),
        (
            {"dataset": "jaffe", "started_on": {"fer2013": "official, fold 2"}},
            r"trained on fer2013 \(official, fold 2\)",
        ),
    ],
)
def test_weights_that_may_have_seen_the_test_images_are_refused(data, tmp_path, changes, message):
    run = run_of(data)
    if not run.folder.exists():
        stage.train(run, "cpu")
    kept = shutil.copytree(run.folder, tmp_path / "kept")
    recorded = read_json(kept / layout.PARAMETERS)
    changes = changes | {"recipe": recorded["recipe"] | changes.get("recipe", {})}
    write_json(kept / layout.PARAMETERS, recorded | changes)
    with pytest.raises(FerError, match=message):
        untrained(run_of(data, start_from=str(kept)), torch.device("cpu"))


@pytest.mark.parametrize("drawn_alike", [True, False])
def test_weights_that_saw_drawn_parts_of_a_dataset_are_taken_where_the_parts_are_the_same(data, tmp_path, drawn_alike):
    run, protocol = run_of(data), "leave_one_subject_out"
    stage.train(run, "cpu")
    kept = shutil.copytree(run.folder, tmp_path / "kept")
    (data.root / "data/splits").mkdir(exist_ok=True)
    shutil.copy(data.index("fer2013"), data.index("jaffe"))
    shutil.copy(data.split("fer2013", "official"), data.split("jaffe", protocol))
    recorded = read_json(kept / layout.PARAMETERS)
    seen = recorded["data"] if drawn_alike else recorded["data"] | {"split": "another"}
    changes = {"dataset": "jaffe", "protocol": protocol, "fold": "KA", "data": seen}
    write_json(kept / layout.PARAMETERS, recorded | changes)
    further = Run("jaffe-attentional_cnn", "KA", 0, {"start_from": str(kept)}, 1, data)
    if drawn_alike:
        untrained(further, torch.device("cpu"))
    else:
        with pytest.raises(FerError, match="fold KA of index .* and split another.*this run is on jaffe"):
            untrained(further, torch.device("cpu"))


def test_what_the_weights_behind_a_run_were_trained_on_is_recorded_and_not_tested_on(data, tmp_path):
    run = run_of(data)
    stage.train(run, "cpu")
    kept = shutil.copytree(run.folder, tmp_path / "kept")
    recorded = read_json(kept / layout.PARAMETERS)
    write_json(kept / layout.PARAMETERS, recorded | {"started_on": {"jaffe": "leave_one_subject_out, fold KA"}})
    further = run_of(data, start_from=str(kept), epochs=1)
    stage.train(further, "cpu")
    seen = {"jaffe": "leave_one_subject_out, fold KA", "fer2013": "official, fold 0"}
    assert further.as_trained().parameters.started_on == seen
    with pytest.raises(FerError, match="started from weights that were trained on jaffe"):
        evaluate_on(further.as_trained(), [("jaffe", "leave_one_subject_out")], device="cpu")


def test_a_run_that_started_from_fer2013_is_not_tested_on_fer_plus_which_has_the_same_images(data, tmp_path):
    run = run_of(data)
    if not run.folder.exists():
        stage.train(run, "cpu")
    kept = shutil.copytree(run.folder, tmp_path / "kept")
    changes = {"dataset": "jaffe", "started_on": {"fer2013": "official, fold 0"}}
    write_json(kept / layout.PARAMETERS, read_json(kept / layout.PARAMETERS) | changes)
    with pytest.raises(FerError, match="were trained on fer2013 .* of the images of ferplus they have seen"):
        evaluate_on(TrainedRun(kept, data), [("ferplus", "official")], device="cpu")


def test_the_weights_of_a_run_and_of_the_one_it_started_from_are_averaged_into_a_run_of_its_own(data, tmp_path):
    run = run_of(data)
    stage.train(run, "cpu")
    kept = shutil.copytree(run.folder, tmp_path / "kept")
    stage.train(run_of(data, start_from=str(kept), epochs=1, learning_rate=0.01), "cpu")
    made, words = tmp_path / "made", ["--share", "0.25", "--crop", "44", "--root", data.root, "--output"]
    command = [sys.executable, "workflow/scripts/average.py", run.folder, kept, *words]
    done = subprocess.run([*command, made], capture_output=True, text=True)
    assert "validation accuracy" in done.stdout, done.stderr
    (first, parameters), second, average = load_network(run.folder), load_network(kept)[0], load_network(made)
    for name, value in average[0].named_parameters():
        expected = 0.75 * first.get_parameter(name) + 0.25 * second.get_parameter(name)
        assert torch.allclose(value, expected, atol=1e-6)
    assert average[1].recipe.test_time_crop == 44 and average[1].data["averaged_run"] == parameters.weights
    assert average[1].averaged == Averaged(run=str(kept), share=0.25)
    evaluate(TrainedRun(made, data), "cpu")
    refused = subprocess.run([*command, kept], capture_output=True, text=True)
    assert refused.returncode == 2 and "expected a folder of its own" in refused.stderr
