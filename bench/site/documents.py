"""Renders documents of the repository as pages: headings have the anchors of GitHub, links lead to pages of the site."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markupsafe import Markup, escape

from bench.site.report_page import read_words, render_code

Link = Callable[[str, bool], str]
"""Maps a link (or, with True, an image) to its address on the site; "" if it has none."""


@dataclass(frozen=True)
class Document:
    """A document: the HTML below the title, its sections as anchors and titles, and its first sentence as plain text."""

    title: str
    body: Markup
    sections: Sequence[tuple[str, str]]
    about: str


FILE = re.compile(r"^(<!-- file: (.*?) -->\n```python\n)(.*?)^```$", re.DOTALL | re.MULTILINE)
"""A code block whose preceding comment names the file that it shows."""


def insert_files(text: str, folder: Path) -> str:
    """Returns a document whose code blocks contain the files that they name, relative to its folder."""
    return FILE.sub(lambda found: f"{found[1]}{(folder / found[2]).read_text(encoding='utf-8')}```", text)


def parse_document(text: str) -> list[Token]:
    return MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)


def find_headings(tokens: Sequence[Token]) -> Iterator[tuple[Token, Token, str]]:
    """Yields every heading, its text and its anchor."""
    taken: dict[str, int] = {}
    for token, after in pairwise(tokens):
        if token.type == "heading_open":
            name = make_anchor(read_words(after))
            taken[name] = taken.get(name, -1) + 1
            yield token, after, f"{name}-{taken[name]}" if taken[name] else name


def make_anchor(title: str) -> str:
    """Returns GitHub's anchor: "torchcompile-autocast" for "torch.compile, autocast"."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def read_document(text: str, link: Link) -> Document:
    """Returns a document from markdown that starts with its title.

    Args:
        text: The markdown.
        link: Maps links and images.
    """
    tokens = parse_document(text)
    found = [*find_headings(tokens)]
    for token, _, name in found:
        token.attrSet("id", name)
    for token in tokens:
        for child in token.children or []:
            set_link(child, link)
    body = tokens[3:]
    first = next((after for token, after in pairwise(body) if token.type == "paragraph_open"), Token("inline", "", 0))
    plain = "".join(" " if child.type == "softbreak" else child.content for child in first.children or [])
    about = re.split(r"(?<=[.:]) (?=[A-Z])", plain)[0].removesuffix(":")
    sections = [(name, read_words(after)) for token, after, name in found if token.tag == "h2"]
    return Document(read_words(tokens[1]), render_tokens(body), sections, about)


def set_link(token: Token, link: Link) -> None:
    """Points a link or image to its address on the site; one without an address loses it."""
    for kind, name in (("link_open", "href"), ("image", "src")):
        if token.type == kind:
            found = link(str(token.attrs[name]), kind == "image")
            if found:
                token.attrSet(name, found)
            else:
                token.attrs.pop(name)


def render_docstring(text: str) -> Markup:
    """Returns a docstring as HTML; a "<" starts no tag."""
    return render_tokens(MarkdownIt("commonmark", {"html": False}).parse(text))


def render_tokens(tokens: Sequence[Token]) -> Markup:
    reader = MarkdownIt("commonmark", {"html": True})
    reader.add_render_rule("table_open", open_table)
    reader.add_render_rule("table_close", close_table)
    reader.add_render_rule("th_open", open_cell)
    reader.add_render_rule("td_open", open_cell)
    reader.add_render_rule("fence", render_code)
    reader.add_render_rule("code_block", render_code)
    return Markup(reader.renderer.render(tokens, reader.options, {}))


def open_table(self: RendererHTML, tokens: Sequence[Token], at: int, options: object, env: object) -> str:
    """Opens a table in a scrollable frame, named after its first header."""
    name = escape(next(read_words(token) for token in tokens[at:] if token.type == "inline"))
    return f'<div class="table"><div class="scroll" role="region" tabindex="0" aria-label="Table: {name}"><table class="read">\n'


def close_table(self: RendererHTML, tokens: Sequence[Token], at: int, options: object, env: object) -> str:
    return "</table></div></div>\n"


def open_cell(self: RendererHTML, tokens: Sequence[Token], at: int, options: object, env: object) -> str:
    """Opens a cell. Numbers are right-aligned by a class; an empty header has a hidden word."""
    token = tokens[at]
    right = ' class="n"' if "right" in str(token.attrGet("style") or "") else ""
    if token.type == "th_open":
        return f'<th scope="col"{right}>' if tokens[at + 1].content else f'<th scope="col"{right}><span class="hidden">what</span>'
    return f"<td{right}>"
