//! What is done about loss.

mod loss;
mod proofs;
mod rack_tlp;
mod review;
mod rto;
mod sack;
mod traces;
