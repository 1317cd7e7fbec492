#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A real Slurm whose nodes are all this machine, with everything it needs (munge too) inside one folder.

    slurm.py FOLDER            starts it, prints what to export, ends it at the end of standard input

Needs root and the Debian packages slurm-wlm and munge. It starts and ends its own processes only.
"""
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TORQUE = os.environ.get("PELLUCID_TORQUE", os.path.join(ROOT, "build", "aside", "torque"))

CONF = """\
ClusterName=test{port}
SlurmctldHost=localhost
SlurmctldPort={port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.own
SlurmdPidFile={folder}/%n.own
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=0,sched_interval=2
ReturnToService=2
MpiDefault=none
SwitchType=switch/none
KillWait=5
MaxArraySize=11
NodeName=n[1-{nodes}] NodeHostname=localhost Port=[{first}-{last}] CPUs={cpus} Boards=1 SocketsPerBoard=1 CoresPerSocket={cpus} ThreadsPerCore=1 RealMemory={memory}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
PartitionName=closed Nodes=ALL MaxTime=INFINITE State=DOWN
"""


def die_with_parent():
    """So that a test run that is killed leaves no daemon behind."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM, 0, 0, 0)


def missing():
    """Why it cannot run here; None: it can."""
    if os.geteuid() != 0:
        return "a Slurm of its own needs root"
    for program in ("munged", "slurmctld", "slurmd", "sbatch"):
        if not shutil.which(program):
            return f"no {program} (packages slurm-wlm, munge)"
    if not os.path.ismount("/sys/fs/cgroup"):
        return "slurmd does not start without /sys/fs/cgroup"
    return None


def free_ports(count):
    """The first of `count` ports that nobody uses."""
    for first in range(17100 + os.getpid() % 1000, 30000, count):
        sockets = []
        try:
            for port in range(first, first + count):
                sockets.append(socket.socket())
                sockets[-1].bind(("", port))
            return first
        except OSError:
            pass
        finally:
            for s in sockets:
                s.close()
    raise OSError("no free ports")


class Slurm:
    def __init__(self, folder, nodes=3, cpus=2):
        self.folder, self.nodes, self.processes = str(folder), nodes, []
        self.aside = set()  # numbers of jobs that go on beside others, and are nobody else's business
        port = free_ports(nodes + 1)
        for name in ("state", *(f"spool/n{i + 1}" for i in range(nodes))):
            os.makedirs(os.path.join(self.folder, name), exist_ok=True)
        os.chmod(self.folder, 0o755)
        memory = int(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**20 * 0.9 / nodes)
        self.conf = os.path.join(self.folder, "slurm.conf")
        with open(self.conf, "w") as f:
            f.write(CONF.format(folder=self.folder, port=port, first=port + 1, last=port + nodes, nodes=nodes, cpus=cpus, memory=memory))
        self.env = {**os.environ, "SLURM_CONF": self.conf}
        self.env = {k: v for k, v in self.env.items() if not k.startswith("SLURM_") or k == "SLURM_CONF"}

    def torque(self):
        """The environment in which qsub, qstat and qdel are those of Torque over this Slurm; None: they are not there."""
        programs = os.path.join(TORQUE, "usr", "bin")
        if not os.access(os.path.join(programs, "qsub"), os.X_OK):
            return None
        own = os.path.join(self.folder, "torque") # qsub looks for sbatch beside itself
        os.makedirs(own, exist_ok=True)
        for name in os.listdir(programs):
            shutil.copy2(os.path.join(programs, name), own)
        for name in ("sbatch", "salloc", "srun"):
            if not os.path.exists(os.path.join(own, name)):
                os.symlink(shutil.which(name), os.path.join(own, name))
        perl = [os.path.join(TORQUE, "usr/share/perl5")]
        perl += [at for at, _, names in os.walk(os.path.join(TORQUE, "usr/lib")) if "Slurm.pm" in names]
        libraries = [at for at, _, names in os.walk(os.path.join(TORQUE, "usr/lib")) if any(n.startswith("libslurm.so") for n in names)]
        return {**self.env, "PATH": f"{own}:{os.environ['PATH']}", "PERL5LIB": ":".join(perl), "LD_LIBRARY_PATH": ":".join(libraries)}

    def spawn(self, *words):
        log = open(os.path.join(self.folder, f"{words[0]}-{len(self.processes)}.out"), "w")
        self.processes.append(subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env, start_new_session=True, preexec_fn=die_with_parent))

    def start(self):
        key = os.path.join(self.folder, "munge.key")
        with open(os.open(key, os.O_WRONLY | os.O_CREAT, 0o400), "wb") as f:
            f.write(os.urandom(1024))
        self.spawn("munged", "--foreground", "--force", f"--key-file={key}", f"--socket={self.folder}/munge.sock", f"--pid-file={self.folder}/munged.own",
                   f"--log-file={self.folder}/munged.log", f"--seed-file={self.folder}/munge.seed")
        while not os.path.exists(f"{self.folder}/munge.sock") and self.processes[0].poll() is None:
            time.sleep(0.05)
        self.spawn("slurmctld", "-D", "-f", self.conf)
        for i in range(self.nodes):
            self.spawn("slurmd", "-D", "-N", f"n{i + 1}", "-f", self.conf)
        for _ in range(600):
            if self("sinfo", "-h", "-p", "main", "-t", "idle", "-o", "%D").stdout.strip() == str(self.nodes):
                return self
            time.sleep(0.1)
        logs = "".join(open(os.path.join(self.folder, n)).read()[-2000:] for n in sorted(os.listdir(self.folder)) if n.endswith((".log", ".out")))
        self.stop()
        raise RuntimeError("Slurm did not come up\n" + logs)

    def __call__(self, *words):
        return subprocess.run(words, env=self.env, capture_output=True, text=True, timeout=60)

    def queue(self):
        """State of every job task that the scheduler knows: {id: state}."""
        lines = self("squeue", "-h", "-r", "-t", "all", "-o", "%i %T").stdout.split("\n")
        return dict(line.split() for line in lines if line)

    def wait(self, *numbers):
        """Until none of these jobs waits or runs; of all jobs where none is named."""
        while any(not numbers and n not in self.aside or n in numbers for n in self("squeue", "-h", "-r", "-o", "%A").stdout.split()):
            time.sleep(0.2)

    def kill(self, jobs):
        """As at the end of their time, all processes of the jobs of a run."""
        self("scancel", "--signal=KILL", "--full", *{j["id"] for j in jobs})

    def stop(self):
        jobs = self("squeue", "-h", "-o", "%A").stdout.split() if len(self.processes) > 1 else []
        if jobs:
            self("scancel", *jobs)
            for _ in range(100):
                if not self("squeue", "-h").stdout.strip():
                    break
                time.sleep(0.1)
        for p in reversed(self.processes):
            p.terminate()
        for p in reversed(self.processes):
            try:
                p.wait(10)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()


if __name__ == "__main__":
    if missing() or len(sys.argv) != 2:
        sys.exit(missing() or __doc__)
    slurm = Slurm(os.path.abspath(sys.argv[1])).start()
    try:
        print(f"export SLURM_CONF={slurm.conf}", flush=True)
        sys.stdin.read()
    finally:
        slurm.stop()
