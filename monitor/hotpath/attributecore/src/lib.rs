//! What attribution does once for each address: walk the search tree of a MaxMind-format database.
//!
//! The format is "MaxMind DB File Format Specification" 2.0. Only the tree is walked here; what its records
//! say is decoded by the libraries that the format's authors wrote, once for each record.

#![deny(unsafe_code)]

pub mod bounded;
pub mod dns;
mod section;
mod tree;

pub use section::Fault;
pub use tree::AddressTree;
