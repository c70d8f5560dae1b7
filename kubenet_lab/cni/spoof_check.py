"""macspoofchk of the bridge plugin: nftables rules of family bridge that let a pod send with its own hardware address only.

Source: containernetworking/plugins pkg/link/spoofcheck.go; the rules are compared with what release 1.1.1 makes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..kernel.namespace import Namespace

if TYPE_CHECKING:
    from .contract import Call

__all__ = ["rule_lines", "setup", "teardown"]

FAMILY, TABLE, CHAIN = "bridge", "nat", "PREROUTING"


def _names(call: Call) -> tuple[str, str, str]:
    """The interface's chain, the one with its address, and the comment that all its rules carry."""
    id = f"{call.container_id}-{call.ifname}"
    return f"cni-br-iface-{id}", f"cni-br-iface-{id}-mac", f"macspoofchk-{id}"


def setup(call: Call, port: str, mac: str, origin: str = "") -> None:
    """What comes in by `port`, the node's end of the pair, must come from `mac`."""
    iface, address, comment = _names(call)
    where = f"{FAMILY} {TABLE}"
    lines = [
        f"add table {where}", f"add chain {where} {CHAIN} {{ type filter hook prerouting priority -300; policy accept; }}",
        f"add chain {where} {iface}", f"add chain {where} {address}", f"flush chain {where} {iface}", f"flush chain {where} {address}",
        f'add rule {where} {CHAIN} iifname "{port}" jump {iface} comment "{comment}"',
        f'add rule {where} {iface} jump {address} comment "{comment}"',
        f'add rule {where} {address} ether saddr {mac} return comment "{comment}"', f'add rule {where} {address} drop comment "{comment}"',
    ]  # fmt: skip
    _run(call.host.node, lines, origin)


def teardown(call: Call) -> None:
    """Take the rules away; what is gone already is no error. The table and its base chain stay."""
    iface, address, comment = _names(call)
    node = call.host.node
    base = node.nft.chain(FAMILY, TABLE, CHAIN)
    if base is None:
        return
    where = f"{FAMILY} {TABLE}"
    lines = [f"delete rule {where} {CHAIN} handle {r.handle}" for r in base.rules if r.comment == comment]
    there = [name for name in (iface, address) if node.nft.chain(FAMILY, TABLE, name) is not None]
    _run(node, lines + [f"flush chain {where} {name}" for name in there] + [f"delete chain {where} {name}" for name in there])


def _run(node: Namespace, lines: list[str], origin: str = "") -> None:
    if lines:
        node.nft.load("\n".join(lines) + "\n", origin=lambda chain, text: origin)
        node.rules_changed()


def rule_lines(node: Namespace) -> list[str]:
    """The rules as commands: what a record compares."""
    table = node.nft.table(FAMILY, TABLE)
    chains = table.chains.values() if table is not None else ()
    return [f"nft add rule {FAMILY} {TABLE} {chain.name} {rule}" for chain in chains for rule in chain.rules]
