"""Exercises of notebook 02: who gives a pod its address, which one comes next, what DEL undoes."""

from __future__ import annotations

import json
from typing import Any

from ..compare import Form
from ..exercise import Case, Distractor, Exercise, Prediction, Question, pick

__all__ = ["QUESTIONS"]

#: what happens on a node, as (verb, pod); then the next pod comes. Seed 0 takes the first
STORIES: tuple[tuple[tuple[str, str], ...], ...] = (
    (("ADD", "a"), ("ADD", "b"), ("ADD", "c"), ("DEL", "a"), ("DEL", "c")),
    (("ADD", "a"), ("ADD", "b"), ("DEL", "b"), ("DEL", "a")),
    (("ADD", "a"), ("DEL", "a"), ("ADD", "b"), ("ADD", "c"), ("DEL", "b")),
    (("ADD", "a"), ("ADD", "b"), ("ADD", "c"), ("ADD", "d"), ("DEL", "b")),
)
SUBNETS = ("10.1.0.0/24", "10.8.3.0/24", "172.20.5.0/24")
#: the plugins of a list; seed 0 takes the first
CHAINS = (("bridge", "portmap", "tuning"), ("bridge", "portmap"), ("ptp", "portmap"), ("bridge", "tuning"))


def _list(plugins: tuple[str, ...] = ("bridge",), subnet: str = SUBNETS[0]) -> str:
    out: list[dict[str, Any]] = []
    for name in plugins:
        if name in ("bridge", "ptp"):
            out.append({"type": name, "ipam": {"type": "host-local", "subnet": subnet}})
        else:
            out.append({"type": name, **({"capabilities": {"portMappings": True}} if name == "portmap" else {})})
    return json.dumps({"cniVersion": "1.0.0", "name": "mynet", "plugins": out})


def _runtime() -> Any:
    from ... import CniRuntime

    return CniRuntime()


# 02.1


def _story(seed: int) -> Case:
    story, subnet = pick(seed, "story", STORIES), pick(seed, "subnet", SUBNETS)
    node, text = _runtime(), _list(subnet=subnet)
    given: dict[str, str] = {}
    for verb, pod in story:
        if verb == "ADD":
            given[pod] = node.add(pod, text).result.ips[0].address.partition("/")[0]
        else:
            node.delete(pod)
    free = [a for pod, a in given.items() if ("DEL", pod) in story]
    last = [a for verb, pod in story for a in [given[pod]] if verb == "DEL"][-1]
    head = subnet.rpartition(".")[0]
    words = ", ".join(f"{verb} {pod}" for verb, pod in story)
    truth = node.add("next", text).result.ips[0].address.partition("/")[0]
    lowest = min(free, key=lambda a: int(a.rpartition(".")[2]))
    return Case(
        None,
        {"story": words, "subnet": subnet, "truth": truth, "lowest": lowest, "last": last, "gateway": f"{head}.1"},
    )


NEXT = Exercise(
    id="02.1",
    title="The next address",
    prompt=(
        "A fresh node gives addresses by host-local from {subnet}. This happens, in order: {story}. "
        "Then a pod `next` is added. Which address does it get?"
    ),
    form=Form("address"),
    setup=_story,
    truth=lambda case: case["truth"],
    because="host-local goes on from the last address that it gave, whoever has gone since.",
    hints=(
        "One file of host-local remembers more than which addresses are taken.",
        "Look at last_reserved_ip.0 after each step: `node.files`.",
        "Count the ADDs. The first gets the second address of the subnet, since the first is the gateway's.",
    ),
    distractors=(
        Distractor(
            "lowest-free-address", lambda case: case["lowest"], "That one is free, and it is the lowest. host-local does not look for it."
        ),
        Distractor("last-freed-address", lambda case: case["last"], "That one was freed last. Freeing an address does not move the mark."),
        Distractor(
            "gateway-is-for-pods", lambda case: case["gateway"], "That is the gateway's: the bridge has it, and no pod ever gets it."
        ),
    ),
)

# 02.2


def _order(seed: int) -> Case:
    plugins = pick(seed, "chain", CHAINS)
    node = _runtime()
    added = node.add("demo", _list(plugins))
    gone = node.delete("demo")
    return Case(
        None,
        {
            "plugins": ", ".join(plugins), "order": [c.plugin for c in gone.calls], "added": [c.plugin for c in added.calls],
            "all": [c.plugin for _, c in gone.walk()],
        },
    )  # fmt: skip


ORDER = Exercise(
    id="02.2",
    title="In which order",
    prompt=(
        "The plugins of a conflist are {plugins}. A pod was added. Now the runtime says DEL. "
        "Which plugins does the runtime call, in which order? Answer with a list of names."
    ),
    form=Form("word", "list"),
    setup=_order,
    truth=lambda case: case["order"],
    because="DEL goes through the list from its end: what was put on last comes off first.",
    hints=(
        "Which plugin could still need what another one made?",
        "Run it: `node.add(...)`, then `print(node.delete(...))`, and read the calls that are not indented.",
        "Read the list from its end.",
    ),
    distractors=(
        Distractor("del-follows-add", lambda case: case["added"], "That is the order of ADD."),
        Distractor(
            "runtime-calls-the-ipam",
            lambda case: case["all"],
            "host-local is called too, but not by the runtime: its main plugin calls it.",
        ),
    ),
)

# 02.3

PLACES = Form(
    "word",
    choices=("kubelet", "plugin", "api-server", "daemon", "host-local"),
    synonyms={"ipam": "host-local", "host local": "host-local", "api server": "api-server", "apiserver": "api-server"},
)


def _who(seed: int) -> Case:
    question = pick(
        seed,
        "who",
        (
            ("chooses the address of a new pod", "ipam"),
            ("creates the pod's cable and plugs it in", "main"),
            ("keeps the addresses of a node in files", "ipam"),
        ),
    )
    node = _runtime()
    done = node.add("demo", _list())
    deepest = next(c for d, c in done.walk() if d == 1)
    makers = {c.plugin for _, c in done.walk() if any(s.kind == "link" for s in c.own_changes)}
    truth = deepest.plugin if question[1] == "ipam" else "plugin"
    assert makers == {"bridge"}
    return Case(None, {"what": question[0], "truth": truth, "kind": question[1]})


WHO = Exercise(
    id="02.3",
    title="Who does it",
    prompt=(
        "On a node with bridge and host-local: who {what}? 'kubelet', 'api-server', 'daemon' (a program that keeps running), "
        "'plugin' (the main plugin, bridge) or 'host-local'?"
    ),
    form=PLACES,
    setup=_who,
    truth=lambda case: case["truth"],
    because=lambda case: (
        "The IPAM helper does, asked by the main plugin." if case["kind"] == "ipam" else "The main plugin makes the links: bridge."
    ),
    hints=(
        "Look at the figure: each call shows what it changed.",
        "`added.to_frame()` lists every change with the plugin that made it.",
        "Find the row of the link, or of the file under /var/lib/cni/networks.",
    ),
    distractors=(
        Distractor(
            "kubernetes-gives-addresses", lambda case: "kubelet", "The kubelet hears of the address when the runtime tells it the result."
        ),
        Distractor("cni-is-a-daemon", lambda case: "daemon", "Plugins are programs that run for a moment. Nothing of them stays running."),
        Distractor(
            "host-local-is-a-network",
            lambda case: "host-local" if case["kind"] == "main" else "plugin",
            "bridge makes the network, host-local keeps the addresses. Which of the two is asked for here?",
        ),
    ),
)

# 02.4


def _macvlan(mode: str, subnet: str = "192.168.50.0/24") -> str:
    ipam = {"type": "host-local", "subnet": subnet, "rangeStart": "192.168.50.200", "routes": [{"dst": "0.0.0.0/0"}]}
    return json.dumps(
        {"cniVersion": "1.0.0", "name": "lan", "plugins": [{"type": "macvlan", "master": "eth0", "mode": mode, "ipam": ipam}]}
    )


def _reach(seed: int) -> Case:
    mode, target = pick(seed, "reach", (("bridge", "node"), ("bridge", "sibling"), ("private", "sibling"), ("bridge", "router")))
    node = _runtime()
    for pod in ("one", "two"):
        node.add(pod, _macvlan(mode))
    addresses = {"node": "192.168.50.11", "router": "192.168.50.1", "sibling": "192.168.50.201"}
    said = str(node.run("one", f"ping -c 1 {addresses[target]}"))
    name = {"node": "its own node", "router": "the router on the node's wire", "sibling": "another pod of the same node"}[target]
    return Case(None, {"mode": mode, "name": name, "target": target, "answered": " 1 received" in said})


REACH = Exercise(
    id="02.4",
    title="Who hears a macvlan pod",
    prompt="A pod is attached with macvlan, mode {mode}. It pings {name}. Is it answered? 'yes' or 'no'.",
    form=Form("word", choices=("yes", "no"), synonyms={"true": "yes", "false": "no"}),
    setup=_reach,
    truth=lambda case: "yes" if case["answered"] else "no",
    because=lambda case: {
        "node": "A macvlan device never hands a frame up to the device it stands on, and the wire does not send it back.",
        "router": "The frame leaves by the wire, as from any machine on it.",
        "sibling": "In mode bridge the device hands frames between its children."
        if case["mode"] == "bridge"
        else "In mode private it does not hand frames between its children.",
    }[case["target"]],
    hints=(
        "Where does the frame go: out of the wire, to another child, or up to the node?",
        'Attach two pods in the lab and ping: `lab.run("demo", "ping -c 1 ...")`.',
        "The node's own interface is the one that it stands on. Does it get what its children send?",
    ),
    distractors=(
        Distractor("macvlan-pod-hears-its-node", lambda case: "yes", "They are on one wire, and yet: look at who hands frames to whom."),
        Distractor("macvlan-hears-nobody", lambda case: "no", "Only the device below is deaf to it. Others on the wire are not."),
    ),
)

AFTER = Prediction(
    id="02.a",
    title="After a pod has gone",
    prompt="demo has 10.1.0.2. A pod two is added and deleted. Which address does the next pod, three, get?",
    form=Form("address"),
    setup=lambda seed: Case(None, {}),
    truth=lambda case: _after(),
)


def _after() -> str:
    node, text = _runtime(), _list()
    node.add("demo", text)
    node.add("two", text)
    node.delete("two")
    return str(node.add("three", text).result.ips[0].address.partition("/")[0])


DEAF = Prediction(
    id="02.b",
    title="The node and its macvlan pod",
    prompt="The node pings its own macvlan pod. What does it see?",
    form=Form("word", choices=("delivered", "timeout", "unreachable")),
    setup=lambda seed: Case(None, {}),
    truth=lambda case: _deaf(),
)


def _deaf() -> str:
    node = _runtime()
    node.add("one", _macvlan("bridge"))
    said = str(node.run("", "ping -c 1 192.168.50.200"))
    return "delivered" if " 1 received" in said else "unreachable" if "Unreachable" in said else "timeout"


QUESTIONS: tuple[Question, ...] = (AFTER, DEAF, NEXT, ORDER, WHO, REACH)
