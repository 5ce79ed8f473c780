//! Values that rules ask for and that no column has: what the local side gave, and names that DNS answered.

use crate::condition::{Condition, Lists};
use crate::frame::{Codes, Frame};
use crate::numbers::Numbers;
use crate::value::Seen;

/// How a provider is known.
pub(crate) const EVIDENCE: &str = "evidence";
/// Names that DNS answered with the address decide; what a client claims does not.
const PROVEN: [&str; 2] = ["dns", "dns_shared"];
const RST: u64 = 0x04;
const SYN_ACK: u64 = 0x12;

/// In which rows a name decided, because DNS answered it with this address.
pub(crate) struct Proof<'f> {
    codes: Codes<'f, 'f>,
    proven: Vec<bool>,
}

impl<'f> Proof<'f> {
    pub(crate) fn new(frame: &'f Frame<'_>) -> Proof<'f> {
        let is_proof = |seen: &Seen<'_>| matches!(seen, Seen::Text(evidence) if PROVEN.contains(evidence));
        let codes = frame.codes(EVIDENCE).unwrap_or(Codes::Missing);
        Proof { codes, proven: codes.values().iter().map(is_proof).collect() }
    }

    pub(crate) fn holds(&self, row: usize) -> bool {
        self.proven.get(self.codes.of(row)).copied().unwrap_or(false)
    }
}

/// What the local side can have given.
pub(crate) const ANSWERS: [Option<&str>; 4] = [None, Some("data"), Some("open"), Some("refused")];

/// The same as the value of a field.
pub(crate) fn answer_seen(answer: Option<&'static str>) -> Seen<'static> {
    answer.map_or(Seen::Missing, Seen::Text)
}

/// What the local side gave in each row.
pub(crate) struct Answers<'a> {
    payload: Numbers<'a>,
    flags: Numbers<'a>,
    out: Numbers<'a>,
    back: Numbers<'a>,
}

impl<'a> Answers<'a> {
    pub(crate) fn new(frame: &Frame<'a>) -> Answers<'a> {
        Answers {
            payload: frame.numbers("payload_out"),
            flags: frame.numbers("tcp_flags"),
            out: frame.numbers("packets_out"),
            back: frame.numbers("packets_in"),
        }
    }

    /// The place in `ANSWERS`.
    pub(crate) fn of(&self, row: usize) -> usize {
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
        "answer" => answer_seen(ANSWERS.get(Answers::new(frame).of(row)).copied().flatten()),
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
pub(crate) fn failing(frame: &Frame<'_>, conditions: &[Condition], row: usize, lists: &Lists) -> Option<usize> {
    conditions.iter().position(|condition| {
        let [one, other] = values(frame, &condition.field, true, row);
        let holds = condition.holds(one, lists) || (other != Seen::Missing && condition.holds(other, lists));
        !holds
    })
}
