"""An exhibit whole: caption, sentence, figure or table, verdict; and the first page made of several."""

from __future__ import annotations

import base64
import importlib
import textwrap
from functools import cache
from importlib import resources

from clinops.define.base import slug
from clinops.render import table
from clinops.render import text as say
from clinops.results.front import VERDICTS, FrontPage
from clinops.results.result import Check, Result

STATES = {True: "passed", False: "failed", None: "unjudged"}


@cache
def stylesheet(name: str = "exhibit.css") -> str:
    """Return one of the style sheets that stand beside the templates."""
    return (resources.files("clinops.render") / "templates" / name).read_text(encoding="utf-8")


def to_html(result: Result, *, styled: bool = True) -> str:
    """Return a result as it stands in a notebook or a report: an HTML figure with its caption.

    Parameters
    ----------
    result : a result or a check.
    styled : put the style sheet in front, as a notebook needs; a report has it once.
    """
    ident = slug(result.name)
    page = table.templates().get_template("exhibit.html.j2")
    html = page.render(
        result=result, ident=ident, check=_verdict(result), image=_image(result),
        table=_markup(table.to_html(result, f"{ident}-caption")), alt=result.alt or result.sentence or result.title,
    )  # fmt: skip
    return f"<style>{stylesheet()}</style>\n{html}" if styled else html


def _markup(html: str) -> object:
    """Mark HTML of our own templates as such, so that it is not escaped a second time."""
    return importlib.import_module("markupsafe").Markup(html)


def _image(result: Result) -> str:
    """Return the result's figure as a data address, or nothing where it has none."""
    if result.figure is None:
        return ""
    return "data:image/svg+xml;base64," + base64.b64encode(svg(result)).decode("ascii")


def svg(result: Result) -> bytes:
    """Return the drawing of a result that has a figure, as SVG that is the same every time."""
    # matplotlib is loaded when the first figure is drawn, and not before.
    figures = importlib.import_module("clinops.render.figures")
    drawn: bytes = figures.svg(figures.draw(result.figure, banner=result.banner or None))
    return drawn


def _verdict(result: Result) -> dict[str, str] | None:
    if not isinstance(result, Check):
        return None
    shape, word = result.verdict.split(" ", 1)
    return {
        "state": STATES[result.passed], "shape": shape, "word": word, "why": result.why,
        "held": held(result),
    }  # fmt: skip


def held(check: Check) -> str:
    """Return "observed 0.08, threshold 0.1", of what there is."""
    parts = (("observed", check.observed), ("threshold", check.threshold))
    return ", ".join(f"{name} {_value(value)}" for name, value in parts if value is not None)


def _value(value: float | int | str) -> str:
    if isinstance(value, str):
        return value
    if float(value).is_integer():
        return say.number(float(value))
    return say.number(float(value), 3 if abs(value) < 0.1 else 2)


def to_text(result: Result) -> str:
    """Return a result as plain text: caption, verdict, sentence, table."""
    head = [result.caption, "=" * min(len(result.caption), 110)]
    if result.banner:
        head.insert(0, f"[{result.banner}]")
    if isinstance(result, Check):
        head.append(f"{result.verdict} ({held(result)})" if held(result) else result.verdict)
    if result.sentence:
        head.append(textwrap.fill(result.sentence, 110))
    return "\n".join(head if result.is_absent else [*head, "", table.to_text(result)])


def front_to_html(page: FrontPage, *, styled: bool = True) -> str:
    """Return the first page as HTML: verdict, the design in labelled sentences, exhibits, threats."""
    shape, word = VERDICTS[page.verdict].split(" ", 1)
    html = (
        table.templates()
        .get_template("front.html.j2")
        .render(
            page=page, shape=shape, word=word, state=slug(page.verdict),
            main=_part(page.main), money=_part(page.money), strip=_part(page.strip),
            failed=[(check, _verdict(check)) for check in page.failed],
        )
    )  # fmt: skip
    return f"<style>{stylesheet()}</style>\n{html}" if styled else html


def _part(part: Result | str | None) -> object:
    return _markup(to_html(part, styled=False)) if isinstance(part, Result) else (part or "")


def front_to_text(page: FrontPage) -> str:
    """Return the first page as plain text."""
    lines = [page.title, "=" * min(len(page.title), 110), f"{VERDICTS[page.verdict]}: {page.conclusion}", ""]
    lines += [f"{label}: {text}" for label, text in page.facts]
    for part in (page.main, page.money, page.strip):
        if part is not None:
            lines += ["", to_text(part) if isinstance(part, Result) else f"Money: {part}"]
    lists = (
        ("Largest threats", list(page.threats)),
        ("Checks that did not pass", [f"{c.verdict}: {c.title} {c.sentence}" for c in page.failed]),
        ("Allowed by name", [f"{rule}: {reason}" for rule, reason in page.allowed]),
    )
    for label, items in lists:
        if items:
            lines += ["", f"{label}:", *(f"- {item}" for item in items)]
    return "\n".join(lines)


def table_page(result: Result, stamp: str) -> str:
    """Return a result's table as a page of its own, with the stamp and the banner it must not lose."""
    page = table.templates().get_template("single.html.j2")
    return page.render(
        result=result, stamp=stamp, css=_markup(stylesheet()), ident=slug(result.name),
        table=_markup(table.to_html(result, f"{slug(result.name)}-caption")),
    )  # fmt: skip
