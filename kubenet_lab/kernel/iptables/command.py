"""The commands of a shell: iptables, iptables-save, iptables-restore and their ip6tables twins.

Source: iptables 1.8.9 iptables/iptables.c, iptables/xtables.c; output and complaints are measured.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from ...errors import NotModelled
from .arguments import Command, parse
from .edit import IptablesError, Refused
from .listing import Style, describe, list_chain, list_specs, list_table
from .model import BUILTIN, Table
from .parse import usage_error
from .ruleset import Ruleset
from .values import Bad

__all__ = ["run"]


Counts: TypeAlias = MutableMapping[int, tuple[int, int]]


def run(
    ruleset4: Ruleset, ruleset6: Ruleset, argv: Sequence[str], *, stdin: str = "", counters: Counts | None = None,
    counters6: Counts | None = None, origin: str = "", when: str = "",
) -> str:  # fmt: skip
    """Run one command line and give what it prints. Raises IptablesError (with exit status) in the tool's own words.

    `argv[0]` names the tool (a path or a -nft/-legacy ending is fine). `stdin` is what -restore reads. `counters` hold packets
    and bytes by uid, one mapping per family. `when`: the time stamp that -save prints, "" for none.
    """
    name = argv[0].rpartition("/")[2]
    program = name.replace("-nft", "").replace("-legacy", "")
    if program not in ("iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore"):
        raise IptablesError(f"{name}: command not found", 127)
    six = program.startswith("ip6")
    rules, known = (ruleset6, counters6) if six else (ruleset4, counters)
    backend = "legacy" if "-legacy" in name else "nft" if "-nft" in name else rules.backend
    if backend != rules.backend:
        raise NotModelled(f"{name}: this node's rules are kept by the {rules.backend} kind of iptables")
    if known is None:
        known = {}
    if program.endswith("-save"):
        return _save(rules, argv[1:], known, when)
    if program.endswith("-restore"):
        return _restore(rules, argv[1:], known, stdin, origin)
    return _iptables(rules, program, argv[1:], known, origin)


def _save(rules: Ruleset, words: Sequence[str], counters: Counts, when: str) -> str:
    table, wants = "", False
    i = 0
    while i < len(words):
        word = words[i]
        i += 1
        if word in ("-c", "--counters"):
            wants = True
        elif word in ("-t", "--table") and i < len(words):
            table = words[i]
            i += 1
        elif word in ("-V", "--version"):
            return _version(rules, "ip6tables-save" if rules.family == 6 else "iptables-save")
        else:
            raise IptablesError(f"Unknown arguments found on commandline: {word}", 1)
    # packets and bytes of policies are printed either way
    policies = {c.uid: counters[c.uid] for t in rules.tables.values() for c in t.chains.values() if c.counted and c.uid in counters}
    text = rules.save(counters if wants else None, table, when)
    return text if wants or not policies else _with_policies(rules, text, policies)


def _with_policies(rules: Ruleset, text: str, policies: dict[int, tuple[int, int]]) -> str:
    table = ""
    lines = text.split("\n")
    for i, line in enumerate(lines):
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith(":"):
            name, policy, _ = line[1:].split(" ")
            chain = rules.tables[table].chains[name]
            packets, nbytes = policies.get(chain.uid, (0, 0))
            lines[i] = f":{name} {policy} [{packets}:{nbytes}]"
    return "\n".join(lines)


def _restore(rules: Ruleset, words: Sequence[str], counters: Counts, stdin: str, origin: str) -> str:
    noflush = wants = test = False
    tables: list[str] = []
    i = 0
    while i < len(words):
        word = words[i]
        i += 1
        if word in ("-n", "--noflush"):
            noflush = True
        elif word in ("-c", "--counters"):
            wants = True
        elif word in ("-t", "--test"):
            test = True
        elif word in ("-v", "--verbose"):
            pass
        elif word in ("-w", "--wait", "-W", "--wait-interval"):
            i += i < len(words) and words[i].isdigit()
        elif word.startswith(("--wait=", "-w")):
            pass
        elif word in ("-T", "--table") and i < len(words):
            tables.append(words[i])
            i += 1
        elif word in ("-V", "--version"):
            return _version(rules, "ip6tables-restore" if rules.family == 6 else "iptables-restore")
        else:
            raise IptablesError(f"Unknown arguments found on commandline: {word}", 1)
    target = rules.copy() if test else rules
    target.restore(stdin, noflush, counters=(dict(counters) if test else counters) if wants else None, tables=tables, origin=origin)
    return ""


def _version(rules: Ruleset, program: str) -> str:
    return f"{program} v1.8.9 ({'nf_tables' if rules.backend == 'nft' else 'legacy'})\n"


def _iptables(rules: Ruleset, program: str, words: Sequence[str], counters: Counts, origin: str) -> str:
    backend = rules.backend
    head = f"{program} v1.8.9 ({'nf_tables' if backend == 'nft' else 'legacy'})"
    try:
        command = parse(words, rules.family, backend)
    except Bad as e:
        raise usage_error(e, program, backend) from None
    if command.action == "V":
        return f"{head}\n"
    if command.action == "h":
        raise NotModelled(f"the help text of {program}")
    if command.other_family:
        raise IptablesError(f"Try `{program} -h' or '{program} --help' for more information.", 2)
    table = command.table or "filter"
    if table not in BUILTIN:
        if backend == "nft":
            raise IptablesError(f"{head}: table '{table}' does not exist\nPerhaps {program} or your kernel needs to be upgraded.", 3)
        reason = f"can't initialize {program} table `{table}': Table does not exist (do you need to insmod?)"
        raise IptablesError(f"{head}: {reason}\nPerhaps {program} or your kernel needs to be upgraded.", 3)
    if backend == "legacy":
        rules.touch(table)
    if command.action in ("L", "S"):
        out = _list(rules, program, head, command, table, counters)
        if command.zero:
            rules.zero(counters, table, command.chain)
        return out
    return _change(rules, program, head, command, table, counters, origin)


def _list(
    rules: Ruleset, program: str, head: str, command: Command, table: str, counters: Counts
) -> str:  # fmt: skip
    found = rules.table(table)
    if command.chain and command.chain not in found.chains:
        if rules.backend == "nft":
            raise IptablesError(f"{head}: chain `{command.chain}' in table `{table}' is incompatible, use 'nft' tool.", 1)
        raise IptablesError(f"{program}: No chain/target/match by that name.", 1)
    if command.action == "S":
        return list_specs(found, command.chain, command.number, counters if command.verbose else None)
    style = Style(command.verbose, command.numeric, command.line_numbers, command.exact)
    if command.chain:
        return list_chain(found, found.chains[command.chain], style, counters, command.number)
    return list_table(found, style, counters)


def _change(
    rules: Ruleset, program: str, head: str, command: Command, table: str, counters: Counts, origin: str
) -> str:  # fmt: skip
    draft = rules.draft(table)
    if rules.backend == "nft" and (command.action == "P" or rules.family == 6):
        command = replace(command, counters=None)  # this kind takes them and forgets them
    said = _said(command, rules.table(table)) if command.verbose else ""
    try:
        draft.apply(command, origin)
        trouble = draft.problem() if command.action in ("A", "I", "R") else ""
        if trouble:
            raise Refused(trouble, *draft.added)
    except Refused as e:
        if e.usage:
            raise usage_error(Bad(e.reason), program, rules.backend) from None
        if e.kernel and rules.backend == "nft":
            where = "chain" if e.kernel == "CHAIN_DEL" else "rule in chain"
            raise IptablesError(f"{head}:  {e.kernel} failed ({e.reason}): {where} {e.chain}", 4) from None
        hint = " Run `dmesg' for more information." if e.reason in ("Invalid argument", "Bad policy name") else ""
        raise IptablesError(f"{program}: {e.reason}.{hint}", 1) from None
    if command.action != "C":
        rules.accept(draft, counters)
    return said


def _said(command: Command, table: Table) -> str:
    """What -v says about what is being done."""
    if command.specs:
        lines = [describe(s) for s in command.specs]
    elif command.action == "F":
        lines = [f"Flushing chain `{n}'" for n in ([command.chain] if command.chain else [c.name for c in table.ordered])]
    elif command.action == "X":
        own = [c.name for c in table.ordered if c.policy is None]
        lines = [f"Deleting chain `{n}'" for n in ([command.chain] if command.chain else own)]
    elif command.action == "Z":
        there = [c.name for c in table.ordered if c.name not in table.absent]
        lines = [f"Zeroing chain `{n}'" for n in ([command.chain] if command.chain else there)]
    else:
        lines = []
    return "".join(f"{line}\n" for line in lines)
