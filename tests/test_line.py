"""Every dataset, from its official layout through split, with the adapters and detectors that real data take."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fer import params, protocols
from fer.datasets import adapter
from fer.layout import Layout
from fer.runs import study_protocols
from fer.stages.acquire import acquire
from fer.stages.align import align
from fer.stages.blocks import blocks
from fer.stages.index import index
from fer.stages.split import split
from fer.storage import read_json

PROTOCOLS = study_protocols(params.load_study(params.STUDY))
SAMPLES = {"jaffe": 213, "ckplus": 150, "ferg": 126, "ferplus": 120, "viri": 80, "nvie": 80}  # the others: 100


@pytest.fixture(scope="module", params=sorted(path.stem for path in Path("params/datasets").glob("*.yaml")))
def line(request, tmp_path_factory):
    """The layout of one dataset taken through every stage up to split, and its parameters."""
    name, layout = request.param, Layout(tmp_path_factory.mktemp("line"))
    dataset = params.load_dataset(name)
    reader = adapter(name, dataset)
    acquire(reader, "synthetic", SAMPLES.get(name, 100), layout.raw(name))
    index(reader, layout.raw(name), layout.index(name), layout.counts(name))
    faces = (layout.faces(name), layout.crops(name), layout.faces_counts(name))
    align(layout.raw(name), layout.index(name), dataset, *faces)
    inputs = (layout.raw(name), layout.faces(name), layout.index(name), layout.crops(name))
    cut = (layout.blocks(name), layout.eyes(name), layout.mouth(name), layout.figure(name, "faces"))
    blocks(*inputs, dataset, *cut)
    for protocol in PROTOCOLS[name]:
        files = [make(name) for make in (layout.raw, layout.index, layout.faces, layout.crops)]
        made = [make(name, protocol) for make in (layout.split, layout.audit, layout.audit_page, layout.refused_page)]
        split(*files, dataset, protocol, 0, *made)
    return name, dataset, layout


def tables(line):
    name, _, layout = line
    return pd.read_parquet(layout.index(name)), pd.read_parquet(layout.faces(name))


def test_every_class_and_every_sample_is_there_and_the_stages_keep_in_step(line):
    name, dataset, layout = line
    table, faces = tables(line)
    count = len(table)
    assert sorted(table["label"].unique()) == list(range(len(dataset.classes)))
    assert faces["sample"].tolist() == table["sample"].tolist() == list(range(count))
    for path in (layout.crops(name), layout.eyes(name), layout.mouth(name)):
        assert len(np.load(path, mmap_mode="r")) == count
    found = read_json(layout.counts(name))
    assert found["synthetic"] and found["official"] == dataset.official_counts
    pairs = table["pair"].nunique()
    assert sum(map(sum, found["found"].values())) == (pairs if pairs else count)


def test_faces_are_found_in_at_least_95_of_100_and_counted_by_class_and_modality(line):
    name, _, layout = line
    table, faces = tables(line)
    assert faces["detected"].mean() >= 0.95
    for modality, counts in read_json(layout.faces_counts(name))["modalities"].items():
        own = table["modality"] == modality
        assert counts["samples"] == np.bincount(table["label"][own], minlength=len(counts["samples"])).tolist()
        assert sum(counts["detected"]) == faces["detected"][own].sum()


def test_pairs_are_complete_in_register_and_whole_in_every_fold(line):
    name, _, layout = line
    table, faces = tables(line)
    if name not in ("viri", "nvie"):
        assert table["pair"].isna().all() and set(table["modality"]) == {"visible"}
        return
    assert set(table.groupby("pair")["modality"].agg(lambda own: "+".join(sorted(own)))) == {"infrared+visible"}
    infrared = faces["landmarks_from"][table["modality"] == "infrared"]
    assert (infrared == "partner").mean() >= 0.95
    for protocol in PROTOCOLS[name]:
        members = pd.read_parquet(layout.split(name, protocol)).merge(table.drop(columns="part"), on="sample")
        assert (members.groupby(["fold", "pair"])["part"].agg(["nunique", "size"]) == (1, 2)).all(axis=None)


def test_the_folds_are_those_of_the_protocol_and_test_every_sample_that_they_should(line):
    name, dataset, layout = line
    table, faces = tables(line)
    used = set(table["sample"][faces["used"]])
    for protocol in PROTOCOLS[name]:
        rows = pd.read_parquet(layout.split(name, protocol))
        assert sorted(rows["fold"].unique()) == sorted(protocols.folds(protocol, dataset))
        assert not rows.duplicated(["sample", "fold"]).any() and set(rows["sample"]) <= used
        if protocol in ("kfold_subject", "leave_one_subject_out", "by_character"):
            assert sorted(rows.loc[rows["part"] == "test", "sample"]) == sorted(used), "each is tested once"


def test_protocols_by_subject_keep_subjects_apart_and_sequences_are_never_torn(line):
    name, _, layout = line
    table, _ = tables(line)
    for protocol in PROTOCOLS[name]:
        rows = pd.read_parquet(layout.split(name, protocol)).merge(table.drop(columns="part"), on="sample")
        units = [] if protocol.startswith("random") else ["sequence"]
        units += [] if protocol.startswith(("random", "stratified", "official")) else ["subject"]
        for unit in units:
            assert (rows.dropna(subset=[unit]).groupby(["fold", unit])["part"].nunique() == 1).all()


def test_the_report_s_words_name_the_subjects_that_a_stratified_split_shares(line):
    name, _, layout = line
    if name != "jaffe":
        return
    protocol = next(protocol for protocol in PROTOCOLS[name] if protocol.startswith("stratified"))
    totals = read_json(layout.audit(name, protocol))["totals"]
    assert totals["groups"]["subject"]["train-test"] > 0
    from fer.leakage import forbidden, leaks

    assert any("subjects in both train and test" in words for words in leaks(totals))
    assert not any("subjects" in words for words in forbidden(totals, protocol))
