"""Simulated records with a known truth: a digital care programme on OMOP-shaped records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clinops.worlds.simulate import World, averages, world, write

__all__ = ["World", "averages", "world", "write"]


def __getattr__(name: str) -> Any:
    """Load the simulator (numpy, pyarrow) only when it is used."""
    if name in __all__:
        import importlib

        return getattr(importlib.import_module("clinops.worlds.simulate"), name)
    raise AttributeError(f"module 'clinops.worlds' has no attribute {name!r}")
