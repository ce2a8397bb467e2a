"""Loading a dataset, a system, an experiment or a study by name, checked against everything it names."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from itertools import combinations
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fer.errors import FerError
from fer.expressions import shared_expressions
from fer.params.dataset import Dataset
from fer.params.explain import Explain
from fer.params.reading import check, constructor, explain, known, listing, load, mapping, suggestion
from fer.params.study import Experiment, Study
from fer.params.system import Input, Recipe, System, deep_merge

FOLDER = Path("params")
STUDY = FOLDER / "study.yaml"  # the default
EXPLAIN = FOLDER / "explain.yaml"
SYSTEMS = Path(__file__).parents[1] / "systems"
ADAPTERS = Path(__file__).parents[1] / "datasets"

# Keys of an experiment that say what it is, not what is trained or tested.
ABOUT = {"variant_of", "kind", "change", "compared_with", "not_compared", "published", "deviations"}
SECTIONS = {"architecture", "input", "recipe"}  # changes of the system's

_results: dict | None = None  # what was loaded, by loader and name, between `read_once` and `read_anew`


def read_once() -> None:
    """Keep what is loaded from now on: drawing the DAG loads files hundreds of times, and none of them changes."""
    global _results
    _results = {}


def read_anew() -> None:
    """Read parameter files again each time that something is loaded, as at first."""
    global _results
    _results = None


def memoised(load: Callable) -> Callable:
    """Let a loader return what it returned before, after `read_once`."""

    @wraps(load)
    def loaded(name: str):
        if _results is None:
            return load(name)
        if (load, name) not in _results:
            _results[load, name] = load(name)
        return _results[load, name]

    return loaded


def dataset_file(name: str) -> Path:
    """Return the path of a dataset's parameters, relative to the project's folder; it need not exist."""
    return FOLDER / "datasets" / f"{name}.yaml"


def system_file(name: str) -> Path:
    """Return the path of a system's parameters, relative to the project's folder; it need not exist."""
    return FOLDER / "systems" / f"{name}.yaml"


def experiment_file(name: str) -> Path:
    """Return the path of an experiment's parameters, relative to the project's folder; it need not exist."""
    return FOLDER / "experiments" / f"{name}.yaml"


@memoised
def load_dataset(name: str) -> Dataset:
    """Return the parameters of a dataset, from `params/datasets/<name>.yaml` in the current folder.

    Raises:
        FerError: there is no such dataset, or its file has a mistake; the message names the file, the key, what was
            given and what is allowed.

    Examples:
        >>> dataset = load_dataset("jaffe")
        >>> dataset.classes
        ['anger', 'disgust', 'fear', 'happy', 'neutral', 'sad', 'surprise']
        >>> load_dataset("jafe")
        Traceback (most recent call last):
        fer.errors.FerError: unknown dataset 'jafe' (did you mean 'jaffe'?). Known: ckplus, ...
    """
    path = known(dataset_file(name), "dataset")
    dataset = load(Dataset, path)
    check(constructor(ADAPTERS, dataset.adapter or name, path), dataset.options, path, "options")
    return dataset


@memoised
def load_system(name: str) -> System:
    """Return the parameters of a system, from `params/systems/<name>.yaml` in the current folder.

    `architecture` is checked against the constructor's arguments, without importing the module.

    Raises:
        FerError: there is no such system or module, or its file has a mistake.

    Examples:
        >>> system = load_system("dnn")
        >>> system.input.size, system.recipe.steps
        (48, 30001)
    """
    path = known(system_file(name), "system")
    system = load(System, path)
    check(constructor(SYSTEMS, name, path), system.architecture, path, "architecture")
    return system


def experiment_files(name: str) -> list[Path]:
    """Return the files that define an experiment: its own and, of a variant, that of the experiment it varies."""
    own = experiment_file(name)
    base = mapping(own).get("variant_of")
    return [own] if base is None else [experiment_file(base), own]


@memoised
def load_experiment(name: str) -> Experiment:
    """Return an experiment, from `params/experiments/<name>.yaml` in the current folder.

    A variant (`variant_of`) has the keys of the experiment it varies, where its own file does not say otherwise. What
    the file names (dataset, system, teacher and so on) is checked too; `resolve` gives the system as it is trained.

    Raises:
        FerError: there is no such experiment, it or what it names has a mistake, or a predecessor saw other samples.

    Examples:
        >>> experiment = load_experiment("jaffe-deepfer")
        >>> experiment.dataset, experiment.system, experiment.protocol
        ('jaffe', 'deepfer', '...')
    """
    path = known(experiment_file(name), "experiment")
    experiment = check(Experiment, with_base(path), path)
    for key, names in (("dataset", dataset_file), ("system", system_file)):
        known(names(getattr(experiment, key)), key, f"{path}: {key}: ")
    load_dataset(experiment.dataset)
    if resolve(experiment, path).recipe.start_from and experiment.infrared_from:
        raise FerError(f"{path}: infrared_from and recipe.start_from exclude each other; give one of them")
    for key, other in experiment.predecessors.items():
        known(experiment_file(other), "experiment", f"{path}: {key}: ")
        require_predecessor(experiment, key, other, path)
    if experiment.compared_with:
        known(experiment_file(experiment.compared_with), "experiment", f"{path}: compared_with: ")
    return experiment


def with_base(path: Path) -> dict[str, Any]:
    """Return what an experiment's file says; of a variant, on top of what the experiment it varies says."""
    values = mapping(path)
    if (base := values.get("variant_of")) is None:
        return values
    varied = dict(mapping(known(experiment_file(str(base)), "experiment", f"{path}: variant_of: ")))
    if "variant_of" in varied:
        raise FerError(f"{path}: variant_of: {base} is itself a variant, of {varied['variant_of']}; name that one")
    varied.pop("deviations", None)  # those of the sound experiment: a variant has its own
    return deep_merge(varied, values)


def require_predecessor(experiment: Experiment, key: str, name: str, path: Path) -> None:
    """Refuse a predecessor that saw other samples: those it was trained on might be tested here."""
    other = check(Experiment, with_base(experiment_file(name)), experiment_file(name))
    wanted = {"dataset": experiment.dataset, "protocol": experiment.protocol}
    wanted["modality"] = "infrared" if key == "infrared_from" else experiment.modality
    if experiment.kind == "sound":
        wanted["kind"] = "sound"
    for what, value in wanted.items():
        if getattr(other, what) != value:
            raise FerError(f"{path}: {key}: {name} has {what} {getattr(other, what)!r}; it must have {value!r}")


def require_likeness(name: str) -> None:
    """Refuse to compare a variant with an experiment that differs in more than the variant's change.

    The dataset is the same, and so are protocol, size of the input and length of the training, unless one of these is
    all that differs: then it is the change.
    """
    experiment, path = load_experiment(name), experiment_file(name)
    key = "compared_with" if experiment.compared_with else "variant_of"
    own, other = conditions(name), conditions(experiment.against)
    differing = {item for item in own.keys() | other.keys() if own.get(item) != other.get(item)}
    if "boxes" in (own["views"], other["views"]):  # no image whose size could matter
        differing.discard("input.size")
    for item in ("dataset", "protocol", "input.size", "recipe.epochs", "recipe.steps"):
        more = sorted(differing - {item, "recipe.epochs", "recipe.steps"} if "recipe" in item else differing - {item})
        if item in differing and (more or item == "dataset"):
            raise FerError(
                f"{path}: {key}: {item} is {shown(other.get(item))} in {experiment.against} and "
                f"{shown(own.get(item))} here"
                + (f", where {listing(more)} differ too" if more else "")
                + ". Name under compared_with an experiment that differs only by this one's change, or say under "
                "not_compared why there is none"
            )


def conditions(name: str) -> dict[str, Any]:
    """Return what decides a run of an experiment, by key; those of a section are such as "recipe.epochs"."""
    experiment = load_experiment(name)
    system = resolve(experiment, experiment_file(name))
    found = {name: getattr(experiment, name) for name in Experiment.model_fields if name not in ABOUT | SECTIONS}
    sections = {"architecture": system.architecture, "input": system.input.model_dump()}
    for section, values in (sections | {"recipe": system.recipe.model_dump()}).items():
        found |= {f"{section}.{name}": value for name, value in values.items()}
    return found


def load_explain(overrides: dict[str, Any] | None = None) -> Explain:
    """Return the parameters of stage explain, from `params/explain.yaml`, with what a study or `--set` changes."""
    return check(Explain, load(Explain, EXPLAIN).model_dump() | (overrides or {}), Path("--set"))


def load_study(path: Path) -> Study:
    """Load a study and everything it names, so that a mistake anywhere stops before any job runs.

    Args:
        path: such as `params/study.yaml`.

    Raises:
        FerError: a file is missing or has a mistake, a run needs an experiment that the study lacks, or two experiments
            that are compared differ by more than their one change.

    Examples:
        >>> study = load_study(STUDY)
        >>> study.name, study.seeds
        ('default', [0])
    """
    study = load(Study, path)
    if study.root == "." and path.resolve() != STUDY.resolve():
        raise FerError(
            f"{path}: root: is missing. The project's own folder holds the artifacts of {STUDY}; another study needs a "
            f"folder of its own, such as studies/{study.name}"
        )
    used = set()
    for name in study.experiments:
        known(experiment_file(name), "experiment", f"{path}: experiments: ")
        experiment = load_experiment(name)
        used.add(experiment.dataset)
        resolve(experiment, experiment_file(name), study.overrides(name), path, f"experiments.{name}")
        for key, other in experiment.predecessors.items():
            if other not in study.experiments:
                raise FerError(f"{path}: experiments: {name} needs {other} ({key}), which the study must include, too")
    for name in study.experiments:
        require_comparable(study, name, path)
    for name, overrides in study.datasets.items():
        known(dataset_file(name), "dataset", f"{path}: datasets: ")
        load_dataset(name)
        if used and name not in used and not (overrides and overrides.protocols):
            raise FerError(
                f"{path}: datasets: no experiment of this study uses {name!r}. Add one, give the dataset `protocols` "
                f"(splits without an experiment), or remove it. Used: {listing(used)}"
            )
    check_cross_dataset(study, path)
    check_external(study, path)
    return study


def require_comparable(study: Study, name: str, path: Path) -> None:
    """Refuse a variant that the study changes in another way than the experiment that it is compared with."""
    experiment = load_experiment(name)
    if (against := experiment.against) is None:
        return
    require_likeness(name)
    if against not in study.experiments:  # the tables say so
        return
    own, other = study.overrides(name), study.overrides(against)
    if experiment.protocol == load_experiment(against).protocol:
        own, other = ({"folds": study.most_folds(item)} | study.overrides(item) for item in (name, against))
    for key in sorted(own.keys() | other.keys()):
        if own.get(key) != other.get(key):
            given, expected = (shown(values.get(key)) for values in (own, other))
            raise FerError(
                f"{path}: experiments.{name}.{key}: given {given}, but {against}, which it is compared with, has "
                f"{expected}. They may differ only by one change ({experiment.change}); give both the same"
            )


def shown(value: Any) -> str:
    """Return a value as messages show it; None is "no value"."""
    return "no value" if value is None else repr(value)


def check_external(study: Study, path: Path) -> None:
    """Refuse outside systems that were scored on a test part which no experiment of the study is tested on."""
    tested = {f"{each.dataset}:{each.protocol}" for each in map(load_experiment, study.experiments)}
    for system in study.external:
        if system.rpartition(":")[0] not in tested:
            raise FerError(
                f"{path}: external: {system}: no experiment of this study is tested on that part. "
                f"Tested: {listing(tested)}"
            )


def check_cross_dataset(study: Study, path: Path) -> None:
    """Refuse experiments under `cross_dataset` that cannot be tested on one another's datasets."""
    where, names = f"{path}: cross_dataset:", study.cross_dataset
    for name in names:
        if name not in study.experiments:
            raise FerError(
                f"{where} {name!r} is not an experiment of this study{suggestion(name, list(study.experiments))}. "
                f"Its experiments: {listing(study.experiments)}"
            )
    if len(names) == 1:
        raise FerError(f"{where} given only {names[0]}; expected two experiments or more, or none")
    for first, second in combinations(names, 2):
        one, other = load_experiment(first), load_experiment(second)
        if one.dataset == other.dataset:
            raise FerError(
                f"{where} {first} and {second} are both on {one.dataset}; name one experiment for each dataset"
            )
        if one.modality != other.modality:
            raise FerError(
                f"{where} {first} is trained on {one.modality} images and {second} on {other.modality} ones; "
                f"name experiments of one modality"
            )
        try:
            shared_expressions(load_dataset(one.dataset).classes, load_dataset(other.dataset).classes)
        except FerError as error:
            raise FerError(
                f"{where} {first} and {second} cannot be tested on one another's datasets: {error}"
            ) from None


# --- what a run is made of: system ← experiment ← study -------------------------------------------------------------

FROM_EXPERIMENT = ("modality", "views")  # options of a system that the experiment says
KEY_PATHS = {"size": ("input", "size"), "weights": ("architecture", "weights"), "draws": ("recipe", "offline", "draws")}


def place_of(key: str) -> tuple[str, ...]:
    """Return where in a system the value lies that a study changes by `key`: section and keys below it."""
    return KEY_PATHS.get(key, ("recipe", key))


def resolve(
    experiment: Experiment,
    path: Path,
    overrides: dict[str, Any] | None = None,
    where: Path = Path("--set"),
    key: str = "",
) -> System:
    """Return the system as a run of this experiment builds and trains it.

    Args:
        path: the experiment's file, for error messages.
        overrides: what a study (file `where`, at `key`) or the command line changes: keys of the recipe, and those of
            `KEY_PATHS`.
    """
    system = load_system(experiment.system)
    given = {"architecture": experiment.architecture, "input": experiment.input, "recipe": experiment.recipe}
    system = with_changes(system, experiment, given, path, "")
    return with_changes(system, experiment, by_section(overrides), where, key) if overrides else system


def by_section(overrides: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return overrides by section of the system: `{"size": 64, "epochs": 2}` → input.size and recipe.epochs."""
    sections: dict[str, Any] = {"architecture": {}, "input": {}, "recipe": {}}
    for name, value in overrides.items():
        for part in reversed(place_of(name)):
            value = {part: value}
        sections = deep_merge(sections, value)
    return sections


def with_changes(system: System, experiment: Experiment, changes: dict[str, dict], path: Path, key: str) -> System:
    """Return `system` with the changes of its sections, and with the experiment's modality and views as options."""
    prefix = f"{key}." if key else ""
    options = constructor(SYSTEMS, experiment.system, path)
    architecture = system.architecture | changes["architecture"]
    for name in FROM_EXPERIMENT:
        if name in options.model_fields:
            architecture[name] = getattr(experiment, name)
    for name, value in (("modality", "fused"), ("views", "both"), ("views", "boxes")):
        if getattr(experiment, name) == value and name not in options.model_fields:
            raise FerError(f"{path}: {name}: given {value!r}, but the system {experiment.system} has no such option")
    check(options, architecture, path, f"{prefix}architecture")
    seen = check(Input, deep_merge(system.input.model_dump(), changes["input"]), path, f"{prefix}input")
    recipe = resolve_recipe(system.recipe, changes["recipe"], path, f"{prefix}recipe")
    several = experiment.modality == "fused" or experiment.views == "both"
    if recipe.augmentation.saturation and (seen.channels != 3 or several):
        raise FerError(
            f"{path}: {prefix}recipe.augmentation.saturation: given {recipe.augmentation.saturation}, but only one RGB "
            "image at a time has a saturation: leave it out for grey images and where two images are stacked"
        )
    if recipe.test_time_crop and recipe.test_time_crop >= seen.size:
        raise FerError(
            f"{path}: {prefix}recipe.test_time_crop: given {recipe.test_time_crop}; expected less than the input's "
            f"size, {seen.size}"
        )
    return system.model_copy(update={"architecture": architecture, "input": seen, "recipe": recipe})


def resolve_recipe(recipe: Recipe, values: dict[str, Any], path: Path, key: str) -> Recipe:
    """Return a recipe with changes in place; a mistake is an error that names the file and the key."""
    try:
        return recipe.override(values)
    except ValidationError as error:
        raise FerError(explain(error, Recipe, path, key)) from error


def full_architecture(system: str, architecture: dict[str, Any]) -> dict[str, Any]:
    """Return a network's options with the defaults of its constructor, which a later version may change."""
    path = system_file(system)
    return check(constructor(SYSTEMS, system, path), architecture, path, "architecture").model_dump()
