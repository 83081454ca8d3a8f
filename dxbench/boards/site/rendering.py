"""Templates of the site to text. Everything is escaped; nothing of a page is put together elsewhere."""

import re
from collections.abc import Mapping
from functools import cache

from jinja2 import Environment, Template
from markupsafe import Markup, escape

from dxbench import __version__
from dxbench.boards.aggregate import Mark
from dxbench.boards.render.cells import KIND_SIGNS
from dxbench.boards.render.html import environment, filled

CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'"
)
"""What a browser may load for a page: what lies beside it."""
_CODE = re.compile(r"`([^`\n]+)`")
_ARXIV = re.compile(r"arXiv:(\d{4}\.\d{4,5}(?:v\d+)?)")


@cache
def _environment() -> Environment:
    shared = environment()
    own = shared.overlay()
    own.filters = {**shared.filters, "linked": linked}
    own.globals = {**shared.globals, "version": __version__, "signs": KIND_SIGNS, "meanings": meanings()}
    own.globals |= {"policy": Markup(CONTENT_POLICY)}
    # One text for equal data, whatever order it came in.
    own.policies = {**shared.policies, "json.dumps_kwargs": {"sort_keys": True, "separators": (",", ":")}}
    return own


def meanings() -> Mapping[str, str]:
    """What keeps a row from ranking, by its mark."""
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
