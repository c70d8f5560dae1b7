"""Captures as classic pcap files: `write` to a file, `capture` as bytes.

Source: the libpcap savefile format (pcap-savefile(5)): magic 0xa1b2c3d4, microseconds, link type 1 (Ethernet).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import NotFound
from .packet import Frame, Packet
from .wire import frame_bytes, packet_bytes

if TYPE_CHECKING:
    from ..trace import Trace

__all__ = ["EPOCH", "SNAPLEN", "capture", "file_bytes", "frames_of", "write"]

#: lab time 0 is 2026-01-01T00:00:00Z
EPOCH = 1767225600
SNAPLEN = 262144
_ETHERNET, _RAW = 1, 101  # link types


def file_bytes(frames: Sequence[tuple[float, Frame]]) -> bytes:
    """A pcap file of (lab seconds, frame); of IP packets alone, where the link carries no frames."""
    raw = bool(frames) and not any(frame.dst for _, frame in frames)
    out = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, SNAPLEN, _RAW if raw else _ETHERNET)]
    for when, frame in frames:
        data = packet_bytes(frame.body) if raw and isinstance(frame.body, Packet) else frame_bytes(frame)
        micros = round(when * 1_000_000)
        out.append(struct.pack("<IIII", EPOCH + micros // 1_000_000, micros % 1_000_000, min(len(data), SNAPLEN), len(data)))
        out.append(data[:SNAPLEN])
    return b"".join(out)


def frames_of(trace: Trace) -> list[tuple[float, str, Frame]]:
    """Every tap of a trace and of the traces that it is made of, in order of time; at one time, an earlier question's first."""
    own = [(f[0], f[1], f[2]) for f in trace.frames]
    for _, stage in trace.stages:
        if hasattr(stage, "frames"):
            seen = [f for f in frames_of(stage) if f not in own]
            own = seen + own if seen and own and seen[-1][0] <= own[0][0] else own + seen
    return sorted(own, key=lambda f: f[0])


def _wires(trace: Trace, links: Sequence[str]) -> list[str]:
    """The links that are NICs on a wire: told by the hops that crossed one."""
    crossed: dict[str, None] = {}
    for t in (trace, *(s for _, s in trace.stages)):
        for hop in (*getattr(t, "hops", ()), *getattr(t, "reply_hops", ())):
            if hop.code == "wire.cross":
                crossed.setdefault(f"{hop.namespace}/{hop.device}")
    return [k for k in crossed if k in links]


def write(trace: Trace, path: str | os.PathLike[str], at: str | None = None) -> int:
    """Write the frames seen on one link; gives how many. As `capture`."""
    data, count = capture(trace, at)
    Path(path).write_bytes(data)
    return count


def capture(trace: Trace, at: str | None = None) -> tuple[bytes, int]:
    """(a pcap file of the frames seen on one link, how many they are). Times are lab time from 2026-01-01T00:00:00Z.

    `at`: "worker-1/eth0", "pod:shop/web-0/eth0"; None takes the first NIC whose wire the trace crossed, else the client's own
    interface (a question that sent no frame gives an empty file). Raises NotFound with the links that saw frames.
    """
    frames = frames_of(trace)
    links = list(dict.fromkeys(where for _, where, _ in frames))
    if at is None:
        at = next(iter(_wires(trace, links) or links), "")
    elif at not in links:
        raise NotFound("link with frames in this trace", at, links, hint=f"seen: {', '.join(links)}" if links else "no frame was seen")
    chosen: list[tuple[float, Any]] = [(when, frame) for when, where, frame in frames if where == at]
    return file_bytes(chosen), len(chosen)
