"""Behaviour of the service when something else fails; see README.md.

Usage: METAFLAX_DATA=DIR python experiments/serving/faults.py [FAULT ...]
    [--fuzz-python PROGRAM] [--out DIR]

Each fault happens while tenants send requests. Prints the faults and the problems, and
exits with 1 if there was a problem.
"""

import argparse
import contextlib
import dataclasses
import http.client
import json
import resource
import secrets
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.

import numpy as np
from reference import Reference
from server import HOST, Server, metaflax_command, running
from tenants import Tenant, Texts, all_at_once

from experiments import common
from metaflax import workflows

GONE = (OSError, http.client.HTTPException)
Outcome = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Lab:
    """Service, tenants and sizes of the faults.

    Attributes:
      texts: texts that tenants sample from.
      model: name or directory of the model.
      out: folder of stores and logs.
      tenants: number of tenants that send requests at the same time.
      kills: number of times that the service is killed.
      seconds: duration of the requests, where nothing else ends them.
      clients: number of clients that vanish, or are slow.
      body: bytes of a large body.
      fuzz_python: program that runs fuzz.py.
      fuzz_examples: approximate number of requests of each operation.
      options: further options of the service.
    """

    texts: Texts
    model: str
    out: Path
    tenants: int = 8
    kills: int = 20
    seconds: float = 20.0
    clients: int = 50
    body: int = 100_000_000
    fuzz_python: str = sys.executable
    fuzz_examples: int = 1_200
    options: tuple[str, ...] = ()

    def command(self, name: str, *options: str) -> list[str]:
        """Returns the command of a service with a store of that name."""
        common.write_json(self.out / "tokens.json", self.tokens)
        return metaflax_command(
            self.model,
            self.out / name,
            self.out / "tokens.json",
            *self.options,
            *options,
        )

    def serving(self, name: str, *options: str) -> contextlib.AbstractContextManager:
        """Starts a service with a store of that name."""
        return running(self.command(name, *options), self.out / f"{name}.log")

    @property
    def tokens(self) -> dict[str, str]:
        """Tokens by tenant."""
        return {f"tenant{i}": f"token-of-tenant-{i:04}" for i in range(self.tenants)}

    def crowd(self, *servers: Server) -> list[Tenant]:
        """Returns tenants that send requests to any of the servers."""
        crowd = []
        for number, token in enumerate(self.tokens.values()):
            clients = [server.client(token) for server in servers]
            rng = np.random.default_rng(number)
            crowd.append(Tenant(self.texts, rng, clients))
        return crowd

    def checked(self, tenants: Sequence[Tenant], **counts: float) -> Outcome:
        """Compares all predictions with the reference, and collects problems."""
        answers = [p for tenant in tenants for p in tenant.predictions]
        wrong, difference = Reference(self.texts, self.model, None).wrong(answers)
        problems = [p for tenant in tenants for p in tenant.problems]
        if wrong:
            problems.append(f"{wrong} answers differ, by up to {difference}")
        done = [t for tenant in tenants for t in tenant.timings if t.status < 300]
        return {"answers": len(done), **counts, "problems": problems}


@contextlib.contextmanager
def asking(tenants: Sequence[Tenant], **options: Any) -> Iterator[None]:
    """Lets tenants send requests while the block runs."""
    stop: list[bool] = []
    done = all_at_once(tenants, lambda: bool(stop), **options)
    try:
        yield
    finally:
        stop.append(True)
        assert done.wait(600)


def sigkill(lab: Lab) -> Outcome:
    """Kills the service under load, and compares all tasks after each restart."""
    rng, tenants, compared = np.random.default_rng(0), [], 0
    for kill in range(lab.kills + 1):
        with lab.serving("sigkill") as server:
            if not tenants:
                tenants = lab.crowd(server)
            for tenant, token in zip(tenants, lab.tokens.values(), strict=True):
                tenant.move([server.client(token)])
                compared += tenant.check_tasks()
            if kill == lab.kills:
                break
            with asking(tenants, ended=GONE):
                time.sleep(rng.uniform(0.1, lab.seconds / 4))
                server.process.send_signal(signal.SIGKILL)
                server.process.wait()
    return lab.checked(tenants, kills=lab.kills, tasks_compared=compared)


def replicas(lab: Lab) -> Outcome:
    """Sends requests to two services on one store."""
    with lab.serving("replicas") as first, lab.serving("replicas") as second:
        tenants = lab.crowd(first, second)
        with asking(tenants):
            time.sleep(lab.seconds)
        compared = sum(tenant.check_tasks() for tenant in tenants)
    return lab.checked(tenants, tasks_compared=compared)


def vanishing_clients(lab: Lab) -> Outcome:
    """Closes connections in the middle of requests, and before answers."""
    with lab.serving("vanishing") as server:
        tenants = lab.crowd(server)
        for tenant in tenants:
            tenant.step()  # Each has a task, and its connection is open.
        before = server.open_files()
        token, task = next(iter(lab.tokens.values())), tenants[0].tasks[0].id
        whole = request(f"/v1/tasks/{task}/predict", {"texts": ["a"] * 200}, token)
        with asking(tenants):
            for number in range(lab.clients):
                with socket.create_connection((HOST, server.port)) as client:
                    cut = len(whole) if number % 2 else len(whole) // 2
                    client.sendall(whole[:cut])
        problems = settled(server, before)
    return with_problems(lab.checked(tenants, clients=lab.clients), problems)


def slow_clients(lab: Lab) -> Outcome:
    """Sends bodies byte by byte and reads no answers, while tenants send requests."""
    seconds = 2.0
    with lab.serving("slow", "--deadline-seconds", "10") as server:
        tenants = lab.crowd(server)
        for tenant in tenants:
            tenant.step()
        before, token = server.open_files(), next(iter(lab.tokens.values()))
        whole = request("/v1/tasks", {"examples": []}, token)
        head = whole[: whole.index(b"\r\n\r\n") + 4]
        with contextlib.ExitStack() as stack:
            slow = [
                stack.enter_context(socket.create_connection((HOST, server.port)))
                for _ in range(lab.clients)
            ]
            for client in slow:
                client.sendall(head)
            with asking(tenants):
                end = time.monotonic() + lab.seconds
                while time.monotonic() < end:
                    for client in slow:
                        with contextlib.suppress(OSError):
                            client.sendall(b" ")
                    time.sleep(seconds)
            answered = sum(b" 504 " in received(client) for client in slow)
        problems = settled(server, before)
        if answered < lab.clients:
            problems.append(f"{answered} of {lab.clients} slow clients had a 504")
    return with_problems(lab.checked(tenants, clients=lab.clients), problems)


def large_bodies(lab: Lab) -> Outcome:
    """Sends large bodies, with a length and in chunks, while tenants send requests."""
    problems, piece = [], b" " * 1_000_000
    token = next(iter(lab.tokens.values()))
    head = request("/v1/tasks", {}, token).split(b"\r\nContent-Length")[0]
    with lab.serving("large") as server:
        tenants = lab.crowd(server)
        with asking(tenants):
            time.sleep(lab.seconds / 4)
            before = server.memory()
            for framing in (
                f"Content-Length: {lab.body}",
                "Transfer-Encoding: chunked",
            ):
                is_chunked = "chunked" in framing
                with socket.create_connection((HOST, server.port)) as client:
                    client.settimeout(60)
                    client.sendall(head + f"\r\n{framing}\r\n\r\n".encode())
                    with contextlib.suppress(OSError):
                        for _ in range(lab.body // len(piece)):
                            start = b"%x\r\n" % len(piece) if is_chunked else b""
                            client.sendall(start + piece + (b"\r\n" * is_chunked))
                    answer = received(client)
                    if b" 413 " not in answer[:20]:
                        problems.append(f"{framing} was answered with {answer[:80]!r}")
            grown = server.memory() - before
        if grown > lab.body / 2**21:  # Half of the body.
            problems.append(f"memory grew by {grown:.0f} MiB")
    outcome = lab.checked(tenants, bytes=lab.body, grown_mib=round(grown, 1))
    return with_problems(outcome, problems)


def full_disk(lab: Lab) -> Outcome:
    """Prevents all writes for a while: changes are refused, tasks are kept."""
    with lab.serving("full") as server:
        tenants = lab.crowd(server)
        with asking(tenants):
            time.sleep(lab.seconds / 4)
        hard = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (0, hard))
        refused = refusals(tenants, lab.seconds / 4)
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        with asking(tenants):
            time.sleep(lab.seconds / 4)
        compared = sum(tenant.check_tasks() for tenant in tenants)
    return refused_only(lab.checked(tenants, tasks_compared=compared), refused)


def unreachable_store(lab: Lab) -> Outcome:
    """Makes the store unavailable for a while: locks it, then moves its files."""
    store = lab.out / "unreachable"
    with lab.serving("unreachable") as server:
        tenants = lab.crowd(server)
        with asking(tenants):
            time.sleep(lab.seconds / 4)
        with contextlib.closing(sqlite3.connect(store / "tasks.sqlite")) as other:
            other.execute("BEGIN IMMEDIATE")
            refused = refusals(tenants, lab.seconds / 4)
        (store / "weights").rename(store / "away")
        refused += refusals(tenants, lab.seconds / 4)
        (store / "away").rename(store / "weights")
        with asking(tenants):
            time.sleep(lab.seconds / 4)
        compared = sum(tenant.check_tasks() for tenant in tenants)
    return refused_only(lab.checked(tenants, tasks_compared=compared), refused)


def fuzzed(lab: Lab) -> Outcome:
    """Sends requests made from the OpenAPI document, to tasks of others too."""
    check = [lab.fuzz_python, "-c", "import schemathesis"]
    if subprocess.run(check, stderr=subprocess.DEVNULL).returncode:
        return {"skipped": "schemathesis is not installed", "problems": []}
    secret = secrets.token_hex(8)
    examples = [{"text": f"{secret} {label}", "label": label} for label in "ab"]
    mine, theirs = list(lab.tokens.values())[:2]
    rate = ("--max-requests-per-minute", "1000000")
    with lab.serving("fuzzed", *rate) as server:
        body = {"examples": examples, "name": secret}
        _, other = server.ask("POST", "/v1/tasks", body, theirs)
        plain = [{"text": label, "label": label} for label in "ab"]
        _, my_task = server.ask("POST", "/v1/tasks", {"examples": plain}, mine)
        command = [lab.fuzz_python, str(Path(__file__).with_name("fuzz.py"))]
        command += ["--port", str(server.port), "--token", mine, "--secret", secret]
        command += ["--examples", str(lab.fuzz_examples)]
        ids = ["--ids", my_task["id"], other["id"]]
        done = subprocess.run([*command, *ids], capture_output=True, text=True)
        outcome = json.loads(done.stdout.splitlines()[-1])
        status, task = server.ask("GET", f"/v1/tasks/{other['id']}", token=theirs)
        if status != 200 or task["examples"] != examples:
            outcome["problems"].append("a task of another tenant was changed")
    return outcome


FAULTS = {
    "sigkill": sigkill,
    "replicas": replicas,
    "vanishing-clients": vanishing_clients,
    "slow-clients": slow_clients,
    "large-bodies": large_bodies,
    "full-disk": full_disk,
    "unreachable-store": unreachable_store,
    "fuzzed": fuzzed,
}


def refusals(tenants: Sequence[Tenant], seconds: float) -> list[str]:
    """Lets tenants send requests that fail, and returns the errors."""
    earlier = [len(tenant.problems) for tenant in tenants]
    with asking(tenants):
        time.sleep(seconds)
    refused = []
    for tenant, number in zip(tenants, earlier, strict=True):
        refused += tenant.problems[number:]
        del tenant.problems[number:]
    return refused


def refused_only(outcome: Outcome, refused: Sequence[str]) -> Outcome:
    """Adds problems to an outcome: errors other than 503, and the lack of any error."""
    others = [r for r in refused if "answered with 503" not in r]
    missing = [] if refused else ["no change was refused"]
    return with_problems({"refused": len(refused), **outcome}, [*others, *missing])


def with_problems(outcome: Outcome, problems: Sequence[str]) -> Outcome:
    """Adds problems to an outcome."""
    return {**outcome, "problems": [*outcome["problems"], *problems]}


def settled(server: Server, files: int, seconds: float = 60) -> list[str]:
    """Waits until the service has released the connections of vanished clients."""
    end = time.monotonic() + seconds
    while True:
        _, page = server.ask("GET", "/metrics")
        waiting = [x for x in page.decode().splitlines() if "waiting_texts " in x][-1]
        left = server.open_files() - files
        if left <= 2 and float(waiting.split()[-1]) == 0:
            return []
        if time.monotonic() > end:
            return [f"{left} connections are left, and {waiting}"]
        time.sleep(0.2)


def request(path: str, body: Any, token: str) -> bytes:
    """Returns the bytes of an HTTP request."""
    content = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {token}\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content


def received(client: socket.socket) -> bytes:
    """Receives the first part of a response; empty if the server closed."""
    client.settimeout(15)
    with contextlib.suppress(OSError):
        return client.recv(65536)
    return b""


def main(args: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("faults", nargs="*", metavar="FAULT", help=", ".join(FAULTS))
    parser.add_argument("--model", default="minilm", help="name or directory")
    parser.add_argument("--data", type=Path, help="folder of examples.jsonl")
    parser.add_argument(
        "--fuzz-python",
        default=sys.executable,
        help="program that runs fuzz.py; it needs schemathesis",
    )
    parser.add_argument("--out", type=Path, default=Path("runs/serving-faults"))
    options = parser.parse_args(args)
    data = options.data or common.data_folder() / "clinc150"
    if not (data / "examples.jsonl").is_file():
        print("faults: METAFLAX_DATA names no folder of data sets.", file=sys.stderr)
        return 2
    if unknown := set(options.faults) - set(FAULTS):
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    workflows.prepare_process()
    texts = Texts.of(common.read_jsonl(data / "examples.jsonl"), 10)
    out = options.out / secrets.token_hex(4)
    lab = Lab(texts, options.model, out, fuzz_python=options.fuzz_python)
    results = {}
    for name in options.faults or FAULTS:
        results[name] = FAULTS[name](lab)
        print(f"{name}: {json.dumps(results[name])}", flush=True)
    common.write_json(options.out / "results.json", results)
    return int(any(result["problems"] for result in results.values()))


if __name__ == "__main__":
    sys.exit(main())
