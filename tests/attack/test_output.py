"""Words of strangers in every text of records and published rows, and what comes out of them everywhere."""

import csv
import io
import json
import re
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from html.parser import HTMLParser
from itertools import islice
from pathlib import Path
from threading import Thread
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "boards"))
from hostile import attack
from site_records import record

from dxbench.api import MetricProtocol
from dxbench.boards.check import check
from dxbench.boards.gate_report import junit, markdown, summary
from dxbench.boards.render import _FORMATS, render
from dxbench.boards.site.build import build_site
from dxbench.boards.site.pictures import NoPictures
from dxbench.boards.tables import task_table
from dxbench.cli import main
from dxbench.cli.server import SiteServer
from dxbench.plain import is_plain
from dxbench.records.files import config_id
from dxbench.records.index import open_index

pytestmark = pytest.mark.attack

WORDS = st.one_of(
    st.sampled_from(
        [
            "\x1b[31mred\x1b[0m",
            "\x1b]0;owned\x07",
            "a\rb",
            "a\nb",
            "\n\ndxbench: all is well",
            "a\x00b",
            "\x9b2J",
            "\u202egnp",
            "\u2067x\u2069",
        ]
    ),
    st.sampled_from(
        ["\u061cx", "\u2028", "\ufeff", "\U000e0041", "\x7f", "\u200b", "\u00ad", "\ufffe", "\u3164", "\t=1+1"]
    ),
    st.sampled_from(
        ["=cmd|' /C calc'!A0", "+1+1", "@SUM(1)", "-2+3", "x;=1+1", "\uff1d1+1", "-5", " =1", "'=1", '"=1', "1,=2"]
    ),
    st.sampled_from(
        [
            "</script><script>alert(1)</script>",
            "<img src=x onerror=alert(1)>",
            '" onmouseover="alert(1)',
            "' onload='x",
            "javascript:alert(1)",
        ]
    ),
    st.sampled_from(
        [
            "{{ 7*7 }}",
            "{% raw %}",
            "<!--",
            "]]>",
            "&lt;b&gt;",
            "&#27;",
            "`code`",
            "arXiv:2501.00001<b>",
            "[red]x[/red]",
            ":boom:",
        ]
    ),
    st.sampled_from(
        [
            "a|b",
            "a\\|b",
            "a\\",
            "**",
            "](http://evil.example)",
            "![x](http://evil.example/a.png)",
            "<http://evil.example>",
            "| --- |",
        ]
    ),
    st.sampled_from(
        [
            "\\input{/etc/passwd}",
            "\uff3cinput\uff5b/etc/passwd\uff5d",
            "}\\end{table}",
            "%",
            "$",
            "[5pt]",
            "*",
            "^^5cinput",
            "\\\\",
        ]
    ),
    st.sampled_from(["../../etc/passwd", "/", "..", "CON", "a" * 3000, "%s%n", "{0.__class__}", "\\x1b", "\\u202e"]),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12),
)
FIELDS = [
    "task",
    "method",
    "preset",
    "metric",
    "key",
    "value",
    "config key",
    "config value",
    "family",
    "summary",
    "description",
    "citation",
    "protocol",
    "field",
    "field value",
    "unit",
    "note",
    "reason",
    "curve",
    "package",
    "command",
    "platform",
    "git",
    "failure",
    "device",
]


@st.composite
def texts(draw: st.DrawFn) -> dict[str, str]:
    """Hostile words for some of the fields; where one is drawn, it is the whole text, its end or its beginning."""
    chosen = draw(st.lists(st.sampled_from(FIELDS), min_size=1, max_size=6, unique=True))
    form = st.sampled_from(["{}", "x{}", "{}x"])
    words = {name: draw(form).replace("{}", draw(WORDS)) for name in chosen}
    return words | {name: file_name(words[name]) for name in ("task", "method") if name in words}


def file_name(text: str) -> str:
    """What of a text a file can be called."""
    return re.sub(r"[/\0]", "", text).encode("utf-8", "ignore")[:200].decode("utf-8", "ignore").lstrip(".") or "x"


def runs(words: dict[str, str], *, shift: float = 0.0, protocol: str = "") -> Iterator[dict[str, Any]]:
    """Records as JSON: a row with these words and an ordinary one, three seeds each, and one run that failed."""

    def word(field: str, usual: str) -> str:
        return words.get(field, usual)

    for seed in range(3):
        yield json.loads(record("plain", seed, 0.3 + 0.01 * seed, nfe=10, task=word("task", "plane")).model_dump_json())
        made = json.loads(record("odd", seed, 0.5 + 0.01 * seed + shift, nfe=4).model_dump_json())
        prints = list(made["protocols"])
        made |= {
            "task": word("task", "plane"),
            "method": word("method", "odd"),
            "preset": word("preset", "default"),
            "overrides": {word("key", "steps"): word("value", "4")},
            "config": {word("config key", "steps"): word("config value", "4")},
            "notes": {word("note", "other"): word("reason", "no")},
            "curves": {word("curve", "loss"): {"step": [1, 2], "value": [2.0, 1.0]}},
            "headline": [word("metric", "err"), "gain"],
        }
        made["run_id"] = run_id(made)
        made["scores"] = {
            word("metric", "err"): made["scores"]["err"] | {"unit": word("unit", "m")},
            "gain": made["scores"]["gain"],
        }
        if protocol:
            made["scores"][word("metric", "err")]["fingerprint"] = protocol
            made["protocols"][protocol] = {
                "name": "n",
                "version": 2,
                "fields": {"n": 7, word("field", "f"): word("field value", "g")},
            }
        made["protocols"][prints[0]] |= {
            "name": word("protocol", "err"),
            "fields": {word("field", "n"): word("field value", "10")},
        }
        made["card"] = {name: word(name, f"a {name}") for name in ("family", "summary", "description", "citation")}
        made["provenance"] |= {
            "command": word("command", "dxbench"),
            "platform": word("platform", "Linux"),
            "git_sha": word("git", "a"),
            "packages": {word("package", "torch"): word("package", "2")},
        }
        true = {old: MetricProtocol(**one).fingerprint for old, one in made["protocols"].items()}
        made["protocols"] = {true[old]: one for old, one in made["protocols"].items()}
        made["scores"] = {
            name: score | {"fingerprint": true[score["fingerprint"]]} for name, score in made["scores"].items()
        }
        yield made
    if "failure" in words:
        yield made | {
            "run_id": run_id(made | {"config": {"steps": 99}}),
            "config": {"steps": 99},
            "scores": {},
            "status": "failed",
            "failure": {"phase": "train", "step": 1, "type": words["failure"], "message": words["failure"]},
        }


def run_id(made: dict[str, Any]) -> str:
    return f"{config_id(made['task'], 1, made['method'], 1, made['config'])}-s{made['seed']}"


def write(folder: Path, made: Iterator[dict[str, Any]]) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    for one in made:
        place = folder / one["task"] / one["method"]
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{one['run_id']}.json").write_text(json.dumps(one))
    return folder


def unsafe(text: str) -> list[str]:
    return [character for character in text.replace("\n", "") if not is_plain(character)]


class _Tags(HTMLParser):
    """What a browser would run or load."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in ("script", "iframe", "object", "embed", "base"):
            self.found.append(tag)
        self.found += [name for name in values if name.startswith("on") or name == "style"]
        for name in ("href", "src"):
            value = values.get(name) or ""
            if re.match(r"\s*(javascript:|vbscript:|data:text)", value, re.IGNORECASE) or "evil.example" in value:
                self.found.append(value)


def assert_html(text: str) -> None:
    tags = _Tags()
    tags.feed(text)
    assert tags.found == []


def assert_csv(text: str) -> None:
    lines = list(csv.reader(io.StringIO(text)))
    assert len({len(line) for line in lines}) == 1
    for cell in (cell for line in lines for cell in line):
        for part in cell.split(";"):
            if part.lstrip()[:1] and part.lstrip()[0] in "=+-@\uff1d\uff0b\uff0d\uff20":
                float(cell)


def assert_markdown(text: str) -> None:
    """Rows of one table have as many cells; no link, no picture, no HTML."""
    for table in re.findall(r"(?:^\|.*\n)+", text + "\n", re.MULTILINE):
        counts = {len(re.findall(r"(?:\\[^\n]|[^\\|\n])*\|", line)) for line in table.strip().split("\n")}
        assert len(counts) == 1, table
    assert not re.search(r"(?<!\\)\]\((?!\s)", text)
    assert not re.search(r"<(?!/?(details|summary)>)", text)


COMMANDS = {
    "documentclass",
    "usepackage",
    "begin",
    "end",
    "centering",
    "caption",
    "resizebox",
    "linewidth",
    "toprule",
    "midrule",
    "bottomrule",
    "multicolumn",
    "textbf",
    "textsuperscript",
    "par",
    "smallskip",
    "footnotesize",
    "raggedright",
    "textbackslash",
    "textasciitilde",
    "textasciicircum",
    "textless",
    "textgreater",
    "pm",
    "downarrow",
    "uparrow",
    "dag",
    "geq",
    "leq",
    "tau",
    "gamma",
    "alpha",
    "times",
}


def assert_latex(text: str) -> None:
    assert set(re.findall(r"\\([a-zA-Z]+)", text.replace("\\\\", ""))) <= COMMANDS
    bare = re.sub(r"\\[\\{}%&$#_]", "", text)
    assert bare.count("{") == bare.count("}")
    assert not re.search(r"\\\\\s*[\[*]", text)
    assert "^^" not in text


def assert_text(text: str) -> None:
    pass


CHECKS: dict[str, Callable[[str], None]] = {
    "html": assert_html,
    "csv": assert_csv,
    "md": assert_markdown,
    "latex": assert_latex,
    "latex-table": assert_latex,
    "json": json.loads,
}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without what is ours and no stranger's: summaries of plug-ins, and the published rows of the reference."""
    monkeypatch.setattr("dxbench.plugins.registry.Plugin.summary", lambda plugin: "")
    for module in ("dxbench.boards.site.build", "dxbench.boards.tables"):
        monkeypatch.setattr(f"{module}.published_folder", lambda: tmp_path / "results" / "published")


@attack(400)
@given(words=texts())
def test_tables(tmp_path: Path, words: dict[str, str]):
    index = open_index([write(tmp_path / "records", runs(words))])
    table = task_table(index, words.get("task", "plane"), published=False)
    for format in _FORMATS:
        text = render(table, format)
        assert unsafe(text) == []
        CHECKS.get(format, assert_text)(text)


@attack(200)
@given(words=texts(), shift=st.sampled_from([0.0, 5.0, -0.4]), protocol=st.sampled_from(["", "f" * 16]))
def test_the_gate(tmp_path: Path, words: dict[str, str], shift: float, protocol: str):
    before = open_index([write(tmp_path / "before", runs(words))])
    now = open_index([write(tmp_path / "now", runs(words, shift=shift, protocol=protocol))])
    gate = check(before, now, task=None, alpha=0.05, rel_tol=1e-6)
    for text in (summary(gate, 100), markdown(gate), junit(gate)):
        assert unsafe(text) == []
    assert_markdown(markdown(gate))
    ElementTree.fromstring(junit(gate))


@attack(50)
@given(words=texts())
def test_the_site(tmp_path: Path, words: dict[str, str]):
    index = open_index([write(tmp_path / "records", runs(words))])
    built = build_site(index, tmp_path / "site", pictures=NoPictures())
    checks = {".html": assert_html, ".csv": assert_csv, ".tex": assert_latex, ".json": json.loads}
    for path in built.folder.rglob("*"):
        assert is_plain(path.name)
        if path.is_file():
            text = path.read_text("utf-8")
            assert unsafe(text) == []
            checks.get(path.suffix, assert_text)(text)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    """What a command prints."""
    monkeypatch.setattr(sys, "argv", ["dxbench", *arguments])
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(out), pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code != 1, out.getvalue()
    return out.getvalue()


def selector(words: dict[str, str]) -> str:
    preset = words.get("preset", "default")
    return f"{words.get('method', 'odd')}:{preset}[{words.get('key', 'steps')}={words.get('value', '4')}]"


@attack(40)
@given(words=texts(), name=WORDS)
def test_commands(tmp_path: Path, words: dict[str, str], name: str):
    words.pop("task", None)
    before = write(tmp_path / "before", runs(words))
    now = write(tmp_path / "now", runs(words, shift=5.0, protocol="e" * 16))
    odd = file_name(name)
    (now / "plane" / "plain" / f"{odd}.json").write_text("{")
    odd_run = f"plane/{words.get('method', 'odd')}/{run_id(next(islice(runs(words), 1, 2)))}.json"
    first, other = (str(folder / odd_run) for folder in (before, now))
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("DXBENCH_HOME", str(tmp_path / "home"))
        for arguments in (
            ("table", "-t", "plane", "--results", str(now)),
            ("compare", selector(words), "plain[steps=10]", "-t", "plane", "--results", str(before)),
            ("explain", first, other),
            ("check", "--baseline", str(before), "--results", str(now)),
            ("leaderboard", "build", "--results", str(now), "--out", str(tmp_path / "site")),
            ("doctor-none-such", name),
            ("info", name),
            ("validate", name),
            ("table", "-t", name, "--results", str(now)),
        ):
            assert unsafe(run(monkeypatch, *arguments)) == []
        monkeypatch.setenv("DXBENCH_RESULTS", str(now))
        (now / odd).mkdir(exist_ok=True)
        assert unsafe(run(monkeypatch, "list", "tasks")) == []


PUBLISHED = [
    "key",
    "title",
    "venue",
    "arxiv",
    "version",
    "id",
    "table",
    "label",
    "protocol",
    "assumed",
    "disputed",
    "metric",
    "unstated",
]


@attack(80)
@given(data=st.data(), format=st.sampled_from(["text", "md"]))
def test_published_rows(tmp_path: Path, data: st.DataObject, format: str):
    chosen = data.draw(st.lists(st.sampled_from(PUBLISHED), min_size=1, max_size=5, unique=True))
    words = {name: f"x{data.draw(WORDS)}" for name in chosen}

    def word(field: str) -> str:
        return words.get(field, field)

    row = {
        "id": word("id"),
        "task": "plane",
        "table": word("table"),
        "label": word("label"),
        "match": {"method": "plain", "config": {}},
        "scores": {"err": {"value": 0.31, "std": 0.001}, word("metric"): {"value": 1.0}},
        "protocol": word("protocol"),
        "equivalents": {
            "err": {"fingerprint": next(iter(record("plain", 0, 0.3, nfe=10).protocols)), "assumed": word("assumed")}
        },
        "unstated": word("unstated"),
        "disputed": word("disputed"),
    }
    source = {name: word(name) for name in ("key", "title", "venue", "arxiv", "version")}
    folder = tmp_path / "results"
    records = write(folder, runs({}))
    (folder / "published").mkdir(exist_ok=True)
    (folder / "published" / "p.json").write_text(json.dumps({"schema_version": 1, "source": source, "rows": [row]}))
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("DXBENCH_HOME", str(tmp_path / "home"))
        text = run(
            monkeypatch, "claims", "--published", str(folder / "published"), "--results", str(records), "-f", format
        )
        assert "judged" in text or "err" in text
        assert unsafe(text) == []
        if format == "md":
            assert_markdown(text)
        for place in (
            ["table", "-t", "plane", "--published", "-f", kind] for kind in ("text", "md", "csv", "latex", "html")
        ):
            text = run(monkeypatch, *place, "--results", str(records))
            assert unsafe(text) == []
            CHECKS.get(place[-1], assert_text)(text.rstrip("\n"))


REQUESTS = st.one_of(
    st.binary(max_size=200),
    st.builds(
        lambda method, path, version, headers: f"{method} {path} {version}\r\n{headers}\r\n\r\n".encode(
            "utf-8", "surrogatepass"
        ),
        st.sampled_from(["GET", "HEAD", "POST", "OPTIONS", "TRACE", "get", "\x00", "GET GET"]),
        st.one_of(
            st.sampled_from(
                ["/", "/index.html", "//evil.example/%2f..", "/%00", "/..%2f..%2fetc%2fpasswd", "*", "http://a/"]
            ),
            WORDS.map(lambda w: f"/{w}"),
        ),
        st.sampled_from(["HTTP/1.1", "HTTP/1.0", "HTTP/9.9", "HTTP/1.1.1", "", "HTTP/-1"]),
        st.one_of(
            st.just("Host: localhost:PORT"),
            st.just("Host: evil.example"),
            WORDS,
            st.just("Host: localhost:PORT\r\nContent-Length: 99999999999"),
        ),
    ),
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SiteServer]:
    folder = tmp_path_factory.mktemp("site")
    (folder / "index.html").write_text("<h1>index</h1>")
    (folder.parent / "secret.html").write_text("secret")
    with SiteServer(folder, 0) as running:
        thread = Thread(target=running.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@attack(600)
@given(request=REQUESTS)
def test_the_server(server: SiteServer, request: bytes):
    sent = request.replace(b"PORT", str(server.server_port).encode())
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=5) as client:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert b"secret" not in answer
    assert b"root:" not in answer
    assert not re.search(rb"^(Location|Set-Cookie):", answer, re.MULTILINE | re.IGNORECASE)
    if b"<h1>index" in answer:
        assert b"localhost:" in sent
