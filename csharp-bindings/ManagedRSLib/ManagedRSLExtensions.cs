// What this library can do beyond the legacy managed API: switches of the process, and more of a machine.
using System;
using ManagedRSLib.Interop;

namespace ManagedRSLib
{
    /// <summary>Additions to the legacy API. All of them leave legacy behaviour as it is unless they are used.</summary>
    public static unsafe class ManagedRSLExtensions
    {
        /// <summary>
        /// Makes listenOnAllIPs count in the forms of Init without subject names, which listen on all addresses otherwise. To
        /// be set before Init.
        /// </summary>
        public static bool HonorListenOnAllIPs { get; set; }

        /// <summary>
        /// Asked before the library ends the process in an orderly way, with exit code 0: a replica has copied a checkpoint, or
        /// relinquished, and has to be started again; or a machine was unloaded inside a callback. False keeps the process: a
        /// machine that has to be started again goes on in place, as with <see cref="ReloadInPlace"/>. Null = the process ends.
        /// </summary>
        public static Func<int, bool> EndingProcess { get; set; }

        /// <summary>
        /// Machines that are initialised from now on go on in place after a copied checkpoint, or when they gave up being
        /// primary, instead of ending the process for a restart: requests are aborted, NotifyStatus(false) if it was primary, no
        /// ShutDown, then LoadState on a thread of the machine. Nobody is asked.
        /// </summary>
        public static bool ReloadInPlace { get; set; }

        /// <summary>
        /// Machines that are initialised from now on answer every message; AcceptMessageFromReplica is not called, which saves
        /// two changes of threads per vote.
        /// </summary>
        public static bool AcceptAllMessages { get; set; }

        /// <summary>Whether the machine is a primary or a secondary in touch with one. Waits for nothing.</summary>
        public static bool IsInStableState(this ManagedRSLStateMachine machine)
        {
            return NativeMethods.rsl_machine_is_stable(Native(machine)) != 0;
        }

        /// <summary>As ReplicateRequest, but alone in its decree.</summary>
        public static RSLResponse ReplicateRequestExclusiveVote(this ManagedRSLStateMachine machine, byte[] request, object cookie)
        {
            Native(machine);
            if (request == null)
            {
                throw new ArgumentNullException("request");
            }
            return machine.Replicate(request, 0, request.Length, cookie, Abi.RSL_REQ_EXCLUSIVE);
        }

        /// <summary>The state of the machine's consensus, for operators and tests; null when it has ended.</summary>
        public static ManagedRSLEngineStatus GetEngineStatus(this ManagedRSLStateMachine machine)
        {
            var status = new rsl_engine_status { struct_size = (uint)sizeof(rsl_engine_status) };
            var result = NativeMethods.rsl_machine_engine_status(Native(machine), &status);
            return result == Abi.RSL_OK ? new ManagedRSLEngineStatus(&status) : null;
        }

        /// <summary>The log files that are served, oldest first.</summary>
        public static ManagedRSLLogFile[] GetLogFiles(this ManagedRSLStateMachine machine)
        {
            var handle = Native(machine);
            // Files may come between two calls, but not for ever.
            for (var attempt = 0; attempt < 10; attempt++)
            {
                UIntPtr count;
                var files = new rsl_log_file[32 << attempt];
                fixed (rsl_log_file* first = files)
                {
                    var result = NativeMethods.rsl_machine_log_files(handle, first, (UIntPtr)(uint)files.Length, &count);
                    if (result == Abi.RSL_OK)
                    {
                        Array.Resize(ref files, (int)count);
                        return Array.ConvertAll(files, file => new ManagedRSLLogFile(file));
                    }
                    if (result != Abi.RSL_E_BUFFER_TOO_SMALL)
                    {
                        break;
                    }
                }
            }
            return new ManagedRSLLogFile[0];
        }

        /// <summary>The switches of a machine that starts now.</summary>
        internal static uint ConfigFlags
        {
            get
            {
                return (ReloadInPlace ? (uint)Abi.RSL_CFG_RELOAD_IN_PLACE : 0) | (AcceptAllMessages ? (uint)Abi.RSL_CFG_ACCEPT_ALL_MESSAGES : 0);
            }
        }

        internal static bool MayEndProcess(int code)
        {
            var ending = EndingProcess;
            return ending == null || ending(code);
        }

        private static MachineHandle Native(ManagedRSLStateMachine machine)
        {
            if (machine == null)
            {
                throw new ArgumentNullException("machine");
            }
            return machine.Native();
        }
    }

    /// <summary>What a machine does in consensus.</summary>
    public enum ManagedRSLRole
    {
        /// <summary>No member of the configuration.</summary>
        Inactive = 0,
        /// <summary>Primary.</summary>
        Primary = 1,
        /// <summary>Follows a primary, or waits for one.</summary>
        Secondary = 2,
        /// <summary>Stands for election.</summary>
        Preparing = 3,
        /// <summary>Has just started.</summary>
        Initializing = 4
    }

    /// <summary>A log file that is served.</summary>
    public sealed class ManagedRSLLogFile
    {
        internal ManagedRSLLogFile(rsl_log_file file)
        {
            First = file.first;
            Last = file.last;
            Length = file.len;
        }

        /// <summary>Its first decree; 0 = it holds no vote.</summary>
        public ulong First { get; private set; }

        /// <summary>Its last decree.</summary>
        public ulong Last { get; private set; }

        /// <summary>Bytes of its records.</summary>
        public ulong Length { get; private set; }
    }

    /// <summary>The state of a machine's consensus at one moment.</summary>
    public sealed unsafe class ManagedRSLEngineStatus
    {
        internal ManagedRSLEngineStatus(rsl_engine_status* status)
        {
            Role = (ManagedRSLRole)status->role;
            Version = status->version;
            IsSaving = status->is_saving != 0;
            Configuration = status->configuration;
            StateConfiguration = status->state_configuration;
            Defunct = status->defunct;
            AcceptedConfiguration = status->accepted_configuration;
            AcceptedDecree = status->accepted_decree;
            AcceptedBallot = status->accepted_ballot;
            PromisedBallot = status->promised_ballot;
            AcceptedMember = Utf8.Get(status->accepted_member, Abi.RSL_MEMBER_ID_SIZE);
            PromisedMember = Utf8.Get(status->promised_member, Abi.RSL_MEMBER_ID_SIZE);
            CurrentPrimary = Utf8.Get(status->current_primary, Abi.RSL_MEMBER_ID_SIZE);
            CheckpointedDecree = status->checkpointed_decree;
            CheckpointSize = status->checkpoint_size;
            SaveCheckpointAt = status->save_checkpoint_at;
            CopyCheckpointAt = status->copy_checkpoint_at;
        }

        /// <summary>What the machine does.</summary>
        public ManagedRSLRole Role { get; private set; }

        /// <summary>The protocol version it speaks now.</summary>
        public int Version { get; private set; }

        /// <summary>A checkpoint is being saved.</summary>
        public bool IsSaving { get; private set; }

        /// <summary>Number of the configuration that votes.</summary>
        public uint Configuration { get; private set; }

        /// <summary>Number of the configuration in the executed state.</summary>
        public uint StateConfiguration { get; private set; }

        /// <summary>Highest defunct configuration number.</summary>
        public uint Defunct { get; private set; }

        /// <summary>Configuration number of the newest accepted vote.</summary>
        public uint AcceptedConfiguration { get; private set; }

        /// <summary>Decree of the newest accepted vote.</summary>
        public ulong AcceptedDecree { get; private set; }

        /// <summary>Number of its ballot.</summary>
        public uint AcceptedBallot { get; private set; }

        /// <summary>Owner of its ballot.</summary>
        public string AcceptedMember { get; private set; }

        /// <summary>Number of the highest ballot promised.</summary>
        public uint PromisedBallot { get; private set; }

        /// <summary>Owner of the highest ballot promised.</summary>
        public string PromisedMember { get; private set; }

        /// <summary>The member named in the newest accepted ballot; empty = unknown.</summary>
        public string CurrentPrimary { get; private set; }

        /// <summary>Decree of the newest checkpoint; 0 = none.</summary>
        public ulong CheckpointedDecree { get; private set; }

        /// <summary>Size of its file.</summary>
        public ulong CheckpointSize { get; private set; }

        /// <summary>A checkpoint is to be saved at this decree; 0 = none.</summary>
        public ulong SaveCheckpointAt { get; private set; }

        /// <summary>A checkpoint is to be copied at this decree; 0 = none.</summary>
        public ulong CopyCheckpointAt { get; private set; }
    }
}
