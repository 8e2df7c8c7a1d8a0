//! wirelet-proto
