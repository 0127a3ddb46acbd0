"""A SLURM of three hosts: one that users log in to, with the controller, and two that compute."""

import os
import re
import shutil
from pathlib import Path

from hosts import NEEDED, Network, wait_until

NEEDED_BY_SLURM = NEEDED | {
    "slurmctld": "slurm-wlm",
    "slurmd": "slurm-wlm",
    "sbatch": "slurm-wlm",
    "munged": "munge",
}

NODES = ("n1", "n2")

CORES, GPUS = 2, 2
"""What SLURM is told that each node has. The GPUs are files, with which SLURM is content."""

SLURM_CONF = """
ClusterName=lip
SlurmctldHost=login
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=/run/munge/munge.socket.2,cred_expire=10
CryptoType=crypto/munge
StateSaveLocation=/srv/host/state
SlurmdSpoolDir=/srv/host/spool
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
SlurmctldLogFile=/srv/host/slurmctld.log
SlurmdLogFile=/srv/host/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=5,sched_interval=5,batch_sched_delay=1
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobRequeue=1
KillWait=60
SlurmdTimeout=20
InactiveLimit=0
ReturnToService=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
GresTypes=gpu
MpiDefault=none
NodeName=n[1-2] CPUs={cores} RealMemory=8000 Gres=gpu:{gpus} State=UNKNOWN
PartitionName=spare Nodes=n[1-2] Default=YES PriorityTier=1 GraceTime=60 State=UP
PartitionName=first Nodes=n[1-2] PriorityTier=2 PreemptMode=OFF State=UP
"""

GRES_CONF = "NodeName=n[1-2] Name=gpu File=/dev/tty[0-{last}]\n"

MORE = """
[ -d /etc/slurm ] || mount -t overlay overlay -o lowerdir=/etc:/etc /etc
mount --bind /srv/shared/slurm /etc/slurm
mkdir -m 755 /run/munge
mkdir -p /srv/host/state /srv/host/spool
chown munge:munge /run/munge
"""

ENDED = re.compile(r"JobState=(COMPLETED|FAILED|CANCELLED|TIMEOUT|NODE_FAIL|OUT_OF_MEMORY)")


class SlurmCluster:
    """The hosts, and the commands of their user."""

    def __init__(self, folder: Path) -> None:
        configured = folder / "shared" / "slurm"
        configured.mkdir(parents=True)
        (configured / "slurm.conf").write_text(SLURM_CONF.format(cores=CORES, gpus=GPUS))
        (configured / "gres.conf").write_text(GRES_CONF.format(last=GPUS - 1))
        key = folder / "shared" / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        shutil.chown(key, "munge", "munge")
        self.network = Network(folder, ("login", *NODES), one_home=True, more=MORE)
        self.login = self.network["login"]
        self.home = self.network.shared / "home"
        for name in self.network.hosts:
            self._authenticate(name)
        self.login.start("slurmctld", "-D", log="slurmctld.out", root=True)
        for name in NODES:
            self._serve(name)
        self.wait_for_nodes()

    def wait_for_nodes(self) -> None:
        """Return once all nodes take jobs."""
        wait_until(
            lambda: self.shell("sinfo -h -p spare -o '%D %T'", check=False) == f"{len(NODES)} idle",
            "idle nodes",
        )

    def replace(self, node: str) -> None:
        """Start a node again that was killed."""
        self.network[node].boot()
        self._authenticate(node)
        self._serve(node)

    def shell(self, script: str, *, check: bool = True) -> str:
        """Run lines of bash on the login host."""
        return self.login.shell(script, check=check)

    def submit(self, *words: str) -> str:
        """Give a job to sbatch; the job's id."""
        printed = self.login.run("sbatch", "--parsable", *words).stdout
        return printed.strip().split(";")[0]

    def state(self, job: str) -> str:
        """What SLURM knows of a job."""
        return self.shell(f"scontrol -o show job {job}", check=False)

    def wait_for_end(self, job: str, *, patience_s: float) -> str:
        """Return SLURM's word for how a job, or the last of its array, has ended."""

        def ended() -> bool:
            lines = self.state(job).splitlines()
            return bool(lines) and all(ENDED.search(line) for line in lines)

        try:
            wait_until(ended, f"the end of job {job}", patience_s=patience_s, every_s=1)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.state(job)}\n{self.logs()}") from None
        found = [ENDED.search(line) for line in self.state(job).splitlines()]
        return " ".join(sorted({one[1] for one in found if one}))

    def logs(self) -> str:
        """All that jobs have printed."""
        files = sorted(self.home.glob("*.log"), key=lambda path: path.stat().st_mtime)
        return "\n".join(f"{path.name}:\n{path.read_text()}" for path in files)

    def shutdown(self) -> None:
        """End it with its hosts."""
        self.network.shutdown()

    def _authenticate(self, name: str) -> None:
        host = self.network[name]
        # --force: the mount above it is none of its business
        host.run(
            *("setpriv", "--reuid", "munge", "--regid", "munge", "--clear-groups", "munged"),
            *("--force", "--key-file", "/srv/shared/munge.key", "--log-file", "/run/munge/log"),
            *("--pid-file", "/run/munge/pid", "--seed-file", "/run/munge/seed"),
            root=True,
        )

    def _serve(self, name: str) -> None:
        self.network[name].start("slurmd", "-D", "-N", name, log="slurmd.out", root=True)
