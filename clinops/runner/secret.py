"""Passwords and tokens: refused as parameters, taken out of every record.

A parameter is written into the executed notebook, the manifest and the report, so a secret must never
be one. Databases read theirs from the environment (PGPASSWORD, PGPASSFILE or a service file).
"""

from __future__ import annotations

import re
from typing import Any

from clinops.errors import ParameterError

_NAME = re.compile(r"pass(word|wd|phrase)|(^|_)(pwd|pass)(_|$)|token|secret|credential|api_?key", re.IGNORECASE)
_IN_ADDRESS = re.compile(r"(://[^/@\s:\"']*):[^/@\s\"']+@")
_AS_SETTING = re.compile(r"((?:[?&;\s]|^)(?:password|passwd|pwd)\s*=\s*)[^&;\s\"']+", re.IGNORECASE)

REMEDY = (
    "Parameters are written into the report. Give secrets through the environment instead "
    "(for PostgreSQL: PGPASSWORD, PGPASSFILE or a service file)."
)


def scrub_addresses(text: str) -> str:
    """Return the text with passwords inside addresses (scheme://user:password@host) replaced by ***."""
    return _IN_ADDRESS.sub(r"\1:***@", text)


def scrub(text: str) -> str:
    """Return the text with passwords in addresses and in `password=...` settings replaced by ***."""
    return _AS_SETTING.sub(r"\1***", scrub_addresses(text))


def scrub_tree(value: Any) -> Any:
    """Scrub the addresses in every text of a nested structure (a notebook), leaving its code intact."""
    if isinstance(value, str):
        return scrub_addresses(value)
    if isinstance(value, dict):
        return type(value)({key: scrub_tree(member) for key, member in value.items()})
    return [scrub_tree(member) for member in value] if isinstance(value, list) else value


def holds_secret(value: object) -> bool:
    """Whether a value (or a member of a list) contains a password in an address or a setting."""
    if isinstance(value, list | tuple):
        return any(holds_secret(member) for member in value)
    return isinstance(value, str) and scrub(value) != value


def refuse_secret(name: str, value: object) -> None:
    """Raise ParameterError where a parameter looks like a secret; the value is never repeated."""
    if _NAME.search(name):
        raise ParameterError(f"Parameter {name!r} looks like a secret by its name. {REMEDY}")
    if holds_secret(value):
        raise ParameterError(f"Parameter {name!r} contains a password. {REMEDY}")
