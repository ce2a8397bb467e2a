"""The audit finds what crosses the parts of a split, and only that, and the remedy leaves nothing of it."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml
from split_files import dataset, encode, index_of, noise, outputs, write

from fer import duplicates, leakage, params
from fer.datasets.synthetic import render
from fer.errors import FerError
from fer.faces import crops, fingerprint, likeness
from fer.layout import Layout
from fer.reporting import leakage as reporting
from fer.stages.split import split
from fer.storage import read_originals
from fer.training.data import augmented_strays

PROJECT = Path(__file__).parents[1]
PARTS = ["train"] * 6 + ["val"] * 3 + ["test"] * 3
VAL, TEST = 6, 9  # the first sample of each part


def faces(count=12, size=48):
    """Return images (count, size, size) as smooth as faces, no two alike."""
    return [cv2.resize(cv2.resize(image, (12, 12)), (size, size)) for image in noise(count, seed=3, size=24)]


def audit(tmp_path, images, index=None, protocol="official", **options):
    """Split and audit; return the JSON and the terminal's line."""
    parameters = dataset(subjects=options.pop("subjects", None), **options)
    files = write(tmp_path, index_of(len(images), part=PARTS) if index is None else index, images)
    line = split(*files, parameters, protocol, 0, *outputs(tmp_path))
    return json.loads((tmp_path / "audit.json").read_text()), line


def found(tmp_path, images, index=None, **options):
    """Return the pairs of duplicates as (first, second, exact)."""
    files = write(tmp_path, index_of(len(images)) if index is None else index, images)
    return list(search(files, dataset(**options))[["first", "second", "exact"]].itertuples(index=False, name=None))


def search(files, parameters):
    """Return the table of duplicates of what `write` wrote."""
    raw, index, faces, crops_file = files
    samples = pd.read_parquet(index).merge(pd.read_parquet(faces), on="sample")
    return duplicates.duplicates(samples, raw, faces, crops_file, parameters)


def pairs_of(*pairs):
    return pd.DataFrame(pairs, columns=["first", "second", "exact"]).assign(distance=0, correlation=1.0, likeness=1.0)


def split_of(parts):
    return pd.DataFrame({"sample": np.arange(len(parts)), "fold": "0", "part": parts})


# --- duplicates ------------------------------------------------------------------------------------------------------


def test_images_without_a_likeness_are_no_duplicates(tmp_path):
    assert found(tmp_path, faces(40), distance=10, correlation=0.9) == []


def test_the_same_pixels_are_exact_duplicates_in_whatever_format(tmp_path):
    images = faces()
    images[8] = encode(images[2], ".bmp")
    assert found(tmp_path, images) == [(2, 8, True)]


def test_recompressed_brightened_and_resized_copies_are_near_duplicates(tmp_path):
    images = faces()
    images[6] = encode(images[0], ".jpg")
    images[7] = np.clip(images[1] * 0.7 + 20, 0, 255).astype(np.uint8)
    images[8] = cv2.resize(images[2], (60, 60), interpolation=cv2.INTER_AREA)
    assert found(tmp_path, images, distance=10, correlation=0.95) == [(0, 6, False), (1, 7, False), (2, 8, False)]


def test_of_images_that_hash_alike_only_those_whose_pixels_correlate_are_duplicates(tmp_path):
    """All 64 bits are allowed to differ: the pixels alone decide."""
    images = faces()
    images[7] = np.clip(images[1] * 0.7 + 20, 0, 255).astype(np.uint8)
    assert found(tmp_path, images, distance=64, correlation=0.95) == [(1, 7, False)]


def test_the_distance_is_a_limit_of_its_own(tmp_path, monkeypatch):
    images = faces(2)
    images[1] = encode(images[0], ".jpg")
    hashes = iter([0b0, 0b111])
    monkeypatch.setattr(fingerprint, "perceptual_hash", lambda image: next(hashes))
    files = write(tmp_path, index_of(2), images)
    counts = [len(search(files, dataset(distance=distance))) for distance in (2, 3)]
    assert counts == [0, 1]


def test_the_distance_and_the_correlation_of_a_pair_are_those_of_the_images(tmp_path):
    images = faces(2)
    images[1] = np.clip(images[0].astype(int) + np.eye(48, dtype=int) * 90, 0, 255).astype(np.uint8)
    files = write(tmp_path, index_of(2), images)
    pair = search(files, dataset(distance=64, correlation=0, likeness=0)).iloc[0]
    thumbnails = [crops.resized(image, 32, 32).ravel() for image in images]
    assert pair["correlation"] == pytest.approx(np.corrcoef(*thumbnails)[0, 1], abs=1e-5)
    assert (
        pair["distance"]
        == (fingerprint.perceptual_hash(images[0]) ^ fingerprint.perceptual_hash(images[1])).bit_count()
    )


@pytest.mark.parametrize("tile", [1, 100, 1 << 20])
def test_hashes_are_compared_each_with_each_whatever_the_tile(tile, monkeypatch):
    monkeypatch.setattr(duplicates, "TILE", tile)
    generator = np.random.default_rng(0)
    hashes = generator.integers(0, 2**64, 150, dtype=np.uint64)
    hashes[100:] = hashes[:50] ^ (np.uint64(1) << generator.integers(0, 64, 50).astype(np.uint64))
    hashes[149] = 2**64 - 1
    expected = [
        (i, j, bits)
        for i in range(150)
        for j in range(i + 1, 150)
        if (bits := (int(hashes[i]) ^ int(hashes[j])).bit_count()) <= 20
    ]
    assert list(zip(*(side.tolist() for side in duplicates.close_hashes(hashes, 20)), strict=True)) == expected
    assert len(expected) >= 49


@pytest.mark.parametrize("count", [0, 1])
def test_one_image_or_none_has_no_duplicates(count, tmp_path):
    assert [len(side) for side in duplicates.close_hashes(np.zeros(count, np.uint64), 6)] == [0, 0, 0]
    assert found(tmp_path, faces(count)) == []


def test_only_originals_whose_hashes_are_close_are_decoded(tmp_path):
    images = faces(30)
    images[25] = encode(images[4], ".jpg")
    files = write(tmp_path, index_of(30), images)
    spoiled = [encode(images[4]) if n == 4 else images[25] if n == 25 else b"no image" for n in range(30)]
    pd.DataFrame({"image": spoiled}).to_parquet(files[0], row_group_size=8)
    assert len(search(files, dataset(distance=10))) == 1


def test_originals_are_read_in_their_order_from_the_row_groups_that_hold_them(tmp_path):
    raw, *_ = write(tmp_path, index_of(30), faces(30))
    images = pd.read_parquet(raw)["image"].tolist()
    wanted = np.array([0, 7, 8, 9, 27, 29])
    assert list(read_originals(raw, wanted)) == [(number, images[number]) for number in wanted]


def test_infrared_images_are_duplicates_only_when_their_pixels_are_equal(tmp_path):
    images = faces()
    images[6], images[7] = encode(images[0], ".jpg"), images[1]
    index = index_of(12, modality=["infrared"] * 12)
    assert found(tmp_path, images, index, distance=64, correlation=0.9) == [(1, 7, True)]


def test_blank_images_are_listed_and_are_nobodys_duplicate(tmp_path):
    images = faces()
    images[2] = images[10] = images[11] = np.full((48, 48), 7, np.uint8)
    result, line = audit(tmp_path, images)
    assert result["folds"]["0"]["blank"] == {"train": [2], "val": [], "test": [10, 11]}
    assert "no leaks" in line and "3 images of one constant value" in (tmp_path / "audit.html").read_text()


def test_constant_thumbnails_correlate_with_nothing():
    flat = duplicates.standardised(np.full((1, 1024), 7, np.uint8))
    assert not flat.any()


@pytest.mark.parametrize("same", [True, False])
def test_a_dataset_of_one_picture_is_refused_rather_than_filling_the_memory(tmp_path, monkeypatch, same):
    monkeypatch.setattr(duplicates, "MOST_PAIRS", 40)
    face = faces(1)[0]
    images = [face if same else np.clip(face.astype(int) + n, 0, 255).astype(np.uint8) for n in range(12)]
    with pytest.raises(FerError, match="more than 40 pairs of images have .* Lower audit.distance"):
        found(tmp_path, images, distance=64)


# --- other expressions of one face -----------------------------------------------------------------------------------


def drawn(expression, subject, reached):
    """Return a frame (96, 96) of a sequence: pose, light and background are those of its other frames."""
    face = render(expression, subject, 0, size=96, seed=5, intensity=reached)
    return cv2.cvtColor(face.visible, cv2.COLOR_BGR2GRAY)


@pytest.mark.parametrize("expression", ["surprise", "sadness"])
def test_another_expression_of_a_face_is_not_a_duplicate_though_the_pictures_are_alike(expression, tmp_path):
    frames = [drawn(expression, subject, reached) for subject in (1, 6) for reached in (0, 1)]
    proposed = found(tmp_path, frames, likeness=0)
    assert {(0, 1), (2, 3)} <= {pair[:2] for pair in proposed}
    assert found(tmp_path, frames, likeness=params.load_dataset("ckplus").audit.likeness) == []


def test_frames_of_one_moment_and_shifted_copies_are_duplicates(tmp_path):
    """Cropped two pixels elsewhere, a copy correlates below 0.95 in detail until it is registered."""
    images = [drawn("surprise", subject, reached) for subject in (0, 4) for reached in (1, 0.93)]
    images += [cv2.resize(drawn("surprise", subject, 1)[2:, 2:], (96, 96)) for subject in (2, 5)]
    images += [drawn("surprise", subject, 1) for subject in (2, 5)]
    audit = params.load_dataset("ckplus").audit
    assert [pair[:2] for pair in found(tmp_path, images, likeness=audit.likeness)] == [(0, 1), (2, 3), (4, 6), (5, 7)]
    details = [likeness.detail(likeness.picture(image, 0)) for image in (images[4], images[6])]
    assert likeness.correlation(*details) < 0.95


@pytest.mark.parametrize(("reached", "alike"), [(1.0, True), (0.0, False)])
def test_where_one_image_alone_has_landmarks_the_other_is_cut_by_the_same(reached, alike, tmp_path):
    """The crop of the second image, that of its whole frame, would match in neither case."""
    face = render("surprise", 4, 0, size=96, seed=5)
    images = [drawn("surprise", 4, 1), cv2.resize(drawn("surprise", 4, reached), (120, 120))]
    parameters = dataset(likeness=0.97)
    similarity = parameters.alignment.model_copy(update={"crop": "similarity"})
    parameters = parameters.model_copy(update={"alignment": similarity})
    files = write(tmp_path, index_of(2), images)
    table = pd.read_parquet(files[2]).assign(detected=[True, False], height=[96, 120], width=[96, 120])
    table["landmarks"] = [face.landmarks.ravel().tolist(), None]
    table.to_parquet(files[2])
    np.save(files[3], [crops.similarity(images[0], face.landmarks, 48), crops.distributed(images[1], 48)])
    assert len(search(files, parameters)) == alike


def test_pictures_without_detail_are_like_nothing():
    assert likeness.likeness(np.zeros((48, 48), np.float32), np.zeros((48, 48), np.float32), 0.9) == 0


# --- folds -----------------------------------------------------------------------------------------------------------


def test_duplicates_are_counted_for_each_two_parts(tmp_path):
    images = faces()
    images[TEST], images[TEST + 1] = images[0], encode(images[1], ".jpg")
    images[VAL] = images[2]
    images[5] = images[3]
    result, line = audit(tmp_path, images, distance=10)
    fold = result["folds"]["0"]
    assert fold["duplicates"]["train-test"] == {"exact": {"pairs": 1, "samples": 1}, "near": {"pairs": 1, "samples": 1}}
    assert fold["duplicates"]["train-val"]["exact"] == {"pairs": 1, "samples": 1}
    assert (
        fold["duplicates"]["val-test"]["exact"] == fold["duplicates"]["val-test"]["near"] == {"pairs": 0, "samples": 0}
    )
    assert fold["leaked_test"] == {"exact": [TEST], "near": [TEST + 1]}
    assert fold["samples"] == {"train": 6, "val": 3, "test": 3}
    assert "1 exact and 1 near duplicates of train among 3 test" in line
    assert "1 exact duplicate of train among 3 val" in line


def test_a_test_image_with_both_kinds_of_duplicates_counts_once_as_exact():
    pairs = pairs_of((0, 9, True), (1, 9, False), (2, 9, True))
    fold = leakage.audit_split(split_of(PARTS), index_of(12).assign(blank=False), pairs)["folds"]["0"]
    assert fold["leaked_test"] == {"exact": [9], "near": []}
    assert fold["duplicates"]["train-test"] == {"exact": {"pairs": 2, "samples": 1}, "near": {"pairs": 1, "samples": 0}}


def test_the_later_part_may_come_first_in_the_order_of_samples():
    pairs = pairs_of((0, 5, True))
    parts = ["test", "val", "train", "train", "train", "train"]
    fold = leakage.audit_split(split_of(parts), index_of(6).assign(blank=False), pairs)["folds"]["0"]
    assert fold["leaked_test"]["exact"] == [0]


def test_duplicates_whose_labels_disagree_are_counted_within_and_across_parts(tmp_path):
    index = index_of(12, part=PARTS, label=[0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2])
    images = faces()
    images[1] = images[0]  # within train, 0 against 1
    images[9] = images[2]  # train and test, 0 against 1
    images[10] = images[3]  # train and test, agreeing
    images[11] = encode(images[4], ".jpg")  # nearly, train and test, 0 against 2
    result, _ = audit(tmp_path, images, index, distance=10)
    assert result["folds"]["0"]["disagreements"] == {
        "within": {"exact": 1, "near": 0},
        "across": {"exact": 1, "near": 1},
    }
    assert "The same pixels, different labels" in (tmp_path / "audit.html").read_text()


@pytest.mark.parametrize("key", leakage.GROUPS)
def test_subjects_sequences_and_pairs_on_both_sides_are_named(key, tmp_path):
    names = ["a", "b", "c", None, None, "d", "b", None, "e", "a", "e", None]
    result, line = audit(tmp_path, faces(), index_of(12, part=PARTS, **{key: names}))
    groups = result["folds"]["0"]["groups"]
    assert groups[key] == {"train-val": ["b"], "train-test": ["a"], "val-test": ["e"]}
    assert all(not any(groups[other].values()) for other in leakage.GROUPS if other != key)
    assert f"1 {key} in both train and test" in line


def test_a_subject_in_three_parts_is_counted_once(tmp_path):
    names = ["a", "b", "c", "d", "a", "a", "a", "b", None, "a", "c", "e"]
    result, _ = audit(tmp_path, faces(), index_of(12, part=PARTS, subject=names))
    fold = result["folds"]["0"]
    assert fold["shared"]["subject"] == ["a", "b", "c"] and fold["known"]["subject"] == 5
    assert result["totals"]["shared"]["subject"] == 3
    assert "<td>3 of 5</td>" in (tmp_path / "audit.html").read_text()


def test_images_whose_labels_disagree_are_counted_and_listed_each_once(tmp_path):
    index = index_of(12, part=PARTS, label=[0, 1, 2, 0, 0, 0, 0, 1, 2, 0, 1, 2])
    images = faces()
    images[1] = images[2] = images[0]  # three pairs, three images
    images[9], images[11] = images[3], encode(images[4], ".jpg")  # agreeing; nearly, 0 against 2
    result, _ = audit(tmp_path, images, index, distance=10)
    assert result["contradicted"] == {"exact": [0, 1, 2], "near": [4, 11]}
    page = (tmp_path / "audit.html").read_text()
    assert "5 images carry a label that differs from a duplicate's, 3 of them with the same pixels" in page
    assert "#0 <b>angry</b> (happy, sad)" in page and "#11 <b>sad</b> (angry)" in page and "#9 <b>" not in page


def test_a_protocol_that_draws_images_is_not_held_to_subjects(tmp_path):
    images = noise(60, size=48)
    index = index_of(60, subject=["a", "b", "c", "d", "e"] * 12)
    result, line = audit(tmp_path, images, index, "stratified_70_15_15", on_leak="error")
    assert result["folds"]["0"]["groups"]["subject"]["train-test"] and "subjects in both train and test" in line
    assert "the same subjects on both sides are its nature" in (tmp_path / "audit.html").read_text()


def test_a_dataset_is_searched_once_and_every_fold_judged_by_itself(tmp_path, monkeypatch):
    """The duplicates 0 and 13 are of subjects a and c."""
    calls = []
    search = duplicates.close_hashes
    monkeypatch.setattr(duplicates, "close_hashes", lambda *given: calls.append(1) or search(*given))
    images = faces(24)
    images[13] = images[0]
    index = index_of(24, subject=[name for name in "abcd" for _ in range(6)])
    result, _ = audit(tmp_path, images, index, "leave_one_subject_out", subjects=list("abcd"))
    assert {fold: own["leaked_test"]["exact"] for fold, own in result["folds"].items()} == {
        "a": [0], "b": [], "c": [13], "d": [],
    }  # fmt: skip
    assert result["folds"]["b"]["duplicates"]["train-val"]["exact"]["samples"] == 1
    assert result["totals"]["leaked_test"] == {"exact": 2, "near": 0} and result["totals"]["samples"]["test"] == 24
    assert len(calls) == 1


def test_a_pair_is_shown_where_it_is_worst():
    rows = [("x", ["train", "train", "val", "test"]), ("y", ["val", "train", "train", "test"])]
    table = pd.concat([split_of(parts).assign(fold=fold) for fold, parts in rows], ignore_index=True)
    shown = leakage.crossings(
        table[table["sample"] != 3], pairs_of((0, 1, True), (1, 2, True), (0, 2, True), (0, 3, True))
    )
    columns = ["boundary", "fold", "first_part", "second_part"]
    assert shown[columns].to_numpy().tolist() == [
        ["train-val", "y", "val", "train"],
        ["train-val", "x", "train", "val"],
        ["train-val", "x", "train", "val"],
        ["", "", "", ""],
    ]
    everything = leakage.crossings(table, pairs_of((2, 3, True), (1, 3, True)))
    assert everything["boundary"].tolist() == ["train-test", "train-test"]
    assert everything["fold"].tolist() == ["y", "x"]


# --- remedies --------------------------------------------------------------------------------------------------------


def test_reported_leaks_change_nothing(tmp_path):
    images = faces()
    images[9] = images[0]
    audit(tmp_path, images, on_leak="report")
    assert pd.read_parquet(tmp_path / "split.parquet")["part"].tolist() == PARTS


def test_drop_from_train_leaves_no_duplicate_across_the_parts_and_test_as_it_is(tmp_path):
    images = faces()
    images[9], images[10] = images[0], encode(images[6], ".jpg")
    images[7] = images[1]
    result, line = audit(tmp_path, images, on_leak="drop_from_train", distance=10, most_dropped=0.5)
    table = pd.read_parquet(tmp_path / "split.parquet")
    assert table["sample"].tolist() == [2, 3, 4, 5, 7, 8, 9, 10, 11]
    assert result["removed"] == {"0": {"train": [0, 1], "val": [6]}}
    share = "2 of 6 (33.3 %): angry 1 of 2 (50.0 %), happy 1 of 2 (50.0 %)"
    removed = f"2 duplicates removed from train ({share}), 1 from val"
    assert removed in line and removed in leakage.remaining(result)[0]
    assert removed in (tmp_path / "audit.html").read_text()
    assert result["folds"]["0"]["leaked_test"]["exact"] == [9]


def test_a_train_image_that_duplicates_only_a_removed_val_image_stays():
    gone = leakage.removals(split_of(PARTS), index_of(12), pairs_of((0, 6, True), (6, 9, False)))
    assert gone["sample"].tolist() == [6]


def test_duplicates_within_a_part_stay():
    assert leakage.removals(split_of(PARTS), index_of(12), pairs_of((0, 1, True), (9, 10, True))).empty


def test_with_a_removed_image_goes_its_partner_and_nobody_elses():
    index = index_of(12, pair=["p", "p", None, None, *[None] * 8])
    gone = leakage.removals(split_of(PARTS), index, pairs_of((0, 9, True), (2, 10, True)))
    assert gone["sample"].tolist() == [0, 1, 2]


def test_every_fold_is_cleaned_by_itself():
    table = pd.concat(
        [split_of(parts).assign(fold=fold) for fold, parts in (("x", PARTS), ("y", PARTS[::-1]))], ignore_index=True
    )
    gone = leakage.removals(table, index_of(12), pairs_of((0, 9, True)))
    assert gone[["fold", "sample"]].to_numpy().tolist() == [["x", 0], ["y", 9]]


def test_a_part_that_is_nothing_but_duplicates_is_an_error(tmp_path):
    images = faces()
    images[6:9] = images[9:12]
    with pytest.raises(FerError, match="fold 0: without its duplicates val is empty"):
        audit(tmp_path, images, on_leak="drop_from_train")


def test_a_forbidden_leak_is_an_error_with_the_numbers_and_leaves_the_audit_but_no_split(tmp_path):
    images = faces()
    images[9] = images[0]
    with pytest.raises(
        FerError, match=r"'official' of Tiny leaks: 1 exact duplicate of train among 3 test. See .*html"
    ):
        audit(tmp_path, images, on_leak="error")
    target, *audits = outputs(tmp_path)
    assert not target.exists() and all(path.exists() for path in audits)


def test_the_page_of_a_refused_split_lies_where_no_engine_deletes_it_and_the_message_names_it(tmp_path):
    """Engines delete what a rule declares as its outputs."""
    shutil.copytree(params.FOLDER, tmp_path / "params")
    parameters = tmp_path / "params" / "datasets" / "fer2013.yaml"
    changed = yaml.safe_load(parameters.read_text()) | {"allow_empty_classes": True, "audit": {"on_leak": "error"}}
    parameters.write_text(yaml.safe_dump(changed))
    layout, images = Layout(tmp_path), faces()
    images[9] = images[0]
    labels = dict(label=np.arange(12) % 7, part=["train"] * 8 + ["val"] * 1 + ["test"] * 3)
    for made, kept in zip(
        write(tmp_path, index_of(12, **labels), images),
        [make("fer2013") for make in (layout.raw, layout.index, layout.faces, layout.crops)],
        strict=True,
    ):
        kept.parent.mkdir(parents=True, exist_ok=True)
        made.rename(kept)
    command = [sys.executable, "-m", "fer", "split", "fer2013", "official"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    kept = layout.refused_page("fer2013", "official")
    rule = (PROJECT / "workflow" / "rules" / "split.smk").read_text()
    assert result.returncode and str(kept.relative_to(tmp_path)) in result.stderr
    assert "<img" in kept.read_text() and kept.parent == layout.log("split", "x").parent and "refused" not in rule


def test_a_loss_over_a_fifth_of_train_is_refused_unless_allowed(tmp_path):
    images = faces()
    images[9], images[10] = images[0], images[3]
    with pytest.raises(FerError) as refused:
        audit(tmp_path, images, on_leak="drop_from_train", most_dropped=params.Audit().most_dropped)
    target, *audits = outputs(tmp_path)
    assert "fold 0: removing the duplicates would take 2 of 6 (33.3 %): angry 2 of 2 (100.0 %)" in str(refused.value)
    assert "at most 20 %" in str(refused.value) and "audit.most_dropped" in str(refused.value)
    assert not target.exists() and all(path.exists() for path in audits)


@pytest.mark.parametrize(("most", "refused"), [(0.34, True), (0.5, False)])
def test_the_loss_of_a_class_counts_as_that_of_train(most, refused):
    """Of sixty training images ten go, a sixth, and they are half of their class."""
    split = split_of(["train"] * 60 + ["val", "test"])
    gone = split.iloc[:10]
    lost = leakage.dropped(split, gone, pd.Series([0] * 20 + [1] * 40 + [0, 1]), ["sad", "happy"])
    assert lost == {"0": {"sad": (10, 20), "happy": (0, 40)}}
    assert bool(leakage.excessive(lost, split.drop(gone.index), most)) == refused


def test_where_nothing_leaks_the_strictest_setting_makes_the_split(tmp_path):
    assert "no leaks" in audit(tmp_path, faces(), on_leak="error")[1] and outputs(tmp_path)[0].exists()


def test_augmented_copies_whose_source_is_not_in_train_are_strays():
    assert augmented_strays([0, 5, 7], [0, 0, 5]) == []
    assert augmented_strays([0, 5, 7], [11, 0, 6, 6, 99]) == [6, 11, 99]


# --- JSON and page ---------------------------------------------------------------------------------------------------


@pytest.fixture
def page(tmp_path):
    images = faces()
    images[9], images[10] = images[0], encode(images[1], ".jpg")
    audit(tmp_path, images, distance=10)
    return (tmp_path / "audit.html").read_text()


def test_the_page_needs_no_other_file(page):
    assert "<img" in page and set(re.findall(r'(?:src|href)="([^:"]*)', page)) == {"data"}
    assert "http" not in page and "<script" not in page


def test_the_page_shows_pairs_with_sample_part_class_distance_and_correlation(page):
    assert "2 of 3 test images (66.7 %)" in page and "1 with the same pixels, 1 more" in page
    assert "Train and test: the same pixels" in page and "Train and test: nearly the same picture" in page
    assert "Train and validation" not in page
    assert "<b>angry</b><br>train #0" in page and "<b>angry</b><br>test #9" in page
    assert re.search(r"\d bits, correlation 0\.9\d\d", page)


def test_the_page_says_when_faces_are_synthetic(tmp_path):
    files = write(tmp_path, index_of(12, part=PARTS), faces())
    for synthetic in (True, False):
        split(*files, dataset(), "official", 0, *outputs(tmp_path), synthetic=synthetic)
        assert ("SYNTHETIC" in (tmp_path / "audit.html").read_text()) == synthetic


def test_the_page_says_that_nothing_leaks(tmp_path):
    audit(tmp_path, faces())
    page = (tmp_path / "audit.html").read_text()
    assert "No test image has a duplicate in train" in page and "<img" not in page


def test_the_page_bounds_its_pictures_and_says_how_many_there_are(tmp_path, monkeypatch):
    monkeypatch.setattr(reporting, "SHOWN", 2)
    images = faces(24)
    images[12:16] = images[0:4]
    audit(tmp_path, images, index_of(24, part=["train"] * 12 + ["test"] * 6 + ["val"] * 6))
    page = (tmp_path / "audit.html").read_text()
    assert "4 pairs, 2 shown" in page and page.count("<figure>") == 2


def test_the_least_alike_near_duplicates_come_first():
    pairs = pairs_of((0, 9, False), (1, 9, False), (2, 9, False)).assign(correlation=[0.97, 0.95, 0.99])
    pairs = leakage.crossings(split_of(PARTS), pairs).assign(first_class="sad", second_class="sad")
    sections = [section for section in reporting.categories(pairs) if section["count"]]
    assert [pair["first"] for pair in sections[0]["pairs"]] == [1, 0, 2] and len(sections) == 1


def test_pictures_are_small_whatever_the_originals(tmp_path):
    raw, *_ = write(
        tmp_path, index_of(3), [noise(1, size=300)[0], noise(1, size=64)[0][:1], noise(1, size=400)[0][:, :1]]
    )
    for _, image in read_originals(raw, np.arange(3)):
        uri = reporting.data_uri(image)
        assert uri.startswith("data:image/jpeg;base64,") and len(uri) < 20_000


def test_names_are_escaped_on_the_page(tmp_path):
    images = faces()
    images[9] = images[0]
    parameters = dataset().model_copy(update={"title": "A <b>bold</b> set", "classes": ["<i>", "b", "c"]})
    split(*write(tmp_path, index_of(12, part=PARTS), images), parameters, "official", 0, *outputs(tmp_path))
    page = (tmp_path / "audit.html").read_text()
    assert "A &lt;b&gt;bold" in page and "<b>&lt;i&gt;</b>" in page


def test_the_audit_says_by_which_rule_it_judged(tmp_path):
    given = {"distance": 9, "correlation": 0.8, "likeness": 0.96, "on_leak": "report", "most_dropped": 0.3}
    result, _ = audit(tmp_path, faces(), **given)
    assert result["parameters"] == given
    assert (result["protocol"], result["seed"]) == ("official", 0)
