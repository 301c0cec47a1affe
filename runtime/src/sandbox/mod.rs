//! A run: a program in a machine, under limits, from its first instruction to its end.

pub(crate) mod run;
