# SPDX-License-Identifier: MIT
"""A run whose output is on S3, spread over workers: each asks the store itself; the manager knows the folder of the books only."""
import os
import signal
import time

import pytest

for module in ("zarr", "google_crc32c", "boto3", "moto.server"):
    pytest.importorskip(module)

from cluster_help import finish, start, work_queue, strike, workers_of  # noqa: E402,F401
from test_remote import s3_server  # noqa: E402,F401
from test_remote_write import bucket, local, pixels, records, words_of  # noqa: E402,F401


def test_workers_write_to_an_object_store_and_one_is_killed(cli, bucket, local, tmp_path):  # noqa: F811
    state, env = str(tmp_path / "state"), {**os.environ, **bucket.env}
    cli.ok(*words_of("denoise", bucket.url(), state, "--levels", "4", "--prepare"), env=bucket.env)
    words = ("cluster", state, "--workers", "local:2", "--cores", "1", "--batch-seconds", "1", "--late-seconds", "1000", "--quiet")
    p = start(cli, *words, env=env)
    while p.poll() is None and len(records(state)) < 10:
        time.sleep(0.01)
    strike(workers_of(p), signal.SIGKILL)
    finish(p)
    status = cli.json("status", state)
    assert status["state"] in ("done", "running") and status["blocks_done"] == status["blocks_total"] and status["output"] == bucket.url()
    assert bucket.pixels() == pixels(local("denoise", "--levels", "4"))
    result = cli.json("verify", state, "--windows", "5", "--seed", "3", env=bucket.env)
    assert result["missing"] == result["damaged"] == result["different"] == 0
    assert not any(bucket.env["AWS_SECRET_ACCESS_KEY"] in open(os.path.join(at, n), errors="replace").read() for at, _, names in os.walk(state)
                   for n in names), "no key is written down"
