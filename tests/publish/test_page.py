"""The page at ``/`` in a real browser: hostile names stay text, no mouse is needed, it is live."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from monitor.canary.watch import CanaryState
from monitor.flow_batch import Counters
from monitor.judge.alert import Alert
from monitor.publish.http import HttpServer
from monitor.publish.runbooks import Runbooks

from . import browser as browsers
from .browser import Browser

pytestmark = pytest.mark.skipif(
    browsers.CHROMIUM is None, reason="chromium is not installed: apt-get install chromium"
)

# markup, quotes that end an attribute, a right-to-left override, a bell, a line's end, and ten kilobytes
HOSTILE = (
    "<script>window.hacked=1</script><img src=x onerror=window.hacked=2>\"' onfocus='window.hacked=3' "
    "\u202egnp.exe\u2066 \x07\n" + "n" * 10_000
)
TAB, ENTER = ("Tab", 9, ""), ("Enter", 13, "\r")

FOCUSABLE = "a[href], button, summary, [tabindex='0']"


class Page:
    """A server with a publisher of its own, and what is published into it."""

    def __init__(self, given: Any) -> None:
        self.given = given
        self.publisher = given.publisher()
        self.server = HttpServer(
            self.publisher, self.publisher.alerts, self.publisher.alert,
            lambda: (True, "capturing; 2 rules loaded"), "127.0.0.1:0",
        )  # fmt: skip
        self.publisher.runbooks = Runbooks(
            {"canary.md": "# Canary"},
            dict.fromkeys(("unsanctioned-cloud-alibaba", "dns-tunnel"), ("A title", "# What to do")),
        )
        self.server.start()

    @property
    def address(self) -> str:
        return f"http://{self.server.address}/"

    def publish(self, *rows: dict[str, Any], alerts: list[Alert] | None = None, **options: Any) -> None:
        counters = Counters(
            frames={"eth0": 1000}, wire_bytes={"eth0": 900_000}, interface_bytes={"eth0": 901_000},
            interface_up={"eth0": True}, dropped_frames={("eth0", "ring"): 0},
            scope_frames={"egress": 990}, undecoded_frames={"not_ip": 10}, undecoded_bytes={"not_ip": 600},
        )  # fmt: skip
        self.given.publish(self.publisher, *rows, alerts=alerts or [], counters=counters, **options)

    def alert(self, number: int = 1, **values: Any) -> Alert:
        flow = {
            "flow_id": "e216b4d5c705b925", "local_address": "10.0.1.7", "local_port": 40000,
            "remote_address": "2001:db8::1", "remote_port": 443, "initiator": "local",
            "bytes_out": 5 << 20, "bytes_in": 1000, "name": "oss.example", "dns_name": None,
            "evidence": "sni", "confidence": "low",
            "attribution": [{"what": "network", "answer": "alibaba", "why": "AS45102, SG"}],
        }  # fmt: skip
        plain: dict[str, Any] = {
            "id": f"{number:016x}", "runbook": "runbooks/unsanctioned-cloud.md", "names": ["oss.example"],
            "countries": ["SG"], "evidence": ["sni"], "flows": [flow], "capsule": "c1",
        }  # fmt: skip
        return self.given.alert(**plain | values)  # type: ignore[no-any-return]


@pytest.fixture
def page(given: Any) -> Iterator[Page]:
    one = Page(given)
    yield one
    one.server.stop()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browsers.browsing(tmp_path_factory.mktemp("browser")) as one:
        yield one


@pytest.fixture
def browser(running: Browser) -> Browser:
    running.call("Emulation.setScriptExecutionDisabled", value=False)
    running.look()
    return running


def troubles(browser: Browser) -> list[str]:
    """What the browser complains about: violations of the policy, errors, dialogs, foreign requests."""
    found = [entry["entry"]["text"] for entry in browser.told("Log.entryAdded")]
    found += [str(one) for one in browser.told("Runtime.exceptionThrown")]
    found += [one["message"] for one in browser.told("Page.javascriptDialogOpening")]
    return found


def requests(browser: Browser) -> list[str]:
    return [one["request"]["url"] for one in browser.told("Network.requestWillBeSent")]


def hostile(page: Page) -> None:
    alert = page.alert(
        title=HOSTILE, workload=HOSTILE, provider=HOSTILE, group={"name": HOSTILE}, names=[HOSTILE] * 50,
        countries=[HOSTILE], measure=HOSTILE, exceptions=[{"reason": HOSTILE}], capsule=HOSTILE,
        runbook=HOSTILE,
    )  # fmt: skip
    alert.flows[0] |= {"name": HOSTILE, "initiator": HOSTILE, "remote_address": HOSTILE}
    alert.flows[0]["attribution"] = [{"what": HOSTILE, "answer": HOSTILE, "why": HOSTILE}]
    row = {
        "workload": HOSTILE, "provider": HOSTILE, "as_name": HOSTILE, "dns_name": HOSTILE, "country": HOSTILE,
        "bytes_out": 5000,
    }  # fmt: skip
    page.publish(row, alerts=[alert], canary=CanaryState({HOSTILE: 0.0}))


@pytest.mark.parametrize("path", ["", "alerts?workload=%3Cscript%3Ewindow.hacked%3D4%3C/script%3E", "alerts"])
def test_hostile_names_stay_text(page: Page, browser: Browser, path: str) -> None:
    hostile(page)
    browser.open(page.address + path)
    browser.wait("document.getElementById('updated').textContent.startsWith('Updated')")
    assert browser.value("window.hacked") is None
    assert browser.value("document.querySelectorAll('script').length") == 1
    assert browser.value("document.querySelectorAll('img, iframe, [onfocus], [style]').length") == 0
    text = str(browser.value("document.body.textContent"))
    assert "<script>window.hacked" in text
    assert not {"\u202e", "\u2066", "\x07"} & set(text), "unseen characters are shown as what they are"
    assert "n" * 400 not in text, "long text is cut"
    assert troubles(browser) == []
    assert {url.split("/")[2] for url in requests(browser)} == {page.server.address}


def test_the_policy_refuses_what_is_inline_or_foreign(page: Page, browser: Browser) -> None:
    browser.open(page.address)
    browser.value(
        "(() => { const one = document.createElement('script'); one.textContent = 'window.hacked = 1';"
        "document.body.append(one); document.body.setAttribute('style', 'color: red');"
        "const other = document.createElement('script'); other.src = 'http://127.0.0.1:1/x.js';"
        "document.body.append(other); })()"
    )
    browser.wait("document.scripts.length == 3")
    assert browser.value("window.hacked") is None
    assert browser.value("getComputedStyle(document.body).color") != "rgb(255, 0, 0)"
    # and the test above would have seen it
    assert sum("Content Security Policy" in text for text in troubles(browser)) >= 3


def test_a_keyboard_reaches_everything(page: Page, browser: Browser) -> None:
    page.publish({"bytes_out": 5000}, alerts=[page.alert(1), page.alert(2)])
    browser.open(page.address)
    browser.wait("document.getElementById('updated').textContent.startsWith('Updated')")
    browser.value("document.getElementById('pause').click()")  # so that no section is replaced meanwhile
    browser.value(f"document.querySelectorAll({FOCUSABLE!r}).forEach((one, n) => one.dataset.place = n)")
    browser.value("document.activeElement.blur()")
    reached, outlined = [], []
    for _ in range(60):
        browser.press(*TAB)
        place = browser.value("document.activeElement.dataset.place")
        if place is None or place in reached:
            break
        reached.append(place)
        outlined.append(browser.value("parseFloat(getComputedStyle(document.activeElement).outlineWidth)"))
    # links inside a closed alert are not there yet
    shown = browser.value(
        f"[...document.querySelectorAll({FOCUSABLE!r})].filter((one) => one.checkVisibility()"
        " && (one.tagName == 'SUMMARY' || !one.closest('details:not([open])')))"
        ".map((one) => one.dataset.place)"
    )
    assert reached == shown
    assert min(outlined) >= 2, "the focus is seen"
    browser.value("document.querySelector('#alerts summary').focus()")
    browser.press(*ENTER)
    assert browser.value("document.querySelector('#alerts details').open") is True
    browser.press(*TAB)
    assert browser.value("document.activeElement.closest('details') != null"), "what is in it comes next"


def test_it_is_live_and_leaves_alone_what_one_reads(page: Page, browser: Browser) -> None:
    page.publish({"bytes_out": 5000}, alerts=[page.alert(1)])
    browser.open(page.address)
    assert browser.value("document.title") == "(1) egress-monitor"
    browser.value("document.querySelector('#alerts details').open = true")
    browser.value("document.querySelector('#alerts details ul a').focus()")
    before = browser.value("document.activeElement.href")
    page.publish({"bytes_out": 7 << 20, "dns_name": "new.example"}, alerts=[page.alert(2), page.alert(1)])
    browser.wait("document.querySelectorAll('#alerts details').length == 2")
    assert "new.example" in browser.value("document.getElementById('destinations').textContent")
    assert "7.0 MiB" in browser.value("document.getElementById('destinations').textContent")
    assert browser.value("document.title") == "(2) egress-monitor"
    assert "2 open alerts" in browser.value("document.querySelector('[role=status]').textContent")
    assert browser.value("document.getElementById('alert-0000000000000001').open") is True
    assert browser.value("document.getElementById('alert-0000000000000002').open") is False
    assert browser.value("document.activeElement.href") == before
    assert troubles(browser) == []


def test_updates_can_be_paused(page: Page, browser: Browser) -> None:
    page.publish(alerts=[page.alert(1)])
    browser.open(page.address)
    browser.wait("document.getElementById('updated').textContent.startsWith('Updated')")
    browser.value("document.getElementById('pause').click()")
    assert browser.value("document.getElementById('pause').getAttribute('aria-pressed')") == "true"
    page.publish(alerts=[])
    asked = requests(browser).count(page.address)  # the browser may still ask for the icon
    browser.value("new Promise((done) => setTimeout(done, 6000))")
    assert requests(browser).count(page.address) == asked
    assert browser.value("document.querySelectorAll('#alerts details').length") == 1
    browser.value("document.getElementById('pause').click()")
    browser.wait("document.querySelectorAll('#alerts details').length == 0")


def test_a_dead_monitor_is_told(page: Page, browser: Browser) -> None:
    browser.open(page.address)
    page.server.stop()
    browser.wait("document.getElementById('live').classList.contains('stale')")
    assert "is old" in browser.value("document.getElementById('updated').textContent")


def test_another_page_in_its_place_is_told(page: Page, browser: Browser) -> None:
    """A proxy that wants a new log-in answers with a page of its own, and 200."""
    page.publish(alerts=[page.alert(1)])
    browser.open(page.address)
    browser.value("void (window.fetch = async () => new Response('<title>Log in</title>', {status: 200}))")
    browser.wait("document.getElementById('live').classList.contains('stale')")
    assert browser.value("document.title") == "(1) egress-monitor"


def test_any_link_leaves_it_live(page: Page, browser: Browser) -> None:
    """What stands behind the hash is whatever somebody sends to the analyst."""
    page.publish(alerts=[page.alert(1)])
    browser.open(page.address + "#%")
    browser.wait("document.getElementById('updated').textContent.startsWith('Updated')")
    assert troubles(browser) == []
    browser.open(page.address + "alerts#alert-0000000000000001")
    assert browser.value("document.getElementById('alert-0000000000000001').open") is True


def test_without_a_script_it_is_a_snapshot(page: Page, browser: Browser) -> None:
    page.publish({"bytes_out": 5000, "dns_name": "seen.example"}, alerts=[page.alert(1)])
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    browser.open(page.address)
    tree = browser.call("Accessibility.getFullAXTree")["nodes"]
    names = {node.get("name", {}).get("value") for node in tree}
    assert "seen.example" in names
    assert not any("Pause" in str(name) for name in names), "what needs the script is not there"


def test_what_a_screen_reader_is_told(page: Page, browser: Browser) -> None:
    page.publish({"bytes_out": 5000}, alerts=[page.alert(1)])
    browser.open(page.address)
    tree = browser.call("Accessibility.getFullAXTree")["nodes"]
    roles = [node["role"]["value"] for node in tree if not node.get("ignored")]
    for role in ("banner", "navigation", "main", "contentinfo", "status"):
        assert roles.count(role) == 1, role
    unnamed = [
        node["role"]["value"]
        for node in tree
        if node["role"]["value"] in ("table", "region", "link", "button", "navigation")
        and not node.get("ignored")
        and not node.get("name", {}).get("value")
    ]
    assert unnamed == []
    assert browser.value("document.querySelectorAll('h1').length") == 1
    assert browser.value("document.documentElement.lang") == "en"


# WCAG 2.2, definitions of relative luminance and contrast ratio, of each text against the ground behind it
CONTRAST = """
(() => {
  const light = (colour) => {
    const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3)
      .map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (one) => {
    for (; one; one = one.parentElement) {
      const colour = getComputedStyle(one).backgroundColor;
      if (!/, 0\\)$|^transparent$/.test(colour)) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const poor = [];
  for (const one of document.querySelectorAll("body *")) {
    const own = [...one.childNodes].some((node) => node.nodeType == 3 && node.textContent.trim());
    if (!own || !one.checkVisibility()) continue;
    const [a, b] = [light(getComputedStyle(one).color), light(ground(one))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) poor.push(one.outerHTML.slice(0, 80));
  }
  return poor;
})()
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_read_in_both_schemes(page: Page, browser: Browser, scheme: str) -> None:
    ended = page.alert(3, severity="info", ended=page.given.START + 10**9)
    page.publish({"bytes_out": 5000}, alerts=[page.alert(1), page.alert(2, severity="warning"), ended])
    browser.look(scheme=scheme)
    browser.open(page.address)
    browser.value("document.querySelectorAll('details').forEach((one) => one.open = true)")
    red = int(re.findall(r"\d+", browser.value("getComputedStyle(document.body).backgroundColor"))[0])
    assert red < 64 if scheme == "dark" else red > 192
    assert browser.value(CONTRAST) == []


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_nothing_is_cut_off_on_a_phone(page: Page, browser: Browser, width: int) -> None:
    hostile(page)
    browser.look(width=width)
    browser.open(page.address)
    browser.value("document.querySelectorAll('details').forEach((one) => one.open = true)")
    assert browser.value("document.documentElement.scrollWidth") <= width


def test_the_link_of_an_alert_leads_to_it(page: Page, browser: Browser) -> None:
    page.publish(alerts=[page.alert(1), page.alert(2, rule="dns-tunnel", title="Data hides in DNS")])
    browser.open(page.address + "alerts?rule=dns-tunnel&workload=api&provider=alibaba")
    assert browser.value("[...document.querySelectorAll('#alerts details')].map((one) => one.id)") == [
        "alert-0000000000000002"
    ]
    assert browser.value("document.querySelector('#alerts details').open") is True, "it was asked for"
    browser.value("document.querySelector('#alerts details').open = false")
    page.publish(alerts=[page.alert(2, rule="dns-tunnel", title="Data in DNS", sent_bytes=3 << 30)])
    browser.wait("document.getElementById('alerts').textContent.includes('3.0 GiB')")
    assert browser.value("document.querySelector('#alerts details').open") is False, "it stays closed"
    text = browser.value("document.getElementById('alerts').textContent")
    assert "egress-monitor explain 0000000000000002" in text
    assert "egress-monitor inspect 0000000000000002" in text
    runbook = browser.value("document.querySelector('#alerts a[href^=runbooks]').href")
    browser.open(runbook)
    assert browser.value("document.body.textContent.startsWith('# ')") is True


