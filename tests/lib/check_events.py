#!/usr/bin/python3
"""Checks the events of one step: check_events.py SCHEMA.md EVENTS [--first SEQ]

Each against the schema that stands in docs/events.md, their numbers, and the output events against what the
result in the last of them says of each stream: bytes, lines and SHA-256. Prints the result.
"""
import base64
import hashlib
import json
import re
import sys

import jsonschema

page = open(sys.argv[1]).read().split("## The schema", 1)[1]
schema = json.loads(re.search("```json\n(.*?)```", page, re.S).group(1))
jsonschema.Draft202012Validator.check_schema(schema)
validator = jsonschema.Draft202012Validator(schema)

data = open(sys.argv[2], "rb").read()
assert data.endswith(b"\n"), "the last event is not whole"
events = [json.loads(line) for line in data.decode().splitlines()]
streams = {"stdout": b"", "stderr": b""}
for number, event in enumerate(events):
    problem = next(validator.iter_errors(event), None)
    assert not problem, f"{event}: {problem.message}"
    assert event["seq"] == number, f"number {event['seq']} instead of {number}"
    assert event["step"] == events[0]["step"], event
    assert (event["type"] == "step.accepted") == (number == 0), event
    assert (event["type"] == "step.finished") == (number == len(events) - 1), event
    if event["type"] == "output":
        output = event["text"].encode() if "text" in event else base64.b64decode(event["base64"], validate=True)
        assert 0 < len(output) <= 65536 + 3, len(output)
        streams[event["stream"]] += output

result = events[-1]["result"]
assert result["id"] == events[0]["step"]
for name, output in streams.items():
    told = result["output"][name]
    if told["sha256"] is None:  # no cell was made
        assert not output and told["bytes"] == 0, name
        continue
    assert told["bytes"] + told.get("lost_bytes", 0) == len(output), (name, told, len(output))
    assert told["lines"] == output.count(b"\n") + (output[-1:] not in (b"", b"\n")), (name, told)
    assert told["sha256"] == hashlib.sha256(output).hexdigest(), (name, told)
told = {event["name"]: event["value"] for event in events if event["type"] == "output_variable"}
assert told.keys() == result["outputs"].keys(), (told.keys(), result["outputs"].keys())
json.dump(result, sys.stdout)
