# SPDX-License-Identifier: MIT
"""What people write for `submit` and `cluster`: configuration in JSON and YAML, in our words and those of dask-jobqueue, pod
templates, paths into manifests, lines before the program."""
import json
import os
import re
import subprocess
import sys
import time

import pytest

yaml = pytest.importorskip("yaml")


@pytest.fixture(scope="module")
def run(cli, tmp_path_factory):
    folder = tmp_path_factory.mktemp("config")
    cli.ok("phantom", folder / "a.czi", "--size", "z=4,y=64,x=64", "--quiet")
    cli.ok("convert", folder / "a.czi", folder / "a.ome.zarr", "--chunk", "z=1,y=64,x=64", "--block", "z=1,y=64,x=64", "--prepare", "--quiet")
    return folder / "a.ome.zarr"


@pytest.fixture(autouse=True, scope="module")
def with_yaml(cli, run, tmp_path_factory):
    path = tmp_path_factory.mktemp("yaml") / "c.yaml"
    path.write_text("queue: q\n")
    if "built without libyaml" in cli("submit", run, "--scheduler", "slurm", "--parts", "1", "--config", path).stderr:
        pytest.skip("built without libyaml")


def submit(cli, run, *words):
    return cli("submit", run, "--parts", "2", *words, env={"PELLUCID_SITE": "", "XDG_CONFIG_HOME": "/nowhere"})


def configured(cli, run, tmp_path, text, *words, name="c.yaml"):
    (tmp_path / name).write_text(text)
    return submit(cli, run, "--config", tmp_path / name, *words)


# ---- YAML ------------------------------------------------------------------------------------------------------------------

OPTIONS = {"scheduler": "slurm", "queue": "007", "cores": 40, "time": "36:00:00", "memory": "220G", "directive": ["--mail-type=FAIL", "--account=X # y"],
           "prologue": ["module load a", "export X=\"it's\""], "name": "embryo-7"}


def test_yaml_and_json_say_the_same(cli, run, tmp_path):
    right = configured(cli, run, tmp_path, json.dumps(OPTIONS), name="c.json")
    assert right.returncode == 0, right.stderr
    assert "--partition=007\n" in right.stdout and "--time=36:00:00\n" in right.stdout
    base = "base: &b\n  cores: 40\n  memory: 220G\n"
    for text in (yaml.safe_dump(OPTIONS), yaml.safe_dump(OPTIONS, default_flow_style=True), json.dumps(OPTIONS),
                 "# a comment\n---\n" + yaml.safe_dump(OPTIONS).replace("cores: 40", "cores: &n 40") + "...\n",
                 yaml.safe_dump({**OPTIONS, "queue": None}).replace("queue: null", "queue: 007") + "threads: ~\nimage:\n" * 0):
        done = configured(cli, run, tmp_path, text)
        assert done.stdout == right.stdout, text + done.stderr
    assert "no option 'base'" in configured(cli, run, tmp_path, base).stderr, "an unknown word is named"


def bomb(levels):
    return "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [" + ", ".join([f"*a{i - 1}"] * 10) + "]\n" for i in range(1, levels))


@pytest.mark.parametrize("text, where, part", [
    ("queue: [a\n", "2:1", "did not find expected"), ("queue: 'a\n", None, "unexpected end"), ("a: b: c\n", "1:5", "mapping values"), ("queue: a\nqueue: b\n", "2:1", "there already"),
    ("queue: *nothing\n", "1:8", "alias"), ("? [a]\n: b\n", "1:3", "key that is no word"), ("queue: a\n---\nqueue: b\n", "2:1", "second document"), ("queue: !x a\n", "1:8", "tag"),
    ("", "1:1", "empty"), ("\t- x", None, ""), ("&a [*a]\n", "1:5", "alias"), ("[" * 100 + "]" * 100, None, "64 levels"), ("a: \x07\n", None, "control"),
    ('"a\\0b": 1\n', "1:1", "zero byte"), ("- a\n", None, "expected an object"), ("<<: 3\n", None, "one mapping"), ("a: &a\n  b: 1\n<<: [*a]\n", None, "one mapping")])
def test_broken_yaml_is_told_with_its_place(cli, run, tmp_path, text, where, part):
    done = configured(cli, run, tmp_path, text, "--scheduler", "slurm")
    assert done.returncode == 2 and part in done.stderr, done.stderr
    place = re.search(r"c\.yaml:(\d+:\d+)", done.stderr)
    assert "an object" in part or place, done.stderr
    assert where is None or place[1] == where, done.stderr


def test_aliases_cannot_multiply(cli, run, tmp_path):
    """10 to the 8th values in some hundred bytes."""
    assert "c.yaml:" in (said := configured(cli, run, tmp_path, bomb(5), "--scheduler", "slurm").stderr) and "more than 20000" in said
    assert "more than 20000" in configured(cli, run, tmp_path, bomb(9), "--scheduler", "slurm").stderr


def test_broken_json_is_told_with_its_place(cli, run, tmp_path):
    for text, place in (("{\n  \"queue\": }", "2:12"), ("{", "1:2"), ("{}\n{}", "2:1")):
        assert f"c.json:{place}: no JSON" in configured(cli, run, tmp_path, text, "--scheduler", "slurm", name="c.json").stderr
    assert "larger than 1 MiB" in configured(cli, run, tmp_path, "#" * 2**20 + "\n", "--scheduler", "slurm").stderr
    assert "cannot be read" in submit(cli, run, "--config", tmp_path / "none.yaml").stderr


def test_aliases_are_copies_and_merges_give_way(cli, run, tmp_path):
    text = ("jobqueue:\n  slurm: &s\n    cores: 3\n    queue: a\n    memory: 8GB\n  sge:\n    <<: *s\n    queue: b\n")
    a, b = (configured(cli, run, tmp_path, text, "--scheduler", s).stdout for s in ("slurm", "sge"))
    assert "--cpus-per-task=3\n" in a and "--partition=a\n" in a and "-pe smp 3\n" in b and "-q b\n" in b


def test_a_user_may_keep_his_file_in_yaml(cli, run, tmp_path):
    (tmp_path / "pellucid").mkdir()
    (tmp_path / "pellucid" / "cluster.yaml").write_text("scheduler: slurm\nqueue: mine\n")
    assert "--partition=mine\n" in cli.ok("submit", run, "--parts", "2", env={"PELLUCID_SITE": "", "XDG_CONFIG_HOME": str(tmp_path)})


def test_words_that_nobody_knows_are_named(cli, run, tmp_path):
    assert "c.json: no option 'quue': did you mean 'queue'?" in configured(cli, run, tmp_path, '{"quue": "x"}', "--scheduler", "slurm", name="c.json").stderr


def test_a_file_may_hold_every_option(cli, run, tmp_path):
    """The list of names in config.c is that of the two verbs."""
    names = set(re.findall(r"^  --([a-z-]+)", cli.ok("cluster", "--help") + cli.ok("submit", "--help"), re.M)) - {"help", "config"}
    assert len(names) > 30
    for name in names:
        assert "no option" not in configured(cli, run, tmp_path, json.dumps({name: None}), "--scheduler", "slurm", name="c.json").stderr, name


# ---- dask-jobqueue ------------------------------------------------------------------------------------------------------------

def test_the_words_of_dask_jobqueue(cli, run, tmp_path):
    text = """
jobqueue:
  slurm:
    name: dog
    cores: 32
    memory: 490GB
    processes: 1
    queue: 256GB
    account: IMAGING-CPU
    walltime: '36:00:00'
    job_extra_directives: ['--mail-type=FAIL']
    job-directives-skip: ['--signal']
    job_script_prologue: ['module load x']
    log-directory: null
    python: null
    death-timeout: 600s
    local_directory: /scratch/me
    interface: ib0
    extra: []
    shared-temp-directory: null
"""
    done = configured(cli, run, tmp_path, text)
    assert done.returncode == 0, done.stderr
    for line in ("--job-name=dog", "--cpus-per-task=32", "--mem=501760M", "--partition=256GB", "--account=IMAGING-CPU", "--time=36:00:00", "--mail-type=FAIL"):
        assert f"#SBATCH {line}\n" in done.stdout
    assert "--signal" not in done.stdout and "\nmodule load x\nexec " in done.stdout
    for words, part in (("processes: 4", "cores"), ("log_directory: /x", "OUT.run/log"), ("extra: [--lifetime]", "worker"), ("minimum: 2", "2..16"), ("account: 'a b'", "letters"),
                        ("job_cpu: 3", "cores"), ("death_timeout: soon", "seconds")):
        refused = configured(cli, run, tmp_path, "scheduler: slurm\n" + words + "\n")
        assert refused.returncode == 2 and words.split(":")[0].replace("_", "-") in refused.stderr and part in refused.stderr, refused.stderr
    noted = configured(cli, run, tmp_path, "scheduler: slurm\nnanny: true\n")
    assert noted.returncode == 0 and "nanny" in noted.stderr
    two = text.replace("  slurm:", "  pbs: {queue: p}\n  slurm:")
    assert "2 sections" in configured(cli, run, tmp_path, two).stderr
    assert "#PBS -q p\n" in configured(cli, run, tmp_path, two, "--scheduler", "pbs").stdout
    assert "-W 36:00\n" in configured(cli, run, tmp_path, "jobqueue: {lsf: {walltime: '36:00', project: p}}").stdout


# ---- Kubernetes, AWS Batch -----------------------------------------------------------------------------------------------------

def kubernetes(cli, run, *words, image=("--image", "x")):
    done = submit(cli, run, "--scheduler", "kubernetes", "--cores", "8", "--memory", "32G", *image, *words)
    return done, json.loads(done.stdout) if done.returncode == 0 else None


def valid(job):
    validate = pytest.importorskip("kubernetes_validate")
    validate.validate(job, "1.28", strict=True)
    return job["spec"]["template"]["spec"]


def test_fields_of_the_container_can_be_set(cli, run):
    paths = ["spec.template.spec.containers.0.securityContext.allowPrivilegeEscalation=false", "containers[0].imagePullPolicy=Always",
             'containers[0].env=[{"name": "AWS_PROFILE", "value": "me"}]', "containers[0].envFrom.+.secretRef.name=keys", 'containers[0].envFrom.+={"configMapRef": {"name": "c"}}',
             'volumes.+={"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}}', 'containers[0].volumeMounts.+={"name": "tmp", "mountPath": "/tmp"}',
             "containers[0].resources.limits.nvidia\\.com/gpu=1", "metadata.annotations.cluster-autoscaler\\.kubernetes\\.io/safe-to-evict=\"false\"", "spec.backoffLimit=null",
             "containers[0].volumeMounts[0].readOnly=true", "nodeSelector.disk=ssd"]
    done, job = kubernetes(cli, run, "--volume", "images:/data", *(w for p in paths for w in ("--directive", p)))
    pod = valid(job)
    c, = pod["containers"]
    assert c["securityContext"] == {"allowPrivilegeEscalation": False} and c["imagePullPolicy"] == "Always" and c["image"] == "x" and c["command"][1] == "work"
    assert c["env"] == [{"name": "AWS_PROFILE", "value": "me"}] and c["envFrom"] == [{"secretRef": {"name": "keys"}}, {"configMapRef": {"name": "c"}}]
    assert [m["mountPath"] for m in c["volumeMounts"]] == ["/data", "/tmp"] and c["volumeMounts"][0]["readOnly"] is True and pod["volumes"][1]["emptyDir"]
    assert c["resources"]["limits"] == {"cpu": 8, "memory": "32768Mi", "nvidia.com/gpu": 1} and pod["nodeSelector"] == {"disk": "ssd"}
    assert job["metadata"]["annotations"] == {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"} and "backoffLimit" not in job["spec"]


@pytest.mark.parametrize("path, part", [
    ("containers.1.image=y", "expected 0 to 0"), ("containers.x.image=y", "place in a list"), ("containers=x", "replace a list"), ("containers={}", "replace a list"),
    ("containers=[]", "command"), ("containers=null", "command"), ("containers[0].command=[\"sh\"]", "command"), ("containers[0].command.0=sh", "command"), ("spec=3", "replace an object"),
    ("nothing", "a.b"), ("=x", "path"), ("containers[0", "a.b"), ("containers[0]x=y", "dot"), ("containers[0]..x=y", "path"), ("containers[0].name.x=y", "no members"),
    ("volumes[0].name=x", "+ makes one"), ("containers.-1.x=y", "place in a list"), ("containers.99999999999999999999.x=y", "expected 0 to 0"), ("x" * 300 + "=y", "too long")])
def test_a_path_never_destroys_the_manifest(cli, run, path, part):
    done, _ = kubernetes(cli, run, "--directive", path)
    assert done.returncode == 2 and part in done.stderr and not done.stdout, (done.stdout, done.stderr)


def test_aws_batch_takes_the_same_paths(cli, run):
    words = ("--scheduler", "aws-batch", "--image", "d", "--queue", "q", "--cores", "2", "--memory", "4G")
    job = json.loads(submit(cli, run, *words, "--directive", 'containerOverrides.environment.+={"name": "A", "value": "b"}', "--directive",
                            "containerOverrides.resourceRequirements[0].value=\"3\"").stdout)
    assert job["containerOverrides"]["environment"] == [{"name": "A", "value": "b"}] and job["containerOverrides"]["resourceRequirements"][0] == {"type": "VCPU", "value": "3"}
    for path in ("containerOverrides.resourceRequirements[2].value=1", "containerOverrides.command=[\"x\"]", "containerOverrides=x"):
        assert submit(cli, run, *words, "--directive", path).returncode == 2


def test_names_are_new_each_time_and_jobs_are_deleted(cli, run):
    done, job = kubernetes(cli, run)
    assert job["metadata"]["generateName"] == "pellucid-" and "name" not in job["metadata"] and job["spec"]["ttlSecondsAfterFinished"] == 7 * 86400
    done, job = kubernetes(cli, run, "--name", "Mine_1", "--ttl", "2h")
    assert job["metadata"]["name"] == "mine-1" and "generateName" not in job["metadata"] and job["spec"]["ttlSecondsAfterFinished"] == 7200
    assert "second Job of this name" in done.stderr
    valid(job)


POD = """
apiVersion: v1
kind: Pod
metadata: {name: theirs, labels: {team: imaging}, annotations: {a: b}}
spec:
  restartPolicy: OnFailure
  serviceAccountName: s3
  tolerations: [{key: big, operator: Exists}]
  containers:
  - {name: log, image: side:1}
  - name: pellucid
    image: theirs:1
    args: [--threads, '1']
    env: [{name: A, value: '0644'}]
    securityContext: {runAsUser: 1000}
    resources: {limits: {cpu: 1, nvidia.com/gpu: 1}}
    volumeMounts: [{name: tmp, mountPath: /tmp}]
  volumes:
  - name: tmp
    emptyDir: {}
  - {name: keys, secret: {secretName: keys, defaultMode: 0400}}
"""


def test_a_pod_template_lies_under_ours(cli, run, tmp_path):
    path = tmp_path / "pod.yaml"
    path.write_text(POD)
    done, job = kubernetes(cli, run, "--template", path, "--volume", "images:/data", image=())
    pod = valid(job)
    assert [c["name"] for c in pod["containers"]] == ["pellucid", "log"] and pod["restartPolicy"] == "Never" and pod["serviceAccountName"] == "s3" and pod["tolerations"]
    c = pod["containers"][0]
    assert c["image"] == "theirs:1" and c["command"][1] == "work" and "args" not in c and c["env"] and c["securityContext"] == {"runAsUser": 1000}
    assert c["resources"]["limits"] == {"cpu": 8, "nvidia.com/gpu": 1, "memory": "32768Mi"} and [m["mountPath"] for m in c["volumeMounts"]] == ["/tmp", "/data"]
    assert pod["volumes"][1]["secret"]["defaultMode"] == 0o400 and job["spec"]["template"]["metadata"]["labels"]["team"] == "imaging"
    assert "args of the template gives way" in done.stderr and "restartPolicy of the template gives way" in done.stderr
    done, job = kubernetes(cli, run, "--template", path)
    assert job["spec"]["template"]["spec"]["containers"][0]["image"] == "x" and "image of the template gives way" in done.stderr
    whole = yaml.safe_load(POD)
    for form in ({"spec": whole["spec"]}, whole["spec"], {"template": whole}, {"kind": "Job", "spec": {"template": whole}}):
        (tmp_path / "pod.json").write_text(json.dumps(form))
        assert kubernetes(cli, run, "--template", tmp_path / "pod.json")[1]["spec"]["template"]["spec"]["serviceAccountName"] == "s3"
    for text, part in (("a: b\n", "expected a Pod"), ("spec: {containers: [\n", "pod.yaml:2:1"), ("[]", "expected a Pod"), ("spec: {containers: [{name: a}]}", "--image is missing"),
                       ("spec: {containers: [3]}", "--image is missing"), ("spec: {containers: x}", "--image is missing")):
        path.write_text(text)
        done, _ = kubernetes(cli, run, "--template", path, image=())
        assert done.returncode == 2 and part in done.stderr, (text, done.stderr)


# ---- lines before the program ----------------------------------------------------------------------------------------------------

LINES = ("--prologue", "export GREETING=\"it's\" # a comment", "--prologue", "cd /; X='a b'")


def test_the_prologue_is_done_before_the_program(cli, run, tmp_path):
    program = tmp_path / "says"
    program.write_text("#!/bin/sh\necho \"$GREETING|$PWD|$1|$3\"\n")
    program.chmod(0o755)
    for scheduler in ("slurm", "pbs", "torque", "sge", "lsf", "kubernetes", "aws-batch"):
        text = submit(cli, run, "--scheduler", scheduler, "--parts", "1", "--image", "x", "--queue", "q", "--program", program, *LINES).stdout
        if scheduler in ("kubernetes", "aws-batch"):
            job = json.loads(text)
            command = job["containerOverrides"]["command"] if scheduler == "aws-batch" else job["spec"]["template"]["spec"]["containers"][0]["command"]
            said = subprocess.run([w.replace("$$", "$") if scheduler == "kubernetes" else w for w in command], capture_output=True, text=True).stdout
        else:
            said = subprocess.run(["sh", "-c", text], capture_output=True, text=True).stdout
        assert said == "it's|/|work|--part\n", (scheduler, said)
    condor = submit(cli, run, "--scheduler", "htcondor", "--parts", "1", *LINES).stdout
    assert "executable = /bin/sh\n" in condor and 'arguments = "-c ' in condor and "module" not in condor
    assert "--prologue: found a line feed" in submit(cli, run, "--scheduler", "slurm", "--prologue", "a\nb").stderr


def test_memory_of_lsf_by_slot(cli, run):
    words = ("--scheduler", "lsf", "--cores", "8", "--memory", "64G")
    assert "rusage[mem=65536MB]" in submit(cli, run, *words).stdout
    by_slot = submit(cli, run, *words, "--memory-per-slot").stdout
    assert "rusage[mem=8192MB]" in by_slot and "-M 65536MB" in by_slot


def test_numbers_without_a_unit_are_explained(cli, run):
    assert "in bytes" in (said := submit(cli, run, "--scheduler", "slurm", "--memory", "501760").stderr) and "501760M" in said
    assert "minutes to one scheduler" in submit(cli, run, "--scheduler", "slurm", "--time", "120").stderr


def test_workers_are_started_with_scratch_timeout_and_prologue(cli, run, tmp_path):
    """A stand-in for work_queue_worker tells its words, then a real one, if there is one, could go on; here it only fails."""
    if not os.access(os.path.join(os.path.dirname(cli.path), "src", "pellucid-manager"), os.X_OK):
        pytest.skip("built without Work Queue")
    for odd in ("/a b", "/$(touch x)", "/it's", "relative", "/a;b"):
        assert "work_queue_worker would" in cli.fails(2, "cluster", run, "--workers", "local:1", "--worker-scratch", odd)
    worker = tmp_path / "worker"
    worker.write_text(f"#!{sys.executable}\nimport os, sys\nopen({str(tmp_path / 'said')!r}, 'a').write(os.environ.get('GREETING', '') + ' ' + ' '.join(sys.argv[1:]) + '\\n')\n"
                      "import time; time.sleep(30)\n")
    worker.chmod(0o755)
    p = subprocess.Popen([cli.path, "cluster", run, "--workers", "local:1", "--cores", "1", "--worker-program", worker, "--worker-scratch", tmp_path / "s", "--worker-timeout", "77",
                          *LINES], stderr=subprocess.DEVNULL)
    try:
        while not os.path.exists(tmp_path / "said"):
            assert p.poll() is None
            time.sleep(0.05)
        p.terminate()
        assert p.wait(60) == 4
    finally:
        p.kill()
    said = (tmp_path / "said").read_text()
    assert said.startswith("it's --password ") and f"--workdir={tmp_path}/s" in said and "--timeout 77" in said
