//! Tests of the parts of a replica that work together, and of whole replicas.

mod contract;
mod exclusion;
mod execution;
mod failing_log;
mod lifecycle;
mod replay;
mod start;
mod three;
