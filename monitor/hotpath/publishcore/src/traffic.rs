//! Traffic of a batch for the metrics: bytes by label values and by evidence, connections by who opened them.

use std::collections::HashMap;

use arrow_array::RecordBatch;
use judgecore::frame::{Codes, Frame};
use judgecore::hash::{self, Keys, Map};
use judgecore::value::Seen;

use crate::connections::{Columns, Connections};
use crate::{chance, labels, of_scope};

/// Who may have opened a connection, in the order of the counts of [`Sums::connections`].
pub const INITIATORS: [&str; 3] = ["local", "remote", "unknown"];

/// What a batch came to. Each key once, in the order of its first row.
#[derive(Default)]
pub struct Sums {
    /// Workload, provider and country as label values; bytes sent and received.
    pub bytes: Vec<([String; 3], [u64; 2])>,
    /// Bytes in both directions by evidence; `None`: it is missing.
    pub evidence: Vec<(Option<String>, u64)>,
    /// Workload and provider as label values; connections by initiator.
    pub connections: Vec<([String; 2], [u64; 3])>,
}

/// Sums batch by batch.
pub struct Traffic {
    keys: Keys,
    connections: Connections,
}

impl Traffic {
    /// `undecided`: flows at most that wait until it is known who opened them.
    pub fn new(undecided: usize) -> Traffic {
        Traffic { keys: chance(), connections: Connections::new(undecided) }
    }

    /// Sum the flows with scope `egress` of one batch, in tick order.
    pub fn add(&mut self, flows: &RecordBatch) -> Sums {
        let frame = Frame::new(flows, self.keys);
        let folded = [
            Labels::new(frame.codes("workload"), labels::workload),
            Labels::new(frame.codes("provider"), labels::provider),
            Labels::new(frame.codes("country"), labels::country),
        ];
        let evidence = frame.codes("evidence");
        let bytes = [frame.numbers("bytes_out"), frame.numbers("bytes_in")];
        let columns = Columns::new(&frame);
        let initiators = INITIATORS.map(|name| frame.codes("initiator").and_then(|codes| crate::code_of(codes, name)));
        let mut by_label: Groups<[u32; 3], 2> = Groups::new(self.keys);
        let mut by_pair: Groups<[u32; 2], 3> = Groups::new(self.keys);
        let mut by_evidence = vec![0_u64; evidence.map_or(1, |codes| codes.values().len())];
        self.connections.begin();
        for row in of_scope(&frame, "egress") {
            let label = [0, 1, 2].map(|place: usize| folded.get(place).map_or(0, |labels| labels.of(row)));
            let both = bytes.map(|numbers| numbers.or_zero(row));
            if both != [0, 0] {
                by_label.add(label, both);
            }
            let code = evidence.map_or(0, |codes| codes.of(row));
            if let Some(sum) = by_evidence.get_mut(code) {
                *sum = sum.saturating_add(both[0]).saturating_add(both[1]);
            }
            if self.connections.counts(&columns, row) {
                let initiator = Some(columns.initiator(row));
                by_pair.add([label[0], label[1]], initiators.map(|code| u64::from(code == initiator)));
            }
        }
        let word = |place: usize, label: u32| folded.get(place).map_or(String::new(), |labels| labels.word(label));
        Sums {
            bytes: by_label.take(|[a, b, c]| [word(0, a), word(1, b), word(2, c)]),
            evidence: by_evidence
                .into_iter()
                .enumerate()
                .filter(|(_, bytes)| *bytes > 0)
                .map(|(code, bytes)| {
                    (evidence.and_then(|codes| text(codes.values().get(code))).map(str::to_owned), bytes)
                })
                .collect(),
            connections: by_pair.take(|[a, b]| [word(0, a), word(1, b)]),
        }
    }
}

/// Label values of a column, numbered: there are few, however many values the column has.
struct Labels<'a, 'f> {
    codes: Codes<'f, 'a>,
    /// By code of the column.
    labels: Vec<u32>,
    words: Vec<&'a str>,
}

impl<'a, 'f> Labels<'a, 'f> {
    fn new(codes: Option<Codes<'f, 'a>>, fold: impl Fn(Option<&'a str>) -> &'a str) -> Labels<'a, 'f> {
        let (mut words, mut known): (Vec<&str>, _) = (Vec::new(), HashMap::new());
        let mut last = 0;
        let mut number = |value: Option<&Seen<'a>>| {
            let word = fold(text(value));
            // most values of a long column fold to the same word
            if words.get(last) != Some(&word) {
                last = *known.entry(word).or_insert(words.len());
                if last == words.len() {
                    words.push(word);
                }
            }
            last as u32
        };
        let codes = codes.unwrap_or(Codes::Missing);
        let labels = codes.values().iter().map(|value| number(Some(value))).collect();
        Labels { codes, labels, words }
    }

    fn of(&self, row: usize) -> u32 {
        self.labels.get(self.codes.of(row)).copied().unwrap_or(0)
    }

    fn word(&self, label: u32) -> String {
        self.words.get(label as usize).map_or(String::new(), |word| (*word).to_owned())
    }
}

fn text<'a>(value: Option<&Seen<'a>>) -> Option<&'a str> {
    match value {
        Some(Seen::Text(text)) => Some(text),
        _ => None,
    }
}

/// Sums by a few small numbers.
struct Groups<K, const N: usize> {
    keys: Keys,
    places: Map<usize>,
    sums: Vec<(K, [u64; N])>,
    last: usize,
}

impl<const M: usize, const N: usize> Groups<[u32; M], N> {
    fn new(keys: Keys) -> Groups<[u32; M], N> {
        Groups { keys, places: Map::default(), sums: Vec::new(), last: 0 }
    }

    fn add(&mut self, key: [u32; M], values: [u64; N]) {
        // neighbours are often of one group
        if self.sums.get(self.last).is_none_or(|(known, _)| *known != key) {
            let number = hash::mix(self.keys, key.iter().map(|part| u64::from(*part)));
            self.last = *self.places.entry(number).or_insert(self.sums.len());
            if self.last == self.sums.len() {
                self.sums.push((key, [0; N]));
            }
        }
        if let Some((_, sums)) = self.sums.get_mut(self.last) {
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum = sum.saturating_add(value));
        }
    }

    fn take<W>(self, words: impl Fn([u32; M]) -> W) -> Vec<(W, [u64; N])> {
        self.sums.into_iter().map(|(key, sums)| (words(key), sums)).collect()
    }
}
