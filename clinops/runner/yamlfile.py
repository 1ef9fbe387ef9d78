"""YAML (and so JSON) read without guessing: every scalar stays the text that was written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clinops.errors import ParameterError
from clinops.runner.kinds import Given, Text


def read_mapping(path: Path) -> dict[str, Any]:
    """Read a YAML file whose top level is `name: value` lines.

    Values are `Text`, lists or mappings of them; nothing is converted, so `02139` and `NO` are intact.

    Raises
    ------
    ParameterError
        The file is missing, is not YAML, has another shape, or names something twice.
    """
    if not path.is_file():
        raise ParameterError(f"There is no parameters file {str(path)!r}.")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as problem:
        raise ParameterError(f"Cannot read the parameters file {str(path)!r}: {problem}") from problem
    content = _read(text, f"The parameters file {str(path)!r}")
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ParameterError(f"The parameters file {str(path)!r} must hold lines of `name: value`.")
    return content


def read_list(text: str) -> list[Given]:
    """Read a list written as `[a, "b, c"]`."""
    content = _read(text, f"The list {text!r}")
    if not isinstance(content, list):
        raise ParameterError(f'must be a list such as [a, "b, c"], got {text!r}')
    return content


def _read(text: str, what: str) -> Any:
    import yaml

    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as problem:
        raise ParameterError(f"{what} is not valid YAML: {problem}") from problem
    return None if node is None else _convert(node, what, depth=0)


def _convert(node: Any, what: str, depth: int) -> Any:
    import yaml

    if depth > 20:  # also ends an alias that contains itself
        raise ParameterError(f"{what} is nested too deeply.")
    if isinstance(node, yaml.SequenceNode):
        return [_convert(member, what, depth + 1) for member in node.value]
    if isinstance(node, yaml.MappingNode):
        content: dict[str, Any] = {}
        for key, value in node.value:
            name = str(key.value)
            if name in content:
                raise ParameterError(f"{what} names {name!r} twice (line {key.start_mark.line + 1}).")
            content[name] = _convert(value, what, depth + 1)
        return content
    plain = node.style is None
    return Text(
        node.value,
        null=plain and node.tag == "tag:yaml.org,2002:null",
        boolean=plain and node.tag == "tag:yaml.org,2002:bool",
    )
