"""Documents and the interface as pages: titles, anchors, links, and what is read off source."""

import re
from pathlib import Path

import pytest

import cells
from bench.records import CaseRecord, Records
from bench.site.api_reference import Entry, list_public, load_packages, read_section
from bench.site.documents import make_anchor, read_document, render_docstring
from bench.site.handbook import INTERFACE, Links, list_documents
from bench.site.site_folder import Site
from cells.grammar.functions import FUNCTION_NAMES
from kernels import RNN

ROOT = Path(__file__).parents[1]


def test_a_document_has_a_title_sections_and_a_first_sentence():
    text = "# A `b`\n\nFirst: this\none. Second.\n\n## C, d\n\n## C, d\n\n|e|f|\n|:--|--:|\n|1|<2|\n\n"
    text += "[g](h.md#i) ![j](k.svg) [l](none)\n\n    m < n\n"
    asked = []

    def link(address: str, drawn: bool) -> str:
        asked.append((address, drawn))
        return "" if address == "none" else f"to/{address}"

    made = read_document(text, link)
    assert (made.title, made.about) == ("A b", "First: this one.")
    assert made.sections == [("c-d", "C, d"), ("c-d-1", "C, d")]
    assert asked == [("h.md#i", False), ("k.svg", True), ("none", False)]
    parts = ('<h2 id="c-d-1">', 'href="to/h.md#i"', 'src="to/k.svg" alt="j"', "<a>l</a>", "m &lt; n", '<td class="n">')
    for part in (*parts, 'aria-label="Table: e"'):
        assert part in made.body, part


def test_anchors_are_those_of_a_code_host():
    assert make_anchor("torch.compile, torch.export, autocast") == "torchcompile-torchexport-autocast"
    assert make_anchor("What is not the same?") == "what-is-not-the-same"


@pytest.fixture
def links(tmp_path) -> Links:
    for name in ("cells/gru.html", "runs/2026-01.html"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("")
    return Links(Site(tmp_path), ROOT, {"docs/replace.md": "docs/replace.html", "README.md": "docs/overview.html"})


@pytest.mark.parametrize(
    ("path", "link", "found"),
    [
        ("docs/extend.md", "replace.md#weights-you-have", "replace.html#weights-you-have"),
        ("README.md", "docs/replace.md", "replace.html"),
        ("README.md", "cells/gru.py", "../cells/gru.html"),
        ("docs/extend.md", "../cells/", "../cells/index.html"),
        ("README.md", "reports/README.md", "../index.html#runs"),
        ("README.md", "reports/2026-01/report.md", "../runs/2026-01.html"),
        ("docs/extend.md", "../kernels/schedules/interface.py#L5", "source/kernels/schedules/interface.py.html"),
        ("docs/extend.md", "https://arxiv.org/abs/1711.06788", "https://arxiv.org/abs/1711.06788"),
        ("docs/extend.md", "#a-cell", "#a-cell"),
        ("docs/extend.md", "none.md", ""),
        ("docs/extend.md", "../../elsewhere.md", ""),
    ],
)
def test_links_lead_to_pages_of_the_site(links, path, link, found):
    assert links.resolve(path, "docs/extend.html", link, False) == found


def test_a_file_without_a_page_gets_one_and_a_picture_is_copied(links):
    for _ in range(2):
        links.resolve("README.md", "docs/overview.html", "kernels/schedules/interface.py", False)
    assert [path.name for path in links.site.pages] == ["interface.py.html"]
    assert "class PassInputs" in links.site.pages[0].read_text()
    assert links.resolve("docs/x.md", "docs/x.html", "../LICENSE", True) == "pictures/LICENSE"
    assert (links.site.out / "docs" / "pictures" / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


def test_every_page_of_docs_is_among_the_documents(tmp_path):
    assert {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")} < list_documents(ROOT).keys()
    assert list_documents(tmp_path) == {}


def entries(page: str) -> dict[str, Entry]:
    return {entry.name: entry for module, names in INTERFACE[page][1].items() for entry in read_section(ROOT, module, names).entries}


def test_signatures_are_as_they_are_written():
    layer = entries("kernels")["RNN"]
    assert layer.code.startswith("class RNN(LayerParameters)\n\nRNN(\n    cell: str | Cell | Callable[..., Any],\n    input_size: int,")
    assert "    backend: str = 'auto',\n" in layer.code and "forward(\n    input: Tensor | PackedSequence," in layer.code
    assert layer.code.endswith(
        "\n    reset: Tensor | PackedSequence | None = None,\n    start: float | None = None,\n) -> tuple[Any, Hidden]"
    )
    assert layer.about == RNN.__doc__.replace("\n    ", "\n").strip()
    weights = next(member for member in layer.members if member.name == "RNN.weights")
    assert weights.code == "weights(suffix: str = '_l0') -> dict[str, Tensor]"
    assert entries("measure")["Problem"].others[1:] == ["x: Tensor", "states: list[Tensor]", "dy: Tensor", "d_final: list[Tensor]"]


def test_fields_are_those_of_the_model():
    for name, model in (("CaseRecord", CaseRecord), ("Records", Records)):
        found = {field: default for field, _, default in entries("records")[name].fields}
        assert found.keys() == model.model_fields.keys()
        assert {field for field, default in found.items() if not default} == {k for k, v in model.model_fields.items() if v.is_required()}
    assert ("samples", "list[Seconds]", "[]") in entries("records")["CaseRecord"].fields
    assert entries("records")["GradientRecord"].others == [], "a validator is nobody's to call"


def test_every_function_that_a_cell_may_apply_is_there():
    found = entries("cells")
    assert set(FUNCTION_NAMES.split(", ")) == set(INTERFACE["cells"][1]["cells.grammar.functions"])
    assert set(cells.__all__) < found.keys()
    assert (found["tanh"].code, found["tanh"].about) == ("tanh(v)", "Derivative: `1 - y * y`, y its value.")
    assert found["softplus"].about == "Derivative: `sigmoid(v)`."
    assert found["maximum"].code == "maximum(a, b)" and "half for each" in found["maximum"].about


def test_what_is_public_is_said_by_all_or_by_its_name(tmp_path):
    for package in ("cells", "kernels", "bench"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("")
    (tmp_path / "cells" / "one.py").write_text("__all__ = ['b']\na = b = 1\n")
    (tmp_path / "cells" / "two.py").write_text("import c\nA: int = 1\n_b = 2\ndef f(): ...\nclass _G: ...\n")
    found = load_packages(tmp_path)
    assert (list_public(found["cells.one"]), list_public(found["cells.two"])) == (["b"], ["A", "f"])
    with pytest.raises(LookupError, match=r"kernels has no TPU"):
        read_section(ROOT, "kernels", ["TPU"])


def test_whatever_is_public_says_what_it_is():
    """Of a class, a function: a type's name says enough."""
    silent = [(page, e.name) for page in INTERFACE for e in entries(page).values() if not e.about and e.kind != "value"]
    assert silent == []


def test_docstrings_have_no_tags():
    said = render_docstring("`a` < b_{T-k} <b>\n\n    c = d < e\n")
    assert re.sub(r"\s", "", said) == '<p><code>a</code>&lt;b_{T-k}&lt;b&gt;</p><pretabindex="0"><code>c=d&lt;e</code></pre>'
