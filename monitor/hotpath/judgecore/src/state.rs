//! What a rule remembers, as bytes: for a state that survives the process.
//!
//! Numbers of groups mean something only with the secret of the state, so groups are kept by their values.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::alert::{Alert, Found, NotApplied};
use crate::baseline::Past;
use crate::direction::Directions;
use crate::distinct::Values;
use crate::engine::Engine;
use crate::group::{Cut, Entry, Group, Sums, OTHER};
use crate::hash::{self, Keys};
use crate::life::Track;
use crate::novelty::{Began, Known};
use crate::parts::{Part, Parts};
use crate::rhythm::Starts;
use crate::rule::{Ended, RuleRun, Suppressed};
use crate::sample::{Columns, Flow};
use crate::spec::Rule;
use crate::value::{Seen, Value};
use crate::wire::{unsealed, Damaged, Reader, Writer};

/// The layout, which is sealed.
const LAYOUT: u8 = 3;
/// The one before, which was not.
const UNSEALED: u8 = 2;
/// The one before that, which did not know what was told of what was learnt either.
const BEFORE: u8 = 1;

/// Tables that entries and flows point into.
#[derive(Default)]
struct Tables {
    parts: Vec<u64>,
    places: hash::Map<usize>,
    columns: Vec<Arc<Columns>>,
}

impl Tables {
    fn part(&mut self, number: u64) -> usize {
        *self.places.entry(number).or_insert_with(|| {
            self.parts.push(number);
            self.parts.len() - 1
        })
    }

    fn columns(&mut self, columns: &Arc<Columns>) -> usize {
        self.columns.iter().position(|known| known == columns).unwrap_or_else(|| {
            self.columns.push(Arc::clone(columns));
            self.columns.len() - 1
        })
    }
}

/// Write all that a rule remembers.
pub fn write(run: &RuleRun, parts: &Parts) -> Vec<u8> {
    let mut tables = Tables::default();
    let mut body = Writer::default();
    body.signed(run.cut.width);
    body.signed(run.full_until);
    body.number(run.overflow);
    body.number(run.novelty.forgotten);
    body.all(run.suppressed.iter(), |body, (words, suppressed)| {
        body.text(words);
        body.number(suppressed.bytes);
        body.all(suppressed.days.iter(), |body, (day, bytes)| {
            body.signed(*day);
            body.number(*bytes);
        });
    });
    body.all(run.groups.values(), |body, group| write_group(body, group, &mut tables));
    body.all(run.ended.iter(), |body, (key, ended)| {
        body.byte(u8::from(*key == OTHER));
        write_values(body, &ended.values);
        write_track(body, &ended.track, &mut tables);
    });
    body.all(run.past.values(), |body, (past, values)| {
        write_values(body, values);
        body.signed(past.began);
        body.all(past.hours.iter(), |body, (hour, peak)| {
            body.signed(*hour);
            body.number(*peak);
        });
        body.signed(past.now.0);
        body.number(past.now.1);
        body.byte(u8::from(past.now.2));
        body.byte(u8::from(past.is_told));
    });
    body.all(run.novelty.known.values(), |body, known| {
        write_values(body, &known.values);
        body.signed(known.last);
        body.number(known.amount);
    });
    body.all(run.novelty.began.iter(), |body, (key, began)| {
        body.byte(u8::from(*key == OTHER));
        write_values(body, &began.values);
        body.signed(began.tick);
        body.byte(u8::from(began.is_told));
    });
    let mut whole = Writer::default();
    whole.byte(LAYOUT);
    whole.text(&run.rule.shape);
    let fields: Vec<&str> = run.rule.group_fields().collect();
    whole.all(fields.iter(), |whole, field| whole.text(field));
    whole.all(tables.parts.iter(), |whole, number| {
        let part = parts.get(*number).unwrap_or_default();
        whole.all(part.iter(), |whole, word| whole.option(*word, Writer::text));
    });
    whole.all(tables.columns.iter(), |whole, columns| {
        whole.all(columns.all.iter(), |whole, (name, _)| whole.text(name));
    });
    whole.0.extend_from_slice(&body.0);
    whole.sealed()
}

fn write_values(body: &mut Writer, values: &[Value]) {
    body.all(values.iter(), |body, value| body.value(value));
}

fn write_group(body: &mut Writer, group: &Group, tables: &mut Tables) {
    body.byte(u8::from(group.key == OTHER));
    write_values(body, &group.values);
    body.signed(group.created);
    let entries: Vec<Entry> = group.entries.iter().collect();
    body.all(entries.into_iter(), |body, entry| {
        body.signed(entry.leaves);
        body.count(tables.part(entry.part));
        for number in [entry.sums.value, entry.sums.sent, entry.sums.of, entry.sums.to] {
            body.number(number);
        }
    });
    body.option(group.distinct.as_ref(), |body, values| {
        let all: Vec<(u64, i64)> = values.iter().collect();
        body.all(all.iter(), |body, (value, leaves)| {
            body.number(*value);
            body.signed(*leaves);
        });
    });
    body.option(group.starts.as_ref(), |body, starts| {
        body.all(starts.times.iter(), |body, time| body.signed(*time));
        body.signed(starts.dropped);
    });
    body.option(group.alert.as_ref(), |body, track| write_track(body, track, tables));
}

fn write_track(body: &mut Writer, track: &Track, tables: &mut Tables) {
    let alert = &track.alert;
    body.number(alert.id);
    body.option(alert.group.as_ref(), |body, values| write_values(body, values));
    for word in [&alert.workload, &alert.provider] {
        body.option(word.as_ref(), |body, word| body.text(word));
    }
    body.signed(alert.began);
    body.signed(alert.last);
    body.option(alert.ended, Writer::signed);
    body.number(alert.value);
    body.number(alert.sent);
    body.number(u64::from(alert.reopened));
    for words in [&alert.countries, &alert.names, &alert.evidence] {
        body.all(words.iter(), |body, word| body.text(word));
    }
    body.all(alert.flows.iter(), |body, flow| {
        body.number(flow.identity);
        body.count(tables.columns(&flow.columns));
        write_values(body, &flow.values);
    });
    body.all(alert.not_applied.iter(), |body, why| match why {
        NotApplied::Expired => body.count(0),
        NotApplied::Nothing => body.count(1),
        NotApplied::Condition(place) => body.count(2 + place),
    });
    body.option(alert.found.ratio, |body, (of, to)| {
        body.number(of);
        body.number(to);
    });
    for number in [alert.found.distinct, alert.found.interval, alert.found.usual] {
        body.option(number, Writer::number);
    }
    body.option(track.falls, Writer::signed);
    body.signed(track.counted_until);
    body.number(track.told_value);
    body.number(track.told_sent);
    body.count(track.room);
    body.signed(track.due);
}

/// The layout of what was kept, and what stands in it: of the disk that keeps it nobody knows that it gives back what it got.
fn open(bytes: &[u8]) -> Result<(u8, Reader<'_>), Damaged> {
    let (layout, rest) = bytes.split_first().ok_or(Damaged)?;
    match *layout {
        LAYOUT => Ok((LAYOUT, Reader(unsealed(bytes)?.get(1..).unwrap_or_default()))),
        UNSEALED | BEFORE => Ok((*layout, Reader(rest))),
        _ => Err(Damaged),
    }
}

/// Read what was kept of a rule that may have changed since.
///
/// Alerts stay where groups are made of the same fields; sums and what was learnt stay where they are made
/// of the same rows.
pub fn read(rule: Arc<Rule>, keys: Keys, parts: &mut Parts, bytes: &[u8]) -> Result<RuleRun, Damaged> {
    let (layout, mut from) = open(bytes)?;
    let is_before = layout == BEFORE;
    let shape = from.text()?;
    let fields = from.all(Reader::text)?;
    let mut kept = (*rule).clone();
    let same_groups = fields.iter().map(|field| &**field).eq(rule.group_fields());
    kept.shape = shape.to_string();
    if !same_groups {
        // of other groups only counters can be kept
        kept.per = fields.iter().map(ToString::to_string).collect();
        kept.novel = None;
    }
    let mut run = RuleRun::new(Arc::new(kept));
    let numbers = from.all(|from| {
        let words = from.all(|from| from.option(Reader::text))?;
        let mut part = Part::default();
        if words.len() != part.len() {
            return Err(Damaged);
        }
        for (place, word) in part.iter_mut().zip(&words) {
            *place = word.as_deref();
        }
        let number = part_number(&rule, keys, &part);
        parts.know(number, || part);
        Ok(number)
    })?;
    let columns = from.all(|from| Ok(Arc::new(Columns::named(from.all(Reader::text)?.into_iter()))))?;
    run.cut = Cut { width: from.signed()?.max(1), window: rule.window };
    run.full_until = from.signed()?;
    run.overflow = from.number()?;
    run.novelty.forgotten = from.number()?;
    let suppressed = from.all(|from| {
        let words = from.text()?.to_string();
        let bytes = from.number()?;
        let days = from.all(|from| Ok((from.signed()?, from.number()?)))?;
        Ok((words, Suppressed { bytes, days }))
    })?;
    run.suppressed = BTreeMap::from_iter(suppressed);
    for group in from.all(|from| read_group(from, keys, &numbers, &columns))? {
        run.entries += group.entries.len();
        run.values += group.distinct.as_ref().map_or(0, |values| values.len());
        run.newest_leaves = run.newest_leaves.max(group.newest);
        let key = group.key;
        run.groups.insert(key, Box::new(group));
        run.resume(key);
    }
    for (key, values, track) in from.all(|from| {
        let is_other = from.byte()? != 0;
        let values = read_values(from)?;
        Ok((key_of(keys, is_other, &values), values, read_track(from, &columns)?))
    })? {
        run.ended.insert(key, Ended { track, values });
    }
    for (values, past) in from.all(|from| {
        let values = read_values(from)?;
        let began = from.signed()?;
        let hours = from.all(|from| Ok((from.signed()?, from.number()?)))?;
        let now = (from.signed()?, from.number()?, from.byte()? != 0);
        let is_told = !is_before && from.byte()? != 0;
        Ok((values, Past::kept(began, hours.into(), now, is_told)))
    })? {
        run.past.insert(key_of(keys, false, &values), (past, values));
    }
    for known in from.all(|from| {
        let (values, last) = (read_values(from)?, from.signed()?);
        Ok(Known { values, last, amount: if is_before { 0 } else { from.number()? } })
    })? {
        run.novelty.known.insert(key_of(keys, false, &known.values), known);
    }
    for (is_other, began) in from.all(|from| {
        let (is_other, values, tick) = (from.byte()? != 0, read_values(from)?, from.signed()?);
        Ok((is_other, Began { values, tick, is_told: !is_before && from.byte()? != 0 }))
    })? {
        run.novelty.newest = run.novelty.newest.max(Some(began.tick));
        run.novelty.began.insert(key_of(keys, is_other, &began.values), began);
    }
    Ok(if kept_as_it_was(&run, &rule) {
        run.rule = rule;
        run.changed = false;
        run
    } else {
        run.with_rule(rule)
    })
}

fn kept_as_it_was(run: &RuleRun, rule: &Rule) -> bool {
    run.rule.shape == rule.shape && run.rule.group_fields().eq(rule.group_fields())
}

fn part_number(rule: &Rule, keys: Keys, part: &Part<'_>) -> u64 {
    let count = crate::parts::fields(rule.record).len();
    let hashes = part.iter().take(count).map(|word| word.map_or(Seen::Missing, Seen::Text).hash(keys));
    hash::mix(keys, hashes)
}

fn key_of(keys: Keys, is_other: bool, values: &[Value]) -> u64 {
    if is_other {
        OTHER
    } else {
        hash::mix(keys, values.iter().map(|value| value.seen().hash(keys)))
    }
}

fn read_values(from: &mut Reader<'_>) -> Result<Box<[Value]>, Damaged> {
    from.all(Reader::value).map(Vec::into_boxed_slice)
}

fn read_group(from: &mut Reader<'_>, keys: Keys, parts: &[u64], columns: &[Arc<Columns>]) -> Result<Group, Damaged> {
    let is_other = from.byte()? != 0;
    let values = read_values(from)?;
    let mut group = Group::new(key_of(keys, is_other, &values), values, from.signed()?);
    for entry in from.all(|from| {
        let leaves = from.signed()?;
        let place = usize::try_from(from.number()?).map_err(|_| Damaged)?;
        let part = parts.get(place).copied().ok_or(Damaged)?;
        let sums = Sums { value: from.number()?, sent: from.number()?, of: from.number()?, to: from.number()? };
        Ok(Entry { leaves, part, sums })
    })? {
        group.add(entry);
    }
    if let Some(values) = from.option(|from| from.all(|from| Ok((from.number()?, from.signed()?))))? {
        let mut set = Values::default();
        for (value, leaves) in values {
            set.add(value, leaves, true);
        }
        group.distinct = Some(Box::new(set));
    }
    group.starts =
        from.option(|from| Ok(Box::new(Starts { times: from.all(Reader::signed)?, dropped: from.signed()? })))?;
    group.alert = from.option(|from| read_track(from, columns))?.map(Box::new);
    Ok(group)
}

fn read_track(from: &mut Reader<'_>, columns: &[Arc<Columns>]) -> Result<Track, Damaged> {
    let alert = Alert {
        id: from.number()?,
        group: from.option(|from| read_values(from))?.map(Into::into),
        workload: from.option(Reader::text)?,
        provider: from.option(Reader::text)?,
        began: from.signed()?,
        last: from.signed()?,
        ended: from.option(Reader::signed)?,
        value: from.number()?,
        sent: from.number()?,
        reopened: u32::try_from(from.number()?).map_err(|_| Damaged)?,
        countries: from.all(Reader::text)?,
        names: from.all(Reader::text)?,
        evidence: from.all(Reader::text)?,
        flows: from.all(|from| {
            let identity = from.number()?;
            let place = usize::try_from(from.number()?).map_err(|_| Damaged)?;
            let columns = columns.get(place).cloned().ok_or(Damaged)?;
            Ok(Arc::new(Flow { identity, columns, values: from.all(Reader::value)? }))
        })?,
        not_applied: from.all(|from| {
            Ok(match from.number()? {
                0 => NotApplied::Expired,
                1 => NotApplied::Nothing,
                place => NotApplied::Condition(usize::try_from(place - 2).map_err(|_| Damaged)?),
            })
        })?,
        found: Found {
            ratio: from.option(|from| Ok((from.number()?, from.number()?)))?,
            distinct: from.option(Reader::number)?,
            interval: from.option(Reader::number)?,
            usual: from.option(Reader::number)?,
        },
    };
    Ok(Track {
        alert,
        falls: from.option(Reader::signed)?,
        counted_until: from.signed()?,
        told_value: from.number()?,
        told_sent: from.number()?,
        room: usize::try_from(from.number()?).map_err(|_| Damaged)?,
        due: from.signed()?,
    })
}

/// Write what belongs to no rule: the secret, the time, which directions were seen.
pub fn write_engine(engine: &Engine) -> Vec<u8> {
    let mut whole = Writer::default();
    whole.byte(LAYOUT);
    for key in engine.keys {
        whole.number(key);
    }
    whole.signed(engine.now);
    let seen = engine.directions;
    whole.number(seen.one);
    whole.number(seen.both);
    whole.signed(seen.hour);
    whole.byte(u8::from(seen.is_one_way));
    whole.sealed()
}

/// Read what `write_engine` wrote; before rules are set.
pub fn read_engine(engine: &mut Engine, bytes: &[u8]) -> Result<(), Damaged> {
    let (_, mut from) = open(bytes)?;
    engine.keys = [from.number()?, from.number()?];
    engine.now = from.signed()?;
    engine.directions =
        Directions { one: from.number()?, both: from.number()?, hour: from.signed()?, is_one_way: from.byte()? != 0 };
    Ok(())
}
