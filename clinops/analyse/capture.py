"""What a source sees of people's care, in words."""

from __future__ import annotations

from typing import Any

CAPTURE = {
    "enrolment": "all care paid for while people are enrolled",
    "ehr": "care given inside the system only, over the periods in which people have contacts",
    "registry": "what the registry was set up to record",
}


def capture_of(source: Any) -> str:
    """What a source captures, in words."""
    return CAPTURE.get(source.capture, source.capture)
