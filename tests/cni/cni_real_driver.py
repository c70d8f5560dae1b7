"""Runs inside fresh network and mount namespaces: calls real CNI plugins as a plan says and prints what came of it.

stdin: {"bin": DIR, "data": DIR, "pods": [..], "steps": [{command, type, config, container, pod, ifname, restore}]}
stdout: one JSON object per step.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path


def sh(*words: str, text: str = "") -> str:
    return subprocess.run(words, input=text, capture_output=True, text=True).stdout


def nat(*prefix: str) -> dict[str, list[str]]:
    chains: dict[str, list[str]] = {}
    for line in sh(*prefix, "iptables-save", "-t", "nat").splitlines():
        if line.startswith(":"):
            chains[line[1:].split()[0]] = []
        elif line.startswith("-A"):
            chains[line.split()[1]].append(line)
    return {c: r for c, r in chains.items() if r or c not in ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING")}


def routes(*prefix: str) -> list[str]:
    out = []
    for fam in ("-4", "-6"):
        for r in json.loads(sh(*prefix, "ip", "-j", fam, "route") or "[]"):
            if not r["dst"].startswith(("fe80", "ff00", "multicast")):
                out.append(" ".join(str(r.get(k, "")) for k in ("dst", "gateway", "dev", "scope", "prefsrc")))
    return sorted(out)


def links(*prefix: str) -> dict[str, dict[str, object]]:
    ports = {p["ifname"]: p for p in json.loads(sh(*prefix, "bridge", "-j", "-d", "link") or "[]")}
    out = {}
    for k in json.loads(sh(*prefix, "ip", "-j", "addr") or "[]"):
        if k["ifname"] == "lo" or "tunl" in k["ifname"] or "sit" in k["ifname"]:
            continue
        addresses = [f"{a['local']}/{a['prefixlen']}" for a in k["addr_info"] if a["scope"] == "global"]
        hairpin = bool(ports.get(k["ifname"], {}).get("hairpin"))
        out[k["ifname"]] = {
            "mtu": k["mtu"],
            "master": k.get("master", ""),
            "addresses": addresses,
            "hairpin": hairpin,
            "promisc": "PROMISC" in k["flags"],
        }
    return out


def main() -> None:
    plan = json.load(sys.stdin)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
    subprocess.run(["mount", "-t", "sysfs", "sysfs", "/sys"], check=False)
    for pod in [*plan["pods"], "ref"]:
        subprocess.run(["ip", "netns", "add", pod], check=True)
    results: dict[tuple[str, str], object] = {}
    for s in plan["steps"]:
        key = (s["container"], s["ifname"])
        config = dict(s["config"])
        if config.get("ipam", {}).get("type") == "host-local":
            config["ipam"] = {**config["ipam"], "dataDir": plan["data"]}
        if s["type"] != "bridge" or s["command"] == "CHECK":
            config["prevResult"] = results.get(key)
        env = {
            **os.environ, "CNI_COMMAND": s["command"], "CNI_CONTAINERID": s["container"], "CNI_NETNS": f"/run/netns/{s['pod']}",
            "CNI_IFNAME": s["ifname"], "CNI_PATH": plan["bin"],
        }  # fmt: skip
        done = subprocess.run([f"{plan['bin']}/{s['type']}"], input=json.dumps(config), env=env, capture_output=True, text=True)
        answer = json.loads(done.stdout) if done.stdout.strip() else None
        if s["command"] == "ADD" and done.returncode == 0:
            results[key] = answer
        subprocess.run(["ip", "netns", "exec", "ref", "iptables-restore"], input=s["restore"], text=True, check=True)
        inside = ("ip", "netns", "exec", s["pod"])
        seen = {
            "answer": answer,
            "nat": nat(),
            "ours_nat": nat("ip", "netns", "exec", "ref"),
            "node_routes": routes(),
            "node_links": links(),
        }
        forward = Path("/proc/sys/net/ipv4/ip_forward").read_text().strip()
        print(json.dumps({**seen, "pod_routes": routes(*inside), "pod_links": links(*inside), "forward": forward}))


main()
