"""Tests that a classifier is taught on the page by keyboard in a browser."""

import dataclasses
import shutil
import time
import zipfile

import pytest

from tests.serving.clients import EXAMPLES, QUERIES
from tests.serving.test_page import served
from tests.workflows import worlds

# Contrast of text required by the accessibility guidelines (WCAG 2.2, AA).
LEAST_CONTRAST = 4.5
SECONDS = 120
FLAGS = [
    "--no-sandbox",
    *("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]
# Finds texts of low contrast, controls without a name, and without a focus ring.
CHECKS = """() => {
  const parse = (color) => {
    const [r, g, b, a = 1] = color.match(/[\\d.]+/g).map(Number);
    return { rgb: [r, g, b], a };
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((c) => c / 255)
      .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const { rgb, a } = parse(getComputedStyle(node).backgroundColor);
      if (a === 1) return rgb;
    }
    return Array(3).fill(matchMedia("(prefers-color-scheme: dark)").matches ? 0 : 255);
  };
  const shown = (node) => node.checkVisibility() && node.getClientRects().length;
  const own = (node) => [...node.childNodes].some(
    (n) => n.nodeType === 3 && n.textContent.trim());
  const wrong = [];
  for (const node of document.body.querySelectorAll("*")) {
    const isControl = node.matches("button, input, select, textarea");
    if (!shown(node) || node.disabled) continue;
    if (own(node) || isControl) {
      const ink = parse(getComputedStyle(node).color).rgb;
      const pair = [light(ink), light(behind(node))];
      const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
      if (ratio < LEAST) wrong.push(`${node.tagName} ${node.id}: contrast ${ratio}`);
    }
    if (isControl) {
      const name = [...(node.labels ?? [])].map((l) => l.textContent).join("").trim()
        || node.getAttribute("aria-label") || node.textContent.trim();
      if (!name) wrong.push(`${node.tagName} ${node.id}: no name`);
    }
  }
  return wrong;
}""".replace("LEAST", str(LEAST_CONTRAST))
CONTROLS = """() => [...document.querySelectorAll(
    "a, button, input, select, textarea, [tabindex='0']")]
  .filter((n) => n.checkVisibility() && !n.disabled).length"""
FOCUSED = """() => {
  const node = document.activeElement;
  window.numbers ??= new Map();
  if (!numbers.has(node)) numbers.set(node, numbers.size);
  const style = getComputedStyle(node);
  return [node === document.body ? "" : node.id || node.textContent.trim(),
          numbers.get(node), parseFloat(style.outlineWidth)];
}"""


@pytest.fixture
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is absent")
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no chromium is installed, in which the page could be shown")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


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
        begun = time.monotonic()
        teach(page)
        assert time.monotonic() - begun < SECONDS
        label(page)
        every_control_is_reached(page)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate(CHECKS) == []
        grey = "document.querySelector('h1').style.color = 'rgb(60, 60, 60)'"
        page.evaluate(grey)  # On the dark page.
        assert "H1" in page.evaluate(CHECKS)[0]
        with page.expect_download() as download:
            to(page, "model")
            page.keyboard.press("Enter")
        with zipfile.ZipFile(download.value.path()) as archive:
            assert "model/config.json" in archive.namelist()
        width = "document.documentElement.scrollWidth <= window.innerWidth"
        assert page.evaluate(width)
        assert errors == []
        assert hosts == {address.split("/")[2]}


def teach(page):
    """Teaches a classifier on an empty page, and predicts with it."""
    lines = [f"{row['text']}\t{row['label']}" for row in EXAMPLES]
    write(page, "examples", "\n".join([*lines, "no label"]))  # Wrong at first.
    assert page.locator("#problems li").all_inner_texts() == [
        f"line {len(lines) + 1} has no tab or comma before a label"
    ]
    write(page, "examples", "\n".join(lines))
    page.keyboard.press("Control+Enter")
    page.locator("#status", has_text="accuracy by leave-one-out").wait_for()
    rows = page.locator("#classes tbody tr").all_inner_texts()
    assert [row.split() for row in rows] == [
        [topic, "3", "0"] for topic in worlds.TOPICS[:3]
    ]
    write(page, "texts", QUERIES[0])
    page.keyboard.press("Control+Enter")
    page.locator("#predictions li strong").first.wait_for()
    assert page.locator("#predictions .near li").count() == 3
    counted = page.locator("#predictions .words").inner_text()
    assert any(word in counted for word in QUERIES[0].split())


def label(page):
    """Labels suggested texts: a class, an undo, a skip, a new class."""
    write(page, "pool", "\n".join(QUERIES))
    write(page, "number", "3")
    page.keyboard.press("Enter")
    page.locator("#current", has_text="topic").wait_for()
    for key in "1u2s":
        page.keyboard.press(key)
    write(page, "new-class", "another <b>class</b>")
    page.keyboard.press("Enter")
    assert page.inner_text("#progress") == "0 to label, 2 labelled"
    page.keyboard.press("Enter")  # The button that learns has the focus.
    page.locator("#status", has_text="learned from 11 examples").wait_for()
    assert "another <b>class</b>" in page.inner_text("#classes")
    assert page.locator("#history tbody tr").count() == 2


def to(page, id):
    """Moves the focus with the key Tab."""
    for _ in range(60):
        if page.evaluate(FOCUSED)[0] == id:
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"the key Tab does not reach {id}")


def write(page, id, text):
    """Replaces the text of a field."""
    to(page, id)
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(text)


def every_control_is_reached(page):
    """Cycles through the page with the key Tab; each control shows its focus."""
    reached = {}
    for _ in range(80):
        page.keyboard.press("Tab")
        name, number, outline = page.evaluate(FOCUSED)
        if name:
            reached[number] = (name, outline)
    assert len(reached) == page.evaluate(CONTROLS), reached
    assert [name for name, outline in reached.values() if outline < 2] == []
