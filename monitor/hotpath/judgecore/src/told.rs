//! What the second of the two numbers that tell kinds apart says of them: most of their values, and most words of their
//! parts. A batch has many kinds of one case, or of one question, so that it is found once for each.

use crate::column::Column;
use crate::parts::{self, WORDS};
use crate::reuse;

/// Columns in which the number of a kind's value is kept: at least those of parts.
pub(crate) const KEPT: usize = 4;

/// What it says, by column.
#[derive(Clone, Copy)]
pub(crate) struct Says<'l> {
    /// The places of the parts' fields.
    parts: &'l [usize],
    /// Which of the first columns.
    columns: [bool; KEPT],
    /// The first word of a part from which on it says them.
    words: usize,
}

impl<'l> Says<'l> {
    /// Of these fields, and of parts made of those at some places; `told` are the columns that follow from the number.
    pub(crate) fn new(fields: &[String], parts: &'l [usize], told: &[&str]) -> Says<'l> {
        let mut columns = [false; KEPT];
        for (column, field) in columns.iter_mut().zip(fields) {
            *column = told.contains(&field.as_str());
        }
        let last = parts.iter().rev().take_while(|place| columns.get(**place) == Some(&true)).count();
        Says { parts, columns, words: parts.len() - last }
    }

    /// Whether it says what is in the column at a place.
    pub(crate) fn has(&self, place: usize) -> bool {
        self.columns.get(place) == Some(&true)
    }

    /// Write words of the part of a row: those that it does not say, or all.
    pub(crate) fn write_rest(&self, all: bool, columns: &[Column<'_, '_>], row: usize, words: &mut Vec<u8>) {
        self.write(0..if all { WORDS } else { self.words }, columns, row, words);
    }

    fn write(&self, which: std::ops::Range<usize>, columns: &[Column<'_, '_>], row: usize, words: &mut Vec<u8>) {
        for word in which {
            let column = self.parts.get(word).and_then(|place| columns.get(*place));
            parts::write(words, column.and_then(|column| column.seen(row).text()));
        }
    }
}

/// What one number says.
#[derive(Clone, Copy, Default)]
pub(crate) struct Told {
    is_known: bool,
    /// The numbers of the values in the first columns, of those that it says.
    pub(crate) hashes: [u64; KEPT],
    /// Where the last words of a part are.
    words: (u32, u32),
}

/// What all numbers of a batch say, as far as it was asked.
#[derive(Default)]
pub(crate) struct AllTold {
    all: Vec<Told>,
    words: Vec<u8>,
}

impl AllTold {
    /// Begin a batch.
    pub(crate) fn clear(&mut self) {
        reuse::clear(&mut self.all);
        reuse::clear(&mut self.words);
    }

    /// What a number says, found at a row that has it; `most`: more than there can be of them.
    #[inline]
    pub(crate) fn get(
        &mut self,
        number: u32,
        says: &Says<'_>,
        columns: &[Column<'_, '_>],
        row: usize,
        most: usize,
    ) -> Option<Told> {
        match self.all.get(number as usize) {
            Some(told) if told.is_known => Some(*told),
            _ => self.find(number, says, columns, row, most),
        }
    }

    #[cold]
    fn find(
        &mut self,
        number: u32,
        says: &Says<'_>,
        columns: &[Column<'_, '_>],
        row: usize,
        most: usize,
    ) -> Option<Told> {
        if self.all.len() <= number as usize {
            self.all.resize((number as usize + 1).min(most), Told::default());
        }
        let told = self.all.get_mut(number as usize)?;
        for ((number, column), is_said) in told.hashes.iter_mut().zip(columns).zip(says.columns) {
            *number = if is_said { column.hash(row) } else { 0 };
        }
        let begin = self.words.len() as u32;
        says.write(says.words..WORDS, columns, row, &mut self.words);
        (told.is_known, told.words) = (true, (begin, self.words.len() as u32));
        Some(*told)
    }

    /// The last words of the parts that it was said of.
    pub(crate) fn words(&self, told: &Told) -> &[u8] {
        self.words.get(told.words.0 as usize..told.words.1 as usize).unwrap_or_default()
    }
}
