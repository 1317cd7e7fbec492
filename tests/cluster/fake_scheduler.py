#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A scheduler that keeps a list of jobs, runs none of them, and has the faults of real ones: called by the names of the commands of Slurm, PBS, Torque, Grid
Engine, LSF and HTCondor, it answers as they do. Folder/jobs.json: the jobs; fault.json: how each kind of command fails from now on; peak: the most jobs alive.

    ask:    fail | hang | torn (half of the lines, then killed) | part (half of the lines, status 0) | stale (nothing that was submitted since)
    submit: lie (says that it failed, and did it) | late (does it, then hangs) | fail | no-arrays | most:N (jobs of one array, jobs in all)
    cancel: fail
"""
import fcntl
import json
import os
import re
import signal
import sys
import time

FOLDER = os.path.dirname(os.path.abspath(sys.argv[0]))
NAME = os.path.basename(sys.argv[0])
KINDS = {"ask": ("squeue", "qstat", "qselect", "bjobs", "condor_q", "qacct", "condor_history", "sacct", "scontrol"),
         "submit": ("sbatch", "qsub", "bsub", "condor_submit"), "cancel": ("scancel", "qdel", "bkill", "condor_rm")}
COMMANDS = [c for names in KINDS.values() for c in names]
DOWN = {"slurm": "slurm_load_jobs error: Socket timed out on send/recv operation", "pbs": "qstat: cannot connect to server head (errno=15010)",
        "torque": "qstat: cannot connect to server head (errno=111) Connection refused", "sge": "error: commlib error: got select error (Connection refused)",
        "lsf": "batch system daemon not responding ... still trying", "htcondor": "-- Failed to fetch ads from: <10.0.0.1:9618> : head"}
REFUSED = {"slurm": "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
           "pbs": "qsub: would exceed complex's per-user limit of jobs in 'Q' state", "torque": "qsub: submit error (Maximum number of jobs already in queue for user u@head)",
           "sge": "Unable to run job: job rejected: only 3 jobs are allowed per user (current job count: 3).\nExiting.", "lsf": "Job array index too large. Job not submitted.",
           "htcondor": "Submitting job(s)\nERROR: Number of submitted jobs would exceed MAX_JOBS_PER_OWNER"}
# Every other state than an end: jobs get them in turn.
ALIVE = {"slurm": ["PENDING", "RUNNING", "SUSPENDED", "REQUEUED", "COMPLETING", "CONFIGURING", "SPECIAL_EXIT", "BRAND_NEW"], "pbs": list("QRHSWEU"), "torque": list("QRHSWE"),
         "sge": ["qw", "r", "hqw", "s", "Rr", "Eqw", "dr"], "lsf": ["PEND", "RUN", "PSUSP", "SSUSP", "UNKWN", "ZOMBI"], "htcondor": ["1", "2", "5", "7", "6", "3"]}


def read(name, default):
    try:
        with open(os.path.join(FOLDER, name)) as f:
            return json.load(f)
    except FileNotFoundError:
        return default


def write(name, value):
    with open(os.path.join(FOLDER, name + ".new"), "w") as f:
        json.dump(value, f)
    os.replace(os.path.join(FOLDER, name + ".new"), os.path.join(FOLDER, name))


def alive(jobs):
    return [j for j in jobs if not j["ended"]]


class Answer:
    def __init__(self):
        self.lines, self.errors, self.code = [], [], 0

    def unknown(self, text, code):
        self.errors.append(text)
        self.code = code


def base(word):
    return int(re.match(r"\d+", word)[0])


def numbers(words):
    return [base(p) for w in words for p in w.split(",") if re.match(r"\d", p)]


def submit(scheduler, jobs, answer, fault):
    with (sys.stdin if NAME == "bsub" else open(sys.argv[1])) as f:
        text = f.read()
    name = re.search({"slurm": r"--job-name=(\S+)", "lsf": r'-J "?([^"\[\s]+)', "htcondor": r"batch_name = (\S+)"}.get(scheduler, r"-N (\S+)"), text)[1]
    array = re.search({"slurm": r"--array=1-(\d+)", "lsf": r"-J \"[^\[]*\[1-(\d+)", "htcondor": r"queue (\d+)", "pbs": r"-J 1-(\d+)"}.get(scheduler, r" -t 1-(\d+)"), text)
    count = int(array[1]) if array else 1
    limit = int(fault.split(":")[1]) if fault.startswith("most:") else 10**9
    if fault == "fail":
        answer.unknown("error: Batch job submission failed: Unable to contact the controller, connection refused", 1)
        return
    if (fault == "no-arrays" and count > 1) or len(alive(jobs)) + count > limit:
        answer.unknown(REFUSED[scheduler], 1)
        return
    number = 1 + max([j["id"] for j in jobs], default=100)
    for k in range(count):
        jobs.append({"id": number, "index": k + 1 if array else 0, "of": count if array else 0, "name": name, "ended": False,
                     "state": ALIVE[scheduler][len(jobs) % len(ALIVE[scheduler])], "at": time.time()})
    if fault == "lie":
        answer.unknown("error: Batch job submission failed: Socket timed out on send/recv operation", 1)
        return
    answer.lines = {"slurm": [f"Submitted batch job {number}"], "pbs": [f"{number}{'[]' if array else ''}.head"], "torque": [f"{number}{'[]' if array else ''}.head"],
                    "sge": [f'Your job-array {number}.1-{count}:1 ("{name}") has been submitted' if array else f'Your job {number} ("{name}") has been submitted'],
                    "lsf": [f"Job <{number}> is submitted to default queue <normal>."],
                    "htcondor": ["Submitting job(s)" + "." * count, f"{count} job(s) submitted to cluster {number}."]}[scheduler]


def job_name(scheduler, j):
    if not j["of"]:
        return str(j["id"])
    return {"slurm": "{id}_{index}", "sge": "{id}.{index}"}.get(scheduler, "{id}[{index}]").format(**j)


def ask_slurm(jobs, answer, words):
    if NAME in ("sacct", "scontrol"):
        answer.unknown("Slurm accounting storage is disabled", 1)
    elif "-n" in words:
        answer.lines = sorted({str(j["id"]) for j in jobs if j["name"] == words[words.index("-n") + 1]})
    else:
        wanted = numbers([words[words.index("-j") + 1]])
        listed = [j for j in jobs if j["id"] in wanted]
        answer.lines = [f"{job_name('slurm', j)}|{'COMPLETED' if j['ended'] else j['state']}|None" for j in listed]
        if not listed and len(wanted) == 1:
            answer.unknown("slurm_load_jobs error: Invalid job id specified", 1)


def ask_pbs(jobs, answer, words, scheduler):
    if NAME == "qselect":
        answer.lines = sorted({f"{j['id']}{'[]' if j['of'] else ''}.head" for j in alive(jobs) if j["name"] == words[-1]})
        return
    if "-x" in words:
        answer.unknown("qstat: PBS is not configured to maintain job history", 1)
        return
    for number in numbers(words) or sorted({j["id"] for j in alive(jobs)}):
        mine = [j for j in jobs if j["id"] == number]
        if scheduler == "pbs" and mine and not alive(mine):
            answer.unknown(f"qstat: {number}.head Job has finished, use -x or -H to obtain historical job information", 35)
        elif not alive(mine):
            answer.unknown(f"qstat: Unknown Job Id {'Error ' if scheduler == 'torque' else ''}{number}.head", 153)
        for j in mine if alive(mine) else []:
            state = j["state"] if not j["ended"] else "X" if scheduler == "pbs" else "C"
            answer.lines.append(f"Job Id: {job_name(scheduler, j)}.head\n    Job_Name = {j['name']}\n    job_state = {state}\n")


def ask_sge(jobs, answer, words):
    if NAME == "qacct":
        for j in jobs:
            if j["id"] in numbers(words) and j["ended"]:
                answer.lines.append(f"{'=' * 62}\nqname        all.q\nhostname     vm\njobnumber    {j['id']}\ntaskid       {j['index'] or 'undefined'}\nfailed       0\nexit_status  0")
    elif words:
        for word in words[1].split(","):
            mine = {j["id"] for j in alive(jobs) if word in (str(j["id"]), j["name"])}
            if not mine:
                answer.unknown(f"Following jobs do not exist: \n{word}", 1)
            answer.lines += [f"job_number:                 {number}" for number in mine]
    else:
        answer.lines = ["job-ID  prior   name       user         state submit/start at     queue                          slots ja-task-ID", "-" * 100]
        answer.lines += [f"{j['id']:7} 0.50000 {j['name'][:10]} root {j['state']:5} 11/23/2026 18:20:33 {'' if 'q' in j['state'] else 'all.q@vm'} 1 {j['index'] or ''}" for j in alive(jobs)]


def ask_lsf(jobs, answer, words):
    if "-J" in words:
        name = words[words.index("-J") + 1]
        answer.lines = [f"{j['id']}|{j['name']}{'[%d]' % j['index'] if j['of'] else ''}" for j in jobs if j["name"].startswith(name.rstrip("*"))]
        if not answer.lines:
            answer.unknown(f"Job <{name}> is not found", 255)
        return
    for number in numbers(words):
        mine = [j for j in jobs if j["id"] == number]
        for j in mine:
            state = "EXIT" if j["ended"] else j["state"]
            answer.lines.append(f"{number}|{j['index']}|{state}|-" if "-a" not in words else f"{number}|{j['index']}|{state}|1|-|node7")
        if not mine:
            answer.unknown(f"Job <{number}> is not found", 255)


def ask_htcondor(jobs, answer, words):
    if "-constraint" in words:
        name = re.search(r'"(.*)"', words[1])[1]
        answer.lines = [str(j["id"]) for j in alive(jobs) if j["name"] == name]
    else:
        for j in jobs:
            if j["id"] in numbers(words) and j["ended"] == (NAME == "condor_history"):
                answer.lines.append(f"{j['id']}\t{max(j['index'] - 1, 0)}\t" + ("4\t0\tundefined\tundefined\tslot1@node7" if j["ended"] else f"{j['state']}\tundefined\tundefined"))


def cancel(scheduler, jobs, words):
    if NAME == "qdel" and "-t" in words:
        words = [f"{words[0]}.{words[2]}"]
    for word in words:
        n, index = re.match(r"(\d+)(?:[_.\[](\d+))?", word).groups()
        for j in jobs:
            if j["id"] == int(n) and (index is None or j["index"] == int(index) + (scheduler == "htcondor")):
                j["ended"] = True


def give(answer, fault, count):
    lines = answer.lines
    if fault in ("torn", "part"):
        lines = lines[:len(lines) // 2]
        answer.errors = []
    sys.stdout.write("".join(line + "\n" for line in lines))
    sys.stdout.flush()
    if fault == "torn":
        os.kill(os.getpid(), signal.SIGKILL)
    sys.stderr.write("".join(line + "\n" for line in answer.errors))
    sys.exit(0 if fault == "part" else answer.code)


def main():
    scheduler = read("scheduler", None)
    kind = next(k for k, names in KINDS.items() if NAME in names)
    with open(os.path.join(FOLDER, "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        jobs, faults, answer = read("jobs.json", []), read("fault.json", {}), Answer()
        fault = faults.get(kind, "")
        if kind == "submit":
            submit(scheduler, jobs, answer, fault)
        elif kind == "cancel" and fault != "fail":
            cancel(scheduler, jobs, sys.argv[1:])
        elif kind == "ask" and fault not in ("fail", "hang"):
            seen = [j for j in jobs if fault != "stale" or j["at"] < faults["since"]]
            known = {"slurm": ask_slurm, "sge": ask_sge, "lsf": ask_lsf, "htcondor": ask_htcondor}
            if scheduler in known:
                known[scheduler](seen, answer, sys.argv[1:])
            else:
                ask_pbs(seen, answer, sys.argv[1:], scheduler)
        if kind != "ask":
            write("jobs.json", jobs)
            write("peak", max(read("peak", 0), len(alive(jobs))))
        with open(os.path.join(FOLDER, "called"), "a") as f:
            f.write(" ".join([NAME, *sys.argv[1:]]) + "\n")
    if fault == "hang" or fault == "late":
        time.sleep(1000)
    if fault == "fail" and kind != "submit":
        answer.unknown(DOWN[scheduler], 1)
    give(answer, fault, len(jobs))


if __name__ == "__main__":
    main()
