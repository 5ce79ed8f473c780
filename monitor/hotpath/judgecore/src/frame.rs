//! The columns of one batch by name: numbers as they lie in memory, all else by code.

use std::cell::OnceCell;
use std::collections::HashMap;

use arrow_array::cast::AsArray;
use arrow_array::types::{UInt16Type, UInt32Type, UInt8Type};
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;

use crate::cell::{address, look, ByNumber, Cell};
use crate::column::{Closed, Column, Places, Texts};
use crate::hash::Keys;
use crate::intern::Coded;
use crate::numbers::{numbers, Numbers};
use crate::row_batch::{Cells, RowBatch};
use crate::value::{Seen, Value};

/// What tells the values of a column apart in one batch, by small numbers; 0 is the missing value.
#[derive(Clone, Copy)]
pub enum Codes<'f, 'a> {
    /// No row has a value.
    Missing,
    /// As they came.
    Closed(&'f Closed<'a>),
    /// Given row by row.
    Coded(&'f Coded<'a>),
    /// Given by the number of a row in another column.
    Numbered(ByNumber<'a>, &'f Coded<'a>),
}

impl<'f, 'a> Codes<'f, 'a> {
    /// For each code, the value.
    pub fn values(&self) -> &'f [Seen<'a>] {
        match self {
            Codes::Missing => &[Seen::Missing],
            Codes::Closed(closed) => &closed.values,
            Codes::Coded(coded) | Codes::Numbered(_, coded) => &coded.values,
        }
    }

    /// The code of a row.
    pub fn of(&self, row: usize) -> usize {
        match self {
            Codes::Missing => 0,
            Codes::Closed(closed) => closed.code(row),
            Codes::Coded(coded) => coded.codes.get(row).map_or(0, |code| *code as usize),
            Codes::Numbered(numbers, coded) => {
                let code = numbers.place(row).and_then(|number| coded.codes.get(number));
                code.map_or(0, |code| *code as usize)
            }
        }
    }
}

/// Columns of numbers from 0, and those of which the same number has the same value throughout a batch
/// (`monitor/flow_batch.py`).
const NUMBERED: [(&str, &[&str]); 12] = [
    ("local_id", &["local_address", "workload"]),
    ("remote_id", &["remote_address"]),
    ("name_id", &["name"]),
    ("ja4_id", &["ja4"]),
    ("interface_id", &["interface"]),
    (
        "case_id",
        &[
            "country",
            "asn",
            "as_name",
            "network_provider",
            "service_provider",
            "provider",
            "category",
            "evidence",
            "confidence",
            "disagreement",
        ],
    ),
    ("client_id", &["client", "workload"]),
    ("resolver_id", &["resolver"]),
    ("question_id", &["question", "domain"]),
    ("owner_id", &["owner"]),
    ("value_id", &["value"]),
    ("answer_id", &["dns_name"]),
];

/// No row has a number.
pub(crate) const NO_ROW: u32 = u32::MAX;

/// The columns whose values a column of numbers tells apart.
pub(crate) fn numbered_by(index: &str) -> &'static [&'static str] {
    NUMBERED.iter().find(|(known, _)| *known == index).map_or(&[], |(_, fields)| fields)
}

/// One batch of rows.
pub struct Frame<'a> {
    /// How many rows.
    pub rows: usize,
    all: &'a RowBatch,
    named: HashMap<&'a str, Named<'a>>,
    keys: Keys,
}

/// A column by its name; most are never asked for.
struct Named<'a> {
    cell: Cell<'a>,
    coded: OnceCell<Coded<'a>>,
    closed: OnceCell<Closed<'a>>,
    texts: OnceCell<Texts<'a>>,
    /// Of a column of numbers: by number, the first row that has it; nothing where they are not dense.
    firsts: OnceCell<Vec<u32>>,
}

impl<'a> Named<'a> {
    fn new(cells: &'a Cells) -> Named<'a> {
        let (coded, closed, texts, firsts) = Default::default();
        Named { cell: Cell::new(cells), coded, closed, texts, firsts }
    }

    /// The array, where each row has a value of its own.
    fn own(&self) -> Option<&'a ArrayRef> {
        self.cell.by.is_none().then_some(self.cell.array)
    }
}

impl<'a> Frame<'a> {
    /// Look at a batch.
    pub fn new(rows: &'a RowBatch, keys: Keys) -> Frame<'a> {
        let named = rows.columns().map(|(name, cells)| (name, Named::new(cells))).collect();
        Frame { rows: rows.own().num_rows(), all: rows, named, keys }
    }

    /// A column, to look at some rows.
    pub(crate) fn cell(&self, name: &str) -> Option<Cell<'a>> {
        self.named.get(name).map(|named| named.cell)
    }

    /// Whether a column is one of few values: of a closed set, or yes and no.
    pub(crate) fn is_closed(&self, name: &str) -> bool {
        self.named.get(name).is_some_and(|named| is_closed(named.cell.array))
    }

    /// A column of numbers that tell values apart, where every row has one.
    pub(crate) fn index(&self, name: &str) -> Option<&'a [u32]> {
        let array = self.named.get(name)?.own()?.as_primitive_opt::<UInt32Type>()?;
        (array.null_count() == 0).then(|| &**array.values())
    }

    /// Whether a column is one of numbers or times, which are not coded.
    pub fn is_number(&self, name: &str) -> bool {
        !self.numbers(name).is_nothing()
    }

    /// The codes of a column, made when they are first asked for; `None` for numbers and times.
    pub fn codes(&self, name: &str) -> Option<Codes<'_, 'a>> {
        if self.is_number(name) {
            return None;
        }
        let Some(named) = self.named.get(name) else { return Some(Codes::Missing) };
        let array = named.cell.array;
        if array.null_count() == array.len() {
            return Some(Codes::Missing);
        }
        if is_closed(array) {
            return Some(Codes::Closed(named.closed.get_or_init(|| closed(named.cell, self.keys))));
        }
        Some(match self.numbers_of(name, named) {
            None => Codes::Coded(named.coded.get_or_init(|| self.code(named))),
            Some((numbers, firsts)) => {
                let value = |number: usize| match firsts.get(number) {
                    Some(first) if *first != NO_ROW => named.cell.look(*first as usize),
                    _ => Seen::Missing,
                };
                let coded = || Coded::of_rows(firsts.len(), self.keys, value);
                Codes::Numbered(numbers, named.coded.get_or_init(coded))
            }
        })
    }

    /// Code a column row by row.
    fn code(&self, named: &Named<'a>) -> Coded<'a> {
        match named.own() {
            Some(array) => code(array, self.keys),
            None => Coded::of_rows(self.rows, self.keys, |row| named.cell.look(row)),
        }
    }

    /// The column of numbers that tells the values of another column apart, with the first row of each number.
    fn numbers_of(&self, name: &str, named: &Named<'a>) -> Option<(ByNumber<'a>, &[u32])> {
        let indexes = NUMBERED.iter().filter(|(_, fields)| fields.contains(&name));
        let index = indexes.into_iter().find_map(|(index, _)| self.named.get(index))?;
        let numbers = index.own()?.as_primitive_opt::<UInt32Type>()?;
        // dense, and so not a table of which most would be empty
        let most = if named.cell.by.is_none() { self.rows } else { self.rows.max(named.cell.array.len()) };
        let firsts = index.firsts.get_or_init(|| firsts(ByNumber::of(numbers), self.rows, most));
        (!firsts.is_empty()).then_some((ByNumber::of(numbers), firsts.as_slice()))
    }

    /// The column of numbers that tells the values of all of some columns apart, where every row has one; with the first
    /// row of each number.
    pub(crate) fn numbers_of_all(&self, columns: &[&str]) -> Option<(&'a [u32], &[u32])> {
        let tells = |fields: &[&str]| columns.iter().all(|column| fields.contains(column));
        let (index, _) = NUMBERED.iter().find(|(index, fields)| tells(fields) && self.named.contains_key(index))?;
        let (_, firsts) = self.numbers_of(columns.first()?, self.named.get(columns.first()?)?)?;
        Some((self.index(index)?, firsts))
    }

    /// A column of numbers or times; of nothing where it is something else.
    pub fn numbers(&self, name: &str) -> Numbers<'a> {
        self.named.get(name).and_then(|named| numbers(named.own()?)).unwrap_or(Numbers::NOTHING)
    }

    /// A column.
    pub fn column(&self, name: &str) -> Column<'_, 'a> {
        let Some(named) = self.named.get(name) else { return Column::Missing(self.keys) };
        let cell = named.cell;
        if let Some(numbers) = named.own().and_then(numbers) {
            return Column::Numbers(numbers, self.keys);
        }
        match cell.array.data_type() {
            _ if is_closed(cell.array) => Column::Closed(named.closed.get_or_init(|| closed(cell, self.keys))),
            DataType::Utf8View => {
                let texts = || Texts::new(cell.array.as_string_view(), cell.by, self.keys);
                Column::Texts(named.texts.get_or_init(texts))
            }
            _ => Column::Plain(cell, self.keys),
        }
    }

    /// The value of a field in a row; for a few rows, since it makes no codes.
    pub fn seen(&self, name: &str, row: usize) -> Seen<'a> {
        let Some(named) = self.named.get(name) else { return Seen::Missing };
        match named.own().and_then(numbers) {
            Some(numbers) => numbers.get(row).map_or(Seen::Missing, Seen::Number),
            None => named.cell.look(row),
        }
    }

    /// The value of any column in a row, to keep.
    pub fn keep(&self, name: &str, row: usize) -> Value {
        self.cell(name).map_or(Value::Missing, |cell| cell.keep(row))
    }

    /// The names of all columns, in their order.
    pub fn names(&self) -> impl Iterator<Item = &'a str> {
        self.all.columns().map(|(name, _)| name)
    }
}

/// By number, the first of some rows that has it; nothing where there are numbers from `most` on.
fn firsts(numbers: ByNumber<'_>, rows: usize, most: usize) -> Vec<u32> {
    let mut firsts = Vec::new();
    if let Some(all) = numbers.all().filter(|all| all.len() == rows) {
        let size = all.iter().max().map_or(0, |most| *most as usize + 1);
        if size <= most {
            firsts.resize(size, NO_ROW);
            // from behind, so that the first one stays
            for (row, number) in (0..rows as u32).zip(all).rev() {
                if let Some(first) = firsts.get_mut(*number as usize) {
                    *first = row;
                }
            }
        }
        return firsts;
    }
    for row in 0..rows {
        let Some(number) = numbers.place(row) else { continue };
        if number >= most {
            return Vec::new();
        }
        if firsts.len() <= number {
            firsts.resize(number + 1, NO_ROW);
        }
        if let Some(first @ &mut NO_ROW) = firsts.get_mut(number) {
            *first = row as u32;
        }
    }
    firsts
}

fn is_closed(array: &ArrayRef) -> bool {
    matches!(array.data_type(), DataType::Dictionary(..) | DataType::Boolean)
}

fn code(array: &ArrayRef, keys: Keys) -> Coded<'_> {
    match array.data_type() {
        DataType::Utf8View => {
            let texts = array.as_string_view();
            Coded::of_views(texts.views(), texts.nulls(), keys, |row| Seen::Text(texts.value(row)))
        }
        DataType::BinaryView => {
            let all = array.as_binary_view();
            Coded::of_views(all.views(), all.nulls(), keys, |row| address(all.value(row)))
        }
        _ => Coded::of_rows(array.len(), keys, |row| look(array, row)),
    }
}

/// A dictionary, or a column of yes and no; of nothing where it is something else.
fn closed(cell: Cell<'_>, keys: Keys) -> Closed<'_> {
    let array = cell.array;
    let nothing = Closed::new(Places::U8(&[]), None, cell.by, std::iter::empty(), keys);
    match array.data_type() {
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            let (places, values) = (dictionary.keys(), dictionary.values());
            let places = match places.data_type() {
                DataType::UInt8 => Places::U8(places.as_primitive::<UInt8Type>().values()),
                DataType::UInt16 => Places::U16(places.as_primitive::<UInt16Type>().values()),
                DataType::UInt32 => Places::U32(places.as_primitive::<UInt32Type>().values()),
                _ => return nothing,
            };
            Closed::new(places, array.nulls(), cell.by, (0..values.len()).map(|place| look(values, place)), keys)
        }
        DataType::Boolean => {
            let flags = array.as_boolean();
            let values = [false, true].map(Seen::Bool).into_iter();
            Closed::new(Places::Bits(flags.values()), flags.nulls(), cell.by, values, keys)
        }
        _ => nothing,
    }
}
