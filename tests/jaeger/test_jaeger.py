"""The story of three requests as a real Jaeger shows it, where there is one: `make jaeger` builds it."""

from pathlib import Path

from e2e.stage import Script
from e2e_approvals.conftest import approving
from e2e_approvals.story import EVENTS, PAGE, POLICY, live
from jaeger.running import Seen, find_jaeger, running_jaeger
from patience import comes


def test_jaeger_shows_the_whole_story_linked(tmp_path: Path) -> None:
    with running_jaeger(find_jaeger()) as jaeger:
        with approving(tmp_path, Script(policies=POLICY, collector=jaeger.endpoint)) as world:
            story = live(world, "olga", PAGE)
            # Envoy sends its spans every 5 seconds.
            assert comes(lambda: all(above(jaeger.spans("extauthz"), id_) for id_ in story.decisions))
            assert comes(lambda: len(events(jaeger.spans("extauthz"))) == len(EVENTS[PAGE]))
        spans = jaeger.spans("extauthz")
        # Envoy's own span of a Check may end after the request that it belongs to, and Jaeger warns of that.
        assert [span.warnings for span in spans if span.warnings and span.service == "extauthz"] == []
        numbers = {decision(spans, id_).ids: number for number, id_ in enumerate(story.decisions, 1)}
        linked = [(span.name, {numbers[one] for one in span.follows_from}) for span in events(spans)]
        assert sorted(linked, key=str) == sorted(EVENTS[PAGE], key=str)
        challenged, held, passed = (decision(spans, id_) for id_ in story.decisions)
        said = [one.tags["extauthz.decision"] for one in (challenged, held, passed)]
        assert said == ["challenge", "hold", "allow"]
        assert passed.follows_from == {held.ids}
        assert story.approval in passed.tags["extauthz.approval.ids"]


def decision(spans: list[Seen], id_: str) -> Seen:
    """The span of this decision."""
    (found,) = [one for one in spans if one.name == "authz.check" and one.tags["extauthz.decision_id"] == id_]
    return found


def above(spans: list[Seen], id_: str) -> list[Seen]:
    """The spans of Envoy's that the one of this decision is a child of."""
    mine = [one for one in spans if one.name == "authz.check" and one.tags["extauthz.decision_id"] == id_]
    return [one for one in spans if one.service == "gateway" and any(one.ids in child.child_of for child in mine)]


def events(spans: list[Seen]) -> list[Seen]:
    """What has happened beside decisions."""
    ours = [one for one in spans if one.service == "extauthz"]
    return [one for one in ours if not one.name.startswith(("authz.check", "authz.wait."))]
