"""Records to a folder of pages: what is in it, that it is safe, and that it is the same each time."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import urllib.request
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from conftest import Ended
from hypothesis import given
from hypothesis import strategies as st
from site_records import EVIL, make_site, record, write_records

from dxbench.api import Failure, ResultRecord, Tile
from dxbench.boards.site.build import MARKER, Built, build_site
from dxbench.boards.site.names import FAMILIES, run_page, slug, tone
from dxbench.boards.site.pictures import KeptPictures, NoPictures, PicturesBeside
from dxbench.boards.site.rendering import STYLE, linked, scripted
from dxbench.boards.site.runs import Shown, face, repeat_command
from dxbench.errors import NothingMeasured, UsageError
from dxbench.files.arrays import array_sha256, save_arrays
from dxbench.paths import reference_results
from dxbench.plugins.configure import assignments, parse_assignments
from dxbench.records.files import work_folder, write_record
from dxbench.records.index import open_index


def contents(site: Path) -> dict[str, bytes]:
    """Every file of a site."""
    return {str(p.relative_to(site)): p.read_bytes() for p in sorted(site.rglob("*")) if p.is_file()}


class Page(HTMLParser):
    """Tags of a page, its links and anchors, and the text of its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def values(self, attribute: str) -> list[str]:
        return [found for _, attributes in self.tags if (found := attributes.get(attribute)) is not None]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_records(tmp_path_factory.mktemp("records"))


@pytest.fixture(scope="module")
def built(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    return make_site(folder, tmp_path_factory.mktemp("out") / "site")


@pytest.fixture(scope="module")
def pages(built: Built) -> dict[str, Page]:
    return pages_of(built)


def pages_of(built: Built) -> dict[str, Page]:
    return {name: Page(text.decode()) for name, text in contents(built.folder).items() if name.endswith(".html")}


def test_every_task_method_and_run_has_its_page(pages: dict[str, Page], folder: Path) -> None:
    runs = {f"runs/{slug(p.parts[-3])}/{slug(p.parts[-2])}/{slug(p.stem)}.html" for p in folder.glob("*/*/*.json")}
    assert {name for name in pages if name.startswith("runs/")} == runs
    assert {"index.html", "claims.html", "protocols.html", "tasks/plane.html", "methods/fast.html"} <= set(pages)


def test_equations_of_an_installed_method_stand_on_its_page(tmp_path: Path) -> None:
    write_record(tmp_path / "results", record("edm", 0, 0.1, nfe=3))
    built = build_site(open_index([tmp_path / "results"]), tmp_path / "site", pictures=NoPictures())
    assert "<dt>denoiser</dt><dd>D(x, σ) = c<sub>skip</sub> x + " in (built.folder / "methods/edm.html").read_text()


def test_indices_of_equations_are_set_low_and_high() -> None:
    assert str(scripted("x_{k+1}, s_k², ᾱ_t, w^k < 1, σ_max^{1/ρ}")) == (
        "x<sub>k+1</sub>, s<sub>k</sub>², ᾱ<sub>t</sub>, w<sup>k</sup> &lt; 1, σ<sub>max</sub><sup>1/ρ</sup>"
    )
    assert str(scripted("as sft_pg and distribution_matching")) == "as sft_pg and distribution_matching"


@given(st.text(alphabet="ab_^{}<>&x² ", max_size=20))
def test_equations_are_escaped(text: str) -> None:
    left = re.sub(r"</?su[bp]>", "", str(scripted(text)))
    assert "<" not in left
    assert ">" not in left


def test_every_link_within_the_site_leads_somewhere(pages: dict[str, Page], built: Built) -> None:
    assert follow_links(pages, built) > len(pages)


def follow_links(pages: dict[str, Page], built: Built) -> int:
    """See that anchors are unique and every link within the site has its file and anchor; how many links there are."""
    followed = 0
    for name, page in pages.items():
        ids = page.values("id")
        assert len(ids) == len(set(ids)), name
        for link in [*page.values("href"), *page.values("src")]:
            if link.startswith(("https://arxiv.org/", "data:,")):
                continue
            path, _, anchor = link.partition("#")
            target = os.path.normpath(Path(name).parent / path) if path else name
            assert (built.folder / target).is_file(), f"{name}: {link}"
            assert not anchor or anchor in pages[target].values("id"), f"{name}: {link}"
            followed += 1
    return followed


def test_own_runs_have_rows_and_pages_of_their_own_and_runs_without_a_number_have_none(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seed 0 of a row of the reference measured again, a further seed, and a method that was skipped."""
    monkeypatch.setenv("DXBENCH_RESULTS", str(tmp_path / "mine"))
    for seed, value in ((0, 0.7), (5, 0.9)):
        write_record(tmp_path / "mine", record("fast", seed, value, nfe=2))
    failure = Failure(phase="setup", type="MissingData", message="no weights")
    write_record(tmp_path / "mine", record("absent", 0, 0.1, nfe=3, status="skipped", scores={}, failure=failure))
    built = build_site(open_index([folder, tmp_path / "mine"]), tmp_path / "site", pictures=NoPictures())
    pages = pages_of(built)
    follow_links(pages, built)
    method = (built.folder / "methods/fast.html").read_text()
    theirs, ours = (re.search(rf'<tr id="plane-[0-9a-f]+{at}".*?</tr>', method, re.DOTALL) for at in ("", "@yours"))
    assert theirs is not None
    assert ours is not None
    assert re.findall(r"-s(\d)(?:@yours)?\.html", theirs[0]) == ["0", "1", "2"]
    assert re.findall(r"-s(\d)@yours\.html", ours[0]) == ["0", "5"]
    run = re.search(r'href="\.\./(runs/[^"]+-s0@yours\.html)"', ours[0])
    assert run is not None
    text = (built.folder / run[1]).read_text()
    assert "fast on plane, seed 0 (yours)" in text
    assert "0.7" in text
    assert not [name for name in pages if "absent" in name]
    assert "No number of absent[steps=3] (yours) (1 skipped)" in (built.folder / "tasks/plane.html").read_text()
    assert built.runs == sum(name.startswith("runs/") for name in pages)


def test_a_page_has_no_script_one_style_that_its_policy_names_and_nothing_from_elsewhere(built: Built) -> None:
    for name, data in contents(built.folder).items():
        if not name.endswith(".html"):
            continue
        text = data.decode()
        (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
        digest = b64encode(sha256(style.encode()).digest()).decode()
        page = Page(text)
        policies = [a["content"] for tag, a in page.tags if tag == "meta" and a.get("http-equiv")]
        assert policies == [
            f"default-src 'none'; style-src 'sha256-{digest}'; img-src 'self' data:; base-uri 'none'; "
            "form-action 'none'"
        ]
        for tag, attributes in page.tags:
            assert tag not in ("script", "iframe", "object", "base"), name
            assert not [key for key in attributes if key.startswith("on") or key == "style"], name


def test_a_page_is_one_file_until_there_are_pictures(pages: dict[str, Page]) -> None:
    for name, page in pages.items():
        loaded = [
            a for tag, a in page.tags if tag in ("img", "script", "source") or "stylesheet" in (a.get("rel") or "")
        ]
        assert loaded == [], name


def test_names_are_text_wherever_they_stand(built: Built) -> None:
    for name, data in contents(built.folder).items():
        text = data.decode()
        if name.endswith(".html"):
            assert "<script" not in text, name
            assert "<img" not in text, name


@pytest.mark.parametrize(
    "name", [EVIL, "../../x", "/etc/passwd", "..", "", "CON", "a" * 300, "\udcff", "é", "x\ny", "a."]
)
def test_a_name_cannot_leave_its_folder(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9][a-z0-9._-]*", slug(name))
    assert len(slug(name)) < 80
    assert ".." not in run_page(name, name, name, origin=name).split("/")


@given(st.lists(st.text(min_size=0, max_size=30), unique=True, max_size=20))
def test_different_names_have_different_files_even_where_case_is_folded(names: list[str]) -> None:
    assert len({slug(name).casefold() for name in names}) == len(names)
    assert all(slug(slug(name)) != slug(name) or slug(name) == name for name in names)


def test_plain_names_stay_as_they_are() -> None:
    assert slug("dxmi") == "dxmi"
    assert slug("2ece7caaef-s0") == "2ece7caaef-s0"


def test_links_are_made_of_arxiv_identifiers_only() -> None:
    assert linked('<a href="x">arXiv:2407.00626v2') == (
        '&lt;a href=&#34;x&#34;&gt;<a href="https://arxiv.org/abs/2407.00626v2" rel="noreferrer">arXiv:2407.00626v2</a>'
    )
    assert linked("`a<b`") == "<code>a&lt;b</code>"


def test_the_same_records_give_the_same_bytes(folder: Path, built: Built, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONHASHSEED": "7"}
    command = [sys.executable, "-m", "dxbench", "leaderboard", "build", "--results", str(folder), "--json"]
    ended = subprocess.run(
        [*command, "-o", str(tmp_path / "again")], capture_output=True, text=True, check=True, env=environment
    )
    assert contents(tmp_path / "again") == contents(built.folder)
    said = json.loads(ended.stdout)
    assert (said["runs"], said["bytes"]) == (built.runs, built.bytes)
    assert built.bytes == sum(len(data) for name, data in contents(built.folder).items() if name != MARKER)


def test_a_new_site_replaces_the_old_one_whole(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "site"
    other = tmp_path / "other"
    write_record(other, record("gone", 0, 1.0, nfe=1))
    make_site(other, out)
    assert (out / "methods/gone.html").is_file()
    make_site(folder, out)
    assert not (out / "methods/gone.html").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["home", "other", "site"] or not (tmp_path / "home").exists()


def test_a_folder_of_other_things_is_left_alone(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(UsageError, match="holds files that are no dxbench site"):
        make_site(folder, tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "keep"
    with pytest.raises(UsageError, match="is a file"):
        make_site(folder, tmp_path / "mine.txt")


def test_no_record_is_nothing_measured_and_an_older_site_stays(tmp_path: Path, folder: Path) -> None:
    out = tmp_path / "site"
    make_site(folder, out)
    before = contents(out)
    with pytest.raises(NothingMeasured):
        make_site(tmp_path / "none", out)
    assert contents(out) == before


def test_a_bad_file_among_the_records_ends_with_5_after_the_site_is_there(
    dxbench: Callable[..., Ended], tmp_path: Path
) -> None:
    write_record(tmp_path / "records", record("fast", 0, 1.0, nfe=1))
    (tmp_path / "records/plane/fast/bad.json").write_text("{")
    ended = dxbench("leaderboard", "build", "--results", tmp_path / "records", "--out", tmp_path / "site")
    assert ended.code == 5
    assert "bad.json" in ended.err
    assert (tmp_path / "site/index.html").is_file()


def test_the_site_of_the_reference_records_is_small(tmp_path: Path) -> None:
    results = reference_results()
    built = build_site(open_index([results]), tmp_path / "site", pictures=PicturesBeside(NoPictures()))
    pages = {path: path.stat().st_size - len(STYLE) for path in (tmp_path / "site").rglob("*.html")}
    runs = [size for path, size in pages.items() if "runs" in path.relative_to(tmp_path / "site").parts]
    assert sum(runs) / len(runs) < 6_500
    assert max(pages.values()) + len(STYLE) < 300_000
    assert len(STYLE) < 14_000
    assert 0 < built.picture_bytes < 1_000_000
    assert sum(path.stat().st_size for path in (tmp_path / "site").rglob("*.png")) == built.picture_bytes


def test_boards_with_rows_of_ours_come_first_and_show_a_picture_or_a_plot(tmp_path: Path) -> None:
    make_site(reference_results(), tmp_path / "site")
    cards = re.findall(r"<article>.*?</article>", (tmp_path / "site/index.html").read_text(), re.DOTALL)
    ranked = ["No row ranks yet" not in card for card in cards]
    assert ranked == sorted(ranked, reverse=True)
    assert all("<svg" in card for card in cards)


def test_every_row_is_found_on_one_page(built: Built, pages: dict[str, Page]) -> None:
    links = {link for link in pages["rows.html"].values("href") if "#r-" in link or "#p-" in link}
    rows = {
        f"tasks/{path.name}#{anchor}"
        for path in (built.folder / "tasks").glob("*.html")
        for anchor in Page(path.read_text()).values("id")
        if anchor.startswith(("r-", "p-"))
    }
    assert links == rows


def test_downloads_are_what_the_table_command_prints(built: Built, folder: Path, dxbench: Callable[..., Ended]) -> None:
    for ending, format in {"csv": "csv", "tex": "latex-table", "json": "json"}.items():
        table = dxbench("table", "-t", "plane", "--results", folder, "--published", "--format", format)
        assert (built.folder / f"tasks/plane.{ending}").read_text() == table.out


def test_the_command_of_a_run_names_that_run(dxbench: Callable[..., Ended], tmp_path: Path) -> None:
    index = open_index([reference_results()])
    entry = next(e for e in index.entries("gaussians8") if e.overrides)
    command = shlex.split(repeat_command(entry, str(entry.seed)))
    planned = dxbench(*command[1:], "--dry-run", "--json", "--results", tmp_path).json
    assert entry.run_id in json.dumps(planned)


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_characters="="), min_size=1, max_size=8),
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=8),
        max_size=4,
    )
)
def test_assignments_are_read_as_what_they_were_made_of(overrides: dict[str, object]) -> None:
    assert parse_assignments(assignments(overrides)) == overrides  # type: ignore[arg-type]


def kept_run(home: Path, method: str, seed: int, samples: np.ndarray) -> ResultRecord:
    """A record of a task that is installed, which has no picture yet, and its arrays under home."""
    kept = record(method, seed, 0.1, nfe=5, task="gaussians8", samples_sha256=array_sha256(samples))
    folder = work_folder(home, task=kept.task, method=kept.method, run_id=kept.run_id)
    save_arrays(folder / "arrays.npz", {"samples": samples, "test": samples + 0.1})
    write_record(home / "records", kept)
    return kept


def test_pictures_are_of_the_samples_that_were_scored_or_not_at_all(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = kept_run(tmp_path, "first", 0, np.random.default_rng(0).normal(size=(50, 2)))
    source = KeptPictures(tmp_path, results=tmp_path / "none")
    (tile,) = source.of(kept, tmp_path)
    assert tile.png.startswith(b"\x89PNG")
    assert source.of(kept.model_copy(update={"samples_sha256": "0" * 64}), tmp_path) == ()
    arrays = next(tmp_path.glob("work/gaussians8/first/*/arrays.npz"))
    sound = arrays.read_bytes()
    for damaged in (b"", sound[: len(sound) // 2], b"\x93NUMPY\x01\x00\x10\x00((((((((((((((((", b"nonsense"):
        arrays.write_bytes(damaged)
        assert source.of(kept, tmp_path) == ()
    assert "has no pictures" in caplog.text


def test_a_record_without_a_hash_has_the_pictures_of_a_run_here_with_its_scores(tmp_path: Path) -> None:
    kept = kept_run(tmp_path, "first", 0, np.zeros((50, 2)))
    source = KeptPictures(tmp_path, results=tmp_path / "records")
    old = kept.model_copy(update={"samples_sha256": None})
    assert source.of(old, tmp_path)
    other = old.scores["err"].model_copy(update={"value": 0.2})
    assert source.of(old.model_copy(update={"scores": old.scores | {"err": other}}), tmp_path) == ()


def test_pictures_lie_beside_records_and_go_with_their_scores(
    dxbench: Callable[..., Ended], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    home = Path(os.environ["DXBENCH_HOME"])
    kept = kept_run(home, "first", 0, np.zeros((50, 2)))
    drawn = dxbench("records", "draw", home / "records", "--json").json
    (path,) = map(Path, drawn["pictures"])
    assert path == home / f"records/pictures/gaussians8/first/{kept.run_id}-samples.png"
    source = PicturesBeside(NoPictures())
    assert len(source.of(kept, home / "records")) == 1
    changed = {name: one.model_copy(update={"value": 9.0}) for name, one in kept.scores.items()}
    assert list(source.of(kept.model_copy(update={"scores": changed}), home / "records")) == []
    built = build_site(open_index([home / "records"]), tmp_path / "site", pictures=source)
    run = run_page(kept.task, kept.method, kept.run_id, origin="")
    for page in (run, "tasks/gaussians8.html", "methods/first.html", "index.html"):
        (found, *_) = re.findall(r'<img class="tile" src="([^"]+)"', (built.folder / page).read_text())
        assert (built.folder / page).parent.joinpath(found).resolve().read_bytes() == path.read_bytes()
    assert built.picture_bytes == path.stat().st_size
    path.write_bytes(b"nonsense")
    assert source.of(kept, home / "records") == ()
    assert "not a tile" in caplog.text


def test_no_kept_arrays_are_no_pictures(dxbench: Callable[..., Ended], tmp_path: Path) -> None:
    write_record(tmp_path / "records", record("fast", 0, 1.0, nfe=1))
    ended = dxbench("records", "draw", tmp_path / "records")
    assert ended.code == 6
    assert "has its arrays under" in ended.err


@pytest.mark.parametrize("ignored", [False, True])
def test_serve_says_its_address_serves_and_ends_cleanly(folder: Path, ignored: bool) -> None:
    """Where a shell in the background has set SIGINT to be ignored, too."""
    start = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    before = [sys.executable, "-c", start] if ignored else []
    command = [
        *before,
        sys.executable,
        "-m",
        "dxbench",
        "leaderboard",
        "serve",
        "--port",
        "0",
        "--results",
        str(folder),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            assert server.stderr is not None
            server.stdout.readline()
            address = server.stdout.readline().split()[0]
            with urllib.request.urlopen(f"{address}tasks/plane.html") as page:
                assert b"<h1>plane</h1>" in page.read()
            time.sleep(0.1)
            server.send_signal(signal.SIGINT)
            assert server.wait(timeout=120) == 0
            assert server.stderr.read() == ""
        finally:
            server.kill()  # a server that outlives a failed test would be waited for


def test_every_family_has_a_colour_in_both_schemes_and_a_filter() -> None:
    for number in range(len(FAMILIES) + 1):
        assert len(re.findall(rf"--f{number}:", STYLE)) == 2
        assert f".f{number} {{ --tone: var(--f{number});" in STYLE
        assert f"#show-f{number}:not(:checked)" in STYLE


def test_no_two_families_of_a_committed_board_share_a_colour() -> None:
    index = open_index([reference_results()])
    for task in index.tasks:
        families = {entry.family for entry in index.entries(task) if not entry.reference}
        assert len({tone(family) for family in families}) == len(families), task


def test_a_card_names_the_rows_of_one_seed_that_are_ahead(tmp_path: Path) -> None:
    records = write_records(tmp_path / "records")
    site = make_site(records, tmp_path / "before").folder
    assert "of one seed, which" not in (site / "index.html").read_text()
    write_record(records, record("lucky", 0, 0.01, nfe=3))
    site = make_site(records, tmp_path / "after").folder
    assert "1 row of one seed, which does not rank, is ahead" in (site / "index.html").read_text()


def test_a_quick_run_is_the_face_of_a_method_only_where_there_is_no_other() -> None:
    tile = Tile(name="samples", caption="Samples.", frames=1, width=1, height=1, png=b"")
    quick, whole = (
        Shown(label=label, anchor=label, value="1", page="p", tiles=[tile] * tiles, quick=label == "quick")
        for label, tiles in (("quick", 2), ("whole", 1))
    )
    assert face([quick, whole]) is whole
    assert face([quick]) is quick
    assert face([]) is None
