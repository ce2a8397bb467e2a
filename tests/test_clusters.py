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

import psutil
import pytest
import yaml
from conftest import PROJECT, TINY

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
        PartitionName=all Nodes=n1 Default=YES MaxTime=INFINITE State=UP PriorityTier=1
        PartitionName=urgent Nodes=n1 MaxTime=INFINITE State=UP PriorityTier=10
        PreemptType=preempt/partition_prio
        PreemptMode=REQUEUE
        SlurmdTimeout=20
        KillWait=2
        AuthInfo=cred_expire=20
    """)
    configuration.mkdir(exist_ok=True)
    for name in ("slurm.conf", "gres.conf"):
        shutil.copy(folder / name, configuration / name)
    log = open(folder / "log", "w")  # noqa: SIM115
    munge = subprocess.run(["pgrep", "munged"], stdout=subprocess.DEVNULL).returncode
    if munge:
        Path("/run/munge").mkdir(exist_ok=True)
        subprocess.run(["munged", "--force"], check=True)
    here = Slurm(log)
    try:
        here.start("slurmctld", "-D")
        here.start("slurmd", "-D", "-N", "n1")
        here.wait_for_node("idle")
        yield here
    except TimeoutError:
        pytest.fail((folder / "log").read_text())
    finally:
        here.stop()
        for name in ("slurm.conf", "gres.conf"):
            (configuration / name).unlink()
        if munge:
            subprocess.run(["munged", "--stop"], check=True)


class Slurm:
    """The daemons of this machine's Slurm."""

    def __init__(self, log):
        self.log, self.daemons = log, {}

    def start(self, *words):
        self.daemons[words[0]] = subprocess.Popen(words, stdout=self.log, stderr=self.log)

    def stop(self):
        subprocess.run(["scancel", "--me"], stdout=self.log, stderr=self.log)
        for daemon in reversed(self.daemons.values()):
            daemon.terminate()
            daemon.wait()

    def wait_for_node(self, state):
        wait_until(lambda: state in said("sinfo", "-h", "-o", "%t"))

    def kill_node(self):
        """Kill the node's daemon and all its jobs, as when it loses its power; it is started again."""
        daemon = self.daemons["slurmd"]
        daemon.kill()
        daemon.wait()
        for steps in [each for each in psutil.process_iter() if each.name() == "slurmstepd"]:
            with suppress(psutil.NoSuchProcess):
                for each in [steps, *steps.children(recursive=True)]:
                    each.kill()
        self.wait_for_node("down")
        self.start("slurmd", "-D", "-N", "n1")
        self.wait_for_node("idle")


def said(*words):
    return subprocess.run(words, capture_output=True, text=True).stdout


def wait_until(true, seconds=900):
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.2)


def artifacts(clone):
    files = [path for room in ("data", "runs") for path in (clone.folder / room).rglob("*") if path.is_file()]
    return {path.relative_to(clone.folder): path.read_bytes() for path in files if path.name not in MEASURED}


SLURM = (
    "snakemake --workflow-profile profiles/slurm "
    "--slurm-init-seconds-before-status-checks 1 --seconds-between-status-checks 2 --latency-wait 5 all"
)


def start(clone):
    """Submit a clone's study from a process that can be killed."""
    options = {"env": clone.environment, "start_new_session": True, "stdout": subprocess.DEVNULL}
    return subprocess.Popen(SLURM, shell=True, cwd=clone.folder, **options)


def kill(head):
    with suppress(ProcessLookupError):
        os.killpg(head.pid, signal.SIGKILL)
    head.wait()


@pytest.mark.slow
def test_slurm_makes_the_same_bytes_as_one_machine_and_a_killed_head_records_in_the_end(slurm, make_clone):
    local, remote = make_clone(), make_clone()
    local.run("snakemake --cores 2 all")
    head = start(remote)
    while not list(remote.folder.glob("logs/train/*")) and head.poll() is None:
        time.sleep(0.2)
    kill(head)
    remote.run("snakemake --unlock")
    requested = remote.run("scontrol show jobs").stdout  # the jobs outlive the head
    assert re.search(r"Tres\w+=.*gpu", requested), requested
    remote.run("scancel --me; while squeue -h | grep -q .; do sleep 1; done")
    remote.run(SLURM)
    assert artifacts(remote) == artifacts(local)
    assert "snakemake: nothing to do\ndvc:       nothing to do\n" in remote.run("make -o .venv/installed check").stdout


LONG = TINY | {"name": "long", "experiments": {"fer2013-attentional_cnn": {"epochs": 60}}}


class Training:
    """The one training of a clone, which goes on from attempt to attempt."""

    def __init__(self, clone):
        self.clone, self.seen = clone, None

    def saved(self):
        """Return when the last epoch was saved."""
        with suppress(FileNotFoundError):  # replaced meanwhile
            files = (self.clone.folder / "runs/fer2013-attentional_cnn/0.0").glob("*.checkpoint")
            return max((path.stat().st_mtime for path in files), default=self.seen)
        return self.seen

    def stopped_after_another_epoch(self):
        """Wait until it has saved another epoch, stop it there, however fast the machine, and return its process."""
        self.seen = self.saved()
        wait_until(lambda: self.saved() != self.seen and self.processes())
        process = self.processes()[0]
        process.suspend()
        return process

    def processes(self):
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, IndexError):
                words = process.cmdline()
                if Path(words[1]).name == "fer" and "train" in words and process.cwd() == str(self.clone.folder):
                    found.append(process)
        return found

    def resumed(self):
        """Return how often it has resumed."""
        log = self.clone.folder / "logs/train/fer2013-attentional_cnn.0.0.log"
        return log.read_text().count("resumed after epoch") if log.exists() else 0


@pytest.mark.slow
def test_a_training_preempted_timed_out_and_then_without_node_and_head_ends_with_the_same_bytes(slurm, make_clone):
    local, remote = make_clone(LONG), make_clone(LONG)
    for clone in (local, remote):  # so that an epoch is the most that a kill costs
        file = clone.folder / "fer/cli/networks.py"
        file.write_text(file.read_text().replace("] = 60,", "] = 0,"))
        clone.commit("save each epoch")
    local.run("snakemake --cores 2 runs/fer2013-attentional_cnn/0.0/summary.json")
    training, head = Training(remote), start(remote)
    try:
        job = training.stopped_after_another_epoch().environ()["SLURM_JOB_ID"]
        subprocess.run(["sbatch", "-p", "urgent", "--exclusive", "-o", "/dev/null", "--wrap", "sleep 1"], check=True)
        wait_until(lambda: training.resumed() == 1)

        process = training.stopped_after_another_epoch()
        assert process.environ()["SLURM_JOB_ID"] == job  # Slurm itself started it again
        subprocess.run(["scontrol", "update", f"JobId={job}", "TimeLimit=1"], check=True)
        wait_until(lambda: training.resumed() == 2)

        process = training.stopped_after_another_epoch()
        assert process.environ()["SLURM_JOB_ID"] != job  # tried again by Snakemake
        slurm.kill_node()
        wait_until(lambda: training.resumed() == 3)
    finally:
        kill(head)
    wait_until(lambda: not said("squeue", "-h"))
    assert (remote.folder / "runs/fer2013-attentional_cnn/0.0/weights.safetensors").exists()
    remote.run("snakemake --unlock")
    remote.run(SLURM)
    assert training.resumed() == 3  # the training that ended without its head was not repeated
    assert artifacts(local).items() <= artifacts(remote).items()
    assert "snakemake: nothing to do\ndvc:       nothing to do\n" in remote.run("make -o .venv/installed check").stdout
