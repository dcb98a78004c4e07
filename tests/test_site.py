"""The site as files: what pages there are, that they are valid, small and whole, and that torch is not needed for them."""

import gzip
import re
import shutil
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from html5lib import HTMLParser

import cells
from bench.cli import app
from bench.errors import UsageError
from bench.render.published import Published, read_published
from bench.site.build import build_site
from bench.site.equations import read_sources
from bench.site.equations import render_equations as mathml
from bench.site.handbook import INTERFACE, write_handbook
from bench.site.site_folder import PARTS, Site, empty_folder
from tests.absent import without
from tests.publications import RUNS, built, reports

__all__ = ["built", "reports"]

ROOT = Path(__file__).parents[1]
CELLS = read_sources(ROOT / "cells")
LARGEST = 10**6


@pytest.fixture
def site(built) -> Path:
    return built


def pages(site: Path) -> list[Path]:
    return sorted(site.rglob("*.html"))


def test_there_is_a_page_for_each_run_cell_and_pair(site):
    found = {str(path.relative_to(site)) for path in pages(site)}
    assert {"index.html", "history.html", "compare/index.html", "cells/index.html"} < found
    assert {f"runs/{name}.html" for name in RUNS} < found
    assert {f"cells/{name}.html" for name in cells.names()} < found and [cell.name for cell in CELLS] == [*cells.names()]
    assert {f"docs/{path.stem}.html" for path in (ROOT / "docs").glob("*.md")} < found
    assert {f"docs/{name}.html" for name in ("index", "overview", "changelog", "api/kernels", "api/records")} < found
    alike = ("2026-01-first", "2026-02-slower", "2026-03-as-slow")
    assert {name for name in found if "--" in name} == {f"compare/{a}--{b}.html" for a, b in combinations(alike, 2)}


def faults(html: str) -> list[str]:
    """What is wrong with a page, by the parsing rules of the standard."""
    parser = HTMLParser()
    parser.parse(html)
    return [fault for _, fault, _ in parser.errors]


def test_every_page_is_valid_html(site):
    assert {path.name: found for path in pages(site) if (found := faults(path.read_text()))} == {}
    head, broken = "<!DOCTYPE html><title>a</title>", ("<p>a<div>b</p>", "<b><i></b>", '<p id="a" id="b">', "<div>")
    assert faults(head + "<p>a") == [] and all(faults(head + part) for part in broken)


def test_pages_are_small(site, tmp_path):
    """Those of the newest committed run, too."""
    build_site(read_published(ROOT / "reports")[:1], [], {}, tmp_path / "out", lambda words: None)
    sizes = {path.name: path.stat().st_size for folder in (site, tmp_path / "out") for path in pages(folder)}
    assert max(sizes.values()) < LARGEST, sizes


def asked(path: Path) -> str:
    """A file of the site without the links that documents have to elsewhere, which nobody follows but a reader."""
    text = path.read_text()
    return re.sub(r'<a href="https://[^"]*">', "<a>", text) if path.parent.name == "docs" else text


def test_every_link_leads_somewhere_on_the_site(site):
    """And every name is given once in a page."""
    named = {path: re.findall(r'\sid="([^"]*)"', path.read_text()) for path in pages(site)}
    assert not [(path, names) for path, names in named.items() if len(set(names)) < len(names)]
    for path in pages(site):
        for link in re.findall(r'\s(?:href|src)="([^"]*)"', asked(path)):
            parts = urlsplit(link)
            if parts.scheme == "data":
                continue
            assert not parts.scheme and not parts.netloc, f"{path}: {link} is elsewhere"
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert target.is_file(), f"{path}: {link}"
            assert not parts.fragment or unquote(parts.fragment) in named[target], f"{path}: {link}"


def test_nothing_is_asked_for_from_elsewhere(site):
    for path in (*pages(site), *site.rglob("*.css"), *site.rglob("*.js")):
        assert not re.search(r"""(?:src|href|url\(|import|fetch)\s*[=(]?\s*["']?(?:https?:)?//""", asked(path)), path


def test_a_run_has_its_records_tables_and_pictures_beside_it(site):
    beside = site / "runs" / "2026-01-first"
    assert gzip.decompress((beside / "records.jsonl.gz").read_bytes()).count(b"\n") > 50
    assert "minimal,compiled,training,128" in (beside / "tables" / "cases.csv").read_text()
    page = (site / "runs" / "2026-01-first.html").read_text()
    assert "Speed against torch.nn, training including the input projection, T=128" in page and "<b>" not in page
    assert 'href="2026-01-first/tables/memory.csv"' in page
    assert (beside / "speeds.svg").read_text().startswith("<svg") and "<title>minimal (vs gru), compiled: " in page
    assert "prefers-color-scheme" not in page and "Gradient norm over lag" in (site / "runs" / "2026-06-signals.html").read_text()


def test_what_is_unlike_or_slower_is_said(site):
    compared = (site / "compare" / "2026-01-first--2026-02-slower.html").read_text()
    assert "A and B are unlike:" in compared and "torch (2.13.0+cpu, 2.13.1+cpu)" in compared
    assert re.search(r'<tr class="slower">\s*<td>gru</td>', compared)
    history = (site / "history.html").read_text()
    assert "gru, compiled: training including the input projection, T=16" in history and "0.80× [0.79, 0.81]" in history.replace(
        "<strong>", ""
    )
    assert history.count("No history yet, for lack of two runs that can be compared: NVIDIA H100") == 1 and history.count("<h2") == 2


def test_a_cell_has_its_equations_its_source_and_what_is_derived(site):
    page = (site / "cells" / "gru.html").read_text()
    assert "<math" in page and "def gru(h, x, W, b):" in page and "return a &lt; b" in page
    assert "2026-01-first" in page and "No published run has timed it." in (site / "cells" / "slstm.html").read_text()


def test_equations_say_which_time_a_state_is_of():
    lstm = next(cell for cell in CELLS if cell.name == "lstm")
    rows = re.findall("<math.*?</math>", mathml(lstm.step))
    said = [re.sub("<[^>]*>", "", row).replace("&#x2061;", "").replace("&#x2062;", "") for row in rows]
    assert said[0] == "it=σ(Wixxt+Wihht−1+bi)" and said[4:] == ["ct=ft⊙ct−1+it⊙gt", "ht=ot⊙tanh(ct)"]
    qrnn = next(cell for cell in CELLS if cell.name == "qrnn")
    assert "<msub><mi>x</mi><mrow><mi>t</mi><mo>−</mo><mn>1</mn></mrow></msub>" in mathml(qrnn.step)
    wave = next(cell for cell in CELLS if cell.name == "wave")
    assert wave.paper == "Hughes et al. 2019" and wave.text.startswith("def wave(u, before, x, W, p):\n    c = ")
    assert "<mi>∇²</mi><mo>&#x2061;</mo><mrow>" in mathml(wave.step)
    string = next(cell for cell in CELLS if cell.name == "damped_string")
    assert re.sub("<[^>]*>|&#x2062;", "", mathml(string.step)) == "∂2u∂t2=pc2⊙∇2u−2pb⊙∂u∂t+source" and string.formula == "H*D + 2*H"
    assert (lstm.paper, lstm.formula) == ("Hochreiter & Schmidhuber 1997; Gers et al. 2000", "4*(H*D + H**2 + H)")
    assert not [cell.name for cell in CELLS if "<mtext>" in re.sub(r"<mtext>(\w+</mtext><mo>,|if |else)", "", mathml(cell.step))], (
        "what isn't read"
    )


def test_documents_lead_to_each_other_and_to_what_they_name(site):
    index, overview = ((site / "docs" / f"{name}.html").read_text() for name in ("index", "overview"))
    assert re.search(r'<dt><a href="../docs/tutorial.html">[^<]+</a></dt><dd>[^<]+\.</dd>', index)
    assert "RNN, from_torch, to_torch" in index
    for link in ("replace.html", "contributing.html", "source/CITATION.cff.html", "../index.html#runs"):
        assert f'href="{link}"' in overview, link
    assert 'href="../cells/wave.html"' in (site / "docs" / "waves.html").read_text()
    assert 'href="../docs/tutorial.html" aria-current="page"' in (site / "docs" / "tutorial.html").read_text()
    layer = (site / "docs" / "api" / "kernels.html").read_text()
    assert 'id="kernels.RNN"' in layer and 'href="#kernels.RNN"' in layer and "memory: str = &#39;full&#39;," in layer


def test_where_only_the_packages_are_the_interface_is_still_there(tmp_path):
    """As where the wheel is installed."""
    for package in ("cells", "kernels", "bench"):
        (tmp_path / package).symlink_to(ROOT / package)
    write_handbook(Site(tmp_path / "out"), tmp_path)
    made = {str(path.relative_to(tmp_path / "out" / "docs")) for path in (tmp_path / "out").rglob("*.html")}
    assert made == {"index.html", *(f"api/{name}.html" for name in INTERFACE)}


@pytest.mark.full
def test_it_is_built_where_neither_torch_nor_triton_is(tmp_path, reports):
    shutil.copytree(reports / "2026-01-first", tmp_path / "reports" / "2026-01-first")
    script = f"""
import runpy
sys.argv = ["bench", "publish", "--reports", {str(tmp_path / "reports")!r}, "--out", {str(tmp_path / "out")!r}]
runpy.run_module("bench", run_name="__main__")
"""
    run = [sys.executable, "-c", without("torch", "triton", "sympy") + script]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "index.html").is_file()
    assert f"wrote {len(pages(tmp_path / 'out'))} pages" in done.stderr
    assert (tmp_path / "reports" / "README.md").is_file()


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "mine").write_text("kept")
    (tmp_path / "reports").mkdir()
    for folder, said in (("none", "name the one that the runs are in"), ("reports", "is no site: name a new folder")):
        with pytest.raises(UsageError, match=said):
            app(["publish", "--reports", str(tmp_path / folder), "--out", str(tmp_path)], standalone_mode=False)
    assert (tmp_path / "mine").read_text() == "kept"


def test_nothing_but_a_site_is_replaced(tmp_path):
    """The site's own package has assets/site.css, too; a checkout of a published branch has its .git; a README.md may be another one."""
    package, branch, reports = tmp_path / "package", tmp_path / "branch", tmp_path / "reports"
    shutil.copytree(ROOT / "bench" / "site", package)
    empty_folder(branch)
    shutil.copytree(ROOT / "bench" / "site" / "assets", branch / "assets")
    (tmp_path / "link").symlink_to(branch)
    empty_folder(branch)
    assert not [*branch.iterdir()]
    shutil.copytree(ROOT / "bench" / "site" / "assets", branch / "assets")
    (branch / ".git").write_text("kept")
    for out, said in ((package, "is no site"), (branch, "is no site"), (tmp_path / "link", "is a link")):
        with pytest.raises(UsageError, match=said):
            empty_folder(out)
    assert (package / "build.py").is_file() and (branch / ".git").read_text() == "kept"
    reports.mkdir()
    (reports / "README.md").write_text("# Mine")
    with pytest.raises(UsageError, match="is no index of runs"):
        app(["publish", "--reports", str(reports), "--index"], standalone_mode=False)
    assert (reports / "README.md").read_text() == "# Mine"


def test_a_site_is_made_of_its_parts(site):
    assert {path.name for path in site.iterdir()} == PARTS


def test_what_a_record_holds_is_no_markup(tmp_path):
    hostile = "<script>alert()</script>"
    records = RUNS["2026-01-first"]
    names = ("device", "system", "torch", "cuda", "cudnn", "driver", "commit")
    here = records.run.environment.model_copy(update={name: hostile for name in names} | {"device_kind": "cuda"})
    run = records.run.model_copy(update={"environment": here, "command": f"bench\n```\n{hostile}", "settings": {"more": hostile}})
    build_site([Published(tmp_path, records.model_copy(update={"run": run}))], [], {}, tmp_path / "out", lambda words: None)
    assert [path.name for path in pages(tmp_path / "out") if hostile in path.read_text()] == []


def test_the_same_cell_comes_first_on_the_front_page(site):
    """Before the newest run: each cell that torch.nn has, on each machine, and no cell that it lacks."""
    text = (site / "index.html").read_text()
    first = text[text.index('<table id="table-likes"') : text.index('<h2 id="newest">')]
    assert first.count("cells/gru.html") == 3 and first.count("cells/lstm.html") == 1 and "minimal" not in first
    assert re.search(r'<td class="n">\d\.\d\d× \(\d\.\d\d to \d\.\d\d, 2 cases\)</td>', first)


def test_a_speed_run_folds_all_but_its_first_table(site):
    """A learning run folds none of its sections; what is folded is reached from the list of sections."""
    speed, learning = ((site / "runs" / f"{name}.html").read_text() for name in ("2026-01-first", "2026-05-learning"))
    folds = speed.index('<details class="section">')
    assert '<h2 id="training-including-the-input-projection">' in speed[:folds] and speed.count('<details class="section">') > 8
    assert speed[folds:].count("<h2>") == speed.count("<h2") - 1 and '<div id="environment"></div>' in speed[folds:]
    assert speed.count("<details") == speed.count("</details>") and '<details class="section">' not in learning
