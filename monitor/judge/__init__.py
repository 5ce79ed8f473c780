"""The judge stage: attributed flows and DNS rows in, alerts out (begun, growing, ended).

`load_rules` reads the rule files; `Judge` judges batches by them.
"""

from monitor.judge.alert import Alert, AlertEvent
from monitor.judge.engine import Counters, Judge
from monitor.judge.rule import Rule
from monitor.judge.rule_set import RuleSet, load_rules
from monitor.judge.selftest import CaseResult

__all__ = ["Alert", "AlertEvent", "CaseResult", "Counters", "Judge", "Rule", "RuleSet", "load_rules"]
