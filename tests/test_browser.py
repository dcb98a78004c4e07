"""The site in a browser: a headless Chromium, the system's own, driven by Playwright.

Where there is none these tests are skipped, and say so; CHROMIUM=required, which `.ci/run` sets, makes that a failure.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from bench.site.equations import read_sources
from tests.publications import built, reports
from tests.sampling import in_full, sample

__all__ = ["built", "reports"]

REQUIRED = os.environ.get("CHROMIUM") == "required"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
if BROWSER is None and not REQUIRED:
    pytest.skip("no chromium here: apt-get install chromium", allow_module_level=True)

ROOT = Path(__file__).parents[1]
PAGES = (
    "index.html", "runs/2026-01-first.html", "runs/2026-05-learning.html", "compare/index.html",
    "compare/2026-01-first--2026-02-slower.html", "history.html", "cells/index.html", "cells/gru.html",
    "docs/index.html", "docs/overview.html", "docs/commands.html", "docs/extend.html", "docs/waves.html", "docs/api/kernels.html",
    "docs/api/records.html",
)  # fmt: skip
SMALL = ("docs/index.html", "cells/index.html")
LARGE = (
    "index.html", "runs/2026-04-gpu.html", "compare/index.html", "history.html", "cells/gru.html", "docs/overview.html",
    "docs/commands.html", "docs/api/measure.html",
)  # fmt: skip
"""Pages on which axe takes up to half a minute."""
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture
def site(built) -> str:
    return built.as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=BROWSER or "/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()


@pytest.fixture
def page(browser, site) -> Iterator[Page]:
    """A page that fails where anything is said on its console, or asked for from outside of the site."""
    context = browser.new_context(viewport=DESK)
    found, said = context.new_page(), []
    found.on("console", lambda message: said.append(message.text))
    found.on("pageerror", lambda error: said.append(str(error)))
    found.on("request", lambda request: said.append(request.url) if not request.url.startswith((site, "data:")) else None)
    found.on("requestfailed", lambda request: said.append(request.url))
    yield found
    context.close()
    assert said == []


def rows(page: Page, table: str) -> list[list[str]]:
    """What the rows that are shown say."""
    return page.locator(f"#table-{table} tbody tr:not([hidden])").evaluate_all(
        "all => all.map(r => [...r.cells].map(c => c.innerText.trim()))"
    )


@sample("address", PAGES)
def test_it_loads_and_fits_a_phone(page, site, address):
    """Without a word on the console; nothing but what scrolls by itself is wider than a phone."""
    page.set_viewport_size(PHONE)
    page.goto(f"{site}/{address}")
    assert page.locator("h1").count() == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


@pytest.mark.parametrize("name", ["2026-01-first", "2026-04-gpu"])
def test_a_speed_run_has_three_screens(page, site, name):
    """A screen has 1280×800 pixels; a link to a section that is folded opens it."""
    page.set_viewport_size({"width": 1280, "height": 800})
    page.goto(f"{site}/runs/{name}.html")
    assert page.evaluate("document.documentElement.scrollHeight") <= 3 * 800
    table = page.locator("#table-environment")
    assert not table.is_visible()
    page.locator(".contents a", has_text="Environment").click()
    assert table.is_visible() and page.locator("#table-environment th").first.inner_text().startswith("property")


def test_numbers_of_the_front_page_are_in_view(page, site):
    page.set_viewport_size({"width": 1280, "height": 800})
    page.goto(f"{site}/index.html")
    for table in ("likes", "runs"):
        places = page.locator(f"#table-{table} td.n").evaluate_all("all => all.map(cell => cell.getBoundingClientRect().right)")
        assert places and max(places) <= 1280


def faults(page: Page, **options: object) -> dict[str, list[str]]:
    """What axe finds that is serious, by its rule: the elements."""
    found = Axe().run(page, options={"resultTypes": ["violations"], "preload": False, **options}).response["violations"]
    return {fault["id"]: [node["html"][:200] for node in fault["nodes"]] for fault in found if fault["impact"] in ("serious", "critical")}


@pytest.mark.parametrize("address", [*SMALL, *map(in_full, LARGE)])
def test_axe_finds_no_serious_fault(page, site, address):
    """By any rule where it is light, and of contrast where it is dark."""
    page.goto(f"{site}/{address}")
    page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
    assert faults(page) == {}
    page.emulate_media(color_scheme="dark")
    assert faults(page, runOnly=["color-contrast"]) == {}


def test_axe_would_find_one(page, site):
    page.goto(f"{site}/cells/index.html")
    worse = "<img src='data:,'><p style='color:#ddd;background:#fff'>hardly to be seen</p>"
    page.evaluate("worse => document.querySelector('h1').insertAdjacentHTML('afterend', worse)", worse)
    assert faults(page).keys() == {"image-alt", "color-contrast"}


def test_tables_sort_by_numbers_and_words(page, site):
    page.goto(f"{site}/compare/2026-01-first--2026-02-slower.html")
    button = page.locator("#table-cases th button", has_text="A, ms")
    for direction, order in (("ascending", 1), ("descending", -1)):
        button.click()
        times = [float(row[9].replace(",", "")) for row in rows(page, "cases") if row[9][:1].isdigit()]
        assert len(times) > 30 and times == sorted(times, reverse=order < 0)
        assert page.locator("#table-cases th[aria-sort]").get_attribute("aria-sort") == direction
    page.locator("#table-cases th button", has_text="backend").click()
    names = [row[1] for row in rows(page, "cases")]
    assert names == sorted(names)


def test_tables_filter_and_links_hold_what_is_chosen(page, site):
    page.goto(f"{site}/compare/2026-01-first--2026-02-slower.html")
    everything = len(rows(page, "cases"))
    page.get_by_label("verdict").select_option("slower")
    assert {row[-1] for row in rows(page, "cases")} == {"slower"}
    page.get_by_role("searchbox").fill("minimal 16")
    chosen = rows(page, "cases")
    assert chosen and {(row[0], row[1]) for row in chosen} == {("minimal", "compiled")}
    assert page.locator(".tools output").inner_text() == f"{len(chosen)} of {everything} rows"
    page.locator("#table-cases th button", has_text="B, ms").click()
    link, order = page.url, rows(page, "cases")
    assert "cases.verdict=slower" in link and "cases.words=minimal+16" in link and "cases.sort=10a" in link
    page.goto("about:blank")
    page.goto(link)
    assert rows(page, "cases") == order and page.get_by_role("searchbox").input_value() == "minimal 16"
    page.get_by_role("searchbox").fill("")
    page.get_by_label("verdict").select_option("")
    assert len(rows(page, "cases")) == everything and "cases.words" not in page.url


def test_two_runs_are_chosen_and_compared(page, site):
    page.goto(f"{site}/compare/index.html")
    page.get_by_label("A, the older").select_option("2026-02-slower")
    page.get_by_label("B, the newer").select_option("2026-04-gpu")
    page.get_by_role("button", name="Compare").click()
    assert "no case in common" in page.locator("#none").inner_text()
    page.get_by_label("B, the newer").select_option("2026-03-as-slow")
    assert "a=2026-02-slower&b=2026-03-as-slow" in page.url
    page.reload()
    page.get_by_role("button", name="Compare").click()
    page.wait_for_url("**/2026-02-slower--2026-03-as-slow.html")
    assert "2026-03-as-slow against 2026-02-slower" in page.locator("h1").inner_text()


def test_values_are_told_where_a_plot_is_pointed_at_and_by_the_arrow_keys(page, site):
    page.goto(f"{site}/runs/2026-01-first.html")
    plot = page.locator(".picture").first
    told = plot.locator(".told")
    plot.locator("use:has(title)").first.hover(force=True)
    assert "(vs gru), " in told.inner_text() and "× [" in told.inner_text()
    plot.locator(".drawn").focus()
    page.keyboard.press("Escape")
    assert told.inner_text() == ""
    seen = []
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft"):
        page.keyboard.press(key)
        seen.append(told.inner_text())
    assert seen[0] == seen[2] != seen[1] and all(seen)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pictures_have_the_colours_of_the_page(page, site, scheme):
    """Whatever the reader's system has: the page is switched to the other."""
    page.emulate_media(color_scheme="dark" if scheme == "light" else "light")
    page.goto(f"{site}/runs/2026-01-first.html")
    page.get_by_role("button", name=scheme.capitalize()).click()
    color = page.locator(".picture text").first.evaluate("text => getComputedStyle(text).fill")
    assert color == {"light": "rgb(26, 29, 33)", "dark": "rgb(230, 237, 243)"}[scheme]


def test_everything_is_reached_by_keyboard(page, site):
    """The skip link first; a header sorts by Enter."""
    page.goto(f"{site}/cells/index.html")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.locator("#table-cells th button").first.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    assert rows(page, "cells")[0][0] == read_sources(ROOT / "cells")[-1].name


def test_dark_is_chosen_and_kept(page, site):
    page.goto(f"{site}/index.html")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("button", name="Dark").click()
    dark = page.evaluate(ground)
    page.goto(f"{site}/history.html")
    assert light != dark == page.evaluate(ground)


@pytest.mark.full
def test_reports_are_read_without_scripts(browser, site):
    context = browser.new_context(java_script_enabled=False)
    found = context.new_page()
    found.goto(f"{site}/runs/2026-01-first.html")
    assert found.locator("table").first.is_visible() and "(vs gru)" in (found.locator(".picture use title").first.text_content() or "")
    context.close()
