"""`CniRuntime`: CNI by hand on one node, as a container runtime or `cnitool` does it.

Every operation is an `Operation`: what was called with what, what came back, what changed. A plugin's error is an
answer, not an exception; a conflist that cannot be read raises CniError.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..errors import KubenetError, NotFound
from ..kernel.namespace import Namespace
from ..kernel.network import Network
from ..kernel.state import State
from .conflist import CONF_DIR, NetworkList
from .contract import PluginHost, netns_path
from .libcni import Attachment, Runtime
from .live import LiveHost
from .record import Operation, Recorder, differences, observe
from .result import CniError, Result
from .skel import version_reply

__all__ = ["CniRuntime", "empty_node"]

Conflist = str | Mapping[str, Any] | NetworkList

#: hears of an operation (None: only the disk changed) with its conflist, its arguments, and the disk before it
Done = Callable[[Operation | None, NetworkList | None, Mapping[str, Any], Mapping[str, str]], None]

#: the names of a pod: (container id, id of its network namespace)
Naming = Callable[[str], tuple[str, str]]


def empty_node(name: str = "node", address: str = "192.168.50.11/24", gateway: str = "192.168.50.1") -> Network:
    """One machine on a network with a router to the world outside; nothing of Kubernetes on it."""
    network = Network()
    length = address.partition("/")[2]
    network.add_segment("lan", cidr=f"{gateway}/{length}")
    network.add_gateway("lan", f"{gateway}/{length}")
    network.add_host(name).root.label = f"node:{name}"
    network.plug(name, "lan", address=address)
    network.namespaces[name].add_route("default", via=gateway)
    return network


def _args(args: str | Mapping[str, str]) -> str:
    return args if isinstance(args, str) else ";".join(f"{k}={v}" for k, v in args.items())


def _naming(pod: str) -> tuple[str, str]:
    return pod.replace("/", "_"), f"pod:{pod}"


class CniRuntime:
    """CNI on one node: `kn.CniRuntime()` has an empty node of its own, `cluster.node("worker-1").cni` is one of a cluster.

    A pod is named by its name; its network namespace is made when it is first added. `log` holds every operation.
    """

    def __init__(
        self,
        host: PluginHost | Callable[[], PluginHost] | None = None,
        *,
        naming: Naming = _naming,
        shell: Callable[[str, str, str], str] | None = None,
        done: Done | None = None,
    ):
        """`naming`, `shell` and `done` tie it to a cluster: names of its pods, its shell, and who hears of what was changed.

        `host` may be a function, for a node that is built anew when the cluster changes.
        """
        if host is None:
            from . import INSTALLED

            host = LiveHost(empty_node(), "node", INSTALLED)
        self._host = host
        self._naming, self._shell, self._done = naming, shell, done
        self._lists: dict[tuple[str, str], NetworkList] = {}  # what ADD was called with: DEL may be repeated
        self.log: tuple[Operation, ...] = ()

    @property
    def host(self) -> PluginHost:
        """The node as plugins see it."""
        host = self._host if isinstance(self._host, PluginHost) else self._host()
        host.recorder = host.recorder or Recorder(host)
        return host

    # -------------------------------------------------------------------------------------------------- operations
    def add(
        self,
        pod: str,
        conflist: Conflist | None = None,
        *,
        ifname: str = "eth0",
        args: str | Mapping[str, str] = "",
        capabilities: Mapping[str, Any] | None = None,
    ) -> Operation:
        """ADD: attach a pod. `args` is CNI_ARGS ("IP=10.1.0.9" or a mapping), `capabilities` what the runtime hands to plugins
        that declare it (`{"portMappings": [...]}`). Without a conflist: the first one in /etc/cni/net.d."""
        conf, (container, netns) = self._list(conflist), self._naming(pod)
        text = _args(args)
        self.sandbox(pod)
        self._lists[container, ifname] = conf
        how = {"pod": pod, "netns": netns, "args": text, "capabilities": capabilities}
        return self._operate("ADD", conf, container, ifname, how, lambda r: r.add(conf, container, netns, ifname, text, capabilities))

    def delete(
        self,
        pod: str,
        conflist: Conflist | None = None,
        *,
        ifname: str = "eth0",
        args: str | Mapping[str, str] = "",
        capabilities: Mapping[str, Any] | None = None,
    ) -> Operation:
        """DEL: in reverse order, with the result of ADD; may be repeated. What is not given is as ADD was called."""
        container, netns = self._naming(pod)
        conf = self._known(conflist, container, ifname)
        here, text = netns if netns in self.host.network.namespaces else "", _args(args)
        how = {"pod": pod, "netns": netns, "args": text, "capabilities": capabilities}
        return self._operate("DEL", conf, container, ifname, how, lambda r: r.delete(conf, container, here, ifname, text, capabilities))

    def check(self, pod: str, conflist: Conflist | None = None, *, ifname: str = "eth0") -> Operation:
        """CHECK: is everything still as ADD left it?"""
        container, netns = self._naming(pod)
        conf = self._known(conflist, container, ifname)
        how = {"pod": pod, "netns": netns}
        return self._operate("CHECK", conf, container, ifname, how, lambda r: r.check(conf, container, netns, ifname))

    def gc(self, conflist: Conflist | None = None, valid: Iterable[tuple[str, str]] | None = None) -> Operation:
        """GC: free what belongs to none of the `valid` (container id, interface) pairs; default: what was added and is still there."""
        conf = self._list(conflist)
        if valid is None:
            valid = [(a.container_id, a.ifname) for a in self.attachments if a.netns in self.host.network.namespaces]
        pairs = list(valid)
        return self._operate("GC", conf, "", "", {"netns": "", "valid": pairs}, lambda r: r.gc(conf, pairs))

    def status(self, conflist: Conflist | None = None) -> Operation:
        """STATUS: would ADD work?"""
        conf = self._list(conflist)
        return self._operate("STATUS", conf, "", "", {"netns": ""}, lambda r: r.status(conf))

    def version(self, plugin: str) -> dict[str, Any]:
        """VERSION: what the plugin of that name prints. Raises CniError if there is none."""
        self.host.plugin(plugin)
        return version_reply(self.host.plugins[plugin])

    def validate(self, conflist: Conflist | None = None) -> tuple[str, ...]:
        """The capabilities that the list's plugins declare. Raises CniError if one is not installed or does not speak its version."""
        return Runtime(self.host).validate(self._list(conflist))

    def _operate(
        self,
        command: str,
        conf: NetworkList,
        container: str,
        ifname: str,
        how: Mapping[str, Any],
        run: Callable[[Runtime], Result | None],
    ) -> Operation:
        host, netns = self.host, how["netns"]
        assert host.recorder is not None
        host.recorder.take()
        before, disk = observe(host, netns), dict(host.disk)
        result: Result | None = None
        error: CniError | None = None
        try:
            result = run(Runtime(host))
        except CniError as e:
            error = e
        calls = host.recorder.take()
        changes = differences(before, observe(host, netns))
        path = netns_path(netns) if netns else ""
        done = Operation(command, conf.name, container, ifname, path, result, error, calls, changes)
        self.log = (*self.log, done)
        if self._done is not None and command not in ("CHECK", "STATUS"):
            self._done(done, conf, how, disk)
        return done

    # ------------------------------------------------------------------------------------------------ what is there
    def sandbox(self, pod: str) -> Namespace:
        """The pod's network namespace; an empty one is made if it has none."""
        netns, network = self._naming(pod)[1], self.host.network
        if netns not in network.namespaces:
            network.add_namespace(self.host.name, netns, f"Pod {pod}").label = pod
        return network.namespaces[netns]

    def remove_sandbox(self, pod: str) -> None:
        """Take the pod's namespace away, whatever is in it: what a crash does to a pod. Raises NotFound."""
        container, netns = self._naming(pod)
        if netns not in self.host.network.namespaces:
            raise NotFound("sandbox", pod, [n.removeprefix("pod:") for n in self.host.network.hosts[self.host.name].pods])
        disk = dict(self.host.disk)
        self.host.network.remove_namespace(netns)
        if self._done is not None:
            done = Operation("REMOVE", "", container, netns=netns_path(netns))
            self._done(done, None, {"pod": pod, "netns": netns}, disk)

    def run(self, pod: str, command: str, stdin: str = "") -> str:
        """A command in the pod's namespace ("" is the node): `cni.run("demo", "ping -c 1 10.1.0.3")`."""
        id = self._naming(pod)[1] if pod else self.host.name
        if id not in self.host.network.namespaces:
            raise NotFound("sandbox", pod, [n.removeprefix("pod:") for n in self.host.network.hosts[self.host.name].pods])
        if self._shell is not None:
            return self._shell(id, command, stdin)
        from ..kernel.shell import Files, Shell

        files = Files(self.host.disk) if id == self.host.name else None
        return Shell(self.host.network, self._state, id, files=files).run(command, stdin=stdin)

    @property
    def _state(self) -> State:
        host = self.host
        return host.state if isinstance(host, LiveHost) else State()

    @property
    def attachments(self) -> tuple[Attachment, ...]:
        """What was added and not deleted, as the runtime remembers it in /var/lib/cni/results."""
        return Runtime(self.host).attachments()

    @property
    def files(self) -> Mapping[str, str]:
        """What plugins and runtime keep on the node's disk: {path: content}."""
        return dict(sorted(self.host.disk.items()))

    @property
    def conflists(self) -> tuple[str, ...]:
        """The paths of the configurations in /etc/cni/net.d; the first one is the node's network."""
        return tuple(sorted(p for p in self.host.disk if p.startswith(f"{CONF_DIR}/") and p.endswith((".conflist", ".conf", ".json"))))

    def install(self, conflist: Conflist, name: str = "10-lab.conflist") -> str:
        """Put a conflist into /etc/cni/net.d; gives its path. Raises CniError if it cannot be read."""
        conf = self._list(conflist)
        path, host = f"{CONF_DIR}/{name}", self.host
        disk = dict(host.disk)
        host.disk[path] = conflist if isinstance(conflist, str) else str(conf)
        if self._done is not None:
            self._done(None, conf, {}, disk)
        return path

    def _list(self, conflist: Conflist | None) -> NetworkList:
        if isinstance(conflist, NetworkList):
            return conflist
        if conflist is None:
            if not self.conflists:
                raise KubenetError(f"no conflist given, and none in {CONF_DIR} of {self.host.name}")
            conflist = self.host.disk[self.conflists[0]]
        return NetworkList.parse(conflist)

    def _known(self, conflist: Conflist | None, container: str, ifname: str) -> NetworkList:
        if conflist is None:
            for a in self.attachments:
                if (a.container_id, a.ifname) == (container, ifname) and a.config:
                    return NetworkList.parse(a.config)
            if (container, ifname) in self._lists:
                return self._lists[container, ifname]
        return self._list(conflist)

    def __repr__(self) -> str:
        return f"CniRuntime({self.host.name}: {', '.join(f'{a.container_id} {a.ifname}' for a in self.attachments) or 'nothing attached'})"
