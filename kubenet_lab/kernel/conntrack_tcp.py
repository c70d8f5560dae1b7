"""The TCP side of connection tracking: which state a segment leads to, seen by one who may not see all of them.

Source: Linux net/netfilter/nf_conntrack_proto_tcp.c (tcp_conntracks, nf_conntrack_tcp_packet). Sequence windows are not
followed: the walk's senders never leave theirs.
"""

from __future__ import annotations

from functools import cache

__all__ = ["STATES", "TIMEOUTS", "UNACKNOWLEDGED", "begins", "follow"]

STATES = ("NONE", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT", "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT", "CLOSE", "SYN_SENT2")

#: seconds an entry of each state lives
TIMEOUTS = {
    "SYN_SENT": 120, "SYN_RECV": 60, "ESTABLISHED": 432000, "FIN_WAIT": 120, "CLOSE_WAIT": 60, "LAST_ACK": 30, "TIME_WAIT": 120,
    "CLOSE": 10, "SYN_SENT2": 120,
}  # fmt: skip
#: seconds of ESTABLISHED while an answer or an acknowledgement is missing (nf_conntrack_tcp_timeout_unacknowledged)
UNACKNOWLEDGED = 300

_NAMES = dict(zip(("no", "ss", "sr", "es", "fw", "cw", "la", "tw", "cl", "s2"), STATES, strict=True))
#: (is a reply, kind of segment) -> the next state for each present one; "=" ignores the segment, "x" calls it invalid
_NEXT = {
    (False, "syn"): "ss ss = = = = = ss ss s2",
    (False, "syn-ack"): "x x sr x x x x x x sr",
    (False, "fin"): "x x fw fw la la la tw cl x",
    (False, "ack"): "es x es es cw cw tw tw cl x",
    (False, "rst"): "x cl cl cl cl cl cl cl cl cl",
    (True, "syn"): "x s2 x x x x x ss x s2",
    (True, "syn-ack"): "x sr = = = = = = = sr",
    (True, "fin"): "x x fw fw la la la tw cl x",
    (True, "ack"): "x = sr es cw cw tw tw cl =",
    (True, "rst"): "x cl cl cl cl cl cl cl cl cl",
}
_TABLE = {key: dict(zip(STATES, row.split(), strict=True)) for key, row in _NEXT.items()}


def kind(flags: str) -> str:
    if "R" in flags:
        return "rst"
    if "S" in flags:
        return "syn-ack" if "A" in flags else "syn"
    return "fin" if "F" in flags else "ack" if "A" in flags else "none"


@cache
def follow(state: str, flags: str, is_reply: bool) -> str | None:
    """The state after this segment; the same for one that is ignored, None for one that is invalid."""
    code = _TABLE.get((is_reply, kind(flags)), {}).get(state or "NONE", "x")
    return None if code == "x" else state if code == "=" else _NAMES[code]


def begins(state: str, flags: str, is_reply: bool) -> bool:
    """Does this segment begin a new connection over the tuple of a finished one (RFC 1122)?"""
    return state in ("TIME_WAIT", "CLOSE") and follow(state, flags, is_reply) == "SYN_SENT"
