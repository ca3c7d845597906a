"""Tests that Ctrl-C at the command line is never lost, and never an exception."""

import json
import signal
import subprocess
import sys

import pytest

# Forks processes that are busy in different ways and get SIGINT at a random moment;
# prints their exit status, and the files in their folders.
FORKED = """
import hashlib, json, os, pathlib, random, signal, sys, threading, time
from metaflax import _files as files
from metaflax.cli._interrupts import end_on_interrupt
from metaflax.data.sources import _archives as archives

class Finalized:
    def __del__(self):  # An exception that rises here is lost.
        sum(range(2000))

def finalizers():
    while True:
        Finalized()

def compiled():
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**8)  # Minutes without bytecode.

def blocked():
    threading.Event().wait()

def wait_for_archive(package, folder):
    (folder / "half.whl").touch()
    blocked()

def downloading():
    archives.download = wait_for_archive
    package = archives.Package("small==1.0", "0" * 64, binary=True)
    archives.fetched(package, pathlib.Path("small"), extract=None)

def deferred():
    signal.signal(signal.SIGINT, lambda *_: None)
    os.write(ready, b"deferred")
    finalizers()

def deferred_and_compiled():
    signal.signal(signal.SIGINT, lambda *_: None)
    os.write(ready, b"deferred")
    compiled()

def child(work, folder):
    global ready
    listening, ready = os.pipe()
    if (process := os.fork()) == 0:
        os.close(listening)
        signal.alarm(20)  # Where the signal is lost.
        os.dup2(os.open(folder / "stderr", os.O_CREAT | os.O_WRONLY), 2)
        os.chdir(folder)
        end_on_interrupt()
        with files.atomic_write(folder / "out") as file, \
                files.atomic_folder(folder / "model"):
            file.write("half of it")
            file.flush()
            os.write(ready, b"begun")
            work()
        os._exit(0)
    os.close(ready)
    while (message := os.read(listening, 100)) == b"begun" and "deferred" in name:
        pass
    time.sleep(random.uniform(0, 0.05))
    os.kill(process, signal.SIGINT)
    still_there = None
    if b"deferred" in message:
        for _ in range(2000):
            if (folder / "stderr").stat().st_size:
                break
            time.sleep(0.01)
        still_there = os.waitpid(process, os.WNOHANG) == (0, 0)
        os.kill(process, signal.SIGINT)
    started = time.perf_counter()
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    os.close(listening)
    return {
        "status": status,
        "went_on": still_there,
        "left": [path.name for path in folder.iterdir()],
        "stderr": (folder / "stderr").read_text(),
    }

random.seed(0)
results = {}
works = (
    finalizers, compiled, blocked, downloading, deferred, deferred_and_compiled
)
for work in works:
    name = work.__name__
    results[name] = []
    for number in range(int(sys.argv[2])):
        folder = pathlib.Path(sys.argv[1], f"{name}{number}")
        folder.mkdir()
        results[name].append(child(work, folder))
print(json.dumps(results))
"""
ENDED = "metaflax: interrupted; the same command resumes a run.\n"
GOES_ON = "metaflax: interrupted: ending at the next safe point"


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    command = [
        sys.executable,
        "-c",
        FORKED,
        str(tmp_path_factory.mktemp("forked")),
        "4",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("work", ["finalizers", "compiled", "blocked", "downloading"])
def test_an_interrupt_ends_a_command_at_once_and_cleans_up(work, results):
    expected = {"status": 130, "went_on": None, "left": ["stderr"], "stderr": ENDED}
    assert results[work] == [expected] * 4


@pytest.mark.parametrize("work", ["deferred", "deferred_and_compiled"])
def test_where_the_first_interrupt_is_a_request_the_second_one_ends(work, results):
    for result in results[work]:
        first, second = result["stderr"].splitlines(keepends=True)
        assert (result["status"], result["went_on"]) == (130, True)
        assert result["left"] == ["stderr"]
        assert first.startswith(GOES_ON)
        assert second == ENDED


@pytest.mark.parametrize("option", [["-m", "metaflax"], ["-mmetaflax"]])
@pytest.mark.parametrize("module", ["numpy", "jax"])
def test_an_interrupt_ends_a_command_while_its_modules_are_imported(module, option):
    """By the signal, as for any program, without an import error."""
    command = [sys.executable, "-X", "importtime", *option, "--help"]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        for line in process.stderr or ():
            if line.split("|")[-1].strip().startswith(f"{module}."):
                break
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert "Error" not in error
    assert "Traceback" not in error


def test_the_package_leaves_interrupts_of_other_programs_alone():
    code = "import signal, metaflax, metaflax.cli; print(signal.getsignal(2).__name__)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "default_int_handler"
