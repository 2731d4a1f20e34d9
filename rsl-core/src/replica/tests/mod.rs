//! Tests of the parts of a replica that work together.

mod execution;
