"""Embeds a report's plots in a page: the same SVG in the page's own colours, with its values on hover and by arrow keys."""

import xml.etree.ElementTree as ET
from pathlib import Path

from markupsafe import Markup

from bench.render.svg import SVG

PIXELS = 1.35
"""The largest number of pixels per point."""


def make_figure(path: Path) -> Markup:
    """Returns a plot as a figure.

    Its style is removed: `assets/plot.css` has the same colours, which follow the page. `assets/plot.js` shows the values.
    """
    try:
        root = ET.parse(path).getroot()
        width = PIXELS * float(root.attrib["viewBox"].split()[2])
    except (ET.ParseError, LookupError, ValueError):
        return Markup('<p class="note">{} is no plot that can be shown: bench report FOLDER draws it again.</p>').format(path.name)
    for style in root.findall(f"{SVG}style"):
        root.remove(style)
    title = root.attrib.pop("aria-label", path.stem)
    for key in ("role", "width", "height"):
        root.attrib.pop(key, None)
    root.set("aria-hidden", "true")
    return Markup(
        '<figure class="picture" style="max-width:{:.0f}px"><div class="drawn scroll" tabindex="0" role="group" '
        'aria-label="{}. The arrow keys go through its values.">{}</div><p class="told" aria-live="polite"></p></figure>'
    ).format(width, title, Markup(ET.tostring(root, encoding="unicode")))
