"""A real JupyterLab in a headless Chromium: for screenshots (tools/gallery.py) and for tests.

    with Lab(folder, theme="dark") as lab, lab.open("00_start_here.ipynb", width=400) as page:
        page.run_all()
        page.screenshot("00.png")
        assert not page.complaints

Nothing asks the network: settings, workspaces and the server's files stand in a folder of their own.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

#: the tallest window of which Chromium takes a picture whole, in pixels
TALLEST = 16_000
Theme = Literal["light", "dark"]
#: what Chromium says that concerns nobody
HARMLESS = ("favicon", "ResizeObserver loop")


def chromium() -> str | None:
    """The path of a Chromium that playwright can drive."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Lab:
    """A JupyterLab server on `folder`."""

    def __init__(self, folder: Path, theme: Theme = "light", timeout: float = 60):
        self.folder, self.theme, self.timeout = Path(folder), theme, timeout
        self._home = tempfile.TemporaryDirectory(prefix="kubenet-lab-")

    def __enter__(self) -> Self:
        home = Path(self._home.name)
        for plugin, settings in {
            "@jupyterlab/apputils-extension/themes": {"theme": f"JupyterLab {self.theme.title()}", "adaptive-theme": False},
            "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True},
            "@jupyterlab/notebook-extension/tracker": {
                "windowingMode": "none",
                "recordTiming": False,
                "autoStartDefaultKernel": True,
                "scrollPastEnd": False,
            },
        }.items():
            file = home / "settings" / f"{plugin}.jupyterlab-settings"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(settings), encoding="utf-8")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        environment = {
            **os.environ,
            "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
            "JUPYTER_CONFIG_DIR": str(home / "config"),
            "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
            "IPYTHONDIR": str(home / "ipython"),
            "KUBENET_PROGRESS": str(home / "progress.json"),
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        }
        self._log = (home / "server.log").open("wb")
        self._server = subprocess.Popen(
            [
                sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root",
                f"--ServerApp.port={port}", "--ServerApp.port_retries=0", "--IdentityProvider.token=",
                "--ServerApp.disable_check_xsrf=True", "--LabApp.expose_app_in_browser=True",
                f"--ServerApp.root_dir={self.folder.resolve()}",
            ],
            env=environment, stdout=self._log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            self._wait()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._stop()

    def _wait(self) -> None:
        end = time.monotonic() + self.timeout
        while time.monotonic() < end:
            if self._server.poll() is not None:
                break
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/api", timeout=2) as answer:
                if answer.status == 200:
                    return
            time.sleep(0.1)
        raise RuntimeError("JupyterLab did not start:\n" + (Path(self._home.name) / "server.log").read_text("utf-8", "replace")[-3000:])

    def _stop(self) -> None:
        self._server.terminate()
        try:
            self._server.wait(10)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()
        self._log.close()
        with contextlib.suppress(OSError):
            self._home.cleanup()

    @contextlib.contextmanager
    def open(
        self, notebook: str, width: int = 1280, height: int = 900, zoom: float = 1.0, reduced_motion: bool = False, within: Any = None
    ) -> Iterator[Page]:
        """The notebook in a new browser, its kernel idle.

        `within`: a browser that runs already, since playwright starts one at a time. `zoom` 2 is what 200 % in the
        browser's menu does to the layout.
        """
        from playwright.sync_api import sync_playwright

        with contextlib.ExitStack() as stack:
            browser = within
            if browser is None:
                driver = stack.enter_context(sync_playwright())
                browser = driver.chromium.launch(
                    executable_path=chromium(), args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
                )
            context = browser.new_context(
                viewport={"width": round(width / zoom), "height": round(height / zoom)}, device_scale_factor=zoom,
                color_scheme=self.theme, reduced_motion="reduce" if reduced_motion else "no-preference",
            )  # fmt: skip
            page = Page(context.new_page(), self.timeout)
            page.goto(f"{self.url}/doc/tree/{notebook}?reset")
            try:
                yield page
            finally:
                (context if within is not None else browser).close()


class Page:
    """A notebook in the browser. `page` is playwright's; `complaints` is what the console and the network said."""

    def __init__(self, page: Any, timeout: float):
        self.page, self.timeout = page, timeout
        self.complaints: list[str] = []
        page.set_default_timeout(timeout * 1000)
        page.on("console", lambda m: self._note(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda e: self._note(f"page error: {e}"))
        page.on("requestfailed", lambda r: self._note(f"failed: {r.url}") if "127.0.0.1" not in r.url else None)

    def _note(self, text: str) -> None:
        if not any(part in text for part in HARMLESS):
            self.complaints.append(text)

    def goto(self, url: str) -> None:
        self.page.goto(url)
        self.page.wait_for_function("() => window.jupyterapp && window.jupyterapp.shell.currentWidget?.content?.model")
        self.page.evaluate("() => window.jupyterapp.shell.currentWidget.context.ready")
        self.wait_idle()

    def wait_idle(self) -> None:
        self.page.wait_for_function(
            "() => window.jupyterapp.shell.currentWidget.sessionContext?.session?.kernel?.status === 'idle'", timeout=self.timeout * 1000
        )

    def run_all(self) -> None:
        """Run every cell and wait for the last; the cells' errors are in `errors()`."""
        self.page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
        self.wait_idle()
        self.page.wait_for_function("() => document.querySelectorAll('.jp-InputPrompt').length > 0")

    def cells(self) -> list[dict[str, Any]]:
        """The notebook's model as the browser holds it."""
        found: list[dict[str, Any]] = self.page.evaluate("() => window.jupyterapp.shell.currentWidget.content.model.toJSON().cells")
        return found

    def errors(self) -> list[str]:
        """Cells that failed, and cells that never ran."""
        out = []
        for place, cell in enumerate(self.cells()):
            if cell["cell_type"] != "code":
                continue
            if cell["execution_count"] is None:
                out.append(f"cell {place} did not run")
            out += [f"cell {place}: {o['ename']}: {o['evalue']}" for o in cell["outputs"] if o["output_type"] == "error"]
        return out

    def screenshot(self, path: Path | str, tallest: int = TALLEST) -> list[Path]:
        """The whole notebook: the window is grown until the last cell stands in it; what is taller than `tallest` becomes several pictures.

        Returns their paths: `path`, then the same name with -2, -3 ...
        """
        size, first = self.page.viewport_size, Path(path)
        height = self.page.evaluate(
            "() => { const n = document.querySelector('.jp-WindowedPanel-outer') || document.querySelector('.jp-Notebook');"
            " return Math.ceil(n.scrollHeight + n.getBoundingClientRect().top + 40); }"
        )
        window = max(200, min(height, tallest))
        self.page.set_viewport_size({"width": size["width"], "height": window})
        paths = [first if n == 0 else first.with_stem(f"{first.stem}-{n + 1}") for n in range(-(-height // window))]
        for n, part in enumerate(paths):
            self.page.evaluate(
                "(n) => { const p = document.querySelector('.jp-WindowedPanel-outer') || document.querySelector('.jp-Notebook');"
                " p.scrollTop = n * p.clientHeight; }",
                n,
            )
            self.page.wait_for_timeout(300)
            self.page.screenshot(path=str(part))
        self.page.set_viewport_size(size)
        return paths
