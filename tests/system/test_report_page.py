"""The report as a browser lays it out: nothing runs over an edge, nothing covers other words, nothing complains."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from html import escape
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit" / "report"))

from report_values import BOX, replace, write_session

from hwtune.report.html import page
from hwtune.report.stored import load_session
from hwtune.report.view import view_of

pytestmark = pytest.mark.chromium

# What only the browser knows, written to where --dump-dom finds it. The page itself has no script.
PROBE = """<script>
const width = document.documentElement.clientWidth, problems = [];
const name = e => e.tagName + "." + (e.getAttribute("class") || "") + " " + e.textContent.slice(0, 40);
for (const e of document.body.querySelectorAll("*")) {
  const box = e.getBoundingClientRect();
  if (e.tagName == "SCRIPT" || box.width == 0) continue;
  if (box.right > width + 0.5 || box.left < -0.5) problems.push("over the edge: " + name(e));
  if (e.classList.contains("scroll") && e.scrollWidth > e.clientWidth) problems.push("scrolls: " + name(e));
}
for (const svg of document.querySelectorAll("svg")) {
  const frame = svg.getBoundingClientRect();
  const texts = [...svg.querySelectorAll("text")].map(e => [e, e.getBoundingClientRect()]);
  for (const [e, box] of texts)
    if (box.left < frame.left || box.right > frame.right || box.top < frame.top || box.bottom > frame.bottom)
      problems.push("outside its plot: " + name(e));
  texts.forEach(([a, p], i) => texts.slice(i + 1).forEach(([b, q]) => {
    const across = Math.min(p.right, q.right) - Math.max(p.left, q.left);
    const down = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
    if (across > 1 && down > 4) problems.push("words on words: " + name(a) + " / " + name(b));
  }));
}
const drawn = [...document.querySelectorAll("svg")].map(svg => ({
  id: svg.id, height: svg.getBoundingClientRect().height,
  points: [...svg.querySelectorAll("path.point")].filter(p => p.getBoundingClientRect().width > 4).length}));
const background = getComputedStyle(document.body).backgroundColor;
const found = top.document.createElement("script");
found.type = "application/json"; found.id = "found";
found.textContent = JSON.stringify({width, problems, drawn, background});
top.document.body.append(found);
console.log("probe has run");
</script>"""


@pytest.fixture(scope="module")
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None and os.environ.get("CI") == "true":
        for command in (["apt-get", "update"], ["apt-get", "install", "-y", "--no-install-recommends", "chromium"]):
            subprocess.run(command, check=True, capture_output=True, timeout=600)
        found = shutil.which("chromium")
        assert found, "apt-get installed no chromium"
    if found is None:
        pytest.skip("no Chromium: apt-get install chromium")
    return found


FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--enable-logging=stderr",
    "--hide-scrollbars",
    "--window-size=1200,2400",
)


def look(chromium: str, directory: Path, document: str, width: int, *more: str) -> tuple[dict, list[str]]:
    """What the probe found at this width, and what the browser's console said.

    A window is at least 500 pixels wide; a frame in it may be a phone.
    """
    inner = escape(document.replace("</body>", PROBE + "</body>"))
    file = directory / "frame.html"
    file.write_text(
        f'<!DOCTYPE html><meta charset="utf-8"><meta name="color-scheme" content="light dark">'
        f'<iframe style="width:{width}px;height:3000px;border:0" srcdoc="{inner}"></iframe>'
    )
    result = subprocess.run(
        [chromium, *FLAGS, f"--user-data-dir={directory / 'profile'}", *more, "--dump-dom", file.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found = re.search(r'<script type="application/json" id="found">(.*?)</script>', result.stdout)
    assert found, result.stderr
    return json.loads(found[1]), [line for line in result.stderr.splitlines() if "CONSOLE" in line]


@pytest.fixture
def document(tmp_path) -> str:
    machine = replace(BOX, energy_source="emulated meter acpi_power_meter (power1)")
    command = "make -j8 CFLAGS='<script>console.error(1)</script>' " + "x" * 200
    store = tmp_path / "hwtune.sqlite"
    return page(view_of(load_session(store, write_session(store, machine=machine, workload=command))))


@pytest.mark.parametrize("width", [360, 1100])
def test_page_fits(chromium, tmp_path, document, width):
    found, console = look(chromium, tmp_path, document, width)
    assert found["width"] == width
    assert found["problems"] == []
    assert [plot["points"] for plot in found["drawn"]] == [7, 7, 6, 6]
    assert all(plot["height"] > 200 for plot in found["drawn"])
    assert len(console) == 1 and "probe has run" in console[0]


def test_page_is_dark_where_the_reader_wants_it(chromium, tmp_path, document):
    light, _ = look(chromium, tmp_path, document, 800, "--blink-settings=preferredColorScheme=1")
    dark, _ = look(chromium, tmp_path, document, 800, "--blink-settings=preferredColorScheme=0")
    assert light["background"] == "rgb(255, 255, 255)"
    assert dark["background"] == "rgb(21, 23, 26)"


def test_the_probe_sees_what_is_wrong(chromium, tmp_path, document):
    wide = document.replace("<main>", '<main><div style="width:9999px">wide</div><script>nothing()</script>')
    found, console = look(chromium, tmp_path, wide, 360)
    assert any("over the edge" in problem and "wide" in problem for problem in found["problems"])
    assert any("ReferenceError" in line for line in console)
