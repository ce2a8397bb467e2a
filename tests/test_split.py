"""split gives every sample its place, and says what it cannot do."""

import numpy as np
import pandas as pd
import pytest

from fer import protocols
from fer.errors import FerError
from fer.stages.split import split

PARTS = ["train"] * 6 + ["val"] * 2 + ["test"] * 3


@pytest.fixture
def files(tmp_path):
    index = pd.DataFrame({"sample": np.arange(11, dtype=np.int32), "label": 0, "part": PARTS, "subject": None})
    index.to_parquet(tmp_path / "index.parquet")
    pd.DataFrame({"used": [True] * 10 + [False]}).to_parquet(tmp_path / "faces.parquet")
    return tmp_path / "index.parquet", tmp_path / "faces.parquet"


def test_the_official_protocol_is_the_owners_parts_without_dropped_samples(files, tmp_path):
    line = split(*files, "official", tmp_path / "split.parquet")
    table = pd.read_parquet(tmp_path / "split.parquet")
    assert table["part"].tolist() == PARTS[:10] and table["sample"].tolist() == list(range(10))
    assert set(table["fold"]) == set(protocols.folds("official")) == {"0"}
    assert "train 6, val 2, test 2" in line and "1 samples without a face left out" in line


def test_splitting_twice_gives_the_same_file_to_the_bit(files, tmp_path):
    for name in "ab":
        split(*files, "official", tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_samples_without_an_official_part_are_in_none(files, tmp_path):
    index = pd.read_parquet(files[0])
    index.loc[0, "part"] = None
    index.to_parquet(files[0])
    split(*files, "official", tmp_path / "split.parquet")
    assert 0 not in set(pd.read_parquet(tmp_path / "split.parquet")["sample"])


def test_an_unknown_protocol_is_named_with_those_there_are():
    with pytest.raises(FerError, match="unknown protocol 'fair'. Known: official"):
        protocols.folds("fair")


@pytest.mark.parametrize("part", protocols.PARTS)
def test_a_part_without_samples_is_named_and_nothing_is_written(files, tmp_path, part):
    index = pd.read_parquet(files[0])
    index[index["part"] != part].reset_index(drop=True).to_parquet(files[0])
    pd.DataFrame({"used": [True] * int((index["part"] != part).sum())}).to_parquet(files[1])
    with pytest.raises(FerError, match=f"'official', fold 0: no samples for {part}. Is the source complete"):
        split(*files, "official", tmp_path / "split.parquet")
    assert not list(tmp_path.glob("*split*"))


def test_a_part_whose_every_sample_was_dropped_is_named(files, tmp_path):
    pd.DataFrame({"used": [True] * 8 + [False] * 3}).to_parquet(files[1])
    with pytest.raises(FerError, match="no samples for test"):
        split(*files, "official", tmp_path / "split.parquet")


@pytest.mark.parametrize("missing", [0, 1])
def test_a_split_before_its_inputs_says_what_is_missing(files, tmp_path, missing):
    files[missing].unlink()
    with pytest.raises(FerError, match=rf"{files[missing].name} does not exist. Run the stage before this one"):
        split(*files, "official", tmp_path / "split.parquet")
