"""The site in a real Chromium: what people and their keyboards get, and that nothing leaves the page.

Needs a Chromium on the PATH (`apt-get install chromium`); without one these tests are skipped.
"""

import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, Request, sync_playwright
from site_records import CLOSED, EVIL, make_site, write_records

from dxbench.paths import reference_results

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH; `apt-get install chromium`")
SCREENSHOTS = Path(__file__).resolve().parents[2] / "build" / "screenshots"
PLANE = "tasks/plane.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    flags = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_site(write_records(tmp_path_factory.mktemp("records")), tmp_path_factory.mktemp("out") / "site").folder


@pytest.fixture(scope="module")
def served(site: Path) -> Iterator[str]:
    """The site's address over http."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@dataclass
class Visit:
    """A page with all that it said and asked for."""

    page: Page
    base: str
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def go(self, path: str) -> Page:
        self.page.goto(f"{self.base}/{path}")
        return self.page

    def watch(self) -> None:
        def asked(request: Request) -> None:
            self.requests.append(request.url)

        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        self.page.on("request", asked)
        self.page.on("requestfailed", lambda request: self.complaints.append(f"failed: {request.url}"))

    def check(self) -> None:
        assert self.complaints == []
        outside = [url for url in self.requests if not url.startswith((f"{self.base}/", "data:,"))]
        assert outside == []


@pytest.fixture(params=["file", "http"])
def visit(request: pytest.FixtureRequest, browser: Browser, site: Path) -> Iterator[Visit]:
    """A window on the site, from the disk and from a server; at the end nothing may have gone wrong in it."""
    base = f"file://{site}" if request.param == "file" else request.getfixturevalue("served")
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    found = Visit(context.new_page(), base)
    found.watch()
    yield found
    found.check()
    context.close()


def labels(page: Page) -> list[str]:
    """Names of the rows that show, from the first table."""
    rows = page.locator("table.board").first.locator("tbody tr:visible th a:first-of-type")
    return [text for text in rows.all_inner_texts() if text != "#"]


def head(page: Page, key: str) -> Locator:
    return page.locator(f'table.board th[data-key="{key}"]').first


def test_every_kind_of_page_loads_without_a_complaint(visit: Visit, site: Path) -> None:
    kinds = ["index.html", "claims.html", "protocols.html", PLANE, "methods/fast.html"]
    evil = next((site / "runs/plane").glob("script*/*.html"))
    for path in [*kinds, f"methods/{evil.parent.name}.html", str(evil.relative_to(site))]:
        page = visit.go(path)
        assert page.locator("h1").count() == 1
        assert page.evaluate("getComputedStyle(document.querySelector('main')).maxWidth") != "none"
        assert page.locator("#theme").count() == 1


def test_the_policy_stops_what_is_inline(visit: Visit) -> None:
    page = visit.go(PLANE)
    page.evaluate(
        "document.body.insertAdjacentHTML('beforeend', '<img src=\"data:,\" onerror=\"document.title = 1\">')"
    )
    page.evaluate("document.body.append(Object.assign(document.createElement('script'), {text: 'document.title = 2'}))")
    page.wait_for_timeout(50)
    assert page.title() == "plane · dxbench"
    assert visit.complaints
    assert all("Content Security Policy" in text for text in visit.complaints)
    visit.complaints.clear()


def test_a_head_sorts_best_first_and_then_the_other_way(visit: Visit) -> None:
    page = visit.go(PLANE)
    button = head(page, "gain").get_by_role("button")
    button.click()
    best_first = labels(page)
    assert head(page, "gain").get_attribute("aria-sort") == "descending"
    assert best_first[0] == f"{EVIL}[text={CLOSED}]"
    button.click()
    assert head(page, "gain").get_attribute("aria-sort") == "ascending"
    assert labels(page) == best_first[::-1]
    head(page, "NFE").get_by_role("button").click()
    assert head(page, "gain").get_attribute("aria-sort") is None
    assert labels(page) == ["floor[steps=0]", "fast[steps=2]", f"{EVIL}[text={CLOSED}]", "alone[steps=5]",
                            "middle[steps=10]", "slow[steps=100]"]  # fmt: skip


def test_rows_are_filtered_by_text_family_nfe_and_status(visit: Visit) -> None:
    page = visit.go(PLANE)
    count = page.locator("#count")
    assert count.inner_text() == "7 rows"
    page.get_by_label("Search").fill("SLOW")
    assert labels(page) == ["slow[steps=100]"]
    assert count.inner_text() == "1 of 7 rows"
    page.get_by_role("button", name="Reset").click()
    page.get_by_label("Family").select_option("energy-based")
    assert labels(page) == ["slow[steps=100]"]
    page.get_by_label("Family").select_option("")
    page.get_by_label("NFE from").fill("3")
    page.get_by_label("NFE to").fill("10")
    assert set(labels(page)) == {"middle[steps=10]", "alone[steps=5]", f"{EVIL}[text={CLOSED}]"}
    page.locator("select[name=show]").select_option("marked")
    assert labels(page) == ["alone[steps=5]"]
    assert page.locator("svg a.off").count() > 0
    page.get_by_role("button", name="Reset").click()
    assert count.inner_text() == "7 rows"
    assert page.locator("svg a.off").count() == 0


def test_the_address_brings_back_what_one_saw(visit: Visit) -> None:
    page = visit.go(PLANE)
    head(page, "NFE").get_by_role("button").click()
    head(page, "NFE").get_by_role("button").click()
    page.get_by_label("NFE from").fill("4")
    page.get_by_label("Metric").first.select_option("gain")
    saw, address = labels(page), page.url
    other = Visit(page.context.new_page(), visit.base)
    other.watch()
    other.page.goto(address)
    assert labels(other.page) == saw
    assert other.page.get_by_label("NFE from").input_value() == "4"
    assert head(other.page, "NFE").get_attribute("aria-sort") == "descending"
    assert other.page.locator('.figures[data-metric="gain"]').first.is_visible()
    assert other.page.locator('.figures[data-metric="err"]').first.is_hidden()
    other.check()


def test_a_row_has_an_address_of_its_own(visit: Visit) -> None:
    page = visit.go(PLANE)
    row = page.locator("table.board tbody tr", has_text="middle").first
    row.hover()
    row.get_by_label("Link to this row").click()
    page.goto("about:blank")
    page.go_back()
    chosen = page.locator("tr.chosen")
    assert chosen.count() == 1
    assert "middle" in chosen.inner_text()
    assert chosen.evaluate("row => row === document.activeElement")
    visit.requests = [url for url in visit.requests if url != "about:blank"]


def test_a_point_of_a_plot_leads_to_its_row_and_keeps_the_sorting(visit: Visit) -> None:
    page = visit.go(PLANE)
    head(page, "NFE").get_by_role("button").click()
    page.locator("ol.front a:visible").first.click()
    page.wait_for_function("document.querySelector('tr.chosen') !== null")
    assert head(page, "NFE").get_attribute("aria-sort") == "ascending"
    assert "sort=NFE" in page.url
    assert "row=r-" in page.url


def test_rows_of_another_protocol_stand_apart_with_what_differs(visit: Visit) -> None:
    page = visit.go(PLANE)
    apart = page.locator("section", has=page.get_by_role("heading", name="Measured by another protocol")).last
    assert "n = 20 (above: 10)" in apart.inner_text()
    assert "elsewhere" in apart.locator("table.board").inner_text()
    assert "elsewhere" not in page.locator("table.board").first.inner_text()


def test_an_evil_name_is_text(visit: Visit) -> None:
    page = visit.go(PLANE)
    assert f"{EVIL}[text={CLOSED}]" in labels(page)
    assert page.get_by_label("Family").locator("option", has_text=CLOSED).count() == 1
    page.get_by_role("link", name=EVIL).first.click()
    assert page.locator("h1").inner_text() == EVIL
    assert page.locator("main script, main img").count() == 0


def test_the_keyboard_is_enough(visit: Visit) -> None:
    page = visit.go(PLANE)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    head(page, "err").get_by_role("button").focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.parentElement.dataset.key") == "gain"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    assert head(page, "gain").get_attribute("aria-sort") == "descending"
    page.keyboard.press("Space")
    assert head(page, "gain").get_attribute("aria-sort") == "ascending"


def test_the_dark_theme_follows_the_system_and_then_the_button(visit: Visit) -> None:
    page = visit.go("index.html")
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(paper)
    assert dark != light
    page.get_by_role("button", name="Switch to light colours").click()
    assert page.evaluate(paper) == light
    page.reload()
    assert page.evaluate(paper) == light
    page.get_by_role("button", name="Switch to dark colours").click()
    assert page.evaluate(paper) == dark


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_have_contrast(visit: Visit, scheme: str) -> None:
    page = visit.go(PLANE)
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    ratios = page.evaluate(
        """() => {
          const style = getComputedStyle(document.documentElement);
          const light = (name) => {
            const hex = style.getPropertyValue(name).trim().slice(1);
            const [r, g, b] = [0, 2, 4].map((i) => parseInt(hex.slice(i, i + 2), 16) / 255)
              .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
          };
          const pairs = [["--warn", "--warn-soft"], ["--ink", "--accent-soft"], ["--accent", "--accent-soft"]];
          for (const text of ["--ink", "--muted", "--accent", "--warn", "--bad", "--good"])
            for (const paper of ["--paper", "--raised"]) pairs.push([text, paper]);
          const ratio = (a, b) => (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
          return pairs.map(([a, b]) => [a, b, ratio(light(a), light(b))]);
        }"""
    )
    assert [pair for pair in ratios if pair[2] < 4.5] == []


@pytest.mark.parametrize("path", ["index.html", PLANE, "claims.html", "protocols.html", "methods/fast.html", "run"])
def test_a_phone_scrolls_tables_not_the_page(visit: Visit, site: Path, path: str) -> None:
    if path == "run":
        path = str(next((site / "runs/plane").glob("script*/*.html")).relative_to(site))
    visit.page.set_viewport_size({"width": 360, "height": 740})
    page = visit.go(path)
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_a_command_is_copied(visit: Visit, browser: Browser) -> None:
    page = visit.go(PLANE)
    button = page.get_by_role("button", name="Copy")
    button.click()
    page.wait_for_function("document.querySelector('.copy button').textContent !== 'Copy'")
    assert button.or_(page.locator(".copy button")).first.text_content() in ("Copied", "Selected")


def test_without_scripts_everything_is_there(browser: Browser, site: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"file://{site}/{PLANE}")
    assert len(labels(page)) == 6
    assert page.locator("#filters").is_hidden()
    assert page.locator('.figures[data-metric="gain"]').first.is_visible()
    context.close()


SHOTS = {
    "index": ("index.html", 1200, "light"),
    "index-phone-dark": ("index.html", 360, "dark"),
    "task": ("tasks/gaussians8.html", 1200, "light"),
    "task-dark-filtered": ("tasks/gaussians8.html#family=diffusion&sort=NFE", 1200, "dark"),
    "task-phone": ("tasks/gaussians8.html", 360, "light"),
    "method": ("methods/dxmi.html", 1200, "light"),
    "run": ("runs/gaussians8/dxmi/{run}.html", 1200, "light"),
    "run-phone-dark": ("runs/gaussians8/dxmi/{run}.html", 360, "dark"),
    "claims": ("claims.html", 1200, "light"),
    "protocols": ("protocols.html", 1200, "light"),
}


def test_screenshots_of_the_reference_site(browser: Browser, tmp_path: Path) -> None:
    site = make_site(reference_results(), tmp_path / "site").folder
    run = sorted(path.stem for path in (site / "runs/gaussians8/dxmi").glob("*.html"))[0]
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    for name, (path, width, scheme) in SHOTS.items():
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
        shown = Visit(context.new_page(), f"file://{site}")
        shown.watch()
        shown.go(path.format(run=run)).screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)
        assert (SCREENSHOTS / f"{name}.png").stat().st_size > 10_000
        shown.check()
        context.close()
