"""Rates as limit and hashlimit read, keep and print them.

Source: iptables 1.8.9 extensions/libxt_limit.c, libxt_hashlimit.c: a rate is kept as the time between two packets,
so what is printed is the nearest rate that the kept number stands for.
"""

from __future__ import annotations

from .values import Bad, integer

__all__ = ["hash_rate", "rate_period", "rate_text"]

_UNITS = (("day", 86400), ("hour", 3600), ("min", 60), ("sec", 1))
_WORDS = (("second", 1), ("minute", 60), ("hour", 3600), ("day", 86400))


def rate_period(text: str, scale: int, complaint: str = "") -> int:
    """Time per packet in 1/`scale` seconds of "10/s", "3/hour", "5". Raises Bad with `complaint` for what is no rate."""
    rate_part, slash, unit = text.partition("/")
    digits = ""
    for c in rate_part:
        if not c.isdigit():
            break
        digits += c
    seconds = next((s for w, s in _WORDS if unit and w.startswith(unit.lower())), None) if slash else 1
    rate = int(digits or "0")
    if seconds is None or not rate:
        raise Bad(complaint or f"bad rate \"{text}\"'")
    period = scale * seconds // rate
    if not period:
        raise Bad(f'Rate too fast "{text}"')
    return period


def rate_text(period: int, scale: int) -> str:
    """"10/sec": the largest unit that does not lose more than it keeps."""
    last = _UNITS[0]
    for unit in _UNITS[1:]:
        total = unit[1] * scale
        if period > total or total // period < total % period:
            break
        last = unit
    return f"{last[1] * scale // period}/{last[0]}"


_BYTES = (("mb", 1 << 20), ("kb", 1 << 10), ("b", 1))


def _bytes_text(value: int) -> str:
    for unit, size in _BYTES:
        if value >= size and value % size == 0:
            return f"{value // size}{unit}"
    return f"{value}b"


def hash_rate(text: str, burst: str | None, complaint: str) -> tuple[str, int, str, int]:
    """(rate as printed, millionths of a second per packet or 0 for bytes, burst as printed, default idle time in ms).

    Raises Bad with `complaint` for what is no rate.
    """
    amount, slash, unit = text.partition("/")
    if slash and unit in ("s", "sec", "second") and amount[-1:] == "b":
        size = next((s for u, s in _BYTES if amount.endswith(u)), 1)
        count = integer(amount.rstrip("kmb"))
        if not count:
            raise Bad(complaint)
        shown = ""
        if burst is not None:
            unit_size = next((s for u, s in _BYTES if burst.endswith(u)), 1)
            tokens = integer(burst.rstrip("kmb"))
            if tokens is None:
                raise Bad(f"bad value for option \"--hashlimit-burst\" `{burst}'")
            if tokens * unit_size < count * size:
                raise Bad(f"burst cannot be smaller than {count * size}b")
            shown = _bytes_text(tokens * unit_size)
        return f"{_bytes_text(count * size)}/s", 0, shown, 1000
    period = rate_period(text, 1_000_000, complaint)
    tokens = 5 if burst is None else integer(burst, 1_000_000)
    if not tokens:
        raise Bad('bad value for option "--hashlimit-burst", or out of range (1-1000000).')
    shown = rate_text(period, 1_000_000)
    return shown, period, str(tokens), dict(_UNITS)[shown.rpartition("/")[2]] * 1000
