#!/usr/bin/env python3
"""Follows the README and the first tutorial in an empty environment.

Each page is followed from top to bottom: its files are written, its commands and Python
run, and the output that it shows is compared, numbers to two digits. Long commands are
shortened by the options below. If the model cannot be fetched, blocks that need it are
skipped. `first_hour.py VENV PAGE ...` takes an existing environment and other tutorials
instead.
"""

import json
import math
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "docs/tutorials/first_classifier.md")
FETCH = "from metaflax import data; data.fetch_minilm()"
SHORTER = {
    "quickstart": "--steps 4 --test-episodes 10 --model minilm",
    "train": "--steps 2 --test-episodes 8",
}
INPUTS = re.compile(r"--(?:data|support|texts) (\S+)")
ELSEWHERE = "pytest"  # `.ci/run` runs the tests.
CLASSES = "parcel refund password invoice account card loan flight hotel ticket router"
WORDS = "find show cancel change check book lose return pay track sell rent"
# Files that the README expects the reader to have.
OWN = {
    "intents.jsonl": "".join(
        json.dumps({"text": f"{word} my {label} {i}", "label": f"{label} {i}"}) + "\n"
        for label in CLASSES.split()
        for i in range(2)
        for word in WORDS.split()
    ),
    "my_task.csv": "text,label\nit is late,late\nit came late,late\nit broke,broken\n"
    "it is broken,broken\n",
    "new.txt": "so late\nall broken\n",
}


def numbers_and_text(output):
    """Splits an output into its numbers and the text around them."""
    number = r"-?\d+\.\d+"
    return [float(n) for n in re.findall(number, output)], re.sub(number, "#", output)


def compare(shown, printed):
    """Raises an error if an output differs from the one that a page shows."""
    shown_numbers, shown_text = numbers_and_text(shown.strip())
    numbers, text = numbers_and_text(printed.strip())
    pairs = zip(shown_numbers, numbers, strict=False)
    near = all(math.isclose(a, b, abs_tol=5e-3) for a, b in pairs)
    if shown_text != text or not near:
        sys.exit(f"The page shows\n{shown}\nbut the command prints\n{printed}")


class Stranger:
    """New user with a clone, an empty environment, and the pages."""

    def __init__(self, home, environment=None):
        self.clone = home / "clone"
        self.bin = Path(environment or home / "venv") / "bin"
        if environment is None:
            venv.create(home / "venv", with_pip=True)
        names = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT)
        for name in filter(None, names.decode().split("\0")):
            if (ROOT / name).is_file():
                (self.clone / name).parent.mkdir(parents=True, exist_ok=True)
                (self.clone / name).write_bytes((ROOT / name).read_bytes())
        for name, text in OWN.items():
            (self.clone / name).write_text(text)
        kept = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        self.environ = kept | {
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "METAFLAX_CACHE": os.environ.get("METAFLAX_CACHE", str(home / "cache")),
            "JAX_PLATFORMS": "cpu",
        }
        self.ran, self.printed, self.model = set(), "", None

    def follow(self, page):
        """Follows the instructions of a page, from top to bottom."""
        text = (ROOT / page).read_text()
        fences = re.finditer(r"^```(\w*)\n(.*?)^```", text, re.M | re.S)
        for fence in fences:
            language, code = fence.groups()
            before = text[: fence.start()].rstrip().splitlines()[-1]
            named = re.search(r"[Ww]rite .*`([\w.]+)`", before)
            if language == "python":
                self.run([str(self.bin / "python"), "-c", code], code, "minilm" in code)
            elif language == "text" and named:
                (self.clone / named[1]).write_text(code)
            elif language == "text" and self.printed and before == "```":
                compare(code, self.printed)
                print(f"   as shown in {page}", flush=True)
            elif not language:
                lines = code.replace("\\\n", " ").splitlines()
                for line in filter(lambda line: ELSEWHERE not in line, lines):
                    for command in line.partition(" #")[0].split(" && "):
                        self.command(command.strip())

    def command(self, command):
        """Runs a command, once."""
        if not command or command in self.ran:
            return
        self.ran.add(command)
        words = shlex.split(command)
        absent = [w for w in INPUTS.findall(command) if not (self.clone / w).exists()]
        if absent:
            print(f"== skipped, no page writes {', '.join(absent)}: {command}")
            return
        verb = words[3] if words[1:3] == ["-m", "metaflax"] else ""
        words += SHORTER.get(verb, "").split()
        if verb == "serve":
            self.serve(words)
        else:
            self.run(words, command, bool(verb) and "--help" not in words)

    def run(self, words, shown, needs_model):
        """Runs a program to its end and keeps its output."""
        self.printed = ""
        if needs_model and not self.has_model():
            return
        print("==", shown.splitlines()[0], flush=True)
        start = time.monotonic()
        program = str(self.bin / words[0]) if "/" not in words[0] else words[0]
        done = subprocess.run(
            [program, *words[1:]],
            cwd=self.clone,
            env=self.environ,
            text=True,
            stdout=subprocess.PIPE,
        )
        if done.returncode:
            sys.exit(f"{shown}\n{done.stdout}\nended with {done.returncode}.")
        self.printed = done.stdout
        print(f"   {time.monotonic() - start:.0f} s", flush=True)

    def has_model(self):
        """True if the pretrained model can be fetched; prints a note once if not."""
        if self.model is None:
            program = [str(self.bin / "python"), "-c", FETCH]
            done = subprocess.run(
                program,
                cwd=self.clone,
                env=self.environ,
                capture_output=True,
                text=True,
            )
            self.model = done.returncode == 0
            if not self.model:
                why = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
                print(f"   skipped, with all that needs the model: {why}", flush=True)
        return self.model

    def serve(self, words):
        """Starts the service, requests its page, and ends it."""
        if not self.has_model():
            return
        with socket.socket() as free:
            free.bind(("localhost", 0))
            port = free.getsockname()[1]
        print("==", *words, flush=True)
        program = [str(self.bin / words[0]), *words[1:], "--port", str(port)]
        service = subprocess.Popen(program, cwd=self.clone, env=self.environ)
        for _ in range(600):  # Until it is ready: it compiles first.
            time.sleep(0.5)
            if service.poll() is not None:
                sys.exit(f"The service ended with {service.returncode}.")
            try:
                urllib.request.urlopen(f"http://localhost:{port}/readyz")
                page = urllib.request.urlopen(f"http://localhost:{port}/").read()
                break
            except OSError:
                continue
        else:
            sys.exit("The service does not answer.")
        service.send_signal(signal.SIGTERM)
        if b"<html" not in page or service.wait(300) not in (0, 143, -15):
            sys.exit("The service has no page, or did not end.")


def main(environment=None, *pages):
    """Follows the pages (default: README and first tutorial)."""
    with tempfile.TemporaryDirectory() as home:
        stranger = Stranger(Path(home), environment)
        for page in pages or PAGES:
            print(f"==== {page}", flush=True)
            stranger.follow(page)


if __name__ == "__main__":
    main(*sys.argv[1:])
