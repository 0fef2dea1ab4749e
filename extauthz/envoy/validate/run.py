"""Texts to findings: the way in."""

from collections.abc import Container, Iterator, Sequence

from extauthz.envoy.validate import (
    after_rules,
    asking_rules,
    call_rules,
    chain_rules,
    condition_rules,
    configured_rules,
    connection_rules,
    listener_rules,
    route_rules,
    tls_rules,
)
from extauthz.envoy.validate.configured_rules import Compared, Configured
from extauthz.envoy.validate.filters import EXT_AUTHZ
from extauthz.envoy.validate.findings import Finding
from extauthz.envoy.validate.model import Everything, everything, settings_of
from extauthz.envoy.validate.reading import UnreadableEnvoy, read
from extauthz.envoy.validate.resources import collect
from extauthz.envoy.validate.spots import Spot

_DECLARED = frozenset({"headers-withheld", "xff-not-appended", "pages-missing"})
"""Findings that are guesses as long as nobody says what the server expects."""


def validate(
    texts: Sequence[tuple[str, str]], configured: Configured | None = None, *, listeners: Sequence[str] = ()
) -> tuple[Finding, ...]:
    """What is wrong with a configuration, in the order of its files and lines.

    `texts` are its parts, each with the name that findings call it: a bootstrap, a `/config_dump`, or single resources.
    With `configured` it is compared with what the server expects. `listeners` are the names of those that are judged;
    without any, all are.

    Raises:
        UnreadableEnvoy: a text is no configuration of Envoy.
    """
    roots = []
    for name, text in texts:
        documents = read(text, name)
        if not documents:
            raise UnreadableEnvoy(f"{name}: holds nothing; give a bootstrap, a `/config_dump`, or single resources")
        roots += [Spot(name, (), document.line, document) for document in documents]
    resources = collect(roots)
    missing = sorted(set(listeners) - {spot["name"].text for spot in resources.listeners})
    if missing:
        raise UnreadableEnvoy(f"{texts[0][0]}: has no listener `{missing[0]}`; write one of its names")
    model = everything(resources, listeners)
    found = list(_findings(model))
    if configured is not None:
        expected = list(_compared(model, configured))
        spots = {(one.file, one.path) for one in expected}
        found = [one for one in found if not _is_known(one, configured, spots)] + expected
    order = {name: number for number, (name, _) in enumerate(texts)}
    return tuple(sorted(set(found), key=lambda one: (order[one.file], one.line, one.rule, one.path, one.means)))


def _findings(all_of_it: Everything) -> Iterator[Finding]:
    for of_all in (*listener_rules.RULES, *condition_rules.RULES, *call_rules.RULES):
        yield from of_all.findings(all_of_it)
    for http in all_of_it.https:
        for of_http in route_rules.RULES if http.guard is not None else ():
            yield from of_http.findings(http)
        for of_http in (*chain_rules.RULES, *after_rules.RULES, *connection_rules.RULES):
            if http.guard is not None and http.spot.exists:
                yield from of_http.findings(http)
    for chain in (one for one in all_of_it.chains if one.guard is not None and one.chain.exists):
        for of_chain in tls_rules.RULES:
            yield from of_chain.findings(chain)
    for config in _asking(all_of_it):
        for of_filter in asking_rules.RULES:
            yield from of_filter.findings(config)
    for check in _asking_on_routes(all_of_it):
        for of_route in asking_rules.ON_ROUTES:
            yield from of_route.findings(check)


def _asking(all_of_it: Everything) -> Iterator[Spot]:
    filters = [one for http in all_of_it.https for one in http.all_guards]
    filters += [one for tcp in all_of_it.tcps for one in tcp.filters if one.kind == EXT_AUTHZ]
    first = (one.spot.at("config_discovery", "default_config") for one in filters)  # until the others have come
    return (config for config in (*(one.config for one in filters), *first) if config.exists)


def _asking_on_routes(all_of_it: Everything) -> Iterator[Spot]:
    guards = [(http, guard.name) for http in all_of_it.https for guard in http.guards]
    return (spot["check_settings"] for http, name in guards for spot in settings_of(http, name))


def _compared(all_of_it: Everything, configured: Configured) -> Iterator[Finding]:
    both = Compared(all_of_it, configured)
    for of_both in configured_rules.RULES:
        yield from of_both.findings(both)


def _is_known(finding: Finding, configured: Configured, spots: Container[tuple[str, str]]) -> bool:
    """Whether the server's configuration answers what the finding asks for, or more is said of that spot."""
    if finding.severity == "warning" and (finding.file, finding.path) in spots:
        return True
    return finding.rule in _DECLARED and (finding.rule != "pages-missing" or not configured.has_pages)
