"""Tests of the files of the web page."""

import contextlib
import re
import socket
import threading
import time

import pytest

from metaflax import serving

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
    """The address of a running service."""
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
