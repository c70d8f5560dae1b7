"""What the kernel refuses: targets out of place, loops, chains that are too deep.

Sources: Linux net/ipv4/netfilter/ip_tables.c (mark_source_chains), net/netfilter/x_tables.c (xt_check_target, xt_check_match),
net/netfilter/nf_tables_api.c (nft_chain_validate: at most 16 jumps deep); measured with iptables 1.8.9 of both kinds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .match_chance import HashLimit, Limit
from .model import BUILTIN, Rule
from .spec import Spec
from .targets import Standard

__all__ = ["EINVAL", "ELOOP", "EMLINK", "ERANGE", "problem", "rule_problem"]

EINVAL, ELOOP, EMLINK, ERANGE = "Invalid argument", "Too many levels of symbolic links", "Too many links", "Numerical result out of range"
ENOTSUP, ENOENT = "Operation not supported", "No such file or directory"
NFT_DEPTH = 16

def rule_problem(spec: Spec, table: str, hooks: frozenset[str], backend: str, own: frozenset[str] | None = None) -> str:
    """Why the kernel refuses this rule where these hooks reach it, or "". `own`: what an extension is told of them, if that is less."""
    header = spec.header
    nothing = (header.source_inverted and not header.source[1]) or (header.dest_inverted and not header.dest[1])
    if nothing and backend == "nft":
        return EINVAL
    if spec.jump in BUILTIN[table] and backend == "legacy":
        return EINVAL
    if backend == "nft" and isinstance(spec.target, Standard) and spec.target.verdict == "QUEUE":
        return ENOENT
    for part in spec.limited:
        anywhere = backend == "nft" and part.NAME == "TRACE"  # this kind has an nftables expression for it
        if (part.TABLES and table not in part.TABLES and not anywhere) or (part.HOOKS and hooks - part.HOOKS):
            return EINVAL
        native = backend == "nft" and part.NAME in ("tcp", "udp") and getattr(part, "option", None) is None
        if part.PROTOCOLS and (header.protocol not in part.PROTOCOLS or (header.protocol_inverted and not native)):
            return EINVAL
        if part.refuses(hooks if own is None else own, spec, backend):
            return EINVAL
    for match in spec.matches:
        if isinstance(match, Limit) and backend == "legacy" and (not match.burst or match.period * match.burst > 0xFFFFFFFF):
            return ERANGE
        if isinstance(match, HashLimit) and match.period:
            # the kernel's 64-bit credits hold one day, then wrap
            each, total = match.period // 1_000_000, match.period * int(match.burst) // 1_000_000
            if total >= 86400 and total % 86400 < each:
                return ERANGE
    return ENOTSUP if spec.jump in BUILTIN[table] else ""


def problem(table: str, chains: Mapping[str, Sequence[Rule]], backend: str) -> str:
    """Why the kernel refuses the table as a whole, or "": what jumps lead to is judged by the hooks they come from."""
    reached: dict[str, set[str]] = {}
    for hook in BUILTIN[table]:
        trouble = _walk(table, hook, chains, reached, backend)
        if trouble:
            return trouble
    for name, rules in chains.items():
        hooks = frozenset(reached.get(name, ()))
        for rule in rules:
            # the nft kind tells an extension of the chain where it stands, not of those that jump there (nft_compat.c)
            own = frozenset({name} & hooks) if backend == "nft" else hooks
            trouble = rule_problem(rule.spec, table, hooks, backend, own)
            if trouble:
                return trouble
    return ""


def _walk(table: str, hook: str, chains: Mapping[str, Sequence[Rule]], reached: dict[str, set[str]], backend: str) -> str:
    """Mark what `hook` reaches; the trouble if there is a loop or a way that is too deep."""
    open_chains: dict[str, int] = {}
    height: dict[str, int] = {}  # jumps that may follow, once known
    jumps: dict[str, list[str]] = {}
    stack = [hook]
    while stack:
        name = stack[-1]
        if name not in jumps:
            jumps[name] = list(dict.fromkeys(r.spec.jump for r in chains[name] if r.spec.jump in chains))
            open_chains[name] = 1
            reached.setdefault(name, set()).add(hook)
        for target in jumps[name]:
            if target in BUILTIN[table] and backend == "legacy":
                return EINVAL
            if target in open_chains:
                return ELOOP if backend == "legacy" else EMLINK
            if target not in height:
                stack.append(target)
                break
        else:
            stack.pop()
            del open_chains[name]
            height[name] = max((height[t] + 1 for t in jumps[name]), default=0)
            if backend == "nft" and height[name] > NFT_DEPTH:
                return EMLINK
    return ""
