"""The `forward` plugin: asks another resolver and hands its answer back unchanged.

A query tries upstreams in the policy's order, 2 s each, for 5 s in all. An upstream that failed is probed every 0.5 s
and is *down* after `max_fails` failed probes: it is skipped while another is up. Here a probe is taken to fail as the
query did until a query succeeds. Source: coredns plugin/forward/forward.go, setup.go, policy.go, plugin/pkg/proxy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...errors import NotModelled
from ..caddyfile import CorefileError, Dispenser
from ..corefile import hosts_of
from ..message import Query
from ..names import is_subdomain, parse_ip
from ..resolv import parse_resolv_conf
from ..typify import answers
from .base import Asked, Env, Plugin, Reply, Setup, Unwritten, duration, integer, pass_on

__all__ = ["Forward", "Target", "setup"]

READ_TIMEOUT = 2.0
DEADLINE = 5.0
PROBE_INTERVAL = 0.5
PROBE_TIMEOUT = 1.0
MAX_TARGETS = 15


@dataclass(frozen=True, slots=True)
class Target:
    """An upstream. `transport` is "dns" or "tls"."""

    address: str
    port: int = 53
    transport: str = "dns"

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{'' if self.transport == 'dns' else self.transport + '://'}{host}:{self.port}"


@dataclass(slots=True)
class Forward:
    zone: str
    targets: tuple[Target, ...]
    number: str = "0"
    excepted: tuple[str, ...] = ()
    policy: str = "random"
    max_fails: int = 2
    max_attempts: int = 0
    force_tcp: bool = False
    prefer_udp: bool = False
    fail_fast: bool = False
    next_on: tuple[str, ...] = ()
    failover_on: tuple[str, ...] = ()
    probe_interval: float = PROBE_INTERVAL
    next: Plugin | None = None
    name: str = "forward"

    def serve(self, query: Query, env: Env) -> Reply:
        if not is_subdomain(self.zone, query.name) or self._excepted(query.name):
            return pass_on(self, query, env)
        begun = lap = env.now()
        attempts = fails = i = 0
        order = self._order(env)
        last: Asked | None = None
        while env.now() - begun < DEADLINE and (not self.max_attempts or attempts < self.max_attempts):
            if i >= len(order):
                self._pause(order, env, lap)
                i, fails, lap = 0, 0, env.now()
            target = order[i]
            i += 1
            if self._down(target, env):
                fails += 1
                if fails < len(order):
                    continue
                if self.fail_fast:
                    break
                # every upstream is down: the checks themselves may be what is broken, so one is tried all the same
                target = self.targets[env.choose([1] * len(order), "coredns.forward.any") if len(order) > 1 else 0]
            last = asked = self._ask(query, env, target)
            if asked.response is None:
                self._failed(target, env, asked.error or "ETIMEDOUT")
                attempts += 1
                env.step("dns.forward_failed", name=query.question.name, upstream=str(target), error=asked.error, elapsed=asked.elapsed)
                if fails < len(order):
                    continue
                break
            self._recovered(target, env)
            response = asked.response
            if not answers(response, query):
                env.step("dns.forward_mismatch", name=query.question.name, upstream=str(target))
                return query.reply("FORMERR")
            if response.rcode in self.failover_on and fails < len(order):
                fails += 1
                env.step("dns.forward_failover", name=query.question.name, upstream=str(target), rcode=response.rcode)
                continue
            if response.rcode in self.next_on and isinstance(self.next, Forward):
                return pass_on(self, query, env)
            facts = {"name": query.question.name, "type": query.type, "upstream": str(target), "rcode": response.rcode}
            env.step("dns.forwarded", **facts, elapsed=asked.elapsed)
            return response.but(question=query.question, id=query.id, edns=None, compress=False)
        elapsed = env.now() - begun
        env.step("dns.forward_gave_up", name=query.question.name, upstreams=tuple(map(str, self.targets)), elapsed=elapsed)
        return Unwritten("SERVFAIL", (last.error if last else None) or "no healthy proxies")

    def _pause(self, order: list[Target], env: Env, lap: float) -> None:
        """Upstreams that refuse at once are tried over and over, without a pause, until one counts as down: that time passes here."""
        if env.now() - lap < self.probe_interval:
            changes = [t for t in (self._down_at(target, env) for target in order) if t > env.now()]
            if changes and (until := min(changes)) < float("inf"):
                env.wait(until - env.now())
            else:
                env.wait(self.probe_interval)

    def _excepted(self, name: str) -> bool:
        return name != self.zone and any(is_subdomain(z, name) for z in self.excepted)

    def _ask(self, query: Query, env: Env, target: Target) -> Asked:
        if target.transport != "dns":
            raise NotModelled(f"forwarding over {target.transport} to {target}")
        protocol = "TCP" if self.force_tcp else "UDP" if self.prefer_udp else env.protocol
        asked = env.ask(target.address, target.port, protocol, query, READ_TIMEOUT)
        if asked.response is not None and asked.response.truncated and self.prefer_udp and not self.force_tcp:
            again = env.ask(target.address, target.port, "TCP", query, READ_TIMEOUT)
            return Asked(again.response, again.error, asked.elapsed + again.elapsed)
        return asked

    # --- order and health ----------------------------------------------------------------------------------------
    def _order(self, env: Env) -> list[Target]:
        targets = list(self.targets)
        n = len(targets)
        if n == 1 or self.policy == "sequential":
            return targets
        if self.policy == "round_robin":
            slot = f"forward/{self.number}/robin"
            turn = env.memory[slot] = env.memory.get(slot, 0) + 1
            at = turn % n
            return [targets[at], *targets[:at], *targets[at + 1 :]]
        return [targets.pop(env.choose([1] * len(targets), "coredns.forward")) if len(targets) > 1 else targets.pop() for _ in range(n)]

    def _failures(self, env: Env) -> Mapping[str, tuple[float, str]]:
        found: Mapping[str, tuple[float, str]] = env.memory.get(f"forward/{self.number}/failing", {})
        return found

    def _failed(self, target: Target, env: Env, error: str) -> None:
        known = self._failures(env)
        if self.max_fails and str(target) not in known:
            env.memory[f"forward/{self.number}/failing"] = {**known, str(target): (env.now(), error)}

    def _recovered(self, target: Target, env: Env) -> None:
        known = self._failures(env)
        if str(target) in known:
            env.memory[f"forward/{self.number}/failing"] = {k: v for k, v in known.items() if k != str(target)}

    def _down_at(self, target: Target, env: Env) -> float:
        """When the target has failed more probes than `max_fails` allows; infinity if it is not failing."""
        since = self._failures(env).get(str(target))
        if since is None:
            return float("inf")
        wait = PROBE_TIMEOUT if since[1] == "ETIMEDOUT" else 0.0
        return since[0] + (self.max_fails + 1) * wait + self.max_fails * self.probe_interval

    def _down(self, target: Target, env: Env) -> bool:
        return bool(self.max_fails) and env.now() >= self._down_at(target, env)


def _targets(s: Setup, d: Dispenser, args: list[str]) -> tuple[Target, ...]:
    """Addresses, `tls://` addresses, or files in the form of resolv.conf."""
    out: list[Target] = []
    for arg in args:
        known = [t for t in ("tls", "dns", "quic", "grpc", "https") if arg.startswith(t + "://")]
        transport, rest = (known[0], arg[len(known[0]) + 3 :]) if known else ("dns", arg)
        if not rest:
            raise CorefileError(f'invalid address: "{arg}"')
        if transport not in ("dns", "tls"):
            raise CorefileError(f"'{transport}' is not supported as a destination protocol in forward: {arg}")
        host, port = rest.partition("%")[0] if "%" in rest else rest, 853 if transport == "tls" else 53
        if host.startswith("["):
            host, _, tail = host[1:].partition("]")
            port = integer(tail[1:]) if tail.startswith(":") else port
        elif host.count(":") == 1:
            host, _, tail = host.partition(":")
            port = integer(tail)
        if (ip := parse_ip(host)) is not None:
            out.append(Target(ip, port, transport))
            continue
        if not rest.startswith("/"):
            raise CorefileError(f'not an IP address or file: "{rest}"')
        servers = parse_resolv_conf(s.file(rest)).nameservers
        out += [Target(parse_ip(n.partition("%")[0]) or n, 53) for n in servers]
    if not out:
        raise CorefileError("no nameservers found")
    return tuple(out)


RCODES = frozenset({
    "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH", "NOTZONE", "BADSIG",
    "BADKEY", "BADTIME", "BADMODE", "BADNAME", "BADALG", "BADTRUNC", "BADCOOKIE", "BADVERS",
})  # fmt: skip


def _rcodes(d: Dispenser) -> tuple[str, ...]:
    args = d.remaining_args()
    if not args:
        raise d.argument_error()
    for a in args:
        if a.upper() not in RCODES:
            raise CorefileError(f"{a} is not a valid rcode")
    return tuple(a.upper() for a in args)


def setup(s: Setup) -> list[Forward]:
    """One plugin per `forward` line, each the next one's elder."""
    d = s.dispenser()
    out: list[Forward] = []
    while d.next():
        out.append(_stanza(s, d, f"{s.block.number}.{len(out)}"))
    return out


def _stanza(s: Setup, d: Dispenser, number: str) -> Forward:
    if not d.next_arg():
        raise d.argument_error()
    written = d.value
    zones = hosts_of(written)
    if not zones:
        raise CorefileError(f"unable to normalize '{written}'")
    args = d.remaining_args()
    if not args:
        raise d.argument_error()
    f = Forward(zones[0], _targets(s, d, args), number)
    while d.next_block():
        _option(f, d)
    if len(f.targets) > MAX_TARGETS:
        raise CorefileError(f"more than {MAX_TARGETS} TOs configured: {len(f.targets)}")
    return f


def _one(d: Dispenser) -> str:
    if not d.next_arg():
        raise d.argument_error()
    return d.value


def _flag(d: Dispenser) -> bool:
    if d.next_arg():
        raise d.argument_error()
    return True


def _unsigned(text: str) -> int:
    if not text.isdigit():
        raise CorefileError(f'strconv.ParseUint: parsing "{text}": invalid syntax')
    return int(text)


def _option(f: Forward, d: Dispenser) -> None:
    match d.value:
        case "except":
            args = d.remaining_args()
            if not args:
                raise d.argument_error()
            f.excepted += tuple(z for a in args for z in hosts_of(a))
        case "max_fails":
            f.max_fails = _unsigned(_one(d))
        case "max_connect_attempts":
            f.max_attempts = _unsigned(_one(d))
        case "health_check":
            f.probe_interval = duration(_one(d))
            if f.probe_interval < 0:
                raise CorefileError(f"health_check can't be negative: {f.probe_interval:g}")
            while d.next_arg():
                word = str(d.value)
                if word == "domain":
                    _one(d)
                elif word != "no_rec":
                    raise CorefileError(f"health_check: unknown option {word}")
        case "force_tcp":
            f.force_tcp = _flag(d)
        case "prefer_udp":
            f.prefer_udp = _flag(d)
        case "tls":
            if len(d.remaining_args()) > 3:
                raise d.argument_error()
        case "tls_servername":
            _one(d)
        case "expire":
            if duration(_one(d)) < 0:
                raise CorefileError(f"expire can't be negative: {d.value}")
        case "max_idle_conns" | "max_concurrent" as option:
            if (n := integer(_one(d))) < 0:
                raise CorefileError(f"{option} can't be negative: {n}")
        case "policy":
            f.policy = _one(d)
            if f.policy not in ("random", "round_robin", "sequential"):
                raise d.error(f"unknown policy '{f.policy}'")
        case "next":
            f.next_on += _rcodes(d)
        case "failover":
            codes = _rcodes(d)
            if "NOERROR" in codes:
                raise CorefileError("NoError cannot be used in failover")
            f.failover_on += codes
        case "failfast_all_unhealthy_upstreams":
            if d.remaining_args():
                raise d.argument_error()
            f.fail_fast = True
        case unknown:
            raise d.error(f"unknown property '{unknown}'")
