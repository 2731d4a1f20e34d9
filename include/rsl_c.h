/* The C ABI of the Replicated State Library. docs/FFI.md is the guide to it.
 *
 * Rules for every function, unless its comment says otherwise:
 * - A NULL or malformed argument gives a negative code and changes nothing; out-parameters are written on success only.
 * - Input is borrowed for the call and copied. What a callback gets is valid until it returns.
 * - Any thread may call it, callbacks included; it waits neither for a callback nor for another replica. Who creates,
 *   initializes, replays and destroys one machine does that in turn. None may be called in the child of a fork, or while the library is unloaded.
 * - A status is RSL_OK (0), a legacy code above 0, or a negative code with a text (rsl_last_error). On a machine that is
 *   not initialised, functions with a status give RSL_E_STATE, others 0; structs of a wrong size give RSL_E_ABI.
 * - What is handed out has one function that releases it; nothing is freed across the boundary otherwise.
 * - Strings are UTF-8 and end with a NUL.
 *
 * Generated from rsl-ffi by `cargo xtask header`. Do not edit. */

#ifndef RSL_C_H
#define RSL_C_H

#include <stddef.h>
#include <stdint.h>

#if UINTPTR_MAX != 0xffffffffffffffff
#error "librsl is for 64-bit targets"
#endif

// Bytes of a member id, with its NUL.
#define RSL_MEMBER_ID_SIZE 64

// Bytes of a host name, with its NUL.
#define RSL_HOST_NAME_SIZE 256

// Most bytes of the cookie of a member set.
#define RSL_MAX_MEMBER_SET_COOKIE 8192

// Stand for election although passed decrees wait for execution.
#define RSL_CFG_PROMOTE_WHILE_CATCHING_UP 1

// Keep the data in a sub-directory of working_dir named like the member id.
#define RSL_CFG_MEMBER_ID_IN_WORKING_DIR 2

// Has no effect: reads are not overlapped.
#define RSL_CFG_CANCEL_DISK_IO 4

// Use the flag of rsl_machine_set_accept_messages instead of the callback accept_message.
#define RSL_CFG_GLOBAL_ACCEPT_FLAG 8

// Do not let members of a proposed set bootstrap this replica by message.
#define RSL_CFG_NO_REMOTE_BOOTSTRAP 16

// After a copied checkpoint, or when it gave up being primary, the machine goes on in place instead of ending for a restart
// of the process: requests are aborted, notify_status(0) if it was primary, no shut_down, then load_state. Since ABI 1.1.
#define RSL_CFG_RELOAD_IN_PLACE 32

// Every message is answered; accept_message is not called, which saves two changes of threads per vote. Since ABI 1.1.
#define RSL_CFG_ACCEPT_ALL_MESSAGES 64

// Log Debug entries too.
#define RSL_INIT_DEBUG_LOG 1

// The machine has to be started again, or was unloaded: exit code 0.
#define RSL_EXIT_REASON_SHUTDOWN 1

// A broken belief or a panic: exit code 1. Cannot be suppressed.
#define RSL_EXIT_REASON_FATAL 2

// The library resolves host names itself; resolve_node is not called.
#define RSL_CB_DEFAULT_RESOLVE 1

// Changes that break callers.
#define RSL_ABI_MAJOR 1

// Additions.
#define RSL_ABI_MINOR 1

// Alone in its decree.
#define RSL_REQ_EXCLUSIVE 1

// With RSL_REQ_EXCLUSIVE: the last request that this machine takes.
#define RSL_REQ_LAST 2

// Takes the primary cookie; valid inside can_become_primary only.
typedef struct rsl_cookie_sink rsl_cookie_sink;

// One replica of one replicated state machine.
typedef struct rsl_machine rsl_machine;

// A member set that was handed out; does not change.
typedef struct rsl_member_set rsl_member_set;

// A checkpoint to be read. Used by one thread at a time.
typedef struct rsl_reader rsl_reader;

// A checkpoint to be written. Used by one thread at a time.
typedef struct rsl_writer rsl_writer;

// Result of most functions. 0..6 are the legacy RSLResponseCode, 100 and above are response codes of our own, negative
// values say that the call itself was wrong or failed; `rsl_last_error` has a text for those. Never renumbered.
typedef int32_t rsl_status;

// The configuration. Ranges and defaults are those of the legacy RSLConfigParam; `rsl_config_defaults` fills them in.
typedef struct rsl_config {
  // sizeof(rsl_config).
  uint32_t struct_size;
  // RSL_CFG_*.
  uint32_t flags;
  // After another member's ballot was accepted, no own election for this long. Seconds, 1..3600.
  int64_t new_leader_grace_period_sec;
  // Longest pause between the decrees of an idle primary. Seconds, 1..3600.
  int64_t heart_beat_interval_sec;
  // Silence after which a secondary stands for election. Seconds, 1..3600.
  int64_t election_delay_sec;
  // Bound of the election delay's randomization. Seconds, 0..2^31-1.
  int64_t max_election_randomize_sec;
  // Period of the status queries while initializing. Seconds, 1..3600.
  int64_t initialize_retry_interval_sec;
  // Resending a Prepare to disconnected peers. Seconds, 1..3600.
  int64_t prepare_retry_interval_sec;
  // Resending a vote to disconnected peers. Seconds, 1..3600.
  int64_t vote_retry_interval_sec;
  // A vote without majority for this long makes the primary step down. Seconds, 1..3600.
  int64_t vote_max_outstanding_interval_sec;
  // Period of a primary's search for a checkpoint to copy. Seconds, 1..3600.
  int64_t cp_query_retry_interval_sec;
  // Time between checkpoints; 0 = by log size only. Seconds.
  int64_t max_checkpoint_interval_sec;
  // Repetition of Join messages to a new configuration. Seconds, 1..3600.
  int64_t join_messages_interval_sec;
  // Log length at which a new log file and a checkpoint are due. MiB, 1..102400.
  int64_t max_log_len_mb;
  // A packet must be written within this time. Seconds, 1..3600.
  uint32_t send_timeout_sec;
  // Resending a vote to connected peers. Seconds, 1..3600.
  uint32_t receive_timeout_sec;
  // Votes cached while learning. MiB, 1..1024.
  uint32_t max_cache_length_mb;
  // Checked, otherwise unused. 1..2^31-1.
  uint32_t max_votes_in_log;
  // Packets waiting for one peer before broadcasts skip it. 1..2^31-1.
  uint32_t max_outstanding_per_replica;
  // Checkpoint files that are kept. 1..2^31-1.
  uint32_t max_checkpoints;
  // A larger checkpoint raises an alert; 0 = off. GiB.
  uint32_t max_checkpoint_size_gb;
  // Free space below this many checkpoints raises an alert; 0 = off.
  uint32_t min_checkpoint_space_file_count;
  // Log files that are kept. 1..2^31-1.
  uint32_t max_logs;
  // Randomization of the log length. Percent, 0..100.
  uint32_t log_len_randomize;
  // Randomization of the election delay. Percent, 0..100.
  uint32_t election_randomize;
  // How many decrees ahead of the executed one a fast read may wait for.
  uint32_t fast_read_seq_threshold;
  // Passed votes kept in memory until they are executed; 0 = max_cache_length_mb. MiB.
  uint32_t in_memory_execution_queue_size_mb;
  // Threads for fast reads; 0 = one per logical processor. 0..100.
  uint32_t num_reader_threads;
  // Largest packet; the same on every member. MiB, 1..2^31-1.
  uint32_t max_message_size_mb;
  // A larger packet raises an alert; 0 = off. MiB.
  uint32_t max_message_alert_size_mb;
  // The working directory; its parent has to exist.
  const char *working_dir;
  // Bytes of requests that may wait; 0 = 512. MiB. Not a legacy parameter.
  uint32_t request_queue_limit_mb;
  // 0.
  uint32_t pad0;
} rsl_config;

// Gets what operators must see, on the thread concerned. Must not call the library; may end the process.
typedef void (*rsl_notify_fn)(void *ctx,
                              int32_t level,
                              int32_t log_id,
                              const char *title,
                              const char *message_or_null);

// One log entry. Valid during the call only.
typedef struct rsl_log_record {
  // sizeof(rsl_log_record).
  uint32_t struct_size;
  // 0 Debug, 1 Info, 2 Status, 3 Warning, 4 Error, 5 Assert, 6 Alert.
  int32_t level;
  // 0 Logging, 1 Common, 2 Netlib, 3 RSL, 4 NetlibCorruptPacket.
  int32_t log_id;
  // Line in the source file.
  int32_t line;
  // Source file.
  const char *file;
  // Module.
  const char *function;
  // What happened.
  const char *title;
  // `Name="Value"` pairs; may be empty, never NULL.
  const char *text;
} rsl_log_record;

// Gets every log entry, on the thread concerned. Must not call the library.
typedef void (*rsl_log_fn)(void *ctx, const struct rsl_log_record *record);

// Logging and notifications of the process.
typedef struct rsl_init_params {
  // sizeof(rsl_init_params).
  uint32_t struct_size;
  // RSL_INIT_*.
  uint32_t flags;
  // Where log files go; NULL = none are written.
  const char *log_path;
  // NULL = nobody is notified.
  rsl_notify_fn notify;
  // Given back with every notification.
  void *notify_ctx;
  // Replaces log files; NULL = log files.
  rsl_log_fn log;
  // Given back with every log entry.
  void *log_ctx;
} rsl_init_params;

// Asked before the library ends the process.
typedef struct rsl_exit_policy {
  // sizeof(rsl_exit_policy).
  uint32_t struct_size;
  // 0.
  uint32_t pad0;
  // Given back with every call.
  void *ctx;
  // Non-zero = do not end the process. A machine that was unloaded stays stopped; one that has to be started again goes
  // on in place as with RSL_CFG_RELOAD_IN_PLACE, and is asked for before its shut_down. On a thread of the library, or
  // the one that unloads. `machine` is NULL for RSL_EXIT_REASON_FATAL and rsl_unload_all.
  int32_t (*on_exit)(void *ctx, struct rsl_machine *machine, int32_t reason, int32_t exit_code);
} rsl_exit_policy;

// A member: 336 bytes, the layout of the legacy RSLNode. Never grows.
typedef struct rsl_node {
  // NUL-terminated, at most 63 bytes.
  char member_id[RSL_MEMBER_ID_SIZE];
  // NUL-terminated; looked up when `ip` is 0.
  char host_name[RSL_HOST_NAME_SIZE];
  // IPv4 address in network byte order; 0 = by host name.
  uint32_t ip;
  // Packet port, host byte order.
  uint16_t rsl_port;
  // Learn port; 0 = rsl_port + 1.
  uint16_t learn_port;
  // Not used, but kept in files up to protocol version 3.
  uint16_t app_port;
  // 0.
  uint16_t pad0;
  // Not used.
  uint32_t priority;
} rsl_node;

// What the application implements. Copied when a machine is created. Every callback gets the ctx of the machine first,
// must return normally, and may call the machine's request and query functions.
//
// Threads: load_state, and the execution of what the log holds, run on the thread that calls rsl_machine_initialize;
// everything else on threads of the library, or on those of rsl_spawn. Callbacks marked X run one at a time and never
// while one marked S runs; those marked S may overlap each other; the others may overlap anything.
typedef struct rsl_callbacks {
  // sizeof(rsl_callbacks).
  uint32_t struct_size;
  // RSL_CB_*.
  uint32_t flags;
  // X. Loads a checkpoint, or starts empty when it is NULL. 0 = not usable, the next older one is tried. The reader
  // belongs to the library. Mandatory.
  int32_t (*load_state)(void *ctx, struct rsl_reader *reader_or_null);
  // X. The requests of one decree follow.
  void (*before_execute)(void *ctx);
  // X. Executes a request; its bytes are valid during the call. cookie: that of the request on the machine it was
  // given to, else NULL. Set *save_state, which is 0, to ask for a checkpoint. Mandatory.
  void (*execute_replicated)(void *ctx, const void *request, size_t len, void *cookie, int32_t *save_state);
  // X. The requests of the decree are executed.
  void (*after_execute)(void *ctx);
  // S if fast reads are serialized, else any time. Mandatory.
  void (*execute_fast_read)(void *ctx, const void *request, size_t len, void *cookie);
  // X for replicated requests, as execute_fast_read for fast reads. The request will not be executed with its cookie;
  // a replicated one may be executed without. Mandatory.
  void (*abort_request)(void *ctx, rsl_status why, void *cookie);
  // S. Writes the state; 0 = not now, and no checkpoint until rsl_machine_allow_save_state. The writer belongs to the
  // library. Mandatory.
  int32_t (*try_save_state)(void *ctx, struct rsl_writer *writer);
  // S. A checkpoint of the state after seq is durable in file.
  void (*state_saved)(void *ctx, uint64_t seq, const char *file);
  // S. A checkpoint was copied from another replica; file is NULL when a copy that was asked for found no source.
  void (*state_copied)(void *ctx, uint64_t seq, const char *file_or_null, void *cookie);
  // X. The machine has become primary (1), or is not primary any more (0). Mandatory.
  void (*notify_status)(void *ctx, int32_t is_primary);
  // X. Everything that earlier primaries got chosen is executed.
  void (*notify_primary_recovered)(void *ctx);
  // X. The configuration has changed; cookie: that of the change if it was asked for here. Mandatory.
  void (*notify_configuration_changed)(void *ctx, void *cookie);
  // X. A configuration change that was asked for here will not be notified with its cookie. Mandatory.
  void (*abort_change_configuration)(void *ctx, rsl_status why, void *cookie);
  // May this machine stand for election? NULL = yes.
  int32_t (*can_become_primary)(void *ctx, struct rsl_cookie_sink *sink);
  // Should a vote or Prepare of this member be answered? data: the primary cookie of its sender, NULL when there is
  // none. NULL = yes.
  int32_t (*accept_message)(void *ctx, const struct rsl_node *from, const void *data, uint32_t len);
  // Fills in ip and ports of a peer; 1 = usable. NULL = as RSL_CB_DEFAULT_RESOLVE.
  int32_t (*resolve_node)(void *ctx, struct rsl_node *node);
  // The machine has ended, or is about to: the last callback. Mandatory.
  void (*shut_down)(void *ctx, rsl_status why);
} rsl_callbacks;

// A member set as input, borrowed for the call.
typedef struct rsl_member_view {
  // sizeof(rsl_member_view).
  uint32_t struct_size;
  // Bytes of the cookie, at most RSL_MAX_MEMBER_SET_COOKIE.
  uint32_t cookie_len;
  // The members; NULL when there are none.
  const struct rsl_node *nodes;
  // How many.
  size_t node_count;
  // Opaque bytes that travel with the set; NULL when there are none.
  const void *cookie;
} rsl_member_view;

// The body of a thread that the library wants.
typedef uint32_t (*rsl_thread_main)(void *arg);

// Creates the threads that run callbacks; all others are native.
typedef struct rsl_spawn {
  // sizeof(rsl_spawn).
  uint32_t struct_size;
  // 0.
  uint32_t pad0;
  // Given back with every call.
  void *ctx;
  // Has to run start(arg) exactly once, on another thread, and return 0. Priority: 0 normal, 3 highest. Any other
  // result means that it will never run, and fails the call that needed the thread.
  int32_t (*spawn)(void *ctx, rsl_thread_main start, int32_t priority, void *arg);
} rsl_spawn;

// What a primary knows of one member.
typedef struct rsl_health {
  // sizeof(rsl_health).
  uint32_t struct_size;
  // 1 for the machine that was asked, which comes last.
  uint8_t is_primary;
  // 1 = connected as far as known.
  uint8_t connected;
  // 1 = the address is not known.
  uint8_t needs_resolve;
  // 0.
  uint8_t pad0;
  // The member.
  char member_id[RSL_MEMBER_ID_SIZE];
  // Packets submitted and not finished.
  int32_t num_outstanding;
  // Failed sends since the last one that worked.
  uint32_t consecutive_failures;
  // When it was marked failed. Microseconds since 1970, UTC; 0 = never.
  int64_t failed_at_us;
  // When the last send completed, well or not.
  int64_t last_request_sent_at_us;
  // When its last vote answer arrived.
  int64_t last_request_voted_at_us;
  // The highest decree it accepted.
  uint64_t last_request_voted_decree;
  // Payload of its last vote answer.
  uint64_t last_vote_payload;
} rsl_health;

// Increments since the previous call. Times in microseconds.
typedef struct rsl_stats {
  // sizeof(rsl_stats).
  uint32_t struct_size;
  // 0.
  uint32_t pad0;
  // Length of the period.
  uint64_t capture_time_us;
  // Advance of the current sequence number.
  uint64_t decrees_executed;
  // Votes read back, and files served on the learn port.
  uint64_t log_reads;
  // Their bytes.
  uint64_t log_read_bytes;
  // Their time.
  uint64_t log_read_us;
  // Votes appended to the log.
  uint64_t log_writes;
  // Their bytes, rounded up to pages.
  uint64_t log_write_bytes;
  // Their time.
  uint64_t log_write_us;
  // From proposing votes to their majority, altogether.
  uint64_t voting_time_us;
  // The longest read.
  uint32_t log_read_max_us;
  // The longest write.
  uint32_t log_write_max_us;
  // The longest time to a majority.
  uint32_t voting_time_max_us;
  // 0.
  uint32_t pad1;
} rsl_stats;

// The state of a machine's consensus, for operators and tests. Not part of the legacy API.
typedef struct rsl_engine_status {
  // sizeof(rsl_engine_status).
  uint32_t struct_size;
  // 0 inactive, 1 primary, 2 secondary, 3 preparing, 4 initializing.
  int32_t role;
  // The protocol version it speaks now.
  int32_t version;
  // 1 while a checkpoint is being saved.
  int32_t is_saving;
  // Number of the configuration that votes.
  uint32_t configuration;
  // Number of the configuration in the executed state.
  uint32_t state_configuration;
  // Highest defunct configuration number.
  uint32_t defunct;
  // Configuration number of the newest accepted vote.
  uint32_t accepted_configuration;
  // Decree of the newest accepted vote.
  uint64_t accepted_decree;
  // Number of its ballot.
  uint32_t accepted_ballot;
  // Number of the highest ballot promised.
  uint32_t promised_ballot;
  // Owner of the accepted ballot.
  char accepted_member[RSL_MEMBER_ID_SIZE];
  // Owner of the promised ballot.
  char promised_member[RSL_MEMBER_ID_SIZE];
  // The member named in the newest accepted ballot, if it is known; else empty.
  char current_primary[RSL_MEMBER_ID_SIZE];
  // Decree of the newest checkpoint; 0 = none.
  uint64_t checkpointed_decree;
  // Size of its file.
  uint64_t checkpoint_size;
  // A checkpoint is to be saved at this decree; 0 = none.
  uint64_t save_checkpoint_at;
  // A checkpoint is to be copied at this decree; 0 = none.
  uint64_t copy_checkpoint_at;
} rsl_engine_status;

// A log file that is served.
typedef struct rsl_log_file {
  // Its first decree; 0 = it holds no vote.
  uint64_t first;
  // Its last decree.
  uint64_t last;
  // Bytes of its records.
  uint64_t len;
} rsl_log_file;

// Result of the stream functions: a Win32 error number, on every platform.
typedef uint32_t rsl_win32;

// Writes the application's state; the writer is valid during the call.
typedef void (*rsl_save_fn)(void *ctx, struct rsl_writer *writer);

// Done. For a request: accepted, its cookie comes back exactly once.
#define RSL_OK 0

// This replica is not far enough for the fast read.
#define RSL_FAST_READ_STALE 1

// This replica is not the primary. For an aborted request: its outcome is unknown.
#define RSL_NOT_PRIMARY 2

// The replica drains or shuts down.
#define RSL_SHUTTING_DOWN 3

// A primary of an earlier bootstrap has been seen.
#define RSL_ALREADY_BOOTSTRAPPED 4

// The bootstrap did not come to a primary in time, or cannot.
#define RSL_BOOTSTRAP_FAILED 5

// An argument that the library understands but cannot use: an empty or oversized request, an unusable member set.
#define RSL_INVALID_PARAMETER 6

// Too many bytes of requests wait already; try again later.
#define RSL_QUEUE_FULL 100

// NULL, out of range or malformed.
#define RSL_E_ARGUMENT (-1)

// The machine is not initialised, was unloaded, or is running already.
#define RSL_E_STATE (-2)

// Must not be called inside a callback.
#define RSL_E_REENTRANT (-3)

// The buffer is too small; the needed count was written.
#define RSL_E_BUFFER_TOO_SMALL (-4)

// A struct_size that cannot be, or a field this library does not know is used.
#define RSL_E_ABI (-5)

// The configuration is refused.
#define RSL_E_CONFIG (-6)

// A file operation failed.
#define RSL_E_IO (-7)

// Files are damaged, or the application refused every state they hold.
#define RSL_E_CORRUPT (-8)

// A port cannot be listened on.
#define RSL_E_NETWORK (-9)

// TLS was asked for and cannot be had.
#define RSL_E_TLS (-10)

// There is no such member or checkpoint.
#define RSL_E_NOT_FOUND (-11)

// Above a limit.
#define RSL_E_TOO_LARGE (-12)

// A callback reported failure.
#define RSL_E_CALLBACK (-13)

// Win32: the operation succeeded.
#define RSL_WIN32_OK 0

// Win32: the file is not there.
#define RSL_WIN32_FILE_NOT_FOUND 2

// Win32: the directory is not there.
#define RSL_WIN32_PATH_NOT_FOUND 3

// Win32: access is denied.
#define RSL_WIN32_ACCESS_DENIED 5

// Win32: the stream is closed.
#define RSL_WIN32_INVALID_HANDLE 6

// Win32: no memory.
#define RSL_WIN32_OUT_OF_MEMORY 14

// Win32: the data is damaged.
#define RSL_WIN32_CRC 23

// Win32: in use by somebody else.
#define RSL_WIN32_SHARING_VIOLATION 32

// Win32: the end of the stream.
#define RSL_WIN32_HANDLE_EOF 38

// Win32: the file is there already.
#define RSL_WIN32_FILE_EXISTS 80

// Win32: a parameter is wrong.
#define RSL_WIN32_INVALID_PARAMETER 87

// Win32: the disk is full.
#define RSL_WIN32_DISK_FULL 112

// Win32: the buffer is too small.
#define RSL_WIN32_INSUFFICIENT_BUFFER 122

// Win32: the name is too long.
#define RSL_WIN32_NAME_TOO_LONG 206

// Win32: the device failed.
#define RSL_WIN32_IO_DEVICE 1117

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Sets the primary cookie, which travels with the Prepare and the votes of this machine; the last call wins. Only inside
// can_become_primary. The bytes are copied.
rsl_status rsl_cookie_sink_set(struct rsl_cookie_sink *sink,
                               const void *data,
                               uint32_t len);

// The version of this interface: major << 16 | minor. A caller refuses to run when the major differs from the one it was
// compiled with, or the minor is lower.
uint32_t rsl_abi_version(void);

// Sizes of the structs, for tests of callers: 0 rsl_node, 1 rsl_member_view, 2 rsl_config, 3 rsl_health, 4 rsl_stats,
// 5 rsl_callbacks, 6 rsl_spawn, 7 rsl_log_record, 8 rsl_init_params, 9 rsl_exit_policy, 10 rsl_engine_status,
// 11 rsl_log_file; otherwise 0.
uint64_t rsl_struct_size(int32_t which);

// Fills in the legacy defaults; working_dir becomes NULL. struct_size is set by the caller.
rsl_status rsl_config_defaults(struct rsl_config *config);

// Installs logging and notifications. May be repeated: the new settings replace the old ones. Machines work without it;
// log entries go to standard error then. Its texts are copied; its functions stay in use.
//
// RSL_E_IO when the log files cannot be opened: nothing is logged then, notifications are given.
rsl_status rsl_init(const struct rsl_init_params *params);

// Ends logging: entries go nowhere until the next rsl_init. Call it after every machine has ended. Inside a callback it
// does nothing but log an error.
void rsl_shutdown(void);

// Says who is asked before the library ends the process; NULL = nobody. The struct is copied.
rsl_status rsl_set_exit_policy(const struct rsl_exit_policy *policy_or_null);

// After a broken belief: 1 (the default) = exit code 1, 0 = abort, for the system's own dumps; on Windows the exception 1653.
void rsl_set_minidump_enabled(int32_t on);

// Machines that are initialised from now on listen on all addresses, and connect from any. Cannot be taken back.
void rsl_enable_listen_on_all_ips(void);

// Microseconds of a monotonic clock with an arbitrary origin.
uint64_t rsl_tick_count_us(void);

// The 64-bit checksum of messages, log records and checkpoints; 0 for NULL with a length.
uint64_t rsl_checksum(const void *data, size_t len);

// The text for the last negative result on this thread: copied, cut to fit, NUL-terminated. Returns its full length
// without the NUL.
size_t rsl_last_error(char *buffer,
                      size_t cap);

// Ends the process as a broken belief of the library does: log entry, notification, a line on standard output, exit
// policy, exit code 1. For callers that cannot go on, such as a callback that caught an exception. Does not return.
void rsl_fatal(const char *what);

// Writes an entry of a binding to the log. level: 0 Debug, 1 Info, 3 Warning, 4 Error; others are taken as Error.
rsl_status rsl_log(int32_t level,
                   const char *title);

// The built-in resolver: keeps a known address, otherwise looks the host name up. RSL_E_NOT_FOUND when there is no
// address, or no port.
rsl_status rsl_resolve_node(struct rsl_node *node);

// Asks for TLS by thumbprints. Not available yet: RSL_E_TLS, and no machine starts any more, because one that asked for
// TLS must not get plaintext; NULL, NULL takes it back.
rsl_status rsl_tls_set_thumbprints(const char *a_or_null,
                                   const char *b_or_null,
                                   int32_t validate_chain,
                                   int32_t check_revocation);

// Asks for TLS by subject names; as rsl_tls_set_thumbprints.
rsl_status rsl_tls_set_subjects(const char *subject_a_or_null,
                                const char *parents_a_or_null,
                                const char *subject_b_or_null,
                                const char *parents_b_or_null,
                                int32_t consider_whitelist);

// 1 = connections are protected.
int32_t rsl_tls_is_enabled(void);

// Creates a machine that does nothing yet. The table is copied; ctx is given to every callback. Release it with
// rsl_machine_destroy. The create, initialize and destroy functions of one machine must not run at the same time.
rsl_status rsl_machine_create(const struct rsl_callbacks *callbacks,
                              void *ctx,
                              struct rsl_machine **out);

// Starts the machine: restores its state from the working directory, listens, and takes part. Blocks for the whole
// restore, whose callbacks run on this thread, and for minutes while a port is taken.
//
// With members it is configuration 1 of a directory that knows none; without (NULL) it waits to be bootstrapped, which
// needs version 4 or later. self is this node; version 1..6; spawn creates the threads that run callbacks, NULL = native
// threads. After a failure everything is released and the machine can be initialised again.
//
// RSL_E_STATE when it runs already, RSL_E_REENTRANT inside a callback, RSL_E_CONFIG, RSL_E_IO, RSL_E_CORRUPT,
// RSL_E_NETWORK, RSL_E_TLS; RSL_INVALID_PARAMETER when members or self cannot be used.
rsl_status rsl_machine_initialize(struct rsl_machine *machine,
                                  const struct rsl_config *config,
                                  const struct rsl_member_view *members_or_null,
                                  const struct rsl_node *self_node,
                                  int32_t version,
                                  int32_t serialize_fast_reads,
                                  const struct rsl_spawn *spawn_or_null,
                                  int32_t independent_heartbeat);

// Ends the machine: chosen decrees finish, what waits is aborted with RSL_SHUTTING_DOWN, shut_down is called, all threads
// end and ports close. Then, if the machine was initialised without rsl_spawn, the process ends with code 0 unless the
// exit policy says otherwise. Waits for all that, except inside a callback, where it only begins. No-op when nothing runs.
// The machine may be initialised again.
rsl_status rsl_machine_unload(struct rsl_machine *machine);

// Unloads every machine of the process as rsl_machine_unload does; the process ends after the last of them.
void rsl_unload_all(void);

// Releases a machine. One that runs is ended first, with all its callbacks, without ending the process. Inside a
// callback it ends the process as rsl_fatal does. NULL is allowed.
void rsl_machine_destroy(struct rsl_machine *machine);

// Executes the history in a directory, as far as its logs prove it, up to decree max_seq: without ports, threads or
// writing. Its callbacks run on this thread: load_state, execution without cookies, notify_configuration_changed.
// rsl_machine_current_sequence and rsl_machine_get_configuration say afterwards where it ended; nothing runs then. With
// max_seq 0 nothing is done. Not inside a callback.
//
// RSL_E_STATE when the machine runs, RSL_E_REENTRANT, RSL_E_CORRUPT when the files do not allow it.
rsl_status rsl_machine_replay(struct rsl_machine *machine,
                              const char *directory,
                              uint64_t max_seq);

// As rsl_machine_replay; then the state is written to the directory checkpoint_dir as the checkpoint of decree
// checkpoint_seq, whatever it is the state of.
//
// RSL_E_ARGUMENT when checkpoint_seq is 0 or checkpoint_dir is the directory itself, RSL_E_IO when it cannot be written.
rsl_status rsl_machine_replay_to_checkpoint(struct rsl_machine *machine,
                                            const char *directory,
                                            uint64_t max_seq,
                                            uint64_t checkpoint_seq,
                                            const char *checkpoint_dir);

// 1 while the machine runs: from the end of a successful rsl_machine_initialize until it has ended. 0 once the library
// ends the process.
int32_t rsl_machine_is_running(const struct rsl_machine *machine);

// Adopts a first member set, sends it to the members and waits for the first primary. Not inside a callback. Waits up to
// timeout_sec; after a timeout the set stays adopted.
//
// RSL_INVALID_PARAMETER, RSL_ALREADY_BOOTSTRAPPED, RSL_BOOTSTRAP_FAILED, RSL_E_STATE, RSL_E_REENTRANT.
rsl_status rsl_machine_bootstrap(struct rsl_machine *machine,
                                 const struct rsl_member_view *members,
                                 uint32_t timeout_sec);

// Waits until the machine handles no more messages and timers; execution and fast reads go on. For tests. Not inside a
// callback; without effect when it is paused already.
rsl_status rsl_machine_pause(struct rsl_machine *machine);

// Ends a pause; without effect when there is none. Not inside a callback.
rsl_status rsl_machine_resume(struct rsl_machine *machine);

// Submits a request. Never blocks, never calls back. The bytes are copied. After RSL_OK the cookie, any value, comes back
// in exactly one execute_replicated or abort_request; after any other result it stays the caller's.
//
// RSL_INVALID_PARAMETER when it is empty or too large, RSL_NOT_PRIMARY, RSL_SHUTTING_DOWN, RSL_QUEUE_FULL, RSL_E_STATE,
// RSL_E_TOO_LARGE.
rsl_status rsl_machine_replicate(struct rsl_machine *machine,
                                 const void *request,
                                 size_t len,
                                 void *cookie,
                                 uint32_t flags);

// Submits a fast read that needs the state of decree max_seen or later; without a timeout it is refused rather than made
// to wait. Never calls back. The bytes are copied. After RSL_OK the cookie comes back in exactly one execute_fast_read or
// abort_request.
//
// RSL_FAST_READ_STALE, RSL_INVALID_PARAMETER when it is empty, RSL_SHUTTING_DOWN, RSL_E_STATE, RSL_E_TOO_LARGE.
rsl_status rsl_machine_fast_read(struct rsl_machine *machine,
                                 uint64_t max_seen,
                                 const void *request,
                                 size_t len,
                                 void *cookie,
                                 uint32_t timeout_ms);

// Proposes another member set. Never blocks. After RSL_OK the cookie comes back in exactly one
// notify_configuration_changed or abort_change_configuration. It stays in this process; what peers should see goes into
// the cookie of the set.
//
// RSL_INVALID_PARAMETER when the set cannot be used, RSL_NOT_PRIMARY, RSL_SHUTTING_DOWN, RSL_E_STATE.
rsl_status rsl_machine_change_configuration(struct rsl_machine *machine,
                                            const struct rsl_member_view *members,
                                            void *cookie);

// Copies a checkpoint from a peer that has one at least as new. Never blocks. After RSL_OK there is exactly one
// state_copied with this cookie.
//
// RSL_SHUTTING_DOWN, RSL_E_STATE.
rsl_status rsl_machine_copy_state(struct rsl_machine *machine,
                                  void *cookie);

// Asks for one election attempt.
rsl_status rsl_machine_attempt_promotion(struct rsl_machine *machine);

// Gives up being primary. Once a quorum has accepted, the machine shuts down and the process ends with code 0, unless the
// exit policy says otherwise. Ignored unless primary, below version 5, and without a possible successor.
rsl_status rsl_machine_relinquish_primary(struct rsl_machine *machine);

// Another election delay from the next deadline on; ignored outside 1..3600.
rsl_status rsl_machine_change_election_delay(struct rsl_machine *machine, uint32_t seconds);

// Suspends (0) or allows saving checkpoints. Not kept over a restart.
rsl_status rsl_machine_allow_save_state(struct rsl_machine *machine, int32_t yes);

// The payload of this machine's vote answers, from the next one on.
rsl_status rsl_machine_set_vote_payload(struct rsl_machine *machine, uint64_t payload);

// Whether messages are answered, where RSL_CFG_GLOBAL_ACCEPT_FLAG says that this flag decides.
rsl_status rsl_machine_set_accept_messages(struct rsl_machine *machine, int32_t accept);

// The last executed decree; inside execute_replicated the one being executed. Waits for nothing. 0 before initialize.
uint64_t rsl_machine_current_sequence(const struct rsl_machine *machine);

// The last decree known here to be chosen. Waits for nothing. 0 before initialize.
uint64_t rsl_machine_highest_passed_sequence(const struct rsl_machine *machine);

// 1 = stable primary or stable secondary. Waits for nothing.
int32_t rsl_machine_is_stable(const struct rsl_machine *machine);

// 1 = a chosen decree waits for execution or is being executed. Waits for nothing.
int32_t rsl_machine_has_pending_execution(const struct rsl_machine *machine);

// The node named in the newest accepted ballot, with its effective learn port: a hint. A node without id when it is
// unknown.
rsl_status rsl_machine_current_primary(struct rsl_machine *machine,
                                       struct rsl_node *out);

// The executed configuration and its number; an empty set and 0 before bootstrap. Release the set with
// rsl_member_set_free.
rsl_status rsl_machine_get_configuration(struct rsl_machine *machine,
                                         struct rsl_member_set **out,
                                         uint32_t *number_or_null);

// What a primary knows of its members: peers in the order of the configuration, then itself; nothing elsewhere. The caller
// sets struct_size of the first element; it is the distance of the elements. *count always gets the number of members.
//
// RSL_E_BUFFER_TOO_SMALL when cap is below that. Must not be called inside resolve_node.
rsl_status rsl_machine_replicas_health(struct rsl_machine *machine,
                                       struct rsl_health *array,
                                       size_t cap,
                                       size_t *count);

// What a primary knows of one member, itself included.
//
// RSL_E_NOT_FOUND when it is not primary, or does not know the member. Must not be called inside resolve_node.
rsl_status rsl_machine_replica_health(struct rsl_machine *machine,
                                      const char *member_id,
                                      struct rsl_health *out);

// The increments since the previous call.
rsl_status rsl_machine_stats(struct rsl_machine *machine, struct rsl_stats *out);

// The state of the machine's consensus. Not part of the legacy API.
rsl_status rsl_machine_engine_status(struct rsl_machine *machine, struct rsl_engine_status *out);

// The log files that are served, oldest first. *count always gets their number. Not part of the legacy API.
//
// RSL_E_BUFFER_TOO_SMALL when cap is below that.
rsl_status rsl_machine_log_files(struct rsl_machine *machine,
                                 struct rsl_log_file *array,
                                 size_t cap,
                                 size_t *count);

// The number of members.
size_t rsl_member_set_count(const struct rsl_member_set *set);

// A member, as long as the set lives; NULL past the end.
const struct rsl_node *rsl_member_set_node(const struct rsl_member_set *set, size_t index);

// The cookie, as long as the set lives, and its length; NULL and 0 when there is none. len may be NULL.
const void *rsl_member_set_cookie(const struct rsl_member_set *set, uint32_t *len_or_null);

// Releases a set. NULL is allowed.
void rsl_member_set_free(struct rsl_member_set *set);

// Opens a checkpoint file for reading outside a machine. ERROR_CRC for every file that cannot be opened or is no
// checkpoint, ERROR_INVALID_PARAMETER for a name over 65534 bytes. Release it with rsl_reader_close.
rsl_win32 rsl_reader_open(const char *path,
                          struct rsl_reader **out);

// Releases a reader that rsl_reader_open made; never one from load_state. NULL is allowed.
void rsl_reader_close(struct rsl_reader *reader);

// Points *data at the next *got <= want bytes of state, valid until the next call on this reader. Less than want comes
// where a block ends: call again. ERROR_HANDLE_EOF at the end, ERROR_CRC for a damaged block; then *got is 0 and *data
// untouched. got may be NULL.
rsl_win32 rsl_reader_data_pointer(struct rsl_reader *reader,
                                  uint64_t want,
                                  const void **data,
                                  uint64_t *got_or_null);

// Copies up to want bytes of state; otherwise as rsl_reader_data_pointer.
rsl_win32 rsl_reader_read(struct rsl_reader *reader, void *into, uint64_t want, uint64_t *got_or_null);

// Moves on by count bytes and verifies the blocks passed; past the end it stops there with ERROR_HANDLE_EOF.
rsl_win32 rsl_reader_skip(struct rsl_reader *reader, uint64_t count);

// Moves to an offset of the state, 0 to its size; past that it moves to the end with ERROR_HANDLE_EOF.
rsl_win32 rsl_reader_seek(struct rsl_reader *reader, uint64_t offset);

// Where the next read starts, in bytes of state.
uint64_t rsl_reader_tell(const struct rsl_reader *reader);

// Bytes of state.
uint64_t rsl_reader_size(const struct rsl_reader *reader);

// The path of the file, as long as the reader lives.
const char *rsl_reader_path(const struct rsl_reader *reader);

// Creates or overwrites a file that gets new state under the header of the checkpoint that `like` has open: one made by
// rsl_reader_open. The file is no checkpoint before rsl_writer_finish. Release it with rsl_writer_free.
//
// ERROR_ACCESS_DENIED for a reader from load_state.
rsl_win32 rsl_writer_create_like(struct rsl_reader *like,
                                 const char *path,
                                 struct rsl_writer **out);

// Appends state, in pieces of any size. After an error the checkpoint fails. ERROR_INVALID_HANDLE after close.
rsl_win32 rsl_writer_write(struct rsl_writer *writer,
                           const void *data,
                           uint64_t len);

// Nothing more will be written. May be repeated, and need not be called.
rsl_win32 rsl_writer_close(struct rsl_writer *writer);

// Completes a file of rsl_writer_create_like: from now on it is a checkpoint. path is the one it was created with. After
// an error the file is gone.
rsl_win32 rsl_writer_finish(struct rsl_writer *writer,
                            const char *path);

// Releases a writer of rsl_writer_create_like; never one from try_save_state. Without rsl_writer_finish its file is
// deleted. NULL is allowed.
void rsl_writer_free(struct rsl_writer *writer);

// Writes `<dir>/<last_seq>.codex`, the checkpoint of a replica that has executed last_seq > 0 in the configuration
// configuration_number. Members may be NULL in versions 1 and 2 only. Calls save once, on this thread. The file appears
// when it is complete.
//
// RSL_E_ARGUMENT, RSL_INVALID_PARAMETER when the members cannot be used, RSL_E_IO.
rsl_status rsl_checkpoint_save(const char *dir,
                               int32_t version,
                               uint64_t last_seq,
                               uint32_t configuration_number,
                               const struct rsl_member_view *members_or_null,
                               rsl_save_fn save,
                               void *ctx);

// Replaces the members in a checkpoint file; its state stays. version_or_0: 0 keeps the protocol version, which must be
// at least 3; 3 and 4 set it. The file is replaced when its successor is complete.
//
// RSL_INVALID_PARAMETER when the members cannot be used in that version, RSL_E_CORRUPT, RSL_E_IO.
rsl_status rsl_checkpoint_set_members(const char *path,
                                      int32_t version_or_0,
                                      const struct rsl_member_view *members);

// The members in a checkpoint file, with their cookie. Release the set with rsl_member_set_free.
//
// RSL_E_CORRUPT, also for a file that is not there; RSL_INVALID_PARAMETER for one older than version 3.
rsl_status rsl_checkpoint_get_members(const char *path, struct rsl_member_set **out);

// The path of the newest checkpoint in a directory: the one with the highest number; its content is not looked at.
// ERROR_INVALID_PARAMETER for NULL or nothing, ERROR_PATH_NOT_FOUND, ERROR_FILE_NOT_FOUND, ERROR_INSUFFICIENT_BUFFER.
rsl_win32 rsl_checkpoint_latest(const char *dir,
                                char *buffer,
                                size_t cap);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* RSL_C_H */
