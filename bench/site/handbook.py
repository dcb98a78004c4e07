"""Writes the documents and the interface as pages of the site, linked with each other."""

import os.path
import posixpath
import shutil
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from bench.site.api_reference import read_section
from bench.site.documents import insert_files, read_document, render_docstring
from bench.site.site_folder import Site

FIRST = ("tutorial", "replace", "commands", "method", "extend")
"""The first pages of docs/ in reading order; others follow by name."""

INTERFACE: dict[str, tuple[str, dict[str, tuple[str, ...]]]] = {
    "kernels": ("The layer", {"kernels": ()}),
    "cells": (
        "Cells and their functions",
        {
            "cells": (),
            "cells.grammar.functions": (
                "sigmoid", "tanh", "relu", "softplus", "silu", "gelu", "exp", "log", "sqrt", "sin", "cos", "erf", "abs", "floor", "clamp",
                "maximum", "minimum", "hard_sigmoid", "hard_tanh", "where", "sum", "mean", "norm", "softmax", "layer_norm", "rms_norm",
                "prev", "time", "zoneout", "dropout",
            ),
        },
    ),
    "measure": (
        "Problems and workloads",
        {
            "bench.measure.problem": ("Problem", "Answer", "make_problem"),
            "bench.measure.backends": ("Workload", "Unsupported", "build_workload"),
        },
    ),
    "records": (
        "Records",
        {
            "bench.records.records_file": ("Records", "Record", "RecordError", "read_records", "write_record", "truncate_partial_line"),
            **{
                f"bench.records.{name}_record": ()
                for name in ("run", "case", "gradient", "jacobian", "theory", "chaos", "parallel", "training", "scale")
            },
            "bench.records.base_record": ("Model", "Seconds", "Size", "Name"),
        },
    ),
}  # fmt: skip
"""The pages of the interface: their titles, and the names from each module; () means all public names."""

PLACES = {"cells": "cells/index.html", "reports": "index.html#runs", "reports/README.md": "index.html#runs", "docs": "docs/index.html"}


def list_documents(root: Path) -> dict[str, str]:
    """Returns the documents of the repository and their pages: README, docs/, CONTRIBUTING, CHANGELOG; {} if only the packages are
    installed."""
    pages = {path.stem: path for path in sorted((root / "docs").glob("*.md"))}
    order = [*(name for name in FIRST if name in pages), *(name for name in pages if name not in FIRST)]
    found = {"README.md": "docs/overview.html"}
    found |= {f"docs/{name}.md": f"docs/{name}.html" for name in order}
    found |= {"CONTRIBUTING.md": "docs/contributing.html", "CHANGELOG.md": "docs/changelog.html"}
    return {path: page for path, page in found.items() if (root / path).is_file()}


def write_handbook(site: Site, root: Path) -> None:
    """Writes all pages of docs/. The pages that they link to must exist already."""
    known = list_documents(root)
    links = Links(site, root, known)
    made = {}
    for path, address in known.items():
        text = insert_files((root / path).read_text(encoding="utf-8"), (root / path).parent)
        made[address] = read_document(text, partial(links.resolve, path, address))
    reads = [(address, "Overview" if address == "docs/overview.html" else found.title) for address, found in made.items()]
    refers = [(f"docs/api/{name}.html", title) for name, (title, _) in INTERFACE.items()]
    menu = [("Read", reads), ("Interface", refers)]
    for (address, title), found in zip(reads, made.values(), strict=True):
        site.write_page(address, "document.html", title, document=found, menu=menu)
    told = []
    for (address, title), (_, modules) in zip(refers, INTERFACE.values(), strict=True):
        sections = [read_section(root, module, names) for module, names in modules.items()]
        anchors = [(f"{part.module}.{entry.name}", entry.name) for part in sections for entry in part.entries]
        site.write_page(address, "interface.html", title, sections=sections, anchors=anchors, menu=menu, prose=render_docstring)
        told.append((address, title, ", ".join(dict.fromkeys(name for _, name in anchors))))
    guides = [(address, title, made[address].about) for address, title in reads]
    citation = links.resolve("README.md", "docs/index.html", "CITATION.cff", False)
    site.write_page("docs/index.html", "docs.html", "Documentation", guides=guides, interface=told, citation=citation)


class Links:
    """Resolves the links of documents to pages of the site, and writes a page for a file that has none."""

    def __init__(self, site: Site, root: Path, known: dict[str, str]):
        self.site, self.root, self.documents, self.known = site, root.resolve(), known, known | PLACES

    def resolve(self, path: str, address: str, link: str, drawn: bool) -> str:
        """Returns the relative address of a link or image; "" for a missing file.

        Args:
            path: The document that has the link.
            address: The page of the document.
            link: The link as written.
            drawn: Whether it is an image.
        """
        parts = urlsplit(link)
        if parts.scheme or parts.netloc or not parts.path:
            return link
        named = posixpath.normpath(posixpath.join(posixpath.dirname(path), parts.path))
        target = self.copy_picture(named) if drawn else self.find_page(named)
        if not target:
            return ""
        way = os.path.relpath(target, posixpath.dirname(address) or ".")
        return f"{way}#{parts.fragment}" if parts.fragment and named in self.documents else way

    def find_page(self, named: str) -> str:
        if named in self.known:
            return self.known[named]
        folder, _, rest = named.partition("/")
        for page in (f"cells/{Path(rest).stem}.html" * (folder == "cells"), f"runs/{rest.partition('/')[0]}.html" * (folder == "reports")):
            if page and (self.site.out / page).is_file():
                return page
        if named.startswith("..") or not (self.root / named).is_file():
            return ""
        self.known[named] = f"docs/source/{named}.html"
        self.site.write_page(self.known[named], "source.html", named, text=(self.root / named).read_text(encoding="utf-8"))
        return self.known[named]

    def copy_picture(self, named: str) -> str:
        if named.startswith("..") or not (self.root / named).is_file():
            return ""
        copy = self.site.out / "docs" / "pictures" / named
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.root / named, copy)
        return f"docs/pictures/{named}"
