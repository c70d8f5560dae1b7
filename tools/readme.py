"""Write the real output of README.md's lines of Python under them, and draw its picture (part of `make notebooks`)."""

from __future__ import annotations

import contextlib
import io
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
BLOCK = re.compile(r"(<!-- readme: run -->\n```python\n(?P<code>.*?)```\n)(?:\n?```text\n(?P<text>.*?)```\n)?", re.DOTALL)


def output(code: str) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {})
    return printed.getvalue()


def main() -> int:
    import kubenet_lab as kn

    page = ROOT / "README.md"
    text = page.read_text("utf-8")
    fresh = BLOCK.sub(lambda m: f"{m[1]}\n```text\n{output(m['code'])}```\n", text)
    page.write_text(fresh, encoding="utf-8", newline="\n")
    print("README.md:", "as before" if fresh == text else "changed")
    cluster = kn.example("bookshop")
    picture = ROOT / "docs" / "bookshop.svg"
    kn.plots.path(cluster.connect("shop/web", "svc:shop/cart", port=8080), cluster, theme="auto").save(picture)
    print("docs/bookshop.svg drawn")
    return 0


if __name__ == "__main__":
    sys.exit(main())
