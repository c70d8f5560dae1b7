"""Membership: directions, prefixes, timeouts, lists. Source: Linux net/netfilter/ipset; ipset(8)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenet_lab.errors import KubenetError, NotModelled
from kubenet_lab.kernel.ipset import IpsetError, IpSets
from kubenet_lab.kernel.packet import Icmp, Packet, Raw, Tcp, Udp

WEB = Packet("10.244.0.5", "10.96.0.20", "TCP", Tcp(40000, 80))


def made(text: str, **options: object) -> IpSets:
    sets = IpSets()
    sets.restore(text, **options)  # type: ignore[arg-type]
    return sets


def holds(sets: IpSets, name: str, packet: Packet, flags: str, now: float = 0.0) -> bool:
    found = sets.get(name)
    assert found is not None
    return found.test(packet, flags.split(","), now)


def test_directions_choose_the_side() -> None:
    sets = made("create a hash:ip\nadd a 10.244.0.5\ncreate p hash:ip,port\nadd p 10.96.0.20,tcp:80\nadd p 10.244.0.5,tcp:80\n")
    assert holds(sets, "a", WEB, "src") and not holds(sets, "a", WEB, "dst")
    assert holds(sets, "p", WEB, "dst,dst") and holds(sets, "p", WEB, "src,dst") and not holds(sets, "p", WEB, "dst,src")
    assert not holds(sets, "p", WEB, "dst")  # fewer directions than the set has dimensions
    assert not holds(sets, "p", WEB.but(proto="UDP", l4=Udp(40000, 80)), "dst,dst")
    assert not holds(sets, "p", WEB.but(l4=Raw()), "dst,dst")


def test_the_longest_prefix_decides_and_nomatch_takes_out() -> None:
    sets = made("create n hash:net\nadd n 10.0.0.0/8\nadd n 10.244.0.0/16 nomatch\nadd n 10.244.0.5\n")
    assert holds(sets, "n", WEB, "src") and not holds(sets, "n", WEB.but(src="10.244.0.6"), "src")
    assert holds(sets, "n", WEB.but(src="10.1.1.1"), "src") and not holds(sets, "n", WEB.but(src="11.1.1.1"), "src")
    sets.run(["ipset", "del", "n", "10.244.0.0/16"])
    assert holds(sets, "n", WEB.but(src="10.244.0.6"), "src")


def test_members_leave_when_their_time_is_over() -> None:
    sets = made("create t hash:ip timeout 60\nadd t 10.244.0.5\nadd t 10.96.0.20 timeout 0\n", now=100.0)
    assert holds(sets, "t", WEB, "src", 159.0) and not holds(sets, "t", WEB, "src", 160.0) and holds(sets, "t", WEB, "dst", 9999.0)
    assert "add t 10.244.0.5 timeout 30\n" in sets.save(now=130.0) and "10.244.0.5" not in sets.save(now=161.0)
    sets.run(["ipset", "add", "t", "10.244.0.5"], now=170.0)  # gone, so it may be added again


def test_families_lists_ports_and_masks() -> None:
    sets = made(
        "create six hash:net family inet6\nadd six fd00::/64\ncreate l list:set\nadd l six\ncreate b bitmap:port range 0-1023\nadd b 80\n"
        "create m hash:ip netmask 24\nadd m 10.244.0.77\ncreate i hash:ip,port\nadd i 10.96.0.20,icmp:8/0\ncreate x hash:ip,port,net\n"
        "add x 10.244.0.5,tcp:80,10.96.0.0/12\ncreate y hash:net,net\nadd y 10.244.0.0/16,10.96.0.0/12\n"
    )
    v6 = Packet("fd00::5", "fd01::1", "TCP", Tcp(1, 80))
    assert (
        holds(sets, "six", v6, "src")
        and not holds(sets, "six", WEB, "src")
        and holds(sets, "l", v6, "src")
        and not holds(sets, "l", v6, "dst")
    )
    assert holds(sets, "b", WEB, "dst") and not holds(sets, "b", WEB, "src") and holds(sets, "m", WEB, "src")
    assert holds(sets, "i", WEB.but(proto="ICMP", l4=Icmp(8)), "dst,dst") and not holds(sets, "i", WEB, "dst,dst")
    assert holds(sets, "x", WEB, "src,dst,dst") and not holds(sets, "x", WEB.but(dst="10.1.1.1"), "src,dst,dst")
    assert holds(sets, "y", WEB, "src,dst") and not holds(sets, "y", WEB, "dst,src")


def test_ranges_become_members_or_networks() -> None:
    sets = made(
        "create a hash:ip\nadd a 10.0.0.0/30\ncreate n hash:net\nadd n 10.0.0.1-10.0.0.6\ncreate p hash:ip,port\nadd p 1.1.1.1,udp:53-55\n"
    )
    assert sets.save("a").count("add a") == 4
    assert [line.split()[2] for line in sets.save("n").splitlines()[1:]] == ["10.0.0.1", "10.0.0.2/31", "10.0.0.4/31", "10.0.0.6"]
    assert [line.split()[2] for line in sets.save("p").splitlines()[1:]] == ["1.1.1.1,udp:53", "1.1.1.1,udp:54", "1.1.1.1,udp:55"]


def test_what_is_saved_restores_to_the_same() -> None:
    text = made("create a hash:net family inet6 timeout 0\nadd a fd00::/64 nomatch\ncreate l list:set size 4\nadd l a\n"
                'create c hash:ip comment\nadd c 1.1.1.1 comment "shop web"\n').save()  # fmt: skip
    assert made(text).save() == text


def test_copies_go_their_own_way_and_swap_exchanges_members() -> None:
    sets = made("create a hash:ip\nadd a 10.244.0.5\ncreate b hash:ip\ncreate l list:set\nadd l a\n")
    other = sets.copy()
    sets.run(["ipset", "swap", "a", "b"])
    assert not holds(sets, "a", WEB, "src") and holds(sets, "b", WEB, "src") and not holds(sets, "l", WEB, "src")
    assert holds(other, "a", WEB, "src") and holds(other, "l", WEB, "src")


def test_what_came_before_a_bad_line_stays() -> None:
    sets = IpSets()
    with pytest.raises(IpsetError, match="Error in line 3: The set with the given name does not exist"):
        sets.restore("create a hash:ip\nadd a 1.1.1.1\nadd b 1.1.1.1\nadd a 2.2.2.2\n")
    assert sets.save().count("add") == 1
    with pytest.raises(NotModelled, match="hash:net,iface"):
        sets.restore("create c hash:net,iface\n")


def test_a_set_in_use_stays() -> None:
    sets = IpSets(used=lambda name: name == "a")
    sets.restore("create a hash:ip\ncreate b hash:ip\n")
    with pytest.raises(IpsetError, match="in use by a kernel component"):
        sets.run(["ipset", "destroy", "a"])
    sets.run(["ipset", "destroy", "b"])


@given(st.lists(st.sampled_from(
    ["create", "add", "del", "test", "swap", "rename", "destroy", "flush", "list", "save", "a", "b", "hash:ip", "hash:net",
    "list:set", "1.2.3.4", "10.0.0.0/8", "fd00::1", "timeout", "5", "nomatch", "-exist", "family", "inet6", "comment",
    "1.2.3.4,tcp:80", "hash:ip,port", "bitmap:port", "range", "0-9", "7"]) | st.text(max_size=6), max_size=7))  # fmt: skip
def test_any_line_ends_in_words(words: list[str]) -> None:
    sets = made("create a hash:ip\nadd a 1.2.3.4\n")
    for line in (lambda: sets.run(["ipset", *words]), lambda: sets.restore(" ".join(words))):
        try:
            line()
        except KubenetError:
            pass


LINES = st.sampled_from([
    "create a hash:ip timeout 0", "create b hash:ip", "create c hash:net timeout 0", "create d hash:ip timeout 9",
    "create e hash:ip netmask 24", "create f hash:ip maxelem 2", "create g hash:ip family inet6 timeout 0",
    *(f"add {s} {e}{o}" for s in "abcdefgx"
      for e in ("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.0/30", "10.0.0.1-10.0.0.2", "fd00::1", "x")
      for o in ("", " timeout 0", " timeout 5", " -exist", " timeout 0 -exist")),
    "del a 10.0.0.1", "flush b", "# comment", "",
])  # fmt: skip


@given(st.lists(LINES, max_size=14))
def test_the_commonest_lines_are_read_as_all_others(lines: list[str]) -> None:
    """`restore` reads plain lines without looking at every option. With a blank behind each line it looks."""
    told = []
    for text in ("\n".join(lines), "\n".join(f"{line} " for line in lines)):
        sets = IpSets()
        try:
            sets.restore(text)
            said = ""
        except (IpsetError, NotModelled) as e:
            said = str(e)
        told.append((said, sets.save()))
    assert told[0] == told[1]


CHANGES = ["add a 10.0.0.9", "del a 10.0.0.1", "flush a", "flush", "add a 10.0.0.1 -exist timeout 5", "destroy l\ndestroy a"]
FIRST = "create a hash:ip timeout 0\nadd a 10.0.0.1\nadd a 10.0.0.2\ncreate l list:set\nadd l a\ncreate n hash:net\nadd n 10.0.0.0/8\n"


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("of_the_copy", [True, False])
def test_copies_go_their_own_way(change: str, of_the_copy: bool) -> None:
    first = made(FIRST)
    second, third = first.copy(), first.copy()
    before = first.save()
    (second if of_the_copy else first).restore(change)
    assert (first if of_the_copy else second).save() == third.save() == before
    third.restore("flush")
    assert (first if of_the_copy else second).save() == before
