"""What no file may say, and how long a module may be."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from repository import PACKAGE, ROOT, files, modules

#: spelt in pieces, so that this file does not say them
FORBIDDEN = {
    r"py" r"pi\.(org|python)": "the host of a registry",
    r"python" r"hosted\.org": "the host of a registry",
    r"registry\.npm" r"js\.org": "the host of a registry",
    r"proxy\.golang" r"\.org": "the host of a registry",
    r"deb\.debian" r"\.org": "the host of a registry",
    r"/work/(?:main|sha" r"red)": "a path of one machine",
    r"/opt/whe" r"els": "a path of one machine",
    r"/tmp/pl" r"an\b": "a path of one machine",
    r"(?<![\w/.])/ro" r"ot/[\w.]": "a path of one machine",
    r"(?<![\w/.])/ho" r"me/(?!jovyan)\w+": "a path of one machine",
    r"sha" r"red/(?:reference|kernel_lab|mockups|DESIGN)": "a folder that is not part of the repository",
    r"(?<![\w/.])refer" r"ence/(?:kernel|datapath|dns|policy|ingress|jupyter|teaching)\.md": "a page that is not part of the repository",
    r"\b(?:chat" r"gpt|anth" r"ropic|cla" r"ude|language mo" r"del)\b": "not about networks",
}
TEXT = {".py", ".md", ".toml", ".txt", ".yaml", ".yml", ".json", ".ipynb", ".css", ".js", ".svg", ".cfg", ".html", ""}
LARGEST = 500_000
#: larger files, and why
LARGE = {"tests/conformance/kernel_iptables/rules.json": "upstream rules with the answers of the real tool, one line each"}

LINES, NEVER = 400, 650
#: modules past the first limit, and why they are not split; none passes the second
LONG = {
    "explain/dns.py": "a catalogue: one phrase per code",
    "explain/kernel.py": "a catalogue: one phrase per code",
    "kernel/ipset.py": "one set type after the other, with their common parsing",
    "kernel/iptables/match_place.py": "a catalogue: one small class per match",
    "kernel/namespace.py": "the one noun that holds a namespace's tables",
    "kernel/shell/capture_text.py": "tcpdump's printing, one protocol after the other",
    "kernel/shell/ip_link.py": "one command of iproute2 with all its printing",
    "kernel/shell/ip_route.py": "one command of iproute2 with all its printing",
    "objects/views.py": "one view per kind of the API: fields, no behaviour",
}


@pytest.mark.parametrize("path", [p for p in files() if p.suffix in TEXT], ids=lambda p: str(p.relative_to(ROOT)))
def test_no_forbidden_words(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for pattern, what in FORBIDDEN.items():
        found = re.search(pattern, text, re.IGNORECASE)
        assert not found, f"line {text[: found.start()].count(chr(10)) + 1}: {found[0]!r} is {what}"


def test_the_patterns_find_what_they_should() -> None:
    planted = ["https://py" + "pi.org/x", "/work/" + "main/x", "see sha" + "red/reference/dns.md", "/ro" + "ot/.cache", "/ho" + "me/ana/x"]
    for text in planted:
        assert any(re.search(pattern, text, re.IGNORECASE) for pattern in FORBIDDEN), text
    for text in ["/var/lib/cni/networks", "the root/qdisc", "/home/jovyan/course", "a shared bridge"]:
        assert not any(re.search(pattern, text, re.IGNORECASE) for pattern in FORBIDDEN), text


def test_no_file_is_too_large() -> None:
    large = {str(p.relative_to(ROOT)): p.stat().st_size for p in files() if p.stat().st_size > LARGEST}
    assert large.keys() <= LARGE.keys(), f"over {LARGEST} bytes and not listed: {large}"


def test_no_module_is_too_long() -> None:
    long = {p.relative_to(PACKAGE).as_posix(): n for p in modules() if (n := len(p.read_text(encoding="utf-8").splitlines())) > LINES}
    assert long.keys() <= LONG.keys(), f"over {LINES} lines and not listed with a reason: {long}"
    for name in LONG:
        length = len((PACKAGE / name).read_text(encoding="utf-8").splitlines())
        assert length > LINES * 0.9, f"{name} is listed as long, and has {length} lines"
    assert max(long.values()) <= NEVER


def test_every_module_says_what_it_is() -> None:
    import ast

    texts = {p.relative_to(PACKAGE).as_posix(): p.read_text("utf-8") for p in modules()}
    assert not [name for name, text in texts.items() if text.strip() and not ast.get_docstring(ast.parse(text))]


def test_the_pages_are_there() -> None:
    pages = "README.md CHANGELOG.md CONTRIBUTING.md ROADMAP.md LICENSE LICENSE-notebooks docs/design.md datasets/README.md"
    for name in pages.split():
        assert (ROOT / name).stat().st_size > 200, name


def test_the_roadmap_names_a_state_and_a_command() -> None:
    rows = [line for line in (ROOT / "ROADMAP.md").read_text("utf-8").splitlines() if line.startswith("|")][2:]
    assert len(rows) >= 15
    for row in rows:
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]]
        assert len(cells) == 3 and all(cells), row
        assert cells[1] in ("done", "thin", "started", "planned"), row
        assert "`" in cells[2] or cells[1] == "planned", f"which command shows it? {row}"


def test_the_changelog_knows_this_release() -> None:
    import tomllib

    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert re.search(rf"^## .*{re.escape(version)}", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
