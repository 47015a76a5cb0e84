"""A real browser, Chromium without a window, as a person uses it; nothing of it stays behind."""

from __future__ import annotations

import shutil
import tempfile
from types import TracebackType
from typing import Any, Self

import pytest
from selenium.common.exceptions import WebDriverException
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

HOW = "run scripts/setup-browser as root on Debian, or install chromium and chromedriver"

_ELSEWHERE = "ERR_NETWORK_CHANGED"
"""What Chromium says of requests while the host gets or loses an interface, as with each container of other tests."""

_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run", "--no-default-browser-check", "--lang=en",
    "--window-size=1200,900",
)  # fmt: skip


class Browser:
    """A browser with a profile of its own; the end of a ``with`` ends it. Skipped where there is none."""

    def __init__(self) -> None:
        chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
        if chromium is None or driver is None:
            pytest.skip(f"needs a browser: {HOW}")
        self._profile = tempfile.mkdtemp(prefix="statspout-browser-")
        options = ChromeOptions()
        options.binary_location = chromium
        for flag in (*_FLAGS, f"--user-data-dir={self._profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = Chrome(options, Service(driver))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.driver.quit()
        shutil.rmtree(self._profile, ignore_errors=True)

    def open(self, url: str) -> None:
        """Go there."""
        for _ in range(5):
            try:
                self.driver.get(url)
            except WebDriverException as error:
                if _ELSEWHERE not in str(error):
                    raise
            else:
                return

    def all(self, css: str) -> list[WebElement]:
        """Every element that the selector finds."""
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def texts(self, css: str) -> list[str]:
        """What they show."""
        return [found.text for found in self.all(css)]

    def run(self, script: str) -> Any:
        """What the script returns in the page."""
        return self.driver.execute_script(script)

    def until(self, look: Any, timeout: float = 60.0) -> Any:
        """What ``look`` returns, as soon as that is true in the sense of ``if``."""
        return WebDriverWait(self.driver, timeout, poll_frequency=0.1).until(lambda _: look())

    def complaints(self) -> list[str]:
        """What was written to its console since the last call: errors, and what a policy forbade."""
        entries = self.driver.get_log("browser")  # type: ignore[no-untyped-call]  # selenium has no types for it
        return [message for entry in entries if _ELSEWHERE not in (message := str(entry["message"]))]
