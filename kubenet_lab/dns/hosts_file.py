"""A pod's /etc/hosts as the kubelet writes it: the pod's own name and its hostAliases, answered before any DNS.

Source: kubernetes pkg/kubelet/kubelet_pods.go (ensureHostsFile, managedHostsFileContent, nodeHostsFileContent,
GeneratePodHostNameAndDomain).
"""

from __future__ import annotations

from collections.abc import Sequence

from ..objects.views import HostAlias, Pod
from .names import parse_ip

__all__ = ["NODE_HOSTS", "hosts_entries", "hosts_file", "pod_hostname"]

#: of a node where nothing else is known
NODE_HOSTS = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"


def pod_hostname(pod: Pod, domain: str = "cluster.local") -> tuple[str, str]:
    """(hostname, the domain behind it or ""): spec.hostname or the pod's name cut to 63; a domain only with spec.subdomain."""
    name = pod.spec.hostname or pod.name[:63].rstrip("-.")
    return name, f"{pod.spec.subdomain}.{pod.namespace}.svc.{domain}" if pod.spec.subdomain else ""


def _aliases(aliases: Sequence[HostAlias]) -> str:
    if not aliases:
        return ""
    lines = "".join(f"{a.ip}\t" + "\t".join(a.hostnames) + "\n" for a in aliases)
    return f"\n# Entries added by HostAliases.\n{lines}"


def hosts_file(pod: Pod, domain: str = "cluster.local", *, node_hosts: str = NODE_HOSTS) -> str:
    """The file's text; a hostNetwork pod gets the node's file with the aliases behind it."""
    if pod.spec.host_network:
        return f"# Kubernetes-managed hosts file (host network).\n{node_hosts}{_aliases(pod.spec.host_aliases)}"
    text = (
        "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
        "fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n"
    )
    name, behind = pod_hostname(pod, domain)
    for ip in pod.ips:
        text += f"{ip}\t{name}.{behind}\t{name}\n" if behind else f"{ip}\t{name}\n"
    return text + _aliases(pod.spec.host_aliases)


def hosts_entries(text: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """(address, names) of each line, in order."""
    out = []
    for line in text.splitlines():
        fields = line.partition("#")[0].split()
        if len(fields) > 1 and (ip := parse_ip(fields[0])) is not None:
            out.append((ip, tuple(fields[1:])))
    return tuple(out)
