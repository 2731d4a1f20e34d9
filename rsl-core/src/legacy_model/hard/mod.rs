//! What HARD clauses say of legacy and what they ask for: each is shown by the model and not by the engine.

mod restart;
mod running;
