"""The result of a call as JUnit XML, which CI systems show."""

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

__all__ = ["write_junit"]


def write_junit(path: Path, failures: Sequence[str], latencies_ms: Sequence[int]) -> None:
    """Write a suite of one test, the call, with its failures and its latencies.

    Raises `OSError` if the file cannot be written.
    """
    suite = ElementTree.Element(
        "testsuite", name="twilio-realtime phone", tests="1", failures=str(int(bool(failures)))
    )
    case = ElementTree.SubElement(suite, "testcase", classname="phone", name="call")
    properties = ElementTree.SubElement(case, "properties")
    for latency in latencies_ms:
        ElementTree.SubElement(
            properties, "property", name="response_latency_ms", value=str(latency)
        )
    for failure in failures:
        ElementTree.SubElement(case, "failure", message=failure)
    ElementTree.ElementTree(suite).write(path, "utf-8", xml_declaration=True)
