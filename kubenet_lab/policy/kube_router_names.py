"""The names that kube-router gives to its chains and sets.

A name is a prefix and the first 16 letters of base32(sha256(...)). Chain names carry the time stamp of the sync that made
them, so on a real node they change with every sync; here the stamp is a parameter.
Source: cloudnativelabs/kube-router pkg/controllers/netpol/policy.go, pod.go, network_policy_controller.go; pkg/utils/ipset.go.
"""

from __future__ import annotations

from base64 import b32encode
from collections.abc import Sequence
from hashlib import sha256

__all__ = [
    "COMMON", "DEFAULT", "FORWARD", "INPUT", "OUTPUT", "TOP", "block_set", "jump_id", "named_port_set", "peer_set", "pod_chain",
    "policy_chain", "target_set",
]  # fmt: skip

INPUT, FORWARD, OUTPUT = "KUBE-ROUTER-INPUT", "KUBE-ROUTER-FORWARD", "KUBE-ROUTER-OUTPUT"
DEFAULT, COMMON = "KUBE-NWPLCY-DEFAULT", "KUBE-NWPLCY-COMMON"

#: built-in chain -> kube-router's own chain
TOP: dict[str, str] = {"INPUT": INPUT, "FORWARD": FORWARD, "OUTPUT": OUTPUT}


def _hash(text: str) -> str:
    return b32encode(sha256(text.encode()).digest()).decode()[:16]


def _family(ip_family: int) -> str:
    return f"IPv{ip_family}"


def _set(prefix: str, text: str, ip_family: int) -> str:
    name = f"{prefix}{_hash(text)}"
    return f"inet6:{name}" if ip_family == 6 else name


def _side(source: bool) -> str:
    return "KUBE-SRC-" if source else "KUBE-DST-"


def policy_chain(namespace: str, name: str, stamp: str, ip_family: int) -> str:
    return f"KUBE-NWPLCY-{_hash(f'{namespace}{name}{stamp}{_family(ip_family)}')}"


def pod_chain(namespace: str, name: str, stamp: str) -> str:
    return f"KUBE-POD-FW-{_hash(f'{namespace}{name}{stamp}')}"


def target_set(namespace: str, name: str, direction: str, ip_family: int) -> str:
    """The pods that the policy selects: destinations of ingress, sources of egress."""
    return _set(_side(direction == "egress"), f"{namespace}{name}{_family(ip_family)}", ip_family)


def peer_set(namespace: str, name: str, direction: str, rule: int, ip_family: int) -> str:
    """The pods that a rule's selectors mean."""
    return _set(_side(direction == "ingress"), f"{namespace}{name}{direction}rule{rule}{_family(ip_family)}pod", ip_family)


def block_set(namespace: str, name: str, direction: str, rule: int, ip_family: int) -> str:
    """The ipBlocks of a rule."""
    return _set(_side(direction == "ingress"), f"{namespace}{name}{direction}rule{rule}{_family(ip_family)}ipblock", ip_family)


def named_port_set(namespace: str, name: str, direction: str, rule: int, entry: int, ip_family: int) -> str:
    """The pods on which a port's name means one number."""
    return _set("KUBE-DST-", f"{namespace}{name}{direction}rule{rule}{entry}{_family(ip_family)}namedport", ip_family)


def jump_id(chain: str, spec: Sequence[str]) -> str:
    """The mark by which kube-router finds its own rule again: a hash of the chain and the rule, kept in the rule's comment."""
    return _hash(chain + "".join(spec))
