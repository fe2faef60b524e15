//! Who may do what.

mod callers;
mod matrix;
