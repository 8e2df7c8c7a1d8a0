//! wirelet
