"""Templates of the site to text. Everything is escaped; nothing of a page is put together elsewhere."""

import re
from base64 import b64encode
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from importlib import resources

from jinja2 import Environment, Template
from markupsafe import Markup, escape

from dxbench import __version__
from dxbench.boards.aggregate import Mark
from dxbench.boards.render.cells import KIND_SIGNS
from dxbench.boards.render.html import environment, filled
from dxbench.boards.site.names import FAMILIES, tone

STYLE = re.sub(
    r"/\*.*?\*/|\n\s*", "", (resources.files("dxbench.boards.site") / "assets" / "site.css").read_text("utf-8")
)
"""The style sheet, which every page carries, so that its first paint waits for no second file."""
_STYLE_HASH = b64encode(sha256(STYLE.encode()).digest()).decode()
CONTENT_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; img-src 'self' data:; base-uri 'none'; form-action 'none'"
)
"""What a browser may do for a page: show pictures that lie beside it, and this style. There are no scripts."""
_CODE = re.compile(r"`([^`\n]+)`")
_INDEX = r"(?:\{[^{}]+\}|[^\W\u2070-\u209c\u00b2\u00b3\u00b9]+)"
_SCRIPT = re.compile(rf"(?P<base>(?<!\w)\w[\u0300-\u036f]?)_(?P<low>{_INDEX})|\^(?P<high>{_INDEX})")
"""A subscript of a single letter, or a superscript; x_k, x_{k+1} or w^k, but not the name of a method, some_method."""
_ARXIV = re.compile(r"arXiv:(\d{4}\.\d{4,5}(?:v\d+)?)")


@cache
def _environment() -> Environment:
    shared = environment()
    own = shared.overlay()
    own.filters = {**shared.filters, "linked": linked, "scripted": scripted}
    own.globals = {**shared.globals, "version": __version__, "signs": KIND_SIGNS, "meanings": meanings()}
    own.globals |= {"policy": Markup(CONTENT_POLICY), "style": Markup(STYLE), "families": FAMILIES, "tone": tone}
    return own


def meanings() -> Mapping[str, str]:
    """The reasons that keep a row from ranking, by its mark."""
    return {str(mark): mark.meaning for mark in Mark}


@cache
def _template(name: str) -> Template:
    """A compiled template of the site."""
    return _environment().get_template(f"site/templates/{name}.html.j2")


def render(name: str, *, depth: int, **values: object) -> str:
    """A page that lies `depth` folders below the index."""
    return filled(_template(name), root="../" * depth, **values)


def linked(text: str) -> Markup:
    """Text with a link behind every arXiv identifier, and what stands between backquotes set as code."""
    safe = _ARXIV.sub(r'<a href="https://arxiv.org/abs/\1" rel="noreferrer">arXiv:\1</a>', str(escape(text)))
    return Markup(_CODE.sub(r"<code>\1</code>", safe))


def scripted(text: str) -> Markup:
    """An equation in plain text, with its sub- and superscripts set low and high."""

    def set_off(found: re.Match[str]) -> str:
        if found["high"]:
            return f"<sup>{found['high'].strip('{}')}</sup>"
        return f"{found['base']}<sub>{found['low'].strip('{}')}</sub>"

    return Markup(_SCRIPT.sub(set_off, str(escape(text))))
