"""ip, bridge and sysctl: the same commands in a real namespace and in the lab print the same and end with the same status."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = [pytest.mark.real, pytest.mark.kernel]

SETUP = [
    "ip link add d0 address 02:00:00:00:00:d0 type veth peer name d1 address 02:00:00:00:00:d1",
    "ip link add br0 address 02:00:00:00:00:b0 type bridge",
    "ip link set d0 up",
]

SHOWS = ["ip link", "ip -d link show d0", "ip -br link", "ip -o link", "ip addr", "ip -4 addr", "ip -6 addr", "ip -br addr", "ip -o addr", "ip -4 -br addr",
         "ip route", "ip -d route", "ip -4 route show table all", "ip route show table local", "ip -6 route", "ip rule", "ip -6 rule", "ip neigh",
         "bridge link", "bridge -d link", "ip -j link", "ip -j addr", "ip -j route", "ip -j rule", "ip -p -j route", "ip -p -j link show lo",
         "ip -p -j addr show d0"]  # fmt: skip


def everything(pair: Any) -> None:
    for line in SHOWS:
        pair.same(line)
    for line in ("ip -6 route show table local", "bridge fdb", "ip -6 route show table all"):
        pair.same(line, ordered=False)


def test_links_by_stages(pair: Any) -> None:
    everything(pair)
    pair.do(*SETUP)
    everything(pair)
    pair.do("ip addr add 10.0.0.1/24 brd + dev d0", "ip link set d1 up", "ip link set d1 master br0")
    everything(pair)
    pair.do("ip link set br0 up", "bridge link set dev d1 hairpin on isolated on", "ip addr add 10.1.0.1/16 dev br0")
    everything(pair)
    pair.do("ip link add vx0 address 02:00:00:00:00:f0 mtu 1400 type vxlan id 7 local 10.0.0.1 dev d0 dstport 8472 nolearning", "ip link set vx0 up")
    everything(pair)
    pair.same("ip -d link show vx0")
    pair.do("ip link set d0 mtu 9000", "ip link set d1 down", "ip link set br0 promisc on", "ip link set vx0 arp off")
    everything(pair)
    pair.do("ip addr flush dev br0", "ip link set d1 nomaster", "ip link set d1 name renamed", "ip link set d0 address 02:00:00:00:00:99")
    pair.same("ip route")
    for line in ("ip addr show d0", "ip link show renamed", "ip link show vx0"):
        pair.same(line)
    pair.do("ip link del renamed")
    pair.same("ip link show d0", usage=True)
    pair.same("ip -br addr show vx0")


def test_addresses(pair: Any) -> None:
    pair.do(*SETUP, "ip link set d1 up")
    for line in ("ip addr add 10.0.0.1/24 dev d0", "ip addr add 10.0.0.2/24 brd + dev d0", "ip addr add 10.0.0.3/25 dev d0", "ip addr add 10.9.0.4/24 dev d0 noprefixroute",
                 "ip addr add 10.0.0.5 dev d0", "ip addr add 10.7.0.1/24 dev d0 scope link", "ip addr add 127.0.5.1/8 dev lo", "ip addr add fd00::1/64 dev d0",
                 "ip addr add fd00::2/64 dev d0", "ip addr add fd01::2/128 dev d0", "ip addr add fe80::7/64 dev d0", "ip addr add 10.8.0.0/31 dev d0"):  # fmt: skip
        pair.do(line)
        for show in ("ip addr", "ip route", "ip -6 route", "ip -o addr show d0", "ip -j addr show d0", "ip -4 route show table local"):
            pair.same(show)
    for show in ("ip addr show scope global", "ip addr show to 10.0.0.0/25", "ip -4 addr show dev d0 scope link", "ip addr show up", "ip -6 addr show scope link"):
        pair.same(show)
    for line in ("ip addr del 10.0.0.1/24 dev d0", "ip addr del 10.0.0.3 dev d0", "ip addr del fd00::1/64 dev d0", "ip addr del fd00::2/64 dev d0",
                 "ip addr flush dev d0 scope link", "ip -4 addr flush dev d0", "ip addr flush dev d0"):  # fmt: skip
        pair.do(line)
        for show in ("ip addr", "ip route", "ip -6 route"):
            pair.same(show)


def test_routes(pair: Any) -> None:
    pair.do(*SETUP, "ip link set d1 up", "ip addr add 10.0.0.1/24 dev d0", "ip addr add fd00::1/64 dev d0")
    for line in ("ip route add default via 10.0.0.9", "ip route add 10.1.0.0/16 via 10.0.0.8", "ip route add 10.1.0.0/16 via 10.0.0.7 metric 5",
                 "ip route append 10.1.0.0/16 via 10.0.0.6", "ip route add 10.1.1.0/24 dev d0", "ip route add 10.2.0.0/16 via 172.16.0.1 dev d0 onlink",
                 "ip route add blackhole 10.3.0.0/16", "ip route add unreachable 10.4.0.0/16 metric 9", "ip route add prohibit 10.5.0.0/16", "ip route add throw 10.6.0.0/16",
                 "ip route add 10.7.0.0/24 dev d0 src 10.0.0.1 proto static mtu 1400", "ip route add 10.8.0.0/24 dev d0 table 100", "ip route add 10.8.0.0/24 via 10.0.0.3 table 7",
                 "ip route add 10.9.9.9 dev d0 scope host", "ip route replace 10.1.0.0/16 via 10.0.0.5", "ip route change 10.1.1.0/24 via 10.0.0.5",
                 "ip route add 10/8 via 10.0.0.2", "ip route add fd02::/64 via fd00::9", "ip route add fd02::/65 via fd00::8", "ip -6 route add default via fd00::7",
                 "ip -6 route add fd03::/64 dev d0 metric 5", "ip -6 route add blackhole fd04::/64", "ip -6 route add unreachable fd05::/64",
                 "ip -6 route add fd06::1 dev d0 proto static", "ip route add 10.71.0.0/24 dev d0 mtu 1400 advmss 1300",
                 "ip route add 10.72.0.0/24 via 10.0.0.3 advmss 70000", "ip route add 10.73.0.0/24 dev d0 advmss 0",
                 "ip route add fd07::/64 via fd00::9 advmss 1200"):  # fmt: skip
        pair.do(line)
        for show in ("ip route", "ip -6 route", "ip -j route", "ip -d route"):
            pair.same(show)
    for show in ("ip route show table 100", "ip route show table 7", "ip -4 route show table all", "ip route show proto static", "ip route show dev d0",
                 "ip route show via 10.0.0.5", "ip route show scope link", "ip route show type blackhole", "ip route show match 10.1.1.7", "ip route show root 10.0.0.0/8",
                 "ip route show exact 10.1.0.0/16", "ip route show 10.1.0.0/16", "ip route show default", "ip -6 route show dev d0", "ip -6 route show fd02::/64",
                 "ip route show proto kernel", "ip route list table main", "ip r s", "ip ro ls dev d0 proto kernel scope link"):  # fmt: skip
        pair.same(show)
    for get in ("10.1.0.5", "10.1.1.5", "10.3.0.1", "10.4.0.1", "10.5.0.1", "10.6.0.1", "10.0.0.1", "127.0.0.1", "10.7.0.9", "8.8.8.8", "10.2.0.1", "10.71.0.5", "10.72.0.5",
                "10.1.0.5 from 10.0.0.1", "10.1.0.5 from 9.9.9.9", "10.1.0.5 oif d0", "8.8.8.8 oif br0", "10.8.0.1 mark 1"):  # fmt: skip
        pair.same(f"ip route get {get}")
        pair.same(f"ip -o route get {get}")
    for get in ("fd02::5", "fd00::5", "fd00::1", "fd04::1", "fd05::1", "fd06::1", "fe00::1", "::1"):
        pair.same(f"ip -6 route get {get}")
    for line in ("ip route del 10.1.0.0/16 via 10.0.0.7", "ip route del 10.1.0.0/16", "ip route del 10.1.0.0/16", "ip route del 10.3.0.0/16", "ip route del default",
                 "ip route del 10.8.0.0/24 table 7", "ip route del fd02::/64", "ip -6 route del default", "ip route flush proto static", "ip route flush root 10.4.0.0/14",
                 "ip route flush table 100"):  # fmt: skip
        pair.do(line)
        pair.same("ip route")
        pair.same("ip -6 route")


def test_rules(pair: Any) -> None:
    pair.do("ip link add d0 type veth peer name d1")
    for line in ("ip rule add from 1.2.3.4 table 100", "ip rule add from 10.0.0.0/8 to 10.1.0.0/16 lookup main", "ip rule add fwmark 0x10/0xff table 7 pref 5",
                 "ip rule add fwmark 16 table 7", "ip rule add blackhole to 7.7.7.0/24 pref 90", "ip rule add not from 7.7.7.0/24 lookup 9 priority 91",
                 "ip rule add iif d0 lookup main pref 92", "ip rule add oif nope lookup main pref 93", "ip rule add prio 94", "ip rule add unreachable from 6.6.6.6 pref 95",
                 "ip -6 rule add from fd00::/64 table 5", "ip -6 rule add to fd01::1 table 6 pref 3", "ip rule add prohibit pref 96"):  # fmt: skip
        pair.do(line)
        pair.same("ip rule")
        pair.same("ip -6 rule")
    pair.same("ip rule show table 7")
    for line in ("ip rule del pref 5", "ip rule del from 1.2.3.4", "ip rule del blackhole to 7.7.7.0/24", "ip rule del fwmark 16 table 7", "ip rule del not from 7.7.7.0/24",
                 "ip -6 rule del table 5", "ip rule del iif d0"):  # fmt: skip
        pair.same(line)
        pair.same("ip rule")
    pair.do("ip rule flush")
    pair.same("ip rule")


def test_neighbours(pair: Any) -> None:
    pair.do(*SETUP, "ip link set d1 up", "ip addr add 10.0.0.1/24 dev d0")
    for line in ("ip neigh add 10.0.0.50 lladdr aa:bb:cc:dd:ee:50 dev d0", "ip neigh add 10.0.0.51 lladdr aa:bb:cc:dd:ee:51 dev d0 nud stale",
                 "ip neigh replace 10.0.0.52 lladdr AA:BB:CC:DD:EE:52 nud permanent dev d0", "ip neigh replace 10.0.0.50 lladdr aa:bb:cc:dd:ee:59 dev d0",
                 "ip neigh change 10.0.0.50 lladdr aa:bb:cc:dd:ee:58 dev d0", "ip neigh add 10.0.0.53 lladdr aa:bb:cc:dd:ee:53 dev d0 nud noarp",
                 "ip neigh add fd00::9 lladdr aa:bb:cc:dd:ee:09 dev d0"):  # fmt: skip
        pair.do(line)
        for show in ("ip neigh", "ip -4 neigh", "ip neigh show dev d0", "ip neigh show nud permanent", "ip neigh show 10.0.0.50", "ip -j neigh show 10.0.0.50",
                     "ip -6 neigh", "ip n s to 10.0.0.0/24 nud all"):  # fmt: skip
            pair.same(show, ordered=False)
    pair.same("ip neigh get 10.0.0.50 dev d0")
    for line in ("ip neigh del 10.0.0.50 dev d0", "ip neigh flush dev d0", "ip neigh flush nud permanent"):
        pair.do(line)
        pair.same("ip neigh show nud all dev d0", ordered=False)
    pair.do("ip neigh replace 10.0.0.77 lladdr aa:bb:cc:dd:ee:50 dev d0", "ip link set d0 down")
    pair.same("ip neigh")


@pytest.mark.parametrize("df", ["unset", "set", "inherit"])
def test_df_of_a_vxlan_device(pair: Any, df: str) -> None:
    pair.do(*SETUP)
    pair.same(f"ip link add vx0 address 02:00:00:00:00:f0 type vxlan id 7 local 10.0.0.1 dev d0 dstport 8472 nolearning df {df}")
    pair.same("ip -d link show vx0")


def test_forwarding_entries(pair: Any) -> None:
    pair.do(*SETUP, "ip link set d1 up", "ip link set d1 master br0", "ip link set br0 up", "ip addr add 10.0.0.1/24 dev d0",
            "ip link add vx0 address 02:00:00:00:00:f0 type vxlan id 7 local 10.0.0.1 dev d0 dstport 8472 nolearning", "ip link set vx0 up")  # fmt: skip
    for line in ("bridge fdb add aa:bb:cc:dd:ee:01 dev vx0 dst 1.1.1.1", "bridge fdb add aa:bb:cc:dd:ee:01 dev vx0 dst 1.1.1.2", "bridge fdb append aa:bb:cc:dd:ee:01 dev vx0 dst 1.1.1.2",
                 "bridge fdb append aa:bb:cc:dd:ee:02 dev vx0 dst 1.1.1.1 self", "bridge fdb replace aa:bb:cc:dd:ee:02 dev vx0 dst 1.1.1.3 static",
                 "bridge fdb append 00:00:00:00:00:00 dev vx0 dst 1.1.1.1", "bridge fdb append 00:00:00:00:00:00 dev vx0 dst 1.1.1.2",
                 "bridge fdb append 00:00:00:00:00:00 dev vx0 dst 1.1.1.2", "bridge fdb replace 00:00:00:00:00:00 dev vx0 dst 1.1.1.9", "bridge fdb add aa:bb:cc:dd:ee:03 dev vx0",
                 "bridge fdb append aa:bb:cc:dd:ee:04 dev vx0 dst 1.1.1.4 dynamic", "bridge fdb add aa:bb:cc:dd:ee:05 dev d1 master static",
                 "bridge fdb add aa:bb:cc:dd:ee:05 dev d1 master static", "bridge fdb replace aa:bb:cc:dd:ee:05 dev d1 master", "bridge fdb add aa:bb:cc:dd:ee:06 dev d1 master",
                 "bridge fdb add aa:bb:cc:dd:ee:07 dev d0", "bridge fdb add aa:bb:cc:dd:ee:07 dev d0", "bridge fdb add aa:bb:cc:dd:ee:08 dev d0 self static"):  # fmt: skip
        pair.same(line)
        for show in ("bridge fdb", "bridge fdb show dev vx0", "bridge fdb show br br0", "bridge fdb show dev d1", "bridge fdb show brport d0"):
            pair.same(show, ordered=False)
    for line in ("bridge fdb del aa:bb:cc:dd:ee:01 dev vx0 dst 9.9.9.9", "bridge fdb del aa:bb:cc:dd:ee:01 dev vx0", "bridge fdb del aa:bb:cc:dd:ee:01 dev vx0",
                 "bridge fdb del 00:00:00:00:00:00 dev vx0 dst 1.1.1.1", "bridge fdb del 00:00:00:00:00:00 dev vx0", "bridge fdb del aa:bb:cc:dd:ee:05 dev d1 master",
                 "bridge fdb del aa:bb:cc:dd:ee:05 dev d1 master", "bridge fdb del aa:bb:cc:dd:ee:07 dev d0", "bridge fdb del aa:bb:cc:dd:ee:07 dev d0"):  # fmt: skip
        pair.same(line)
        pair.same("bridge fdb", ordered=False)
    for line in ("bridge link set dev d1 flood off", "bridge link set dev d1 learning off hairpin on", "bridge link set dev d1 isolated on"):
        pair.do(line)
        pair.same("bridge -d link show dev d1")


def test_sysctl(pair: Any) -> None:
    pair.do("ip link add d0 type veth peer name d1")
    for line in ("sysctl net.ipv4.ip_forward", "sysctl -w net.ipv4.ip_forward=1", "sysctl -n net.ipv4.ip_forward", "sysctl net.ipv4.conf.all.forwarding",
                 "sysctl net/ipv4/ip_forward", "sysctl net.ipv4.conf.d0.rp_filter=1", "sysctl net.ipv4.conf.d0.rp_filter", "sysctl -N net.ipv4.ip_forward",
                 "sysctl -qw net.ipv4.ip_forward=0", "sysctl net.ipv4.ip_forward net.ipv4.ip_default_ttl", "sysctl net.ipv4.conf.nope.rp_filter", "sysctl net.ipv4.frob",
                 "sysctl -e net.ipv4.frob", "sysctl -w net.ipv4.ip_forward", "sysctl -w net.ipv4.frob=1", "sysctl -w net.ipv4.ip_forward=abc",
                 "sysctl -w net.ipv4.conf.d0.proxy_arp=1", "sysctl -n net.ipv4.conf.d0.proxy_arp", "sysctl net.ipv4.tcp_syn_retries"):  # fmt: skip
        pair.same(line)


COMPLAINTS = """
ip link show nope
ip link show dev nope
ip addr show dev nope
ip link set nope up
ip link set dev d0 mtu
ip link set dev d0 mtu abc
ip link set dev d0 mtu 10
ip link set dev d0 mtu 70000
ip link set dev d0 frob
ip link set dev d0
ip link set
ip link add d0 type bridge
ip link add foo type frob
ip link add foo
ip link del nope
ip link del lo
ip link set dev d0 master nope
ip link set dev d0 master d1
ip link set dev d0 arp frob
ip link set dev d0 type bridge_slave hairpin on
ip link set dev br0 master br1
ip link set dev lo master br0
ip link set dev d0 name d1
ip link set dev d0 address zz
ip link add v1 type vxlan
ip link add v1 type vxlan id 1 dev nope dstport 1
ip link add v1 type vxlan id 1 dstport 1 df sometimes
ip link add aaaaaaaaaaaaaaaaa type bridge
ip link add x y z
ip link frob
ip addr add 10.0.0.1/24 dev d0
ip addr add 10.0.0.1/33 dev d0
ip addr add 10.0.0.300/24 dev d0
ip addr add 10.0.0.2/24
ip addr add dev d0
ip addr del 10.0.0.9/24 dev d0
ip addr del dev d0
ip addr add 10.5.0.1 dev nope
ip addr flush
ip addr frob
ip frob
ip -5 route
ip route add 10.1.0.0/16
ip route add 10.1.0.1/16 dev d0
ip route add 10.1.0.0/16 via 1.2.3.4
ip route add 10.1.0.0/16 via 10.0.0.7 dev nope
ip route add 10.1.0.0/16 dev d0 advmss x
ip route add 10.1.0.0/16 dev d0 advmss
ip route add 10.1.0.0/16 via 10.0.0.7
ip route add 10.1.0.0/16 via 10.0.0.8
ip route add 10.1.0.0/16 via 1.2.3.4
ip route change 10.99.0.0/16 via 10.0.0.9
ip route del 10.77.0.0/16
ip route del 10.77.0.0/16 dev nope
ip route del 10.1.0.0/16 via 10.0.0.99
ip route add 10.1.0.0/16 via 10.0.0.8 metric abc
ip route add 10.1.0.0/16 frob 10.0.0.8
ip route get
ip route get foo
ip route get 99.9.9.9
ip route add 10.1.0.0/16 via
ip route add 10.1.0.0/16 via foo
ip route add 10.1.0.0/16 via 10.0.0.3 via 10.0.0.5
ip route add 10.2.0.0/16 dev d0 src 9.9.9.9
ip route add 10.2.0.0/16 dev d0 table foo
ip route add 10.2.0.0/16 dev d0 onlink
ip route add 10.2.0.0/16 via 10.0.0.9 onlink
ip route add 10.2.0.0/16 dev br0
ip route add 10.2.0.0/16 via 10.0.0.1 dev br0
ip route add blackhole 10.5.0.0/24 via 10.0.0.9
ip route add blackhole 10.5.0.0/24 dev d0
ip route add 10.3.0.0/24 blackhole
ip route add fd00::/64 via 10.1.0.1 dev d0
ip route add 10.6.0.0/24 via fd00::1
ip -6 route add 10.6.0.0/24 dev d0
ip route show table foo
ip route show table 77
ip route show dev nope
ip route show scope frob
ip route show type frob
ip route frob
ip route flush
ip route add 10.2.0.0/16 via 10.0.0.9 dev br0 onlink
ip -6 route add fd08::/64 via fd77::9
ip -6 route add fd08::/64 dev br0
ip -6 route del fd08::/64
ip neigh add 10.0.0.9 lladdr zz dev d0
ip neigh add 10.0.0.9 lladdr aa:bb:cc:dd:ee:ff dev nope
ip neigh add 10.0.0.9 lladdr aa:bb:cc:dd:ee:ff
ip neigh add 10.0.0.10 dev d0
ip neigh del 10.0.0.8 dev d0
ip neigh del 10.0.0.9
ip neigh show dev nope
ip neigh add foo dev d0
ip neigh frob
ip neigh change 10.0.0.77 lladdr aa:bb:cc:dd:ee:ff dev d0
ip neigh add 10.0.0.11 lladdr aa:bb:cc:dd:ee:ff dev d0 nud frob
ip neigh get 10.0.0.77 dev d0
ip neigh flush
ip rule add
ip rule del
ip rule add from foo table 100
ip rule del from 9.9.9.9
ip rule del pref 500
ip rule add table foo
ip rule add frob
ip rule add from fd00::1 table 5
ip rule add to fd00::1 table 5
ip -6 rule add to 1.1.1.1 table 5
ip rule add from 1.1.1.1 fwmark zz
ip rule frob
bridge fdb add aa:bb:cc:dd:ee:ff dev nope
bridge fdb add aa:bb:cc:dd:ee:ff
bridge fdb add zz dev d0
bridge fdb del aa:bb:cc:dd:ee:01 dev d0
bridge fdb add aa:bb:cc:dd:ee:ff dev d0 master
bridge fdb frob
bridge fdb show br nope
bridge fdb show dev nope
bridge frob
bridge link set dev nope hairpin on
bridge link set dev d1 hairpin on
bridge link set dev d1 hairpin frob
bridge link set dev d1 hairpin
bridge link set hairpin on
bridge link show dev nope
"""


def test_complaints(pair: Any) -> None:
    """Bad commands are refused in the tool's words, with its status, and change nothing."""
    pair.do("ip link add d0 address 02:00:00:00:00:d0 type veth peer name d1 address 02:00:00:00:00:d1", "ip link set d0 up", "ip link set d1 up",
            "ip addr add 10.0.0.1/24 dev d0", "ip link add br0 type bridge", "ip link add br1 type bridge")  # fmt: skip
    wrong = []
    for line in [k for k in COMPLAINTS.splitlines() if k]:
        try:
            pair.same(line)
        except AssertionError as e:
            wrong.append(f"{line}: {e}")
    assert not wrong, "\n\n".join(wrong)
    for show in ("ip route", "ip rule", "ip -br addr show d0", "ip -6 route", "ip link show d0"):
        pair.same(show)


USAGES = ["ip", "ip route add", "ip route del", "ip link add v1 type veth frob", "bridge", "bridge link set dev d0 frob on"]


def test_usages(pair: Any) -> None:
    """Where the real tool prints its usage, so does the lab's, with what the lab knows."""
    pair.do("ip link add d0 type veth peer name d1")
    for line in USAGES:
        theirs, status = pair.real.run(line)
        ours, mine = pair.lab.run(line)
        assert mine == status and ours.startswith("Usage: ") and theirs.startswith("Usage: "), line


def test_addresses_to_answer_for(pair: Any) -> None:
    pair.do(*SETUP)
    for line in ("ip neigh add proxy 10.1.1.1 dev d0", "ip neigh add proxy 10.1.1.1 dev d0", "ip neigh add proxy 10.1.1.2 dev d1", "ip neigh add proxy 192.168.7.33 dev d0",
                 "ip neigh add proxy 169.254.1.1 dev d1", "ip neigh add proxy 10.1.1.17 dev d0", "ip -6 neigh add proxy fd00::1:7 dev d0", "ip -6 neigh add proxy fe80::1 dev d0",
                 "ip neigh add proxy 10.1.1.9", "ip neigh add proxy nonsense dev d0", "ip neigh del proxy 10.1.1.3 dev d0", "ip neigh del proxy 10.1.1.2 dev d1"):  # fmt: skip
        pair.same(line)
        for show in ("ip neigh", "ip neigh show proxy", "ip neigh show proxy dev d0", "ip -4 neigh show proxy", "ip -j neigh show proxy", "ip neigh show proxy to 10.1.1.0/24"):
            pair.same(show)
    pair.do("ip link set d0 name d9")
    pair.same("ip neigh show proxy")
    for line in ("sysctl net.ipv4.neigh.d9.proxy_delay", "sysctl -w net.ipv4.neigh.d9.proxy_delay=0", "sysctl net.ipv4.neigh.d9.proxy_delay", "sysctl net.ipv6.neigh.d9.proxy_delay",
                 "sysctl net.ipv4.neigh.nodev.proxy_delay", "sysctl -w net.ipv4.conf.d9.proxy_arp_pvlan=1", "sysctl -w net.ipv4.conf.d9.forwarding=1",
                 "sysctl net.ipv4.ip_forward net.ipv4.conf.d1.forwarding", "sysctl -w net.ipv4.ip_forward=1", "sysctl net.ipv4.conf.d1.forwarding",
                 "sysctl -w net.ipv4.conf.d1.forwarding=0", "sysctl -w net.ipv4.conf.all.forwarding=1", "sysctl net.ipv4.conf.d1.forwarding",
                 "sysctl -w net.ipv4.conf.default.forwarding=0", "ip link add d5 type veth peer name d6", "sysctl net.ipv4.conf.d5.forwarding"):  # fmt: skip
        pair.same(line)
