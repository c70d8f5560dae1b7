"""The names of ICMP and ICMPv6 types as the tools know them.

Source: iptables 1.8.9 extensions/libxt_icmp.h; RFC 792, RFC 4443, RFC 4861. None is the range of all codes.
"""

from __future__ import annotations

from .values import Bad, integer

__all__ = ["icmp_type_text", "parse_icmp_type"]

_V4: tuple[tuple[str, int, int | None], ...] = (
    ("any", 255, None),
    ("echo-reply", 0, None), ("pong", 0, None),
    ("destination-unreachable", 3, None), ("network-unreachable", 3, 0), ("host-unreachable", 3, 1), ("protocol-unreachable", 3, 2),
    ("port-unreachable", 3, 3), ("fragmentation-needed", 3, 4), ("source-route-failed", 3, 5), ("network-unknown", 3, 6),
    ("host-unknown", 3, 7), ("network-prohibited", 3, 9), ("host-prohibited", 3, 10), ("TOS-network-unreachable", 3, 11),
    ("TOS-host-unreachable", 3, 12), ("communication-prohibited", 3, 13), ("host-precedence-violation", 3, 14),
    ("precedence-cutoff", 3, 15),
    ("source-quench", 4, None),
    ("redirect", 5, None), ("network-redirect", 5, 0), ("host-redirect", 5, 1), ("TOS-network-redirect", 5, 2), ("TOS-host-redirect", 5, 3),
    ("echo-request", 8, None), ("ping", 8, None),
    ("router-advertisement", 9, None), ("router-solicitation", 10, None),
    ("time-exceeded", 11, None), ("ttl-exceeded", 11, None), ("ttl-zero-during-transit", 11, 0), ("ttl-zero-during-reassembly", 11, 1),
    ("parameter-problem", 12, None), ("ip-header-bad", 12, 0), ("required-option-missing", 12, 1),
    ("timestamp-request", 13, None), ("timestamp-reply", 14, None), ("address-mask-request", 17, None), ("address-mask-reply", 18, None),
)  # fmt: skip
_V6: tuple[tuple[str, int, int | None], ...] = (
    ("destination-unreachable", 1, None), ("no-route", 1, 0), ("communication-prohibited", 1, 1), ("beyond-scope", 1, 2),
    ("address-unreachable", 1, 3), ("port-unreachable", 1, 4), ("failed-policy", 1, 5), ("reject-route", 1, 6),
    ("packet-too-big", 2, None),
    ("time-exceeded", 3, None), ("ttl-exceeded", 3, None), ("ttl-zero-during-transit", 3, 0), ("ttl-zero-during-reassembly", 3, 1),
    ("parameter-problem", 4, None), ("bad-header", 4, 0), ("unknown-header-type", 4, 1), ("unknown-option", 4, 2),
    ("echo-request", 128, None), ("ping", 128, None), ("echo-reply", 129, None), ("pong", 129, None),
    ("router-solicitation", 133, None), ("router-advertisement", 134, None),
    ("neighbour-solicitation", 135, None), ("neighbor-solicitation", 135, None),
    ("neighbour-advertisement", 136, None), ("neighbor-advertisement", 136, None), ("redirect", 137, None),
)  # fmt: skip


def _codes(code: int | None) -> tuple[int, int]:
    return (0, 255) if code is None else (code, code)


def parse_icmp_type(text: str, family: int) -> tuple[int, tuple[int, int]]:
    """(type, (lowest code, highest code)) of a name, an unambiguous beginning of one, "8", "3/4" or "3/4:7"."""
    table, word = (_V4, "ICMP") if family == 4 else (_V6, "ICMPv6")
    found = [entry for entry in table if entry[0].lower().startswith(text.lower())]
    if len(found) > 1:
        raise Bad(f"Ambiguous {word} type `{text}': `{found[0][0]}' or `{found[1][0]}'?")
    if found:
        return found[0][1], _codes(found[0][2])
    type_text, slash, code_text = text.partition("/")
    kind = integer(type_text, 255)
    if kind is None:
        raise Bad(f"Unknown {word} type `{type_text}'")
    if not slash:
        return kind, (0, 255)
    low_text, colon, high_text = code_text.partition(":")
    low = integer(low_text, 255)
    high = integer(high_text, 255) if colon else low
    if low is None or high is None:
        raise Bad(f"Unknown {word} code `{text}'")
    return kind, (low, high)


def icmp_type_text(kind: int, codes: tuple[int, int], inverted: bool, numeric: bool, family: int) -> str:
    """What `iptables -L` prints behind "icmp"."""
    if not numeric:
        for name, t, code in _V4 if family == 4 else _V6:
            if t == kind and _codes(code) == codes:
                return f" {'!' if inverted else ''}{name}"
    out = f"{' !' if inverted else ''}type {kind}"
    if codes[0] == codes[1]:
        return f"{out} code {codes[0]}"
    return out if codes == (0, 255) else f"{out} codes {codes[0]}-{codes[1]}"
