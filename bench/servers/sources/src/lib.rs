//! Empty: this package is never built.
