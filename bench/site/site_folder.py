"""The folder of a site, and how pages are written into it."""

import shutil
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from bench.errors import UsageError
from bench.render.formatting import NONE
from bench.site.report_page import render_sentence


class Site:
    """A folder that pages are written into. Every page knows the relative path to its root."""

    def __init__(self, out: Path):
        self.out, self.pages = out, list[Path]()
        loader = PackageLoader("bench.site")
        self.templates = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
        self.templates.globals.update(NONE=NONE, inline=render_sentence)

    def write_page(self, address: str, template: str, title: str, **given: object) -> None:
        """Renders a template to a page. `given` are the template's variables."""
        path = self.out / address
        path.parent.mkdir(parents=True, exist_ok=True)
        text = self.templates.get_template(template).render(title=title, root="../" * address.count("/"), address=address, **given)
        path.write_text(text + "\n", encoding="utf-8")
        self.pages.append(path)


PARTS = {"assets", "cells", "compare", "docs", "runs", "history.html", "index.html"}


def empty_folder(out: Path) -> None:
    """Empties a folder, or creates it.

    Raises:
        UsageError: The folder contains anything but an older site.
    """
    if out.is_symlink():
        raise UsageError(f"--out {out} is a link: name the folder itself")
    if out.exists() and (found := {path.name for path in out.iterdir()}):
        if not (out / "assets" / "site.css").exists() or not found <= PARTS:
            raise UsageError(f"--out {out} holds something that is no site: name a new folder")
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
