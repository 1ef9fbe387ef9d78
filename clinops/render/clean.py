"""What may stand in a page: an allow-list of tags, attributes and addresses, and ids that are unique."""

from __future__ import annotations

import re

_NAMES = (
    "a abbr b blockquote br caption code col colgroup dd del details div dl dt em figcaption figure h2 h3 h4 h5 "
    "h6 hr i img li ol p pre s section small span strong sub summary sup table tbody td tfoot th thead tr "
    "ul"
)
_TAGS = frozenset(_NAMES.split())
_ANY = {"class", "id", "role", "tabindex", "title", "aria-label", "aria-labelledby", "aria-hidden", "lang"}
_OWN = {
    "a": {"href"},
    "img": {"src", "alt", "width", "height"},
    "th": {"scope", "colspan", "rowspan", "headers"},
    "td": {"colspan", "rowspan", "headers"},
    "ol": {"start"},
    "col": {"span"},
    "colgroup": {"span"},
    "details": {"open"},
}
_PICTURE = re.compile(r"data:image/(svg\+xml|png|jpeg);base64,[A-Za-z0-9+/=]+")
_ID = re.compile(r'\b(id|aria-labelledby|headers)="([^"]*)"|\bhref="#([^"]*)"')


def clean(html: str, taken: set[str]) -> str:
    """Return HTML with nothing in it but an allow-list of tags and attributes.

    Scripts, styles, forms and frames go with their content; links lead only inside the page, pictures
    are only embedded ones. Ids that are ``taken`` are renamed, with what refers to them; the new ones
    are added to it.
    """
    import nh3

    def keep(tag: str, name: str, value: str) -> str | None:
        if name == "href":
            return value if value.startswith("#") else None
        if name == "src":
            return value if _PICTURE.fullmatch(value) else None
        return value

    safe = nh3.clean(
        html, tags=set(_TAGS), clean_content_tags={"script", "style", "iframe", "object", "template", "title"},
        attributes={"*": _ANY, **_OWN}, attribute_filter=keep, url_schemes={"data"}, link_rel=None,
    )  # fmt: skip
    return _unique(safe, taken)


def _unique(html: str, taken: set[str]) -> str:
    mine = re.findall(r'\bid="([^"]*)"', html)
    names = {ident: free(ident, taken) for ident in mine}

    def rename(match: re.Match[str]) -> str:
        if match.group(1) is None:
            return f'href="#{names.get(match.group(3), match.group(3))}"'
        parts = " ".join(names.get(part, part) for part in match.group(2).split(" "))
        return f'{match.group(1)}="{parts}"'

    return _ID.sub(rename, html) if names else html


def free(ident: str, taken: set[str]) -> str:
    """Return the id, or with a number behind it where it is taken; and take it."""
    name, count = ident, 2
    while name in taken:
        name, count = f"{ident}-{count}", count + 1
    taken.add(name)
    return name
