//! One value of a row: owned where it is kept, borrowed where it is only looked at.

use std::sync::Arc;

use crate::hash::{self, Keys};

/// A value that is kept. The order decides between groups that are otherwise equal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// No value.
    Missing,
    /// True or false.
    Bool(bool),
    /// Any whole number.
    Number(u64),
    /// Nanoseconds since 1970.
    Time(i64),
    /// 16 bytes, IPv4 mapped.
    Address([u8; 16]),
    /// Text, also of closed sets.
    Text(Arc<str>),
}

/// A value that is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen<'a> {
    /// No value.
    Missing,
    /// True or false.
    Bool(bool),
    /// Any whole number.
    Number(u64),
    /// 16 bytes, IPv4 mapped.
    Address([u8; 16]),
    /// Text, also of closed sets.
    Text(&'a str),
}

impl<'a> Seen<'a> {
    /// The text, where it is one.
    pub fn text(self) -> Option<&'a str> {
        match self {
            Seen::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The same, to keep.
    pub fn to_value(self) -> Value {
        match self {
            Seen::Missing => Value::Missing,
            Seen::Bool(flag) => Value::Bool(flag),
            Seen::Number(number) => Value::Number(number),
            Seen::Address(address) => Value::Address(address),
            Seen::Text(text) => Value::Text(text.into()),
        }
    }

    /// The number that stands for it.
    pub fn hash(self, keys: Keys) -> u64 {
        match self {
            Seen::Missing => hash::number(keys, 0, 0),
            Seen::Bool(flag) => hash::number(keys, 1, u64::from(flag)),
            Seen::Number(number) => hash::number(keys, 2, number),
            Seen::Address(address) => hash::bytes(keys, 3, &address),
            Seen::Text(text) => hash::bytes(keys, hash::TEXT, text.as_bytes()),
        }
    }
}

impl Value {
    /// The same, to look at; a time is a number.
    pub fn seen(&self) -> Seen<'_> {
        match self {
            Value::Missing => Seen::Missing,
            Value::Bool(flag) => Seen::Bool(*flag),
            Value::Number(number) => Seen::Number(*number),
            Value::Time(time) => Seen::Number((*time).unsigned_abs()),
            Value::Address(address) => Seen::Address(*address),
            Value::Text(text) => Seen::Text(text),
        }
    }
}
