"""Tables in LaTeX: its own characters are escaped, and no other is left that its fonts may lack."""

import pytest

from bench.render.latex import escape, write_document, write_latex
from bench.render.run_report import list_parts
from bench.render.table import CELL, Column, Table
from tests.command_line import bench
from tests.records import lines, whole

__all__ = ["bench"]


def test_characters():
    assert escape(r"a_b & 50% #1 $x$ {y} \z ~^") == (r"a\_b \& 50\% \#1 \$x\$ \{y\} \textbackslash{}z \textasciitilde{}\textasciicircum{}")
    assert escape("≈1.5× ±2 – σ Ω é ☃") == r"$\approx$1.5$\times$ $\pm$2 -- $\sigma$ $\Omega$ é ?"


def test_letters():
    """Names of Greek letters that LaTeX doesn't have, small and raised digits, and letters that its fonts lack."""
    assert escape("λ \u03bf \u0392 \u0397 Ξ ϑϟ") == r"$\lambda$ o B H $\Xi$ ??"
    assert escape("h₁ 10⁻⁵ µs ₔ") == r"h$_{1}$ 10$^{-}$$^{5}$ $\mu$s ?"
    assert escape("Ångström ł ə đ ạ 中\t") == "Ångström ł ? ? ? ??"


def test_a_table():
    text = write_latex(Table("Times_1", [CELL, Column("T", "T")], [["gru", 3], ["[x]", 4]], "In ms."))
    assert text.splitlines() == [
        r"{\footnotesize\setlength{\tabcolsep}{3pt}\setlength{\LTcapwidth}{\linewidth}", r"\begin{longtable}{lr}",
        r"\caption{Times\_1. In ms.} \\", r"\toprule", r"cell & T \\", r"\midrule", r"\endhead", r"\bottomrule",
        r"\endfoot", r"gru & 3 \\", r"{}[x] & 4 \\", r"\end{longtable}}",
    ]  # fmt: skip


def test_a_wide_table_has_parts():
    """Each with the columns that name its rows; long words and headers break into lines."""
    names = [f"value {k} of a long name" for k in range(8)]
    text = write_latex(Table("Wide", [CELL, Column("T", "T"), *(Column(name) for name in names)], [["gru", 3, *range(10**7, 10**7 + 8)]]))
    parts = text.split("\n\n")
    assert len(parts) > 1 and all(r"\midrule" in part and "\ngru & 3 & 1000" in part for part in parts)
    assert [f"(part {k} of {len(parts)})" in part for k, part in enumerate(parts, 1)] == [True] * len(parts)
    assert all(text.count(str(10**7 + k)) == 1 for k in range(8)) and r"\shortstack[r]{value 0 of a \\ long name}" in text
    long = write_latex(Table("Long", [CELL, Column("reason", words=True)], [["gru", "a word " * 40]]))
    assert r"\begin{longtable}{l>{\raggedright\arraybackslash}p{0.9" in long and long.count("longtable") == 2


@pytest.mark.full
def test_every_table_of_a_report(bench, tmp_path):
    (tmp_path / "records.jsonl").write_text(lines(whole()))
    code, out, _ = bench("report", tmp_path, "--latex")
    tables = [part for part in list_parts(whole()) if isinstance(part, Table) and part.rows]
    assert code == 0 and out.count(r"\begin{longtable}") == out.count(r"\end{longtable}") >= len(tables) > 5
    assert out == write_document(tables) and {letter for letter in out if not letter.isascii()} <= {"é"}
