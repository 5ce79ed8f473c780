//! The judge as a Python class: rules and batches in, alerts out. What it does is in `judgecore`.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_select::concat::concat_batches;
use judgecore::engine::{Changed, Engine};
use judgecore::lists::NamedList;
use judgecore::room::Bounds;
use judgecore::row_batch::RowBatch;
use judgecore::spec::Rule;
use judgecore::state;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};
use pyo3_arrow::input::AnyRecordBatch;

use crate::judge_spec::PyRule;
use crate::judge_values;
use crate::row_batch::PyRows;

type PyLearnt<'py> =
    (usize, Vec<Bound<'py, PyAny>>, (i64, i64), Vec<(Bound<'py, PyAny>, u64, i64)>, usize, Option<(usize, u64)>);

/// A list of addresses and domains, read once.
#[pyclass(frozen)]
pub(crate) struct AddressList {
    list: Arc<NamedList>,
}

#[pymethods]
impl AddressList {
    /// Read a list; raises ValueError with the line (from 1) and a text for people.
    #[new]
    fn new(py: Python<'_>, text: &str) -> PyResult<AddressList> {
        let list = py.detach(|| NamedList::parse(text));
        let list = list.map_err(|error| PyValueError::new_err((error.line, error.message)))?;
        Ok(AddressList { list: Arc::new(list) })
    }

    /// How many entries it has.
    fn __len__(&self) -> usize {
        self.list.entries
    }
}

/// Judges batches of attributed flows and DNS rows.
#[pyclass]
pub(crate) struct RuleEngine {
    engine: Engine,
}

#[pymethods]
impl RuleEngine {
    /// `secret` is of the state; `learns`: what groups use at first is known without an alert. `bounds` are
    /// those of `judgecore::room::Bounds` by name, the usual ones where they are not given.
    #[new]
    #[pyo3(signature = (secret, *, learns, bounds))]
    fn new(secret: (u64, u64), learns: bool, bounds: HashMap<String, usize>) -> PyResult<RuleEngine> {
        let mut all = Bounds::default();
        for (name, bound) in bounds {
            let place = match name.as_str() {
                "groups" => &mut all.groups,
                "entries" => &mut all.entries,
                "values" => &mut all.values,
                "past" => &mut all.past,
                "known" => &mut all.known,
                "learning" => &mut all.learning,
                _ => return Err(PyValueError::new_err(format!("no bound {name:?}"))),
            };
            *place = bound;
        }
        Ok(RuleEngine { engine: Engine::new([secret.0, secret.1], learns, all) })
    }

    /// Judge by these rules from now on; one that stays keeps windows and alerts.
    fn set_rules(&mut self, rules: Vec<PyRule>) -> PyResult<()> {
        let rules: PyResult<Vec<Rule>> = rules.into_iter().map(Rule::try_from).collect();
        self.engine.set_rules(rules?);
        Ok(())
    }

    /// Ask these lists from now on.
    fn set_lists(&mut self, lists: HashMap<String, Py<AddressList>>) {
        let lists = lists.into_iter().map(|(name, list)| (name, Arc::clone(&list.get().list)));
        self.engine.set_lists(lists.collect());
    }

    /// Judge the rows of whole ticks in the order of ticks, and go on to `clock` (seconds since 1970); give
    /// the events in the order of event time, and the alerts that changed as they are now: where that is as the newest
    /// event of the alert has it, the place of that event.
    fn judge<'py>(
        &mut self,
        py: Python<'py>,
        flows: &Bound<'py, PyRows>,
        dns: &Bound<'py, PyRows>,
        clock: i64,
    ) -> PyResult<(Bound<'py, PyList>, Bound<'py, PyList>)> {
        let (flows, dns) = (&flows.get().judge, &dns.get().judge);
        let engine = &mut self.engine;
        let outcome = py.detach(|| engine.judge(flows, dns, clock));
        let events: PyResult<Vec<_>> = outcome.events.into_iter().map(|event| judge_values::event(py, event)).collect();
        let now = |changed| match changed {
            Changed::AsTold(place) => Ok(place.into_pyobject(py)?.into_any()),
            Changed::Now(rule, alert) => Ok(judge_values::alert(py, rule, *alert)?.into_any()),
        };
        let changed: PyResult<Vec<_>> = outcome.changed.into_iter().map(now).collect();
        Ok((PyList::new(py, events?)?, PyList::new(py, changed?)?))
    }

    /// All alerts that are open or may come back, as `judge` gives them.
    fn alerts<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let mut all = Vec::new();
        for (place, run) in self.engine.runs.iter().enumerate() {
            let open = run.groups.values().filter_map(|group| group.alert.as_deref());
            for track in open.chain(run.ended.values().map(|ended| &ended.track)) {
                all.push(judge_values::alert(py, place, track.alert.clone())?);
            }
        }
        Ok(all)
    }

    /// Ticks before this are judged, seconds since 1970.
    #[getter]
    fn now(&self) -> i64 {
        self.engine.now
    }

    /// Whether capture is found to be one-way.
    #[getter]
    fn is_one_way(&self) -> bool {
        self.engine.directions.is_one_way
    }

    /// How often a full set of `distinct` left a value out, since the start.
    #[getter]
    fn values_left_out(&self) -> u64 {
        self.engine.values_left_out
    }

    /// For each rule: how often it had no room, whether it learns, the largest sum of a group, and by
    /// exception the bytes that it took out: in all, and by day since 1970.
    #[allow(clippy::type_complexity)]
    fn totals(&self) -> Vec<(u64, bool, u64, Vec<(String, u64, Vec<(i64, u64)>)>)> {
        let learns = self.engine.learns();
        let now = self.engine.now;
        let total = |run: &judgecore::rule::RuleRun| {
            let learning = match &run.rule.novel {
                Some(way) if learns => run.novelty.is_learning(now, way.learn),
                _ => run.is_gathering(now),
            };
            let suppressed = run.suppressed.iter();
            let suppressed = suppressed.map(|(words, one)| (words.clone(), one.bytes, one.days.clone()));
            (run.overflow + run.novelty.forgotten, learning, run.most, suppressed.collect())
        };
        self.engine.runs.iter().map(total).collect()
    }

    /// What at most `limit` groups of each rule learnt, once, when their time is over: the place of the rule, the
    /// group's values (none: what had no room), from when to when, for `novel` its values with what was measured of
    /// each and their last tick, how many more there are, and for `baseline` hours with something and the largest sum.
    fn take_learnt<'py>(&mut self, py: Python<'py>, limit: usize) -> PyResult<Vec<PyLearnt<'py>>> {
        let (now, keys) = (self.engine.now, self.engine.keys);
        let mut all = Vec::new();
        for (place, run) in self.engine.runs.iter_mut().enumerate() {
            for one in run.take_learnt(keys, now, limit) {
                let values =
                    one.values.iter().map(|value| judge_values::to_python(py, value)).collect::<PyResult<_>>()?;
                let used = one
                    .used
                    .iter()
                    .map(|(value, amount, last)| Ok((judge_values::to_python(py, value)?, *amount, *last)));
                all.push((place, values, one.span, used.collect::<PyResult<_>>()?, one.left_out, one.hours));
            }
        }
        Ok(all)
    }

    /// Drop all sums and go on from an earlier time (seconds), for a clock that was set back.
    fn step_back(&mut self, now: i64) {
        self.engine.step_back(now);
    }

    /// What belongs to no rule, to be kept.
    fn kept<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &state::write_engine(&self.engine))
    }

    /// What the rules that changed since `was_kept` remember, by id.
    fn kept_rules<'py>(&self, py: Python<'py>) -> Vec<(String, Bound<'py, PyBytes>)> {
        let changed = self.engine.runs.iter().filter(|run| run.changed);
        let write = |run| state::write(run, &self.engine.parts);
        changed.map(|run| (run.rule.id.clone(), PyBytes::new(py, &write(run)))).collect()
    }

    /// Take note that all was kept.
    fn was_kept(&mut self) {
        self.engine.runs.iter_mut().for_each(|run| run.changed = false);
    }

    /// Take up what was kept; before `set_rules`. Raises ValueError where it is damaged.
    fn resume(&mut self, kept: &[u8]) -> PyResult<()> {
        state::read_engine(&mut self.engine, kept).map_err(|_| PyValueError::new_err("damaged"))
    }

    /// Take ticks before `now` (seconds) for judged.
    fn go_on_from(&mut self, now: i64) {
        self.engine.now = now;
    }

    /// Take up what a rule remembered; after `set_rules`. Raises ValueError where it is damaged.
    fn resume_rule(&mut self, id: &str, kept: &[u8]) -> PyResult<()> {
        let Engine { runs, keys, parts, .. } = &mut self.engine;
        let Some(run) = runs.iter_mut().find(|run| run.rule.id == id) else { return Ok(()) };
        *run = state::read(Arc::clone(&run.rule), *keys, parts, kept).map_err(|_| PyValueError::new_err("damaged"))?;
        Ok(())
    }
}

/// Which rows of a batch a rule counts: they match, add something, and no exception takes them out.
#[pyfunction]
pub(crate) fn counted_rows(
    py: Python<'_>,
    rule: PyRule,
    rows: AnyRecordBatch,
    lists: HashMap<String, Py<AddressList>>,
) -> PyResult<Vec<bool>> {
    let (rule, rows) = (Rule::try_from(rule)?, RowBatch::from(one_batch(rows)?));
    let lists = lists.into_iter().map(|(name, list)| (name, Arc::clone(&list.get().list))).collect();
    Ok(py.detach(|| judgecore::engine::counted(rule, &rows, lists)))
}

pub(crate) fn one_batch(given: AnyRecordBatch) -> PyResult<RecordBatch> {
    let failed = |error: arrow_schema::ArrowError| PyRuntimeError::new_err(error.to_string());
    let reader = given.into_reader()?;
    let schema = reader.schema();
    let mut batches = reader.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    match batches.pop() {
        Some(only) if batches.is_empty() => Ok(only),
        None => Ok(RecordBatch::new_empty(schema)),
        Some(last) => {
            batches.push(last);
            concat_batches(&schema, &batches).map_err(failed)
        }
    }
}
