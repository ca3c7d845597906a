"""Tests that the service accepts the requests of the guide."""

import re
import shlex
from pathlib import Path

import pytest

from metaflax import cli

GUIDE = Path(__file__).parents[2] / "docs" / "howto" / "serve.md"


def test_the_requests_of_the_guide_are_answered(client):
    if not GUIDE.is_file():
        pytest.skip("the documentation is not beside the tests")
    [code] = re.findall(r"```\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    joined = re.sub(r"\n\s+", " ", code)  # A body continues in indented lines.
    lines = [shlex.split(line, comments=True) for line in joined.splitlines()]
    [command] = [words for words in lines if "serve" in words]
    parsed = cli.parse(command[command.index("serve") :][:-1])  # Without its &.
    assert parsed.port == 8000
    task, answers = "", []
    for words in (words for words in lines if words[:1] == ["curl"]):
        [url] = [word for word in words if word.startswith("localhost:8000")]
        path = url.removeprefix("localhost:8000").replace("$ID", task)
        body = words[words.index("-d") + 1] if "-d" in words else ""
        method = words[words.index("-X") + 1] if "-X" in words else "POST"
        answer = client.request(method, path, content=body)
        assert answer.is_success, answer.text
        answers.append(answer.json())
        task = answers[0]["id"]
    assert len(answers) == 4
    assert set(answers[0]["classes"]) == {"delivery", "refund"}
    assert answers[1]["predictions"][0]["label"] in answers[0]["classes"]
    assert answers[2]["version"] == 2
    assert answers[3]["method"] == "leave_one_out"
