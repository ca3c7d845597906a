"""Tests of the web page: its files, and a browser that uses it."""

import contextlib
import dataclasses
import re
import shutil
import socket
import threading
import time
import zipfile

import pytest

from metaflax import serving
from tests.serving.clients import EXAMPLES, QUERIES
from tests.workflows import worlds

FILES = {"/": "text/html", "/page.css": "text/css", "/page.js": "text/javascript"}


@pytest.mark.parametrize("path", FILES)
def test_files_of_the_page_need_no_token_and_no_other_host(client, path):
    answer = client.get(path, headers={"Authorization": ""})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(FILES[path])
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert not re.search(r"https?://|//\w+\.\w+/|@import", answer.text)
    assert not re.search(r"innerHTML|\beval\b|document\.write", answer.text)


def test_every_control_that_the_script_names_is_on_the_page(client):
    page, script = client.get("/").text, client.get("/page.js").text
    ids = set(re.findall(r'\bid="([\w-]+)"', page))
    assert set(re.findall(r'\$\("([\w-]+)"\)', script)) <= ids
    fields = re.findall(r"<(?:input|textarea|select)[^>]* id=\"([\w-]+)\"", page)
    assert set(fields) <= set(re.findall(r'<label for="([\w-]+)"', page))


@contextlib.contextmanager
def served(settings):
    """An address at which a service listens."""
    import uvicorn

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    app = serving.create_app(settings)
    server = uvicorn.Server(
        uvicorn.Config(app, port=port, log_level="error", ws="none")
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + 60
        while not server.started:
            assert thread.is_alive()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no chromium is installed, in which the page could be shown")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox"]
        )
        yield browser
        browser.close()


@pytest.mark.slow
def test_a_classifier_is_taught_with_the_keyboard(browser, settings, tmp_path):
    alone = dataclasses.replace(settings, store=tmp_path / "store", tokens=None)
    with served(alone) as address:
        page = browser.new_page(viewport={"width": 390, "height": 800})
        page.set_default_timeout(60_000)
        errors, hosts = [], set()
        page.on("console", lambda m: m.type == "error" and errors.append(m.text))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda r: hosts.add(r.url.split("/")[2]))
        page.goto(address)
        # Examples, one of which is wrong at first.
        lines = [f"{row['text']}\t{row['label']}" for row in EXAMPLES]
        page.fill("#examples", "\n".join([*lines, "no label"]))
        assert page.locator("#problems li").all_inner_texts() == [
            f"line {len(lines) + 1} has no tab or comma before a label"
        ]
        page.fill("#examples", "\n".join(lines))
        page.press("#examples", "Control+Enter")
        page.locator("#status", has_text="accuracy by leave-one-out").wait_for()
        rows = page.locator("#classes tbody tr").all_inner_texts()
        assert [row.split() for row in rows] == [
            [topic, "3", "0"] for topic in worlds.TOPICS[:3]
        ]
        # Predictions.
        page.fill("#texts", QUERIES[0])
        page.press("#texts", "Control+Enter")
        page.locator("#predictions li strong").first.wait_for()
        assert page.locator("#predictions .near li").count() == 3
        # Labels of suggested texts: a class, a skip, one taken back, a new class.
        page.fill("#pool", "\n".join(QUERIES))
        page.fill("#number", "3")
        page.press("#number", "Enter")
        page.locator("#current", has_text="topic").wait_for()
        page.keyboard.press("1")
        page.keyboard.press("u")
        page.keyboard.press("2")
        page.keyboard.press("s")
        page.fill("#new-class", "another <b>class</b>")
        page.press("#new-class", "Enter")
        assert page.inner_text("#progress") == "0 to label, 2 labelled"
        page.keyboard.press("Enter")  # The button that learns has the focus.
        page.locator("#status", has_text="learned from 11 examples").wait_for()
        assert "another <b>class</b>" in page.inner_text("#classes")
        assert page.locator("#history tbody tr").count() == 2
        with page.expect_download() as download:
            page.click("#model")
        with zipfile.ZipFile(download.value.path()) as archive:
            assert "model/config.json" in archive.namelist()
        assert page.evaluate(
            "document.documentElement.scrollWidth <= window.innerWidth"
        )
        assert errors == []
        assert hosts == {address.split("/")[2]}
