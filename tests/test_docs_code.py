"""The pages of docs/ whose code is run: every block of a page, in its order, in one namespace."""

import re
from pathlib import Path

import pytest

TUTORIAL = "tutorial"
"""Its blocks are files, commands and what they print: see test_tutorial."""

PAGES = [
    page for page in sorted((Path(__file__).parents[1] / "docs").glob("*.md")) if "```python" in page.read_text() and page.stem != TUTORIAL
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code(page):
    text = page.read_text()
    names = {"__name__": page.stem}
    for block in re.finditer(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        line = text.count("\n", 0, block.start(1))
        exec(compile("\n" * line + block[1], str(page), "exec"), names)
