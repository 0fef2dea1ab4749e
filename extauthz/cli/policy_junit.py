"""Outcomes of cases as JUnit XML, which continuous integration shows test by test.

The rule kept here: the XML is well-formed, whatever names and values hold: what XML 1.0 can't say is replaced.
"""

import re
from collections.abc import Iterable
from itertools import groupby
from typing import Final
from xml.etree import ElementTree as ET

from extauthz.cli import policy_trace
from extauthz.policy.trial import Outcome

# XML 1.0 section 2.2, Char.
_NO_CHARACTER: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(outcomes: Iterable[Outcome]) -> str:
    """One `testsuite` for each document, one `testcase` for each case."""
    root = ET.Element("testsuites", name="extauthz policy test")
    tests = failures = 0
    for (file, suite), group in groupby(outcomes, key=lambda one: (one.place.file, one.suite)):
        cases = list(group)
        failed = sum(1 for one in cases if one.differences)
        attributes = {"name": suite, "tests": str(len(cases)), "failures": str(failed), "errors": "0", "file": file}
        element = ET.SubElement(root, "testsuite", _clean(attributes))
        for one in cases:
            _add(element, one)
        tests, failures = tests + len(cases), failures + failed
    root.set("tests", str(tests))
    root.set("failures", str(failures))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=False)


def _add(suite: ET.Element, one: Outcome) -> None:
    attributes = {"classname": one.suite, "name": one.case, "file": one.place.file, "line": str(one.place.line)}
    case = ET.SubElement(suite, "testcase", _clean(attributes))
    if one.differences:
        failure = ET.SubElement(case, "failure", _clean({"message": one.differences[0]}))
        rules = policy_trace.plain_text(policy_trace.rules(one.rules, one.traces, {}))
        others = policy_trace.plain_text(policy_trace.others(one.others))
        failure.text = _NO_CHARACTER.sub("\ufffd", "\n".join([*one.differences, rules, others]))


def _clean(attributes: dict[str, str]) -> dict[str, str]:
    return {name: _NO_CHARACTER.sub("\ufffd", text) for name, text in attributes.items()}
