//! The structs that cross the boundary. Layouts are frozen: fields are only ever added at the end of those that start
//! with `struct_size`.

use std::ffi::{c_char, c_void};

use crate::machine::rsl_machine;

/// Bytes of a member id, with its NUL.
pub const RSL_MEMBER_ID_SIZE: usize = 64;
/// Bytes of a host name, with its NUL.
pub const RSL_HOST_NAME_SIZE: usize = 256;
/// Most bytes of the cookie of a member set.
pub const RSL_MAX_MEMBER_SET_COOKIE: u32 = 8192;

/// A member: 336 bytes, the layout of the legacy RSLNode. Never grows.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rsl_node {
    /// NUL-terminated, at most 63 bytes.
    pub member_id: [c_char; RSL_MEMBER_ID_SIZE],
    /// NUL-terminated; looked up when `ip` is 0.
    pub host_name: [c_char; RSL_HOST_NAME_SIZE],
    /// IPv4 address in network byte order; 0 = by host name.
    pub ip: u32,
    /// Packet port, host byte order.
    pub rsl_port: u16,
    /// Learn port; 0 = rsl_port + 1.
    pub learn_port: u16,
    /// Not used, but kept in files up to protocol version 3.
    pub app_port: u16,
    /// 0.
    pub pad0: u16,
    /// Not used.
    pub priority: u32,
}

/// A member set as input, borrowed for the call.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rsl_member_view {
    /// sizeof(rsl_member_view).
    pub struct_size: u32,
    /// Bytes of the cookie, at most RSL_MAX_MEMBER_SET_COOKIE.
    pub cookie_len: u32,
    /// The members; NULL when there are none.
    pub nodes: *const rsl_node,
    /// How many.
    pub node_count: usize,
    /// Opaque bytes that travel with the set; NULL when there are none.
    pub cookie: *const c_void,
}

/// Stand for election although passed decrees wait for execution.
pub const RSL_CFG_PROMOTE_WHILE_CATCHING_UP: u32 = 0x1;
/// Keep the data in a sub-directory of working_dir named like the member id.
pub const RSL_CFG_MEMBER_ID_IN_WORKING_DIR: u32 = 0x2;
/// Has no effect: reads are not overlapped.
pub const RSL_CFG_CANCEL_DISK_IO: u32 = 0x4;
/// Use the flag of rsl_machine_set_accept_messages instead of the callback accept_message.
pub const RSL_CFG_GLOBAL_ACCEPT_FLAG: u32 = 0x8;
/// Do not let members of a proposed set bootstrap this replica by message.
pub const RSL_CFG_NO_REMOTE_BOOTSTRAP: u32 = 0x10;
/// After a copied checkpoint, or when it gave up being primary, the machine goes on in place instead of ending for a restart
/// of the process: requests are aborted, notify_status(0) if it was primary, no shut_down, then load_state. Since ABI 1.1.
pub const RSL_CFG_RELOAD_IN_PLACE: u32 = 0x20;
/// Every message is answered; accept_message is not called, which saves two changes of threads per vote. Since ABI 1.1.
pub const RSL_CFG_ACCEPT_ALL_MESSAGES: u32 = 0x40;

/// All of them.
pub(crate) const RSL_CFG_ALL: u32 = 0x7f;

/// The configuration. Ranges and defaults are those of the legacy RSLConfigParam; `rsl_config_defaults` fills them in.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rsl_config {
    /// sizeof(rsl_config).
    pub struct_size: u32,
    /// RSL_CFG_*.
    pub flags: u32,
    /// After another member's ballot was accepted, no own election for this long. Seconds, 1..3600.
    pub new_leader_grace_period_sec: i64,
    /// Longest pause between the decrees of an idle primary. Seconds, 1..3600.
    pub heart_beat_interval_sec: i64,
    /// Silence after which a secondary stands for election. Seconds, 1..3600.
    pub election_delay_sec: i64,
    /// Bound of the election delay's randomization. Seconds, 0..2^31-1.
    pub max_election_randomize_sec: i64,
    /// Period of the status queries while initializing. Seconds, 1..3600.
    pub initialize_retry_interval_sec: i64,
    /// Resending a Prepare to disconnected peers. Seconds, 1..3600.
    pub prepare_retry_interval_sec: i64,
    /// Resending a vote to disconnected peers. Seconds, 1..3600.
    pub vote_retry_interval_sec: i64,
    /// A vote without majority for this long makes the primary step down. Seconds, 1..3600.
    pub vote_max_outstanding_interval_sec: i64,
    /// Period of a primary's search for a checkpoint to copy. Seconds, 1..3600.
    pub cp_query_retry_interval_sec: i64,
    /// Time between checkpoints; 0 = by log size only. Seconds.
    pub max_checkpoint_interval_sec: i64,
    /// Repetition of Join messages to a new configuration. Seconds, 1..3600.
    pub join_messages_interval_sec: i64,
    /// Log length at which a new log file and a checkpoint are due. MiB, 1..102400.
    pub max_log_len_mb: i64,
    /// A packet must be written within this time. Seconds, 1..3600.
    pub send_timeout_sec: u32,
    /// Resending a vote to connected peers. Seconds, 1..3600.
    pub receive_timeout_sec: u32,
    /// Votes cached while learning. MiB, 1..1024.
    pub max_cache_length_mb: u32,
    /// Checked, otherwise unused. 1..2^31-1.
    pub max_votes_in_log: u32,
    /// Packets waiting for one peer before broadcasts skip it. 1..2^31-1.
    pub max_outstanding_per_replica: u32,
    /// Checkpoint files that are kept. 1..2^31-1.
    pub max_checkpoints: u32,
    /// A larger checkpoint raises an alert; 0 = off. GiB.
    pub max_checkpoint_size_gb: u32,
    /// Free space below this many checkpoints raises an alert; 0 = off.
    pub min_checkpoint_space_file_count: u32,
    /// Log files that are kept. 1..2^31-1.
    pub max_logs: u32,
    /// Randomization of the log length. Percent, 0..100.
    pub log_len_randomize: u32,
    /// Randomization of the election delay. Percent, 0..100.
    pub election_randomize: u32,
    /// How many decrees ahead of the executed one a fast read may wait for.
    pub fast_read_seq_threshold: u32,
    /// Passed votes kept in memory until they are executed; 0 = max_cache_length_mb. MiB.
    pub in_memory_execution_queue_size_mb: u32,
    /// Threads for fast reads; 0 = one per logical processor. 0..100.
    pub num_reader_threads: u32,
    /// Largest packet; the same on every member. MiB, 1..2^31-1.
    pub max_message_size_mb: u32,
    /// A larger packet raises an alert; 0 = off. MiB.
    pub max_message_alert_size_mb: u32,
    /// The working directory; its parent has to exist.
    pub working_dir: *const c_char,
    /// Bytes of requests that may wait; 0 = 512. MiB. Not a legacy parameter.
    pub request_queue_limit_mb: u32,
    /// 0.
    pub pad0: u32,
}

/// What a primary knows of one member.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rsl_health {
    /// sizeof(rsl_health).
    pub struct_size: u32,
    /// 1 for the machine that was asked, which comes last.
    pub is_primary: u8,
    /// 1 = connected as far as known.
    pub connected: u8,
    /// 1 = the address is not known.
    pub needs_resolve: u8,
    /// 0.
    pub pad0: u8,
    /// The member.
    pub member_id: [c_char; RSL_MEMBER_ID_SIZE],
    /// Packets submitted and not finished.
    pub num_outstanding: i32,
    /// Failed sends since the last one that worked.
    pub consecutive_failures: u32,
    /// When it was marked failed. Microseconds since 1970, UTC; 0 = never.
    pub failed_at_us: i64,
    /// When the last send completed, well or not.
    pub last_request_sent_at_us: i64,
    /// When its last vote answer arrived.
    pub last_request_voted_at_us: i64,
    /// The highest decree it accepted.
    pub last_request_voted_decree: u64,
    /// Payload of its last vote answer.
    pub last_vote_payload: u64,
}

/// Increments since the previous call. Times in microseconds.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rsl_stats {
    /// sizeof(rsl_stats).
    pub struct_size: u32,
    /// 0.
    pub pad0: u32,
    /// Length of the period.
    pub capture_time_us: u64,
    /// Advance of the current sequence number.
    pub decrees_executed: u64,
    /// Votes read back, and files served on the learn port.
    pub log_reads: u64,
    /// Their bytes.
    pub log_read_bytes: u64,
    /// Their time.
    pub log_read_us: u64,
    /// Votes appended to the log.
    pub log_writes: u64,
    /// Their bytes, rounded up to pages.
    pub log_write_bytes: u64,
    /// Their time.
    pub log_write_us: u64,
    /// From proposing votes to their majority, altogether.
    pub voting_time_us: u64,
    /// The longest read.
    pub log_read_max_us: u32,
    /// The longest write.
    pub log_write_max_us: u32,
    /// The longest time to a majority.
    pub voting_time_max_us: u32,
    /// 0.
    pub pad1: u32,
}

/// The state of a machine's consensus, for operators and tests. Not part of the legacy API.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rsl_engine_status {
    /// sizeof(rsl_engine_status).
    pub struct_size: u32,
    /// 0 inactive, 1 primary, 2 secondary, 3 preparing, 4 initializing.
    pub role: i32,
    /// The protocol version it speaks now.
    pub version: i32,
    /// 1 while a checkpoint is being saved.
    pub is_saving: i32,
    /// Number of the configuration that votes.
    pub configuration: u32,
    /// Number of the configuration in the executed state.
    pub state_configuration: u32,
    /// Highest defunct configuration number.
    pub defunct: u32,
    /// Configuration number of the newest accepted vote.
    pub accepted_configuration: u32,
    /// Decree of the newest accepted vote.
    pub accepted_decree: u64,
    /// Number of its ballot.
    pub accepted_ballot: u32,
    /// Number of the highest ballot promised.
    pub promised_ballot: u32,
    /// Owner of the accepted ballot.
    pub accepted_member: [c_char; RSL_MEMBER_ID_SIZE],
    /// Owner of the promised ballot.
    pub promised_member: [c_char; RSL_MEMBER_ID_SIZE],
    /// The member named in the newest accepted ballot, if it is known; else empty.
    pub current_primary: [c_char; RSL_MEMBER_ID_SIZE],
    /// Decree of the newest checkpoint; 0 = none.
    pub checkpointed_decree: u64,
    /// Size of its file.
    pub checkpoint_size: u64,
    /// A checkpoint is to be saved at this decree; 0 = none.
    pub save_checkpoint_at: u64,
    /// A checkpoint is to be copied at this decree; 0 = none.
    pub copy_checkpoint_at: u64,
}

/// A log file that is served.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rsl_log_file {
    /// Its first decree; 0 = it holds no vote.
    pub first: u64,
    /// Its last decree.
    pub last: u64,
    /// Bytes of its records.
    pub len: u64,
}

/// The body of a thread that the library wants.
pub type rsl_thread_main = Option<unsafe extern "C" fn(arg: *mut c_void) -> u32>;

/// Creates the threads that run callbacks; all others are native.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rsl_spawn {
    /// sizeof(rsl_spawn).
    pub struct_size: u32,
    /// 0.
    pub pad0: u32,
    /// Given back with every call.
    pub ctx: *mut c_void,
    /// Has to run start(arg) exactly once, on another thread, and return 0. Priority: 0 normal, 3 highest. Any other
    /// result means that it will never run, and fails the call that needed the thread.
    pub spawn: Option<
        unsafe extern "C" fn(
            ctx: *mut c_void,
            start: rsl_thread_main,
            priority: i32,
            arg: *mut c_void,
        ) -> i32,
    >,
}

/// One log entry. Valid during the call only.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rsl_log_record {
    /// sizeof(rsl_log_record).
    pub struct_size: u32,
    /// 0 Debug, 1 Info, 2 Status, 3 Warning, 4 Error, 5 Assert, 6 Alert.
    pub level: i32,
    /// 0 Logging, 1 Common, 2 Netlib, 3 RSL, 4 NetlibCorruptPacket.
    pub log_id: i32,
    /// Line in the source file.
    pub line: i32,
    /// Source file.
    pub file: *const c_char,
    /// Module.
    pub function: *const c_char,
    /// What happened.
    pub title: *const c_char,
    /// `Name="Value"` pairs; may be empty, never NULL.
    pub text: *const c_char,
}

/// Gets every log entry, on the thread concerned. Must not call the library.
pub type rsl_log_fn = Option<unsafe extern "C" fn(ctx: *mut c_void, record: *const rsl_log_record)>;

/// Gets what operators must see, on the thread concerned. Must not call the library; may end the process.
pub type rsl_notify_fn = Option<
    unsafe extern "C" fn(
        ctx: *mut c_void,
        level: i32,
        log_id: i32,
        title: *const c_char,
        message_or_null: *const c_char,
    ),
>;

/// Log Debug entries too.
pub const RSL_INIT_DEBUG_LOG: u32 = 0x1;

/// Logging and notifications of the process.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rsl_init_params {
    /// sizeof(rsl_init_params).
    pub struct_size: u32,
    /// RSL_INIT_*.
    pub flags: u32,
    /// Where log files go; NULL = none are written.
    pub log_path: *const c_char,
    /// NULL = nobody is notified.
    pub notify: rsl_notify_fn,
    /// Given back with every notification.
    pub notify_ctx: *mut c_void,
    /// Replaces log files; NULL = log files.
    pub log: rsl_log_fn,
    /// Given back with every log entry.
    pub log_ctx: *mut c_void,
}

/// The machine has to be started again, or was unloaded: exit code 0.
pub const RSL_EXIT_REASON_SHUTDOWN: i32 = 1;
/// A broken belief or a panic: exit code 1. Cannot be suppressed.
pub const RSL_EXIT_REASON_FATAL: i32 = 2;

/// Asked before the library ends the process.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rsl_exit_policy {
    /// sizeof(rsl_exit_policy).
    pub struct_size: u32,
    /// 0.
    pub pad0: u32,
    /// Given back with every call.
    pub ctx: *mut c_void,
    /// Non-zero = do not end the process. A machine that was unloaded stays stopped; one that has to be started again goes
    /// on in place as with RSL_CFG_RELOAD_IN_PLACE, and is asked for before its shut_down. On a thread of the library, or
    /// the one that unloads. `machine` is NULL for RSL_EXIT_REASON_FATAL and rsl_unload_all.
    pub on_exit: Option<
        unsafe extern "C" fn(ctx: *mut c_void, machine: *mut rsl_machine, reason: i32, exit_code: i32) -> i32,
    >,
}
