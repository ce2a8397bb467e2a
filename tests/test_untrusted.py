"""Whatever a user or an archive brings: it is read, or refused by one clear error. Properties, on generated input."""

import csv
import io
import zipfile
from copy import deepcopy
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fer import params, sources
from fer.datasets import adapter
from fer.errors import FerError
from fer.faces.crops import decode
from fer.params import reading
from fer.stages.acquire import rows

DATASETS = sorted(path.stem for path in Path("params/datasets").glob("*.yaml"))
FEW = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
PNG = cv2.imencode(".png", np.arange(2304, dtype=np.uint8).reshape(48, 48))[1].tobytes()
# Pieces of the names that the datasets' own files have, and of what is hostile in a shell or a path
PIECES = (
    *[
        "S005",
        "001",
        "S005_001_00000011",
        "KA.AN1.39",
        "YM",
        "AN",
        "aia",
        "anger",
        "Angry",
        "test_0001_aligned",
        "train_1",
        "Training",
        "PublicTest_17",
    ],
    *[
        "PrivateTest",
        "happy",
        "Vis",
        "IR",
        "spon",
        "S12",
        "0001",
        "'\"",
        ";rm",
        "$(x)",
        "..",
        ".",
        "é",
        "日本",
        "-",
        "_",
        "(1)",
        "%00",
        "&&",
        "|",
        "~",
        "*",
        "con",
    ],
    *("\n", "\t", "a b", "", "\u202e"),
)
ENDINGS = (".png", ".jpg", ".tiff", ".bmp", ".txt", ".csv", ".zip", "", ".PNG", ".mat")
LABEL_FILES = [
    "fer2013.csv",
    "train.csv",
    "icml_face_data.csv",
    "fer2013new.csv",
    "list_patition_label.txt",
    "labels.csv",
]
name = st.builds(
    lambda folders, stem, ending: "/".join([*folders, stem]) + ending,
    st.lists(st.sampled_from(PIECES) | st.text(max_size=6), max_size=4),
    st.sampled_from(PIECES) | st.text(max_size=8),
    st.sampled_from(ENDINGS),
).filter(lambda path: path.partition("\0")[0]) | st.sampled_from(LABEL_FILES)  # zipfile writes no empty name
content = st.just(PNG) | st.binary(max_size=40) | st.builds(lambda cut: PNG[:cut], st.integers(0, len(PNG)))


def read_all(dataset, source):
    """Read a source as a dataset's; return how many originals it has, None where it is refused."""
    try:
        return len(list(rows(adapter(dataset, params.load_dataset(dataset)), source)))
    except FerError as error:
        assert str(error).strip()
        return None


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("untrusted")


@pytest.mark.parametrize("dataset", DATASETS)
@FEW
@given(files=st.dictionaries(name, content, min_size=1, max_size=6))
def test_any_names_in_an_archive_are_read_or_refused(place, dataset, files):
    source = place / f"{dataset}.zip"
    with zipfile.ZipFile(source, "w") as archive:
        for path, data in files.items():
            archive.writestr(path, data)
    read_all(dataset, source)


cell = st.sampled_from(("0", "6", "10", "-1", "9" * 5000, "Training", "PublicTest", "", "x", '"', "0 1 2"))
emotion = st.tuples(
    cell, st.just(" ".join(["7"] * 2304)) | cell, st.sampled_from(("Training", "PrivateTest", "")) | cell
)
votes = st.tuples(st.just("Training") | cell, st.just("fer0000000.png") | cell, *[st.sampled_from("019") | cell] * 10)
VOTES = [
    "Usage",
    "Image name",
    "neutral",
    "happiness",
    "surprise",
    "sadness",
    "anger",
    "disgust",
    "fear",
    "contempt",
    "unknown",
    "NF",
]


def table(header, values, tail):
    text = io.StringIO()
    csv.writer(text, escapechar="\\").writerows([header, *values])
    return text.getvalue().encode("utf-8", "replace") + tail


@FEW
@given(
    header=st.sampled_from((["emotion", "pixels", "Usage"], ["Usage", "emotion", "pixels"], ["emotion"], [])),
    values=st.lists(emotion | st.lists(cell | st.text(max_size=5), max_size=5), max_size=5),
    tail=st.just(b"") | st.binary(max_size=20),
)
def test_any_table_of_fer2013_is_read_or_refused(place, header, values, tail):
    (place / "fer2013.csv").write_bytes(table(header, values, tail))
    read_all("fer2013", place / "fer2013.csv")


@FEW
@given(
    header=st.just(VOTES) | st.lists(st.sampled_from(VOTES), max_size=12),
    values=st.lists(votes | st.lists(cell, max_size=12), max_size=3),
    tail=st.just(b"") | st.binary(max_size=20),
)
def test_any_table_of_votes_is_read_or_refused(place, header, values, tail):
    folder = place / "ferplus"
    folder.mkdir(exist_ok=True)
    whole = [("0", " ".join(["7"] * 2304), "Training")] * len(values)
    (folder / "fer2013.csv").write_bytes(table(["emotion", "pixels", "Usage"], whole, b""))
    (folder / "fer2013new.csv").write_bytes(table(header, values, tail))
    read_all("ferplus", folder)


LISTED = ("train_00001.jpg 5", "test_0001.jpg 1")


@FEW
@given(
    lines=st.lists(st.sampled_from((*LISTED, "train_00001.jpg 8", "x", "")) | st.text(), max_size=4),
    tail=st.binary(max_size=20),
)
def test_any_list_of_labels_is_read_or_refused(place, lines, tail):
    folder = place / "rafdb"
    folder.mkdir(exist_ok=True)
    for name in ("train_00001_aligned.jpg", "test_0001_aligned.jpg"):
        (folder / name).write_bytes(PNG)
    (folder / "list_patition_label.txt").write_bytes("\n".join(lines).encode("utf-8", "replace") + tail)
    read_all("rafdb", folder)


@pytest.mark.parametrize("ending", [".zip", ".tar", ".tar.gz", ".tgz", ".7z"])
@FEW
@given(
    data=st.binary(max_size=600), start=st.sampled_from((b"PK\x03\x04", b"7z\xbc\xaf\x27\x1c", b"\x1f\x8b\x08", b""))
)
def test_any_bytes_called_an_archive_are_read_or_refused(place, ending, data, start):
    source = place / f"any{ending}"
    source.write_bytes(start + data)
    try:
        for _, handle in sources.files(source):
            handle.read()
    except FerError as error:
        assert str(source) in str(error)


@FEW
@given(
    image=st.sampled_from((".png", ".jpg", ".bmp", ".tiff", ".webp")),
    changes=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=8),
    cut=st.integers(0, 10_000),
    channels=st.sampled_from((1, 3)),
)
def test_any_image_is_decoded_as_promised_or_refused(image, changes, cut, channels):
    data = bytearray(cv2.imencode(image, np.arange(3072, dtype=np.uint8).reshape(32, 32, 3))[1].tobytes())
    for place, value in changes:
        data[place % len(data)] = value
    try:
        pixels = decode(bytes(data[: max(1, cut % (2 * len(data)))]), channels, "an image")
    except FerError as error:
        assert "an image" in str(error)
    else:
        assert pixels.dtype == np.uint8 and pixels.ndim == (2 if channels == 1 else 3)


value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def places_of(values, path=()):
    """Yield the path of every value in a nested mapping."""
    for key, inner in values.items():
        yield (*path, key)
        if isinstance(inner, dict):
            yield from places_of(inner, (*path, key))


def loaded(path):
    """Load a parameter file as what its folder says it is."""
    kind = path.parent.name
    if kind == "datasets":
        return reading.load(params.Dataset, path)
    if kind == "systems":
        return reading.load(params.System, path)
    if kind == "experiments":
        return reading.load(params.Experiment, path)
    return params.load_study(path)


@pytest.mark.parametrize("folder", ["datasets", "systems", "experiments", "studies"])
@FEW
@given(data=st.data(), new=value)
def test_any_value_in_a_parameter_file_is_taken_or_refused(place, folder, data, new):
    files = sorted(Path("params", folder).glob("*.yaml")) or [Path("params/study.yaml")]
    values = yaml.safe_load(data.draw(st.sampled_from(files)).read_text())
    *above, last = data.draw(st.sampled_from(list(places_of(values))))
    changed = inner = deepcopy(values)
    for key in above:
        inner = inner[key]
    inner[last] = new
    path = place / folder / "any.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(changed, allow_unicode=True))
    try:
        loaded(path)
    except FerError as error:
        assert str(error).strip()


@FEW
@given(text=st.text(max_size=60) | st.binary(max_size=60))
def test_any_text_as_a_study_is_refused(place, text):
    path = place / "study.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "replace"))
    with pytest.raises(FerError):
        params.load_study(path)
