"""The tuning plugin: sysctls of the pod's namespace, and the MAC, MTU, promiscuous and all-multicast mode of its interface.

Source: containernetworking/plugins plugins/meta/tuning. It stands behind a main plugin. What an interface was like before is
kept in /run/cni/tuning and put back by DEL; sysctls are not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..errors import CommandError, NotModelled
from ..kernel.namespace import Namespace
from ..kernel.shell.sysctl import known_to, value_in
from .contract import Call, args_of
from .decode import BOOL, INT, NETCONF, STRING, MapOf, Struct, decode
from .interface import set_device
from .result import CniError, Result
from .veth import MAX_MTU, MIN_MTU, assignable, parse_mac

__all__ = ["DATA_DIR", "Tuning"]

DATA_DIR = "/run/cni/tuning"
#: where it stands, only the sysctls that one of its lines (a regular expression) matches may be set
ALLOWLIST = "/etc/cni/tuning/allowlist.conf"

#: a sysctl of a device: if it is not there, the device is not
_DEVICE = re.compile(r"net\.ipv[46]\.(?:conf|neigh)\..+\.\w+\Z")

_ARGS = Struct("main.IPAMArgs", {"sysctl": MapOf(STRING), "mac": STRING, "promisc": BOOL, "mtu": INT, "allmulti": BOOL})
SCHEMA = Struct(
    "main.TuningConf",
    NETCONF
    | {
        "dataDir": STRING, "sysctl": MapOf(STRING), "mac": STRING, "promisc": BOOL, "mtu": INT, "allmulti": BOOL,
        "runtimeConfig": Struct("", {"mac": STRING}), "args": Struct("", {"cni": _ARGS}),
    },
)  # fmt: skip


def _fail(message: str) -> CniError:
    return CniError(999, message)


@dataclass(frozen=True, slots=True)
class TuningConfig:
    """The plugin's configuration: args.cni wins over runtimeConfig, that over CNI_ARGS, that over the list."""

    sysctl: Mapping[str, str]
    mac: str = ""
    mtu: int = 0
    promisc: bool = False
    allmulti: bool | None = None
    data_dir: str = DATA_DIR

    @classmethod
    def of(cls, config: Mapping[str, Any], args: str = "") -> TuningConfig:
        c = decode(config, SCHEMA, "failed to load netconf: ")
        mac = args_of(args, ("MAC",)).get("MAC", "") or c.get("mac", "")
        mac = c.get("runtimeConfig", {}).get("mac", "") or mac
        more = c.get("args", {}).get("cni", {})
        return cls(
            {**c.get("sysctl", {}), **more.get("sysctl", {})}, more.get("mac", mac), more.get("mtu", c.get("mtu", 0)),
            more.get("promisc", c.get("promisc", False)), more.get("allmulti", c.get("allmulti")), c.get("dataDir") or DATA_DIR,
        )  # fmt: skip

    @property
    def touches_interface(self) -> bool:
        return bool(self.mac or self.mtu or self.promisc or self.allmulti is not None)


class Tuning:
    """The plugin. Type "tuning"."""

    type = "tuning"
    schema = SCHEMA

    def validate(self, config: Mapping[str, Any]) -> None:
        """What it refuses before it touches anything. Raises CniError."""
        TuningConfig.of(config)

    def add(self, call: Call) -> Result:
        conf = TuningConfig.of(call.config, call.args)
        self._allowed(call, conf)
        result = self._result(call)
        pod = self._enter(call)
        for key, value in conf.sysctl.items():
            self._write(pod, key, value, call.ifname)
        if conf.touches_interface:
            self._back_up(call, pod, conf)
        if conf.mac:
            _set_mac(pod, call.ifname, conf.mac)
            result = replace(result, interfaces=tuple(replace(i, mac=conf.mac) if i.name == call.ifname else i for i in result.interfaces))
        if conf.promisc:
            pod.set_link(call.ifname, promisc=True)
        if conf.mtu:
            _set_mtu(pod, call.ifname, conf.mtu)
        if conf.allmulti is not None:
            pod.set_link(call.ifname, allmulti=conf.allmulti)
        return replace(result, cni_version=call.version)

    @staticmethod
    def _result(call: Call) -> Result:
        result = call.prev_result
        if result is None:
            raise _fail("Required prevResult missing")
        return result

    @staticmethod
    def _enter(call: Call) -> Namespace:
        pod = call.host.network.namespaces.get(call.netns)
        if pod is None:
            raise _fail(f"failed to Statfs {json.dumps(call.sandbox)}: no such file or directory")
        return pod

    @staticmethod
    def _allowed(call: Call, conf: TuningConfig) -> None:
        text = call.host.disk.get(ALLOWLIST)
        if text is None:
            return
        allowed = [line.strip() for line in text.split("\n") if line.strip()]
        for key in conf.sysctl:
            if not any(re.search(line, key) for line in allowed):
                raise _fail(f"Sysctl {key} is not allowed. Only the following sysctls are allowed: [{' '.join(allowed)}]")

    @staticmethod
    def _write(pod: Namespace, key: str, value: str, ifname: str) -> None:
        path = key.replace(".", "/").replace("IFNAME", ifname, 1)
        name = path.replace("/", ".")
        if not _clean(path).startswith("/proc/sys/net/"):
            raise _fail(f'invalid net sysctl key: "{path}"')
        if not known_to(pod, name):
            if _DEVICE.match(name):
                raise _fail(f"open {_clean(path)}: no such file or directory")
            raise NotModelled(f"sysctl {name}")
        try:
            number = int(value.strip(), 0)
        except ValueError:
            raise _fail(f"write {_clean(path)}: invalid argument") from None
        pod.set_sysctl(name, number)

    def _back_up(self, call: Call, pod: Namespace, conf: TuningConfig) -> None:
        link = pod.links.get(call.ifname)
        if link is None:
            raise _fail(f'failed to get "{call.ifname}": Link not found')
        kept: dict[str, Any] = {}
        if conf.mac:
            kept["mac"] = link.mac
        if conf.promisc:
            kept["promisc"] = link.promisc
        if conf.mtu:
            kept["mtu"] = link.mtu
        if conf.allmulti is not None:
            kept["allmulti"] = link.allmulti
        call.host.disk[self._path(call, conf)] = json.dumps(kept, indent=1) if kept else "{}"

    @staticmethod
    def _path(call: Call, conf: TuningConfig) -> str:
        return f"{conf.data_dir.rstrip('/')}/{call.container_id}_{call.ifname}.json"

    def delete(self, call: Call) -> None:
        """Put the interface back as it was; what fails or is gone is no error."""
        conf = TuningConfig.of(call.config, call.args)
        pod, path = call.host.network.namespaces.get(call.netns), self._path(call, conf)
        if pod is None or path not in call.host.disk or call.ifname not in pod.links:
            return
        try:
            kept = json.loads(call.host.disk[path])
            if kept.get("mtu"):
                _set_mtu(pod, call.ifname, kept["mtu"])
            if kept.get("mac"):
                _set_mac(pod, call.ifname, kept["mac"])
            for name in ("promisc", "allmulti"):
                if kept.get(name) is not None:
                    pod.set_link(call.ifname, **{name: kept[name]})
        except (ValueError, AttributeError, CniError, CommandError):
            return
        del call.host.disk[path]

    def check(self, call: Call) -> None:
        """Compare sysctls and interface with the configuration; raises CniError at the first difference."""
        conf = TuningConfig.of(call.config, call.args)
        self._result(call)
        pod = self._enter(call)
        for key, value in conf.sysctl.items():
            # the plugin does not put the interface's name in here
            name, path = key.replace("/", "."), _clean(key.replace(".", "/"))
            if not known_to(pod, name):
                raise _fail(f"open {path}: no such file or directory")
            if (current := str(value_in(pod, name))) != value:
                raise _fail(f"Error: Tuning configured value of {path} is {value}, current value is {current}")
        link = pod.links.get(call.ifname)
        if link is None:
            raise _fail(f"Cannot find container link {call.ifname}")
        if conf.mac and conf.mac != link.mac:
            raise _fail(f"Error: Tuning configured Ethernet of {call.ifname} is {conf.mac}, current value is {link.mac}")
        if conf.promisc != link.promisc:
            wanted = str(conf.promisc).lower()
            raise _fail(f"Error: Tuning link {call.ifname} configured promisc is {wanted}, current value is {int(link.promisc)}")
        if conf.mtu and conf.mtu != link.mtu:
            raise _fail(f"Error: Tuning configured MTU of {call.ifname} is {conf.mtu}, current value is {link.mtu}")
        if conf.allmulti is not None and conf.allmulti != link.allmulti:
            # the program prints a pointer's address where the configured value belongs
            now = str(link.allmulti).lower()
            raise _fail(f"Error: Tuning configured all-multicast mode of {call.ifname} is 0xc000000000, current value is {now}")

    def gc(self, call: Call) -> None:
        """What it keeps goes with DEL."""

    def status(self, call: Call) -> None:
        """Always able."""


def _clean(path: str) -> str:
    """filepath.Join("/proc/sys", path)."""
    parts: list[str] = []
    for part in f"/proc/sys/{path}".split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)


def _set_mac(pod: Namespace, ifname: str, mac: str) -> None:
    try:
        address = parse_mac(mac)
    except CniError as e:
        raise _fail(f"invalid args {mac} for MAC addr: {e.msg}") from None
    if ifname not in pod.links:
        raise _fail(f'failed to get "{ifname}": Link not found')
    if not assignable(address):
        raise _fail("cannot assign requested address")
    set_device(pod, ifname, mac=address)


def _set_mtu(pod: Namespace, ifname: str, mtu: int) -> None:
    if ifname not in pod.links:
        raise _fail(f'failed to get "{ifname}": Link not found')
    if not MIN_MTU <= mtu <= MAX_MTU:
        raise _fail("invalid argument")
    set_device(pod, ifname, mtu=mtu)
