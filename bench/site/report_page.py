"""Renders a report's markdown as HTML with sortable tables, interactive plots and a table of contents."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markupsafe import Markup, escape

from bench.render.csv_tables import make_slug


@dataclass(frozen=True)
class Article:
    """A report: the HTML below the title, and its sections as addresses and titles."""

    title: str
    body: Markup
    sections: Sequence[tuple[str, str]]


def read_words(inline: Token) -> str:
    """Returns the text of an inline token without markup."""
    return "".join(child.content for child in inline.children or [])


def render_sentence(markdown: str) -> Markup:
    """Returns a sentence of markdown as HTML."""
    return Markup(MarkdownIt("commonmark").renderInline(markdown))


def read_report(report: str, pictures: Mapping[str, Markup], folder: str, folded: bool = False) -> Article:
    """Returns a report as HTML.

    Args:
        report: Markdown whose tables are HTML already.
        pictures: Replacements of images by name.
        folder: The address of all other files that the report names.
        folded: Fold all sections but the first, and of the first all but its text and its table.
    """
    reader = MarkdownIt("commonmark", {"html": True}).enable("table")
    tokens = reader.parse(report)
    heads = [(token, after) for token, after in pairwise(tokens) if token.type == "heading_open"]
    taken: set[str] = set()
    for token, after in heads:
        name = make_slug(read_words(after))
        while name in taken:
            name += "-"
        taken.add(name)
        token.attrSet("id", name)
    sections = [(str(token.attrGet("id")), read_words(after)) for token, after in heads if token.tag == "h2"]
    prepared = place_pictures(tokens[3:], pictures)
    prepared = fold_sections(prepared) if folded else prepared
    reader.add_render_rule("image", make_image_rule(folder))
    reader.add_render_rule("fence", render_code)
    body = reader.renderer.render(prepared, reader.options, {})
    return Article(read_words(tokens[1]), Markup(body), sections)


def fold_sections(tokens: Sequence[Token]) -> list[Token]:
    """Returns the tokens with each section folded behind its heading. Of the first, only the plots and the sections inside it are folded.
    A link to a section opens it, because its address is inside."""
    found, opened, seen, address = list[Token](), False, 0, ""

    def add(html: str) -> None:
        found.append(Token("html_block", "", 0, content=html))

    for token in tokens:
        if token.type == "heading_open" and token.tag in ("h2", "h3"):
            seen += token.tag == "h2"
            folds = seen > 1 if token.tag == "h2" else seen == 1
            if opened and (folds or token.tag == "h2"):
                add("</details>")
                opened = False
            if folds:
                address, token.attrs = str(token.attrGet("id")), {}
                add('<details class="section"><summary>')
                found.append(token)
                opened = True
                continue
        elif token.type == "heading_close" and opened and found[-2].type == "heading_open" and found[-3].content.endswith("<summary>"):
            found.append(token)
            add(f'</summary><div id="{address}"></div>')
            continue
        elif token.type == "html_block" and token.content.startswith('<figure class="picture"') and seen == 1 and not opened:
            add(f'<details class="section"><summary>Plot over T</summary>{token.content}</details>')
            continue
        found.append(token)
    if opened:
        add("</details>")
    return found


def place_pictures(tokens: Sequence[Token], pictures: Mapping[str, Markup]) -> list[Token]:
    """Returns the tokens with each paragraph that is only an image replaced by its plot or by a figure."""
    found: list[Token] = []
    for token in tokens:
        shown = find_lone_image(token)
        plot = None if shown is None else pictures.get(shown)
        if plot is not None:
            found[-1] = Token("html_block", "", 0, content=str(plot))
        elif shown is not None:
            found[-1] = Token("figure_open", "figure", 1)
            found += [token, Token("figure_close", "figure", -1)]
        elif token.type == "paragraph_close" and found and found[-1].type in ("html_block", "figure_close"):
            continue
        else:
            found.append(token)
    return found


def find_lone_image(token: Token) -> str | None:
    """Returns the stem of the image that is all of an inline token; None for another token."""
    children = token.children or []
    alone = token.type == "inline" and len(children) == 1 and children[0].type == "image"
    return Path(str(children[0].attrGet("src"))).stem if alone else None


def render_code(self: RendererHTML, tokens: Sequence[Token], at: int, options: object, env: object) -> str:
    return f'<pre tabindex="0"><code>{escape(tokens[at].content)}</code></pre>\n'


def make_image_rule(folder: str):  # type: ignore[no-untyped-def]
    def shown(self: RendererHTML, tokens: Sequence[Token], at: int, options: object, env: object) -> str:
        token = tokens[at]
        return f'<img src="{folder}/{escape(str(token.attrGet("src")))}" alt="{escape(token.content)}" loading="lazy">'

    return shown
