"""Makes matplotlib's SVG small and gives it themes: colours become classes for light and dark pages, values become titles.

The result serves a report, a README and the site. The `<title>` of a mark is its value. Text stays text.
"""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from itertools import groupby

from bench.records.backend_table import COLOURS

SVG, XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
ET.register_namespace("", SVG[1:-1])

PALETTE = {
    "g": ("#ffffff", "#0d1117"), "k": ("#1a1d21", "#e6edf3"), "m": ("#6b7580", "#9aa7b4"), "r": ("#e3e6ea", "#30363d"),
    "0": ("#111111", "#f0f4f8"), "1": ("#0072b2", "#4b9cea"), "2": ("#d55e00", "#e8762c"), "3": ("#009e73", "#1dbd8f"),
    "4": ("#c98a00", "#e6a92b"), "5": ("#3a9fd8", "#7cc8f4"), "6": ("#b55d8e", "#d48bb6"), "7": ("#882255", "#c65f95"),
    "8": ("#7d7d21", "#b3b34a"),
}  # fmt: skip
"""The colours on a light and on a dark ground, by the letter of their class: ground, ink, muted ink, rules, then COLOURS in order. Some are
darker than in COLOURS, to be visible on white."""
GROUND, INK, MUTED, RULE = (PALETTE[name][0] for name in "gkmr")
CLASSES = {PALETTE[name][0]: name for name in "gkmr"} | {color.lower(): str(k) for k, color in enumerate(COLOURS)}

SEPARATOR = "␞"
"""Starts each value in the gid of an artist."""
GEOMETRY = {"d", "x", "y", "transform", "href", "id", "width", "height"}
DEFAULTS = {"stroke-linecap": "butt", "stroke-linejoin": "round", "fill": "none", "stroke-miterlimit": "100000"}
DECIMALS = 1
"""The decimals of a coordinate in points."""


def compact_svg(text: str, title: str, stem: str) -> str:
    """Return a small copy of an SVG that matplotlib wrote.

    Args:
        text: The SVG, with `svg.fonttype` none.
        title: What a screen reader says of the picture.
        stem: A name for its ids, so that several pictures fit into one page.

    Raises:
        ValueError: A gid tells as many values as its artist has no marks for.
    """
    root = ET.fromstring(text)
    width, height = map(format_coordinate, root.attrib["viewBox"].split()[2:])
    made = ET.Element(f"{SVG}svg", {
        "viewBox": f"0 0 {width} {height}", "width": f"{width}pt", "height": f"{height}pt", "class": "plot",
        "role": "img", "aria-label": title, "fill": "none", "font-family": "system-ui,sans-serif", "stroke-linejoin": "round",
    })  # fmt: skip
    style = ET.SubElement(made, f"{SVG}style")
    made.extend([*Reader(root, stem).read(root)])
    style.text = make_stylesheet(find_classes(made))
    return ET.tostring(made, encoding="unicode") + "\n"


def make_stylesheet(classes: Sequence[str], within: str = "") -> str:
    """Returns the CSS of classes.

    Args:
        classes: "f1" fills with colour 1, "s1" strokes with it.
        within: A selector. With it the colours follow the `color-scheme` of the page, without it those of the system.
    """
    properties = {"f": "fill", "s": "stroke"}
    selectors = {name: f"{within} .{name}".strip() + (f",{within} text".replace(", ", ",") if name == "fk" else "") for name in classes}
    if within:
        return "".join(f"{selectors[c]}{{{properties[c[0]]}:light-dark({','.join(PALETTE[c[1:]])})}}\n" for c in classes)
    light, dark = ("".join(f"{selectors[c]}{{{properties[c[0]]}:{PALETTE[c[1:]][k]}}}" for c in classes) for k in (0, 1))
    return f"{light}@media(prefers-color-scheme:dark){{{dark}}}"


def list_classes() -> list[str]:
    """Returns all classes of the palette."""
    return [f"{kind}{name}" for name in PALETTE for kind in "fs"]


def find_classes(root: ET.Element) -> list[str]:
    found = {name for element in root.iter() for name in element.get("class", "").split()} | {"fk"}
    return [name for name in list_classes() if name in found]


class Reader:
    """Reads the elements of one picture and renames its definitions."""

    def __init__(self, root: ET.Element, stem: str):
        self.stem, self.names = stem, dict[str, str]()
        self.paths = {path.attrib["id"]: path.get("d", "") for path in root.iter(f"{SVG}path") if "id" in path.attrib}
        self.clips = {clip.attrib["id"]: clip for clip in root.iter(f"{SVG}clipPath")}

    def read(self, root: ET.Element) -> Iterator[ET.Element]:
        """Yields the used definitions, then all drawn elements."""
        drawn = hoist_attributes([element for child in root for element in self.read_element(child)])
        defined = ET.Element(f"{SVG}defs")
        for old, new in self.names.items():
            if old in self.paths:
                ET.SubElement(defined, f"{SVG}path", {"id": new, "d": compact_path(self.paths[old], decimals=2)})
            else:
                clip = ET.SubElement(defined, f"{SVG}clipPath", {"id": new})
                ET.SubElement(clip, f"{SVG}rect", {k: format_coordinate(v) for k, v in self.clips[old][0].attrib.items()})
        if len(defined):
            yield defined
        yield from drawn

    def rename(self, old: str) -> str:
        return self.names.setdefault(old, f"{self.stem}-{len(self.names)}")

    def read_element(self, element: ET.Element) -> list[ET.Element]:
        """Returns the drawn elements, without the groups around them."""
        tag, name = element.tag.removeprefix(SVG), element.get("id", "")
        if tag == "g":
            return self.read_group(element, name)
        readers = {"path": self.read_path, "use": self.read_mark, "image": self.read_image, "text": self.read_text}
        if tag not in readers:
            return []
        made = ET.Element(SVG + tag, split_style(element.get("style", ""), tag))
        readers[tag](element, made)
        return [] if made.get("d") == "" else [made]

    def read_group(self, group: ET.Element, name: str) -> list[ET.Element]:
        found = [element for child in group for element in self.read_element(child)]
        if name.startswith("matplotlib.axis"):
            return merge_axis(found)
        if SEPARATOR in name:
            add_titles(found, name.split(SEPARATOR)[1:])
        for path in (element for element in found if element.tag == f"{SVG}path"):
            self.add_clip(group, path)
        return found

    def add_clip(self, element: ET.Element, made: ET.Element) -> None:
        """Clips a path as in the original; marks at the edge of the axes stay whole."""
        if clip := element.get("clip-path"):
            made.set("clip-path", f"url(#{self.rename(clip[5:-1])})")

    def read_path(self, element: ET.Element, made: ET.Element) -> None:
        self.add_clip(element, made)
        made.set("d", compact_path(element.get("d", "")))

    def read_mark(self, element: ET.Element, made: ET.Element) -> None:
        name, x, y = element.attrib[f"{XLINK}href"][1:], float(element.get("x", "0")), float(element.get("y", "0"))
        if x == 0:  # one shape of a collection, in coordinates of the whole
            made.tag = f"{SVG}path"
            made.set("d", compact_path(self.paths[name], x, y))
        else:
            made.attrib.update({"href": f"#{self.rename(name)}", "x": format_coordinate(x), "y": format_coordinate(y)})

    def read_image(self, element: ET.Element, made: ET.Element) -> None:
        made.attrib.update({key: element.attrib[key] for key in ("width", "height", "x", "y", "transform") if key in element.attrib})
        made.set("href", re.sub(r"\s", "", element.attrib[f"{XLINK}href"]))

    def read_text(self, element: ET.Element, made: ET.Element) -> None:
        """Places text at x and y with its rotation."""
        made.text = element.text
        numbers = re.findall(r"-?[\d.]+", element.get("transform", ""))
        if "x" in element.attrib:
            numbers = [element.attrib["x"], element.attrib["y"], *numbers[:1]]
        x, y, turn = map(format_coordinate, (*numbers, "0")[:3])
        made.attrib.update({"x": x, "y": y})
        if turn != "0":
            made.set("transform", f"rotate({turn} {x} {y})")


def split_style(style: str, tag: str) -> dict[str, str]:
    """Returns a style as attributes, with classes for colours of the palette."""
    given, classes = {}, []
    for key, value in (part.split(":", 1) for part in style.split(";") if ":" in part):
        key, value = key.strip(), value.strip()
        if key in ("fill", "stroke") and value in CLASSES:
            if (tag, value) != ("text", INK):
                classes.append(key[0] + CLASSES[value])
        elif key not in ("font-family", "font") and DEFAULTS.get(key) != value:
            given[key] = format_coordinate(value, 2) if re.fullmatch(r"-?[\d.]+(px)?", value) else value
    if classes:
        given["class"] = " ".join(classes)
    return given


def merge_axis(found: list[ET.Element]) -> list[ET.Element]:
    """Returns the grid of an axis as one path, without ticks, and its labels."""
    lines = [element for element in found if element.tag == f"{SVG}path" and element.get("class") == f"s{CLASSES[RULE]}"]
    grid = []
    if lines:
        grid = [ET.Element(f"{SVG}path", {"class": lines[0].attrib["class"], "d": "".join(line.attrib["d"] for line in lines)})]
        grid[0].set("stroke-width", lines[0].get("stroke-width", "1"))
    return grid + [element for element in found if element.tag == f"{SVG}text"]


def add_titles(found: Sequence[ET.Element], values: Sequence[str]) -> None:
    """Adds the value of each mark as a title. A line without marks has one title, an empty line none."""
    marks = [element for element in found if element.tag == f"{SVG}use"] or list(found)
    if marks and len(marks) != len(values):
        raise ValueError(f"{len(values)} values for {len(marks)} marks: {values}")
    for mark, value in zip(marks, values, strict=False):
        ET.SubElement(mark, f"{SVG}title").text = value


def hoist_attributes(found: Sequence[ET.Element]) -> list[ET.Element]:
    """Returns the elements, with attributes that neighbours share moved to a group."""
    made = []
    for (_, given), run in groupby(found, lambda e: (e.tag, tuple(sorted((k, v) for k, v in e.attrib.items() if k not in GEOMETRY)))):
        alike = list(run)
        if len(alike) == 1 or not given:
            made += alike
            continue
        group = ET.Element(f"{SVG}g", dict(given))
        for element in alike:
            for key, _ in given:
                del element.attrib[key]
        group.extend(alike)
        made.append(group)
    return made


def format_coordinate(value: str | float, decimals: int = DECIMALS) -> str:
    """Returns a number in few digits: 3 for 3.0, -.5 for -0.51."""
    text = f"{float(str(value).removesuffix('px')):.{decimals}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else re.sub(r"^(-?)0\.", r"\1.", text)


def compact_path(text: str, x: float = 0.0, y: float = 0.0, decimals: int = DECIMALS) -> str:
    """Returns a path moved by (x, y), in relative coordinates with few digits, without invisibly small steps."""
    scale, parts, at, begun, written = 10**decimals, list[str](), (0, 0), (0, 0), ""
    for command, numbers in re.findall(r"([MLCQz])([^MLCQz]*)", text):
        if command == "z":
            parts.append("z")
            at, written = begun, "z"
            continue
        values = [float(number) for number in numbers.split()]
        points = [(round((a + x) * scale), round((b + y) * scale)) for a, b in zip(values[::2], values[1::2], strict=True)]
        if command == "L" and points[0] == at and written not in ("M", "z"):
            continue
        letter = "M" if command == "M" else command.lower()
        origin = (0, 0) if command == "M" else at
        step = [value - origin[k] for point in points for k, value in enumerate(point)]
        digits = [format_coordinate(value / scale, decimals) for value in step]
        joined = digits[0] + "".join(digit if digit.startswith("-") else f" {digit}" for digit in digits[1:])
        lead = "" if letter == written != "M" else letter
        parts.append((" " if not lead and not joined.startswith("-") else lead) + joined)
        at, written = points[-1], letter
        if command == "M":
            begun = at
    return "" if all(part[0] == "M" for part in parts) else "".join(parts)
