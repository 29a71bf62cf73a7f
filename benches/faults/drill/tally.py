"""What became of each request: nothing is estimated, nothing is sampled."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Callable, Iterable


@dataclass(frozen=True)
class Outcome:
    """One request. `end`: a status (as text), or `reset`, `closed`, `refused`, `timeout`, `begun` (cut after the
    answer had begun). `reason`: what a proxy says of an answer of its own. `endpoint`: who answered; empty: not the
    backend."""

    sent: float
    done: float
    who: str
    method: str
    end: str
    reason: str = ""
    endpoint: str = ""

    @property
    def good(self) -> bool:
        return self.end.isdigit() and self.end.startswith("2")

    @property
    def answered(self) -> bool:
        """By the backend, whatever it said."""
        return bool(self.endpoint)

    @property
    def refused(self) -> bool:
        """The proxy did not try: a breaker that is open, or no server that it would use."""
        return not self.answered and self.end == "503"

    @property
    def why(self) -> str:
        if self.answered and not self.good:
            return f"{self.end} of the backend"
        return f"{self.end} {self.reason}".strip()


@dataclass
class Tally:
    outcomes: list[Outcome] = field(default_factory=list)

    def only(self, true: Callable[[Outcome], bool]) -> "Tally":
        return Tally([each for each in self.outcomes if true(each)])

    def by(self, who: str) -> "Tally":
        return self.only(lambda each: each.who == who)

    def method(self, method: str) -> "Tally":
        return self.only(lambda each: each.method == method)

    def sent_within(self, start: float, end: float) -> "Tally":
        return self.only(lambda each: start <= each.sent < end)

    @property
    def count(self) -> int:
        return len(self.outcomes)

    @property
    def failed(self) -> int:
        """Without an answer of the backend that is good, but for those whose answer had begun."""
        return sum(not each.good and each.end != "begun" for each in self.outcomes)

    @property
    def refused(self) -> int:
        return sum(each.refused for each in self.outcomes)

    def reasons(self) -> dict[str, int]:
        return dict(Counter(each.why for each in self.outcomes if not each.good).most_common())


def joined(tallies: Iterable[Tally]) -> Tally:
    return Tally([each for tally in tallies for each in tally.outcomes])
