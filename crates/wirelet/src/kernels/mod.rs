//! The only folder where `unsafe` may stand. Each kernel has a safe twin beside it and a test that compares the
//! two.

#![allow(unsafe_code)]

mod text;

pub(crate) use text::checked_str;
