//! What can go wrong with a host process.

use std::io;
use std::process::ExitStatus;

/// A failure to start, reach or understand a host. The text says which replica.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// The command template cannot be used.
    #[error("host template: {0}")]
    Template(String),
    /// A member is not written as `id@ip:port[:learnport][/hostname]`.
    #[error("member {text}: {why}")]
    Member {
        /// What was given.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The program could not be started.
    #[error("replica {id}: cannot start {program}: {source}")]
    Start {
        /// The replica.
        id: String,
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// The process ended although nobody asked it to.
    #[error("replica {id} ended with {status}; its last output: {output}")]
    Ended {
        /// The replica.
        id: String,
        /// How it ended.
        status: ExitStatus,
        /// Its last lines.
        output: String,
    },
    /// `READY` did not come in time.
    #[error("replica {id} printed no READY within {seconds} s; its last output: {output}")]
    NotReady {
        /// The replica.
        id: String,
        /// How long it had.
        seconds: u64,
        /// Its last lines.
        output: String,
    },
    /// The control connection failed or took too long.
    #[error("replica {id}: control connection: {source}")]
    Control {
        /// The replica.
        id: String,
        /// Why.
        source: io::Error,
    },
    /// The answer on the control connection is not what the contract says.
    #[error("replica {id}: answer to `{command}`: {why}")]
    Answer {
        /// The replica.
        id: String,
        /// The first words of the command.
        command: String,
        /// What is wrong with the answer.
        why: String,
    },
    /// No pair of free loopback ports was found.
    #[error("no free loopback ports: {0}")]
    Ports(String),
    /// A file of the driver cannot be written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
}
