"""Documents of the repository as pages: their headings are named as a code host names them, their links lead to pages of the site."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markupsafe import Markup, escape

from bench.site.report_page import render_code, words

Link = Callable[[str, bool], str]
"""Returns the address on the site of a link, or of a picture; "" for nowhere."""


@dataclass(frozen=True)
class Document:
    """The HTML under the title, the sections, as anchors and titles, and the first sentence in plain words."""

    title: str
    body: Markup
    sections: Sequence[tuple[str, str]]
    about: str


FILE = re.compile(r"^(<!-- file: (.*?) -->\n```python\n)(.*?)^```$", re.DOTALL | re.MULTILINE)
"""A code block that is a file, which a comment before it names."""


def insert_files(text: str, folder: Path) -> str:
    """Return a document whose code blocks hold the files that they name, as seen from its folder."""
    return FILE.sub(lambda found: f"{found[1]}{(folder / found[2]).read_text(encoding='utf-8')}```", text)


def parse_document(text: str) -> list[Token]:
    return MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)


def find_headings(tokens: Sequence[Token]) -> Iterator[tuple[Token, Token, str]]:
    """Yield every heading, its words and its anchor."""
    taken: dict[str, int] = {}
    for token, after in pairwise(tokens):
        if token.type == "heading_open":
            name = make_anchor(words(after))
            taken[name] = taken.get(name, -1) + 1
            yield token, after, f"{name}-{taken[name]}" if taken[name] else name


def make_anchor(title: str) -> str:
    """Return the anchor that GitHub makes: "torch.compile, autocast" is torchcompile-autocast."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def read_document(text: str, link: Link) -> Document:
    """Return a document that begins with its title."""
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
    sections = [(name, words(after)) for token, after, name in found if token.tag == "h2"]
    return Document(words(tokens[1]), render_tokens(body), sections, about)


def set_link(token: Token, link: Link) -> None:
    """Lead a link or a picture to where it is on the site; a link to nowhere loses its address."""
    for kind, name in (("link_open", "href"), ("image", "src")):
        if token.type == kind:
            found = link(str(token.attrs[name]), kind == "image")
            if found:
                token.attrSet(name, found)
            else:
                token.attrs.pop(name)


def render_docstring(text: str) -> Markup:
    """Return a docstring as HTML; its "<" begin no tags."""
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
    """Open a table in a frame that scrolls, named by its first header."""
    name = escape(next(words(token) for token in tokens[at:] if token.type == "inline"))
    return f'<div class="table"><div class="scroll" role="region" tabindex="0" aria-label="Table: {name}"><table class="read">\n'


def close_table(self: RendererHTML, tokens: Sequence[Token], at: int, options: object, env: object) -> str:
    return "</table></div></div>\n"


def open_cell(self: RendererHTML, tokens: Sequence[Token], at: int, options: object, env: object) -> str:
    """Open a cell: numbers to the right, by a class; the first of a row heads it; a header without a word is no header."""
    token = tokens[at]
    right = ' class="n"' if "right" in str(token.attrGet("style") or "") else ""
    if token.type == "th_open":
        return f'<th scope="col"{right}>' if tokens[at + 1].content else f'<th scope="col"{right}><span class="hidden">what</span>'
    return f"<td{right}>"
