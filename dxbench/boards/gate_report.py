"""Findings of a regression gate, for people (Markdown), for CI (JUnit XML) and for machines (plain values)."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from textwrap import fill
from typing import Any
from xml.etree import ElementTree

from dxbench.boards.gate import CostChange, Finding, Gate, Verdict
from dxbench.boards.render.text import markdown_text
from dxbench.plain import counted, plain, plain_lines

_GROWTH_SHOWN = 1.1


def headline(gate: Gate) -> str:
    """The counts in a line."""
    counts = ", ".join(f"{count} {_noun(verdict, count)}" for verdict, count in gate.counts.items())
    if any(verdict.judged for verdict in gate.counts):
        return counts
    return f"nothing measured ({counts})" if counts else "nothing measured"


def _noun(verdict: Verdict, count: int) -> str:
    return "regressions" if verdict == Verdict.REGRESSION and count > 1 else verdict.value


def as_json(gate: Gate) -> dict[str, Any]:
    """Plain values of everything found, with the counts and the exit code."""
    return asdict(gate) | {
        "schema_version": 1,
        "exit_code": int(gate.exit_code),
        "headline": headline(gate),
        "counts": {verdict.value: count for verdict, count in gate.counts.items()},
    }


# --- for a terminal ------------------------------------------------------------------------------------------


def summary(gate: Gate, width: int) -> str:
    """A summary in lines: what needs a reader, one by one; what is as it was, counted."""
    shown = sorted(
        (one for one in gate.findings if one.verdict != Verdict.UNCHANGED),
        key=lambda one: list(Verdict).index(one.verdict),
    )
    lines = [headline(gate)]
    lines += [f"{one.verdict.upper()} {one.task}: {one.row}, {_told(one)}" for one in shown]
    if unchanged := gate.counts.get(Verdict.UNCHANGED):
        lines.append(f"{unchanged} unchanged; --json lists them all.")
    lines += [f"grown: {where}: {what}" for where, what in _grown(gate)]
    lines += list(gate.notes)
    if gate.absent:
        lines.append(f"rows of the baseline that were not run: {len(gate.absent)}")
    lines.append(_legend(gate).replace("*", ""))
    return "\n".join(fill(plain(_one_line(line)), width, subsequent_indent="    ") for line in lines)


def _one_line(text: str) -> str:
    """Reasons may quote several."""
    return " ".join(text.split())


def _told(one: Finding) -> str:
    if one.change is None:
        return f"{one.metric}: {one.reason}"
    return (
        f"{one.metric}: {_number(one.baseline)} -> {_number(one.candidate)} ({_number(one.change, sign='+')}; "
        f"p {_number(one.p_value)}, {one.noise}, visible from {_number(one.detectable)}, "
        f"{one.seeds[0]} and {counted(one.seeds[1], 'seed')})"
    )


def _grown(gate: Gate) -> list[tuple[str, str]]:
    """Rows whose costs have grown, which are not judged, and what has."""
    return [
        (
            f"{c.task}: {c.row}",
            f"{c.cost} {c.baseline:.4g} → {c.candidate:.4g} ({_times(c)}not judged)",
        )
        for c in gate.costs
        if c.candidate > _GROWTH_SHOWN * c.baseline
    ]


def _times(change: CostChange) -> str:
    return f"× {change.candidate / change.baseline:.2f}; " if change.baseline else ""


# --- Markdown ------------------------------------------------------------------------------------------------


def markdown(gate: Gate) -> str:
    """A summary: what needs a reader first, what is as it was folded away."""
    shown = [one for one in gate.findings if one.verdict != Verdict.UNCHANGED]
    shown.sort(key=lambda one: list(Verdict).index(one.verdict))
    unchanged = [one for one in gate.findings if one.verdict == Verdict.UNCHANGED]
    lines = [f"### dxbench check: {headline(gate)}", ""]
    if shown:
        lines += [*_table(shown), ""]
    if unchanged:
        lines += ["<details><summary>unchanged</summary>", "", *_table(unchanged), "", "</details>", ""]
    lines += [f"- {_text(where)}: {what}" for where, what in _grown(gate)]
    lines += [f"- {_text(note)}" for note in gate.notes]
    if gate.absent:
        lines.append(f"- rows of the baseline that were not run: {len(gate.absent)}")
    lines.append(f"- {_legend(gate)}")
    return "\n".join(lines)


def _legend(gate: Gate) -> str:
    return (
        f"one-sided t tests over training seeds, of each number and of each row's numbers together, adjusted by "
        f"Benjamini-Hochberg, alpha = {gate.alpha:g}; a change counts from {gate.rel_tol:g} of the baseline's mean. "
        "*Visible from* is the smallest change for the worse that would have counted whatever the others say; of a "
        "row in standard deviations of its numbers' mean."
    )


def _table(findings: Sequence[Finding]) -> Iterator[str]:
    yield "| verdict | row | metric | baseline | now | change | p | test | visible from | seeds |"
    yield "|:--|:--|:--|--:|--:|--:|--:|:--|--:|--:|"
    for one in findings:
        test = one.noise or _text(one.reason)
        cells = [
            one.verdict.value,
            _text(f"{one.task}: {one.row}"),
            _text(one.metric),
            _number(one.baseline),
            _number(one.candidate),
            _number(one.change, sign="+"),
            _number(one.p_value),
            test,
            _number(one.detectable),
            f"{one.seeds[0]} / {one.seeds[1]}",
        ]
        yield f"| {' | '.join(cells)} |"


def _number(value: float | None, *, sign: str = "") -> str:
    return "" if value is None else f"{value:{sign}.4g}"


def _text(text: str) -> str:
    return markdown_text(_one_line(text))


# --- JUnit ---------------------------------------------------------------------------------------------------


def junit(gate: Gate) -> str:
    """JUnit XML: a suite per row, a case per metric; what was not judged is skipped, nothing at all an error."""
    root = ElementTree.Element("testsuites", name="dxbench check")
    for (task, row), found in groupby(gate.findings, key=lambda one: (one.task, one.row)):
        _suite(root, f"{task}: {row}", [_case(one) for one in found])
    if not any(verdict.judged for verdict in gate.counts):
        case = ElementTree.Element("testcase", name="anything measured", classname="dxbench")
        ElementTree.SubElement(case, "error", message="nothing measured")
        _suite(root, "dxbench check", [case])
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _suite(root: ElementTree.Element, name: str, cases: Sequence[ElementTree.Element]) -> None:
    def holding(tag: str) -> str:
        return str(sum(case.find(tag) is not None for case in cases))

    suite = ElementTree.SubElement(
        root,
        "testsuite",
        name=plain(name),
        tests=str(len(cases)),
        failures=holding("failure"),
        errors=holding("error"),
        skipped=holding("skipped"),
    )
    suite.extend(cases)


def _case(one: Finding) -> ElementTree.Element:
    case = ElementTree.Element("testcase", name=plain(one.metric), classname=plain(f"{one.task}.{one.row}"))
    if one.verdict == Verdict.REGRESSION:
        failure = ElementTree.SubElement(case, "failure", type="regression", message=plain_lines(_sentence(one)))
        failure.text = plain_lines(_details(one))
    elif not one.verdict.judged:
        ElementTree.SubElement(case, "skipped", message=plain_lines(f"{one.verdict}: {one.reason}"))
    else:
        ElementTree.SubElement(case, "system-out").text = plain_lines(f"{_sentence(one)}\n{_details(one)}")
    return case


def _sentence(one: Finding) -> str:
    if one.change is None:
        return one.reason
    return f"{one.verdict}: {one.metric} {_number(one.baseline)} -> {_number(one.candidate)} ({one.better} is better)"


def _details(one: Finding) -> str:
    if one.change is None:
        return one.reason
    return (
        f"change {_number(one.change, sign='+')}, p {_number(one.p_value)} (Benjamini-Hochberg), {one.noise} test over "
        f"{counted(one.seeds[0], 'seed')} of the baseline and {one.seeds[1]} now, "
        f"visible from {_number(one.detectable)}"
    )
