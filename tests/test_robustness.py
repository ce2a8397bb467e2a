"""Corruptions of the test images: graded, repeatable, and harmless to what is measured without them."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score

from fer import layout
from fer.errors import FerError
from fer.evaluation.robustness import COLUMNS, MAGNITUDES, SEVERITIES, corrupt, magnitude, robustness
from fer.runs import Run
from fer.stages.evaluate import evaluate
from fer.stages.train import train
from fer.storage import read_json
from fer.training.data import Part

SAMPLES = np.array([3, 14, 15, 92])


def faces(channels=1, side=48, planes=1, count=4):
    """Smooth bright and dark patches with some grain, uint8 (count, planes × channels, side, side)."""
    generator = np.random.default_rng(0)
    coarse = torch.from_numpy(generator.uniform(20, 235, (count, planes * channels, 6, 6)))
    smooth = torch.nn.functional.interpolate(coarse, (side, side), mode="bilinear").numpy()
    return (smooth + generator.normal(0, 4, smooth.shape)).clip(0, 255).astype(np.uint8)


def distance(images, corrupted):
    return np.abs(images.astype(int) - corrupted).mean((1, 2, 3))


@pytest.mark.parametrize("side", [32, 48, 112, 224])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("corruption", MAGNITUDES)
def test_a_higher_severity_is_farther_from_every_original(corruption, channels, side):
    images = faces(channels, side)
    one, two, three = (
        distance(images, corrupt(images, SAMPLES, channels, corruption, severity)) for severity in SEVERITIES
    )
    assert (one > 0).all() and (one < two).all() and (two < three).all()


@pytest.mark.parametrize("corruption", MAGNITUDES)
def test_an_image_is_corrupted_alike_in_any_batch(corruption):
    images = faces()
    whole = corrupt(images, SAMPLES, 1, corruption, 2)
    order = np.array([2, 0, 3, 1])
    assert np.array_equal(corrupt(images[order], SAMPLES[order], 1, corruption, 2), whole[order])
    assert np.array_equal(corrupt(images[2:3], SAMPLES[2:3], 1, corruption, 2), whole[2:3])


@pytest.mark.parametrize("corruption", ["gaussian_noise", "low_light", "occlusion"])
def test_what_is_drawn_depends_on_the_seed_and_on_the_sample(corruption):
    images = np.repeat(faces(count=1), len(SAMPLES), axis=0)
    corrupted = [corrupt(images, SAMPLES, 1, corruption, 2, seed) for seed in (0, 0, 1)]
    assert np.array_equal(corrupted[0], corrupted[1]) and not np.array_equal(corrupted[0], corrupted[2])
    assert not any(np.array_equal(one, other) for one, other in itertools.combinations(corrupted[0], 2))


@pytest.mark.parametrize("corruption", MAGNITUDES)
def test_each_plane_is_an_image_of_its_own_under_the_same_draw(corruption):
    eyes, mouth = faces(3, planes=2)[:, :3], faces(3, planes=2)[:, 3:]
    together = corrupt(np.concatenate([eyes, mouth], axis=1), SAMPLES, 3, corruption, 3)
    assert np.array_equal(together[:, :3], corrupt(eyes, SAMPLES, 3, corruption, 3))
    assert np.array_equal(together[:, 3:], corrupt(mouth, SAMPLES, 3, corruption, 3))


@pytest.mark.parametrize("corruption", MAGNITUDES)
def test_a_grey_image_in_three_channels_stays_grey_and_is_corrupted_like_itself(corruption):
    images = faces()
    repeated = corrupt(np.repeat(images, 3, axis=1), SAMPLES, 3, corruption, 2)
    assert np.array_equal(repeated, np.repeat(corrupt(images, SAMPLES, 1, corruption, 2), 3, axis=1))


def test_an_occlusion_is_one_square_of_the_stated_share_somewhere_in_the_image():
    images = np.tile(np.arange(48, dtype=np.uint8), (200, 1, 48, 1))
    images[:, :, :, ::2] += 100  # so that no pixel has the mean's value
    corners = set()
    for changed in (corrupt(images, np.arange(200), 1, "occlusion", 3) != images)[:, 0]:
        rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
        assert len(rows) == len(columns) == 24 and changed.sum() == 24**2
        corners.add((int(rows[0]), int(columns[0])))
    assert len(corners) > 150 and {0, 24} <= {row for row, _ in corners}


def test_noise_has_the_stated_spread_and_blur_keeps_the_mean():
    grey = np.full((1, 1, 224, 224), 128, np.uint8)
    noisy = corrupt(grey, np.array([0]), 1, "gaussian_noise", 1)
    assert noisy.std() / 255 == pytest.approx(0.08, rel=0.02)
    images = faces(side=224)
    assert corrupt(images, SAMPLES, 1, "gaussian_blur", 3).mean() == pytest.approx(images.mean(), rel=0.01)


def test_low_light_leaves_the_stated_share_with_the_spread_of_counted_photons():
    grey = np.full((1, 1, 224, 224), 200, np.uint8)
    for severity, left in zip(SEVERITIES, (1 / 2, 1 / 4, 1 / 8), strict=True):
        dark = corrupt(grey, np.array([0]), 1, "low_light", severity) / 255
        photons = 200 / 255 * left * 60
        assert dark.mean() == pytest.approx(photons / 60, rel=0.02)
        assert dark.std() == pytest.approx(photons**0.5 / 60, rel=0.02)


def test_jpeg_keeps_the_colours_in_their_channels():
    red = np.zeros((1, 3, 48, 48), np.uint8)
    red[:, 0] = 200
    assert corrupt(red, np.array([0]), 3, "jpeg", 1)[0].mean((1, 2)) == pytest.approx([200, 0, 0], abs=6)


@pytest.mark.parametrize("corruption", MAGNITUDES)
def test_magnitudes_are_the_published_ones_at_their_sides_and_between_them_elsewhere(corruption):
    for severity in SEVERITIES:
        small, large = (values[severity - 1] for values in MAGNITUDES[corruption])
        at = [magnitude(corruption, severity, side) for side in (16, 32, 48, 112, 224, 448)]
        assert at[0] == at[1] == pytest.approx(small) and at[4] == at[5] == pytest.approx(large)
        assert at == sorted(at) or at == sorted(at, reverse=True)


def test_an_unknown_corruption_or_severity_is_refused():
    for corruption, severity in (("fog", 1), ("jpeg", 4)):
        with pytest.raises(FerError, match=f"unknown corruption '{corruption}' of severity {severity}. Known: gauss"):
            corrupt(faces(), SAMPLES, 1, corruption, severity)


def brightness(part):
    """A classifier that tells dark (class 0) from bright images (class 1)."""
    mean = part.images.float().mean((1, 2, 3)).numpy()
    return np.stack([np.full_like(mean, 100), mean], 1)


def part_of(images, labels):
    return Part(torch.from_numpy(images), torch.from_numpy(labels), np.arange(len(images), dtype=np.int32))


def test_each_corruption_is_measured_at_each_severity_beside_the_same_images_untouched():
    images = np.concatenate([faces() // 3, faces() // 2 + 127])
    labels = np.repeat([0, 1], 4)
    labels[0] = 1  # one mistake
    table = robustness(brightness, part_of(images, labels), 1, 1000)
    assert list(table.columns) == list(COLUMNS) and len(table) == 1 + 3 * len(MAGNITUDES)
    assert table.iloc[0].tolist() == ["none", 0, 8, 7 / 8, balanced_accuracy_score(labels, np.repeat([0, 1], 4))]
    blurred = table.query("corruption == 'gaussian_blur'")
    assert blurred["severity"].tolist() == [1, 2, 3] and (blurred["accuracy"] == 7 / 8).all()
    darkest = table.query("corruption == 'low_light'").iloc[-1]
    assert darkest["accuracy"] == 3 / 8 and darkest["macro_recall"] == 0.5, "all are taken for dark"


def test_of_a_large_test_part_evenly_spaced_images_are_taken_and_counted():
    seen = []
    labels = np.arange(2500) % 2
    table = robustness(
        lambda part: seen.append(part.samples) or brightness(part),
        part_of(np.zeros((2500, 1, 2, 2), np.uint8), labels),
        1,
        1000,
    )
    assert (table["n"] == 1000).all() and (seen[0][0], seen[0][-1]) == (0, 2499)
    assert set(np.diff(seen[0])) == {2, 3} and all(np.array_equal(samples, seen[0]) for samples in seen)


def test_numbers_that_are_no_image_are_not_corrupted():
    table = robustness(brightness, part_of(np.zeros((5, 8, 1, 1), np.uint8), np.zeros(5, int)), 1, 1000)
    assert list(table.columns) == list(COLUMNS) and table.empty


def test_evaluate_s_untouched_row_is_its_accuracy_and_its_table_is_the_same_to_the_bit_twice(data):
    run = Run("fer2013-attentional_cnn", "0", 0, {"epochs": 3, "batch_size": 20}, 1, data)
    train(run, "cpu")
    evaluate(run.as_trained(), "cpu")
    written = read_json(run.folder / layout.SUMMARY)["robustness"]
    table, figures = pd.DataFrame(written), read_json(run.folder / layout.METRICS)
    untouched = table.iloc[0]
    assert (untouched["corruption"], untouched["severity"], untouched["n"]) == ("none", 0, 70)
    assert (untouched["accuracy"], untouched["macro_recall"]) == (figures["accuracy"], figures["macro_recall"])
    evaluate(run.as_trained(), "cpu")
    assert read_json(run.folder / layout.SUMMARY)["robustness"] == written
