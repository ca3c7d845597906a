"""Tests that a server killed while learning loses no acknowledged task."""

import contextlib
import socket
import subprocess
import sys
import threading
import time

import httpx2
import numpy as np
import pytest

from tests.serving.clients import EXAMPLES

ROUNDS = 3
START_SECONDS = 600


@contextlib.contextmanager
def server(model, store, *options):
    """Runs a server in a separate process, killed at the end; yields its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    args = ("--model", model, "--store", store, "--port", port, "--batch-size", 4)
    command = [sys.executable, "-m", "metaflax", "serve", *map(str, (*args, *options))]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + START_SECONDS
        while not ready(url):
            assert process.poll() is None, "the server ended"
            assert time.monotonic() < end, "the server did not start"
            time.sleep(0.2)
        yield url
    finally:
        process.kill()
        process.wait()


def ready(url):
    try:
        return httpx2.get(f"{url}/readyz").status_code == 200
    except httpx2.TransportError:
        return False


def teach(url, acknowledged, rng):
    """Creates and extends tasks until the server is gone."""
    with contextlib.suppress(httpx2.TransportError), httpx2.Client() as client:
        while True:
            if acknowledged and rng.random() < 0.5:
                path = f"{url}/v1/tasks/{rng.choice(sorted(acknowledged))}"
                answer = client.patch(path, json={"examples": EXAMPLES[:1]})
            else:
                answer = client.post(f"{url}/v1/tasks", json={"examples": EXAMPLES})
            if answer.is_success:
                acknowledged[answer.json()["id"]] = answer.json()["version"]


def wait_for_changes(acknowledged, number):
    """Waits until `number` more versions of tasks are acknowledged."""
    most = sum(acknowledged.values()) + number
    end = time.monotonic() + START_SECONDS
    while sum(acknowledged.values()) < most:
        assert time.monotonic() < end, "the server acknowledges nothing"
        time.sleep(0.02)


@pytest.mark.slow
def test_sigkill_loses_no_acknowledged_task(tiny_bert, tmp_path, database):
    rng, acknowledged = np.random.default_rng(0), {}
    start = (tiny_bert, tmp_path / "store")
    start += ("--database", database) if database else ()
    for number in range(ROUNDS + 1):
        with server(*start) as url, httpx2.Client() as client:
            for id, version in acknowledged.items():
                task = client.get(f"{url}/v1/tasks/{id}").json()
                assert task["version"] >= version
                assert len(task["examples"]) == len(EXAMPLES) + task["version"] - 1
                answer = client.post(
                    f"{url}/v1/tasks/{id}/predict", json={"texts": ["topic00"]}
                )
                assert answer.status_code == 200, answer.text
            if number < ROUNDS:
                args = (url, acknowledged, np.random.default_rng(number))
                teacher = threading.Thread(target=teach, args=args)
                teacher.start()
                wait_for_changes(acknowledged, int(rng.integers(1, 6)))
                time.sleep(rng.uniform(0, 0.2))
        if number < ROUNDS:
            teacher.join()
