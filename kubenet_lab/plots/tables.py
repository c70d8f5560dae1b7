"""Traces as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..trace import Trace
from .route import walks

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["trace_frame"]


def trace_frame(trace: Trace) -> pd.DataFrame:
    """One row per hop, forward then reply: hop, direction, host, device, layer, what, entry, size (bytes after it, headers included).

    A trace of several stages has a first column `stage`.
    """
    import pandas as pd

    rows = []
    for stage, walk in walks(trace):
        for hop in (*walk.hops, *walk.reply_hops):
            size = sum(h.size for h in hop.after or hop.before)
            rows.append(
                (stage, hop.number, hop.direction, hop.host, hop.device, hop.layer, hop.title, hop.entry.text if hop.entry else "", size)
            )
    frame = pd.DataFrame(rows, columns=["stage", "hop", "direction", "host", "device", "layer", "what", "entry", "size"])
    return frame if trace.stages else frame.drop(columns="stage")
