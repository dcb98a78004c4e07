"""The documents and the interface as pages of the site, and how they find each other."""

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
"""The pages of docs/ in the order of reading; others follow by name."""

INTERFACE: dict[str, tuple[str, dict[str, tuple[str, ...]]]] = {
    "kernels": ("The layer", {"kernels": ()}),
    "cells": (
        "Cells and their functions",
        {
            "cells": (),
            "cells.grammar.functions": (
                "sigmoid", "tanh", "relu", "softplus", "silu", "exp", "log", "sqrt", "abs", "maximum", "minimum", "hard_sigmoid",
                "hard_tanh", "where", "prev",
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
                for name in ("run", "case", "gradient", "jacobian", "theory", "chaos", "training", "scale")
            },
            "bench.records.base_record": ("Model", "Seconds", "Size", "Name"),
        },
    ),
}  # fmt: skip
"""Pages of the interface: their titles, and the names from each module, all public ones where none are given."""

PLACES = {"cells": "cells/index.html", "reports": "index.html#runs", "reports/README.md": "index.html#runs", "docs": "docs/index.html"}


def list_documents(root: Path) -> dict[str, str]:
    """Return the paths of documents in the repository, and their pages: README, docs/, then CONTRIBUTING and CHANGELOG. There are none
    where only the packages are installed."""
    pages = {path.stem: path for path in sorted((root / "docs").glob("*.md"))}
    order = [*(name for name in FIRST if name in pages), *(name for name in pages if name not in FIRST)]
    found = {"README.md": "docs/overview.html"}
    found |= {f"docs/{name}.md": f"docs/{name}.html" for name in order}
    found |= {"CONTRIBUTING.md": "docs/contributing.html", "CHANGELOG.md": "docs/changelog.html"}
    return {path: page for path, page in found.items() if (root / path).is_file()}


def write_handbook(site: Site, root: Path) -> None:
    """Write all pages of docs/ on the site, after those that they link to."""
    known = list_documents(root)
    links = Links(site, root, known)
    made = {}
    for path, address in known.items():
        text = insert_files((root / path).read_text(encoding="utf-8"), (root / path).parent)
        made[address] = read_document(text, partial(links.at, path, address))
    reads = [(address, "Overview" if address == "docs/overview.html" else found.title) for address, found in made.items()]
    refers = [(f"docs/api/{name}.html", title) for name, (title, _) in INTERFACE.items()]
    menu = [("Read", reads), ("Interface", refers)]
    for (address, title), found in zip(reads, made.values(), strict=True):
        site.page(address, "document.html", title, document=found, menu=menu)
    told = []
    for (address, title), (_, modules) in zip(refers, INTERFACE.values(), strict=True):
        sections = [read_section(root, module, names) for module, names in modules.items()]
        anchors = [(f"{part.module}.{entry.name}", entry.name) for part in sections for entry in part.entries]
        site.page(address, "interface.html", title, sections=sections, anchors=anchors, menu=menu, prose=render_docstring)
        told.append((address, title, ", ".join(dict.fromkeys(name for _, name in anchors))))
    guides = [(address, title, made[address].about) for address, title in reads]
    citation = links.at("README.md", "docs/index.html", "CITATION.cff", False)
    site.page("docs/index.html", "docs.html", "Documentation", guides=guides, interface=told, citation=citation)


class Links:
    """The links of documents: each leads to a page of the site, which is written where a file has none yet."""

    def __init__(self, site: Site, root: Path, known: dict[str, str]):
        self.site, self.root, self.documents, self.known = site, root.resolve(), known, known | PLACES

    def at(self, path: str, address: str, link: str, drawn: bool) -> str:
        """Return the address of a link, or a picture, in the document `path` that has the page `address`; "" for a missing file."""
        parts = urlsplit(link)
        if parts.scheme or parts.netloc or not parts.path:
            return link
        named = posixpath.normpath(posixpath.join(posixpath.dirname(path), parts.path))
        target = self.picture(named) if drawn else self.page(named)
        if not target:
            return ""
        way = os.path.relpath(target, posixpath.dirname(address) or ".")
        return f"{way}#{parts.fragment}" if parts.fragment and named in self.documents else way

    def page(self, named: str) -> str:
        if named in self.known:
            return self.known[named]
        folder, _, rest = named.partition("/")
        for page in (f"cells/{Path(rest).stem}.html" * (folder == "cells"), f"runs/{rest.partition('/')[0]}.html" * (folder == "reports")):
            if page and (self.site.out / page).is_file():
                return page
        if named.startswith("..") or not (self.root / named).is_file():
            return ""
        self.known[named] = f"docs/source/{named}.html"
        self.site.page(self.known[named], "source.html", named, text=(self.root / named).read_text(encoding="utf-8"))
        return self.known[named]

    def picture(self, named: str) -> str:
        if named.startswith("..") or not (self.root / named).is_file():
            return ""
        copy = self.site.out / "docs" / "pictures" / named
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.root / named, copy)
        return f"docs/pictures/{named}"
