"""The contract, case by case, each case with its place in the specification or the program that was asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubenet_lab.cni import PLUGINS, CniError, NetworkList, PluginHost, Result, Runtime
from kubenet_lab.cni.contract import Call
from kubenet_lab.cni.result import CODES, Dns, Interface, IpConfig, RouteConfig
from kubenet_lab.cni.runtime import empty_node
from kubenet_lab.cni.skel import Program, version_reply

TABLE = yaml.safe_load((Path(__file__).parent / "contract.yaml").read_text())


def text_of(conf: dict[str, Any]) -> str:
    return json.dumps(conf, indent=1)


@pytest.mark.parametrize("case", TABLE["parse"], ids=lambda c: str(c["conf"])[:70])
def test_parse(case: dict[str, Any]) -> None:
    others = {name: text_of(conf) for name, conf in case.get("others", {}).items()}
    if "error" in case:
        with pytest.raises(CniError) as e:
            NetworkList.parse(text_of(case["conf"]), others)
        assert (e.value.msg, e.value.line) == (case["error"], case["line"])
        with pytest.raises(CniError) as e:
            NetworkList.parse(case["conf"], others)
        assert (e.value.msg, e.value.line) == (case["error"], None)
        return
    conf = NetworkList.parse(text_of(case["conf"]), others)
    got = {"name": conf.name, "cniVersion": conf.cni_version, "types": [p["type"] for p in conf.plugins],
           "disableCheck": conf.disable_check, "disableGC": conf.disable_gc}  # fmt: skip
    assert {k: got[k] for k in case["want"]} == case["want"]


@pytest.mark.parametrize("case", TABLE["versions"], ids=lambda c: str(c["given"]))
def test_versions(case: dict[str, Any]) -> None:
    assert NetworkList.parse({"name": "n", "plugins": [{"type": "a"}], **case["given"]}).cni_version == case["want"]


class Spy:
    """Writes down with which result it is called; fails as it is told."""

    def __init__(self, type: str, log: list[Any], fails: dict[str, int]):
        self.type, self.log, self.fails = type, log, fails
        self.config: Any = None

    def note(self, command: str, call: Call) -> None:
        before = call.config.get("prevResult")
        self.config = call.config
        self.log.append([command, self.type, len(before["ips"]) if before else None])
        if command in self.fails:
            raise CniError(self.fails[command], "no")

    def add(self, call: Call) -> Result:
        self.note("ADD", call)
        before = call.prev_result or Result()
        return Result((), (*before.ips, IpConfig(f"10.0.0.{len(before.ips) + 1}/24")), cni_version=call.version)

    def delete(self, call: Call) -> None:
        self.note("DEL", call)

    def check(self, call: Call) -> None:
        self.note("CHECK", call)

    def gc(self, call: Call) -> None:
        self.note("GC", call)

    def status(self, call: Call) -> None:
        self.note("STATUS", call)


def spies(log: list[Any], fails: dict[str, list[Any]] | None = None) -> dict[str, Spy]:
    return {t: Spy(t, log, {f[0]: f[1]} if (f := (fails or {}).get(t)) else {}) for t in "abc"}


@pytest.mark.parametrize("case", TABLE["request"], ids=lambda c: f"{c['source']} {c['plugin']}"[:70])
def test_request(case: dict[str, Any]) -> None:
    log: list[Any] = []
    plugins = spies(log)
    conf = NetworkList.parse({**case["list"], "plugins": [case["plugin"]]})
    Runtime(PluginHost(empty_node(), "node", plugins)).add(conf, "c1", "pod", capabilities=case.get("given"))
    assert plugins["a"].config == case["want"]


@pytest.mark.parametrize("case", TABLE["order"], ids=lambda c: f"{c['source']} {c['done']} {c.get('fails', '')}{c.get('flags', '')}")
def test_order(case: dict[str, Any]) -> None:
    log: list[Any] = []
    runtime = Runtime(PluginHost(empty_node(), "node", spies(log, case.get("fails"))))
    conf = NetworkList.parse(
        {"name": "net", "cniVersion": case.get("version", "1.1.0"), "plugins": [{"type": t} for t in "abc"], **case.get("flags", {})}
    )
    what = {
        "ADD": lambda: runtime.add(conf, "c1", "pod"), "DEL": lambda: runtime.delete(conf, "c1", "pod"),
        "CHECK": lambda: runtime.check(conf, "c1", "pod"), "GC": lambda: runtime.gc(conf, []),
        "GC valid": lambda: runtime.gc(conf, [("c1", "eth0")]), "STATUS": lambda: runtime.status(conf),
    }  # fmt: skip
    for name in case["done"][:-1]:
        what[name]()
    log.clear()
    if "code" in case:
        with pytest.raises(CniError) as e:
            what[case["done"][-1]]()
        assert e.value.code == case["code"]
    else:
        what[case["done"][-1]]()
    assert log == case["want"]
    added = case["done"] == ["ADD"] and "code" not in case
    assert len(runtime.attachments()) == case.get("kept", int(added))


@pytest.mark.parametrize("case", TABLE["calls"], ids=lambda c: f"{c['command']} {c.get('msg')}"[:60])
def test_calls(case: dict[str, Any]) -> None:
    log: list[Any] = []
    config = {"name": "n", "cniVersion": "1.0.0", "type": "a", **case.get("config", {})}
    call = Call(
        case.get("container", "c1"), case.get("netns", "pod"), case.get("ifname", "eth0"), config, PluginHost(empty_node(), "node", {})
    )
    program = Program(spies(log)["a"])
    doors = {"ADD": program.add, "DEL": program.delete, "CHECK": program.check, "GC": program.gc, "STATUS": program.status}
    if not case["code"]:
        doors[case["command"]](call)
        assert len(log) == 1
        return
    with pytest.raises(CniError) as e:
        doors[case["command"]](call)
    assert (e.value.code, e.value.msg, e.value.details) == (case["code"], case["msg"], case.get("details", "")) and not log


RESULT = Result(
    (Interface("br0", "02:00:00:00:00:01"), Interface("eth0", "02:00:00:00:00:02", 1450, "/var/run/netns/x", "/run/s", "0000:00:1f.6")),
    (IpConfig("10.1.0.5/24", "10.1.0.1", 1), IpConfig("fd00::5/64", "", 1)),
    (RouteConfig("0.0.0.0/0", "10.1.0.1", 1400, 1300, 5, 100, 0),),
    Dns(("10.96.0.10",), "lab", ("svc",), ("ndots:5",)),
    "1.1.0",
)


@pytest.mark.parametrize("case", TABLE["results"], ids=lambda c: str(c["version"]))
def test_results(case: dict[str, Any]) -> None:
    made = RESULT.to_dict(case["version"])
    assert json.dumps(made) == json.dumps(case["want"])  # the order of keys too
    assert Result.from_dict(made).to_dict() == made


def test_codes() -> None:
    known = TABLE["codes"]["known"]
    assert all(CODES[c] for c in known) and {c for c in CODES if c < 100} == set(known)
    assert CniError(100, "own").meaning == "" and CniError(11, "x").meaning == "try again later"


def test_version() -> None:
    # s5.version: the newest version that the plugin speaks, and all of them
    for plugin in PLUGINS.values():
        reply = version_reply(plugin)
        assert reply["cniVersion"] == reply["supportedVersions"][-1] and "0.4.0" in reply["supportedVersions"]


@pytest.mark.parametrize("case", TABLE["types"], ids=lambda c: f"{c['plugin']} {c.get('config', c.get('args'))}"[:70])
def test_types(case: dict[str, Any]) -> None:
    network = empty_node()
    network.add_namespace("node", "pod")
    host = PluginHost(network, "node", PLUGINS)
    config = {"name": "n", "cniVersion": "1.0.0", "type": case["plugin"], **case.get("config", {})}
    with pytest.raises(CniError) as e:
        host.plugin(case["plugin"]).add(Call("c1", "pod", "eth0", config, host, case.get("args", "")))
    assert (e.value.code, e.value.msg) == (999, case["msg"])


def test_every_case_has_its_source() -> None:
    rows = [c for key, cases in TABLE.items() if isinstance(cases, list) for c in cases]
    assert {c["source"] for c in rows} | {TABLE["codes"]["source"]} <= set(TABLE["sources"]) and len(rows) >= 105
