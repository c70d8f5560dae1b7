"""Runs inside fresh network and mount namespaces: a runtime that calls the real CNI plugins as a plan says, and looks after each operation.

stdin: {"bin": DIR, "pods": [id], "before": [command], "sysctls": [key], "steps": [operation]}. An operation has a command (ADD, DEL,
CHECK; or RUN with a shell line), and for the former conflist, pod (None: no namespace is named), container, ifname, args, capabilities.
stdout: one JSON object per step: what each plugin printed, and what is there after it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def sh(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True).stdout


def inside(pod: str | None) -> tuple[str, ...]:
    return ("ip", "netns", "exec", name(pod)) if pod else ()


def name(pod: str) -> str:
    return f"cni-pod-{pod}"


def links(pod: str | None) -> list[dict[str, Any]]:
    here = inside(pod)
    ports = {p["ifname"]: p for p in json.loads(sh(*here, "bridge", "-j", "-d", "link") or "[]")}
    vlans = {v["ifname"]: v["vlans"] for v in json.loads(sh(*here, "bridge", "-j", "vlan") or "[]")}
    out = []
    for k in json.loads(sh(*here, "ip", "-j", "-d", "addr") or "[]"):
        if k["ifname"].startswith(("tunl", "sit", "gre", "erspan", "ip6", "ip_vti", "teql")):
            continue
        port, info = ports.get(k["ifname"], {}), k.get("linkinfo", {})
        master = k.get("master", "")
        out.append({
            "name": k["ifname"], "index": k["ifindex"], "peer": k.get("link_index"), "peer_ns": k.get("link_netnsid"),
            "mac": k.get("address", ""), "mtu": k["mtu"], "up": "UP" in k["flags"],
            "promisc": "PROMISC" in k["flags"], "allmulti": "ALLMULTI" in k["flags"],
            "master": master, "hairpin": bool(master and port.get("hairpin")), "isolated": bool(master and port.get("isolated")),
            "kind": info.get("info_kind", ""), "vlan_filtering": bool(info.get("info_data", {}).get("vlan_filtering", 0)),
            "mode": info.get("info_data", {}).get("mode", "") if info.get("info_kind") == "macvlan" else "", "lower": "",
            "vlans": [[v["vlan"], v.get("vlanEnd", v["vlan"]), sorted(v.get("flags", []))] for v in vlans.get(k["ifname"], [])],
            "addresses": [f"{a['local']}/{a['prefixlen']}" for a in k["addr_info"] if a["scope"] != "link"],
        })  # fmt: skip
    return out


def routes(pod: str | None) -> list[dict[str, Any]]:
    out = []
    for fam in ("-4", "-6"):
        for r in json.loads(sh(*inside(pod), "ip", "-j", fam, "route", "show", "table", "all") or "[]"):
            if r.get("table") != "local" and not r["dst"].startswith(("fe80", "ff00", "multicast")) and r.get("type") != "multicast":
                out.append({k: r.get(k) for k in ("type", "dst", "gateway", "dev", "scope", "prefsrc", "metric", "protocol", "table")})
    return out


def rules(pod: str | None) -> list[str]:
    out = []
    for tool in ("iptables-save", "ip6tables-save"):
        out += [f"{tool}: {line}" for line in sh(*inside(pod), tool).splitlines() if line[:1] in "*:-"]
    return out


def frames(pod: str | None) -> str:
    """The rules of macspoofchk."""
    return sh(*inside(pod), "nft", "list", "table", "bridge", "nat")


def sysctls(pod: str | None, keys: list[str]) -> dict[str, str]:
    out = {}
    for line in sh(*inside(pod), "sysctl", "-e", *keys).splitlines():
        key, _, value = line.partition(" = ")
        out[key] = value
    return out


def files() -> dict[str, str]:
    found = [p for top in ("/var/lib/cni", "/run/cni") for p in sorted(Path(top).rglob("*")) if p.is_file()]
    return {str(p): p.read_bytes().decode() for p in found}


def call(plan: dict[str, Any], step: dict[str, Any], plugin: dict[str, Any], prev: Any) -> tuple[Any, bool]:
    conf = step["conflist"]
    config = {k: v for k, v in plugin.items() if k != "capabilities"} | {"name": conf["name"], "cniVersion": conf["cniVersion"]}
    declared = plugin.get("capabilities", {})
    if dynamic := {k: v for k, v in step["capabilities"].items() if declared.get(k)}:
        config["runtimeConfig"] = dynamic
    if prev is not None:
        config["prevResult"] = prev
    env = {"PATH": os.environ["PATH"], "CNI_COMMAND": step["command"], "CNI_CONTAINERID": step["container"], "CNI_IFNAME": step["ifname"],
           "CNI_ARGS": step["args"], "CNI_PATH": plan["bin"],
           "CNI_NETNS": f"/var/run/netns/{name(step['pod'])}" if step["pod"] else ""}  # fmt: skip
    program = Path(plan["bin"], plugin["type"])
    if not program.exists():
        return {"code": 999, "msg": f'failed to find plugin "{plugin["type"]}" in path [{plan["bin"]}]'}, False
    done = subprocess.run([str(program)], input=json.dumps(config, sort_keys=True), env=env, capture_output=True, text=True)
    answer = json.loads(done.stdout) if done.stdout.strip() else None
    return answer, done.returncode == 0


def main() -> None:
    plan = json.load(sys.stdin)
    for where in ("/run", "/var/lib"):
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", where], check=True)
    subprocess.run(["mount", "-t", "sysfs", "sysfs", "/sys"], check=False)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for pod in plan["pods"]:
        subprocess.run(["ip", "netns", "add", name(pod)], check=True)
        subprocess.run([*inside(pod), "ip", "link", "set", "lo", "up"], check=True)
    for line in plan["before"]:
        subprocess.run(line, shell=True, check=True)
    kept: dict[tuple[str, str, str], tuple[Any, str, dict[str, Any]]] = {}
    for step in plan["steps"]:
        answers: list[Any] = []
        if step["command"] == "RUN":
            subprocess.run([*inside(step["pod"]), *step["line"].split()], check=True)
        else:
            conf, key = step["conflist"], (step["conflist"]["name"], step["container"], step["ifname"])
            old = tuple(int(p) for p in conf["cniVersion"].split(".")) < (0, 4, 0)
            known, args, capabilities = kept.get(key, (None, "", {}))
            prev = None if step["command"] == "ADD" or (old and step["command"] == "DEL") else known
            if step["command"] != "ADD":  # as ADD was called
                step["args"], step["capabilities"] = step["args"] or args, step["capabilities"] or capabilities
            well = True
            for plugin in reversed(conf["plugins"]) if step["command"] == "DEL" else conf["plugins"]:
                answer, well = call(plan, step, plugin, prev)
                answers.append(answer)
                if not well:
                    break
                prev = answer if step["command"] == "ADD" else prev
            if well and step["command"] == "ADD":
                kept[key] = (prev, step["args"], step["capabilities"])
            if well and step["command"] == "DEL":
                kept.pop(key, None)
        seen = {
            where: {"links": links(p), "routes": routes(p), "rules": rules(p), "frames": frames(p), "sysctls": sysctls(p, plan["sysctls"])}
            for where, p in (("node", None), *((p, p) for p in plan["pods"]))
        }
        print(json.dumps({"answers": answers, "seen": seen, "files": files()}), flush=True)


main()
