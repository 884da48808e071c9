//! Tests of single steps; whole flows are in tests/congestion.rs.
