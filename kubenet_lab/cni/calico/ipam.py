"""Calico's IPAM: addresses of the whole cluster in one datastore, in blocks that are affine to hosts.

The order for a new address: the host's own blocks, a new block, an address borrowed from another host's block.
Sources: projectcalico/calico libcalico-go/lib/ipam/ipam.go (autoAssign, findOrClaimBlock, AssignIP, ReleaseByHandle),
ipam_block_reader_writer.go (findUsableBlock, claimAffineBlock, releaseBlockAffinity), ipam_errors.go.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any

from ...kernel.address import canonical, family, number, prefix
from ..result import CniError
from .blocks import Block, resource_name, walk
from .options import BLOCKS_PER_HOST, Calico, IpPool

__all__ = ["REGISTRY", "Datastore", "Ipam"]

#: where an API server keeps custom resources of Calico's group in etcd
REGISTRY = "/registry/crd.projectcalico.org"
HANDLES = "ipamhandles"
#: an empty block may be taken from its host after this many seconds (EmptyBlockMinReclaimAge)
RECLAIM_AGE = 60.0

Datastore = MutableMapping[str, str]


def _fail(message: str) -> CniError:
    return CniError(999, message)


class Ipam:
    """The IPAM client. `store` is {key: JSON} of the resources IPPool, IPAMConfig, IPAMBlock, BlockAffinity and IPAMHandle."""

    def __init__(self, store: Datastore, now: float = 0.0):
        self.store, self.now = store, now

    # ---------------------------------------------------------------------------------------------------- resources
    def _get(self, kind: str, name: str) -> Any:
        text = self.store.get(f"{REGISTRY}/{kind}/{name}")
        return None if text is None else json.loads(text)

    def _put(self, kind: str, name: str, spec: Mapping[str, Any] | str) -> None:
        key = f"{REGISTRY}/{kind}/{name}"
        if key not in self.store and kind != HANDLES:
            self._list(kind, sorted([*self._names(kind), name]))
        self.store[key] = spec if isinstance(spec, str) else json.dumps(spec, separators=(",", ":"))

    def _drop(self, kind: str, name: str) -> None:
        if self.store.pop(f"{REGISTRY}/{kind}/{name}", None) is not None and kind != HANDLES:
            self._list(kind, [n for n in self._names(kind) if n != name])

    def _names(self, kind: str) -> list[str]:
        """The names of a kind, in order. Kept as a list of their own: there are thousands of handles between them."""
        return self.store.get(f"{REGISTRY}/{kind}/", "").split()

    def _list(self, kind: str, names: Sequence[str]) -> None:
        self.store[f"{REGISTRY}/{kind}/"] = " ".join(names)

    def configure(self, options: Calico) -> None:
        """Write pools and configuration, as calico/node and the operator do when they start."""
        for name in self._names("ippools"):
            self._drop("ippools", name)
        for pool in options.ip_pools:
            self._put("ippools", pool.name, pool.to_resource())
        self._put("ipamconfigs", "default", {
            "strictAffinity": options.strict_affinity, "autoAllocateBlocks": True, "maxBlocksPerHost": options.max_blocks_per_host,
            "ipCooldownSeconds": options.ip_cooldown_seconds,
        })  # fmt: skip
        for name in self._names("ipreservations"):
            self._drop("ipreservations", name)
        if options.reserved:
            self._put("ipreservations", "reserved", {"reservedCIDRs": list(options.reserved)})

    def pools(self) -> tuple[IpPool, ...]:
        """Every pool, by name, disabled ones too."""
        return tuple(IpPool.from_resource(name, self._get("ippools", name)) for name in self._names("ippools"))

    @property
    def config(self) -> Mapping[str, Any]:
        return self._get("ipamconfigs", "default") or {"strictAffinity": False, "autoAllocateBlocks": True, "maxBlocksPerHost": 0}

    def reserved(self) -> tuple[str, ...]:
        return tuple(c for name in self._names("ipreservations") for c in self._get("ipreservations", name).get("reservedCIDRs") or ())

    # ------------------------------------------------------------------------------------------------------- blocks
    def block(self, cidr: str) -> Block | None:
        """A block as it is now: what has rested long enough is free."""
        spec = self._get("ipamblocks", resource_name(cidr))
        if spec is None:
            return None
        block = Block.from_resource(spec)
        block.collect(self.now, float(self.config.get("ipCooldownSeconds") or 0))
        return block

    def blocks(self) -> Iterator[Block]:
        """Every block, by name."""
        for name in self._names("ipamblocks"):
            block = self.block(self._get("ipamblocks", name)["cidr"])
            assert block is not None
            yield block

    def _write(self, block: Block) -> None:
        self._put("ipamblocks", resource_name(block.cidr), block.dumps())

    def affinities(self, host: str) -> list[tuple[str, str]]:
        """(block, state) of a host, by name: "pending" until the block is claimed, then "confirmed"; "" is an old confirmed one."""
        start, out = f"{host}-", []
        for name in self._names("blockaffinities"):
            if name.startswith(start):
                spec = self._get("blockaffinities", name)
                if spec.get("node") == host:
                    out.append((str(spec["cidr"]), str(spec.get("state") or "")))
        return out

    def set_affinity(self, host: str, cidr: str, state: str) -> None:
        spec = {"cidr": cidr, "deleted": "false", "node": host, "state": state, "type": "host"}
        self._put("blockaffinities", f"{host}-{resource_name(cidr)}", spec)

    def _drop_affinity(self, host: str, cidr: str) -> None:
        self._drop("blockaffinities", f"{host}-{resource_name(cidr)}")

    def _load_affine(self, host: str, cidr: str, state: str) -> Block | None:
        """The block of an affinity: made if it is missing, confirmed if it was pending; None if the affinity is stale."""
        block = self.block(cidr)
        if block is None:
            block = Block.new(cidr, host, self.now)
            self._write(block)
        elif block.host != host:
            self._drop_affinity(host, cidr)
            return None
        if state not in ("confirmed", ""):
            self.set_affinity(host, cidr, "confirmed")
        return block

    def claim(self, host: str, cidr: str) -> Block | None:
        """Claim a block for a host in two steps, pending and confirmed; None if another host has it."""
        self.set_affinity(host, cidr, "pending")
        return self._load_affine(host, cidr, "pending")

    # ------------------------------------------------------------------------------------------------------ giving
    def auto_assign(
        self, host: str, handle: str, fam: int, secondary: Mapping[str, str] | None = None, requested: Sequence[str] = ()
    ) -> tuple[str, str]:
        """(address, its block) for a workload. `requested`: CIDRs of the only pools to use. Raises CniError in Calico's words."""
        pools = self._usable(host, fam, requested)
        config, reserved, messages = self.config, self.reserved(), []
        strict = bool(config.get("strictAffinity"))
        own = [(c, s) for c, s in self.affinities(host) if prefix(c).family == fam and any(prefix(p.cidr).covers(prefix(c)) for p in pools)]
        for cidr, state in own:
            block = self._load_affine(host, cidr, state)
            if block is not None and (ip := self._from(block, handle, secondary or {}, reserved)):
                return ip, cidr
        limit = int(config.get("maxBlocksPerHost") or 0) or BLOCKS_PER_HOST
        if len(own) >= limit:
            raise _fail("cannot allocate new block due to per host block limit")
        if not config.get("autoAllocateBlocks", True):
            raise _fail("failed to find or claim a block")
        while (free := self._unclaimed(host, pools, reserved)) is not None:
            block = self.claim(host, free)
            if block is not None and (ip := self._from(block, handle, secondary or {}, reserved)):
                return ip, free
        if strict:
            messages.append("No more free affine blocks and strict affinity enabled")
        else:
            for pool in pools:
                for cidr in walk(pool, host, self.now):
                    block = self.block(cidr)
                    if block is not None and (ip := self._from(block, handle, secondary or {}, reserved)):
                        return ip, cidr
            messages.append(f"No IPs available in pools: [{' '.join(p.cidr for p in pools)}]")
        raise _fail(f"failed to request IPv{fam} addresses: " + "; ".join([f"Assigned 0 out of 1 requested IPv{fam} addresses", *messages]))

    def _usable(self, host: str, fam: int, requested: Sequence[str]) -> list[IpPool]:
        enabled = [p for p in self.pools() if p.family == fam and not p.disabled]
        if not enabled:
            raise _fail("cannot find a qualified ippool")
        if requested:
            by_cidr = {p.cidr: p for p in enabled}
            for cidr in requested:
                if cidr not in by_cidr:
                    raise _fail(f"the given pool ({cidr}) does not exist, or is not enabled")
            chosen = [by_cidr[c] for c in requested]
        else:
            chosen = [p for p in enabled if p.assignment_mode == "Automatic" and p.node_selector.replace(" ", "") == "all()"]
        if not chosen:
            raise _fail(f"no configured Calico pools for node {host}")
        allowed = [p for p in chosen if "Workload" in p.allowed_uses]
        if not allowed:
            raise _fail("cannot find a qualified ippool, no pools match the required use (Workload)")
        return allowed

    def _from(self, block: Block, handle: str, secondary: Mapping[str, str], reserved: Sequence[str]) -> str | None:
        ip = block.give(handle, secondary, reserved)
        if ip is not None:
            self._write(block)
            self._count(handle, block.cidr)
        return ip

    def _unclaimed(self, host: str, pools: Iterable[IpPool], reserved: Sequence[str]) -> str | None:
        """The next block for a host (findUsableBlock): one that nobody has, else an empty one that its host has had for a minute."""
        empty: list[Block] = []
        for pool in pools:
            for cidr in walk(pool, host, self.now):
                if any(prefix(r).covers(prefix(cidr)) for r in reserved):
                    continue
                block = self.block(cidr)
                if block is None or (block.host == host and block.free(reserved)):
                    return cidr
                if block.empty and block.free(reserved):
                    empty.append(block)
        for block in empty:
            if self.now - (block.claimed or 0.0) >= RECLAIM_AGE:
                self.release_affinity(block)
                return block.cidr
        return None

    def assign(self, ip: str, host: str, handle: str, secondary: Mapping[str, str] | None = None) -> str:
        """This very address; its block is claimed if nobody has it. Gives the block. Raises CniError."""
        ip = canonical(ip)
        pool = next((p for p in self.pools() if not p.disabled and ip in prefix(p.cidr)), None)
        if pool is None:
            raise _fail("The provided IP address is not in a configured pool\n")
        cidr = pool.block_of(ip)
        block = self.block(cidr) or self.claim(host, cidr)
        assert block is not None
        if self.config.get("strictAffinity") and block.host != host:
            raise _fail(
                "Block host affinity does not match" if block.affinity else f"Attempt to assign from block {cidr} with no affinity"
            )
        if not block.take(ip, handle, secondary or {}):
            raise _fail(f"resource already exists: {ip}")
        self._write(block)
        self._count(handle, cidr)
        return cidr

    def _count(self, handle: str, cidr: str) -> None:
        spec = self._get(HANDLES, handle) or {"handleID": handle, "block": {}}
        spec["block"][cidr] = spec["block"].get(cidr, 0) + 1
        self._put(HANDLES, handle, spec)

    # ----------------------------------------------------------------------------------------------------- returning
    def knows(self, handle: str) -> bool:
        """Does the handle have addresses?"""
        return f"{REGISTRY}/{HANDLES}/{handle}" in self.store

    def held(self, handle: str) -> list[str]:
        """The addresses of a handle, IPv4 first."""
        spec = self._get(HANDLES, handle)
        blocks = [b for cidr in (spec or {}).get("block", ()) if (b := self.block(cidr)) is not None]
        found = [ip for b in blocks for ip, a in b.addresses() if a.get("handle_id") == handle]
        return sorted(found, key=lambda ip: (family(ip), number(ip)))

    def release(self, handle: str) -> list[str]:
        """Everything that a handle has. A block that is empty then and affine to nobody goes away; others stay with their host."""
        spec = self._get(HANDLES, handle)
        gone: list[str] = []
        for cidr in (spec or {}).get("block", ()):
            block = self.block(cidr)
            if block is None:
                continue
            gone += block.release(handle, self.now)
            block.collect(self.now, float(self.config.get("ipCooldownSeconds") or 0))
            if block.empty and block.affinity is None:
                self._drop("ipamblocks", resource_name(cidr))
            else:
                self._write(block)
        self._drop(HANDLES, handle)
        return gone

    def release_affinity(self, block: Block) -> None:
        """A host gives a block up: an empty one goes away, one in use stays without affinity."""
        host = block.host
        if block.empty:
            self._drop("ipamblocks", resource_name(block.cidr))
        else:
            block.affinity = block.claimed = None
            self._write(block)
        self._drop_affinity(host, block.cidr)

    def release_host(self, host: str) -> None:
        """A node is gone: its blocks are given up."""
        for cidr, _ in self.affinities(host):
            block = self.block(cidr)
            if block is not None and block.host == host:
                self.release_affinity(block)
            else:
                self._drop_affinity(host, cidr)

    # ----------------------------------------------------------------------------------------------------- observing
    def import_block(self, spec: Mapping[str, Any]) -> None:
        """An IPAMBlock as a cluster's dump shows it. Raises CniError."""
        try:
            block = Block.from_resource({**spec, "cidr": str(prefix(str(spec["cidr"])))})
            used = [block.attributes[a] for a in block.allocations if a is not None]
        except (KeyError, ValueError, TypeError, IndexError) as e:
            raise _fail(f"IPAMBlock {spec.get('cidr')}: {e}") from None
        if not all(isinstance(a, dict) for a in used):
            raise _fail(f"IPAMBlock {spec.get('cidr')}: an attribute is no object")
        self._write(block)

    def observe(self, ip: str, host: str, handle: str, secondary: Mapping[str, str]) -> None:
        """An address that a pod has already. A block that nobody is known to have is given to a host by `adopt`."""
        ip = canonical(ip)
        pool = next((p for p in self.pools() if ip in prefix(p.cidr)), None)
        if pool is None:
            return  # nobody's block: it is reachable on its own node only
        cidr = pool.block_of(ip)
        block = self.block(cidr)
        if block is None:
            block = Block.new(cidr, None, self.now)
            self.store[OBSERVED] = " ".join([*self.store.get(OBSERVED, "").split(), cidr])
        ordinal = block.allocations[block.ordinal(ip)]
        if ordinal is None:
            block.take(ip, handle, secondary)
        elif block.attributes[ordinal].get("handle_id") == handle:
            return
        else:  # a dump's block knows the pod by the handle of its real sandbox
            block.attributes.append({"handle_id": handle, "secondary": dict(secondary)})
            block.allocations[block.ordinal(ip)] = len(block.attributes) - 1
        self._write(block)
        self._count(handle, cidr)

    def adopt(self) -> None:
        """Blocks of which only addresses were observed: each is affine to the host that has most of them, the first by name of equals."""
        for cidr in sorted(self.store.pop(OBSERVED, "").split()):
            block = self.block(cidr)
            if block is None or block.affinity is not None:
                continue
            hosts = Counter(str((a.get("secondary") or {}).get("node") or "") for _, a in block.addresses())
            hosts.pop("", None)
            if hosts:
                host = min(hosts, key=lambda h: (-hosts[h], h))
                block.affinity, block.claimed = f"host:{host}", self.now
                self._write(block)
                self.set_affinity(host, cidr, "confirmed")


#: blocks that were seen by their addresses only, until they are adopted
OBSERVED = "/kubenet-lab/observed-blocks"
