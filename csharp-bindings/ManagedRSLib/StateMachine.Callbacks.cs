// What an application implements.
namespace ManagedRSLib
{
    /// <summary>Writes a state into a checkpoint.</summary>
    public interface IManagedRSLCheckpointCreator
    {
        /// <summary>Writes the state. The stream is valid during the call only.</summary>
        void SaveState(ManagedRSLCheckpointStream gc_writer);
    }

    public abstract unsafe partial class ManagedRSLStateMachine
    {
        /// <summary>
        /// Loads a checkpoint, or starts empty when it is null; on the thread that calls Initialize. False = not usable, the
        /// next older one is tried. What it throws reaches the caller of Initialize.
        /// </summary>
        public abstract bool LoadState(ManagedRSLCheckpointStream gc_reader);

        /// <summary>Executes a request, one at a time. The array is the application's. The cookie is that of the request on the
        /// machine that it was given to, else null. A true <paramref name="saveState"/> asks for a checkpoint.</summary>
        public abstract void ExecuteReplicatedRequest(byte[] gc_request, object gc_cookie, ref bool saveState);

        /// <summary>Answers a fast read.</summary>
        public abstract void ExecuteFastReadRequest(byte[] gc_request, object gc_cookie);

        /// <summary>The request will not be executed with its cookie; a replicated one may be executed without.</summary>
        public abstract void AbortRequest(RSLResponse status, object gc_cookie);

        /// <summary>Writes the state; nothing is executed meanwhile. The stream is valid during the call only.</summary>
        public abstract void SaveState(ManagedRSLCheckpointStream gc_writer);

        /// <summary>Writes the state, or answers false: not now, and no checkpoint until AllowSaveState.</summary>
        public virtual bool TrySaveState(ManagedRSLCheckpointStream gc_writer)
        {
            SaveState(gc_writer);
            return true;
        }

        /// <summary>This machine has become primary, or is not primary any more.</summary>
        public abstract void NotifyStatus(bool isPrimary);

        /// <summary>The configuration has changed; the cookie is that of the change if it was asked for here.</summary>
        public abstract void NotifyConfigurationChanged(object gc_cookie);

        /// <summary>A change that was asked for here will not be notified with its cookie.</summary>
        public abstract void AbortChangeConfiguration(RSLResponse status, object gc_cookie);

        /// <summary>Everything that earlier primaries got chosen is executed.</summary>
        public abstract void NotifyPrimaryRecovered();

        /// <summary>May this machine stand for election? <paramref name="data"/> becomes the primary cookie.</summary>
        public abstract bool CanBecomePrimary(ref byte[] data);

        /// <summary>Should a vote or Prepare of this member be answered? The data is its sender's primary cookie, or null.</summary>
        public abstract bool AcceptMessageFromReplica(ManagedRSLNode node, byte[] data);

        /// <summary>The machine has ended, or is about to: the last callback.</summary>
        public abstract void ShutDown(RSLResponse status);

        /// <summary>A checkpoint of the state after <paramref name="seqNo"/> is durable in the file.</summary>
        public abstract void StateSaved(ulong seqNo, string fileName);

        /// <summary>A checkpoint was copied from another replica; 0 and "" when a copy that was asked for failed.</summary>
        public abstract void StateCopied(ulong seqNo, string fileName, object gc_cookie);
    }
}
