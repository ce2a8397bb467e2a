"""The tie between the two engines: Snakemake defines the pipeline, DVC versions what it made.

    python workflow/scripts/engines.py inputs    write the digests of code and the resolved parameters (fer/inputs.py)
    python workflow/scripts/engines.py compile   write dvc.yaml from the Snakefile
    python workflow/scripts/engines.py record    after a Snakemake run: compile, commit to dvc.lock, show in MLflow
    python workflow/scripts/engines.py settle    after a DVC run: let Snakemake know that its outputs are up to date
    python workflow/scripts/engines.py pull      fetch the artifacts of this commit, then settle
    python workflow/scripts/engines.py check     say whether both engines have nothing to do
    python workflow/scripts/engines.py verify    hash every artifact again; restore damaged ones from DVC's cache

A study with a root of its own gets its dvc.yaml there (`dvc repro studies/paper/dvc.yaml`).
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import logging
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import yaml

from fer import inputs, layout, params
from fer.checkout import obstacle
from fer.errors import FerError
from fer.params import Study, load_study
from fer.params.reading import mapping
from fer.runs import Run, study_protocols, study_runs
from fer.starting import require_starts
from fer.storage import atomic, file_sha256, write_text
from fer.wording import counted

# Metrics and plots of a run, as DVC shows them: how each file is to be drawn.
METRICS = {layout.METRICS}
PLOTS = {layout.CONFUSION: {"x": "predicted", "y": "actual", "template": "confusion"}}
CURVES = ("train_accuracy", "val_accuracy")  # of history.csv, all runs of an experiment in one plot
DEFAULT_STUDY = Path("params/study.yaml")
OWN_COMMAND = "python workflow/scripts/engines.py"
STAGES = (
    "acquire", "index", "align", "blocks", "split", "augment", "train", "evaluate", "transfer", "explain", "report",
)  # fmt: skip
NOTE = "# Compiled from the Snakefile by workflow/scripts/engines.py: do not edit, change the rules instead.\n"


# --- Snakemake ------------------------------------------------------------------------------------------------------


@contextmanager
def dag(study_file: Path):
    """Yield Snakemake's DAG of `all`, whose jobs know whether they must run."""
    from snakemake.api import SnakemakeApi
    from snakemake.settings import types

    try:
        with SnakemakeApi(types.OutputSettings(quiet={types.Quietness.ALL}, show_failed_logs=False)) as api:
            logging.getLogger("snakemake").setLevel(logging.ERROR)
            workflow = api.workflow(
                resource_settings=types.ResourceSettings(cores=1),
                config_settings=types.ConfigSettings(config={"study": str(study_file)}),
                storage_settings=types.StorageSettings(),
                snakefile=Path("Snakefile"),
            )
            workflow.dag(types.DAGSettings(targets={"all"}, max_checksum_file_size=10**12))
            # The public calls of the API print the DAG; its jobs are reached as Snakemake's own printdag does (9.27).
            inner = workflow._workflow
            inner._prepare_dag(forceall=False, ignore_incomplete=True, lock_warn_only=True)
            inner._build_dag()
            yield inner.dag
    finally:
        params.read_anew()  # the Snakefile reads them once


def outstanding(graph) -> list[str]:
    """Return why `all` is not up to date: what Snakemake would still do, and what it overlooks.

    It overlooks files that nothing left to do needs, and, going by dates before it goes by content, an input that
    changed and has an old date: the clock was set back, or the file copied with its date.
    """
    waiting = {stage_name(job) for job in graph.jobs if graph.needrun(job)}
    files = {str(file) for job in graph.jobs for file in (*job.input, *job.output)}
    missing = {file for file in files if not Path(file).exists()}
    stale = [
        f"{stage_name(job)} was made with another {file} (snakemake … --forcerun {job.output[0]})"
        for job in graph.jobs
        if stage_name(job) not in waiting and not missing
        for file in other_inputs(graph, job)
    ]
    return sorted(waiting) + sorted(f"{file} is missing" for file in missing) + sorted(stale)


def other_inputs(graph, job) -> list[str]:
    """Return the inputs of a job whose content is not what Snakemake noted when the job ran."""
    noted = graph.workflow.persistence.metadata(job.output[0]) if job.output else None
    checksums = (noted and noted.input_checksums) or {}
    return [file for file, checksum in checksums.items() if checksum != f"sha256:{checksum_now(file)}"]


checksum_now = functools.cache(lambda file: file_sha256(Path(file)))


def settle(study_file: Path) -> None:
    """Write Snakemake's metadata for outputs that another hand made, once they are known to be right."""
    command = "snakemake --touch --forceall --cores 1 --no-hooks --config"
    run([*command.split(), f"study={study_file}", "--", "all"])


# --- DVC ------------------------------------------------------------------------------------------------------------


def stage_name(job) -> str:
    """Return the DVC stage's name of a job, such as train-fer2013-dnn-0-1.

    DVC allows no other mark than hyphens and underscores. Names have single hyphens, so one of a fold's is doubled:
    the fold y-0 of x is x-y--0, the fold 0 of x-y is x-y-0.
    """
    values = {key: str(value) for key, value in job.wildcards_dict.items()}
    if "fold" in values:
        values["fold"] = values["fold"].replace("-", "--")
    return "-".join([job.rule.name.replace("_", "-"), *values.values()])


def stage_of(job) -> str:
    """Return the stage of a job, which its rule is named after: those of the report add an underscore and more."""
    return job.rule.name.partition("_")[0]


def dvc_file(study: Study) -> Path:
    return Path(study.root) / "dvc.yaml"


def compiled(graph, study_file: Path) -> str:
    """Return the text of the dvc.yaml that does what the Snakefile says for a study."""
    study = load_study(study_file)
    jobs = sorted(
        (job for job in graph.jobs if job.shellcmd), key=lambda job: (STAGES.index(stage_of(job)), stage_name(job))
    )
    stages = {stage_name(job): stage(job, layout.Layout(Path(study.root))) for job in jobs}
    stages["settle"] = {"cmd": f"{OWN_COMMAND} settle --study {study_file}", "deps": last(stages, study)}
    stages = {"inputs": inputs_stage(study, study_file), **stages}
    if study.root != ".":
        up = os.path.relpath(".", study.root)
        stages = {name: {"wdir": up, **entry} for name, entry in stages.items()}
    runs = study_runs(study)
    plots = [curves(name, [run for run in runs if run.name == name], study) for name in study.experiments]
    content = {"stages": stages, "params": parameter_files(study), "plots": plots}
    return NOTE + yaml.dump(content, Dumper=Dumper, sort_keys=False, width=1000, allow_unicode=True)


class InOneLine(dict):
    """A mapping that is written in one line, `{x: epoch, y: …}`."""


class Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):
    """Writes every plot in a line, so that dvc.yaml stays readable."""

    def ignore_aliases(self, data) -> bool:
        return True


Dumper.add_representer(
    InOneLine, lambda dumper, data: dumper.represent_mapping("tag:yaml.org,2002:map", data.items(), flow_style=True)
)


def inputs_stage(study: Study, study_file: Path) -> dict:
    """Return the DVC stage that makes the digests of code and the resolved parameters, as parsing the Snakefile does.

    They are not cached: a checkout makes them in a second, and a pull would otherwise find them changed. Of params/ it
    depends on what is not another study's: a new study leaves this one alone.
    """
    deps = {"fer", str(params.EXPLAIN), str(study_file)}
    deps |= {str(params.FOLDER / kind) for kind in ("datasets", "systems", "experiments")}
    outs = [{str(folder): {"cache": False}} for folder in layout.Layout(Path(study.root)).inputs()]
    return {
        "cmd": f"{OWN_COMMAND} inputs --study {study_file}",
        "deps": sorted(deps),
        "outs": outs,
    }


def last(stages: dict[str, dict], study: Study) -> list[str]:
    """Return the files after which a stage comes last, whenever any other has run.

    They are what the stages make whose files no other reads, and the digests of code and the resolved parameters: with
    another of these a stage runs anew, and Snakemake is to know of it, even where what it makes stays as it is.
    """
    read = {file for entry in stages.values() for file in entry.get("deps", [])}
    ends = [entry.get("outs", []) for entry in stages.values() if not read.intersection(entry.get("outs", []))]
    return sorted([file for files in ends for file in files] + list(map(str, layout.Layout(Path(study.root)).inputs())))


def parameter_files(study: Study) -> list[str]:
    """Return the parameter files of a study, for `dvc params diff` (relative to the dvc.yaml)."""
    experiments = [params.load_experiment(name) for name in study.experiments]
    files = {file for name in study.experiments for file in params.experiment_files(name)} | {params.EXPLAIN}
    files |= {params.system_file(experiment.system) for experiment in experiments}
    files |= {params.dataset_file(name) for name in study_protocols(study)}
    return [os.path.relpath(file, study.root) for file in sorted(files)]


def curves(experiment: str, runs: list[Run], study: Study) -> dict:
    """Return DVC's plot of the learning curves of one experiment (its paths are relative to the dvc.yaml)."""
    files = [os.path.relpath(run.folder / layout.HISTORY, study.root) for run in runs]
    plot = InOneLine(x="epoch", y=InOneLine({file: list(CURVES) for file in files}))
    return {f"learning curves of {experiment}": plot}


def artifact(file: str, place: layout.Layout) -> str:
    """Return what DVC records a file as: itself, or the folder of the report that one job fills alone."""
    folder = Path(file).parent
    whole = folder in (place.tables(), place.cards()) or place.figures(folder.name) == folder
    return str(folder if whole else file)


def stage(job, place: layout.Layout) -> dict:
    """Return one DVC stage: figures become metrics and plots, the rest deps and outs.

    Parameters are deps, the files of fer/inputs.py: DVC would parse each anew for every stage that names it among
    `params`. What `dvc params diff` shows is listed once for all.
    """
    entry: dict = {"cmd": job.shellcmd.strip().replace("${", "\\${")}
    if inputs := sorted({artifact(file, place) for file in job.input}):
        entry["deps"] = inputs
    for file in sorted({artifact(file, place) for file in job.output}):
        name = Path(file).name
        if name in METRICS:
            entry.setdefault("metrics", []).append(file)
        elif name in PLOTS:
            entry.setdefault("plots", []).append({file: InOneLine(PLOTS[name])})
        else:
            entry.setdefault("outs", []).append(file)
    return entry


def compile_dvc(graph, study_file: Path) -> Path:
    """Write the dvc.yaml of a study if it says something else; return its path."""
    path, text = dvc_file(load_study(study_file)), compiled(graph, study_file)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)
    return path


def commit(path: Path) -> None:
    """Commit to dvc.lock the stages of one dvc.yaml that changed, and drop what it has no longer.

    `dvc commit --force` saves every stage, changed or not, parses the old dvc.lock once more to write into it, and
    keeps for ever what left the study. This takes DVC's own steps (its classes, as of 3.67) for what changed alone, and
    has it write dvc.lock anew beside the old one, which a kill leaves whole.
    """
    from dvc.dvcfile import Lockfile
    from dvc.exceptions import DvcException
    from dvc.repo import Repo, lock_repo
    from dvc.stage.serialize import to_lockfile

    logging.getLogger("dvc").setLevel(logging.CRITICAL)  # no progress bars
    lock = path.with_name("dvc.lock")
    try:
        with Repo() as repo, lock_repo(repo):
            locked = recorded(lock)
            if locked is None:
                print(f"{lock} cannot be read by DVC (was DVC killed while it wrote it?): it will be written again")
                lock.unlink()
                locked = {}
            stages = repo.stage.load_file(str(path))
            for stage in stages:
                if stage.name not in locked or stage.status():  # a file that DVC's cache lacks counts as changed
                    stage.save()
                    stage.commit(relink=False)  # files stay the copies that Snakemake's jobs made
            entries = {name: entry for stage in stages for name, entry in to_lockfile(stage).items()}
            if entries != locked:
                with atomic(lock) as scratch:
                    scratch.unlink(missing_ok=True)  # DVC would add to what a killed one left
                    Lockfile(repo, str(scratch)).dump_stages(stages)
    except (DvcException, OSError) as error:
        raise FerError(f"not recorded in DVC: {error}") from error


def recorded(lock: Path) -> dict[str, dict] | None:
    """Return the stages that a dvc.lock records, none if it does not exist, or None where DVC cannot read it.

    `dvc repro` rewrites it in place: killed meanwhile, it leaves a part.
    """
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from voluptuous import Invalid

    if not lock.exists():
        return {}
    lock.read_bytes()  # what keeps it from being read at all is another fault
    try:
        return COMPILED_LOCKFILE_SCHEMA(mapping(lock)).get("stages", {})
    except (FerError, Invalid):
        return None


def dvc_changes(path: Path) -> dict:
    """Return what `dvc status` finds changed for the stages of one dvc.yaml ({} when clean)."""
    result = subprocess.run(["dvc", "status", "--json", str(path)], capture_output=True, text=True)
    if result.returncode:
        lock = path.with_name("dvc.lock")
        if recorded(lock) is None:
            raise FerError(
                f"{lock} cannot be read by DVC (was DVC killed while it wrote it?): delete it, and run `make all` "
                "or `dvc repro`"
            )
        raise FerError(f"dvc status failed:\n{result.stderr}")
    return json.loads(result.stdout)


# --- commands -------------------------------------------------------------------------------------------------------


def record(study_file: Path) -> None:
    """Commit to dvc.lock what a finished Snakemake run made, then show it in MLflow.

    Only a workspace that Snakemake calls up to date is committed: `dvc commit` on a stale one would call it well.
    What keeps DVC from recording keeps back neither MLflow nor the place of the results.
    """
    with dag(study_file) as graph:
        if waiting := outstanding(graph):
            print(f"not recorded in DVC: `all` is not complete ({summary(waiting)})")
            return
        reason = obstacle(root_of(study_file))
        path = None if reason else compile_dvc(graph, study_file)
    failure = None
    if path is None:
        print(f"not recorded in DVC: {reason}")
    else:
        try:
            commit(path)
            print("recorded in dvc.lock")
        except FerError as error:
            failure = error
    show(study_file)
    if failure:
        raise failure


def show(study_file: Path) -> None:
    """Bring MLflow up to date and say where everything is. Tracking is a projection: its failure is a warning."""
    if subprocess.run(["fer", "track", "--study", str(study_file)]).returncode:
        print("MLflow was not updated. To update it: " + of_study("fer track", study_file))
    reports = layout.Layout(Path(load_study(study_file).root)).reports()
    print(f"\nResults: {reports / 'results.md'}, and as a page {reports / 'index.html'}")
    print("Runs:    mlflow ui   (then open http://127.0.0.1:5000)")


def check(study_file: Path) -> None:
    """Say whether both engines have nothing to do; exit with 1 if not. Where DVC cannot record, Snakemake decides."""
    path, reason = dvc_file(load_study(study_file)), obstacle(root_of(study_file))
    with dag(study_file) as graph:
        waiting, current = outstanding(graph), compiled(graph, study_file)
    changes, stale = {}, False
    if reason is None:
        stale = not path.exists() or current != path.read_text(encoding="utf-8")
        changes = dvc_changes(path) if path.exists() else {f"{path} is missing": []}
    print(f"snakemake: {summary(waiting) if waiting else 'nothing to do'}")
    if reason:
        print(f"dvc:       not recorded: {reason}")
    else:
        print(f"dvc:       {summary(sorted(changes)) if changes else 'nothing to do'}")
    if changes and not waiting:
        print(f"the artifacts are up to date but not recorded: {of_study(f'{OWN_COMMAND} record', study_file)}")
    elif stale:
        print(f"{path} differs from the Snakefile: {of_study(f'{OWN_COMMAND} compile', study_file)}")
    if waiting or changes or stale:
        sys.exit(1)


def root_of(study_file: Path) -> Path:
    return Path(load_study(study_file).root)


def of_study(command: str, study_file: Path) -> str:
    """Return what a user types for a command on a study, which the default one is without being named."""
    return command + ("" if study_file == DEFAULT_STUDY else f" --study {study_file}")


def verify(study_file: Path) -> None:
    """Hash every artifact of dvc.lock again, whatever its date; restore those that differ from DVC's cache.

    One that the cache does not hold whole is left as it is, and named: it may be the newer one, not recorded yet.
    """
    path = dvc_file(load_study(study_file))
    cache = Path(run(["dvc", "cache", "dir"]).strip())
    digests = artifacts(path.with_name("dvc.lock"), cache)
    lost = []
    for file in [file for file, digest in digests.items() if md5(file) != digest]:
        kept = cached(cache, digests[file])
        print(f"{file} is {'not what dvc.lock records' if file.exists() else 'missing'}")
        if md5(kept) == digests[file]:
            file.unlink(missing_ok=True)  # DVC, going by its date, would take it for whole
            run(["dvc", "checkout", str(file)])
            print("  restored from DVC's cache")
        if md5(file) != digests[file]:
            lost.append(file)
    print(f"{len(digests) - len(lost):,} of {len(digests):,} artifacts are what dvc.lock records")
    if lost:
        raise FerError(
            f"{counted(len(lost), 'artifact is', 'artifacts are')} not, and DVC's cache lacks what is recorded. "
            "Run `make all` if the files are newer than the record. If they are damaged, delete them first, or fetch "
            "the recorded ones with `make pull`."
        )


def artifacts(lock: Path, cache: Path) -> dict[Path, str]:
    """Return the MD5 of every file that a dvc.lock records; those of folders are listed in DVC's cache."""
    if not lock.exists():
        raise FerError(f"{lock} does not exist: nothing was recorded. Run `make all`.")
    stages = mapping(lock).get("stages", {})
    outs = [out for name, entry in stages.items() if name != "inputs" for out in entry.get("outs", [])]
    digests = {}
    for path, digest in ((Path(out["path"]), out["md5"]) for out in outs):
        if digest.endswith(".dir") and (listing := cached(cache, digest)).exists():
            digests |= {path / entry["relpath"]: entry["md5"] for entry in json.loads(listing.read_bytes())}
        else:
            digests[path] = digest
    return digests


def cached(cache: Path, digest: str) -> Path:
    return cache / "files" / "md5" / digest[:2] / digest[2:]


def md5(path: Path) -> str | None:
    if not path.is_file():
        return None
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "md5").hexdigest()


def pull(study_file: Path, what: str = "") -> None:
    """Fetch the artifacts that dvc.lock names, and make both engines see that all is up to date.

    Args:
        what: a stage, or one of its jobs as dvc.yaml names it; its outputs alone are then fetched, to look at.
    """
    path = dvc_file(load_study(study_file))
    if reason := obstacle(root_of(study_file)):
        raise FerError(f"nothing can be pulled: {reason}")
    if not (lock := path.with_name("dvc.lock")).exists():
        raise FerError(f"{lock} does not exist: this commit records no artifacts. Run `make all`.")
    if not subprocess.run(["dvc", "remote", "list"], capture_output=True, text=True, check=True).stdout.strip():
        raise FerError(
            "no DVC remote is configured, so there is nowhere to pull from.\n"
            "  dvc remote add --default storage <folder, s3://…, ssh://…>   (whoever ran it: dvc push)\n"
            "Without one, `make all` makes every artifact here."
        )
    if what:
        stages = yaml.safe_load(path.read_text(encoding="utf-8"))["stages"]
        jobs = [name for name in stages if f"{name}-".startswith(f"{what}-")]
        if not jobs:
            raise FerError(f"{path} has no stage or job {what!r}. Stages: {', '.join(STAGES)}")
        run(["dvc", "pull", *(f"{path}:{job}" for job in jobs)])
        print(f"fetched what {counted(len(jobs), 'job')} made: {', '.join(jobs)}")
        return
    run(["dvc", "pull", str(path)])
    if changes := dvc_changes(path):
        raise FerError(f"the pulled artifacts do not fit this commit: {summary(sorted(changes))}")
    settle(study_file)
    check(study_file)


def run(command: list[str]) -> str:
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise FerError(f"`{' '.join(command)}` failed:\n{result.stdout}{result.stderr}")
    return result.stdout


def summary(items: list[str], most: int = 6) -> str:
    shown = ", ".join(items[:most])
    return f"{len(items)} to do: {shown}" + (" …" if len(items) > most else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["inputs", "compile", "record", "settle", "pull", "check", "verify"])
    parser.add_argument("--what", default="", help="pull: a stage or job of dvc.yaml, whose outputs alone are fetched")
    parser.add_argument("--study", type=Path, default=DEFAULT_STUDY, help="the study file")
    arguments = parser.parse_args()
    try:
        study = load_study(arguments.study)
        require_starts(study)
        inputs.write(study)
        match arguments.command:  # "inputs" are written
            case "compile":
                with dag(arguments.study) as graph:
                    print(compile_dvc(graph, arguments.study))
            case "settle":
                settle(arguments.study)
                show(arguments.study)
            case "pull":
                pull(arguments.study, arguments.what)
            case "record":
                record(arguments.study)
            case "check":
                check(arguments.study)
            case "verify":
                verify(arguments.study)
    except FerError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
