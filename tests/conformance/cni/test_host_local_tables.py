"""host-local, case by case, and the same cases against the real program where it is installed."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubenet_lab.cni import PLUGINS, CniError, PluginHost
from kubenet_lab.cni.contract import Call
from kubenet_lab.cni.host_local import Allocator, HostLocal, IpRange, RangeSet, Store
from kubenet_lab.kernel.network import Network

TABLE = yaml.safe_load((Path(__file__).parent / "host_local.yaml").read_text())
REAL = next((p for p in ("/usr/lib/cni/host-local", "/opt/cni/bin/host-local") if Path(p).exists()), shutil.which("host-local"))


def need_real() -> str:
    if REAL is None:
        reason = "host-local is not installed (package containernetworking-plugins)"
        if os.environ.get("KUBENET_REQUIRE") == "all":
            pytest.fail(reason)
        pytest.skip(reason)
    return REAL


def ip_range(d: dict[str, Any]) -> IpRange:
    return IpRange.of(d["subnet"], d.get("rangeStart", ""), d.get("rangeEnd", ""), d.get("gateway", ""))


def call(config: dict[str, Any], container: str = "c1", ifname: str = "eth0", args: str = "", host: PluginHost | None = None) -> Call:
    return Call(container, "", ifname, config, host or PluginHost(Network(), "n", PLUGINS), args)


def config_of(case: dict[str, Any]) -> dict[str, Any]:
    config = {"cniVersion": "1.0.0", "name": "net", **case.get("config", {})}
    if "ipam" in case:
        config["ipam"] = {"type": "host-local", **case["ipam"]}
    return config


@pytest.mark.parametrize("case", TABLE["allocate"], ids=lambda c: f"{c['subnets'][0]}+{len(c.get('taken', []))}-{c.get('last')}")
def test_next_address(case: dict[str, Any]) -> None:
    store = Store({}, "net")
    for ip in case.get("taken", []):
        store.disk[store.dir + ip] = "id"
    if "last" in case:
        store.disk[store.dir + "last_reserved_ip.0"] = case["last"]
    allocator = Allocator(RangeSet.of([IpRange.of(s) for s in case["subnets"]]), store)
    if case["want"] is None:
        with pytest.raises(CniError, match="^no IP addresses available in range set"):
            allocator.get("ID", "eth0")
    else:
        assert allocator.get("ID", "eth0").ip == case["want"]


@pytest.mark.parametrize("case", TABLE["order"], ids=lambda c: str(c["last"]))
def test_whole_order(case: dict[str, Any]) -> None:
    store = Store({}, "net")
    if case["last"]:
        store.disk[store.dir + "last_reserved_ip.0"] = case["last"]
    allocator = Allocator(RangeSet.of([IpRange.of(case["subnet"])]), store)
    assert [ip for ip, _ in allocator.candidates()] == case["want"]


def test_two_ranges_with_network_addresses_as_start() -> None:
    # allocator_test.go "when lastReservedIP is at the end of one of multi ranges"
    ranges = RangeSet.of(
        [IpRange.of("192.168.1.0/30", "192.168.1.0", "192.168.1.3"), IpRange.of("192.168.2.0/30", "192.168.2.0", "192.168.2.3")]
    )
    store = Store({}, "net")
    assert next(Allocator(ranges, store).candidates())[0] == "192.168.1.0"
    store.disk[store.dir + "last_reserved_ip.0"] = "192.168.1.3"
    order = [ip for ip, _ in Allocator(ranges, store).candidates()]
    assert order[0] == "192.168.2.0" and order[-1] == "192.168.1.3" and len(order) == 6  # the two gateways are skipped


@pytest.mark.parametrize("case", TABLE["ranges"], ids=lambda c: c["subnet"] + str(sorted(c.get("given", {}))))
def test_ranges(case: dict[str, Any]) -> None:
    given = {"subnet": case["subnet"], **case.get("given", {})}
    if "error" in case:
        with pytest.raises(CniError) as e:
            ip_range(given)
        assert e.value.msg == case["error"] and e.value.code == 999
    else:
        r = ip_range(given)
        assert (r.start, r.end, r.gateway) == (case["start"], case["end"], case["gateway"])


@pytest.mark.parametrize("case", TABLE["contains"], ids=lambda c: c["subnet"])
def test_contains(case: dict[str, Any]) -> None:
    r = ip_range({"subnet": case["subnet"], **case["given"]})
    assert all(ip in r for ip in case["inside"]) and not any(ip in r for ip in case["outside"])


@pytest.mark.parametrize("case", TABLE["overlaps"], ids=lambda c: f"{c['a']['subnet']}-{c['b']['subnet']}-{c['want']}")
def test_overlaps(case: dict[str, Any]) -> None:
    a, b = ip_range(case["a"]), ip_range(case["b"])
    assert a.overlaps(b) == b.overlaps(a) == case["want"]


@pytest.mark.parametrize("case", TABLE["add"], ids=lambda c: f"{c.get('ipam', c.get('config'))}{c.get('args', '')}"[:90])
def test_add(case: dict[str, Any]) -> None:
    host = PluginHost(Network(), "n", PLUGINS)
    if "error" in case:
        with pytest.raises(CniError) as e:
            HostLocal().add(call(config_of(case), args=case.get("args", ""), host=host))
        assert e.value.msg == case["error"]
        # whatever was reserved on the way is free again
        assert not any("last_reserved_ip" not in p and not p.endswith("/lock") for p in host.disk)
    else:
        result = HostLocal().add(call(config_of(case), args=case.get("args", ""), host=host))
        assert [c.address for c in result.ips] == case["want"]


def test_sources() -> None:
    rows = [c for key, cases in TABLE.items() if key != "sources" for c in cases]
    assert len(rows) >= 60 and {c["source"] for c in rows} <= set(TABLE["sources"])


# --------------------------------------------------------------------------------------------------- the real program
class Real:
    """Calls the program with a data directory of its own."""

    def __init__(self, tmp: Path):
        self.dir = tmp / "data"

    def run(self, command: str, config: dict[str, Any], container: str, ifname: str, args: str = "") -> dict[str, Any] | None:
        config = {**config, "ipam": {**config["ipam"], "dataDir": str(self.dir)}} if "ipam" in config else config
        env = {"CNI_COMMAND": command, "CNI_CONTAINERID": container, "CNI_NETNS": "/none", "CNI_IFNAME": ifname, "CNI_ARGS": args}
        out = subprocess.run([need_real()], input=json.dumps(config), env={**env, "CNI_PATH": "/none"}, capture_output=True, text=True)
        return json.loads(out.stdout) if out.stdout.strip() else None

    def files(self) -> dict[str, str]:
        found = [p for p in self.dir.rglob("*") if p.is_file()]
        return {str(p.relative_to(self.dir)): p.read_bytes().decode() for p in found}


def ours(command: str, config: dict[str, Any], container: str, ifname: str, args: str, host: PluginHost) -> dict[str, Any] | None:
    plugin, c = HostLocal(), call(config, container, ifname, args, host)
    try:
        if command == "ADD":
            return plugin.add(c).to_dict(c.version)
        (plugin.delete if command == "DEL" else plugin.check)(c)
        return None
    except CniError as e:
        return e.to_dict()


# two requests for one range: the program takes them in a random order
COMPARABLE = [c for c in TABLE["add"] if "10.1.2.77" not in str(c.get("config"))]


@pytest.mark.real
@pytest.mark.parametrize("case", COMPARABLE, ids=lambda c: f"{c.get('ipam', c.get('config'))}{c.get('args', '')}"[:90])
def test_add_as_the_real_program(case: dict[str, Any], tmp_path: Path) -> None:
    args = case.get("args", "")
    real = Real(tmp_path).run("ADD", config_of(case), "c1", "eth0", args)
    assert json.dumps(ours("ADD", config_of(case), "c1", "eth0", args, PluginHost(Network(), "n", PLUGINS))) == json.dumps(real)


@pytest.mark.real
@pytest.mark.parametrize("seed", range(6))
def test_random_histories_as_the_real_program(seed: int, tmp_path: Path) -> None:
    """Random ADD, DEL and CHECK over small ranges: every answer and, at the end, every file is the program's."""
    need_real()
    rng = random.Random(seed)
    sets = rng.choice([
        [[{"subnet": "10.0.0.0/29"}]],
        [[{"subnet": "10.0.0.0/30"}, {"subnet": "10.0.1.0/29", "rangeStart": "10.0.1.3", "gateway": "10.0.1.4"}]],
        [[{"subnet": "10.0.0.0/29", "rangeEnd": "10.0.0.4"}], [{"subnet": "fd00::/125", "gateway": "fd00::3"}]],
    ])  # fmt: skip
    version = rng.choice(["0.3.1", "0.4.0", "1.0.0"])
    config = {"cniVersion": version, "name": "net", "ipam": {"type": "host-local", "ranges": sets, "routes": [{"dst": "0.0.0.0/0"}]}}
    real, host = Real(tmp_path), PluginHost(Network(), "n", PLUGINS)
    seen: dict[str, int] = {}
    for _ in range(40):
        command = rng.choices(["ADD", "DEL", "CHECK"], [6, 3, 1])[0]
        if command == "CHECK" and version == "0.3.1":
            continue
        container, ifname = f"c{rng.randrange(7)}", rng.choice(["eth0", "eth0", "net1"])
        args = f"IP=10.0.0.{rng.randrange(1, 8)}" if command == "ADD" and rng.random() < 0.2 else ""
        want = real.run(command, config, container, ifname, args)
        assert ours(command, config, container, ifname, args, host) == want, (command, container, ifname, args)
        key = f"{command} {'error' if want and 'code' in want else 'ok'}"
        seen[key] = seen.get(key, 0) + 1
    assert {k.removeprefix("/var/lib/cni/networks/"): v for k, v in host.disk.items()} == real.files()
    assert seen.get("ADD ok") and seen.get("ADD error"), seen
