// Checkpoint files outside a machine: written, given other members, looked at.
using System;
using System.IO;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using ManagedRSLib.Interop;

namespace ManagedRSLib
{
    /// <summary>Works on checkpoint files while no replica runs on their directory.</summary>
    public sealed unsafe class ManagedRSLCheckpointUtility
    {
        private const int LongestPath = 65536;

        private ManagedRSLCheckpointUtility()
        {
        }

        /// <summary>
        /// Writes the checkpoint of a replica that has executed <paramref name="lastExecutedSequenceNumber"/>, more than 0, into
        /// a directory. The creator is called once, on this thread; what it throws reaches the caller, and no file appears.
        /// </summary>
        /// <exception cref="ArgumentNullException">An argument is null.</exception>
        /// <exception cref="ArgumentException">The members or a number cannot be used.</exception>
        /// <exception cref="IOException">The file cannot be written.</exception>
        public static void SaveCheckpoint(string directoryName, ManagedRSLProtocolVersion version, ulong lastExecutedSequenceNumber, uint configurationNumber, ManagedRSLMemberSet gc_memberSet, IManagedRSLCheckpointCreator gc_checkpointCreator)
        {
            Need(directoryName, "directoryName");
            Need(gc_memberSet, "gc_memberSet");
            Need(gc_checkpointCreator, "gc_checkpointCreator");
            NativeLibrary.Load();
            Save(directoryName, (int)version, lastExecutedSequenceNumber, configurationNumber, gc_memberSet, gc_checkpointCreator);
        }

        /// <summary>Replaces the members in a checkpoint file of version 3 or later; its state stays.</summary>
        /// <returns>False when it cannot be done; the file is as it was.</returns>
        /// <exception cref="ArgumentNullException">An argument is null.</exception>
        public static bool ChangeReplicaSet(string checkpointName, ManagedRSLMemberSet memberSet)
        {
            return SetMembers(checkpointName, memberSet, 0);
        }

        /// <summary>As <see cref="ChangeReplicaSet"/>, and sets protocol version 3.</summary>
        public static bool MigrateToVersion3(string checkpointName, ManagedRSLMemberSet memberSet)
        {
            return SetMembers(checkpointName, memberSet, 3);
        }

        /// <summary>As <see cref="ChangeReplicaSet"/>, and sets protocol version 4.</summary>
        public static bool MigrateToVersion4(string checkpointName, ManagedRSLMemberSet memberSet)
        {
            return SetMembers(checkpointName, memberSet, 4);
        }

        /// <summary>Fills in the members in a checkpoint file.</summary>
        /// <returns>False when it is no checkpoint of version 3 or later.</returns>
        /// <exception cref="ArgumentNullException">An argument is null.</exception>
        public static bool GetReplicaSet(string checkpointName, ManagedRSLMemberSet memberSet)
        {
            Need(checkpointName, "checkpointName");
            Need(memberSet, "memberSet");
            NativeLibrary.Load();
            return Members(checkpointName, memberSet);
        }

        /// <summary>The path of the newest checkpoint in a directory.</summary>
        /// <exception cref="ArgumentNullException">The directory is null or empty.</exception>
        /// <exception cref="Exception">There is none: "Win32 error code: n".</exception>
        public static string GetLatestCheckpoint(string rslDirectory)
        {
            if (string.IsNullOrEmpty(rslDirectory))
            {
                throw new ArgumentNullException("rslDirectory");
            }
            NativeLibrary.Load();
            return Latest(rslDirectory);
        }

        private static bool SetMembers(string checkpointName, ManagedRSLMemberSet memberSet, int version)
        {
            Need(checkpointName, "checkpointName");
            Need(memberSet, "memberSet");
            NativeLibrary.Load();
            return SetMembersNow(checkpointName, memberSet, version);
        }

        [MethodImpl(MethodImplOptions.NoInlining)]
        private static bool SetMembersNow(string checkpointName, ManagedRSLMemberSet memberSet, int version)
        {
            fixed (byte* pinned = Utf8.Bytes(checkpointName))
            {
                var path = pinned;
                return memberSet.Lend(members => NativeMethods.rsl_checkpoint_set_members(path, version, members)) == Abi.RSL_OK;
            }
        }

        [MethodImpl(MethodImplOptions.NoInlining)]
        private static bool Members(string checkpointName, ManagedRSLMemberSet memberSet)
        {
            MemberSetHandle members;
            int status;
            fixed (byte* path = Utf8.Bytes(checkpointName))
            {
                status = NativeMethods.rsl_checkpoint_get_members(path, out members);
            }
            using (members)
            {
                if (status != Abi.RSL_OK)
                {
                    return false;
                }
                memberSet.Take(members);
                return true;
            }
        }

        [MethodImpl(MethodImplOptions.NoInlining)]
        private static string Latest(string rslDirectory)
        {
            var buffer = new byte[LongestPath];
            fixed (byte* directory = Utf8.Bytes(rslDirectory), bytes = buffer)
            {
                var result = NativeMethods.rsl_checkpoint_latest(directory, bytes, (UIntPtr)(uint)buffer.Length);
                if (result != Abi.RSL_WIN32_OK)
                {
                    throw new Exception("Win32 error code: " + result);
                }
                return Utf8.Get(bytes);
            }
        }

        [MethodImpl(MethodImplOptions.NoInlining)]
        private static void Save(string directoryName, int version, ulong sequenceNumber, uint configurationNumber, ManagedRSLMemberSet set, IManagedRSLCheckpointCreator creator)
        {
            Exception failure = null;
            // Rooted by GC.KeepAlive below for as long as native code has its pointer.
            rsl_save_fn save = (context, writer) =>
            {
                try
                {
                    var stream = new ManagedRSLCheckpointStream(new WriterHandle(writer));
                    try
                    {
                        creator.SaveState(stream);
                    }
                    finally
                    {
                        stream.Detach();
                    }
                }
                catch (Exception exception)
                {
                    failure = exception;
                }
            };
            var pointer = Marshal.GetFunctionPointerForDelegate(save);
            int status;
            fixed (byte* directory = Utf8.Bytes(directoryName))
            {
                var path = directory;
                // Members come into files from version 3 on.
                status = version < 3
                    ? NativeMethods.rsl_checkpoint_save(path, version, sequenceNumber, configurationNumber, null, pointer, IntPtr.Zero)
                    : set.Lend(members => NativeMethods.rsl_checkpoint_save(path, version, sequenceNumber, configurationNumber, members, pointer, IntPtr.Zero));
            }
            GC.KeepAlive(save);
            if (failure != null)
            {
                Remove(directoryName, sequenceNumber, status);
                throw failure;
            }
            if (status == Abi.RSL_E_IO)
            {
                throw new IOException(Status.LastError());
            }
            if (status != Abi.RSL_OK)
            {
                throw new ArgumentException(status < 0 ? Status.LastError() : ((RSLResponse)status).ToString());
            }
        }

        /// <summary>What a creator that has thrown left behind is a state cut short: it must not be found.</summary>
        private static void Remove(string directory, ulong sequenceNumber, int status)
        {
            if (status == Abi.RSL_OK)
            {
                File.Delete(Path.Combine(directory, sequenceNumber + ".codex"));
            }
        }

        private static void Need(object argument, string name)
        {
            if (argument == null)
            {
                throw new ArgumentNullException(name);
            }
        }
    }
}
