"""Tests of `watch`: labels and alarms of a stream, and restarts."""

import http.server
import json
import socket
import socketserver
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from metaflax import cli, workflows
from metaflax.workflows.watching import _control_chart, _text_stream
from metaflax.workflows.watching._monitor import Group, Monitor
from metaflax.workflows.watching._outputs import AppendedFile, Webhook
from tests.workflows import worlds

TOPICS = worlds.TOPICS[:3]


def lines(number, topics, seed):
    """Texts of topics that are drawn uniformly."""
    rng = np.random.default_rng(seed)
    return [worlds.texts([rng.choice(topics)], 1, rng)[0] for _ in range(number)]


@pytest.fixture(scope="module")
def files(adapted, tmp_path_factory):
    """Usual texts; and a stream where one topic takes over."""
    folder = tmp_path_factory.mktemp("stream")
    (folder / "past.txt").write_text("\n".join(lines(200, TOPICS, 0)) + "\n")
    surge = [*lines(40, TOPICS, 1), *lines(120, TOPICS[:1], 2)]
    (folder / "stream.txt").write_text("\n".join(surge) + "\n")
    return folder / "past.txt", folder / "stream.txt"


@pytest.fixture
def watch(adapted, files, tmp_path):
    def run(texts=files[1], **options):
        given = {"past": files[0], "alarms": tmp_path / "alarms.jsonl"}
        given |= {"group_size": 10, "false_alarms": 0.05, **options}
        return workflows.watch(adapted, texts, **given)

    run.alarms = tmp_path / "alarms.jsonl"
    return run


@pytest.mark.parametrize("num_past", [150, 2000])
def test_charts_keep_to_the_rate_in_the_mean_over_samples_of_usual_texts(num_past):
    rng, found = np.random.default_rng(3), []
    for seed in range(6):
        chart = _control_chart.fit(rng.beta(1, 6, num_past), 20, 0.01, seed=seed)
        # Other texts of the same distribution.
        means = rng.beta(1, 6, (20, 500, 20)).mean(axis=-1)
        excess = (means - chart.level) / (chart.deviation / 20**0.5)
        found.append(_control_chart.cusum(excess, chart.threshold)[1].mean())
    assert 0.002 < np.mean(found) < 0.015


def test_the_fewer_usual_texts_the_higher_is_the_threshold():
    past = np.random.default_rng(0).beta(1, 6, 2000)
    thresholds = [_control_chart.fit(past[:n], 20, 0.01).threshold for n in (100, 2000)]
    assert thresholds[0] > 1.3 * thresholds[1]


def test_a_chart_group_by_group_is_that_of_the_whole_stream():
    rng = np.random.default_rng(0)
    chart = _control_chart.Chart(0.2, 0.1, 2.0)
    means = rng.uniform(0.1, 0.35, 300)
    excess = np.array([chart.excess(mean, 10) for mean in means])
    statistics, alarms = _control_chart.cusum(excess, chart.threshold)
    now = 0.0
    for mean, statistic, alarm in zip(means, statistics, alarms, strict=True):
        now = chart.next(now, mean, 10)
        assert now == pytest.approx(statistic)
        assert (now > chart.threshold) == alarm
        now = 0.0 if alarm else now
    assert 0 < alarms.sum() < 300


def test_a_monitor_goes_on_from_its_record():
    rng = np.random.default_rng(1)
    charts = {"a": _control_chart.Chart(0.3, 0.2, 1.0)}
    whole = Monitor(5, 0.1, charts, {"a": 0.0})
    parted, found = whole, ([], [])
    for number in range(43):
        shares = {"a": float(rng.uniform(0.2, 0.7)), "b": 0.1}
        whole, alarms = whole.after(f"text {number}", shares)
        found[0].extend(alarms)
        parted = Monitor.from_record(json.loads(json.dumps(parted.record())))
        parted, alarms = parted.after(f"text {number}", shares)
        found[1].extend(alarms)
    assert found[0] == found[1] != []
    assert whole.num_groups == 8
    assert whole.group.count == 3


def test_an_alarm_shows_the_most_probable_texts_of_its_group():
    group = Group()
    for number, share in enumerate([0.1, 0.9, 0.3, 0.8, 0.7]):
        group = group.with_text(f"text {number}", {"a": share})
    assert [text for _, text in group.examples["a"]] == ["text 1", "text 3", "text 4"]
    assert group.sums["a"] == pytest.approx(2.8)


def test_a_surge_gives_an_alarm_of_its_class_and_a_label_for_each_text(
    watch, files, tmp_path
):
    out = tmp_path / "labels.jsonl"
    assert watch(labels=out) == 160
    labels = worlds.read_jsonl(out)
    assert [row["text"] for row in labels] == files[1].read_text().splitlines()
    assert all(set(row["probabilities"]) == set(TOPICS) for row in labels)
    alarms = worlds.read_jsonl(watch.alarms)
    assert {alarm["class"] for alarm in alarms} == {TOPICS[0]}
    assert alarms[0]["text_number"] > 40
    assert alarms[0]["statistic"] > alarms[0]["threshold"]
    assert alarms[0]["share"] > alarms[0]["usual_share"]
    assert len(alarms[0]["texts"]) == 3


def test_a_later_start_goes_on_and_writes_every_line_once(watch, files, tmp_path):
    watch(labels=tmp_path / "whole.jsonl")
    expected = [x | {"time": 0} for x in worlds.read_jsonl(watch.alarms)]
    watch.alarms.unlink()
    grown, out = tmp_path / "grown.txt", tmp_path / "labels.jsonl"
    state = {"state": tmp_path / "state.json", "labels": out}
    every = files[1].read_text().splitlines(keepends=True)
    for number in (47, 110, 160):
        grown.write_text("".join(every[:number]))
        watch(grown, **state)
        # As if the process had been killed before it could save its state.
        with watch.alarms.open("a") as alarms, out.open("a") as labels:
            alarms.write('{"unfinished')
            labels.write('{"unfinished')
    watch(grown, **state, past=None)
    assert [x | {"time": 0} for x in worlds.read_jsonl(watch.alarms)] == expected
    whole = (tmp_path / "whole.jsonl").read_text()
    assert out.read_text().splitlines() == whole.splitlines()
    # Another file of that name is read from its start.
    grown.write_text("".join(every[100:105]))
    assert watch(grown, **state) == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"past": None}, "give a file of usual texts"),
        ({"classes": ["topic99"]}, "'topic99' is no class of the model"),
        ({"group_size": 0}, "the group size is 0"),
        ({"group_size": 50}, "there are 200 usual texts; for groups of 50 give 250"),
        ({"false_alarms": 0}, "between 0 and 1"),
        ({"texts": "nowhere.txt"}, "nowhere.txt: is no file"),
        ({"texts": "tcp://localhost"}, "give a host and a port"),
        ({"webhook": "ftp://x"}, "give an http or https address"),
        ({"webhook": "http://localhost:abc/"}, "give an http or https address"),
        ({"webhook": "http://localhost/a b"}, "give an http or https address"),
        ({"webhook": "https:///alarms"}, "give an http or https address"),
        ({"alarms": "nowhere/alarms"}, "nowhere/alarms cannot be written"),
    ],
)
def test_what_cannot_be_watched_is_refused(options, message, watch):
    with pytest.raises(ValueError, match=message):
        watch(**options)


def test_a_state_of_other_settings_or_no_state_is_refused(watch, tmp_path):
    state = tmp_path / "state.json"
    watch(state=state)
    with pytest.raises(ValueError, match="is the state of another group size"):
        watch(state=state, group_size=20)
    for content in ("", "[]", "{}", '{"identity": {}, "monitor": {"size": 1}}'):
        state.write_text(content)
        with pytest.raises(ValueError, match="is no state of `watch`"):
            watch(state=state)


def test_a_bad_line_is_left_out_with_a_note(watch, tmp_path):
    stream, notes = tmp_path / "stream.jsonl", []
    good = json.dumps({"text": "topic00 filler01", "id": 7})
    stream.write_text(f'{good}\n\n{{"text": \n{good}\n{{"text": 3}}\n')
    assert watch(stream, note=notes.append, labels=tmp_path / "labels") == 2
    assert [row["id"] for row in worlds.read_jsonl(tmp_path / "labels")] == [7, 7]
    assert [note.split(" is left out: ")[0] for note in notes] == [
        f"{stream}: line 3",
        f"{stream}: line 5",
    ]


def test_columns_and_encoding_are_those_of_the_options(watch, tmp_path):
    stream = tmp_path / "stream.csv"
    stream.write_text("review,id\nété topic00 filler01,1\n", "latin-1")
    past = tmp_path / "past.csv"
    past.write_text("review\n" + "\n".join(lines(120, TOPICS, 3)), "latin-1")
    out = tmp_path / "labels.jsonl"
    options = {"past": past, "column": "review", "encoding": "latin-1", "labels": out}
    assert watch(stream, **options) == 1
    [row] = worlds.read_jsonl(out)
    assert row["review"].startswith("été")


def test_a_file_is_followed_until_another_one_takes_its_place(tmp_path, monkeypatch):
    monkeypatch.setattr(_text_stream, "POLL_SECONDS", 0.01)
    path = tmp_path / "log"
    path.write_text("one\ntw")
    _, followed = _text_stream.lines_of(str(path), follow=True)
    found = iter(followed)
    assert next(found) == b"one\n"
    with path.open("a") as file:
        file.write("o\n")
    assert next(found) == b"two\n"
    (tmp_path / "new").write_text("three\n")
    (tmp_path / "new").replace(path)
    with pytest.raises(_text_stream.ReplacedError):
        next(found)


def test_lines_of_all_clients_are_received():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = ("127.0.0.1", free.getsockname()[1])
    _, received = _text_stream.lines_of(f"tcp://127.0.0.1:{address[1]}", follow=False)
    for text in (b"one\n", b"two"):
        with socket.create_connection(address) as client:
            client.sendall(text)
        time.sleep(0.05)
    found = iter(received)
    assert {next(found), next(found)} == {b"one\n", b"two\n"}


def test_alarms_are_posted_and_one_that_is_not_delivered_is_told():
    got, notes = [], []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        hook = Webhook(f"http://127.0.0.1:{server.server_port}/", notes.append)
        for number in range(3):
            hook.send({"time": "now", "group": number})
        hook.close()
        server.shutdown()
    assert [alarm["group"] for alarm in got] == [0, 1, 2]
    assert not notes
    hook.send({"time": "later"})
    hook.close()
    [note] = notes
    assert "the alarm of later was not delivered" in note


def test_each_alarm_is_noted_that_a_server_does_not_answer_in_http():
    class Nonsense(socketserver.StreamRequestHandler):
        def handle(self):
            self.rfile.readline()
            self.wfile.write(b"nonsense\r\n\r\n")

    notes = []
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Nonsense) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        hook = Webhook(f"http://127.0.0.1:{server.server_address[1]}/", notes.append)
        for number in range(2):
            hook.send({"time": f"{number} o'clock"})
        hook.close()
        server.shutdown()
    assert [note[:27] for note in notes] == [
        "the alarm of 0 o'clock was ",
        "the alarm of 1 o'clock was ",
    ]


def test_a_file_that_lost_lines_is_refused(tmp_path):
    path = tmp_path / "alarms"
    path.write_text("12345")
    with pytest.raises(ValueError, match="has 5 bytes, and the state says 6"):
        AppendedFile(str(path), 6)


def test_the_command_reads_a_pipe_and_prints_alarms(adapted, files):
    past, stream = files
    command = [sys.executable, "-m", "metaflax", "watch", "--model", str(adapted)]
    command += ["--past", str(past), "--group-size", "10", "--false-alarms", "0.05"]
    command += ["--classes", TOPICS[0]]
    done = subprocess.run(
        command, input=stream.read_text(), capture_output=True, text=True, check=True
    )
    alarms = [json.loads(line) for line in done.stdout.splitlines()]
    assert {alarm["class"] for alarm in alarms} == {TOPICS[0]}
    assert "160 texts watched." in done.stderr
    assert cli.main(["watch", "--model", str(adapted), "--texts", str(stream)]) == 2
