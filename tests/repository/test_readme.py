"""The README says what is so: its links, its table of notebooks, its five lines and their output."""

from __future__ import annotations

import contextlib
import io
import json
import re
from pathlib import Path

import pytest
from repository import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("datasets/**/*.md")])
README = ROOT / "README.md"


def text(path: Path = README) -> str:
    return path.read_text("utf-8")


def prose(path: Path) -> str:
    """Without code, in which brackets mean other things."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"```.*?```", "", text(path), flags=re.DOTALL))


@pytest.mark.parametrize("path", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
        if not re.match(r"[a-z]+:", target):
            file, _, anchor = target.partition("#")
            found = (path.parent / file) if file else path
            assert found.exists(), f"{target} does not exist"
            if anchor and found.suffix == ".md":
                headings = [
                    re.sub(r"[^\w\- ]", "", h).strip().lower().replace(" ", "-") for h in re.findall(r"^#+ (.+)$", text(found), re.M)
                ]
                assert anchor in headings, f"{target}: no such heading"


@pytest.mark.parametrize("path", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_pictures_have_a_text(path: Path) -> None:
    for alt in re.findall(r"!\[([^\]]*)\]\(", prose(path)):
        assert len(alt.split()) >= 3, f"a picture named {alt!r}"


def test_the_table_of_notebooks_is_the_folder() -> None:
    rows = re.findall(r"^\|[^|]+\| \[([^\]]+)\]\(notebooks/([^)]+)\) \|[^|]+\| (\d+) \|$", text(), re.MULTILINE)
    named = {file: (title, int(minutes)) for title, file, minutes in rows}
    files = {p.name: p for p in (ROOT / "notebooks").glob("*.ipynb")}
    assert named.keys() == files.keys()
    for name, path in files.items():
        front = json.loads(path.read_text("utf-8"))["metadata"]["kubenet"]
        title, minutes = named[name]
        assert minutes == front["minutes"] and front["title"].casefold() in title.casefold(), name


def test_the_badge_opens_the_learners_copy_of_the_first_notebook() -> None:
    (target,) = re.findall(r"mybinder\.org/v2/[^)]*urlpath=lab/tree/([^)]+)\)", text())
    first = sorted((ROOT / "notebooks").glob("*.ipynb"))[0]
    assert target == f"course/{first.name}"


def test_the_lines_print_what_the_page_says() -> None:
    blocks = re.findall(r"<!-- readme: run -->\n```python\n(.*?)```\n+(?:```text\n(.*?)```)?", text(), re.DOTALL)
    assert blocks
    for code, expected in blocks:
        lines = [line for line in code.splitlines() if line.strip()]
        assert len(lines) == 5, "five lines"
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, "README.md", "exec"), {})
        assert expected.strip() == printed.getvalue().strip()


def test_the_page_shows_a_picture_made_by_the_tool() -> None:
    pictures = re.findall(r"!\[[^\]]+\]\((docs/[^)]+\.svg)\)", text())
    assert pictures
    for name in pictures:
        svg = (ROOT / name).read_text("utf-8")
        assert "<title" in svg and "<desc" in svg


def test_the_commands_exist() -> None:
    """Every `make X` and every `kubenet-lab X` that a page names."""
    makefile = text(ROOT / "Makefile")
    cli = text(ROOT / "kubenet_lab" / "cli" / "__init__.py")
    for path in PAGES:
        for target in re.findall(r"(?:^|[`\s])make ([a-z]+)\b(?=[`\s.,;)])", text(path)):
            if f"`make {target}`" in text(path) or f"    make {target}" in text(path):
                assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{path.name}: make {target}"
        for command in re.findall(r"`?kubenet-lab (start|lab|doctor|trace|[a-z]+)\b(?=[ `\n])", text(path)):
            if f"`kubenet-lab {command}" in text(path) or f"    kubenet-lab {command}" in text(path):
                assert f'"{command}"' in cli, f"{path.name}: kubenet-lab {command}"
