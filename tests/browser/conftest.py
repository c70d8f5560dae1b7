"""One real JupyterLab and one headless Chromium for all browser tests.

The notebook that is opened: KUBENET_NOTEBOOK if set (a path), else the learner's copy of notebook 00, as `kubenet-lab start` writes it.
It must show a PacketTracer in a variable `tracer`. A second, small notebook shows two tracers. Screenshots go to build/screens.
"""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.browser.on_screen import notebook

#: console errors that are JupyterLab's own and say nothing about us: (text, reason)
HARMLESS = (("favicon.ico", "the browser asks for an icon that a bare server has not"),)

RUN_ALL = """async () => {
  const app = window.jupyterapp;
  await app.restored;
  const panel = app.shell.currentWidget;
  await panel.revealed; await panel.sessionContext.ready;
  await app.commands.execute("notebook:run-all-cells");
}"""
CELL_ERRORS = """() => [...window.jupyterapp.shell.currentWidget.content.model.cells].flatMap((cell, n) => {
  const bad = (cell.toJSON().outputs || []).filter((o) => o.output_type === "error" || o.name === "stderr");
  return bad.map((o) => `cell ${n + 1}: ${o.ename || o.name}: ${o.evalue || o.text}`);
})"""
COUNTS = """() => [...window.jupyterapp.shell.currentWidget.content.model.cells]
  .filter((c) => c.type === "code" && c.sharedModel.source.trim()).map((c) => c.executionCount)"""
READY = "() => window.jupyterapp && window.jupyterapp.shell.currentWidget && window.jupyterapp.shell.currentWidget.sessionContext"


def two_tracers() -> dict[str, Any]:
    """Two tracers on one page."""
    return notebook([
        'import kubenet_lab as kn\ncluster = kn.example("bookshop")',
        "tracer = kn.widgets.PacketTracer(cluster)\ntracer",
        'other = kn.widgets.PacketTracer(cluster, dst="shop/api")\nother',
    ])  # fmt: skip


def _prepare(folder: Path) -> str:
    """Put the notebooks into the server's folder; the name of the one to open."""
    (folder / "two.ipynb").write_text(json.dumps(two_tracers()))
    if given := os.environ.get("KUBENET_NOTEBOOK"):
        shutil.copytree(Path(given).resolve().parent, folder, dirs_exist_ok=True)
        return Path(given).name
    from kubenet_lab.course.workspace import start

    start(folder)
    return min(p.name for p in folder.glob("0*.ipynb"))


@dataclass
class Lab:
    """A running JupyterLab."""

    url: str
    token: str
    folder: Path
    notebook: str
    browser: Any
    screens: Path
    pages: list[Any] = field(default_factory=list)

    def open(self, *, width: int = 1280, height: int = 900, dark: bool = False, scale: float = 1, notebook: str = "") -> Page:
        context = self.browser.new_context(
            viewport={"width": width, "height": height},
            device_scale_factor=scale,
            color_scheme="dark" if dark else "light",
            permissions=["clipboard-read", "clipboard-write"],
        )
        page = Page(self, context, context.new_page())
        self.pages.append(page)
        page.start(dark, notebook or self.notebook)
        return page


class Page:
    """One browser window with the notebook run to its end."""

    def __init__(self, lab: Lab, context: Any, page: Any):
        self.lab, self.context, self.page = lab, context, page
        self.problems: list[str] = []
        page.on("console", lambda m: self._note(m.text, m.location.get("url", "")) if m.type == "error" else None)
        page.on("pageerror", lambda e: self._note(str(e), ""))

    def _note(self, text: str, url: str) -> None:
        if not any(part in f"{text} {url}" for part, _ in HARMLESS):
            self.problems.append(f"{text} ({url})")

    def start(self, dark: bool, notebook: str) -> None:
        # a name of its own: each window has its own document and kernel
        name = f"w{len(self.lab.pages)}.ipynb"
        shutil.copy(self.lab.folder / notebook, self.lab.folder / name)
        self.page.goto(f"{self.lab.url}/lab/workspaces/w{len(self.lab.pages)}/tree/{name}?token={self.lab.token}&reset")
        self.page.wait_for_function(READY, timeout=40_000)
        self.page.evaluate(
            """async (theme) => { const app = window.jupyterapp; await app.restored;
              await app.commands.execute('apputils:change-theme', {theme}); }""",
            "JupyterLab Dark" if dark else "JupyterLab Light",
        )
        self.page.evaluate(
            "() => { const shell = window.jupyterapp.shell; shell.collapseLeft(); if (shell.collapseRight) shell.collapseRight(); }"
        )
        self.page.evaluate(RUN_ALL)
        if errors := self.cell_errors():
            pytest.fail("the notebook does not run:\n" + "\n".join(errors), pytrace=False)
        self.tracer().wait_for(timeout=20_000)

    def tracer(self, n: int = 0) -> Any:
        return self.page.locator(".kn-tracer").nth(n)

    def cell_errors(self) -> list[str]:
        return self.page.evaluate(CELL_ERRORS)

    def counts(self) -> list[int | None]:
        return self.page.evaluate(COUNTS)

    def hop(self) -> tuple[int, int]:
        """(hop, of) as the screen says."""
        words = self.tracer().locator(".kn-h span").nth(1).inner_text().split()
        return int(words[1]), int(words[3])

    def shoot(self, name: str, *, window: bool = False) -> Path:
        """A picture of the first tracer, or of the window, whole: the window is grown for it, as the notebook scrolls inside."""
        path = self.lab.screens / f"{name}.png"
        size = self.page.viewport_size
        self.page.set_viewport_size({"width": size["width"], "height": 3600 if size["width"] < 700 else 2200})
        if window:
            self.page.screenshot(path=path, animations="disabled")
        else:
            self.tracer().screenshot(path=path, animations="disabled")
        self.page.set_viewport_size(size)
        return path

    def close(self) -> None:
        self.context.close()


@pytest.fixture(scope="session")
def lab(
    require_tool: Callable[[str], str], require_that: Callable[..., None], root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Lab]:
    chromium = require_tool("chromium")
    require_that(importlib.util.find_spec("playwright") is not None, "the Python package playwright", "playwright")
    require_that(importlib.util.find_spec("jupyterlab") is not None, "the Python package jupyterlab", "jupyterlab")
    from playwright.sync_api import sync_playwright

    home = tmp_path_factory.mktemp("jupyter")
    folder, settings = home / "work", home / "settings"
    folder.mkdir()
    name = _prepare(folder)
    for plugin, values in {
        "notebook-extension/tracker": {"windowingMode": "none", "autoStartDefaultKernel": True},
        "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    }.items():
        path = settings / "@jupyterlab" / f"{plugin}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token = secrets.token_hex(16)
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")])),
        "PYTHONDONTWRITEBYTECODE": "1",
        "KUBENET_PROGRESS": "none",
    }
    env |= {
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "IPYTHONDIR": str(home / "ipython"),
    }
    log = (home / "server.log").open("w")
    server = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "jupyterlab",
            "--no-browser",
            "--allow-root",
            "--ip=127.0.0.1",
            f"--port={port}",
            "--ServerApp.port_retries=0",
            f"--IdentityProvider.token={token}",
            f"--ServerApp.root_dir={folder}",
            f"--LabApp.user_settings_dir={settings}",
            "--LabApp.expose_app_in_browser=True",
            "--LabApp.news_url=None",
        ],
        stdout=log,
        stderr=subprocess.STDOUT,
        env=env,
        cwd=folder,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(url, server, home / "server.log")
        screens = root / "build" / "screens"
        screens.mkdir(parents=True, exist_ok=True)
        with sync_playwright() as play:
            browser = play.chromium.launch(
                executable_path=chromium,
                args=[
                    "--no-sandbox",
                    "--disable-gpu",
                    "--disable-dev-shm-usage",
                    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
                ],
            )
            room = Lab(url, token, folder, name, browser, screens)
            yield room
            for page in room.pages:
                page.close()
            browser.close()
    finally:
        server.terminate()
        try:
            server.wait(timeout=10)
        except subprocess.TimeoutExpired:
            server.kill()
        log.close()


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(300):
        if server.poll() is not None:
            pytest.fail(f"JupyterLab ended: {log.read_text()[-2000:]}", pytrace=False)
        try:
            urllib.request.urlopen(f"{url}/api", timeout=2).close()
            return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"JupyterLab did not answer: {log.read_text()[-2000:]}", pytrace=False)


@pytest.fixture(scope="session")
def desk(lab: Lab) -> Page:
    """A window of ordinary size, light."""
    return lab.open()


@pytest.fixture(scope="session")
def night(lab: Lab) -> Page:
    return lab.open(dark=True)


@pytest.fixture(scope="session")
def phone(lab: Lab) -> Page:
    """400 pixels wide."""
    return lab.open(width=400, height=860)
