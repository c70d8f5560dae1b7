"""uid, resourceVersion and time stamps from the lab's clock: the same operations give the same stamps."""

from __future__ import annotations

import datetime
import hashlib
import uuid

__all__ = ["EPOCH", "SAFE_ALPHABET", "safe_encode", "suffix", "timestamp", "uid"]

#: the moment at which the lab's clock reads 0
EPOCH = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)

_SPACE = uuid.UUID("8d7f3a52-6f0e-5b1c-9a54-6b75626e6574")

#: letters and digits of generated names: no vowels, nothing that reads like another (apimachinery pkg/util/rand)
SAFE_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


def timestamp(seconds: float) -> str:
    """RFC 3339, whole seconds, of a lab time in seconds."""
    return (EPOCH + datetime.timedelta(seconds=int(seconds))).strftime("%Y-%m-%dT%H:%M:%SZ")


def uid(kind: str, namespace: str, name: str, incarnation: int) -> str:
    """`incarnation` counts how often an object of this name was made, from 0."""
    return str(uuid.uuid5(_SPACE, f"{kind}/{namespace}/{name}/{incarnation}"))


def safe_encode(text: str) -> str:
    """Map each byte onto the safe alphabet, as the controllers do with a template's hash (rand.SafeEncodeString)."""
    return "".join(SAFE_ALPHABET[b % len(SAFE_ALPHABET)] for b in text.encode())


def suffix(*seed: object, length: int = 5) -> str:
    """A name suffix that looks drawn (rand.String) and is a hash of its seed."""
    number = int.from_bytes(hashlib.sha256("\0".join(map(str, seed)).encode()).digest(), "big")
    out = []
    for _ in range(length):
        number, at = divmod(number, len(SAFE_ALPHABET))
        out.append(SAFE_ALPHABET[at])
    return "".join(out)
