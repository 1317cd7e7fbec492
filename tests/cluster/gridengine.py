#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A real Grid Engine whose one host is this machine, with everything it needs inside one folder.

    gridengine.py FOLDER       starts it, prints what to export, ends it at the end of standard input

Needs root, and Debian's gridengine packages: installed, or unpacked aside as scripts/deps.sh does (they cannot be installed beside
slurm-wlm-torque, and would start daemons). It starts and ends its own processes only.
"""
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ASIDE = os.environ.get("PELLUCID_GRIDENGINE", os.path.join(ROOT, "build", "aside", "gridengine"))

BOOTSTRAP = """\
admin_user              none
default_domain          none
ignore_fqdn             false
spooling_method         classic
spooling_lib            {library}
spooling_params         {common};{spool}
binary_path             {root}/bin
qmaster_spool_dir       {spool}
security_mode           none
listener_threads        2
worker_threads          2
scheduler_threads       1
"""
HOST = """\
hostname              {host}
load_scaling          NONE
complex_values        NONE
user_lists            NONE
xuser_lists           NONE
projects              NONE
xprojects             NONE
usage_scaling         NONE
report_variables      NONE
"""
# Jobs of root; the scheduler acts at once, and accounting is written at once.
GLOBAL = {"execd_spool_dir": "{spool}/execd", "min_uid": "0", "min_gid": "0", "administrator_mail": "none", "load_report_time": "00:00:01",
          "reporting_params": "accounting=true reporting=false flush_time=00:00:01 accounting_flush_time=00:00:00 joblog=false sharelog=00:00:00",
          "gid_range": "{gids}", "mailer": "/bin/true"}
SCHEDULER = {"schedule_interval": "0:0:1", "flush_submit_sec": "1", "flush_finish_sec": "1"}
QUEUE = {"hostlist": "{host}", "slots": "{slots}", "pe_list": "smp", "shell": "/bin/sh", "notify": "00:00:05", "load_thresholds": "NONE"}
PARALLEL = """\
pe_name            smp
slots              999
user_lists         NONE
xuser_lists        NONE
start_proc_args    NONE
stop_proc_args     NONE
allocation_rule    $pe_slots
control_slaves     TRUE
job_is_first_task  TRUE
urgency_slots      min
accounting_summary FALSE
qsort_args         NONE
"""


def programs():
    """Folder of Grid Engine's own binaries; None: there is none."""
    for root in ("/", ASIDE):
        folder = os.path.join(root, "usr/lib/gridengine")
        if os.access(os.path.join(folder, "sge_qmaster"), os.X_OK) and os.access(os.path.join(folder, "sge_execd"), os.X_OK):
            return folder
    return None


def die_with_parent():
    """So that a test run that is killed leaves no daemon behind."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM, 0, 0, 0)


def missing():
    """Why it cannot run here; None: it can."""
    if os.geteuid() != 0:
        return "a Grid Engine of its own needs root"
    if not programs():
        return "no Grid Engine (scripts/deps.sh tests unpacks it into build/aside)"
    return None


def free_port():
    with socket.socket() as s:
        s.bind(("", 0))
        return s.getsockname()[1]


def replaced(text, values):
    """Lines "name value" with other values."""
    names = {line.split()[0] for line in text.split("\n") if line.strip() and not line.startswith((" ", "#"))}
    assert set(values) <= names, set(values) - names
    return "\n".join(f"{line.split()[0]} {values[line.split()[0]]}" if line.split() and line.split()[0] in values else line
                     for line in text.split("\n"))


class GridEngine:
    def __init__(self, folder, slots=3):
        self.folder, self.slots, self.processes = str(folder), slots, []
        self.short = tempfile.mkdtemp(prefix="sge-")
        self.root, self.host = os.path.join(self.folder, "root"), socket.gethostname()
        self.common, self.spool = os.path.join(self.root, "default", "common"), os.path.join(self.folder, "spool")
        binaries = programs()
        share = os.path.join(os.path.dirname(os.path.dirname(binaries)), "share", "gridengine")
        library = os.path.join(os.path.dirname(binaries), "x86_64-linux-gnu")
        for name in (self.common, os.path.join(self.spool, "execd"), os.path.join(self.spool, "job_scripts"), os.path.join(self.root, "bin"),
                     os.path.join(self.root, "lib"), os.path.join(self.root, "utilbin")):
            os.makedirs(name, exist_ok=True)
        os.chmod(self.folder, 0o755)
        architecture = subprocess.run([os.path.join(share, "util", "arch")], capture_output=True, text=True).stdout.strip()
        for name in ("bin", "lib", "utilbin"):
            os.symlink(binaries, os.path.join(self.root, name, architecture))
        os.symlink(os.path.join(share, "util"), os.path.join(self.root, "util"))
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("SGE_", "SLURM_"))}
        self.env.update(SGE_ROOT=self.root, SGE_CELL="default", SGE_QMASTER_PORT=str(free_port()), SGE_EXECD_PORT=str(free_port()), SGE_ND="1",
                        PATH=f"{binaries}:{os.environ['PATH']}", LD_LIBRARY_PATH=f"{binaries}:{library}")

    def __call__(self, *words):
        return subprocess.run(words, env=self.env, capture_output=True, text=True, timeout=60)

    def ok(self, *words):
        done = self(*words)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(words)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w") as f:
            f.write(text)
        return path

    def spawn(self, program):
        log = open(os.path.join(self.folder, os.path.basename(program) + ".out"), "w")
        self.processes.append(subprocess.Popen([program], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env, start_new_session=True, preexec_fn=die_with_parent,
                                               cwd=self.folder))

    def patched(self, name):
        """A copy of a program that finds the spooling library by its whole name: the place that is built into it exists only where the
        packages are installed."""
        path = os.path.join(self.folder, name)
        with open(os.path.join(programs(), name), "rb") as f:
            code = f.read()
        place = b"/usr/lib/gridengine/%s%s"
        assert code.count(place) == 1
        with open(path, "wb") as f:
            f.write(code.replace(place, b"%s%s".ljust(len(place), b"\0")))
        os.chmod(path, 0o755)
        return path

    def values(self, table):
        gids = 20000 + os.getpid() % 20000 # groups by which jobs are told apart
        return {k: v.format(spool=self.spool, host=self.host, slots=self.slots, gids=f"{gids}-{gids + 200}") for k, v in table.items()}

    def initialise(self):
        binaries, share = programs(), os.path.join(os.path.dirname(os.path.dirname(programs())), "share", "gridengine")
        library = os.path.join(self.short, "l") # the name may not be longer than about 60 letters
        os.symlink(os.path.join(binaries, "libspoolc.so"), library + ".so")
        with open(os.path.join(self.common, "bootstrap"), "w") as f:
            f.write(BOOTSTRAP.format(common=self.common, spool=self.spool, root=self.root, library=library))
        with open(os.path.join(self.common, "act_qmaster"), "w") as f:
            f.write(self.host + "\n")
        with open(os.path.join(self.common, "host_aliases"), "w") as f:
            f.write(f"{self.host} localhost\n")
        with open(os.path.join(share, "default-configuration")) as f:
            conf = self.write("configuration", replaced(f.read(), self.values(GLOBAL)))
        self.ok(self.patched("spoolinit"), "classic", library, f"{self.common};{self.spool}", "init")
        defaults = self.patched("spooldefaults.bin")
        self.ok(defaults, "configuration", conf)
        self.ok(defaults, "complexes", os.path.join(share, "util/resources/centry"))
        self.ok(defaults, "usersets", os.path.join(share, "util/resources/usersets"))
        self.ok(defaults, "managers", "root")

    def wait_for(self, what, *words):
        for _ in range(300):
            if self(*words).returncode == 0:
                return
            if self.processes[-1].poll() is not None:
                break
            time.sleep(0.1)
        raise RuntimeError(f"Grid Engine: {what} did not come up\n{self(*words).stderr}" + self.logs())

    def logs(self):
        text = ""
        for at, _, names in os.walk(self.folder):
            for n in names:
                if n == "messages" or n.endswith(".out"):
                    with open(os.path.join(at, n)) as f:
                        text += f"== {n}\n" + f.read()[-2000:]
        return text

    def start(self):
        try:
            self.initialise()
            self.spawn(self.patched("sge_qmaster"))
            self.wait_for("the master", "qconf", "-sm")
            self.ok("qconf", "-Ae", self.write("host", HOST.format(host=self.host)))
            self.ok("qconf", "-as", self.host)
            self.ok("qconf", "-Msconf", self.write("scheduler", replaced(self.ok("qconf", "-ssconf"), SCHEDULER)))
            self.ok("qconf", "-Ap", self.write("parallel", PARALLEL))
            self.ok("qconf", "-Aq", self.write("queue", self.queue_text()))
            self.spawn("sge_execd")
            for _ in range(300):
                if f"0/0/{self.slots}" in self("qstat", "-f").stdout and " au" not in self("qstat", "-f").stdout:
                    return self
                time.sleep(0.1)
            raise RuntimeError("Grid Engine: the host did not come up\n" + self("qstat", "-f").stdout + self.logs())
        except RuntimeError:
            self.stop()
            raise

    def queue_text(self):
        # without the host there is a template, whose values are those of a new queue
        text = self.ok("sh", "-c", "EDITOR=cat qconf -aq all.q 2>&1 | sed -n '/^qname/,/^h_vmem/p'")
        return replaced(text, self.values(QUEUE))

    def wait(self, seconds=600):
        """Until no job waits or runs."""
        end = time.monotonic() + seconds
        while self.ok("qstat").strip():
            assert time.monotonic() < end, self("qstat").stdout
            time.sleep(0.2)

    def stop(self):
        if self.processes:
            self("qdel", "-f", "-u", "root")
            for _ in range(100):
                if not self("qstat").stdout.strip():
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
        shutil.rmtree(self.short, ignore_errors=True)


if __name__ == "__main__":
    if missing() or len(sys.argv) != 2:
        sys.exit(missing() or __doc__)
    engine = GridEngine(os.path.abspath(sys.argv[1])).start()
    try:
        for name in ("SGE_ROOT", "SGE_CELL", "SGE_QMASTER_PORT", "SGE_EXECD_PORT", "PATH", "LD_LIBRARY_PATH"):
            print(f"export {name}={engine.env[name]}", flush=True)
        sys.stdin.read()
    finally:
        engine.stop()
