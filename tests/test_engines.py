"""One pipeline, two engines: the four promises, each proved by running both for real in a clone with a tiny study."""

import itertools
import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from contextlib import suppress

import cv2
import pandas as pd
import pytest
import yaml
from conftest import PROJECT, TINY, Clone

from fer.datasets import synthetic
from fer.expressions import expression

MAKE_ALL = "make -o .venv/installed all"  # in the environment that runs the tests
RECORD = "python workflow/scripts/engines.py record"
CHECK = "python workflow/scripts/engines.py check"
ALL = "snakemake --cores 8 all"
README = (PROJECT / "README.md").read_text()
RUN_OF_DNN = [
    "logs/evaluate/fer2013-dnn.0.0.log",
    "logs/explain/fer2013-dnn.log",
    "logs/report/figures.fer2013-dnn.log",
    "logs/report/page.log",
    "logs/report/tables.log",
    "logs/train/fer2013-dnn.0.0.log",
]
RUN = "runs/fer2013-dnn/0.0/"
MEASURED = {"environment.json", "summary.json"}  # when and how fast, which is never the same twice
BOTH_IDLE = "snakemake: nothing to do\ndvc:       nothing to do\n"


@pytest.fixture(scope="module")
def ran(make_clone, tmp_path_factory):
    """A clone after `snakemake --cores 8 all`, its artifacts pushed to a DVC remote and its dvc.lock committed."""
    clone, started = make_clone(), time.monotonic()
    clone.log = clone.run(ALL).stdout
    clone.seconds = time.monotonic() - started
    clone.run(f"dvc remote add --default storage {tmp_path_factory.mktemp('remote')}")
    clone.run("dvc push")
    clone.commit("artifacts recorded")
    return clone


@pytest.fixture
def workspace(ran, tmp_path):
    """A copy of that clone with all its artifacts, for one test to spoil."""
    shutil.copytree(ran.folder, tmp_path / "fer", symlinks=True)
    return Clone(tmp_path / "fer")


def touch_everything(clone):
    later = time.time() + 60
    for path in clone.folder.rglob("*"):
        if path.is_file() and not {".git", ".dvc", ".snakemake"} & set(path.relative_to(clone.folder).parts):
            os.utime(path, (later, later))


def jobs_of(clone, command):
    """Return the logs that a command wrote: which jobs it ran."""
    for log in clone.folder.glob("logs/*/*.log"):
        log.unlink()
    clone.run(command)
    # Snakemake's --touch, by which DVC's last stage settles, makes empty logs
    written = [path for path in clone.folder.glob("logs/*/*.log") if path.stat().st_size]
    return sorted(str(path.relative_to(clone.folder)) for path in written)


def test_promise_1_after_snakemake_dvc_is_clean_and_repro_runs_nothing(workspace):
    assert workspace.run("dvc status").stdout.strip() == "Data and pipelines are up to date."
    assert jobs_of(workspace, "dvc repro") == []
    assert workspace.run(CHECK).stdout == BOTH_IDLE


def test_promise_2_after_dvc_repro_on_a_fresh_clone_snakemake_has_nothing_to_do(make_clone):
    fresh = make_clone()
    assert "logs/report/page.log" in jobs_of(fresh, "dvc repro")
    assert "Nothing to be done" in fresh.run("snakemake -n all").stdout
    touch_everything(fresh)
    assert "Nothing to be done" in fresh.run("snakemake -n all").stdout
    assert fresh.run(CHECK).stdout == BOTH_IDLE


def test_promise_3_after_a_clone_and_a_pull_both_engines_have_nothing_to_do(ran, tmp_path):
    fresh = ran.copy(tmp_path / "fresh")
    fresh.run("python workflow/scripts/engines.py pull")
    assert fresh.run(CHECK).stdout == BOTH_IDLE
    assert jobs_of(fresh, f"{ALL} && dvc repro") == []


def test_the_page_begins_with_a_figure_of_every_experiment(ran):
    page = (ran.folder / "reports/index.html").read_text()
    chart = page[page.index('<div class="chart">') : page.index("<table>")]
    for name in TINY["experiments"]:
        shown = re.search(
            rf'<a href="#{name}">.*?class="dot" style="left: ([\d.]+)%".*?<b>([\d.]+)</b>', chart, re.DOTALL
        )
        assert shown and shown[1] == shown[2]


def test_a_pull_of_the_report_fetches_its_files_alone(ran, tmp_path):
    fresh = ran.copy(tmp_path / "fer")
    assert "fetched what" in fresh.run("make -o .venv/installed pull WHAT=report").stdout
    assert (fresh.folder / "reports/index.html").read_bytes() == (ran.folder / "reports/index.html").read_bytes()
    assert not (fresh.folder / "runs").exists() and not (fresh.folder / "data").exists()
    unknown = fresh.run("make -o .venv/installed pull WHAT=reports", ok=False).stdout
    assert "no stage or job 'reports'. Stages: acquire" in unknown


def test_no_training_needs_more_memory_than_it_asks_a_cluster_for(ran):
    asked = yaml.safe_load((PROJECT / "workflow/resources.yaml").read_text())["train"]["mem_mb"]
    peaks = [json.loads(path.read_text())["peak_memory_mb"] for path in ran.folder.glob("runs/*/*/environment.json")]
    assert len(peaks) == 2 and 2 * max(peaks) < asked


def test_promise_4_touching_every_file_reruns_nothing(workspace):
    touch_everything(workspace)
    assert jobs_of(workspace, ALL) == jobs_of(workspace, "dvc repro") == []


def test_promise_4_a_changed_system_parameter_reruns_the_same_jobs_in_both_engines(workspace, tmp_path):
    shutil.copytree(workspace.folder, tmp_path / "twin", symlinks=True)
    twin = Clone(tmp_path / "twin")
    for clone in (workspace, twin):
        file = clone.folder / "params/systems/dnn.yaml"
        file.write_text(file.read_text().replace("learning_rate: 0.0001", "learning_rate: 0.0002"))
    expected = RUN_OF_DNN
    assert jobs_of(workspace, ALL) == jobs_of(twin, "dvc repro") == expected
    assert workspace.run(CHECK).stdout == twin.run(CHECK).stdout == BOTH_IDLE


RUN_STAGES = ["evaluate", "explain", "train"]
REPORT = {"report tables", "report page"}
REDRAWN = REPORT | {"report figures"}


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("params/systems/dnn.yaml", 'citation: "', 'citation: "See ', REPORT),
        ("params/experiments/fer2013-dnn.yaml", "published:", "deviations: [another]\npublished:", REPORT),
        (
            "fer/params/system.py",
            "label_smoothing: Fraction = 0.0",
            "label_smoothing: Fraction = 0.1",
            {f"{stage} fer2013-{system}" for stage in RUN_STAGES for system in ("dnn", "attentional_cnn")} | REDRAWN,
        ),
        (
            "fer/layers/spatial_transformer.py",
            "align_corners=False",
            "align_corners=True",
            {f"{stage} fer2013-attentional_cnn" for stage in RUN_STAGES} | {"explain fer2013-dnn"} | REDRAWN,
        ),
    ],
)
def test_both_engines_rerun_the_same_and_what_a_change_decides_alone(workspace, file, old, new, expected):
    replace(workspace.folder / file, old, new)
    assert dvc_would_run(workspace) == snakemake_would_run(workspace) == expected


def test_a_comment_in_code_or_in_parameters_reruns_nothing_in_either_engine(workspace):
    replace(workspace.folder / "fer/systems/dnn.py", "\nclass ", "\n# a comment\nclass ")
    replace(workspace.folder / "params/systems/dnn.yaml", "citation:", "# as printed\ncitation:")
    assert dvc_would_run(workspace) == snakemake_would_run(workspace) == set()


def replace(path, old, new):
    """Replace a passage of a file, and give it an old date: the date does not matter."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    os.utime(path, (1_000_000_000,) * 2)


def snakemake_would_run(clone):
    """Return stage and experiment of the jobs that `snakemake -n` names."""
    jobs = re.findall(r"^Job \d+: (.+)$", clone.run("snakemake -n all").stdout, re.MULTILINE)
    return {" ".join(job.split()[:2]).removesuffix(" tiny") for job in jobs} - {"all"}


def dvc_would_run(clone):
    """Return the same of the stages that `dvc repro` runs: those that `dvc status` finds changed, and what follows."""
    clone.run("dvc repro inputs")
    stages = yaml.safe_load((clone.folder / "dvc.yaml").read_text())["stages"]
    changed = set(json.loads(clone.run("dvc status --json 2>/dev/null").stdout)) - {"inputs", "settle"}
    while True:
        made = {out for name in changed for out in outs(stages[name])}
        after = {name for name, entry in stages.items() if made & set(entry["deps"])} - {"settle"}
        if after <= changed:
            shown = {name.removesuffix("-0-0").replace("-", " ", 1) for name in changed}
            return {re.sub("(report figures)-.*", r"\1", name) for name in shown}
        changed |= after


def outs(entry):
    listed = [out for kind in ("outs", "metrics", "plots") for out in entry.get(kind, [])]
    return {out if isinstance(out, str) else next(iter(out)) for out in listed}


def test_what_is_deleted_is_made_again_whatever_it_is(workspace):
    for name, job in {"index": "index fer2013", "faces": "align fer2013"}.items():  # alone: what follows is there
        file = workspace.folder / f"data/{name}/fer2013.parquet"
        file.rename(workspace.folder / "away")
        assert job in snakemake_would_run(workspace)
        (workspace.folder / "away").rename(file)
    shutil.rmtree(workspace.folder / "runs/fer2013-dnn")
    for name in ("data/raw/fer2013.parquet", "data/blocks/fer2013.eyes.npy", "reports/figures/fer2013.faces.png"):
        (workspace.folder / name).unlink()
    assert snakemake_would_run(workspace) >= {"train fer2013-dnn", "acquire fer2013", "blocks fer2013"}


def test_a_recipe_that_asks_for_offline_variants_gets_them_made_after_the_split(workspace):
    workspace.edit("params/experiments/fer2013-dnn.yaml", recipe={"offline": {"draws": 1}})
    assert jobs_of(workspace, ALL) == ["logs/augment/fer2013-dnn.0.log", *RUN_OF_DNN]
    variants = pd.read_parquet(workspace.folder / "data/augmented/fer2013-dnn/0.parquet")
    split = pd.read_parquet(workspace.folder / "data/splits/fer2013.official.parquet").set_index("sample")["part"]
    assert len(variants) == 5 * (split == "train").sum() and set(split[variants["sample"]]) == {"train"}
    assert (workspace.folder / "reports/figures/fer2013-dnn.0.augment.png").exists()
    assert workspace.run(CHECK).stdout == BOTH_IDLE


def test_a_changed_study_reruns_what_it_changes_alone_and_a_checkout_of_the_commit_before_nothing(workspace):
    before = workspace.run("git rev-parse HEAD").stdout.strip()
    study = {"experiments": {"fer2013-attentional_cnn": {"epochs": 1}, "fer2013-dnn": {"steps": 4}}}
    workspace.edit("params/study.yaml", **study)
    assert jobs_of(workspace, ALL) == RUN_OF_DNN
    workspace.run("dvc push")
    workspace.commit("another step")
    workspace.run(f"git checkout -q {before} && python workflow/scripts/engines.py pull")  # promise 3, once more
    assert workspace.run(CHECK).stdout == BOTH_IDLE


def test_the_run_ends_with_the_place_of_the_results_and_a_line_for_each_stage(ran):
    assert "reports/results.md" in ran.log and "mlflow ui" in ran.log
    for stage in ("acquire", "index", "align", "blocks", "split", "train", "evaluate", "explain", "report"):
        assert f"\n{stage} " in ran.log
        assert list(ran.folder.glob(f"logs/{stage}/*.log"))


def test_the_synthetic_study_is_reported_with_every_class_counted(ran):
    assert "SYNTHETIC" in (ran.folder / "reports/results.md").read_text()
    assert "official 28,709" in (ran.folder / "logs/index/fer2013.log").read_text()


def test_pull_without_a_remote_says_how_to_add_one(make_clone):
    clone = make_clone()
    (clone.folder / "dvc.lock").write_text("schema: '2.0'\nstages: {}\n")
    result = clone.run("python workflow/scripts/engines.py pull", ok=False)
    assert result.returncode == 2 and "dvc remote add --default" in result.stdout


def test_check_sees_a_missing_artifact(workspace):
    (workspace.folder / "data/raw/fer2013.parquet").unlink()
    result = workspace.run(CHECK, ok=False)
    assert result.returncode == 1 and "to do: acquire-fer2013" in result.stdout


def test_an_incomplete_run_is_not_recorded(make_clone):
    clone = make_clone()
    log = clone.run("snakemake --cores 2 data/raw/fer2013.parquet").stdout
    assert "not recorded in DVC" in log and not (clone.folder / "dvc.lock").exists()


def test_an_artifact_edited_with_an_old_date_is_told_and_not_recorded(workspace):
    """As after the clock was set back, or a file copied with its date: Snakemake goes by dates first."""
    file = workspace.folder / "data/index/fer2013.counts.json"
    file.write_text(file.read_text() + "\n")
    os.utime(file, (1_000_000_000,) * 2)
    lock = (workspace.folder / "dvc.lock").read_bytes()
    message = workspace.run(CHECK, ok=False).stdout
    assert (
        "report-tables was made with another data/index/fer2013.counts.json (snakemake … --forcerun reports/" in message
    )
    assert "not recorded in DVC" in workspace.run(RECORD, ok=False).stdout
    made = workspace.run(MAKE_ALL, ok=False)
    assert made.returncode and "Nothing to be done" in made.stdout and "--forcerun reports/" in made.stdout
    assert (workspace.folder / "dvc.lock").read_bytes() == lock


def test_a_damaged_artifact_is_named_and_brought_back_whatever_its_date(workspace):
    names = (
        "data/index/fer2013.parquet",
        RUN + "weights.safetensors",
        "reports/tables/cost.tex",
    )  # the last in a folder
    damaged = [workspace.folder / name for name in names]
    whole = [path.read_bytes() for path in damaged]
    for path, data in zip(damaged, whole, strict=True):
        date = path.stat()
        path.write_bytes(data[:500] + bytes([data[500] ^ 1]) + data[501:])
        os.utime(path, ns=(date.st_atime_ns, date.st_mtime_ns))
    message = workspace.run("python workflow/scripts/engines.py verify").stdout
    for path in damaged:
        assert f"{path.relative_to(workspace.folder)} is not what dvc.lock records" in message
    assert [path.read_bytes() for path in damaged] == whole
    assert workspace.run(CHECK).stdout == BOTH_IDLE


def test_what_left_the_study_leaves_dvc_lock_too(workspace):
    workspace.edit("params/study.yaml", experiments={"fer2013-dnn": {"steps": 3}})
    workspace.run(ALL)
    lock = yaml.safe_load((workspace.folder / "dvc.lock").read_text())
    assert not [name for name in lock["stages"] if "attentional_cnn" in name]
    assert workspace.run(CHECK).stdout == BOTH_IDLE


def test_a_damaged_artifact_that_dvc_does_not_hold_is_named_and_left(workspace):
    shutil.rmtree(workspace.folder / ".dvc/cache")
    path = workspace.folder / RUN / "weights.safetensors"
    path.write_bytes(b"newer")
    result = workspace.run("python workflow/scripts/engines.py verify", ok=False)
    assert result.returncode == 2 and f"{RUN}weights.safetensors is not what dvc.lock records" in result.stdout
    assert path.read_bytes() == b"newer"


def test_a_second_user_of_the_checkout_is_refused_while_the_first_one_runs(make_clone):
    clone = make_clone()
    options = {"cwd": clone.folder, "env": clone.environment, "stdout": subprocess.DEVNULL}
    with subprocess.Popen(ALL.split(), stderr=subprocess.STDOUT, start_new_session=True, **options) as first:
        while not (clone.folder / "logs/acquire").exists() and first.poll() is None:
            time.sleep(0.05)
        second = clone.run(ALL, ok=False)
        os.killpg(first.pid, signal.SIGKILL)
    assert second.returncode == 1 and "cannot be locked" in second.stdout


@pytest.mark.parametrize(
    ("path", "old", "new", "message"),
    [
        (
            "params/systems/dnn.yaml",
            "batch_size",
            "batchsize",
            "unknown key 'recipe.batchsize' (did you mean 'batch_size'?)",
        ),
        ("params/systems/dnn.yaml", "steps: 30001", "steps: many", "recipe.steps: given 'many'"),
        ("params/systems/attentional_cnn.yaml", "  dropout", "  drop", "unknown key 'architecture.drop'"),
        (
            "params/experiments/fer2013-dnn.yaml",
            "system: dnn",
            "system: dn",
            "unknown system 'dn' (did you mean 'dnn'?)",
        ),
        ("params/study.yaml", "fer2013-dnn", "fer2013-dnnn", "unknown experiment 'fer2013-dnnn'"),
        ("params/datasets/fer2013.yaml", "size: 48", "size: 0", "alignment.size: given 0"),
    ],
)
def test_a_wrong_parameter_stops_before_any_job_runs_and_says_what_is_allowed(workspace, path, old, new, message):
    shutil.rmtree(workspace.folder / "data")
    file = workspace.folder / path
    file.write_text(file.read_text().replace(old, new))
    result = workspace.run(ALL, ok=False)
    assert result.returncode == 1 and path in result.stdout and message in result.stdout
    assert "Nothing was run." in result.stdout and not (workspace.folder / "data").exists()


def test_an_unknown_configuration_key_is_refused(workspace):
    result = workspace.run("snakemake -n all --config studdy=params/study.yaml", ok=False)
    assert result.returncode == 1 and "studdy" in result.stdout


def test_a_study_with_a_root_of_its_own_leaves_the_default_one_alone_and_one_core_makes_what_eight_made(ran, workspace):
    study = TINY | {"name": "mine", "root": "studies/mine", "experiments": {"fer2013-dnn": {"steps": 3}}}
    (workspace.folder / "params/studies/mine.yaml").write_text(yaml.safe_dump(study))
    option, root = "--study params/studies/mine.yaml", workspace.folder / "studies/mine"
    workspace.run("snakemake --cores 1 all --config study=params/studies/mine.yaml")
    for pattern in ("data/**/*.*", f"{RUN}*.safetensors", f"{RUN}predictions.parquet"):
        files = sorted(path.relative_to(ran.folder) for path in ran.folder.glob(pattern) if path.is_file())
        assert files
        for file in files:
            assert (root / file).read_bytes() == (ran.folder / file).read_bytes(), file
    assert (root / "reports/results.md").exists()
    assert workspace.run(f"{CHECK} {option}").stdout == workspace.run(CHECK).stdout == BOTH_IDLE
    assert jobs_of(workspace, "dvc repro studies/mine/dvc.yaml") == []
    (root / "runs/fer2013-dnn/0.0/weights.safetensors").unlink()
    verified = workspace.run(f"python workflow/scripts/engines.py verify {option}").stdout
    assert "studies/mine/runs/fer2013-dnn/0.0/weights.safetensors is missing\n  restored" in verified


def test_a_run_that_cannot_be_recorded_says_so_before_its_first_job_and_shows_its_results(workspace, tmp_path):
    """Record, check and pull say the same; what needs neither DVC nor git goes on."""
    for folder in (".git", ".snakemake", "runs/fer2013-dnn"):
        shutil.rmtree(workspace.folder / folder)
    (workspace.folder / "dvc.lock").unlink()
    clone = Clone(shutil.move(workspace.folder, tmp_path / "other/fer-main"))
    clone.environment |= {"MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"}
    subprocess.run(["git", "init", "-q", str(tmp_path / "other")], check=True)
    log = clone.run("snakemake --cores 2 all").stdout
    reason = "this folder is not a git repository of its own"
    assert log.index(f"will not be recorded in DVC: {reason}") < log.index("train fer2013-dnn")
    assert f"not recorded in DVC: {reason}" in log and "1 of them new" in log and "reports/results.md" in log
    assert json.loads((clone.folder / RUN / "environment.json").read_text())["commit"] == "unknown"
    assert f"snakemake: nothing to do\ndvc:       not recorded: {reason}" in clone.run(CHECK).stdout
    pulled = clone.run("python workflow/scripts/engines.py pull", ok=False)
    assert pulled.returncode == 2 and f"nothing can be pulled: {reason}" in pulled.stdout


def put(clone, *names):
    """Write files of the README into a clone: the code blocks whose first line is the name of a file."""
    blocks = dict(re.findall(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", README, re.DOTALL))
    for name in names:
        (clone.folder / name).write_text(blocks[name])


def test_the_readme_s_own_dataset_takes_one_parameter_file_whatever_its_files_are_called(workspace):
    put(workspace, "params/datasets/mine.yaml", "params/experiments/mine-dnn.yaml")
    source = workspace.folder / "sources/mine ' faces; $(touch owned)"
    for number, (label, subject) in enumerate(itertools.product(("angry", "happy", "sad", "neutral"), range(12))):
        path = source / label / f"s{subject:02}_{number} '`touch owned`\";touch owned;&.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), synthetic.render(expression(label), subject, number).visible)
    workspace.edit("params/datasets/mine.yaml", source=str(source))
    workspace.edit("params/study.yaml", experiments=TINY["experiments"] | {"mine-dnn": {"steps": 3}})
    workspace.run("snakemake --cores 8 runs/mine-dnn/3.0/metrics.json data/blocks/mine.parquet")
    counts = json.loads((workspace.folder / "data/index/mine.counts.json").read_text())
    assert counts["found"] == {"all": [12, 12, 12, 12]} and counts["subjects"] == 12
    split = pd.read_parquet(workspace.folder / "data/splits/mine.kfold_subject.parquet")
    assert sorted(split["fold"].unique()) == [str(fold) for fold in range(10)]
    assert not list(workspace.folder.rglob("owned"))


def test_the_readme_s_own_system_takes_its_place_beside_ours(workspace):
    put(workspace, "fer/systems/linear.py", "params/systems/linear.yaml", "params/experiments/fer2013-linear.yaml")
    workspace.edit("params/study.yaml", experiments=TINY["experiments"] | {"fer2013-linear": {"epochs": 1}})
    assert jobs_of(workspace, ALL) == [log.replace("dnn", "linear") for log in RUN_OF_DNN]
    assert "Logistic regression" in (workspace.folder / "reports/results.md").read_text()
    assert workspace.run(CHECK).stdout == BOTH_IDLE


@pytest.mark.slow
def test_a_run_stopped_by_ctrl_c_goes_on_and_ends_the_same(ran, make_clone):
    clone = make_clone()
    process = start(clone, ALL)
    wait_until((clone.folder / "data/splits").exists, process)
    os.killpg(process.pid, signal.SIGINT)
    process.wait(timeout=300)
    clone.run(ALL)
    ends_as(ran, clone)


def start(clone, command):
    """Start a command in a clone, with a folder of its own for temporary files, and its output in a file beside."""
    temporary = clone.folder.parent / "temporary"
    temporary.mkdir(exist_ok=True)
    environment = clone.environment | {"TMPDIR": str(temporary)}
    output = clone.folder.parent / "output"
    with output.open("w") as file:
        options = {"stdout": file, "stderr": subprocess.STDOUT, "start_new_session": True}
        process = subprocess.Popen(command.split(), cwd=clone.folder, env=environment, **options)
    process.output = output
    return process


def wait_until(condition, process):
    while not condition():
        assert process.poll() is None, f"ended before: {process.output.read_text()}"
        time.sleep(0.01)


def kill(process):
    """Kill a command with all its processes; return whether it was still under way."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait(timeout=300) == -signal.SIGKILL


def files(clone):
    """Return every file of a clone but those that git, DVC, Snakemake and MLflow keep for themselves, and the logs."""
    own = {".git", ".dvc", ".snakemake", "mlruns", "logs", "__pycache__"}
    paths = [path.relative_to(clone.folder) for path in clone.folder.rglob("*") if path.is_file()]
    return {path for path in paths if not own & set(path.parts) and "mlflow.db" not in path.name}


def ends_as(ran, clone):
    """Assert that a clone holds what an undisturbed run made, to the bit, nothing else, and no engine's lock."""
    assert files(clone) == files(ran)
    for file in files(ran):
        if file.parts[0] in ("data", "runs") and file.name not in MEASURED:
            assert (clone.folder / file).read_bytes() == (ran.folder / file).read_bytes(), file
    for kept in ("locks", "incomplete"):
        assert not list((clone.folder / ".snakemake" / kept).glob("*"))
    assert not json.loads((clone.folder / ".dvc/tmp/rwlock").read_text()).get("write")
    assert [
        path for path in clone.folder.glob(".dvc/cache/files/md5/*/*") if len(path.name.removesuffix(".dir")) != 30
    ] == []
    temporary = clone.folder.parent / "temporary"
    # Snakemake, its solver, Python's pools and torch leave an empty folder or a small file there: not ours to clear
    theirs = ("snakemake", "pymp-", "torchinductor_")
    left = [path.name for path in temporary.iterdir() if not path.name.startswith(theirs) and "-pulp." not in path.name]
    assert left == []


def copies(clone, folder, number):
    """Yield copies of a clone with all its files, one after the other."""
    for each in range(number):
        shutil.copytree(clone.folder, folder / str(each) / "fer", symlinks=True)
        yield Clone(folder / str(each) / "fer")
        shutil.rmtree(folder / str(each))


@pytest.mark.parametrize("times", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_snakemake_killed_at_any_moment_asks_to_be_unlocked_and_ends_the_same(ran, make_clone, tmp_path, times):
    moments, landed, asked = random.Random("snakemake"), 0, 0
    for clone in copies(make_clone(), tmp_path, times):
        process = start(clone, ALL)
        if times == 1:  # in the middle of it, however fast the machine
            wait_until((clone.folder / "data/splits").exists, process)
        else:
            time.sleep(moments.uniform(0.2, 0.9) * ran.seconds)
        landed += kill(process)
        again = clone.run(MAKE_ALL, ok=False)
        if again.returncode:
            assert "It can be removed with the --unlock argument" in again.stdout
            asked += 1
            clone.run("snakemake --unlock")
            again = clone.run(MAKE_ALL)
        assert clone.run("dvc status").stdout.strip() == "Data and pipelines are up to date."
        ends_as(ran, clone)
    assert landed and asked


def unmake(clone, stages):
    """Take stages back as if they had never run: what they made, their place in dvc.lock and in DVC's cache of runs."""
    file = clone.folder / "dvc.lock"
    lock = yaml.safe_load(file.read_text())
    for out in [out for stage in stages for out in lock["stages"].pop(stage)["outs"]]:
        (clone.folder / out["path"]).unlink()
    file.write_text(yaml.safe_dump(lock, sort_keys=False))
    shutil.rmtree(clone.folder / ".dvc/cache/runs", ignore_errors=True)
    shutil.rmtree(clone.folder / "logs")


@pytest.mark.parametrize("times", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_dvc_repro_killed_at_any_moment_needs_no_unlocking_and_ends_the_same(ran, tmp_path, times):
    moments, landed = random.Random("dvc"), 0
    for clone in copies(ran, tmp_path, times):
        unmake(clone, ["train-fer2013-dnn-0-0", "evaluate-fer2013-dnn-0-0"])
        process = start(clone, "dvc repro")
        log = moments.choice([log for log in RUN_OF_DNN if "train" in log or "evaluate" in log])  # more is to follow
        wait_until((clone.folder / log).exists, process)
        time.sleep(moments.uniform(0, 3))
        landed += kill(process)
        again = clone.run("dvc repro", ok=False)
        if again.returncode:  # it was writing dvc.lock
            assert "dvc.lock" in again.stdout
            (clone.folder / "dvc.lock").unlink()
            clone.run("dvc repro")
        assert clone.run("dvc status").stdout.strip() == "Data and pipelines are up to date."
        ends_as(ran, clone)
    assert landed


def test_a_process_that_dvc_takes_for_the_killed_one_is_named_with_the_way_out(workspace):
    """The system may have given the number of the killed process to another, such as this one."""
    lock = workspace.folder / ".dvc/tmp/rwlock"
    killed = {"pid": os.getpid(), "cmd": "dvc repro"}
    lock.write_text(json.dumps({"write": {str(workspace.folder / "data/raw/fer2013.parquet"): killed}}))
    message = workspace.run("dvc repro", ok=False).stdout
    assert (
        f"(PID {os.getpid()}): dvc repro" in message
        and "you can manually remove" in message
        and ".dvc/tmp/rwlock'" in message
    )


def unrecord(clone):
    """Leave what Snakemake made, and nothing of DVC's."""
    (clone.folder / "dvc.lock").unlink()
    shutil.rmtree(clone.folder / ".dvc/cache")


def test_a_dvc_lock_that_dvc_was_killed_over_is_recorded_anew_by_the_next_make_all(workspace):
    """`dvc repro` rewrites the file in place, which takes seconds for hundreds of stages; `record` does not."""
    lock = workspace.folder / "dvc.lock"
    whole = lock.read_bytes()
    lock.write_bytes(whole[: whole.rindex(b"- path") + 4])  # some cuts leave what DVC can read
    result = workspace.run(CHECK, ok=False)
    assert result.returncode == 2 and "dvc.lock cannot be read by DVC" in result.stdout
    workspace.run(MAKE_ALL)
    assert lock.read_bytes() == whole
    assert workspace.run(CHECK).stdout == BOTH_IDLE


@pytest.mark.slow
def test_recording_killed_at_any_moment_is_made_up_for_by_the_next_make_all(ran, tmp_path):
    moments, landed, seconds = random.Random("record"), 0, None
    for clone in copies(ran, tmp_path, 1 + 20):
        unrecord(clone)
        started, process = time.monotonic(), start(clone, RECORD)
        if seconds is None:
            assert process.wait(timeout=300) == 0
            seconds = time.monotonic() - started
        else:
            time.sleep(moments.uniform(0.1, 1) * seconds)
            landed += kill(process)
        clone.run(MAKE_ALL)
        assert clone.run(CHECK).stdout == BOTH_IDLE
        assert "2 runs in MLflow" in (tracked := clone.run("fer track").stdout) and "0 of them new" in tracked
        ends_as(ran, clone)
    assert landed
