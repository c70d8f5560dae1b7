"""Exercises of notebook 02b: verbs, chain, error codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ...errors import KubenetError
from ..compare import Form
from ..exercise import Case, Distractor, Exercise, Prediction, Question, pick

__all__ = ["QUESTIONS"]

#: prefix lengths of 02b.1, and of the prediction
LENGTHS = (27, 28, 29, 26)
#: what is wrong in 02b.2: (words, what is called with)
FAULTS = ("a cniVersion that no plugin knows", "a container without a name", "text that is not JSON", "no key `plugins`")
VERBS = ("CHECK", "GC", "STATUS", "DEL")


def _conflist(length: int = 28, **changes: Any) -> dict[str, Any]:
    ipam = {"type": "host-local", "subnet": f"10.1.0.0/{length}"}
    return {"cniVersion": "1.1.0", "name": "mynet", "plugins": [{"type": "bridge", "isGateway": True, "ipam": ipam}], **changes}


def _runtime() -> Any:
    from ... import CniRuntime

    return CniRuntime()


# 02b.1


def _full(seed: int) -> Case:
    """How many pods fit, found by adding until the node is full."""
    length = pick(seed, "length", LENGTHS)
    node, conf = _runtime(), _conflist(length)
    count = 0
    while (done := node.add(f"p{count}", conf)) and count < 200:
        count += 1
    return Case(None, {"length": length, "count": count, "size": 1 << (32 - length), "error": done.error.msg})


ROOM = Exercise(
    id="02b.1",
    title="How many fit",
    prompt="bridge is the gateway, and host-local gives addresses from a /{length}. How many pods can a fresh node attach?",
    form=Form("number", unit="pods"),
    setup=_full,
    truth=lambda case: case["count"],
    because="Of {size} addresses one names the network, one is the broadcast address, and one is the gateway's.",
    hints=(
        "Which addresses of a subnet can nobody have? And which one has somebody already?",
        "Try it in the lab: add pods in a loop until an operation is false.",
        "Two addresses belong to the subnet itself, one to the bridge.",
    ),
    distractors=(
        Distractor(
            "every-address-counts", lambda case: case["size"], "The first address names the network, the last is its broadcast address."
        ),
        Distractor("gateway-takes-none", lambda case: case["size"] - 2, "One more is taken from the start: by the bridge."),
    ),
)

# 02b.2


def _faulty(seed: int) -> Case:
    what = pick(seed, "fault", FAULTS)
    node = _runtime()
    good = _conflist()
    try:
        if what == FAULTS[0]:
            code = node.add("x", {**good, "cniVersion": "9.0.0"}).error.code
        elif what == FAULTS[1]:
            code = node.add("", good).error.code
        elif what == FAULTS[2]:
            code = node.add("x", json.dumps(good)[:-3]).error.code
        else:
            code = node.add("x", {k: v for k, v in good.items() if k != "plugins"}).error.code
    except KubenetError as error:
        code = getattr(error, "code", 999)
    return Case(None, {"what": what, "code": code})


CODE = Exercise(
    id="02b.2",
    title="Which code",
    prompt="A runtime says ADD with {what}. Which error code comes back?",
    form=Form("number"),
    setup=_faulty,
    truth=lambda case: case["code"],
    because="The specification gives this its own number, {code}, so that every runtime can read it.",
    hints=(
        "The specification lists eleven codes: 1 to 7, 11, 50 and 51 among them.",
        "1: version. 4: variables of the call. 6: what was read. 7: the configuration makes no sense.",
        "Try it in the lab, and print the error's code.",
    ),
    distractors=(
        Distractor(
            "any-error-is-999", lambda case: 999, "That one is for what a plugin says in its own words. This has a number of its own."
        ),
        Distractor(
            "bad-list-is-seven",
            lambda case: 7,
            "7 is for a configuration that can be read and makes no sense. What is wrong here is found earlier.",
        ),
        Distractor("decoding-is-all", lambda case: 6, "6 is for what cannot be decoded at all. This can be read."),
    ),
)

# 02b.3

WHAT = {
    "CHECK": "finds out whether a pod's interface is still as ADD left it",
    "GC": "frees what belongs to containers that are not wanted any more",
    "STATUS": "asks whether ADD would work, without attaching anything",
    "DEL": "takes one pod's interface away, and may be repeated",
}


def _verb(seed: int) -> Case:
    verb = pick(seed, "verb", ("GC", *(v for v in VERBS if v != "GC")))
    node, conf = _runtime(), _conflist()
    node.add("demo", conf)
    node.add("lost", conf)
    node.remove_sandbox("lost")
    runs: dict[str, Callable[[], Any]] = {
        "CHECK": lambda: node.check("demo"), "GC": lambda: node.gc(conf, valid=[("demo", "eth0")]), "STATUS": lambda: node.status(conf),
        "DEL": lambda: node.delete("demo"),
    }  # fmt: skip
    changed = {name: bool(run().changes) for name, run in runs.items()}
    assert changed == {"CHECK": False, "GC": True, "STATUS": False, "DEL": True}
    return Case(None, {"verb": verb, "what": WHAT[verb]})


VERB = Exercise(
    id="02b.3",
    title="Which verb",
    prompt="Which of the verbs DEL, CHECK, GC and STATUS {what}?",
    form=Form("word", choices=VERBS),
    setup=_verb,
    truth=lambda case: case["verb"],
    because="{verb} {what}.",
    hints=(
        "Two of them change something, two only look.",
        "Two of them are about one pod, two about the whole node.",
        "Run all four in the lab, and print their changes.",
    ),
    distractors=(
        Distractor("check-repairs", lambda case: "CHECK", "CHECK is about one pod, and only looks."),
        Distractor("del-cleans-up", lambda case: "DEL", "DEL has to be said for one pod by name. It is not for the rest."),
        Distractor(
            "status-attaches-a-pod", lambda case: "STATUS", "STATUS asks the plugins whether they are ready, and nothing about a pod."
        ),
        Distractor("gc-is-a-big-del", lambda case: "GC", "GC gets the list of what is still wanted, and throws the rest away."),
    ),
)

LEAK = Prediction(
    id="02b.a",
    title="After a bad night",
    prompt=(
        "Sandboxes vanish without DEL, again and again, on a node with 14 usable addresses. How many new pods can be attached after that?"
    ),
    form=Form("number", unit="pods"),
    setup=lambda seed: Case(None, {}),
    truth=lambda case: _after_the_night(),
)


def _after_the_night() -> int:
    node, conf = _runtime(), _conflist()
    count = 0
    while node.add(f"p{count}", conf) and count < 50:
        node.remove_sandbox(f"p{count}")
        count += 1
    return 0 if not node.add("fresh", conf) else 1


QUESTIONS: tuple[Question, ...] = (LEAK, ROOM, CODE, VERB)
