"""Two sites of three nodes each: what Cluster/two-sites and the figures of Cluster/bench share. Imported, never run."""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

repository = pathlib.Path(__file__).resolve().parent.parent
began = time.monotonic()


def say(text):
    print(f"{time.monotonic() - began:8.2f} s  {text}", file=sys.stderr, flush=True)


def fail(text):
    say(f"FAILED: {text}")
    raise SystemExit(1)


def run(command, check=True, timeout=120, text=None):
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout,
                          **({"input": text} if text is not None else {"stdin": subprocess.DEVNULL}))
    if check and done.returncode != 0:
        fail(f"'{' '.join(command[-6:])}' ended with {done.returncode}: {done.stderr.strip()}")
    return done


class Loopback:
    """All nodes on one machine's loopback; nothing can be cut."""

    mode = "loopback"

    def __init__(self):
        held = [socket.socket() for _ in range(6)]
        for each in held:
            each.bind(("127.0.0.1", 0))
        ports = [each.getsockname()[1] for each in held]
        for each in held:
            each.close()
        self.endpoints = [[f"127.0.0.1:{port}" for port in ports[:3]], [f"127.0.0.1:{port}" for port in ports[3:]]]

    serve = []

    def prefix(self, place):
        return []

    def close(self):
        pass


class Namespaces:
    """A network namespace for each site, and one link between them."""

    mode = "namespaces"
    # Nobody but the nodes and clients of this run is in these networks.
    serve = ["--allow-plaintext"]

    def __init__(self):
        self.names = [f"holdfast-{os.getpid()}-{place}" for place in (1, 2)]
        self.endpoints = [[f"10.231.0.{place}:{7000 + node}" for node in (1, 2, 3)] for place in (1, 2)]
        try:
            for name in self.names:
                run(["ip", "netns", "add", name])
                run(["ip", "-n", name, "link", "set", "lo", "up"])
            run(["ip", "-n", self.names[0], "link", "add", "sites", "type", "veth", "peer", "name", "sites",
                 "netns", self.names[1]])
            for place, name in enumerate(self.names):
                run(["ip", "-n", name, "address", "add", f"10.231.0.{place + 1}/24", "dev", "sites"])
                run(["ip", "-n", name, "link", "set", "sites", "up"])
        except BaseException:
            self.close()
            raise

    def prefix(self, place):
        return ["ip", "netns", "exec", self.names[place]]

    def cut(self):
        """What comes over the link is dropped in silence, at both ends."""
        rules = 'table inet cut {\n chain input {\n type filter hook input priority 0;\n iifname "sites" drop;\n }\n}\n'
        for place in (0, 1):
            run(self.prefix(place) + ["nft", "-f", "-"], text=rules)

    def mend(self):
        for place in (0, 1):
            run(self.prefix(place) + ["nft", "delete", "table", "inet", "cut"])

    def close(self):
        for name in self.names:
            run(["ip", "netns", "delete", name], check=False)


def network(only_loopback):
    if only_loopback:
        return Loopback()
    missing = [tool for tool in ("ip", "nft") if not shutil.which(tool)]
    if os.geteuid() != 0:
        missing.append("root")
    if not missing:
        # A container may be root and still not be allowed to.
        probe = f"holdfast-{os.getpid()}-probe"
        if run(["ip", "netns", "add", probe], check=False).returncode == 0:
            run(["ip", "netns", "delete", probe])
            return Namespaces()
        missing.append("leave to make network namespaces")
    say(f"the link is not cut in this run: it takes {', '.join(missing)}")
    return Loopback()


class Site:
    """Three nodes of one cluster."""

    def __init__(self, name, program, work, network, place):
        self.name, self.program, self.work = name, program, work
        self.prefix, self.serve = network.prefix(place), network.serve
        self.members = {node + 1: endpoint for node, endpoint in enumerate(network.endpoints[place])}
        self.processes = {}
        first = ",".join(f"{node}={endpoint}" for node, endpoint in self.members.items())
        for node in self.members:
            run([program, "node", "format", "--data", self.directory(node), "--id", str(node), "--cluster", name,
                 "--members", first])

    @property
    def endpoints(self):
        return ",".join(self.members.values())

    def directory(self, node):
        return str(self.work / f"{self.name}-{node}")

    def start(self):
        for node in self.members:
            log = open(self.directory(node) + ".log", "ab")
            # `ip netns exec` replaces itself by the program: the process is the node.
            self.processes[node] = subprocess.Popen(
                self.prefix + [self.program, "serve", "--data", self.directory(node), *self.serve], stdout=log, stderr=log)
        ready = self.call("cluster", "status", "--wait", "ready", "--timeout", "60", check=False)
        if ready.returncode != 0:
            ended = [str(node) for node, process in self.processes.items() if process.poll() is not None]
            fail(f"site {self.name} does not get ready ({'nodes ' + ', '.join(ended) + ' ended' if ended else 'all run'}): "
                 + pathlib.Path(self.directory(1) + ".log").read_text().strip()[-500:])

    def kill(self):
        for process in self.processes.values():
            process.send_signal(signal.SIGKILL)
        for process in self.processes.values():
            process.wait()
        self.processes = {}

    def call(self, *arguments, check=True, timeout=120):
        return run(self.prefix + [self.program, *arguments, "--endpoint", self.endpoints], check=check, timeout=timeout)

    def status(self):
        return json.loads(self.call("site", "status", "--json").stdout)

    def wait(self, what, condition, seconds=120):
        deadline = time.monotonic() + seconds
        last = None
        while time.monotonic() < deadline:
            answer = self.call("site", "status", "--json", check=False)
            if answer.returncode == 0:
                last = json.loads(answer.stdout)
                if condition(last):
                    return last
            time.sleep(0.05)
        fail(f"site {self.name} never came to be {what}: {last}")

    def keys(self):
        return {row["key"] for row in json.loads(self.call("key", "list", "w", "--json").stdout)["keys"]}


def pair(first, second, starts=True):
    """Starts two new sites, and lets the second one follow the first."""
    for site in (first, second):
        if starts:
            site.start()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        statuses = [json.loads(site.call("cluster", "status", "--json").stdout) for site in (first, second)]
        if all(status["featureVersion"] >= 3 for status in statuses):
            break
        time.sleep(0.1)
    token = first.call("site", "enroll").stdout.strip()
    second.call("site", "follow", "--primary", first.endpoints, "--token", token)
    say("the second site follows")


def build():
    """The program in release mode."""
    subprocess.run(["swift", "build", "-c", "release", "--product", "holdfast"], cwd=repository, check=True,
                   stdout=sys.stderr)
    return str(repository / ".build" / "release" / "holdfast")
