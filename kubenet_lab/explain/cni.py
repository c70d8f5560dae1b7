"""Words for the cni chapter."""

from __future__ import annotations

from .phrase import Phrase, documented, measured, upstream

__all__ = ["PHRASES"]

SPEC = documented("containernetworking/cni SPEC.md 1.1.0")
PLUGINS = measured("host-local, bridge and portmap of containernetworking/plugins 1.1.1")
FLANNEL = upstream("flannel-io/flannel pkg/backend/vxlan/vxlan_network.go")
META = upstream("flannel-io/cni-plugin flannel.go")

PHRASES: dict[str, Phrase] = {
    # how a pod comes to its network
    "cni.add-failed": Phrase(
        "the network of {pod} could not be set up",
        "The CNI plugin refused to connect {pod} on {node}: {message}. The pod stays in ContainerCreating and has no address.",
        "kubectl describe pod -A",
        SPEC,
    ),
    "cni.exhausted": Phrase(
        "{node} has no free pod address",
        "Every address of {ranges} on {node} is taken, so {pod} gets none. A file per address lies under /var/lib/cni/networks/{network}; "
        "files that a crash left behind keep an address reserved.",
        "ls /var/lib/cni/networks/{network}",
        PLUGINS,
    ),
    "cni.no-subnet-env": Phrase(
        "flannel is not running on {node}",
        "The flannel plugin finds no /run/flannel/subnet.env on {node}, so {pod} gets no network. The daemon writes it with its lease.",
        "cat /run/flannel/subnet.env",
        META,
    ),
    "cni.no-pod-cidr": Phrase(
        "{node} has no podCIDR",
        "Flannel takes a node's spec.podCIDR as its lease. {node} has none, so the daemon waits and the node gets no pod network.",
        "kubectl get nodes -o custom-columns=NAME:.metadata.name,CIDR:.spec.podCIDR",
        FLANNEL,
    ),
    # which network it is
    "cni.detected": Phrase(
        "pod network: {name}",
        "The objects show {name} as the pod network: {evidence}.",
        "ls /etc/cni/net.d",
        documented("the manifests of each network's project"),
    ),
    "cni.assumed": Phrase(
        "pod network: {name}, assumed",
        "No object shows which pod network runs here; {name} is assumed.",
        "ls /etc/cni/net.d",
        documented("kubenet-lab default"),
    ),
    "cni.several": Phrase(
        "more than one pod network shows",
        "The objects show {name} and also {others}. {name} is taken, because its agent runs.",
        "kubectl get daemonsets -A",
        documented("the manifests of each network's project"),
    ),
    # what is programmed
    "cni.flannel-route": Phrase(
        "{subnet} lies behind {device}",
        "Flannel has a lease for {subnet} from {node}: the route leads into {device}, the permanent neighbour gives the remote VTEP's MAC, "
        "the FDB entry the node's address.",
        "ip route; ip neigh show dev {device}; bridge fdb show dev {device}",
        FLANNEL,
    ),
    "cni.flannel-direct": Phrase(
        "{subnet} lies behind {via}",
        "{node} is on the same network, so with DirectRouting flannel routes {subnet} to it without encapsulation.",
        "ip route",
        FLANNEL,
    ),
    "cni.lease-taken": Phrase(
        "{subnet} belongs to two nodes",
        "{node} and {other} both hold {subnet}. Each of the others has one route for it, so the pods of one of the two cannot be reached.",
        "kubectl get nodes -o custom-columns=NAME:.metadata.name,CIDR:.spec.podCIDR",
        FLANNEL,
    ),
    "cni.host-port-taken": Phrase(
        "host port {port} is claimed twice",
        "{pod} and {other} ask for host port {port} on {node}. The portmap plugin reserves nothing: the first rule takes the traffic.",
        "iptables -t nat -S CNI-HOSTPORT-DNAT",
        upstream("containernetworking/plugins plugins/meta/portmap/main.go"),
    ),
}
