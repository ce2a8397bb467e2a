"""augment makes variants of training samples alone, as many and as strong as the recipe says, and always the same."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from fer.errors import FerError
from fer.params import OfflineAugmentation
from fer.runs import Run
from fer.stages.augment import augment
from fer.training.data import load_part
from fer.training.offline import TRANSFORMS, variants

PUBLISHED = OfflineAugmentation()


def run_of(layout, **offline):
    return Run("fer2013-attentional_cnn", "0", 0, {"offline": offline}, 1, layout)


def made(layout, **offline):
    run = run_of(layout, **offline)
    line = augment(run, layout.figure("fer2013-attentional_cnn.0", "augment"))
    return run, np.load(run.data["augmented"]), pd.read_parquet(run.data["augmented_index"]), line


def test_the_published_recipe_makes_26_times_the_training_images_and_touches_no_other_part(data):
    run, images, table, line = made(data)
    split = pd.read_parquet(run.data["split"])
    training = split.loc[split["part"] == "train", "sample"].tolist()
    assert images.shape == (25 * 280, 48, 48) and images.dtype == np.uint8 and "26 times" in line
    assert sorted(table["sample"].unique()) == training
    assert set(table.groupby("sample").size()) == {25}
    assert table.groupby("transform").size().to_dict() == dict.fromkeys(TRANSFORMS, 5 * 280)
    assert data.figure("fer2013-attentional_cnn.0", "augment").stat().st_size > 10_000


def test_training_sees_originals_and_variants_with_the_labels_of_their_originals_and_the_other_parts_do_not(data):
    run, images, table, _ = made(data, draws=1)
    part = load_part(run.source, "train")
    labels = pd.read_parquet(run.data["index"])["label"].to_numpy()
    assert len(part) == 280 * 6 and np.array_equal(part.images[280:, 0].numpy(), images)
    assert np.array_equal(part.labels.numpy(), labels[part.samples])
    assert np.array_equal(part.samples[280:], table["sample"])
    for other in ("val", "test"):
        assert len(load_part(run.source, other)) == 70


def test_variants_made_for_another_split_are_refused(data):
    run, _, table, _ = made(data, draws=1)
    split = pd.read_parquet(run.data["split"])
    split.loc[split["sample"] == table["sample"][0], "part"] = "test"
    split.to_parquet(run.data["split"])
    with pytest.raises(FerError, match=r"variants of 1 samples that are not in train of fold 0.*Run augment again"):
        load_part(run.source, "train")


def test_a_part_without_samples_of_the_modality_is_named(data):
    source = Run("fer2013-attentional_cnn", "0", 0, {}, 1, data).source
    with pytest.raises(FerError, match="no infrared sample in val of fold 0"):
        load_part(replace(source, modalities=["infrared"]), "val")


def test_augmenting_twice_gives_the_same_files_to_the_bit(data):
    run, *_ = made(data, draws=1)
    before = [run.data[name].read_bytes() for name in ("augmented", "augmented_index")]
    made(data, draws=1)
    assert [run.data[name].read_bytes() for name in ("augmented", "augmented_index")] == before


def test_the_two_images_of_a_pair_are_warped_alike():
    image = torch.randint(0, 256, (1, 32, 32), dtype=torch.uint8)
    first, second = variants(image, PUBLISHED, seed=5), variants(image.clone(), PUBLISHED, seed=5)
    other = variants(image, PUBLISHED, seed=6)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first[0], other[0])


def test_drawing_variants_leaves_torch_s_random_state_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    variants(torch.zeros(1, 8, 8, dtype=torch.uint8), PUBLISHED, seed=1)
    assert torch.equal(torch.rand(1), expected)


def by_transform(image, parameters=PUBLISHED, seed=0):
    made = variants(image, parameters, seed)
    draws = parameters.draws
    return {name: made[number * draws : (number + 1) * draws] for number, name in enumerate(TRANSFORMS)}


def test_each_transform_has_its_published_magnitude():
    image = torch.full((3, 60, 60), 255, dtype=torch.uint8)
    image[:, :, :30] = 200  # left and right differ, nothing is black or 123
    found = by_transform(image, OfflineAugmentation(draws=40))
    assert all(torch.equal(flip, image.flip(-1)) for flip in found["horizontal_flip"])
    for name in ("rotation", "affine", "perspective"):
        assert any((variant == 0).any() for variant in found[name]), "corners fill with black"
    shares = [float((variant == 123).float().mean()) for variant in found["zoom_out"]]
    assert 0 <= min(shares) < 0.15 and 0.4 < max(shares) <= 1 - 1 / 1.5**2 + 0.02, "a canvas of side 1 to 1.5"
    tilts = [tilt(variant) for variant in found["rotation"]]
    assert 12 < max(map(abs, tilts)) < 22


def tilt(image):
    """Return the angle in degrees of the edge between the bright and the dark half, in the image's middle."""
    rows = (20, 40)
    edges = [int((image[0, row] > 227).float().argmax()) for row in rows]
    return float(np.degrees(np.arctan2(edges[1] - edges[0], rows[1] - rows[0])))


def test_colour_crops_keep_their_channels(data):
    rng = np.random.default_rng(0)
    np.save(data.crops("fer2013"), rng.integers(0, 256, (420, 16, 16, 3), dtype=np.uint8))
    _, images, table, _ = made(data, draws=1)
    flips = np.flatnonzero(table["transform"] == "horizontal_flip")
    originals = np.load(data.crops("fer2013"))[table["sample"].to_numpy()[flips]]
    assert np.array_equal(images[flips], originals[:, :, ::-1])


def test_a_recipe_without_offline_variants_is_told_so(data):
    run = Run("fer2013-attentional_cnn", "0", 0, {}, 1, data)
    with pytest.raises(FerError, match="has no `offline`: nothing is augmented"):
        augment(run, data.figure("x", "augment"))
