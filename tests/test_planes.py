"""What a network is shown: planes of one sample stacked, pairs and variants matched, and the defects that mix them."""

from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from safetensors.torch import save_file

from fer import params
from fer.errors import FerError
from fer.layout import PARAMETERS, WEIGHTS, Layout
from fer.networks import untrained
from fer.runs import Run
from fer.stages.augment import augment
from fer.storage import file_sha256, write_json
from fer.training.data import load_part

PAIRS, SIDE = 20, 224
CODE = {
    "visible": 130,
    "infrared": 180,
}  # what its pair's number is added to; brighter than zoom-out's 123


@pytest.fixture
def pairs(tmp_path):
    """Twenty pairs whose grey tells pair and modality; infrared images stand in another order than visible ones."""
    layout = Layout(tmp_path / "study")
    order = [*range(PAIRS), *reversed(range(PAIRS))]
    modality = ["visible"] * PAIRS + ["infrared"] * PAIRS
    index = pd.DataFrame({
        "sample": np.arange(2 * PAIRS, dtype=np.int32),
        "path": [f"{kind}/{number}.png" for kind, number in zip(modality, order, strict=True)],
        "label": np.array([number % 5 for number in order], np.int8),
        "modality": modality,
        "pair": [f"pair {number}" for number in order],
        "subject": None,
        "sequence": None,
    })  # fmt: skip
    parts = np.array((["train"] * 3 + ["val", "test"]) * 4)
    split = pd.DataFrame({"sample": index["sample"], "fold": "0", "part": parts[order]})
    crops = np.zeros((2 * PAIRS, SIDE, SIDE, 3), np.uint8)
    for sample, number in enumerate(order):
        crops[sample, :, SIDE // 2 :] = CODE[modality[sample]] + number
    for path in (layout.index("viri"), layout.crops("viri"), layout.split("viri", "stratified_70_15_15")):
        path.parent.mkdir(parents=True, exist_ok=True)
    index.to_parquet(layout.index("viri"))
    split.to_parquet(layout.split("viri", "stratified_70_15_15"))
    np.save(layout.crops("viri"), crops)
    return layout


def run_of(layout, modality, **overrides):
    return Run(f"viri-{modality}-resnet18_attention", "0", 0, {"size": 32} | overrides, 1, layout)


def greys(part):
    """Return the brightest pixel of each image's first plane and of its second."""
    brightest = part.images.amax((2, 3)).numpy().astype(int)
    return brightest[:, 0], brightest[:, 3]


def test_the_fused_network_sees_both_images_of_a_pair_visible_first(pairs):
    run = run_of(pairs, "fused")
    part = load_part(replace(run.source, files=run.data_of("viri", "stratified_70_15_15")), "train")
    visible, infrared = greys(part)
    assert part.images.shape == (12, 6, 32, 32)
    assert np.array_equal(visible - CODE["visible"], infrared - CODE["infrared"]), "the same pair"
    assert set(part.samples) < set(range(PAIRS)), "a pair counts as its visible image"


def test_a_fused_run_starts_from_an_infrared_network_of_the_same_data_alone(pairs):
    run, fused = run_of(pairs, "infrared"), run_of(pairs, "fused")
    network = untrained(run, torch.device("cpu"))
    run.folder.mkdir(parents=True)
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, run.folder / WEIGHTS)
    read = {name: path for name, path in run.data.items() if path.exists()}  # no variants were made
    data = {name: file_sha256(path) for name, path in read.items()}
    write_json(run.folder / PARAMETERS, run.parameters.model_copy(update={"data": data}).dump())
    branch = untrained(fused, torch.device("cpu")).branches["infrared"].state_dict()
    assert all(torch.equal(value, network.branches["infrared"].state_dict()[name]) for name, value in branch.items())
    path = fused.data["split"]
    split = pd.read_parquet(path)
    split.assign(part=split["part"].replace({"train": "test", "test": "train"})).to_parquet(path)
    with pytest.raises(FerError, match=f"^{path} is not the file that {run.folder} was trained with"):
        untrained(fused, torch.device("cpu"))


def test_images_without_one_partner_are_all_named_before_a_fused_run_starts(pairs):
    index = pd.read_parquet(pairs.index("viri"))
    index.loc[index["sample"] == PAIRS, "pair"] = None  # the infrared image of pair 19, of the test part
    index.loc[index["sample"] == PAIRS + 1, "pair"] = "pair 17"  # that of pair 18, which trains no more
    index.to_parquet(pairs.index("viri"))
    run = run_of(pairs, "fused")
    source = replace(run.source, files=run.data_of("viri", "stratified_70_15_15"))
    for part in ("train", "test"):
        with pytest.raises(FerError, match="exactly one infrared image") as error:
            load_part(source, part)
        wrong = "visible/17.png (2 infrared), visible/18.png (no infrared), visible/19.png (no infrared)"
        assert f"3 of {PAIRS} in fold 0 have none or several: {wrong}." in str(error.value)


@pytest.mark.parametrize("modality", ["visible", "infrared"])
def test_one_modality_sees_its_own_images_alone(pairs, modality):
    run = run_of(pairs, modality)
    part = load_part(replace(run.source, files=run.data_of("viri", "stratified_70_15_15")), "test")
    brightest = part.images.amax((1, 2, 3)).numpy().astype(int) - CODE[modality]
    assert part.images.shape == (4, 3, 32, 32) and set(brightest) <= set(range(PAIRS))


def test_the_two_images_of_a_pair_have_the_same_variant_beside_each_other(pairs):
    run = run_of(pairs, "fused", draws=2)
    augment(run, pairs.figure("x", "augment"))
    part = load_part(run.source, "train")
    visible, infrared = greys(part)
    assert len(part) == 12 * (1 + 5 * 2) and np.array_equal(visible - CODE["visible"], infrared - CODE["infrared"])
    made = pd.read_parquet(run.data["augmented_index"]).query("sample < @PAIRS")
    own = np.flatnonzero(made["transform"] != "zoom_out") + 12  # its fill is as bright in both
    planes = [part.images[own, plane] / part.images[own, plane].amax((1, 2), keepdim=True) for plane in (0, 3)]
    bright = [(plane > 0.5).float().mean((1, 2)).numpy() for plane in planes]
    assert np.allclose(*bright, atol=0.02) and bright[0].std() > 0.02, "warped alike: as much of each is bright"


def test_images_augmented_before_the_split_lie_in_training_and_in_test(pairs, monkeypatch):
    run = run_of(pairs, "visible", draws=1)
    experiment = run.experiment.model_copy(update={"augment_before_split": True})
    monkeypatch.setitem(run.__dict__, "experiment", experiment)
    augment(run, pairs.figure("x", "augment"))
    parts = {name: load_part(run.source, name) for name in ("train", "val", "test")}
    assert sum(map(len, parts.values())) == PAIRS * 6
    assert [len(parts[name]) for name in ("train", "val", "test")] == [72, 24, 24], "the shares of the split"
    assert set(parts["train"].samples) & set(parts["test"].samples), "the leak that the defect is"


def test_without_the_defect_no_variant_of_a_test_image_is_made(pairs):
    run = run_of(pairs, "visible", draws=1)
    augment(run, pairs.figure("x", "augment"))
    parts = {name: set(load_part(run.source, name).samples) for name in ("train", "val", "test")}
    assert not parts["train"] & (parts["val"] | parts["test"])


# --- blocks and boxes ------------------------------------------------------------------------------------------------


@pytest.fixture
def faces(tmp_path):
    """Ten FERG samples: blocks of known greys, boxes of known places, originals of known greys."""
    layout, count = Layout(tmp_path / "study"), 10
    protocol = params.load_experiment("ferg-prior_attention").protocol
    folders = {layout.index("ferg"), layout.split("ferg", protocol), layout.blocks("ferg"), layout.faces("ferg")}
    for path in folders | {layout.raw("ferg")}:
        path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.arange(count, dtype=np.int32)
    unknown = dict.fromkeys(("subject", "pair", "sequence"))
    frame = {"sample": samples, "label": np.int8(0), "modality": "visible", **unknown}
    pd.DataFrame(frame).to_parquet(layout.index("ferg"))
    parts = ["train"] * 6 + ["val"] * 2 + ["test"] * 2
    pd.DataFrame({"sample": samples, "fold": "aia", "part": parts}).to_parquet(layout.split("ferg", protocol))
    for path, start in ((layout.eyes("ferg"), 0), (layout.mouth("ferg"), 100)):
        np.save(path, np.broadcast_to((start + samples.astype(np.uint8))[:, None, None, None], (count, 32, 32, 3)))
    pd.DataFrame({"height": [256] * count, "width": [256] * count}).to_parquet(layout.faces("ferg"))
    places = {f"eyes_{side}": value for side, value in (("x", 64.0), ("y", 32.0), ("width", 128.0), ("height", 48.0))}
    places |= {f"mouth_{side}": value for side, value in (("x", 96.0), ("y", 160.0), ("width", 64.0), ("height", 32.0))}
    boxes = pd.DataFrame({name: np.full(count, value) for name, value in places.items()})
    boxes["eyes_x"] += 10.0 * samples
    boxes.assign(angle=0.0).to_parquet(layout.blocks("ferg"))
    images = []
    for number in samples:
        image = np.full((256, 256, 3), 10 * number, np.uint8)
        image[:, 128:] = 200 + number
        images.append(cv2.imencode(".png", image)[1].tobytes())
    table = pa.table({"image": pa.array(images, pa.binary()), "path": [str(number) for number in samples]})
    pa.parquet.write_table(table, layout.raw("ferg"))
    return layout


def load(layout, name, part="train"):
    return load_part(Run(name, "aia", 0, {}, 1, layout).source, part)


def test_eyes_and_mouth_are_two_planes_of_one_grey_channel(faces):
    part = load(faces, "ferg-prior_attention")
    assert part.images.shape == (6, 2, 32, 32)
    assert np.array_equal(part.images[:, :, 0, 0].numpy(), [[n, 100 + n] for n in range(6)])


@pytest.mark.parametrize(("view", "first"), [("eyes", 0), ("mouth", 100)])
def test_one_block_alone_is_one_plane(faces, view, first):
    part = load(faces, f"ferg-prior_attention-{view}")
    assert part.images.shape == (6, 1, 32, 32) and part.images[0].unique().tolist() == [first]


def test_the_boxes_alone_are_eight_numbers_and_no_picture(faces):
    part = load(faces, "ferg-box_geometry")
    assert part.images.shape == (6, 8, 1, 1)
    expected = [64 + 20, 32, 128, 48, 96, 160, 64, 32]
    assert np.allclose(part.images[2, :, 0, 0].numpy(), np.array(expected) * 255 / 256, atol=0.5)


def test_blocks_of_one_constant_image_differ_by_their_boxes_alone(faces):
    part = load(faces, "ferg-prior_attention-constant_image")
    assert set(part.images.unique().tolist()) <= {90, 209, *range(91, 209)}, "the last original's greys, 90 and 209"
    assert not np.array_equal(part.images[0, 0], part.images[5, 0]), "another box"
    assert np.array_equal(part.images[0, 1], part.images[5, 1]), "the same box"


def test_a_variant_is_refused_where_its_system_has_no_such_views():
    experiment = params.load_experiment("ferg-attentional_cnn").model_copy(update={"views": "both"})
    with pytest.raises(FerError, match="views: given 'both', but the system attentional_cnn has no such option"):
        params.resolve(experiment, params.experiment_file("ferg-attentional_cnn"))
