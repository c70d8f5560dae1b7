"""The `kubenet-lab` command: the same answers on a terminal.

Exit status: 0 delivered (or done), 1 not delivered (or something essential is missing), 2 bad input; of `node` and
`pod` it is the command's.
Bad input is answered with one message on stderr, never with a traceback.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from ..errors import CommandError, KubenetError
from .words import EXAMPLES, NODE_EXAMPLES, OUTCOMES_EXAMPLES, PCAP_EXAMPLES, POD_EXAMPLES, RULES_EXAMPLES, TRACE_EXAMPLES

__all__ = ["main"]

OK, NOT_DELIVERED, BAD_INPUT = 0, 1, 2
_SOURCE = "manifests, a dump, - or an example's name: see below"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(BAD_INPUT, f"{self.prog}: {message}\n{self.prog} --help shows examples\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="replace")  # a console that lacks ✓ prints ?
    words = list(sys.argv[1:] if argv is None else argv)
    rest: list[str] = []
    if words[:1] and words[0] in ("lab", "node", "pod") and "--" in words:  # what follows is JupyterLab's, or the shell's
        words, rest = words[: words.index("--")], words[words.index("--") + 1 :]
    args = _parser().parse_args(words)
    args.rest = rest
    try:
        status: int = args.run(args)
        sys.stdout.flush()
        return status
    except KubenetError as problem:
        print(f"kubenet-lab: {problem}", file=sys.stderr)
        return BAD_INPUT
    except OSError as problem:
        if isinstance(problem, BrokenPipeError):  # `| head` has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return OK
        name = f"{problem.filename}: " if problem.filename else ""
        print(f"kubenet-lab: {name}{problem.strerror or problem}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    from importlib.metadata import PackageNotFoundError, version

    try:
        release = version("kubenet-lab")
    except PackageNotFoundError:
        release = "not installed"
    raw = argparse.RawDescriptionHelpFormatter
    parser = _Parser(
        prog="kubenet-lab", formatter_class=raw, epilog=EXAMPLES,
        description="Hold a Kubernetes network in your hands: ask about its traffic, see the answer hop by hop.",
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=f"kubenet-lab {release}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command", required=True, parser_class=_Parser)

    start = commands.add_parser(
        "start", formatter_class=raw, help="write your own copy of the notebooks",
        description="Write your own copy of the notebooks, without outputs. What you changed is never written over.",
        epilog="examples:\n  kubenet-lab start\n  kubenet-lab start ~/networking\n",
    )  # fmt: skip
    start.add_argument("directory", nargs="?", default="course", metavar="DIR", help="the folder of your copy (default: course)")
    start.set_defaults(run=_start)

    lab = commands.add_parser(
        "lab", formatter_class=raw, help="start, then open JupyterLab on the first notebook",
        usage="kubenet-lab lab [-h] [DIR] [-- OPTION ...]",
        description="Write or refresh your copy, then open JupyterLab on its first notebook.",
        epilog="examples:\n  kubenet-lab lab\n  kubenet-lab lab ~/networking -- --no-browser --port 9999\n",
    )  # fmt: skip
    lab.add_argument("directory", nargs="?", default="course", metavar="DIR", help="the folder of your copy (default: course)")
    lab.set_defaults(run=_lab)

    doctor = commands.add_parser(
        "doctor", formatter_class=raw, help="check that everything is here",
        description="Check Python, the packages, JupyterLab's widgets, the lab itself and the tools of the real system (optional).",
        epilog="exit status: 0 the course will run, 1 something essential is missing\n",
    )  # fmt: skip
    doctor.set_defaults(run=_doctor)

    trace = commands.add_parser(
        "trace", formatter_class=raw, help="ask: can SRC reach DST, and which way?", epilog=TRACE_EXAMPLES,
        description="Send one connection through the lab and print its way, hop by hop.",
    )  # fmt: skip
    _connection(trace)
    trace.add_argument("--json", action="store_true", help="print the whole trace as JSON")
    trace.add_argument("--explain", action="store_true", help="tell it in sentences, with the real command for each step")
    trace.add_argument("--pcap", metavar="FILE", help="also write the frames, for Wireshark and tshark")
    _build_options(trace)
    trace.set_defaults(run=_trace)

    pcap = commands.add_parser(
        "pcap", formatter_class=raw, help="write the frames of one connection, for Wireshark", epilog=PCAP_EXAMPLES,
        description="Send one connection through the lab and write the frames that one link saw.",
    )  # fmt: skip
    _connection(pcap)
    pcap.add_argument("-w", dest="file", required=True, metavar="FILE", help='the pcap file; "-" is standard output')
    pcap.add_argument("--at", metavar="LINK", help='the link to listen on, as in "worker-1/cni0"')
    _build_options(pcap)
    pcap.set_defaults(run=_pcap)

    ways = commands.add_parser(
        "outcomes", formatter_class=raw, help="every way a connection can go, with its probability", epilog=OUTCOMES_EXAMPLES,
        description="Every end that one new connection can have: its probability, who answers, which source the server sees.",
    )  # fmt: skip
    _connection(ways)
    ways.add_argument("--json", action="store_true", help="print them as JSON")
    _build_options(ways)
    ways.set_defaults(run=_outcomes)

    rules = commands.add_parser(
        "rules", formatter_class=raw, help="what kube-proxy programmed on a node", epilog=RULES_EXAMPLES,
        description="Print a node's rules: all of them, or those of one Service.",
    )  # fmt: skip
    rules.add_argument("source", metavar="SOURCE", help=_SOURCE)
    rules.add_argument("--node", metavar="NODE", help="whose rules (required)")
    rules.add_argument("--mode", dest="proxy", metavar="MODE", help="how kube-proxy works: iptables or nftables (default: detected)")
    rules.add_argument("--service", metavar="NS/NAME", help="only the rules of this Service")
    rules.add_argument("--written", action="store_true", help="what the agents hand over, instead of what the tool prints")
    _build_options(rules, proxy=False)
    rules.set_defaults(run=_rules)

    for kind, place, epilog in (("node", "NODE", NODE_EXAMPLES), ("pod", "POD", POD_EXAMPLES)):
        machine = commands.add_parser(
            kind, formatter_class=raw, help=f"run a command on a {kind} of the lab: ip route, iptables-save, ping ...", epilog=epilog,
            usage=f"kubenet-lab {kind} [-h] [OPTION ...] SOURCE {place} -- COMMAND",
            description=f"Run a command on a {kind} and print what the real tool prints.",
        )  # fmt: skip
        machine.add_argument("source", metavar="SOURCE", help=_SOURCE)
        machine.add_argument("machine", metavar=place, help=f"the {kind}'s name" if kind == "node" else "ns/name")
        _build_options(machine)
        machine.set_defaults(run=_machine)
    return parser


def _connection(command: argparse.ArgumentParser) -> None:
    """Who talks to whom."""
    command.add_argument("source", metavar="SOURCE", help=_SOURCE)
    command.add_argument("src", metavar="SRC", help="who connects: ns/name, node:NAME, external:IP ...")
    whom = "to whom: ns/name, svc:ns/name, node:NAME, an IP or a name; a port may follow, as in cart:8080"
    command.add_argument("dst", metavar="DST", help=whom)
    command.add_argument("--port", metavar="PORT", help="a number or a port's name (default: the only port of a svc:, else 80)")
    command.add_argument("--protocol", default="TCP", metavar="PROTO", help="TCP, UDP, ICMP ... (default TCP)")
    command.add_argument("--size", type=int, metavar="BYTES", help="payload to send once connected")
    command.add_argument("--via", metavar="NODE", help="the node by which a packet from outside enters")


def _build_options(command: argparse.ArgumentParser, proxy: bool = True) -> None:
    options = command.add_argument_group("how the cluster is built (default: detected from the objects)")
    options.add_argument("--nodes", type=int, metavar="N", help="worker nodes to assume where SOURCE declares none")
    told = {
        "cni": "the pod network, such as flannel", "proxy": "kube-proxy's mode: iptables or nftables",
        "dns": "the DNS server, such as coredns", "policy": "who enforces NetworkPolicies, such as kube-router",
        "kubernetes": "the release, such as 1.34",
    }  # fmt: skip
    for name, meaning in told.items():
        if proxy or name != "proxy":
            options.add_argument(f"--{name}", metavar="NAME", help=meaning)
    options.add_argument("--seed", type=int, metavar="N", help="seed of every random choice (default 0)")


def _start(args: argparse.Namespace) -> int:
    from ..course.workspace import start

    workspace = start(args.directory, echo=print)
    print(f"Open {workspace.first.as_posix()} in JupyterLab, or run: kubenet-lab lab {args.directory}")
    return OK


def _lab(args: argparse.Namespace) -> int:
    from ..course.workspace import start

    workspace = start(args.directory, echo=print)
    try:
        from jupyterlab.labapp import main as jupyterlab
    except ImportError as problem:
        raise KubenetError("JupyterLab is not installed here; run: pip install jupyterlab") from problem
    # in a container one is often root, and nobody else is there
    root = ["--allow-root"] if getattr(os, "geteuid", lambda: 1)() == 0 else []
    jupyterlab([str(workspace.first), *root, *args.rest])
    return OK


def _doctor(args: argparse.Namespace) -> int:
    from ..course.doctor import examine

    findings = examine()
    for finding in findings:
        print(finding)
    if all(finding.ok or not finding.essential for finding in findings):
        print("\nAll that the course needs is here.")
        return OK
    print("\nSomething essential is missing: see the lines with ✗.")
    return NOT_DELIVERED


def _asked(args: argparse.Namespace, cluster: Any) -> tuple[str, dict[str, Any]]:
    """DST and what was said of the connection, as the lab takes it. Of a Service its only port is meant, where none is said."""
    from ..cluster.questions import only_port, split_port

    port = int(args.port) if args.port and args.port.isascii() and args.port.isdigit() else args.port
    dst, written = args.dst, split_port(args.dst)
    if written is not None:
        if args.port:
            raise KubenetError(f"{dst} carries its port: leave --port away")
        dst, port = written
    elif not args.port and dst.startswith("svc:"):
        port = only_port(cluster.snapshot(), dst)
    given = {"size": args.size, "via": args.via, "port": port}
    return dst, {"protocol": args.protocol.upper(), **{k: v for k, v in given.items() if v is not None}}


def _answer(args: argparse.Namespace, verb: str) -> Any:
    """What the lab says of the connection that was asked for: `verb` is "connect" or "outcomes"."""
    cluster = _cluster(args)
    if "://" in args.dst:
        if verb == "outcomes":
            raise KubenetError(f"outcomes are of connections: give the host of {args.dst} as DST, and --port")
        if args.port:
            raise KubenetError("a URL carries its port: write it there and leave --port away")
        return cluster.ask(args.src, args.dst)
    dst, given = _asked(args, cluster)
    found = getattr(cluster, verb)(args.src, dst, **given)
    if "port" not in given and given["protocol"] in ("TCP", "UDP") and not (found if verb == "connect" else all(found)):
        print("kubenet-lab: no port was given, and 80 was asked for; --port says another", file=sys.stderr)
    return found


def _outcomes(args: argparse.Namespace) -> int:
    found = _answer(args, "outcomes")
    print(json.dumps(found.to_dict(), indent=2, ensure_ascii=False) if args.json else found)
    return OK if all(found) else NOT_DELIVERED


def _rules(args: argparse.Namespace) -> int:
    cluster = _cluster(args)
    if args.node is None:
        raise KubenetError(f"which node's rules? --node {', '.join(n.name for n in cluster.nodes)}")
    node, nft = cluster.node(args.node), cluster.proxy.mode == "nftables"
    if args.service is not None:
        from ..cluster.service_rules import HasNoRules, service_rules

        if args.written:
            raise KubenetError("--written is all that the agents hand over: leave --service away")
        try:
            text, why = str(service_rules(cluster, args.node, args.service)), f"{args.node} has no rule for Service {args.service}"
        except HasNoRules as nothing:
            text, why = "", str(nothing)
        if not text:
            print(f"kubenet-lab: {why}", file=sys.stderr)
            return NOT_DELIVERED
        print(text)
    elif args.written:
        print(node.nft_written() if nft else node.iptables_written(), end="")
    else:
        print(node.nft_ruleset() if nft else node.iptables_save(), end="")
    return OK


def _pcap(args: argparse.Namespace) -> int:
    result = _answer(args, "connect")
    if args.file == "-":
        from ..kernel.pcap import capture

        data, count = capture(result, args.at)
        sys.stdout.buffer.write(data)
    else:
        count = result.to_pcap(Path(args.file), at=args.at)
    frames = f"{count} frame{'' if count == 1 else 's'}"
    print(f"{result.question}: {result.summary}\nwrote {frames} to {args.file}", file=sys.stderr if args.file == "-" else sys.stdout)
    return OK if result else NOT_DELIVERED


def _machine(args: argparse.Namespace) -> int:
    if not args.rest:
        raise KubenetError(f"which command? kubenet-lab {args.command} {args.source} {args.machine} -- ip route")
    cluster = _cluster(args)
    machine = cluster.node(args.machine) if args.command == "node" else cluster.pod(args.machine)
    try:
        out = machine.run(args.rest[0] if len(args.rest) == 1 else shlex.join(args.rest))
    except CommandError as problem:
        print(problem, file=sys.stderr)
        return getattr(problem, "status", BAD_INPUT)
    print(out, end="")
    return int(out.status)


def _trace(args: argparse.Namespace) -> int:
    result = _answer(args, "connect")
    if args.pcap:
        result.to_pcap(Path(args.pcap))
    if args.json:
        print(json.dumps(result.to_dict(), indent=2, ensure_ascii=False, default=str))
    elif args.explain:
        print(result.explain())
    else:
        print("\n".join(_lines(result)))
    if args.pcap and not args.json:
        print(f"wrote {args.pcap}")
    return OK if result else NOT_DELIVERED


def _cluster(args: argparse.Namespace) -> Any:
    import kubenet_lab as kn

    options = {name: getattr(args, name) for name in ("nodes", "cni", "proxy", "dns", "policy", "kubernetes", "seed")}
    options = {name: value for name, value in options.items() if value is not None}
    if args.source == "-":
        return kn.load(sys.stdin.read(), **options)
    looks_like_path = Path(args.source).exists() or any(c in args.source for c in "/\\*?.")
    return kn.load(args.source, **options) if looks_like_path else kn.example(args.source, **options)


def _lines(trace: Any, indent: str = "", *, nested: bool = False) -> list[str]:
    """The short form: the verdict, why, and one line per hop."""
    lines = [f"{indent}{trace.question}", f"{indent}{trace.summary}"]
    lines += [f"{indent}  because: {reason}" for reason in trace.reasons]
    if not nested:
        lines += [f"{indent}  assumed: {text}" for text in trace.assumptions]
    if trace.stages:
        for name, stage in trace.stages:
            lines.append(f"{indent}{name}:")
            if hasattr(stage, "hops"):
                lines += _lines(stage, indent + "  ", nested=True)
            else:
                lines += [f"{indent}  {line}" for line in str(stage).splitlines() if line.strip()]
        return lines
    where = max((len(hop.host) for hop in trace.hops), default=0)
    for hop in trace.hops:
        entry = f"   [{hop.entry}]" if hop.entry else ""
        lines.append(f"{indent}  {hop.number:>2}  {hop.host:<{where}}  {'✗ ' if hop.failed else ''}{hop.title}{entry}")
    return lines
