"""A browser visits the page of the admin port as people do: all of it, in both schemes, wide and narrow.

Arguments: the base URL; then `--token-file FILE` where a token is asked for, `--shots DIR` for pictures of what was seen, and
`--restart-signal FILE`: "stop" is written to it when the server is to go away, "start" when it is to come back on the same port.
With `--state NAME=URL`, as often as there are states, only these servers are seen, each on the pages where a state shows.
Prints what it saw, one JSON object. Fails where the page does not hold what it promises.
"""

import argparse
import json
import pathlib
import re
import time

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

CHROMIUM = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]
SCHEMES = ["light", "dark"]
WIDTHS = [1440, 360]
PATIENCE_MS = 20_000
API = "/api/v2/sre"

# Titles that want to be more than titles: markup, a text that turns its direction, one without a place to break.
HOSTILE = [
    "<img src=x onerror=\"document.title='pwned'\"><script>document.title='pwned'</script>",
    "\u202egnp.exe \u2066abc </title></main><b>bold</b>",
    "W" * 500,
]
MARKS = re.compile("[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


def visible(text):
    """As the page shows it: marks that have no shape of their own are told by number."""
    return MARKS.sub(lambda mark: f"\u2039U+{ord(mark.group()):04X}\u203a", text)


def plain(text):
    """Without the differences that only the eye sees."""
    return re.sub(r"\s+", " ", text.replace("\u00a0", " ")).strip()


class Visit:
    """One browser, logged in where that is asked for."""

    def __init__(self, browser, given):
        self.browser = browser
        self.base = given.base.rstrip("/")
        self.token = pathlib.Path(given.token_file).read_text().strip() if given.token_file else None
        self.shots = pathlib.Path(given.shots) if given.shots else None
        self.state = None
        self.troubles = []
        self.violations = []

    def context(self, scheme="light", width=1440, script=True):
        return self.browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, storage_state=self.state, java_script_enabled=script,
        )

    def page(self, context):
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", lambda said: said.type in ("error", "warning") and self.troubles.append(said.text))
        page.on("pageerror", lambda error: self.troubles.append(str(error)))
        return page

    def log_in(self):
        """What is seen of the log-in: a wrong token is told so, the right one opens the page."""
        if self.token is None:
            return None
        context = self.context()
        page = context.new_page()
        page.goto(self.base + "/")
        told = []
        for token in [self.token + "x", self.token]:
            page.locator("input[name=token]").fill(token)
            with page.expect_navigation():
                page.locator("main form button").click()
            told.append(page.locator("main [role=alert]").count() > 0)
        page.locator("main .sentence").wait_for()
        cookies = [{name: one[name] for name in ("httpOnly", "sameSite")} for one in context.cookies()]
        self.state = context.storage_state()
        context.close()
        return {"wrong_is_told": told[0], "right_is_not": not told[1], "cookies": cookies}

    def api(self, page, path, body=None):
        headers = {"authorization": f"Bearer {self.token}"} if self.token else {}
        url = self.base + API + path
        answer = page.request.get(url, headers=headers) if body is None else page.request.post(url, data=body, headers=headers)
        assert answer.ok, f"{path}: {answer.status} {answer.text()[:300]}"
        return answer.json()

    def go(self, page, place):
        page.goto(self.base + "/" + place)
        page.locator(f'main[data-shown="{place}"]').wait_for()

    def look(self, page, name, scheme, width):
        """A picture, axe, and whether the page fits."""
        if self.shots:
            page.screenshot(path=str(self.shots / f"{name}-{scheme}-{width}.png"), full_page=True)
        for one in Axe().run(page).response["violations"]:
            self.violations.append([name, scheme, width, one["id"], one["nodes"][0]["html"][:200]])
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{name} at {width} px is {wide} px wide"


def places(visit, page):
    """All pages, with one of each kind that has a name."""
    incident = visit.api(page, "/incidents?all=true")["incidents"][0]["id"]
    upstream = visit.api(page, "/upstreams")["upstreams"][0]["name"]
    found = {
        "overview": "#/", "traffic": "#/traffic", "upstreams": "#/upstreams", "upstream": f"#/upstreams/{upstream}",
        "incidents": "#/incidents", "incident": f"#/incidents/{incident}", "uptime": "#/uptime", "recovery": "#/recovery",
        "settings": "#/settings",
    }
    runbooks = visit.api(page, "/runbooks")["runbooks"]
    return found | {"runbook": f"#/runbooks/{one['name']}" for one in runbooks[:1]}


def see_states(browser, given):
    """Each server in its state: what must be told of it there, light and wide, dark and narrow."""
    told = {"states": {}, "violations": [], "troubles": []}
    for name, base in (one.split("=", 1) for one in given.state):
        given.base = base
        visit = Visit(browser, given)
        told["states"][name] = state(visit, name)
        told["violations"] += visit.violations
        told["troubles"] += visit.troubles
    return told


# States that are seen on all the pages where one shows.
WHOLE = ["all-down", "year"]


def state(visit, name):
    seen = {}
    for scheme, width in [("light", 1440), ("dark", 360)]:
        context = visit.context(scheme, width)
        page = visit.page(context)
        upstream = visit.api(page, "/upstreams")["upstreams"][-1]["name"]
        pages = {"overview": "#/", "traffic": "#/traffic"}
        if name in WHOLE:
            pages |= {"upstream": f"#/upstreams/{upstream}", "uptime": "#/uptime"}
        for one, place in pages.items():
            visit.go(page, place)
            visit.look(page, f"{name}-{one}", scheme, width)
            if width == 1440:
                seen[one] = plain(page.locator("main").inner_text())
                seen[f"{one}_drawings"] = page.locator("main svg[role=img] > desc").all_text_contents()
        context.close()
    return seen


def see_all(visit):
    seen = []
    for scheme in SCHEMES:
        for width in WIDTHS:
            context = visit.context(scheme, width)
            page = visit.page(context)
            for name, place in places(visit, page).items():
                visit.go(page, place)
                assert page.locator("h1").count() == 1, f"{name} has one first heading"
                visit.look(page, name, scheme, width)
                seen.append(f"{name}-{scheme}-{width}")
            context.close()
    return seen


def hostile(visit, page):
    """Titles from outside are text, and only that."""
    made = [visit.api(page, "/test/incident", {"title": title, "severity": "high"})["incident"] for title in HOSTILE]
    visit.go(page, "#/incidents")
    for one in made:
        row = page.locator(f'[data-key="{one["id"]}"] .row-title')
        row.wait_for()
        assert row.text_content() == visible(one["title"]), row.text_content()
        visit.go(page, f"#/incidents/{one['id']}")
        assert page.locator("h1").text_content() == visible(one["title"])
        visit.go(page, "#/incidents")
    assert page.locator("main img, main script, main b").count() == 0, "markup of a title became elements"
    assert page.title().startswith("Incidents · Strop: "), page.title()
    return [one["id"] for one in made]


def share_is(shown, share):
    """What stands there is the share, cut off: never more than it, and less by no more than its last digit."""
    if share is None:
        return shown == "not observed"
    found = re.fullmatch(r"(?:< )?([\d,]+(?:\.(\d+))?) %", shown)
    assert found, shown
    value, step = float(found[1].replace(",", "")), 10 ** -len(found[2] or "")
    if shown.startswith("<"):
        return share * 100 < value
    return value <= share * 100 + 1e-5 and share * 100 < value + step + 1e-9 and (share >= 1 or value < 100)


def numbers(visit, page):
    """The overview says what the API answered it, number by number."""
    visit.go(page, "#/")
    with page.expect_response(lambda answer: answer.url.endswith(API + "/dashboard") and answer.ok) as caught:
        pass
    told = caught.value.json()
    page.wait_for_timeout(200)
    text = lambda place: [plain(one) for one in page.locator(place).all_text_contents()]
    assert text(".sentence") == [plain(visible(told["sentence"]))], (text(".sentence"), told["sentence"])
    assert text(".state-word") == [told["status"]]
    assert text(".row .row-title") == [plain(visible(one["title"])) for one in told["incidents"]]
    assert text(".row .badge") == [one["severity"] for one in told["incidents"]]
    assert text(".tile .tile-name") == [one["name"] for one in told["upstreams"]]
    assert text(".tile .badge") == [one["status"] for one in told["upstreams"]]
    uptime = text('[data-key="card-uptime"] .burns strong')
    spans = told["uptime"]["windows"] if told["uptime"] else []
    assert len(uptime) == len(spans) and all(share_is(*pair) for pair in zip(uptime, [one["uptime"] for one in spans])), (uptime, spans)
    budget = text('[data-key="card-budget"] .burn-more')
    counts = [one.split(", known ")[0] for one in budget]
    assert counts == [told_of(one) for one in told["budget"]["windows"]], counts
    stats = text('[data-key="card-process"] .stat dd')
    assert stats[1].startswith(str(told["degradation_level"])), stats
    asked = visit.api(page, "/dashboard")
    assert [one["name"] for one in asked["upstreams"]] == text(".tile .tile-name"), "whoever else asks is told the same"
    return {"sentence": told["sentence"], "incidents": len(told["incidents"]), "upstreams": len(told["upstreams"]), "uptime": uptime, "budget": counts}


def told_of(one):
    whole = one["good"] + one["bad"]
    return "no reply in this window" if one["burn_rate"] is None else f"{one['bad']:,} bad of {whole:,} {'reply' if whole == 1 else 'replies'}"


def order(page, button, fields, verb):
    """An order by its dialog; the row of the audit log that it names."""
    page.get_by_role("button", name=button, exact=True).first.click()
    dialog = page.get_by_role("dialog")
    for label, value in fields.items():
        dialog.get_by_label(label).fill(value)
    dialog.get_by_role("button", name=verb, exact=True).click()
    audited = dialog.locator(".audit-id").text_content()
    dialog.get_by_role("button", name="Close", exact=True).click()
    dialog.wait_for(state="detached")
    return audited


def origins(visit, page):
    """Each value of the config says where it comes from, as the API has it."""
    visit.go(page, "#/settings")
    told = visit.api(page, "/config")["origins"]
    page.locator("#settings-filter").fill("file, line")
    rows = page.locator('[data-key="card-effective"] tbody tr, [data-key="effective"] tbody tr')
    rows.first.wait_for()
    seen = sorted(plain(one) for one in rows.locator("td:last-child .cell").all_text_contents())
    wanted = sorted(f"file, line {one['line']}" for one in told.values() if one["from"] == "file" and one.get("line"))
    assert seen and set(seen) <= set(wanted), (seen, wanted)
    page.locator("#settings-filter").fill("latency.")
    page.locator("details.section[open]", has_text="latency").first.wait_for()
    from_default = set(plain(one) for one in rows.locator("td:last-child .cell").all_text_contents())
    assert from_default == {"default"}, from_default
    page.locator("#settings-filter").fill("")
    return seen


def orders(visit, page, incident):
    upstream = visit.api(page, "/upstreams")["upstreams"][0]["name"]
    visit.go(page, f"#/incidents/{incident}")
    audited = {
        "ack": order(page, "Take it", {"Your name": "ann"}, "Take it"),
        "note": order(page, "Note", {"Note": "looked at it <b>by hand</b>", "Your name": "ann"}, "Write"),
    }
    page.locator(".line-text", has_text="looked at it <b>by hand</b>").wait_for()
    taken = visit.api(page, f"/incidents/{incident}")
    assert taken["acknowledged_by"] == "ann", taken
    visit.go(page, f"#/upstreams/{upstream}")
    audited["hold"] = order(page, f"Hold open the breaker {upstream}", {"Reason": "a try", "For how long": "5m", "Your name": "ann"}, "Hold open")
    page.locator(".held").wait_for()
    held = visit.api(page, f"/circuit-breakers/{upstream}")["hold"]
    assert held["reason"] == "a try" and held["state"] == "open", held
    audited["release"] = order(page, f"Release the breaker {upstream}", {"Your name": "ann"}, "Release")
    page.locator(".held").wait_for(state="detached")
    assert visit.api(page, f"/circuit-breakers/{upstream}")["hold"] is None
    known = [one["id"] for one in visit.api(page, "/audit?limit=100")["mutations"]]
    assert all(one in known for one in audited.values()), (audited, known)
    return audited


def by_keyboard(visit, page):
    """Without a mouse: the skip link, then a page by its link in the navigation."""
    visit.go(page, "#/")
    page.reload()
    page.locator('main[data-shown="#/"]').wait_for()
    page.keyboard.press("Tab")
    skip = page.evaluate("document.activeElement.className")
    page.keyboard.press("Enter")
    assert (skip, page.evaluate("document.activeElement.id")) == ("skip", "main")
    page.locator('#nav a[href="#/uptime"]').focus()
    page.keyboard.press("Enter")
    page.locator('main[data-shown="#/uptime"]').wait_for()
    return page.locator("h1").text_content()


def without_script(visit):
    context = visit.context(script=False)
    page = visit.page(context)
    page.goto(visit.base + "/")
    text = plain(page.locator("main").inner_text())
    sentence = visit.api(page, "/dashboard")["sentence"]
    if visit.shots:
        page.screenshot(path=str(visit.shots / "without-script.png"), full_page=True)
    context.close()
    return {"text": text[:300], "sentence_told": plain(sentence) in text or plain(visible(sentence)) in text}


def restart(visit, page, signal):
    """The server goes away and comes back: the page says both."""
    visit.go(page, "#/")
    before = len(visit.troubles)
    pathlib.Path(signal).write_text("stop")
    cut = page.locator("#cut")
    cut.wait_for(state="visible")
    told = plain(cut.inner_text())
    word = page.locator(".live-word").text_content()
    kept = page.locator(".sentence").count()
    time.sleep(2)
    later = plain(cut.inner_text())
    pathlib.Path(signal).write_text("start")
    cut.wait_for(state="hidden", timeout=3 * PATIENCE_MS)
    page.locator(".live-word", has_text="Live").wait_for(timeout=3 * PATIENCE_MS)
    # That nobody answered is told by the browser, too.
    del visit.troubles[before:]
    assert "Cut off" in told and "old" in told and word == "Cut off" and kept == 1, (told, word, kept)
    assert told != later, "the age of what is shown grows"
    return told


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", nargs="?")
    parser.add_argument("--state", action="append", metavar="NAME=URL")
    parser.add_argument("--token-file")
    parser.add_argument("--shots")
    parser.add_argument("--restart-signal")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    given = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=given.chromium, args=CHROMIUM)
        if given.state:
            print(json.dumps(see_states(browser, given)))
            browser.close()
            return
        visit = Visit(browser, given)
        said = {"log_in": visit.log_in()}
        context = visit.context()
        page = visit.page(context)
        made = hostile(visit, page)
        said |= {"hostile": made, "seen": see_all(visit), "numbers": numbers(visit, page), "origins": origins(visit, page), "audited": orders(visit, page, made[0])}
        said |= {"by_keyboard": by_keyboard(visit, page), "without_script": without_script(visit)}
        said["cut"] = restart(visit, page, given.restart_signal) if given.restart_signal else None
        context.close()
        browser.close()
    said |= {"violations": visit.violations, "troubles": visit.troubles}
    print(json.dumps(said))


main()
