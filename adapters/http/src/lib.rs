//! The HTTP API: parse, call one function, answer.
