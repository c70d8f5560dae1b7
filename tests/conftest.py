"""What every test may use: tools that may be missing, the size and seed of random suites, hypothesis profiles.

KUBENET_REQUIRE=all (CI) turns a skip for a missing tool into a failure; a comma-separated list does it for those tools only.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[1]

settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("dev", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ci" if os.environ.get("CI") else "dev")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("kubenet-lab")
    group.addoption("--cases", type=int, default=None, metavar="N", help="cases of each random suite (default: each suite's share of CI)")
    group.addoption("--seed", type=int, default=0, metavar="N", help="seed of the random suites (default 0)")


def pytest_report_header(config: pytest.Config) -> str:
    return f"kubenet-lab: seed {config.getoption('--seed')}, KUBENET_REQUIRE={os.environ.get('KUBENET_REQUIRE') or '-'}"


def require(ok: bool, what: str, name: str = "") -> None:
    """Skip, saying what is missing; fail where it is required."""
    if ok:
        return
    required = {part.strip() for part in os.environ.get("KUBENET_REQUIRE", "").split(",")}
    if required & {"all", name or what}:
        pytest.fail(f"missing, and KUBENET_REQUIRE asks for it: {what}", pytrace=False)
    pytest.skip(f"missing: {what}")


@pytest.fixture(scope="session")
def require_tool() -> Callable[[str], str]:
    """`require_tool("tshark")` is its path; where it is missing the test is skipped, or fails under KUBENET_REQUIRE."""

    def find(name: str) -> str:
        sbin = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin", "/usr/lib/cni"])
        path = shutil.which(name, path=sbin)
        require(path is not None, f"the program {name}", name)
        assert path is not None
        return path

    return find


@pytest.fixture(scope="session")
def require_that() -> Callable[..., None]:
    """`require_that(ok, "network namespaces", "netns")`: the same for anything else that may be missing."""
    return require


@pytest.fixture(scope="session")
def real_nft(require_tool: Callable[[str], str], require_that: Callable[..., None]) -> Callable[[Sequence[str]], list[str]]:
    """Loads texts, each into an empty ruleset, and gives what `nft list ruleset` prints; a text that is refused gives its complaint."""
    nft, unshare = require_tool("nft"), require_tool("unshare")
    probe = subprocess.run([unshare, "-n", nft, "list", "ruleset"], capture_output=True)
    require_that(probe.returncode == 0, "network namespaces", "netns")

    def run(texts: Sequence[str]) -> list[str]:
        script = [f"{nft} flush ruleset\n{{ {nft} -f - && {nft} list ruleset; }} 2>&1 <<'END'\n{t}END\necho '=== end'" for t in texts]
        done = subprocess.run([unshare, "-n", "sh", "-s"], input="\n".join(script), capture_output=True, text=True)
        return done.stdout.split("=== end\n")[:-1]

    return run


@pytest.fixture
def cases(request: pytest.FixtureRequest) -> Callable[[int], int]:
    """`cases(40)`: how many cases a random suite runs: its own share, or what --cases says."""
    option = request.config.getoption("--cases")
    return lambda share: share if option is None else int(option)


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The seed of the random suites; each prints it with what it drew."""
    return int(request.config.getoption("--seed"))


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(autouse=True)
def no_progress_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or leaves a learner's progress in the working folder."""
    monkeypatch.setenv("KUBENET_PROGRESS", "none")
