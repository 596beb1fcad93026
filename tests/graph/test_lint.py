"""Each rule finds its bad graph and leaves the nearest good one alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import helper

from edgekit.errors import UsageError
from edgekit.graph.lint import RULES, lint
from tests.graph.lint_cases import ALL_RUNTIMES, CASES, EACH, F32, Case, W, batchnorm, branch, model


def test_every_rule_has_a_case_and_a_reason() -> None:
    others = (p for p in Path(__file__).parent.glob("test_*.py") if not p.name.startswith("test_lint"))
    elsewhere = "".join(p.read_text() for p in others)
    assert [rule.id for rule in RULES if rule.id in CASES] == list(CASES)
    assert not [rule.id for rule in RULES if rule.id not in CASES and f'"{rule.id}"' not in elsewhere]
    assert all(rule.reason.endswith(".") and rule.runtimes <= ALL_RUNTIMES for rule in RULES)


@pytest.mark.parametrize(("rule", "case"), EACH)
def test_rule_finds_the_bad_graph_and_leaves_the_good_one(rule: str, case: Case) -> None:
    found = [f for f in lint(case.bad, **case.options) if f.rule == rule]
    assert case.where in {f.where for f in found}
    entry = next(r for r in RULES if r.id == rule)
    assert {f.severity for f in found} == {entry.severity}
    assert all(f.message and f.fix for f in found)
    assert rule not in {f.rule for f in lint(case.good, **case.options)}


@pytest.mark.parametrize(("rule", "case"), EACH)
def test_rule_is_silent_for_runtimes_that_it_does_not_matter_for(rule: str, case: Case) -> None:
    for runtime in ALL_RUNTIMES:
        found = {f.rule for f in lint(case.bad, runtimes=[runtime], **case.options)}
        assert (rule in found) == (runtime in next(r for r in RULES if r.id == rule).runtimes)


def test_good_graphs_of_the_table_are_right_onnx() -> None:
    for case in (case for cases in CASES.values() for case in cases):
        onnx.checker.check_model(case.good)


def small_net() -> onnx.ModelProto:
    nodes = """f = Cast<to: int = 1>(image) t = Transpose<perm: ints = [0, 3, 1, 2]>(f) m = Sub(t, mean)
        c = Conv(m, w) r = Relu(c) p = GlobalAveragePool(r) l = Flatten(p) logits = Gemm(l, head)"""
    text = f"(uint8[N,8,8,3] image) => (float[N,2] logits) {{ {nodes} }}"
    return model(text, w=W, mean=np.full((3, 1, 1), 0.5, F32), head=np.ones((3, 2), F32))


def test_clean_net_has_no_findings_and_stays_as_it_was() -> None:
    net = small_net()
    before = net.SerializeToString()
    assert lint(net, opset=20, scheme="int8-x86") == []
    assert net.SerializeToString() == before


def test_rules_look_into_branches() -> None:
    net = branch()
    body = next(a.g for a in net.graph.node[0].attribute if a.name == "then_branch")
    body.node[0].CopyFrom(helper.make_node("Bernoulli", ["x"], ["Relu"], "inner"))
    assert [f.where for f in lint(net) if f.rule == "random-ops"] == ["inner"]


def test_shared_convolution_is_not_foldable() -> None:
    net = batchnorm("c = Conv(x, w) other = Relu(c)")
    assert "batchnorm-left" in {f.rule for f in lint(net)}


def test_index_plus_predicted_offset_is_a_coordinate() -> None:
    nodes = (
        "v, i = TopK(x, k) f = Cast<to: int = 1>(i) c = Add(f, v) h = Cast<to: int = 10>(c) y = Cast<to: int = 1>(h)"
    )
    net = model(f"(float[1,70000] x) => (float[1,3] y) {{ {nodes} }}", k=np.array([3]))
    assert lint(net) == []


@pytest.mark.parametrize("options", [{"runtimes": ["tensorflow"]}, {"runtimes": []}, {"scheme": "int4"}])
def test_unknown_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        lint(small_net(), **options)
