"""The report: an executed notebook as one self-contained, accessible HTML page.

Prose and exhibits stand in the notebook's order, its code in one folded appendix. Whatever a cell shows
passes through an allow-list before it is put in, and the page may load nothing from anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from clinops.define.base import slug
from clinops.render.banner import of_page
from clinops.render.clean import clean, free
from clinops.render.exhibit import stylesheet
from clinops.render.table import templates

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

#: Shape and tone of each status a verdict may have; other words print with a neutral mark.
STATUSES = {
    "passed": ("✓", "good"), "failed": ("✗", "bad"), "not judged": ("○", "unsure"), "benefit": ("▲", "good"),
    "harm": ("▼", "bad"), "too uncertain": ("◆", "unsure"), "not interpretable": ("✕", "bad"),
    "no worthwhile difference": ("●", "unsure"),
    "allowed": ("!", "unsure"),
}  # fmt: skip


@dataclass(frozen=True)
class Context:
    """What the page says about itself.

    Attributes
    ----------
    title : of the report.
    synthetic, cleared : what the status banner says.
    data, date_range : the records' name and the dates they span.
    run_id, date, version : of the run; date is the date of the data or of the run, as the runner decides.
    verdicts : each with label, text and status (a key of `STATUSES`).
    language : of the prose.
    """

    title: str
    synthetic: bool | None = None
    cleared: bool = False
    data: str = ""
    date_range: str = ""
    run_id: str = ""
    date: str = ""
    version: str = ""
    verdicts: tuple[Mapping[str, str], ...] = ()
    language: str = "en-GB"

    @property
    def banner(self) -> tuple[str, ...]:
        """The lines of the status banner."""
        return of_page(self.synthetic, cleared=self.cleared)

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """What stands under the title, of what is known."""
        said = (("Data", self.data), ("Dates", self.date_range), ("Run", self.run_id), ("Made", self.date),
                ("clinops", self.version))  # fmt: skip
        return tuple((label, text) for label, text in said if text)


@dataclass
class _Page:
    """What has been gathered so far: markup, headings, code, and the ids that are taken."""

    title: str
    body: list[str] = field(default_factory=list)
    headings: list[dict[str, Any]] = field(default_factory=list)
    code: list[dict[str, Any]] = field(default_factory=list)
    ids: set[str] = field(default_factory=lambda: {"content"})
    level: int = 1


def render(notebook: Mapping[str, Any], context: Context) -> str:
    """Return an executed notebook as one HTML page that needs nothing else.

    Parameters
    ----------
    notebook : a notebook node (nbformat 4) with its outputs.
    context : title, status, run and verdicts.

    Notes
    -----
    Raw HTML in prose is not rendered; HTML in outputs passes an allow-list without scripts, styles or
    addresses (`clean`). Cells tagged "hide" or "remove_cell" are left out, with their outputs; a cell
    tagged "remove_output" keeps its code in the appendix only. Plain text is escaped.
    """
    page = _Page(context.title)
    for position, cell in enumerate(notebook["cells"], start=1):
        tags = set(cell.get("metadata", {}).get("tags", ()))
        if tags & {"hide", "remove_cell"}:
            continue
        if cell["cell_type"] == "markdown":
            _prose(page, _source(cell))
        elif cell["cell_type"] == "code":
            _code_cell(page, cell, position, show="remove_output" not in tags)
    return _compose(page, context)


def _compose(page: _Page, context: Context) -> str:
    from markupsafe import Markup as safe

    foot = " · ".join(part for part in (context.title, context.run_id) if part)
    body = "\n".join(page.body)
    # A front page gives the verdict itself; to say it twice within one screen would be noise.
    verdicts = [] if 'class="co-front ' in body else [_verdict(v) for v in context.verdicts]
    return (
        templates()
        .get_template("page.html.j2")
        .render(
            context=context, verdicts=verdicts, headings=page.headings,
            code=page.code, body=safe(body), exhibit_css=safe(stylesheet("exhibit.css")),
            page_css=safe(stylesheet("page.css")), running_head=safe(_css_string(" · ".join(context.banner))),
            running_foot=safe(_css_string(foot)),
        )
    )  # fmt: skip


def _verdict(verdict: Mapping[str, str]) -> dict[str, str]:
    status = verdict.get("status", "")
    shape, tone = STATUSES.get(status, ("•", "unsure"))
    label = verdict.get("label") or status.capitalize()
    text = verdict.get("text", "")
    # The word always stands beside the shape: a reader must not need the colour.
    word = "" if status.lower() in f"{label} {text}".lower() else f"{status.capitalize()}: "
    return {"shape": shape, "tone": tone, "label": label, "text": word + text}


def _css_string(text: str) -> str:
    """Return text as a CSS string; whatever could end the string or the style sheet is written as its code."""
    return '"' + re.sub(r'[\\"<>&\n\r\f{}]', lambda m: f"\\{ord(m.group()):06x}", text) + '"'


def _source(cell: Mapping[str, Any]) -> str:
    return _joined(cell.get("source", ""))


def _joined(text: Any) -> str:
    """Notebooks write text as one string or as a list of lines."""
    return "".join(text) if isinstance(text, list | tuple) else str(text)


# -- Prose -------------------------------------------------------------------------------------------


def _markdown() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False, "typographer": False}).enable(["table", "strikethrough"])


def _prose(page: _Page, source: str) -> None:
    """Add a cell of prose: headings get ids and follow one another without a gap in level."""
    reader = _markdown()
    tokens = reader.parse(source)
    kept: list[Token] = []
    skipping = False
    for i, token in enumerate(tokens):
        if token.type == "heading_open":
            said = tokens[i + 1]
            text = "".join(
                t.content for t in (said.children or ()) if t.type in ("text", "code_inline", "text_special")
            )
            skipping = token.tag == "h1" and not page.headings  # the title stands above already
            if not skipping:
                _head(page, token, text)
        elif token.type == "heading_close":
            token.tag = f"h{page.level}"
        elif token.type == "inline":
            _unlink(token)
        if not skipping:
            kept.append(token)
        elif token.type == "heading_close":
            skipping = False
    html = reader.renderer.render(kept, reader.options, {})
    if html.strip():
        page.body.append(clean(html, set()))  # its ids are the headings', taken above


def _head(page: _Page, token: Token, text: str) -> None:
    page.level = min(max(int(token.tag[1]), 2), page.level + 1)
    token.tag = f"h{page.level}"
    ident = free(slug(text), page.ids)
    token.attrSet("id", ident)
    if page.level <= 3:
        page.headings.append({"level": page.level, "id": ident, "text": text})


def _unlink(token: Token) -> None:
    """Print where a link out of the page leads, instead of linking: the page works without a network."""
    children = token.children or []
    for i, child in enumerate(children):
        target = str(child.attrGet("href") or "")
        if child.type == "link_open" and not target.startswith("#"):
            close = next(j for j in range(i, len(children)) if children[j].type == "link_close")
            label = "".join(t.content for t in children[i + 1 : close])
            where = re.sub(r"^(https?://|mailto:)", "", target)
            child.type, child.tag, child.nesting, child.content = "text", "", 0, ""
            children[close].type, children[close].tag, children[close].nesting = "text", "", 0
            children[close].content = f" ({where})" if where not in label else ""
            for inner in children[i + 1 : close]:
                inner.content = re.sub(r"https?://", "", inner.content)


# -- Code and what it shows --------------------------------------------------------------------------


def _code_cell(page: _Page, cell: Mapping[str, Any], position: int, *, show: bool) -> None:
    outputs = list(cell.get("outputs", ()))
    if show:
        for output in outputs:
            shown = _output(output, page.ids)
            if shown:
                page.body.append(shown)
    source = _source(cell).strip()
    if source:
        under = page.headings[-1]["text"] if page.headings else ""
        errors = "".join(_joined(o.get("text", "")) for o in outputs if o.get("name") == "stderr")
        page.code.append({"number": position, "under": under, "source": source, "stderr": _no_colours(errors)})


def _output(output: Mapping[str, Any], taken: set[str]) -> str:
    """Return what one output shows, as markup that is safe to put in."""
    kind = output.get("output_type")
    if kind == "error":
        return _error(output)
    if kind == "stream":
        text = _joined(output.get("text", ""))
        return "" if output.get("name") == "stderr" or not text.strip() else _pre(text)
    if kind not in ("display_data", "execute_result"):
        return ""
    data = output.get("data", {})
    if "text/html" in data:
        html = clean(_joined(data["text/html"]), taken)
        return html if "co-exhibit" in html or "co-front" in html else f'<div class="plain">{html}</div>'
    for mime in ("image/svg+xml", "image/png", "image/jpeg"):
        if mime in data:
            return _picture(mime, _joined(data[mime]), output)
    if "text/markdown" in data:
        return clean(_markdown().render(_joined(data["text/markdown"])), taken)
    return _pre(_joined(data["text/plain"])) if "text/plain" in data else ""


def _picture(mime: str, data: str, output: Mapping[str, Any]) -> str:
    import base64
    import html

    coded = base64.b64encode(data.encode()).decode() if mime == "image/svg+xml" else "".join(data.split())
    said = output.get("metadata", {}).get("alt") or _joined(output.get("data", {}).get("text/plain", ""))
    image = f'<img src="data:{mime};base64,{coded}" alt="{html.escape(said or "Figure without a description")}">'
    return f'<div class="plain">{clean(image, set())}</div>'


def _error(output: Mapping[str, Any]) -> str:
    import html

    name, value = (html.escape(str(output.get(part, ""))) for part in ("ename", "evalue"))
    trace = html.escape(_no_colours("\n".join(output.get("traceback", ()))))
    return (
        f'<div class="error" role="alert"><p><strong>This cell failed: {name}</strong></p><p>{value}</p>'
        f"<details><summary>Traceback</summary><pre>{trace}</pre></details></div>"
    )


def _pre(text: str) -> str:
    import html

    return f"<pre>{html.escape(_no_colours(text).rstrip())}</pre>"


def _no_colours(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)


# -- The run's summary -------------------------------------------------------------------------------


def context_from(summary: Mapping[str, Any], **more: Any) -> Context:
    """Return a context from a bundle's summary.json."""
    known = ("title", "synthetic", "cleared", "data", "date_range")
    given = {name: summary[name] for name in known if name in summary}
    return Context(**given, verdicts=tuple(_verdicts(summary.get("verdicts", ()))), **more)


def _verdicts(items: Iterable[Any]) -> list[dict[str, str]]:
    return [dict(item) for item in items]
