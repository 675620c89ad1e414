"""The alert rules of deploy/alerts.yaml ask for metrics and labels that there are."""

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY

from kit.breaker import Breaker

DEPLOY = Path(__file__).parents[2] / "deploy"
MODULES = (
    "antifraud.metrics", "checkout.driver", "kit.breaker", "kit.telemetry", "notification.store",
    "points.metrics", "tier.tier_store",
)  # fmt: skip
SELECTOR = re.compile(r"(laurel_\w+)(?:\{([^}]*)\})?")


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((DEPLOY / "alerts.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def metrics() -> dict[str, tuple[str, ...]]:
    """By name, the labels of every metric of ours."""
    for module in MODULES:
        import_module(module)
    found: dict[str, tuple[str, ...]] = {}
    for collector, names in REGISTRY._collector_to_names.items():
        labels = getattr(collector, "_labelnames", ())
        found |= dict.fromkeys(names, tuple(labels))
    return found


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_what_there_is(rule: dict[str, Any]) -> None:
    known = metrics()
    selectors = SELECTOR.findall(rule["expr"])
    assert selectors or rule["expr"].startswith("up{")
    labels: set[str] = {"instance"} if not selectors else set()
    for name, conditions in selectors:
        assert name in known, name
        labels |= set(known[name])
        for condition in filter(None, conditions.split(",")):
            label = re.split("=~|!~|!=|=", condition)[0].strip()
            assert label in known[name]
    told = re.findall(r"\$labels\.(\w+)", str(rule["annotations"]))
    assert set(told) <= labels
    assert {"summary", "do"} == rule["annotations"].keys()
    assert rule["labels"]["severity"] in ("page", "ticket")


def test_a_broken_rule_raises_alarm() -> None:
    """AF-02: skipped, counted and alarmed."""
    assert any("laurel_antifraud_rule_breaks_total" in rule["expr"] for rule in rules())


def test_af_06_a_breaker_that_tries_in_vain_raises_alarm_without_a_break() -> None:
    """It has to hold at every look for as long as `for` says, also while a try is under way."""
    [rule] = [rule for rule in rules() if rule["alert"] == "LaurelBreakerOpen"]
    condition = re.fullmatch(r"laurel_breaker_state (>|==) (\d)", rule["expr"])
    assert condition
    number = int(condition[2])
    now = 0.0
    breaker = Breaker("alerts", failures_max=1, pause_seconds=1, monotonic=lambda: now)

    def alarms() -> bool:
        state = int(breaker.state)
        return state > number if condition[1] == ">" else state == number

    assert not alarms()
    breaker.fail()
    for _ in range(3):
        assert alarms()
        now += 1
        assert breaker.admits()
        assert alarms(), "a try is under way"
        breaker.fail()
    now += 1
    breaker.admits()
    breaker.succeed()
    assert not alarms()
