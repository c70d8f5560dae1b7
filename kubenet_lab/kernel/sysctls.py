"""The sysctls of a namespace that the lab knows, with their values at the start."""

from __future__ import annotations

__all__ = ["SYSCTL_DEFAULTS"]

#: sysctl values that differ from 0, as a Kubernetes node has them; the rest of the known keys are 0
SYSCTL_DEFAULTS: dict[str, int] = {
    "net.ipv4.ip_forward": 0,
    "net.ipv6.conf.all.forwarding": 0,
    "net.bridge.bridge-nf-call-iptables": 1,
    "net.bridge.bridge-nf-call-ip6tables": 1,
    "net.bridge.bridge-nf-call-arptables": 1,
    "net.ipv4.conf.all.rp_filter": 0,
    "net.ipv4.conf.default.rp_filter": 0,
    "net.ipv4.conf.all.route_localnet": 0,
    "net.ipv4.conf.all.proxy_arp": 0,
    "net.ipv4.conf.all.accept_local": 0,
    "net.ipv4.neigh.default.proxy_delay": 80,
    "net.ipv6.neigh.default.proxy_delay": 80,
    "net.ipv4.ip_default_ttl": 64,
    "net.ipv4.tcp_syn_retries": 6,
    "net.ipv4.tcp_retries1": 3,
    "net.ipv4.tcp_mtu_probing": 0,
    "net.ipv4.tcp_base_mss": 1024,
    "net.ipv4.tcp_mtu_probe_floor": 48,
    "net.ipv4.icmp_echo_ignore_all": 0,
    "net.ipv4.ip_no_pmtu_disc": 0,
    "net.netfilter.nf_conntrack_tcp_loose": 1,
    "net.netfilter.nf_conntrack_tcp_be_liberal": 0,
    "net.ipv6.conf.all.accept_dad": 0,
    "net.ipv6.conf.default.accept_dad": 1,
    **{f"net.ipv6.conf.{dev}.{name}": 1 for dev in ("all", "default") for name in ("accept_ra", "enhanced_dad", "autoconf")},
    # nothing that is walked depends on these; pods set them by sysctls and by the tuning plugin
    "net.core.somaxconn": 4096,
    "net.ipv4.ip_nonlocal_bind": 0,
    "net.ipv4.ip_unprivileged_port_start": 1024,
    "net.ipv4.tcp_ecn": 2,
    "net.ipv4.tcp_fin_timeout": 60,
    "net.ipv4.tcp_keepalive_intvl": 75,
    "net.ipv4.tcp_keepalive_probes": 9,
    "net.ipv4.tcp_keepalive_time": 7200,
    "net.ipv4.tcp_retries2": 15,
    "net.ipv4.tcp_synack_retries": 5,
    "net.ipv4.tcp_syncookies": 1,
    "net.ipv4.tcp_tw_reuse": 2,
}
