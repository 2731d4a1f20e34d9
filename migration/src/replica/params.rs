//! `--<configParam> N`: every field of the legacy RSLConfigParam without its `m_`, as the host contract names them.

use std::time::Duration;

use clap::{Arg, ArgMatches, Command, FromArgMatches};
use rsl_core::replica::{ByteSize, ConfigBuilder};

/// One parameter: its name on the command line, the test default, and how it is set.
struct Param {
    name: &'static str,
    /// What tests run with; `None` = the library's default.
    test_default: Option<i64>,
    set: fn(ConfigBuilder, i64) -> ConfigBuilder,
}

const fn param(name: &'static str, test_default: i64, set: fn(ConfigBuilder, i64) -> ConfigBuilder) -> Param {
    Param { name, test_default: Some(test_default), set }
}

const fn library_default(name: &'static str, set: fn(ConfigBuilder, i64) -> ConfigBuilder) -> Param {
    Param { name, test_default: None, set }
}

/// A value that the type cannot hold becomes one that the library refuses.
fn seconds(count: i64) -> Duration {
    u64::try_from(count).map_or(Duration::MAX, Duration::from_secs)
}

fn count(value: i64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn mib(value: i64) -> ByteSize {
    u64::try_from(value).map_or(ByteSize::bytes(u64::MAX), ByteSize::mib)
}

fn gib(value: i64) -> ByteSize {
    u64::try_from(value).map_or(ByteSize::bytes(u64::MAX), ByteSize::gib)
}

const PARAMS: [Param; 31] = [
    param("newLeaderGracePeriodSec", 3, |to, value| to.new_leader_grace_period(seconds(value))),
    param("heartBeatIntervalSec", 1, |to, value| to.heartbeat_interval(seconds(value))),
    param("electionDelaySec", 4, |to, value| to.election_delay(seconds(value))),
    param("maxElectionRandomizeSec", 1, |to, value| to.max_election_randomize(seconds(value))),
    param("initializeRetryIntervalSec", 1, |to, value| to.initialize_retry_interval(seconds(value))),
    param("prepareRetryIntervalSec", 1, |to, value| to.prepare_retry_interval(seconds(value))),
    param("voteRetryIntervalSec", 1, |to, value| to.vote_retry_interval(seconds(value))),
    param("voteMaxOutstandingIntervalSec", 300, |to, value| to.vote_max_outstanding_interval(seconds(value))),
    param("cPQueryRetryIntervalSec", 1, |to, value| to.checkpoint_query_interval(seconds(value))),
    param("maxCheckpointIntervalSec", 0, |to, value| to.max_checkpoint_interval(seconds(value))),
    param("joinMessagesIntervalSec", 1, |to, value| to.join_messages_interval(seconds(value))),
    param("maxLogLenMB", 1, |to, value| to.max_log_len(mib(value))),
    param("sendTimeoutSec", 5, |to, value| to.send_timeout(seconds(value))),
    param("receiveTimeoutSec", 5, |to, value| to.receive_timeout(seconds(value))),
    param("maxCacheLengthMB", 50, |to, value| to.max_cache_len(mib(value))),
    param("maxVotesInLog", 10_000, |to, value| to.max_votes_in_log(count(value))),
    param("maxOutstandingPerReplica", 10, |to, value| to.max_outstanding_per_replica(count(value))),
    param("maxCheckpoints", 4, |to, value| to.max_checkpoints(count(value))),
    library_default("maxCheckpointSizeGB", |to, value| to.max_checkpoint_size(gib(value))),
    library_default("minCheckpointSpaceFileCount", |to, value| {
        to.min_checkpoint_space_file_count(count(value))
    }),
    param("maxLogs", 10, |to, value| to.max_logs(count(value))),
    param("logLenRandomize", 0, |to, value| to.log_len_randomize_percent(count(value))),
    param("electionRandomize", 50, |to, value| to.election_randomize_percent(count(value))),
    param("fastReadSeqThreshold", 5, |to, value| to.fast_read_threshold(count(value))),
    param("inMemoryExecutionQueueSizeMB", 10, |to, value| to.execution_queue_size(mib(value))),
    param("numReaderThreads", 2, |to, value| to.reader_threads(count(value))),
    param("maxMessageSizeMB", 100, |to, value| to.max_message_size(mib(value))),
    library_default("maxMessageAlertSizeMB", |to, value| to.max_message_alert_size(mib(value))),
    library_default("allowPrimaryPromotionWhileCatchingUp", |to, value| {
        to.promote_while_catching_up(value != 0)
    }),
    param("addMemberIdToWorkingDir", 0, |to, value| to.member_id_in_working_dir(value != 0)),
    library_default("cancelDiskIo", |to, value| to.cancel_disk_io(value != 0)),
];

/// Not in the table, which is full of numbers of one kind.
const GLOBAL_FLAG: &str = "useGlobalAcceptMessagesFlag";

/// The parameters given on the command line.
#[derive(Clone, Debug, Default)]
pub(super) struct ConfigArgs(Vec<(&'static str, i64)>);

impl ConfigArgs {
    /// Sets the test defaults, unless the library's are asked for, then what was given.
    pub(super) fn apply(&self, original_defaults: bool, mut builder: ConfigBuilder) -> ConfigBuilder {
        for param in &PARAMS {
            let default = param.test_default.filter(|_| !original_defaults);
            if let Some(value) = self.get(param.name).or(default) {
                builder = (param.set)(builder, value);
            }
        }
        builder.use_global_accept_flag(self.get(GLOBAL_FLAG).is_some_and(|value| value != 0))
    }

    fn get(&self, name: &str) -> Option<i64> {
        self.0.iter().find(|(given, _)| *given == name).map(|(_, value)| *value)
    }

    fn names() -> impl Iterator<Item = &'static str> {
        PARAMS.iter().map(|param| param.name).chain([GLOBAL_FLAG])
    }
}

impl FromArgMatches for ConfigArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<ConfigArgs, clap::Error> {
        let given = |name| matches.get_one::<i64>(name).map(|value| (name, *value));
        Ok(ConfigArgs(ConfigArgs::names().filter_map(given).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = ConfigArgs::from_arg_matches(matches)?;
        Ok(())
    }
}

impl clap::Args for ConfigArgs {
    fn augment_args(command: Command) -> Command {
        ConfigArgs::names().fold(command, |command, name| {
            let value = clap::value_parser!(i64);
            let arg =
                Arg::new(name).long(name).value_name("N").value_parser(value).allow_negative_numbers(true);
            command.arg(arg.help_heading("Configuration parameters").hide_short_help(true))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        ConfigArgs::augment_args(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsl_core::replica::Config;

    fn parse(arguments: &[&str]) -> Result<ConfigArgs, clap::Error> {
        let command = <ConfigArgs as clap::Args>::augment_args(Command::new("host"));
        let matches = command.try_get_matches_from([&["host"], arguments].concat())?;
        ConfigArgs::from_arg_matches(&matches)
    }

    /// [API-23] Test defaults, the library's, and given values; what the type cannot hold is refused by the library.
    #[test]
    fn parameters_reach_the_configuration() {
        let config = |arguments: &[&str], original| {
            parse(arguments).unwrap().apply(original, Config::builder("d")).build()
        };
        let test = config(&[], false).unwrap();
        assert_eq!((test.election_delay(), test.max_log_len()), (seconds(4), mib(1)));
        assert_eq!((test.reader_threads(), test.fast_read_threshold()), (2, 5));
        let original = config(&["--maxLogs", "3"], true).unwrap();
        assert_eq!((original.election_delay(), original.max_logs()), (seconds(10), 3));
        assert!(config(&["--electionDelaySec", "-1"], false).is_err());
        assert!(config(&["--maxLogs", "4294967296"], false).is_err());
        assert!(parse(&["--maxLogs", "x"]).is_err());
        assert!(parse(&["--m_maxLogs", "1"]).is_err());
    }
}
