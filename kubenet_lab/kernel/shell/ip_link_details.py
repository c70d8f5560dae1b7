"""`ip -d link`: what a link says of itself by kind, and as a port of a bridge. Source: iproute2 6.1 ip/iplink_{bridge,vxlan,bridge_slave}.c."""

from __future__ import annotations

from ..links import Link
from ..namespace import Namespace
from ..stacked import allmulti, promiscuity
from . import ip_macvlan
from .devices import port_cost

__all__ = ["details"]

_SIZES = "gso_max_size 65536 gso_max_segs 65535 tso_max_size 524280 tso_max_segs 65535 gro_max_size 65536 "


def details(ns: Namespace, link: Link, line: str) -> list[str]:
    """The lines that end the record: `line` is the one with the hardware address."""
    low, high = (0, 0) if link.kind == "loopback" else (68, 65535)
    port = bool(link.master)
    line += f" promiscuity {promiscuity(ns, link)}  allmulti {allmulti(ns, link)} minmtu {low} maxmtu {high} "
    queues = 2 if link.kind == "veth" else 1
    tail = f"addrgenmode none numtxqueues {queues} numrxqueues {queues} {_SIZES}"
    kind = {
        "veth": "veth ", "bridge": _bridge_details(ns, link), "vxlan": _vxlan_details(link), "wireguard": "wireguard ",
        "tun": "tun type tun pi off vnet_hdr off persist off ", "macvlan": ip_macvlan.details(link),
    }.get(link.kind, "")  # fmt: skip
    if port:
        # the slave's line ends the record; the kind's own ends where it ends
        return [line, f"    {kind}", f"    {_port_details(ns, link)}{tail}"] if kind else [line, f"    {_port_details(ns, link)}{tail}"]
    return [line, f"    {kind}{tail}"] if kind else [line + tail]


def _vxlan_details(link: Link) -> str:
    v = link.vxlan
    if v is None:
        return ""
    dev = f"dev {v.dev} " if v.dev else ""
    local = (f"local{6 if ':' in v.local else ''} {v.local} ".replace("local6", "local")) if v.local else ""
    learning = "" if v.learning else "nolearning "
    df = "" if v.df == "unset" else f"df {v.df} "
    sums = "udpcsum noudp6zerocsumtx noudp6zerocsumrx "
    return f"vxlan id {v.vni} {local}{dev}srcport 0 0 dstport {v.port} {learning}ttl auto {df}ageing 300 {sums}"


def _bridge_id(ns: Namespace, bridge: Link) -> str:
    return "8000." + ":".join(f"{int(byte, 16):x}" for byte in bridge.mac.split(":"))


def _bridge_details(ns: Namespace, link: Link) -> str:
    if link.kind != "bridge":
        return ""
    calls = {k: ns.sysctl(f"net.bridge.bridge-nf-call-{k}") for k in ("iptables", "ip6tables", "arptables")}
    del calls  # nf_call_* are the bridge's own switches; the sysctls are the namespace's
    me = _bridge_id(ns, link)
    return (
        f"bridge forward_delay 1500 hello_time 200 max_age 2000 ageing_time {round(link.bridge.ageing * 100)} stp_state 0 priority 32768 vlan_filtering {int(link.bridge.vlan_filtering)} "
        f"bridge_id {me} designated_root {me} root_port 0 root_path_cost 0 topology_change 0 topology_change_detected 0 hello_timer    0.00 "
        "tcn_timer    0.00 topology_change_timer    0.00 gc_timer    0.00 group_fwd_mask 0 group_address 01:80:c2:00:00:00 mcast_snooping 1 "
        "no_linklocal_learn 0 mcast_vlan_snooping 0 mcast_router 1 mcast_query_use_ifaddr 0 mcast_querier 0 mcast_hash_elasticity 16 "
        "mcast_hash_max 4096 mcast_last_member_count 2 mcast_startup_query_count 2 mcast_last_member_interval 100 mcast_membership_interval 26000 "
        "mcast_querier_interval 25500 mcast_query_interval 12500 mcast_query_response_interval 1000 mcast_startup_query_interval 3124 "
        "mcast_stats_enabled 0 mcast_igmp_version 2 mcast_mld_version 1 nf_call_iptables 0 nf_call_ip6tables 0 nf_call_arptables 0 "
    )


def _on(value: bool) -> str:
    return "on" if value else "off"


def _port_details(ns: Namespace, link: Link) -> str:
    number = [k.name for k in sorted(ns.ports(link.master), key=lambda k: k.index)].index(link.name) + 1
    me = _bridge_id(ns, ns.links[link.master])
    p = link.port
    state = "forwarding" if link.up and ns.links[link.master].up else "disabled"
    return (
        f"bridge_slave state {state} priority 32 cost {port_cost(ns, link)} hairpin {_on(p.hairpin)} guard off root_block off fastleave off learning {_on(p.learning)} "
        f"flood {_on(p.flood)} port_id {0x8000 + number:#x} port_no {number:#x} designated_port {0x8000 + number} designated_cost 0 "
        f"designated_bridge {me} designated_root {me} hold_timer    0.00 message_age_timer    0.00 forward_delay_timer    0.00 "
        "topology_change_ack 0 config_pending 0 proxy_arp off proxy_arp_wifi off mcast_router 1 mcast_fast_leave off mcast_flood on bcast_flood on "
        "mcast_to_unicast off neigh_suppress off group_fwd_mask 0 group_fwd_mask_str 0x0 vlan_tunnel off "
        f"isolated {_on(p.isolated)} locked off "
    )
