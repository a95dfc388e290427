"""A real browser, and somebody who sits before a study's page in it."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from s2s_cli.evaluation.ratings import read_answers, read_key

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")

needs_a_browser = pytest.mark.skipif(
    not (CHROMIUM and DRIVER) and not os.environ.get("CI"),
    reason="needs Chromium and its driver: apt-get install chromium chromium-driver",
)


@contextmanager
def chromium(profile: Path) -> Iterator[webdriver.Chrome]:
    """A browser that starts bare and calls nobody; profile: an empty folder."""
    assert CHROMIUM, "there is no Chromium: .ci/run installs it"
    assert DRIVER, "there is no chromedriver: .ci/run installs it"
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        f"--user-data-dir={profile}",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        yield browser
    finally:
        browser.quit()


@dataclass
class Visit:
    """Somebody who sits before a page."""

    driver: webdriver.Chrome
    downloads: Path
    page: Path

    @property
    def key(self):
        return read_key(self.page.with_suffix(".key.json"))

    def ask(self, script: str):
        return self.driver.execute_script(f"return {script}")

    def wait(self, script: str):
        return WebDriverWait(self.driver, 20, 0.02).until(lambda _: self.ask(script), script)

    def press(self, *keys: str) -> None:
        for key in keys:
            ActionChains(self.driver).send_keys(key).perform()

    def click(self, id: str) -> None:
        self.driver.find_element(By.ID, id).click()

    @property
    def count(self) -> str:
        return self.ask("document.getElementById('count').textContent")

    @property
    def said(self) -> str:
        return self.ask("document.getElementById('live').textContent")

    @property
    def pictures(self):
        return self.driver.find_elements(By.CSS_SELECTOR, "#pictures button")

    @property
    def shown(self) -> list[str]:
        return self.ask("[...document.querySelectorAll('#pictures button')].map(b => b.dataset.id)")

    @property
    def chosen(self) -> list[str]:
        return self.ask("[...document.querySelectorAll('.chosen')].map(b => b.dataset.id)")

    def options(self):
        """What the key says of the pictures on the screen, in their order."""
        known = {o.id: o for item in self.key.items for o in item.options}
        return [known[id] for id in self.shown]

    def digits(self, wanted) -> list[str]:
        """The keys of the pictures for which something is so."""
        return [str(n) for n, option in enumerate(self.options(), 1) if wanted(option)]

    def save(self):
        """The answers, from the file that the page saves."""
        return read_answers(self.save_file(), self.key)

    def save_file(self) -> Path:
        """Where the page saves the answers."""
        for old in self.downloads.iterdir():
            old.unlink()
        self.press(Keys.ENTER)

        def arrived(_):
            return list(self.downloads.glob("*.json"))

        (path,) = WebDriverWait(self.driver, 20, 0.02).until(arrived)
        return path


def sit_down(
    driver: webdriver.Chrome,
    page: Path,
    downloads: Path,
    seed: str = "#seed=1",
    *,
    width: int = 1280,
    height: int = 800,
) -> Visit:
    """Open a page; downloads: a folder in which nothing else is."""
    folder = {"behavior": "allow", "downloadPath": str(downloads)}
    driver.execute_cdp_cmd("Browser.setDownloadBehavior", folder)
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    driver.get("about:blank")  # since an address that differs in its # alone loads nothing
    driver.get(page.as_uri() + seed)
    return Visit(driver, downloads, page)
