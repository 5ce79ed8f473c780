//! Which rules each row of a batch is about: all rules in one pass over the columns.
//!
//! Each rule, and each exception, has a bit. For every distinct value of a column there is a word of the
//! bits whose conditions on that column it meets; a row matches what is left when the words of its
//! columns are joined by AND. So a row costs a look at each column, however many rules there are.
//!
//! Columns are asked in the order of what they cost, and only about rows in which a rule is left that asks
//! for them: of most batches no name is looked at.

use std::cell::OnceCell;

use crate::column;
use crate::condition::{Condition, Lists};
use crate::derived::{answer_seen, Answers, Proof, ANSWERS, EVIDENCE};
use crate::frame::{Codes, Frame, NO_ROW};
use crate::numbers::Numbers;
use crate::table::{Bounds, Table};
use crate::value::Seen;

/// Bits of one pass.
pub const LANE: usize = 64;
/// Rows that are taken through all columns before the next: their words stay in the nearest cache.
const CHUNK: usize = 2048;
/// What it costs to look at a column of few values.
const AT_ONCE: u8 = 1;
/// What it costs to look at a number.
const NUMBERS: u8 = 2;
const CERTIFICATE: &str = "certificate";

/// What one bit stands for.
#[derive(Clone, Debug)]
pub struct Clauses {
    /// All must hold.
    pub conditions: Vec<Condition>,
    /// Of an exception: of names only those count that DNS answered.
    pub proven: bool,
    /// The column that must not be zero for a row to count.
    pub counts: Option<String>,
}

/// A field that conditions name.
#[derive(Debug)]
struct Field {
    name: String,
    /// As an exception means it.
    proven: bool,
    /// The bits of its conditions.
    mask: u64,
    /// Each condition once, with all bits that ask it: many rules say the same of a field.
    asked: Vec<(u64, Condition)>,
}

/// Up to `LANE` bits.
#[derive(Debug, Default)]
pub struct Matcher {
    /// All bits.
    bits: u64,
    /// Columns that must not be zero, with the bits that they must not be zero for.
    counts: Vec<(String, u64)>,
    fields: Vec<Field>,
}

impl Matcher {
    /// One bit for each of these.
    pub fn new(all: Vec<Clauses>) -> Matcher {
        let mut matcher = Matcher::default();
        for (place, one) in all.into_iter().enumerate() {
            let bit = 1 << place;
            matcher.bits |= bit;
            for condition in one.conditions.into_iter().filter(|condition| !condition.everything) {
                let differs = matches!(condition.field.as_str(), "name" | "service_provider" | "any_provider");
                matcher.ask(bit, condition, one.proven && differs);
            }
            if let Some(column) = one.counts {
                match matcher.counts.iter_mut().find(|(known, _)| *known == column) {
                    Some((_, mask)) => *mask |= bit,
                    None => matcher.counts.push((column, bit)),
                }
            }
        }
        matcher
    }

    fn ask(&mut self, bit: u64, condition: Condition, proven: bool) {
        let mut fields = self.fields.iter_mut();
        let Some(field) = fields.find(|field| field.name == condition.field && field.proven == proven) else {
            let name = condition.field.clone();
            self.fields.push(Field { name, proven, mask: bit, asked: vec![(bit, condition)] });
            return;
        };
        field.mask |= bit;
        match field.asked.iter_mut().find(|(_, known)| *known == condition) {
            Some((bits, _)) => *bits |= bit,
            None => field.asked.push((bit, condition)),
        }
    }

    /// For each row, the bits whose conditions all hold; `found` is memory for them.
    pub fn rows(&self, frame: &Frame<'_>, lists: &Lists, mut found: Vec<u64>) -> Vec<u64> {
        found.clear();
        found.resize(frame.rows, self.bits);
        let mut counts: Vec<(Numbers<'_>, u64)> =
            self.counts.iter().map(|(column, mask)| (frame.numbers(column), *mask)).collect();
        // one that is zero in every row rules its bits out at once
        counts.sort_by_key(|(_, mask)| std::cmp::Reverse(mask.count_ones()));
        let mut steps: Vec<Step<'_, '_>> = self.fields.iter().map(|field| Step::new(frame, field)).collect();
        steps.sort_by_key(|step| step.cost);
        let (at_once, by_row) = steps.split_at(steps.partition_point(|step| step.cost <= AT_ONCE));
        let (by_number, at_once) = at_once.split_at(at_once.partition_point(|step| step.cost < AT_ONCE));
        let numbered = OnceCell::new();
        let mut live: Vec<u32> = Vec::with_capacity(CHUNK);
        let mut first = 0;
        for found in found.chunks_mut(CHUNK) {
            for (numbers, mask) in &counts {
                numbers.clear_zeros(first, *mask, found);
            }
            let left = found.iter().fold(0, |left, bits| left | bits);
            for step in at_once.iter().filter(|step| left & step.field.mask != 0) {
                step.table.get_or_init(|| table(frame, step.field, lists)).narrow_all(first, found);
            }
            if by_number.iter().any(|step| left & step.field.mask != 0) {
                for (numbers, words) in numbered.get_or_init(|| tables_by_number(frame, by_number, lists)) {
                    column::narrow(numbers, words, first, found);
                }
            }
            live.clear();
            live.extend((0..).zip(&*found).filter(|(_, bits)| **bits != 0).map(|(place, _)| place));
            // numbers cost less than to ask anew which rules are left
            let (numbers, dear) = by_row.split_at(by_row.partition_point(|step| step.cost <= NUMBERS));
            let left = live.iter().fold(0, |left, place| left | found.get(*place as usize).copied().unwrap_or(0));
            for step in numbers.iter().filter(|step| left & step.field.mask != 0) {
                let table = step.table.get_or_init(|| table(frame, step.field, lists));
                table.narrow(step.field.mask, first, &live, found);
            }
            for step in dear {
                let left = live.iter().fold(0, |left, place| left | found.get(*place as usize).copied().unwrap_or(0));
                if left & step.field.mask != 0 {
                    let table = step.table.get_or_init(|| table(frame, step.field, lists));
                    table.narrow(step.field.mask, first, &live, found);
                }
            }
            first += found.len();
        }
        found
    }
}

impl Field {
    /// For each of some values, the bits that it leaves standing.
    fn words<'s>(&self, values: impl Iterator<Item = Seen<'s>>, lists: &Lists) -> Vec<u64> {
        let word = |seen| {
            let holds = self.asked.iter().filter(|(_, condition)| condition.holds(seen, lists));
            holds.fold(!self.mask, |word, (bits, _)| word | bits)
        };
        values.map(word).collect()
    }
}

/// What the values of columns mean for the bits that numbers of rows tell, by number: one word for all columns that
/// the same numbers tell.
fn tables_by_number<'f>(frame: &'f Frame<'_>, steps: &[Step<'_, '_>], lists: &Lists) -> Vec<(&'f [u32], Vec<u64>)> {
    let mut all: Vec<(&[u32], Vec<u64>)> = Vec::new();
    for step in steps {
        let Some((numbers, firsts)) = numbers_of(frame, step.field) else { continue };
        let table = table(frame, step.field, lists);
        let words = firsts.iter().map(|row| {
            let mut word = [u64::MAX];
            if *row != NO_ROW {
                table.narrow(u64::MAX, *row as usize, &[0], &mut word);
            }
            word[0]
        });
        match all.iter_mut().find(|(known, _)| std::ptr::eq(*known, numbers)) {
            Some((_, known)) => known.iter_mut().zip(words).for_each(|(known, word)| *known &= word),
            None => all.push((numbers, words.collect())),
        }
    }
    all
}

/// What the values of a column mean for the bits.
fn table<'f>(frame: &'f Frame<'_>, field: &Field, lists: &Lists) -> Table<'f> {
    let proven = field.proven;
    let words = |codes: Codes<'_, '_>| field.words(codes.values().iter().copied(), lists);
    let nothing = Table::Nothing;
    match field.name.as_str() {
        "any_provider" => {
            let (Some(network), Some(service)) = (frame.codes("network_provider"), frame.codes("service_provider"))
            else {
                return nothing;
            };
            Table::Either {
                proof: proven.then(|| Proof::new(frame)),
                network: (network, words(network)),
                service: (service, words(service)),
            }
        }
        "answer" => Table::Answers {
            answers: Answers::new(frame),
            words: field.words(ANSWERS.map(answer_seen).into_iter(), lists),
        },
        name @ ("name" | "service_provider") if proven => {
            let column = if name == "name" { "dns_name" } else { name };
            let Some(codes) = frame.codes(column) else { return nothing };
            Table::Proven { proof: Proof::new(frame), codes, words: words(codes) }
        }
        "name" => claimed(frame, field, words),
        name => match frame.codes(name) {
            Some(codes) => Table::Codes { codes, words: words(codes) },
            None => plain(frame, field, lists),
        },
    }
}

/// Numbers between two bounds of any condition all meet the same conditions.
fn plain<'f>(frame: &'f Frame<'_>, field: &Field, lists: &Lists) -> Table<'f> {
    let mut bounds = vec![0];
    for (_, condition) in &field.asked {
        for (first, last) in &condition.numbers {
            bounds.push(*first);
            bounds.extend(last.checked_add(1));
        }
    }
    bounds.sort_unstable();
    bounds.dedup();
    let words = field.words(bounds.iter().map(|bound| Seen::Number(*bound)), lists);
    if let Some(bytes) = frame.numbers(&field.name).bytes() {
        let of = |byte: u64| bounds.partition_point(|bound| *bound <= byte).saturating_sub(1);
        let words = (0..=255).map(|byte| words.get(of(byte)).copied().unwrap_or(0)).collect();
        return Table::Bytes { bytes, words };
    }
    let missing = field.words(std::iter::once(Seen::Missing), lists);
    let missing = missing.first().copied().unwrap_or(0);
    Table::Numbers { numbers: frame.numbers(&field.name), bounds: Bounds::new(bounds), words, missing }
}

/// The name that a client claims. What a server shows must not hide a flow from `name: none`.
fn claimed<'f>(frame: &'f Frame<'_>, field: &Field, words: impl Fn(Codes<'_, '_>) -> Vec<u64>) -> Table<'f> {
    let (Some(names), Some(sources)) = (frame.codes("name"), frame.codes("name_source")) else {
        return Table::Nothing;
    };
    let unnamed: u64 = field.asked.iter().filter(|(_, one)| one.missing && !one.negated).map(|(bits, _)| bits).sum();
    let shown = sources.values().iter().position(|seen| *seen == Seen::Text(CERTIFICATE));
    Table::Claimed { names, words: words(names), sources, shown, unnamed }
}

/// The numbers of rows that tell what a condition on a field is asked about, where there are few, and the first row of each.
fn numbers_of<'f, 'a>(frame: &'f Frame<'a>, field: &Field) -> Option<(&'a [u32], &'f [u32])> {
    let proven = field.proven;
    let found = match field.name.as_str() {
        "any_provider" if proven => frame.numbers_of_all(&["network_provider", "service_provider", EVIDENCE]),
        "any_provider" => frame.numbers_of_all(&["network_provider", "service_provider"]),
        "service_provider" if proven => frame.numbers_of_all(&["service_provider", EVIDENCE]),
        "name" | "answer" => None,
        name if frame.is_number(name) => None,
        name => frame.numbers_of_all(&[name]),
    };
    found.filter(|(numbers, firsts)| column::FEW * firsts.len() <= numbers.len())
}

/// One field of a pass over a batch.
struct Step<'m, 'f> {
    field: &'m Field,
    /// What it costs to look at it.
    cost: u8,
    /// Made when the first row needs it.
    table: OnceCell<Table<'f>>,
}

impl<'m, 'f> Step<'m, 'f> {
    fn new(frame: &'f Frame<'_>, field: &'m Field) -> Step<'m, 'f> {
        let cost = match field.name.as_str() {
            _ if numbers_of(frame, field).is_some() => 0,
            name if !field.proven && frame.is_closed(name) => AT_ONCE,
            name if frame.numbers(name).bytes().is_some() => AT_ONCE,
            "answer" => 3,
            name if frame.is_number(name) => NUMBERS,
            "name" => 5,
            _ => 4,
        };
        Step { field, cost, table: OnceCell::new() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::types::UInt8Type;
    use arrow_array::{ArrayRef, BooleanArray, DictionaryArray, RecordBatch, StringViewArray, UInt32Array};
    use arrow_schema::ArrowError;

    use super::*;
    use crate::row_batch::{RowBatch, Told};

    /// What some cases were decided to be, one value for each row or for each case.
    fn decided(cases: &[u32]) -> Vec<(&'static str, ArrayRef)> {
        let text = |shift: u32, words: [Option<&'static str>; 3]| -> ArrayRef {
            Arc::new(cases.iter().map(|case| words[(case >> shift) as usize % 3]).collect::<StringViewArray>())
        };
        let evidence = cases.iter().map(|case| ["dns", "sni", "prefix"][*case as usize / 2 % 3]);
        vec![
            ("network_provider", text(0, [Some("aws"), Some("alibaba"), None])),
            ("service_provider", text(1, [Some("alibaba"), None, Some("aws")])),
            ("country", text(2, [Some("CN"), Some("DE"), None])),
            ("evidence", Arc::new(evidence.collect::<DictionaryArray<UInt8Type>>())),
            ("disagreement", Arc::new(cases.iter().map(|case| Some(case % 5 == 1)).collect::<BooleanArray>())),
        ]
    }

    #[test]
    fn rows_match_by_their_case_as_by_their_values() -> Result<(), ArrowError> {
        let of = |field: &str, words: &[&str]| Condition {
            field: field.to_owned(),
            exact: words.iter().map(|word| (*word).to_owned()).collect(),
            ..Condition::default()
        };
        let not = |one: Condition| Condition { negated: true, ..one };
        let none = |one: Condition| Condition { missing: true, ..one };
        let agree = Condition { flags: vec![false], ..of("disagreement", &[]) };
        let all = [
            vec![of("any_provider", &["alibaba"])],
            vec![not(of("any_provider", &["aws"])), of("evidence", &["dns", "sni"])],
            vec![none(of("service_provider", &["aws"])), agree],
            vec![not(of("country", &["CN"])), of("network_provider", &["aws"])],
            vec![none(of("country", &[]))],
        ];
        let clauses = |proven| all.iter().map(move |all| Clauses { conditions: all.clone(), proven, counts: None });
        let matcher = Matcher::new(clauses(false).chain(clauses(true)).collect());
        // few rows for so many cases, and many
        for (rows, cases) in [(100_u32, 36), (5000, 36), (0, 36)] {
            let case: Vec<u32> = (0..rows).map(|row| row * 31 % cases).collect();
            let own = ("case_id", Arc::new(UInt32Array::from(case.clone())) as ArrayRef);
            let batch = |columns: Vec<(&'static str, ArrayRef)>| RecordBatch::try_from_iter(columns);
            let told = Told { by: "case_id".to_owned(), columns: batch(decided(&(0..cases).collect::<Vec<_>>()))? };
            let told = RowBatch::new(batch(vec![own])?, vec![told], &[])?;
            let whole = RowBatch::from(batch(decided(&case))?);
            let found = [told, whole].map(|rows| matcher.rows(&Frame::new(&rows, [3, 4]), &Lists::new(), Vec::new()));
            assert_eq!(found[0], found[1], "{rows} rows");
            let some = found[0].iter().fold(0, |some, bits| some | bits);
            assert!(rows == 0 || some == 0b11_1111_1111, "each matches something: {some:b}");
        }
        Ok(())
    }
}
