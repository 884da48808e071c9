//! What a capture says of each packet beside its octets: what became of it, or why it left, and by which rule.
//!
//! | file | what |
//! |---|---|
//! | [`annotate`] | the words: each drop, each thing that a packet does, each reason to send, with its rule |

pub mod annotate;
