//! Alerts as Python has them: plain tuples, and flows that are written out only when somebody reads them.

use std::sync::Arc;

use judgecore::alert::{Alert, Event, Kind, NotApplied};
use judgecore::sample::Flow;
use judgecore::value::Value;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};

use crate::address_text::address_text;

pub(crate) const SECOND: i64 = 1_000_000_000;

/// The flows that an alert kept at one moment.
#[pyclass(frozen)]
pub(crate) struct KeptFlows {
    flows: Vec<Arc<Flow>>,
}

#[pymethods]
impl KeptFlows {
    /// What tells them apart; of flows their `flow_id`.
    fn identities(&self) -> Vec<u64> {
        self.flows.iter().map(|flow| flow.identity).collect()
    }

    /// The flows as JSON has them.
    fn to_list<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let all = PyList::empty(py);
        for flow in &self.flows {
            let written = PyDict::new(py);
            for ((name, _), value) in flow.columns.all.iter().zip(&flow.values) {
                match value {
                    Value::Number(number) if &**name == "flow_id" => {
                        written.set_item(&**name, format!("{number:016x}"))?
                    }
                    _ => written.set_item(&**name, to_python(py, value)?)?,
                }
            }
            all.append(written)?;
        }
        Ok(all)
    }
}

/// A value as JSON has it.
pub(crate) fn to_python<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Missing => py.None().into_bound(py),
        Value::Bool(flag) => flag.into_pyobject(py)?.to_owned().into_any(),
        Value::Number(number) => number.into_pyobject(py)?.into_any(),
        Value::Time(time) => PyString::new(py, &rfc3339(*time)).into_any(),
        Value::Address(address) => PyString::new(py, &address_text(*address)).into_any(),
        Value::Text(text) => PyString::new(py, text).into_any(),
    })
}

/// A time with nanoseconds, UTC. Days to dates as in H. Hinnant, "chrono-Compatible Low-Level Date Algorithms".
fn rfc3339(time: i64) -> String {
    let (seconds, rest) = (time.div_euclid(SECOND), time.rem_euclid(SECOND));
    let (days, second) = (seconds.div_euclid(86_400) + 719_468, seconds.rem_euclid(86_400));
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{rest:09}Z")
}

/// The place of a rule, and an alert of it.
pub(crate) fn alert<'py>(py: Python<'py>, rule: usize, alert: Alert) -> PyResult<Bound<'py, PyDict>> {
    let values = |values: &[Value]| values.iter().map(|value| to_python(py, value)).collect::<PyResult<Vec<_>>>();
    let words = |words: &[Arc<str>]| PyList::new(py, words.iter().map(|word| PyString::new(py, word)));
    let all = PyDict::new(py);
    all.set_item(pyo3::intern!(py, "rule"), rule)?;
    all.set_item(pyo3::intern!(py, "id"), format!("{:016x}", alert.id))?;
    all.set_item(pyo3::intern!(py, "group"), alert.group.as_deref().map(values).transpose()?)?;
    all.set_item(pyo3::intern!(py, "workload"), alert.workload.as_deref())?;
    all.set_item(pyo3::intern!(py, "provider"), alert.provider.as_deref())?;
    all.set_item(pyo3::intern!(py, "began"), alert.began)?;
    all.set_item(pyo3::intern!(py, "last"), alert.last)?;
    all.set_item(pyo3::intern!(py, "ended"), alert.ended)?;
    all.set_item(pyo3::intern!(py, "value"), alert.value)?;
    all.set_item(pyo3::intern!(py, "sent_bytes"), alert.sent)?;
    all.set_item(pyo3::intern!(py, "reopened"), alert.reopened)?;
    all.set_item(pyo3::intern!(py, "countries"), words(&alert.countries)?)?;
    all.set_item(pyo3::intern!(py, "names"), words(&alert.names)?)?;
    all.set_item(pyo3::intern!(py, "evidence"), words(&alert.evidence)?)?;
    // for each exception: -1 expired, -2 nothing speaks against it, else the condition that does not hold
    let why = |why: &NotApplied| match why {
        NotApplied::Expired => -1,
        NotApplied::Nothing => -2,
        NotApplied::Condition(place) => i64::try_from(*place).unwrap_or(-2),
    };
    all.set_item(pyo3::intern!(py, "not_applied"), alert.not_applied.iter().map(why).collect::<Vec<_>>())?;
    let found = alert.found;
    all.set_item(pyo3::intern!(py, "found"), (found.ratio, found.distinct, found.interval, found.usual))?;
    all.set_item(pyo3::intern!(py, "flows"), Bound::new(py, KeptFlows { flows: alert.flows })?)?;
    Ok(all)
}

/// What happened, when, and the alert as it was then.
pub(crate) fn event<'py>(py: Python<'py>, event: Event) -> PyResult<(&'static str, i64, Bound<'py, PyDict>)> {
    let kind = match event.kind {
        Kind::Begun => "begun",
        Kind::Growing => "growing",
        Kind::Ended => "ended",
    };
    Ok((kind, event.time, alert(py, event.rule, event.alert)?))
}
