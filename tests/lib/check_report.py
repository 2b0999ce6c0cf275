#!/usr/bin/python3
"""Whether a report of `stepcell image check` has the shape that others expect.

usage: check_report.py json REPORT...
       check_report.py sarif|junit <REPORT

Ends with 1, and says why, when it has not. Prints for each finding: id, level or outcome.
"""
import json, sys
import xml.etree.ElementTree as xml

import jsonschema


def closed(properties, required=None):
    return {"type": "object", "additionalProperties": False, "properties": properties,
            "required": sorted(properties) if required is None else required}


def listed(items):
    return {"type": "array", "items": items}


text, count = {"type": "string", "minLength": 1}, {"type": "integer", "minimum": 0}
digest = {"type": ["string", "null"], "pattern": "^sha256:[0-9a-f]{64}$"}

OWN = closed({
    "schema": {"const": "stepcell.image-check/1"},
    "verdict": {"enum": ["fit", "unfit", "unknown"]},
    "reference": text, "digest": digest, "profile": text,
    "fail_on": {"enum": ["error", "warning", "info"]},
    "images": listed(closed({"platform": text, "manifest_digest": digest, "layers": count,
                             "layers_read": count})),
    "findings": listed(closed({
        "id": text, "level": {"enum": ["error", "warning", "info", "skipped"]}, "message": text,
        "hint": {"type": ["string", "null"]}, "platform": text,
        "reason": {"enum": ["not-applicable", "off", "not-needed", "unreadable"]}},
        ["id", "level", "message", "hint"])),
    "passed": listed(text),
})

# The parts of SARIF 2.1.0 (OASIS) that are used: 3.13 log, 3.14 run, 3.18 tool, 3.27 result, 3.49 rule.
message = closed({"text": text})
level = {"enum": ["none", "note", "warning", "error"]}
SARIF = closed({
    "$schema": text,
    "version": {"const": "2.1.0"},
    "runs": listed(closed({
        "tool": closed({"driver": closed({
            "name": text, "version": text,
            "rules": listed(closed({"id": text, "shortDescription": message,
                                    "defaultConfiguration": closed({"enabled": {"type": "boolean"},
                                                                    "level": level})}))})}),
        "invocations": listed(closed({"executionSuccessful": {"type": "boolean"}})),
        "properties": {"type": "object"},
        "results": listed(closed({
            "ruleId": text, "ruleIndex": count,
            "kind": {"enum": ["pass", "open", "informational", "notApplicable", "review", "fail"]},
            "level": level, "message": message,
            "locations": listed(closed({
                "physicalLocation": closed({"artifactLocation": closed({"uri": {
                    "type": "string", "pattern": "^[-A-Za-z0-9._~/:@%]+$"}})}),
                "logicalLocations": listed(closed({"fullyQualifiedName": text, "kind": text}))}))})),
    })),
})


def own(report):
    jsonschema.validate(report, OWN)
    for finding in report["findings"]:
        assert (finding["level"] == "skipped") == ("reason" in finding), finding
        print(finding["id"], finding["level"])


def sarif(report):
    jsonschema.validate(report, SARIF)
    run = report["runs"][0]
    for result in run["results"]:
        # 3.27.10: a level is for what failed.
        assert result["kind"] == "fail" or result["level"] == "none", result
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"], result
        print(result["ruleId"], result["kind"], result["level"])


def junit(text):
    suites = xml.fromstring(text)
    assert suites.tag == "testsuites"
    for suite in suites:
        cases = suite.findall("testcase")
        assert len(cases) == int(suite.get("tests")), suite.attrib
        for element, attribute in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            found = sum(case.find(element) is not None for case in cases)
            assert found == int(suite.get(attribute)), (element, found, suite.attrib)
        for case in cases:
            assert case.get("classname")
            print(case.get("name"), *(child.tag for child in case))


kind = sys.argv[1]
if kind == "json":
    for file in sys.argv[2:]:
        own(json.load(open(file)))
elif kind == "sarif":
    sarif(json.load(sys.stdin))
else:
    junit(sys.stdin.buffer.read())
