// The C ABI as it was in version 1.0, without comments: what later versions have to keep. Never changes.
#ifndef RSL_C_H
#define RSL_C_H

#include <stddef.h>
#include <stdint.h>

#define RSL_MEMBER_ID_SIZE 64

#define RSL_HOST_NAME_SIZE 256

#define RSL_MAX_MEMBER_SET_COOKIE 8192

#define RSL_CFG_PROMOTE_WHILE_CATCHING_UP 1

#define RSL_CFG_MEMBER_ID_IN_WORKING_DIR 2

#define RSL_CFG_CANCEL_DISK_IO 4

#define RSL_CFG_GLOBAL_ACCEPT_FLAG 8

#define RSL_CFG_NO_REMOTE_BOOTSTRAP 16

#define RSL_INIT_DEBUG_LOG 1

#define RSL_EXIT_REASON_SHUTDOWN 1

#define RSL_EXIT_REASON_FATAL 2

#define RSL_CB_DEFAULT_RESOLVE 1

#define RSL_ABI_MAJOR 1

#define RSL_ABI_MINOR 0

#define RSL_REQ_EXCLUSIVE 1

#define RSL_REQ_LAST 2

typedef struct rsl_cookie_sink rsl_cookie_sink;

typedef struct rsl_machine rsl_machine;

typedef struct rsl_member_set rsl_member_set;

typedef struct rsl_reader rsl_reader;

typedef struct rsl_writer rsl_writer;

typedef int32_t rsl_status;

typedef struct rsl_config {

  uint32_t struct_size;

  uint32_t flags;

  int64_t new_leader_grace_period_sec;

  int64_t heart_beat_interval_sec;

  int64_t election_delay_sec;

  int64_t max_election_randomize_sec;

  int64_t initialize_retry_interval_sec;

  int64_t prepare_retry_interval_sec;

  int64_t vote_retry_interval_sec;

  int64_t vote_max_outstanding_interval_sec;

  int64_t cp_query_retry_interval_sec;

  int64_t max_checkpoint_interval_sec;

  int64_t join_messages_interval_sec;

  int64_t max_log_len_mb;

  uint32_t send_timeout_sec;

  uint32_t receive_timeout_sec;

  uint32_t max_cache_length_mb;

  uint32_t max_votes_in_log;

  uint32_t max_outstanding_per_replica;

  uint32_t max_checkpoints;

  uint32_t max_checkpoint_size_gb;

  uint32_t min_checkpoint_space_file_count;

  uint32_t max_logs;

  uint32_t log_len_randomize;

  uint32_t election_randomize;

  uint32_t fast_read_seq_threshold;

  uint32_t in_memory_execution_queue_size_mb;

  uint32_t num_reader_threads;

  uint32_t max_message_size_mb;

  uint32_t max_message_alert_size_mb;

  const char *working_dir;

  uint32_t request_queue_limit_mb;

  uint32_t pad0;
} rsl_config;

typedef void (*rsl_notify_fn)(void *ctx,
                              int32_t level,
                              int32_t log_id,
                              const char *title,
                              const char *message_or_null);

typedef struct rsl_log_record {

  uint32_t struct_size;

  int32_t level;

  int32_t log_id;

  int32_t line;

  const char *file;

  const char *function;

  const char *title;

  const char *text;
} rsl_log_record;

typedef void (*rsl_log_fn)(void *ctx, const struct rsl_log_record *record);

typedef struct rsl_init_params {

  uint32_t struct_size;

  uint32_t flags;

  const char *log_path;

  rsl_notify_fn notify;

  void *notify_ctx;

  rsl_log_fn log;

  void *log_ctx;
} rsl_init_params;

typedef struct rsl_exit_policy {

  uint32_t struct_size;

  uint32_t pad0;

  void *ctx;

  int32_t (*on_exit)(void *ctx, struct rsl_machine *machine, int32_t reason, int32_t exit_code);
} rsl_exit_policy;

typedef struct rsl_node {

  char member_id[RSL_MEMBER_ID_SIZE];

  char host_name[RSL_HOST_NAME_SIZE];

  uint32_t ip;

  uint16_t rsl_port;

  uint16_t learn_port;

  uint16_t app_port;

  uint16_t pad0;

  uint32_t priority;
} rsl_node;

typedef struct rsl_callbacks {

  uint32_t struct_size;

  uint32_t flags;

  int32_t (*load_state)(void *ctx, struct rsl_reader *reader_or_null);

  void (*before_execute)(void *ctx);

  void (*execute_replicated)(void *ctx, const void *request, size_t len, void *cookie, int32_t *save_state);

  void (*after_execute)(void *ctx);

  void (*execute_fast_read)(void *ctx, const void *request, size_t len, void *cookie);

  void (*abort_request)(void *ctx, rsl_status why, void *cookie);

  int32_t (*try_save_state)(void *ctx, struct rsl_writer *writer);

  void (*state_saved)(void *ctx, uint64_t seq, const char *file);

  void (*state_copied)(void *ctx, uint64_t seq, const char *file_or_null, void *cookie);

  void (*notify_status)(void *ctx, int32_t is_primary);

  void (*notify_primary_recovered)(void *ctx);

  void (*notify_configuration_changed)(void *ctx, void *cookie);

  void (*abort_change_configuration)(void *ctx, rsl_status why, void *cookie);

  int32_t (*can_become_primary)(void *ctx, struct rsl_cookie_sink *sink);

  int32_t (*accept_message)(void *ctx, const struct rsl_node *from, const void *data, uint32_t len);

  int32_t (*resolve_node)(void *ctx, struct rsl_node *node);

  void (*shut_down)(void *ctx, rsl_status why);
} rsl_callbacks;

typedef struct rsl_member_view {

  uint32_t struct_size;

  uint32_t cookie_len;

  const struct rsl_node *nodes;

  size_t node_count;

  const void *cookie;
} rsl_member_view;

typedef uint32_t (*rsl_thread_main)(void *arg);

typedef struct rsl_spawn {

  uint32_t struct_size;

  uint32_t pad0;

  void *ctx;

  int32_t (*spawn)(void *ctx, rsl_thread_main start, int32_t priority, void *arg);
} rsl_spawn;

typedef struct rsl_health {

  uint32_t struct_size;

  uint8_t is_primary;

  uint8_t connected;

  uint8_t needs_resolve;

  uint8_t pad0;

  char member_id[RSL_MEMBER_ID_SIZE];

  int32_t num_outstanding;

  uint32_t consecutive_failures;

  int64_t failed_at_us;

  int64_t last_request_sent_at_us;

  int64_t last_request_voted_at_us;

  uint64_t last_request_voted_decree;

  uint64_t last_vote_payload;
} rsl_health;

typedef struct rsl_stats {

  uint32_t struct_size;

  uint32_t pad0;

  uint64_t capture_time_us;

  uint64_t decrees_executed;

  uint64_t log_reads;

  uint64_t log_read_bytes;

  uint64_t log_read_us;

  uint64_t log_writes;

  uint64_t log_write_bytes;

  uint64_t log_write_us;

  uint64_t voting_time_us;

  uint32_t log_read_max_us;

  uint32_t log_write_max_us;

  uint32_t voting_time_max_us;

  uint32_t pad1;
} rsl_stats;

typedef struct rsl_engine_status {

  uint32_t struct_size;

  int32_t role;

  int32_t version;

  int32_t is_saving;

  uint32_t configuration;

  uint32_t state_configuration;

  uint32_t defunct;

  uint32_t accepted_configuration;

  uint64_t accepted_decree;

  uint32_t accepted_ballot;

  uint32_t promised_ballot;

  char accepted_member[RSL_MEMBER_ID_SIZE];

  char promised_member[RSL_MEMBER_ID_SIZE];

  char current_primary[RSL_MEMBER_ID_SIZE];

  uint64_t checkpointed_decree;

  uint64_t checkpoint_size;

  uint64_t save_checkpoint_at;

  uint64_t copy_checkpoint_at;
} rsl_engine_status;

typedef struct rsl_log_file {

  uint64_t first;

  uint64_t last;

  uint64_t len;
} rsl_log_file;

typedef uint32_t rsl_win32;

typedef void (*rsl_save_fn)(void *ctx, struct rsl_writer *writer);

#define RSL_OK 0

#define RSL_FAST_READ_STALE 1

#define RSL_NOT_PRIMARY 2

#define RSL_SHUTTING_DOWN 3

#define RSL_ALREADY_BOOTSTRAPPED 4

#define RSL_BOOTSTRAP_FAILED 5

#define RSL_INVALID_PARAMETER 6

#define RSL_QUEUE_FULL 100

#define RSL_E_ARGUMENT (-1)

#define RSL_E_STATE (-2)

#define RSL_E_REENTRANT (-3)

#define RSL_E_BUFFER_TOO_SMALL (-4)

#define RSL_E_ABI (-5)

#define RSL_E_CONFIG (-6)

#define RSL_E_IO (-7)

#define RSL_E_CORRUPT (-8)

#define RSL_E_NETWORK (-9)

#define RSL_E_TLS (-10)

#define RSL_E_NOT_FOUND (-11)

#define RSL_E_TOO_LARGE (-12)

#define RSL_E_CALLBACK (-13)

#define RSL_WIN32_OK 0

#define RSL_WIN32_FILE_NOT_FOUND 2

#define RSL_WIN32_PATH_NOT_FOUND 3

#define RSL_WIN32_ACCESS_DENIED 5

#define RSL_WIN32_INVALID_HANDLE 6

#define RSL_WIN32_OUT_OF_MEMORY 14

#define RSL_WIN32_CRC 23

#define RSL_WIN32_SHARING_VIOLATION 32

#define RSL_WIN32_HANDLE_EOF 38

#define RSL_WIN32_FILE_EXISTS 80

#define RSL_WIN32_INVALID_PARAMETER 87

#define RSL_WIN32_DISK_FULL 112

#define RSL_WIN32_INSUFFICIENT_BUFFER 122

#define RSL_WIN32_NAME_TOO_LONG 206

#define RSL_WIN32_IO_DEVICE 1117

#ifdef __cplusplus
extern "C" {
#endif 

rsl_status rsl_cookie_sink_set(struct rsl_cookie_sink *sink,
                               const void *data,
                               uint32_t len);

uint32_t rsl_abi_version(void);

uint64_t rsl_struct_size(int32_t which);

rsl_status rsl_config_defaults(struct rsl_config *config);

rsl_status rsl_init(const struct rsl_init_params *params);

void rsl_shutdown(void);

rsl_status rsl_set_exit_policy(const struct rsl_exit_policy *policy_or_null);

void rsl_set_minidump_enabled(int32_t on);

void rsl_enable_listen_on_all_ips(void);

uint64_t rsl_tick_count_us(void);

uint64_t rsl_checksum(const void *data, size_t len);

size_t rsl_last_error(char *buffer,
                      size_t cap);

void rsl_fatal(const char *what);

rsl_status rsl_log(int32_t level,
                   const char *title);

rsl_status rsl_resolve_node(struct rsl_node *node);

rsl_status rsl_tls_set_thumbprints(const char *a_or_null,
                                   const char *b_or_null,
                                   int32_t validate_chain,
                                   int32_t check_revocation);

rsl_status rsl_tls_set_subjects(const char *subject_a_or_null,
                                const char *parents_a_or_null,
                                const char *subject_b_or_null,
                                const char *parents_b_or_null,
                                int32_t consider_whitelist);

int32_t rsl_tls_is_enabled(void);

rsl_status rsl_machine_create(const struct rsl_callbacks *callbacks,
                              void *ctx,
                              struct rsl_machine **out);

rsl_status rsl_machine_initialize(struct rsl_machine *machine,
                                  const struct rsl_config *config,
                                  const struct rsl_member_view *members_or_null,
                                  const struct rsl_node *self_node,
                                  int32_t version,
                                  int32_t serialize_fast_reads,
                                  const struct rsl_spawn *spawn_or_null,
                                  int32_t independent_heartbeat);

rsl_status rsl_machine_unload(struct rsl_machine *machine);

void rsl_unload_all(void);

void rsl_machine_destroy(struct rsl_machine *machine);

rsl_status rsl_machine_replay(struct rsl_machine *machine,
                              const char *directory,
                              uint64_t max_seq);

rsl_status rsl_machine_replay_to_checkpoint(struct rsl_machine *machine,
                                            const char *directory,
                                            uint64_t max_seq,
                                            uint64_t checkpoint_seq,
                                            const char *checkpoint_dir);

int32_t rsl_machine_is_running(const struct rsl_machine *machine);

rsl_status rsl_machine_bootstrap(struct rsl_machine *machine,
                                 const struct rsl_member_view *members,
                                 uint32_t timeout_sec);

rsl_status rsl_machine_pause(struct rsl_machine *machine);

rsl_status rsl_machine_resume(struct rsl_machine *machine);

rsl_status rsl_machine_replicate(struct rsl_machine *machine,
                                 const void *request,
                                 size_t len,
                                 void *cookie,
                                 uint32_t flags);

rsl_status rsl_machine_fast_read(struct rsl_machine *machine,
                                 uint64_t max_seen,
                                 const void *request,
                                 size_t len,
                                 void *cookie,
                                 uint32_t timeout_ms);

rsl_status rsl_machine_change_configuration(struct rsl_machine *machine,
                                            const struct rsl_member_view *members,
                                            void *cookie);

rsl_status rsl_machine_copy_state(struct rsl_machine *machine,
                                  void *cookie);

rsl_status rsl_machine_attempt_promotion(struct rsl_machine *machine);

rsl_status rsl_machine_relinquish_primary(struct rsl_machine *machine);

rsl_status rsl_machine_change_election_delay(struct rsl_machine *machine, uint32_t seconds);

rsl_status rsl_machine_allow_save_state(struct rsl_machine *machine, int32_t yes);

rsl_status rsl_machine_set_vote_payload(struct rsl_machine *machine, uint64_t payload);

rsl_status rsl_machine_set_accept_messages(struct rsl_machine *machine, int32_t accept);

uint64_t rsl_machine_current_sequence(const struct rsl_machine *machine);

uint64_t rsl_machine_highest_passed_sequence(const struct rsl_machine *machine);

int32_t rsl_machine_is_stable(const struct rsl_machine *machine);

int32_t rsl_machine_has_pending_execution(const struct rsl_machine *machine);

rsl_status rsl_machine_current_primary(struct rsl_machine *machine,
                                       struct rsl_node *out);

rsl_status rsl_machine_get_configuration(struct rsl_machine *machine,
                                         struct rsl_member_set **out,
                                         uint32_t *number_or_null);

rsl_status rsl_machine_replicas_health(struct rsl_machine *machine,
                                       struct rsl_health *array,
                                       size_t cap,
                                       size_t *count);

rsl_status rsl_machine_replica_health(struct rsl_machine *machine,
                                      const char *member_id,
                                      struct rsl_health *out);

rsl_status rsl_machine_stats(struct rsl_machine *machine, struct rsl_stats *out);

rsl_status rsl_machine_engine_status(struct rsl_machine *machine, struct rsl_engine_status *out);

rsl_status rsl_machine_log_files(struct rsl_machine *machine,
                                 struct rsl_log_file *array,
                                 size_t cap,
                                 size_t *count);

size_t rsl_member_set_count(const struct rsl_member_set *set);

const struct rsl_node *rsl_member_set_node(const struct rsl_member_set *set, size_t index);

const void *rsl_member_set_cookie(const struct rsl_member_set *set, uint32_t *len_or_null);

void rsl_member_set_free(struct rsl_member_set *set);

rsl_win32 rsl_reader_open(const char *path,
                          struct rsl_reader **out);

void rsl_reader_close(struct rsl_reader *reader);

rsl_win32 rsl_reader_data_pointer(struct rsl_reader *reader,
                                  uint64_t want,
                                  const void **data,
                                  uint64_t *got_or_null);

rsl_win32 rsl_reader_read(struct rsl_reader *reader, void *into, uint64_t want, uint64_t *got_or_null);

rsl_win32 rsl_reader_skip(struct rsl_reader *reader, uint64_t count);

rsl_win32 rsl_reader_seek(struct rsl_reader *reader, uint64_t offset);

uint64_t rsl_reader_tell(const struct rsl_reader *reader);

uint64_t rsl_reader_size(const struct rsl_reader *reader);

const char *rsl_reader_path(const struct rsl_reader *reader);

rsl_win32 rsl_writer_create_like(struct rsl_reader *like,
                                 const char *path,
                                 struct rsl_writer **out);

rsl_win32 rsl_writer_write(struct rsl_writer *writer,
                           const void *data,
                           uint64_t len);

rsl_win32 rsl_writer_close(struct rsl_writer *writer);

rsl_win32 rsl_writer_finish(struct rsl_writer *writer,
                            const char *path);

void rsl_writer_free(struct rsl_writer *writer);

rsl_status rsl_checkpoint_save(const char *dir,
                               int32_t version,
                               uint64_t last_seq,
                               uint32_t configuration_number,
                               const struct rsl_member_view *members_or_null,
                               rsl_save_fn save,
                               void *ctx);

rsl_status rsl_checkpoint_set_members(const char *path,
                                      int32_t version_or_0,
                                      const struct rsl_member_view *members);

rsl_status rsl_checkpoint_get_members(const char *path, struct rsl_member_set **out);

rsl_win32 rsl_checkpoint_latest(const char *dir,
                                char *buffer,
                                size_t cap);

#ifdef __cplusplus
}  
#endif  

#endif
