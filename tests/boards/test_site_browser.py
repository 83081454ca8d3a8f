"""The site in a real Chromium: what people and their keyboards get, and that nothing leaves the page.

Needs a Chromium on the PATH (`apt-get install chromium`); without one these tests are skipped.
"""

import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path

import pytest
from conftest import Ended
from playwright.sync_api import Browser, Page, Request, sync_playwright
from site_records import CLOSED, EVIL, make_site, write_records

from dxbench.boards.site.build import build_site
from dxbench.boards.site.pictures import NoPictures, PicturesBeside
from dxbench.paths import reference_results
from dxbench.records.index import open_index

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH; `apt-get install chromium`")
SCREENSHOTS = Path(__file__).resolve().parents[2] / "build" / "screenshots"
AXE = resources.files("axe_playwright_python") / "axe.min.js"
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
def pictured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of the reference records, with pictures."""
    out = tmp_path_factory.mktemp("pictured") / "site"
    return build_site(open_index([reference_results()]), out, pictures=PicturesBeside(NoPictures())).folder


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


def test_every_kind_of_page_loads_without_a_complaint(visit: Visit, site: Path) -> None:
    kinds = ["index.html", "claims.html", "protocols.html", PLANE, "methods/fast.html"]
    evil = next((site / "runs/plane").glob("script*/*.html"))
    for path in [*kinds, f"methods/{evil.parent.name}.html", str(evil.relative_to(site))]:
        page = visit.go(path)
        assert page.locator("h1").count() == 1
        assert page.evaluate("getComputedStyle(document.querySelector('main')).maxWidth") != "none"


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


def test_families_and_kinds_of_rows_are_shown_or_not(visit: Visit) -> None:
    page = visit.go(PLANE)
    before = labels(page)
    page.get_by_label("energy-based").uncheck()
    assert set(before) - set(labels(page)) == {"slow[steps=100]"}
    assert page.locator("svg a.f0:visible").count() == 0
    page.get_by_label("energy-based").check()
    page.get_by_label("rows that do not rank").uncheck()
    assert set(before) - set(labels(page)) == {"alone[steps=5]"}
    page.get_by_label("rows that do not rank").check()
    assert labels(page) == before


def test_a_row_has_an_address_of_its_own(visit: Visit) -> None:
    page = visit.go(PLANE)
    row = page.locator("table.board tbody tr", has_text="middle").first
    row.hover()
    row.get_by_label("Link to middle").click()
    assert "middle" in page.locator("tr:target").inner_text()


def test_a_point_of_a_plot_has_a_name_and_leads_to_its_row(visit: Visit) -> None:
    page = visit.go(PLANE)
    point = page.locator("figure.plot").first.locator("svg a", has_text="slow").first
    assert point.locator(".name").first.text_content() == "slow[steps=100]"
    assert point.locator(".bar").count() == 1
    page.locator("figure.plot").first.locator("ol.front a").last.click()
    assert "slow" in page.locator("tr:target").inner_text()


def test_one_click_selects_the_command_of_a_row(visit: Visit) -> None:
    page = visit.go(PLANE)
    row = page.locator("table.board tbody tr", has_text="middle").first
    row.locator("summary").click()
    row.locator("code").click()
    assert page.evaluate("getSelection().toString().trim()") == (
        "dxbench run --task plane --method middle --seed 0,1,2 --set steps=10"
    )


def test_steps_move_the_pictures_with_keys_alone(browser: Browser, pictured: Path) -> None:
    page = browser.new_page()
    page.goto(f"file://{pictured}/tasks/gaussians8.html")
    place = "getComputedStyle(document.querySelector('.tile')).objectPosition"
    assert page.evaluate(place) == "0px 100%"
    page.get_by_label("sample", exact=True).focus()
    for wanted in ("80%", "60%", "40%", "20%", "0%"):
        page.keyboard.press("ArrowLeft")
        assert page.evaluate(place) == f"0px {wanted}"
    page.close()


def test_rows_of_another_protocol_stand_apart_with_what_differs(visit: Visit) -> None:
    page = visit.go(PLANE)
    apart = page.locator("section", has=page.get_by_role("heading", name="Measured by another protocol")).last
    assert "n = 20 (above: 10)" in apart.inner_text()
    assert "elsewhere" in apart.locator("table.board").inner_text()
    assert "elsewhere" not in page.locator("table.board").first.inner_text()


def test_an_evil_name_is_text(visit: Visit) -> None:
    page = visit.go(PLANE)
    assert f"{EVIL}[text={CLOSED}]" in labels(page)
    assert page.locator("label", has_text=CLOSED).count() == 1
    page.get_by_role("link", name=EVIL).first.click()
    assert page.locator("h1").inner_text() == EVIL
    assert page.locator("main script, main img").count() == 0


def test_the_keyboard_is_enough(visit: Visit) -> None:
    page = visit.go(PLANE)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.locator("#show-f0").focus()
    page.keyboard.press("Space")
    assert "slow[steps=100]" not in labels(page)


def test_colours_follow_the_system(visit: Visit) -> None:
    page = visit.go("index.html")
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(paper) != light


KINDS = ["index.html", PLANE, "rows.html", "claims.html", "protocols.html", "methods/fast.html", "run"]


def path_of(site: Path, kind: str) -> str:
    """The path of a kind of page; of the run with the evil name."""
    return str(next((site / "runs/plane").glob("script*/*.html")).relative_to(site)) if kind == "run" else kind


def violations(page: Page) -> list[str]:
    """The violations that axe finds, with everything folded and with everything unfolded."""
    page.evaluate(AXE.read_text("utf-8"))
    found = []
    for unfolded in (False, True):
        page.evaluate("(open) => document.querySelectorAll('details').forEach((one) => { one.open = open; })", unfolded)
        found += page.evaluate("axe.run()")["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", KINDS)
def test_axe_finds_no_violation(browser: Browser, site: Path, kind: str, scheme: str) -> None:
    context = browser.new_context(color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(f"file://{site}/{path_of(site, kind)}")
    assert violations(page) == []
    context.close()


@pytest.mark.parametrize("path", ["index.html", "tasks/screw.html", "tasks/fashion_mnist.html", "claims.html"])
def test_axe_finds_no_violation_on_a_phone_in_the_dark(browser: Browser, pictured: Path, path: str) -> None:
    context = browser.new_context(color_scheme="dark", viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.goto(f"file://{pictured}/{path}")
    assert violations(page) == []
    context.close()


def test_the_result_of_a_report_fits_a_phone(browser: Browser, dxbench: Callable[..., Ended]) -> None:
    ended = dxbench("run", "-t", "gaussians8", "-m", "dxmi:quick[iterations=2]")
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(f"file://{ended.out.split('report: ')[1].strip()}")
    result = page.get_by_role("region", name="Result")
    assert result.evaluate("(found) => found.scrollWidth <= found.clientWidth")
    name = result.locator("tbody th", has_text="mode_share_min").bounding_box()
    assert name is not None
    assert name["height"] < 55, "a number takes at most two lines, a name one"
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert violations(page) == []
    page.close()


def test_the_name_of_a_row_stays_in_sight_on_a_phone_while_its_numbers_scroll(browser: Browser, pictured: Path) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(f"file://{pictured}/tasks/gaussians8.html")
    region = page.locator(".scroll", has=page.locator("table.board")).first
    name = region.locator("tbody th").first
    before = name.bounding_box()
    region.evaluate("(found) => { found.scrollLeft = 500; }")
    assert region.evaluate("(found) => found.scrollLeft") == 500
    assert before == name.bounding_box()
    assert before is not None
    assert before["width"] < 195, "half of the phone is for numbers"
    page.close()


def test_the_reasons_of_verdicts_need_no_scrolling(browser: Browser, pictured: Path) -> None:
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.goto(f"file://{pictured}/claims.html")
    fits = "(found) => found.scrollWidth <= found.clientWidth"
    assert [region.evaluate(fits) for region in page.locator("main > .scroll").all()] == [True, True]
    page.close()


def test_a_caption_of_pictures_says_nothing_twice(browser: Browser, pictured: Path) -> None:
    page = browser.new_page()
    page.goto(f"file://{pictured}/tasks/gaussians8.html")
    said = page.locator("ul.gallery + p").inner_text()
    sentences = [one for one in said.rstrip(".").split(". ") if one]
    assert len(sentences) == len(set(sentences)) == 3
    page.close()


@pytest.mark.parametrize("path", ["index.html", "tasks/gaussians8.html", "methods/dxmi.html"])
def test_nothing_shifts_and_nothing_leaves_while_pictures_load(browser: Browser, pictured: Path, path: str) -> None:
    context = browser.new_context()
    visit = Visit(context.new_page(), f"file://{pictured}")
    visit.watch()
    visit.page.add_init_script(
        "window.shift = 0; new PerformanceObserver((list) => { for (const one of list.getEntries()) "
        "window.shift += one.value; }).observe({ type: 'layout-shift', buffered: true });"
    )
    page = visit.go(path)
    page.evaluate("document.querySelectorAll('img').forEach((one) => { one.loading = 'eager'; })")
    page.wait_for_function("[...document.images].every((one) => one.complete)")
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert page.evaluate("document.images.length") > 0
    assert page.evaluate("[...document.images].every((one) => one.naturalWidth > 0)")
    assert page.evaluate("window.shift") < 0.1
    assert violations(page) == []
    visit.check()
    context.close()


@pytest.mark.parametrize("path", KINDS)
def test_a_phone_scrolls_tables_not_the_page(visit: Visit, site: Path, path: str) -> None:
    visit.page.set_viewport_size({"width": 360, "height": 740})
    page = visit.go(path_of(site, path))
    assert page.evaluate("document.documentElement.scrollWidth") == 360


SHOTS = {
    "index": ("index.html", 1200, "light"),
    "index-phone-dark": ("index.html", 360, "dark"),
    "task": ("tasks/gaussians8.html", 1200, "light"),
    "task-dark": ("tasks/gaussians8.html", 1200, "dark"),
    "task-phone": ("tasks/gaussians8.html", 360, "light"),
    "method": ("methods/dxmi.html", 1200, "light"),
    "run": ("runs/gaussians8/dxmi/{run}.html", 1200, "light"),
    "run-phone-dark": ("runs/gaussians8/dxmi/{run}.html", 360, "dark"),
    "rows": ("rows.html", 1200, "light"),
    "claims": ("claims.html", 1200, "light"),
    "protocols": ("protocols.html", 1200, "light"),
}


def test_screenshots_of_the_reference_site(browser: Browser, pictured: Path) -> None:
    site = pictured
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
