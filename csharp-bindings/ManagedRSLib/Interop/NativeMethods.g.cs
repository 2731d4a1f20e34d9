// The C ABI as P/Invoke declarations, one for one. Generated from include/rsl_c.h by `cargo xtask header`. Do not edit.
#pragma warning disable IDE1006, CS0649
using System;
using System.Runtime.InteropServices;

namespace ManagedRSLib.Interop
{
    internal static class Abi
    {
        internal const int RSL_MEMBER_ID_SIZE = 64;
        internal const int RSL_HOST_NAME_SIZE = 256;
        internal const int RSL_MAX_MEMBER_SET_COOKIE = 8192;
        internal const int RSL_CFG_PROMOTE_WHILE_CATCHING_UP = 1;
        internal const int RSL_CFG_MEMBER_ID_IN_WORKING_DIR = 2;
        internal const int RSL_CFG_CANCEL_DISK_IO = 4;
        internal const int RSL_CFG_GLOBAL_ACCEPT_FLAG = 8;
        internal const int RSL_CFG_NO_REMOTE_BOOTSTRAP = 16;
        internal const int RSL_CFG_RELOAD_IN_PLACE = 32;
        internal const int RSL_CFG_ACCEPT_ALL_MESSAGES = 64;
        internal const int RSL_INIT_DEBUG_LOG = 1;
        internal const int RSL_EXIT_REASON_SHUTDOWN = 1;
        internal const int RSL_EXIT_REASON_FATAL = 2;
        internal const int RSL_CB_DEFAULT_RESOLVE = 1;
        internal const int RSL_ABI_MAJOR = 1;
        internal const int RSL_ABI_MINOR = 1;
        internal const int RSL_REQ_EXCLUSIVE = 1;
        internal const int RSL_REQ_LAST = 2;
        internal const int RSL_OK = 0;
        internal const int RSL_FAST_READ_STALE = 1;
        internal const int RSL_NOT_PRIMARY = 2;
        internal const int RSL_SHUTTING_DOWN = 3;
        internal const int RSL_ALREADY_BOOTSTRAPPED = 4;
        internal const int RSL_BOOTSTRAP_FAILED = 5;
        internal const int RSL_INVALID_PARAMETER = 6;
        internal const int RSL_QUEUE_FULL = 100;
        internal const int RSL_E_ARGUMENT = -1;
        internal const int RSL_E_STATE = -2;
        internal const int RSL_E_REENTRANT = -3;
        internal const int RSL_E_BUFFER_TOO_SMALL = -4;
        internal const int RSL_E_ABI = -5;
        internal const int RSL_E_CONFIG = -6;
        internal const int RSL_E_IO = -7;
        internal const int RSL_E_CORRUPT = -8;
        internal const int RSL_E_NETWORK = -9;
        internal const int RSL_E_TLS = -10;
        internal const int RSL_E_NOT_FOUND = -11;
        internal const int RSL_E_TOO_LARGE = -12;
        internal const int RSL_E_CALLBACK = -13;
        internal const int RSL_WIN32_OK = 0;
        internal const int RSL_WIN32_FILE_NOT_FOUND = 2;
        internal const int RSL_WIN32_PATH_NOT_FOUND = 3;
        internal const int RSL_WIN32_ACCESS_DENIED = 5;
        internal const int RSL_WIN32_INVALID_HANDLE = 6;
        internal const int RSL_WIN32_OUT_OF_MEMORY = 14;
        internal const int RSL_WIN32_CRC = 23;
        internal const int RSL_WIN32_SHARING_VIOLATION = 32;
        internal const int RSL_WIN32_HANDLE_EOF = 38;
        internal const int RSL_WIN32_FILE_EXISTS = 80;
        internal const int RSL_WIN32_INVALID_PARAMETER = 87;
        internal const int RSL_WIN32_DISK_FULL = 112;
        internal const int RSL_WIN32_INSUFFICIENT_BUFFER = 122;
        internal const int RSL_WIN32_NAME_TOO_LONG = 206;
        internal const int RSL_WIN32_IO_DEVICE = 1117;
    }

    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    internal unsafe delegate void rsl_notify_fn(IntPtr ctx, int level, int log_id, byte* title, byte* message_or_null);

    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    internal unsafe delegate void rsl_log_fn(IntPtr ctx, rsl_log_record* record);

    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    internal unsafe delegate uint rsl_thread_main(IntPtr arg);

    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    internal unsafe delegate void rsl_save_fn(IntPtr ctx, IntPtr writer);

    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct rsl_config
    {
        internal uint struct_size;
        internal uint flags;
        internal long new_leader_grace_period_sec;
        internal long heart_beat_interval_sec;
        internal long election_delay_sec;
        internal long max_election_randomize_sec;
        internal long initialize_retry_interval_sec;
        internal long prepare_retry_interval_sec;
        internal long vote_retry_interval_sec;
        internal long vote_max_outstanding_interval_sec;
        internal long cp_query_retry_interval_sec;
        internal long max_checkpoint_interval_sec;
        internal long join_messages_interval_sec;
        internal long max_log_len_mb;
        internal uint send_timeout_sec;
        internal uint receive_timeout_sec;
        internal uint max_cache_length_mb;
        internal uint max_votes_in_log;
        internal uint max_outstanding_per_replica;
        internal uint max_checkpoints;
        internal uint max_checkpoint_size_gb;
        internal uint min_checkpoint_space_file_count;
        internal uint max_logs;
        internal uint log_len_randomize;
        internal uint election_randomize;
        internal uint fast_read_seq_threshold;
        internal uint in_memory_execution_queue_size_mb;
        internal uint num_reader_threads;
        internal uint max_message_size_mb;
        internal uint max_message_alert_size_mb;
        internal IntPtr working_dir;
        internal uint request_queue_limit_mb;
        internal uint pad0;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct rsl_log_record
    {
        internal uint struct_size;
        internal int level;
        internal int log_id;
        internal int line;
        internal IntPtr file;
        internal IntPtr function;
        internal IntPtr title;
        internal IntPtr text;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct rsl_init_params
    {
        internal uint struct_size;
        internal uint flags;
        internal IntPtr log_path;
        internal IntPtr notify;
        internal IntPtr notify_ctx;
        internal IntPtr log;
        internal IntPtr log_ctx;
    }

    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    internal unsafe delegate int rsl_exit_policy_on_exit(IntPtr ctx, IntPtr machine, int reason, int exit_code);

    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct rsl_exit_policy
    {
        internal uint struct_size;
        internal uint pad0;
        internal IntPtr ctx;
        internal IntPtr on_exit;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct rsl_node
    {
        internal fixed byte member_id[64];
        internal fixed byte host_name[256];
        internal uint ip;
        internal ushort rsl_port;
        internal ushort learn_port;
        internal ushort app_port;
        internal ushort pad0;
        internal uint priority;
    }

    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    internal unsafe delegate int rsl_callbacks_load_state(IntPtr ctx, IntPtr reader_or_null);

    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    internal unsafe delegate void rsl_callbacks_before_execute(IntPtr ctx);

    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    internal unsafe delegate void rsl_callbacks_execute_replicated(IntPtr ctx, void* request, UIntPtr len, IntPtr cookie, int* save_state);

    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    internal unsafe delegate void rsl_callbacks_after_execute(IntPtr ctx);

    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    internal unsafe delegate void rsl_callbacks_execute_fast_read(IntPtr ctx, void* request, UIntPtr len, IntPtr cookie);

    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    internal unsafe delegate void rsl_callbacks_abort_request(IntPtr ctx, int why, IntPtr cookie);

    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    internal unsafe delegate int rsl_callbacks_try_save_state(IntPtr ctx, IntPtr writer);

    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    internal unsafe delegate void rsl_callbacks_state_saved(IntPtr ctx, ulong seq, byte* file);

    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    internal unsafe delegate void rsl_callbacks_state_copied(IntPtr ctx, ulong seq, byte* file_or_null, IntPtr cookie);

    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    internal unsafe delegate void rsl_callbacks_notify_status(IntPtr ctx, int is_primary);

    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    internal unsafe delegate void rsl_callbacks_notify_primary_recovered(IntPtr ctx);

    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    internal unsafe delegate void rsl_callbacks_notify_configuration_changed(IntPtr ctx, IntPtr cookie);

    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    internal unsafe delegate void rsl_callbacks_abort_change_configuration(IntPtr ctx, int why, IntPtr cookie);

    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    internal unsafe delegate int rsl_callbacks_can_become_primary(IntPtr ctx, IntPtr sink);

    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    internal unsafe delegate int rsl_callbacks_accept_message(IntPtr ctx, rsl_node* from, void* data, uint len);

    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    internal unsafe delegate int rsl_callbacks_resolve_node(IntPtr ctx, rsl_node* node);

    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    internal unsafe delegate void rsl_callbacks_shut_down(IntPtr ctx, int why);

    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct rsl_callbacks
    {
        internal uint struct_size;
        internal uint flags;
        internal IntPtr load_state;
        internal IntPtr before_execute;
        internal IntPtr execute_replicated;
        internal IntPtr after_execute;
        internal IntPtr execute_fast_read;
        internal IntPtr abort_request;
        internal IntPtr try_save_state;
        internal IntPtr state_saved;
        internal IntPtr state_copied;
        internal IntPtr notify_status;
        internal IntPtr notify_primary_recovered;
        internal IntPtr notify_configuration_changed;
        internal IntPtr abort_change_configuration;
        internal IntPtr can_become_primary;
        internal IntPtr accept_message;
        internal IntPtr resolve_node;
        internal IntPtr shut_down;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct rsl_member_view
    {
        internal uint struct_size;
        internal uint cookie_len;
        internal rsl_node* nodes;
        internal UIntPtr node_count;
        internal IntPtr cookie;
    }

    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    internal unsafe delegate int rsl_spawn_spawn(IntPtr ctx, IntPtr start, int priority, IntPtr arg);

    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct rsl_spawn
    {
        internal uint struct_size;
        internal uint pad0;
        internal IntPtr ctx;
        internal IntPtr spawn;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct rsl_health
    {
        internal uint struct_size;
        internal byte is_primary;
        internal byte connected;
        internal byte needs_resolve;
        internal byte pad0;
        internal fixed byte member_id[64];
        internal int num_outstanding;
        internal uint consecutive_failures;
        internal long failed_at_us;
        internal long last_request_sent_at_us;
        internal long last_request_voted_at_us;
        internal ulong last_request_voted_decree;
        internal ulong last_vote_payload;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct rsl_stats
    {
        internal uint struct_size;
        internal uint pad0;
        internal ulong capture_time_us;
        internal ulong decrees_executed;
        internal ulong log_reads;
        internal ulong log_read_bytes;
        internal ulong log_read_us;
        internal ulong log_writes;
        internal ulong log_write_bytes;
        internal ulong log_write_us;
        internal ulong voting_time_us;
        internal uint log_read_max_us;
        internal uint log_write_max_us;
        internal uint voting_time_max_us;
        internal uint pad1;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct rsl_engine_status
    {
        internal uint struct_size;
        internal int role;
        internal int version;
        internal int is_saving;
        internal uint configuration;
        internal uint state_configuration;
        internal uint defunct;
        internal uint accepted_configuration;
        internal ulong accepted_decree;
        internal uint accepted_ballot;
        internal uint promised_ballot;
        internal fixed byte accepted_member[64];
        internal fixed byte promised_member[64];
        internal fixed byte current_primary[64];
        internal ulong checkpointed_decree;
        internal ulong checkpoint_size;
        internal ulong save_checkpoint_at;
        internal ulong copy_checkpoint_at;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct rsl_log_file
    {
        internal ulong first;
        internal ulong last;
        internal ulong len;
    }

    internal static unsafe class NativeMethods
    {
        private const string Library = "rsl";

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern int rsl_cookie_sink_set(IntPtr sink, void* data, uint len);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern uint rsl_abi_version();

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern ulong rsl_struct_size(int which);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern int rsl_config_defaults(rsl_config* config);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern int rsl_init(rsl_init_params* @params);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern void rsl_shutdown();

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern int rsl_set_exit_policy(rsl_exit_policy* policy_or_null);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern void rsl_set_minidump_enabled(int on);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern void rsl_enable_listen_on_all_ips();

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern ulong rsl_tick_count_us();

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern ulong rsl_checksum(void* data, UIntPtr len);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern UIntPtr rsl_last_error(byte* buffer, UIntPtr cap);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern void rsl_fatal(byte* what);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern int rsl_log(int level, byte* title);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern int rsl_resolve_node(rsl_node* node);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern int rsl_tls_set_thumbprints(byte* a_or_null, byte* b_or_null, int validate_chain, int check_revocation);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern int rsl_tls_set_subjects(byte* subject_a_or_null, byte* parents_a_or_null, byte* subject_b_or_null, byte* parents_b_or_null, int consider_whitelist);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern int rsl_tls_is_enabled();

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern int rsl_machine_create(rsl_callbacks* callbacks, IntPtr ctx, out MachineHandle @out);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern int rsl_machine_initialize(MachineHandle machine, rsl_config* config, rsl_member_view* members_or_null, rsl_node* self_node, int version, int serialize_fast_reads, rsl_spawn* spawn_or_null, int independent_heartbeat);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern int rsl_machine_unload(MachineHandle machine);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern void rsl_unload_all();

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern void rsl_machine_destroy(IntPtr machine);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern int rsl_machine_replay(MachineHandle machine, byte* directory, ulong max_seq);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern int rsl_machine_replay_to_checkpoint(MachineHandle machine, byte* directory, ulong max_seq, ulong checkpoint_seq, byte* checkpoint_dir);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern int rsl_machine_is_running(MachineHandle machine);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern int rsl_machine_bootstrap(MachineHandle machine, rsl_member_view* members, uint timeout_sec);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern int rsl_machine_pause(MachineHandle machine);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern int rsl_machine_resume(MachineHandle machine);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern int rsl_machine_replicate(MachineHandle machine, void* request, UIntPtr len, IntPtr cookie, uint flags);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern int rsl_machine_fast_read(MachineHandle machine, ulong max_seen, void* request, UIntPtr len, IntPtr cookie, uint timeout_ms);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern int rsl_machine_change_configuration(MachineHandle machine, rsl_member_view* members, IntPtr cookie);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern int rsl_machine_copy_state(MachineHandle machine, IntPtr cookie);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern int rsl_machine_attempt_promotion(MachineHandle machine);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern int rsl_machine_relinquish_primary(MachineHandle machine);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern int rsl_machine_change_election_delay(MachineHandle machine, uint seconds);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern int rsl_machine_allow_save_state(MachineHandle machine, int yes);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern int rsl_machine_set_vote_payload(MachineHandle machine, ulong payload);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern int rsl_machine_set_accept_messages(MachineHandle machine, int accept);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern ulong rsl_machine_current_sequence(MachineHandle machine);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern ulong rsl_machine_highest_passed_sequence(MachineHandle machine);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern int rsl_machine_is_stable(MachineHandle machine);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern int rsl_machine_has_pending_execution(MachineHandle machine);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern int rsl_machine_current_primary(MachineHandle machine, rsl_node* @out);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern int rsl_machine_get_configuration(MachineHandle machine, out MemberSetHandle @out, uint* number_or_null);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern int rsl_machine_replicas_health(MachineHandle machine, rsl_health* array, UIntPtr cap, UIntPtr* count);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern int rsl_machine_replica_health(MachineHandle machine, byte* member_id, rsl_health* @out);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern int rsl_machine_stats(MachineHandle machine, rsl_stats* @out);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern int rsl_machine_engine_status(MachineHandle machine, rsl_engine_status* @out);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern int rsl_machine_log_files(MachineHandle machine, rsl_log_file* array, UIntPtr cap, UIntPtr* count);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern UIntPtr rsl_member_set_count(MemberSetHandle set);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern rsl_node* rsl_member_set_node(MemberSetHandle set, UIntPtr index);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern void* rsl_member_set_cookie(MemberSetHandle set, uint* len_or_null);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern void rsl_member_set_free(IntPtr set);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern uint rsl_reader_open(byte* path, out ReaderHandle @out);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern void rsl_reader_close(IntPtr reader);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern uint rsl_reader_data_pointer(ReaderHandle reader, ulong want, void** data, ulong* got_or_null);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern uint rsl_reader_read(ReaderHandle reader, IntPtr into, ulong want, ulong* got_or_null);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern uint rsl_reader_skip(ReaderHandle reader, ulong count);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern uint rsl_reader_seek(ReaderHandle reader, ulong offset);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern ulong rsl_reader_tell(ReaderHandle reader);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern ulong rsl_reader_size(ReaderHandle reader);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern byte* rsl_reader_path(ReaderHandle reader);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern uint rsl_writer_create_like(ReaderHandle like, byte* path, out WriterHandle @out);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern uint rsl_writer_write(WriterHandle writer, void* data, ulong len);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern uint rsl_writer_close(WriterHandle writer);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern uint rsl_writer_finish(WriterHandle writer, byte* path);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern void rsl_writer_free(IntPtr writer);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern int rsl_checkpoint_save(byte* dir, int version, ulong last_seq, uint configuration_number, rsl_member_view* members_or_null, IntPtr save, IntPtr ctx);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern int rsl_checkpoint_set_members(byte* path, int version_or_0, rsl_member_view* members);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern int rsl_checkpoint_get_members(byte* path, out MemberSetHandle @out);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        internal static extern uint rsl_checkpoint_latest(byte* dir, byte* buffer, UIntPtr cap);
    }
}
