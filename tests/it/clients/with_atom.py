"""Reads a feed as RFC 4287 has it, and prints its entries as JSON. What the RFC demands and is not there ends it."""

import datetime
import json
import sys
import xml.etree.ElementTree as tree

ATOM = "{http://www.w3.org/2005/Atom}"


def one(of, name):
    found = of.findall(ATOM + name)
    assert len(found) == 1, f"{of.tag} has {len(found)} {name}"
    return (found[0].text or "").strip()


def moment(of, name):
    text = one(of, name)
    read = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    assert read.tzinfo is not None, text
    return text


def links(of):
    found = of.findall(ATOM + "link")
    for link in found:
        assert link.get("href") and link.get("rel"), link.attrib
    kinds = [(link.get("rel"), link.get("type")) for link in found]
    assert len(kinds) == len(set(kinds)), "RFC 4287 section 4.1.1: no two alternates of one type"
    return {link.get("rel"): link.get("href") for link in found}


feed = tree.fromstring(sys.stdin.buffer.read())
assert feed.tag == ATOM + "feed", feed.tag
for known in feed.iter():
    assert known.tag.startswith(ATOM), f"{known.tag} is markup of somebody else"
assert one(feed, "id").startswith("urn:") and one(feed, "title")
assert feed.find(f"{ATOM}author/{ATOM}name").text
assert "self" in links(feed)
changed = moment(feed, "updated")
entries = []
for entry in feed.findall(ATOM + "entry"):
    assert not list(entry.find(ATOM + "title")) and not list(entry.find(ATOM + "summary"))
    told = {name: one(entry, name) for name in ("id", "title", "summary")}
    told |= {name: moment(entry, name) for name in ("published", "updated")}
    told["links"] = links(entry)
    told["categories"] = [category.get("term") for category in entry.findall(ATOM + "category")]
    assert told["id"].startswith("urn:") and told["links"]["alternate"], told
    assert told["published"] <= told["updated"] <= changed, told
    entries.append(told)
assert len({entry["id"] for entry in entries}) == len(entries), "ids are unique"
json.dump(entries, sys.stdout)
