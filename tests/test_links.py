"""What the documents name is there: files and headings that they link to, verbs and options of the command line."""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from bench.cli import app
from bench.site.documents import find_headings, parse_document

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES += [path for pattern in ("docs/*.md", "reports/*.md", "reports/*/report.md") for path in sorted(ROOT.glob(pattern))]
OPTIONS = {verb: {o for p in command.params for o in (*p.opts, *p.secondary_opts)} | {"--help"} for verb, command in app.commands.items()}
OWN = {option for parameter in app.params for option in parameter.opts}
"""Options without a verb."""
WRITTEN = [path for path in PAGES if path.name != "report.md"]
"""Those that no run has written: an older run's command is what it was."""


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def links(text: str) -> list[str]:
    children = [child for token in parse_document(text) for child in token.children or []]
    return [str(child.attrs.get("href") or child.attrs.get("src")) for child in children if child.type in ("link_open", "image")]


def anchors(target: Path, text: str) -> set[str]:
    return {at for *_, at in find_headings(parse_document(text))} if target.suffix == ".md" else set()


def broken(path: Path, text: str) -> list[str]:
    """Links of a page that lead nowhere: to no file, to one outside of the repository, or to no heading of a page."""
    found = []
    for link in links(text):
        parts = urlsplit(link)
        if parts.scheme in ("https", "mailto"):
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        lost = not target.exists() or not target.is_relative_to(ROOT) or bool(parts.scheme)
        if lost or (parts.fragment and parts.fragment not in anchors(target, text if target == path else target.read_text())):
            found.append(link)
    return found


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_every_link_leads_somewhere(path):
    assert broken(path, path.read_text()) == []


def test_a_link_to_nowhere_is_found():
    right = "[a](docs/extend.md#a-cell) [b](#h-1) [c](https://d) [e](bench/site)"
    wrong = ["b.md", "docs/extend.md#none", "f.svg", "#g", "../..", "Makefile#1", "http://i"]
    text = right + " ".join(f"[j]({link})" for link in wrong) + "\n\n# H\n\n# H"
    assert broken(ROOT / "README.md", text) == wrong


def commands(text: str) -> list[str]:
    """Code, line by line: of a console only what is typed, without comments."""
    found = []
    for token in parse_document(text):
        if token.type in ("fence", "code_block"):
            console = token.info.startswith("console")
            found += [line.removeprefix("$ ") for line in token.content.splitlines() if not console or line.startswith("$ ")]
        found += [child.content for child in token.children or [] if child.type == "code_inline"]
    return [re.sub(r"\s#.*", "", line) for line in found]


def unknown(line: str) -> list[str]:
    """Verbs and options that a line of code names and the command line doesn't have. An option alone is any verb's; a verb alone, with
    what it is given, is told by its options, as `all --quick` is."""
    called = re.search(r"(?:^|\s)(?:-m )?bench ([a-z]+)(?![\w.])(.*)", line)
    if called:
        verb, rest = called.groups()
        if verb not in OPTIONS:
            return [verb]
    else:
        verb, _, rest = line.partition(" ")
        if verb.startswith("--"):
            verb, rest = "", line
        elif verb not in OPTIONS:
            return []
    before, after, more = rest.partition(" -- ")
    known = OPTIONS[verb] if verb else set().union(OWN, *OPTIONS.values())
    lost = [option for option in re.findall(r"(?<!\S)--[a-z][\w-]*", before) if option not in known]
    return lost + [option for option in re.findall(r"(?<!\S)--[a-z][\w-]*", more if after else "") if option not in OPTIONS["all"]]


@pytest.mark.parametrize("path", WRITTEN, ids=name)
def test_every_verb_and_option_exists(path):
    assert {line: found for line in commands(path.read_text()) if (found := unknown(line))} == {}


def test_every_verb_is_told_of():
    rows = re.findall(r"^\| (`.*?) \|", (ROOT / "docs" / "commands.md").read_text(), re.MULTILINE)
    assert {verb for row in rows for verb in re.findall(r"`([a-z]+)", row)} == app.commands.keys()


def test_what_the_command_line_does_not_have_is_found():
    for line, found in {
        "python -m bench al --quick": "al",
        "torchrun --nproc-per-node 2 -m bench scal": "scal",
        "python -m bench all --quic": "--quic",
        "python -m bench compare A B --quick": "--quick",
        "compare main -- --cell lstm": "--cell",
        "all --budge 8m": "--budge",
        "--budge 8m": "--budge",
    }.items():
        assert unknown(line) == [found], line
    right = ("pip install --user x", "all", "--budget 8m", "bench show x.py:y", "bench/harness/runner.py", "compare main -- --cells lstm")
    assert not [line for line in right if unknown(line)]
    assert sorted(commands("`a`\n\n```console\n$ b # c\nd\n```\n\n    e\n")) == ["a", "b", "e"]
