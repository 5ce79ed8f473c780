//! What must not go out in clear, found in bytes: login data, e-mail addresses, payment cards, bank accounts, keys.
//!
//! Counted by kind, never kept.

use crate::closed_set::closed_set;

closed_set! {
    /// What is looked for.
    Finding {
        /// A password or token in a message of a protocol that carries such.
        Credential = "credentials",
        /// An e-mail address.
        Email = "emails",
        /// A payment card's number.
        Card = "cards",
        /// A bank account's number.
        Iban = "ibans",
        /// An API key, a private key or a JSON Web Token.
        Secret = "secrets",
    }
}

/// How many of each [`Finding`].
pub type Findings = [u32; Finding::COUNT];
