//! Programs that the conformance and interoperability runs drive.
