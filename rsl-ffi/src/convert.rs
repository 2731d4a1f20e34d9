//! C values to values of the library, and back.

use std::ffi::c_char;
use std::net::Ipv4Addr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use rsl_core::replica::{ByteSize, Config, ConfigError, PeerHealth, Span, Stats};
use rsl_core::types::{MemberId, MemberSet, Node, ProtocolVersion};

use crate::codes::{RSL_E_TOO_LARGE, RSL_INVALID_PARAMETER};
use crate::guard::{Fail, bytes, items};
use crate::types::{
    RSL_CFG_CANCEL_DISK_IO, RSL_CFG_GLOBAL_ACCEPT_FLAG, RSL_CFG_MEMBER_ID_IN_WORKING_DIR,
    RSL_CFG_NO_REMOTE_BOOTSTRAP, RSL_CFG_PROMOTE_WHILE_CATCHING_UP, RSL_HOST_NAME_SIZE, RSL_MEMBER_ID_SIZE,
    rsl_config, rsl_health, rsl_member_view, rsl_node, rsl_stats,
};

/// The bytes before the NUL of an array; `None` when there is no NUL.
fn until_nul<const N: usize>(array: &[c_char; N]) -> Option<Vec<u8>> {
    let end = array.iter().position(|byte| *byte == 0)?;
    Some(array[..end].iter().map(|byte| byte.to_ne_bytes()[0]).collect())
}

/// Text into an array with a NUL; what is too long is cut.
pub(crate) fn into_array<const N: usize>(text: &[u8]) -> [c_char; N] {
    let mut array = [0; N];
    for (to, from) in array[..N - 1].iter_mut().zip(text) {
        *to = c_char::from_ne_bytes([*from]);
    }
    array
}

/// A member id in an array [HARD-505].
pub(crate) fn member_id(array: &[c_char; RSL_MEMBER_ID_SIZE]) -> Result<MemberId, Fail> {
    let id = until_nul(array).ok_or_else(|| Fail::argument("the member id does not end"))?;
    MemberId::from_bytes(&id).map_err(|error| Fail::argument(error.to_string()))
}

pub(crate) fn node(node: &rsl_node) -> Result<Node, Fail> {
    let host_name = until_nul(&node.host_name).ok_or_else(|| Fail::argument("the host name does not end"))?;
    Ok(Node {
        id: member_id(&node.member_id)?,
        ip: Ipv4Addr::from(node.ip.to_ne_bytes()),
        rsl_port: node.rsl_port,
        learn_port: node.learn_port,
        app_port: node.app_port,
        host_name: host_name.into(),
    })
}

pub(crate) fn c_node(node: &Node) -> rsl_node {
    rsl_node {
        member_id: into_array(node.id.as_bytes()),
        host_name: into_array::<RSL_HOST_NAME_SIZE>(&node.host_name),
        ip: u32::from_ne_bytes(node.ip.octets()),
        rsl_port: node.rsl_port,
        learn_port: node.learn_port,
        app_port: node.app_port,
        pad0: 0,
        priority: 0,
    }
}

/// A node that says nothing.
pub(crate) fn unknown_node() -> rsl_node {
    c_node(&Node {
        id: MemberId::EMPTY,
        ip: Ipv4Addr::UNSPECIFIED,
        rsl_port: 0,
        learn_port: 0,
        app_port: 0,
        host_name: Bytes::new(),
    })
}

/// A member set. Whether it can be used is the library's to say.
///
/// # Safety
/// The pointers of `view` are NULL or valid as its counts say.
pub(crate) unsafe fn members(view: &rsl_member_view) -> Result<MemberSet, Fail> {
    // SAFETY: as the caller promises.
    let nodes = unsafe { items(view.nodes, view.node_count) }.map_err(|fail| fail.about("nodes"))?;
    // SAFETY: as the caller promises.
    let cookie =
        unsafe { bytes(view.cookie, view.cookie_len as usize) }.map_err(|fail| fail.about("cookie"))?;
    let nodes = nodes.iter().map(node).collect::<Result<_, _>>()?;
    Ok(MemberSet { nodes, cookie: Bytes::copy_from_slice(cookie) })
}

/// Refuses a set that no version can use, also where no machine runs [API-108].
pub(crate) fn usable(members: MemberSet) -> Result<MemberSet, Fail> {
    match members.verify(ProtocolVersion::V6) {
        Ok(()) => Ok(members),
        Err(error) => Err(Fail::new(RSL_INVALID_PARAMETER, error.to_string())),
    }
}

pub(crate) fn version(number: i32) -> Result<ProtocolVersion, Fail> {
    u16::try_from(number)
        .ok()
        .and_then(ProtocolVersion::from_number)
        .ok_or_else(|| Fail::argument(format!("protocol version {number} is unknown")))
}

/// Seconds; a negative number becomes one that the library refuses with the name of the parameter.
fn seconds(count: i64) -> Duration {
    u64::try_from(count).map_or(Duration::MAX, Duration::from_secs)
}

fn mib(count: i64) -> ByteSize {
    u64::try_from(count).map_or(ByteSize::bytes(u64::MAX), ByteSize::mib)
}

/// The configuration, checked.
pub(crate) fn config(config: &rsl_config, working_dir: &str) -> Result<Config, ConfigError> {
    let has = |flag| config.flags & flag != 0;
    let short = |count: u32| seconds(i64::from(count));
    let size = |count: u32| mib(i64::from(count));
    Config::builder(working_dir)
        .new_leader_grace_period(seconds(config.new_leader_grace_period_sec))
        .heartbeat_interval(seconds(config.heart_beat_interval_sec))
        .election_delay(seconds(config.election_delay_sec))
        .max_election_randomize(seconds(config.max_election_randomize_sec))
        .initialize_retry_interval(seconds(config.initialize_retry_interval_sec))
        .prepare_retry_interval(seconds(config.prepare_retry_interval_sec))
        .vote_retry_interval(seconds(config.vote_retry_interval_sec))
        .vote_max_outstanding_interval(seconds(config.vote_max_outstanding_interval_sec))
        .checkpoint_query_interval(seconds(config.cp_query_retry_interval_sec))
        .max_checkpoint_interval(seconds(config.max_checkpoint_interval_sec))
        .join_messages_interval(seconds(config.join_messages_interval_sec))
        .max_log_len(mib(config.max_log_len_mb))
        .send_timeout(short(config.send_timeout_sec))
        .receive_timeout(short(config.receive_timeout_sec))
        .max_cache_len(size(config.max_cache_length_mb))
        .max_votes_in_log(config.max_votes_in_log)
        .max_outstanding_per_replica(config.max_outstanding_per_replica)
        .max_checkpoints(config.max_checkpoints)
        .max_checkpoint_size(ByteSize::gib(u64::from(config.max_checkpoint_size_gb)))
        .min_checkpoint_space_file_count(config.min_checkpoint_space_file_count)
        .max_logs(config.max_logs)
        .log_len_randomize_percent(config.log_len_randomize)
        .election_randomize_percent(config.election_randomize)
        .fast_read_threshold(config.fast_read_seq_threshold)
        .execution_queue_size(size(config.in_memory_execution_queue_size_mb))
        .reader_threads(config.num_reader_threads)
        .max_message_size(size(config.max_message_size_mb))
        .max_message_alert_size(size(config.max_message_alert_size_mb))
        .promote_while_catching_up(has(RSL_CFG_PROMOTE_WHILE_CATCHING_UP))
        .member_id_in_working_dir(has(RSL_CFG_MEMBER_ID_IN_WORKING_DIR))
        .cancel_disk_io(has(RSL_CFG_CANCEL_DISK_IO))
        .use_global_accept_flag(has(RSL_CFG_GLOBAL_ACCEPT_FLAG))
        .remote_bootstrap(!has(RSL_CFG_NO_REMOTE_BOOTSTRAP))
        .build()
}

/// The legacy defaults [API-23].
pub(crate) const fn default_config(struct_size: u32) -> rsl_config {
    rsl_config {
        struct_size,
        flags: RSL_CFG_MEMBER_ID_IN_WORKING_DIR | RSL_CFG_CANCEL_DISK_IO,
        new_leader_grace_period_sec: 15,
        heart_beat_interval_sec: 2,
        election_delay_sec: 10,
        max_election_randomize_sec: 1,
        initialize_retry_interval_sec: 1,
        prepare_retry_interval_sec: 1,
        vote_retry_interval_sec: 3,
        vote_max_outstanding_interval_sec: 480,
        cp_query_retry_interval_sec: 5,
        max_checkpoint_interval_sec: 0,
        join_messages_interval_sec: 1,
        max_log_len_mb: 100,
        send_timeout_sec: 5,
        receive_timeout_sec: 5,
        max_cache_length_mb: 50,
        max_votes_in_log: 10_000,
        max_outstanding_per_replica: 10,
        max_checkpoints: 4,
        max_checkpoint_size_gb: 0,
        min_checkpoint_space_file_count: 0,
        max_logs: 10,
        log_len_randomize: 20,
        election_randomize: 10,
        fast_read_seq_threshold: 0,
        in_memory_execution_queue_size_mb: 0,
        num_reader_threads: 1,
        max_message_size_mb: 100,
        max_message_alert_size_mb: 0,
        working_dir: std::ptr::null(),
        request_queue_limit_mb: 0,
        pad0: 0,
    }
}

fn unix_micros(time: Option<SystemTime>) -> i64 {
    let since = time.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

pub(crate) fn health(health: &PeerHealth) -> rsl_health {
    rsl_health {
        struct_size: 0,
        is_primary: health.is_primary.into(),
        connected: health.connected.into(),
        needs_resolve: health.needs_resolve.into(),
        pad0: 0,
        member_id: into_array(health.member.as_bytes()),
        num_outstanding: i32::try_from(health.outstanding).unwrap_or(i32::MAX),
        consecutive_failures: health.consecutive_failures,
        failed_at_us: unix_micros(health.failed_at),
        last_request_sent_at_us: unix_micros(health.last_request_sent_at),
        last_request_voted_at_us: unix_micros(health.last_request_voted_at),
        last_request_voted_decree: health.last_request_voted_decree.0,
        last_vote_payload: health.last_vote_payload,
    }
}

pub(crate) fn stats(stats: &Stats) -> rsl_stats {
    let long = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let short = |time: Duration| u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
    let Span { count: log_reads, bytes: log_read_bytes, total: read_time, max: read_max } = stats.log_reads;
    let Span { count: log_writes, bytes: log_write_bytes, total: write_time, max: write_max } =
        stats.log_writes;
    rsl_stats {
        struct_size: 0,
        pad0: 0,
        capture_time_us: long(stats.capture_time),
        decrees_executed: stats.decrees_executed,
        log_reads,
        log_read_bytes,
        log_read_us: long(read_time),
        log_writes,
        log_write_bytes,
        log_write_us: long(write_time),
        voting_time_us: long(stats.voting.total),
        log_read_max_us: short(read_max),
        log_write_max_us: short(write_max),
        voting_time_max_us: short(stats.voting.max),
        pad1: 0,
    }
}

/// A request; more than 4 GiB cannot be said in any message [HARD-560].
pub(crate) fn request(request: &[u8]) -> Result<Bytes, Fail> {
    if u32::try_from(request.len()).is_err() {
        return Err(Fail::new(RSL_E_TOO_LARGE, "the request is longer than 4 GiB"));
    }
    Ok(Bytes::copy_from_slice(request))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [API-23] [CABI-9] The defaults here are those of the library, and a round trip keeps a node.
    #[test]
    fn defaults_and_nodes() {
        let ours = config(&default_config(0), "d").unwrap();
        assert_eq!(ours, Config::builder("d").build().unwrap());
        let mut wrong = default_config(0);
        wrong.election_delay_sec = -1;
        assert!(config(&wrong, "d").unwrap_err().to_string().contains("m_electionDelaySec"));
        wrong = default_config(0);
        wrong.max_log_len_mb = -1;
        assert!(config(&wrong, "d").unwrap_err().to_string().contains("m_maxLogLenMB"));
        let one = Node {
            id: "alpha".parse().unwrap(),
            ip: Ipv4Addr::new(10, 1, 2, 3),
            rsl_port: 20000,
            learn_port: 7,
            app_port: 9,
            host_name: Bytes::from_static(b"host"),
        };
        let c = c_node(&one);
        assert_eq!(c.ip.to_ne_bytes(), [10, 1, 2, 3], "network byte order");
        assert_eq!(node(&c).unwrap(), one);
    }

    /// [HARD-505] [CABI-5] Ids and host names have to end.
    #[test]
    fn strings_in_arrays_have_to_end() {
        let mut one = unknown_node();
        one.member_id = [65; RSL_MEMBER_ID_SIZE];
        assert!(node(&one).is_err());
        one = unknown_node();
        one.host_name = [65; RSL_HOST_NAME_SIZE];
        assert!(node(&one).is_err());
    }
}
