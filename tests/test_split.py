"""split gives every sample its place, keeps together what belongs together, and says what it cannot do."""

import numpy as np
import pandas as pd
import pytest
from split_files import dataset, index_of, noise, outputs, write

from fer import protocols
from fer.errors import FerError
from fer.folds import folds
from fer.stages.split import split

PARTS = ["train"] * 6 + ["val"] * 2 + ["test"] * 3
SUBJECTS = [f"S{number:02}" for number in range(12)]
DRAWN = ["stratified_70_15_15", "stratified_80_10_10", "kfold_subject"]
SHARES = {"stratified_70_15_15": 0.15, "stratified_80_10_10": 0.1}


@pytest.fixture
def of_subjects():
    """Twelve subjects with two sequences of three frames in each class."""
    rows = [
        (subject, label, f"{subject}/{label}/{take}")
        for subject in SUBJECTS
        for label in range(3)
        for take in range(2)
        for _ in range(3)
    ]
    subject, label, sequence = zip(*rows, strict=True)
    return index_of(len(rows), subject=subject, label=label, sequence=sequence)


def parts_by(table, index, key):
    """Return {fold: {group: parts in which it is}}."""
    rows = table.merge(index[["sample", key]], on="sample").dropna(subset=key)
    return {fold: sets(own, key, "part") for fold, own in rows.groupby("fold")}


def sets(table, key, column):
    return {name: set(own) for name, own in table.groupby(key)[column]}


def subjects_of(table, index):
    """Return {(fold, part): subjects}."""
    return sets(table.merge(index[["sample", "subject"]], on="sample"), ["fold", "part"], "subject")


# --- folds -----------------------------------------------------------------------------------------------------------


def test_folds_are_known_before_any_data():
    parameters = dataset(SUBJECTS)
    assert [folds(name, parameters) for name in ("official", *SHARES)] == [["0"]] * 3
    assert folds("kfold_subject", parameters) == list("0123456789")
    assert folds("leave_one_subject_out", parameters) == SUBJECTS
    assert folds("by_character", dataset(["aia", "bonnie", "mery"])) == ["aia", "bonnie", "mery"]


def test_an_unknown_protocol_is_named_with_those_there_are():
    with pytest.raises(FerError, match="unknown protocol 'fair'. Known: official, stratified"):
        folds("fair", dataset())


@pytest.mark.parametrize("subjects", [None, ["a", "b"], ["a", "b", "a"]])
@pytest.mark.parametrize("protocol", ["leave_one_subject_out", "by_character"])
def test_folds_of_subjects_need_a_list_of_them(protocol, subjects):
    with pytest.raises(FerError, match="Add `subjects:` to its parameter file, at least three different names"):
        folds(protocol, dataset(subjects))


# --- official --------------------------------------------------------------------------------------------------------


def test_the_official_protocol_is_the_owners_parts():
    table = protocols.assign("official", index_of(11, part=PARTS), dataset(), 0)
    assert table["part"].tolist() == PARTS and table["sample"].tolist() == list(range(11))
    assert set(table["fold"]) == {"0"} and table["sample"].dtype == "int32"


def test_samples_without_an_official_part_are_in_none():
    table = protocols.assign("official", index_of(12, part=[*PARTS, None]), dataset(), 0)
    assert table["sample"].tolist() == list(range(11))


def test_without_official_parts_the_other_protocols_are_named():
    with pytest.raises(FerError, match="owners of Tiny defined no parts. Use another protocol: stratified_"):
        protocols.assign("official", index_of(9), dataset(), 0)


def test_where_the_owners_made_no_val_a_tenth_of_each_class_of_train_becomes_it():
    labels = [0] * 100 + [1] * 40 + [2] * 20
    index = index_of(220, label=labels + [0, 1, 2] * 20, part=["train"] * 160 + ["test"] * 60)
    index["pair"] = (index["sample"] // 2).astype("string")
    table = protocols.assign("official", index, dataset(parts=("train", "test")), 3)
    val = table.loc[table["part"] == "val", "sample"]
    assert index["label"][val].value_counts().to_dict() == {0: 10, 1: 4, 2: 2} and val.max() < 160
    assert table.loc[table["part"] == "test", "sample"].tolist() == list(range(160, 220))
    assert all(len(parts) == 1 for parts in parts_by(table, index, "pair")["0"].values())
    assert not table.equals(protocols.assign("official", index, dataset(parts=("train", "test")), 4))


@pytest.mark.parametrize("part", protocols.PARTS)
def test_a_part_that_the_owners_made_and_the_source_lacks_is_named(part):
    index = index_of(11, part=PARTS)
    with pytest.raises(FerError, match=f"'official', fold 0: no samples for {part}. Is the source complete"):
        protocols.assign("official", index[index["part"] != part], dataset(), 0)


# --- stratified ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", SHARES)
def test_a_stratified_protocol_gives_every_part_its_share_of_every_class(protocol):
    labels = [0] * 200 + [1] * 100 + [2] * 40
    index = index_of(340, label=labels)
    table = protocols.assign(protocol, index, dataset(), 0)
    assert table["sample"].tolist() == list(range(340))
    counts = table.merge(index, on="sample").groupby(["part_x", "label"]).size()
    for label, total in enumerate((200, 100, 40)):
        assert counts["val", label] == counts["test", label] == round(SHARES[protocol] * total)


def test_the_smallest_class_is_in_every_part():
    index = index_of(63, label=[0] * 60 + [1] * 3)
    table = protocols.assign("stratified_80_10_10", index, dataset(), 0)
    assert sorted(table["part"][60:]) == ["test", "train", "val"]


def test_a_class_with_fewer_groups_than_parts_is_named():
    index = index_of(66, label=[0] * 60 + [1] * 6, sequence=[None] * 60 + list("aaabbb"))
    with pytest.raises(FerError, match="class 1 has 2 independent samples .* at least 3 of each class"):
        protocols.assign("stratified_70_15_15", index, dataset(), 0)


def test_a_sequence_counts_as_its_expression_not_as_the_neutral_frame_it_starts_from():
    """Classes: 0 neutral in every sequence of two, 1 or 2 the expression."""
    rows = [(f"{take}", label) for take in range(40) for label in (0, 1 + (take >= 30))]
    sequence, labels = zip(*rows, strict=True)
    index = index_of(80, sequence=sequence, label=labels)
    table = protocols.assign("stratified_80_10_10", index, dataset(), 0).merge(index, on="sample")
    counts = table.groupby(["part_x", "label"]).size()
    assert [counts["test", label] for label in range(3)] == [4, 3, 1]


# --- what belongs together -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [*DRAWN, "leave_one_subject_out"])
def test_pairs_and_sequences_never_straddle_a_fold(protocol, of_subjects):
    index = of_subjects.assign(pair=(of_subjects["sample"] // 2).astype("string"))
    table = protocols.assign(protocol, index, dataset(SUBJECTS), 1)
    for key in ("pair", "sequence"):
        for fold, parts in parts_by(table, index, key).items():
            assert all(len(own) == 1 for own in parts.values()), (fold, key)


def test_rows_joined_over_several_pairs_and_sequences_are_one_group():
    index = index_of(8, pair=["a", "a", "b", "b", None, None, None, "c"])
    index["sequence"] = pd.array([None, "x", "x", None, "y", "y", None, None], "string")
    assert protocols.groups(index).tolist() == [0, 0, 0, 0, 1, 1, 2, 3]


# --- by subject ------------------------------------------------------------------------------------------------------


def test_ten_folds_test_every_subject_once_and_validate_on_those_of_the_next_fold(of_subjects):
    table = protocols.assign("kfold_subject", of_subjects, dataset(), 0)
    subjects = subjects_of(table, of_subjects)
    assert sorted(subject for fold in range(10) for subject in subjects[str(fold), "test"]) == SUBJECTS
    for fold in range(10):
        test, val, train = (subjects[str(fold), part] for part in ("test", "val", "train"))
        assert val == subjects[str((fold + 1) % 10), "test"]
        assert not test & val and train == set(SUBJECTS) - test - val
    assert table.groupby("fold")["sample"].nunique().eq(len(of_subjects)).all()


def test_ten_folds_are_as_even_in_classes_as_their_subjects_allow():
    """Twenty subjects, each with one class alone: no fold may test one class only."""
    index = index_of(200, subject=[f"S{n // 10:02}" for n in range(200)], label=[n // 10 % 2 for n in range(200)])
    table = protocols.assign("kfold_subject", index, dataset(), 5).merge(index, on="sample")
    assert table[table["part_x"] == "test"].groupby("fold")["label"].nunique().eq(2).all()


def test_fewer_than_ten_subjects_do_not_make_ten_folds(of_subjects):
    with pytest.raises(FerError, match="at least 10 subjects, the samples show 9. Use leave_one_subject_out"):
        protocols.assign("kfold_subject", of_subjects[of_subjects["subject"] < "S09"], dataset(), 0)


def test_a_class_rarer_than_the_folds_is_no_obstacle(of_subjects, recwarn):
    index = of_subjects.assign(label=[2, *[0, 1] * 107, 0])
    table = protocols.assign("kfold_subject", index, dataset(), 0)
    assert table["fold"].nunique() == 10 and not recwarn.list


def test_too_few_samples_for_ten_folds_are_named():
    index = index_of(12, subject=SUBJECTS)
    with pytest.raises(FerError, match="at least one class with 10 samples"):
        protocols.assign("kfold_subject", index, dataset(), 0)


@pytest.mark.parametrize("protocol", ["kfold_subject", "leave_one_subject_out"])
def test_a_sample_without_a_subject_is_named(protocol, of_subjects):
    of_subjects.loc[7, "subject"] = None
    with pytest.raises(FerError, match="1 of 216 samples have none, such as sample 7. Use a stratified protocol"):
        protocols.assign(protocol, of_subjects, dataset(SUBJECTS), 0)


@pytest.mark.parametrize("protocol", ["kfold_subject", "leave_one_subject_out"])
def test_a_group_of_several_subjects_is_named(protocol, of_subjects):
    of_subjects.loc[0, "subject"] = "S05"
    with pytest.raises(FerError, match="samples 0, 1, 2 belong together .* but show the subjects S05, S00"):
        protocols.assign(protocol, of_subjects, dataset(SUBJECTS), 0)


@pytest.mark.parametrize("protocol", ["leave_one_subject_out", "by_character"])
def test_a_fold_tests_the_subject_of_its_name_and_validates_on_the_next(protocol, of_subjects):
    table = protocols.assign(protocol, of_subjects, dataset(SUBJECTS), 0)
    assert list(dict.fromkeys(table["fold"])) == SUBJECTS
    subjects = subjects_of(table, of_subjects)
    for name, following in zip(SUBJECTS, [*SUBJECTS[1:], SUBJECTS[0]], strict=True):
        assert subjects[name, "test"] == {name} and subjects[name, "val"] == {following}
        assert subjects[name, "train"] == set(SUBJECTS) - {name, following}


def test_subjects_that_the_list_or_the_data_lack_are_named(of_subjects):
    with pytest.raises(FerError, match=r"In the data alone: S10, S11. Without a sample .*: S97, S98"):
        protocols.assign("leave_one_subject_out", of_subjects, dataset([*SUBJECTS[:10], "S97", "S98"]), 0)


# --- repeatable ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", DRAWN)
def test_another_seed_draws_another_split(protocol, of_subjects):
    first, second = (protocols.assign(protocol, of_subjects, dataset(), seed) for seed in (0, 1))
    assert not first.equals(second)


@pytest.mark.parametrize("protocol", ["official", *DRAWN, "leave_one_subject_out"])
def test_the_order_of_the_rows_does_not_matter(protocol, of_subjects):
    index = of_subjects.assign(part=["train", "val", "test"] * 72)
    shuffled = index.sample(frac=1, random_state=0)
    tables = [protocols.assign(protocol, own, dataset(SUBJECTS), 0) for own in (index, shuffled)]
    assert tables[0].equals(tables[1])


@pytest.mark.parametrize("protocol", ["official", "stratified_70_15_15"])
def test_the_same_seed_gives_the_same_files_byte_for_byte(protocol, tmp_path):
    files = write(tmp_path, index_of(33, part=PARTS * 3), noise(33))
    made = []
    for name in "ab":
        (tmp_path / name).mkdir()
        split(*files, dataset(), protocol, 0, *outputs(tmp_path / name))
        made.append([path.read_bytes() for path in outputs(tmp_path / name)[:3]])
    assert made[0] == made[1]


# --- the stage -------------------------------------------------------------------------------------------------------


def test_dropped_samples_are_in_no_part_and_are_counted(tmp_path):
    files = write(tmp_path, index_of(11, part=PARTS), noise(11), used=[True] * 10 + [False])
    line = split(*files, dataset(), "official", 0, *outputs(tmp_path))
    table = pd.read_parquet(tmp_path / "split.parquet")
    assert table["part"].tolist() == PARTS[:10] and table["sample"].tolist() == list(range(10))
    assert "train 6, val 2, test 2; 1 sample without a face left out; no leaks" in line


def test_a_pair_of_which_one_image_was_dropped_is_dropped_whole(tmp_path):
    pairs = [str(number // 2) for number in range(60)]
    used = np.arange(60) != 7
    files = write(tmp_path, index_of(60, pair=pairs, label=[n // 2 % 3 for n in range(60)]), noise(60), used)
    assert "2 samples" in split(*files, dataset(), "stratified_70_15_15", 0, *outputs(tmp_path))
    assert not {6, 7} & set(pd.read_parquet(tmp_path / "split.parquet")["sample"])


def test_a_part_whose_every_sample_was_dropped_is_named_and_nothing_is_written(tmp_path):
    files = write(tmp_path, index_of(11, part=PARTS), noise(11), used=[True] * 8 + [False] * 3)
    with pytest.raises(FerError, match="no samples for test"):
        split(*files, dataset(), "official", 0, *outputs(tmp_path))
    assert not any(path.exists() for path in outputs(tmp_path))


@pytest.mark.parametrize("missing", [1, 2])
def test_a_split_before_its_inputs_says_what_is_missing(tmp_path, missing):
    files = write(tmp_path, index_of(11, part=PARTS), noise(11))
    files[missing].unlink()
    with pytest.raises(FerError, match=rf"{files[missing].name} does not exist. Run the stage that makes it"):
        split(*files, dataset(), "official", 0, *outputs(tmp_path))


# --- classes without images ------------------------------------------------------------------------------------------


def strict():
    return dataset().model_copy(update={"allow_empty_classes": False})


def test_a_class_that_lost_all_its_faces_is_refused_by_name_with_counts_and_the_key_that_goes_on(tmp_path):
    index = index_of(12, part=["train"] * 6 + ["val"] * 3 + ["test"] * 3)
    files = write(tmp_path, index, noise(12), used=index["label"] != 1)
    with pytest.raises(FerError, match=r"faces\.parquet: all images of happy .* happy 0 of 4.*\n.*allow_empty_classes"):
        split(*files, strict(), "official", 0, *outputs(tmp_path))
    assert not outputs(tmp_path)[0].exists()
    line = split(*files, dataset(), "official", 0, *outputs(tmp_path))
    assert "no image of happy in train of every fold; happy in test of every fold" in line


@pytest.mark.parametrize(
    ("moved", "message"), [("train", "sad in train of every fold"), ("test", "sad in test of every fold")]
)
def test_a_class_that_is_not_in_train_or_not_in_test_is_refused(moved, message, tmp_path):
    index = index_of(18, part=["train"] * 9 + ["val"] * 3 + ["test"] * 6)
    index.loc[(index["label"] == 2) & (index["part"] == moved), "part"] = "val"
    files = write(tmp_path, index, noise(18))
    with pytest.raises(FerError, match=f"parts without images of a class: {message}\\."):
        split(*files, strict(), "official", 0, *outputs(tmp_path))
    assert message in split(*files, dataset(), "official", 0, *outputs(tmp_path))


def test_a_fold_that_does_not_train_on_a_class_is_named_and_one_that_does_not_test_it_is_right(of_subjects):
    classes = dataset().classes
    rare = of_subjects[(of_subjects["label"] != 2) | of_subjects["subject"].isin(SUBJECTS[:2])].reset_index(drop=True)
    rare["sample"] = np.arange(len(rare), dtype=np.int32)
    table = protocols.assign("leave_one_subject_out", rare, dataset(SUBJECTS), 0)
    assert protocols.classes_missing(table, rare, classes) == ["sad in train of fold S00"], "its others validate"
    everywhere = protocols.assign("leave_one_subject_out", of_subjects, dataset(SUBJECTS), 0)
    assert protocols.classes_missing(everywhere, of_subjects, classes) == []


def test_a_class_that_one_modality_does_not_train_on_is_named_with_it():
    index = index_of(24, part=(["train"] * 6 + ["val"] * 3 + ["test"] * 3) * 2)
    index["modality"] = ["visible"] * 12 + ["infrared"] * 12
    index = index.drop(index.index[(index["modality"] == "infrared") & (index["label"] == 0)])
    table = protocols.assign("official", index, dataset(), 0)
    assert protocols.classes_missing(table, index, dataset().classes) == ["angry in train of fold 0 (infrared)"]
