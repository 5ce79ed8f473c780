//! Rules as they come from Python: dictionaries that were checked there.

use judgecore::condition::Condition;
use judgecore::spec::{Baseline, Distinct, Exception, Measure, Novel, Periodic, Ratio, Record, Rule};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct PyCondition {
    field: String,
    negated: bool,
    everything: bool,
    missing: bool,
    host: bool,
    exact: Vec<String>,
    flags: Vec<bool>,
    globs: Vec<String>,
    numbers: Vec<(u64, u64)>,
    addresses: Vec<([u8; 16], [u8; 16])>,
    lists: Vec<String>,
}

impl From<PyCondition> for Condition {
    fn from(one: PyCondition) -> Condition {
        Condition {
            field: one.field,
            negated: one.negated,
            everything: one.everything,
            missing: one.missing,
            host: one.host,
            exact: one.exact.into_iter().collect(),
            flags: one.flags,
            globs: one.globs,
            numbers: one.numbers,
            addresses: one.addresses,
            lists: one.lists,
        }
    }
}

/// A rule; see `judgecore::spec::Rule`.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct PyRule {
    id: String,
    record: String,
    shape: String,
    two_way: bool,
    conditions: Vec<PyCondition>,
    exceptions: Vec<(String, i64, Vec<PyCondition>)>,
    measure: (String, String),
    per: Vec<String>,
    window: i64,
    line: i64,
    resolve_after: i64,
    novel: Option<(String, i64, i64)>,
    baseline: Option<(u64, u64, u64, i64)>,
    ratio: Option<(String, String, u64, u64, u64)>,
    distinct: Option<(String, u64)>,
    periodic: Option<(usize, u64, i64, i64)>,
}

fn all(conditions: Vec<PyCondition>) -> Vec<Condition> {
    conditions.into_iter().map(Into::into).collect()
}

impl TryFrom<PyRule> for Rule {
    type Error = PyErr;

    fn try_from(rule: PyRule) -> PyResult<Rule> {
        let record = match rule.record.as_str() {
            "flows" => Record::Flows,
            "dns" => Record::Dns,
            other => return Err(PyValueError::new_err(format!("no record {other:?}"))),
        };
        let measure = match (rule.measure.0.as_str(), rule.measure.1) {
            ("sum", column) => Measure::Sum(column),
            ("count", column) if column == "connections" => Measure::Connections,
            ("count", column) => Measure::Count(column),
            (other, _) => return Err(PyValueError::new_err(format!("no measure {other:?}"))),
        };
        let exception = |(words, ends, conditions)| Exception { words, ends, conditions: all(conditions) };
        Ok(Rule {
            id: rule.id,
            record,
            shape: rule.shape,
            two_way: rule.two_way,
            conditions: all(rule.conditions),
            exceptions: rule.exceptions.into_iter().map(exception).collect(),
            measure,
            per: rule.per,
            window: rule.window,
            line: rule.line,
            resolve_after: rule.resolve_after,
            novel: rule.novel.map(|(of, learn, forget)| Novel { of, learn, forget }),
            baseline: rule.baseline.map(|(number, divisor, floor, history)| Baseline {
                deviations: (number, divisor),
                floor,
                history,
            }),
            ratio: rule.ratio.map(|(of, to, number, divisor, floor)| Ratio { of, to, above: (number, divisor), floor }),
            distinct: rule.distinct.map(|(of, above)| Distinct { of, above }),
            periodic: rule.periodic.map(|(count, jitter, shortest, longest)| Periodic {
                count,
                jitter,
                between: (shortest, longest),
            }),
        })
    }
}
