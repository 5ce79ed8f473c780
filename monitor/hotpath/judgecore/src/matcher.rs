//! Which rules each row of a batch is about: all rules in one pass over the columns.
//!
//! Each rule, and each exception, has a bit. For every distinct value of a column there is a word of the
//! bits whose conditions on that column it meets; a row matches what is left when the words of its
//! columns are joined by AND. So a row costs a look at each column, however many rules there are.

use crate::condition::{Condition, Lists};
use crate::frame::{Frame, Numbers};
use crate::value::Seen;

/// Bits of one pass.
pub const LANE: usize = 64;
/// Names that DNS answered with the address decide; what a client claims does not.
const PROVEN: [&str; 2] = ["dns", "dns_shared"];
const CERTIFICATE: &str = "certificate";
const RST: u64 = 0x04;
const SYN_ACK: u64 = 0x12;

/// What one bit stands for.
#[derive(Clone, Debug)]
pub struct Clauses {
    /// All must hold.
    pub conditions: Vec<Condition>,
    /// Of an exception: of names only those count that DNS answered.
    pub proven: bool,
}

/// Up to `LANE` bits.
#[derive(Debug, Default)]
pub struct Matcher {
    all: Vec<Clauses>,
    /// Fields that conditions name; the flag: as an exception means them.
    fields: Vec<(String, bool)>,
}

impl Matcher {
    /// One bit for each of these.
    pub fn new(all: Vec<Clauses>) -> Matcher {
        let mut fields = Vec::new();
        for one in &all {
            for condition in &one.conditions {
                let proven =
                    one.proven && matches!(condition.field.as_str(), "name" | "service_provider" | "any_provider");
                let field = (condition.field.clone(), proven);
                if !condition.everything && !fields.contains(&field) {
                    fields.push(field);
                }
            }
        }
        Matcher { all, fields }
    }

    /// The columns that it looks at.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().flat_map(|(field, proven)| {
            let columns: &[&str] = match (field.as_str(), proven) {
                ("any_provider", _) => &["network_provider", "service_provider", "evidence"],
                ("name", true) => &["dns_name", "evidence"],
                ("name", false) => &["name", "name_source"],
                ("service_provider", true) => &["service_provider", "evidence"],
                ("answer", _) => &[],
                _ => return Columns::One(Some(field)),
            };
            Columns::Several(columns.iter())
        })
    }

    /// For each row, the bits whose conditions all hold.
    pub fn rows(&self, frame: &Frame<'_>, lists: &Lists) -> Vec<u64> {
        let mut found = vec![if self.all.len() >= LANE { u64::MAX } else { (1 << self.all.len()) - 1 }; frame.rows];
        for (field, proven) in &self.fields {
            match field.as_str() {
                "any_provider" => self.any_provider(frame, lists, *proven, &mut found),
                "answer" => {
                    let words = self.words(ANSWERS.map(answer_seen).into_iter(), field, *proven, lists);
                    let answers = Answers::new(frame);
                    for (row, bits) in found.iter_mut().enumerate() {
                        if *bits != 0 {
                            *bits &= words.get(answers.of(row)).copied().unwrap_or(0);
                        }
                    }
                }
                "name" | "service_provider" if *proven => {
                    let column = if field == "name" { "dns_name" } else { field };
                    let Some(coded) = frame.coded(column) else { continue };
                    let words = self.words(coded.values.iter().copied(), field, true, lists);
                    let proof = Proof::new(frame);
                    for (row, (bits, code)) in found.iter_mut().zip(&coded.codes).enumerate() {
                        let code = if proof.holds(row) { *code as usize } else { 0 };
                        *bits &= words.get(code).copied().unwrap_or(0);
                    }
                }
                "name" => self.claimed(frame, lists, &mut found),
                _ => self.plain(frame, field, *proven, lists, &mut found),
            }
        }
        found
    }

    /// For each of some values, the bits that it leaves standing.
    fn words<'s>(&self, values: impl Iterator<Item = Seen<'s>>, field: &str, proven: bool, lists: &Lists) -> Vec<u64> {
        let mut idle = u64::MAX;
        let mut asked: Vec<(u64, &Condition)> = Vec::new();
        for (bit, condition) in self.on(field, proven) {
            idle &= !bit;
            asked.push((bit, condition));
        }
        let word = |seen| {
            let mut word = idle;
            for (bit, condition) in &asked {
                if condition.holds(seen, lists) {
                    word |= bit;
                }
            }
            word
        };
        values.map(word).collect()
    }

    /// The conditions on a field, with their bits.
    fn on<'m>(&'m self, field: &'m str, proven: bool) -> impl Iterator<Item = (u64, &'m Condition)> {
        let means = move |one: &Clauses| {
            let differs = matches!(field, "name" | "service_provider" | "any_provider");
            !differs || one.proven == proven
        };
        let all = self.all.iter().enumerate().filter(move |(_, one)| means(one));
        all.flat_map(move |(place, one)| {
            let mine = one.conditions.iter().filter(move |condition| condition.field == field && !condition.everything);
            mine.map(move |condition| (1 << place, condition))
        })
    }

    fn plain(&self, frame: &Frame<'_>, field: &str, proven: bool, lists: &Lists, found: &mut [u64]) {
        if let Some(coded) = frame.coded(field) {
            let words = self.words(coded.values.iter().copied(), field, proven, lists);
            for (bits, code) in found.iter_mut().zip(&coded.codes) {
                *bits &= words.get(*code as usize).copied().unwrap_or(0);
            }
            return;
        }
        // numbers between two bounds of any condition all meet the same conditions
        let mut bounds = vec![0];
        for (_, condition) in self.on(field, proven) {
            for (first, last) in &condition.numbers {
                bounds.push(*first);
                bounds.extend(last.checked_add(1));
            }
        }
        bounds.sort_unstable();
        bounds.dedup();
        let words = self.words(bounds.iter().map(|bound| Seen::Number(*bound)), field, proven, lists);
        let missing = self.words(std::iter::once(Seen::Missing), field, proven, lists);
        let numbers = frame.numbers(field);
        for (row, bits) in found.iter_mut().enumerate() {
            if *bits == 0 {
                continue;
            }
            let words = match numbers.get(row) {
                None => &missing[..1],
                Some(number) => &words[bounds.partition_point(|bound| *bound <= number).saturating_sub(1)..],
            };
            *bits &= words.first().copied().unwrap_or(0);
        }
    }

    /// Either provider, where it is known; the missing value only where neither is.
    fn any_provider(&self, frame: &Frame<'_>, lists: &Lists, proven: bool, found: &mut [u64]) {
        let (Some(network), Some(service)) = (frame.coded("network_provider"), frame.coded("service_provider")) else {
            return;
        };
        let field = "any_provider";
        let proof = Proof::new(frame);
        let by_network = self.words(network.values.iter().copied(), field, proven, lists);
        let by_service = self.words(service.values.iter().copied(), field, proven, lists);
        for (row, bits) in found.iter_mut().enumerate() {
            if *bits == 0 {
                continue;
            }
            let network = network.codes.get(row).map_or(0, |code| *code as usize);
            let service =
                if proven && !proof.holds(row) { 0 } else { service.codes.get(row).map_or(0, |code| *code as usize) };
            let one = by_network.get(network).copied().unwrap_or(0);
            let other = by_service.get(service).copied().unwrap_or(0);
            *bits &= match (network, service) {
                (_, 0) => one,
                (0, _) => other,
                _ => one | other,
            };
        }
    }

    /// The name that a client claims. What a server shows must not hide a flow from `name: none`.
    fn claimed(&self, frame: &Frame<'_>, lists: &Lists, found: &mut [u64]) {
        let (Some(names), Some(sources)) = (frame.coded("name"), frame.coded("name_source")) else { return };
        let words = self.words(names.values.iter().copied(), "name", false, lists);
        let unnamed: u64 =
            self.on("name", false).filter(|(_, one)| one.missing && !one.negated).map(|(bit, _)| bit).sum();
        let shown = sources.values.iter().position(|seen| *seen == Seen::Text(CERTIFICATE));
        for (row, (bits, code)) in found.iter_mut().zip(&names.codes).enumerate() {
            let is_shown =
                unnamed != 0 && shown.is_some() && sources.codes.get(row).map(|code| *code as usize) == shown;
            let word = words.get(*code as usize).copied().unwrap_or(0);
            *bits &= if is_shown { word | unnamed } else { word };
        }
    }
}

enum Columns<'a> {
    One(Option<&'a str>),
    Several(std::slice::Iter<'a, &'a str>),
}

impl<'a> Iterator for Columns<'a> {
    type Item = &'a str;
    fn next(&mut self) -> Option<&'a str> {
        match self {
            Columns::One(one) => one.take(),
            Columns::Several(several) => several.next().copied(),
        }
    }
}

/// In which rows a name decided, because DNS answered it with this address.
struct Proof<'f> {
    codes: &'f [u32],
    proven: Vec<bool>,
}

impl<'f> Proof<'f> {
    fn new(frame: &'f Frame<'_>) -> Proof<'f> {
        let is_proof = |seen: &Seen<'_>| matches!(seen, Seen::Text(evidence) if PROVEN.contains(evidence));
        match frame.coded("evidence") {
            Some(coded) => Proof { codes: &coded.codes, proven: coded.values.iter().map(is_proof).collect() },
            None => Proof { codes: &[], proven: Vec::new() },
        }
    }

    fn holds(&self, row: usize) -> bool {
        self.codes.get(row).and_then(|code| self.proven.get(*code as usize)).copied().unwrap_or(false)
    }
}

const ANSWERS: [Option<&str>; 4] = [None, Some("data"), Some("open"), Some("refused")];

fn answer_seen(answer: Option<&'static str>) -> Seen<'static> {
    answer.map_or(Seen::Missing, Seen::Text)
}

/// What the local side gave in each row.
struct Answers<'a> {
    payload: Numbers<'a>,
    flags: Numbers<'a>,
    out: Numbers<'a>,
    back: Numbers<'a>,
}

impl<'a> Answers<'a> {
    fn new(frame: &Frame<'a>) -> Answers<'a> {
        Answers {
            payload: frame.numbers("payload_out"),
            flags: frame.numbers("tcp_flags"),
            out: frame.numbers("packets_out"),
            back: frame.numbers("packets_in"),
        }
    }

    /// The place in `ANSWERS`.
    fn of(&self, row: usize) -> usize {
        if self.payload.or_zero(row) > 0 {
            return 1;
        }
        let (flags, out) = (self.flags.or_zero(row), self.out.or_zero(row));
        if out == 0 {
            return 0;
        }
        // a scanner that resets an open port sends one packet more than it gets; a closed port does not
        if flags & SYN_ACK == SYN_ACK && (flags & RST == 0 || self.back.or_zero(row) > out) {
            return 2;
        }
        if flags & RST == 0 {
            0
        } else {
            3
        }
    }
}

/// The value that a condition on a field is asked about, in one row; `any_provider` has two.
fn values<'a>(frame: &Frame<'a>, field: &str, proven: bool, row: usize) -> [Seen<'a>; 2] {
    let one = match field {
        "answer" => ANSWERS.get(Answers::new(frame).of(row)).copied().flatten().map_or(Seen::Missing, Seen::Text),
        "name" if proven && Proof::new(frame).holds(row) => frame.seen("dns_name", row),
        "service_provider" if proven && Proof::new(frame).holds(row) => frame.seen(field, row),
        "name" | "service_provider" if proven => Seen::Missing,
        "any_provider" => {
            let service = values(frame, "service_provider", proven, row)[0];
            let network = frame.seen("network_provider", row);
            return if network == Seen::Missing { [service, service] } else { [network, service] };
        }
        _ => frame.seen(field, row),
    };
    [one, one]
}

/// The place of the first condition of an exception that a row does not meet.
pub fn failing(frame: &Frame<'_>, conditions: &[Condition], row: usize, lists: &Lists) -> Option<usize> {
    conditions.iter().position(|condition| {
        let [one, other] = values(frame, &condition.field, true, row);
        let holds = condition.holds(one, lists) || (other != Seen::Missing && condition.holds(other, lists));
        !holds
    })
}
