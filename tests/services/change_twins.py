"""Random changes under flows that go on: what the lab says could have been, told what the kernel answered before.

A step of the kernel is one of many; so the lab keeps every state that agrees with the answers so far, and an answer that none of
its ways from there gives is a difference. Questions that share nothing are chains of their own, with a state each. What is asked
again says more: by these states' weights the lab foresees how likely it is to meet the same endpoint (`foreseen`).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

import kubenet_lab as kn
from kubenet_lab.cluster.names import party
from kubenet_lab.cluster.stale_flows import clean_stale_flows
from kubenet_lab.kernel.ask import send
from kubenet_lab.kernel.background import catch_up
from kubenet_lab.kernel.packet import Filler
from kubenet_lab.kernel.shell.commands import commands_for
from kubenet_lab.kernel.state import State
from kubenet_lab.kernel.verdict import Question, Result
from kubenet_lab.kernel.ways import outcomes
from tests.cluster.cluster_fixtures import Doc, service
from tests.cluster.kernel_twin import describe
from tests.cluster.twin_many import WAIT
from tests.services.change_kernel import run
from tests.services.foreseen import Foreseen
from tests.services.naive_services import balanced, endpoints_of
from tests.services.service_draw import FREE, Case, Flow, draw
from tests.services.service_twins import expected, sticky_of

CHANGES = (
    "endpoint not ready", "endpoint ready", "endpoint terminates", "endpoint removed", "Service deleted", "Service appears", "policy",
)  # fmt: skip
#: what every large enough run must have drawn, beside the changes
FEATURES = (*CHANGES, "undone", "TCP goes on", "UDP goes on", "UDP moves", "UDP that nobody answered is answered", "TCP stalls", "affinity")
#: states that are kept of a chain, where its answers leave several
KEPT = 8
#: what is foreseen of an answer
KINDS = (
    STAYS := "a UDP flow meets its endpoint again", TIED := "a client with affinity meets its endpoint again",
    AGAIN := "a new connection meets the endpoint of the last one", LEAVES := "a new connection meets what is not ready beside what is",
)  # fmt: skip

Said = tuple[str, str, str]
#: (its own name, flow, source port or 0, "open" | "again" | "once")
Step = tuple[str, Flow, int, str]


@dataclass
class Seen:
    """What answers have shown of what was drawn, and what was foreseen of them."""

    drawn: Counter[str] = field(default_factory=Counter)
    foreseen: Foreseen = field(default_factory=lambda: Foreseen(KINDS))


@dataclass
class Changing:
    """A cluster before and after each change, and in each the chains of steps."""

    stages: list[kn.Cluster]
    what: list[str]
    asked: list[list[list[Step]]]
    #: in each stage by flow: who is an endpoint there and not ready, where another endpoint is
    unready: list[dict[Flow, set[str]]]
    spec: dict[str, Any]
    seen: Seen
    head: str


def _pods(cluster: kn.Cluster) -> list[Any]:
    found: list[Any] = [p for p in cluster.objects("pod") if p.namespace == "default" and p.name != "client"]  # type: ignore[attr-defined]
    return [p for p in found if not p.spec.host_network]


def _changed(rng: random.Random, cluster: kn.Cluster, what: str, sources: set[str], again: str = "") -> str:
    """What has been changed, "" if nothing could be. Who asks is not removed. `again`: to this pod, if it can be."""
    pods = _pods(cluster)
    live = [p for p in pods if p.metadata.deletion_timestamp is None]
    services: list[Any] = [s for s in cluster.objects("svc") if s.namespace == "default" and s.name.startswith("svc")]  # type: ignore[attr-defined]
    if what == "endpoint not ready":
        pods = [p for p in live if p.ready]
    elif what == "endpoint ready":
        pods = [p for p in live if not p.ready]
    elif what == "endpoint terminates":
        pods = live
    else:
        pods = [p for p in pods if p.key not in sources]
    if what.startswith("endpoint"):
        if not pods:
            return ""
        key = str(rng.choice([p for p in pods if p.key == again] or pods).key)
        if what == "endpoint removed":
            cluster.delete("pod", key)
        elif what == "endpoint terminates":
            cluster.set_pod(key, terminating=True, serving=rng.random() < 0.5)
        else:
            cluster.set_pod(key, ready=what == "endpoint ready")
    elif what == "Service appears":
        fams = [4 if f == "IPv4" else 6 for f in cluster.options.ip_families]
        ports = ({"name": "http", "port": 80, "targetPort": 8080}, {"name": "echo", "port": 9, "protocol": "UDP", "targetPort": 9000})
        spec: Doc = {"clusterIPs": [FREE[f] for f in fams], "ipFamilyPolicy": "PreferDualStack", "clusterIP": FREE[fams[0]]}
        key = "default/svc9"
        cluster.apply(service("svc9", {"app": rng.choice("ab")}, *ports, **spec))
    elif what == "Service deleted":
        key = str(rng.choice(services).key)
        cluster.delete("svc", key)
    else:
        key = str(rng.choice(services).key)
        doc = next(d for d in _documents(cluster) if d["kind"] == "Service" and f"default/{d['metadata']['name']}" == key)
        policy = rng.choice(["internalTrafficPolicy", "externalTrafficPolicy"])
        if policy not in doc["spec"]:
            return ""
        doc["spec"][policy] = {"Local": "Cluster", "Cluster": "Local"}[doc["spec"][policy]]
        cluster.apply(doc)
    return key


def _documents(cluster: kn.Cluster) -> list[Doc]:
    return [d for d in yaml.safe_load_all(cluster.to_yaml()) if d]


UNDO = {"endpoint not ready": "endpoint ready", "endpoint ready": "endpoint not ready"}


def _same_outside(before: kn.Cluster, after: kn.Cluster, sources: set[str]) -> bool:
    """Machines outside and an administrator's routes are as they were; False where a balancer's own network changed with it."""
    old, new = before.network(), after.network()
    for src in sources:
        if src.startswith("external:"):
            new.external(src.removeprefix("external:"))
    for id in old.namespaces:
        if id.startswith("external:"):
            new.external(id.removeprefix("external:"))
    ways = {n.name for n in before.nodes}
    mine = {a.ip for name in ways for _, a in old.namespaces[name].addresses()}
    known = {r.dst for r in new.namespaces["gateway"].routes}
    for r in old.namespaces["gateway"].routes:
        if r.via in mine and r.dst not in known:
            new.namespaces["gateway"].add_route(r.dst, via=r.via, dev=r.dev)
    kept = [id for id, ns in old.namespaces.items() if not id.startswith("pod:") and id not in ways]
    if set(kept) != {id for id in new.namespaces if not id.startswith("pod:") and id not in ways}:
        return False
    same = all(sorted(commands_for(old.namespaces[id])) == sorted(commands_for(new.namespaces[id])) for id in kept)
    return same and all(old.namespaces[id].announced == new.namespaces[id].announced for id in ways)


def rebuilt(c: Changing) -> Changing:
    """The same once more, its networks programmed anew."""
    stages = [stage.copy() for stage in c.stages]
    sources = {step[1][0] for chain in c.asked[0] for step in chain}
    for old, new in zip(c.stages, stages, strict=True):
        _same_outside(old, new, sources)
    return replace(c, stages=stages, seen=Seen())


def _stages(rng: random.Random, case: Case, sources: set[str], drawn: Counter[str]) -> tuple[list[kn.Cluster], list[str]]:
    stages, done, last = [case.cluster], list[str](), ""
    for _ in range(40):
        if len(done) == 2:
            break
        what = rng.choice(CHANGES)
        if done and done[-1] in UNDO and rng.random() < 0.7:
            what = UNDO[done[-1]]
        fresh = stages[-1].copy()
        key = _changed(rng, fresh, what, sources, last)
        if key and _same_outside(stages[-1], fresh, sources):
            drawn[what] += 1
            drawn["undone"] += bool(done) and UNDO.get(done[-1]) == what and key == last
            stages.append(fresh)
            done.append(what)
            last = key
    return stages, done


def _fronts(docs: list[Doc], node: str) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """("address port", "family port") -> the serving endpoints of a UDP Service that has any, as `node` sees them."""
    fronts: dict[str, list[str]] = {}
    node_ports: dict[str, list[str]] = {}
    for doc in (d for d in docs if d["kind"] == "Service"):
        spec = doc["spec"]
        for p in (p for p in spec["ports"] if p["protocol"] == "UDP"):
            for six in {":" in ip for ip in spec.get("clusterIPs", []) if ip != "None"}:
                serving = [e["ip"] for e in endpoints_of(docs, doc, p, node, six) if e["serving"]]
                if serving:
                    addresses = [*spec["clusterIPs"], *balanced(doc), *spec.get("externalIPs", [])]
                    fronts |= {f"{ip} {p['port']}": serving for ip in addresses if (":" in ip) == six}
                    node_ports |= {f"{6 if six else 4} {p['nodePort']}": serving} if p.get("nodePort") else {}
    return fronts, node_ports


def _unready(cluster: kn.Cluster, flows: list[Flow]) -> dict[Flow, set[str]]:
    """Of each flow to a Service that has a ready endpoint the others, by name: nobody new is to meet them, but by a policy Local."""
    docs = _documents(cluster)
    names = {ip: str(p.key) for p in cluster.objects("pod") for ip in p.ips}  # type: ignore[attr-defined]
    out: dict[Flow, set[str]] = {}
    for flow in flows:
        _, protocol, address, port = flow
        for doc in (d for d in docs if d["kind"] == "Service"):
            own = [*doc["spec"].get("clusterIPs", []), *balanced(doc), *doc["spec"].get("externalIPs", [])]
            for p in (p for p in doc["spec"].get("ports", []) if p["protocol"] == protocol):
                if port == p.get("nodePort") or (port == p["port"] and address in own):
                    found = list(endpoints_of(docs, doc, p, "any node", ":" in address))
                    if any(e["ready"] for e in found):
                        out[flow] = {names.get(e["ip"], f"external:{e['ip']}") for e in found if not e["ready"]}
    return out


def _chains(case: Case, stages: list[kn.Cluster], quiet: list[Flow]) -> list[list[list[Step]]]:
    """In every stage the same chains: who holds goes on, then somebody new asks. What remembers its clients is one chain.

    UDP goes on at once, too, where it is not known to be `quiet`.
    """
    sticky = set().union(*(sticky_of(c) for c in stages))
    out: list[list[list[Step]]] = []
    for stage in range(len(stages)):
        tied: list[Step] = []
        chains: list[list[Step]] = [tied]
        for number, flow in enumerate(case.flows):
            is_tied = bool({flow[2], flow[3]} & sticky)
            for again in range(1 if is_tied else 2):
                port = 20_000 + 10 * number + again
                steps: list[Step] = [(f"{number}.{again}", flow, port, "open" if not stage else "again")]
                if stage and not again:
                    steps.append((f"{number} anew", flow, 0, "once"))
                if not (stage or is_tied) and flow[1] == "UDP" and flow not in quiet:
                    steps.append((f"{number}.{again}", flow, port, "again"))
                if is_tied:
                    tied += steps
                else:
                    chains.append(steps)
        out.append(chains)
    return out


def changing(seed: int, mode: str, silences: int = 2) -> Changing | None:
    """A cluster that changes under its flows; None where nothing that could be drawn leaves its balancer as it is.

    `silences`: of what is never answered at first, so much is asked: each silence costs seconds.
    """
    rng = random.Random(f"changing {seed}")
    case = draw(seed, mode, flows=12)
    case.flows = [f for f in case.flows if f[1] != "ICMP"]
    fams = [4 if f == "IPv4" else 6 for f in case.cluster.options.ip_families]
    case.flows.append(("default/client", "UDP", FREE[rng.choice(fams)], 9))
    first = expected(case)
    sources = {src for src, *_ in case.flows}
    drawn: Counter[str] = Counter()
    stages, what = _stages(rng, case, sources, drawn)
    if not what:
        return None
    sticky = set().union(*(sticky_of(c) for c in stages))
    quiet = [i for i, ways in enumerate(first.ways) if {k for k, *_ in ways} == {"timeout"}]
    tied = [i for i, f in enumerate(case.flows) if {f[2], f[3]} & sticky]
    loud = [i for i in tied if i not in quiet]
    silent = [case.flows[i] for i in quiet]
    drop = {*quiet[silences:], *tied} - {*loud[:3]}  # after 30 seconds of silence a UDP entry is gone
    case.flows = [f for i, f in enumerate(case.flows) if i not in drop]
    asked = _chains(case, stages, silent)
    spec = dict(first.spec)
    spec["changes"] = []
    texts: dict[str, Any] = {id: (s["rules"], s["nft"]) for id, s in spec["spaces"].items()}
    for k, cluster in enumerate(stages):
        network = cluster.network()
        told = [[(name, first.where[f[0]], *f[1:], port, how) for name, f, port, how in c] for c in asked[k]]
        change: dict[str, Any] = {"gone": [], "rules": {}, "fronts": {}, "asked": told}
        if k:
            old = stages[k - 1].network()
            gone = [ns for id, ns in old.namespaces.items() if id not in network.namespaces]
            change["gone"] = [list(link.peer) for ns in gone for link in ns.links.values() if link.kind == "veth" and link.peer]
            for id, s in describe(network, [])["spaces"].items():
                rules = {fam: text for fam, text in s["rules"].items() if text != texts[id][0][fam]}
                nft = s["nft"] if s["nft"] != texts[id][1] else None
                if rules or nft is not None:
                    change["rules"][id] = (rules, nft)
                texts[id] = (s["rules"], s["nft"])
            change["fronts"] = {n.name: _fronts(_documents(cluster), n.name) for n in cluster.nodes}
        spec["changes"].append(change)
    head = f"{case.cluster.pod_network} {case.cluster.proxy}, {', '.join(what)}"
    return Changing(stages, what, asked, [_unready(c, case.flows) for c in stages], spec, Seen(drawn), head)


@dataclass
class Belief:
    """A state that agrees with the answers so far, the connections that are open in it, and how likely all this was."""

    state: State
    opened: dict[str, Result] = field(default_factory=dict)
    weight: float = 1.0


def _said(r: Result) -> Said:
    if r.verdict == "delivered":
        return "delivered", r.answered_by or "", r.source_seen or ""
    return ("timeout", "", "") if r.verdict in ("timeout", "stalled") else ("error", r.error or "", "")


def _quiet(said: Any, gone: bool) -> Said:
    return ("timeout", "", "") if gone and said[1] == "EHOSTUNREACH" else said


def _ways(cluster: kn.Cluster, before: Belief, step: Step) -> list[tuple[Said, Belief]]:
    name, (src, protocol, address, port), sport, how = step
    network, state = cluster.walkable(), before.state.fork()
    if how == "again" and protocol == "TCP":
        if name not in before.opened:
            return [(("error", "it did not open", ""), before)]
        return [(_said(send(network, state, before.opened[name], Filler(1), WAIT)), Belief(state, before.opened, before.weight))]
    who = party(cluster.snapshot(), src)
    keep = how == "open" and protocol == "TCP"
    source = who.address if who.kind == "external" else ""
    q = Question(
        who.namespace, address, port, protocol, source=source, source_port=sport or None, timeout=WAIT, closing="none" if keep else "fin"
    )
    out = []
    for share, r in outcomes(network, state, q, lambda r: r):
        opened = before.opened | {name: r} if keep and r.verdict == "delivered" else before.opened
        out.append((_said(r), Belief(r.walk.state, opened, before.weight * float(share))))
    return out


def _meeting(step: Step, last: str, tied: bool, unready: set[str]) -> Iterator[tuple[str, set[str]]]:
    """(kind, endpoints one of which is to be met): what is foreseen of a step. `last`: who answered this client there before, or ""."""
    (_, protocol, *_), how = step[1], step[3]
    if unready and how != "again":
        yield LEAVES, unready
    if last and how == "once":
        yield TIED if tied else AGAIN, {last}
    elif last and how == "again" and protocol == "UDP":
        yield STAYS, {last}


def _count(drawn: Counter[str], step: Step, first: Said | None, said: Said, tied: bool) -> None:
    protocol, how = step[1][1], step[3]
    if how != "again" or first is None:
        return
    if first[0] == said[0] == "delivered":
        drawn[f"{protocol} goes on" if first[1] == said[1] else f"{protocol} moves"] += 1
    elif said[0] == "delivered":
        drawn[f"{protocol} that nobody answered is answered"] += 1
    elif first[0] == "delivered":
        drawn[f"{protocol} stalls"] += 1
    drawn["affinity"] += tied


def compared(c: Changing) -> list[str]:
    """What the kernel answers and the lab does not; where it differs it is asked once more."""
    found = differences(c, run(c.spec), c.seen)
    return found and differences(c, run(c.spec), Seen())


def differences(c: Changing, answers: list[list[list[list[str]]]], seen: Seen) -> list[str]:
    """Of these answers those that the lab cannot give, each with what came before it in its chain."""
    out = []
    for chain in range(len(c.asked[0])):
        beliefs, first, last = [Belief(State())], dict[str, Said](), dict[Flow, str]()
        story: list[str] = []
        for k, cluster in enumerate(c.stages):
            if k:
                for b in beliefs:
                    catch_up(c.stages[k - 1].network(), b.state)
                    clean_stale_flows(cluster.snapshot(), b.state, cluster.network)
            for step, answer in zip(c.asked[k][chain], answers[k][chain], strict=True):
                # what another chain has learned of a neighbour that is gone, the kernel believes for a while, in silence
                gone = "endpoint removed" in c.what[:k]
                said = _quiet(tuple(answer), gone)
                ways = [(_quiet(what, gone), after) for b in beliefs for what, after in _ways(cluster, b, step)]
                agree = [b for what, b in ways if what == said]
                story.append(f"{c.what[k - 1] if k else 'at first'}: {step[3]} {step[0]} {said}")
                if not agree:
                    out.append(f"{step[1]} from port {step[2]}: the lab {sorted({w for w, _ in ways})}; {' | '.join(story)}")
                    break
                whole = sum(after.weight for _, after in ways)
                for kind, whom in _meeting(step, last.get(step[1], ""), not chain, c.unready[k].get(step[1], set())):
                    share = sum(after.weight for what, after in ways if what[1] in whom) / whole
                    seen.foreseen.events[kind].append((min(share, 1.0), said[1] in whom))
                beliefs = sorted(agree, key=lambda b: -b.weight)[:KEPT]
                _count(seen.drawn, step, first.get(step[0]), said, not chain)
                first.setdefault(step[0], said)
                if said[0] == "delivered":
                    last[step[1]] = said[1]
            else:
                continue
            break
    return out
