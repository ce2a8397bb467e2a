"""Parameter files: typed once, and every mistake named with file, key, what was given and what is allowed."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from fer import params
from fer.errors import FerError
from fer.params import loading
from fer.params.reading import options_in

STUDY = Path("params/study.yaml")


@pytest.fixture
def edit(tmp_path, monkeypatch):
    """A copy of params/ in a folder of its own, and a function that replaces text in one of its files."""
    shutil.copytree("params", tmp_path / "params")
    monkeypatch.chdir(tmp_path)

    def replace(path, old, new):
        text = Path(path).read_text()
        assert old in text
        Path(path).write_text(text.replace(old, new))

    return replace


@pytest.mark.parametrize("path", sorted(Path("params").glob("stud*/*.yaml")) + [STUDY], ids=str)
def test_every_study_we_ship_loads(path):
    assert params.load_study(path).experiments


@pytest.mark.parametrize("kind", ["dataset", "system", "experiment"])
def test_every_parameter_file_we_ship_loads(kind):
    names = [path.stem for path in Path(f"params/{kind}s").glob("*.yaml")]
    assert names and all(getattr(params, f"load_{kind}")(name) for name in names)


@pytest.mark.parametrize(
    ("path", "old", "new", "message"),
    [
        ("systems/dnn.yaml", "batch_size", "batchsize", "unknown key 'recipe.batchsize' (did you mean 'batch_size'?)"),
        (
            "systems/dnn.yaml",
            "batch_size: 25",
            "batch_size: lots",
            "recipe.batch_size: given 'lots'; input should be a",
        ),
        ("systems/dnn.yaml", "batch_size: 25", "batch_size: 0", "recipe.batch_size: given 0; input should be greater"),
        ("systems/dnn.yaml", "  batch_size: 25\n", "", "the key 'recipe.batch_size' is missing"),
        (
            "systems/dnn.yaml",
            "adam",
            "adams",
            "recipe.optimizer: given 'adams'; input should be 'adam', 'adamw' or 'sgd'",
        ),
        ("systems/dnn.yaml", "steps: 30001", "steps: 3\n  epochs: 1", "give either epochs or steps"),
        ("systems/dnn.yaml", "title:", "architecture: {depth: 3}\ntitle:", "unknown key 'architecture.depth'"),
        ("systems/attentional_cnn.yaml", "dropout: 0.5", "dropout: 2", "architecture.dropout: given 2"),
        (
            "systems/attentional_cnn.yaml",
            "rotation",
            "rotate",
            "unknown key 'recipe.augmentation.rotate' (did you mean",
        ),
        ("experiments/fer2013-dnn.yaml", "system: dnn", "system: dn", "unknown system 'dn' (did you mean 'dnn'?)"),
        ("experiments/fer2013-dnn.yaml", "dataset: fer2013", "dataset: fer", "unknown dataset 'fer'"),
        ("experiments/fer2013-dnn.yaml", "protocol: official", "protocol: fair", "protocol: given 'fair'"),
        ("experiments/fer2013-dnn.yaml", "accuracy: null", "accuracy: 70", "published.accuracy: given 70"),
        ("datasets/fer2013.yaml", "436, ", "", "official_counts.train has 6 numbers for 7 classes"),
        (
            "study.yaml",
            "fer2013-dnn",
            "fer2013-dnnn",
            "unknown experiment 'fer2013-dnnn' (did you mean 'fer2013-dnn'?)",
        ),
        ("study.yaml", "[0]", "[0, 1, 1]", "repeat"),
        (
            "study.yaml",
            "epochs",
            "epoch",
            "(did you mean 'epochs'?). Allowed: batch_size, draws, epochs, folds, learning_rate",
        ),
        (
            "study.yaml",
            "  rafdb-local_global_resnet50: {epochs: 4, size: 32, batch_size: 16, learning_rate: 0.05}\n",
            "",
            "no experiment of this study uses 'rafdb'. Add one, give the dataset `protocols` ",
        ),
        (
            "study.yaml",
            "ferplus: {source: synthetic",
            "ferplus: {protocols: [oficial], source: synthetic",
            "datasets.ferplus.protocols.0: given 'oficial'",
        ),
        ("study.yaml", "rafdb:", "rafbd:", "unknown dataset 'rafbd' (did you mean 'rafdb'?)"),
        ("datasets/ckplus.yaml", "frames: 3", "frame: 3", "unknown key 'options.frame' (did you mean 'frames'?)"),
        ("datasets/ckplus.yaml", "title: CK+", "title: CK+\nadapter: ck", "has no module"),
        ("study.yaml", "name: default", "name: [", "is not valid YAML"),
    ],
)
def test_a_mistake_is_named_with_its_file_its_key_and_what_is_allowed(edit, path, old, new, message):
    edit(f"params/{path}", old, new)
    with pytest.raises(FerError) as error:
        params.load_study(STUDY)
    assert f"params/{path}" in str(error.value) and message in str(error.value)


def test_every_mistake_of_a_file_is_told_at_once(edit):
    edit("params/systems/dnn.yaml", "batch_size", "batchsize")
    edit("params/systems/dnn.yaml", "adam", "adams")
    with pytest.raises(FerError) as error:
        params.load_system("dnn")
    assert {"batchsize", "adams", "missing"} <= set(str(error.value).replace("'", " ").replace(".", " ").split())


@pytest.mark.parametrize("text", ["- a\n- list", "", "\x00"])
def test_a_file_that_is_no_mapping_is_refused(edit, text):
    STUDY.write_text(text)
    with pytest.raises(FerError, match=r"params/study\.yaml"):
        params.load_study(STUDY)


def test_overriding_epochs_drops_steps_and_the_other_way_round():
    recipe = params.load_system("dnn").recipe
    assert (recipe.override({"epochs": 2}).epochs, recipe.override({"epochs": 2}).steps) == (2, None)
    assert recipe.override({"epochs": 2}).override({"steps": 9}).epochs is None
    assert recipe.override({}) == recipe


def test_numbers_such_as_1e_4_are_numbers(edit):
    edit("params/systems/dnn.yaml", "learning_rate: 0.0001", "learning_rate: 1e-4")
    assert params.load_system("dnn").recipe.learning_rate == 1e-4


def test_loading_a_study_imports_neither_torch_nor_the_engines():
    code = (
        "import sys; from pathlib import Path; from fer import params; params.load_study(Path('params/study.yaml'));"
        "print({'torch', 'snakemake', 'dvc', 'mlflow', 'cv2'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


def test_values_do_not_change_after_loading():
    with pytest.raises(ValueError, match="frozen"):
        params.load_system("dnn").recipe.batch_size = 3


def test_a_study_s_overrides_reach_its_runs_alone():
    study = params.Study(**yaml.safe_load(STUDY.read_text()) | {"experiments": {"fer2013-dnn": {"steps": 5}}})
    assert study.overrides("fer2013-dnn") == {"steps": 5}


@pytest.mark.parametrize(
    ("path", "old", "new", "message"),
    [
        ("systems/attentional_cnn.yaml", "dropout: ", "dropuot: ", "'architecture.dropuot' (did you mean 'dropout'?)"),
        ("systems/dnn.yaml", "batch_size: 25", "batch_size: true", "recipe.batch_size: given True"),
        ("systems/dnn.yaml", "mean: 0.0", "mean: false", "input.mean: given False"),
        ("systems/dnn.yaml", "mean: 0.0", "mean: .nan", "input.mean: given nan; input should be a finite number"),
        ("systems/dnn.yaml", "learning_rate: 0.0001", "learning_rate: .inf", "recipe.learning_rate: given inf"),
        (
            "datasets/fer2013.yaml",
            "  val:",
            "  valid:",
            "official_counts.valid is not a part; expected train, val, test",
        ),
        ("datasets/fer2013.yaml", "436", "-436", "official_counts.train has a negative number"),
        ("datasets/fer2013.yaml", "angry, disgust", "angry, angry", "repeat"),
        ("study.yaml", "[0]", "[0, true]", "seeds: given [0, True]"),
        ("study.yaml", "[0]", "[-1]", "seeds.0: given -1; input should be greater than or equal to 0"),
        ("study.yaml", "[0]", "[]", "seeds: given []; list should have at least 1 item"),
        ("study.yaml", "{epochs: 25}", "{epochs: 25, steps: 3}", "give either epochs or steps"),
        ("study.yaml", "name: default", "name: default\nroot: ../elsewhere", "root: given '../elsewhere'"),
        ("study.yaml", "name: default", "name: default\n1: 2", "1: given 1; keys should be strings"),
    ],
)
def test_a_value_that_python_could_take_for_another_is_named_too(edit, path, old, new, message):
    edit(f"params/{path}", old, new)
    with pytest.raises(FerError) as error:
        params.load_study(STUDY)
    assert f"params/{path}" in str(error.value) and message in str(error.value)


def test_a_change_inside_a_mapping_keeps_what_stands_beside_it():
    recipe = params.load_system("attentional_cnn").recipe
    changed = recipe.override({"augmentation": {"rotation": 10}}).augmentation
    assert changed == recipe.augmentation.model_copy(update={"rotation": 10}) and changed.horizontal_flip == 0.5


def test_two_studies_never_share_a_folder(edit):
    Path("params/studies/mine.yaml").write_text(STUDY.read_text().replace("name: default", "name: mine"))
    with pytest.raises(FerError, match=r"params/studies/mine\.yaml: root: is missing.*such as studies/mine"):
        params.load_study(Path("params/studies/mine.yaml"))


def test_an_unknown_name_comes_with_the_names_there_are(edit):
    edit("params/study.yaml", "fer2013-dnn", "fer2013-cnn")
    with pytest.raises(FerError, match="Known: ckplus-acnn_alstm, .*fer2013-dnn.*params/experiments/"):
        params.load_study(STUDY)


def test_a_system_without_a_module_is_told_where_it_should_be(edit):
    shutil.copy("params/systems/dnn.yaml", "params/systems/resnet.yaml")
    with pytest.raises(FerError, match=r"params/systems/resnet\.yaml has no module: .*fer/systems/resnet\.py"):
        params.load_system("resnet")


LIKE = {
    "name": "like",
    "datasets": {},
    "experiments": {
        "jaffe-attentional_cnn": {"epochs": 9, "folds": 2},
        "jaffe-attentional_cnn-as_published": {"epochs": 9},
        "jaffe-attentional_cnn-augmented_before_split": {"epochs": 9},
        "fer2013-deepfer": {"size": 64},
        "fer2013-deepfer-transformer_on_input": {"size": 64},
        "ferg-prior_attention": {"folds": 1},
        "ferg-prior_attention-eyes": {"folds": 1},
    },
    "seeds": [0],
}


@pytest.mark.parametrize("variant", [path.stem for path in Path("params/experiments").glob("*.yaml")])
def test_every_variant_we_ship_is_compared_with_its_like_or_says_why_not(variant):
    experiment = params.load_experiment(variant)
    assert (experiment.kind == "sound") == (experiment.against is None and not experiment.not_compared)
    if experiment.against:
        loading.require_likeness(variant)


def test_augmenting_before_the_split_is_compared_with_the_same_random_split():
    experiment = params.load_experiment("jaffe-attentional_cnn-augmented_before_split")
    other = params.load_experiment(experiment.against)
    assert other.protocol == experiment.protocol != params.load_experiment(experiment.variant_of).protocol


@pytest.mark.parametrize(
    ("experiment", "overrides", "message"),
    [
        (
            "jaffe-attentional_cnn-augmented_before_split",
            {"epochs": 30},
            "epochs: given 30, but jaffe-attentional_cnn-as_published, which it is compared with, has 9",
        ),
        ("jaffe-attentional_cnn-as_published", {"steps": 9}, "epochs: given no value, but jaffe-attentional_cnn, .* 9"),
        ("fer2013-deepfer-transformer_on_input", {"size": 96}, "size: given 96, but fer2013-deepfer, .* has 64"),
        (
            "fer2013-deepfer",
            {"size": 64, "learning_rate": 0.1},
            "transformer_on_input.learning_rate: given no value, .* has 0.1",
        ),
        ("ferg-prior_attention-eyes", None, "folds: given no value, but ferg-prior_attention, .* has 1"),
        ("ferg-prior_attention", {"folds": 2}, "ferg-prior_attention-eyes.folds: given 1, .* has 2"),
    ],
)
def test_a_study_that_trains_a_variant_unlike_what_it_is_compared_with_is_refused(
    tmp_path, experiment, overrides, message
):
    path = tmp_path / "study.yaml"
    study = LIKE | {"root": "x"}
    path.write_text(yaml.safe_dump(study))
    params.load_study(path)
    path.write_text(yaml.safe_dump(study | {"experiments": LIKE["experiments"] | {experiment: overrides}}))
    with pytest.raises(FerError, match=message):
        params.load_study(path)


@pytest.mark.parametrize(
    ("path", "old", "new", "message"),
    [
        (
            "experiments/jaffe-attentional_cnn-augmented_before_split.yaml",
            "compared_with: jaffe-attentional_cnn-as_published\n",
            "",
            "variant_of: protocol is 'leave_one_subject_out' in jaffe-attentional_cnn and 'stratified_56_11_33' here, "
            "where augment_before_split, recipe.offline differ too",
        ),
        (
            "experiments/fer2013-attentional_cnn-epoch_chosen_on_test.yaml",
            "recipe: {",
            "recipe: {epochs: 9, ",
            "variant_of: recipe.epochs is 500 in fer2013-attentional_cnn and 9 here, where recipe.choose_epoch_on",
        ),
        (
            "experiments/ferg-prior_attention-small.yaml",
            "small: true}",
            "small: true}\ninput: {size: 48}",
            "variant_of: input.size is 32 in ferg-prior_attention and 48 here, where architecture.small differ",
        ),
        (
            "experiments/ferg-prior_attention-small.yaml",
            "kind: ablation",
            "kind: ablation\ncompared_with: jaffe-attentional_cnn",
            "compared_with: dataset is 'jaffe' in jaffe-attentional_cnn and 'ferg' here",
        ),
        (
            "experiments/ferg-prior_attention-small.yaml",
            "kind: ablation",
            "kind: ablation\ncompared_with: ferg-prior",
            "compared_with: unknown experiment 'ferg-prior'",
        ),
        (
            "experiments/ferg-prior_attention-small.yaml",
            "kind: ablation",
            "kind: ablation\ncompared_with: ferg-prior_attention\nnot_compared: so",
            "give either compared_with or not_compared",
        ),
        (
            "experiments/fer2013-dnn.yaml",
            "system: dnn",
            "system: dnn\nnot_compared: so",
            "are keys of a variant; this experiment has no variant_of",
        ),
    ],
)
def test_a_comparison_of_unlike_experiments_is_refused(edit, path, old, new, message):
    edit(f"params/{path}", old, new)
    with pytest.raises(FerError) as error:
        params.load_study(Path("params/studies/paper.yaml"))
    assert f"params/{path}" in str(error.value) and message in str(error.value)


def test_an_option_s_annotation_of_another_type_is_named():
    source = "@register\nclass Mine:\n    def __init__(self, *, width: {} = None): ...\n"
    assert options_in(source.format("int | None")).model_validate({"width": 3}).width == 3
    with pytest.raises(FerError, match="Mine: in the annotation of an option, name 'Optional' is not defined"):
        options_in(source.format("Optional[int]"))
