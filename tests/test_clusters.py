"""On a cluster: the profiles keep what the default one promises, jobs ask for what they need, Slurm runs the line."""

import os
import platform
import re
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from conftest import PROJECT

RULES = {path.stem: path.read_text() for path in (PROJECT / "workflow/rules").glob("*.smk")}
MEASURED = {"environment.json", "summary.json"}  # when and how fast, which is never the same twice


def profile(name):
    return yaml.safe_load((PROJECT / "profiles" / name / "config.yaml").read_text())


@pytest.mark.parametrize("name", ["slurm", "cluster"])
def test_a_cluster_profile_repeats_the_default_one(name):
    assert profile("default").items() <= profile(name).items()


def test_every_rule_that_runs_a_command_asks_for_memory_and_minutes_of_the_table():
    table = yaml.safe_load((PROJECT / "workflow/resources.yaml").read_text())
    asking = set()
    for text in RULES.values():
        for rule in re.split(r"^rule ", text, flags=re.MULTILINE)[1:]:
            if "\n    shell:" in rule:
                asked = re.findall(r"mem_mb=memory\(\"(\w+)\"\),\s+runtime=runtime\(\"(\w+)\"\)", rule)
                assert len(asked) == 1 and len(set(asked[0])) == 1, rule
                asking.add(asked[0][0])
    assert asking == table.keys()


def test_the_grouped_rules_are_rules():
    assert profile("slurm")["groups"].keys() <= RULES.keys()


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """Slurm on this machine: a controller and one node with eight cores and two GPUs that do not exist."""
    if not (shutil.which("slurmctld") and shutil.which("slurmd") and shutil.which("munged")):
        pytest.skip("Slurm is not installed (Debian: slurm-wlm, munge)")
    if not find_spec("snakemake_executor_plugin_slurm"):
        pytest.skip("pip install -e '.[slurm]'")
    if os.getuid():
        pytest.skip("starting Slurm needs root")
    configuration = Path("/etc/slurm")  # where jobs look for it: Snakemake's executor keeps SLURM_CONF from them
    if (configuration / "slurm.conf").exists():
        pytest.skip("this machine has a Slurm of its own")
    folder = tmp_path_factory.mktemp("slurm")
    (folder / "gres.conf").write_text("".join(f"NodeName=n1 Name=gpu File=/dev/{name}\n" for name in ("null", "zero")))
    for name in ("state", "spool"):
        (folder / name).mkdir()
    (folder / "slurm.conf").write_text(f"""
        ClusterName=test
        SlurmctldHost={platform.node()}(127.0.0.1)
        SlurmctldPort=26817
        SlurmdPort=26818
        SlurmUser=root
        StateSaveLocation={folder}/state
        SlurmdSpoolDir={folder}/spool
        SlurmctldPidFile={folder}/slurmctld.pid
        SlurmdPidFile={folder}/slurmd.pid
        SlurmdParameters=config_overrides
        ProctrackType=proctrack/linuxproc
        TaskPlugin=task/none
        SelectType=select/cons_tres
        SelectTypeParameters=CR_Core_Memory
        GresTypes=gpu
        ReturnToService=2
        NodeName=n1 NodeHostname={platform.node()} NodeAddr=127.0.0.1 CPUs=8 RealMemory=64000 Gres=gpu:2
        PartitionName=all Nodes=n1 Default=YES MaxTime=INFINITE State=UP
    """)
    configuration.mkdir(exist_ok=True)
    for name in ("slurm.conf", "gres.conf"):
        shutil.copy(folder / name, configuration / name)
    log = open(folder / "log", "w")  # noqa: SIM115
    munge = subprocess.run(["pgrep", "munged"], stdout=subprocess.DEVNULL).returncode
    if munge:
        Path("/run/munge").mkdir(exist_ok=True)
        subprocess.run(["munged", "--force"], check=True)
    daemons = [
        subprocess.Popen(words, stdout=log, stderr=log) for words in (["slurmctld", "-D"], ["slurmd", "-D", "-N", "n1"])
    ]
    try:
        for _ in range(60):
            nodes = subprocess.run(["sinfo", "-h", "-o", "%t"], capture_output=True)
            if nodes.stdout.strip() == b"idle":
                break
            time.sleep(1)
        else:
            raise AssertionError((folder / "log").read_text())
        yield
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
            daemon.wait()
        for name in ("slurm.conf", "gres.conf"):
            (configuration / name).unlink()
        if munge:
            subprocess.run(["munged", "--stop"], check=True)


def artifacts(clone):
    files = [path for room in ("data", "runs") for path in (clone.folder / room).rglob("*") if path.is_file()]
    return {path.relative_to(clone.folder): path.read_bytes() for path in files if path.name not in MEASURED}


SLURM = (
    "snakemake --workflow-profile profiles/slurm --slurm-status-command squeue "
    "--slurm-init-seconds-before-status-checks 1 --seconds-between-status-checks 2 --latency-wait 5 all"
)


@pytest.mark.slow
def test_slurm_makes_the_same_bytes_as_one_machine_and_a_killed_head_records_in_the_end(slurm, make_clone):
    local, remote = make_clone(), make_clone()
    local.run("snakemake --cores 2 all")
    head = subprocess.Popen(
        SLURM, shell=True, cwd=remote.folder, env=remote.environment, start_new_session=True, stdout=subprocess.DEVNULL
    )
    while not list(remote.folder.glob("logs/train/*")) and head.poll() is None:
        time.sleep(0.2)
    with suppress(ProcessLookupError):
        os.killpg(head.pid, signal.SIGKILL)
    head.wait()
    remote.run("snakemake --unlock")
    requested = remote.run("scontrol show jobs").stdout  # the jobs outlive the head
    assert re.search(r"Tres\w+=.*gpu", requested), requested
    remote.run("scancel --me; while squeue -h | grep -q .; do sleep 1; done")
    remote.run(SLURM)
    assert artifacts(remote) == artifacts(local)
    assert "snakemake: nothing to do\ndvc:       nothing to do\n" in remote.run("make -o .venv/installed check").stdout
