//! Tests of the message codec against the clauses and the worked examples.
