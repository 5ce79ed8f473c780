//! The judge of egress-monitor: attributed rows in tick order in, what happened to alerts out.
//!
//! Rows are taken one by one, groups keep small sums, and rules are asked at tick ends about the groups
//! that had something. So judging is a function of the starting state, the rules and the rows: how rows
//! are cut into batches cannot make a difference.

#![deny(unsafe_code)]

pub mod alert;
pub mod baseline;
mod batch;
pub mod cell;
pub mod column;
pub mod condition;
pub mod course;
mod derived;
pub mod direction;
pub mod distinct;
pub mod engine;
pub mod evaluate;
pub mod frame;
pub mod group;
pub mod hash;
pub mod intern;
pub mod kinds;
mod lanes;
pub mod learnt;
pub mod life;
pub mod lists;
pub mod matcher;
pub mod novelty;
pub mod numbers;
pub mod parts;
mod pieces;
mod reuse;
pub mod rhythm;
pub mod room;
pub mod row;
pub mod row_batch;
pub mod row_groups;
pub mod rule;
pub mod sample;
pub mod slots;
pub mod spec;
pub mod state;
mod step_back;
mod table;
mod take;
mod tally;
mod told;
pub mod turned_away;
pub mod value;
pub mod window;
pub mod wire;
