"""Tables in LaTeX: its own characters are escaped, and no other is left that its fonts may lack."""

from bench.render.latex import escape, write_document, write_latex
from bench.render.run_report import list_parts
from bench.render.table import CELL, Column, Table
from tests.command_line import bench
from tests.records import lines, whole

__all__ = ["bench"]


def test_characters():
    assert escape(r"a_b & 50% #1 $x$ {y} \z ~^") == (r"a\_b \& 50\% \#1 \$x\$ \{y\} \textbackslash{}z \textasciitilde{}\textasciicircum{}")
    assert escape("≈1.5× ±2 – σ Ω é ☃") == r"$\approx$1.5$\times$ $\pm$2 -- $\sigma$ $\Omega$ é ?"


def test_a_table():
    text = write_latex(Table("Times_1", [CELL, Column("T", "T")], [["gru", 3], ["[x]", 4]], "In ms."))
    assert text.splitlines() == [
        r"\begin{longtable}{lr}", r"\caption{Times\_1. In ms.} \\", r"\toprule", r"cell & T \\", r"\midrule", r"\endhead", r"\bottomrule",
        r"\endfoot", r"gru & 3 \\", r"{}[x] & 4 \\", r"\end{longtable}",
    ]  # fmt: skip


def test_every_table_of_a_report(bench, tmp_path):
    (tmp_path / "records.jsonl").write_text(lines(whole()))
    code, out, _ = bench("report", tmp_path, "--latex")
    tables = [part for part in list_parts(whole()) if isinstance(part, Table) and part.rows]
    assert code == 0 and out.count(r"\begin{longtable}") == out.count(r"\end{longtable}") == len(tables) > 5
    assert out == write_document(tables) and {letter for letter in out if not letter.isascii()} <= {"é"}
