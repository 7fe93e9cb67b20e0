"""The built site in a browser: ``tox -e docs,browser``.

Every page is served from this machine, and a page that asks another one for anything fails.
"""

import functools
import http.server
import json
import os
import shutil
import threading
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

SITE = Path(__file__).parents[1] / "_build" / "html"
PAGES = [
    "index.html",
    "guide/streaming.html",
    "guide/state.html",
    "auto_examples/index.html",
    "auto_examples/quickstart.html",
    "api.html",
    "generated/skcmanp.CMANPRegressor.html",
    "benchmarks.html",
    "cards.html",
    "develop/architecture.html",
]
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PHONE = {"width": 375, "height": 812, "deviceScaleFactor": 2, "mobile": True}


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def address():
    if not (SITE / "index.html").exists():
        pytest.skip("There is no site in docs/_build/html: tox -e docs builds it.")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(SITE)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("There is no chromium with chromedriver: on Debian, apt-get install chromium chromium-driver.")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in [*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    driver.set_window_size(1280, 900)
    yield driver
    driver.quit()


@pytest.fixture
def phone(browser):
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
    yield browser
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def screenshot(browser, name):
    """A picture for people, if they ask for it with SCREENSHOTS=folder."""
    if folder := os.environ.get("SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        browser.save_screenshot(f"{folder}/{name.replace('/', '-').removesuffix('.html')}.png")


def requested(browser):
    """Addresses that were requested since the last call."""
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            yield message["params"]["request"]["url"]


@pytest.mark.parametrize("page", PAGES)
def test_page_is_whole(browser, address, page):
    browser.get_log("browser")
    list(requested(browser))
    browser.get(f"{address}/{page}")
    # Images below the fold load when they are scrolled to.
    browser.execute_script("document.querySelectorAll('img').forEach(i => { i.loading = 'eager' })")
    script = "return [...document.images].filter(i => !i.complete || i.naturalWidth == 0).map(i => i.src)"
    WebDriverWait(browser, 10).until(lambda b: not b.execute_script(script), f"missing images on {page}")
    screenshot(browser, page)
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
    elsewhere = [url for url in requested(browser) if not url.startswith((address, "data:", "blob:", "chrome"))]
    assert elsewhere == []


@pytest.mark.parametrize("page", PAGES)
def test_page_fits_a_phone(phone, address, page):
    phone.get(f"{address}/{page}")
    screenshot(phone, f"phone-{page}")
    width, needed = phone.execute_script("return [window.innerWidth, document.documentElement.scrollWidth]")
    assert width == PHONE["width"]
    assert needed <= width


def test_search_finds_a_method(browser, address):
    browser.get(f"{address}/search.html?q=partial_fit")
    found = WebDriverWait(browser, 20).until(lambda b: b.find_elements(By.CSS_SELECTOR, "#search-results li a"))
    screenshot(browser, "search")
    assert any("CMANPRegressor" in link.get_attribute("href") for link in found)


def test_drifting_streams_are_near_the_front_page(browser, address):
    browser.get(f"{address}/index.html")
    link = browser.find_element(By.CSS_SELECTOR, ".sd-card a[href='guide/streaming.html#drifting-stream']")
    browser.execute_script("arguments[0].click()", link)
    assert browser.current_url.endswith("guide/streaming.html#drifting-stream")
    assert "decay" in browser.find_element(By.ID, "recipe-a-stream-that-drifts").text


def test_equations_are_mathml(browser, address):
    browser.get(f"{address}/guide/state.html")
    heights = [math.size["height"] for math in browser.find_elements(By.CSS_SELECTOR, "div.math-block math")]
    assert len(heights) >= 4
    assert min(heights) > 15
