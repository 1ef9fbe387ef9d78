"""Work done once a source: forgotten with the source, never shared between two."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")

_MEMORY: weakref.WeakKeyDictionary[Any, dict[Hashable, Any]] = weakref.WeakKeyDictionary()


def once(source: Any, key: Hashable, make: Callable[[], T]) -> T:
    """Return what `make` gave for this source and key, calling it the first time only."""
    made = _MEMORY.setdefault(source, {})
    if key not in made:
        made[key] = make()
    return made[key]
