"""IP families of a Service: what ipFamilies and ipFamilyPolicy become when a Service is created.

Source: kube-apiserver 1.34, pkg/registry/core/service/storage/alloc.go (initIPFamilyFields).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

__all__ = ["AllocationError", "family_name", "init_families"]

Document = dict[str, Any]


class AllocationError(Exception):
    """One Service cannot get what it asks for; `path` and `message` in the API server's words. Never leaves this room."""

    def __init__(self, path: str, message: str):
        super().__init__(f"{path}: {message}" if path else message)
        self.path, self.message = path, message


def invalid(path: str, value: Any, detail: str) -> AllocationError:
    """The API server's form of a field error."""
    shown = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return AllocationError(path, f"Invalid value: {shown}: {detail}")


def family_name(address: str) -> str:
    return "IPv6" if ":" in address else "IPv4"


def init_families(spec: Document, configured: Sequence[str]) -> None:
    """Sets ipFamilyPolicy and ipFamilies of a new Service in place. `configured`: the cluster's families, the default one first.

    Raises AllocationError.
    """
    if spec.get("type") == "ExternalName":
        return
    ips: list[str] = spec.get("clusterIPs") or []
    families: list[str] = list(spec.get("ipFamilies") or [])
    headless = spec.get("clusterIP") == "None"
    selectorless = not spec.get("selector")
    if not spec.get("ipFamilyPolicy"):
        # nobody selects pods, so nobody knows their families: headless and selectorless is dual
        spec["ipFamilyPolicy"] = "RequireDualStack" if headless and selectorless else "SingleStack"
    policy: str = spec["ipFamilyPolicy"]

    if policy == "SingleStack":
        many = "must be 'RequireDualStack' or 'PreferDualStack' when multiple {} are specified"
        if len(ips) == 2:
            raise invalid("spec.ipFamilyPolicy", policy, many.format("cluster IPs"))
        if len(families) == 2:
            raise invalid("spec.ipFamilyPolicy", policy, many.format("IP families"))
    for i, ip in enumerate(ips):
        if ip == "None":
            break
        if i >= len(families):
            if family_name(ip) not in configured:
                raise invalid(f"spec.clusterIPs[{i}]", ips, f"{family_name(ip)} is not configured on this cluster")
            families.append(family_name(ip))

    if headless and selectorless:
        families = families or [configured[0]]
        if len(families) == 1 and policy != "SingleStack":
            families.append("IPv6" if families[0] == "IPv4" else "IPv4")
        spec["ipFamilies"] = families
        return

    if policy == "RequireDualStack" and len(configured) < 2:
        raise invalid("spec.ipFamilyPolicy", policy, "this cluster is not configured for dual-stack services")
    for i, family in enumerate(families):
        if family not in configured:
            raise invalid(f"spec.ipFamilies[{i}]", family, "not configured on this cluster")
    families = families or [configured[0]]
    if policy != "SingleStack" and len(families) == 1 and len(configured) == 2:
        families.append("IPv6" if families[0] == "IPv4" else "IPv4")
    spec["ipFamilies"] = families
